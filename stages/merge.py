"""Merge: fold the adapter into the base, and prove that the answers stay the same.

python -m stages.merge models/base models/adapter data/split/test.parquet reports/gate.json
    models/merged reports/merge.json
"""

from pathlib import Path
from typing import Any

from stages.lib.adapter_folder import method_of
from stages.lib.adapters import folded, load_adapter, unfoldable
from stages.lib.determinism import make_deterministic
from stages.lib.files import read_json, sha256_of_folder, size_in_bytes, whole, write_json
from stages.lib.generation import Generation
from stages.lib.merging import Drift, Merge, card, dequantised, insist, load_full, parity, weights_folded_into
from stages.lib.models import Model, load_model, load_tokenizer
from stages.lib.prompts import Prompt, chosen, encode
from stages.lib.quantization import Quantization
from stages.lib.rows import read_rows
from stages.lib.views import look
from stages.plumbing.console import say
from stages.plumbing.params import Sections
from stages.plumbing.run import run


class Params(Sections):
    generation: Generation
    merge: Merge
    model: Model
    prompt: Prompt
    quantization: Quantization


def main(base: Path, adapter: Path, rows: Path, gate: Path, merged: Path, report: Path) -> None:
    params = Params.read()
    reason = unfoldable(adapter) if read_json(gate)["passed"] else "the gate said no: see reports/comparison.json"
    if reason:
        decline(merged, report, reason)
        return
    make_deterministic(params.generation.seed, params.model.threads)
    try:
        facts = fold(base, adapter, rows, merged, params)
    except Drift as drift:
        # Folding alone rounds a little; who says other things after it is broken. An adapter that learnt on rounded
        # weights says other things on unrounded ones: that is found out here, and a result.
        if params.quantization.method == "none":
            raise
        decline(merged, report, drift.reason, drift.facts)
        return
    write_json(report, facts | {"merged": True, "sha256": sha256_of_folder(merged)})
    say("merged model", round(size_in_bytes(merged) / 1e6, 1), "MB")
    say("logits drift", facts["max_logit_difference"], "at most")
    say("equal answers", f"{round(facts['equal_answers'] * facts['rows'])} of {facts['rows']} rows")


def decline(merged: Path, report: Path, reason: str, facts: dict[str, float] | None = None) -> None:
    """Write no weights, and why: tuning that did not help is a result, and so is one that no weight shows."""
    with whole(merged) as begun:
        begun.mkdir()
        (begun / "README.md").write_text(f"Nothing was merged: {reason}.\n", "utf-8")
    write_json(report, {"merged": False, "reason": reason, **(facts or {})})
    say("nothing merged", reason)


def fold(base: Path, adapter: Path, rows: Path, merged: Path, params: Params) -> dict[str, Any]:
    """Write the merged model when it answers like base and adapter together; returns how close it is."""
    import torch

    tokenizer = load_tokenizer(base, params.model.family)
    encoded = encode(read_rows(rows)[: params.merge.parity_rows], params.prompt, tokenizer)
    # Without quantisation the comparison is of folding alone, in the precision that is written.
    whole_base = params.quantization.method == "none"
    net = (
        load_full(base, params.model, params.merge.dtype)
        if whole_base
        else load_model(base, params.model, params.quantization)
    )
    before = look(load_adapter(net, adapter)[0], tokenizer, encoded, params.generation)
    del net  # two models are in memory at most
    net, _ = load_adapter(load_full(base, params.model, "float32"), adapter)
    net = folded(net)
    with whole(merged) as begun:
        # transformers would turn dequantised weights back into the way they were held, and cannot.
        net.to(getattr(torch, params.merge.dtype)).save_pretrained(begun, save_original_format=not dequantised(base))
        tokenizer.save_pretrained(begun)
        after = look(load_full(begun, params.model, params.merge.dtype), tokenizer, encoded, params.generation)
        facts = parity(before, after)
        insist(facts, params.merge, params.quantization.method)
        said = card(params.model, method_of(adapter), chosen(params.prompt).text, params.merge, facts)
        (begun / "README.md").write_text(said, "utf-8")
    return facts | {"folded_into": weights_folded_into(base, params.quantization)}


if __name__ == "__main__":
    run(main)
