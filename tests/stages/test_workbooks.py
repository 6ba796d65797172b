"""A cell of a workbook is read as what stands in it; what is wrong with a sheet is told of that sheet."""

import logging
from pathlib import Path

import openpyxl
import polars as pl
import pytest
import xlsxwriter

from stages.lib import readers
from stages.lib.source import Columns, Source
from stages.plumbing.problem import Problem

HEADER = ["title", "content"]
DAY, HOUR, HOURS = "d/m/yyyy", "hh:mm", "[h]:mm:ss"


def read(path: Path, sheet: str | None = None) -> pl.DataFrame:
    columns = Columns(inputs={"title": "title"}, response="content")
    source = Source(
        path=str(path), sha256=None, format="auto", encoding="auto", sheet=sheet, delimiter=None, columns=columns
    )
    return pl.concat(block.rows for block in readers.read(path, source))


def workbook(path: Path, sheets: dict[str, list[list]], **options) -> Path:
    """A text becomes a text cell, whatever it looks like; a pair is a number and its format."""
    with xlsxwriter.Workbook(path, options) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for at, cells in enumerate(rows):
                for column, cell in enumerate(cells):
                    if isinstance(cell, tuple):
                        sheet.write_number(at, column, cell[0], book.add_format({"num_format": cell[1]}))
                    elif isinstance(cell, str):
                        sheet.write_string(at, column, cell)
                    else:
                        sheet.write(at, column, cell)
    return path


def texts(path: Path, cells: list, **options) -> list[str]:
    """The cells, each the content of a row, as they are read."""
    rows = [HEADER, *(["Copo", cell] for cell in cells)]
    return read(workbook(path / "a.xlsx", {"Folha": rows}, **options))["response"].to_list()


def refused(path: Path, sheet: str | None = None) -> Problem:
    with pytest.raises(Problem) as problem:
        read(path, sheet)
    return problem.value


def test_a_number_becomes_the_shortest_text_that_reads_back_as_the_same_number(tmp_path):
    numbers = {
        123456789.1: "123456789.1",
        99999999.99: "99999999.99",
        1.23e-10: "1.23e-10",
        -1e-12: "-1e-12",
        3.14159265358979: "3.14159265358979",
        5.0000000000001: "5.0000000000001",
        0.00001: "0.00001",
        19.9: "19.9",
        1984: "1984",
        2.0: "2",
        -7: "-7",
        10**16: "10000000000000000",
        1e300: "1e+300",
    }
    assert texts(tmp_path, list(numbers)) == list(numbers.values())


def test_a_text_that_looks_like_a_number_stays_letter_for_letter(tmp_path):
    typed = ["007", "1.10", "1e5", "+5", "-0", "0.00001", "123456789.099999994", "12345678901234567", "1" * 30, "nan"]
    assert texts(tmp_path, [*typed, 99999999.99, True]) == [*typed, "99999999.99", "true"]


@pytest.mark.parametrize("date_1904", [False, True])
def test_a_time_has_no_date_and_a_date_keeps_its_own(date_1904, tmp_path):
    cells = {
        (0.5, HOUR): "12:00:00",
        (0.0, HOUR): "00:00:00",
        (0.524259259259259, HOUR): "12:34:56",
        (1.5, HOURS): "36:00:00",
        (2500.25, HOURS): "60006:00:00",
        (-0.5, HOURS): "-12:00:00",
        (1.5 / 86_400, "mm:ss.0"): "00:00:01.500",
        (1.5, DAY): "1904-01-02 12:00:00" if date_1904 else "1900-01-01 12:00:00",
        (43831 if date_1904 else 45293, DAY): "2024-01-02 00:00:00",
    }
    typed = ["1899-12-31 12:00:00", "12:00"]
    assert texts(tmp_path, [*cells, *typed], date_1904=date_1904) == [*cells.values(), *typed]


def test_numbers_and_times_are_exact_where_the_table_does_not_begin_at_a1(tmp_path):
    rows = [[], [], [None, None, *HEADER], [None, None, 99999999.99, (0.5, HOUR)]]
    read_rows = read(workbook(tmp_path / "a.xlsx", {"Folha": rows}))
    assert read_rows.select("line", "title", "response").rows() == [(4, "99999999.99", "12:00:00")]


@pytest.mark.parametrize(
    ("header", "cell"),
    [([None, *HEADER], 0), ([2023, *HEADER], 1.5), ([None, *HEADER], "007"), ([None, *HEADER], None)],
)
def test_a_column_of_numbers_needs_no_name(header, cell, tmp_path):
    # pandas writes its index so.
    rows = [header, [cell, "Copo", "Um copo."], [cell, "Prato", "7"]]
    assert read(workbook(tmp_path / "a.xlsx", {"Folha": rows})).rows() == [
        (1, 2, None, "Copo", "Um copo."),
        (2, 3, None, "Prato", "7"),
    ]


def test_an_empty_first_sheet_is_named_with_the_others(tmp_path):
    others = {f"Dados {n}": [HEADER, ["Copo", "Um copo."]] for n in range(1, 23)}
    problem = refused(workbook(tmp_path / "a.xlsx", {"Capa": [], **others}))
    assert problem.where.endswith("a.xlsx, sheet Capa")
    assert problem.found == "no record"
    listed = ", ".join(f"Dados {n}" for n in range(1, 21))
    assert problem.do.endswith(f"or name another sheet in source.sheet: {listed} and 2 more")


def test_a_sheet_without_the_columns_is_named_with_the_others(tmp_path):
    path = workbook(tmp_path / "a.xlsx", {"Capa": [["Loja"], ["Catálogo"]], "Dados": [HEADER, ["Copo", "Um copo."]]})
    problem = refused(path)
    assert problem.where.endswith("sheet Capa, row 1")
    assert problem.found == "columns Loja; not there: title, content"
    assert problem.do == "correct source.columns, or name another sheet in source.sheet: Dados"
    assert read(path, "Dados")["title"].to_list() == ["Copo"]


def test_the_only_sheet_is_told_of_no_others(tmp_path):
    assert refused(workbook(tmp_path / "a.xlsx", {"Folha": [["Loja"]]})).do == "correct source.columns"
    assert (
        refused(workbook(tmp_path / "b.xlsx", {"Folha": [HEADER]})).do == "check that source.path names the right file"
    )


def chart_first(path: Path) -> Path:
    book = openpyxl.Workbook()
    book.active.title = "Dados"
    for row in (HEADER, ["Copo", "Um copo."]):
        book.active.append(row)
    book.create_chartsheet("Gráfico & mais", 0)
    book.save(path)
    return path


def test_a_chart_is_no_sheet_to_read(tmp_path, caplog):
    path = chart_first(tmp_path / "a.xlsx")
    with caplog.at_level(logging.DEBUG):
        assert read(path)["title"].to_list() == ["Copo"]
        problem = refused(path, "Gráfico & mais")
    assert (problem.found, problem.wanted) == ("sheets Dados", "sheet Gráfico & mais")
    assert [record for record in caplog.records if "worksheet" in record.getMessage()] == []


def test_a_title_above_the_header_is_told_with_the_row_of_the_header(tmp_path):
    rows = [["Relatório 2024"], [], [" title ", "content"], ["Copo", "Um copo."]]
    problem = refused(workbook(tmp_path / "a.xlsx", {"Folha": rows}))
    assert problem.where.endswith("sheet Folha, row 1")
    assert problem.found == "columns Relatório 2024, ; not there: title, content"
    assert problem.do == "the columns stand in row 3: delete what is above it"


def test_a_header_is_looked_for_in_the_twenty_rows_below_the_first(tmp_path):
    near, far = ([["Notas"]] * above + [HEADER, ["Copo", "Um copo."]] for above in (20, 21))
    found = refused(workbook(tmp_path / "a.xlsx", {"Folha": near}))
    assert found.do == "the columns stand in row 21: delete what is above it"
    assert refused(workbook(tmp_path / "b.xlsx", {"Folha": far})).do == "correct source.columns"
