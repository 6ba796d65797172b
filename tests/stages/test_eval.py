"""The stage eval: what it writes, from made-up predictions and reports of the earlier stages."""

import html.parser
import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
import yaml

from stages import eval as stage
from stages.lib.embeddings import identity
from stages.lib.metrics import METRICS
from stages.lib.report_words import words
from stages.plumbing.problem import Problem
from tests.lib.tiny import tiny_bert

ROOT = Path(__file__).parents[2]
COLOURS = ["azul", "verde", "rosa", "preta", "branca", "roxa", "cinza", "lilás"]
THINGS = ["mesa", "cadeira", "estante", "cama", "poltrona", "rede", "banqueta"]
HOSTILE = '<script>alert("oi")</script><img src=x onerror=alert(1)> & "aspas\' {{ 7 * 7 }}'


def sentence(thing, colour):
    return f"A {thing} {colour} deixa a sua casa mais bonita e chega pronta para usar."


def rows(count, start, colours, seed):
    chance = random.Random(seed)
    picked = [(chance.choice(THINGS), chance.choice(colours)) for _ in range(count)]
    numbers = list(range(start, start + count))
    return pl.DataFrame(
        {
            "row_id": numbers,
            "line": numbers,
            "title": [f"{thing.title()} {colour}" for thing, colour in picked],
            "kind": ["móvel" if number % 2 else None for number in numbers],
            "response": [sentence(*words) for words in picked],
        }
    )


def predictions(asked, answer, loss):
    texts = [answer(place, text) for place, text in enumerate(asked["response"])]
    return pl.DataFrame(
        {
            "row_id": asked["row_id"],
            "prompt": [f"Descreva: {title}" for title in asked["title"]],
            "reference": asked["response"],
            "prediction": texts,
            "tokens": [len(text.split()) for text in texts],
            "finish": ["length" if place == 1 else "eos" for place in range(asked.height)],
            "reference_nll": [loss * 14 + place % 5 for place in range(asked.height)],
            "reference_tokens": [14] * asked.height,
        }
    )


REPORTS = {
    "source": {"name": "moveis <b>.jsonl", "sha256": "a1" * 32, "bytes": 100},
    "clean": {
        "read": 150,
        "kept": 130,
        "duplicates": 12,
        "quarantined": 8,
        "reasons": {"empty_response": 5, "broken_line": 3},
    },
    "validation": {"success": True, "expectations": [{"name": "min_rows", "ok": True}]},
    "split": {
        "rows": {"test": 30, "train": 80, "validation": 10},
        "left_out": {"straddling": 4, "crowded": 0},
        "leakage": {"pairs": 0, "share": 0.0, "compared": 431, "not_compared": 7, "threshold": 0.8, "examples": []},
    },
    "base": {"family": "seq2seq", "origin": "scratch", "name": "scratch", "sha256": "b2" * 32},
    "proof": {
        "passed": True,
        "keys": {"expected": 48, "matched": 48, "unexpected": []},
        "tensors": 48,
        "max_logit_difference": 7.25,
        "threshold": 0.001,
        "rows": 16,
        "changed_answers_share": 1.0,
        "adapter_sha256": "c3" * 32,
    },
    "summary": {
        "model": {"name": None, "origin": "scratch", "parameters_total": 1_000_000, "parameters_trained": 100_000},
        "steps": {"planned": 70, "done": 70},
        "guarantee": "equal bytes",
        "environment": ["python 3.11", "torch 2.0"],
        "params": {"lora": {"r": 16, "targets": ["q", "v"]}, "train": {"schedule": {"name": "cosine"}, "clip": None}},
    },
}
CURVES = """step\tepoch\tlearning_rate\ttrain_loss\tvalidation_loss\trougeL\tbleu
10\t0.1\t0.005\t3.0\t\t\t
35\t0.5\t0.003\t1.0\t1.1\t0.5\t20
70\t1.0\t0.0\t0.5\t0.52\t0.7\t60
"""


def runner(folder):
    """A function that writes a run's inputs to `folder`, changes some, calls the stage there and gives its reports."""
    asked = rows(30, 1, COLOURS, seed=1)
    train = rows(80, 100, COLOURS[:-2], seed=2)  # cinza and lilás are never seen
    chance = random.Random(3)

    def tuned(place, text):
        if place == 0:
            return HOSTILE
        if place == 2:
            return "x" * 400
        return " ".join(word for word in text.split() if chance.random() < 0.9)

    tables = {
        "asked": asked,
        "train": train,
        "baseline": predictions(asked, lambda place, text: "A casa é bonita." if place % 3 else text[:12], 3.0),
        "tuned": predictions(asked, tuned, 0.4),
    }

    def call(params=None, side="test", reports=None, **changed):
        recipe = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
        for name, value in (params or {}).items():
            section, key = name.split(".")
            recipe[section][key] = value
        Path("params.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")
        Path("reports").mkdir(exist_ok=True)
        paths = {name: Path(f"{side if name == 'asked' else name}.parquet") for name in tables}
        for name, table in (tables | changed).items():
            table.write_parquet(paths[name])
        earlier = {name: Path(f"reports/{name}-in.json") for name in REPORTS}
        for name, report in (REPORTS | (reports or {})).items():
            earlier[name].write_text(json.dumps(report), "utf-8")
        Path("curves.tsv").write_text(CURVES, "utf-8")
        outs = [
            Path(f"reports/{name}") for name in ("metrics.json", "comparison.json", "gate.json", "plots", "report.html")
        ]
        places = [paths[name] for name in ("baseline", "tuned", "asked", "train")]
        stage.main(*places, *outs, **earlier, curves=Path("curves.tsv"))
        return folder / "reports"

    call.tables = tables
    return call


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return runner(tmp_path)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The reports of a run in which nothing is changed."""
    folder = tmp_path_factory.mktemp("usual")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        return runner(folder)()


def read(folder, name):
    return json.loads((folder / name).read_text("utf-8"))


def page(folder):
    return (folder / "report.html").read_text("utf-8")


class Elements(html.parser.HTMLParser):
    """Every element of a page, with its attributes, and all its text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_baseline_tuned_and_their_difference_are_flat_numbers(usual):
    metrics = read(usual, "metrics.json")
    assert sorted(metrics) == ["baseline", "delta", "references", "tuned", "unseen"]
    measured = set(METRICS) - {"semantic"}  # asks for a model
    assert set(metrics["tuned"]) == measured
    assert metrics["tuned"]["rougeL"] > 0.85
    assert metrics["baseline"]["rougeL"] < 0.4
    for name in measured:
        assert metrics["delta"][name] == pytest.approx(metrics["tuned"][name] - metrics["baseline"][name], abs=2e-6)
    assert metrics["tuned"]["cutoff_share"] == pytest.approx(1 / 30, abs=1e-6)
    assert metrics["tuned"]["dirty_share"] == pytest.approx(1 / 30, abs=1e-6)
    assert metrics["references"]["copy_prompt_input"]["prompt_words_used"] == 1.0
    assert metrics["references"]["nearest"]["train_copy_share"] == 1.0


def test_rows_with_unseen_words_are_measured_apart(run, usual):
    metrics = read(usual, "metrics.json")
    unseen = run.tables["asked"].filter(pl.col("title").str.contains("cinza|lilás")).height
    assert unseen == 9
    assert metrics["unseen"]["rows"] == unseen
    # The nearest training row cannot name a colour that training never showed; the thing itself it can.
    assert metrics["unseen"]["nearest"]["exact_match"] == 0.0
    assert metrics["unseen"]["tuned"]["prompt_words_used"] > metrics["unseen"]["nearest"]["prompt_words_used"]


def test_without_unseen_words_the_report_says_so(run):
    folder = run(train=rows(80, 100, COLOURS, seed=2))
    assert read(folder, "metrics.json")["unseen"] == {"rows": 0}
    assert read(folder, "comparison.json")["beats_trivial_systems"]["unseen"] is None
    assert words("en")["unseen.none"] in page(folder)


def test_the_comparison_says_how_sure_it_is(usual):
    comparison = read(usual, "comparison.json")
    found = comparison["tuned_against"]["all"]["baseline"]["rougeL"]
    assert found["low"] < found["delta"] < found["high"]
    assert found["p"] == pytest.approx(1 / 1001, abs=1e-6)
    assert found["p_holm"] == pytest.approx(7 / 1001, abs=1e-6)
    assert found["verdict"] == "better"
    assert comparison["signatures"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert comparison["bands"] == {"rougeL": "excellent", "bleu": "excellent"}
    assert sorted(comparison["tuned_against"]["unseen"]) == ["baseline", "copy_prompt_input", "nearest"]


def test_a_model_that_only_copies_its_nearest_row_is_not_said_to_beat_it(run):
    folder = run(params={"metrics.margin": 0.9})
    beats = read(folder, "comparison.json")["beats_trivial_systems"]
    assert beats["all"]["both"] is False
    assert "Tuned does not beat both trivial systems by 0.90 ROUGE-L" in page(folder)
    assert "<h1>Fine-tuning helped, yet a trivial system comes close.</h1>" in page(folder)


def test_the_gate_file_holds_the_verdict_alone(usual):
    assert (usual / "gate.json").read_text("utf-8") == '{\n  "passed": true\n}\n'


def test_a_no_is_a_result_and_its_reason_is_told(run):
    folder = run(params={"gate.max_cutoff": 0})
    assert read(folder, "gate.json") == {"passed": False}
    reasons = ["a share of 0.03333 of the answers was cut off, above gate.max_cutoff 0"]
    assert read(folder, "comparison.json")["gate"] == {"metric": "rougeL", "passed": False, "reasons": reasons}
    assert "a share of 0.033 of the answers was cut off, above gate.max_cutoff 0.000" in page(folder)


def test_a_no_stops_when_asked_to_after_all_is_written(run, tmp_path):
    with pytest.raises(Problem, match=r"gate\.on_no: stop"):
        run(params={"gate.min_delta": 5, "gate.on_no": "stop"})
    assert sorted(path.name for path in (tmp_path / "reports").iterdir() if not path.name.endswith("-in.json")) == [
        "comparison.json", "gate.json", "metrics.json", "plots", "report.html",
    ]  # fmt: skip


def test_the_same_inputs_give_the_same_bytes(run):
    def content(folder):
        return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    first = content(run())
    assert content(run()) == first
    assert len(first) == 16  # nine of ours, seven of earlier stages


def test_the_page_asks_nothing_of_a_network(usual):
    text = page(usual)
    assert re.findall(r"(?:https?:)?//[^\s\"'<>]+", text.replace("http://www.w3.org/", "")) == []
    assert [tag for tag, _ in Elements(text).found if tag in {"link", "iframe", "object", "embed", "base"}] == []
    assert "default-src 'none'" in text


def test_hostile_text_stays_text(usual):
    elements = Elements(page(usual))
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert [tag for tag, _ in elements.found if tag == "img"] == []
    assert [name for _, attributes in elements.found for name in attributes if name.startswith("on")] == []
    shown = " ".join(" ".join(elements.texts).split())
    assert '<script>alert("oi")</script><img src=x onerror=alert(1)>' in shown
    assert "{{ 7 * 7 }}" in shown
    assert "moveis <b>.jsonl" in shown


def test_the_page_is_made_for_who_cannot_see_it(usual):
    elements = Elements(page(usual))
    figures = [attributes for _, attributes in elements.found if attributes.get("role") == "img"]
    assert len(figures) == 7
    assert all(attributes["aria-label"].endswith(".") for attributes in figures)
    assert [tag for tag, _ in elements.found].count("h1") == 1
    identities = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_the_ledger_on_the_page_adds_up(usual):
    text = re.sub(r"<[^>]+>", " ", page(usual))
    assert re.search(
        r"Read\s+150\s+Kept\s+130\s+Duplicates\s+12\s+Set aside\s+8\s+Training\s+80\s+Validation\s+10\s+Test\s+30", text
    )
    assert re.search(r"Would be on two sides\s+4\s+In shards not chosen\s+6", text)


def test_portuguese_has_every_sentence_of_english(run):
    places = {
        language: {key: sorted(re.findall(r"{(\w+)}", told)) for key, told in words(language).items()}
        for language in ("en", "pt")
    }
    assert places["en"] == places["pt"]
    text = page(run(params={"report.language": "pt"}))
    assert '<html lang="pt-BR">' in text
    assert "<h1>O ajuste fino ajudou, mas um sistema trivial chega perto.</h1>" in text
    assert "Fine-tuning" not in text
    assert "intervalo de 95% entre +0," in text


def test_validation_rows_are_said_to_have_chosen_the_checkpoint(run):
    assert "These rows also chose the checkpoint" in page(run(side="validation"))
    assert "These rows also chose the checkpoint" not in page(run())


def test_predictions_of_other_rows_are_refused(run):
    with pytest.raises(Problem, match="dvc repro"):
        run(tuned=run.tables["tuned"].with_columns(pl.col("row_id") + 1))
    with pytest.raises(Problem, match="the baseline predictions"):
        run(baseline=run.tables["baseline"][:-1])


def test_no_rows_to_evaluate_is_a_problem(run):
    with pytest.raises(Problem, match="at least one"):
        run(**{name: run.tables[name][:0] for name in ("asked", "baseline", "tuned")})


def test_one_row_is_enough_to_run(run):
    folder = run(**{name: run.tables[name][3:4] for name in ("asked", "baseline", "tuned")})
    assert read(folder, "metrics.json")["tuned"]["rougeL"] > 0.5


def test_groups_are_inputs(run):
    columns = {"inputs": {"title": "title", "kind": "kind"}, "response": "content"}
    folder = run(params={"source.columns": columns, "metrics.group": ["kind"]})
    wide = read(folder, "comparison.json")["tuned_against"]["all"]["baseline"]["rougeL"]
    assert wide["low"] < wide["delta"] < wide["high"]
    with pytest.raises(Problem, match=r"metrics\.group, not brand"):
        run(params={"metrics.group": ["brand"]})


def test_a_semantic_model_adds_its_metric_everywhere(run, tmp_path_factory):
    folder = tiny_bert(tmp_path_factory.mktemp("bert"))
    pinned = {"metrics.semantic_model": str(folder), "metrics.semantic_sha256": identity(folder)}
    reports = run(params={**pinned, "gate.metric": "semantic"})
    found = read(reports, "comparison.json")
    assert found["tuned_against"]["all"]["nearest"]["semantic"]["p_holm"] <= 1
    assert found["definitions"]["semantic"]["version"] == "1"
    assert found["signatures"]["semantic"] == f"model:{identity(folder)}|pool:mean|tokens:12"
    assert -1 <= read(reports, "metrics.json")["references"]["nearest"]["semantic"] <= 1
    assert "Semantic likeness" in page(reports)
    assert found["signatures"]["semantic"] in page(reports)


def test_a_gate_on_a_metric_that_is_not_measured_is_refused(run):
    with pytest.raises(Problem, match=r"a metrics\.semantic_model for gate\.metric: semantic"):
        run(params={"gate.metric": "semantic"})


def test_the_page_names_the_code_and_the_environment_that_made_it(usual):
    from stages.lib.identity import code_of, sha256_of_code

    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]["eval"]["deps"]
    made_of = [path.as_posix() for path in code_of(ROOT / "stages/eval.py")]
    assert made_of == sorted(name for name in declared if name.startswith("stages/"))
    assert len(made_of) > 20
    text = page(usual)
    assert sha256_of_code(ROOT / "stages/eval.py") in text
    assert re.search(r"<dt>environment \(versions below\)</dt><dd><code>[0-9a-f]{64}</code>", text)
    assert re.search(r"<li><code>python 3\.1[0-9]</code></li><li><code>altair ", text)
    assert "<li><code>torch 2.0</code></li>" in text  # of the training


def test_code_is_the_same_code_through_a_link(tmp_path):
    from stages.lib.identity import sha256_of_code

    (tmp_path / "project").symlink_to(ROOT)
    assert sha256_of_code(tmp_path / "project/stages/eval.py") == sha256_of_code(ROOT / "stages/eval.py")


def test_plots_are_tables_that_dvc_reads(usual):
    tables = {path.name: path.read_text("utf-8").splitlines() for path in (usual / "plots").iterdir()}
    assert {name: (rows[0], len(rows) - 1) for name, rows in tables.items()} == {
        "metrics.tsv": ("bar\tvalue", 7 * 4),
        "rows.tsv": ("share\tbaseline\ttuned", 101),
        "train_loss.tsv": ("step\ttrain_loss", 3),
        "validation_loss.tsv": ("step\tvalidation_loss", 2),
        "rougeL.tsv": ("step\trougeL", 2),
    }


PROBE = """<!doctype html><body><iframe style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe><script>
onload = () => setTimeout(() => {{
  const inner = document.querySelector("iframe").contentDocument, find = inner.getElementById("find");
  const shown = () => [...inner.querySelectorAll(".example")].filter(node => !node.hidden).length;
  const all = shown();
  find.value = "LILAS"; find.dispatchEvent(new Event("input"));
  document.title = JSON.stringify({{wide: inner.documentElement.scrollWidth, all, found: shown(),
    fetched: inner.defaultView.performance.getEntriesByType("resource").length}});
}}, 300);
</script>"""


@pytest.mark.parametrize("width", [390, 1440])
def test_a_browser_shows_the_page_without_errors_requests_or_sideways_scrolling(usual, tmp_path, width):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on PATH")
    text = page(usual).replace("&", "&amp;").replace('"', "&quot;")
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.format(width=width, page=text), "utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    logged = [
        "--disable-component-update",
        "--enable-logging=stderr",
        "--virtual-time-budget=3000",
        "--window-size=1600,1000",
    ]
    done = subprocess.run(
        [browser, *flags.split(), *logged, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", probe.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = json.loads(re.search(r"<title>(.*?)</title>", done.stdout).group(1))
    assert seen["wide"] <= width
    assert seen["fetched"] == 0
    assert 0 < seen["found"] < seen["all"], "the search finds lilás without its accent"
    assert "CONSOLE" not in done.stderr
