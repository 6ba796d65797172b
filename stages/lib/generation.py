"""Answers: what a model writes after each prompt, batched by length and given back in the order of the rows."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from stages.plumbing.console import bar
from stages.plumbing.section import Section

LOGITS = 2**27  # numbers, of four bytes each


class Generation(Section):
    """The section `generation`."""

    max_new_tokens: int = Field(ge=1)
    num_beams: int = Field(ge=1)
    sample: bool
    temperature: float = Field(gt=0)
    top_p: float = Field(gt=0, le=1)
    batch_tokens: int = Field(ge=1)
    seed: int = Field(ge=0)

    def options(self, tokenizer: Any) -> dict[str, Any]:
        """Arguments of `generate`; sampling ones only when sampling, since transformers warns of the others."""
        options: dict[str, Any] = {
            "max_new_tokens": self.max_new_tokens,
            "num_beams": self.num_beams,
            "do_sample": self.sample,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
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


def virtual_tokens(net: Any) -> int:
    """How many learnt tokens a prompt-tuned model puts before each prompt; 0 for all others."""
    settings = getattr(net, "active_peft_config", None)
    return settings.num_virtual_tokens if settings is not None and settings.is_prompt_learning else 0


def write(net: Any, ids: Any, mask: Any, **options: Any) -> Any:
    """The token ids that `net` writes after padded prompts, without prompts and start token: (rows, tokens)."""
    ids, mask = ids.to(net.device), mask.to(net.device)
    if net.config.is_encoder_decoder:
        return net.generate(input_ids=ids, attention_mask=mask, **options)[:, 1:]
    if virtual_tokens(net):
        # PEFT puts the learnt tokens before the padding and forgets positions, so that an answer would depend on its
        # batch: they belong after the padding.
        embedded, mask = before_prompts(net, ids, mask)
        return net.base_model.generate(inputs_embeds=embedded, attention_mask=mask, **options)
    return net.generate(input_ids=ids, attention_mask=mask, **options)[:, ids.shape[1] :]


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


def answers(
    net: Any, tokenizer: Any, prompts: list[list[int]], generation: Generation, what: str | None = "generating"
) -> list[Answer]:
    """What `net` writes after each of `prompts` (token ids), in their order. `what` names the progress bar, if any."""
    import torch

    # Room is needed for the prompt and for what is written after it.
    lengths = [len(ids) + generation.max_new_tokens for ids in prompts]
    found: list[Answer | None] = [None] * len(prompts)
    progress = bar(what, len(prompts)) if what else None
    torch.manual_seed(generation.seed)
    with torch.inference_mode():
        for batch in batches_by_length(lengths, generation.batch_tokens):
            ids, mask = padded([prompts[index] for index in batch], tokenizer.pad_token_id, tokenizer.padding_side)
            out = write(net, ids, mask, **generation.options(tokenizer))
            for index, written in zip(batch, out.tolist(), strict=True):
                found[index] = answer_of(written, tokenizer)
            if progress:
                progress.update(len(batch))
    if progress:
        progress.close()
    return [answer for answer in found if answer is not None]


def answer_of(written: list[int], tokenizer: Any) -> Answer:
    """Decode the ids after a prompt, up to the first end token."""
    if tokenizer.eos_token_id in written:
        kept = written[: written.index(tokenizer.eos_token_id)]
        return Answer(tokenizer.decode(kept, skip_special_tokens=True).strip(), len(kept) + 1, "eos")
    return Answer(tokenizer.decode(written, skip_special_tokens=True).strip(), len(written), "length")


def reference_nll(
    net: Any, tokenizer: Any, prompts: list[list[int]], responses: list[list[int]], budget: int
) -> list[float]:
    """The negative log-likelihood of each response after its prompt: summed over its tokens, natural logarithm.

    `responses` end with the end token, which counts. `budget` limits the tokens of a batch.
    """
    import torch

    lengths = [len(prompt) + len(response) for prompt, response in zip(prompts, responses, strict=True)]
    # Logits of all tokens are held at once: half a gigabyte of them at most.
    budget = min(budget, LOGITS // len(tokenizer))
    sums = [0.0] * len(prompts)
    with torch.inference_mode():
        for batch in batches_by_length(lengths, budget):
            inputs = teacher_forced([prompts[i] for i in batch], [responses[i] for i in batch], net, tokenizer)
            labels = inputs["labels"]
            logits = logits_at(net, inputs).float()
            if not net.config.is_encoder_decoder:
                logits, labels = logits[:, :-1], labels[:, 1:]
            losses = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), labels, ignore_index=-100, reduction="none"
            ).sum(1)
            for index, loss in zip(batch, losses.tolist(), strict=True):
                sums[index] = loss
    return sums


def logits_at(net: Any, inputs: dict[str, Any]) -> Any:
    """The logits at the labels of `inputs`: of shape (rows, labels of a row, vocabulary)."""
    # A prompt-tuned decoder-only model gives logits at its learnt tokens, too, which come first.
    return net(**inputs).logits[:, -inputs["labels"].shape[1] :]


def teacher_forced(prompts: list[list[int]], responses: list[list[int]], net: Any, tokenizer: Any) -> dict[str, Any]:
    """The tensors that make `net` read each response after its prompt, with prompt and padding masked in the labels.

    An encoder-decoder makes its decoder's inputs from the labels by itself.
    """
    pad = tokenizer.pad_token_id
    if net.config.is_encoder_decoder:
        ids, mask = padded(prompts, pad, "right")
        labels, seen = padded(responses, pad, "right")
        labels = labels.masked_fill(seen == 0, -100)
    else:
        rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        ids, mask = padded(rows, pad, "right")
        labels = ids.masked_fill(mask == 0, -100)
        for number, prompt in enumerate(prompts):
            labels[number, : len(prompt)] = -100
    tensors = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: tensor.to(net.device) for name, tensor in tensors.items()}
