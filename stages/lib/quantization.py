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
    """The dtype of the arithmetic: bf16 where the hardware has it, else fp32; never fp16 on a T5, where it overflows.

    https://github.com/huggingface/transformers/issues/9295 tells of T5's overflow.
    """
    import torch

    if quantization.compute == "auto":
        return torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if quantization.compute == "float16" and (family == "seq2seq" or device == "cpu"):
        raise Problem(
            "params.yaml, quantization.compute",
            f"float16 for a {family} model on {device}",
            "auto, float32 or bfloat16: a T5 overflows in float16, and CPUs have no fast float16",
            "set quantization.compute: auto",
        )
    return getattr(torch, quantization.compute)


def loading_options(quantization: Quantization, family: str, device: str) -> dict[str, Any]:
    """Arguments for `from_pretrained` that hold the weights as asked for on `device` ("cpu" or "cuda")."""
    dtype = compute_dtype(quantization, family, device)
    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": device}}
    if quantization.method != "none":
        import logging

        from transformers import BitsAndBytesConfig

        # int8 on CPU warns of its casts at every layer of every step.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        options["quantization_config"] = (
            BitsAndBytesConfig(load_in_8bit=True)
            if quantization.method == "int8"
            else BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=quantization.double,
                bnb_4bit_compute_dtype=dtype,
            )
        )
    return options
