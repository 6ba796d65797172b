"""A limit on a share counts the limit in, whatever the share and the number of rows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lib.expectations import mostly


def met(share: float, offending: int, rows: int) -> bool:
    """Whether Great Expectations calls it a success: it compares what the rows reach with `mostly`, as floats."""
    return (rows - offending) / rows >= mostly(share, rows)


@given(st.integers(0, 10**9), st.integers(1, 10**9))
@settings(max_examples=1000, deadline=None)
def test_rows_that_are_just_the_share_may_offend_and_one_more_may_not(offending, rows):
    offending %= rows
    assert met(offending / rows, offending, rows)
    assert not met(offending / rows, offending + 1, rows)


@given(st.integers(0, 1000), st.integers(1, 10**6))
@settings(max_examples=1000, deadline=None)
def test_of_a_share_in_thousandths_as_many_rows_may_offend_as_whole_numbers_say(thousandths, rows):
    allowed = thousandths * rows // 1000
    assert met(thousandths / 1000, allowed, rows)
    assert allowed == rows or not met(thousandths / 1000, allowed + 1, rows)


def test_of_no_rows_none_offends():
    assert mostly(0.2, 0) == 0.8
