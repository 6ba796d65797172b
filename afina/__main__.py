"""Afina's commands for a person: choose a recipe, ask a model, compare runs, hand a model on, look at the machine."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from afina.spread import spread
from stages.plumbing.problem import Problem
from stages.plumbing.run import settle, tell

cli = typer.Typer(
    help="Fine-tune small language models on your own table of texts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


StartedFrom = Annotated[
    str | None, typer.Option(help="The commit that the experiments started from; HEAD if left out.")
]


@cli.command()
def recipe(
    name: Annotated[str, typer.Argument(help="Its name; without one, the recipes there are are listed.")] = "",
    *,
    force: Annotated[bool, typer.Option(help="Overwrite a params.yaml that was changed by hand.")] = False,
) -> None:
    """Make a recipe the experiment: copy recipes/NAME.yaml over params.yaml."""
    from afina.recipes import choose, listed

    if name:
        choose(name, Path("recipes"), Path("params.yaml"), force=force)
    else:
        for line in listed(Path("recipes")):
            print(line)


@cli.command()
def generate(
    texts: Annotated[list[str] | None, typer.Argument(help="The input, where the prompt has one field.")] = None,
    *,
    field: Annotated[list[str] | None, typer.Option(help="A field of the prompt: --field carta='O Louco'.")] = None,
    template: Annotated[
        str, typer.Option(help="Ask with another template: its name, or a text such as '{question}'.")
    ] = "",
    model: Annotated[str, typer.Option(help="Who answers: base, adapter, merged, or all three.")] = "adapter",
    limit: Annotated[int, typer.Option(min=1, help="Without input: answer this many held-out rows.")] = 3,
    adapter: Annotated[Path | None, typer.Option(help="Another adapter's folder than tuned.adapter.")] = None,
) -> None:
    """Let the base, the tuned or the merged model answer, and stream what it writes."""
    from afina.generate import answer

    answer(texts or [], field or [], template, model, limit, adapter)


class ManyWeights(TyperCommand):
    """A command line on which `--weights 0.7 0.3` means `--weights 0.7 --weights 0.3`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread(args, "--weights"))


@cli.command(cls=ManyWeights)
def fuse(
    adapters: Annotated[list[str], typer.Argument(help="Folders of adapters, or rev: and a revision or experiment.")],
    *,
    weights: Annotated[list[float], typer.Option(help="A weight for each adapter: --weights 0.7 0.3.")],
    out: Annotated[Path, typer.Option(help="The new folder to write, such as models/fused.")],
    method: Annotated[str, typer.Option(help="cat, linear, svd, ties, dare_linear or dare_ties.")] = "cat",
    density: Annotated[float, typer.Option(help="ties and dare: share of each adapter's weights that is kept.")] = 0.5,
    rank: Annotated[
        int | None, typer.Option(help="svd: rank of the result; the largest one of theirs if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="dare: chance of what is dropped.")] = 1,
) -> None:
    """Fuse LoRA adapters of one base model into one."""
    from afina.fuse import Fusion
    from afina.fuse import fuse as fuse_adapters

    fuse_adapters(adapters, Fusion(weights, method, density, rank, seed), out)


@cli.command()
def folds(
    rev: StartedFrom = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with the value of every fold.")] = False,
) -> None:
    """Summarise a cross-validation: mean and standard deviation of every metric over the folds."""
    from afina.sweeps import FOLD, summarise

    summarise(Path.cwd(), rev, FOLD, as_json=as_json)


@cli.command()
def seeds(
    rev: StartedFrom = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with the value of every seed.")] = False,
) -> None:
    """Summarise runs that differ in train.seed alone: how much of a metric is the chance of training."""
    from afina.sweeps import SEED, summarise

    summarise(Path.cwd(), rev, SEED, as_json=as_json)


@cli.command()
def diff(
    a: Annotated[str, typer.Argument(help="A commit, branch or tag, or the name of an experiment.")],
    b: Annotated[str, typer.Argument(help="Another one, or workspace: what dvc.lock records here.")] = "workspace",
    *,
    metric: Annotated[str, typer.Option(help="What orders the rows and gives the verdict.")] = "rougeL",
    rows: Annotated[int, typer.Option(min=0, help="Rows to show that got better, and as many that got worse.")] = 3,
    machine: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the tuned models of two revisions on the same rows: by how much, how surely, which rows moved."""
    from afina.diff import diff

    diff(a, b, metric=metric, rows=rows, machine=machine)


@cli.command()
def blind(
    form: Annotated[Path, typer.Argument(help="The form: .html for a browser, .csv for a spreadsheet.")],
    revisions: Annotated[list[str] | None, typer.Argument(help="One or two; none compares baseline and tuned.")] = None,
    *,
    rows: Annotated[int, typer.Option(min=1, help="Rows to judge.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Which rows, and which answer stands first.")] = 1,
    score: Annotated[list[Path] | None, typer.Option(help="A form that was filled in; may be given again.")] = None,
    machine: Annotated[bool, typer.Option("--json", help="With --score: print JSON.")] = False,
) -> None:
    """Let people judge: write a form of two systems' answers in unknown order, or score what they chose."""
    from afina import blind

    if score:
        blind.score(form, score, machine=machine)
    else:
        blind.make(form, revisions or [], rows, seed)


@cli.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to; its name becomes the model's.")],
    *,
    model: Annotated[str, typer.Option(help="merged or adapter.")] = "merged",
) -> None:
    """Copy the model out of the project, with a model card that holds its metrics."""
    from afina.export import export

    export(folder, model)


@cli.command()
def check() -> None:
    """Check params.yaml and the files that it names, as `make repro` does before it starts."""
    from afina.inputs import require_inputs

    require_inputs(Path.cwd())


@cli.command()
def doctor() -> None:
    """Look whether this machine and this checkout are ready, and say what is missing."""
    from afina.doctor import examine

    sys.exit(0 if examine(Path.cwd()) else 1)


@cli.command()
def join(number: Annotated[int, typer.Argument(min=1, help="Which machine this is, from 1; dvc runs on 0.")]) -> None:
    """Take part in a training of several machines, which dvc repro begins on machine 0."""
    from afina.join import join as take_part

    take_part(Path.cwd(), number)


@cli.command()
def verify(
    *, steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of each of the two trainings.")] = 5
) -> None:
    """Train a few steps twice, in two fresh processes, and compare the adapters byte for byte."""
    from afina.verify import verify as twice

    twice(Path.cwd(), steps)


def app() -> None:
    """Run the command line; a problem is told without a traceback."""
    settle()
    try:
        cli()
    except Problem as problem:
        tell("afina", problem)


if __name__ == "__main__":
    app()
