from hypothesis import given
from hypothesis import strategies as st

from sluice.retrier.rules import LATENESS_MS, MS, Pace


@given(st.integers(1, 100_000), st.integers(1, 86_400), st.integers(1, 10_000))
def test_a_window_that_begins_with_a_late_call_holds_no_more_calls_than_are_allowed(
    calls: int, seconds: int, burst: int
) -> None:
    step = Pace(calls, seconds, burst).step_ms
    window = seconds * MS + LATENESS_MS
    assert (step - 1) * calls < window <= step * calls, "and no fewer than whole milliseconds can tell"


def test_a_pace_that_does_not_divide_evenly_is_rounded_to_the_slower() -> None:
    assert [Pace(calls, 1, 1).step_ms for calls in (9, 10, 11)] == [117, 105, 96]


def test_a_burst_comes_as_much_earlier_as_it_would_take_evenly_spaced() -> None:
    assert [Pace(10, 1, burst).tolerance_ms for burst in (1, 2, 4)] == [0, 105, 315]
