"""The folder of an adapter: what lies in it, how it is written, and what it says about itself.

A PEFT adapter is `adapter_model.safetensors` and `adapter_config.json`. A fully tuned model is `model.safetensors` and
`config.json`, and that is what tells the two apart. Weights are safetensors always: a pickle can run code when read.
"""

from pathlib import Path
from typing import Any

from stages.lib.files import read_json, sha256_of_folder, write_json
from stages.lib.models import FAMILIES
from stages.plumbing.problem import Problem

# what makes up the two kinds of folder: (weights, their settings)
ADAPTER = ("adapter_model.safetensors", "adapter_config.json")
WHOLE = ("model.safetensors", "config.json")
ORIGIN = "origin.json"  # where an adapter comes from: its method, and the sha256 of the base that it was made for


def parts(folder: Path) -> tuple[Path, Path]:
    """The files with the weights and with their settings; a folder that lacks one is a problem that says what to do."""
    weights, settings = WHOLE if (folder / WHOLE[1]).is_file() and not (folder / ADAPTER[1]).is_file() else ADAPTER
    for name in (settings, weights):
        if not (folder / name).is_file():
            pickled = (folder / "adapter_model.bin").is_file()
            raise Problem(
                str(folder),
                f"no {name}" + (", only adapter_model.bin, a pickle, which can run code when read" if pickled else ""),
                "an adapter",
                "load it where you trust it and save_pretrained it as safetensors"
                if pickled
                else "bring or make it: dvc pull train, dvc repro",
            )
    return folder / weights, folder / settings


def method_of(folder: Path) -> str:
    """How the adapter was made: lora, ia3, prompt_tuning, another method of PEFT's, or full for a whole model."""
    _, settings = parts(folder)
    if settings.name == WHOLE[1]:
        return "full"
    return str(read_settings(settings).get("peft_type", "")).lower()


def read_settings(path: Path) -> dict[str, Any]:
    """The JSON of `adapter_config.json`; a file that is none is a problem."""
    try:
        settings = read_json(path)
    except ValueError as error:
        raise Problem(
            str(path), str(error), "the JSON that PEFT writes", "make it again: dvc repro -f train"
        ) from error
    if not isinstance(settings, dict):
        raise Problem(str(path), f"a {type(settings).__name__}", "an object", "make it again: dvc repro -f train")
    return settings


def save(
    net: Any,
    tokenizer: Any,
    folder: Path,
    base: Path,
    family: str,
    origin: dict[str, Any] | None = None,
    place: Path = Path("models/adapter"),
) -> None:
    """Write weights, settings, tokenizer, origin and a word on loading them. Equal adapters give equal bytes.

    `origin` adds to what `origin.json` says: the method, and the sha256 of the base model that the adapter needs.
    `place` is where `folder` will stand when it is whole.
    """
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if (folder / ADAPTER[1]).is_file():
        settings = read_json(folder / ADAPTER[1])
        # PEFT writes sets in the order of the process's hash seed.
        ordered = {key: sorted(value) if _is_set_of_names(value) else value for key, value in settings.items()}
        write_json(folder / ADAPTER[1], ordered | {"base_model_name_or_path": base.as_posix()})
    method = method_of(folder)
    base_sha256 = {"base_sha256": sha256_of_folder(base)} if base.is_dir() else {}
    write_json(folder / ORIGIN, {"method": method} | base_sha256 | (origin or {}))
    how = HOW_TO_LOAD_WHOLE if method == "full" else HOW_TO_LOAD
    auto = FAMILIES[family][0]
    said = how.format(base=base.as_posix(), auto=auto, method=TITLES.get(method, method), place=place.as_posix())
    (folder / "README.md").write_text(said, "utf-8")


def _is_set_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def require_base(folder: Path, base: Path) -> None:
    """Raise a problem when the adapter says that it was made for another base model than the one in `base`."""
    path = folder / ORIGIN
    wanted = read_json(path).get("base_sha256") if path.is_file() else None
    if wanted and base.is_dir() and wanted != (found := sha256_of_folder(base)):
        raise Problem(
            f"{base}: another base model than the adapter's",
            f"sha256 {found[:12]}",
            f"{wanted[:12]}, for which {folder} was made ({path})",
            "bring the base of the adapter's commit (dvc pull base), or train on this one (dvc repro train)",
        )


TITLES = {"lora": "LoRA", "ia3": "IA3", "prompt_tuning": "prompt tuning", "full": "full tuning"}

HOW_TO_LOAD = """---
library_name: peft
base_model: {base}
---

An adapter ({method}) made by Afina for the base model in `{base}`, which `dvc pull base` brings.

```python
from peft import PeftModel
from transformers import {auto}, AutoTokenizer

model = PeftModel.from_pretrained({auto}.from_pretrained("{base}"), "{place}")
tokenizer = AutoTokenizer.from_pretrained("{place}")
```
"""

HOW_TO_LOAD_WHOLE = """---
library_name: transformers
base_model: {base}
---

A whole model made by Afina: every weight of the base model in `{base}` was tuned, so it needs no base.

```python
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("{place}")
tokenizer = AutoTokenizer.from_pretrained("{place}")
```
"""
