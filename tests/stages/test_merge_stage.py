"""Merge as a stage: folded in fp32 nothing changes, and a drift is measured, limited and told with a way out."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from stages import merge
from stages.lib.merging import Merge, insist
from stages.plumbing.problem import Problem
from tests.lib.test_proof import adapter_in
from tests.lib.tiny import TEXTS, model, tokenizer

ROOT = Path(__file__).parents[2]
LIMITS = Merge(dtype="float32", parity_rows=8, max_logit_difference=0.01, min_equal_answers=1.0)
# A process that cannot import PEFT reads and asks the merged model.
WITHOUT_PEFT = """
import sys
sys.modules["peft"] = None
import transformers
folder, auto = sys.argv[1:]
net = getattr(transformers, auto).from_pretrained(folder)
ids = transformers.AutoTokenizer.from_pretrained(folder)("Descreva o produto: Abajur", return_tensors="pt")["input_ids"]
print(net.generate(ids, max_new_tokens=3, do_sample=False).shape[0], net.dtype)
"""


@pytest.fixture(params=["seq2seq", "causal"])
def project(request, tmp_path, monkeypatch) -> tuple[str, Path]:
    """A family, and a folder with its tiny base, a live adapter, eight rows and a gate that says yes."""
    family = request.param
    model(family).save_pretrained(tmp_path / "base")
    tokenizer(family).save_pretrained(tmp_path / "base")
    adapter_in(tmp_path / "adapter", family, alive=True)
    rows = [{"row_id": n, "line": n, "title": TEXTS[n][:20], "response": TEXTS[n]} for n in range(8)]
    pl.DataFrame(rows).write_parquet(tmp_path / "test.parquet")
    (tmp_path / "gate.json").write_text('{"passed": true}')
    monkeypatch.chdir(tmp_path)
    return family, tmp_path


def run(family: str, method: str = "none", **changes) -> dict:
    """Merge with these changes to the section `merge`; returns the report."""
    recipe = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
    recipe["model"] |= {"family": family, "threads": 1}
    recipe["prompt"] |= {"max_response_tokens": 48}
    recipe["generation"] |= {"max_new_tokens": 16}
    recipe["quantization"]["method"] = method
    recipe["merge"] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")
    merge.main(*map(Path, ("base", "adapter", "test.parquet", "gate.json", "merged", "merge.json")))
    return json.loads(Path("merge.json").read_text())


def test_folded_in_fp32_every_answer_stays_the_same(project):
    facts = run(project[0])
    assert facts["merged"]
    assert (facts["equal_answers"], facts["rows"]) == (1.0, 8)
    assert 0 <= facts["max_logit_difference"] < 1e-3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_merged_model_loads_where_peft_is_not_installed(project, dtype):
    family, _ = project
    run(family, dtype=dtype, max_logit_difference=100.0, min_equal_answers=0.0)
    auto = {"seq2seq": "AutoModelForSeq2SeqLM", "causal": "AutoModelForCausalLM"}[family]
    words = [sys.executable, "-c", WITHOUT_PEFT, "merged", auto]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", f"torch.{dtype}"]
    assert f"weights in {dtype}" in Path("merged/README.md").read_text("utf-8")


@pytest.mark.parametrize("method", ["int8", "nf4"])
def test_the_drift_of_quantised_training_is_measured_and_told_with_limits_that_accept_it(project, method):
    family, folder = project
    declined = run(family, method, max_logit_difference=1e-5)
    assert not declined["merged"]
    assert not list((folder / "merged").glob("*.safetensors"))
    assert declined["reason"] in (folder / "merged/README.md").read_text("utf-8")
    assert "learnt on rounded weights" in declined["reason"]
    words = declined["reason"].replace(",", "").split()
    accepted = [float(words[words.index(f"merge.{key}:") + 1]) for key in ("max_logit_difference", "min_equal_answers")]
    facts = run(family, method, max_logit_difference=accepted[0], min_equal_answers=accepted[1])
    assert facts["merged"]
    assert facts["max_logit_difference"] > 1e-3  # far more than rounding: the adapter met other weights
    assert declined["max_logit_difference"] == facts["max_logit_difference"]


def test_a_drift_without_quantisation_is_a_mistake_and_stops_the_run(project):
    family, folder = project
    with pytest.raises(Problem, match="logits drift by"):
        run(family, dtype="bfloat16", max_logit_difference=1e-5)
    assert not (folder / "merged").exists()
    assert not (folder / "merge.json").exists()


@pytest.mark.parametrize(
    ("drift", "equal", "accepted"),
    [
        (0.0101, 1.0, "merge.max_logit_difference: 0.02 and merge.min_equal_answers: 1"),
        (0.001, 0.996, "merge.max_logit_difference: 0.01 and merge.min_equal_answers: 0.99"),
        (1.634, 0.8333, "merge.max_logit_difference: 1.64 and merge.min_equal_answers: 0.83"),
    ],
)
def test_limits_are_suggested_that_the_drift_stays_within(drift, equal, accepted):
    with pytest.raises(Problem) as told:
        insist({"max_logit_difference": drift, "equal_answers": equal}, LIMITS, "none")
    assert accepted in told.value.do
    assert "merge.dtype: float32" in told.value.do


def test_a_drift_at_its_limit_passes():
    insist({"max_logit_difference": 0.01, "equal_answers": 1.0}, LIMITS, "nf4")
