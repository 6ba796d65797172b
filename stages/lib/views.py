"""A look at a model on a few rows: its logits at the references, and its answers. Two looks can be compared."""

from dataclasses import dataclass
from typing import Any

from stages.lib.generation import Generation, answers, logits_at, teacher_forced
from stages.lib.prompts import Encoded


@dataclass(frozen=True)
class View:
    """Logits of shape (tokens of all references, vocabulary) in fp32 on the CPU, and one answer for each row."""

    logits: Any
    answers: list[str]


def look(net: Any, tokenizer: Any, encoded: Encoded, generation: Generation) -> View:
    """What `net` says about the encoded rows."""
    import torch

    inputs = teacher_forced(encoded.prompts, encoded.responses, net, tokenizer)
    with torch.inference_mode():
        logits = logits_at(net, inputs)[inputs["labels"] != -100].float().cpu()
    return View(logits, [answer.text for answer in answers(net, tokenizer, encoded.prompts, generation, None)])
