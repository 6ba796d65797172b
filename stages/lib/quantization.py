"""How the base model's weights are held in memory while the adapter is fitted and used."""

from typing import Any, Literal

from stages.plumbing.problem import Problem
from stages.plumbing.section import Section


class Quantization(Section):
    """The section `quantization`; NF4 with double quantisation is QLoRA's (https://arxiv.org/abs/2305.14314)."""

    method: Literal["none", "int8", "nf4"]
    double: bool
    compute: Literal["auto", "float32", "bfloat16", "float16"]


def compute_dtype(quantization: Quantization, family: str, device: str) -> "torch.dtype":  # noqa: F821
    """The dtype of the arithmetic: bf16 where a GPU has it; fp16 on an older GPU, but never on a T5; else fp32.

    A T5 overflows in fp16: https://github.com/huggingface/transformers/issues/9295. torch says that every GPU has bf16
    unless it is asked to leave emulation out, which is slower than fp32.
    """
    import torch

    if quantization.compute == "auto":
        if device != "cuda":
            return torch.float32
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
        return torch.float32 if family == "seq2seq" else torch.float16
    if quantization.compute == "float16" and (family == "seq2seq" or device == "cpu"):
        raise Problem(
            "params.yaml, quantization.compute",
            f"float16 for a {family} model on {device}",
            "auto, float32 or bfloat16: a T5 overflows in float16, and CPUs have no fast float16",
            "set quantization.compute: auto",
        )
    return getattr(torch, quantization.compute)


def loading_options(
    quantization: Quantization, family: str, device: str, held: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Arguments for `from_pretrained` that hold the weights as asked for on `device` ("cpu" or "cuda").

    `held` is the `quantization_config` of a checkpoint that is quantised already: nothing is left to ask for.
    """
    dtype = compute_dtype(quantization, family, device)
    agree(quantization, held)
    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": device}}
    if quantization.method == "none":
        return options
    require_bitsandbytes()
    from transformers import BitsAndBytesConfig

    if held:
        return options
    if quantization.method == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    else:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=quantization.double,
            bnb_4bit_compute_dtype=dtype,
        )
    return options


def method_held(held: dict[str, Any] | None) -> str:
    """How the weights of a checkpoint are held, by its `quantization_config`: none, int8, nf4, or another's name."""
    if not held:
        return "none"
    if held.get("load_in_4bit"):
        return str(held.get("bnb_4bit_quant_type", "fp4"))
    return "int8" if held.get("load_in_8bit") else str(held.get("quant_method", "an unknown way"))


def insist_on_bitsandbytes(held: dict[str, Any] | None, where: str) -> str:
    """How the weights of a checkpoint are held; a problem when it is in a way that adapters are not trained on here."""
    found = method_held(held)
    if found not in {"none", "int8", "nf4"}:
        raise Problem(
            where,
            f"weights quantised as {found}",
            "unquantised weights, or bitsandbytes' int8 or nf4",
            "choose another model.name: most quantised models name the one they were made from",
        )
    return found


def agree(quantization: Quantization, held: dict[str, Any] | None) -> None:
    """Raise a problem when the base is quantised already, and otherwise than `quantization.method` says."""
    found = insist_on_bitsandbytes(held, "params.yaml, model: the base")
    if found not in {"none", quantization.method}:
        raise Problem(
            "params.yaml, quantization.method",
            f"{quantization.method}, but the base's weights are {found} already",
            f"{found}, or a base that is not quantised",
            f"set quantization.method: {found}, or choose the full-precision model.name",
        )


def layers_held(net: Any) -> dict[str, int]:
    """How many linear layers of `net` are held in which way: none, int8, nf4."""
    import torch

    ways = {"Linear4bit": "nf4", "Linear8bitLt": "int8"}
    found: dict[str, int] = {}
    for layer in net.modules():
        if isinstance(layer, torch.nn.Linear):  # bitsandbytes' layers are Linear too
            way = ways.get(type(layer).__name__, "none")
            found[way] = found.get(way, 0) + 1
    return found


def require_bitsandbytes() -> None:
    """Raise a problem where bitsandbytes cannot be used; also silence its words on every step."""
    import logging

    try:
        import bitsandbytes  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        raise Problem(
            "bitsandbytes, which quantization.method wants",
            f"it cannot be imported: {' '.join(str(error).split())[:200]}",
            "the version that constraints.txt names",
            "make setup; or set quantization.method: none",
        ) from error
    # int8 on CPU warns of its casts at every layer of every step.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
