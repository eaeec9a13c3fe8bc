from dataclasses import replace

import pytest
from multidict import CIMultiDict, MultiDict

from local import stage_cache
from local.domains import Target
from local.gateway_responses import Answer
from local.stage_cache import LARGEST_ENTRY, WARNING, Asked, StageCaches, Visit, Wish, warned, wish_of
from local.stages import Caching

TARGET = Target("abc", "v1")
PARAMETERS = (
    "method.request.path.id",
    "method.request.querystring.page",
    "method.request.header.Accept-Language",
)
CACHING = Caching(60, "r1", PARAMETERS)
ANSWER = Answer(200, {"ETag": "e"}, b"kept")
SIGNED = "AWS4-HMAC-SHA256 Credential=..."


def asked(order: str = "7", query: str = "", **headers: str) -> Asked:
    pairs = [(name, value) for name, _, value in (each.partition("=") for each in query.split("&") if each)]
    given = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Asked({"id": order}, MultiDict(pairs), given)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def caches() -> tuple[StageCaches, Clock]:
    clock = Clock()
    return StageCaches(clock), clock


def filled(caching: Caching = CACHING, given: Asked | None = None) -> tuple[StageCaches, Clock]:
    made, clock = caches()
    made.keep(made.visit(TARGET, caching, given or asked()), ANSWER)
    return made, clock


def test_the_first_request_is_answered_by_the_back_end() -> None:
    visit = caches()[0].visit(TARGET, CACHING, asked())

    assert (visit.needs_back_end, visit.kept) == (True, None)


def test_the_next_one_gets_what_was_kept() -> None:
    visit = filled()[0].visit(TARGET, CACHING, asked())

    assert (visit.needs_back_end, visit.kept) == (False, ANSWER)


def test_an_answer_is_kept_for_its_time_and_no_longer() -> None:
    made, clock = filled()

    clock.now += 59.9
    assert made.visit(TARGET, CACHING, asked()).kept
    clock.now += 0.1
    assert made.visit(TARGET, CACHING, asked()).needs_back_end


@pytest.mark.parametrize(
    "other",
    [
        asked("8"),
        asked(query="page=2"),
        asked(query="page="),
        asked(Accept_Language="de"),
    ],
    ids=["path", "query", "empty is not absent", "header"],
)
def test_requests_that_differ_in_a_key_parameter_have_answers_of_their_own(other: Asked) -> None:
    assert filled()[0].visit(TARGET, CACHING, other).needs_back_end


def test_every_value_of_a_parameter_counts() -> None:
    made, _ = filled(given=asked(query="page=1&page=2"))

    assert made.visit(TARGET, CACHING, asked(query="page=1&page=2")).kept
    for other in ("page=1", "page=2", "page=2&page=1"):
        assert made.visit(TARGET, CACHING, asked(query=other)).needs_back_end


def test_what_is_no_key_parameter_tells_no_requests_apart() -> None:
    assert filled()[0].visit(TARGET, CACHING, asked(query="sort=up", Authorization="Bearer x")).kept


def test_without_key_parameters_all_orders_share_one_answer() -> None:
    caching = replace(CACHING, key_parameters=())

    assert filled(caching)[0].visit(TARGET, caching, asked("8")).kept


@pytest.mark.parametrize(
    ("target", "caching"),
    [
        (Target("abc", "v2"), CACHING),
        (Target("xyz", "v1"), CACHING),
        (TARGET, replace(CACHING, namespace="r2")),
    ],
    ids=["stage", "api", "namespace"],
)
def test_another_stage_api_or_namespace_is_another_cache(target: Target, caching: Caching) -> None:
    assert filled()[0].visit(target, caching, asked()).needs_back_end


@pytest.mark.parametrize(
    ("status", "kept"), [(200, True), (203, True), (304, False), (404, False), (500, False), (301, False)]
)
def test_only_success_is_kept(status: int, kept: bool) -> None:
    made, _ = caches()
    made.keep(made.visit(TARGET, CACHING, asked()), replace(ANSWER, status=status))

    assert (made.visit(TARGET, CACHING, asked()).kept is not None) == kept


@pytest.mark.parametrize(("size", "kept"), [(LARGEST_ENTRY, True), (LARGEST_ENTRY + 1, False)])
def test_an_answer_of_more_than_a_mebibyte_is_not_kept(size: int, kept: bool) -> None:
    made, _ = caches()
    made.keep(made.visit(TARGET, CACHING, asked()), replace(ANSWER, body=b"x" * size))

    assert (made.visit(TARGET, CACHING, asked()).kept is not None) == kept


def test_with_no_time_to_live_nothing_is_kept() -> None:
    caching = replace(CACHING, ttl_seconds=0)

    assert filled(caching)[0].visit(TARGET, caching, asked()).needs_back_end


@pytest.mark.parametrize(("orders", "left"), [("123", "23"), ("1213", "13"), ("122", "12")])
def test_the_oldest_answer_makes_room_for_another(
    monkeypatch: pytest.MonkeyPatch, orders: str, left: str
) -> None:
    monkeypatch.setattr(stage_cache, "MOST_ENTRIES", 2)
    made, _ = caches()
    for order in orders:
        made.keep(made.visit(TARGET, CACHING, asked(order)), ANSWER)

    assert "".join(each for each in "123" if made.visit(TARGET, CACHING, asked(each)).kept) == left


@pytest.mark.parametrize("said", ["max-age=0", "no-transform, Max-Age=0", "max-age=0,private"])
@pytest.mark.parametrize(
    ("needs_authorization", "strategy", "authorization", "wish"),
    [
        (False, "FAIL_WITH_403", "", Wish.ANEW),
        (True, "FAIL_WITH_403", SIGNED, Wish.ANEW),
        (True, "FAIL_WITH_403", "", Wish.REFUSED),
        (True, "FAIL_WITH_403", "Bearer x", Wish.REFUSED),
        (True, "SUCCEED_WITH_RESPONSE_HEADER", "", Wish.WARNED),
        (True, "SUCCEED_WITHOUT_RESPONSE_HEADER", "", Wish.IGNORED),
    ],
)
def test_who_may_have_an_answer_read_anew_is_as_deployed(
    said: str, needs_authorization: bool, strategy: str, authorization: str, wish: Wish
) -> None:
    caching = replace(CACHING, needs_authorization=needs_authorization, unauthorized=strategy)

    assert wish_of(caching, CIMultiDict({"cache-control": said, "authorization": authorization})) is wish


@pytest.mark.parametrize("said", ["", "max-age=10", "no-cache", "no-store", "x-max-age=0", "max-age=00"])
def test_nothing_else_asks_for_it(said: str) -> None:
    assert wish_of(CACHING, CIMultiDict({"Cache-Control": said})) is Wish.NONE


def test_an_answer_that_is_read_anew_takes_the_place_of_the_old_one() -> None:
    made, _ = filled()
    fresh = made.visit(TARGET, CACHING, asked(Cache_Control="max-age=0", Authorization=SIGNED))
    assert fresh.needs_back_end
    made.keep(fresh, replace(ANSWER, body=b"new"))
    kept = made.visit(TARGET, CACHING, asked()).kept

    assert kept
    assert kept.body == b"new"


@pytest.mark.parametrize("kept", [None, ANSWER])
def test_who_is_refused_needs_no_back_end(kept: Answer | None) -> None:
    visit = Visit((TARGET, "r1", ()), 60, Wish.REFUSED, kept)

    assert (visit.refused, visit.needs_back_end) == (True, False)


def test_a_warning_is_added_and_what_is_kept_stays_as_it_was() -> None:
    assert dict(warned(ANSWER).headers) == {"ETag": "e", "Warning": WARNING}
    assert ANSWER.headers == {"ETag": "e"}
