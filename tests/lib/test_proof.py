"""The adapter proof: a dead, foreign or unloaded adapter never passes for a tuned model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.lib.adapter_folder import save
from stages.lib.adapters import load_adapter
from stages.lib.generation import Generation
from stages.lib.lora import Lora, attach
from stages.lib.prompts import Prompt, encode
from stages.lib.proof import insist, prove
from stages.lib.views import View, look
from stages.plumbing.problem import Problem
from tests.lib.tiny import TEXTS, model, tokenizer

GREEDY = Generation(max_new_tokens=8, num_beams=1, sample=False, temperature=1.0, top_p=1.0, batch_tokens=9999, seed=1)
PROMPT = Prompt(template="describe", text=None, max_prompt_tokens=64, max_response_tokens=48)
ROWS = [{"row_id": n, "line": n, "title": text, "response": text} for n, text in enumerate(TEXTS[:6], 1)]
TARGETS = {"seq2seq": ["q", "v", "wi"], "causal": ["q_proj", "v_proj"]}


def adapter_in(folder: Path, family: str, *, alive: bool, dora: bool = False, init: str = "default") -> Path:
    torch.manual_seed(3)
    settings = Lora(r=4, alpha=8, dropout=0.0, targets=TARGETS[family], bias="none", rslora=False, dora=dora, init=init)
    net = attach(model(family), settings, family)
    for name, weight in net.named_parameters():
        if alive and "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    save(net, tokenizer(family), folder, Path("models/base"), family)
    return folder


def proof(folder: Path, family: str) -> dict:
    base = view(model(family), family)
    net, loaded = load_adapter(model(family), folder)
    return prove(net, loaded, base, view(net, family))


def view(net: Any, family: str) -> View:
    return look(net, tokenizer(family), encode(ROWS, PROMPT, tokenizer(family)), GREEDY)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_a_live_adapter_is_proved(tmp_path, family, dora):
    facts = proof(adapter_in(tmp_path / "adapter", family, alive=True, dora=dora), family)
    insist(facts, tmp_path)
    assert facts["keys"]["matched"] == facts["keys"]["expected"] == facts["tensors"]
    assert facts["max_logit_difference"] > 0.01


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_an_adapter_whose_b_is_zero_stops_the_pipeline(tmp_path, family):
    facts = proof(adapter_in(tmp_path / "adapter", family, alive=False), family)
    with pytest.raises(Problem, match="every lora_B is zero"):
        insist(facts, tmp_path)


def test_an_untrained_adapter_that_rewrote_its_base_stops_the_pipeline(tmp_path):
    """PiSSA moves weights from base to adapter: only a look at the true base shows that nothing was learnt."""
    facts = proof(adapter_in(tmp_path / "adapter", "seq2seq", alive=False, init="pissa"), "seq2seq")
    with pytest.raises(Problem, match="not applied"):
        insist(facts, tmp_path)


def test_an_adapter_for_other_layers_stops_the_pipeline(tmp_path):
    folder = adapter_in(tmp_path / "adapter", "seq2seq", alive=True)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"target_modules": ["k", "o"]}))
    facts = proof(folder, "seq2seq")
    with pytest.raises(Problem, match="no weight of the adapter found its layer"):
        insist(facts, tmp_path)


def test_an_adapter_that_is_not_applied_stops_the_pipeline(tmp_path):
    family = "seq2seq"
    net, loaded = load_adapter(model(family), adapter_in(tmp_path / "adapter", family, alive=True))
    net.base_model.disable_adapter_layers()
    facts = prove(net, loaded, view(model(family), family), view(net, family))
    with pytest.raises(Problem, match="not applied"):
        insist(facts, tmp_path)


def test_a_nan_in_the_adapter_stops_the_pipeline(tmp_path):
    family = "seq2seq"
    net, loaded = load_adapter(model(family), adapter_in(tmp_path / "adapter", family, alive=True))
    with torch.no_grad():
        next(weight for name, weight in net.named_parameters() if "lora_A" in name)[0, 0] = float("nan")
    facts = {"tensors": loaded.expected, "keys": {"matched": 1, "missing": []}, "finite": loaded.expected - 1}
    with pytest.raises(Problem, match="1 tensors hold NaN"):
        insist(facts, tmp_path)


def test_settings_of_another_peft_version_are_left_out_and_said(tmp_path, capsys):
    folder = adapter_in(tmp_path / "adapter", "causal", alive=True)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"from_the_future": 1}))
    facts = proof(folder, "causal")
    insist(facts, tmp_path)
    assert "from_the_future" in capsys.readouterr().out


def test_a_missing_adapter_says_how_to_get_one(tmp_path):
    with pytest.raises(Problem, match="dvc pull train"):
        load_adapter(model("causal"), tmp_path)


def test_the_saved_adapter_is_the_same_bytes_whatever_the_hash_seed(tmp_path):
    folder = adapter_in(tmp_path / "adapter", "causal", alive=True)
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["target_modules"] == ["q_proj", "v_proj"]
    assert settings["base_model_name_or_path"] == "models/base"
    assert not list(folder.glob("*.bin"))
