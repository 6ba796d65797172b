"""Order: which rows share a step, and which step comes when; seed and epoch alone decide it."""

from collections.abc import Iterator
from typing import Any

# Steps among whose rows those of similar length are brought together. More save padding; but rows of one length are
# often of one kind, and a step that sees one kind alone teaches less (docs/choices.md).
WINDOW = 3


def by_length(lengths: list[int], batch: int, seed: int) -> list[int]:
    """All rows, `batch` of similar length after one another; the batches themselves come in no order of length.

    The batch of the longest row comes first, so that one too large for the memory fails at once; an incomplete one
    comes last.
    """
    import torch

    chance = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(lengths), generator=chance).tolist()
    alike: list[int] = []
    for begin in range(0, len(drawn), WINDOW * batch):
        window = drawn[begin : begin + WINDOW * batch]
        alike += sorted(window, key=lengths.__getitem__, reverse=True)
    batches = [alike[begin : begin + batch] for begin in range(0, len(alike), batch)]
    rest = batches.pop() if len(batches[-1]) < batch else []
    batches = [batches[place] for place in torch.randperm(len(batches), generator=chance).tolist()]
    longest = max(range(len(batches)), key=lambda place: max(lengths[row] for row in batches[place]), default=0)
    batches[:0] = batches[longest : longest + 1]
    del batches[longest + 1 : longest + 2]
    return [row for rows in [*batches, rest] for row in rows]


def sampler(lengths: list[int], batch: int, seed: int) -> Any:
    """`by_length` as a sampler, for the trainer.

    The libraries' own draws from the global generator, whose state is another one after a resume in a later epoch, and
    it runs from long to short rows in each of its windows: fifty steps of ever shorter answers.
    """
    from torch.utils.data import Sampler

    class ByLength(Sampler[int]):
        def __init__(self) -> None:
            self.epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __len__(self) -> int:
            return len(lengths)

        def __iter__(self) -> Iterator[int]:
            return iter(by_length(lengths, batch, seed + self.epoch))

    return ByLength()
