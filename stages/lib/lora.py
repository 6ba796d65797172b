"""LoRA: which adapter is fitted onto the base model (https://arxiv.org/abs/2106.09685)."""

from typing import Any, Literal

from pydantic import Field

from stages.lib.models import FAMILIES
from stages.plumbing.problem import Problem
from stages.plumbing.section import Section


class Lora(Section):
    """The section `lora`."""

    r: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    targets: list[str] = Field(min_length=1)
    bias: Literal["none", "all", "lora_only"]
    rslora: bool
    dora: bool
    init: Literal["default", "gaussian", "pissa", "olora"]


def linear_layers(net: Any) -> dict[str, tuple[int, int]]:
    """The adaptable layers of `net`: full name → (inputs, outputs). The output head is not one of them."""
    import torch

    head = net.get_output_embeddings()
    return {
        name: (layer.in_features, layer.out_features)
        for name, layer in net.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer is not head  # bitsandbytes' layers are Linear too
    }


def matched(net: Any, targets: list[str], where: str = "lora.targets") -> dict[str, tuple[int, int]]:
    """The layers that `targets` name by their last part, or all for `all-linear`. One that names none is an error.

    The output head is refused: its weights are the token embeddings in many models, so that an adapter on it would not
    merge, and it is as large as the vocabulary.
    """
    layers = linear_layers(net)
    if targets == ["all-linear"]:
        return layers
    names = {name.rsplit(".", 1)[-1] for name in layers}
    head = output_head(net)
    missing = sorted(set(targets) - names)
    if missing:
        raise Problem(
            f"params.yaml, {where}",
            f"{head}: the output head, which shares its weights with the token embeddings in many models"
            if missing == [head]
            else f"{', '.join(missing)}: no such layer in this model",
            f"names among {', '.join(sorted(names))}, or all-linear alone",
            f"correct {where}",
        )
    return {name: shape for name, shape in layers.items() if name.rsplit(".", 1)[-1] in targets}


def output_head(net: Any) -> str:
    """The last part of the name of the layer that turns states into tokens."""
    head = net.get_output_embeddings()
    return next((name.rsplit(".", 1)[-1] for name, layer in net.named_modules() if layer is head), "")


def expected_parameters(layers: dict[str, tuple[int, int]], lora: Lora) -> int:
    """The number of weights that LoRA adds, in closed form: r × (inputs + outputs) a layer; DoRA adds outputs more."""
    return sum(lora.r * (inputs + outputs) + (outputs if lora.dora else 0) for inputs, outputs in layers.values())


def attach(net: Any, lora: Lora, family: str) -> Any:
    """`net` with a fresh adapter around it, its own weights frozen. Seed before the call."""
    from peft import LoraConfig, TaskType, get_peft_model

    from stages.lib.fused_lora import fuse

    layers = matched(net, lora.targets)
    wrapped = get_peft_model(
        net,
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=sorted({name.rsplit(".", 1)[-1] for name in layers}),
            bias=lora.bias,
            use_rslora=lora.rslora,
            use_dora=lora.dora,
            init_lora_weights=True if lora.init == "default" else lora.init,
            task_type=TaskType[FAMILIES[family][2]],
        ),
    )
    return fuse(wrapped)
