"""Another base by its name alone: a Llama 3.1 or a Mistral is trained, answers and merges with the same parameters."""

import pytest
import torch

from stages.lib.adapter_folder import save
from stages.lib.adapters import load_adapter
from stages.lib.checkpoints import from_hub
from stages.lib.fitting import Rows, fit
from stages.lib.generation import Generation, answers
from stages.lib.merging import load_full
from stages.lib.models import load_model, load_tokenizer
from stages.lib.prompts import encode
from stages.lib.scratch import BEGIN, END
from stages.train import Params
from tests.hub import Hub
from tests.lib.test_fitting import ROWS, recipe
from tests.lib.tiny import tokenizer
from tests.shapes import llama3, mistral, saved

GREEDY = Generation(max_new_tokens=6, num_beams=1, sample=False, temperature=1.0, top_p=1.0, batch_tokens=4000, seed=1)


def words_of_llama3():
    """A tokenizer that knows neither padding nor the unknown, as Llama 3's and Mistral's."""
    plain = tokenizer("causal")
    words = plain.__class__(tokenizer_object=plain.backend_tokenizer, bos_token=BEGIN, eos_token=END)
    assert words.pad_token is None
    return words


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with Hub() as served:
        for name, make in (("someone/llama-3", llama3), ("someone/mistral", mistral)):
            served.publish(name, saved(tmp_path_factory.mktemp("published"), make(), "causal", words_of_llama3()))
        yield served


@pytest.mark.parametrize("name", ["someone/llama-3", "someone/mistral"])
def test_a_change_of_name_is_enough(name, hub, tmp_path, monkeypatch):
    hub.here(monkeypatch, tmp_path / "cache")
    base = tmp_path / "base"
    train = {
        "max_steps": 2, "batch_size": 4, "warmup": 0, "learning_rate": 0.05, "gradient_checkpointing": True,
        "evaluation": {"every": 2, "rows": 2, "batch_size": 2},
    }  # fmt: skip
    chosen = Params.model_validate(recipe("causal", model={"origin": "hub", "name": name}, train=train))
    from_hub(chosen.model).write(base)
    words = load_tokenizer(base, "causal")
    (tmp_path / "work").mkdir()
    torch.manual_seed(0)
    fitted = fit(base, Rows(ROWS, ROWS[:2]), tmp_path / "work", chosen)
    # Two layers of 64, grouped keys of 32, feed-forward of 128, r=16: the closed form by hand.
    assert fitted.summary["model"]["parameters_trained"] == 16 * 2 * (2 * 128 + 2 * 96 + 3 * 192)
    save(fitted.net, words, tmp_path / "adapter", base, "causal")

    prompts = encode(ROWS[:4], chosen.prompt, words).prompts
    assert len({len(ids) for ids in prompts}) > 1  # so that a batch is padded, on the left, with what stands in
    tuned, loaded = load_adapter(load_model(base, chosen.model, chosen.quantization), tmp_path / "adapter")
    assert loaded.matched == loaded.expected == 28
    together = [answer.text for answer in answers(tuned, words, prompts, GREEDY, None)]
    assert together == [answers(tuned, words, [ids], GREEDY, None)[0].text for ids in prompts]
    whole = load_adapter(load_full(base, chosen.model, "float32"), tmp_path / "adapter")[0].merge_and_unload()
    assert together == [answer.text for answer in answers(whole, words, prompts, GREEDY, None)]
    plain = answers(load_model(base, chosen.model, chosen.quantization), words, prompts, GREEDY, None)
    assert together != [answer.text for answer in plain]
