"""A pointer to Google Drive brings the file through Drive's page of confirmation, or says why Drive keeps it.

gdown itself runs; what it sends to Google's hosts arrives at a server here.
"""

import hashlib
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest
import requests
from servers import Answer, part_of, serving
from source_tables import write_recipe

from stages import fetch
from stages.lib import drive
from stages.plumbing.problem import Problem

ID = "12zH4mL2RX8iSvH0VCNnd3QxO4DzuHWnK"
ROWS = b'{"title": "a", "content": "b"}\n' * 60_000
SHA256 = hashlib.sha256(ROWS).hexdigest()
FILE = "drive.usercontent.google.com/download"
PAGE = {"Content-Type": "text/html; charset=utf-8"}

# As Drive showed them in 2024: a large file that it can not scan for viruses, and a file that too many have asked for.
# Drive sends each as one line.
CONFIRM = "".join(
    (
        "<html><head><title>Google Drive - Virus scan warning</title></head><body>",
        '<p class="uc-warning-subcaption">Google Drive can\'t scan this file for viruses.</p>',
        f'<form id="download-form" action="https://{FILE}" method="get"><input type="submit" value="Download anyway"/>',
        f'<input type="hidden" name="id" value="{ID}"><input type="hidden" name="export" value="download">',
        '<input type="hidden" name="confirm" value="t"></form></body></html>',
    )
)
QUOTA = "".join(
    (
        "<html><head><title>Google Drive - Quota exceeded</title></head><body>",
        '<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>',
        '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently. ',
        "Please try accessing the file again later.</p></body></html>",
    )
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return tmp_path


@pytest.fixture
def google(monkeypatch):
    """A server that stands in for all of Google's hosts; `asked` has paths such as drive.google.com/uc?id=..."""

    def send(adapter, request, **settings):
        address = urlsplit(request.url)
        assert address.scheme == "https"
        assert address.hostname.endswith(".google.com")
        here = urlsplit(google.address)
        told = request.copy()
        told.url = urlunsplit((here.scheme, here.netloc, f"/{address.hostname}{address.path}", address.query, ""))
        answer = original(adapter, told, **settings)
        answer.url, answer.request = request.url, request
        return answer

    original = requests.adapters.HTTPAdapter.send
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with serving(lambda _: Answer(status=404)) as google:
        yield google


def bring(place: Path, more: str = "") -> dict:
    (place / "data.pointer.yaml").write_text(f"drive: {ID}\nlicence: unknown\n{more}")
    fetch.main(Path("data.pointer.yaml"), place / "raw", place / "source.json")
    return json.loads((place / "source.json").read_text())


def gives(content: bytes = ROWS, name: str = "trn.json", cuts: tuple[int, ...] = (), etag: str = '"one"'):
    """Drive with one large file: first the page of confirmation, then the file, cut after so many bytes."""
    left = list(cuts)

    def answer(asked):
        if asked.path == f"/drive.google.com/uc?id={ID}":
            return Answer(CONFIRM.encode(), headers=PAGE)
        assert asked.path.startswith(f"/{FILE}?")
        assert parse_qs(urlsplit(asked.path).query)["confirm"] == ["t"]
        got = part_of(content, asked, etag, left.pop(0) if left else None)
        got.headers |= {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        return got

    return answer


def asked_of(google) -> list[tuple[str, str | None]]:
    return [(asked.path.split("?")[0].strip("/"), asked.headers.get("Range")) for asked in google.asked]


def test_a_large_file_comes_through_the_page_of_confirmation(place, google, capfd):
    google.answer = gives()
    report = bring(place, f"sha256: {SHA256}\n")
    assert (place / "raw/trn.json").read_bytes() == ROWS
    assert asked_of(google) == [("drive.google.com/uc", None), (FILE, None)]
    assert report == {
        "name": "trn.json",
        "bytes": 1_860_000,
        "sha256": SHA256,
        "location": f"https://drive.google.com/file/d/{ID}/view",
        "revision": None,
        "licence": "unknown",
        "archive": None,
    }
    assert "1.86M/1.86M" in capfd.readouterr().err


def test_a_small_file_comes_at_once(place, google):
    google.answer = lambda _: Answer(
        ROWS, headers={"Content-Type": "text/plain", "Content-Disposition": 'attachment; filename="a.json"'}
    )
    assert bring(place)["name"] == "a.json"


def test_a_download_that_is_cut_goes_on_where_it_stopped(place, google):
    google.answer = gives(cuts=(1_000_000,))
    bring(place)
    assert (place / "raw/trn.json").read_bytes() == ROWS
    *_, (last, begun) = asked_of(google)
    assert last == FILE
    assert begun == "bytes=524288-"


def test_without_a_pinned_sha256_the_next_fetch_begins_anew_and_glues_nothing(place, google, monkeypatch):
    monkeypatch.setattr(drive, "RETRIES", 0)
    google.answer = gives(cuts=(1_000_000,))
    with pytest.raises(Problem, match="Download is incomplete"):
        bring(place)
    other = ROWS.replace(b"a", b"c")
    google.answer = gives(other, etag='"two"')
    google.asked.clear()
    bring(place)
    assert (place / "raw/trn.json").read_bytes() == other
    assert [begun for _, begun in asked_of(google)] == [None, None]


def test_with_a_pinned_sha256_the_next_fetch_goes_on(place, google, monkeypatch):
    monkeypatch.setattr(drive, "RETRIES", 0)
    google.answer = gives(cuts=(1_000_000,))
    with pytest.raises(Problem, match="Download is incomplete"):
        bring(place, f"sha256: {SHA256}\n")
    assert not (place / "raw").exists()
    google.answer = gives()
    google.asked.clear()
    bring(place, f"sha256: {SHA256}\n")
    assert asked_of(google)[-1] == (FILE, "bytes=524288-")
    assert (place / "raw/trn.json").read_bytes() == ROWS


def test_a_half_that_no_longer_fits_is_refused_by_its_sha256_and_the_next_fetch_begins_anew(place, google, monkeypatch):
    monkeypatch.setattr(drive, "RETRIES", 0)
    other = ROWS.replace(b"a", b"c")
    google.answer = gives(other, cuts=(1_000_000,))
    with pytest.raises(Problem, match="Download is incomplete"):
        bring(place, f"sha256: {SHA256}\n")
    google.answer = gives()
    with pytest.raises(Problem, match="sha256"):
        bring(place, f"sha256: {SHA256}\n")
    bring(place, f"sha256: {SHA256}\n")
    assert (place / "raw/trn.json").read_bytes() == ROWS


def test_a_spreadsheet_of_google_comes_as_a_workbook(place, google):
    sheet = f"docs.google.com/spreadsheets/d/{ID}"

    def answer(asked):
        path = asked.path.strip("/").split("?")[0]
        if path == "drive.google.com/uc":
            return Answer(status=500, headers=PAGE)
        if path == "drive.google.com/open":
            return Answer(status=302, headers={"Location": f"https://{sheet}/edit", **PAGE})
        if path == f"{sheet}/edit":
            return Answer(b"<html></html>", headers=PAGE)
        assert asked.path.strip("/") == f"{sheet}/export?format=xlsx"
        kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        return Answer(
            b"PK", headers={"Content-Type": kind, "Content-Disposition": 'attachment; filename="cartas.xlsx"'}
        )

    google.answer = answer
    assert bring(place)["name"] == "cartas.xlsx"


def _login(asked):
    if "accounts" in asked.path:
        return Answer(b"<html>Sign in</html>", headers=PAGE)
    return Answer(status=302, headers={"Location": "https://accounts.google.com/ServiceLogin?x=1", **PAGE})


REFUSALS = {
    "quota exceeded": (lambda _: Answer(QUOTA.encode(), headers=PAGE), "quota for this file is used up", "24 hours"),
    "no permission": (_login, "no permission: Drive asks for a login", "anyone with the link"),
    "forbidden": (lambda _: Answer(b"<html>no</html>", 403, PAGE), "no permission", "anyone with the link"),
    "not found": (lambda _: Answer(b"<html>404</html>", 404, PAGE), "no such file", "correct drive:"),
    "a page without words": (lambda _: Answer(b"<html>?</html>", headers=PAGE), "(HTTP status 200)", "in a browser"),
    "a name that leads out": (gives(name="..%2f.bashrc"), "no usable file name", "add name:"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_drive_keeps_is_told_in_words(case, place, google):
    google.answer, found, do = REFUSALS[case]
    with pytest.raises(Problem) as refused:
        bring(place)
    assert found in refused.value.found
    assert do in refused.value.do
    assert str(place) not in str(refused.value)
    assert not (place / "raw").exists()


def test_a_file_of_another_sha256_is_refused_and_both_are_shown(place, google):
    google.answer = gives()
    with pytest.raises(Problem) as refused:
        bring(place, f"sha256: {'f' * 64}\n")
    assert SHA256 in refused.value.found
    assert refused.value.wanted == "f" * 64


def test_gdown_is_imported_for_drive_alone(place):
    import subprocess
    import sys

    from source_tables import ROOT

    (place / "rows.jsonl").write_bytes(ROWS)
    code = (
        "import sys; from pathlib import Path; from stages import fetch; "
        "fetch.main(Path('rows.jsonl'), Path('raw'), Path('source.json')); "
        "print([name for name in ('gdown', 'bs4', 'requests', 'huggingface_hub') if name in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True
    ).stdout
    assert told.splitlines()[-1] == "[]"
