"""What a download has brought: a file, its name at its origin, and the revision that it is."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.lib.source import FILE_NAME
from stages.plumbing.problem import Problem


@dataclass
class Arrival:
    """A file that has come whole. `name`: as its origin calls it. `revision`: the commit, where the origin has one."""

    path: Path
    name: str
    revision: str | None = None


def file_name(path: str, where: str) -> str:
    """The last part of a path from elsewhere, which can not lead out of a folder; raises Problem for no good name."""
    name = PurePosixPath(path).name
    if not re.fullmatch(FILE_NAME, name):
        do = "add name: to the pointer file"
        raise Problem(where, f"no usable file name ({name!r})", "a name such as rows.jsonl", do)
    return name
