"""The base model: from scratch, from a folder, from the hub; what cannot be had is told without a traceback."""

import sys

import pytest
import torch

from stages.lib.checkpoints import from_folder, from_hub
from stages.lib.corpus import read_corpus
from stages.lib.files import sha256_of_folder
from stages.lib.models import Model, device_of, load_model, load_tokenizer
from stages.lib.quantization import Quantization, compute_dtype, layers_held
from stages.lib.scratch import make_model, pretrain
from stages.plumbing.problem import Problem
from tests.lib.tiny import SHAPE, TEXTS, model, tokenizer

# bitsandbytes packs 4-bit weights in blocks of 64 on processors that have AVX-512 with bf16.
WIDE = SHAPE.model_copy(update={"width": 64, "feed_forward": 128})
WHOLE = Quantization(method="none", double=False, compute="auto")


def section(**changes) -> Model:
    settings = {"family": "seq2seq", "origin": "scratch", "path": "corpus.txt", "name": None, "revision": None}
    settings |= {"unquantised": None}
    settings |= {"device": "cpu", "threads": 1, "seed": 1, "scratch": SHAPE}
    return Model(**settings | changes)


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_pretraining_lowers_the_loss_and_repeats_to_the_byte(tmp_path, family):
    shape = SHAPE.model_copy(update={"steps": 40, "batch_size": 8, "learning_rate": 1e-2})
    losses = []
    for name in ("one", "two"):
        net = model(family, seed=1)
        losses.append(pretrain(net, TEXTS, section(family=family, scratch=shape), tokenizer(family)))
        net.save_pretrained(tmp_path / name)
    assert losses[0] == losses[1]
    assert sum(losses[0][-5:]) < 0.9 * sum(losses[0][:5])
    assert sha256_of_folder(tmp_path / "one") == sha256_of_folder(tmp_path / "two")


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_a_folder_becomes_the_base_unchanged(tmp_path, family):
    net = model(family)
    net.save_pretrained(tmp_path)
    tokenizer(family).save_pretrained(tmp_path)
    made = from_folder(section(family=family, origin="folder", path=tmp_path))
    assert made.tokenizer.get_vocab() == tokenizer(family).get_vocab()
    for (name, weight), (_, other) in zip(net.named_parameters(), made.net.named_parameters(), strict=True):
        assert torch.equal(weight, other), name


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(Problem, match=r"no config\.json in it"):
        from_folder(section(origin="folder", path=tmp_path))
    with pytest.raises(Problem, match="no such folder"):
        from_folder(section(origin="folder", path=tmp_path / "none"))


def test_a_model_that_the_hub_does_not_give_is_told_with_its_name_and_revision():
    with pytest.raises(Problem) as error:
        from_hub(section(origin="hub", name="nobody/nothing", revision="abc"))
    assert error.value.where == "params.yaml, model: nobody/nothing at revision abc"
    assert "cannot be reached" in error.value.found


def test_a_corrupt_base_is_told(tmp_path):
    model("causal").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(Problem, match="a causal checkpoint in the format of transformers"):
        load_model(tmp_path, section(family="causal"), WHOLE)


def test_a_tokenizer_without_a_padding_token_gets_a_stand_in(tmp_path):
    made = tokenizer("causal").__class__.from_pretrained(_saved(tmp_path))
    made.pad_token = None
    made.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path, "causal")
    assert loaded.pad_token_id is not None
    assert loaded.padding_side == "left"


def _saved(folder):
    tokenizer("causal").save_pretrained(folder)
    return folder


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told():
    with pytest.raises(Problem, match="torch sees no GPU"):
        device_of(section(device="cuda"))


def test_a_t5_never_computes_in_float16():
    half = Quantization(method="none", double=False, compute="float16")
    with pytest.raises(Problem, match="overflows in float16"):
        compute_dtype(half, "seq2seq", "cuda")
    assert compute_dtype(half, "causal", "cuda") == torch.float16
    assert compute_dtype(WHOLE, "seq2seq", "cpu") == torch.float32


@pytest.mark.parametrize(
    ("has_bf16", "family", "device", "dtype"),
    [
        (True, "seq2seq", "cuda", torch.bfloat16),
        (True, "causal", "cuda", torch.bfloat16),
        (False, "seq2seq", "cuda", torch.float32),
        (False, "causal", "cuda", torch.float16),
        (True, "causal", "cpu", torch.float32),
    ],
)
def test_the_arithmetic_is_what_the_hardware_has_and_the_model_bears(monkeypatch, has_bf16, family, device, dtype):
    # Emulated bf16, which torch counts as support unless asked not to, is slower than float32.
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or has_bf16
    )
    assert compute_dtype(WHOLE, family, device) == dtype


@pytest.mark.parametrize("method", ["none", "nf4", "int8"])
def test_the_last_layer_of_a_t5s_feed_forward_computes_in_float32(tmp_path, method):
    make_model("seq2seq", WIDE, tokenizer("seq2seq")).save_pretrained(tmp_path)
    how = Quantization(method=method, double=True, compute="bfloat16")
    held = load_model(tmp_path, section(), how)
    assert {held.encoder.block[0].layer[1].DenseReluDense.wo.weight.dtype} == {torch.float32}
    if method == "none":
        assert held.encoder.block[0].layer[1].DenseReluDense.wi.weight.dtype == torch.bfloat16
    ids = torch.tensor([tokenizer("seq2seq")("Abajur")["input_ids"]])
    assert held(input_ids=ids, labels=ids).logits.isfinite().all()


def test_without_bitsandbytes_it_says_how_to_get_it(monkeypatch, tmp_path):
    model("causal").save_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(Problem) as error:
        load_model(tmp_path, section(family="causal"), Quantization(method="nf4", double=True, compute="auto"))
    assert error.value.where == "bitsandbytes, which quantization.method wants"
    assert error.value.do == "make setup; or set quantization.method: none"
    load_model(tmp_path, section(family="causal"), WHOLE)


def test_a_tokenizer_without_an_end_token_is_told(tmp_path):
    made = tokenizer("causal").__class__.from_pretrained(_saved(tmp_path))
    made.eos_token = None
    made.save_pretrained(tmp_path)
    with pytest.raises(Problem, match="a tokenizer without an end token"):
        load_tokenizer(tmp_path, "causal")


def test_a_tokenizer_with_nothing_but_its_end_token_pads_with_that(tmp_path):
    """Llama 3's knows neither padding nor the unknown."""
    made = tokenizer("causal").__class__.from_pretrained(_saved(tmp_path))
    made.pad_token = made.unk_token = None
    made.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path, "causal")
    assert loaded.pad_token_id == loaded.eos_token_id


@pytest.mark.parametrize("method", ["int8", "nf4"])
@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_quantised_weights_load_and_answer_on_a_cpu(tmp_path, family, method):
    make_model(family, WIDE, tokenizer(family)).save_pretrained(tmp_path)
    held = load_model(tmp_path, section(family=family), Quantization(method=method, double=True, compute="auto"))
    ids = torch.tensor([tokenizer(family)("Abajur")["input_ids"]])
    assert held.generate(input_ids=ids, max_new_tokens=2).shape[0] == 1
    kinds = {type(layer).__name__ for layer in held.modules()}
    assert {"int8": "Linear8bitLt", "nf4": "Linear4bit"}[method] in kinds
    # The T5: 12 of attention, 2 of wi; 2 of wo and the head stay. The Llama: 7; the head stays.
    assert layers_held(held) == ({method: 14, "none": 3} if family == "seq2seq" else {method: 7, "none": 1})


def test_a_hub_model_needs_a_name():
    with pytest.raises(ValueError, match=r"origin hub wants model\.name"):
        section(origin="hub")


@pytest.mark.parametrize(("content", "says"), [(b"um\n\ndois\n", "2 texts"), (b"\xff\xfe\xff" * 9, "utf-8")])
def test_a_corpus_that_cannot_teach_is_told(tmp_path, content, says):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    with pytest.raises(Problem, match=says):
        read_corpus(path)
