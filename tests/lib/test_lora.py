"""LoRA: the listed targets match, and the trained weights are as many as the closed form says."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, LlamaConfig, T5Config

from stages.lib.lora import Lora, attach, expected_parameters, matched
from stages.plumbing.problem import Problem
from tests.lib.tiny import model

PLAIN = ["q", "k", "v", "o", "wi", "wo"]
LLAMA_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
GATED = ["q", "k", "v", "o", "wi_0", "wi_1", "wo"]


def lora(**changes) -> Lora:
    settings = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": PLAIN, "bias": "none", "rslora": False, "dora": False}
    return Lora(**settings | {"init": "default"} | changes)


def t5_base(**changes):
    return T5Config(d_model=768, d_kv=64, num_layers=12, num_heads=12, **{"d_ff": 3072, "vocab_size": 32128} | changes)


TINYLLAMA = LlamaConfig(
    vocab_size=32000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32,
    num_key_value_heads=4,
)  # fmt: skip

# (configuration of the published checkpoint, class, targets, r, trained weights)
FULL_SIZE = {
    "PTT5": (t5_base(feed_forward_proj="relu"), AutoModelForSeq2SeqLM, PLAIN, 16, 6_488_064),
    "FLAN-T5": (t5_base(d_ff=2048, feed_forward_proj="gated-gelu"), AutoModelForSeq2SeqLM, GATED, 16, 6_782_976),
    "TinyLlama": (TINYLLAMA, AutoModelForCausalLM, ["all-linear"], 32, 25_231_360),
    "TinyLlama in 4 bit": (TINYLLAMA, AutoModelForCausalLM, LLAMA_LAYERS, 16, 12_615_680),
}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_trained_weights_of_the_published_models(name):
    config, auto, targets, r, trained = FULL_SIZE[name]
    with torch.device("meta"):
        net = auto.from_config(config)
    assert expected_parameters(matched(net, targets), lora(r=r)) == trained


@pytest.mark.parametrize(("family", "targets"), [("seq2seq", PLAIN), ("causal", ["all-linear"])])
@pytest.mark.parametrize("dora", [False, True])
def test_peft_trains_as_many_weights_as_the_closed_form(family, targets, dora):
    net, settings = model(family), lora(targets=targets, dora=dora)
    expected = expected_parameters(matched(net, targets), settings)
    wrapped = attach(net, settings, family)
    assert wrapped.get_nb_trainable_parameters()[0] == expected > 0


def test_a_target_that_names_no_layer_is_an_error_that_lists_the_layers_there_are():
    with pytest.raises(Problem) as error:
        matched(model("seq2seq"), ["q", "wi_0"])
    assert error.value.found.startswith("wi_0")
    assert error.value.wanted == "names among k, o, q, v, wi, wo, or all-linear alone"


def test_the_output_head_is_refused_with_the_reason():
    with pytest.raises(Problem) as error:
        matched(model("causal"), ["q_proj", "lm_head"])
    assert error.value.found.startswith("lm_head: the output head, which shares its weights")


def test_the_output_head_gets_no_adapter():
    assert not [name for name in matched(model("causal"), ["all-linear"]) if "lm_head" in name]
