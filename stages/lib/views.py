"""A look at a model on a few rows: its logits at the references, and its answers. Two looks can be compared."""

from dataclasses import dataclass
from typing import Any

from stages.lib.generation import Generation, answers
from stages.lib.likelihood import at_responses
from stages.lib.prompts import Encoded


@dataclass(frozen=True)
class View:
    """Logits of shape (tokens of all references, vocabulary) in fp32 on the CPU, and one answer for each row."""

    logits: Any
    answers: list[str]


def look(net: Any, tokenizer: Any, encoded: Encoded, generation: Generation) -> View:
    """What `net` says about the encoded rows."""
    import torch

    def see(logits: Any, labels: Any) -> list[Any]:
        return [row[wanted != -100].float().cpu() for row, wanted in zip(logits, labels, strict=True)]

    seen = at_responses(see, net, tokenizer, encoded.prompts, encoded.responses, generation.batch_tokens)
    written = answers(net, tokenizer, encoded.prompts, generation, None)
    return View(torch.cat(seen), [answer.text for answer in written])
