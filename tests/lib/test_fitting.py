"""Fitting: what a step learns does not depend on how its batch is cut, and what is refused is refused at once."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stages.lib.fitting import Rows, fit
from stages.lib.training import plan
from stages.plumbing.params import check
from stages.plumbing.problem import Problem
from stages.plumbing.recipe import Recipe
from stages.train import Params
from tests.lib.tiny import TEXTS, model, tokenizer

ROOT = Path(__file__).parents[2]
LENGTHS = [8, 40, 12, 50, 20, 9, 33, 27]
ROWS = [
    {"row_id": n, "line": n, "title": TEXTS[n % 6][:20], "response": (TEXTS[n % 6] * 2)[: LENGTHS[n % 8]]}
    for n in range(16)
]
ALL = Rows(ROWS, ROWS[:2])
FSDP = {"processes": 2, "accelerate": {"distributed_type": "FSDP"}}


def recipe(family: str, **sections: dict) -> dict:
    params = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
    params["model"] |= {"family": family, "threads": 1, "device": "cpu"}
    params["prompt"] |= {"max_prompt_tokens": 48, "max_response_tokens": 48}
    for name, keys in sections.items():
        params[name] |= keys
    return params


def one_step(folder: Path, family: str, rows: Rows = ALL, **train: Any) -> dict[str, torch.Tensor]:
    """The adapter after one plain gradient step on all rows."""
    base = folder / "base"
    if not base.exists():
        model(family).save_pretrained(base)
        tokenizer(family).save_pretrained(base)
    settings = {
        "max_steps": 1, "optimizer": "sgd", "learning_rate": 1.0, "max_grad_norm": 1e9, "warmup": 0,
        "schedule": "constant", "evaluation": {"every": 1, "rows": 2, "batch_size": 2}, "group_by_length": False,
    }  # fmt: skip
    choices = Params.model_validate(recipe(family, train=settings | train))
    work = folder / "-".join(map(str, [len(rows.copies), *train.values()]))
    work.mkdir()
    torch.manual_seed(0)
    fitted = fit(base, rows, work, choices)
    return {name: weight.detach() for name, weight in fitted.net.named_parameters() if "lora_B" in name}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_a_batch_of_16_learns_what_four_accumulated_batches_of_4_learn(tmp_path, family, smoothing):
    whole = one_step(tmp_path, family, batch_size=16, accumulation=1, label_smoothing=smoothing)
    parts = one_step(tmp_path, family, batch_size=4, accumulation=4, label_smoothing=smoothing)
    assert len(whole) > 3
    one, other = (torch.cat([weight.flatten() for weight in weights.values()]) for weights in (whole, parts))
    assert one.abs().max() > 1e-4
    assert ((one - other).norm() / one.norm()).item() < 1e-6


def test_steps_are_counted_from_rows_batch_and_epochs():
    train = check(Recipe, recipe("seq2seq"), Path("params.yaml")).train
    planned = plan(8_780, train)
    assert (planned.effective_batch, planned.steps_per_epoch, planned.steps) == (16, 549, 824)
    assert planned.evaluate_every == 206
    assert plan(1_000_000, train).log_every == 94


def test_a_short_training_is_evaluated_at_its_end():
    train = check(Recipe, recipe("seq2seq", train={"max_steps": 7}), Path("params.yaml")).train
    rarely = train.model_copy(update={"evaluation": train.evaluation.model_copy(update={"every": 1000})})
    assert plan(8_780, rarely).evaluate_every == 7


@pytest.mark.parametrize(
    ("family", "sections", "says"),
    [
        ("seq2seq", {"train": {"packing": True}}, "train.packing"),
        ("seq2seq", {"train": {"neftune_noise": 5.0}}, "neftune"),
        ("seq2seq", {"quantization": {"compute": "float16"}}, "overflows"),
        ("causal", {"lora": {"init": "pissa"}, "quantization": {"method": "nf4"}}, "pissa"),
        ("causal", {"lora": {"dora": True}, "quantization": {"method": "int8"}}, "dora"),
        ("causal", {"model": {"family": "causal", "scratch": {"heads": 3}}}, "multiple of heads"),
        ("causal", {"train": FSDP, "quantization": {"method": "nf4"}}, "wants quantization.method: none"),
        ("causal", {"train": FSDP, "adapter": {"method": "prompt_tuning"}}, "adapter.method: prompt_tuning"),
        ("seq2seq", {"train": FSDP, "adapter": {"method": "full"}}, "adapter.method: full"),
    ],
)
def test_choices_that_no_library_joins_are_refused_before_anything_runs(family, sections, says):
    params = recipe(family, **{name: keys for name, keys in sections.items() if name != "model"})
    if "model" in sections:
        params["model"]["scratch"] |= sections["model"]["scratch"]
    with pytest.raises(Problem) as error:
        check(Recipe, params, Path("params.yaml"))
    assert says in error.value.wanted


def test_copies_are_learnt_after_their_rows_as_rows_are(tmp_path):
    copies = [{**row, "row_id": row["row_id"] - 1, "copy": 1, "paraphrase": None} for row in ROWS[1::2]]
    rows = Rows(ROWS[::2], ROWS[:2], copies)
    assert [(row["row_id"], row.get("copy")) for row in rows.learnt][:4] == [(0, None), (0, 1), (2, None), (2, 1)]
    parted = one_step(tmp_path, "seq2seq", rows, batch_size=16)
    together = one_step(tmp_path, "seq2seq", batch_size=16)
    assert all(torch.equal(weight, together[name]) for name, weight in parted.items())


@pytest.mark.parametrize(
    ("batch", "accumulation", "processes", "each"), [(8, 2, 2, (4, 2)), (3, 4, 2, (3, 2)), (1, 8, 4, (1, 2))]
)
def test_processes_share_the_effective_batch(batch, accumulation, processes, each):
    params = recipe("seq2seq", train={"batch_size": batch, "accumulation": accumulation, "processes": processes})
    train = check(Recipe, params, Path("params.yaml")).train
    mine = train.of_one_process()
    assert (mine.batch_size, mine.accumulation) == each
    assert plan(1000, train).effective_batch == batch * accumulation


def test_processes_that_cannot_share_the_batch_are_refused():
    params = recipe("seq2seq", train={"batch_size": 3, "accumulation": 5, "processes": 2})
    with pytest.raises(Problem) as error:
        check(Recipe, params, Path("params.yaml"))
    assert "must be a multiple of processes (2)" in error.value.wanted


def words_of(error: pytest.ExceptionInfo[Problem]) -> str:
    assert all((error.value.where, error.value.found, error.value.wanted, error.value.do))
    return str(error.value)


@pytest.mark.parametrize(
    ("rows", "sections", "says"),
    [
        ([ROWS[0] | {"response": ""}, *ROWS[1:]], {}, "6.2% of the rows have a response without a single token"),
        ([], {}, "no row"),
        (ROWS, {"lora": {"targets": ["wi", "gate_proj"]}}, "wi: no such layer in this model"),
        (ROWS, {"prompt": {"max_prompt_tokens": 100}}, "up to 148 tokens"),
        (ROWS, {"prompt": {"template": "custom", "text": "Descreva {marca}"}}, "a template with the field marca"),
    ],
    ids=["nothing to learn", "no rows", "no such target", "too long for the model", "unknown field"],
)
def test_what_cannot_be_trained_is_said_before_a_step_is_made(tmp_path, rows, sections, says):
    base = tmp_path / "base"
    model("causal").save_pretrained(base)
    tokenizer("causal").save_pretrained(base)
    targets = {"lora": {"targets": ["q_proj"]}}
    choices = Params.model_validate(recipe("causal", **targets | sections))
    with pytest.raises(Problem) as error:
        fit(base, Rows(rows, ROWS[:2]), tmp_path, choices)
    assert says in words_of(error)
    assert not list(tmp_path.glob("checkpoint-*"))
