"""Where rows come from: the section `source`, and the pointer file that may stand in for a source kept elsewhere."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from stages.plumbing.problem import Problem
from stages.plumbing.section import Section

FORMATS = ("jsonl", "json", "csv", "tsv", "xlsx", "parquet")
Format = Literal["auto", "jsonl", "json", "csv", "tsv", "xlsx", "parquet"]
Encoding = Literal["auto", "utf-8", "utf-16", "cp1252", "latin-1", "cp850", "mac-roman"]

# Names that the tables of the pipeline give to columns of their own.
RESERVED = ("row_id", "line", "offset", "row_kept", "response", "copy", "paraphrase")
POINTER_SUFFIXES = (".pointer.yaml", ".pointer.yml")


def _hex(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("64 hexadecimal digits, as sha256sum prints them")
    return text.lower()


Sha256 = Annotated[str, AfterValidator(_hex)]


class Columns(Section):
    """Which columns of the source become the fields of a prompt, and which one the response."""

    inputs: dict[str, str] = Field(min_length=1)
    response: str = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_usable(self) -> Self:
        for name, column in self.inputs.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"a field name of small letters, digits and _ that begins with a letter, not {name!r}")
            if name in RESERVED:
                raise ValueError(f"a field name other than {', '.join(RESERVED)}, which the tables use themselves")
            if not column:
                raise ValueError(f"the source column that fills the field {name}")
        return self

    @property
    def fields(self) -> dict[str, str]:
        """Field -> source column, in table order: the inputs as listed, then the response."""
        return {**self.inputs, "response": self.response}


def _plain(path: str) -> str:
    if found := re.search(r'["$`\\\x00-\x1f]', path):
        raise ValueError(f"a path without {found[0]!r}, which the shell that DVC starts would not leave as it is")
    if path.startswith("-"):
        raise ValueError(f"./{path}, since what begins with - is taken for an option")
    return path


class Source(Section):
    """The section `source`."""

    path: Annotated[str, Field(min_length=1), AfterValidator(_plain)]
    sha256: Sha256 | None
    format: Format
    encoding: Encoding
    sheet: str | None
    delimiter: Annotated[str, Field(pattern=r'^[^"\r\n]$')] | None
    columns: Columns


class HubFile(Section):
    """One file of a repository on the Hugging Face hub."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    file: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    kind: Literal["dataset", "model", "space"] = "dataset"


# A file name that can not lead out of a folder, hide in it or look like an option.
FILE_NAME = r"^\w[\w. ()+,=@-]*$"


def _public(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address that begins with https://")
    if parts.username or parts.password:
        raise ValueError("an address without user and password, which belong into ~/.netrc and not into a file in git")
    if parts.hostname in ("drive.google.com", "docs.google.com"):
        raise ValueError("for Google Drive, drive: with the file's id, the part of its address after /d/")
    return url


class Pointer(Section):
    """A small committed file that says where the data is; fetch follows it. Exactly one of url, hub, drive is given.

    url: an https address. hub: a file of a Hugging Face repository. drive: the id of a file on Google Drive. member:
    when that is a zip archive, the file in it that is the data. sha256: of what is downloaded (the archive). name: the
    file's name in data/raw, when the address does not end with a good one. licence: for the provenance report.
    """

    url: Annotated[str, AfterValidator(_public)] | None = None
    hub: HubFile | None = None
    drive: Annotated[str, Field(pattern=r"^[\w-]{10,}$")] | None = None
    member: Annotated[str, Field(min_length=1)] | None = None
    sha256: Sha256 | None = None
    licence: str | None = None
    name: Annotated[str, Field(pattern=FILE_NAME)] | None = None

    @model_validator(mode="after")
    def _points_to_one_place(self) -> Self:
        if sum(place is not None for place in (self.url, self.hub, self.drive)) != 1:
            raise ValueError("exactly one of url, hub and drive")
        return self

    @property
    def kind(self) -> Literal["url", "hub", "drive"]:
        return "url" if self.url else "hub" if self.hub else "drive"

    @property
    def location(self) -> str:
        """The address as a person would write it."""
        if self.hub:
            return f"hf://{self.hub.kind}s/{self.hub.repository}/{self.hub.file}"
        return self.url or f"https://drive.google.com/file/d/{self.drive}/view"


def is_pointer(path: Path) -> bool:
    """Whether the file only says where the data is."""
    return path.name.endswith(POINTER_SUFFIXES)


def the_source_in(raw: Path) -> Path:
    """The one file that fetch put into the folder `raw`."""
    found = sorted(path for path in raw.iterdir() if path.is_file()) if raw.is_dir() else []
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "nothing"
        raise Problem(str(raw), names, "exactly one file, the source", "run dvc repro fetch")
    return found[0]
