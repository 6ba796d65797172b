"""Tables are read in blocks that are neither too long nor too large, and no row is lost between them."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lib import tables
from stages.lib.tables import blocks, growing


@given(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(1, 12), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_blocks_laid_end_to_end_are_the_tables(tmp_path_factory, lengths, rows, group):
    folder = tmp_path_factory.mktemp("tables")
    begun, paths, whole = 0, [], []
    for number, length in enumerate(lengths):
        table = pl.DataFrame({"row_id": range(begun, begun + length)}, schema={"row_id": pl.Int64})
        begun += length
        paths.append(folder / f"{number}.parquet")
        table.write_parquet(paths[-1], row_group_size=group)
        whole.append(table)
    got = list(blocks(paths, rows))
    assert all(0 < block.height <= rows for block in got)
    assert [row for block in got for row in block["row_id"]] == pl.concat(whole)["row_id"].to_list()


@pytest.mark.parametrize(("chars", "most"), [(1000, 100), (20_000, 5), (1_000_000, 1)])
def test_long_rows_come_a_few_at_a_time(chars, most, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BYTES", 110_000)
    texts = [
        f"{n:06}" + "".join(chr(97 + (n * k * k + k) % 26) for k in range(1000)) * (chars // 1000) for n in range(20)
    ]
    pl.DataFrame({"text": texts}).write_parquet(tmp_path / "long.parquet")
    got = [block.height for block in blocks([tmp_path / "long.parquet"])]
    assert sum(got) == 20
    assert max(got) <= most


def test_the_bytes_of_a_table_do_not_depend_on_the_chunks_it_is_held_in(tmp_path):
    whole = pl.DataFrame({"row_id": range(60_000), "text": [f"text {n} " * 9 for n in range(60_000)]})
    written = []
    for chunks in (1, 2, 16):
        rows = -(-whole.height // chunks)
        table = pl.concat([whole.slice(begun, rows) for begun in range(0, whole.height, rows)], rechunk=False)
        assert table.n_chunks() == chunks
        with growing(tmp_path / "rows.parquet", dict(whole.schema)) as add:
            add(table)
        written.append((tmp_path / "rows.parquet").read_bytes())
    assert written[0] == written[1] == written[2]
