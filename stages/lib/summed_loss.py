"""The negative log-likelihood of labels, summed, with its gradient made in the forward pass.

Logits are the largest thing in a step: tokens × vocabulary. torch's cross-entropy keeps their logarithmic softmax and
makes two more such matrices on its way back. Their gradient is known at once, softmax less one at the label, and takes
the place of the softmax.
"""

from typing import Any

import torch

IGNORED = -100  # the label of a position that teaches nothing


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Any, labels: Any) -> Any:
        ignored = labels == IGNORED
        places = labels.clamp_min(0)
        found = logits.log_softmax(-1)
        loss = -found.gather(1, places[:, None]).squeeze(1).masked_fill_(ignored, 0.0).sum()
        found.exp_()
        found[torch.arange(len(places), device=places.device), places] -= 1.0
        found[ignored] = 0.0
        ctx.save_for_backward(found)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, wanted: Any) -> tuple[Any, None]:
        (found,) = ctx.saved_tensors
        return found.mul_(wanted), None  # in place: a graph is gone through once


def summed_loss(logits: Any, labels: Any, smoothing: float) -> Any:
    """Natural-log loss of `labels` (tokens) under `logits` (tokens, vocabulary), summed over all not `IGNORED`."""
    if smoothing or not logits.requires_grad:
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
    return _Summed.apply(logits, labels)
