"""The weights that training changes, taken out of a model and put back: an adapter's, or all of a fully tuned model."""

from typing import Any


def trained_state(net: Any) -> dict[str, Any]:
    """Name → tensor of all that training changes; weights that two layers share appear once."""
    if hasattr(net, "peft_config"):
        from peft import get_peft_model_state_dict

        return {name: tensor.contiguous() for name, tensor in get_peft_model_state_dict(net).items()}
    return {name: tensor.detach().contiguous() for name, tensor in net.named_parameters()}


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
