"""Methods of tuning: each trains what its closed form says, is saved, proved, folded and resumed like the others."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from stages.lib import fitting
from stages.lib.adapter_folder import method_of, parts, require_base, save
from stages.lib.adapters import folded, load_adapter, unfoldable
from stages.lib.determinism import make_deterministic
from stages.lib.files import sha256
from stages.lib.fitting import Rows, fit
from stages.lib.generation import Generation, answers
from stages.lib.likelihood import reference_nll
from stages.lib.lora import expected_parameters, matched
from stages.lib.merging import parity
from stages.lib.methods import (
    Ia3,
    PromptTuning,
    attach,
    counted,
    full_parameters,
    ia3_parameters,
    prompt_parameters,
)
from stages.lib.models import load_model
from stages.lib.prompts import encode
from stages.lib.proof import insist, prove
from stages.lib.views import View, look
from stages.plumbing.params import check
from stages.plumbing.problem import Problem
from stages.plumbing.recipe import Recipe
from stages.train import Params
from tests.lib.test_fitting import ROWS, recipe
from tests.lib.test_lora import FULL_SIZE, lora
from tests.lib.tiny import TEXTS, model, tokenizer

FAMILIES = ["seq2seq", "causal"]
PLAIN_IA3 = Ia3(outputs=None, inputs=None)
GREEDY = Generation(max_new_tokens=8, num_beams=1, sample=False, temperature=1.0, top_p=1.0, batch_tokens=9999, seed=1)

# name → (section adapter, section lora, learning rate that moves a tiny model in a few steps)
WAYS: dict[str, tuple[dict, dict, float]] = {
    "lora": ({}, {}, 5e-2),
    "dora": ({}, {"dora": True}, 5e-2),
    "rslora": ({}, {"rslora": True}, 5e-2),
    "pissa": ({}, {"init": "pissa"}, 5e-2),
    "olora": ({}, {"init": "olora"}, 5e-2),
    "ia3": ({"method": "ia3"}, {}, 0.3),
    "prompt_tuning": ({"method": "prompt_tuning"}, {}, 1.0),
    "full": ({"method": "full"}, {}, 1e-2),
}


def choices(family: str, way: str, **sections: dict) -> Params:
    adapter, lora_changes, rate = WAYS[way]
    train = {
        "max_steps": 6, "batch_size": 4, "learning_rate": rate, "warmup": 0, "schedule": "constant", "save_steps": 1,
        "evaluation": {"every": 3, "rows": 2, "batch_size": 2},
    }  # fmt: skip
    content = recipe(family, lora={"r": 4, "alpha": 8} | lora_changes, train=train)
    content["adapter"] |= adapter
    for name, keys in sections.items():
        content[name] |= keys
    check(Recipe, content, Path("params.yaml"))
    return Params.model_validate(content)


def base_of(folder: Path, family: str) -> Path:
    base = folder / "base"
    if not base.exists():
        model(family).save_pretrained(base)
        tokenizer(family).save_pretrained(base)
    return base


def trained(folder: Path, chosen: Params, work: str = "work") -> Path:
    """The folder of an adapter that six steps made, with their curves beside it."""
    base = base_of(folder, chosen.model.family)
    (folder / work).mkdir(exist_ok=True)
    make_deterministic(1, 1)
    fitted = fit(base, Rows(ROWS, ROWS[:2]), folder / work, chosen)
    save(fitted.net, fitted.tokenizer, folder / f"{work}-adapter", base, chosen.model.family)
    (folder / f"{work}-curves.json").write_text(json.dumps(fitted.curves))
    facts = fitted.summary["model"]
    assert facts["parameters_trained"] == facts["parameters_expected"] > 0
    assert facts["parameters_total"] == full_parameters(model(chosen.model.family))
    return folder / f"{work}-adapter"


def view(net: Any, chosen: Params) -> View:
    family = chosen.model.family
    rows = [{"title": text, "response": text} for text in TEXTS[:6]]
    return look(net, tokenizer(family), encode(rows, chosen.prompt, tokenizer(family)), GREEDY)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", WAYS)
def test_what_was_trained_is_saved_proved_and_folded(tmp_path, family, way):
    chosen = choices(family, way)
    adapter, base = trained(tmp_path, chosen), tmp_path / "base"
    assert not [path for path in adapter.iterdir() if path.suffix in {".bin", ".pt", ".pkl"}]
    assert {"README.md", "origin.json", "tokenizer.json", "tokenizer_config.json"} <= {
        p.name for p in adapter.iterdir()
    }

    def loaded() -> Any:
        return load_model(base, chosen.model, chosen.quantization)

    before = view(loaded(), chosen)
    net, account = load_adapter(loaded(), adapter)
    tuned = view(net, chosen)
    facts = prove(net, account, before, tuned)
    insist(facts, adapter)
    assert facts["method"] == method_of(adapter) == chosen.adapter.method
    assert facts["keys"]["matched"] == facts["keys"]["expected"] == facts["tensors"]
    if way == "prompt_tuning":
        assert unfoldable(adapter).startswith("prompt tuning learns tokens and changes no weight")
        return
    assert unfoldable(adapter) is None
    alone = folded(net)
    assert not [name for name, _ in alone.named_modules() if "lora" in name or "ia3" in name]
    close = parity(tuned, view(alone, chosen))
    assert close["max_logit_difference"] < 1e-4
    assert close["equal_answers"] == 1.0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", ["dora", "pissa", "ia3", "prompt_tuning", "full"])
def test_a_training_that_was_stopped_ends_in_the_same_bytes(tmp_path, monkeypatch, family, way):
    chosen = choices(family, way)
    undisturbed = trained(tmp_path, chosen)
    real = fitting.keeper

    def asked_at_the_fourth_step(*given: Any) -> Any:
        stop = real(*given)
        ends = stop.on_step_end

        def on_step_end(args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            stop.asked = "SIGTERM" if state.global_step == 4 else stop.asked
            ends(args, state, control, **kwargs)

        stop.on_step_end = on_step_end
        return stop

    monkeypatch.setattr(fitting, "keeper", asked_at_the_fourth_step)
    with pytest.raises(Problem, match="everything is saved"):
        trained(tmp_path, chosen, "stopped")
    monkeypatch.setattr(fitting, "keeper", real)
    resumed = trained(tmp_path, chosen, "stopped")
    assert sha256(parts(resumed)[0]) == sha256(parts(undisturbed)[0])
    curves = [json.loads((tmp_path / f"{work}-curves.json").read_text()) for work in ("work", "stopped")]
    assert [point["step"] for point in curves[0]] == [1, 2, 3, 4, 5, 6]
    assert curves[0] == curves[1]


QUANTISED = [
    ("lora", "int8"),
    ("dora", "nf4"),
    ("olora", "nf4"),
    ("ia3", "int8"),
    ("ia3", "nf4"),
    ("prompt_tuning", "nf4"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("way", "held"), QUANTISED)
def test_a_quantised_base_is_tuned_and_the_adapter_proved(tmp_path, family, way, held):
    chosen = choices(family, way, quantization={"method": held})
    adapter, base = trained(tmp_path, chosen), tmp_path / "base"
    before = view(load_model(base, chosen.model, chosen.quantization), chosen)
    net, account = load_adapter(load_model(base, chosen.model, chosen.quantization), adapter)
    insist(prove(net, account, before, view(net, chosen)), adapter)


# name → weights trained by (LoRA of test_lora with DoRA, IA3, 20 virtual tokens, full tuning)
TRAINED = {
    "PTT5": (6_690_816, 129_024, 15_360, 222_903_552),
    "FLAN-T5": (7_010_304, 104_448, 15_360, 222_903_552),  # its own output head, 24,674,304 more, is not in the class
    "TinyLlama": (25_625_600, 135_168, 40_960, 1_100_048_384),
}


@pytest.mark.parametrize("name", TRAINED)
def test_trained_weights_of_the_published_models(name):
    config, auto, targets, r, _ = FULL_SIZE[name]
    family = "causal" if auto is AutoModelForCausalLM else "seq2seq"
    with torch.device("meta"):
        net = auto.from_config(config)
    tuning = PromptTuning(virtual_tokens=20, init="random", text=None)
    dora = expected_parameters(matched(net, targets), lora(r=r, dora=True))
    found = (dora, ia3_parameters(net, PLAIN_IA3, family), prompt_parameters(net, tuning), full_parameters(net))
    assert found == TRAINED[name]


@pytest.mark.parametrize(
    ("where", "ia3"),
    [
        ("adapter.ia3.outputs", {"outputs": ["k", "v_proj"], "inputs": None}),
        ("adapter.ia3.inputs", {"outputs": None, "inputs": ["wo_1"]}),
    ],
)
def test_a_layer_that_ia3_does_not_find_is_an_error_that_lists_the_layers_there_are(where, ia3):
    with pytest.raises(Problem) as error:
        ia3_parameters(model("seq2seq"), Ia3(**ia3), "seq2seq")
    assert error.value.where == f"params.yaml, {where}"
    assert error.value.wanted.startswith("names among k, o, q, v, wi, wo")


@pytest.mark.filterwarnings("ignore:Position ids are not supported")  # PEFT's generate, which is compared with
@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_tuned_model_answers_alike_alone_and_in_a_batch(tmp_path, family):
    """PEFT puts learnt tokens before the padding of a batch, where they are at another distance from each prompt."""
    chosen = choices(family, "prompt_tuning")
    net, _ = attach(model(family), chosen, tmp_path)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.dim() == 2:
                weight.mul_(8)  # a tiny model as it is made writes the same token always
    words = tokenizer(family)
    rows = [{"title": " ".join(TEXTS[:n]), "response": TEXTS[n]} for n in range(1, 5)]
    encoded = encode(rows, chosen.prompt, words)
    assert len({len(ids) for ids in encoded.prompts}) > 1
    together = [answer.text for answer in answers(net, words, encoded.prompts, GREEDY, None)]
    alone = []
    for ids in encoded.prompts:
        out = net.generate(
            input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), **GREEDY.options(net, words)
        )[0, 1 if family == "seq2seq" else len(ids) :]
        alone.append(words.decode(out, skip_special_tokens=True).strip())
    assert together == alone
    assert len(set(together)) > 1
    nll = [
        reference_nll(net, words, encoded.prompts[a:b], encoded.responses[a:b], 9999)
        for a, b in [(0, 4), (0, 1), (1, 2), (2, 3), (3, 4)]
    ]
    assert nll[0] == pytest.approx([one[0] for one in nll[1:]], rel=1e-5)


@pytest.mark.parametrize("init", ["random", "text"])
def test_virtual_tokens_begin_as_asked(tmp_path, init):
    text = "Descreva o produto" if init == "text" else None
    tuning = {"virtual_tokens": 5, "init": init, "text": text}
    content = choices("causal", "prompt_tuning").model_dump()
    content["adapter"]["prompt_tuning"] = tuning
    base = base_of(tmp_path, "causal")
    net, expected = attach(model("causal"), Params.model_validate(content), base)
    assert counted(net)[0] == expected == 5 * 16
    if init == "text":
        first = tokenizer("causal")(text)["input_ids"][0]
        embedding = model("causal").get_input_embeddings().weight[first]
        assert torch.equal(net.get_prompt(1)[0, 0], embedding)


@pytest.mark.parametrize(
    ("family", "sections", "says"),
    [
        ("causal", {"adapter": {"method": "full"}, "quantization": {"method": "nf4"}}, "packed weights"),
        ("causal", {"adapter": {"method": "prompt_tuning"}, "train": {"packing": True}}, "stand before a row"),
        ("causal", {"lora": {"init": "pissa"}, "quantization": {"method": "int8"}}, "pissa"),
    ],
)
def test_methods_that_cannot_be_combined_are_refused_before_anything_runs(family, sections, says):
    with pytest.raises(Problem) as error:
        check(Recipe, recipe(family, **sections), Path("params.yaml"))
    assert says in error.value.wanted


def test_settings_of_a_method_that_is_not_chosen_refuse_nothing():
    sections = {"adapter": {"method": "ia3"}, "lora": {"init": "pissa"}, "quantization": {"method": "int8"}}
    assert check(Recipe, recipe("causal", **sections), Path("params.yaml")).adapter.method == "ia3"


@pytest.mark.parametrize(
    ("tuning", "says"),
    [
        ({"virtual_tokens": 5, "init": "text", "text": None}, "a text with init: text"),
        ({"virtual_tokens": 5, "init": "random", "text": "a"}, "null with the others"),
    ],
)
def test_a_text_to_begin_with_is_given_when_it_is_used(tuning, says):
    with pytest.raises(Problem, match=says):
        check(Recipe, recipe("causal", adapter={"prompt_tuning": tuning}), Path("params.yaml"))


def test_virtual_tokens_count_as_positions_of_a_causal_model(tmp_path):
    chosen = choices("causal", "prompt_tuning", prompt={"max_prompt_tokens": 64, "max_response_tokens": 60})
    with pytest.raises(Problem) as error:
        trained(tmp_path, chosen)
    assert error.value.found.startswith("up to 144 tokens")
    assert "virtual_tokens" in error.value.found


def whole_model(folder: Path, family: str, *, changed: bool) -> Path:
    net = model(family)
    if changed:
        with torch.no_grad():
            next(net.parameters()).add_(0.5)
    save(net, tokenizer(family), folder, Path("models/base"), family)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fully_tuned_model_that_equals_its_base_stops_the_pipeline(tmp_path, family):
    chosen = choices(family, "full")
    folder = whole_model(tmp_path / "adapter", family, changed=False)
    before = view(model(family), chosen)
    net, account = load_adapter(model(family), folder)
    assert (account.outputs, account.active) == (account.expected, 0)
    with pytest.raises(Problem, match="every weight is the base's"):
        insist(prove(net, account, before, view(net, chosen)), folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fully_tuned_model_loads_without_afina_and_without_peft(tmp_path, family):
    folder = whole_model(tmp_path / "adapter", family, changed=True)
    auto = {"seq2seq": AutoModelForSeq2SeqLM, "causal": AutoModelForCausalLM}[family]
    ours, account = load_adapter(model(family), folder)
    assert account.active == 1
    theirs = dict(auto.from_pretrained(folder).named_parameters())
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.named_parameters())
    assert "PeftModel" not in (folder / "README.md").read_text("utf-8")


def test_an_untrained_ia3_stops_the_pipeline(tmp_path):
    chosen = choices("seq2seq", "ia3")
    net, _ = attach(model("seq2seq"), chosen, tmp_path)
    save(net, tokenizer("seq2seq"), tmp_path / "adapter", Path("models/base"), "seq2seq")
    before = view(model("seq2seq"), chosen)
    net, account = load_adapter(model("seq2seq"), tmp_path / "adapter")
    with pytest.raises(Problem, match="every scale is one"):
        insist(prove(net, account, before, view(net, chosen)), tmp_path)


def test_a_whole_model_of_another_shape_is_told(tmp_path):
    folder = whole_model(tmp_path / "adapter", "seq2seq", changed=True)
    with pytest.raises(Problem, match="an adapter for the base model"):
        load_adapter(model("seq2seq").__class__(model("seq2seq").config.__class__(**{
            **model("seq2seq").config.to_dict(), "d_ff": 48})), folder)  # fmt: skip


def test_an_adapter_of_a_method_that_afina_does_not_know_is_told(tmp_path):
    folder = whole_model(tmp_path / "adapter", "seq2seq", changed=True)
    (folder / "config.json").unlink()
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"peft_type": "LOHA"}')
    with pytest.raises(Problem, match="peft_type LOHA"):
        load_adapter(model("seq2seq"), folder)


def test_a_pickled_adapter_is_never_read(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (tmp_path / "adapter_model.bin").write_bytes(b"cos\nsystem\n")
    with pytest.raises(Problem, match="a pickle, which can run code"):
        load_adapter(model("seq2seq"), tmp_path)


def test_an_adapter_made_for_another_base_is_told(tmp_path):
    base = base_of(tmp_path, "causal")
    adapter = trained(tmp_path, choices("causal", "lora"))
    require_base(adapter, base)
    other = tmp_path / "other"
    shutil.copytree(base, other)
    model("causal", seed=7).save_pretrained(other)
    with pytest.raises(Problem, match="another base model than the adapter's"):
        require_base(adapter, other)
    (adapter / "origin.json").unlink()  # an adapter from elsewhere says nothing of its base
    require_base(adapter, other)


def test_weights_of_another_peft_version_are_listed_and_the_proof_runs_on(tmp_path):
    chosen = choices("causal", "lora")
    net, _ = attach(model("causal"), chosen, tmp_path)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.5)
    save(net, tokenizer("causal"), tmp_path / "adapter", Path("models/base"), "causal")
    file = tmp_path / "adapter/adapter_model.safetensors"
    save_file(load_file(file) | {"base_model.model.lora_C.weight": torch.ones(2)}, file)
    before = view(model("causal"), chosen)
    net, account = load_adapter(model("causal"), tmp_path / "adapter")
    facts = prove(net, account, before, view(net, chosen))
    assert facts["keys"]["unexpected"] == ["base_model.model.lora_C"]
    assert facts["keys"]["missing"] == []
    insist(facts, tmp_path)
