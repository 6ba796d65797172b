"""Memory: what a training will want, told before it starts, and smaller batches when it wanted more than there is."""

from pathlib import Path
from typing import Any

from stages.lib.files import read_json, write_json
from stages.lib.training import Train
from stages.plumbing.problem import Problem

CUT = "batch.json"  # in the folder of a training's state: the smaller batches it was cut to

# Bytes of optimizer state for each trained weight: AdamW's two moments in fp32, or in 8 bit with a constant for each
# 256 (https://arxiv.org/abs/2110.02861). Adafactor keeps rows and columns of the second moment alone
# (https://arxiv.org/abs/1804.04235): an adapter's narrow matrices save little by it, so one number each is counted.
STATE_BYTES = {
    "adamw_torch": 8.0,
    "adamw_torch_fused": 8.0,
    "adamw_8bit": 2.03,
    "paged_adamw_8bit": 2.03,
    "adafactor": 4.0,
    "sgd": 0.0,
}


class OutOfMemory(Exception):  # noqa: N818 - it is a state of the machine, met and answered
    """The memory did not hold a batch: of training, or of an evaluation."""

    def __init__(self, step: int, *, evaluating: bool) -> None:
        super().__init__(f"out of memory at step {step}")
        self.step, self.evaluating = step, evaluating


def estimate(trainer: Any, train: Train) -> dict[str, int]:
    """Bytes that a training wants at its peak, part by part; `peak` is their sum.

    Held already, and so counted rather than estimated: `weights` (the base as it lies in memory, quantised or not) and
    `adapter`. To come: `gradients`, one of the adapter's numbers each; `optimizer`, by `STATE_BYTES`; `activations`:
    what autograd keeps of a forward pass of the longest row, counted with
    https://pytorch.org/docs/stable/autograd.html#torch.autograd.graph.saved_tensors_hooks, times the rows of a batch.
    With gradient checkpointing only the inputs of layers are kept, and one layer's activations come back at a time
    (https://arxiv.org/abs/1604.06174). Where weights are dealt out a process holds its share of all but the
    activations. Libraries, the allocator's slack and the evaluations' caches are not in it.
    """
    net = trainer.model
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    adapter = sum(weight.numel() * weight.element_size() for weight in trained)
    count = sum(weight.numel() for weight in trained)
    parts = {
        "weights": net.get_memory_footprint() - adapter,
        "adapter": adapter,
        "gradients": adapter,
        "optimizer": round(STATE_BYTES[train.optimizer] * count),
        "activations": kept_by_autograd(trainer) * train.batch_size,
    }
    if train.deals_weights_out:
        parts |= {name: size // train.processes for name, size in parts.items() if name != "activations"}
    return parts | {"peak": sum(parts.values())}


def kept_by_autograd(trainer: Any) -> int:
    """Bytes that the graph of one forward pass of the longest training row keeps, weights not counted."""
    import torch
    from torch.autograd.graph import saved_tensors_hooks

    net, rows = trainer.model, trainer.train_dataset
    lengths = rows["length"] if "length" in rows.column_names else [len(ids) for ids in rows["input_ids"]]
    longest = rows[max(range(len(rows)), key=lengths.__getitem__)]
    read = {name: longest[name] for name in ("input_ids", "labels", "seq_lengths") if name in longest}
    inputs = {
        name: value.to(net.device) if isinstance(value, torch.Tensor) else value  # a packed batch has plain numbers too
        for name, value in trainer.data_collator([read]).items()
    }
    weights = {tensor.untyped_storage().data_ptr() for tensor in [*net.parameters(), *net.buffers()]}
    kept: dict[int, int] = {}

    def count(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    training = net.training
    net.train()
    as_trained = trainer.compute_loss_context_manager()
    with torch.random.fork_rng(), saved_tensors_hooks(count, lambda tensor: tensor), as_trained:
        loss = trainer.compute_loss(net, inputs)
    del loss  # until here the graph kept what was counted: no address was used twice
    net.train(training)
    if trainer.args.activation_checkpointing:
        # One layer's activations, as wide as its widest part, come back while its gradient is made.
        layers = sum(getattr(net.config, name, None) or 0 for name in ("num_hidden_layers", "num_decoder_layers"))
        return sum(kept.values()) + sum(kept.values()) * WIDTH_OF_A_LAYER // max(1, layers)
    return sum(kept.values())


# A layer's activations are some 34 times as many bytes as its 16-bit input has numbers, so 17 times the input
# (https://arxiv.org/abs/2205.05198, equation 1).
WIDTH_OF_A_LAYER = 17


def available() -> int:
    """Bytes free on the device that trains: the GPU's, or the machine's main memory."""
    import psutil
    import torch

    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available


def used() -> int:
    """Bytes that this process holds now: on the GPU where there is one, else in main memory, libraries included."""
    import psutil
    import torch

    return torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss


def peak() -> int:
    """Bytes that this process held at most, counted as `used` counts."""
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def as_cut(folder: Path, train: Train) -> Train:
    """The section `train` with the batches that an earlier want of memory has cut it to, if any."""
    path = folder / CUT
    if not path.is_file():
        return train
    told = read_json(path)
    evaluation = train.evaluation.model_copy(update={"batch_size": told["evaluation_batch_size"]})
    return train.model_copy(
        update={"batch_size": told["batch_size"], "accumulation": told["accumulation"], "evaluation": evaluation}
    )


def cuts(folder: Path) -> list[dict[str, Any]]:
    """Every cut so far: at which step, of what, from how many rows to how many."""
    return read_json(folder / CUT)["cuts"] if (folder / CUT).is_file() else []


def _smaller(train: Train) -> int:
    """The largest batch of which a process has at most half as many rows as now, at the same effective batch."""
    effective, half = train.batch_size * train.accumulation, train.of_one_process().batch_size // 2
    shares = {}
    for rows in range(1, effective + 1):
        accumulation, rest = divmod(effective, rows)
        if not rest and not (rows % train.processes and accumulation % train.processes):
            shares[rows] = train.model_copy(update={"batch_size": rows}).of_one_process().batch_size
    return max((rows for rows, share in shares.items() if share <= half), key=lambda rows: (shares[rows], rows))


def cut(folder: Path, train: Train, met: OutOfMemory) -> dict[str, Any]:
    """Halve the batch that met its limit, with the same effective batch; remembered in `folder` for who resumes.

    `train` is the section as it stood. Returns the cut; a batch of one row in a process cannot be cut and is a problem.
    """
    size = train.evaluation.batch_size if met.evaluating else train.batch_size
    if (size if met.evaluating else train.of_one_process().batch_size) == 1:
        raise Problem(
            f"training, step {met.step}",
            f"out of memory with {'an evaluation' if met.evaluating else 'a'} batch of one row",
            "memory for one row",
            "set train.gradient_checkpointing: true or quantization.method: nf4, or lower prompt.max_prompt_tokens and "
            "prompt.max_response_tokens",
        )
    effective = train.batch_size * train.accumulation
    smaller = size // 2 if met.evaluating else _smaller(train)
    batch = train.batch_size if met.evaluating else smaller
    made = {"step": met.step, "of": "evaluation" if met.evaluating else "training", "from": size, "to": smaller}
    told = {
        "batch_size": batch,
        "accumulation": effective // batch,
        "evaluation_batch_size": smaller if met.evaluating else train.evaluation.batch_size,
        "cuts": [*cuts(folder), made],
    }
    write_json(folder / CUT, told)
    return made
