"""A LoRA layer in one piece computes what PEFT computes, and steps aside where it does not fit."""

import pytest
import torch
from peft.tuners.lora.layer import Linear

from stages.lib.fused_lora import FusedLinear, _Folded
from stages.lib.lora import Lora, attach
from tests.lib.tiny import model

LORA = Lora(r=3, alpha=6, dropout=0.0, targets=["all-linear"], bias="none", rslora=False, dora=False, init="gaussian")


def layers(family="seq2seq", **changes):
    net = attach(model(family), LORA.model_copy(update=changes), family)
    return [layer for layer in net.modules() if isinstance(layer, Linear)]


def test_gradients_are_those_of_the_formula():
    torch.manual_seed(1)
    x, w, a, b = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 5, 4), (6, 4), (3, 4), (6, 3)))
    for tensor in (x, a, b):
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, a, b: _Folded.apply(x, w, a, b, 0.7), (x, a, b))


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_a_layer_gives_what_pefts_own_gives(family):
    found = layers(family)
    assert len(found) >= 7
    for layer in found:
        assert type(layer) is FusedLinear
        torch.nn.init.normal_(layer.lora_B["default"].weight)
        x = torch.randn(4, 20, layer.in_features, requires_grad=True)
        told = torch.randn(4, 20, layer.out_features)
        results = []
        for way in (FusedLinear.forward, Linear.forward):
            result = way(layer, x)
            wanted = [x, layer.lora_A["default"].weight, layer.lora_B["default"].weight]
            results.append([result, *torch.autograd.grad((result * told).sum(), wanted)])
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5)
        with torch.no_grad():
            assert torch.equal(layer(x), Linear.forward(layer, x))


def test_a_layer_with_a_bias_keeps_it():
    layer = layers()[0]
    layer.base_layer.bias = torch.nn.Parameter(torch.randn(layer.out_features))
    x = torch.randn(4, 20, layer.in_features)
    torch.testing.assert_close(layer(x), Linear.forward(layer, x), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("changes", [{"dropout": 0.1}, {"dora": True}])
def test_what_cannot_be_folded_stays_pefts(changes):
    found = layers(**changes)
    assert len(found) >= 7
    assert not any(isinstance(layer, FusedLinear) for layer in found)


def test_few_tokens_are_not_worth_folding_for(monkeypatch):
    layer = layers()[0]
    monkeypatch.setattr(_Folded, "apply", lambda *_: pytest.fail("folded"))
    layer(torch.randn(1, 3, layer.in_features, requires_grad=True))


def test_a_disabled_adapter_stays_disabled():
    layer = layers()[0]
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    layer.enable_adapters(enabled=False)
    x = torch.randn(4, 20, layer.in_features)
    assert torch.equal(layer(x), layer.base_layer(x))
