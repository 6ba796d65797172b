"""Each choice of the section `train` that a person can make does something, and does what its comment says."""

from pathlib import Path

import pytest
import torch

from stages.lib.fitting import Fitted, Rows, fit
from stages.lib.tsv import read_rows
from stages.train import Params
from tests.lib.test_fitting import ROWS, recipe
from tests.lib.tiny import model, tokenizer

STEPS = 4
PLAIN = {
    "max_steps": STEPS, "save_steps": 100, "batch_size": 4, "accumulation": 1, "learning_rate": 0.01, "warmup": 0,
    "schedule": "constant", "group_by_length": False, "evaluation": {"every": STEPS, "rows": 2, "batch_size": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {family: tmp_path_factory.mktemp("bases") / family for family in ("seq2seq", "causal")}
    for family, folder in folders.items():
        model(family).save_pretrained(folder)
        tokenizer(family).save_pretrained(folder)
    return folders


def fitted(bases: dict[str, Path], work: Path, family: str = "seq2seq", **train: object) -> Fitted:
    work.mkdir(parents=True, exist_ok=True)
    chosen = Params.model_validate(recipe(family, train=PLAIN | train))
    return fit(bases[family], Rows(ROWS, ROWS[:2]), work, chosen)


def adapter(found: Fitted) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for name, weight in found.net.named_parameters() if "lora_" in name])


@pytest.fixture(scope="module")
def plain(bases, tmp_path_factory) -> dict[str, torch.Tensor]:
    return {family: adapter(fitted(bases, tmp_path_factory.mktemp("plain"), family)) for family in bases}


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("seq2seq", {"optimizer": "adamw_8bit"}),
        ("seq2seq", {"optimizer": "paged_adamw_8bit"}),
        ("seq2seq", {"optimizer": "adafactor"}),
        ("seq2seq", {"optimizer": "sgd"}),
        ("seq2seq", {"schedule": "cosine"}),
        ("seq2seq", {"schedule": "polynomial"}),
        ("seq2seq", {"warmup": 0.5, "schedule": "constant_with_warmup"}),
        ("seq2seq", {"weight_decay": 0.5}),
        ("seq2seq", {"max_grad_norm": 1e-8}),
        ("seq2seq", {"label_smoothing": 0.2}),
        ("causal", {"label_smoothing": 0.2}),
        ("causal", {"neftune_noise": 5.0}),
        ("causal", {"packing": True}),
        ("seq2seq", {"group_by_length": True}),
        ("seq2seq", {"seed": 2}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")  # it says so, and goes without pages
def test_the_choice_changes_what_is_learnt(bases, plain, tmp_path, family, change):
    found = adapter(fitted(bases, tmp_path / "work", family, **change))
    assert torch.isfinite(found).all()
    assert not torch.equal(found, plain[family])


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_gradient_checkpointing_changes_nothing_but_time_and_memory(bases, plain, tmp_path, family):
    found = adapter(fitted(bases, tmp_path / "work", family, gradient_checkpointing=True))
    assert torch.allclose(found, plain[family], atol=1e-6)


def test_the_learning_rate_rises_in_the_warm_up_and_falls_along_its_schedule(bases, tmp_path):
    found = fitted(bases, tmp_path / "work", max_steps=8, warmup=0.25, schedule="linear", evaluation=EVERY_2)
    rates = [point["learning_rate"] for point in found.curves]
    assert rates == [0.0, 0.005, 0.01, 0.00833333, 0.00666667, 0.005, 0.00333333, 0.00166667]


EVERY_2 = {"every": 2, "rows": 2, "batch_size": 2}


def test_evaluations_come_by_steps_or_by_shares_of_all_steps(bases, tmp_path):
    for every in (2, 0.25):
        watching = EVERY_2 | {"every": every}
        found = fitted(bases, tmp_path / str(every), max_steps=8, evaluation=watching)
        assert [point["step"] for point in found.curves if point["validation_loss"] is not None] == [2, 4, 6, 8]


def test_curves_can_be_watched_while_the_training_runs(bases, tmp_path):
    chosen = Params.model_validate(recipe("seq2seq", train=PLAIN | {"max_steps": 8, "evaluation": EVERY_2}))
    (tmp_path / "work").mkdir()
    found = fit(bases["seq2seq"], Rows(ROWS, ROWS[:2]), tmp_path / "work", chosen, tmp_path / "live")
    for name in ("train_loss", "validation_loss", "rougeL"):
        live = [(row["step"], row[name]) for row in read_rows(tmp_path / f"live/{name}.tsv")]
        assert live == [(row["step"], row[name]) for row in found.curves if row[name] is not None]


def test_training_stops_when_it_gets_no_better_and_the_best_state_comes_back(bases, tmp_path):
    stopping = {"metric": "validation_loss", "patience": 2}
    wild = fitted(
        bases, tmp_path / "work", max_steps=40, learning_rate=3.0, evaluation=EVERY_2, early_stopping=stopping
    )
    losses = {point["step"]: point["validation_loss"] for point in wild.curves if point["validation_loss"] is not None}
    best = min(losses, key=losses.__getitem__)
    assert wild.summary["best"]["step"] == best
    assert wild.summary["steps"] == {"planned": 40, "done": best + 4}
    assert wild.summary["validation_loss"] == losses[best]


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_what_is_learnt_in_half_precision_is_held_in_full(bases, tmp_path, family):
    half = {"quantization": {"compute": "bfloat16"}, "lora": {"dropout": 0.0}}
    chosen = Params.model_validate(recipe(family, train=PLAIN, **half))
    (tmp_path / "work").mkdir()
    half = adapter(fit(bases[family], Rows(ROWS, ROWS[:2]), tmp_path / "work", chosen))
    assert half.dtype == torch.float32
    assert torch.isfinite(half).all()


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_the_validation_loss_is_the_mean_of_all_tokens_however_rows_are_batched(bases, tmp_path, family):
    losses = []
    for size in (1, 3):
        watching = {"every": 2, "rows": 4, "batch_size": size}
        losses.append(fitted(bases, tmp_path / str(size), family, evaluation=watching).summary["validation_loss"])
    assert losses[0] == pytest.approx(losses[1], abs=2e-6)
