"""Loading an adapter onto the base model, with an account of what was loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.plumbing.problem import Problem


@dataclass(frozen=True)
class Loaded:
    """What came of loading an adapter: `expected` weights of the model, those the file had, and the file's others."""

    expected: int
    matched: int
    missing: list[str]
    unexpected: list[str]


def load_adapter(net: Any, folder: Path) -> tuple[Any, Loaded]:
    """`net` with the adapter of `folder` around it.

    Settings that this version of PEFT does not know are left out and said; weights that fit no layer are listed.
    """
    from peft import PeftModel
    from peft.utils import load_peft_weights
    from safetensors import SafetensorError

    config = known_settings(folder)
    try:
        wrapped = PeftModel.from_pretrained(net, folder, config=config)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise Problem(
            str(folder),
            " ".join(str(error).split())[:300],
            "an adapter for the base model in models/base",
            "train it again on this base: dvc repro train",
        ) from error
    in_file = {_plain(name) for name in load_peft_weights(str(folder), device="cpu")}
    in_model = {_plain(name) for name, _ in wrapped.named_parameters() if is_adapter_weight(name)}
    return wrapped.eval(), Loaded(
        expected=len(in_model),
        matched=len(in_model & in_file),
        missing=sorted(in_model - in_file),
        unexpected=sorted(in_file - in_model),
    )


def is_adapter_weight(name: str) -> bool:
    """Whether a parameter's name is one of an adapter's."""
    return ".lora_" in name


def _plain(name: str) -> str:
    """A weight's name without the name of its adapter, as the file has it."""
    return name.replace(".default", "").removesuffix(".weight")


def known_settings(folder: Path) -> Any:
    """The adapter's configuration without the keys that this version of PEFT does not know."""
    import json
    from dataclasses import fields

    from peft import LoraConfig

    from stages.plumbing.console import say

    path = folder / "adapter_config.json"
    if not path.is_file():
        raise Problem(
            str(folder), "no adapter_config.json", "an adapter", "bring or make it: dvc pull train, dvc repro"
        )
    if not (folder / "adapter_model.safetensors").is_file():
        raise Problem(
            str(folder), "no adapter_model.safetensors", "an adapter", "bring or make it: dvc pull train, dvc repro"
        )
    try:
        settings = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise Problem(
            str(path), str(error), "the JSON that PEFT writes", "make it again: dvc repro -f train"
        ) from error
    names = {field.name for field in fields(LoraConfig)}
    dropped = sorted(set(settings) - names)
    if dropped:
        say("settings left out", ", ".join(dropped), "(unknown to this PEFT)")
    return LoraConfig(**{key: value for key, value in settings.items() if key in names} | {"inference_mode": True})
