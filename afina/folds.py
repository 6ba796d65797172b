"""Cross-validation: experiments that differ in `split.fold` alone, summarised as mean and standard deviation."""

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
FOLD, FOLDS = "split.fold", "split.folds"
SWEEP = f"dvc exp run --queue -S {FOLDS}=5 -S '{FOLD}=range(0,5)', then dvc queue start"


@dataclass(frozen=True)
class Run:
    """One experiment: its name, its parameters by dotted name, its metrics, and the hashes of the code it ran."""

    name: str
    params: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    code: dict[str, str]

    def configuration(self) -> str:
        """All parameters but the fold, as one text: equal texts are equal configurations."""
        return json.dumps({key: value for key, value in self.params.items() if key != FOLD}, sort_keys=True)


def summarise(project: Path, rev: str | None, *, as_json: bool) -> None:
    """Print the summary of the cross-validations among the experiments of `rev`; a missing fold is a problem."""
    groups = grouped(experiments(project, rev))
    if not groups:
        raise Problem(
            f"dvc exp show{f' --rev {rev}' if rev else ''}",
            f"no finished experiment with {FOLDS}",
            "the folds of a cross-validation",
            SWEEP + "; after a commit, name the commit that they started from: --rev",
        )
    unlike = told_apart(groups)
    done = [summary(group, label) for group, label in zip(groups, unlike, strict=True) if not missing(group)]
    if as_json:
        print(json.dumps({"configurations": done}, ensure_ascii=False, indent=2, sort_keys=True))
    else:
        for one in done:
            print(table(one))
    for group, label in zip(groups, unlike, strict=True):
        if lacking := missing(group):
            raise Problem(
                _title(label) or "the cross-validation",
                f"{len(group)} of {group[0].params[FOLDS]} folds",
                f"every fold; {', '.join(map(str, lacking))} {'is' if len(lacking) == 1 else 'are'} not there",
                "see dvc queue status; a queued run works in a copy of the commit, where untracked files are not",
            )


def experiments(project: Path, rev: str | None) -> list[Run]:
    """The finished experiments that DVC knows of `rev` (of HEAD when None) and that have metrics."""
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", *(["--rev", rev] if rev else [])]
    shown = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if shown.returncode:
        raise Problem(
            " ".join(command[2:]), shown.stderr.strip()[-300:], "a DVC project and a revision of it", "correct --rev"
        )
    runs = []
    for commit in json.loads(shown.stdout):
        for experiment in commit.get("experiments") or []:
            found = experiment["revs"][0]
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


def grouped(runs: list[Run]) -> list[list[Run]]:
    """The folds of each configuration, in their order; two results for one fold or two kinds of code are a problem."""
    groups: dict[str, dict[int, Run]] = {}
    for run in sorted(runs, key=lambda run: run.name):
        if run.params.get(FOLDS) is None:
            continue
        folds = groups.setdefault(run.configuration(), {})
        other = folds.setdefault(run.params[FOLD], run)
        if other.metrics != run.metrics:
            raise Problem(
                f"experiments {other.name} and {run.name}",
                f"the same parameters and fold {run.params[FOLD]}, and other metrics",
                "one result for each fold",
                f"remove the one that was made with older code or data: dvc exp remove {other.name}",
            )
        first = next(iter(folds.values()))
        odd = sorted(path for path in first.code.keys() | run.code.keys() if first.code.get(path) != run.code.get(path))
        if odd:
            raise Problem(
                f"experiments {first.name} and {run.name}",
                f"another {odd[0]}" + (f" and {len(odd) - 1} more files" if len(odd) > 1 else ""),
                "folds that differ in split.fold alone",
                "remove the older ones (dvc exp remove) and run them again",
            )
    return [[folds[fold] for fold in sorted(folds)] for _, folds in sorted(groups.items())]


def missing(group: list[Run]) -> list[int]:
    """The folds of a configuration that have no finished experiment."""
    return sorted(set(range(group[0].params[FOLDS])) - {run.params[FOLD] for run in group})


def told_apart(groups: list[list[Run]]) -> list[dict[str, Any]]:
    """For each configuration the parameters in which the configurations differ."""
    names = sorted({name for group in groups for name in group[0].params} - {FOLD})
    unlike = [name for name in names if len({json.dumps(group[0].params.get(name)) for group in groups}) > 1]
    return [{name: group[0].params.get(name) for name in unlike} for group in groups]


def summary(group: list[Run], label: dict[str, Any]) -> dict[str, Any]:
    """Mean and standard deviation (over n - 1) of each metric over the folds, and the value in each fold.

    A metric that some folds lack (nothing to measure there) says in its own `folds` how many have it.
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
                    "folds": len(values),
                }
    return {
        "configuration": label,
        "folds": len(group),
        "experiments": [run.name for run in group],
        "metrics": metrics,
    }


def _title(label: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in label.items())


def table(one: dict[str, Any]) -> str:
    """The summary as lines: for each metric mean ± standard deviation of baseline, tuned and delta."""
    lines = [
        f"{_title(one['configuration']) or 'cross-validation'}: {one['folds']} folds ({', '.join(one['experiments'])})"
    ]
    lines.append(f"  {'':<20}" + "".join(f"{system:>22}" for system in SYSTEMS))
    for name, systems in one["metrics"].items():
        lines.append(f"  {name:<20}" + "".join(f"{_cell(systems.get(system), one['folds']):>22}" for system in SYSTEMS))
    return "\n".join(lines)


def _cell(found: dict[str, Any] | None, folds: int) -> str:
    if not found:
        return "-"
    told = f"{found['mean']:.4g}" + ("" if found["sd"] is None else f" ± {found['sd']:.2g}")
    return told if found["folds"] == folds else f"{told} ({found['folds']} folds)"
