"""Likelihood: how probable a model finds given responses, when it is made to read them after their prompts."""

from collections.abc import Callable
from typing import Any

from stages.lib.batches import in_batches, padded
from stages.lib.notes import Notes

LOGITS = 2**27  # numbers held at once, of four bytes each


def teacher_forced(prompts: list[list[int]], responses: list[list[int]], net: Any, tokenizer: Any) -> dict[str, Any]:
    """The tensors that make `net` read each response after its prompt, with prompt and padding masked in the labels.

    An encoder-decoder makes its decoder's inputs from the labels by itself.
    """
    pad = tokenizer.pad_token_id
    if net.config.is_encoder_decoder:
        ids, mask = padded(prompts, pad, "right")
        labels, seen = padded(responses, pad, "right")
        labels = labels.masked_fill(seen == 0, -100)
    else:
        rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        ids, mask = padded(rows, pad, "right")
        labels = ids.masked_fill(mask == 0, -100)
        for number, prompt in enumerate(prompts):
            labels[number, : len(prompt)] = -100
    tensors = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: tensor.to(net.device) for name, tensor in tensors.items()}


def logits_and_labels(net: Any, inputs: dict[str, Any]) -> tuple[Any, Any]:
    """Logits of shape (rows, positions, vocabulary) and the labels that they should predict (-100: none).

    A decoder-only model is not asked for logits within the prompts: where the vocabulary is large they are most of it.
    """
    labels = inputs["labels"]
    if net.config.is_encoder_decoder:
        return net(**inputs).logits, labels
    begin = int((labels != -100).any(0).nonzero()[0])
    read = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    return net(**read, logits_to_keep=labels.shape[1] - begin + 1).logits[:, :-1], labels[:, begin:]


def at_responses(
    see: Callable[[Any, Any], list[Any]],
    net: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    responses: list[list[int]],
    budget: int,
    notes: Notes | None = None,
    *,
    halve: bool = True,
) -> list[Any]:
    """What `see` makes, for each row, of logits and labels of a batch; `budget` limits the tokens of a batch."""
    import torch

    def work(batch: list[int]) -> list[Any]:
        inputs = teacher_forced([prompts[i] for i in batch], [responses[i] for i in batch], net, tokenizer)
        return see(*logits_and_labels(net, inputs))

    lengths = [len(prompt) + len(response) for prompt, response in zip(prompts, responses, strict=True)]
    with torch.inference_mode():
        # Logits of all tokens are held at once: half a gigabyte of them at most.
        return in_batches(work, lengths, min(budget, LOGITS // len(tokenizer)), notes or Notes(), halve=halve)


def reference_nll(
    net: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    responses: list[list[int]],
    budget: int,
    notes: Notes | None = None,
    *,
    halve: bool = True,
) -> list[float]:
    """The negative log-likelihood of each response after its prompt: summed over its tokens, natural logarithm.

    `responses` end with the end token, which counts. Rows that `notes` has are not computed again. `halve` is that of
    `in_batches`.
    """
    from torch.nn.functional import cross_entropy

    def see(logits: Any, labels: Any) -> list[float]:
        losses = cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=-100, reduction="none")
        return losses.sum(1).tolist()

    return at_responses(see, net, tokenizer, prompts, responses, budget, notes, halve=halve)
