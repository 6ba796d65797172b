"""Writing: the loop that takes a batch of prompts token by token to their answers, and drops rows that are done.

Transformers prepares everything (encoder, cache, start tokens, processors of scores) and calls this loop instead of its
own, https://huggingface.co/docs/transformers/generation_strategies#custom-generation-methods. Its own computes
finished rows to the end of the longest, and draws by chance from one generator for the whole batch, so that a row's
answer would depend on its neighbours.
"""

from collections.abc import Callable
from typing import Any

# Rows still being written, as a share of those in the batch, from which on it is worth copying them together.
COMPACT = 0.75


def write(
    model: Any,
    input_ids: Any,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    draws: Any = None,
    each: Callable[[Any], None] | None = None,
    **state: Any,
) -> Any:
    """Token ids of shape (rows, longest possible), what stood in `input_ids` included, padded after the end token.

    The likeliest token is taken, or with `draws` (chances from 0 to 1 of shape (rows, new tokens)) a drawn one. `each`
    is given the new token of each row as they come. `state` is what the model is fed with; transformers knows how.
    """
    import torch

    pad = generation_config.pad_token_id
    whole = input_ids.new_full((len(input_ids), generation_config.max_length), pad)
    rows = torch.arange(len(input_ids), device=input_ids.device)
    ids, begun, open_ = input_ids, input_ids.shape[1], torch.ones_like(rows, dtype=torch.bool)
    while len(rows):
        first = ids.shape[1] == begun
        inputs = model.prepare_inputs_for_generation(
            ids, next_sequence_length=None if first else 1, is_first_iteration=first, **state
        )
        outputs = model(**inputs, return_dict=True)
        state = model._update_model_kwargs_for_generation(  # noqa: SLF001 - the hook's documentation uses it
            outputs, state, is_encoder_decoder=model.config.is_encoder_decoder
        )
        scores = logits_processor(ids, outputs.logits[:, -1].float())
        del outputs
        chosen = scores.argmax(-1) if draws is None else drawn(scores, draws[rows, ids.shape[1] - begun])
        chosen = torch.where(open_, chosen, pad)
        if each:
            each(chosen)
        ids = torch.cat([ids, chosen[:, None]], dim=-1)
        open_ = open_ & ~stopping_criteria(ids, None)
        left = int(open_.sum())
        if left <= COMPACT * len(rows):
            whole[rows, : ids.shape[1]] = ids
            kept = open_.nonzero()[:, 0]
            state = {name: selected(value, kept, len(rows)) for name, value in state.items()} if left else {}
            rows, ids, open_ = rows[kept], ids[kept], open_[kept]
    return whole


def drawn(scores: Any, chances: Any) -> Any:
    """A token for each row of `scores` (rows, vocabulary): where `chances` (rows) falls among the probabilities."""
    import torch

    sums = scores.double().softmax(-1).cumsum(-1)
    return torch.searchsorted(sums, (chances * sums[:, -1])[:, None], right=True)[:, 0]


def selected(value: Any, kept: Any, rows: int) -> Any:
    """The rows `kept` (indices) of what a model is fed with: tensors of `rows` rows, caches, outputs of an encoder."""
    import torch
    from transformers.utils import ModelOutput

    if isinstance(value, torch.Tensor):
        return value[kept] if value.dim() and len(value) == rows else value
    if isinstance(value, ModelOutput):
        return type(value)(**{name: selected(part, kept, rows) for name, part in value.items()})
    if hasattr(value, "batch_select_indices"):
        value.batch_select_indices(kept)
    return value
