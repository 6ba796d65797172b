"""What is watched while an adapter is fitted: metrics of answers, the best state so far, and how far it is."""

import math
import time
from pathlib import Path
from typing import Any

from stages.lib.agreement import sequence_f
from stages.lib.curves import curves, write_curves
from stages.lib.engines import is_dealt_out
from stages.lib.files import read_json, whole, write_json
from stages.lib.generation import Generation, answers
from stages.lib.likelihood import reference_nll
from stages.lib.order import sampler
from stages.lib.processes import from_the_first, leads, together, workers
from stages.lib.prompts import Encoded, Prompt
from stages.lib.resumption import room
from stages.lib.trained_state import restore_state, trained_state
from stages.lib.training import Plan
from stages.lib.words import words
from stages.plumbing.console import bar, say
from stages.plumbing.problem import Problem


def greedy(prompt: Prompt, batch_rows: int) -> Generation:
    """How answers are generated during training: greedily, and as long as a response may be."""
    longest = prompt.max_prompt_tokens + prompt.max_response_tokens
    return Generation(
        max_new_tokens=prompt.max_response_tokens,
        num_beams=1,
        sample=False,
        temperature=1.0,
        top_p=1.0,
        batch_tokens=batch_rows * longest,
        seed=0,
    )


class Judge:
    """Measures an adapter on fixed rows: how likely it finds the references, and what it writes by itself."""

    def __init__(self, tokenizer: Any, encoded: Encoded, references: list[str], how: Generation) -> None:
        self.tokenizer, self.encoded, self.references, self.how = tokenizer, encoded, references, how

    def __call__(self, net: Any) -> dict[str, float]:
        """Loss (mean over all tokens of the references, natural logarithm), ROUGE-L (0 to 1) and BLEU (0 to 100).

        The loss is that of eval's perplexity: the library's own is a mean of batches' means, and another one when the
        same rows are batched otherwise.
        """
        import torch
        from sacrebleu import corpus_bleu

        training = net.training
        net.eval()
        prompts, responses = self.encoded.prompts, self.encoded.responses
        halve = not is_dealt_out(net)  # else all processes are at the same batch, and must begin again together
        with torch.random.fork_rng():  # looking at a model must not change how its training goes on
            surprise = reference_nll(net, self.tokenizer, prompts, responses, self.how.batch_tokens, halve=halve)
            written = [answer.text for answer in answers(net, self.tokenizer, prompts, self.how, None, halve=halve)]
        net.train(training)
        scores = [
            sequence_f(words(text), words(reference)) for text, reference in zip(written, self.references, strict=True)
        ]
        return {
            "loss": sum(surprise) / sum(map(len, responses)),
            "rougeL": sum(scores) / len(scores),
            "bleu": corpus_bleu(written, [self.references]).score,
        }


def judged(trainer: type, judge: Judge) -> type:
    """`trainer` with the judge's metrics in each evaluation."""
    from transformers.trainer_utils import EvalLoopOutput

    class Judged(trainer):
        evaluation_seconds = 0.0
        evaluation_processor_seconds = 0.0
        evaluating = False
        begun: float | None = None  # when the first step of this process began, in seconds since 1970
        # From the begin of this process's first step to the end of its last one, evaluations taken out.
        stepping_seconds = stepping_processor_seconds = 0.0

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            if self.begun is None:
                self.begun, self.clocks = time.time(), (time.monotonic(), time.process_time())
            return super().training_step(*args, **kwargs)

        def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
            began, worked = self.clocks
            self.stepping_seconds = time.monotonic() - began - self.evaluation_seconds
            self.stepping_processor_seconds = time.process_time() - worked - self.evaluation_processor_seconds
            super()._maybe_log_save_evaluate(*args, **kwargs)

        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            started, worked, self.evaluating = time.monotonic(), time.process_time(), True
            metrics = super().evaluate(*args, **kwargs)
            self.evaluation_seconds += time.monotonic() - started
            self.evaluation_processor_seconds += time.process_time() - worked
            self.evaluating = False
            return metrics

        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            with room(Path(self.args.output_dir)):
                super()._save_checkpoint(*args, **kwargs)

        def evaluation_loop(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> Any:
            found = from_the_first(judge(self.model) if leads() or is_dealt_out(self.model) else None)
            metrics = {f"{metric_key_prefix}_{key}": value for key, value in found.items()}
            return EvalLoopOutput(None, None, metrics, len(judge.references))

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            if self.args.train_sampling_strategy != "group_by_length":
                return super()._get_train_sampler(train_dataset)
            rows = self.train_dataset  # the one in hand has lost what the model does not read
            lengths = list(rows["length"]) if "length" in rows.column_names else [len(ids) for ids in rows["input_ids"]]
            batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * workers()
            return sampler(lengths, batch, self.args.seed)

    return Judged


class Best:
    """The best adapter so far, kept in a folder: weights, and the step and value that made it best."""

    def __init__(self, folder: Path, metric: str) -> None:
        self.folder, self.metric = folder, metric
        self.sign = -1 if metric == "validation_loss" else 1

    def read(self) -> dict[str, Any] | None:
        path = self.folder / "best.json"
        return read_json(path) if path.is_file() else None

    def offer(self, net: Any, step: int, value: float) -> bool:
        """Keep the state of `net` when it is strictly better; the weights are written before the word that they are."""
        from safetensors.torch import save_file

        best = from_the_first(self.read() if leads() else None)  # what a disk shows to one may be old
        if best and self.sign * value <= self.sign * best["value"]:
            return False
        state = trained_state(net) if leads() or is_dealt_out(net) else {}
        if not leads():
            return True
        name = f"best-{step}.safetensors"
        with room(self.folder), whole(self.folder / name) as begun:
            save_file(state, begun)
        write_json(self.folder / "best.json", {"step": step, "value": value, "metric": self.metric, "file": name})
        if best and best["file"] != name:
            (self.folder / best["file"]).unlink(missing_ok=True)
        return True

    def restore(self, net: Any) -> dict[str, Any]:
        """Put the best state back into `net`, unless its weights are dealt out; returns its step, metric and value."""
        from safetensors.torch import load_file

        together()
        best = self.read()
        if best is None:
            raise RuntimeError("no evaluation was made, so there is no best state")
        if not is_dealt_out(net):
            restore_state(net, load_file(self.folder / best["file"]))
        together()  # all have read it before one clears it away
        return {key: best[key] for key in ("step", "metric", "value")}


def watcher(best: Best, length: Plan, tokens_per_step: float, live: Path | None) -> Any:
    """The callback that shows progress, keeps the best state and stops a training that has become NaN.

    `live` is a folder for the curves so far.
    """
    steps = length.steps
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.bar = bar("training", steps, "steps")
            self.bar.update(state.global_step)
            self.bar.unpause()
            self.started, self.first, self.loss = time.monotonic(), state.global_step, math.nan

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.bar.update(state.global_step - self.bar.n)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict, **kwargs: Any) -> None:
            if "loss" in logs:
                self.loss = float(logs["loss"])
                self.bar.set_postfix_str(f"loss {self.loss:.3f}", refresh=False)
                insist_on_numbers(state.global_step, self.loss)

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict, model: Any, **kwargs: Any) -> None:
            insist_on_numbers(state.global_step, metrics["eval_loss"])
            value = metrics["eval_loss" if best.metric == "validation_loss" else f"eval_{best.metric}"]
            new = best.offer(model, state.global_step, value)
            done = state.global_step - self.first
            speed = done * tokens_per_step / (time.monotonic() - self.started)
            self.bar.clear()
            say(
                f"step {state.global_step} of {steps}",
                f"train loss {self.loss:.3f}, validation loss {metrics['eval_loss']:.3f}, "
                f"ROUGE-L {metrics['eval_rougeL']:.3f}, BLEU {metrics['eval_bleu']:.1f}, "
                f"{speed:,.0f} tokens/s{' (best so far)' if new else ''}",
            )
            if leads() and live:
                write_curves(live, curves(state.log_history, steps, length.steps_per_epoch))

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.bar.close()

    return Watcher()


def insist_on_numbers(step: int, loss: float) -> None:
    """Raise a problem when a loss is not a number: what follows would not be one either."""
    if not math.isfinite(loss):
        raise Problem(
            f"training, step {step}",
            f"a loss of {loss}",
            "a finite loss",
            "lower train.learning_rate or train.max_grad_norm; look for odd rows in data/clean.parquet",
        )
