"""A download over https is whole and from one file, however often it is cut, stopped or the file replaced."""

import fcntl
import gzip
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from servers import Answer, part_of, serving
from source_tables import ROOT, write_recipe

from stages import fetch
from stages.lib import archives, web
from stages.plumbing.problem import Problem

ROWS = b'{"title": "a", "content": "b"}\n' * 20_000
OTHER = b'{"title": "c", "content": "d"}\n' * 20_000
SHA256 = hashlib.sha256(ROWS).hexdigest()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    monkeypatch.setattr(web.time, "sleep", lambda _: None)
    return tmp_path


def bring(place: Path, address: str, more: str = "") -> dict:
    (place / "data.pointer.yaml").write_text(f"url: {address}\nlicence: CC0-1.0\n{more}")
    fetch.main(Path("data.pointer.yaml"), place / "raw", place / "source.json")
    return json.loads((place / "source.json").read_text())


def ranges(server) -> list[str | None]:
    return [asked.headers.get("Range") for asked in server.asked]


def cut_at(*cuts: int, etag: str | None = '"one"'):
    """A server of ROWS that cuts its first answers after so many bytes."""
    left = list(cuts)
    return lambda asked: part_of(ROWS, asked, etag, left.pop(0) if left else None)


def test_what_came_and_where_from_is_in_the_report(place):
    with serving(cut_at()) as server:
        address = f"{server.address}/rows.jsonl?download=1"
        report = bring(place, address)
    assert report == {
        "name": "rows.jsonl",
        "bytes": 620_000,
        "sha256": SHA256,
        "location": address,
        "revision": None,
        "licence": "CC0-1.0",
        "archive": None,
    }
    assert list((place / "work/fetch").iterdir()) == [next((place / "work/fetch").glob("*.lock"))]


def test_a_download_that_is_cut_twice_goes_on_where_it_stopped(place):
    with serving(cut_at(200_000, 200_000)) as server:
        bring(place, f"{server.address}/rows.jsonl")
        assert ranges(server) == [None, "bytes=196608-", "bytes=393216-"]
        assert [asked.headers.get("If-Range") for asked in server.asked] == [None, '"one"', '"one"']
    assert (place / "raw/rows.jsonl").read_bytes() == ROWS


def test_a_file_that_was_replaced_between_two_tries_is_brought_anew_and_never_glued(place):
    def replaced(asked):
        if len(server.asked) == 1:
            return part_of(ROWS, asked, '"one"', 200_000)
        return part_of(OTHER, asked, '"two"')

    with serving(replaced) as server:
        bring(place, f"{server.address}/rows.jsonl")
        assert ranges(server) == [None, "bytes=196608-"]
    assert (place / "raw/rows.jsonl").read_bytes() == OTHER


def test_a_server_that_goes_on_with_another_file_unasked_is_found_out(place):
    def careless(asked):  # ignores If-Range
        asked.headers.pop("If-Range", None)
        first = len(server.asked) == 1
        return part_of(ROWS if first else OTHER, asked, '"one"' if first else '"two"', 200_000 if first else None)

    with serving(careless) as server:
        bring(place, f"{server.address}/rows.jsonl")
        assert ranges(server) == [None, "bytes=196608-", None]
    assert (place / "raw/rows.jsonl").read_bytes() == OTHER


def test_without_etag_and_date_only_a_pinned_sha256_lets_it_go_on(place):
    with serving(cut_at(200_000, etag=None)) as server:
        bring(place, f"{server.address}/rows.jsonl")
        assert ranges(server) == [None, None]
    with serving(cut_at(200_000, etag=None)) as server:
        bring(place, f"{server.address}/rows.jsonl", f"sha256: {SHA256}\n")
        assert ranges(server) == [None, "bytes=196608-"]


def test_a_weak_etag_is_no_proof(place):
    with serving(cut_at(200_000, etag='W/"one"')) as server:
        bring(place, f"{server.address}/rows.jsonl")
        assert ranges(server) == [None, None]


def test_the_file_that_shrank_below_what_is_here_is_brought_anew(place):
    def shrunk(asked):
        if len(server.asked) == 1:
            return part_of(ROWS, asked, '"one"', 200_000)
        asked.headers.pop("If-Range", None)
        return part_of(ROWS[:31], asked, '"two"')

    with serving(shrunk) as server:
        assert bring(place, f"{server.address}/rows.jsonl")["bytes"] == 31
        assert ranges(server) == [None, "bytes=196608-", None]


def test_a_file_that_is_not_there_is_asked_for_once(place):
    with serving(lambda _: Answer(status=404)) as server:
        with pytest.raises(Problem, match="HTTP status 404"):
            bring(place, f"{server.address}/rows.jsonl")
        assert len(server.asked) == 1
    assert not (place / "raw").exists()


def test_a_file_that_wants_a_login_says_how(place):
    with serving(lambda _: Answer(status=403)) as server, pytest.raises(Problem) as refused:
        bring(place, f"{server.address}/rows.jsonl")
    assert "~/.netrc" in refused.value.do


def test_a_server_that_is_busy_is_asked_again_when_it_says(place, monkeypatch):
    pauses = []
    monkeypatch.setattr(web.time, "sleep", pauses.append)
    busy = [Answer(status=503, headers={"Retry-After": "7"}), Answer(status=429, headers={"Retry-After": "9999"})]
    busy += [Answer(status=502)]
    with serving(lambda asked: busy.pop(0) if busy else part_of(ROWS, asked)) as server:
        bring(place, f"{server.address}/rows.jsonl")
    assert pauses == [7, 60, 4]


def test_a_server_that_brings_nothing_more_is_given_up_with_words(place):
    with serving(lambda _: Answer(ROWS, cut=0)) as server:
        with pytest.raises(Problem, match="after 0 bytes"):
            bring(place, f"{server.address}/rows.jsonl")
        assert len(server.asked) == web.ATTEMPTS


def test_a_connection_that_is_cut_again_and_again_is_no_reason_to_give_up_while_bytes_come(place):
    with serving(cut_at(*[66_000] * 9)) as server:
        bring(place, f"{server.address}/rows.jsonl")
        assert len(server.asked) == 10 > web.ATTEMPTS
    assert (place / "raw/rows.jsonl").read_bytes() == ROWS


def test_a_server_that_never_goes_on_is_given_up_though_bytes_come(place):
    with serving(lambda _: Answer(ROWS, cut=200_000)) as server:
        with pytest.raises(Problem, match="after 196608 bytes"):
            bring(place, f"{server.address}/rows.jsonl")
        assert len(server.asked) == web.ATTEMPTS


def test_a_second_fetch_of_the_same_address_waits_for_the_first(place, capfd):
    with serving(cut_at()) as server:
        address = f"{server.address}/rows.jsonl"
        bring(place, address)
        lock = next((place / "work/fetch").glob("*.lock"))
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            second = threading.Thread(target=bring, args=(place, address))
            second.start()
            while "another fetch brings this very file" not in capfd.readouterr().out:
                assert second.is_alive()
                threading.Event().wait(0.01)
            assert len(server.asked) == 1
            fcntl.flock(held, fcntl.LOCK_UN)
            second.join()
        assert len(server.asked) == 2


@pytest.mark.parametrize("media_type", ["text/html; charset=utf-8", "Text/HTML"])
def test_a_page_that_asks_for_a_login_is_no_file(media_type, place):
    page = Answer(b"<html>Please log in</html>", headers={"Content-Type": media_type})
    with serving(lambda _: page) as server, pytest.raises(Problem, match="an HTML page"):
        bring(place, f"{server.address}/rows.jsonl")
    assert not (place / "raw").exists()


def test_what_the_server_packs_on_the_way_arrives_unpacked(place):
    packed = Answer(gzip.compress(ROWS), headers={"Content-Encoding": "gzip"})
    with serving(lambda _: packed) as server:
        assert bring(place, f"{server.address}/rows.jsonl")["sha256"] == SHA256


def test_what_came_packed_and_cut_is_brought_anew_by_this_fetch_and_by_the_next(place):
    """A store that keeps the file packed gives ranges of the packed bytes."""
    content = random.Random(0).randbytes(300_000).hex().encode()
    packed = gzip.compress(content, 1)
    sha256 = hashlib.sha256(content).hexdigest()

    def store(asked):
        answer = part_of(packed, asked, cut=None if whole else 100_000)
        answer.headers["Content-Encoding"] = "gzip"
        return answer

    with serving(store) as server:
        whole, address = False, f"{server.address}/rows.jsonl"
        with pytest.raises(Problem, match="after 131072 bytes"):
            bring(place, address, f"sha256: {sha256}\n")
        whole = True
        bring(place, address, f"sha256: {sha256}\n")
        assert ranges(server) == [None] * (web.ATTEMPTS + 1)
    assert (place / "raw/rows.jsonl").read_bytes() == content


def test_a_rest_that_comes_packed_drops_the_plain_beginning(place):
    def packing(asked):
        answer = part_of(ROWS, asked, cut=200_000 if len(server.asked) == 1 else None)
        if "Range" in asked.headers:
            answer.headers["Content-Encoding"] = "gzip"
        return answer

    with serving(packing) as server:
        bring(place, f"{server.address}/rows.jsonl", f"sha256: {SHA256}\n")
        assert ranges(server) == [None, "bytes=196608-", None]
    assert (place / "raw/rows.jsonl").read_bytes() == ROWS


def test_a_server_that_tells_two_lengths_of_one_file_is_quoted(place):
    def boasting(asked):
        answer = part_of(ROWS, asked)
        if "Range" not in asked.headers:
            answer.headers["Content-Length"] = "621000"
        return answer

    with serving(boasting) as server, pytest.raises(Problem, match="said 621000 bytes before and says 620000 now"):
        bring(place, f"{server.address}/rows.jsonl")


@pytest.mark.parametrize("target", ["http://[bad/rows.jsonl", "http://127.0.0.1:99999/x", "ftp://x/y.jsonl"])
def test_an_address_that_leads_to_no_address_of_the_web_is_asked_once(target, place):
    with serving(lambda _: Answer(status=302, headers={"Location": target})) as server:
        with pytest.raises(Problem) as refused:
            bring(place, f"{server.address}/rows.jsonl")
        assert len(server.asked) == 1
    assert refused.value.do == "check the address and where it leads"


def test_a_server_that_answers_nobody_is_told(place):
    with serving(cut_at()) as server:
        address = server.address
    with pytest.raises(Problem, match="ConnectionError after 0 bytes"):
        bring(place, f"{address}/rows.jsonl")


def test_a_wrong_sha256_shows_both_and_the_file_is_not_downloaded_again_for_the_right_one(place):
    with serving(cut_at()) as server:
        address = f"{server.address}/rows.jsonl"
        with pytest.raises(Problem) as refused:
            bring(place, address, f"sha256: {'f' * 64}\n")
        assert SHA256 in refused.value.found
        assert refused.value.wanted == "f" * 64
        assert not (place / "raw").exists()
        bring(place, address, f"sha256: {SHA256}\n")
        assert len(server.asked) == 1


def test_a_wrong_sha256_in_the_parameters_is_told_as_theirs(place):
    write_recipe(place, source__sha256="0" * 64)
    with serving(cut_at()) as server, pytest.raises(Problem, match=r"params.yaml, source.sha256") as refused:
        bring(place, f"{server.address}/rows.jsonl", f"sha256: {SHA256}\n")
    assert SHA256 in refused.value.found


def test_what_a_killed_fetch_has_brought_is_not_brought_again(place):
    """kill -9 in the middle of a download; the next fetch asks for the rest only."""

    def slow(asked):
        if len(server.asked) == 1:
            return replace(part_of(ROWS, asked, cut=600_000), hold=True)
        return part_of(ROWS, asked)

    with serving(slow) as server:
        (place / "data.pointer.yaml").write_text(f"url: {server.address}/rows.jsonl\n")
        words = [sys.executable, "-m", "stages.fetch", "data.pointer.yaml", "raw", "source.json"]
        running = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
        parts = place / "work/fetch"
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size > 500_000 for path in parts.glob("*/part")):
            assert time.monotonic() < deadline
            assert running.poll() is None
            threading.Event().wait(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert not (place / "raw").exists()
        fetch.main(Path("data.pointer.yaml"), place / "raw", place / "source.json")
        assert server.asked[-1].headers["Range"].startswith("bytes=5")
    assert (place / "raw/rows.jsonl").read_bytes() == ROWS


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def damaged(archive: bytes) -> bytes:
    """One bit of the packed content is another one."""
    return archive[:100] + bytes([archive[100] ^ 1]) + archive[101:]


def misplaced() -> bytes:
    """An archive whose directory is said to lie further on, so that its member would begin before the file does."""
    archive = bytearray(zipped({"a.json": ROWS}))
    archive[-6:-2] = (int.from_bytes(archive[-6:-2], "little") + 1).to_bytes(4, "little")
    return bytes(archive)


def swollen() -> bytes:
    """An archive whose member is said to be 3 GB."""
    data = bytearray(zipped({"rows.jsonl": ROWS}))
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = (3_000_000_000).to_bytes(4, "little")
    return bytes(data)


def test_one_file_is_taken_out_of_an_archive_and_both_are_in_the_report(place):
    archive = zipped({"set/trn.json.gz": ROWS, "set/tst.json.gz": b"x", "../../evil": b"x"})
    digest = hashlib.sha256(archive).hexdigest()
    with serving(lambda asked: part_of(archive, asked)) as server:
        report = bring(place, f"{server.address}/set.zip", f"member: trn.json.gz\nsha256: {digest}\n")
    assert (place / "raw/trn.json.gz").read_bytes() == ROWS
    assert [path.name for path in (place / "raw").iterdir()] == ["trn.json.gz"]
    assert (report["name"], report["sha256"], report["bytes"]) == ("trn.json.gz", SHA256, 620_000)
    assert report["archive"] == {"member": "set/trn.json.gz", "sha256": digest, "bytes": len(archive)}
    assert not (place.parent / "evil").exists()


ARCHIVES = {
    "a member that is not there": (
        zipped({"a.json": b"x", "b.json": b"y"}),
        "c.json",
        "0 members of that name among 2",
    ),
    "a member whose last name two have": (zipped({"a/r.json": b"x", "b/r.json": b"y"}), "r.json", "a/r.json, b/r.json"),
    "no archive": (ROWS, "a.json", "File is not a zip file"),
    "an archive that was cut": (zipped({"a.json": ROWS})[:-30], "a.json", "File is not a zip file"),
    "an archive whose directory went astray": (misplaced(), "a.json", "a complete zip archive"),
    "a bomb": (swollen(), "rows.jsonl", "3000000000 bytes or more"),
    "a member that leads out of the folder": (zipped({"a/..": b"x"}), "a/..", "no usable file name"),
    "a member that hides": (zipped({".bashrc": b"x"}), ".bashrc", "no usable file name"),
}
METHODS = {
    "stored": zipfile.ZIP_STORED,
    "DEFLATE": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "LZMA": zipfile.ZIP_LZMA,
}
for method, number in METHODS.items():
    archive = damaged(zipped({"a.json": ROWS}, number))
    ARCHIVES[f"a damaged archive, {method}"] = (archive, "a.json", "a complete zip archive")


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_that_does_not_give_the_file_is_refused_in_words(case, place):
    archive, member, message = ARCHIVES[case]
    with serving(lambda asked: part_of(archive, asked)) as server, pytest.raises(Problem) as refused:
        bring(place, f"{server.address}/set.zip", f"member: {member}\n")
    assert message in str(refused.value)
    assert not (place / "raw").exists()


def test_a_disk_that_is_full_is_not_told_as_a_damaged_archive(tmp_path):
    (tmp_path / "set.zip").write_bytes(zipped({"a.json": ROWS}, zipfile.ZIP_BZIP2))
    with pytest.raises(OSError, match="No space left on device"):
        archives.take_out(tmp_path / "set.zip", "a.json", Path("/dev/full"))
