"""Fusing adapters: what comes out is, in numbers, what was asked for, and an adapter like any other."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.fuse import Fusion, fuse
from afina.spread import spread
from stages.lib.adapter_folder import save
from stages.lib.adapters import folded, load_adapter
from stages.lib.determinism import make_deterministic
from stages.lib.files import sha256_of_folder
from stages.lib.lora import Lora, attach
from stages.lib.merging import parity
from stages.lib.prompts import encode
from stages.lib.proof import insist, prove
from stages.lib.views import View, look
from stages.plumbing.problem import Problem
from tests.afina.test_commands import afina
from tests.lib.test_proof import GREEDY, PROMPT, ROWS
from tests.lib.tiny import model, tokenizer

ROOT = Path(__file__).parents[2]
TARGETS = {"seq2seq": ["q", "v", "wi"], "causal": ["q_proj", "v_proj"]}
FAMILIES = ["seq2seq", "causal"]


def adapter(folder: Path, family: str, seed: int, **changes: Any) -> Path:
    """An adapter that does something, as `seed` says."""
    base = model(family)  # seeds, too
    make_deterministic(seed, 1)
    plain = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": TARGETS[family], "bias": "none"}
    section = Lora(**plain | {"rslora": False, "dora": False, "init": "default"} | changes)
    net = attach(base, section, family)
    for name, weight in net.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    save(net, tokenizer(family), folder, Path("models/base"), family)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch, request) -> Path:
    """A project with a base model and two adapters, a and b, of equal rank."""
    family = getattr(request, "param", "causal")
    params = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
    params["model"] |= {"family": family, "threads": 1, "device": "cpu"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), "utf-8")
    monkeypatch.chdir(tmp_path)
    model(family).save_pretrained("models/base")
    tokenizer(family).save_pretrained("models/base")
    adapter(Path("a"), family, 1)
    adapter(Path("b"), family, 2)
    assert Path("a/adapter_model.safetensors").read_bytes() != Path("b/adapter_model.safetensors").read_bytes()
    return tmp_path


def fusion(*weights: float, method: str = "cat", **changes: Any) -> Fusion:
    return Fusion(**{"weights": list(weights), "method": method, "density": 0.5, "rank": None, "seed": 1} | changes)


def deltas(folder: str, family: str) -> dict[str, torch.Tensor]:
    """Layer → what the adapter adds to its weights, found by folding it in."""
    before = dict(model(family).named_parameters())
    net, _ = load_adapter(model(family), Path(folder))
    return {name: (weight - before[name]).detach() for name, weight in folded(net).named_parameters()}


def view(net: Any, family: str) -> View:
    return look(net, tokenizer(family), encode(ROWS, PROMPT, tokenizer(family)), GREEDY)


@pytest.mark.parametrize("project", FAMILIES, indirect=True)
def test_a_linear_fusion_with_all_the_weight_on_one_gives_that_ones_logits(project):
    family = yaml.safe_load(Path("params.yaml").read_text("utf-8"))["model"]["family"]
    fuse(["a", "b"], fusion(1.0, 0.0, method="linear"), Path("fused"))
    one, other = (view(load_adapter(model(family), Path(name))[0], family) for name in ("a", "fused"))
    assert torch.allclose(one.logits, other.logits, atol=1e-5)
    assert not torch.allclose(one.logits, view(model(family), family).logits, atol=1e-2)


@pytest.mark.parametrize("project", FAMILIES, indirect=True)
@pytest.mark.parametrize("changes", [{}, {"r": 2, "alpha": 3}, {"rslora": True}])
def test_cat_gives_the_weighted_sum_of_what_the_adapters_add(project, changes):
    """Ranks, scales and rsLoRA may differ."""
    family = yaml.safe_load(Path("params.yaml").read_text("utf-8"))["model"]["family"]
    adapter(Path("c"), family, 3, **changes)
    for order in (["c", "b"], ["b", "c"]):
        fuse(order, fusion(1.0, -0.5), Path("-".join(order)))
        found = deltas("-".join(order), family)
        first, second = (deltas(name, family) for name in order)
        assert sum(bool(delta.any()) for delta in found.values()) == {"seq2seq": 8, "causal": 2}[family]
        for name, delta in found.items():
            assert torch.allclose(delta, first[name] - 0.5 * second[name], atol=1e-5), name


def test_svd_at_full_rank_gives_what_cat_gives(project):
    fuse(["a", "b"], fusion(0.7, 0.3, method="svd", rank=8), Path("svd"))
    fuse(["a", "b"], fusion(0.7, 0.3, method="cat"), Path("cat"))
    svd, cat = deltas("svd", "causal"), deltas("cat", "causal")
    assert all(torch.allclose(svd[name], cat[name], atol=1e-5) for name in cat)
    assert json.loads(Path("svd/adapter_config.json").read_text())["r"] == 8


@pytest.mark.parametrize("method", ["linear", "cat", "svd", "ties", "dare_linear", "dare_ties"])
def test_a_fused_adapter_is_proved_and_folded_like_any_other(project, method):
    fuse(["a", "b"], fusion(0.7, 0.3, method=method), Path("models/fused"))
    net, loaded = load_adapter(model("causal"), Path("models/fused"))
    tuned = view(net, "causal")
    insist(prove(net, loaded, view(model("causal"), "causal"), tuned), Path("models/fused"))
    assert parity(tuned, view(folded(net), "causal"))["max_logit_difference"] < 1e-4
    names = {path.name for path in Path("models/fused").iterdir()}
    assert names >= {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "origin.json", "README.md"}
    assert not [name for name in names if name.endswith((".bin", ".pt"))]
    assert '"models/fused"' in Path("models/fused/README.md").read_text("utf-8")


def test_a_fused_adapter_says_what_it_was_made_of(project):
    fuse(["a", str(project / "b")], fusion(0.7, 0.3), Path("fused"))
    told = json.loads(Path("fused/origin.json").read_text())
    assert told["method"] == "lora"
    assert [part["name"] for part in told["fused"].pop("adapters")] == ["a", "b"]  # no folder of this machine
    assert told["fused"] == {"weights": [0.7, 0.3], "method": "cat", "density": 0.5, "rank": None, "seed": 1}
    assert told["base_sha256"] == sha256_of_folder(Path("models/base"))


def test_what_dare_drops_is_decided_by_the_seed(project):
    made = {}
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        fuse(["a", "b"], fusion(0.5, 0.5, method="dare_linear", seed=seed), Path(name))
        made[name] = Path(name, "adapter_model.safetensors").read_bytes()
    assert made["one"] == made["again"] != made["other"]


@pytest.mark.parametrize(
    ("changes", "asked", "says"),
    [
        ({"r": 2}, {"method": "linear"}, "adapters of the ranks 4, 2"),
        ({"r": 2}, {"method": "ties"}, "use --method cat"),
        ({"targets": ["q_proj"]}, {}, "layers that only one of them adapts"),
        ({"dora": True}, {}, "use_dora"),
        ({"init": "pissa"}, {}, "changes the base below the adapter"),
        ({}, {"method": "slerp"}, "one of linear, cat, svd"),
        ({}, {"weights": [1.0]}, "2 adapters and 1 weights"),
        ({}, {"weights": [0.0, 0.0]}, "not all zero"),
        ({}, {"density": 0.0}, "a share above 0"),
        ({}, {"rank": 3}, "with --method svd"),
    ],
)
def test_what_cannot_be_fused_is_told_and_nothing_is_written(project, changes, asked, says):
    adapter(Path("c"), "causal", 3, **changes)
    with pytest.raises(Problem, match=says):
        fuse(["a", "c"], fusion(**{"weights": [0.5, 0.5]} | asked) if "weights" in asked else fusion(0.5, 0.5, **asked),
             Path("fused"))  # fmt: skip
    assert not Path("fused").exists()


def test_an_adapter_of_another_base_is_not_fused(project):
    settings = json.loads(Path("b/origin.json").read_text())
    Path("b/origin.json").write_text(json.dumps(settings | {"base_sha256": "0" * 64}))
    with pytest.raises(Problem, match="another base model"):
        fuse(["a", "b"], fusion(0.5, 0.5), Path("fused"))


def test_a_whole_model_is_not_fused(project):
    save(model("causal"), tokenizer("causal"), Path("whole"), Path("models/base"), "causal")
    with pytest.raises(Problem, match="an adapter of the method full"):
        fuse(["a", "whole"], fusion(0.5, 0.5), Path("fused"))


def test_what_stands_there_is_not_overwritten(project):
    with pytest.raises(Problem, match="so that nothing is lost"):
        fuse(["a", "b"], fusion(0.5, 0.5), Path("a"))


def test_adapters_are_taken_from_revisions(project):
    """The very adapter of a commit comes from DVC's cache, whatever stands in the workspace."""
    shutil.copytree("a", "models/adapter")
    commands = ["git init -q", "git config user.name T", "git config user.email t@e.org", "dvc init -q",
                "dvc add -q models/adapter", "git add -A", "git commit -qm One"]  # fmt: skip
    for command in commands:
        subprocess.run(command.split(), check=True)
    shutil.rmtree("models/adapter")
    fuse(["rev:HEAD", "b"], fusion(0.7, 0.3), Path("from-revision"))
    fuse(["a", "b"], fusion(0.7, 0.3), Path("from-folders"))
    weights = [Path(name, "adapter_model.safetensors").read_bytes() for name in ("from-revision", "from-folders")]
    assert weights[0] == weights[1]
    with pytest.raises(Problem, match="dvc exp list"):
        fuse(["rev:nowhere", "b"], fusion(0.5, 0.5), Path("fused"))


def test_the_command_takes_several_weights_after_one_word(project):
    said = afina("fuse", "a", "b", "--weights", "0.7", "-0.3", "--method", "linear", "--out", "fused", cwd=project)
    assert said.returncode == 0, said.stderr
    assert "0.7 × a + -0.3 × b" in said.stdout
    assert json.loads(Path("fused/origin.json").read_text())["fused"]["weights"] == [0.7, -0.3]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-9, 9).map(str), min_size=1), st.lists(st.sampled_from(["a", "b", "--out", "x"])))
def test_numbers_after_the_word_belong_to_it_and_other_words_stay(numbers, words):
    assert spread(["--w", *numbers, *words], "--w") == [*[f"--w={number}" for number in numbers], *words]
    assert spread(words, "--w") == words
