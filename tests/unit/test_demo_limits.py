"""What the limiter's demo takes down of each client, and when it says that something holds."""

import itertools

import pytest

from local import demo
from local.demo_limits import BUSY_SECONDS, QUIET_SECONDS, VISITORS, WAITING_SECONDS, Visit, pause
from sluice.limiter.clients import Identity, family

LIMIT = 3


def visit(*, busy: bool = True) -> Visit:
    return Visit("somebody", "198.51.100.7", busy)


def seen(*answers: tuple[int, float], busy: bool = True) -> Visit:
    one = visit(busy=busy)
    for status, when in answers:
        one.see(status, when, LIMIT)
    return one


def test_answers_are_told_apart() -> None:
    one = seen((202, 1.0), (429, 2.0), (500, 3.0), (202, 4.0), (403, 5.0))

    assert (one.requests, one.accepted, one.refused, one.others) == (5, 2, 1, 2)


def test_the_crossing_is_the_request_that_uses_up_the_limit_and_no_later_one() -> None:
    one = seen((202, 1.0), (500, 1.5), (202, 2.0), (202, 3.0), (202, 4.0))

    assert one.crossed == 3.0


def test_a_quiet_client_crosses_nothing() -> None:
    assert seen(*[(202, float(second)) for second in range(9)], busy=False).crossed is None


def test_the_first_429_and_the_first_acceptance_after_it_are_kept() -> None:
    one = seen((202, 1.0), (429, 2.0), (429, 3.0), (202, 4.0), (429, 5.0), (202, 6.0))

    assert (one.first_429, one.released) == (2.0, 4.0)


def test_what_was_accepted_before_any_429_is_no_release() -> None:
    assert seen((202, 1.0), (202, 2.0)).released is None


@pytest.mark.parametrize(
    ("crossed", "first_429", "after"),
    [(None, None, None), (1.0, None, None), (None, 2.0, None), (1.0, 2.5, 1.5)],
)
def test_how_long_it_took_to_block_is_known_where_both_times_are(
    crossed: float | None, first_429: float | None, after: float | None
) -> None:
    one = visit()
    one.crossed, one.first_429 = crossed, first_429

    assert one.blocked_after == after


@pytest.mark.parametrize(
    ("room_at", "released", "after"),
    [(None, None, None), (1.0, None, None), (None, 2.0, None), (3.0, 2.0, -1.0)],
)
def test_how_long_it_took_to_release_is_known_where_both_times_are(
    room_at: float | None, released: float | None, after: float | None
) -> None:
    one = visit()
    one.room_at, one.released = room_at, released

    assert one.released_after == after


def test_a_busy_client_slows_down_when_it_is_refused_and_again_when_it_is_free() -> None:
    one = visit()
    waits = [pause(one)]
    for status in (202, 429, 429, 202, 429):
        one.see(status, 1.0, LIMIT)
        waits.append(pause(one))

    assert waits == [
        BUSY_SECONDS,
        BUSY_SECONDS,
        WAITING_SECONDS,
        WAITING_SECONDS,
        QUIET_SECONDS,
        QUIET_SECONDS,
    ]
    assert pause(visit(busy=False)) == QUIET_SECONDS


def test_every_visitor_stays_the_client_that_it_is_said_to_be() -> None:
    for visitor in VISITORS:
        addresses = [visitor.address(number) for number in range(500)]
        assert {Identity().clients(each) for each in addresses} == {(visitor.client,)}
    hopping = [visitor for visitor in VISITORS if visitor.busy and ":" in visitor.client]
    assert [len({each.address(number) for number in range(500)}) for each in hopping] == [500]


def test_the_busy_ones_begin_one_after_the_other() -> None:
    """Each needs a write of an IP set of its own, of which WAF takes one a second."""
    begins = sorted(visitor.delay for visitor in VISITORS if visitor.busy)

    assert all(later - earlier > 1.0 for earlier, later in itertools.pairwise(begins))
    assert len({family(visitor.client) for visitor in VISITORS if visitor.busy}) == len(begins)


def crowd(
    first_429: float | None = 4.0,
    released: float | None = 24.0,
    *,
    refused: int = 0,
    others: int = 0,
    crossed: float | None = 2.0,
) -> list[Visit]:
    """Return what two busy clients and a neighbour saw; the second busy one and the neighbour as given."""
    busy = Visit("a", "192.0.2.1", True, 50, 40, 10, 0, 1.0, 2.0, 20.0, 21.0)
    second = Visit("b", "192.0.2.2", True, 50, 40, 10, 0, crossed, first_429, 20.0, released)
    quiet = Visit("c", "192.0.2.3", False, 20, 20 - refused - others, refused, others)
    return [busy, second, quiet]


@pytest.mark.parametrize(
    ("first_429", "ok"), [(2.0, True), (5.0, True), (5.01, False), (9.0, False), (None, False)]
)
def test_who_asks_too_often_has_to_be_blocked_in_time(first_429: float | None, ok: bool) -> None:
    check = demo.blocked(crowd(first_429=first_429))

    assert check.ok is ok
    assert check.detail == {"192.0.2.1": 1.0, "192.0.2.2": crowd(first_429=first_429)[1].blocked_after}


def test_who_never_used_up_its_limit_does_not_pass_for_blocked() -> None:
    assert not demo.blocked(crowd(crossed=None)).ok


@pytest.mark.parametrize(
    ("released", "ok"),
    [(20.0, True), (25.0, True), (25.01, False), (40.0, False), (19.9, False), (None, False)],
    ids=["at once", "in time", "late", "very late", "early", "never"],
)
def test_who_is_blocked_has_to_be_free_in_time_and_not_before(released: float | None, ok: bool) -> None:
    assert demo.released(crowd(released=released)).ok is ok


@pytest.mark.parametrize(
    ("refused", "others", "ok"), [(0, 0, True), (1, 0, False), (0, 1, False), (20, 0, False)]
)
def test_nobody_else_may_notice(refused: int, others: int, ok: bool) -> None:
    check = demo.left_alone(crowd(refused=refused, others=others))

    assert check.ok is ok
    assert check.detail == {"192.0.2.3": f"{20 - refused - others} of 20"}


def test_a_demo_to_which_nobody_came_shows_nothing() -> None:
    for check in (demo.blocked([]), demo.released([]), demo.left_alone([])):
        assert not check.ok


def test_a_neighbour_that_never_asked_does_not_pass_for_left_alone() -> None:
    silent = Visit("c", "192.0.2.3", False)

    assert not demo.left_alone([silent]).ok


def test_the_clients_are_shown_with_their_times(capsys: pytest.CaptureFixture[str]) -> None:
    visits = crowd(first_429=None, released=None)

    demo.show(demo.Report(ok=False, seconds={"deploy": 1.0, "total": 2.0}, checks=[], clients=visits))

    rows = [line for line in capsys.readouterr().out.splitlines() if "192.0.2." in line]
    assert [row.replace("│", " ").split() for row in rows] == [
        ["192.0.2.1,", "a", "50", "40", "10", "1.0", "2.0", "20.0", "21.0"],
        ["192.0.2.2,", "b", "50", "40", "10", "2.0", "20.0"],
        ["192.0.2.3,", "c", "20", "20", "0"],
    ]
