"""Token ids of many rows as Arrow columns: four bytes an id, where a Python list takes eight and its number 28 more."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.lib.prompts import Encoded, Prompt, encode
from stages.plumbing.console import bar

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

AT_A_TIME = 2000  # rows whose ids are Python lists at the same moment


@dataclass(frozen=True)
class Columns:
    """Token ids of some rows: a table of `prompt` and `response`, lists of int32; and how many rows lost text."""

    table: "pa.Table"
    shortened: int
    cut: int

    def lengths(self, column: str) -> "np.ndarray":
        """How many ids each row has in a column."""
        import pyarrow.compute as pc

        return pc.list_value_length(self.table[column]).to_numpy()


def in_columns(rows: list[dict[str, Any]], prompt: Prompt, tokenizer: Any) -> Columns:
    """What `encode` makes of the rows, as columns."""
    with bar("making token ids", len(rows)) as progress:

        def parts() -> Iterable[Encoded]:
            for begin in range(0, len(rows), AT_A_TIME):
                part = rows[begin : begin + AT_A_TIME]
                yield encode(part, prompt, tokenizer)
                progress.update(len(part))

        return columns_of(parts())


def columns_of(parts: Iterable[Encoded]) -> Columns:
    """Encoded rows, part after part, as columns."""
    import pyarrow as pa

    kind = pa.list_(pa.int32())
    batches, shortened, cut = [], 0, 0
    for part in parts:
        columns = [pa.array(part.prompts, kind), pa.array(part.responses, kind)]
        batches.append(pa.record_batch(columns, names=["prompt", "response"]))
        shortened += part.shortened
        cut += part.cut
    schema = pa.schema([("prompt", kind), ("response", kind)])
    return Columns(pa.Table.from_batches(batches, schema), shortened, cut)


def pairs(columns: Columns) -> "pa.Table":
    """What a model that reads and then writes learns from: the prompt, and the response for labels."""
    import numpy as np

    longer = np.maximum(columns.lengths("prompt"), columns.lengths("response")).astype(np.int64)
    return _named(columns.table["prompt"], columns.table["response"], longer)


def sequences(columns: Columns) -> "pa.Table":
    """What a model that writes on learns from: prompt and response in one, of which the response alone counts."""
    import pyarrow as pa

    joined = [_joined(*batch.columns) for batch in columns.table.to_batches()]
    kind = columns.table.schema.field("prompt").type
    ids, labels = (pa.chunked_array(parts, kind) for parts in zip(*joined, strict=True))
    both = columns.lengths("prompt").astype("int64") + columns.lengths("response")
    return _named(ids, labels, both)


def _named(ids: "pa.ChunkedArray", labels: "pa.ChunkedArray", lengths: "np.ndarray") -> "pa.Table":
    import pyarrow as pa

    return pa.table({"input_ids": ids, "labels": labels, "length": pa.array(lengths)})


def _joined(prompts: "pa.ListArray", responses: "pa.ListArray") -> tuple["pa.ListArray", "pa.ListArray"]:
    """Each prompt with its response behind it; and the same with -100, which the loss leaves out, for the prompt."""
    import numpy as np
    import pyarrow as pa

    lengths = np.stack([prompts.value_lengths(), responses.value_lengths()], axis=1)
    asked = np.repeat(np.tile([True, False], len(prompts)), lengths.ravel())
    ids = np.empty(len(asked), np.int32)
    ids[asked], ids[~asked] = prompts.flatten(), responses.flatten()
    offsets = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))]).astype(np.int32)
    labels = np.where(asked, np.int32(-100), ids)
    return pa.ListArray.from_arrays(offsets, ids), pa.ListArray.from_arrays(offsets, labels)
