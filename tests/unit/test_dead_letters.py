"""The reason beside a dead letter, written and read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.dead_letters import LONGEST_MESSAGE, Reason

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Also half of a pair, which an error may well have and UTF-8 has not."""
LARGEST_ATTRIBUTES = 1024 * 1024
"""Bytes that a message may have, its attributes among them."""


def said(**given: object) -> str:
    """Return an attribute's value, a good one where nothing else is given."""
    return json.dumps({"error": "KeyError", "message": "'a'", "message_id": "m-1", "receives": 3, **given})


@given(error=ANY_TEXT, message=ANY_TEXT, message_id=ANY_TEXT, receives=st.integers(0, 10**9))
def test_what_is_written_is_what_is_read(error: str, message: str, message_id: str, receives: int) -> None:
    reason = Reason(error, message[:LONGEST_MESSAGE], message_id, receives)
    assert Reason.loads(reason.dumps()) == reason


@given(message=st.text(st.characters(exclude_categories=()), min_size=450, max_size=550))
def test_of_a_long_message_its_beginning_is_kept(message: str) -> None:
    read = Reason.loads(Reason("KeyError", message, "m-1", 3).dumps())
    assert read == Reason("KeyError", message[:500], "m-1", 3)


@given(error=ANY_TEXT, message=ANY_TEXT)
def test_only_characters_are_written_that_sqs_takes(error: str, message: str) -> None:
    written = Reason(error, message, "m-1", 3).dumps()
    assert written.isascii()
    assert written.isprintable()


def test_the_longest_message_leaves_room_for_the_others() -> None:
    written = Reason("KeyError", "\U0001f600" * 10_000, "m-1", 3).dumps()
    assert len(written) < 7_000 < LARGEST_ATTRIBUTES


def test_an_operator_reads_four_names() -> None:
    assert json.loads(Reason("shop.StockError", "none left", "m-1", 3).dumps()) == {
        "error": "shop.StockError",
        "message": "none left",
        "message_id": "m-1",
        "receives": 3,
    }


def test_a_reason_with_more_than_is_known_is_read() -> None:
    assert Reason.loads(said(since=1)) == Reason("KeyError", "'a'", "m-1", 3)


NO_COUNTS: list[object] = ["many", None, [], {}, "", float("nan"), float("inf")]
NO_REASONS = [
    *("", " ", "no JSON", "{", "null", "3", "[]", "{}", '"error"', "\ud800", "\x00"),
    *(said().replace(f'"{name}"', '"else"') for name in ("error", "message", "message_id", "receives")),
    *(said(receives=each) for each in NO_COUNTS),
    said().replace("3", "1e999"),
    said().replace("3", "9" * 5_000),
    "[" * 100_000,
]


@pytest.mark.parametrize("text", NO_REASONS, ids=range(len(NO_REASONS)))
def test_what_is_no_reason_is_refused_with_its_beginning(text: str) -> None:
    with pytest.raises(ValueError, match=r"^no reason of a dead letter: ") as raised:
        Reason.loads(text)
    assert str(raised.value) == f"no reason of a dead letter: {text[:100]!r}"


@given(text=st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_whatever_an_attribute_says_it_is_a_reason_or_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no reason"):
        Reason.loads(text)
