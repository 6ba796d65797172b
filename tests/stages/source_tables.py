"""What the tests of the data stages share: a recipe in a folder of its own, and the five stages run on a file."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import yaml

from stages import clean, fetch, shard, split, validate

ROOT = Path(__file__).parents[2]
REAL = ROOT / "../shared/data"


def change(content: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b.c` in nested mappings."""
    *folders, last = path.split(".")
    for folder in folders:
        content = content[folder]
    content[last] = value


def write_recipe(folder: Path, **changes: Any) -> None:
    """params.yaml in `folder`: the default recipe without its limits on the whole set, changed (`split__test=0`)."""
    content = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
    content["expectations"].update(
        min_rows=1,
        max_share_set_aside=1.0,
        max_share_duplicates=1.0,
        max_share_dirty=1.0,
        min_share_distinct_responses=0.0,
        response_chars=[],
        distinct={},
    )
    content["clean"].update(min_input_chars=1, max_input_chars=None, min_response_chars=1, max_response_chars=None)
    for path, value in changes.items():
        change(content, path.replace("__", "."), value)
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")


def run_clean(folder: Path, source: Path) -> SimpleNamespace:
    """Fetch and clean in the current folder, which is `folder`."""
    fetch.main(source, folder / "data/raw", folder / "reports/source.json")
    paths = (folder / "data/clean.parquet", folder / "data/quarantine.parquet", folder / "reports/clean.json")
    clean.main(folder / "data/raw", *paths, folder / "reports/cleaning.html")
    return SimpleNamespace(
        rows=pl.read_parquet(paths[0]), quarantine=pl.read_parquet(paths[1]), report=json.loads(paths[2].read_text())
    )


def run_validate(folder: Path) -> None:
    validate.main(
        folder / "data/clean.parquet",
        folder / "reports/clean.json",
        folder / "reports/validation.json",
        folder / "reports/data_docs",
        folder / "reports/validation_gate.json",
    )


def run_split(folder: Path) -> SimpleNamespace:
    """Shard and split, the gate taken for passed."""
    gate = folder / "reports/validation_gate.json"
    gate.write_text('{"passed": true}')
    shard.main(folder / "data/clean.parquet", gate, folder / "data/shards")
    names = ("train", "validation", "test", "copies")
    paths = [folder / f"data/split/{name}.parquet" for name in names]
    split.main(folder / "data/shards", *paths, folder / "reports/split.json")
    tables = {name: pl.read_parquet(path) for name, path in zip(names, paths, strict=True)}
    return SimpleNamespace(**tables, report=json.loads((folder / "reports/split.json").read_text()))


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
