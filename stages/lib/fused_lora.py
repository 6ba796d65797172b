"""A LoRA layer's arithmetic in one piece: the same function and gradients as PEFT's, with less work.

PEFT computes x·Wᵀ and (x·Aᵀ)·Bᵀ apart, scales and adds; autograd then keeps every intermediate result and goes back
through each. Here the small matrices are folded into one weight, W + s·B·A, for the forward pass and again for the
backward pass, so that tokens go through one product instead of three. The folded weight is never kept.
"""

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch.nn.functional import linear


class _Folded(torch.autograd.Function):
    """x·(W + s·B·A)ᵀ for x of shape (…, inputs), W (outputs, inputs), A (r, inputs) and B (outputs, r); W is frozen."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, a: Any, b: Any, scale: float) -> Any:
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return linear(x, torch.addmm(weight, b, a, alpha=scale))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, wanted: Any) -> tuple[Any, ...]:
        x, weight, a, b = ctx.saved_tensors
        rows, back = x.reshape(-1, x.shape[-1]), wanted.reshape(-1, wanted.shape[-1])
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (back @ torch.addmm(weight, b, a, alpha=ctx.scale)).view_as(x)
        of_a = (back @ (b * ctx.scale)).t() @ rows
        of_b = ((rows @ (a * ctx.scale).t()).t() @ back).t()
        return of_x, None, of_a, of_b, None


class FusedLinear(Linear):
    """PEFT's layer; where a gradient is wanted and tokens are many, its forward pass is `_Folded`.

    Without a gradient it is PEFT's own, so that an evaluation in training computes to the bit what `predict` computes.
    """

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        (name,) = self.active_adapters
        weight, a, b = self.base_layer.weight, self.lora_A[name].weight, self.lora_B[name].weight
        outputs, inputs = weight.shape
        few = x.numel() // inputs * (inputs + outputs) < 2 * inputs * outputs  # folding would cost more than it saves
        apart = self.disable_adapters or self.merged or torch.is_autocast_enabled(x.device.type)
        mixed = not x.dtype == weight.dtype == a.dtype
        if few or apart or mixed or args or kwargs or not torch.is_grad_enabled():
            return super().forward(x, *args, **kwargs)
        result = _Folded.apply(x, weight, a, b, self.scaling[name])
        return result if self.base_layer.bias is None else result + self.base_layer.bias


def fuse(net: Any) -> Any:
    """`net` with its plain LoRA layers computed in one piece: linear, not quantised, no dropout, no DoRA."""
    for layer in net.modules():
        if (
            type(layer) is Linear
            and type(layer.base_layer) is torch.nn.Linear
            and not layer.lora_variant
            and not layer.lora_bias[layer.active_adapters[0]]
            and isinstance(layer.lora_dropout[layer.active_adapters[0]], torch.nn.Identity)
        ):
            layer.__class__ = FusedLinear
    return net
