"""The weights that training changes, taken out of a model and put back: an adapter's, or all of a fully tuned model."""

from contextlib import nullcontext
from typing import Any


def trained_state(net: Any) -> dict[str, Any]:
    """Name → tensor of all that training changes; weights that two layers share appear once.

    Where processes hold parts of the weights all must call this together, and each gets the whole.
    """
    if hasattr(net, "peft_config"):
        from peft import get_peft_model_state_dict

        with _put_together(net):
            return {name: _whole(tensor) for name, tensor in get_peft_model_state_dict(net).items()}
    with _put_together(net):
        return {name: _whole(tensor.detach()) for name, tensor in net.named_parameters()}


def _put_together(net: Any) -> Any:
    """The context in which weights that DeepSpeed dealt out are whole; what is read there must be copied."""
    weights = [weight for weight in net.parameters() if weight.requires_grad and hasattr(weight, "ds_id")]
    if not weights:
        return nullcontext()
    from deepspeed import zero

    return zero.GatheredParameters(weights)


def _whole(tensor: Any) -> Any:
    """The tensor in one piece; FSDP's parts are put together, which all processes must do at once."""
    from torch.distributed.tensor import DTensor

    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).contiguous().clone()


def restore_state(net: Any, state: dict[str, Any]) -> None:
    """Put what `trained_state` gave back into `net`."""
    if hasattr(net, "peft_config"):
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(net, state)
        return
    import torch

    weights = dict(net.named_parameters())
    if set(weights) != set(state):
        raise RuntimeError("a state of another model")
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(state[name])
