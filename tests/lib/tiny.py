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
