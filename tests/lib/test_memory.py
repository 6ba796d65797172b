"""Memory: what a training will want is told, and a batch that does not fit is halved, never the effective batch."""

import json
import resource
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from stages.lib import fitting
from stages.lib.adapter_folder import save
from stages.lib.files import sha256
from stages.lib.fitting import Rows, adapted, fit, judge_of, loaded, make_trainer
from stages.lib.memory import OutOfMemory, as_cut, cut, cuts, estimate
from stages.lib.prompts import encode
from stages.lib.resumption import last_complete, room
from stages.lib.token_columns import columns_of
from stages.plumbing.problem import Problem
from stages.train import Params
from tests.lib.test_fitting import ROWS, recipe
from tests.lib.tiny import model, tokenizer


def choices(family: str, **train: object) -> Params:
    settings = {
        "max_steps": 5, "save_steps": 2, "batch_size": 8, "accumulation": 1, "warmup": 0, "group_by_length": False,
        "evaluation": {"every": 5, "rows": 2, "batch_size": 2},
    }  # fmt: skip
    return Params.model_validate(recipe(family, train=settings | train))


@pytest.fixture
def base(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / "base"
    model(request.param).save_pretrained(folder)
    tokenizer(request.param).save_pretrained(folder)
    return folder


def adapter_of(base: Path, work: Path, chosen: Params) -> tuple[str, dict]:
    """The hash of the adapter that `fit` finds, and the facts of the run."""
    work.mkdir(exist_ok=True)
    fitted = fit(base, Rows(ROWS, ROWS[:2]), work, chosen)
    save(fitted.net, fitted.tokenizer, work / "adapter", base, chosen.model.family)
    return sha256(work / "adapter/adapter_model.safetensors"), fitted.runtime


def too_large(monkeypatch: pytest.MonkeyPatch, rows: int, from_step: int) -> None:
    """From `from_step` on a batch of more than `rows` rows asks torch for more memory than any machine has."""
    made = make_trainer

    def make(*args: object) -> object:
        trainer = made(*args)
        loss = trainer.compute_loss

        def hungry(net: object, inputs: dict, **told: object) -> object:
            if net.training and len(inputs["input_ids"]) > rows and trainer.state.global_step >= from_step:
                torch.empty(2**55)
            return loss(net, inputs, **told)

        trainer.compute_loss = hungry
        return trainer

    monkeypatch.setattr(fitting, "make_trainer", make)


@pytest.mark.parametrize("base", ["seq2seq"], indirect=True)
def test_a_batch_too_large_from_the_start_trains_as_if_the_smaller_one_had_been_asked_for(base, tmp_path, monkeypatch):
    asked, _ = adapter_of(base, tmp_path / "asked", choices("seq2seq", batch_size=2, accumulation=4))
    too_large(monkeypatch, rows=3, from_step=0)
    met, facts = adapter_of(base, tmp_path / "met", choices("seq2seq"))
    assert met == asked
    assert facts["batch"] == {
        "rows": 2,
        "accumulation": 4,
        "cuts": [
            {"step": 0, "of": "training", "from": 8, "to": 4},
            {"step": 0, "of": "training", "from": 4, "to": 2},
        ],
    }


@pytest.mark.parametrize("base", ["seq2seq", "causal"], indirect=True)
def test_memory_that_runs_out_at_the_same_step_gives_the_same_bytes(base, tmp_path, monkeypatch, request, capsys):
    family = request.node.callspec.params["base"]
    too_large(monkeypatch, rows=4, from_step=3)
    first, facts = adapter_of(base, tmp_path / "first", choices(family))
    again, _ = adapter_of(base, tmp_path / "again", choices(family))
    assert first == again
    assert facts["batch"]["cuts"] == [{"step": 3, "of": "training", "from": 8, "to": 4}]
    assert facts["resumed_from_step"] == 2
    assert "at step 3: training batches go from 8 to 4 rows" in capsys.readouterr().out


@given(processes=st.integers(1, 8), batch=st.integers(1, 24), accumulation=st.integers(1, 24))
def test_a_process_gets_at_most_half_as_many_rows_at_the_same_effective_batch(processes, batch, accumulation):
    assume(batch % processes == 0 or accumulation % processes == 0)
    train = choices("seq2seq", batch_size=batch, accumulation=accumulation, processes=processes).train
    had = train.of_one_process().batch_size
    with TemporaryDirectory() as folder:
        if had == 1:
            with pytest.raises(Problem, match="batch of one row"):
                cut(Path(folder), train, OutOfMemory(1, evaluating=False))
            return
        cut(Path(folder), train, OutOfMemory(1, evaluating=False))
        now = as_cut(Path(folder), train)
    each = now.of_one_process()
    assert 1 <= each.batch_size <= had // 2
    assert each.batch_size * each.accumulation * processes == batch * accumulation


def test_the_effective_batch_stays_whatever_is_cut(tmp_path):
    train = choices("seq2seq", batch_size=6, accumulation=2).train
    for size, accumulation in ((3, 4), (1, 12)):
        cut(tmp_path, as_cut(tmp_path, train), OutOfMemory(7, evaluating=False))
        now = as_cut(tmp_path, train)
        assert (now.batch_size, now.accumulation, now.evaluation.batch_size) == (size, accumulation, 2)
    cut(tmp_path, as_cut(tmp_path, train), OutOfMemory(8, evaluating=True))
    assert as_cut(tmp_path, train).evaluation.batch_size == 1
    assert [made["to"] for made in cuts(tmp_path)] == [3, 1, 1]
    with pytest.raises(Problem) as error:
        cut(tmp_path, as_cut(tmp_path, train), OutOfMemory(9, evaluating=False))
    assert error.value.found == "out of memory with a batch of one row"


@pytest.mark.parametrize("base", ["seq2seq", "causal"], indirect=True)
def test_the_estimate_counts_what_is_held_and_scales_with_the_batch(base, tmp_path, request):
    family = request.node.callspec.params["base"]
    chosen = choices(family)
    words = tokenizer(family)
    net, trained = adapted(loaded(base, chosen), base, chosen)
    judge = judge_of(Rows(ROWS, ROWS), words, chosen.prompt, chosen.train)
    learnt = columns_of([encode(ROWS, chosen.prompt, words)])
    trainer = make_trainer(net, words, learnt, judge, tmp_path, chosen, chosen.train)
    of_8 = estimate(trainer, chosen.train)
    of_16 = estimate(trainer, chosen.train.model_copy(update={"batch_size": 16, "optimizer": "sgd"}))
    assert of_8["adapter"] == of_8["gradients"] == 4 * trained
    assert (of_8["optimizer"], of_16["optimizer"]) == (8 * trained, 0)
    weights = sum(weight.numel() for weight in net.parameters() if not weight.requires_grad)
    assert of_8["weights"] >= 4 * weights
    assert of_16["activations"] == 2 * of_8["activations"]
    # At the very least the logits of a row are kept, and the input of every layer.
    assert of_8["activations"] > 8 * 4 * 400 * max(learnt.lengths("response"))
    assert of_8["peak"] == sum(value for name, value in of_8.items() if name != "peak")


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch):
    """A function that makes the system refuse files above a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("base", ["seq2seq"], indirect=True)
def test_a_full_disk_is_one_message_and_the_last_good_state_survives(base, tmp_path, monkeypatch, small_files):
    undisturbed, _ = adapter_of(base, tmp_path / "undisturbed", choices("seq2seq"))
    work = tmp_path / "work"
    work.mkdir()
    made = make_trainer

    def make(*args: object) -> object:
        trainer = made(*args)
        save_checkpoint = trainer._save_checkpoint

        def full(*told: object) -> None:
            if trainer.state.global_step == 4:
                small_files(8_192)
            save_checkpoint(*told)

        trainer._save_checkpoint = full
        return trainer

    monkeypatch.setattr(fitting, "make_trainer", make)
    # What a checkpoint's first file meets is a full disk, too.
    with pytest.raises(Problem, match="a disk that took no more"), room(work):
        fit(base, Rows(ROWS, ROWS[:2]), work, choices("seq2seq"))
    small_files(resource.RLIM_INFINITY)
    assert last_complete(work).name == "checkpoint-2"
    monkeypatch.setattr(fitting, "make_trainer", made)
    again, facts = adapter_of(base, work, choices("seq2seq"))
    assert facts["resumed_from_step"] == 2
    assert again == undisturbed


def test_whatever_a_full_disk_looks_like_it_is_the_same_problem(tmp_path, small_files):
    from safetensors.torch import save_file

    tensors = {"weight": torch.zeros(50_000)}
    small_files(8_192)
    for write in (
        lambda: torch.save(tensors, tmp_path / "optimizer.pt"),
        lambda: save_file(tensors, tmp_path / "adapter.safetensors"),
        lambda: (tmp_path / "state.json").write_text(json.dumps([0] * 50_000)),
    ):
        with pytest.raises(Problem, match="dvc repro: the same run goes on from its last saved state"), room(tmp_path):
            write()
    with pytest.raises(RuntimeError, match="something else"), room(tmp_path):
        raise RuntimeError("something else")
