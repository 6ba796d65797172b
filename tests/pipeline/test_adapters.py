"""Other adapters than train's LoRA go through the whole pipeline: other methods, and one that was fused."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.pipeline.conftest import merge, run


@pytest.fixture
def project(seq2seq: Path, tmp_path: Path) -> Path:
    clone = tmp_path / "clone"
    shutil.copytree(seq2seq, clone, symlinks=True)
    return clone


def change(project: Path, changes: dict) -> None:
    path = project / "params.yaml"
    params = merge(yaml.safe_load(path.read_text("utf-8")), changes)
    path.write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False), "utf-8")


def ran(said: str) -> list[str]:
    """The stages that DVC ran, by its own words."""
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]


def report(project: Path, name: str) -> dict:
    return json.loads((project / "reports" / name).read_text("utf-8"))


def test_a_fused_adapter_is_predicted_with_measured_and_merged(project):
    first = report(project, "adapter_proof.json")["adapter_sha256"]
    run(project, "dvc", "exp", "run", "-q", "-n", "wide", "-S", "lora.r=8")
    run(project, "git", "checkout", "-q", "--force", "HEAD")
    run(project, "dvc", "checkout", "-q")
    words = ["rev:HEAD", "rev:wide", "--weights", "0.7", "0.3", "--method", "cat", "--out", "models/fused"]
    said = run(project, "python", "-m", "afina", "fuse", *words)
    assert "rank                         12" in said
    answered = run(project, "python", "-m", "afina", "generate", "--adapter", "models/fused", "--limit", "1")
    assert "[adapter]" in answered
    run(project, "dvc", "add", "-q", "models/fused")
    change(project, {"tuned": {"adapter": "models/fused"}})
    assert ran(run(project, "dvc", "repro")) == ["predict", "eval", "merge"]
    facts = report(project, "adapter_proof.json")
    assert facts["passed"]
    assert facts["adapter_sha256"] != first
    assert report(project, "merge.json")["merged"]
    lock = yaml.safe_load((project / "dvc.lock").read_text("utf-8"))["stages"]
    for stage in ("predict", "merge"):
        paths = [dep["path"] for dep in lock[stage]["deps"]]
        assert "models/fused" in paths
        assert "models/adapter" not in paths


def test_a_prompt_tuned_model_is_measured_and_says_why_it_is_not_merged(project):
    change(project, {"adapter": {"method": "prompt_tuning"}})
    assert ran(run(project, "dvc", "repro")) == ["train", "predict", "eval", "merge"]
    assert report(project, "adapter_proof.json")["method"] == "prompt_tuning"
    told = report(project, "merge.json")
    assert told["merged"] is False
    assert "use the base and models/adapter together" in told["reason"]


def test_a_fully_tuned_model_goes_through_every_stage(project):
    change(project, {"adapter": {"method": "full"}, "train": {"learning_rate": 1e-3}})
    assert ran(run(project, "dvc", "repro")) == ["train", "predict", "eval", "merge"]
    facts = report(project, "adapter_proof.json")
    assert (facts["method"], facts["keys"]["missing"]) == ("full", [])
    assert report(project, "merge.json")["max_logit_difference"] == 0.0
    assert (project / "models/adapter/model.safetensors").is_file()
