"""A step that looks things up once takes the step that the library takes."""

from pathlib import Path

import pytest
import torch

from stages.lib import fitting
from tests.lib.test_training_options import adapter, bases, fitted  # noqa: F401 - bases is a fixture


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_what_is_learnt_is_to_the_bit_what_the_library_alone_learns(bases, tmp_path: Path, monkeypatch, family):  # noqa: F811
    ours = fitted(bases, tmp_path / "lean", family, accumulation=2)
    monkeypatch.setattr(fitting, "lean", lambda trainer: trainer)
    theirs = fitted(bases, tmp_path / "library", family, accumulation=2)
    assert torch.equal(adapter(ours), adapter(theirs))
    for name in ("floating_point_operations", "resumed_from_step"):
        assert ours.runtime[name] == theirs.runtime[name]
    assert ours.runtime["floating_point_operations"] > 0
