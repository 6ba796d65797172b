"""Whatever a source holds, each record is kept or has a reason, or one message says what is wrong with the file."""

import bz2
import gzip
import io
import json
import lzma
import random
import unicodedata
import zipfile
from pathlib import Path

import openpyxl
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
import yaml
from source_tables import json_lines, run_clean, write_recipe

from stages.lib import decoding, delimited
from stages.lib.changes import TOLD
from stages.lib.records import told_apart
from stages.plumbing.problem import Problem

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
GOOD = {"title": "Copo azul", "content": "Um copo azul de vidro para a mesa do dia."}
LINE = json.dumps(GOOD, ensure_ascii=False).encode() + b"\n"


def line(title: str = "Prato raso", content: str = "Um prato raso de louça branca, para servir.") -> bytes:
    return json_lines([{"title": title, "content": content}])


def workbook(fill) -> bytes:
    target = io.BytesIO()
    with xlsxwriter.Workbook(target, {"in_memory": True}) as book:
        fill(book, book.add_worksheet("Folha"))
    return target.getvalue()


def _plain_sheet(book, sheet) -> None:
    sheet.write_row(0, 0, ["title", "content"])
    sheet.write_row(1, 0, ["Copo", "Um copo."])


def _odd_cells(book, sheet) -> None:
    from datetime import UTC, datetime

    sheet.write_row(1, 1, ["title", "content"])  # the table begins at B2
    sheet.write(2, 1, "Ano")
    sheet.write_datetime(
        2, 2, datetime(2024, 1, 2, tzinfo=UTC).replace(tzinfo=None), book.add_format({"num_format": "d/m/yy"})
    )
    sheet.write(3, 1, 1984)
    sheet.write_formula(3, 2, '="Um "&"livro"', None, "Um livro")
    sheet.merge_range(4, 1, 5, 1, "Duas linhas")
    sheet.write(4, 2, "A primeira.")
    sheet.write(5, 2, "A segunda, sem título.")
    sheet.write_row(7, 1, ["Depois", "de uma linha vazia."])


def swollen_workbook() -> bytes:
    """A workbook whose parts are said to be 3 GB unpacked: only the directory of the archive says so."""
    data = bytearray(workbook(_plain_sheet))
    at = data.rfind(b"PK\x01\x02")  # the last entry of the central directory; the size stands 24 bytes further
    data[at + 24 : at + 28] = (3_000_000_000).to_bytes(4, "little")
    return bytes(data)


def hiding_workbook() -> bytes:
    """A workbook of 3 MB with a part that is larger than the directory of the archive says."""
    target = io.BytesIO(workbook(_plain_sheet))
    with zipfile.ZipFile(target, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("media/noise.png", random.Random(1).randbytes(3_000_000))
        archive.writestr("xl/more.xml", b" " * 1_000_000, zipfile.ZIP_DEFLATED)
    data = bytearray(target.getvalue())
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    return bytes(data)


def bomb_workbook() -> bytes:
    target = io.BytesIO(workbook(_plain_sheet))
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/more.xml", "w") as part:
        for _ in range(300):
            part.write(b" " * (1 << 20))
    return target.getvalue()


def formulas_without_results() -> bytes:
    """As openpyxl and other programs write formulas that no spreadsheet has calculated yet."""
    target, book = io.BytesIO(), openpyxl.Workbook()
    for row in (["title", "content"], ["Copo", '="Um "&"copo"'], ["Prato", "Um prato."], ["Erro", "=1/0"]):
        book.active.append(row)
    book.save(target)
    return target.getvalue()


def _merged(book, sheet) -> None:
    sheet.write_row(0, 0, ["title", "content"])
    sheet.merge_range(1, 0, 3, 0, "O Louco")
    sheet.write_column(1, 1, ["Em cima.", "No meio.", "Embaixo."])
    sheet.merge_range(4, 0, 4, 1, "Ao lado")


def _twice(book, sheet) -> None:
    sheet.write_row(0, 0, ["title", "content", "title"])
    sheet.write_row(1, 0, ["a", "b", "c"])


def parquet(table: dict, **settings) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(table), target, **settings)
    return target.getvalue()


def damaged_page() -> bytes:
    """Parquet whose first page begins with zeros: the footer is in order."""
    data = parquet({"title": [f"t{n}" for n in range(500)], "content": ["c"] * 500})
    return data[:4] + bytes(40) + data[44:]


def zstd(content: bytes) -> bytes:
    target = pa.BufferOutputStream()
    with pa.CompressedOutputStream(target, "zstd") as packed:
        packed.write(content)
    return target.getvalue().to_pybytes()


def skippable(content: bytes) -> bytes:
    """A zstd frame that says nothing, to be skipped: pzstd begins a file with one (RFC 8878, 3.1.2)."""
    return b"\x50\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


def zipped(**members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def bomb() -> bytes:
    with io.BytesIO() as target:
        with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=9, mtime=0) as packed:
            zeros = b" " * (1 << 20)
            for _ in range(300):
                packed.write(zeros)
        return target.getvalue()


# name -> (file name, content, rows kept, reasons)
KEPT = {
    "blank lines between": ("a.jsonl", LINE + b"\n   \n\r\n" + line(), 2, {}),
    "CRLF": ("a.jsonl", LINE.replace(b"\n", b"\r\n") + line().replace(b"\n", b"\r\n"), 2, {}),
    "no newline at the end": ("a.jsonl", LINE + line().rstrip(), 2, {}),
    "byte order mark": ("a.jsonl", b"\xef\xbb\xbf" + LINE, 1, {}),
    "UTF-16 with mark": ("a.jsonl", (LINE + line()).decode().encode("utf-16"), 2, {}),
    "UTF-16 without mark": ("a.jsonl", (LINE + line()).decode().encode("utf-16-le"), 2, {}),
    "cp1252": ("a.jsonl", (LINE + line()).decode().encode("cp1252"), 2, {}),
    "JSON Lines named .json": ("a.json", LINE + line(), 2, {}),
    "JSON array": ("a.json", json.dumps([GOOD, {"title": "b", "content": "c"}], indent=2).encode(), 2, {}),
    "array with odd elements": (
        "a.json",
        json.dumps([GOOD, 5, [1], {"title": 1, "content": "x"}]).encode(),
        1,
        {"no_object": 2, "no_text": 1},
    ),
    "zstd as pzstd writes it": (
        "a.jsonl.zst",
        skippable(b"\x10\0\0\0") + zstd(LINE) + skippable(b"x") + zstd(line()),
        2,
        {},
    ),
    "gzip under another name": ("a.jsonl", gzip.compress(LINE), 1, {}),
    "extra columns": ("a.jsonl", json_lines([{**GOOD, "price": 3, "tags": ["a"], "more": {"title": "x"}}]), 1, {}),
    "NaN in another column": ("a.jsonl", b'{"title": "Copo", "content": "Um copo.", "price": NaN}\n' + LINE, 2, {}),
    "raw tab in a text": ("a.jsonl", b'{"title": "Copo", "content": "Um\tcopo."}\n' + LINE, 2, {}),
    "text that looks like a number": ("a.jsonl", line("1984", "Um livro.") + line("[usado] copo", "true"), 2, {}),
    "U+FFFD and emoji": (
        "a.jsonl",
        line("Copo\ufffd azul \U0001f600\ufe0f", "Um \U0001f468\u200d\U0001f4bb copo."),
        1,
        {},
    ),
    "truncated line": ("a.jsonl", LINE + b'{"title": "Copo", "content": "Um\n' + line(), 2, {"broken_json": 1}),
    "text after the object": ("a.jsonl", LINE + LINE.rstrip() + b" x\n", 1, {"broken_json": 1}),
    "NUL bytes": ("a.jsonl", LINE + b"\0\0\0\0\n", 1, {"broken_json": 1}),
    "NUL escape in a text": ("a.jsonl", b'{"title": "Co\\u0000po", "content": "Um copo."}\n', 1, {}),
    "10,000 deep": ("a.jsonl", LINE + b'{"title": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n", 1, {"broken_json": 1}),
    "an array where an object belongs": ("a.jsonl", LINE + b'["a", "b"]\n"c"\n5\nnull\n', 1, {"no_object": 4}),
    "numbers where text belongs": (
        "a.jsonl",
        LINE + b'{"title": 5, "content": "x"}\n{"title": "x", "content": 1.5e3}\n',
        1,
        {"no_text": 2},
    ),
    "lists and objects where text belongs": (
        "a.jsonl",
        LINE + b'{"title": ["a"], "content": "x"}\n{"title": "x", "content": {"a": 1}}\n',
        1,
        {"no_text": 2},
    ),
    "truth where text belongs": ("a.jsonl", LINE + b'{"title": true, "content": "x"}\n', 1, {"no_text": 1}),
    "NaN where text belongs": ("a.jsonl", LINE + b'{"title": NaN, "content": "x"}\n', 1, {"no_text": 1}),
    "a key twice": ("a.jsonl", LINE + b'{"title": "a", "title": "b", "content": "x"}\n', 1, {"repeated_key": 1}),
    "a key twice in one line and never in another": (
        "a.jsonl",
        LINE + b'{"title": "a", "title": "b", "content": "x"}\n{"content": "y z"}\n',
        1,
        {"repeated_key": 1, "empty_input": 1},
    ),
    "a key twice, the other one never": (
        "a.jsonl",
        LINE + b'{"title": "a", "title": "b"}\n',
        1,
        {"repeated_key": 1},
    ),
    "lone surrogate": (
        "a.jsonl",
        LINE + b'{"title": "a\\ud800", "content": "x"}\n{"title": "a\\ude00", "content": "x"}\n',
        1,
        {"lone_surrogate": 2},
    ),
    "surrogate pair": ("a.jsonl", b'{"title": "a\\ud83d\\ude00", "content": "x y"}\n', 1, {}),
    "one line that is no UTF-8": (
        "a.jsonl",
        LINE + line() + b'{"title": "caf\xe9", "content": "x"}\n',
        2,
        {"no_utf8": 1},
    ),
    "empty texts": (
        "a.jsonl",
        LINE + line("", "x") + line(" \u00a0", "x") + line("x", "") + b'{"title": "x"}\n',
        1,
        {"empty_input": 2, "empty_response": 2},
    ),
    "stubs": ("a.jsonl", LINE + line("x", "N/A") + line("x", "...") + line("x", "Sem descrição"), 1, {"stub": 3}),
    "title as content": ("a.jsonl", LINE + line("mesa", " mesa "), 1, {"same_as_input": 1}),
    "a line of a megabyte": ("a.jsonl", LINE + line("x", "palavra " * 130_000), 2, {}),
    "CSV with everything": (
        "a.csv",
        b'\xef\xbb\xbftitle;content\r\n"a ""b""";"uma\r\nlinha"\r\n\r\nso\r\nx;y;z\r\nc;d\r\n',
        2,
        {"wrong_number_of_cells": 2},
    ),
    "CSV in cp1252": ("a.csv", "title,content\ncafé,pão de ló\n".encode("cp1252"), 1, {}),
    "CSV with a quotation mark that swallows three rows": (
        "a.csv",
        b'title,content\n"Dom Casmurro,romance de Machado\nIracema,romance de Alencar\nTV 42",televisor\nx,y\n',
        1,
        {"swallowed_lines": 3},
    ),
    "CSV with a quotation mark that swallows rows from one column to another": (
        "a.csv",
        b'title,content\na,"o copo\nb,o prato\nTV 42",c d\nx,y\n',
        1,
        {"swallowed_lines": 3},
    ),
    "CSV with cells of two lines that have a comma in each": (
        "a.csv",
        b'title,content\nCopo,"Um copo azul\nbonito, barato"\nPrato,"raso\nR$ 3,50"\n"a, b\nc,\nd","e f"\n',
        3,
        {},
    ),
    "CSV with cells of two lines that have an HTML entity in each": (
        "a.csv",
        b'title;content\n"caf&eacute;\np&#227;o";bom dia\nCopo;"azul\n&quot bonito&quot;"\n',
        2,
        {},
    ),
    "CSV with spaces after its commas and rows swallowed": (
        "a.csv",
        b'title, content\n"Dom, um romance\nTV 42", um televisor\nx, y\n',
        1,
        {"swallowed_lines": 2},
    ),
    "CSV with cells of many lines": (
        "a.csv",
        b'title;content\r\nsoneto;"De tudo ao meu amor\r\nserei atento\r\n\r\nantes; e sempre"\r\n',
        1,
        {},
    ),
    "TSV of Google Sheets, which never quotes": (
        "a.tsv",
        b'title\tcontent\r\n"Oi" disse\tdesc1\r\n"O Louco"\tcarta\r\nTV 42"\tum televisor',
        3,
        {},
    ),
    "TSV with a quotation mark that would swallow three rows": (
        "a.tsv",
        'title\tcontent\n"Dom Casmurro\tromance de Machado de Assis\nIracema\tromance de José de Alencar\n'
        'TV 42"\ttelevisor grande\nx\ty\n'.encode(),
        4,
        {},
    ),
    "TSV with a quotation mark that is never closed": ("a.tsv", b'title\tcontent\na\t"b c\nd\te f\n\n', 2, {}),
    "TSV with quotation, and rows swallowed": (
        "a.tsv",
        b'title\tcontent\n"a\tb"\t"c\nd"\nx\t"y\nTV\t42"\n',
        1,
        {"swallowed_lines": 2},
    ),
    "a line of bytes in ASCII": (
        "a.jsonl",
        b"".join(line("copo", f"um copo {n}") for n in range(4)) + b"\x8dA \x8fB \x90C\n",
        4,
        {"broken_json": 1},
    ),
    "CSV in cp1252 with typographic signs": (
        "a.csv",
        "title,content\nCopo d’água,“Um copo” — 5€…ou menos™ por 1º\n".encode("cp1252"),
        1,
        {},
    ),
    "TSV, gzipped": ("a.tsv.gz", gzip.compress(b"title\tcontent\na, b\tc d\n"), 1, {}),
    "odd cells of Excel": ("a.xlsx", workbook(_odd_cells), 4, {"empty_input": 1}),
    "Excel under another name": ("a.dat", workbook(_plain_sheet), 1, {}),
    "merged cells": ("a.xlsx", workbook(_merged), 1, {"empty_input": 2, "empty_response": 1}),
    "formulas without results": ("a.xlsx", formulas_without_results(), 1, {"empty_response": 2}),
    "JSON array with mark": ("a.json", b"\xef\xbb\xbf" + json.dumps([GOOD]).encode(), 1, {}),
    "JSON array in UTF-16, gzipped": ("a.json.gz", gzip.compress(json.dumps([GOOD]).encode("utf-16")), 1, {}),
    "JSON array named .jsonl": ("a.jsonl", json.dumps([GOOD]).encode(), 1, {}),
    "a byte that is no UTF-8 in an array": (
        "a.json",
        b'[{"title": "caf\xc3\xa9", "content": "x"},\n{"title": "caf\xe9", "content": "x"}]',
        1,
        {"no_utf8": 1},
    ),
    "a lone surrogate in an array": (
        "a.json",
        b'[{"title": "a\\udce9", "content": "x"}, ' + LINE + b"]",
        1,
        {"lone_surrogate": 1},
    ),
    "zstd": ("a.jsonl.zst", zstd(LINE + line()), 2, {}),
    "two frames of zstd": ("a.jsonl.zst", zstd(LINE) + zstd(line()), 2, {}),
    "two members of gzip": ("a.jsonl.gz", gzip.compress(LINE) + gzip.compress(line()), 2, {}),
    "CSV, zstd": ("a.csv.zst", zstd(b"title,content\na,b c\n"), 1, {}),
    "CSV in UTF-16 as Excel saves it": ("a.csv", "title\tcontent\r\ncafé\tum pão\r\n".encode("utf-16"), 1, {}),
    "CSV with CR for line ends": ("a.csv", b"title,content\ra,b c\rd,e f", 2, {}),
    "CSV that says its delimiter": ("a.csv", b"sep=;\r\ntitle;content\r\na,b;c, d\r\n", 1, {}),
    "CSV with blank lines before": ("a.csv", b"\n\r\ntitle;content\na;b c\n", 1, {}),
    "CSV whose header has a delimiter in a name": (
        "a.csv",
        b'"a,b,c,d";title;content\nx;a;b c\n',
        1,
        {},
    ),
    "CSV whose header has a line end in a name": ("a.csv", b'"Pre\xc3\xa7o\n(R$)";title;content\n3;x;a, b c\n', 1, {}),
    "CSV with thirty blank lines before": ("a.csv", b"\n" * 30 + b"title;content\na, b;b c\n", 1, {}),
    "CSV in cp1252 without a last line end": ("a.csv", "title,content\nà,é".encode("cp1252"), 1, {}),
    "CSV with U+2028, U+0085 and a form feed in cells": (
        "a.csv",
        "title,content\nco\u2028po,um\u0085co\x0cpo azul\nprato,raso e branco\n".encode(),
        2,
        {},
    ),
    "a byte that is no UTF-8 in CSV": (
        "a.csv",
        "título,title,content\né,ação,não é\nà,é,um\n".encode() + b"x,caf\xe9,y z\n",
        2,
        {"no_utf8": 1},
    ),
    "NUL in CSV": ("a.csv", b"title,content\nco\0po,um copo\n", 1, {}),
    "a CSV cell with a megabyte": ("a.csv", b"title,content\na," + b"palavra " * 130_000 + b"\n", 1, {}),
    "an escaped key twice": (
        "a.jsonl",
        LINE + b'{"tit\\u006ce": "a", "title": "b", "content": "x y"}\n{"t\\u0069tle": "c", "content": "x z"}\n',
        2,
        {"repeated_key": 1},
    ),
    "an escaped key twice, the colon in the next line of an old Mac": (
        "a.jsonl",
        LINE + b'{"title": "a", "content": "b", "\\u0074itle"\r: "z"}\n',
        1,
        {"repeated_key": 1},
    ),
    "Parquet with other types": (
        "a.parquet",
        parquet(
            {"title": pa.array(["a", "a", None]).dictionary_encode(), "content": [1.5, None, 2.0], "v": [[1], [2], []]}
        ),
        1,
        {"empty_input": 1, "empty_response": 1},
    ),
    "Parquet whose names have spaces around": ("a.parquet", parquet({"title ": ["a"], " content": ["b c"]}), 1, {}),
    "Parquet with dates that no calendar has": (
        "a.parquet",
        parquet({"title": pa.array([1, 2**30], pa.int32()).cast(pa.date32()), "content": ["a b", "c d"]}),
        1,
        {"empty_input": 1},
    ),
}

# name -> (file name, content, what the message must say)
REFUSED = {
    "empty file": ("a.jsonl", b"", "0 bytes"),
    "only blank lines": ("a.jsonl", b"\n\n  \n", "no record"),
    "empty array": ("a.json", b"[]", "no record"),
    "header only": ("a.csv", b"title,content\n", "no record"),
    "no valid row": ("a.jsonl", line("x", "") + b"x\n", "broken_json 1, empty_response 1"),
    "missing column": ("a.jsonl", b'{"title": "x", "text": "y"}\n', "columns text, title; not there: content"),
    "missing column in CSV": ("a.csv", b"title,text\nx,y\n", "not there: content"),
    "another delimiter": ("a.csv", b"title^content\nx^y\n", "set source.delimiter"),
    "CSV with something above the header": (
        "a.csv",
        b"Exportado em 1/2/2024\n\ntitle;content\nx;y, z\n",
        "the columns stand in line 3: delete what is above it",
    ),
    "column twice": ("a.csv", b"title,content,title\nx,y,z\n", "more than one column title"),
    "truncated gzip": ("a.jsonl.gz", gzip.compress(LINE * 2000)[:-20], "end-of-stream marker"),
    "gzip that is none": ("a.jsonl.gz", b"\x1f\x8b garbage and more", "complete archive"),
    "gzip bomb": ("a.jsonl.gz", bomb(), "at most 200 times the packed size"),
    "workbook bomb": ("a.xlsx", swollen_workbook(), "when unpacked"),
    "HTML named .xlsx": ("a.xlsx", b"<html><table></table></html>", "an HTML page"),
    "protected workbook": ("a.xlsx", OLE + "EncryptedPackage".encode("utf-16-le") + b"\0" * 600, "password-protected"),
    "workbook of 1997": ("a.xls", OLE + b"\0" * 600, "the old Office format"),
    "workbook bomb that is one": ("a.xlsx", bomb_workbook(), "at most 200 times the packed size"),
    "workbook that hides its size": ("a.xlsx", hiding_workbook(), "larger than the archive says"),
    "workbook without the column": (
        "a.xlsx",
        workbook(lambda _, sheet: sheet.write_row(0, 0, ["title", "x"])),
        "sheet Folha, row 1",
    ),
    "workbook with a column twice": ("a.xlsx", workbook(_twice), "more than one column title"),
    "empty workbook": ("a.xlsx", workbook(lambda *_: None), "no record"),
    "zip of tables": ("a.zip", zipped(**{"a.json": LINE, "../b.json": LINE}), "a zip archive with a.json, ../b.json"),
    "packed workbook": ("a.xlsx.gz", gzip.compress(workbook(_plain_sheet)), "a workbook, packed once more"),
    "packed twice": ("a.jsonl.gz", gzip.compress(gzip.compress(LINE)), "gzip, packed once more"),
    "packed by pzstd and again": ("a.jsonl.gz", gzip.compress(skippable(b"x") + zstd(LINE)), "zstd, packed once more"),
    "bzip2": ("a.jsonl.bz2", bz2.compress(LINE), "a bzip2 archive"),
    "xz": ("a.jsonl.xz", lzma.compress(LINE), "an xz archive"),
    "PDF": ("a.csv", b"%PDF-1.7\n" + LINE, "a PDF document"),
    "zstd that was cut": ("a.jsonl.zst", zstd(LINE * 2000)[:-4], "a complete archive"),
    "zstd bomb": ("a.jsonl.zst", zstd(b" " * (300 << 20)), "at most 200 times the packed size"),
    "something after the gzip": ("a.jsonl.gz", gzip.compress(LINE) + b"rubbish", "a complete archive"),
    "HTML named .csv": ("a.csv", b"<!DOCTYPE html>\n<html><body>Log in, please</body></html>", "an HTML page"),
    "HTML named .jsonl": ("a.jsonl", b"\n <html><body>Log in</body></html>", "an HTML page"),
    "JSON Lines named .csv": ("a.csv", LINE, "not there: title, content"),
    "CSV named .jsonl": ("a.jsonl", b"title,content\na,b\n", "broken_json 2"),
    "one object over several lines": ("a.json", json.dumps({"rows": [GOOD]}, indent=1).encode(), "over several lines"),
    "one row over several lines": ("a.json", b'{"title": "x",\n "content": "y z"}\n', "over several lines"),
    "two arrays": ("a.json", b'[{"title": "a", "content": "b"}]\n[{"title": "c", "content": "d"}]', "line 2"),
    "10,000 deep in an array": ("a.json", b"[" * 10_000 + b"]" * 10_000, "recursion"),
    "damaged page of Parquet": ("a.parquet", damaged_page(), "a Parquet file"),
    "Parquet that was cut": ("a.parquet", parquet({"title": ["a"], "content": ["b"]})[:-20], "a Parquet file"),
    "Parquet of lists": ("a.parquet", parquet({"title": [["a"]], "content": ["b"]}), "column title"),
    "Parquet of bytes": ("a.parquet", parquet({"title": [b"a"], "content": ["b"]}), "binary"),
    "Parquet that is no UTF-8": (
        "a.parquet",
        parquet({"title": pa.array([b"caf\xe9"], pa.binary()).view(pa.string()), "content": ["b"]}),
        "Invalid UTF8 sequence",
    ),
    "Parquet without the column": ("a.parquet", parquet({"title": ["a"]}), "not there: content"),
    "Parquet without rows": (
        "a.parquet",
        parquet({"title": pa.array([], pa.string()), "content": pa.array([], pa.string())}),
        "no record",
    ),
    "zip that is no workbook": ("a.xlsx", b"PK\x03\x04 not really an archive", "a workbook that opens"),
    "text named .parquet": ("a.parquet", LINE, "a parquet file"),
    "workbook named .csv": ("a.csv", workbook(_plain_sheet), "a xlsx file by its first bytes"),
    "damaged Parquet": ("a.parquet", b"PAR1" + b"\0" * 50, "a Parquet file"),
    "broken array": ("a.json", b'[{"title": "a", "content": "b"},\n{"title": }]', "line 2"),
    "array without a comma": (
        "a.json",
        b'[{"title": "a", "content": "b"}\n {"title": "c"}]',
        "no comma before '{\"title",
    ),
    "array with a comma too many": (
        "a.json",
        b'[{"title": "a", "content": "b"},\n]',
        "a comma before the closing bracket",
    ),
    "array that begins with a comma": ("a.json", b'[,{"title": "a", "content": "b"}]', "Expecting value at ',{"),
    "array without end": ("a.json", b'[{"title": "a", "content": "b"},\n', "no closing bracket"),
    "open quotation in a TSV where quotation is used": (
        "a.tsv",
        b'title\tcontent\na\t"b\nc"\n"Oi" disse\td\n',
        "a.tsv, line 4",
    ),
    "CSV (MS-DOS) of Excel": (
        "a.csv",
        "title;content\r\nCalça;É só pão, não.\r\nCalção;Tem botões.\r\nMaçã;É ácida.\r\n".encode("cp850"),
        "cp1252 Cal‡a, pÆo, nÆo",
    ),
    "CSV (Macintosh) of Excel": (
        "a.csv",
        "title;content\rCalça;É só pão, não.\rCalção;Tem botões.\rMaçã;É ácida.\r".encode("mac-roman"),
        "Calça, pão, não as mac-roman",
    ),
    "JSON Lines in cp850": ("a.jsonl", (LINE + line() * 3).decode().encode("cp850"), "as cp850, lou"),
    "JSON array in mac-roman": ("a.json", b"[%s]" % line().strip().decode().encode("mac-roman"), "louça as mac-roman"),
    "open quotation in CSV": ("a.csv", b'title,content\na,b\nc,"d\ne,f\n', "line 3"),
    "unknown format": ("a.dat", b"hello there", "set source.format to one of"),
}


def read(tmp_path: Path, monkeypatch, name: str, content: bytes, **changes):
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path, **changes)
    (tmp_path / name).write_bytes(content)
    return run_clean(tmp_path, Path(name))


@pytest.mark.parametrize("case", KEPT)
def test_what_can_be_kept_is_kept_and_the_rest_has_its_reason(case, tmp_path, monkeypatch):
    name, content, kept, reasons = KEPT[case]
    got = read(tmp_path, monkeypatch, name, content)
    assert got.report["reasons"] == reasons
    assert got.report["kept"] == got.rows.height == kept
    assert got.report["read"] == kept + sum(reasons.values()) + got.report["duplicates"]
    assert got.quarantine.height == got.report["quarantined"] + got.report["duplicates"]


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_in_words_and_nothing_is_written(case, tmp_path, monkeypatch):
    name, content, message = REFUSED[case]
    with pytest.raises(Problem) as refused:
        read(tmp_path, monkeypatch, name, content)
    assert message in str(refused.value)
    assert not (tmp_path / "data/clean.parquet").exists()
    assert not (tmp_path / "data/quarantine.parquet").exists()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["raw"]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp850", "mac-roman"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'title,content\nCalça,"Não é só pão, é você."\n'),
        ("a.tsv", "title\tcontent\rCalça\tNão é só pão, é você.\r"),
        ("a.jsonl", '{"title": "Calça", "content": "Não é só pão, é você."}\n'),
        ("a.json", '[{"title": "Calça", "content": "Não é só pão, é você."}]'),
    ],
)
def test_each_format_of_texts_is_read_in_the_encoding_that_the_recipe_says(
    encoding, name, content, tmp_path, monkeypatch
):
    got = read(tmp_path, monkeypatch, name, content.encode(encoding), source__encoding=encoding)
    assert got.rows.select("title", "response").rows() == [("Calça", "Não é só pão, é você.")]


@pytest.mark.parametrize("codec", ["cp1252", "mac-roman", "latin-1"])
def test_texts_that_were_decoded_by_the_wrong_codec_are_put_right(codec, tmp_path, monkeypatch):
    spoilt = "Café com pão de queijo".encode().decode(codec)
    assert spoilt != "Café com pão de queijo"
    got = read(tmp_path, monkeypatch, "a.jsonl", line(spoilt, f"{spoilt}, à mesa.") + LINE)
    assert got.rows["title"].to_list() == ["Café com pão de queijo", "Copo azul"]
    assert got.report["changed"]["encoding"] == 1


def composed_and_decomposed(text: str) -> tuple[str, str]:
    return tuple(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))


TITLE, TITLE_APART = composed_and_decomposed("Título")
CONTENT, CONTENT_APART = composed_and_decomposed("Descrição")
IN_PORTUGUESE = {
    "a.csv": "{0};{1}\nCopo;Um copo.\n",
    "a.tsv": "{0}\t{1}\nCopo\tUm copo.\n",
    "a.jsonl": '{{"{0}": "Copo", "{1}": "Um copo."}}\n',
    "a.json": '[{{"{0}": "Copo", "{1}": "Um copo."}}]',
}


def table_in_portuguese(name: str, title: str, content: str) -> bytes:
    if name == "a.parquet":
        return parquet({title: ["Copo"], content: ["Um copo."]})
    if name == "a.xlsx":
        return workbook(
            lambda _, sheet: [
                sheet.write_row(at, 0, row) for at, row in enumerate([[title, content], ["Copo", "Um copo."]])
            ]
        )
    return IN_PORTUGUESE[name].format(title, content).encode()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.xlsx", "a.parquet"])
@pytest.mark.parametrize("spelt", [(TITLE, CONTENT), (TITLE_APART, CONTENT_APART), (TITLE, CONTENT_APART)])
@pytest.mark.parametrize("there", [(TITLE, CONTENT), (TITLE_APART, CONTENT_APART)])
def test_a_column_of_a_table_is_the_same_however_its_accents_are_written(name, spelt, there, tmp_path, monkeypatch):
    columns = {"inputs": {"title": spelt[0]}, "response": spelt[1]}
    got = read(tmp_path, monkeypatch, name, table_in_portuguese(name, *there), source__columns=columns)
    assert got.rows.select("title", "response").rows() == [("Copo", "Um copo.")]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.xlsx"])
def test_two_columns_that_differ_in_the_writing_of_accents_alone_are_one_name_twice(name, tmp_path, monkeypatch):
    columns = {"inputs": {"title": TITLE}, "response": TITLE}
    with pytest.raises(Problem, match="more than one column Título"):
        read(tmp_path, monkeypatch, name, table_in_portuguese(name, TITLE, TITLE_APART), source__columns=columns)


def test_a_header_further_down_is_told_however_its_accents_are_written(tmp_path, monkeypatch):
    columns = {"inputs": {"title": TITLE}, "response": CONTENT}
    content = b"Exportado\n" + table_in_portuguese("a.csv", TITLE_APART, CONTENT_APART)
    with pytest.raises(Problem, match="the columns stand in line 2"):
        read(tmp_path, monkeypatch, "a.csv", content, source__columns=columns)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_key_whose_accents_are_written_in_another_way_is_told_as_the_recipe_has_to_write_it(
    name, tmp_path, monkeypatch
):
    content = table_in_portuguese(name, TITLE_APART, CONTENT)
    columns = {"inputs": {"title": TITLE}, "response": CONTENT}
    with pytest.raises(Problem) as refused:
        read(tmp_path, monkeypatch, name, content, source__columns=columns)
    assert refused.value.found.endswith("not there: Título")
    assert refused.value.do.startswith("correct source.columns: on one side accents are characters of their own")
    written = refused.value.do.rpartition("quotes included, ")[2]
    assert written == r'"Ti\u0301tulo"'
    columns["inputs"]["title"] = yaml.safe_load(written)
    got = read(tmp_path, monkeypatch, name, content, source__columns=columns)
    assert got.rows["title"].to_list() == ["Copo"]


def test_a_key_with_slashes_is_repeated_however_they_are_written(tmp_path, monkeypatch):
    rows = (b'{"a\\/b": "x", "content": "y z"}\n', b'{"a\\/b": "x", "a/b": "", "content": "y z"}\n')
    escaped = b'{"\\u0061\\/b": "x", "a\\/b": "", "content": "y z"}\n'
    columns = {"inputs": {"title": "a/b"}, "response": "content"}
    got = read(tmp_path, monkeypatch, "a.jsonl", b"".join((*rows, escaped)), source__columns=columns)
    assert got.report["reasons"] == {"repeated_key": 2}


@pytest.mark.parametrize("block", range(5, 40))
def test_an_element_of_an_array_may_be_cut_anywhere_by_the_end_of_a_block(block, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", block)
    others = [
        "1.5",
        "1" * 5000,
        "-1500.25",
        "1e-5",
        "2E+7",
        '"\\u00e9\\ud83d\\ude00\\\\"',
        "-Infinity",
        "false",
        "null",
        "[ ]",
    ]
    content = f'[{",".join(others)}, {{"title": "a" , "content":  "b\\u00e9 c"}} ,3.0]'.encode()
    got = read(tmp_path, monkeypatch, "a.json.gz", gzip.compress(content))
    assert got.report["reasons"] == {"no_object": 10, "broken_json": 1}
    assert got.quarantine["raw"].to_list() == [*others, "3.0"]
    assert got.rows["response"].to_list() == ["bé c"]


def test_an_array_is_read_no_further_than_its_first_mistake(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", 1000)
    taken = 0

    def blocks(path, encoding):
        nonlocal taken
        for block in counted(path, encoding):
            taken += 1
            yield block

    counted = decoding.blocks
    monkeypatch.setattr(decoding, "blocks", blocks)
    good = '{"title": "Copo", "content":\n"Um copo."},\n'
    content = f'[{good}{{"title":\n"x" "content": "y"}},{good * 1000}{{}}]'
    with pytest.raises(Problem) as refused:
        read(tmp_path, monkeypatch, "a.json", content.encode())
    assert refused.value.where.endswith("a.json, line 4")
    assert refused.value.found == """Expecting ',' delimiter at '"content": "y"},{"ti'"""
    assert taken == 1


def test_an_element_without_end_is_refused_by_its_length(tmp_path, monkeypatch):
    from stages.lib import json_array

    monkeypatch.setattr(json_array, "MAX_ELEMENT_CHARS", 1 << 20)
    monkeypatch.setattr(decoding, "BLOCK", 1 << 18)
    with pytest.raises(Problem, match="an element of more than 1048576 characters"):
        read(tmp_path, monkeypatch, "a.json", b"[" + LINE + b',{"title": "' + b"x" * (2 << 20))


def test_the_quarantine_has_the_record_as_it_stands_in_the_file(tmp_path, monkeypatch):
    element = '{"title": "a", "title":"b", "more": 12345678901234567890.12, "big": 1e999}'
    got = read(tmp_path, monkeypatch, "a.json", f"[{element}, {json.dumps(GOOD)}]".encode())
    assert got.quarantine["raw"].to_list() == [element]
    records = ['Copo,,"Um ""copo""",1', '"Um\r\ncopo, azul",x', ' ,"",x,y', ",,,"]
    content = "\r\n".join(["title,content,obs,obs", *records, "", 'Copo,"Um copo, e outro.",1,2']) + "\r\n"
    got = read(tmp_path, monkeypatch, "a.csv", content.encode())
    assert got.quarantine.select("line", "reason", "raw").rows() == list(
        zip(
            (2, 3, 5, 6),
            ("empty_response", "wrong_number_of_cells", "empty_input", "empty_input"),
            records,
            strict=True,
        )
    )
    assert got.rows.select("line", "response").rows() == [(8, "Um copo, e outro.")]


TSV = b"title\tcontent\n"
QUOTED = {  # what stands below the header, and the rows that it makes
    "cells of one line": (b'"a"\t"b c"\nd\te f\n', [("a", "b c"), ("d", "e f")]),
    "marks written twice": (b'"a ""b"""\tc\n', [('a "b"', "c")]),
    "a tab": (b'"a\tb"\tc\n', [("a b", "c")]),
    "a line end": (b'a\t"b\nc"\nd\te\n', [("a", "b c"), ("d", "e")]),
    "one cell of many lines among others that are quoted": (
        b'"a"\t"b\n\nc"\n"d"\t"e"\n',
        [("a", "b c"), ("d", "e")],
    ),
}
NOT_QUOTED = {
    "a mark that is not closed in its cell": (b'"Oi" disse\tb\n', [('"Oi" disse', "b")]),
    "a mark that would swallow a row": (b'"a\tb\nc"\td\n', [('"a', "b"), ('c"', "d")]),
    "a mark that would swallow a cell": (b'"a\tb"\nc\td\n', [('"a', 'b"'), ("c", "d")]),
    "a mark that is never closed": (b'a\tb\nc\t"d', [("a", "b"), ("c", '"d')]),
    "quotation elsewhere": (b'"Oi" disse\tb\n\n"c"\td\n', [('"Oi" disse', "b"), ('"c"', "d")]),
}


@pytest.mark.parametrize("case", [*QUOTED, *NOT_QUOTED])
def test_quotation_is_read_with_tabs_unless_the_first_lines_show_that_there_is_none(case, tmp_path, monkeypatch):
    below, rows = {**QUOTED, **NOT_QUOTED}[case]
    got = read(tmp_path, monkeypatch, "a.tsv", TSV + below)
    assert got.rows.select("title", "response").rows() == rows
    assert got.report["read"] == len(rows)


@pytest.mark.parametrize("sample", range(1, 80))
def test_a_sample_may_end_anywhere_in_a_table_of_tabs(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "LOOKED_AT", 1)
    monkeypatch.setattr(decoding, "SAMPLE", sample)
    got = read(tmp_path, monkeypatch, "a.tsv", TSV + b'a\tb\nc\t"d\n\ne f"\n"g\th"\ti\nj\tk\n')
    assert got.rows.select("title", "response").rows() == [("a", "b"), ("c", "d e f"), ("g h", "i"), ("j", "k")]


def test_what_the_sample_shows_holds_for_the_whole_table_of_tabs(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "LOOKED_AT", 1)
    monkeypatch.setattr(decoding, "SAMPLE", 30)
    plain = TSV + b'"Oi" disse\tb\n' + b"c\td e\n" * 9
    got = read(tmp_path, monkeypatch, "a.tsv", plain + b'f\t"g\nso\nh"\ti\n')
    assert got.report["reasons"] == {"wrong_number_of_cells": 1}
    assert got.rows["response"].to_list() == ["b", "d e", '"g', "i"]


def test_swallowed_lines_are_set_aside_one_by_one(tmp_path, monkeypatch):
    lines = ['"Dom Casmurro,um romance', "Iracema,outro", 'TV 42",um televisor']
    content = "\r\n".join(["title,content", "a,b c", *lines, "d,e f"])
    got = read(tmp_path, monkeypatch, "a.csv", content.encode())
    assert got.report["read"] == 5
    assert got.quarantine.select("row_id", "line", "reason", "raw").rows() == [
        (2, 3, "swallowed_lines", lines[0]),
        (3, 4, "swallowed_lines", lines[1]),
        (4, 5, "swallowed_lines", lines[2]),
    ]
    assert got.rows.select("row_id", "line", "response").rows() == [(1, 2, "b c"), (5, 6, "e f")]


@pytest.mark.parametrize("names", [["x", "x", "x [2]"], ["", "[1]", "t"], ["a", "", "", "a", "a [4]"], []])
def test_names_are_told_apart_whatever_they_are(names):
    assert len(set(told_apart(names))) == len(names)


def test_columns_of_a_sheet_without_a_name_of_their_own_are_told_apart(tmp_path, monkeypatch):
    def fill(book, sheet):
        sheet.write_row(0, 0, ["title", "content", "obs", "obs", None])
        sheet.write_row(1, 0, ["Copo", None, "a", "b", "c"])
        sheet.write_row(2, 0, ["Copo", "Um copo."])

    got = read(tmp_path, monkeypatch, "a.xlsx", workbook(fill))
    raw = {"title": "Copo", "content": None, "obs": "a", "obs [4]": "b", "[5]": "c"}
    assert json.loads(got.quarantine["raw"][0]) == raw


def test_the_page_on_cleaning_says_what_each_reason_means():
    assert {reason for *_, reasons in KEPT.values() for reason in reasons} <= set(TOLD)


def test_all_these_hostile_sources_are_tried():
    assert len(KEPT) + len(REFUSED) >= 140


def test_the_quarantine_leads_back_to_the_record(tmp_path, monkeypatch):
    content = b"\xef\xbb\xbf" + LINE + b"\n" + b"oops\xff\n" + LINE + line("caf\u00e9", "")
    got = read(tmp_path, monkeypatch, "a.jsonl", content)
    assert got.quarantine.drop("raw").rows() == [
        (2, 3, 80, "no_utf8", None),
        (3, 4, 86, "duplicate", 1),
        (4, 5, 165, "empty_response", None),
    ]
    assert got.quarantine["raw"].to_list() == ["oops\\xff", LINE.decode().strip(), '{"title": "café", "content": ""}']
    for offset, raw in got.quarantine.filter(pl.col("reason") != "no_utf8").select("offset", "raw").iter_rows():
        assert content.removeprefix(b"\xef\xbb\xbf")[offset:].startswith(raw.encode())


def test_a_sheet_keeps_its_row_numbers_and_gives_numbers_and_dates_as_text(tmp_path, monkeypatch):
    got = read(tmp_path, monkeypatch, "a.xlsx", workbook(_odd_cells))
    assert got.rows.rows() == [
        (1, 3, "Ano", "2024-01-02 00:00:00"),
        (2, 4, "1984", "Um livro"),
        (3, 5, "Duas linhas", "A primeira."),
        (5, 8, "Depois", "de uma linha vazia."),
    ]


def test_a_key_that_is_first_seen_late_is_seen(tmp_path, monkeypatch):
    got = read(tmp_path, monkeypatch, "a.jsonl", b'{"title": "x"}\n' * 100_001 + LINE)
    assert got.report["reasons"] == {"empty_response": 100_001}
    assert got.rows["row_id"].to_list() == [100_002]


def test_a_line_without_end_is_refused_by_its_length(tmp_path, monkeypatch):
    from stages.lib import json_lines as reader

    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 1 << 20)
    with pytest.raises(Problem, match="a line of more than"):
        read(tmp_path, monkeypatch, "a.jsonl", LINE + b'{"title": "' + b"x" * (2 << 20))


def test_broken_lines_far_apart_cost_no_other_line(tmp_path, monkeypatch):
    lines = [line(f"Produto {n}", f"A descrição do produto {n}.") for n in range(20_000)]
    for at in (0, 777, 9_999, 19_999):
        lines[at] = b'{"title": "x\n'
    got = read(tmp_path, monkeypatch, "a.jsonl", b"".join(lines))
    assert got.report["reasons"] == {"broken_json": 4}
    assert got.quarantine["line"].to_list() == [1, 778, 10_000, 20_000]
    assert got.rows["line"].to_list() == [n + 1 for n in range(20_000) if n not in (0, 777, 9_999, 19_999)]


def test_a_broken_line_before_a_very_long_one_costs_no_other_line(tmp_path, monkeypatch):
    lines = [line(), b'{"title": "x\n', line("x" * (1 << 20)), line("Prato fundo")]
    got = read(tmp_path, monkeypatch, "a.jsonl", b"".join(lines))
    assert got.report["reasons"] == {"broken_json": 1}
    assert got.rows["line"].to_list() == [1, 3, 4]


def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path, monkeypatch):
    from stages.lib import cleaning

    read(tmp_path, monkeypatch, "a.jsonl", LINE)
    before = (tmp_path / "data/clean.parquet").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cleaning, "hold", full)
    with pytest.raises(OSError, match="No space left"):
        read(tmp_path, monkeypatch, "a.jsonl", line())
    assert (tmp_path / "data/clean.parquet").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["clean.parquet", "quarantine.parquet", "raw"]


def test_a_zip_name_that_leads_out_of_the_folder_is_never_unpacked(tmp_path, monkeypatch):
    target = io.BytesIO(workbook(_plain_sheet))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("../../evil.txt", "x")
    assert read(tmp_path, monkeypatch, "a.xlsx", target.getvalue()).report["kept"] == 1
    assert not (tmp_path.parent / "evil.txt").exists()
