"""What fetch and clean make of rows that none of us wrote: one line for each file of `../shared/data`.

    python bench/shared_data.py [--data FOLDER]

Each table goes through `python -m stages.fetch` and `python -m stages.clean` as processes, with the default recipe, its
columns named, and twice: with the recipe's limits of length, and with open ones (1 character or more, no upper limit).
The corpora have no columns: they are what `model.path` takes, one text per line, and are read as the stage base reads
them. Prints the settings and the table; exits 0 with a word where the folder is not there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "../shared/data"

# file -> columns of the inputs, column of the response
TABLES = {
    "products_en/trn_sample.json": (["title"], "content"),
    "products_html/title_content.jsonl": (["title"], "content"),
    "products_ports/mports.jsonl.gz": (["title"], "content"),
    "tarot_pt/db_waite_pt.xlsx": (["evento", "carta", "tema", "secao"], "texto"),
    "tarot_en/rows.jsonl": (["card", "theme"], "text"),
}
CORPORA = ("corpus_pt/machado.txt.gz", "corpus_en/gutenberg.txt.gz")
LIMITS = ("min_input_chars", "max_input_chars", "min_response_chars", "max_response_chars")
OPEN = dict(zip(LIMITS, (1, None, 1, None), strict=True))


def recipe_for(inputs: list[str], response: str, limits: dict[str, int | None]) -> dict[str, Any]:
    """The default recipe with these columns and limits; what names a column elsewhere follows."""
    recipe = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
    recipe["source"]["columns"] = {"inputs": {name: name for name in inputs}, "response": response}
    recipe["clean"] |= limits
    recipe["prompt"] |= {"template": "custom", "text": f"{{{inputs[0]}}}"}
    recipe["split"]["group"] = [inputs[0]]
    recipe["expectations"]["distinct"] = {}
    return recipe


def report_of(source: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    """reports/clean.json after fetch and clean in a folder of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "params.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), "utf-8")
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        for words in (
            ["stages.fetch", str(source.resolve()), "raw", "source.json"],
            ["stages.clean", "raw", "clean.parquet", "quarantine.parquet", "clean.json", "cleaning.html"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", *words], cwd=folder, env=env, check=False, capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(done.stderr)
        return json.loads((folder / "clean.json").read_text("utf-8"))


def line_of(name: str, told: str, report: dict[str, Any]) -> str:
    """One line of the table; the ledger must add up."""
    read, kept, twice, out = (report[key] for key in ("read", "kept", "duplicates", "quarantined"))
    if read != kept + twice + out or out != sum(report["reasons"].values()):
        raise SystemExit(f"{name}: the ledger does not add up: {report}")
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in report["reasons"].items()) or "none"
    return f"| `{name}` | {told} | {read:,} | {kept:,} | {twice:,} | {out:,} | {reasons} |"


def main(data: Path) -> None:
    """Print the settings and the table."""
    if not data.is_dir():
        print(f"{data} is not here: nothing to do")
        return
    usual = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))["clean"]
    limits = {"default": {key: usual[key] for key in LIMITS}, "open": OPEN}
    for told, values in limits.items():
        print(f"{told}: {', '.join(f'clean.{key} {json.dumps(value)}' for key, value in values.items())}")
    print("\n| source | limits | read | kept | duplicates | quarantined | by reason |\n|---|---|---|---|---|---|---|")
    for name, (inputs, response) in TABLES.items():
        for told, values in limits.items():
            print(line_of(name, told, report_of(data / name, recipe_for(inputs, response, values))), flush=True)
    sys.path.insert(0, str(ROOT))
    from stages.lib.corpus import read_corpus

    print("\n| corpus, for model.path | texts, one per line that holds something | characters |\n|---|---|---|")
    for name in CORPORA:
        texts = read_corpus(data / name)
        print(f"| `{name}` | {len(texts):,} | {sum(map(len, texts)):,} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    main(parser.parse_args().data)
