"""`afina verify`: two fresh processes train the same bytes, and it says so only when they did."""

from pathlib import Path

import pytest

from afina import verify
from stages.plumbing.problem import Problem
from tests.lib.test_fitting import ROOT
from tests.pipeline.test_processes import project


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """A project after base and split, with the code beside them."""
    folder = project(tmp_path / "project", "causal")
    (folder / "models").mkdir()
    (folder / "base").rename(folder / "models/base")
    (folder / "data/split").mkdir()
    for side in ("train", "validation", "copies"):
        (folder / f"data/{side}.parquet").rename(folder / f"data/split/{side}.parquet")
    (folder / "stages").symlink_to(ROOT / "stages")
    return folder


def test_two_fresh_processes_train_the_same_adapter(experiment, capsys):
    found = verify.verify(experiment, steps=3)
    said = capsys.readouterr().out
    assert said.count(found) == 2
    assert "after 3 steps in two processes" in said
    assert "equal bytes for equal parameters" in said
    assert not (experiment / "work").exists()


def test_different_adapters_are_never_called_the_same(experiment, monkeypatch, capsys):
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
