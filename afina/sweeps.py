"""Sweeps: experiments that differ in the fold alone, or in the seed of training alone, as mean and standard deviation.

Over folds it is a cross-validation; over seeds it tells how much of a difference is the chance of training.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from stages.plumbing.params import PARAMS
from stages.plumbing.problem import Problem

METRICS = "reports/metrics.json"
SYSTEMS = ("baseline", "tuned", "delta")
FOLD, FOLDS, SEED = "split.fold", "split.folds", "train.seed"
WORDS = {FOLD: "folds", SEED: "seeds"}
SWEEPS = {
    FOLD: f"dvc exp run --queue -S {FOLDS}=5 -S '{FOLD}=range(0,5)', then dvc queue start",
    SEED: f"dvc exp run --queue -S '{SEED}=range(2,5)', then dvc queue start",
}


@dataclass(frozen=True)
class Run:
    """One experiment: its name, its parameters by dotted name, its metrics, and the hashes of the code it ran."""

    name: str
    params: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    code: dict[str, str]

    def configuration(self, over: str) -> str:
        """All parameters but `over`, as one text: equal texts are equal configurations."""
        return json.dumps({key: value for key, value in self.params.items() if key != over}, sort_keys=True)


def summarise(project: Path, rev: str | None, over: str, *, as_json: bool) -> None:
    """Print the summary of the sweeps over a parameter among the experiments of `rev`; a missing fold is a problem.

    The commit that they started from counts as a seed, since it ran with one.
    """
    groups = grouped(experiments(project, rev, commits=over == SEED), over)
    if not groups:
        raise Problem(
            f"dvc exp show{f' --rev {rev}' if rev else ''}",
            f"no finished experiment with {FOLDS}" if over == FOLD else f"no two that differ in {SEED} alone",
            f"the {WORDS[over]} of a sweep",
            SWEEPS[over] + "; after a commit, name the commit that they started from: --rev",
        )
    sweeps = list(zip(groups, told_apart(groups, over), strict=True))
    done = [summary(group, label, over) for group, label in sweeps if not missing(group, over)]
    if as_json:
        print(json.dumps({"configurations": done}, ensure_ascii=False, indent=2, sort_keys=True))
    else:
        for one in done:
            print(table(one, over))
    for group, label in sweeps:
        if lacking := missing(group, over):
            raise Problem(
                _title(label) or "the cross-validation",
                f"{len(group)} of {group[0].params[FOLDS]} folds",
                f"every fold; {', '.join(map(str, lacking))} {'is' if len(lacking) == 1 else 'are'} not there",
                "see dvc queue status; a queued run works in a copy of the commit, where untracked files are not",
            )


def experiments(project: Path, rev: str | None, *, commits: bool = False) -> list[Run]:
    """The finished experiments that DVC knows of `rev` (of HEAD when None) and that have metrics.

    With `commits` that commit itself as well.
    """
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", *(["--rev", rev] if rev else [])]
    shown = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if shown.returncode:
        raise Problem(
            " ".join(command[2:]), shown.stderr.strip()[-300:], "a DVC project and a revision of it", "correct --rev"
        )
    runs = []
    for commit in json.loads(shown.stdout):
        told = [experiment["revs"][0] for experiment in commit.get("experiments") or []]
        if commits and commit["rev"] != "workspace":
            told.append(commit)
        for found in told:
            data = found.get("data") or {}
            metrics = data.get("metrics", {}).get(METRICS, {}).get("data")
            params = data.get("params", {}).get(str(PARAMS), {}).get("data")
            if metrics and params:
                flat = flattened(params)
                code = {
                    path: dep["hash"]
                    for path, dep in data["deps"].items()
                    if path.startswith("stages/") or path == flat.get("source.path")
                }
                runs.append(Run(found["name"] or found["rev"][:7], flat, metrics, code))
    return runs


def flattened(content: Any, before: str = "") -> dict[str, Any]:
    """Dotted name → value of all that is no mapping."""
    if not isinstance(content, dict):
        return {before: content}
    return {
        name: value
        for key, inner in content.items()
        for name, value in flattened(inner, f"{before}.{key}".lstrip(".")).items()
    }


def grouped(runs: list[Run], over: str) -> list[list[Run]]:
    """The runs of each sweep, in their order; two results for one of them or two kinds of code are a problem."""
    groups: dict[str, dict[int, Run]] = {}
    for run in sorted(runs, key=lambda run: run.name):
        if over == FOLD and run.params.get(FOLDS) is None:
            continue
        sweep = groups.setdefault(run.configuration(over), {})
        other = sweep.setdefault(run.params[over], run)
        if other.metrics != run.metrics:
            raise Problem(
                f"experiments {other.name} and {run.name}",
                f"the same parameters and {over} {run.params[over]}, and other metrics",
                f"one result for each {over}",
                f"remove the one that was made with older code or data: dvc exp remove {other.name}",
            )
        first = next(iter(sweep.values()))
        odd = sorted(path for path in first.code.keys() | run.code.keys() if first.code.get(path) != run.code.get(path))
        if odd:
            raise Problem(
                f"experiments {first.name} and {run.name}",
                f"another {odd[0]}" + (f" and {len(odd) - 1} more files" if len(odd) > 1 else ""),
                f"runs that differ in {over} alone",
                "remove the older ones (dvc exp remove) and run them again",
            )
    sweeps = [[sweep[value] for value in sorted(sweep)] for _, sweep in sorted(groups.items())]
    return [sweep for sweep in sweeps if over == FOLD or len(sweep) > 1]


def missing(group: list[Run], over: str) -> list[int]:
    """The folds of a configuration that have no finished experiment; how many seeds there should be is not known."""
    if over != FOLD:
        return []
    return sorted(set(range(group[0].params[FOLDS])) - {run.params[FOLD] for run in group})


def told_apart(groups: list[list[Run]], over: str) -> list[dict[str, Any]]:
    """For each configuration the parameters in which the configurations differ."""
    names = sorted({name for group in groups for name in group[0].params} - {over})
    unlike = [name for name in names if len({json.dumps(group[0].params.get(name)) for group in groups}) > 1]
    return [{name: group[0].params.get(name) for name in unlike} for group in groups]


def summary(group: list[Run], label: dict[str, Any], over: str) -> dict[str, Any]:
    """Mean and standard deviation (over n - 1) of each metric over the runs of a sweep, and the value in each.

    A metric that some lack (nothing to measure there) says in its own `folds` or `seeds` how many have it.
    """
    metrics: dict[str, dict[str, Any]] = {}
    names = sorted({name for run in group for system in SYSTEMS for name in run.metrics.get(system, {})})
    for name in names:
        for system in SYSTEMS:
            values = [run.metrics[system][name] for run in group if run.metrics.get(system, {}).get(name) is not None]
            if values:
                metrics.setdefault(name, {})[system] = {
                    "mean": round(mean(values), 6),
                    "sd": round(stdev(values), 6) if len(values) > 1 else None,
                    "values": values,
                    WORDS[over]: len(values),
                }
    return {
        "configuration": label,
        WORDS[over]: len(group),
        "experiments": [run.name for run in group],
        "metrics": metrics,
    }


def _title(label: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in label.items())


def table(one: dict[str, Any], over: str) -> str:
    """The summary as lines: for each metric mean ± standard deviation of baseline, tuned and delta."""
    word = WORDS[over]
    title = _title(one["configuration"]) or {FOLD: "cross-validation", SEED: "chance in training"}[over]
    lines = [f"{title}: {one[word]} {word} ({', '.join(one['experiments'])})"]
    lines.append(f"  {'':<20}" + "".join(f"{system:>22}" for system in SYSTEMS))
    for name, systems in one["metrics"].items():
        cells = [_cell(systems.get(system), one[word], word) for system in SYSTEMS]
        lines.append(f"  {name:<20}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def _cell(found: dict[str, Any] | None, count: int, word: str) -> str:
    if not found:
        return "-"
    told = f"{found['mean']:.4g}" + ("" if found["sd"] is None else f" ± {found['sd']:.2g}")
    return told if found[word] == count else f"{told} ({found[word]} {word})"
