import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.retrier import outcomes, replies
from handlers.retrier.outcomes import Code, GaveUp
from handlers.retrier.progress import Progress
from handlers.retrier.replies import Refusal
from handlers.retrier.upstream import LARGEST_BODY
from handlers.retrier.wire import Answer
from sluice.retrier import rules as shipped
from sluice.retrier.rules import Circuit, Pace, Rules, Secret, Upstream

from .retrier_rules import rules

MOST_CARRIED = 256 * 1024
"""Bytes that a state machine carries from one state to the next."""
WHOLE = st.integers(1, 100_000)
TEXTS = st.text(max_size=20)


def several(each: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(each, max_size=3).map(tuple)


RULES = st.builds(
    Rules,
    upstreams=several(st.builds(Upstream, TEXTS, st.none() | st.builds(Pace, WHOLE, WHOLE, WHOLE))),
    private_networks=several(TEXTS),
    secrets=several(st.builds(Secret, TEXTS, several(TEXTS), st.none() | TEXTS)),
    statuses=several(WHOLE),
    failures=several(TEXTS),
    methods=several(TEXTS),
    response_headers=several(TEXTS),
    circuit=st.none() | st.builds(Circuit, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE),
)


@given(RULES)
def test_rules_are_read_as_they_were_written(known: Rules) -> None:
    text = known.dumps()
    assert shipped.loads(text) == known
    assert shipped.loads(text).dumps() == text
    assert hash(shipped.loads(text)) == hash(known), "all of it is fixed"


@pytest.mark.parametrize("field", [each.name for each in dataclasses.fields(Rules)])
def test_no_part_of_the_rules_may_be_missing(field: str) -> None:
    given = {each.name: () for each in dataclasses.fields(Rules)}
    del given[field]
    with pytest.raises((KeyError, TypeError)):
        shipped.loads(json.dumps(given))


def test_the_same_rules_are_the_same_text() -> None:
    text = rules().dumps()
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=1)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_a_body_is_carried_as_it_is(body: bytes) -> None:
    carried = json.loads(json.dumps(outcomes.answered(Answer(200, {}, body), ())))
    assert outcomes.decoded(carried) == body


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"a\nb", b"\xef\xbb\xbfand a longer text", "an \u00fc in a long text".encode()]
)
def test_a_text_is_carried_as_text(body: bytes) -> None:
    assert outcomes.answered(Answer(200, {}, body), ())["body"] == body.decode()


@pytest.mark.parametrize(
    "byte", [b"\0", b"\xff", b'"', b"\n", "\u4e2d".encode(), "\U0001f600".encode(), b"x"]
)
def test_the_largest_body_fits_whatever_it_holds(byte: bytes) -> None:
    body = (byte * LARGEST_BODY)[: LARGEST_BODY - LARGEST_BODY % len(byte)]
    headers = {f"x-{each}": "v" * 990 for each in range(50)}
    carried = outcomes.answered(Answer(200, headers, body), ("x-*",))
    assert outcomes.decoded(carried) == body
    assert len(json.dumps(carried)) < MOST_CARRIED


def test_a_body_that_is_no_text_says_so() -> None:
    assert outcomes.answered(Answer(500, {}, b"\xff"), ()) == {
        "status": 500,
        "headers": {},
        "body": "/w==",
        "base64": True,
    }


def test_only_headers_that_are_wanted_come_back() -> None:
    headers = {"content-type": "a", "x-one": "1", "x": "no", "set-cookie": "hush", "x-two": "2", "etag": "e"}
    assert outcomes.passed(headers, ["content-type", "x-*"]) == {
        "content-type": "a",
        "x-one": "1",
        "x-two": "2",
    }
    assert outcomes.passed(headers, []) == {}
    assert outcomes.passed(headers, ["*"]) == headers


def test_headers_come_back_up_to_a_size() -> None:
    fits = {"x-a": "v" * (outcomes.LARGEST_HEADERS - 3)}
    assert outcomes.passed(fits, ["x-*"]) == fits
    assert outcomes.passed({"x-a": "v" * (outcomes.LARGEST_HEADERS - 2)}, ["x-*"]) == {}
    assert outcomes.passed({**fits, "etag": "unwanted"}, ["x-*"]) == fits


def test_a_header_that_is_too_large_takes_no_other_with_it() -> None:
    headers = {"x-large": "v" * outcomes.LARGEST_HEADERS, "content-type": "text/plain"}
    assert outcomes.passed(headers, ["content-type", "x-*"]) == {"content-type": "text/plain"}


def test_every_error_has_a_status_and_every_status_an_error() -> None:
    assert outcomes.STATUS.keys() == {*Code}
    assert all(400 <= each < 600 for each in outcomes.STATUS.values())


@pytest.mark.parametrize(
    ("wait", "told"), [(0.0, 1), (0.4, 1), (1.0, 1), (1.4, 2), (2.5, 3), (9.01, 10), (30.0, 30)]
)
def test_nobody_is_told_to_come_too_early(wait: float, told: int) -> None:
    assert outcomes.error(Code.BUDGET, "x", retry_after=wait)["retry_after"] == told


def test_an_error_tells_no_wait_where_none_is_known() -> None:
    assert outcomes.error(Code.INVALID, "wrong") == {"code": "InvalidCall", "message": "wrong", "status": 400}


def test_an_outcome_tells_how_it_came_to_it() -> None:
    progress = Progress(1000.0)
    progress.note(1000.126, "home", status=503)
    progress.note(1003.0, "away", failure="timeout")
    progress.waited = 2.0049
    told = outcomes.outcome(progress, ok=False, gave_up=GaveUp.ATTEMPTS)
    assert told == {
        "ok": False,
        "attempts": 2,
        "waited": 2.0,
        "history": [
            {"at": 0.13, "egress": "home", "status": 503},
            {"at": 3.0, "egress": "away", "failure": "timeout"},
        ],
        "gave_up": "attempts",
    }
    assert "gave_up" not in outcomes.outcome(progress, ok=True)


TOLD = {"ok": True, "attempts": 2, "waited": 1.5, "history": [{"at": 0.0, "egress": "home", "status": 503}]}
HEADERS = {
    "Sluice-Attempts": "2",
    "Sluice-Waited": "1.5",
    "Sluice-History": '[{"at":0.0,"egress":"home","status":503}]',
}


def test_an_answer_is_the_upstream_s_own() -> None:
    given = {
        **TOLD,
        **outcomes.answered(Answer(404, {"content-type": "text/plain"}, b"none"), ["content-type"]),
    }
    assert replies.answer(given, "r-1") == {
        "statusCode": 404,
        "headers": {"content-type": "text/plain", **HEADERS},
        "body": "none",
    }


def test_bytes_stay_bytes() -> None:
    found = replies.answer({**TOLD, **outcomes.answered(Answer(200, {}, b"\xff"), ())}, "r-1")
    assert (found["body"], found["isBase64Encoded"]) == ("/w==", True)


def test_what_was_given_up_or_replayed_is_marked() -> None:
    given = {**TOLD, "gave_up": "deadline", **outcomes.answered(Answer(503, {}, b""), ())}
    found = replies.answer(given, "r-1", replayed=True)["headers"]
    assert found == {**HEADERS, "Sluice-Gave-Up": "deadline", "Sluice-Replayed": "true"}


@pytest.mark.parametrize("reason", GaveUp)
def test_each_reason_to_give_up_is_told_in_one_word(reason: GaveUp) -> None:
    outcome = outcomes.outcome(Progress(0.0), ok=False, gave_up=reason)
    given = {**outcome, "error": outcomes.error(Code.FAILED, "so it is")}
    assert replies.answer(given, "r-1")["headers"]["Sluice-Gave-Up"] == reason.value
    assert reason.value.isalpha()


@pytest.mark.parametrize("code", Code)
def test_an_error_of_ours_is_told_from_the_upstream_s(code: Code) -> None:
    error = outcomes.error(code, "so it is", retry_after=7.0)
    found = replies.answer({**TOLD, "error": error}, "r-1")
    assert found["statusCode"] == outcomes.STATUS[code]
    assert found["headers"] == {
        "Content-Type": "application/json",
        "Sluice-Error": code.value,
        "Retry-After": "7",
        **HEADERS,
    }
    assert json.loads(found["body"]) == {"code": code.value, "message": "so it is", "requestId": "r-1"}


def test_an_upstream_cannot_speak_as_the_retrier_does() -> None:
    given = {**TOLD, "status": 200, "headers": {"Sluice-Attempts": "9"}, "body": ""}
    assert replies.answer(given, "r-1")["headers"] == HEADERS


def test_a_refusal_has_no_history() -> None:
    found = replies.refused(Refusal(Code.BUSY, "too many", retry_after=0.5), "r-2")
    assert found["headers"] == {
        "Content-Type": "application/json",
        "Sluice-Error": "Busy",
        "Retry-After": "1",
    }
    assert (found["statusCode"], json.loads(found["body"])["requestId"]) == (503, "r-2")
    assert "Retry-After" not in replies.refused(Refusal(Code.INVALID, "x"), "r-2")["headers"]


def test_a_progress_is_carried_as_json() -> None:
    progress = Progress.read(1000.0, None)
    assert progress == Progress(1000.0)
    progress.note(1001.0, "home", status=429)
    progress.hold(["home", "away"], 1009.0)
    progress.pause(1002.0, 1009.0)
    progress.slot = 1010.5
    carried = json.loads(json.dumps(progress.dump()))
    assert Progress.read(0.0, carried) == progress


def test_a_wait_is_counted_from_its_beginning_to_its_end() -> None:
    progress = Progress(0.0)
    progress.resume(5.0)
    assert progress.waited == 0.0
    progress.pause(10.0, 12.0)
    progress.pause(11.0, 15.0)
    assert progress.resume_at == 15.0
    progress.resume(16.0)
    progress.resume(20.0)
    assert (progress.waited, progress.paused_at) == (5.0, None), "what came after its end was work"


def test_a_clock_that_is_behind_takes_nothing_from_a_wait() -> None:
    progress = Progress(0.0)
    progress.pause(10.0, 12.0)
    progress.resume(9.0)
    assert progress.waited == 0.0


def test_a_hold_never_becomes_shorter() -> None:
    progress = Progress(0.0)
    progress.hold(["home"], 9.0)
    progress.hold(["home", "away"], 5.0)
    assert progress.ready == {"home": 9.0, "away": 5.0}


@pytest.mark.parametrize(
    ("ready", "after", "first"),
    [
        ({}, "a", "b"),
        ({}, "c", "a"),
        ({"b": 5.0}, "a", "c"),
        ({"b": 5.0, "c": 4.0}, "b", "a"),
        ({"a": 9.0, "b": 5.0, "c": 7.0}, "b", "b"),
        ({"a": 5.0, "b": 5.0, "c": 5.0}, "b", "c"),
    ],
)
def test_the_one_that_may_call_first_is_next(ready: dict[str, float], after: str, first: str) -> None:
    assert Progress(0.0, ready=ready).earliest(["a", "b", "c"], after) == first


def test_a_single_egress_is_always_next() -> None:
    assert Progress(0.0, ready={"a": 9.0}).earliest(["a"], "a") == "a"
