"""The whole pipeline, run by DVC on tiny data for both model families: what is written, what reruns, what is shared."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.pipeline.conftest import merge, run, tiny_project

NAMES = ["rouge1", "rouge2", "rougeL", "bleu", "chrf"]


def report(project: Path, name: str) -> dict:
    return json.loads((project / "reports" / name).read_text("utf-8"))


@pytest.fixture(params=["seq2seq", "causal"])
def project(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def test_every_row_is_accounted_for(project):
    clean, split = report(project, "clean.json"), report(project, "split.json")
    assert clean["read"] == clean["kept"] + clean["duplicates"] + clean["quarantined"]
    assert sum(clean["reasons"].values()) == clean["quarantined"] > 0
    assert sum(split["rows"].values()) == clean["kept"]
    assert split["leakage"]["share"] == 0
    quarantine = pl.read_parquet(project / "data/quarantine.parquet")
    assert {"row_id", "line", "reason", "raw"} <= set(quarantine.columns)


def test_predictions_keep_the_identity_of_their_rows(project):
    asked = pl.read_parquet(project / "data/split/test.parquet")
    for name in ("baseline", "tuned"):
        table = pl.read_parquet(project / f"data/predictions/{name}.parquet")
        assert table["row_id"].to_list() == asked["row_id"].to_list()
        assert table["reference"].to_list() == asked["response"].to_list()
        assert {"prompt", "prediction", "finish", "reference_nll"} <= set(table.columns)


def test_both_sides_are_measured_alike_and_the_delta_is_their_difference(project):
    metrics = report(project, "metrics.json")
    for name in NAMES:
        assert metrics["delta"][name] == pytest.approx(metrics["tuned"][name] - metrics["baseline"][name], abs=1e-4)


def test_the_adapter_was_proved_active(project):
    proof = report(project, "adapter_proof.json")
    assert proof["passed"]
    assert proof["keys"]["matched"] == proof["keys"]["expected"] > 0
    assert proof["max_logit_difference"] > proof["threshold"]


def test_training_did_what_it_planned(project):
    summary = report(project, "train/summary.json")
    assert summary["steps"] == {"planned": 12, "done": 12}
    assert summary["model"]["parameters_trained"] == summary["model"]["parameters_expected"]
    curves = pl.read_csv(project / "reports/train/curves.tsv", separator="\t")
    assert curves["step"].to_list() == list(range(1, 13))
    assert curves.drop_nulls("validation_loss")["step"].to_list() == [6, 12]
    assert not [path for path in (project / "work/train").iterdir() if path.is_dir()]
    assert len(list((project / "logs").glob("train-*.log"))) >= 1


def test_the_merged_model_answers_without_peft(project):
    merged = report(project, "merge.json")
    assert merged["merged"]
    assert merged["equal_answers"] == 1.0
    family = yaml.safe_load((project / "params.yaml").read_text("utf-8"))["model"]["family"]
    auto = {"seq2seq": "AutoModelForSeq2SeqLM", "causal": "AutoModelForCausalLM"}[family]
    code = f"""
import sys
sys.modules["peft"] = None
from transformers import {auto}, AutoTokenizer
net = {auto}.from_pretrained("models/merged")
tokenizer = AutoTokenizer.from_pretrained("models/merged")
ids = tokenizer("Descreva o produto: Abajur", return_tensors="pt")["input_ids"]
print(net.generate(ids, max_new_tokens=3).shape[0])
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    assert said.stdout.strip() == "1"
    assert (project / "models/merged/model.safetensors").is_file()
    assert (project / "models/adapter/adapter_model.safetensors").is_file()


def test_nothing_reruns_when_nothing_changed(project):
    said = run(project, "dvc", "repro")
    assert "Running stage" not in said
    assert run(project, "git", "status", "--porcelain") == ""


def test_two_runs_from_nothing_give_the_same_bytes(seq2seq, tmp_path):
    other = tiny_project(tmp_path / "elsewhere", {})
    run(other, "dvc", "repro")
    assert (other / "dvc.lock").read_bytes() == (seq2seq / "dvc.lock").read_bytes()
    for path in sorted((seq2seq / "reports").rglob("*.json")):
        if path.name != "run.json":
            assert (other / path.relative_to(seq2seq)).read_bytes() == path.read_bytes(), path.name


def test_an_experiment_with_another_rank_reruns_training_and_what_follows(seq2seq, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(seq2seq, clone)
    said = run(clone, "dvc", "exp", "run", "-S", "lora.r=2")
    ran = [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]
    assert ran == ["train", "predict", "eval", "merge"]
    changes = json.loads(run(clone, "dvc", "params", "diff", "--json"))
    assert changes["params.yaml"]["lora.r"] == {"old": 4, "new": 2, "diff": -2}
    moved = json.loads(run(clone, "dvc", "metrics", "diff", "--json"))
    trained = moved["reports/train/summary.json"]["model.parameters_trained"]
    assert trained["new"] * 2 == trained["old"]
    by_hand = (clone / "params.yaml").read_text("utf-8").replace("r: 2\n", "r: 4\n")
    (clone / "params.yaml").write_text(by_hand, "utf-8")
    assert sorted(json.loads(run(clone, "dvc", "status", "--json"))) != []
    run(clone, "dvc", "repro")
    assert (clone / "dvc.lock").read_bytes() == (seq2seq / "dvc.lock").read_bytes()


def test_a_colleague_pulls_everything_or_the_adapter_alone(seq2seq, tmp_path):
    mine, theirs, lean = (tmp_path / "home" / name for name in ("mine", "theirs", "lean"))
    shutil.copytree(seq2seq, mine)
    run(mine, "dvc", "push")
    assert (tmp_path / "afina-storage").is_dir() or (tmp_path / "home/afina-storage").is_dir()
    for clone in (theirs, lean):
        run(mine, "git", "clone", "-q", str(mine), str(clone))
    run(theirs, "dvc", "pull")
    assert json.loads(run(theirs, "dvc", "status", "--json")) == {}
    said = run(theirs, sys.executable, "-m", "afina", "generate", "Abajur Dourado", "--model", "all")
    assert "[base]" in said
    assert "[adapter]" in said
    assert "[merged]" in said
    run(lean, "dvc", "pull", "train")
    assert (lean / "models/adapter/adapter_model.safetensors").is_file()
    assert not (lean / "models/base").exists()
    assert not (lean / "data/raw").exists()


def test_a_quality_no_ends_well_and_merges_nothing(seq2seq, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(seq2seq, clone)
    params = yaml.safe_load((clone / "params.yaml").read_text("utf-8"))
    stricter = merge(params, {"gate": {"min_delta": 0.9, "on_no": "continue"}})
    (clone / "params.yaml").write_text(yaml.safe_dump(stricter, allow_unicode=True, sort_keys=False), "utf-8")
    said = run(clone, "dvc", "repro")
    assert [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")] == ["eval", "merge"]
    assert report(clone, "merge.json")["merged"] is False
    assert not list((clone / "models/merged").glob("*.safetensors"))
