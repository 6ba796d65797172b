"""afina export: a model to hand on, with a card that holds its metrics and that the hub can read."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from afina.export import export
from stages.lib.files import sha256, sha256_of_folder
from stages.plumbing.problem import Problem

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The committed reports of the default run, with stand-ins for its models."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "reports", "reports")
    shutil.copy(ROOT / "recipes/local.yaml", "params.yaml")
    for folder, file in (("merged", "model.safetensors"), ("adapter", "adapter_model.safetensors")):
        path = Path("models", folder)
        path.mkdir(parents=True)
        (path / file).write_bytes(folder.encode())
        (path / "README.md").write_text("The stage's own card.\n", "utf-8")
        (path / file).chmod(0o444)
    change("merge", sha256=sha256_of_folder(Path("models/merged")))
    change("adapter_proof", adapter_sha256=sha256(Path("models/adapter/adapter_model.safetensors")))
    return tmp_path


def report(name):
    return json.loads(Path(f"reports/{name}.json").read_text("utf-8"))


def change(which, **values):
    Path(f"reports/{which}.json").write_text(json.dumps(report(which) | values), "utf-8")


def test_the_card_holds_every_metric_where_the_hub_reads_it(project):
    export(Path("shop"), "merged")
    card = ModelCard.load("shop/README.md")
    wanted = report("metrics")["tuned"]
    found = {(result.metric_type, result.metric_name): result.metric_value for result in card.data.eval_results}
    assert len(found) == len(wanted) > 15
    assert found["rouge", "ROUGE-L"] == wanted["rougeL"]
    assert found["sacrebleu", "BLEU"] == wanted["bleu"]
    assert found["repeat_share", "Repeating"] == wanted["repeat_share"]
    first = card.data.eval_results[0]
    assert (first.task_type, first.dataset_name, first.dataset_split) == (
        "text2text-generation", "products.jsonl", "test",
    )  # fmt: skip
    assert first.dataset_revision == report("source")["sha256"]
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "text2text-generation")
    # What has no name on the hub is no base model there.
    assert card.data.base_model is None
    front = yaml.safe_load(card.content.split("---")[1])
    assert front["model-index"][0]["name"] == "shop"


def test_the_card_tells_a_person_the_same(project):
    export(Path("shop"), "merged")
    text = Path("shop/README.md").read_text("utf-8")
    told = json.loads((ROOT / "reports/metrics.json").read_text("utf-8"))
    base, tuned, delta = (told[side]["rougeL"] for side in ("baseline", "tuned", "delta"))
    assert f"| ROUGE-L | {base:.3f} | {tuned:.3f} (excellent) | {delta:+.3f} |" in text
    assert "Fine-tuning helped." in text
    assert "Descreva o produto: {title}" in text
    assert 'AutoModelForSeq2SeqLM.from_pretrained("shop")' in text
    assert report("base")["sha256"] in text
    assert "It does not beat both" in text, "what speaks against the model is on its card, too"
    assert "The stage's own card" not in text


def test_what_is_copied_is_ones_own(project):
    export(Path("shop"), "merged")
    assert Path("shop/model.safetensors").read_bytes() == b"merged"
    assert Path("shop/model.safetensors").stat().st_mode & 0o200
    assert Path("models/merged/README.md").read_text("utf-8") == "The stage's own card.\n"


def test_an_adapter_names_the_base_that_it_needs(project):
    change("base", origin="hub", name="google/flan-t5-base")
    export(Path("small"), "adapter")
    card = ModelCard.load("small/README.md")
    assert (card.data.library_name, card.data.base_model) == ("peft", "google/flan-t5-base")
    base = 'AutoModelForSeq2SeqLM.from_pretrained("google/flan-t5-base")'
    assert f'PeftModel.from_pretrained({base}, "small")' in card.text


def test_equal_models_and_reports_give_equal_cards(project):
    for name in ("one/shop", "two/shop"):
        export(Path(name), "merged")
    assert Path("one/shop/README.md").read_bytes() == Path("two/shop/README.md").read_bytes()


def test_a_model_that_is_not_the_measured_one_gets_no_card(project):
    for which in ("merged", "adapter"):
        change("merge" if which == "merged" else "adapter_proof", sha256="0" * 64, adapter_sha256="0" * 64)
        with pytest.raises(Problem, match="the model that was measured"):
            export(Path("shop"), which)
    assert not Path("shop").exists()


def test_what_cannot_be_exported_is_told(project):
    with pytest.raises(Problem, match="merged or adapter"):
        export(Path("shop"), "base")
    Path("taken").mkdir()
    with pytest.raises(Problem, match="there already"):
        export(Path("taken"), "merged")
    change("merge", merged=False, reason="the gate said no: see reports/comparison.json")
    with pytest.raises(Problem, match="the gate said no"):
        export(Path("shop"), "merged")
    shutil.rmtree("models/adapter")
    with pytest.raises(Problem, match="dvc pull train"):
        export(Path("shop"), "adapter")
    Path("reports/metrics.json").unlink()
    with pytest.raises(Problem, match="the reports of a whole run"):
        export(Path("shop"), "adapter")
    assert not Path("shop").exists()
