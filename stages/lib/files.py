"""The one place that touches the disk: every output is written whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` to write a file or folder to; rename it to `target` when all went well.

    The caller creates the path. A failure leaves `target` as it was and removes what was begun.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as workplace:
        begun = Path(workplace) / target.name
        yield begun
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        begun.replace(target)


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
