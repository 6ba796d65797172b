"""Folding the adapter into the base model, and measuring that the answers stay the same."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.lib.adapter_folder import TITLES
from stages.lib.models import FAMILIES, TWIN, Model, device_of, settings_in
from stages.lib.quantization import Quantization
from stages.lib.views import View
from stages.plumbing.console import only_our_bars
from stages.plumbing.problem import Problem
from stages.plumbing.section import Section


class Merge(Section):
    """The section `merge`."""

    dtype: Literal["float32", "bfloat16", "float16"]
    parity_rows: int = Field(ge=1)
    max_logit_difference: float = Field(ge=0)
    min_equal_answers: float = Field(ge=0, le=1)


def load_full(folder: Path, model: Model, dtype: str) -> Any:
    """The model of `folder` with unquantised weights of `dtype`.

    Of a base that is quantised already, these are the weights of its full-precision twin where the stage base brought
    one (`model.unquantised`), else its own weights, dequantised.
    """
    import torch
    import transformers

    only_our_bars()
    auto = getattr(transformers, FAMILIES[model.family][0])
    twin = folder / TWIN
    net = auto.from_pretrained(
        twin if twin.is_dir() else folder, dtype=getattr(torch, dtype), device_map={"": device_of(model)}
    )
    if getattr(net, "hf_quantizer", None):
        net = net.dequantize(dtype=getattr(torch, dtype))
    return net.eval()


def dequantised(folder: Path) -> bool:
    """Whether `load_full` has nothing but the quantised weights of `folder` to make full ones of."""
    return "quantization_config" in settings_in(folder) and not (folder / TWIN).is_dir()


def weights_folded_into(folder: Path, quantization: Quantization) -> str:
    """Which weights the adapter is folded into, in words, for the report."""
    if (folder / TWIN).is_dir():
        return "the full-precision twin of a quantised base"
    if dequantised(folder):
        return "the dequantised weights of a quantised base"
    return "the base" if quantization.method == "none" else "the base, unquantised"


def parity(tuned: View, merged: View) -> dict[str, float]:
    """How far the merged model is from base and adapter together: logits, and the share of equal answers."""
    difference = (tuned.logits - merged.logits).abs()
    equal = sum(one == other for one, other in zip(tuned.answers, merged.answers, strict=True))
    return {
        "max_logit_difference": round(difference.max().item(), 6),
        "mean_logit_difference": round(difference.mean().item(), 6),
        "equal_answers": round(equal / len(tuned.answers), 6),
        "rows": len(tuned.answers),
    }


@dataclass
class Drift(Problem):
    """The merged model says other things than base and adapter together; `facts` is how far it is from them."""

    facts: dict[str, float]

    @property
    def reason(self) -> str:
        """Why nothing is merged, and the way out, in one line."""
        return f"{self.found}; wanted was {self.wanted}: {self.do}"


def insist(facts: dict[str, float], limits: Merge, method: str) -> None:
    """Raise Drift when the merged model says other things than base and adapter together.

    `method` is how the base's weights were held in training (`quantization.method`).
    """
    drift, equal = facts["max_logit_difference"], facts["equal_answers"]
    if drift <= limits.max_logit_difference and equal >= limits.min_equal_answers:
        return
    # What would let this merge pass, rounded to the side that does.
    accepted = (
        f"merge.max_logit_difference: {max(limits.max_logit_difference, math.ceil(drift * 100) / 100):g} and "
        f"merge.min_equal_answers: {min(limits.min_equal_answers, math.floor(equal * 100) / 100):g}"
    )
    raise Drift(
        "params.yaml, merge",
        f"logits drift by {drift:g} at most, and {equal:.1%} of the answers stay the same",
        f"a drift of {limits.max_logit_difference:g} or less (merge.max_logit_difference) "
        f"and {limits.min_equal_answers:.1%} or more (merge.min_equal_answers)",
        f"accept that with {accepted}, and look at the answers; {WAYS_OUT[method]}",
        facts,
    )


# How a drift is avoided, by the way in which the base's weights were held in training (`quantization.method`).
WAYS_OUT = {
    "none": "or set merge.dtype: float32, in which folding hardly rounds",
    **dict.fromkeys(
        ("int8", "nf4"),
        "the adapter learnt on rounded weights, and is folded into unrounded ones: or keep base and adapter apart "
        "(models/adapter is complete), or train with quantization.method: none",
    ),
}

CARD = """---
library_name: transformers
pipeline_tag: {task}
base_model: {base}
tags:
  - afina
---

# A merged model made by Afina

The base model {base} with an adapter ({method}) folded in (weights in {dtype}). It loads without PEFT:

```python
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("models/merged")
tokenizer = AutoTokenizer.from_pretrained("models/merged")
```

It reads prompts made with this template, and nothing else was tested:

```text
{template}
```

Folding moved logits by {max_logit_difference} at most (mean {mean_logit_difference}); {equal_answers:.1%} of {rows}
answers stayed the same. How well it answers is in `reports/metrics.json` of the project that made it.
"""


def card(model: Model, method: str, template: str, limits: Merge, facts: dict[str, float]) -> str:
    """The model card of the merged model, with front matter that the hub reads; `method` says how it was tuned."""
    return CARD.format(
        base=model.name if model.origin == "hub" else f"{model.family} from {model.path.as_posix()}",
        task="text2text-generation" if model.family == "seq2seq" else "text-generation",
        auto=FAMILIES[model.family][0],
        dtype=limits.dtype,
        method=TITLES.get(method, method),
        template=template,
        **facts,
    )
