"""The state of an unfinished training belongs to one run, and survives what kills it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

from stages.lib import identity
from stages.lib.resumption import COMPLETE, clear_unfinished, keeper, last_complete
from stages.lib.workplaces import clear, ingredients, main_checkout, strangers, workplace

TOLD = {"params lora": "a", "rows train.parquet": "b"}


def test_an_experiment_in_a_copy_keeps_its_state_in_the_main_checkout(tmp_path):
    copy = tmp_path / ".dvc/tmp/exps/tmpabc"
    copy.mkdir(parents=True)
    assert main_checkout(copy) == tmp_path.resolve()
    assert main_checkout(tmp_path) == tmp_path.resolve()


def test_the_same_run_finds_its_folder_again_and_another_run_does_not(tmp_path):
    with workplace("train", TOLD, tmp_path) as first:
        (first / "state").touch()
    with workplace("train", TOLD, tmp_path) as again:
        assert (again / "state").exists()
    with workplace("train", TOLD | {"params lora": "c"}, tmp_path) as other:
        assert other != first
        assert not (other / "state").exists()


def test_a_state_that_is_not_resumed_says_why(tmp_path):
    with workplace("train", TOLD, tmp_path) as folder:
        pass
    assert strangers(folder.parent, TOLD | {"params lora": "c"}) == [
        f"in {folder.name} is not resumed: it differs in params lora"
    ]


def test_a_finished_run_leaves_nothing(tmp_path):
    with workplace("train", TOLD, tmp_path) as folder:
        clear(folder)
    assert [path.suffix for path in folder.parent.iterdir()] == [".lock"]


def test_a_checkpoint_that_was_not_saved_to_its_end_is_never_resumed(tmp_path):
    for step in (90, 100, 1000):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (90, 100):
        (tmp_path / f"checkpoint-{step}" / COMPLETE).touch()
    assert last_complete(tmp_path) == tmp_path / "checkpoint-100"
    clear_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-100", "checkpoint-90"]
    assert last_complete(tmp_path / "none") is None


def test_a_second_trainer_of_the_same_run_waits_for_the_first(tmp_path):
    code = textwrap.dedent(f"""
        from pathlib import Path
        from stages.lib.workplaces import workplace
        with workplace("train", {TOLD!r}, Path({str(tmp_path)!r})):
            print("inside", flush=True)
    """)
    with workplace("train", TOLD, tmp_path):
        second = subprocess.Popen(
            [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
        )
        assert "another process is at this very train already" in second.stdout.readline()
        time.sleep(0.2)
        assert second.poll() is None
    assert second.communicate(timeout=60)[0].strip() == "inside"
    assert second.returncode == 0


def test_a_signal_stops_at_the_next_logged_step_with_everything_saved():
    stop = keeper(every=5)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        control = SimpleNamespace(should_save=False, should_training_stop=False)
        stop.on_step_end(None, SimpleNamespace(global_step=7, max_steps=20), control)
        assert not control.should_training_stop
        stop.on_step_end(None, SimpleNamespace(global_step=10, max_steps=20), control)
        assert control.should_training_stop
        assert control.should_save
        assert stop.asked == "SIGTERM"
        assert stop.stopped(SimpleNamespace(global_step=10, max_steps=20))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_run_is_another_one_when_any_code_of_its_stage_is(monkeypatch):
    """Also what a stage imports no sooner than it needs it."""
    hashed = []
    monkeypatch.setattr(identity, "sha256", lambda path: hashed.append(path.name) or "0")
    ingredients(identity.ROOT / "stages/train.py", {}, [], {})
    assert {"train.py", "fitting.py", "summed_loss.py", "fused_lora.py"} <= set(hashed)
