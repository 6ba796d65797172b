"""Where rows come from: the section `source`, and the pointer file that may stand in for a source kept elsewhere."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from stages.plumbing.problem import Problem
from stages.plumbing.section import Section

FORMATS = ("jsonl", "json", "csv", "tsv", "xlsx", "parquet")
Format = Literal["auto", "jsonl", "json", "csv", "tsv", "xlsx", "parquet"]
Encoding = Literal["auto", "utf-8", "utf-16", "cp1252", "latin-1"]

# Names that the tables of the pipeline give to columns of their own.
RESERVED = ("row_id", "line", "response")
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


class Source(Section):
    """The section `source`."""

    path: str = Field(min_length=1)
    sha256: Sha256 | None
    format: Format
    encoding: Encoding
    sheet: str | None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None
    columns: Columns


class HubFile(Section):
    """One file of a repository on the Hugging Face hub."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    file: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    kind: Literal["dataset", "model", "space"] = "dataset"


class Pointer(Section):
    """A small committed file that says where the data is; fetch follows it. Exactly one of `url` and `hub` is given."""

    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    hub: HubFile | None = None
    sha256: Sha256 | None = None
    licence: str | None = None
    name: Annotated[str, Field(pattern=r"^[\w][\w. -]*$")] | None = None

    @model_validator(mode="after")
    def _points_to_one_place(self) -> Self:
        if (self.url is None) == (self.hub is None):
            raise ValueError("exactly one of url and hub")
        return self


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
