"""The recipes say what their requirements say (R-numbers of the requirements), value by value."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.lib.prompts import TEMPLATES
from stages.lib.sides import TEST, TRAIN, VALIDATION, Split, exactly, identities
from stages.lib.source import Pointer
from stages.plumbing.params import check, load

ROOT = Path(__file__).parents[2]

REQUIRED: dict[str, dict[str, Any]] = {
    "tarot-ptt5": {
        # R1, R2
        "source.columns.inputs": {"evento": "evento", "carta": "carta", "tema": "tema", "secao": "secao"},
        "source.columns.response": "texto",
        # R3
        "split.method": "exact",
        "split.stratify": "carta",
        "split.validation": 0.15,
        "split.test": 0.0,
        "split.evaluate_on": "validation",
        # R4, R5
        "prompt.template": "tarot",
        "prompt.max_prompt_tokens": 450,
        "prompt.max_response_tokens": 450,
        # R6
        "model.family": "seq2seq",
        "model.name": "unicamp-dl/ptt5-base-portuguese-vocab",
        "quantization": {"method": "nf4", "double": True, "compute": "auto"},
        # R7
        "lora.r": 16,
        "lora.alpha": 32,
        "lora.dropout": 0.1,
        "lora.bias": "none",
        "lora.targets": ["q", "k", "v", "o", "wi", "wo"],
        # R8
        "train.batch_size": 1,
        "train.accumulation": 8,
        "train.gradient_checkpointing": True,
        "train.learning_rate": 2e-5,
        "train.schedule": "cosine",
        "train.warmup": 0.15,
        "train.epochs": 20,
    },
    "products-flan-t5": {
        # R18, R19
        "source.columns.inputs": {"title": "title"},
        "source.columns.response": "content",
        "clean.rules.white_space": True,
        "clean.rules.tags": False,
        "clean.rules.entities": False,
        # R20
        "split.validation": 0.2,
        "split.test": 0.0,
        "split.evaluate_on": "validation",
        # R21
        "prompt.template": "product-question",
        # R23
        "model.name": "google/flan-t5-base",
        "quantization.method": "int8",
        "lora.r": 16,
        "lora.alpha": 32,
        "lora.dropout": 0.05,
        "lora.targets": ["q", "k", "v", "o", "wi_0", "wi_1", "wo"],
        "train.batch_size": 8,
        "train.accumulation": 2,
        "prompt.max_prompt_tokens": 256,
        "prompt.max_response_tokens": 256,
        "train.learning_rate": 2e-4,
        "train.epochs": 1,
        "train.optimizer": "adamw_torch",
        "train.evaluation.every": 1000,
        "train.early_stopping.metric": "bleu",
        # R24
        "train.keep_checkpoints": 2,
    },
    "products-tinyllama-alpaca": {
        # R27, R28
        "clean.rules.entities": True,
        "clean.rules.tags": True,
        "clean.rules.encoding": True,
        "clean.rules.duplicates": True,
        "clean.characters": "default",
        "shard.rows": 100_000,
        # R29, R30
        "model.family": "causal",
        "model.name": "unsloth/tinyllama-chat-bnb-4bit",
        "quantization.method": "nf4",
        "train.gradient_checkpointing": True,
        "prompt.template": "alpaca",
        # R31
        "train.batch_size": 2,
        "train.accumulation": 22,
        "train.warmup": 5,
        "train.epochs": 1,
        "train.learning_rate": 2e-4,
        "train.max_grad_norm": 0.6,
        "train.optimizer": "adamw_8bit",
        "train.weight_decay": 0.01,
        "train.schedule": "linear",
        "train.group_by_length": True,
        "train.packing": False,
        # R32
        "generation.max_new_tokens": 128,
    },
    "products-tinyllama-chat": {
        # R34
        "clean.min_input_chars": 10,
        "clean.min_response_chars": 100,
        "split.read": 150_000,
        "split.train_rows": 15_000,
        "split.validation": 0.1,
        "split.test": 0.1,
        "split.evaluate_on": "test",
        # R35
        "model.name": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "prompt.template": "chat",
        # R36
        "lora.r": 32,
        "lora.alpha": 64,
        "lora.targets": ["all-linear"],
        "train.learning_rate": 3e-4,
        "train.epochs": 2,
    },
}


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in REQUIRED.items() for key in keys])
def test_a_recipe_says_what_is_required(name, key):
    value = yaml.safe_load((ROOT / f"recipes/{name}.yaml").read_text("utf-8"))
    for part in key.split("."):
        value = value[part]
    wanted = REQUIRED[name][key]
    assert (float(value) if isinstance(wanted, float) else value) == wanted


def test_prompt_and_response_of_the_alpaca_recipe_are_all_that_tinyllama_knows():
    prompt = load(ROOT / "recipes/products-tinyllama-alpaca.yaml")["prompt"]
    assert prompt["max_prompt_tokens"] + prompt["max_response_tokens"] == 2048


def test_462_readings_of_22_cards_are_dealt_392_to_70_and_every_card_is_on_both_sides():
    """R3, by the recipe's own section: 21 readings of each of the 22 cards."""
    split = Split(**load(ROOT / "recipes/tarot-ptt5.yaml")["split"])
    cards = identities([(f"carta {number % 22}",) for number in range(462)])
    side, _ = exactly(identities([(str(number),) for number in range(462)]), cards, [], split)
    assert [int((side == one).sum()) for one in (TRAIN, VALIDATION, TEST)] == [392, 70, 0]
    per_card = {int((side[cards == card] == VALIDATION).sum()) for card in set(cards.tolist())}
    assert per_card == {3, 4}


def test_templates_are_to_the_letter():
    """R4, R21, R30."""
    assert TEMPLATES["tarot"].text == (
        "Gere uma interpretação para a carta '{carta}' em '{evento}', na seção '{secao}', sobre o tema '{tema}'."
    )
    assert TEMPLATES["product-question"].text == (
        'Pergunta: Qual é a descrição do produto "{title}"?\nContexto: título = {title}\n'
        "Responda apenas com a descrição."
    )
    assert TEMPLATES["alpaca"].text == (
        "### Instruction:\nDescribe the product\n\n### Input:\n{title}\n\n### Response:\n"
    )


@pytest.mark.parametrize("name", ["products-tinyllama-alpaca", "products-tinyllama-chat"])
def test_the_source_that_lies_elsewhere_is_a_pointer_in_the_project(name):
    path = ROOT / load(ROOT / f"recipes/{name}.yaml")["source"]["path"]
    pointer = check(Pointer, load(path), path)
    assert (pointer.hub.repository, pointer.hub.file) == ("rrantz/LF-Amazon-1.3M", "trn.json")
