"""Only the processors that a process may use are counted; a stream is worked on by several, and stays in order."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.plumbing.processors import in_order, read_ahead


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


@given(st.lists(st.none() | st.integers()), st.integers(1, 4))
def test_results_come_in_the_order_of_the_parts(parts, at_once):
    with ThreadPoolExecutor(at_once) as pool, ThreadPoolExecutor(1) as reader:
        results = in_order(pool, at_once, lambda part: (part, time.sleep(hash(part) % 3 / 2000)), iter(parts))
        assert [part for part, _ in results] == parts
        assert list(read_ahead(reader, parts)) == parts


@given(st.integers(1, 4))
def test_no_more_parts_are_fetched_than_are_worked_on_and_one(at_once):
    fetched = 0

    def parts():
        nonlocal fetched
        for _ in range(20):
            fetched += 1
            yield fetched

    with ThreadPoolExecutor(at_once) as pool:
        for taken, _ in enumerate(in_order(pool, at_once, str, parts()), 1):
            assert fetched <= taken + at_once


def test_what_stops_the_reading_or_the_work_stops_the_stream_after_what_came_before():
    def parts():
        yield from (1, 2)
        raise OSError("cut")

    with ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(1) as reader:
        read = read_ahead(reader, parts())
        assert [next(read), next(read)] == [1, 2]
        with pytest.raises(OSError, match="cut"):
            next(read)
        worked = in_order(pool, 2, lambda part: 6 / part, [3, 2, 0, 1])
        assert [next(worked), next(worked)] == [2, 3]
        with pytest.raises(ZeroDivisionError):
            next(worked)
