"""A pointer to the Hugging Face hub brings a pinned file with the hub's own client, or says what the hub meant."""

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from servers import Answer, serving
from source_tables import write_recipe

from stages import fetch
from stages.plumbing.problem import Problem

ROWS = b'{"title": "a", "content": "b"}\n' * 20_000
SHA256 = hashlib.sha256(ROWS).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", "v1.0", COMMIT)


def hub_of(files: dict[str, bytes], cut: int | None = None):
    """A hub with one data set, org/rows, and a gated one, org/closed."""
    left = [cut] if cut else []

    def answer(asked):
        found = re.fullmatch(r"/datasets/(org/[a-z]+)/resolve/([^/]+)/(.+)", unquote(asked.path))
        name, revision, file = found.groups()
        if name == "org/closed":
            return Answer(status=403, headers={"X-Error-Code": "GatedRepo"})
        if name != "org/rows":
            return Answer(status=401, headers={"X-Error-Code": "RepoNotFound"})
        if revision not in REVISIONS:
            return Answer(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        if file not in files:
            return Answer(status=404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content = files[file]
        known = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        start = int((asked.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
        if start:
            known["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        here = left.pop() if left and asked.method == "GET" else None
        return Answer(content[start:], 206 if start else 200, known, here)

    return answer


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    return tmp_path


@pytest.fixture
def hub(place, monkeypatch):
    """The hub that the client talks to; its cache is in this test's folder. Other tests run with HF_HUB_OFFLINE=1."""
    from huggingface_hub import constants

    with serving(hub_of({"rows.jsonl": ROWS, "data/part 1.jsonl": ROWS[:31]})) as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(place / "no-token"))
        ask(monkeypatch, server.address)
        yield server


def ask(monkeypatch, address: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )


def bring(place: Path, file: str = "rows.jsonl", repository: str = "org/rows", revision: str = COMMIT, more="") -> dict:
    hub = f"hub:\n  repository: {repository}\n  file: {file}\n  revision: {revision}\n"
    (place / "data.pointer.yaml").write_text(f"{hub}licence: CC-BY-4.0\n{more}")
    fetch.main(Path("data.pointer.yaml"), place / "raw", place / "source.json")
    return json.loads((place / "source.json").read_text())


def test_a_pinned_file_of_a_data_set_is_brought_and_the_report_says_where_from(place, hub):
    assert bring(place, more=f"sha256: {SHA256}\n") == {
        "name": "rows.jsonl",
        "bytes": 620_000,
        "sha256": SHA256,
        "location": "hf://datasets/org/rows/rows.jsonl",
        "revision": COMMIT,
        "licence": "CC-BY-4.0",
        "archive": None,
    }
    assert (place / "raw/rows.jsonl").read_bytes() == ROWS
    assert not (place / "raw/rows.jsonl").is_symlink()


def test_what_is_in_the_cache_needs_no_hub(place, hub):
    bring(place)
    hub.asked.clear()
    bring(place)
    assert hub.asked == []


@pytest.mark.parametrize("revision", ["main", "v1.0"])
def test_a_name_that_may_move_is_reported_as_the_commit_that_it_was(place, hub, capsys, revision):
    assert bring(place, revision=revision)["revision"] == COMMIT
    assert f"{revision} is commit {COMMIT} now; pin that" in capsys.readouterr().out


def test_a_file_in_a_folder_keeps_its_own_name(place, hub):
    assert bring(place, "data/part 1.jsonl")["name"] == "part 1.jsonl"


def test_a_download_that_is_cut_goes_on(place, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)
    hub.answer = hub_of({"rows.jsonl": ROWS}, cut=300_000)
    assert bring(place)["sha256"] == SHA256
    assert [asked.headers.get("Range") is not None for asked in hub.asked if asked.method == "GET"] == [False, True]


REFUSALS = {
    "an unknown data set": (
        {"repository": "org/nothing"},
        "no dataset of that name, or a private one",
        "hf auth login",
    ),
    "an unknown revision": ({"revision": "v9"}, "no revision v9", "commits/main"),
    "an unknown file": ({"file": "x.jsonl"}, "no file x.jsonl in it", "correct hub.file"),
    "a gated data set": ({"repository": "org/closed"}, "a gated repository", "datasets/org/closed, then log in: `hf"),
    "a name that the hub does not allow": ({"repository": "org/a..b"}, "Cannot have -- or ..", "check names"),
    "a file that leads out": ({"file": "../../etc/passwd"}, "..", "check names"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_hub_does_not_give_out_is_told_in_words(case, place, hub):
    asked, found, do = REFUSALS[case]
    with pytest.raises(Problem) as refused:
        bring(place, **asked)
    assert found in refused.value.found
    assert do in refused.value.do
    assert not (place / "raw").exists()


def test_a_hub_that_answers_nobody_is_told(place, hub, monkeypatch):
    ask(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(Problem) as refused:
        bring(place)
    assert "check the connection" in refused.value.do


def test_a_wrong_sha256_shows_both(place, hub):
    with pytest.raises(Problem) as refused:
        bring(place, more=f"sha256: {'f' * 64}\n")
    assert SHA256 in refused.value.found
    assert refused.value.wanted == "f" * 64
