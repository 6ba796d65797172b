"""Where a base model comes from when it is not made here: a folder, or the hub at a pinned revision."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib.hub_models import snapshot
from stages.lib.models import FAMILIES, Model, settings_in
from stages.lib.quantization import insist_on_bitsandbytes, require_bitsandbytes
from stages.plumbing.problem import Problem


@dataclass(frozen=True)
class Checkpoint:
    """A model and its tokenizer; the folder they were read from and their commit on the hub, where they have them."""

    net: Any
    tokenizer: Any
    folder: Path | None = None
    commit: str | None = None

    def write(self, target: Path) -> None:
        """Write model and tokenizer into the folder `target`, weights as safetensors."""
        if self.folder and _held(self.folder):
            # transformers reads weights of four bits and cannot write them again: they are kept to the byte.
            target.mkdir(parents=True)
            for path in [self.folder / "config.json", *self.folder.glob("model*.safetensors*")]:
                shutil.copyfile(path, target / path.name)
            self.net.generation_config.save_pretrained(target)
        else:
            self.net.save_pretrained(target)
        self.tokenizer.save_pretrained(target)


def from_folder(model: Model) -> Checkpoint:
    """The model and tokenizer saved in the folder `model.path`."""
    if not (model.path / "config.json").is_file():
        raise Problem(
            f"params.yaml, model.path: {model.path}",
            "no config.json in it" if model.path.is_dir() else "no such folder",
            "a folder that transformers' save_pretrained wrote",
            "correct model.path, or choose model.origin: scratch or hub",
        )
    return Checkpoint(*read(model.path, model.family, f"params.yaml, model.path: {model.path}"), model.path)


def from_hub(model: Model) -> Checkpoint:
    """The model and tokenizer that the hub publishes as `model.name` at `model.revision`."""
    folder, commit = snapshot(str(model.name), model.revision)
    return Checkpoint(*read(folder, model.family, f"params.yaml, model: {model.name} at {commit}"), folder, commit)


def twin_from_hub(model: Model, base: Checkpoint) -> Checkpoint:
    """The full-precision twin of a quantised base: `model.unquantised`, a name, or name@revision, on the hub."""
    name, _, revision = str(model.unquantised).partition("@")
    where = f"params.yaml, model.unquantised: {model.unquantised}"
    if not _held(base.folder):
        raise Problem(
            where,
            f"a twin for {model.name}, which is not quantised",
            "null for a base in full precision",
            "set model.unquantised: null",
        )
    folder, commit = snapshot(name, revision or None)
    if _held(folder):
        raise Problem(where, "a quantised model too", "the model in full precision", "correct model.unquantised")
    net, tokenizer = read(folder, model.family, where)
    for key in ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size"):
        one, other = getattr(base.net.config, key, None), getattr(net.config, key, None)
        if one != other:
            raise Problem(
                where, f"{key} {other}, where {model.name} has {one}", "its twin", "correct model.unquantised"
            )
    return Checkpoint(net, tokenizer, folder, commit)


def _held(folder: Path) -> dict[str, Any] | None:
    """How the weights of a checkpoint are quantised already, or None."""
    return settings_in(folder).get("quantization_config")


def read(folder: Path, family: str, where: str) -> tuple[Any, Any]:
    """The model in its own precision, and the tokenizer, of a checkpoint in a folder.

    No code that a checkpoint brings is ever run, and `.bin` weights are read as tensors only. Raises Problem for a
    checkpoint of another family, or one that is broken or not whole.
    """
    check_settings(settings_in(folder), family, where)
    net, told = _loaded(folder, family, where)
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        raise Problem(
            where,
            f"a checkpoint that lacks {len(missing)} weights, first {missing[0]}",
            f"a whole {family} model: what is missing would be random",
            "check model.family and model.name",
        )
    tokenizer = _tokenizer(folder, where)
    rows = net.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise Problem(
            where,
            f"a tokenizer of {len(tokenizer):,} pieces, but a model that knows {rows:,}",
            "a tokenizer and a model that belong together",
            "choose a checkpoint whose tokenizer is its own",
        )
    _forget_how_to_generate(net)
    return net, tokenizer


def check_settings(settings: dict[str, Any], family: str, where: str) -> None:
    """Raise a problem unless config.json describes a model of `family` that transformers itself knows."""
    from transformers import CONFIG_MAPPING

    kind = settings.get("model_type")
    if kind not in CONFIG_MAPPING:
        brings = "it brings code of its own, which is never run here" if "auto_map" in settings else "unknown"
        raise Problem(
            where,
            f"an architecture that this version of transformers does not know: {kind} ({brings})",
            "a model such as T5, Llama or Mistral",
            "choose another model; nothing here sets trust_remote_code",
        )
    writes = settings.get("is_encoder_decoder", getattr(CONFIG_MAPPING[kind](), "is_encoder_decoder", False))
    found = "seq2seq" if writes else "causal"
    if found != family:
        raise Problem(
            where,
            f"a {found} model ({kind}), but model.family says {family}",
            f"a {family} model, or model.family: {found}",
            f"set model.family: {found} (and lora.targets to layers that it has), or choose another model",
        )


def _loaded(folder: Path, family: str, where: str) -> tuple[Any, dict[str, Any]]:
    """The model as it is in its files, and what transformers tells of loading it."""
    from pickle import UnpicklingError

    import transformers
    from safetensors import SafetensorError

    if held := _held(folder):
        insist_on_bitsandbytes(held, where)
        if not list(folder.glob("model*.safetensors")):
            raise Problem(
                where,
                "quantised weights in PyTorch's own format",
                "quantised weights as safetensors, since they are kept as they are",
                "choose a newer model.name, or the one in full precision",
            )
        require_bitsandbytes()
    try:
        return getattr(transformers, FAMILIES[family][0]).from_pretrained(
            folder, trust_remote_code=False, weights_only=True, dtype="auto", output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError, UnpicklingError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's business, not the checkpoint's
        raise Problem(
            where,
            f"weights that cannot be read: {' '.join(str(error).split())[:300]}",
            f"a whole {family} checkpoint, as transformers writes it",
            "bring it anew: one from the hub by `hf cache rm` and dvc repro, a folder from where it came",
        ) from error


def _tokenizer(folder: Path, where: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise Problem(
            where,
            f"a tokenizer that cannot be read: {' '.join(str(error).split())[:300]}",
            "tokenizer.json, or the vocabulary of a kind that transformers knows (spiece.model, tokenizer.model)",
            "choose a checkpoint with its tokenizer beside it",
        ) from error


def _forget_how_to_generate(net: Any) -> None:
    """Keep of a checkpoint's generation settings its special tokens alone: how to generate, params.yaml says.

    A penalty or a sampling temperature of its own would act unseen, and some published ones refuse to be saved.
    """
    from transformers import GenerationConfig

    named = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    had = net.generation_config
    net.generation_config = GenerationConfig(**{name: getattr(had, name, None) for name in named})
