"""LoRA: which adapter is fitted onto the base model (https://arxiv.org/abs/2106.09685)."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.lib.files import read_json, write_json
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


def matched(net: Any, targets: list[str]) -> dict[str, tuple[int, int]]:
    """The layers that `targets` name by their last part, or all for `all-linear`. One that names none is an error."""
    layers = linear_layers(net)
    if targets == ["all-linear"]:
        return layers
    names = {name.rsplit(".", 1)[-1] for name in layers}
    missing = sorted(set(targets) - names)
    if missing:
        raise Problem(
            "params.yaml, lora.targets",
            f"{', '.join(missing)}: no such layer in this model",
            f"names among {', '.join(sorted(names))}, or all-linear alone",
            "correct lora.targets",
        )
    return {name: shape for name, shape in layers.items() if name.rsplit(".", 1)[-1] in targets}


def expected_parameters(layers: dict[str, tuple[int, int]], lora: Lora) -> int:
    """The number of weights that LoRA adds, in closed form: r × (inputs + outputs) a layer; DoRA adds outputs more."""
    return sum(lora.r * (inputs + outputs) + (outputs if lora.dora else 0) for inputs, outputs in layers.values())


def attach(net: Any, lora: Lora, family: str) -> Any:
    """`net` with a fresh adapter around it, its own weights frozen. Seed before the call."""
    from peft import LoraConfig, TaskType, get_peft_model

    layers = matched(net, lora.targets)
    return get_peft_model(
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


def save(net: Any, tokenizer: Any, folder: Path, base: Path, family: str) -> None:
    """Write adapter, configuration, tokenizer and a word on loading them. Equal adapters give equal bytes."""
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = read_json(folder / "adapter_config.json")
    # PEFT writes sets in the order of the process's hash seed.
    ordered = {key: sorted(value) if _is_set_of_names(value) else value for key, value in settings.items()}
    write_json(folder / "adapter_config.json", ordered | {"base_model_name_or_path": base.as_posix()})
    (folder / "README.md").write_text(HOW_TO_LOAD.format(base=base.as_posix(), auto=FAMILIES[family][0]), "utf-8")


def _is_set_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


HOW_TO_LOAD = """---
library_name: peft
base_model: {base}
---

A LoRA adapter made by Afina for the base model in `{base}`, which `dvc pull base` brings.

```python
from peft import PeftModel
from transformers import {auto}, AutoTokenizer

model = PeftModel.from_pretrained({auto}.from_pretrained("{base}"), "models/adapter")
tokenizer = AutoTokenizer.from_pretrained("models/adapter")
```
"""
