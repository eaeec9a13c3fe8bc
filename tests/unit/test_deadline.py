"""What may still start, and what is interrupted."""

import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

import handlers.deadline
from handlers.deadline import Deadline, Interruption, OutOfTimeError

from .consumer_records import Context, session


class Clock:
    """A clock that only a test moves on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("handlers.deadline.time", SimpleNamespace(monotonic=made.monotonic))
    return made


@pytest.fixture
def alarms() -> Iterator[list[int]]:
    """Stand in for a handler of alarms that was there before, and yield what it was told."""
    told: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, note)
    yield told
    left, handler = alarm_set(), signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, *timer)
    assert left == 0, "no alarm is left"
    assert handler is note, "the handler from before is back"
    assert told == [], "no alarm came outside"


def alarm_set() -> float:
    """Return in how many seconds there is an alarm; 0 for never."""
    return signal.getitimer(signal.ITIMER_REAL)[0]


def deadline(seconds: float) -> Deadline:
    return Deadline(Context(seconds))


def wait_for_an_alarm() -> None:
    """Wait for what does not come, and long enough for an alarm that is due."""
    assert not threading.Event().wait(10)


# What may start


@pytest.mark.parametrize(
    ("seconds", "usable"), [(900, 899), (30, 29), (5, 4), (3, 2.4), (1, 0.8), (0.5, 0.4)]
)
def test_a_second_is_kept_and_of_short_times_a_fifth(clock: Clock, seconds: float, usable: float) -> None:
    made = deadline(seconds)
    assert made.whole == seconds
    clock.seconds += usable - 0.01
    assert made.has_room
    clock.seconds += 0.02
    assert not made.has_room


def test_nothing_starts_when_no_time_is_left(clock: Clock) -> None:
    assert not deadline(0).has_room


@given(seconds=st.floats(0.01, 900))
def test_most_of_the_time_is_always_used(seconds: float) -> None:
    made = deadline(seconds)
    assert made.has_room
    assert made.whole == pytest.approx(seconds, abs=0.001)


def test_another_starts_only_if_the_longest_until_now_would_be_done_in_time(
    clock: Clock, alarms: list[int]
) -> None:
    made = deadline(31)
    for took, room in [(4, True), (10, True), (2, True), (4, False), (0, False)]:
        made.run(partial(clock.move, took))
        assert made.has_room is room, (
            f"of 30 seconds {clock.seconds - 1000} are over, and the longest took 10"
        )


def test_one_that_would_be_done_at_the_last_moment_does_not_start(clock: Clock, alarms: list[int]) -> None:
    made = deadline(21)
    made.run(lambda: clock.move(10))
    assert not made.has_room


def test_one_that_failed_says_how_long_they_take_as_well(clock: Clock, alarms: list[int]) -> None:
    made = deadline(31)

    def work() -> None:
        clock.seconds += 20
        raise KeyError

    with pytest.raises(KeyError):
        made.run(work)
    assert not made.has_room


# What is interrupted


def test_one_that_is_still_at_work_at_the_end_is_interrupted(clock: Clock, alarms: list[int]) -> None:
    made = deadline(1)
    clock.seconds += 0.79
    with pytest.raises(OutOfTimeError, match=r"^the function's time was nearly over$"):
        made.run(wait_for_an_alarm)


def test_one_that_starts_after_the_end_is_interrupted_too(clock: Clock, alarms: list[int]) -> None:
    made = deadline(30)
    clock.seconds += 60
    with pytest.raises(OutOfTimeError):
        made.run(wait_for_an_alarm)


def test_what_ran_out_of_time_is_no_error_of_the_network() -> None:
    assert not issubclass(OutOfTimeError, OSError)


def test_what_catches_errors_to_try_again_does_not_catch_an_interruption(
    clock: Clock, alarms: list[int]
) -> None:
    made = deadline(30)
    clock.seconds += 60

    def work() -> None:
        with suppress(Exception):
            wait_for_an_alarm()

    with pytest.raises(OutOfTimeError):
        made.run(work)


@pytest.mark.parametrize("times", [1, 3])
def test_what_catches_an_interruption_and_goes_on_is_interrupted_again(
    clock: Clock, alarms: list[int], times: int
) -> None:
    made = deadline(30)
    clock.seconds += 60
    caught: list[BaseException] = []

    def work() -> None:
        while len(caught) < times:
            try:
                wait_for_an_alarm()
            except BaseException as error:  # noqa: BLE001 - as users write it
                caught.append(error)
        wait_for_an_alarm()

    with pytest.raises(OutOfTimeError):
        made.run(work)
    assert [type(each) for each in caught] == [Interruption] * times


def test_what_catches_an_interruption_and_is_done_is_done(
    clock: Clock, alarms: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.deadline.AGAIN_SECONDS", 60)
    made = deadline(30)
    clock.seconds += 60

    def work() -> str:
        with suppress(BaseException):
            wait_for_an_alarm()
        return "done"

    assert made.run(work) == "done"


def test_the_error_tells_where_the_code_hung(clock: Clock, alarms: list[int]) -> None:
    made = deadline(30)
    clock.seconds += 60
    with pytest.raises(OutOfTimeError) as raised:
        made.run(wait_for_an_alarm)
    where = raised.value.__cause__
    assert isinstance(where, Interruption)
    assert "wait_for_an_alarm" in [each.name for each in traceback.extract_tb(where.__traceback__)]


def test_a_client_of_aws_that_hangs_is_interrupted_and_does_not_try_again(
    alarms: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # Whoever connects waits for an answer, and nobody gives one.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = Config(read_timeout=6, retries={"mode": "standard", "total_max_attempts": 3})
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with closing(session().client("sqs", endpoint_url=url, config=config)) as client:
            with pytest.raises(OutOfTimeError) as raised:
                deadline(1).run(client.list_queues)
            assert isinstance(raised.value.__cause__, Interruption)
        silent.settimeout(10)
        silent.accept()[0].close()
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_the_alarm_is_set_to_the_end_and_not_to_a_record_s_own_time(clock: Clock, alarms: list[int]) -> None:
    made = deadline(31)
    for left in (30, 20):
        assert made.run(alarm_set) == pytest.approx(left, abs=5)
        clock.seconds += 10
        assert alarm_set() == 0


def test_what_the_users_code_raises_is_raised_as_it_is(clock: Clock, alarms: list[int]) -> None:
    error = RuntimeError("its own")

    def work() -> None:
        raise error

    with pytest.raises(RuntimeError) as raised:
        deadline(30).run(work)
    assert raised.value is error


def test_one_after_an_interrupted_one_can_be_interrupted_again(clock: Clock, alarms: list[int]) -> None:
    made = deadline(30)
    clock.seconds += 29
    for _ in range(2):
        with pytest.raises(OutOfTimeError):
            made.run(wait_for_an_alarm)


def test_an_alarm_that_comes_as_soon_as_it_is_set_leaves_nothing_behind(
    clock: Clock, alarms: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_alarm = signal.setitimer

    def set_and_wait(which: int, seconds: float, again: float = 0) -> None:
        set_alarm(which, seconds, again)
        if seconds:
            wait_for_an_alarm()

    monkeypatch.setattr("signal.setitimer", set_and_wait)
    made = deadline(30)
    clock.seconds += 60
    with pytest.raises(OutOfTimeError):
        made.run(lambda: pytest.fail("it is too late to begin"))
    monkeypatch.undo()


@pytest.mark.parametrize("error", [None, KeyError("its own")])
def test_an_alarm_that_comes_while_it_is_taken_off_changes_nothing(
    clock: Clock, alarms: list[int], monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    set_alarm = signal.setitimer
    rung = 0

    def ring_and_set(which: int, seconds: float, again: float = 0) -> None:
        nonlocal rung
        if not seconds and not rung:
            rung += 1
            signal.raise_signal(signal.SIGALRM)
        set_alarm(which, seconds, again)

    def work() -> None:
        if error:
            raise error

    monkeypatch.setattr("signal.setitimer", ring_and_set)
    raised = None
    try:
        deadline(30).run(work)
    except KeyError as own:
        raised = own
    finally:
        set_alarm(signal.ITIMER_REAL, 0)
        monkeypatch.undo()
    assert raised is error
    assert rung == 1


def test_another_thread_is_not_interrupted_and_sets_no_alarm(clock: Clock, alarms: list[int]) -> None:
    made = deadline(30)
    clock.seconds += 60
    seen: list[Any] = []

    def work() -> None:
        made.run(lambda: seen.append((alarm_set(), signal.getsignal(signal.SIGALRM))))

    thread = threading.Thread(target=work)
    before = signal.getsignal(signal.SIGALRM)
    thread.start()
    thread.join(10)
    assert seen == [(0, before)]


def test_the_time_of_another_thread_s_work_counts(clock: Clock) -> None:
    made = deadline(31)

    def work() -> None:
        made.run(lambda: clock.move(16))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert not made.has_room


@pytest.mark.parametrize(("left", "moment"), [(30.0, 29.5), (2.0, 1.8)])
def test_there_is_a_moment_until_half_of_the_reserve_is_gone(
    left: float, moment: float, clock: Clock
) -> None:
    made, begun = deadline(left), clock.seconds
    found = []
    for passed in (0.0, moment - 0.01, moment + 0.01):
        clock.seconds = begun + passed
        found.append(made.has_moment)
    assert found == [True, True, False]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("place", range(10, 25))
def test_wherever_an_alarm_comes_none_is_left_and_the_handler_from_before_is_back(
    alarms: list[int], place: int, fails: bool
) -> None:
    made, lines = deadline(30), 0

    def work() -> None:
        if fails:
            raise KeyError

    def ring(frame: FrameType, event: str, _value: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != handlers.deadline.__file__ or event == "call":
            return ring
        lines += 1
        # It comes only where one is set.
        if lines == place and alarm_set():
            sys.settrace(None)
            signal.raise_signal(signal.SIGALRM)
        return ring

    tracing = sys.gettrace()
    sys.settrace(ring)
    try:
        with suppress(OutOfTimeError, KeyError):
            made.run(work)
    finally:
        sys.settrace(tracing)
    assert alarm_set() == 0
