"""Proof that the adapter is loaded and changes what the model says.

A tuned model that answers exactly like its base, because its adapter was never applied, is the costliest failure of
this kind of project: every later number is then about the base.
"""

from pathlib import Path
from typing import Any

from stages.lib.adapters import Loaded, adapter_weights
from stages.lib.views import View
from stages.plumbing.problem import Problem

ROWS = 16
# Rounding alone moves logits by some 1e-5 in fp32; an adapter that learnt anything moves them by whole units.
MIN_LOGIT_DIFFERENCE = 1e-3
# What a method's weights are when they do nothing.
IDLE = {
    "lora": "lora_B is zero",
    "ia3": "scale is one",
    "prompt_tuning": "virtual token is zero",
    "full": "weight is the base's",
}


def prove(net: Any, loaded: Loaded, base: View, tuned: View) -> dict[str, Any]:
    """The facts of `reports/adapter_proof.json`: `net` is the tuned model, the views are of base and tuned model.

    The base is looked at before the adapter is loaded: switching an adapter off does not give the base back when its
    initialisation (PiSSA, OLoRA) changed the weights below it.
    """
    weights = adapter_weights(net)
    changed = sum(one != other for one, other in zip(base.answers, tuned.answers, strict=True))
    return {
        "method": loaded.method,
        "keys": {
            "expected": loaded.expected,
            "matched": loaded.matched,
            "missing": loaded.missing,
            "unexpected": loaded.unexpected,
        },
        "tensors": len(weights),
        "finite": sum(bool(tensor.isfinite().all()) for tensor in weights.values()),
        "active": loaded.active,
        "outputs": loaded.outputs,
        "max_logit_difference": round((tuned.logits - base.logits).abs().max().item(), 4),
        "threshold": MIN_LOGIT_DIFFERENCE,
        "rows": len(base.answers),
        "changed_answers_share": round(changed / len(base.answers), 4),
    }


def failure(facts: dict[str, Any]) -> tuple[str, str] | None:
    """Why the proof failed, as (found, what to look at), or None when it holds."""
    keys = facts["keys"]
    if not facts["tensors"] or not keys["matched"]:
        return "no weight of the adapter found its layer", "it was trained for other layers or another base model"
    if keys["missing"]:
        return f"{len(keys['missing'])} layers got no weight, first {keys['missing'][0]}", "the adapter is incomplete"
    if facts["finite"] < facts["tensors"]:
        bad = facts["tensors"] - facts["finite"]
        return f"{bad} tensors hold NaN or infinity", "training diverged: lower train.learning_rate"
    if not facts["active"]:
        return f"every {IDLE[facts['method']]}", "the adapter was never trained, or saved before its first step"
    if facts["max_logit_difference"] <= facts["threshold"]:
        return (
            f"logits differ by {facts['max_logit_difference']} at most",
            "the adapter is loaded but not applied, or its effect is nil: look at train.learning_rate and train.epochs",
        )
    return None


def insist(facts: dict[str, Any], adapter: Path) -> None:
    """Raise a problem unless the proof holds."""
    why = failure(facts)
    if why:
        found, hint = why
        raise Problem(
            f"{adapter}: the adapter is not active", found, "an adapter that changes the model's output", hint
        )
