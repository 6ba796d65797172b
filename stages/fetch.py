"""Fetch: bring the source unchanged, check its sha256 and note where it came from.

python -m stages.fetch SOURCE data/raw reports/source.json
"""

from dataclasses import asdict
from pathlib import Path

from stages.lib import files
from stages.lib.downloads import bring
from stages.lib.source import Source
from stages.plumbing import console
from stages.plumbing.params import Sections
from stages.plumbing.problem import Problem
from stages.plumbing.run import run


class Params(Sections):
    source: Source


def main(source: Path, raw: Path, report: Path) -> None:
    params = Params.read()
    with files.whole(raw) as begun:
        begun.mkdir()
        brought, origin = bring(source, begun)
        found, wanted = files.sha256(brought), params.source.sha256
        if wanted not in (None, found):
            do = "bring back that file, or pin the new one"
            raise Problem("params.yaml, source.sha256", f"{found} in {brought.name}", wanted, do)
        facts = {"name": brought.name, "bytes": brought.stat().st_size, "sha256": found}
    files.write_json(report, {**facts, **asdict(origin)})
    for fact, value in facts.items():
        console.say(fact, value)


if __name__ == "__main__":
    run(main)
