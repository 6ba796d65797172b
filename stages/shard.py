"""Shard: cut the clean rows into numbered parts, with a manifest of their hashes.

python -m stages.shard data/clean.parquet reports/validation_gate.json data/shards
"""

from pathlib import Path

from stages.lib import files, shards
from stages.plumbing import console
from stages.plumbing.params import Sections
from stages.plumbing.problem import Problem
from stages.plumbing.run import run


class Params(Sections):
    shard: shards.Shard


def main(clean: Path, gate: Path, folder: Path) -> None:
    params = Params.read()
    if not gate.is_file() or not files.read_json(gate).get("passed"):  # validate removes it first of all
        raise Problem(str(gate), "not passed", "passed: true", "run dvc repro validate and see what it says")
    with files.whole(folder) as begun:
        manifest = shards.write(begun, shards.cut(clean, params.shard.rows))
    console.say("rows", manifest["rows"])
    console.say("shards", len(manifest["shards"]))
    console.say("size", sum(shard["bytes"] for shard in manifest["shards"]), "bytes")


if __name__ == "__main__":
    run(main)
