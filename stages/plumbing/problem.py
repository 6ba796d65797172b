"""The one kind of error that is meant for the person who can fix it."""

from dataclasses import dataclass

# Names that a message shows, and rows that a report does, whatever the file: they have to stay readable.
LISTED = 20


@dataclass
class Problem(Exception):  # noqa: N818 - what a person meets is a problem
    """A mistake in the input, the parameters or the machine, told so that it can be put right.

    `where` names the file, line, column or parameter; `found` and `wanted` say what stands there and what should;
    `do` is the way out. `run` prints it without a traceback and exits with status 1.
    """

    where: str
    found: str
    wanted: str
    do: str

    def __str__(self) -> str:
        return f"{self.where}\n  found:  {self.found}\n  wanted: {self.wanted}\n  do:     {self.do}"


def listed(names: list[str]) -> str:
    """The names, the first of them where they are many, and then how many more there are."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
