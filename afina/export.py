"""A model to hand on: a copy of the merged model or of the adapter, with a card that says how well it answers.

The card is made here and not by a stage: a card with metrics inside `models/merged` would make merge run again with
every digit that eval writes. It is a function of the model and of reports that are in git.
"""

import shutil
from pathlib import Path
from typing import Any

from stages.lib.bands import ENDS, band
from stages.lib.files import read_json, sha256, sha256_of_folder, whole
from stages.lib.models import FAMILIES, Model
from stages.lib.prompts import Prompt, chosen
from stages.lib.report_words import signed, words
from stages.plumbing.params import Sections
from stages.plumbing.problem import Problem

MODELS = {"merged": Path("models/merged"), "adapter": Path("models/adapter")}
REPORTS = Path("reports")
TOLD = ("base", "source", "split", "merge", "adapter_proof", "metrics", "comparison")
# The hub's names of metrics that it knows; the others keep ours.
HUB_TYPES = {"rouge1": "rouge", "rouge2": "rouge", "rougeL": "rouge", "rougeLsum": "rouge", "bleu": "sacrebleu"}

LOADING = {
    "merged": """model = {auto}.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")""",
    "adapter": """from peft import PeftModel

model = PeftModel.from_pretrained({auto}.from_pretrained("{base}"), "{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")""",
}
BODY = """# {name}

{what} made by Afina, a DVC project: the commit that made it makes it again.

```python
from transformers import {auto}, AutoTokenizer

{loading}
```

It reads prompts made with this template, and nothing else was tested:

```text
{template}
```

## How well it answers

{verdict} Measured on {rows:,} rows of `{source}` ({side}). Intervals are {confidence:.0%} intervals of the difference
(paired bootstrap, {resamples:,} resamples); p is corrected for the number of metrics (Holm).

| metric | untuned base | this model | difference | interval | p | verdict |
|---|---|---|---|---|---|---|
{table}

{trivial}

## Where it comes from

| | sha256 |
|---|---|
{hashes}

## Limits

Automatic metrics compare with one reference each: read answers before you rely on them. What the rows above do not
show, the model was not asked.
"""


class Params(Sections):
    model: Model
    prompt: Prompt
    split: Any


def export(target: Path, which: str) -> None:
    """Copy the model `which` to `target` with its card; the target must not be there yet."""
    if which not in MODELS:
        raise Problem("--model", which, " or ".join(MODELS), "choose one of these")
    if target.exists():
        raise Problem(str(target), "it is there already", "a folder that is not there yet", "choose another name")
    params = Params.read()
    told = _reports()
    _insist(which, told)
    with whole(target) as begun:
        shutil.copytree(MODELS[which], begun, ignore=shutil.ignore_patterns("README.md"))
        # DVC links its cache read-only; a copy is the person's own.
        for path in [begun, *begun.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        (begun / "README.md").write_text(card(which, target.name, params, told), "utf-8")
    print(f"{target}: the {which} model and its card. To publish it: hf upload YOUR_NAME/{target.name} {target}")


def _reports() -> dict[str, dict[str, Any]]:
    missing = [str(REPORTS / f"{name}.json") for name in TOLD if not (REPORTS / f"{name}.json").is_file()]
    if missing:
        raise Problem(missing[0], "no such file", "the reports of a whole run", "dvc repro, or dvc checkout")
    return {name: read_json(REPORTS / f"{name}.json") for name in TOLD}


def _insist(which: str, told: dict[str, dict[str, Any]]) -> None:
    """The model must be there, and be the one that the reports are about."""
    folder = MODELS[which]
    if which == "merged" and not told["merge"]["merged"]:
        raise Problem(str(folder), told["merge"]["reason"], "a merged model", "export --model adapter, or tune better")
    weights = folder / ("model.safetensors" if which == "merged" else "adapter_model.safetensors")
    if not folder.is_dir() or not any(folder.glob("*.safetensors")):
        stage = "merge" if which == "merged" else "train"
        raise Problem(str(weights), "no such file", "the model that the run made", f"dvc pull {stage}, or dvc repro")
    found, wanted = (
        (sha256_of_folder(folder), told["merge"]["sha256"])
        if which == "merged"
        else (sha256(weights), told["adapter_proof"]["adapter_sha256"])
    )
    if found != wanted:
        raise Problem(
            str(folder),
            f"sha256 {found[:12]}…, while the reports are about {wanted[:12]}…",
            "the model that was measured",
            "dvc checkout brings model and reports of one commit together; dvc repro makes them anew",
        )


def card(which: str, name: str, params: Params, told: dict[str, dict[str, Any]]) -> str:
    """The card: front matter that the hub reads, metrics included, and the same for a person."""
    from huggingface_hub import EvalResult, ModelCardData

    task = "text2text-generation" if params.model.family == "seq2seq" else "text-generation"
    source, side = told["source"]["name"], params.split["evaluate_on"]
    results = [
        EvalResult(
            task_type=task,
            dataset_type=Path(source).suffix.lstrip(".") or "text",
            dataset_name=source,
            dataset_split=side,
            dataset_revision=told["source"]["sha256"],
            metric_type=HUB_TYPES.get(metric, metric),
            metric_name=words("en").get(f"name.{metric}", metric),
            metric_value=value,
        )
        for metric, value in sorted(told["metrics"]["tuned"].items())
    ]
    # Only a model of the hub is a base that the hub can link; a folder of ours would be refused as a name.
    base = told["base"]["name"] if told["base"]["origin"] == "hub" else None
    data = ModelCardData(
        base_model=base,
        library_name="transformers" if which == "merged" else "peft",
        pipeline_tag=task,
        tags=["afina", "lora"],
        model_name=name,
        eval_results=results,
    )
    return f"---\n{data}\n---\n\n{_body(which, name, params, told, base or 'models/base')}"


def _body(which: str, name: str, params: Params, told: dict[str, dict[str, Any]], base: str) -> str:
    comparison, auto = told["comparison"], FAMILIES[params.model.family][0]
    found = comparison["tuned_against"]["all"]["baseline"]
    hashes = {
        f"source `{told['source']['name']}`": told["source"]["sha256"],
        "base model": told["base"]["sha256"],
        "adapter": told["adapter_proof"]["adapter_sha256"],
    }
    if which == "merged":
        hashes["merged model (before this card)"] = told["merge"]["sha256"]
    return BODY.format(
        name=name,
        what="A language model with a LoRA adapter folded in," if which == "merged" else "A LoRA adapter",
        auto=auto,
        loading=LOADING[which].format(auto=auto, folder=name, base=base),
        template=chosen(params.prompt).text,
        verdict=words("en")[f"headline.{found['rougeL']['verdict']}"],
        rows=comparison["rows"]["all"],
        source=told["source"]["name"],
        side="held out from training" if params.split["evaluate_on"] == "test" else "they also chose the checkpoint",
        confidence=comparison["confidence"],
        resamples=comparison["resamples"],
        table="\n".join(_line(metric, row) for metric, row in sorted(found.items())),
        trivial=_trivial(comparison),
        hashes="\n".join(f"| {what} | `{digest}` |" for what, digest in hashes.items()),
    )


def _line(metric: str, row: dict[str, Any]) -> str:
    digits = 2 if metric in {"bleu", "chrf", "perplexity"} else 3
    reached = f" ({band(metric, row['tuned'])})" if metric in ENDS else ""
    cells = [
        words("en")[f"name.{metric}"],
        f"{row['other']:.{digits}f}",
        f"{row['tuned']:.{digits}f}{reached}",
        signed(row["delta"], "en", digits),
        f"{signed(row['low'], 'en', digits)} … {signed(row['high'], 'en', digits)}",
        f"{row['p_holm']:.3g}",
        words("en")[f"verdict.{row['verdict']}"],
    ]
    return f"| {' | '.join(cells)} |"


def _trivial(comparison: dict[str, Any]) -> str:
    """Whether it beats two systems that cost nothing, which says more than any number alone."""
    beats = comparison["beats_trivial_systems"]
    sentences = []
    for part, where in (("all", "on all rows"), ("unseen", "on rows with a word that training never showed")):
        if found := beats[part]:
            does = "It beats" if found["both"] else "It does not beat"
            by = f"{signed(found['copy_prompt_input'], 'en')} and {signed(found['nearest'], 'en')}"
            others = "both copying the question and answering with the nearest training row"
            sentences.append(f"{does} {others} by {beats['margin']:.2f} ROUGE-L {where} ({by}).")
    return "\n".join(sentences)
