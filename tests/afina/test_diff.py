"""afina diff: two revisions or experiments of a real git and DVC project, whose answers a script makes up."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from afina.__main__ import cli
from stages.plumbing.problem import Problem

ROOT = Path(__file__).parents[2]

# Stands in for the pipeline: rows by split.seed, answers that keep more words of the reference with a greater lora.r,
# and one more with another train.seed.
SCRIPT = """
import sys, polars as pl, yaml
params = yaml.safe_load(open("params.yaml"))
r, seed, chance = params["lora"]["r"], params["split"]["seed"], params["train"]["seed"]
if sys.argv[1] == "split":
    # Seed 2 deals other rows: 20 of them are rows of seed 1, too, and of these one has another response.
    ids = list(range(1, 41)) if seed == 1 else list(range(21, 61)) if seed == 2 else list(range(100, 140))
    text = ["Cadeira %d de madeira clara com assento largo e firme" % i for i in ids]
    if seed == 2:
        text[0] = "Outra resposta"
    table = pl.DataFrame({"row_id": ids, "line": ids, "title": ["Cadeira %d" % i for i in ids], "response": text})
    table.write_parquet("data/split/test.parquet")
else:
    rows = pl.read_parquet("data/split/test.parquet")
    def answer(i, text):
        words = text.split()
        return " ".join(words[: 2 + chance + i % 3 + (r > 16) * (3 if i % 5 else -2)])
    said = [answer(i, text) for i, text in zip(rows["row_id"], rows["response"])]
    size, loss = [9 + (r == 64) for _ in said], [9.0 / (1 + (r > 16)) + i % 3 for i in rows["row_id"]]
    pl.DataFrame({"row_id": rows["row_id"], "prompt": rows["title"], "reference": rows["response"], "prediction": said,
        "tokens": size, "finish": ["eos"] * len(said), "reference_nll": loss,
        "reference_tokens": size}).write_parquet("data/predictions/tuned.parquet")
"""
DAG = {
    "stages": {
        "split": {
            "cmd": "python make.py split",
            "deps": ["make.py"],
            "params": ["split"],
            "outs": ["data/split/test.parquet"],
        },
        "predict": {
            "cmd": "python make.py predict",
            "deps": ["data/split/test.parquet", "make.py"],
            "params": ["lora", "train"],
            "outs": ["data/predictions/tuned.parquet"],
        },
    }
}


def call(*words, cwd, check=True):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def dvc(*words, cwd):
    return call(sys.executable, "-m", "dvc", *words, cwd=cwd)


def diff(*words, cwd):
    """What the command prints, in this process; a Problem goes through."""
    printed = io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(printed):
        cli(["diff", *words], standalone_mode=False)
    return printed.getvalue()


def compared(*words, cwd):
    return json.loads(diff(*words, "--json", cwd=cwd))


def refused(*words, cwd):
    with pytest.raises(Problem) as told:
        diff(*words, cwd=cwd)
    return str(told.value)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a commit before any run, a commit of a run, and experiments with other parameters."""
    target = tmp_path_factory.mktemp("diff") / "project"
    for folder in ("data/split", "data/predictions", ".dvc"):
        (target / folder).mkdir(parents=True)
    recipe = (ROOT / "recipes/local.yaml").read_text("utf-8")
    (target / "params.yaml").write_text(recipe, "utf-8")
    (target / "make.py").write_text(SCRIPT, "utf-8")
    (target / "dvc.yaml").write_text(yaml.safe_dump(DAG), "utf-8")
    (target / ".dvc/config").write_text(
        "[core]\n    analytics = false\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n"
    )
    (target / ".dvc/.gitignore").write_text("/cache\n/config.local\n/tmp\n")
    for words in (["init", "-q", "-b", "main"], ["config", "user.name", "Test"], ["config", "user.email", "t@t"]):
        call("git", *words, cwd=target)
    call("git", "add", "-A", cwd=target)
    call("git", "commit", "-qm", "Begin", cwd=target)
    call("git", "tag", "nothing-ran", cwd=target)
    dvc("repro", "-q", cwd=target)
    call("git", "add", "-A", cwd=target)
    call("git", "commit", "-qm", "Run", cwd=target)
    dvc("exp", "run", "-q", "-n", "wider", "-S", "lora.r=32", cwd=target)
    dvc("exp", "run", "-q", "-n", "seed", "-S", "lora.r=16", "-S", "train.seed=2", cwd=target)
    dvc("exp", "run", "-q", "-n", "others", "-S", "train.seed=1", "-S", "lora.r=32", "-S", "split.seed=2", cwd=target)
    dvc("exp", "run", "-q", "-n", "strangers", "-S", "split.seed=3", cwd=target)
    dvc("exp", "run", "-q", "-n", "tokens", "-S", "lora.r=64", "-S", "split.seed=1", cwd=target)
    call("git", "checkout", "-q", "-f", ".", cwd=target)
    dvc("checkout", "-q", "-f", cwd=target)
    return target


def test_an_experiment_is_compared_with_a_commit_row_by_row(project):
    found = compared("main", "wider", "--rows", "2", cwd=project)
    assert (found["a"]["revision"], found["a"]["rows"]) == ("main", 40)
    assert found["rows"] == {"compared": 40, "other_reference": 0}
    # References have 10 words; A writes the first 3, 4 or 5, B three more, or two fewer in each fifth row.
    rouge = found["metrics"]["rougeL"]
    assert rouge["a"] == pytest.approx(sum(2 * (3 + i % 3) / (13 + i % 3) for i in range(1, 41)) / 40, abs=1e-6)
    assert rouge["verdict"] == "better"
    assert 0 < rouge["low"] < rouge["delta"] < rouge["high"]
    assert rouge["p_holm"] == pytest.approx(7 / 1001, abs=1e-6)
    assert found["metrics"]["perplexity"]["verdict"] == "better"
    assert found["metrics"]["perplexity"]["delta"] < 0
    assert "verdict" not in found["metrics"]["exact_match"]
    assert found["params"] == {"lora.r": {"a": 16, "b": 32}}
    assert found["left_out"] == {}
    assert [len(found[key]) for key in ("better", "worse")] == [2, 2]
    assert all(row["b"]["value"] > row["a"]["value"] for row in found["better"])
    # Of 3 words one is left: rows 15 and 30 lose most.
    assert [row["row_id"] for row in found["worse"]] == [15, 30]
    assert found["worse"][0]["a"]["text"] == "Cadeira 15 de"
    assert found["worse"][0]["b"]["text"] == "Cadeira"
    assert found["worse"][0]["inputs"] == "Cadeira 15"


def test_it_is_the_comparison_that_eval_makes(project):
    import polars as pl

    from stages.lib.comparison import evaluate
    from stages.lib.metrics import Metrics

    side = {name: project / f"{name}.parquet" for name in ("wider", "main")}
    for name, path in side.items():
        lock = yaml.safe_load(call("git", "show", f"{commit(project, name)}:dvc.lock", cwd=project).stdout)
        digest = lock["stages"]["predict"]["outs"][0]["md5"]
        shutil.copy(project / ".dvc/cache/files/md5" / digest[:2] / digest[2:], path)
    asked = pl.read_parquet(project / "data/split/test.parquet")
    params = Metrics.model_validate(yaml.safe_load((project / "params.yaml").read_text("utf-8"))["metrics"])
    tables = [pl.read_parquet(side[name]) for name in ("main", "wider")]
    wanted = evaluate(asked, asked, *tables, params).differences["all"]["baseline"]
    found = compared("main", "wider", cwd=project)["metrics"]
    for name, row in wanted.items():
        for key in ("delta", "low", "high", "p", "verdict"):
            assert found[name][key] == pytest.approx(getattr(row, key), abs=1e-6), (name, key)
    for path in side.values():
        path.unlink()


def commit(project, name):
    listed = call("git", "for-each-ref", "--format=%(objectname) %(refname)", cwd=project).stdout.splitlines()
    return next(line.split()[0] for line in listed if line.endswith(f"/{name}"))


def test_a_person_reads_verdict_table_rows_and_parameters(project):
    text = diff("main", "wider", "--rows", "1", cwd=project)
    assert "B is better than A: rougeL" in text
    assert "compared on the 40 rows that both answer" in text
    assert "Rows that got better by rougeL:" in text
    assert "B 0.182   Cadeira" in text  # 2 × 1 / (1 + 10)
    assert "  lora.r  16 → 32" in text


def test_it_says_that_the_interval_is_not_about_chance_in_training(project):
    text = diff("main", "wider", cwd=project)
    assert "another train.seed would have made other models" in " ".join(text.split())
    assert compared("main", "wider", cwd=project)["notes"][0].endswith("before you build on a small difference.")


def test_of_two_seeds_it_says_that_chance_made_the_difference(project):
    found = compared("main", "seed", cwd=project)
    assert found["params"] == {"train.seed": {"a": 1, "b": 2}}
    assert found["metrics"]["rougeL"]["verdict"] == "better"
    assert found["notes"] == [
        "A and B differ in train.seed alone: a difference of this size is what chance in training makes."
    ]
    assert found["notes"][0] in diff("main", "seed", "--rows", "0", cwd=project)


def test_hashes_name_revisions_as_well_and_the_workspace_is_the_other_side(project):
    found = compared(commit(project, "wider")[:10], cwd=project)
    assert found["b"] == {"commit": None, "revision": "workspace", "rows": 40}
    assert found["metrics"]["rougeL"]["verdict"] == "worse"


def test_a_revision_is_equal_to_itself(project):
    assert "A and B are equal, row by row" in diff("HEAD", cwd=project)
    found = compared("HEAD", cwd=project)
    assert {row["delta"] for row in found["metrics"].values()} == {0}
    assert found["params"] == {}
    assert found["better"] == found["worse"] == found["notes"] == []


def test_of_other_test_sides_the_common_rows_are_compared_and_counted(project):
    found = compared("main", "others", cwd=project)
    assert found["rows"] == {"compared": 19, "other_reference": 1}
    assert found["params"] == {"lora.r": {"a": 16, "b": 32}, "split.seed": {"a": 1, "b": 2}}
    assert "1 more have another reference in B: left out" in diff("main", "others", cwd=project)


def test_without_common_rows_there_is_no_comparison(project):
    said = refused("main", "strangers", cwd=project)
    assert "no row that both answer: 40 rows and 40 rows" in said
    assert "the same section split" in said


def test_perplexity_of_other_tokens_is_left_out(project):
    found = compared("wider", "tokens", cwd=project)
    assert found["left_out"] == {"perplexity": "the two base models cut texts into different tokens"}
    assert "perplexity" not in found["metrics"]
    assert "perplexity, which is left out: the two base models" in refused(
        "wider", "tokens", "--metric", "perplexity", cwd=project
    )


def test_what_cannot_be_compared_is_told_without_a_traceback(project, tmp_path):
    said = call(sys.executable, "-m", "afina", "diff", "nowhere", cwd=project, check=False)
    assert (said.returncode, said.stdout) == (1, "")
    assert "Traceback" not in said.stderr
    assert "unknown Git revision 'nowhere'" in refused("nowhere", cwd=project)
    assert "no stage predict in its dvc.lock" in refused("nothing-ran", cwd=project)
    assert "one of rouge1, rouge2" in refused("main", "--metric", "rouge9", cwd=project)
    assert "a DVC project in git" in refused("main", cwd=tmp_path)


def test_a_clone_takes_what_its_cache_lacks_from_the_remote_or_says_that_it_cannot(project, tmp_path):
    clone = tmp_path / "elsewhere/clone"
    call("git", "clone", "-q", str(project), str(clone), cwd=tmp_path)
    said = refused("HEAD", cwd=clone)
    assert "data/split/test.parquet of revision HEAD" in said
    assert "not in the cache, and not to be had" in said
    assert "dvc push" in said
    dvc("remote", "add", "-q", "--local", "mine", str(tmp_path / "storage"), cwd=project)
    dvc("push", "-q", "-r", "mine", cwd=project)
    dvc("remote", "add", "-q", "--local", "-d", "mine", str(tmp_path / "storage"), cwd=clone)
    assert compared("HEAD", cwd=clone)["rows"]["compared"] == 40
    (clone / ".dvc/config.local").write_text("[core]\n    remote = none-such\n")
    shutil.rmtree(clone / ".dvc/cache")
    assert "not to be had: " in refused("HEAD", cwd=clone)
