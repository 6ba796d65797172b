"""Base models from a hub: real downloads by the hub's own client, from a small server on this machine."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from stages.lib.checkpoints import from_hub, twin_from_hub
from stages.lib.hub_models import weights_among
from stages.lib.merging import load_full, weights_folded_into
from stages.lib.models import load_model, load_tokenizer
from stages.lib.quantization import Quantization
from stages.plumbing.problem import Problem
from tests.hub import Hub
from tests.lib.test_base_models import WHOLE, section
from tests.lib.tiny import tokenizer
from tests.shapes import CHAT, SHAPES, as_bin, in_four_bit, llama, saved, t5

NF4 = Quantization(method="nf4", double=True, compute="auto")
PTT5_WORDS = Path(__file__).parents[3] / "shared/data/tokenizer_pt/spm_32000_pt.model"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with Hub() as served:
        served.here(monkeypatch, tmp_path / "cache")
        yield served


@pytest.fixture(scope="module")
def llamas(tmp_path_factory):
    """A folder with a tiny Llama, to be read only."""
    return saved(tmp_path_factory.mktemp("llama"), llama(), "causal")


def asking(name="someone/model", **changes):
    return section(**{"family": "causal", "origin": "hub", "name": name} | changes)


def told(model):
    with pytest.raises(Problem) as error:
        from_hub(model)
    return error.value


@pytest.mark.parametrize("shape", SHAPES)
def test_a_published_model_becomes_the_base_unchanged(shape, hub, tmp_path):
    family, make = SHAPES[shape]
    net = make()
    commit = hub.publish("someone/model", saved(tmp_path / "published", net, family))
    made = from_hub(asking(family=family))
    got, words = made.net, made.tokenizer
    assert made.commit == commit
    assert words.get_vocab() == tokenizer(family).get_vocab()
    for (name, weight), (_, other) in zip(net.named_parameters(), got.named_parameters(), strict=True):
        assert torch.equal(weight, other), name
    assert torch.equal(net.get_output_embeddings().weight, got.get_output_embeddings().weight)
    ids = torch.tensor([words("Abajur")["input_ids"]])
    assert torch.equal(net.eval()(input_ids=ids, labels=ids).logits, got.eval()(input_ids=ids, labels=ids).logits)


def test_weights_of_pytorch_alone_become_safetensors(hub, tmp_path):
    net = t5()
    hub.publish("someone/model", as_bin(saved(tmp_path / "published", net, "seq2seq")))
    made = from_hub(asking(family="seq2seq"))
    made.write(tmp_path / "base")
    assert (tmp_path / "base/model.safetensors").is_file()
    assert not list((tmp_path / "base").glob("*.bin"))
    assert torch.equal(net.shared.weight, made.net.shared.weight)


def test_weights_that_want_to_run_code_are_refused(hub, tmp_path):
    folder = saved(tmp_path / "published", t5(), "seq2seq")
    (folder / "model.safetensors").unlink()
    trace = tmp_path / "ran"

    class Harm:
        def __reduce__(self):
            return Path.touch, (trace,)

    torch.save({"shared.weight": Harm()}, folder / "pytorch_model.bin")
    hub.publish("someone/model", folder)
    assert "weights that cannot be read" in told(asking(family="seq2seq")).found
    assert not trace.exists()


@pytest.mark.skipif(not PTT5_WORDS.is_file(), reason="../shared/data is not here")
def test_a_tokenizer_of_one_sentencepiece_file_is_read_as_ptt5_has_it(hub, tmp_path):
    folder = tmp_path / "published"
    net = t5(tokenizer("seq2seq"), vocab_size=32128, pad_token_id=0, eos_token_id=1)
    net.save_pretrained(folder)
    shutil.copy(PTT5_WORDS, folder / "spiece.model")
    hub.publish("someone/ptt5", folder)
    words = from_hub(asking("someone/ptt5", family="seq2seq")).tokenizer
    assert len(words) == 32100
    text = "A carta 'O Louco' em 'Amor': coração, ação e pão."
    numbers = words(text)["input_ids"]
    assert numbers[-1] == words.eos_token_id == 1
    assert words.decode(numbers, skip_special_tokens=True) == text
    words.save_pretrained(tmp_path / "again")
    assert load_tokenizer(tmp_path / "again", "seq2seq")(text)["input_ids"] == numbers


def test_a_branch_is_resolved_to_the_commit_that_it_names(hub, llamas, tmp_path):
    first = hub.publish("someone/model", llamas)
    other = saved(tmp_path / "other", llama(num_hidden_layers=1), "causal")
    second = hub.publish("someone/model", other, branch="small")
    assert from_hub(asking()).commit == from_hub(asking(revision="main")).commit == first
    for revision in ("small", second):
        made = from_hub(asking(revision=revision))
        assert (made.commit, made.net.config.num_hidden_layers) == (second, 1)


def test_folders_code_and_other_formats_of_a_repository_are_left_there(hub, llamas, tmp_path):
    folder = shutil.copytree(llamas, tmp_path / "published")
    for name in ("onnx/model.safetensors", "tf_model.h5", "modeling_own.py", "pytorch_model.bin"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not wanted")
    commit = hub.publish("someone/model", folder)
    from_hub(asking())
    brought = {path.name for path in (tmp_path / "cache").rglob(f"snapshots/{commit}/**/*") if path.is_file()}
    assert brought == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_of_sharded_weights_each_shard_and_their_index_is_brought():
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    others = ["pytorch_model.bin", "consolidated.safetensors", "pytorch_model.bin.index.json", "onnx/model.safetensors"]
    index = "model.safetensors.index.json"
    assert weights_among([*shards, index, *others], "here") == [*shards, index]
    with pytest.raises(Problem, match=r"no weights among its files \(model\.gguf\)"):
        weights_among(["model.gguf"], "here")


@pytest.fixture
def impatient(monkeypatch):
    """The hub's client, but writing small blocks and without its pauses."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.mark.usefixtures("impatient")
def test_a_download_that_is_cut_goes_on_where_it_was(hub, llamas, tmp_path):
    hub.publish("someone/model", llamas)
    hub.cut["model.safetensors"] = [100_000, 200_000]
    from_hub(asking())
    assert hub.ranges == ["model.safetensors bytes=100000-", "model.safetensors bytes=300000-"]
    brought = next((tmp_path / "cache").rglob("model.safetensors"))
    assert brought.read_bytes() == (llamas / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("impatient")
def test_a_download_that_breaks_off_is_told_and_the_next_run_brings_the_rest(hub, llamas, tmp_path):
    hub.publish("someone/model", llamas)
    hub.cut["model.safetensors"] = [100_000, *[0] * 6]
    problem = told(asking())
    assert problem.found.startswith("the download broke off")
    assert "run dvc repro again" in problem.do
    from_hub(asking())
    brought = next((tmp_path / "cache").rglob("model.safetensors"))
    assert brought.read_bytes() == (llamas / "model.safetensors").read_bytes()


def test_what_was_brought_once_needs_no_network(hub, llamas, tmp_path, monkeypatch):
    commit = hub.publish("someone/model", llamas)
    from_hub(asking())
    downloads = sum(hub.asked.values())
    hub.here(monkeypatch, tmp_path / "cache", offline=True)
    assert from_hub(asking()).commit == commit
    assert from_hub(asking(revision=commit)).commit == commit
    assert sum(hub.asked.values()) == downloads


def test_an_unknown_name_is_told(hub):
    problem = told(asking("nobody/nothing"))
    assert problem.where == "params.yaml, model: nobody/nothing"
    assert problem.found == "no such model, or a private one"
    assert "correct model.name" in problem.do
    assert "no such model" in told(asking("a/name/with/too/many/parts")).found


def test_an_unknown_revision_is_told(hub, llamas):
    hub.publish("someone/model", llamas)
    for revision in ("v9", "0" * 40):
        problem = told(asking(revision=revision))
        assert problem.where == f"params.yaml, model: someone/model at revision {revision}"
        assert problem.found == f"no revision {revision}"
        assert "someone/model/commits/main" in problem.do


def test_a_gated_model_is_told_with_how_to_get_in(hub, llamas):
    hub.publish("someone/model", llamas, gated=True)
    problem = told(asking())
    assert "gated" in problem.found
    assert "hf auth login" in problem.do
    assert "accept the licence" in problem.do


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_it_says_so(hub, tmp_path, monkeypatch, offline):
    hub.here(monkeypatch, tmp_path / "empty", offline=offline)
    hub.__exit__()
    problem = told(asking())
    assert "cannot be reached" in problem.found
    assert "model.origin: folder" in problem.do
    assert "cannot be reached" in told(asking(revision="0" * 40)).found


@pytest.fixture
def broken(hub, llamas, tmp_path):
    """Publish the Llama with some files changed."""

    def publish(**files):
        folder = shutil.copytree(llamas, tmp_path / "published", dirs_exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_bytes(content)
        hub.publish("someone/model", folder)
        return folder

    return publish


def test_truncated_weights_are_told(broken, llamas):
    broken(model__safetensors=(llamas / "model.safetensors").read_bytes()[:-1000])
    problem = told(asking())
    assert problem.found.startswith("weights that cannot be read")
    assert "hf cache rm" in problem.do


def test_a_broken_configuration_is_told(broken):
    broken(config__json=b'{"model_type": "llama",')
    assert "broken JSON" in told(asking()).found
    broken(config__json=b"[]")
    assert told(asking()).found == "a list"


def test_a_model_of_the_other_family_is_told(broken, hub, tmp_path):
    broken()
    problem = told(asking(family="seq2seq"))
    assert problem.found == "a causal model (llama), but model.family says seq2seq"
    assert "set model.family: causal" in problem.do
    hub.publish("someone/t5", saved(tmp_path / "t5", t5(), "seq2seq"))
    assert told(asking("someone/t5")).found == "a seq2seq model (t5), but model.family says causal"


def test_code_of_a_repository_is_never_run(broken, llamas, tmp_path):
    settings = json.loads((llamas / "config.json").read_text())
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    trace = tmp_path / "ran"
    code = f"open({str(trace)!r}, 'w')\n".encode()
    broken(config__json=json.dumps(settings | {"auto_map": names}).encode(), own__py=code)
    assert type(from_hub(asking()).net).__module__ == "transformers.models.llama.modeling_llama"
    broken(config__json=json.dumps(settings | {"auto_map": names, "model_type": "own"}).encode(), own__py=code)
    problem = told(asking())
    assert "does not know: own (it brings code of its own, which is never run here)" in problem.found
    assert not trace.exists()


def test_a_checkpoint_that_lacks_weights_is_told(broken, llamas):
    from safetensors.torch import load_file, save

    weights = load_file(llamas / "model.safetensors")
    weights.pop("model.layers.1.mlp.down_proj.weight")
    broken(model__safetensors=save(weights, {"format": "pt"}))
    assert "lacks 1 weights, first model.layers.1.mlp.down_proj.weight" in told(asking()).found


def test_a_checkpoint_without_a_readable_tokenizer_is_told(broken):
    broken(tokenizer__json=b"{}")
    assert "a tokenizer that cannot be read" in told(asking()).found


def test_a_tokenizer_that_knows_more_than_the_model_is_told(hub, tmp_path):
    hub.publish("someone/model", saved(tmp_path / "published", llama(vocab_size=100), "causal"))
    assert "pieces, but a model that knows 100" in told(asking()).found


def test_settings_of_generation_that_a_checkpoint_brings_do_not_act(broken):
    """Published ones sample, punish repetition, and may not even be saved again."""
    broken(
        generation_config__json=json.dumps({"temperature": 0.6, "repetition_penalty": 1.3, "eos_token_id": 1}).encode()
    )
    kept = from_hub(asking()).net.generation_config
    assert kept.repetition_penalty in (None, 1.0)
    assert kept.temperature in (None, 1.0)
    assert kept.eos_token_id == 1


def test_a_chat_template_travels_with_the_tokenizer(hub, tmp_path):
    words = tokenizer("causal").__class__.from_pretrained(saved(tmp_path / "plain", llama(), "causal"))
    words.chat_template = CHAT
    hub.publish("someone/chat", saved(tmp_path / "published", llama(), "causal", words))
    got = from_hub(asking("someone/chat")).tokenizer
    turns = [{"role": "system", "content": "Seja breve."}, {"role": "user", "content": "Olá"}]
    told = got.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert told == "<|system|>\nSeja breve.</s>\n<|user|>\nOlá</s>\n<|assistant|>\n"


# --- a base that is quantised already


@pytest.fixture(scope="module")
def four_bit(tmp_path_factory, llamas):
    return in_four_bit(tmp_path_factory.mktemp("four"), llamas)


def test_a_base_in_four_bit_is_kept_so_and_computes_as_the_machine_can(hub, four_bit, tmp_path):
    hub.publish("someone/model-4bit", four_bit)
    made = from_hub(asking("someone/model-4bit"))
    made.write(tmp_path / "base")
    held = load_model(tmp_path / "base", asking(), NF4)
    layers = [layer for layer in held.modules() if type(layer).__name__ == "Linear4bit"]
    assert len(layers) == 14
    assert {layer.compute_dtype for layer in layers} == {torch.float32}
    one, other = (folder / "model.safetensors" for folder in (tmp_path / "base", four_bit))
    assert one.read_bytes() == other.read_bytes()
    ids = torch.tensor([load_tokenizer(tmp_path / "base", "causal")("Abajur")["input_ids"]])
    assert held.generate(input_ids=ids, max_new_tokens=2).shape[0] == 1


@pytest.mark.parametrize("method", ["none", "int8"])
def test_a_base_in_four_bit_is_not_taken_for_another(four_bit, method):
    with pytest.raises(Problem) as error:
        load_model(four_bit, asking(), Quantization(method=method, double=True, compute="auto"))
    assert error.value.found == f"{method}, but the base's weights are nf4 already"
    assert "set quantization.method: nf4" in error.value.do


def test_other_ways_of_quantising_are_told(broken, llamas):
    settings = json.loads((llamas / "config.json").read_text())
    folder = broken(config__json=json.dumps(settings | {"quantization_config": {"quant_method": "gptq"}}).encode())
    with pytest.raises(Problem, match="weights quantised as gptq"):
        load_model(folder, asking(), WHOLE)


def test_the_twin_of_a_base_in_four_bit_must_be_its_twin(hub, four_bit, llamas, tmp_path):
    hub.publish("someone/model", llamas)
    hub.publish("someone/other", saved(tmp_path / "other", llama(num_hidden_layers=1), "causal"))
    hub.publish("someone/model-4bit", four_bit)
    quantised = from_hub(asking("someone/model-4bit"))
    twin = twin_from_hub(asking("someone/model-4bit", unquantised="someone/model@main"), quantised)
    assert torch.equal(twin.net.model.embed_tokens.weight, llama().model.embed_tokens.weight)
    assert twin.commit == hub.repositories["someone/model"].names["main"]
    for name, says in (
        ("someone/other", "num_hidden_layers 1, where someone/model-4bit has 2"),
        ("someone/model-4bit", "a quantised model too"),
    ):
        with pytest.raises(Problem, match=says):
            twin_from_hub(asking("someone/model-4bit", unquantised=name), quantised)
    with pytest.raises(Problem, match="which is not quantised"):
        twin_from_hub(asking("someone/model", unquantised="someone/model"), twin)


def test_a_twin_is_for_models_of_the_hub():
    with pytest.raises(ValueError, match="unquantised names a model on the hub"):
        section(origin="folder", unquantised="someone/model")


def test_merge_folds_into_the_twin_or_into_the_dequantised_weights(hub, four_bit, llamas, tmp_path):
    hub.publish("someone/model", llamas)
    hub.publish("someone/model-4bit", four_bit)
    asked = asking("someone/model-4bit", unquantised="someone/model")
    made = from_hub(asked)
    made.write(tmp_path / "base")
    own = load_full(tmp_path / "base", asked, "float32")
    assert weights_folded_into(tmp_path / "base", NF4) == "the dequantised weights of a quantised base"
    twin_from_hub(asked, made).write(tmp_path / "base/unquantised")
    twin = load_full(tmp_path / "base", asked, "float32")
    assert weights_folded_into(tmp_path / "base", NF4) == "the full-precision twin of a quantised base"
    weights = [net.model.layers[0].mlp.up_proj.weight for net in (llama(), own, twin)]
    assert torch.equal(weights[0], weights[2])
    assert [weight.dtype for weight in weights] == [torch.float32] * 3
    # NF4 keeps a weight to within a fifth of the largest of its block of 64.
    assert 0 < (weights[0] - weights[1]).abs().max() < 0.2 * weights[0].abs().max()
    own.save_pretrained(tmp_path / "merged", save_original_format=False)  # as the stage merge does
    assert "quantization_config" not in json.loads((tmp_path / "merged/config.json").read_text())
    ids = torch.tensor([[5, 6, 7]])
    held = load_model(tmp_path / "base", asked, NF4)
    with torch.inference_mode():
        # The same weights, computed with once as they are held and once unpacked: rounding alone.
        assert (held(ids).logits - own(ids).logits).abs().max() < 0.05
