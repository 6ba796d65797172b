"""Train: fit the adapter on the training rows, keeping the state that does best on the validation rows.

python -m stages.train models/base data/split/train.parquet data/split/validation.parquet
    data/split/copies.parquet models/adapter reports/train/summary.json reports/train/curves.tsv reports/train/run.json
"""

from contextlib import nullcontext
from pathlib import Path

from stages.lib.adapter_folder import save
from stages.lib.curves import CURVES
from stages.lib.determinism import make_deterministic
from stages.lib.files import whole, write_json
from stages.lib.fitting import Rows, fit
from stages.lib.lora import Lora
from stages.lib.methods import Adapter
from stages.lib.models import Model, device_of
from stages.lib.processes import joined, launch, leads, rank
from stages.lib.prompts import Prompt
from stages.lib.quantization import Quantization
from stages.lib.resumption import keep_checkpoints, room
from stages.lib.rows import read_copies, read_rows
from stages.lib.run_report import run_report
from stages.lib.training import Train
from stages.lib.tsv import write_rows
from stages.lib.workplaces import clear, ingredients, workplace
from stages.plumbing.console import LOGS, logged
from stages.plumbing.params import Sections
from stages.plumbing.run import run


class Params(Sections):
    adapter: Adapter
    lora: Lora
    model: Model
    prompt: Prompt
    quantization: Quantization
    train: Train


def main(
    base: Path, train: Path, validation: Path, copies: Path, adapter: Path, summary: Path, curves: Path, run_facts: Path
) -> None:
    params = Params.read()
    rows = Rows(read_rows(train), read_rows(validation), read_copies(copies))
    told = ingredients(
        Path(__file__), params.model_dump(mode="json"), [train, validation, copies], {"base model": base}
    )
    if params.train.processes > 1 and rank() is None:
        launch(params.train, params.model, told, Path.cwd())
        return
    make_deterministic(params.train.seed, max(1, params.model.threads // params.train.processes_here))
    alone, on_gpus = rank() is None, device_of(params.model) == "cuda"
    place = workplace("train", told, Path.cwd()) if alone else joined(told, Path.cwd(), on_gpus=on_gpus)
    with logged("train") if leads() else nullcontext(), place as folder:
        fitted = fit(base, rows, folder, params, LOGS / "curves")
        if not leads():
            return
        with room(adapter), whole(adapter) as begun:
            save(fitted.net, fitted.tokenizer, begun, base, params.model.family)
            keep_checkpoints(folder, begun, params.train.keep_checkpoints)
        write_json(summary, fitted.summary)
        write_rows(curves, CURVES, fitted.curves)
        write_json(run_facts, run_report(fitted, rows))
        clear(folder)


if __name__ == "__main__":
    run(main)
