"""A tiny T5 and a tiny Llama with random weights, and their tokenizers, for tests of everything around a model."""

from functools import cache
from typing import Any

import torch

from stages.lib.models import FAMILIES, Scratch
from stages.lib.scratch import make_model, make_tokenizer

SHAPE = Scratch(
    vocabulary=400, width=16, feed_forward=32, layers=1, heads=2, positions=128, steps=3, batch_size=2,
    learning_rate=1e-3,
)  # fmt: skip
TEXTS = [
    "A Mochila Escolar Velmar na cor Azul carrega livros.",
    "Panela de pressão com tampa de vidro, 20 cm.",
    "O halter fortalece braços e ombros.",
    "Luminária de mesa dimerizável: clima de noite.",
    "Café, açúcar, pão e maçã à mesa.",
    "Conheça a Cafeteira Elétrica Noverel.",
] * 4


@cache
def tokenizer(family: str) -> Any:
    made = make_tokenizer(TEXTS, family, SHAPE)
    made.padding_side = FAMILIES[family][1]
    return made


def model(family: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return make_model(family, SHAPE, tokenizer(family)).eval()


BERT_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "mesa", "azul", "cadeira", "é", "boa", "para", "casa"]


def tiny_bert(folder):
    """Write a BERT of random weights, with a vocabulary of eight words, to `folder`."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    (folder / "vocab.txt").write_text("\n".join(BERT_WORDS), "utf-8")
    torch.manual_seed(3)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(BERT_WORDS), max_position_embeddings=12, **shape)).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=12, strip_accents=False).save_pretrained(folder)
    return folder
