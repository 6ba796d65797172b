"""Every recipe runs from its source to the merged model, at tiny scale: its own family, arithmetic, prompt and options.

What is made small: rows, the base (random weights in the shape of the recipe's, from a hub on this machine), lengths,
steps. All else is the recipe's.
"""

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from tests.conftest import copy_project
from tests.hub import Hub
from tests.lib.tiny import tokenizer
from tests.pipeline.conftest import merge, run
from tests.shapes import CHAT, flan, in_four_bit, llama, saved, t5

CARDS = ["O Louco", "O Mago", "A Sacerdotisa", "A Imperatriz", "O Imperador", "O Papa", "Os Amantes", "A Força"]
WORDS = ["calma", "caminho", "coração", "dia", "espera", "força", "luz", "noite", "passo", "pergunta", "sonho", "tempo"]


def sentence(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(words)).capitalize() + "."


def workbook(path: Path) -> None:
    """80 readings of eight cards, in the five columns."""
    chance = random.Random(1)
    rows = [
        {
            "evento": chance.choice(["amor", "trabalho"]),
            "carta": card,
            "tema": chance.choice(["presente", "futuro"]),
            "secao": f"seção {number}",
            "texto": sentence(chance, 14),
        }
        for card in CARDS
        for number in range(10)
    ]
    pl.DataFrame(rows).write_excel(path)


def catalogue(path: Path, rows: int = 60) -> None:
    """Products as AmazonTitles has them, one JSON object per line, gzipped where the name says so."""
    chance = random.Random(1)
    lines = [
        json.dumps(
            {
                "uid": str(number),
                "title": f"Abajur {sentence(chance, 3)} {number}",
                "content": sentence(chance, 24),
                "target_ind": [number],
                "target_rel": [1.0],
            }
        )
        for number in range(rows)
    ]
    text = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def chat_llama(folder: Path) -> Path:
    words = tokenizer("causal").__class__.from_pretrained(saved(folder, llama(), "causal"))
    words.chat_template = CHAT
    return saved(folder, llama(), "causal", words)


def four_bit_llama(folder: Path) -> Path:
    return in_four_bit(folder / "quantised", saved(folder / "whole", llama(), "causal"))


@dataclass(frozen=True)
class Case:
    """A recipe at tiny scale, and what must come of it."""

    source: str
    write: Callable[[Path], None]
    base: Callable[[Path], Path]
    trained: int
    batch: int
    held: dict[str, int]
    prompt: str  # a pattern of each prompt
    folded_into: str
    changes: dict[str, Any] = field(default_factory=dict)


# The closed form r × (inputs + outputs), by hand. The T5 is 64 wide, its feed-forward 128, with two layers in encoder
# and decoder: (2 + 2 × 2) attentions of four 64 × 64, 4 feed-forwards. The Llama has two layers, keys and values of 32.
T5_ATTENTION = 6 * 4 * (64 + 64)
LLAMA_ALL = 2 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128))

CASES = {
    "tarot-ptt5": Case(
        source="data/tarot.xlsx",
        write=workbook,
        base=lambda folder: saved(folder, t5(), "seq2seq"),
        trained=16 * (T5_ATTENTION + 4 * 2 * (64 + 128)),
        batch=8,
        held={"nf4": 28, "none": 5},  # wo and the head stay as they are
        prompt=r"^Gere uma interpretação para a carta '.+' em '.+', na seção '.+', sobre o tema '.+'\.$",
        folded_into="the base, unquantised",
        changes={"expectations": {"min_rows": 50, "distinct": {}}},
    ),
    "products-flan-t5": Case(
        source="data/products.jsonl",
        write=catalogue,
        base=lambda folder: saved(folder, flan(), "seq2seq"),
        trained=16 * (T5_ATTENTION + 4 * 3 * (64 + 128)),
        batch=16,
        held={"int8": 32, "none": 5},
        prompt=r'(?s)^Pergunta: Qual é a descrição do produto "(.+)"\?\nContexto: título = .+\n'
        r"Responda apenas com a descrição\.$",
        folded_into="the base, unquantised",
        changes={"expectations": {"min_rows": 50}},
    ),
    "products-tinyllama-alpaca": Case(
        source="data/trn.json.gz",
        write=lambda path: catalogue(path, 600),
        base=four_bit_llama,
        trained=16 * LLAMA_ALL,
        batch=44,
        held={"nf4": 14, "none": 1},
        prompt=r"^### Instruction:\nDescribe the product\n\n### Input:\n.+\n\n### Response:\n$",
        folded_into="the dequantised weights of a quantised base",
        changes={"expectations": {"min_rows": 50}},
    ),
    "products-tinyllama-chat": Case(
        source="data/trn.json.gz",
        write=catalogue,
        base=chat_llama,
        trained=32 * LLAMA_ALL,
        batch=16,
        held={"none": 15},
        prompt=r"^<\|system\|>\nVocê escreve descrições .+</s>\n"
        r"<\|user\|>\nDescreva o produto: .+</s>\n<\|assistant\|>\n$",
        folded_into="the base",
        changes={"expectations": {"min_rows": 30}},
    ),
}

SMALL = {
    "model": {"threads": 1, "revision": "main"},
    "prompt": {"max_prompt_tokens": 256, "max_response_tokens": 32},
    "train": {"max_steps": 3, "evaluation": {"rows": 4}},
    "generation": {"max_new_tokens": 8},
    "metrics": {"resamples": 100},
    "gate": {"on_no": "merge"},
    "merge": {"parity_rows": 4},
}


def test_each_recipe_but_the_default_has_its_case(root):
    assert set(CASES) == {path.stem for path in (root / "recipes").glob("*.yaml")} - {"local"}
    assert len(CASES) == 4


@pytest.fixture(scope="module", params=CASES)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Case]:
    """The project after `dvc repro` with one recipe; all that follows `base` ran with the hub gone."""
    name, case = request.param, CASES[request.param]
    folder = tmp_path_factory.mktemp(name)
    project = copy_project(folder / "project")
    recipe = yaml.safe_load((project / f"recipes/{name}.yaml").read_text("utf-8"))
    changes = {"source": {"path": case.source}, "model": {"name": "someone/base"}}
    params = merge(merge(merge(recipe, SMALL), case.changes), changes)
    (project / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False), "utf-8")
    (project / "dvc.lock").unlink(missing_ok=True)
    case.write(project / case.source)
    with Hub() as hub:
        commit = hub.publish("someone/base", case.base(folder / "published"))
        said = run(project, "dvc", "repro", "base", env=hub.environment(folder / "cache"))
        assert f"revision: {commit}" in said
    said += run(project, "dvc", "repro")
    return project, said, case


def report(project: Path, name: str) -> dict[str, Any]:
    return json.loads((project / "reports" / name).read_text("utf-8"))


def test_the_base_is_the_commit_that_the_hub_gave(done):
    project, said, _ = done
    told = report(project, "base.json")
    assert told["name"] == "someone/base"
    assert f"commit                       {told['commit']}" in said
    assert len(told["commit"]) == 40


def test_weights_are_held_and_trained_as_the_recipe_says(done):
    project, said, case = done
    summary = report(project, "train/summary.json")
    assert summary["model"]["parameters_trained"] == summary["model"]["parameters_expected"] == case.trained
    assert summary["effective_batch"] == case.batch
    assert summary["steps"] == {"planned": 3, "done": 3}
    for way, layers in case.held.items():
        assert f"weights held as {way}".ljust(28) + f" {layers} linear layers" in said


def test_the_model_reads_the_prompt_of_the_recipe(done):
    project, _, case = done
    table = pl.read_parquet(project / "data/predictions/tuned.parquet")
    assert table.height >= 4
    assert table["prompt"].str.contains(case.prompt).all()
    assert (
        table["row_id"].to_list() == pl.read_parquet(project / "data/predictions/baseline.parquet")["row_id"].to_list()
    )


def test_the_adapter_is_active_and_the_merged_model_is_measured(done):
    project, _, case = done
    assert report(project, "adapter_proof.json")["passed"]
    merged = report(project, "merge.json")
    assert merged["merged"]
    assert merged["folded_into"] == case.folded_into
    settings = json.loads((project / "models/merged/config.json").read_text("utf-8"))
    assert "quantization_config" not in settings
    assert list((project / "models/merged").glob("*.safetensors"))


def test_every_report_is_there(done):
    project, _, _ = done
    for name in ("source", "clean", "validation", "split", "base", "comparison", "metrics", "gate"):
        assert report(project, f"{name}.json"), name
    assert (project / "reports/report.html").stat().st_size > 10_000
    assert run(project, "dvc", "status").strip().endswith("up to date.")
