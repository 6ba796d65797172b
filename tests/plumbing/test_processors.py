"""Only the processors that a process may use are counted."""

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone says which processors a process may use")
def test_processors_that_a_container_keeps_from_us_are_not_counted():
    code = """
import os
from stages.plumbing.processors import available
print(available() == len(os.sched_getaffinity(0)))
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(available())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "1"]
