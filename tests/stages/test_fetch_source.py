"""Fetch brings the very bytes, from a file or through a pointer, or says why it can not."""

import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from source_tables import write_recipe

from stages import fetch
from stages.lib import downloads
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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(place):
    (place / "rows.jsonl").chmod(0)
    with pytest.raises(Problem, match="permission denied"):
        bring(place, "rows.jsonl")


def test_a_source_that_changes_while_it_is_read_is_refused(place, monkeypatch):
    def copy_while_growing(source, target):
        Path(target).write_bytes(Path(source).read_bytes())
        with Path(source).open("ab") as file:
            file.write(b"more\n")

    monkeypatch.setattr(downloads.shutil, "copyfile", copy_while_growing)
    with pytest.raises(Problem, match="changed while it was read"):
        bring(place, "rows.jsonl")
    assert not (place / "raw").exists()


class Server(ThreadingHTTPServer):
    """Gives ROWS; cuts the first answers after some bytes; knows ranges."""

    cuts = 0
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        if "missing" in self.path:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(ROWS) - start))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            self.wfile.write(ROWS[start : start + 200_000])
            return
        self.wfile.write(ROWS[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def pointer(place: Path, server: Server, name: str = "rows.jsonl", more: str = "") -> str:
    address = f"http://127.0.0.1:{server.server_port}/{name}"
    (place / "data.pointer.yaml").write_text(f"url: {address}\nlicence: CC0-1.0\n{more}")
    return "data.pointer.yaml"


def test_a_download_that_is_cut_twice_goes_on_where_it_stopped(place, server):
    server.cuts = 2
    report = bring(place, pointer(place, server, more=f"sha256: {SHA256}\n"))
    assert (place / "raw/rows.jsonl").read_bytes() == ROWS
    assert server.asked == [None, "bytes=196608-", "bytes=393216-"]
    assert report["licence"] == "CC0-1.0"


def test_a_file_that_is_not_there_is_asked_for_once(place, server):
    with pytest.raises(Problem, match="HTTP status 404"):
        bring(place, pointer(place, server, "missing.jsonl"))
    assert server.asked == [None]


def test_a_server_that_keeps_cutting_is_given_up_with_words(place, server, monkeypatch):
    monkeypatch.setattr(downloads, "ATTEMPTS", 3)
    server.cuts = 100
    with pytest.raises(Problem, match="Error after 589824 bytes"):
        bring(place, pointer(place, server))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "exactly one of url and hub"),
        ("url: ftp://x/y\n", "url"),
        ("url: https://x/y.csv\nsha: 1\n", "unknown parameter sha"),
        ("url: https://x/y.csv\nsha256: abc\n", "64 hexadecimal digits"),
        ("url: https://x/\n", "no usable file name"),
        ("url: https://x/..%2f..%2fetc\nname: ../evil\n", "name"),
    ],
)
def test_a_pointer_that_points_nowhere_is_refused(place, text, message):
    (place / "data.pointer.yaml").write_text(text)
    with pytest.raises(Problem) as refused:
        bring(place, "data.pointer.yaml")
    assert message in str(refused.value)
