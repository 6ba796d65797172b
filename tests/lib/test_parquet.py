"""What is plain in Parquet becomes text, the rest is refused by its name; columns nobody wants may hold anything."""

import json
from datetime import date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.lib.parquet import blocks
from stages.lib.source import Source
from stages.plumbing.problem import Problem


def read(path, table: pa.Table, title: str = "title"):
    """The one block of the table, whose columns `title` and content are wanted."""
    pq.write_table(table, path / "a.parquet")
    columns = {"inputs": {"title": title}, "response": "content"}
    absent = dict.fromkeys(("sha256", "sheet", "delimiter"))
    source = Source(path="a.parquet", format="auto", encoding="auto", columns=columns, **absent)
    [block] = blocks(path / "a.parquet", source)
    return block


def numbers(values: list[int], *kinds: pa.DataType) -> pa.Array:
    """An array of a type that Python may have no values for, by what it stores."""
    array = pa.array(values, pa.int64())
    for kind in kinds:
        array = array.cast(kind)
    return array


FAR_DAY = numbers([2**30], pa.int32(), pa.date32())
FAR_TIME = numbers([2**62], pa.timestamp("us"))

PLAIN = {
    "text": (pa.array(["pão"], pa.string_view()), "pão"),
    "category": (pa.array(["pão"]).dictionary_encode(), "pão"),
    "JSON": (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}'])), '{"a": 1}'),
    "integer": (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
    "float": (pa.array([2.0]), "2.0"),
    "decimal": (pa.array([Decimal("1.50")]), "1.50"),
    "truth": (pa.array([True]), "true"),
    "date": (pa.array([date(2024, 1, 2)]), "2024-01-02"),
    "timestamp": (pa.array([datetime(2024, 1, 2, 3, 4)]), "2024-01-02 03:04:00.000000"),
    "timestamp of a zone": (numbers([0], pa.timestamp("ms", "America/Sao_Paulo")), "1969-12-31 21:00:00.000-03:00"),
    "time": (pa.array([time(23, 59, 1)]), "23:59:01"),
    "time with a fraction": (pa.array([time(23, 59, 1, 500_000)]), "23:59:01.500"),
    "nothing": (pa.nulls(1), None),
    "last day": (pa.array([date.max]), "9999-12-31"),
    "day out of range": (FAR_DAY, None),
    "timestamp out of range": (FAR_TIME, None),
    "milliseconds out of range": (numbers([-(2**62)], pa.timestamp("ms")), None),
}

NO_TEXTS = {
    "binary": pa.array([b"ab"]),
    "fixed_size_binary[2]": pa.array([b"ab"], pa.binary(2)),
    "binary_view": pa.array([b"ab"], pa.binary_view()),
    "dictionary<values=binary, indices=int32, ordered=0>": pa.array([b"ab"]).dictionary_encode(),
    "extension<arrow.uuid>": pa.array([b"0123456789abcdef"], pa.uuid()),
    "list<element: string>": pa.array([["ab"]]),
    "struct<a: string>": pa.array([{"a": "b"}]),
    "duration[us]": numbers([1], pa.duration("us")),
    "decimal256(50, 2)": pa.array([Decimal("1.50")], pa.decimal256(50, 2)),
}

# What Python, JSON or polars has no value for, and how the quarantine shows it.
UNWANTED = {
    "number of 256 bits": (NO_TEXTS["decimal256(50, 2)"], "1.50"),
    "day out of range": (FAR_DAY, "<date32[day] that cannot be shown>"),
    "timestamp out of range": (FAR_TIME, "<timestamp[us] that cannot be shown>"),
    "timestamp of no zone": (
        numbers([0], pa.timestamp("us", "Mars/Olympus")),
        "<timestamp[us, tz=Mars/Olympus] that cannot be shown>",
    ),
    "no UTF-8": (pa.array([b"caf\xe9"]).view(pa.string()), "<string that cannot be shown>"),
    "bytes": (pa.array([b"\xff"]), "b'\\xff'"),
    "list": (pa.array([["a", None]]), ["a", None]),
    "JSON": (PLAIN["JSON"][0], '{"a": 1}'),
}


@pytest.mark.parametrize("case", PLAIN)
def test_what_is_plain_becomes_text_and_a_date_outside_the_years_1_to_9999_is_none(case, tmp_path):
    column, text = PLAIN[case]
    assert read(tmp_path, pa.table({"title": column, "content": ["b"]})).rows["title"].to_list() == [text]


@pytest.mark.parametrize("kind", NO_TEXTS)
def test_a_wanted_column_of_another_type_is_refused_by_its_name_and_type(kind, tmp_path):
    with pytest.raises(Problem) as refused:
        read(tmp_path, pa.table({"title": NO_TEXTS[kind], "content": ["b"]}))
    assert refused.value.where.endswith("column title")
    assert refused.value.found == kind
    assert "texts, truth values, dates, times, or numbers" in refused.value.wanted


@pytest.mark.parametrize("zone", ["+05:30", "-03:30", "Z"])
def test_a_wanted_time_of_a_zone_that_is_not_known_is_refused_as_a_column(zone, tmp_path):
    times = pa.array([0], pa.timestamp("us", zone))
    with pytest.raises(Problem) as refused:
        read(tmp_path, pa.table({"title": times, "content": ["b"]}))
    assert (refused.value.where.rpartition(", ")[2], refused.value.found) == ("column title", str(times.type))
    read(tmp_path, pa.table({"title": ["a"], "content": ["b"], "at": times}))


def test_a_wanted_time_of_no_zone_is_refused_in_words(tmp_path):
    with pytest.raises(Problem, match="Mars/Olympus"):
        read(tmp_path, pa.table({"title": UNWANTED["timestamp of no zone"][0], "content": ["b"]}))


@pytest.mark.parametrize("case", UNWANTED)
def test_a_column_that_nobody_wants_stops_nothing_and_is_shown_as_well_as_can_be(case, tmp_path):
    column, shown = UNWANTED[case]
    block = read(tmp_path, pa.table({"title": ["a"], "content": ["b"], "more": column}))
    assert json.loads(block.raw(block.rows)[0]) == {"title": "a", "content": "b", "more": shown}


def test_another_column_may_be_there_twice(tmp_path):
    table = pa.Table.from_arrays([pa.array([cell]) for cell in "abcd"], ["title", "content", "x", "x"])
    block = read(tmp_path, table)
    assert block.rows.rows() == [(1, 1, None, "a", "b")]
    assert json.loads(block.raw(block.rows)[0]) == {"title": "a", "content": "b", "x": "c", "x [4]": "d"}


def test_a_wanted_column_must_be_there_once(tmp_path):
    with pytest.raises(Problem, match="more than one column title"):
        read(tmp_path, pa.table({"title": ["a"], "title ": ["b"], "content": ["c"]}))


def test_spaces_around_a_name_do_not_count(tmp_path):
    block = read(tmp_path, pa.table({"\ttitle ": ["a"], " content": ["b"]}))
    assert block.rows.rows() == [(1, 1, None, "a", "b")]
    assert block.keys == {"title", "content"}
    assert block.raw(block.rows) == ['{"title": "a", "content": "b"}']


def test_a_column_named_with_its_spaces_is_told_its_name_without(tmp_path):
    with pytest.raises(Problem, match="columns title, content; not there: title "):
        read(tmp_path, pa.table({"title ": ["a"], "content": ["b"]}), title="title ")
