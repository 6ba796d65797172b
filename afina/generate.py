"""Asking a model of this project: with the prompt of its params.yaml, streaming what it writes."""

from pathlib import Path
from typing import Any

from stages.lib.adapters import Tuned, load_adapter
from stages.lib.determinism import make_deterministic
from stages.lib.generation import Answer, Generation, stream, virtual_tokens
from stages.lib.models import Model, load_model, load_tokenizer
from stages.lib.prompts import Prompt, check_room, chosen, encode, fields_of
from stages.lib.quantization import Quantization
from stages.plumbing.params import Sections, check
from stages.plumbing.problem import Problem

BASE, MERGED = Path("models/base"), Path("models/merged")
ASKED = "data/split/{side}.parquet"
ENDS = {"eos": "ended by itself", "length": "cut by generation.max_new_tokens"}


class Params(Sections):
    generation: Generation
    model: Model
    prompt: Prompt
    quantization: Quantization
    split: Any
    tuned: Tuned


def answer(
    texts: list[str], fields: list[str], template: str, who: str, limit: int, adapter: Path | None = None
) -> None:
    """Print what the models named by `who` write for the given texts, fields or held-out rows, as they write it.

    `template` is the name of one, or a text with fields in braces; "" stands for the one of params.yaml. `adapter` is
    another folder than tuned.adapter of params.yaml.
    """
    params = Params.read()
    if adapter:
        params = params.model_copy(update={"tuned": Tuned(adapter=adapter)})
    prompt = _asked_with(template, params.prompt)
    makers = {"base": _base, "adapter": _adapter, "merged": _merged}
    if who not in (*makers, "all"):
        raise Problem("--model", who, f"{', '.join(makers)} or all", "choose one of these")
    rows = _rows(texts, fields, prompt) or _held_out(params.split["evaluate_on"], limit)
    for name in makers if who == "all" else (who,):
        make_deterministic(params.generation.seed, params.model.threads)
        net = makers[name](params)
        tokenizer = load_tokenizer(MERGED if name == "merged" else BASE, params.model.family)
        check_room(net.config, prompt, virtual_tokens(net))
        for row in rows:
            encoded = encode([{"response": ""} | row], prompt, tokenizer)
            print(f"\n[{name}] {encoded.texts[0]}\n→ ", end="", flush=True)
            found = _stream(net, tokenizer, encoded.prompts[0], params.generation)
            print(f"  ({found.tokens} tokens, {ENDS[found.finish]})")
            if encoded.shortened:
                print("  (the prompt was shortened to prompt.max_prompt_tokens)")
            if row.get("response"):
                print(f"  (reference: {row['response']})")


def _asked_with(template: str, prompt: Prompt) -> Prompt:
    """The section `prompt` with another template, by its name or as a text with fields in braces."""
    if not template:
        return prompt
    chosen_so = {"template": "custom", "text": template} if "{" in template else {"template": template, "text": None}
    return check(Prompt, prompt.model_dump() | chosen_so, Path("--template"))


def _present(folder: Path, stage: str) -> Path:
    if not (folder / "config.json").is_file() and not (folder / "adapter_config.json").is_file():
        raise Problem(
            str(folder), "no model", f"what the stage {stage} writes", f"dvc pull {stage}, or dvc repro {stage}"
        )
    return folder


def _base(params: Params) -> Any:
    return load_model(_present(BASE, "base"), params.model, params.quantization)


def _adapter(params: Params) -> Any:
    return load_adapter(_base(params), _present(params.tuned.adapter, "train"))[0]


def _merged(params: Params) -> Any:
    whole = Quantization(method="none", double=False, compute=params.quantization.compute)
    return load_model(_present(MERGED, "merge"), params.model, whole)


def _rows(texts: list[str], given: list[str], prompt: Prompt) -> list[dict[str, str]]:
    """Rows made of the command line: one per text, or one of the named fields."""
    wanted = fields_of(chosen(prompt))
    if given:
        pairs = [item.partition("=") for item in given]
        row = {name.strip(): value for name, _, value in pairs}
        if set(row) != set(wanted) or not all(separator for _, separator, _ in pairs):
            raise Problem(
                "--field",
                ", ".join(given),
                f"name=value for each of {', '.join(wanted)}",
                "give every field of the prompt once",
            )
        return [row]
    if texts and len(wanted) != 1:
        raise Problem(
            "the command line",
            "a text alone",
            f"the fields {', '.join(wanted)}",
            "name them: " + " ".join(f"--field {name}=..." for name in wanted),
        )
    return [{wanted[0]: text} for text in texts]


def _held_out(side: str, limit: int) -> list[dict[str, Any]]:
    import polars as pl

    path = Path(ASKED.format(side=side))
    if not path.is_file():
        raise Problem(str(path), "no such file", "rows to answer", "give a text, or run dvc repro split")
    return pl.read_parquet(path).head(limit).to_dicts()


def _stream(net: Any, tokenizer: Any, prompt: list[int], generation: Generation) -> Answer:
    """Print the answer token by token, the same that the stages write down; beams come whole, at their end."""
    from transformers import TextStreamer

    if generation.num_beams > 1:
        found = stream(net, tokenizer, prompt, generation, None)
        print(found.text)
        return found
    streamer = TextStreamer(tokenizer, skip_special_tokens=True)
    found = stream(net, tokenizer, prompt, generation, lambda tokens: streamer.put(tokens.cpu()))
    streamer.end()
    return found
