"""The stage base as a process: it brings a model from a hub, says which commit it was, or says why it cannot."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.hub import Hub
from tests.shapes import llama, saved

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with Hub() as served:
        served.publish("someone/model", saved(tmp_path_factory.mktemp("published"), llama(), "causal"))
        yield served


def base(here: Path, hub: Hub, limit: int | None = None, **model: object) -> subprocess.CompletedProcess:
    """Run the stage in the folder `here`; `limit` is the largest file, in bytes, that it may write."""
    recipe = yaml.safe_load((ROOT / "recipes/products-tinyllama-chat.yaml").read_text("utf-8"))
    recipe["model"] |= {"name": "someone/model", "revision": None, "threads": 1} | model
    (here / "params.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), "utf-8")
    command = [sys.executable, "-m", "stages.base", str(ROOT / "data/samples/corpus.txt"), "models/base", "base.json"]
    return subprocess.run(
        command,
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | hub.environment(here / "cache") | {"PYTHONPATH": str(ROOT)},
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )


@pytest.fixture(scope="module")
def made(hub, tmp_path_factory):
    """A folder in which the stage ran, and what it printed."""
    here = tmp_path_factory.mktemp("made")
    done = base(here, hub)
    assert done.returncode == 0, done.stderr
    return here, done.stdout


def test_the_commit_is_said_and_kept_and_can_be_pinned(made, hub, tmp_path):
    here, said = made
    commit = hub.repositories["someone/model"].names["main"]
    assert f"{commit} (pin it: revision: {commit})" in said
    told = json.loads((here / "base.json").read_text())
    assert (told["name"], told["revision"], told["commit"]) == ("someone/model", None, commit)
    assert (here / "models/base/model.safetensors").is_file()
    again = base(tmp_path, hub, revision=commit)
    assert again.returncode == 0, again.stderr
    assert "pin it" not in again.stdout
    assert json.loads((tmp_path / "base.json").read_text())["sha256"] == told["sha256"]


def test_what_cannot_be_had_is_one_message_and_leaves_nothing(hub, tmp_path):
    done = base(tmp_path, hub, name="nobody/nothing")
    assert done.returncode == 1
    assert "✗ base: params.yaml, model: nobody/nothing" in done.stderr
    assert "no such model, or a private one" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "models/base").exists()
    assert not (tmp_path / "base.json").exists()


def test_a_full_disk_is_one_message_and_leaves_what_was_there(made, hub):
    here, _ = made
    before = {name: (here / name).read_bytes() for name in ("base.json", "models/base/model.safetensors")}
    done = base(here, hub, limit=100_000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    assert {name: (here / name).read_bytes() for name in before} == before
    assert [path.name for path in (here / "models").iterdir()] == ["base"]
