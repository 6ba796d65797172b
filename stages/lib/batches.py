"""Batches: rows of similar length together, halved when the memory is too small for them."""

from collections import deque
from collections.abc import Callable
from typing import Any

from stages.lib.notes import Notes
from stages.lib.shortage import is_out_of_memory, release
from stages.plumbing.console import say
from stages.plumbing.problem import Problem


def batches_by_length(lengths: list[int], budget: int) -> list[list[int]]:
    """Indices in batches of similar length: a batch's rows times its longest row stays within `budget` tokens.

    The longest come first, so that a batch too large for the memory fails at once and not at the end.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    for index in order:
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > budget:
            batches.append([])
        batches[-1].append(index)
    return batches


def padded(rows: list[list[int]], pad: int, side: str) -> tuple[Any, Any]:
    """Token ids as a tensor of shape (rows, longest), and its attention mask."""
    import torch

    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(width - len(row), None) if side == "left" else slice(0, len(row))
        ids[number, place] = torch.tensor(row, dtype=ids.dtype)
        mask[number, place] = 1
    return ids, mask


def in_batches(
    work: Callable[[list[int]], list[Any]],
    lengths: list[int],
    budget: int,
    notes: Notes,
    done: Callable[[int], object] | None = None,
    *,
    halve: bool = True,
) -> list[Any]:
    """What `work` finds for each row, in their order; it is given the indices of a batch and gives a result for each.

    Rows that `notes` has are not worked on again, and what is found is noted batch by batch; `done` hears how many rows
    that were. Batches are cut from all rows, noted or not, so that a run that goes on forms those that it would have
    formed undisturbed. One that the memory is too small for is halved, and later ones are as small from the beginning;
    without `halve` the error is raised, for who works in step with other processes.
    """
    waiting, room = deque(batches_by_length(lengths, budget)), budget
    while waiting:
        batch = [index for index in waiting.popleft() if index not in notes.found]
        size = len(batch) * max((lengths[index] for index in batch), default=0)
        if len(batch) > 1 and size > room:
            half = -(-len(batch) // 2)
            waiting.extendleft([batch[half:], batch[:half]])
        elif batch and (results := _attempt(work, batch) if halve else work(batch)) is not None:
            notes.add(batch, results)
            if done:
                done(len(batch))
        elif len(batch) == 1:
            raise Problem(
                "memory",
                f"too little for one row of {size:,} tokens",
                "room for the longest prompt and its answer",
                "lower prompt.max_prompt_tokens, generation.max_new_tokens or in training prompt.max_response_tokens; "
                "set quantization.method",
            )
        elif batch:
            room = size // 2
            waiting.appendleft(batch)
            say("out of memory", f"{len(batch)} rows at once are too many: from now on {room:,} tokens in a batch")
    return [notes.found[index] for index in range(len(lengths))]


def _attempt(work: Callable[[list[int]], list[Any]], batch: list[int]) -> list[Any] | None:
    """The results of a batch, or None when the memory is too small for it."""
    try:
        return work(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    release()  # only here is the error gone, whose traceback held on to all tensors of the batch
    return None
