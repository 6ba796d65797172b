"""An output is written whole or not at all, and what a killed process left of one goes with the next."""

import signal
import subprocess
import sys

import pytest

from stages.lib.files import whole

BEGINS = """
import sys, time
from pathlib import Path
from stages.lib.files import whole
with whole(Path(sys.argv[1])) as begun:
    begun.write_text("half")
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """A process that has begun to write the table, and goes on for ever."""
    command = [sys.executable, "-c", BEGINS, str(tmp_path / "table")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failure_leaves_what_was_there(tmp_path):
    (tmp_path / "table").write_text("old")

    def failing():
        with whole(tmp_path / "table") as begun:
            begun.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert names(tmp_path) == ["table"]
    assert (tmp_path / "table").read_text() == "old"


def test_what_a_killed_process_left_is_removed_by_the_next(writer, tmp_path):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(names(tmp_path)) == 1
    with whole(tmp_path / "table") as begun:
        begun.write_text("whole")
    assert names(tmp_path) == ["table"]


def test_what_a_living_process_writes_is_left_alone(writer, tmp_path):
    (tmp_path / ".table.mine").mkdir()
    with whole(tmp_path / "table") as begun:
        begun.write_text("whole")
    left, *rest = names(tmp_path)
    assert (tmp_path / left / "table").read_text() == "half"
    assert rest == [".table.mine", "table"]
    assert writer.poll() is None
