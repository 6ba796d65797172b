"""Tiny checkpoints with random weights in the shapes that the hub publishes, as folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.lib.tiny import tokenizer

# TinyLlama's own, in short: each turn named, ended by the end token.
CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def ids(family: str, words: Any = None) -> dict[str, int]:
    words = words or tokenizer(family)
    return {"vocab_size": len(words), "pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id}


def t5(words: Any = None, **changes: Any) -> Any:
    """A T5; as it is, PTT5's: the feed-forward not gated, the embeddings for a head."""
    from transformers import AutoModelForSeq2SeqLM, T5Config

    shape = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
    torch.manual_seed(1)
    return AutoModelForSeq2SeqLM.from_config(T5Config(**ids("seq2seq", words) | shape | changes))


def flan() -> Any:
    """FLAN-T5's: a gated feed-forward, and a head that is not the embeddings."""
    net = t5(feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    net.lm_head.weight = torch.nn.Parameter(torch.randn_like(net.shared.weight))  # transformers ties a new one's
    return net


SHAPE = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 2048,
}  # fmt: skip


def llama(words: Any = None, **changes: Any) -> Any:
    """A Llama with grouped keys and values and a head of its own: TinyLlama's shape."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(1)
    own = {"bos_token_id": 3, "tie_word_embeddings": False}
    return AutoModelForCausalLM.from_config(LlamaConfig(**ids("causal", words) | own | SHAPE | changes))


def llama3() -> Any:
    """Llama 3.1's: scaled rotations, and no padding token in its configuration."""
    scaled = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 1024,
    }  # fmt: skip
    return llama(rope_parameters=scaled, pad_token_id=None, max_position_embeddings=8192)


def mistral() -> Any:
    from transformers import AutoModelForCausalLM, MistralConfig

    torch.manual_seed(1)
    own = {"bos_token_id": 3, "tie_word_embeddings": False, "sliding_window": 64}
    return AutoModelForCausalLM.from_config(MistralConfig(**ids("causal") | own | SHAPE))


def saved(folder: Path, net: Any, family: str, words: Any = None) -> Path:
    """`folder` with the model and a tokenizer of its family."""
    net.save_pretrained(folder)
    (words or tokenizer(family)).save_pretrained(folder)
    return folder


def as_bin(folder: Path) -> Path:
    """The same checkpoint with PyTorch's own weights, as it was published before safetensors."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def in_four_bit(folder: Path, whole: Path) -> Path:
    """The causal model of the folder `whole`, quantised and saved so, as `unsloth/tinyllama-chat-bnb-4bit` is."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    net = AutoModelForCausalLM.from_pretrained(whole, quantization_config=how, device_map={"": "cpu"})
    net.save_pretrained(folder)
    AutoTokenizer.from_pretrained(whole).save_pretrained(folder)
    return folder


SHAPES: dict[str, tuple[str, Callable[[], Any]]] = {
    "T5 with relu, as PTT5": ("seq2seq", t5),
    "gated T5 with its own head, as FLAN-T5": ("seq2seq", flan),
    "Llama with grouped keys, as TinyLlama": ("causal", llama),
    "Llama 3.1": ("causal", llama3),
    "Mistral": ("causal", mistral),
}
