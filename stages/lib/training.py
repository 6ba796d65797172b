"""Training: the section `train`, the rows as tensors, and the trainer of each family."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from stages.lib.engines import Accelerate, machines
from stages.lib.models import Model, device_of
from stages.lib.prompts import Prompt
from stages.lib.quantization import Quantization, compute_dtype
from stages.lib.token_columns import Columns, pairs, sequences
from stages.plumbing.section import Section

PATIENCE = 2 * 60 * 60  # seconds that processes wait for the one that generates answers
LOGGED = 1000  # log entries of a training at most: they travel in every checkpoint


class Evaluation(Section):
    """When and on how much the adapter is measured during training."""

    every: float = Field(gt=0)
    rows: int = Field(ge=1)
    batch_size: int = Field(ge=1)


class EarlyStopping(Section):
    """Which number decides what the best state is, and how long to wait for a better one."""

    metric: Literal["validation_loss", "rougeL", "bleu"]
    patience: int | None = Field(ge=1)


class Train(Section):
    """The section `train`."""

    seed: int = Field(ge=0)
    epochs: float = Field(gt=0)
    max_steps: int | None = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulation: int = Field(ge=1)
    processes: int = Field(ge=1)
    accelerate: Accelerate | None
    learning_rate: float = Field(gt=0)
    schedule: Literal["linear", "cosine", "polynomial", "constant", "constant_with_warmup"]
    warmup: float = Field(ge=0)
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd"]
    beta1: float = Field(ge=0, lt=1)
    beta2: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    label_smoothing: float = Field(ge=0, lt=1)
    neftune_noise: float | None = Field(gt=0)
    gradient_checkpointing: bool
    group_by_length: bool
    packing: bool
    evaluation: Evaluation
    early_stopping: EarlyStopping
    save_steps: int = Field(ge=1)
    keep_checkpoints: int = Field(ge=0)
    max_unlearnable: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _warmup_is_a_share_or_steps(self) -> "Train":
        if self.warmup >= 1 and self.warmup != int(self.warmup):
            raise ValueError("warmup is a share of the steps below 1, or a whole number of steps")
        return self

    @model_validator(mode="after")
    def _processes_share_the_batch(self) -> "Train":
        if self.batch_size % self.processes and self.accumulation % self.processes:
            raise ValueError(
                f"batch_size ({self.batch_size}) or accumulation ({self.accumulation}) must be a multiple of processes "
                f"({self.processes}), which share them"
            )
        return self

    @model_validator(mode="after")
    def _machines_share_the_processes(self) -> "Train":
        if self.accelerate is None:
            return self
        if self.processes == 1:
            raise ValueError("processes above 1 with accelerate, or accelerate: null")
        if self.processes % machines(self.accelerate):
            raise ValueError(
                f"processes ({self.processes}) must be a multiple of accelerate.num_machines "
                f"({self.accelerate.num_machines}), which share them"
            )
        if self.deals_weights_out and self.keep_checkpoints:
            raise ValueError("keep_checkpoints: 0 where accelerate deals the weights out")
        return self

    @property
    def processes_here(self) -> int:
        """How many of the processes share this machine."""
        return self.processes // machines(self.accelerate)

    @property
    def by_deepspeed(self) -> bool:
        """Whether DeepSpeed does the work."""
        return bool(self.accelerate and self.accelerate.distributed_type == "DEEPSPEED")

    @property
    def deals_weights_out(self) -> bool:
        """Whether no process holds the whole model."""
        return bool(self.accelerate and self.accelerate.deals_weights_out)

    def of_one_process(self) -> "Train":
        """The section as each of the processes works: its share of the rows in memory, or else of the accumulation."""
        if self.batch_size % self.processes == 0:
            return self.model_copy(update={"batch_size": self.batch_size // self.processes})
        return self.model_copy(update={"accumulation": self.accumulation // self.processes})


@dataclass(frozen=True)
class Plan:
    """How long a training is: optimizer steps, and steps between two evaluations."""

    effective_batch: int
    steps_per_epoch: int
    steps: int
    evaluate_every: int
    log_every: int


def plan(rows: int, train: Train) -> Plan:
    """Count the steps of a training on `rows` rows (or packed sequences); `every` below 1 is a share of all steps."""
    batch = train.batch_size * train.accumulation
    per_epoch = max(1, -(-rows // batch))
    steps = train.max_steps or max(1, round(per_epoch * train.epochs))
    every = train.evaluation.every
    # A training shorter than that is evaluated once, at its end: there must be a best state to keep.
    evaluate_every = min(steps, max(1, round(steps * every) if every < 1 else round(every)))
    return Plan(batch, per_epoch, steps, evaluate_every, log_every=-(-steps // LOGGED))


def dataset(columns: Columns, family: str) -> Any:
    """The rows as a `datasets.Dataset` of input_ids, labels and length; prompts never count in the labels."""
    from datasets import Dataset

    return Dataset(pairs(columns) if family == "seq2seq" else sequences(columns))


def arguments(train: Train, model: Model, quantization: Quantization, folder: Path) -> dict[str, Any]:
    """Arguments that both families' trainers take; how long they run is `lengthen`'s to say."""
    import torch

    device = device_of(model)
    half = compute_dtype(quantization, model.family, device)
    return {
        "output_dir": str(folder),
        "seed": train.seed,
        "data_seed": train.seed,
        "per_device_train_batch_size": train.batch_size,
        "per_device_eval_batch_size": train.evaluation.batch_size,
        "gradient_accumulation_steps": train.accumulation,
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": train.schedule,
        "warmup_steps": train.warmup,
        "optim": train.optimizer,
        "adam_beta1": train.beta1,
        "adam_beta2": train.beta2,
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "neftune_noise_alpha": train.neftune_noise,
        "activation_checkpointing": train.gradient_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if train.gradient_checkpointing else None,
        "train_sampling_strategy": "group_by_length" if train.group_by_length else "random",
        "bf16": half == torch.bfloat16,
        "fp16": half == torch.float16,
        "use_cpu": device == "cpu",
        "eval_strategy": "steps",
        "save_strategy": "steps",
        "restore_callback_states_from_checkpoint": True,
        "save_total_limit": max(2, train.keep_checkpoints),
        "metric_for_best_model": train.early_stopping.metric.removeprefix("validation_"),
        "greater_is_better": train.early_stopping.metric != "validation_loss",
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "report_to": "none",
        "remove_unused_columns": True,
        "dataloader_pin_memory": device == "cuda",
        "ddp_backend": ("gloo" if device == "cpu" else "nccl") if train.processes > 1 else None,
        "ddp_find_unused_parameters": False if train.processes > 1 else None,
        "ddp_timeout": PATIENCE,
    }


def lengthen(settings: Any, schedule: Plan, train: Train) -> None:
    """Write into a trainer's arguments how long to train, and when to log, evaluate and save."""
    settings.max_steps = schedule.steps
    settings.eval_steps = schedule.evaluate_every
    settings.logging_steps = schedule.log_every
    # A state is saved with a whole number of log entries behind it, so that a resumed log equals an undisturbed one.
    settings.save_steps = -(-train.save_steps // schedule.log_every) * schedule.log_every


def token_loss(net: Any, smoothing: float) -> Callable[..., Any]:
    """The loss of both families: the mean over all supervised tokens of a step, whatever the number of its batches.

    transformers divides a T5's accumulated loss by nothing at all, since T5 takes `num_items_in_batch` and ignores it:
    four accumulated batches gave a gradient four times too large. Label smoothing is for training alone.
    """
    from stages.lib.summed_loss import summed_loss

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        logits = outputs.logits.float().flatten(0, 1)
        total = summed_loss(logits, labels.flatten(), smoothing if net.training else 0.0)
        return total / ((labels != -100).sum() if num_items_in_batch is None else num_items_in_batch)

    return loss


def trainer_of(family: str) -> type:
    """The trainer for a family: the library's, with our loss."""
    if family == "seq2seq":
        from transformers import Seq2SeqTrainer

        class OfPairs(Seq2SeqTrainer):
            def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
                """Without the cache of keys and values, which T5 fills in training too and nobody reads."""
                return super().compute_loss(model, {**inputs, "use_cache": False}, *args, **kwargs)

        return OfPairs
    from trl import SFTTrainer

    class Trainer(SFTTrainer):
        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,  # noqa: FBT001, FBT002 - the library calls it so
            num_items_in_batch: Any = None,
        ) -> Any:
            """Logits of the positions before a supervised token alone.

            TRL's own loss leaves prompts out on GPUs only, projects every position twice, measures entropy and hits
            at each step, and runs a whole second forward pass for them when labels are smoothed.
            """
            labels = inputs["labels"]
            supervised = (labels[:, 1:] != -100).any(0).nonzero().squeeze(1)
            told = {name: tensor for name, tensor in inputs.items() if name != "labels"}
            # Counted from the end: an adapter that puts tokens of its own before the row moves all positions.
            outputs = model(**told, use_cache=False, logits_to_keep=supervised - labels.shape[1])
            loss = self.compute_loss_func(outputs, labels[:, supervised + 1], num_items_in_batch)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes  # of all their tokens; their gradients' mean is taken
            return (loss, outputs) if return_outputs else loss

    return Trainer


def settings_of(family: str, common: dict[str, Any], train: Train, prompt: Prompt) -> Any:
    """The trainer's arguments object for a family."""
    if family == "seq2seq":
        from transformers import Seq2SeqTrainingArguments

        return Seq2SeqTrainingArguments(**common)
    from trl import SFTConfig

    longest = prompt.max_prompt_tokens + prompt.max_response_tokens
    return SFTConfig(**common, max_length=longest, packing=train.packing, eval_packing=False)


def collator_of(family: str, tokenizer: Any, net: Any) -> Any:
    """The collator that pads a batch to its longest row; None where the trainer brings its own."""
    if family == "seq2seq":
        from transformers import DataCollatorForSeq2Seq

        return DataCollatorForSeq2Seq(tokenizer, model=net, label_pad_token_id=-100)
    return None
