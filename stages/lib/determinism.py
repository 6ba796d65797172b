"""Making chance repeatable: seeds, kernels and the number of threads."""

import os


def make_deterministic(seed: int, threads: int) -> None:
    """Seed Python, NumPy and torch, choose deterministic kernels and fix the number of CPU threads.

    Call it before a model is built. On one machine's CPU, equal seeds and an equal number of `threads` then give equal
    bytes; sums are split by thread, so another number may round differently. CUDA kernels without a deterministic
    twin only warn (https://pytorch.org/docs/stable/notes/randomness.html).
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch
    from transformers import set_seed

    set_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True, warn_only=torch.cuda.is_available())
    # Filling each new tensor before it is written guards against programs that read what they never wrote, at a cost
    # (https://pytorch.org/docs/stable/deterministic.html); results are the same.
    torch.utils.deterministic.fill_uninitialized_memory = False
