"""Notes: what was found for rows so far, kept on disk as it comes, so that a killed run loses one batch at most."""

import json
import os
from pathlib import Path
from typing import Any


class Notes:
    """Index of a row → what was found for it. With a path, batches are appended to that file as lines of JSON.

    A batch is one line, so that it is there as a whole or not at all: a line that a killed process left torn is cut off
    when the file is opened again. Without a path nothing is kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.found: dict[int, Any] = {}
        if path is not None and path.is_file():
            self._read(path)

    def _read(self, path: Path) -> None:
        whole = 0
        with path.open("r+b") as file:
            for line in file:
                batch = _batch(line)
                if batch is None:
                    break
                self.found.update(batch)
                whole += len(line)
            file.truncate(whole)

    def add(self, rows: list[int], results: list[Any]) -> None:
        """Note the results of a batch; on disk they are when this returns."""
        batch = list(zip(rows, results, strict=True))
        self.found.update(batch)
        if self.path is not None:
            with self.path.open("ab") as file:
                file.write(json.dumps(batch).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())


def _batch(line: bytes) -> list[tuple[int, Any]] | None:
    """The rows of a line, or None when it is not whole."""
    try:
        return [(row, result) for row, result in json.loads(line)] if line.endswith(b"\n") else None
    except (ValueError, TypeError):
        return None
