"""Loading an adapter onto the base model, with an account of what was loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib.adapter_folder import method_of, parts, read_settings
from stages.plumbing.problem import Problem
from stages.plumbing.section import Section


class Tuned(Section):
    """The section `tuned`: which adapter is looked at. dvc.yaml puts it on the command line of predict and merge."""

    adapter: Path


@dataclass(frozen=True)
class Loaded:
    """What came of loading an adapter: `expected` weights of the model, those the file had, and the file's others.

    `outputs` counts the weights that show whether it learnt anything, `active` those of them that did: LoRA's B beside
    zero, IA3's scales beside one, a whole model's weights beside the base's.
    """

    method: str
    expected: int
    matched: int
    missing: list[str]
    unexpected: list[str]
    outputs: int
    active: int


# method → what its weights are called within a model
MARKS = {"lora": ".lora_", "ia3": ".ia3_l", "prompt_tuning": "prompt_encoder."}


def load_adapter(net: Any, folder: Path) -> tuple[Any, Loaded]:
    """`net` with the adapter of `folder` around it, or with the weights of the whole model that `folder` holds.

    Settings that this version of PEFT does not know are left out and said; weights that fit no layer are listed.
    """
    from safetensors import SafetensorError

    method = method_of(folder)
    try:
        return _replace_weights(net, folder) if method == "full" else _wrap(net, folder, method)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise Problem(
            str(folder),
            " ".join(str(error).split())[:300],
            "an adapter for the base model in models/base",
            "train it again on this base: dvc repro train",
        ) from error


def _wrap(net: Any, folder: Path, method: str) -> tuple[Any, Loaded]:
    """PEFT's adapter around `net`."""
    from peft import PeftModel
    from peft.utils import load_peft_weights

    wrapped = PeftModel.from_pretrained(net, folder, config=known_settings(folder))
    in_file = {_plain(name) for name in load_peft_weights(str(folder), device="cpu")}
    weights = adapter_weights(wrapped)
    in_model = {_plain(name) for name in weights}
    # LoRA's B starts at zero and IA3's scales at one: while all of them do, the adapter does nothing.
    idle = 1.0 if method == "ia3" else 0.0
    outputs = [tensor for name, tensor in weights.items() if method != "lora" or "lora_B" in name]
    return wrapped.eval(), Loaded(
        method=method,
        expected=len(in_model),
        matched=len(in_model & in_file),
        missing=sorted(in_model - in_file),
        unexpected=sorted(in_file - in_model),
        outputs=len(outputs),
        active=sum(bool((tensor != idle).any()) for tensor in outputs),
    )


def _replace_weights(net: Any, folder: Path) -> tuple[Any, Loaded]:
    """`net` with the weights of a whole model; a weight that layers share may have any of its names in the file."""
    import torch
    from safetensors import safe_open

    if getattr(net, "is_quantized", False):
        raise Problem(
            str(folder),
            "a whole model, every weight of which was tuned",
            "a base model without quantization to put it into",
            "set quantization.method: none",
        )
    names: dict[int, list[str]] = {}
    for name, weight in net.named_parameters(remove_duplicate=False):
        names.setdefault(id(weight), []).append(name)
    weights = dict(net.named_parameters(remove_duplicate=False))
    missing, active = [], 0
    with safe_open(str(parts(folder)[0]), framework="pt") as file, torch.no_grad():
        in_file = set(file.keys())
        for aliases in names.values():
            found = [name for name in aliases if name in in_file]
            if not found:
                missing.append(aliases[0])
                continue
            weight, tuned = weights[aliases[0]], file.get_tensor(found[0])
            if tuned.shape != weight.shape:
                raise ValueError(f"{found[0]} has the shape {list(tuned.shape)}, not the base's {list(weight.shape)}")
            tuned = tuned.to(weight.dtype)
            active += not torch.equal(weight, tuned.to(weight.device))
            weight.copy_(tuned)
    return net.eval(), Loaded(
        method="full",
        expected=len(names),
        matched=len(names) - len(missing),
        missing=sorted(missing),
        unexpected=sorted(in_file - set(weights)),
        outputs=len(names),
        active=active,
    )


def adapter_weights(net: Any) -> dict[str, Any]:
    """The weights of `net` that tuning made: its adapter's, or all of them where it has none."""
    marks = tuple(MARKS.values())
    weights = dict(net.named_parameters())
    if not hasattr(net, "peft_config"):
        return weights
    return {name: weight for name, weight in weights.items() if any(mark in name for mark in marks)}


def folded(net: Any) -> Any:
    """The model alone, with its adapter's effect in its own weights."""
    return net.merge_and_unload(safe_merge=True) if hasattr(net, "merge_and_unload") else net


def unfoldable(folder: Path) -> str | None:
    """Why the adapter of `folder` cannot be folded into the base, and what to use instead; None when it can."""
    if method_of(folder) != "prompt_tuning":
        return None
    return "prompt tuning learns tokens and changes no weight: use the base and models/adapter together"


def _plain(name: str) -> str:
    """A weight's name without the name of its adapter, as the file has it."""
    return name.replace(".default", "").removesuffix(".weight").replace("prompt_encoder.embedding", "prompt_embeddings")


def known_settings(folder: Path) -> Any:
    """The adapter's configuration without the keys that this version of PEFT does not know."""
    from dataclasses import fields

    from peft import IA3Config, LoraConfig, PromptTuningConfig

    from stages.plumbing.console import say

    _, path = parts(folder)
    settings = read_settings(path)
    kinds = {"lora": LoraConfig, "ia3": IA3Config, "prompt_tuning": PromptTuningConfig}
    kind = kinds.get(method_of(folder))
    if kind is None:
        raise Problem(
            str(path),
            f"peft_type {settings.get('peft_type')}",
            f"an adapter of the methods {', '.join(kinds)}, or a whole model",
            "train one here: dvc repro train",
        )
    names = {field.name for field in fields(kind)}
    dropped = sorted(set(settings) - names)
    if dropped:
        say("settings left out", ", ".join(dropped), "(unknown to this PEFT)")
    return kind(**{key: value for key, value in settings.items() if key in names} | {"inference_mode": True})
