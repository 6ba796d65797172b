"""`afina verify`: two fresh processes train the same bytes, and it says so only when they did."""

from pathlib import Path

import pytest
import yaml

from afina import verify
from stages.plumbing.problem import Problem
from tests.lib.test_fitting import ROOT
from tests.pipeline.test_processes import project


def after_base_and_split(folder: Path, family: str, method: str) -> Path:
    """A project after base and split, with the code beside them; `method` is how the base's weights are held."""
    project(folder, family)
    params = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
    params["quantization"]["method"] = method
    (folder / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), "utf-8")
    (folder / "models").mkdir()
    (folder / "base").rename(folder / "models/base")
    (folder / "data/split").mkdir()
    for side in ("train", "validation", "copies"):
        (folder / f"data/{side}.parquet").rename(folder / f"data/split/{side}.parquet")
    (folder / "stages").symlink_to(ROOT / "stages")
    return folder


# The T5 with unquantised weights: test_whole.py, all stages twice from nothing.
@pytest.mark.parametrize(
    ("family", "method"),
    [("causal", "none"), ("causal", "int8"), ("causal", "nf4"), ("seq2seq", "int8"), ("seq2seq", "nf4")],
)
def test_two_fresh_processes_train_the_same_adapter(tmp_path, family, method, capsys):
    experiment = after_base_and_split(tmp_path / "project", family, method)
    found = verify.verify(experiment, steps=3)
    said = capsys.readouterr().out
    assert said.count(found) == 2
    assert "after 3 steps in two processes" in said
    assert "equal bytes for equal parameters" in said
    assert not (experiment / "work").exists()


def test_different_adapters_are_never_called_the_same(tmp_path, monkeypatch, capsys):
    experiment = after_base_and_split(tmp_path / "project", "causal", "none")
    hashes = iter(["a" * 64, "b" * 64])
    monkeypatch.setattr(verify, "train_once", lambda *_: next(hashes))
    with pytest.raises(Problem) as error:
        verify.verify(experiment, steps=3)
    assert error.value.found == "two different adapters"
    assert "the same bytes" not in capsys.readouterr().out


def test_without_base_and_split_it_says_how_to_make_them(tmp_path):
    with pytest.raises(Problem) as error:
        verify.verify(tmp_path, steps=3)
    assert error.value.do == "dvc repro base split"
