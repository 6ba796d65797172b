"""Baseline and predict as stages: killed and begun again they end in the same bytes; a dead adapter stops them."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml

from stages import baseline, predict
from stages.lib import generation, workplaces
from stages.plumbing.problem import Problem
from tests.lib.test_proof import adapter_in
from tests.lib.tiny import TEXTS, model, tokenizer

ROOT = Path(__file__).parents[2]
COUNT = 48
ASK = {
    "baseline": "models/base test.parquet baseline.parquet",
    "predict": "models/base models/adapter test.parquet tuned.parquet proof.json",
}


@pytest.fixture(params=["seq2seq", "causal"])
def project(request, tmp_path, monkeypatch) -> Path:
    """A folder with a tiny base, a live adapter, 48 rows and parameters that make a dozen batches of them."""
    family = request.param
    model(family).save_pretrained(tmp_path / "models/base")
    tokenizer(family).save_pretrained(tmp_path / "models/base")
    adapter_in(tmp_path / "models/adapter", family, alive=True)
    rows = [
        {"row_id": 7 * n, "line": n, "title": f"{n} {TEXTS[n % 6]}", "response": TEXTS[n % 5]} for n in range(COUNT)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "test.parquet")
    change(tmp_path, model={"family": family, "threads": 1}, prompt={"max_response_tokens": 48})
    change(tmp_path, generation={"max_new_tokens": 64, "batch_tokens": 500})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change(project: Path, **sections: dict) -> None:
    """Change keys of the project's params.yaml, which begins as the local recipe."""
    path = project / "params.yaml"
    source = path if path.is_file() else ROOT / "recipes/local.yaml"
    recipe = yaml.safe_load(source.read_text("utf-8"))
    for name, keys in sections.items():
        recipe[name] |= keys
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")


def command(stage: str) -> dict:
    return {
        "args": [sys.executable, "-m", f"stages.{stage}", *ASK[stage].split()],
        "env": os.environ | {"PYTHONPATH": str(ROOT)},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen]]:
    """Popen, of which nothing outlives the test."""
    begun = []

    def popen(**given):
        begun.append(subprocess.Popen(**given))
        return begun[-1]

    yield popen
    for process in begun:
        process.kill()
        process.communicate()


# Runs a stage as `python -m` does, and says at its end how many prompts a model was asked in each batch.
COUNTED = """
import runpy, sys
from stages.lib import generation, workplaces
asked, real = [], generation.written
generation.written = lambda net, tok, prompts, *others: asked.append(len(prompts)) or real(net, tok, prompts, *others)
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    print("asked", *asked)
"""


def counted(stage: str) -> tuple[str, list[int]]:
    """Run a stage in a process of its own; returns what it said, and the number of prompts of each batch."""
    whole = command(stage)
    words = [sys.executable, "-c", COUNTED, f"stages.{stage}", *ASK[stage].split()]
    done = subprocess.run(words, **{name: whole[name] for name in whole if name != "args"}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, [int(word) for word in done.stdout.splitlines()[-1].split()[1:]]


def killed(stage: str, batches: int) -> int:
    """Start a stage, end it with `kill -9` once it has noted some batches; returns how many rows it had noted."""
    process = subprocess.Popen(**command(stage))
    deadline = time.monotonic() + 120
    while sum(path.read_bytes().count(b"\n") for path in Path(f"work/{stage}").glob("*/answers.jsonl")) < batches:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    [notes] = Path(f"work/{stage}").glob("*/answers.jsonl")
    lines = notes.read_bytes().splitlines(keepends=True)
    return sum(len(json.loads(line)) for line in lines if line.endswith(b"\n"))


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """The number of prompts of each batch that a model is asked from now on, in this process."""
    counted: list[int] = []
    real = generation.written

    def written(net, tok, prompts, *others):
        counted.append(len(prompts))
        return real(net, tok, prompts, *others)

    monkeypatch.setattr(generation, "written", written)
    return counted


def run(stage: str) -> None:
    {"baseline": baseline, "predict": predict}[stage].main(*map(Path, ASK[stage].split()))


def test_a_killed_run_goes_on_where_it_stopped_and_ends_in_the_same_bytes(project):
    _, asked = counted("baseline")
    undisturbed = Path("baseline.parquet").read_bytes()
    assert sum(asked) == COUNT
    assert len(asked) >= 10
    assert not [path for path in Path("work/baseline").iterdir() if path.is_dir()]

    Path("baseline.parquet").unlink()
    noted = killed("baseline", batches=3)
    assert 0 < noted < COUNT, "killed in the middle"
    assert not Path("baseline.parquet").exists()
    said, asked = counted("baseline")
    assert sum(asked) == COUNT - noted
    assert f"{noted} of 48 rows were answered before" in said
    assert Path("baseline.parquet").read_bytes() == undisturbed
    assert not [path for path in Path("work/baseline").iterdir() if path.is_dir()]


@pytest.mark.parametrize("project", ["causal"], indirect=True)
@pytest.mark.parametrize("other", ["generation", "prompt", "rows", "base", "adapter", "code"])
def test_another_run_never_goes_on_from_it(project, asked, capsys, monkeypatch, other):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(predict, "write_table", die)
    with pytest.raises(Killed):
        run("predict")
    [left] = Path("work/predict").glob("*/answers.jsonl")
    assert left.read_bytes().count(b"\n") >= 10
    monkeypatch.undo()
    monkeypatch.chdir(project)

    if other == "generation":
        change(project, generation={"max_new_tokens": 63})
    elif other == "prompt":
        change(project, prompt={"max_prompt_tokens": 60})
    elif other == "rows":
        pl.read_parquet("test.parquet").with_columns(pl.col("line") + 1).write_parquet("test.parquet")
    elif other == "base":
        model("causal", seed=9).save_pretrained("models/base")
    elif other == "adapter":
        shutil.rmtree("models/adapter")
        adapter_in(Path("models/adapter"), "causal", alive=True, dora=True)
    else:
        monkeypatch.setattr(workplaces, "sha256_of_code", lambda stage: f"another {stage.name}")
    run("predict")
    said = capsys.readouterr().out
    name = {"generation": "params generation", "prompt": "params prompt", "rows": "rows test.parquet"}.get(other, other)
    assert f"{left.parent.name} is not resumed: it differs in {name.replace('base', 'base model')}" in said
    assert "were answered before" not in said
    assert left.is_file()


@pytest.mark.parametrize("project", ["seq2seq"], indirect=True)
def test_a_second_process_of_the_same_run_waits_for_the_first(project, begin):
    first = begin(**command("baseline"))
    deadline = time.monotonic() + 120
    # Whoever has made the folder holds the lock beside it, which is there some time before it is held.
    while not (folders := [path for path in Path("work/baseline").glob("*") if path.is_dir()]):
        assert first.poll() is None, first.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(first.pid, signal.SIGSTOP)
    with folders[0].with_suffix(".lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    second = begin(**command("baseline"))
    assert "another process is at this very baseline" in second.stdout.readline()
    os.kill(first.pid, signal.SIGCONT)
    for process in (first, second):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert pl.read_parquet("baseline.parquet").height == COUNT


@pytest.mark.parametrize("project", ["causal"], indirect=True)
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(project, monkeypatch, asked):
    real = generation.written

    def interrupted(*given):
        if len(asked) == 4:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(generation, "written", interrupted)
    with pytest.raises(Problem, match=r"stopped by Ctrl\+C; \d+ of 48 answers are kept") as told:
        run("baseline")
    assert "the same run goes on from there" in told.value.do
    assert not Path("baseline.parquet").exists()


@pytest.mark.parametrize("project", ["causal"], indirect=True)
def test_a_batch_too_large_for_the_memory_gives_the_same_answers_in_halves(project, monkeypatch, capsys):
    import torch

    change(project, generation={"batch_tokens": 100_000})
    run("baseline")
    whole = pl.read_parquet("baseline.parquet")
    forward = type(model("causal")).forward

    def scarce(self, input_ids=None, **given):
        if input_ids is not None and len(input_ids) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(self, input_ids=input_ids, **given)

    monkeypatch.setattr(type(model("causal")), "forward", scarce)
    run("baseline")
    assert "48 rows at once are too many" in capsys.readouterr().out
    halves = pl.read_parquet("baseline.parquet")
    assert halves.drop("reference_nll").equals(whole.drop("reference_nll"))
    assert halves["reference_nll"].to_list() == pytest.approx(whole["reference_nll"].to_list(), abs=2e-3)


def silence(adapter: Path) -> str:
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: tensor * ("lora_B" not in name) for name, tensor in weights.items()},
        adapter / "adapter_model.safetensors",
    )
    return "every lora_B is zero"


def aim_elsewhere(adapter: Path) -> str:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_modules": ["o_proj", "o"]}))
    return "no weight of the adapter found its layer"


def halve(adapter: Path) -> str:
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    first = min(weights)
    save_file({name: weights[name] for name in weights if name != first}, adapter / "adapter_model.safetensors")
    return "1 layers got no weight"


def weaken(adapter: Path) -> str:
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: tensor * 1e-5 for name, tensor in weights.items()}, adapter / "adapter_model.safetensors")
    return "logits differ by"


def spoil(adapter: Path) -> str:
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    weights[min(weights)][0, 0] = float("nan")
    save_file(weights, adapter / "adapter_model.safetensors")
    return "1 tensors hold NaN or infinity"


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
@pytest.mark.parametrize("project", ["causal"], indirect=True)
@pytest.mark.parametrize("harm", [silence, aim_elsewhere, halve, weaken, spoil])
def test_an_adapter_that_does_nothing_stops_predict_with_its_own_message(project, harm):
    found = harm(project / "models/adapter")
    with pytest.raises(Problem, match="the adapter is not active") as told:
        run("predict")
    assert found in told.value.found
    assert told.value.do
    assert not list(project.glob("tuned*")), "no predictions of a model that is not the tuned one"
    assert not Path("proof.json").exists()


@pytest.mark.parametrize("project", ["causal"], indirect=True)
def test_an_adapter_that_was_loaded_but_not_applied_stops_predict(project, monkeypatch):
    real = predict.load_adapter

    def unapplied(net, folder):
        net, loaded = real(net, folder)
        net.base_model.disable_adapter_layers()
        return net, loaded

    monkeypatch.setattr(predict, "load_adapter", unapplied)
    with pytest.raises(Problem, match="loaded but not applied"):
        run("predict")


@pytest.mark.parametrize("project", ["seq2seq"], indirect=True)
def test_an_adapter_of_another_peft_version_loads_and_what_is_unknown_is_listed(project, capsys):
    from safetensors.torch import load_file, save_file

    run("predict")
    usual = Path("tuned.parquet").read_bytes()
    settings = project / "models/adapter/adapter_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"qalora_v9": {"a": 1}, "zeta": None}))
    weights = load_file(project / "models/adapter/adapter_model.safetensors")
    [first, *_] = [tensor for name, tensor in sorted(weights.items()) if "lora_A" in name]
    weights["base_model.model.encoder.block.0.layer.0.SelfAttention.q.lora_future.weight"] = first.clone()
    save_file(weights, project / "models/adapter/adapter_model.safetensors")
    run("predict")
    said = capsys.readouterr().out
    assert "qalora_v9, zeta (unknown to this PEFT)" in said
    assert "SelfAttention.q.lora_future (they fit no layer)" in said
    facts = json.loads(Path("proof.json").read_text())
    assert facts["passed"]
    assert facts["keys"]["unexpected"] == ["base_model.model.encoder.block.0.layer.0.SelfAttention.q.lora_future"]
    assert Path("tuned.parquet").read_bytes() == usual
