"""Token ids that are kept for the next training: made once for the same rows, prompt, tokenizer, code and libraries.

They are no output of the pipeline and decide nothing: who deletes them waits a little longer. They lie in the ignored
`work/` of the main checkout, one file for each content, named by the sha256 of all that they follow from.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from stages.lib.files import sha256, whole
from stages.lib.identity import environment, sha256_of_code
from stages.lib.prompts import Prompt, chosen, encode, fields_of, template_of
from stages.lib.token_columns import Columns, columns_of, in_columns
from stages.lib.workplaces import WORK
from stages.plumbing.checkout import locked, main_checkout
from stages.plumbing.console import say

# Fewer are made in less time than anyone notices beside seven seconds of imports: 5,000 products in 0.7 s on two busy
# cores, and in 0.04 s from a file.
WORTH_KEEPING = 5_000
KEPT = 4  # files, the last used, of four bytes an id: 44 MB for 150,000 products
DIGEST_BYTES = 32
FACTS = b"afina"  # in the metadata of the table: what Columns holds beside it


def token_ids(rows: list[dict[str, Any]], prompt: Prompt, tokenizer: Any, base: Path, here: Path) -> Columns:
    """The rows as token ids, as `encode` makes them or as it once made them of the very same.

    `tokenizer` is the one in the folder `base`; `here` is where the process works.
    """
    if len(rows) < WORTH_KEEPING:
        return columns_of([encode(rows, prompt, tokenizer)])
    folder = main_checkout(here) / WORK / "tokens"
    # The workers of one training want the same ids at the same moment: the first makes them for all.
    with locked(folder, "another process is making token ids"):
        path = folder / f"{key_of(rows, prompt, tokenizer, base)}.arrow"
        kept = read(path)
        if kept:
            say("token ids", f"taken from {WORK}/{folder.name}, {path.name[:8]}")
            return kept
        made = in_columns(rows, prompt, tokenizer)
        keep(made, path)
        return made


def key_of(rows: list[dict[str, Any]], prompt: Prompt, tokenizer: Any, base: Path) -> str:
    """The sha256 of all that decides the ids of these rows."""
    told = {
        "prompt": prompt.model_dump(mode="json"),
        # A chat template may tell the day. This leaves the tokenizer as making all ids would, too: a folder that it is
        # saved to later has the same bytes either way.
        "first": encode(rows[:1], prompt, tokenizer).texts,
        "tokenizer": {
            path.relative_to(base).as_posix(): sha256(path)
            for path in base.rglob("*")
            if path.is_file() and path.suffix != ".safetensors"  # weights, large, and not read for ids
        },
        "code": sha256_of_code(Path(__file__)),
        "libraries": environment(["jinja2", "pyarrow", "tokenizers", "transformers"]),
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    template = chosen(prompt)
    for row in rows:
        asked = template_of(row, template)
        said = [asked.text, *(row.get(field) for field in fields_of(asked)), row["response"]]
        digest.update(json.dumps(said, default=str).encode() + b"\n")
    return digest.hexdigest()


def read(path: Path) -> Columns | None:
    """The ids in a file, mapped into memory rather than read; None where there is none, or, said, a damaged one."""
    import pyarrow as pa

    if not path.is_file():
        return None
    try:
        with pa.memory_map(str(path)) as file:
            content = file.read_buffer()
        os.utime(path)  # used now, so the last to be removed
    except (OSError, pa.ArrowException) as error:  # an empty file can not be mapped
        say("token ids", f"are made anew: {path.name[:8]} that was kept can not be read ({error})")
        return None
    end = max(0, content.size - DIGEST_BYTES)
    if hashlib.sha256(content[:end]).digest() != content[end:].to_pybytes():
        say("token ids", f"are made anew: {path.name[:8]} that was kept is damaged")
        return None
    table = pa.ipc.open_stream(content[:end]).read_all()
    return Columns(table, **json.loads(table.schema.metadata[FACTS]))


def keep(made: Columns, path: Path) -> None:
    """Write ids to `path`, with a digest behind them; a disk that takes no more is told, and only costs time."""
    try:
        forget(path.parent, KEPT - 1)
        with whole(path) as begun:
            _write(made, begun)
    except OSError as error:
        say("token ids", f"are not kept for the next run: {error}")


def _write(made: Columns, path: Path) -> None:
    import pyarrow as pa

    facts = json.dumps({"shortened": made.shortened, "cut": made.cut})
    table = made.table.replace_schema_metadata({FACTS: facts})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    digest = bytes.fromhex(sha256(path))
    with path.open("ab") as file:
        file.write(digest)


def forget(folder: Path, left: int) -> None:
    """Remove all files but the `left` last used, and what a process that was killed had begun to write."""
    by_use = sorted(folder.glob("*.arrow"), key=lambda path: path.stat().st_mtime_ns)
    for path in by_use[: max(0, len(by_use) - left)]:
        path.unlink()
    for path in folder.glob(".*.arrow.*"):
        shutil.rmtree(path)
