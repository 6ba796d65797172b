"""The stages as processes, on what a file system may do to them: one message, exit 1, nothing half-written."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
from servers import part_of, serving
from source_tables import ROOT, json_lines, write_recipe

LINE = json.dumps({"title": "Copo azul", "content": "Um copo azul de vidro para a mesa do dia."}).encode() + b"\n"
# Texts that zstd can not make small.
WIDE = json_lines([{"title": f"Produto {n}", "content": os.urandom(200).hex()} for n in range(2000)])


@pytest.fixture
def place():
    """A folder that other users may enter too, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="afina-"))
    folder.chmod(0o777)
    write_recipe(folder)
    yield folder
    shutil.rmtree(folder)


def fetch(place: Path, source: str, **settings) -> subprocess.CompletedProcess:
    return stage(place, ["stages.fetch", source, "data/raw", "reports/source.json"], **settings)


def clean(place: Path, **settings) -> subprocess.CompletedProcess:
    outs = ["data/clean.parquet", "data/quarantine.parquet", "reports/clean.json", "reports/cleaning.html"]
    return stage(place, ["stages.clean", "data/raw", *outs], **settings)


def stage(place: Path, words: list[str], **settings) -> subprocess.CompletedProcess:
    return python(place, ["-m", *words], **settings)


def python(place: Path, words: list[str], **settings) -> subprocess.CompletedProcess:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(place)}
    return subprocess.run(
        [sys.executable, *words], cwd=place, env=env, check=False, capture_output=True, text=True, **settings
    )


def files_of(place: Path) -> list[str]:
    """Every file in the folder but the recipe, hidden ones too."""
    found = (path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith("params.yaml"))


def told(done: subprocess.CompletedProcess) -> str:
    """The message of a stage that stopped as it should."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in ("✗ ", "found:", "wanted:", "do:"):
        assert done.stderr.count(word) == 1
    return done.stderr


def at_most(size: int):
    """For a process that may write no file larger than this: a full disk, as far as the process can tell."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "neither a file nor a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "neither a file nor a folder"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
        (lambda _: None, "no such file"),
    ],
    ids=["folder", "FIFO", "device", "link to itself", "dangling link", "missing"],
)
def test_what_is_no_file_stops_fetch_at_once(place, make, message):
    make(place / "rows.jsonl")
    assert message in told(fetch(place, "rows.jsonl", timeout=60))
    assert files_of(place) == []


# What is needed is imported before: the other user may not be allowed to read this Python.
AS_ANOTHER = """
import os
from pathlib import Path
from stages import fetch
from stages.plumbing import recipe, run
def main(source: Path, raw: Path, report: Path) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)
    fetch.main(source, raw, report)
run.run(main)
"""


def test_a_file_that_one_may_not_read_stops_fetch(place):
    """As another user where the tests run as root, who may read everything."""
    (place / "rows.jsonl").write_bytes(LINE)
    (place / "rows.jsonl").chmod(0)
    done = python(place, ["-c", AS_ANOTHER, "rows.jsonl", "data/raw", "reports/source.json"])
    assert "permission denied" in told(done)
    assert files_of(place) == ["rows.jsonl"]


def test_a_folder_that_one_may_not_write_stops_fetch(place):
    (place / "rows.jsonl").write_bytes(LINE)
    (place / "data").mkdir(mode=0o555)
    done = python(place, ["-c", AS_ANOTHER, "rows.jsonl", "data/raw", "reports/source.json"])
    assert "give permission" in told(done)
    assert "data/" in done.stderr
    assert files_of(place) == ["rows.jsonl"]


def test_a_disk_that_is_full_while_the_source_is_copied_leaves_nothing(place):
    (place / "rows.jsonl").write_bytes(WIDE)
    assert "make room" in told(fetch(place, "rows.jsonl", preexec_fn=at_most(100_000)))
    assert files_of(place) == ["rows.jsonl"]


def test_a_disk_that_is_full_while_it_is_downloaded_leaves_the_half_for_the_next_fetch(place):
    with serving(lambda asked: part_of(WIDE, asked)) as server:
        (place / "a.pointer.yaml").write_text(f"url: {server.address}/rows.jsonl\n")
        assert "make room" in told(fetch(place, "a.pointer.yaml", preexec_fn=at_most(100_000)))
        assert not (place / "data/raw").exists()
        assert fetch(place, "a.pointer.yaml").returncode == 0
        assert [asked.headers.get("Range") for asked in server.asked] == [None, "bytes=100000-"]
    assert (place / "data/raw/rows.jsonl").read_bytes() == WIDE


def test_a_disk_that_is_full_while_rows_are_written_leaves_the_earlier_tables_alone(place):
    (place / "rows.jsonl").write_bytes(LINE)
    assert fetch(place, "rows.jsonl").returncode == 0
    assert clean(place).returncode == 0
    before = {name: (place / name).read_bytes() for name in files_of(place)}
    (place / "data/raw/rows.jsonl").write_bytes(WIDE)
    assert "make room" in told(clean(place, preexec_fn=at_most(100_000)))
    before["data/raw/rows.jsonl"] = WIDE
    assert {name: (place / name).read_bytes() for name in files_of(place)} == before


@pytest.mark.parametrize("size", [4_000, 20_000, 50_000])
def test_a_disk_that_is_full_while_rows_are_dealt_leaves_the_earlier_split_alone(size, place):
    def split(**settings):
        outs = [f"data/split/{name}.parquet" for name in ("train", "validation", "test", "copies")]
        return stage(place, ["stages.split", "data/shards", *outs, "reports/split.json"], **settings)

    (place / "rows.jsonl").write_bytes(WIDE[: WIDE.index(b"\n", 200_000) + 1])
    (place / "reports").mkdir()
    (place / "reports/validation_gate.json").write_text('{"passed": true}')
    shard = ["stages.shard", "data/clean.parquet", "reports/validation_gate.json", "data/shards"]
    for done in (fetch(place, "rows.jsonl"), clean(place), stage(place, shard), split()):
        assert done.returncode == 0, done.stderr
    before = {name: (place / name).read_bytes() for name in files_of(place)}
    write_recipe(place, split__seed=7, split__test=0.4, augmentation__copies=1, augmentation__paraphrases=["{title}?"])
    assert "make room" in told(split(preexec_fn=at_most(size)))
    assert {name: (place / name).read_bytes() for name in files_of(place)} == before


def test_a_file_that_can_not_be_read_as_a_table_stops_clean_with_one_message(place):
    (place / "rows.jsonl").write_bytes(b"\xff\xfe\xfa" * 50)
    assert fetch(place, "rows.jsonl").returncode == 0
    assert "no record that can be read" in told(clean(place))
    assert files_of(place) == ["data/raw/rows.jsonl", "reports/source.json", "rows.jsonl"]


def test_a_line_of_fifty_megabytes_is_a_row_like_any_other(place):
    (place / "rows.jsonl").write_bytes(LINE + json_lines([{"title": "x", "content": "palavra " * 6_500_000}]) + LINE)
    assert fetch(place, "rows.jsonl").returncode == 0
    done = clean(place)
    assert done.returncode == 0, done.stderr
    rows = pl.read_parquet(place / "data/clean.parquet")
    assert rows["response"].str.len_chars().to_list() == [41, 51_999_999]
    assert json.loads((place / "reports/clean.json").read_text())["duplicates"] == 1
