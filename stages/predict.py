"""Predict: write down what the tuned model answers, and prove that its adapter is active.

python -m stages.predict models/base models/adapter data/split/test.parquet
    data/predictions/tuned.parquet reports/adapter_proof.json
"""

from pathlib import Path
from typing import Any

from stages.lib.adapter_folder import parts, require_base
from stages.lib.adapters import load_adapter
from stages.lib.determinism import make_deterministic
from stages.lib.files import sha256, write_json, write_table
from stages.lib.generation import Generation
from stages.lib.models import Model, device_of, load_model, load_tokenizer
from stages.lib.predictions import predict
from stages.lib.prompts import Prompt, encode
from stages.lib.proof import ROWS, insist, prove
from stages.lib.quantization import Quantization
from stages.lib.rows import read_rows
from stages.lib.views import look
from stages.lib.workplaces import clear, ingredients, workplace
from stages.plumbing.console import say
from stages.plumbing.params import Sections
from stages.plumbing.run import run


class Params(Sections):
    generation: Generation
    model: Model
    prompt: Prompt
    quantization: Quantization


def main(base: Path, adapter: Path, rows: Path, predictions: Path, proof: Path) -> None:
    params = Params.read()
    make_deterministic(params.generation.seed, params.model.threads)
    require_base(adapter, base)
    table = read_rows(rows)
    tokenizer = load_tokenizer(base, params.model.family)
    net, facts = proved(base, adapter, table, tokenizer, params)
    sections = params.model_dump(mode="json") | {"device": device_of(params.model)}
    told = ingredients(Path(__file__), sections, [rows], {"base model": base, "adapter": adapter})
    with workplace("predict", told, Path.cwd()) as folder:
        write_table(predictions, predict(net, tokenizer, table, params.prompt, params.generation, folder))
        write_json(proof, facts | {"passed": True, "adapter_sha256": sha256(parts(adapter)[0])})
        clear(folder)


def proved(
    base: Path, adapter: Path, table: list[dict[str, Any]], tokenizer: Any, params: Params
) -> tuple[Any, dict[str, Any]]:
    """The tuned model and the facts that prove that its adapter is active; a problem when they do not."""
    first = encode(table[:ROWS], params.prompt, tokenizer)
    net = load_model(base, params.model, params.quantization)
    before = look(net, tokenizer, first, params.generation)
    net, loaded = load_adapter(net, adapter)
    facts = prove(net, loaded, before, look(net, tokenizer, first, params.generation))
    insist(facts, adapter)
    if loaded.unexpected:
        say("weights left out", ", ".join(loaded.unexpected), "(they fit no layer)")
    say("adapter", f"active: logits move by up to {facts['max_logit_difference']}")
    say("answers it changes", f"{round(facts['changed_answers_share'] * facts['rows'])} of {facts['rows']} rows")
    return net, facts


if __name__ == "__main__":
    run(main)
