"""Records that wait on disk: unnamed files beside the outputs, so that memory does not grow with their number.

The files have no name, so that a process that is killed leaves nothing behind.
"""

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

# Bytes of a window that is mapped into memory at a time.
WINDOW_BYTES = 1 << 27


def _close(opened: BinaryIO) -> None:
    """Close a file that nobody reads any more; what a full disk keeps it from flushing is wanted no more either."""
    with suppress(OSError):
        opened.close()


class Spool:
    """An array on disk that grows at its end; read by ranges, or gathered by rows of records."""

    def __init__(self, place: Path, dtype: np.dtype | type) -> None:
        """place: a folder on a disk with room, which exists."""
        self.dtype = np.dtype(dtype)
        self._place = place
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @cached_property
    def _file(self) -> BinaryIO:
        opened = tempfile.TemporaryFile(dir=self._place)  # noqa: SIM115 - it lives as long as the spool
        weakref.finalize(self, _close, opened)
        return opened

    def add(self, records: np.ndarray) -> None:
        """Append records. Raises OSError with its errno where the disk is full."""
        self._file.write(np.ascontiguousarray(records, self.dtype).tobytes())
        self._length += len(records)

    def between(self, begin: int, end: int) -> np.ndarray:
        """A copy of the records from `begin` to before `end`."""
        if not self._length:
            return np.empty(0, self.dtype)
        self._file.flush()
        self._file.seek(begin * self.dtype.itemsize)
        found = np.fromfile(self._file, self.dtype, max(0, min(end, self._length) - begin))
        self._file.seek(0, 2)
        return found

    def parts(self, length: int) -> Iterator[np.ndarray]:
        """All records in order, at most `length` at a time."""
        for begin in range(0, self._length, length):
            yield self.between(begin, begin + length)

    def gathered(self, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """The records of these ranges one after the other; the ranges ascend and do not overlap."""
        sizes = ends - begins
        found = np.empty(int(sizes.sum()), self.dtype)
        span = max(1, WINDOW_BYTES // self.dtype.itemsize)
        written = at = 0
        self._file.flush()
        while at < len(begins):
            until = max(at + 1, int(np.searchsorted(ends, begins[at] + span, side="right")))
            low, high = int(begins[at]), int(ends[until - 1])
            lengths = sizes[at:until]
            total = int(lengths.sum())
            if total:
                # A mapped window costs only the pages that are touched, and gives them back at once.
                window = np.memmap(self._file, self.dtype, "r", low * self.dtype.itemsize, (high - low,))
                ahead = np.cumsum(lengths) - lengths
                places = np.repeat(begins[at:until] - low - ahead, lengths) + np.arange(total)
                np.take(window, places, out=found[written : written + total], mode="clip")
                del window
            written, at = written + total, until
        return found

    def close(self) -> None:
        """Give the disk space back; nothing is left to read."""
        self._file.close()
        self._length = 0


class Buckets:
    """Records sorted into numbered spools as they come; within a bucket they keep their order."""

    def __init__(self, place: Path, dtype: np.dtype | type, count: int) -> None:
        self.spools = [Spool(place, dtype) for _ in range(count)]

    def add(self, bucket: np.ndarray, records: np.ndarray) -> None:
        """Append each record to its bucket (numbers below 65,536)."""
        order = np.argsort(bucket.astype(np.uint16), kind="stable")
        bounds = np.searchsorted(bucket[order], np.arange(len(self.spools) + 1))
        records = records[order]
        for number in np.flatnonzero(np.diff(bounds)):
            self.spools[number].add(records[bounds[number] : bounds[number + 1]])
