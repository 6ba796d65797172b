"""Fetch brings the very bytes, from a file or through a pointer, or says why it can not."""

import hashlib
import json
import os
import re
from pathlib import Path

import pytest
from source_tables import ROOT, write_recipe

from afina.inputs import require_inputs
from stages import fetch
from stages.lib import downloads
from stages.lib.downloads import read_pointer
from stages.plumbing.problem import Problem

ROWS = b'{"title": "a", "content": "b"}\n' * 20_000
SHA256 = hashlib.sha256(ROWS).hexdigest()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(ROWS)
    return tmp_path


def bring(place: Path, source: str) -> dict:
    fetch.main(Path(source), place / "raw", place / "source.json")
    return json.loads((place / "source.json").read_text())


def test_the_copy_has_the_same_bytes_and_the_report_says_where_from(place):
    report = bring(place, "rows.jsonl")
    assert (place / "raw/rows.jsonl").read_bytes() == ROWS
    assert report == {
        "name": "rows.jsonl",
        "bytes": 620_000,
        "sha256": SHA256,
        "location": "rows.jsonl",
        "revision": None,
        "licence": None,
        "archive": None,
    }


def test_an_absolute_path_is_reported_by_its_name_alone(place):
    assert bring(place, str(place / "rows.jsonl"))["location"] == "rows.jsonl"


def test_another_file_than_the_pinned_one_is_refused_and_both_hashes_are_shown(place):
    write_recipe(place, source__sha256="0" * 64)
    with pytest.raises(Problem) as refused:
        bring(place, "rows.jsonl")
    assert SHA256 in str(refused.value)
    assert "0" * 64 in str(refused.value)
    assert not (place / "raw").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("missing.jsonl", "no such file"), ("folder", "a folder"), ("pipe", "neither")]
)
def test_what_is_no_file_is_refused(place, name, message):
    (place / "folder").mkdir()
    os.mkfifo(place / "pipe")
    with pytest.raises(Problem, match=message):
        bring(place, name)


def test_a_source_that_changes_while_it_is_read_is_refused(place, monkeypatch):
    def copy_while_growing(source, target):
        Path(target).write_bytes(Path(source).read_bytes())
        with Path(source).open("ab") as file:
            file.write(b"more\n")

    monkeypatch.setattr(downloads.shutil, "copyfile", copy_while_growing)
    with pytest.raises(Problem, match="changed while it was read"):
        bring(place, "rows.jsonl")
    assert not (place / "raw").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "exactly one of url, hub and drive"),
        ("url: https://x/a.csv\ndrive: 0123456789abc\n", "exactly one of url, hub and drive"),
        ("url: ftp://x/y\n", "an address that begins with https://"),
        ("url: https://\n", "an address that begins with https://"),
        ("url: https://me:secret@x/y.csv\n", "~/.netrc"),
        ("url: https://drive.google.com/file/d/0123456789abc/view\n", "drive: with the file's id"),
        ("drive: https://drive.google.com/x\n", "drive"),
        ("hub:\n  repository: squad\n  file: a.csv\n  revision: main\n", "hub.repository"),
        ("hub:\n  repository: a/b\n  file: a.csv\n", "hub.revision"),
        ("url: https://x/y.csv\nsha: 1\n", "unknown parameter sha"),
        ("url: https://x/y.csv\nsha256: abc\n", "64 hexadecimal digits"),
        ("url: https://x/\n", "no usable file name"),
        ("url: https://x/a\nname: ../evil\n", "name"),
        ("url: https://x/a\nname: -rf\n", "name"),
        ("url: https://x/%2e%2e\n", "no usable file name ('..')"),
        ("url: https://x/a%00b\n", "no usable file name"),
        ("just words\n", "a str"),
        ("", "found:  nothing\n  wanted: a pointer file's keys, such as url, hub or drive"),
        ("- url: https://x/y.csv\n", "found:  a list\n  wanted: a pointer file's keys, such as url, hub or drive"),
        (f"url: https://x/y.csv\nsha256: {'1' * 64}\n", "do:     write it in quotes"),
        (f"url: https://x/y.csv\nsha256: {'0' * 64}\n", "do:     write it in quotes"),
        ("url: [\n", "valid YAML"),
    ],
)
def test_a_pointer_that_points_nowhere_is_refused(place, text, message):
    (place / "data.pointer.yaml").write_text(text)
    with pytest.raises(Problem) as refused:
        bring(place, "data.pointer.yaml")
    assert message in str(refused.value)
    assert "recipes" not in refused.value.do
    assert not (place / "raw").exists()


def test_a_pointer_is_looked_at_before_a_run_begins(place):
    write_recipe(place, source__path="data.pointer.yaml", model__path="rows.jsonl")
    (place / "data.pointer.yaml").write_text("url: https://example.org/rows.csv\n")
    require_inputs(place)
    (place / "data.pointer.yaml").write_text("urls: https://example.org/rows.csv\n")
    with pytest.raises(Problem, match="did you mean url"):
        require_inputs(place)


def test_the_pointer_files_in_the_documentation_are_valid(place):
    pages = (ROOT / "docs/data.md").read_text("utf-8")
    shown = [block for block in re.findall(r"```yaml\n(.*?)```", pages, re.DOTALL) if ".pointer.yaml" in block]
    assert len(shown) == 3
    for text in shown:
        (place / "data.pointer.yaml").write_text(text, "utf-8")
        read_pointer(place / "data.pointer.yaml")


def test_a_pointer_that_is_not_there_is_told_like_any_other_file(place):
    with pytest.raises(Problem, match="no such file or directory") as refused:
        bring(place, "data.pointer.yaml")
    assert refused.value.do == "correct source.path"


@pytest.mark.parametrize("path", ["$(touch evil)", "a`b", 'a"b', "a\nb", "c:\\rows"])
def test_a_path_that_the_shell_would_read_otherwise_is_refused_before_anything_runs(place, path):
    write_recipe(place, source__path=path)
    with pytest.raises(Problem, match=r"source\.path") as refused:
        bring(place, "rows.jsonl")
    assert "a path without" in refused.value.wanted


@pytest.mark.parametrize("name", ["as linhas (1).jsonl", "dados é ção.jsonl", "a'b&c;d.jsonl", ".hidden.jsonl"])
def test_a_file_on_this_disk_may_have_any_other_name(place, name):
    (place / "rows.jsonl").rename(place / name)
    assert bring(place, name)["name"] == name
    assert (place / "raw" / name).read_bytes() == ROWS


def test_a_link_is_followed(place):
    (place / "link.jsonl").symlink_to("rows.jsonl")
    assert bring(place, "link.jsonl")["sha256"] == SHA256
    assert not (place / "raw/link.jsonl").is_symlink()
