"""The one place that touches the disk: every output is written whole or not at all."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` to write a file or folder to; rename it to `target` when all went well.

    The caller creates the path. A failure leaves `target` as it was and removes what was begun, and the next call what
    a process that was killed has left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.begun-"
    _clear(target.parent, prefix)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix) as workplace, _open(Path(workplace)) as held:
        with suppress(OSError):  # a disk that knows no locks: then nothing is ever cleared there
            fcntl.flock(held, fcntl.LOCK_SH)
        begun = Path(workplace) / target.name
        yield begun
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        begun.replace(target)


def _clear(folder: Path, prefix: str) -> None:
    """Remove what was begun by processes that live no more: a living one holds the lock of its folder."""
    for left in folder.iterdir():
        if left.name.startswith(prefix):
            with suppress(OSError), _open(left) as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)


@contextmanager
def _open(folder: Path) -> Iterator[int]:
    held = os.open(folder, os.O_RDONLY)
    try:
        yield held
    finally:
        os.close(held)


def write_json(target: Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON with sorted keys: equal content gives equal bytes. NaN and infinity are refused."""
    text = json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    with whole(target) as begun:
        begun.write_text(text + "\n", "utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The content of a report that an earlier stage wrote."""
    return json.loads(path.read_text("utf-8"))


def write_table(target: Path, table: "pl.DataFrame") -> None:  # noqa: F821 - polars is the caller's import
    """Write a table as zstd Parquet; equal tables give equal bytes."""
    with whole(target) as begun:
        table.write_parquet(begun, compression="zstd")


def sha256(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_folder(folder: Path) -> str:
    """One sha256 over the names and contents of all files below `folder`, independent of their order on disk."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def size_in_bytes(path: Path) -> int:
    """The size of a file, or of all files below a folder."""
    return sum(Path(root, name).stat().st_size for root, _, names in os.walk(path) for name in names) or (
        path.stat().st_size if path.is_file() else 0
    )
