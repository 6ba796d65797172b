"""Fitting the adapter: from rows and a base model to the best adapter, its curves and the facts of the run."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stages.lib.curves import curves
from stages.lib.engines import insist_on_engine, is_dealt_out
from stages.lib.files import read_json
from stages.lib.generation import virtual_tokens
from stages.lib.health import WORDS, Point, health
from stages.lib.identity import environment
from stages.lib.lean import lean
from stages.lib.lora import Lora
from stages.lib.memory import OutOfMemory, as_cut, available, cut, cuts, estimate, peak, used
from stages.lib.methods import Adapter, attach, counted, described
from stages.lib.models import Model, device_of, load_model, load_tokenizer
from stages.lib.processes import (
    all_stopped,
    any_of,
    from_the_first,
    leads,
    leave_to_begin_again,
    together,
    workers,
)
from stages.lib.progress import Best, Judge, greedy, judged, watcher
from stages.lib.prompts import Prompt, check_room, encode
from stages.lib.quantization import Quantization, layers_held
from stages.lib.resumption import clear_unfinished, keeper, last_complete
from stages.lib.shortage import is_out_of_memory, release
from stages.lib.token_cache import token_ids
from stages.lib.token_columns import Columns, columns_of
from stages.lib.training import (
    Plan,
    Train,
    arguments,
    collator_of,
    dataset,
    lengthen,
    plan,
    settings_of,
    token_loss,
    trainer_of,
)
from stages.plumbing.console import say
from stages.plumbing.problem import Problem


class Choices(Protocol):
    """The sections that decide a training."""

    adapter: Adapter
    lora: Lora
    model: Model
    prompt: Prompt
    quantization: Quantization
    train: Train

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """The sections as plain data."""


@dataclass(frozen=True)
class Rows:
    """The rows of the two sides that training sees, and the altered copies of the first."""

    train: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    copies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def learnt(self) -> list[dict[str, Any]]:
        """All that is learnt from, row by row, each followed by its copies."""
        return sorted([*self.train, *self.copies], key=lambda row: (row["row_id"], row.get("copy", 0)))


@dataclass(frozen=True)
class Fitted:
    """The tuned model (the best adapter in place), its tokenizer, curve rows, and the facts: repeatable and not."""

    net: Any
    tokenizer: Any
    curves: list[dict[str, float | None]]
    summary: dict[str, Any]
    runtime: dict[str, Any]


def fit(base: Path, rows: Rows, folder: Path, choices: Choices, live: Path | None = None) -> Fitted:
    """Fit an adapter onto the model in `base`; the state of the work lies in `folder` and is resumed from there.

    `live` is a folder for the curves so far, written at each evaluation.

    When the memory does not hold a batch it is halved and accumulated twice as often, and the training goes on from its
    last saved state.
    """
    insist_on_rows(rows)
    while True:
        train = as_cut(folder, choices.train)
        try:
            return attempt(base, rows, folder, choices, train, live)
        except OutOfMemory as met:
            made = cut(folder, train, met)
            if workers() > 1:
                leave_to_begin_again(folder)
        change = f"{made['of']} batches go from {made['from']} to {made['to']} rows"
        say("out of memory", f"at step {made['step']}: {change}, and the run goes on from its last saved state")
        release()


def attempt(base: Path, rows: Rows, folder: Path, choices: Choices, train: Train, live: Path | None) -> Fitted:
    """One attempt at fitting, with batches as `train` has them; raises `OutOfMemory` when they are too large."""
    from transformers import set_seed

    set_seed(train.seed)
    tokenizer = load_tokenizer(base, choices.model.family)
    learnt = token_ids(rows.learnt, choices.prompt, tokenizer, base, Path.cwd())
    net = loaded(base, choices)
    for way, layers in layers_held(net).items():
        say(f"weights held as {way}", layers, "linear layers")
    net, expected = adapted(net, base, choices)
    check_room(net.config, choices.prompt, virtual_tokens(net))
    tokens = batch_facts(learnt, train)
    judge = judge_of(rows, tokenizer, choices.prompt, train)
    mine = train.of_one_process()
    trainer = make_trainer(net, tokenizer, learnt, judge, folder, choices, mine)
    sequences = len(trainer.train_dataset)  # rows, or what they were packed into
    length = plan(sequences, train)
    lengthen(trainer.args, length, train)
    announce(net, rows, sequences, length, choices, train)
    before, wanted = used(), estimate(trainer, mine)
    say("memory wanted", f"about {wanted['peak'] / 2**30:.2f} GiB, {available() / 2**30:.1f} GiB are free")

    best = Best(folder, train.early_stopping.metric)
    stop = keeper(length.log_every, lambda asked: any_of(asked, trainer.args.device), together)
    tokens_per_step = tokens["tokens_per_row"] * learnt.table.num_rows / sequences * length.effective_batch
    trainer.add_callback(watcher(best, length, tokens_per_step, live))
    trainer.add_callback(stop)
    runtime = go(trainer, folder, stop) | {
        "tokens_per_step": tokens_per_step,
        "memory": {"estimated": wanted, "before": before, "peak": peak()},
        "batch": {"rows": train.batch_size, "accumulation": train.accumulation, "cuts": cuts(folder)},
    }
    net = in_one_piece(net, base, choices)
    points, facts = concluded(net, best, trainer.state, length, choices)
    facts["model"]["parameters_expected"] = expected
    return Fitted(net, tokenizer, points, facts | {"tokens": tokens}, runtime)


def judge_of(rows: Rows, tokenizer: Any, prompt: Prompt, train: Train) -> Judge:
    """What measures the adapter during training, on the first `train.evaluation.rows` rows of validation."""
    capped = rows.validation[: train.evaluation.rows]
    # Their token ids are never kept: to answer them takes far longer.
    watched = encode(capped, prompt, tokenizer)
    how = greedy(prompt, train.evaluation.batch_size)
    return Judge(tokenizer, watched, [row["response"] for row in capped], how)


def concluded(
    net: Any, best: Best, state: Any, length: Plan, choices: Choices
) -> tuple[list[dict[str, float | None]], dict[str, Any]]:
    """Put the best state into `net` and tell how the training went: its curves and its facts."""
    chosen = best.restore(net)
    say("best state", f"step {chosen['step']}, {chosen['metric']} {chosen['value']:.4f}")
    points = curves(state.log_history, length.steps, length.steps_per_epoch)
    for word in health([Point(point["step"], point["train_loss"], point["validation_loss"]) for point in points]):
        say("health", WORDS[word])
    return points, summarise(net, points, chosen, length, state.global_step, choices)


def insist_on_rows(rows: Rows) -> None:
    """Raise a problem when a side that training needs has no row."""
    for side, found in (("train", rows.train), ("validation", rows.validation)):
        if not found:
            raise Problem(
                f"data/split/{side}.parquet", "no row", "at least one", "raise the side's share in split, or add rows"
            )


def loaded(base: Path, choices: Choices) -> Any:
    """The base model, ready for an adapter."""
    # What is dealt out waits in main memory: a GPU holds its part alone.
    place = "cpu" if choices.train.deals_weights_out else None
    net = load_model(base, choices.model, choices.quantization, place)
    if choices.quantization.method == "none":
        return net
    from peft import prepare_model_for_kbit_training

    return prepare_model_for_kbit_training(
        net, choices.train.gradient_checkpointing, gradient_checkpointing_kwargs={"use_reentrant": False}
    )


def adapted(net: Any, base: Path, choices: Choices) -> tuple[Any, int]:
    """`net` ready to be trained by the chosen method; and how many weights its closed form says that is."""
    wrapped, expected = attach(net, choices, base)
    if choices.train.gradient_checkpointing and choices.adapter.method != "full":
        # Frozen embeddings give inputs without a gradient, and a checkpointed layer would then give none either.
        wrapped.enable_input_require_grads()
    return wrapped, expected


def in_one_piece(net: Any, base: Path, choices: Choices) -> Any:
    """`net`; where its weights are dealt out, for the process that writes a new one, to take the best state."""
    from transformers import set_seed
    from transformers.integrations import unset_hf_deepspeed_config

    if not (leads() and is_dealt_out(net)):
        return net
    unset_hf_deepspeed_config()  # else the new one would be dealt out as well
    set_seed(choices.train.seed)  # some ways to begin an adapter change the base by chance
    whole, _ = adapted(loaded(base, choices), base, choices)
    learn_in_full_precision(whole)
    return whole


def batch_facts(learnt: Columns, train: Train) -> dict[str, float]:
    """What the training rows are as tokens; too many rows with nothing to learn from are an error."""
    rows, responses = learnt.table.num_rows, learnt.lengths("response")
    prompt, response = int(learnt.lengths("prompt").sum()), int(responses.sum())
    empty = int((responses < 2).sum()) / rows  # the end token alone
    if empty > train.max_unlearnable:
        raise Problem(
            "data/split/train.parquet",
            f"{empty:.1%} of the rows have a response without a single token",
            f"at most {train.max_unlearnable:.1%} (train.max_unlearnable)",
            "raise clean.min_response_chars, or look at the rows",
        )
    return {
        "tokens_per_row": round((prompt + response) / rows, 3),
        "supervised_share": round(response / (prompt + response), 6),
        "shortened_prompts": learnt.shortened,
        "cut_responses": learnt.cut,
        "unlearnable_share": round(empty, 6),
    }


def announce(net: Any, rows: Rows, sequences: int, length: Plan, choices: Choices, train: Train) -> None:
    """Say what is about to happen."""
    trained, base = counted(net)
    total = base if choices.adapter.method == "full" else base + trained
    say("device", device_name(choices.model))
    say("rows", f"{len(rows.train):,} to train on, {len(rows.validation):,} to validate on")
    if rows.copies:
        say("copies", f"{len(rows.copies):,} altered copies of them, to train on too")
    if sequences != len(rows.train) + len(rows.copies):
        say("packed into", sequences, "sequences")
    say("trained weights", f"{trained:,} of {total:,} ({trained / total:.1%})")
    say("effective batch", f"{length.effective_batch} ({train.batch_size} × {train.accumulation} accumulated)")
    if train.processes > 1:
        engine = train.accelerate.distributed_type if train.accelerate else "each with the whole model"
        say("processes", f"{train.processes}, {engine}")
    say("planned steps", f"{length.steps:,} ({length.steps / length.steps_per_epoch:.2f} epochs)")


def device_name(model: Model) -> str:
    """The device in words, with its memory."""
    import psutil
    import torch

    if device_of(model) == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    return f"CPU, {model.threads} threads, {psutil.virtual_memory().total / 2**30:.0f} GiB"


def make_trainer(
    net: Any,
    tokenizer: Any,
    learnt: Columns,
    judge: Judge,
    folder: Path,
    choices: Choices,
    train: Train,
) -> Any:
    """The library's trainer over our rows, without its own printing."""
    from transformers import EarlyStoppingCallback, PrinterCallback

    family = choices.model.family
    common = arguments(train, choices.model, choices.quantization, folder)
    trainer = judged(lean(trainer_of(family)), judge)(
        model=net,
        args=settings_of(family, common, train, choices.prompt),
        train_dataset=dataset(learnt, family),
        eval_dataset=dataset(columns_of([judge.encoded]), family),
        processing_class=tokenizer,
        data_collator=collator_of(family, tokenizer, net),
    )
    trainer.compute_loss_func = token_loss(net, train.label_smoothing)
    trainer.remove_callback(PrinterCallback)
    if train.early_stopping.patience:
        trainer.add_callback(EarlyStoppingCallback(train.early_stopping.patience))
    learn_in_full_precision(net)
    insist_on_engine(train.accelerate, trainer)
    return trainer


def learn_in_full_precision(net: Any) -> None:
    """Hold what is trained in fp32: small steps vanish in half precision.

    TRL casts the adapter of a quantised model to bf16, which CPUs only emulate.
    """
    for weight in net.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def go(trainer: Any, folder: Path, stop: Any) -> dict[str, Any]:
    """Train, from the last complete checkpoint if there is one; a stop on demand becomes a problem that says so."""
    import psutil
    from transformers import TrainerState

    if leads():
        clear_unfinished(folder)
    together()
    found = last_complete(folder) if leads() else None
    checkpoint = from_the_first(found)  # what a disk shows to one may be old
    if checkpoint:
        say("resuming", f"from step {checkpoint.name.rsplit('-', 1)[1]}")
    seconds, worked = 0.0, time.process_time()
    if checkpoint and read_json(checkpoint / "trainer_state.json")["global_step"] >= trainer.args.max_steps:
        # Killed after its last step: the trainer would make one more.
        trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    else:
        seconds = trained_seconds(trainer, checkpoint)
    if stop.stopped(trainer.state):
        problem = Problem(
            f"training, step {trainer.state.global_step} of {trainer.state.max_steps}",
            f"{stop.asked}; everything is saved",
            "to go on to the end",
            "dvc repro: the same run goes on from this step",
        )
        if workers() > 1:
            all_stopped(folder, problem)
        raise problem
    return {
        "seconds": seconds,
        "processor_seconds": round(time.process_time() - worked - trainer.evaluation_processor_seconds, 4),
        "evaluation_seconds": round(trainer.evaluation_seconds, 4),
        "stepping_seconds": round(trainer.stepping_seconds, 4),
        "stepping_processor_seconds": round(trainer.stepping_processor_seconds, 4),
        "seconds_to_first_step": round(trainer.begun - psutil.Process().create_time(), 4) if trainer.begun else None,
        "floating_point_operations": trainer.state.total_flos,
        "resumed_from_step": int(checkpoint.name.rsplit("-", 1)[1]) if checkpoint else 0,
    }


def trained_seconds(trainer: Any, checkpoint: Path | None) -> float:
    """Train, from `checkpoint` if there is one; returns how long it took. Raises `OutOfMemory`."""
    try:
        return trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None).metrics["train_runtime"]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        met = OutOfMemory(trainer.state.global_step, evaluating=trainer.evaluating)
    # Outside of the handler: the error's traceback would hold the very tensors that were too large.
    raise met


def summarise(
    net: Any,
    points: list[dict[str, float | None]],
    best: dict[str, Any],
    length: Plan,
    done: int,
    choices: Choices,
) -> dict[str, Any]:
    """The facts of `reports/train/summary.json`: the same for every run of the same commit on the same machine."""
    trained, base = counted(net)
    last_loss = [point["train_loss"] for point in points if point["train_loss"] is not None][-1]
    at_best = next(point for point in points if point["step"] == best["step"])
    return {
        "model": {
            **choices.model.model_dump(include={"family", "origin", "name"}),
            **described(choices),
            "parameters_total": base,
            "parameters_trained": trained,
        },
        "steps": {"planned": length.steps, "done": done},
        "epochs": {
            "planned": round(length.steps / length.steps_per_epoch, 4),
            "done": round(done / length.steps_per_epoch, 4),
        },
        "effective_batch": length.effective_batch,
        "best": best | {"value": round(best["value"], 6)},
        "train_loss": last_loss,
        "validation_loss": at_best["validation_loss"],
        "rougeL": at_best["rougeL"],
        "bleu": at_best["bleu"],
        "params": choices.model_dump(mode="json"),
        "guarantee": GUARANTEES[device_of(choices.model)],
        "environment": environment([*PACKAGES, *(["deepspeed"] if choices.train.by_deepspeed else [])]),
    }


# What decides the bytes of an adapter, besides our own code.
PACKAGES = ("accelerate", "bitsandbytes", "peft", "tokenizers", "torch", "transformers", "trl")
GUARANTEES = {
    "cpu": "equal bytes for equal parameters, rows, code, libraries, threads and kind of processor",
    "cuda": "equal seeds and order of rows; CUDA kernels may round differently from run to run",
}
