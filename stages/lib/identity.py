"""What made the numbers: the code of a stage and the packages it works with, each told by one hash."""

import ast
import hashlib
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from stages.lib.files import sha256

ROOT = Path(__file__).resolve().parents[2]
CARRIES = ROOT / "stages/plumbing"  # carries a stage, and decides no result


def code_of(stage: Path) -> list[Path]:
    """The files that a stage is made of: its own, those of stages/ that it imports, and what stands beside them.

    They are what dvc.yaml declares as its code (tests/stages holds both equal). Paths are relative to the project.
    """
    seen: set[Path] = set()
    waiting = [stage.resolve()]
    while waiting:
        file = waiting.pop()
        if file not in seen and not file.is_relative_to(CARRIES):
            seen.add(file)
            waiting += _imported(file)
    texts = [file.read_text("utf-8") for file in seen]
    others = [file for file in (ROOT / "stages/lib").iterdir() if file.is_file() and file.suffix != ".py"]
    seen.update(file for file in others if any(file.name in text for text in texts))
    return sorted(file.relative_to(ROOT) for file in seen)


def _imported(file: Path) -> list[Path]:
    """The modules of stages/ that a file imports, wherever the import stands in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    paths = [ROOT / f"{name.replace('.', '/')}.py" for name in names if name.startswith("stages.")]
    return [path for path in paths if path.is_file()]


def sha256_of_code(stage: Path) -> str:
    """One sha256 over the names and contents of the files that a stage is made of."""
    lines = [f"{path.as_posix()}\0{sha256(ROOT / path)}\n" for path in code_of(stage)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def environment(packages: Iterable[str]) -> list[str]:
    """`name version` of Python (to the minor version) and of the packages; other machines may round differently."""
    return [
        f"python {sys.version_info.major}.{sys.version_info.minor}",
        *(f"{name} {version(name)}" for name in packages),
    ]


def sha256_of_lines(lines: Iterable[str]) -> str:
    """One sha256 over lines of text."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
