"""The base model: which one, and loading it with its tokenizer from a folder."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from stages.lib.quantization import Quantization, loading_options
from stages.plumbing.console import only_our_bars
from stages.plumbing.problem import Problem
from stages.plumbing.section import Section


class Scratch(Section):
    """A small base model made by the project itself: its shape and its pretraining."""

    vocabulary: int = Field(ge=400)
    width: int = Field(ge=8)
    feed_forward: int = Field(ge=8)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    positions: int = Field(ge=32)
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "Scratch":
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, {self.heads}")
        if self.width // self.heads % 2:
            raise ValueError(f"width / heads must be even, not {self.width // self.heads}: Llama rotates pairs")
        return self


class Model(Section):
    """The section `model`."""

    family: Literal["seq2seq", "causal"]
    origin: Literal["scratch", "folder", "hub"]
    path: Path
    name: str | None
    revision: str | None
    unquantised: str | None
    device: Literal["auto", "cpu", "cuda"]
    threads: int = Field(ge=1)
    seed: int = Field(ge=0)
    scratch: Scratch

    @model_validator(mode="after")
    def _a_hub_model_has_a_name(self) -> "Model":
        if self.origin == "hub" and not self.name:
            raise ValueError("origin hub wants model.name, such as google/flan-t5-base")
        if self.origin != "hub" and self.unquantised:
            raise ValueError("unquantised names a model on the hub: null, or origin hub")
        return self


# Where models/base keeps the full-precision twin of a base that is quantised already.
TWIN = "unquantised"

# family → (class of the model in transformers, side on which prompts are padded, PEFT's name of the task)
FAMILIES: dict[str, tuple[str, str, str]] = {
    "seq2seq": ("AutoModelForSeq2SeqLM", "right", "SEQ_2_SEQ_LM"),
    "causal": ("AutoModelForCausalLM", "left", "CAUSAL_LM"),
}


def device_of(model: Model) -> str:
    """The device asked for, cpu or cuda; `auto` takes a GPU where there is one."""
    import torch

    if model.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if model.device == "cuda" and not torch.cuda.is_available():
        raise Problem(
            "params.yaml, model.device",
            "cuda, but torch sees no GPU here",
            "a CUDA GPU and its driver, or another device",
            "set model.device: auto",
        )
    return model.device


def load_tokenizer(folder: Path, family: str) -> Any:
    """The tokenizer saved in `folder`, with a padding token and the padding side of its family."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Problem(
            str(folder),
            f"a tokenizer that cannot be read: {' '.join(str(error).split())[:200]}",
            "the files that save_pretrained writes",
            "run the stage base again: dvc repro -f base",
        ) from error
    if tokenizer.eos_token_id is None:
        raise Problem(
            str(folder),
            "a tokenizer without an end token",
            "one that has it, since a response ends with it",
            "choose another base model, or set eos_token in its tokenizer_config.json",
        )
    tokenizer.padding_side = FAMILIES[family][1]
    if tokenizer.pad_token_id is None:
        # Padding is masked by position, never by identity, so any known token can stand in.
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return tokenizer


def settings_in(folder: Path) -> dict[str, Any]:
    """The content of a checkpoint's config.json."""
    path = folder / "config.json"
    try:
        settings = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise Problem(
            str(path),
            "no such file" if isinstance(error, FileNotFoundError) else f"broken JSON: {error}",
            "the configuration of a checkpoint, as save_pretrained writes it",
            "bring the checkpoint anew; one in models/base by dvc repro -f base",
        ) from None
    if not isinstance(settings, dict):
        raise Problem(str(path), f"a {type(settings).__name__}", "a JSON object", "bring the checkpoint anew")
    return settings


def load_model(folder: Path, model: Model, quantization: Quantization, place: str | None = None) -> Any:
    """The model saved in `folder`, in evaluation mode, its weights held as `quantization` says.

    It lies on the device that computes, or on `place`, where it waits to be dealt out.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    only_our_bars()
    auto = getattr(transformers, FAMILIES[model.family][0])
    held = settings_in(folder).get("quantization_config")
    options = loading_options(quantization, model.family, device_of(model), held)
    if place:
        options["device_map"] = {"": place}
    if held:
        # A checkpoint that is quantised already names the arithmetic of the machine that made it; ours may have none.
        options["config"] = transformers.AutoConfig.from_pretrained(folder)
        options["config"].quantization_config = held | {"bnb_4bit_compute_dtype": str(options["dtype"]).split(".")[-1]}
    try:
        loaded = auto.from_pretrained(folder, **options)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise Problem(
            str(folder),
            " ".join(str(error).split())[:300],
            f"a {model.family} checkpoint in the format of transformers",
            "check model.family and model.origin in params.yaml, then run the stage base again: dvc repro -f base",
        ) from error
    for name, layer in loaded.named_modules():
        if model.family == "seq2seq" and name.endswith(".wo") and isinstance(layer, torch.nn.Linear):
            # What leaves a T5's feed-forward is too large for half precision; bitsandbytes leaves `wo` alone as well.
            layer.float()
        # On CPUs with bf16 units bitsandbytes repacks 4-bit weights whenever a model is evaluated, and not to the bit:
        # looking at a model would change its training.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    return loaded.eval()
