"""Proof that the adapter is loaded and changes what the model says.

A tuned model that answers exactly like its base, because its adapter was never applied, is the costliest failure of
this kind of project: every later number is then about the base.
"""

from pathlib import Path
from typing import Any

from stages.lib.adapters import Loaded, is_adapter_weight
from stages.lib.generation import Generation, answers, teacher_forced
from stages.lib.prompts import Encoded
from stages.plumbing.problem import Problem

ROWS = 16
# Rounding alone moves logits by some 1e-5 in fp32; an adapter that learnt anything moves them by whole units.
MIN_LOGIT_DIFFERENCE = 1e-3


def prove(net: Any, loaded: Loaded, tokenizer: Any, encoded: Encoded, generation: Generation) -> dict[str, Any]:
    """The facts of `reports/adapter_proof.json`, measured on the first rows with the adapter and without it."""
    import torch

    weights = {name: tensor for name, tensor in net.named_parameters() if is_adapter_weight(name)}
    prompts, responses = encoded.prompts[:ROWS], encoded.responses[:ROWS]
    inputs = teacher_forced(prompts, responses, net, tokenizer)
    seen = inputs["labels"] != -100
    with torch.inference_mode():
        tuned = net(**inputs).logits[seen]
        with net.disable_adapter():
            base = net(**inputs).logits[seen]
            before = answers(net, tokenizer, prompts, generation, None)
    after = answers(net, tokenizer, prompts, generation, None)
    changed = sum(one.text != other.text for one, other in zip(before, after, strict=True))
    # LoRA's B starts at zero: while all of them are zero, the adapter does nothing.
    outputs = [tensor for name, tensor in weights.items() if "lora_B" in name]
    return {
        "keys": {
            "expected": loaded.expected,
            "matched": loaded.matched,
            "missing": loaded.missing,
            "unexpected": loaded.unexpected,
        },
        "tensors": len(weights),
        "finite": sum(bool(tensor.isfinite().all()) for tensor in weights.values()),
        "nonzero": sum(bool(tensor.any()) for tensor in outputs),
        "outputs": len(outputs),
        "max_logit_difference": round((tuned - base).abs().max().item(), 4),
        "threshold": MIN_LOGIT_DIFFERENCE,
        "rows": len(prompts),
        "changed_answers_share": round(changed / len(prompts), 4),
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
    if not facts["nonzero"]:
        return "every lora_B is zero", "the adapter was never trained, or saved before its first step"
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
