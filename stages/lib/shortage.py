"""Shortage of memory: how to tell it from other errors, and how to give back what an attempt held."""

import gc

# What torch and its libraries say when memory runs out and no exception of its own kind is raised.
SAID = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that there is too little memory, on a GPU or beside the processor."""
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in SAID)


def release() -> None:
    """Give the memory of an attempt that failed back to the device; its error must be gone, with the traceback."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
