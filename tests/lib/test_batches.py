"""Batches: every row once, within the budget, smaller when the memory asks for it, and noted when they are done."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.lib.batches import batches_by_length, in_batches, padded
from stages.lib.notes import Notes
from stages.lib.shortage import is_out_of_memory
from stages.plumbing.problem import Problem

ROOT = Path(__file__).parents[2]


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 300))
def test_batches_hold_every_row_once_and_stay_within_the_budget(lengths, budget):
    batches = batches_by_length(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


def test_a_decoder_reads_prompts_padded_on_the_left():
    ids, mask = padded([[5, 6], [7]], 0, "left")
    assert ids.tolist() == [[5, 6], [0, 7]]
    assert mask.tolist() == [[1, 1], [0, 1]]


class Memory:
    """Work that needs a token's memory for each row times the longest of its batch, of which there are `tokens`."""

    def __init__(self, lengths: list[int], tokens: int) -> None:
        self.lengths, self.tokens, self.tried, self.done = lengths, tokens, [], []

    def __call__(self, batch: list[int]) -> list[int]:
        self.tried.append(batch)
        if len(batch) * max(self.lengths[index] for index in batch) > self.tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.done.append(batch)
        return [index * 10 for index in batch]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=40), st.integers(1, 400), st.integers(20, 400))
def test_with_any_memory_each_row_is_done_once_and_given_back_in_order(lengths, budget, tokens):
    memory = Memory(lengths, tokens)
    assert in_batches(memory, lengths, budget, Notes()) == [index * 10 for index in range(len(lengths))]
    assert sorted(index for batch in memory.done for index in batch) == list(range(len(lengths)))


def test_a_batch_too_large_for_the_memory_is_halved_aloud_and_later_ones_are_small_at_once(capsys):
    memory = Memory([10] * 16, 25)
    in_batches(memory, memory.lengths, 80, Notes())
    assert [len(batch) for batch in memory.tried] == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert "8 rows at once are too many: from now on 40 tokens in a batch" in said[0]
    assert "4 rows at once are too many: from now on 20 tokens in a batch" in said[1]


def test_a_batch_that_other_processes_work_on_too_is_not_halved_by_one_alone():
    def work(batch: list[int]) -> list[int]:
        if len(batch) > 1:
            raise MemoryError
        return batch

    assert in_batches(work, [4] * 4, 16, Notes()) == [0, 1, 2, 3]
    with pytest.raises(MemoryError):
        in_batches(work, [4] * 4, 16, Notes(), halve=False)


def test_a_row_that_does_not_fit_alone_is_told_with_a_way_out():
    memory = Memory([10, 30], 25)
    with pytest.raises(Problem, match="too little for one row of 30 tokens") as told:
        in_batches(memory, memory.lengths, 80, Notes())
    assert "generation.max_new_tokens" in told.value.do


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def broken(batch: list[int]) -> list[int]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        in_batches(broken, [1, 1], 10, Notes())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: not enough memory: you tried to"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_a_lack_of_memory_is_known_in_the_words_of_each_library(error):
    assert is_out_of_memory(error)


def test_a_real_lack_of_memory_is_survived():
    """The process may take 300 MB more than it has; the batch wants a gigabyte."""
    code = textwrap.dedent("""
        import resource
        from pathlib import Path
        import torch
        torch.set_num_threads(1)
        torch.ones(10).sum()
        from stages.lib.batches import in_batches
        from stages.lib.notes import Notes
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 300_000_000,) * 2)
        def work(batch):
            wanted = torch.ones(len(batch), 16_000_000)  # 64 MB a row
            return (wanted.sum(1) / 16_000_000).tolist()
        print(in_batches(work, [10] * 16, 160, Notes()))
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "16 rows at once are too many: from now on 80 tokens in a batch" in done.stdout
    assert done.stdout.splitlines()[-1] == str([1.0] * 16)


def test_what_was_noted_is_not_worked_on_again_and_batches_stay_as_they_were(tmp_path):
    lengths = [3, 9, 5, 7, 1, 8]
    undisturbed = Memory(lengths, 99)
    whole = in_batches(undisturbed, lengths, 18, Notes())
    assert undisturbed.done == [[1, 5], [3, 2], [0, 4]]

    class Killed(BaseException):
        pass

    def killed(batch: list[int]) -> list[int]:
        if batch == [3, 2]:
            raise Killed
        return [index * 10 for index in batch]

    path = tmp_path / "notes.jsonl"
    with pytest.raises(Killed):
        in_batches(killed, lengths, 18, Notes(path))
    again, heard = Memory(lengths, 99), []
    assert in_batches(again, lengths, 18, Notes(path), heard.append) == whole
    assert again.done == [[3, 2], [0, 4]]
    assert heard == [2, 2]


@given(cut=st.integers(0, 60))
def test_a_line_that_was_torn_is_cut_off_and_no_whole_one_is_lost(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("notes") / "notes.jsonl"
    notes = Notes(path)
    notes.add([2, 0], [["é", 1], ["b", 2]])
    first = path.stat().st_size
    notes.add([1], [["c", 3]])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut] if cut < len(whole) else b"")
    left = len(whole) - cut
    again = Notes(path)
    expected = {2: ["é", 1], 0: ["b", 2], 1: ["c", 3]} if left == len(whole) else {2: ["é", 1], 0: ["b", 2]}
    assert again.found == (expected if left >= first else {})
    again.add([7], [["d", 4]])
    assert Notes(path).found == again.found
    assert all(json.loads(line) for line in path.read_text("utf-8").splitlines())


@pytest.mark.parametrize("rest", [b'[[1, "x"', b"\0\0\0\0\n", b"7\n", b'[["a"]]\n'])
def test_what_is_no_note_ends_the_notes(tmp_path, rest):
    path = tmp_path / "notes.jsonl"
    Notes(path).add([0], ["a"])
    with path.open("ab") as file:
        file.write(rest)
    assert Notes(path).found == {0: "a"}
    assert path.read_bytes() == b'[[0, "a"]]\n'
