"""Where a base model comes from when it is not made here: a folder, or the hub at a pinned revision."""

from typing import Any

from stages.lib.models import FAMILIES, Model
from stages.plumbing.problem import Problem


def from_folder(model: Model) -> tuple[Any, Any]:
    """The model and tokenizer saved in the folder `model.path`."""
    if not (model.path / "config.json").is_file():
        raise Problem(
            f"params.yaml, model.path: {model.path}",
            "no config.json in it" if model.path.is_dir() else "no such folder",
            "a folder that transformers' save_pretrained wrote",
            "correct model.path, or choose model.origin: scratch or hub",
        )
    return _load(str(model.path), model, None)


def from_hub(model: Model) -> tuple[Any, Any]:
    """The model and tokenizer that the hub publishes as `model.name` at `model.revision`."""
    return _load(str(model.name), model, model.revision)


def _load(name: str, model: Model, revision: str | None) -> tuple[Any, Any]:
    """Load with transformers, never running code that a checkpoint brings along; `.bin` weights as tensors only."""
    import torch
    import transformers
    from safetensors import SafetensorError

    auto = getattr(transformers, FAMILIES[model.family][0])
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
        net, told = auto.from_pretrained(
            name,
            revision=revision,
            trust_remote_code=False,
            weights_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise Problem(
            f"params.yaml, model: {name}" + (f" at revision {revision}" if revision else ""),
            " ".join(str(error).split())[:400],
            f"a {model.family} checkpoint that can be read or downloaded",
            "check the name, the revision and the network; for a gated model, run `hf auth login` first",
        ) from error
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        raise Problem(
            f"params.yaml, model: {name}",
            f"a checkpoint that lacks {len(missing)} weights, first {missing[0]}",
            f"a whole {model.family} model: what is missing would be random",
            "check model.family and model.name",
        )
    return net, tokenizer
