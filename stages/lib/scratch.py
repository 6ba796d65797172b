"""A small base model from nothing: a tokenizer and a short pretraining on an unlabelled corpus.

It exists so that the whole pipeline does its real work with no network: big enough that LoRA visibly teaches it the
task, small enough for two cores and a minute.
"""

import random
from typing import Any

from stages.lib.models import Model, Scratch
from stages.plumbing.console import bar

PAD, END, UNKNOWN, BEGIN = "<pad>", "</s>", "<unk>", "<s>"
MASKS = [f"<extra_id_{number}>" for number in range(20)]  # T5's sentinels, https://arxiv.org/abs/1910.10683
DENOISED_SHARE = 0.4  # of the batches of a seq2seq model; the others continue a text from its beginning
MASK_RATE = 0.06  # chance that a token begins a masked span of 1 to 5
WARMUP_STEPS = 50
FINAL_RATE_SHARE = 0.05
BLOCK = 96  # tokens of a block of a causal model's pretraining


def make_tokenizer(texts: list[str], family: str, scratch: Scratch) -> Any:
    """A byte-level BPE tokenizer: every string can be written and read back, emoji and broken accents included."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, END, UNKNOWN, *(MASKS if family == "seq2seq" else [BEGIN])]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=scratch.vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    around = f"$A {END}" if family == "seq2seq" else f"{BEGIN} $A"
    core.post_processor = processors.TemplateProcessing(
        single=around, special_tokens=[(token, core.token_to_id(token)) for token in (END, BEGIN) if token in special]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        bos_token=None if family == "seq2seq" else BEGIN,
        model_max_length=scratch.positions,
        clean_up_tokenization_spaces=False,
    )


def make_model(family: str, scratch: Scratch, tokenizer: Any) -> Any:
    """A T5 or a Llama with random weights, in fp32. Seed before the call."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, LlamaConfig, T5Config

    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    if family == "seq2seq":
        return AutoModelForSeq2SeqLM.from_config(
            T5Config(
                **ids,
                d_model=scratch.width,
                d_kv=scratch.width // scratch.heads,
                d_ff=scratch.feed_forward,
                num_layers=scratch.layers,
                num_heads=scratch.heads,
                dropout_rate=0.0,
                decoder_start_token_id=tokenizer.pad_token_id,
            )
        )
    return AutoModelForCausalLM.from_config(
        LlamaConfig(
            **ids,
            bos_token_id=tokenizer.bos_token_id,
            hidden_size=scratch.width,
            intermediate_size=scratch.feed_forward,
            num_hidden_layers=scratch.layers,
            num_attention_heads=scratch.heads,
            num_key_value_heads=scratch.heads,
            max_position_embeddings=scratch.positions,
            tie_word_embeddings=True,
            # Short texts: a small theta keeps the rotations apart within a hundred tokens.
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        )
    )


def pretrain(net: Any, texts: list[str], model: Model, tokenizer: Any) -> list[float]:
    """Teach `net` the language of `texts` in place; returns the loss of each step (natural log, per token)."""
    import torch

    scratch, chance = model.scratch, random.Random(model.seed)
    encoded = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=scratch.positions - 2)["input_ids"]
    batch_of = {"seq2seq": _seq2seq_batch, "causal": _causal_batch}[model.family]
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=scratch.learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, scratch.steps))
    net.train()
    losses = []
    with bar("pretraining", scratch.steps, "steps") as progress:
        for _ in range(scratch.steps):
            loss = net(**batch_of(chance, encoded, scratch.batch_size, tokenizer)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            progress.update()
            progress.set_postfix_str(f"loss {losses[-1]:.2f}", refresh=False)
    net.eval()
    return losses


def _rate(step: int, steps: int) -> float:
    """Linear warm-up, then linear decay, as a share of the learning rate."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * max(FINAL_RATE_SHARE, 1 - step / steps)


def _padded(rows: list[list[int]], value: int) -> Any:
    import torch

    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def _seq2seq_batch(chance: random.Random, encoded: list[list[int]], size: int, tokenizer: Any) -> dict[str, Any]:
    """Continue a text from its beginning, or write it out in full although spans of it are masked."""
    end, first_mask = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(MASKS[0])
    sources, targets = [], []
    for text in chance.sample(encoded, min(size, len(encoded))):
        if chance.random() < DENOISED_SHARE:
            sources.append([*_masked(chance, text, first_mask), end])
            targets.append([*text, end])
        else:
            cut = int(len(text) * chance.uniform(0.2, 0.6))
            sources.append([*text[:cut], end])
            targets.append([*text[cut:], end])
    ids = _padded(sources, tokenizer.pad_token_id)
    lengths = [len(source) for source in sources]
    return {"input_ids": ids, "attention_mask": _attention(lengths), "labels": _padded(targets, -100)}


def _attention(lengths: list[int]) -> Any:
    return _padded([[1] * length for length in lengths], 0)


def _masked(chance: random.Random, text: list[int], first_mask: int) -> list[int]:
    """`text` with some spans replaced by sentinels, one sentinel each."""
    out: list[int] = []
    position = masks = 0
    while position < len(text):
        if masks < len(MASKS) and chance.random() < MASK_RATE:
            out.append(first_mask + masks)
            masks += 1
            position += chance.randint(1, 5)
        else:
            out.append(text[position])
            position += 1
    return out


def _causal_batch(chance: random.Random, encoded: list[list[int]], size: int, tokenizer: Any) -> dict[str, Any]:
    """Texts one after the other, cut into blocks of equal length."""
    import torch

    stream: list[int] = []
    while len(stream) < size * BLOCK:
        stream += [tokenizer.bos_token_id, *chance.choice(encoded), tokenizer.eos_token_id]
    ids = torch.tensor(stream[: size * BLOCK]).view(size, BLOCK)
    return {"input_ids": ids, "labels": ids}
