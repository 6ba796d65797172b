"""Baseline: write down what the untouched base model answers.

python -m stages.baseline models/base data/split/test.parquet data/predictions/baseline.parquet
"""

from pathlib import Path

from stages.lib.determinism import make_deterministic
from stages.lib.files import write_table
from stages.lib.generation import Generation
from stages.lib.models import Model, device_of, load_model, load_tokenizer
from stages.lib.predictions import predict
from stages.lib.prompts import Prompt
from stages.lib.quantization import Quantization
from stages.lib.rows import read_rows
from stages.lib.workplaces import clear, ingredients, workplace
from stages.plumbing.params import Sections
from stages.plumbing.run import run


class Params(Sections):
    generation: Generation
    model: Model
    prompt: Prompt
    quantization: Quantization


def main(base: Path, rows: Path, predictions: Path) -> None:
    params = Params.read()
    make_deterministic(params.generation.seed, params.model.threads)
    sections = params.model_dump(mode="json") | {"device": device_of(params.model)}
    told = ingredients(Path(__file__), sections, [rows], {"base model": base})
    with workplace("baseline", told, Path.cwd()) as folder:
        tokenizer = load_tokenizer(base, params.model.family)
        net = load_model(base, params.model, params.quantization)
        table = predict(net, tokenizer, read_rows(rows), params.prompt, params.generation, folder)
        write_table(predictions, table)
        clear(folder)


if __name__ == "__main__":
    run(main)
