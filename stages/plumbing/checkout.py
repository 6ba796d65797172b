"""The checkout that a person works in, which is where work that is not finished waits for the next run."""

from pathlib import Path


def main_checkout(here: Path) -> Path:
    """The checkout that a person works in: DVC's copies for experiments lie below its `.dvc/tmp/exps`."""
    parts = here.resolve().parts
    for index in range(len(parts) - 2):
        if parts[index : index + 3] == (".dvc", "tmp", "exps"):
            return Path(*parts[:index])
    return here.resolve()
