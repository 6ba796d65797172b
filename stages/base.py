"""Base: make the pinned base model and its tokenizer, so that the rest needs no network.

python -m stages.base data/samples/corpus.txt models/base reports/base.json
"""

from pathlib import Path

from stages.lib.checkpoints import Checkpoint, from_folder, from_hub, twin_from_hub
from stages.lib.corpus import read_corpus
from stages.lib.determinism import make_deterministic
from stages.lib.files import sha256_of_folder, whole, write_json
from stages.lib.models import TWIN, Model
from stages.lib.scratch import make_model, make_tokenizer, pretrain
from stages.plumbing.console import only_our_bars, say
from stages.plumbing.params import Sections
from stages.plumbing.run import run


class Params(Sections):
    model: Model


def main(source: Path, base: Path, report: Path) -> None:
    model = Params.read().model
    make_deterministic(model.seed, model.threads)
    only_our_bars()
    pretraining = twin = None
    if model.origin == "scratch":
        made, pretraining = from_scratch(source, model)
    else:
        made = {"folder": from_folder, "hub": from_hub}[model.origin](model)
    with whole(base) as begun:
        made.write(begun)
        if model.unquantised:
            twin = write_twin(begun / TWIN, model, made)
    facts = {"parameters": made.net.num_parameters(), "vocabulary": len(made.tokenizer)}
    for fact, value in facts.items():
        say(fact, value)
    if made.commit:
        say("commit", made.commit + ("" if model.revision == made.commit else f" (pin it: revision: {made.commit})"))
    write_json(
        report,
        {
            **facts,
            **model.model_dump(include={"family", "origin", "name", "revision"}),
            "commit": made.commit,
            "unquantised": twin,
            "pretraining": pretraining,
            "sha256": sha256_of_folder(base),
        },
    )


def write_twin(folder: Path, model: Model, made: Checkpoint) -> dict[str, str | None]:
    """Write the full-precision twin of the quantised base `made` into `folder`; returns its name and commit."""
    twin = twin_from_hub(model, made)
    twin.write(folder)
    say("full-precision twin", f"{model.unquantised}, commit {twin.commit}")
    return {"name": model.unquantised, "commit": twin.commit}


def from_scratch(corpus: Path, model: Model) -> tuple[Checkpoint, dict[str, float]]:
    """A model and a tokenizer taught on `corpus`, and the facts of the pretraining."""
    texts = read_corpus(corpus)
    say("corpus", len(texts), "texts")
    tokenizer = make_tokenizer(texts, model.family, model.scratch)
    net = make_model(model.family, model.scratch, tokenizer)
    losses = pretrain(net, texts, model, tokenizer)
    last = losses[-50:]
    facts = {"texts": len(texts), "steps": len(losses), "loss": round(sum(last) / len(last), 4)}
    say("pretraining loss", facts["loss"], "(mean of the last 50 steps)")
    return Checkpoint(net, tokenizer), facts


if __name__ == "__main__":
    run(main)
