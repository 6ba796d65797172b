r"""Clean: keep the raw rows that make good examples, and count why the others were left out.

    python -m stages.clean data/raw data/clean.parquet data/quarantine.parquet \
        reports/clean.json reports/cleaning.html
"""

import os
from pathlib import Path

from stages.plumbing import processors

# Blocks are cleaned beside each other, one for each processor: on few of them polars' own threads only pass the work of
# those to and fro (5 to 10 % of the time on two). It is read when polars is loaded.
os.environ.setdefault("POLARS_MAX_THREADS", str(max(1, processors.available() // 2)))

from stages.lib import files
from stages.lib.changes import page
from stages.lib.cleaning import Cleaning
from stages.lib.rules import Clean
from stages.lib.source import Source, the_source_in
from stages.plumbing import allocator
from stages.plumbing.params import Sections
from stages.plumbing.run import run


class Params(Sections):
    clean: Clean
    source: Source


def main(raw: Path, clean: Path, quarantine: Path, report: Path, examples: Path) -> None:
    params = Params.read()
    source = the_source_in(raw)
    cleaning = Cleaning(params.source, params.clean)
    with files.whole(clean) as kept, files.whole(quarantine) as set_aside:
        told = cleaning.run(source, kept, set_aside)
    with files.whole(examples) as begun:
        begun.write_text(page(cleaning.examples, told), "utf-8")
    files.write_json(report, told)
    cleaning.tell(told)


if __name__ == "__main__":
    allocator.keep_freed()
    run(main)
