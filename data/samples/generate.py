"""Generate: make the sample data of this folder from its grammar and its seeds.

    python data/samples/generate.py

Same seeds, same bytes, on every Python from 3.11 on.
"""

from pathlib import Path

from corpus import build_corpus
from products import build_catalogue
from tarot import workbook_bytes


def contents() -> dict[str, bytes]:
    """The bytes of each file, by its name."""
    catalogue = build_catalogue()
    return {
        "products.jsonl": "".join(f"{line}\n" for line in catalogue.lines).encode(),
        "corpus.txt": "".join(f"{line}\n" for line in build_corpus(catalogue)).encode(),
        "tarot.xlsx": workbook_bytes(),
    }


def main() -> None:
    folder = Path(__file__).resolve().parent
    for name, content in contents().items():
        (folder / name).write_bytes(content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
