"""Answers: what a model writes after each prompt, batched by length and given back in the order of the rows."""

import hashlib
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

from pydantic import Field, model_validator

from stages.lib.batches import in_batches, padded
from stages.lib.notes import Notes
from stages.lib.writing import write
from stages.plumbing.console import bar
from stages.plumbing.section import Section


class Generation(Section):
    """The section `generation`."""

    max_new_tokens: int = Field(ge=1)
    num_beams: int = Field(ge=1)
    sample: bool
    temperature: float = Field(gt=0)
    top_p: float = Field(gt=0, le=1)
    batch_tokens: int = Field(ge=1)
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _beams_or_chance(self) -> "Generation":
        if self.sample and self.num_beams > 1:
            raise ValueError("num_beams: 1 with sample: true (beams look for the likeliest text, sampling draws one)")
        return self

    def options(self, net: Any, tokenizer: Any) -> dict[str, Any]:
        """Arguments of `generate`; sampling ones only when sampling, since transformers warns of the others.

        Checkpoints bring habits along (penalties, shortest answers) which params.yaml does not know: they are put off.
        """
        options: dict[str, Any] = {
            "max_new_tokens": self.max_new_tokens,
            "num_beams": self.num_beams,
            "do_sample": self.sample,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": end_tokens(net, tokenizer),
            "repetition_penalty": 1.0,
            "no_repeat_ngram_size": 0,
            "min_length": 0,
        }
        if self.sample:
            options |= {"temperature": self.temperature, "top_p": self.top_p, "top_k": 0}
        return options


@dataclass(frozen=True)
class Answer:
    """What the model wrote: the text, its number of tokens (the end token included), and why it stopped."""

    text: str
    tokens: int
    finish: str  # "eos" or "length"


def end_tokens(net: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's, and those that the model says (a chat model ends its turn)."""
    told = net.generation_config.eos_token_id
    return sorted({tokenizer.eos_token_id, *(told if isinstance(told, list) else [told])} - {None})


def answers(
    net: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    generation: Generation,
    what: str | None = "generating",
    notes: Notes | None = None,
    *,
    halve: bool = True,
) -> list[Answer]:
    """What `net` writes after each of `prompts` (token ids), in their order. `what` names the progress bar, if any.

    Rows that `notes` has are not answered again. `halve` is that of `in_batches`.
    """
    import torch

    notes = notes or Notes()
    ends = end_tokens(net, tokenizer)

    def work(batch: list[int]) -> list[tuple[str, int, str]]:
        found = written(net, tokenizer, [prompts[index] for index in batch], generation)
        return [astuple(answer_of(ids, tokenizer, ends)) for ids in found]

    # Room is needed for the prompt and for what is written after it, once for each beam.
    lengths = [(len(ids) + generation.max_new_tokens) * generation.num_beams for ids in prompts]
    with torch.inference_mode(), bar(what or "", len(prompts), hidden=not what) as progress:
        progress.update(len(notes.found))
        progress.unpause()
        found = in_batches(work, lengths, generation.batch_tokens, notes, progress.update, halve=halve)
    return [Answer(*one) for one in found]


def stream(
    net: Any, tokenizer: Any, prompt: list[int], generation: Generation, each: Callable[[Any], None] | None
) -> Answer:
    """What `net` writes after one prompt; `each` is given tokens as they come (of beams: none)."""
    import torch

    with torch.inference_mode():
        ids = written(net, tokenizer, [prompt], generation, each)[0]
    return answer_of(ids, tokenizer, end_tokens(net, tokenizer))


def written(
    net: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    generation: Generation,
    each: Callable[[Any], None] | None = None,
) -> list[list[int]]:
    """The token ids that `net` writes after each of `prompts`, which are one batch, with padding after their end."""
    ids, mask = padded(prompts, tokenizer.pad_token_id, tokenizer.padding_side)
    options = generation.options(net, tokenizer)
    if generation.num_beams == 1:
        options |= {"custom_generate": write, "draws": draws(prompts, generation, net.device), "each": each}
    ids, mask = ids.to(net.device), mask.to(net.device)
    if net.config.is_encoder_decoder:
        return net.generate(input_ids=ids, attention_mask=mask, **options)[:, 1:].tolist()  # less the start token
    if virtual_tokens(net):
        # PEFT puts the learnt tokens before the padding and forgets positions, so that an answer would depend on its
        # batch: they belong after the padding.
        embedded, mask = before_prompts(net, ids, mask)
        return net.base_model.generate(inputs_embeds=embedded, attention_mask=mask, **options).tolist()
    # A decoder-only model gives the prompt back, too.
    return net.generate(input_ids=ids, attention_mask=mask, **options)[:, ids.shape[1] :].tolist()


def virtual_tokens(net: Any) -> int:
    """How many learnt tokens a prompt-tuned model puts before each prompt; 0 for all others."""
    settings = getattr(net, "active_peft_config", None)
    return settings.num_virtual_tokens if settings is not None and settings.is_prompt_learning else 0


def before_prompts(net: Any, ids: Any, mask: Any) -> tuple[Any, Any]:
    """Embeddings of left-padded prompts with the learnt tokens right before each prompt, and their attention mask."""
    import torch

    learnt = net.get_prompt(batch_size=len(ids))
    words = net.word_embeddings(ids)
    rows = []
    for row, seen, tokens in zip(words, mask, learnt.to(words.dtype), strict=True):
        padding = len(row) - int(seen.sum())
        rows.append(torch.cat([row[:padding], tokens, row[padding:]]))
    return torch.stack(rows), torch.cat([mask, torch.ones_like(mask[:, :1]).expand(-1, learnt.shape[1])], dim=1)


def draws(prompts: list[list[int]], generation: Generation, device: Any) -> Any:
    """Chances from 0 to 1 of shape (rows, new tokens), or None when nothing is drawn.

    They follow from seed and prompt alone: the same prompt gets the same answer, whatever stands beside it.
    """
    import torch

    if not generation.sample:
        return None
    rows = []
    for prompt in prompts:
        digest = hashlib.sha256(f"{generation.seed}: {prompt}".encode()).digest()
        chance = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        rows.append(torch.rand(generation.max_new_tokens, generator=chance, dtype=torch.float64))
    return torch.stack(rows).to(device)


def answer_of(written: list[int], tokenizer: Any, ends: list[int]) -> Answer:
    """Decode the ids after a prompt, up to the first of the tokens that end an answer."""
    end = next((place for place, token in enumerate(written) if token in ends), None)
    text = tokenizer.decode(written[:end], skip_special_tokens=True).strip()
    return Answer(text, len(written) if end is None else end + 1, "length" if end is None else "eos")
