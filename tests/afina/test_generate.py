"""Asking by hand: the base, the tuned or the merged model answers, and what is streamed is what the stages write."""

import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from afina.generate import answer
from stages import baseline, predict
from stages.lib.adapters import load_adapter
from stages.plumbing.problem import Problem
from tests.lib.test_proof import adapter_in
from tests.lib.tiny import TEXTS, model, tokenizer

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["seq2seq", "causal"])
def project(request, tmp_path, monkeypatch) -> Path:
    """A folder with a tiny base, adapter, merged model and four held-out rows."""
    family = request.param
    base = tmp_path / "models/base"
    model(family).save_pretrained(base)
    tokenizer(family).save_pretrained(base)
    adapter_in(tmp_path / "models/adapter", family, alive=True)
    shutil.copytree(base, tmp_path / "models/merged")
    merged = load_adapter(model(family), tmp_path / "models/adapter")[0].merge_and_unload(safe_merge=True)
    merged.save_pretrained(tmp_path / "models/merged")
    (tmp_path / "data/split").mkdir(parents=True)
    rows = [{"row_id": n, "line": n, "title": TEXTS[n][:20], "response": TEXTS[n]} for n in range(4)]
    pl.DataFrame(rows).write_parquet(tmp_path / "data/split/test.parquet")
    recipe = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
    recipe["model"] |= {"family": family, "threads": 1}
    recipe["prompt"] |= {"max_response_tokens": 48}
    recipe["generation"] |= {"max_new_tokens": 16}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def streamed(said: str, who: str) -> list[str]:
    """The answers of one model in what was printed."""
    blocks = [block for block in said.split("\n[") if block.startswith(f"{who}]")]
    return [block.split("\n→ ")[1].split("\n  (")[0].strip() for block in blocks]


@pytest.mark.parametrize("sample", [False, True])
def test_what_is_streamed_is_what_the_stages_write_down(project, capsys, sample):
    recipe = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    recipe["generation"]["sample"] = sample
    Path("params.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    base, rows = Path("models/base"), Path("data/split/test.parquet")
    baseline.main(base, rows, Path("baseline.parquet"))
    predict.main(base, Path("models/adapter"), rows, Path("tuned.parquet"), Path("proof.json"))
    capsys.readouterr()
    answer([], [], "", "all", 3)
    said = capsys.readouterr().out
    wrote = {name: pl.read_parquet(f"{name}.parquet")["prediction"].to_list()[:3] for name in ("baseline", "tuned")}
    assert streamed(said, "base") == wrote["baseline"]
    assert streamed(said, "adapter") == wrote["tuned"] != wrote["baseline"]
    assert streamed(said, "merged") == wrote["tuned"]
    assert said.count("(16 tokens, cut by generation.max_new_tokens)") + said.count("ended by itself") == 9
    assert f"(reference: {TEXTS[2]})" in said
    assert TEXTS[3] not in said, "the limit is three rows"


@pytest.mark.parametrize("project", ["causal"], indirect=True)
def test_a_free_question_goes_through_a_template_that_has_a_field_for_it(project, capsys):
    answer([], ["title=Abajur", "question=Cor = tom?"], "question", "base", 3)
    assert "### Instruction:\nCor = tom?\n\n### Input:\nAbajur\n" in capsys.readouterr().out
    answer([], ["title=" + "Abajur " * 9, "question=Cor?"], "question", "base", 3)
    assert "(the prompt was shortened to prompt.max_prompt_tokens)" in capsys.readouterr().out
    answer(["Abajur"], [], "Fale de {title}!", "base", 3)
    assert "[base] Fale de Abajur!" in capsys.readouterr().out


@pytest.mark.parametrize("project", ["causal"], indirect=True)
@pytest.mark.parametrize(
    ("texts", "fields", "template", "who", "wanted"),
    [
        (["Abajur"], [], "nada", "base", "template must be custom or one of alpaca"),
        (["Abajur"], [], "{title!r}", "base", "names in braces and nothing more"),
        (["Abajur"], [], "question", "base", "the fields question, title"),
        ([], ["question"], "{question}", "base", "name=value for each of question"),
        ([], [], "", "nobody", "base, adapter, merged or all"),
    ],
)
def test_what_cannot_be_asked_is_told(project, texts, fields, template, who, wanted):
    with pytest.raises(Problem) as told:
        answer(texts, fields, template, who, 3)
    assert wanted in told.value.wanted
