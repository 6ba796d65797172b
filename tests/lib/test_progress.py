"""Curves and the best state of a training."""

from pathlib import Path

import pytest

from stages.lib.curves import CURVES, curves
from stages.lib.lora import Lora, attach
from stages.lib.progress import Best
from stages.lib.tsv import write_rows
from tests.lib.tiny import model

LORA = Lora(r=2, alpha=4, dropout=0.0, targets=["q"], bias="none", rslora=False, dora=False, init="default")


@pytest.mark.parametrize("steps", [1, 7, 199, 5_051, 50_003, 120_001])
def test_the_last_logged_step_is_always_a_point_of_the_curve(steps):
    every = -(-steps // 1000)
    log = [{"step": step, "loss": 1.0, "learning_rate": 0.1} for step in range(every, steps + 1, every)]
    points = curves(log, steps, steps)
    assert points[-1]["step"] == log[-1]["step"]
    assert min(len(log), 45) <= len(points) <= 101


def test_the_training_loss_of_the_curve_is_the_mean_since_its_last_point():
    log = [{"step": step, "loss": float(step), "learning_rate": 0.1} for step in range(1, 101)]
    log.append({"step": 50, "eval_loss": 3.0, "eval_rougeL": 0.5, "eval_bleu": 20.0})
    points = curves(log, 100, 50)
    assert len(points) == 50
    assert points[0]["train_loss"] == 1.5
    at_50 = next(point for point in points if point["step"] == 50)
    assert at_50 == {
        "step": 50, "epoch": 1.0, "learning_rate": 0.1, "train_loss": 49.5, "validation_loss": 3.0, "rougeL": 0.5,
        "bleu": 20.0,
    }  # fmt: skip


def test_what_was_not_measured_at_a_step_stays_empty(tmp_path):
    log = [{"step": 1, "loss": 2.0, "learning_rate": 0.1}]
    write_rows(tmp_path / "curves.tsv", CURVES, curves(log, 1, 1))
    assert (tmp_path / "curves.tsv").read_text() == (
        "step\tepoch\tlearning_rate\ttrain_loss\tvalidation_loss\trougeL\tbleu\n1\t1.0\t0.1\t2.0\t\t\t\n"
    )


@pytest.mark.parametrize(
    ("metric", "values", "kept"), [("validation_loss", [2, 1, 1, 3], 2), ("rougeL", [0.1, 0.4, 0.4, 0.2], 2)]
)
def test_the_best_state_is_the_first_that_no_other_beats(tmp_path: Path, metric, values, kept):
    import torch

    net = attach(model("seq2seq"), LORA, "seq2seq")
    best = Best(tmp_path, metric)
    weight = next(weight for name, weight in net.named_parameters() if "lora_B" in name)
    for step, value in enumerate(values, 1):
        torch.nn.init.constant_(weight, float(step))
        best.offer(net, step, float(value))
    assert best.restore(net) == {"step": kept, "metric": metric, "value": float(values[kept - 1])}
    assert weight.flatten()[0].item() == kept
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
