"""Training side by side with a plain script over the same libraries, each as a process of its own, in turn.

    python bench/training.py BASE TRAIN VALIDATION [--family seq2seq] [--steps 300] [--runs 5]

BASE, TRAIN and VALIDATION are what the stages base and split wrote (models/base, data/split/*.parquet); the family is
that of the base. Both sides see the same rows, prompts, adapter, effective batch, optimizer steps, schedule and seed.

- afina: `python -m stages.train`, one evaluation at its end.
- plain: `Seq2SeqTrainer` or `SFTTrainer` as their documentation shows them: fp32, the library's own collator, order,
  optimizer, logging and saving; no generation, no state that survives a kill, no report.

Prints medians: real tokens (padding not counted) per second and per processor second from the begin of the first step
to the end of the last one, what is saved on the way included and an evaluation taken out; seconds from the start of the
process to its first step; wall and processor seconds of the whole process; and the loss per token on the validation
rows that one and the same function finds for the adapters of both. Where others use the machine too, processor seconds
are what can be compared.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import yaml

ROOT = Path(__file__).resolve().parents[1]

PLAIN = """
import json, os, sys, time
import psutil
import yaml
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, TrainerCallback
base, train, target = sys.argv[1:]
chosen = yaml.safe_load(open("params.yaml", encoding="utf-8"))
told, lora, seq2seq = chosen["train"], chosen["lora"], chosen["model"]["family"] == "seq2seq"
rows = Dataset.from_parquet(train, cache_dir=target + ".cache")
tokenizer = AutoTokenizer.from_pretrained(base)
prompt = "Descreva o produto: {}"
class Clock(TrainerCallback):
    first = last = begun = None
    def on_step_begin(self, args, state, control, **kwargs):
        Clock.first, Clock.begun = Clock.first or time.time(), Clock.begun or time.process_time()
    def on_step_end(self, args, state, control, **kwargs):
        Clock.last, Clock.done = time.time(), time.process_time()
common = dict(
    output_dir=target + ".work", per_device_train_batch_size=told["batch_size"], max_steps=told["max_steps"],
    gradient_accumulation_steps=told["accumulation"], learning_rate=float(told["learning_rate"]),
    lr_scheduler_type=told["schedule"], warmup_steps=told["warmup"], adam_beta2=told["beta2"], seed=told["seed"],
    report_to="none", use_cpu=True, bf16=False,
)
if seq2seq:
    from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments
    model = AutoModelForSeq2SeqLM.from_pretrained(base)
    def tokenise(batch):
        inputs = tokenizer([prompt.format(title) for title in batch["title"]])
        inputs["labels"] = tokenizer(text_target=batch["response"], add_special_tokens=False)["input_ids"]
        inputs["labels"] = [ids + [tokenizer.eos_token_id] for ids in inputs["labels"]]
        return inputs
    rows = rows.map(tokenise, batched=True, remove_columns=rows.column_names)
else:
    from trl import SFTConfig, SFTTrainer
    model = AutoModelForCausalLM.from_pretrained(base)
    def tokenise(row):
        # The space makes the tokens of the response those of a response by itself, which afina learns and is asked for.
        return {"prompt": prompt.format(row["title"]), "completion": " " + row["response"]}
    rows = rows.map(tokenise, remove_columns=rows.column_names)
names = sorted({name.rsplit(".", 1)[-1] for name, layer in model.named_modules()
    if layer.__class__.__name__ == "Linear" and layer is not model.get_output_embeddings()})
config = LoraConfig(r=lora["r"], lora_alpha=lora["alpha"], lora_dropout=lora["dropout"], target_modules=names,
    task_type="SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM")
if seq2seq:
    trainer = Seq2SeqTrainer(model=get_peft_model(model, config), args=Seq2SeqTrainingArguments(**common),
        train_dataset=rows, data_collator=DataCollatorForSeq2Seq(tokenizer, model=model), callbacks=[Clock])
else:
    trainer = SFTTrainer(model=model, args=SFTConfig(**common, gradient_checkpointing=False), train_dataset=rows,
        processing_class=tokenizer, peft_config=config, callbacks=[Clock])
trainer.train()
trainer.save_model(target)
json.dump({"seconds": Clock.last - Clock.first, "steps": Clock.done - Clock.begun,
    "start": Clock.first - psutil.Process().create_time()},
    open(target + ".json", "w"))
"""


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    begun = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
    with (folder / "log").open("wb") as log:
        output = [(os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)]
        process = os.posix_spawn(command[0], command, environment, file_actions=output)
        _, status, used = os.wait4(process, 0)
    if status:
        sys.exit((folder / "log").read_text("utf-8", "replace")[-3000:])
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime


def ours(folder: Path, base: Path, train: Path, validation: Path, run: int) -> dict[str, float]:
    """One training by the stage."""
    adapter = folder / f"afina-{run}"
    reports = [str(folder / name) for name in ("summary.json", "curves.tsv", "run.json")]
    copies = folder / "copies.parquet"
    pl.read_parquet(train).clear().write_parquet(copies)  # none: the other scripts know of none
    rows = [str(path) for path in (train, validation, copies)]
    command = [sys.executable, "-m", "stages.train", str(base), *rows, str(adapter), *reports]
    wall, processor = measured(command, folder)
    told = json.loads((folder / "run.json").read_text("utf-8"))["training"]
    found = {"seconds": told["stepping_seconds"], "steps": told["stepping_processor_seconds"]}
    found["start"] = told["seconds_to_first_step"]
    return found | {"wall": wall, "processor": processor}


def plain(folder: Path, base: Path, train: Path, validation: Path, run: int) -> dict[str, float]:
    """One training by the plain script, which has no use for validation rows."""
    del validation
    adapter = folder / f"plain-{run}"
    (folder / "plain.py").write_text(PLAIN, "utf-8")
    wall, processor = measured([sys.executable, str(folder / "plain.py"), str(base), str(train), str(adapter)], folder)
    told = json.loads((folder / f"plain-{run}.json").read_text("utf-8"))
    return {**told, "wall": wall, "processor": processor}


SIDES = {"afina": ours, "plain": plain}


def validation_loss(base: Path, adapter: Path, validation: Path, recipe: dict[str, Any]) -> float:
    """Natural-log loss per response token of the base with an adapter, over all rows of `validation`."""
    from peft import PeftModel

    from stages.lib.likelihood import reference_nll
    from stages.lib.models import Model, load_model, load_tokenizer
    from stages.lib.prompts import Prompt, encode
    from stages.lib.quantization import Quantization
    from stages.lib.rows import read_rows

    tokenizer = load_tokenizer(base, recipe["model"]["family"])
    net = load_model(base, Model(**recipe["model"]), Quantization(**recipe["quantization"]))
    net = PeftModel.from_pretrained(net, adapter).eval()
    rows = encode(read_rows(validation), Prompt(**recipe["prompt"]), tokenizer)
    losses = reference_nll(net, tokenizer, rows.prompts, rows.responses, 4096)
    return sum(losses) / sum(map(len, rows.responses))


def tokens_of(base: Path, train: Path, recipe: dict[str, Any]) -> float:
    """Real tokens of a row, prompt and response, on average."""
    from stages.lib.models import load_tokenizer
    from stages.lib.prompts import Prompt, encode
    from stages.lib.rows import read_rows

    rows = encode(read_rows(train), Prompt(**recipe["prompt"]), load_tokenizer(base, recipe["model"]["family"]))
    return (sum(map(len, rows.prompts)) + sum(map(len, rows.responses))) / len(rows.prompts)


def compare(asked: argparse.Namespace) -> None:
    """Train with each side `runs` times in turn and print the table."""
    base, train, validation = (path.resolve() for path in (asked.base, asked.train, asked.validation))
    recipe = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
    recipe["model"]["family"] = asked.family
    recipe["train"] |= {"max_steps": asked.steps}
    recipe["train"]["evaluation"] |= {"every": asked.steps}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "params.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
        os.chdir(folder)
        took: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for run in range(asked.runs):
            for side, train_once in SIDES.items():
                found = train_once(folder, base, train, validation, run)
                found["loss"] = validation_loss(base, folder / f"{side}-{run}", validation, recipe)
                took[side].append(found)
                print(side, run, {key: round(value, 3) for key, value in found.items()}, flush=True)
        os.chdir(ROOT)
    tokens = tokens_of(base, train, recipe) * recipe["train"]["batch_size"] * asked.steps
    report(took, tokens, asked)


def report(took: dict[str, list[dict[str, float]]], tokens: float, asked: argparse.Namespace) -> None:
    """Print medians, and the median of the ratios of paired runs."""
    print(f"\n{asked.family}, {asked.steps} steps, {tokens:,.0f} tokens, medians of {asked.runs} paired runs\n")
    print("| side | tokens/s | tokens/processor s | s to the first step | wall s | processor s | validation loss |")
    print("|---|---|---|---|---|---|---|")
    for side, runs in took.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"| {side} | {tokens / middle['seconds']:,.0f} | {tokens / middle['steps']:,.0f} "
            f"| {middle['start']:.1f} | {middle['wall']:.1f} "
            f"| {middle['processor']:.1f} | {middle['loss']:.4f} |"
        )
    pairs = list(zip(took["afina"], took["plain"], strict=True))
    for key in ("seconds", "steps", "start", "wall", "processor"):
        ratios = [other[key] / one[key] for one, other in pairs]
        print(f"{key}: plain / afina {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--family", choices=["seq2seq", "causal"], default="seq2seq")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    compare(parser.parse_args())
