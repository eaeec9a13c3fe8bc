"""Batches: an array of messages in one request, of which SQS may take a part."""

import json
from typing import Any

import pytest

from .doors import Door, assert_problem, attributes_of
from .support import Reply, assert_refused

NOT_CARRIED = "\ufffe"
"""A character that JSON holds and SQS does not take."""


def entries_of(reply: Reply) -> list[dict[str, Any]]:
    """Return the entries of an answer, which are to be as many as there were messages, in their order."""
    entries: list[dict[str, Any]] = reply.answer["entries"]
    return sorted(entries, key=lambda each: int(each["index"]))


@pytest.mark.parametrize("count", [1, 2, 10])
def test_each_element_becomes_a_message(shop: Door, count: int) -> None:
    items = [{"kind": f"kind-{number}", "n": number} for number in range(count)]

    reply = shop.send("batch", items)

    assert reply.status == 202
    assert set(reply.answer) == {"entries", "requestId"}
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]
    entries = entries_of(reply)
    assert [each["index"] for each in entries] == list(range(count))
    assert {frozenset(each) for each in entries} == {frozenset({"index", "messageId"})}
    messages = shop.take_all("plain", [each["messageId"] for each in entries])
    assert [json.loads(each["Body"]) for each in messages] == items
    assert [attributes_of(each)["kind"] for each in messages] == [each["kind"] for each in items]
    assert {attributes_of(each)["requestId"] for each in messages} == {reply.answer["requestId"]}


def test_attributes_are_each_message_s_own(shop: Door) -> None:
    items = [{"kind": "a&MessageBody=x", "total": 1.5}, {"kind": "b"}]

    reply = shop.send("batch", items, {"X-Tenant": "acme"})

    one, two = (
        attributes_of(each)
        for each in shop.take_all("plain", [each["messageId"] for each in entries_of(reply)])
    )
    ours = {"requestId": reply.answer["requestId"], "sourceIp": "127.0.0.1", "tenant": "acme"}
    assert one == {**ours, "kind": "a&MessageBody=x", "total": "1.5"}
    assert two == {**ours, "kind": "b"}


@pytest.mark.parametrize(
    "element",
    [
        "a text",
        "&SendMessageBatchRequestEntry.9.Id=9&SendMessageBatchRequestEntry.9.MessageBody=forged",
        7,
        -0.5,
        True,
        [],
        [1, [2]],
        {},
        {"a": {"b": [None, '\u00e9 \U0001f600 " \\ \n \u2028']}},
    ],
)
def test_an_element_of_any_kind_arrives_as_its_json(shop: Door, element: Any) -> None:
    reply = shop.send("free-batch", [element, {"kind": "after"}])

    assert reply.status == 202
    one, two = shop.take_all("plain", [each["messageId"] for each in entries_of(reply)])
    assert json.loads(one["Body"]) == element
    assert json.loads(two["Body"]) == {"kind": "after"}
    assert attributes_of(one).keys() == {"requestId", "sourceIp"}


def test_null_is_refused_or_arrives_as_null(shop: Door) -> None:
    reply = shop.send("free-batch", [None, "after"])

    if reply.status == 202:
        one, _ = shop.take_all("plain", [each["messageId"] for each in entries_of(reply)])
        assert one["Body"] == "null"
    else:
        assert_refused(reply, 400, "BAD_REQUEST_BODY")


@pytest.mark.parametrize("path", ["batch", "free-batch"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "array is too short"),
        ([{"kind": "x"}] * 11, "array is too long"),
        ({"kind": "x"}, "instance type (object)"),
        ('"text"', "instance type (string)"),
        ("null", "instance type (null)"),
        (b"", ""),
        ("[", ""),
        ("[{}", ""),
    ],
    ids=["none", "11", "object", "text", "null", "empty", "half", "half of one"],
)
def test_what_is_no_batch_is_refused_as_a_whole(shop: Door, path: str, body: Any, words: str) -> None:
    reply = shop.send(path, body)

    assert_refused(reply, 400, "BAD_REQUEST_BODY")
    assert words in reply.answer["message"]
    shop.assert_silent(reply)
    assert shop.receive("plain") == []


@pytest.mark.parametrize("wrong", [{}, {"kind": 1}, {"kind": "x", "total": -1}, "text", None])
def test_one_element_that_does_not_fit_refuses_the_batch(shop: Door, wrong: Any) -> None:
    assert_refused(shop.send("batch", [{"kind": "x"}, wrong]), 400, "BAD_REQUEST_BODY")
    assert shop.receive("plain") == []


def test_another_content_type_is_answered_415(shop: Door) -> None:
    reply = shop.send("free-batch", [1], {"Content-Type": "text/plain"})

    assert_refused(reply, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_one_that_no_message_can_carry_is_told_apart_from_those_that_were_accepted(shop: Door) -> None:
    body = json.dumps(["first", f"second {NOT_CARRIED}", "third"], ensure_ascii=False)

    reply = shop.send("free-batch", body)

    assert reply.status == 400
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.answer) == {"code", "message", "requestId", "entries"}
    assert reply.answer["code"] == "BATCH_INCOMPLETE"
    one, two, three = entries_of(reply)
    assert set(two) == {"index", "code", "message"}
    assert (two["index"], two["code"]) == (1, "BAD_REQUEST_BODY")
    messages = shop.take_all("plain", [one["messageId"], three["messageId"]])
    assert [each["Body"] for each in messages] == ['"first"', '"third"']
    shop.assert_silent(reply)


def test_where_none_can_be_carried_each_is_told(shop: Door) -> None:
    reply = shop.send("free-batch", json.dumps([NOT_CARRIED] * 3, ensure_ascii=False))

    assert reply.status == 400
    assert [each["code"] for each in entries_of(reply)] == ["BAD_REQUEST_BODY"] * 3


def test_a_problem_tells_the_entries_too(guarded: Door, shown: dict[str, str]) -> None:
    reply = guarded.send("batch", json.dumps(["good", NOT_CARRIED], ensure_ascii=False), shown)

    assert_problem(reply, 400, "BATCH_INCOMPLETE")
    good, bad = entries_of(reply)
    assert guarded.take_all("plain", [good["messageId"]])[0]["Body"] == '"good"'
    assert bad["code"] == "BAD_REQUEST_BODY"


def test_one_message_over_the_queue_s_limit_is_told_apart(shop: Door) -> None:
    reply = shop.send("small-batch", ["fits", "x" * 1100])

    assert reply.status in {400, 413}
    shop.assert_silent(reply)
    if reply.status == 400:
        assert [each.get("code") for each in entries_of(reply)] == [None, "REQUEST_TOO_LARGE"]


def test_too_many_bytes_together_are_answered_413(shop: Door) -> None:
    reply = shop.send("free-batch", ["x" * 200_000] * 10)

    assert_refused(reply, 413, "REQUEST_TOO_LARGE")
    shop.assert_silent(reply)
    assert shop.receive("plain") == []


def test_a_queue_that_is_gone_is_answered_502(shop: Door) -> None:
    reply = shop.send("gone-batch", [1, 2])

    assert_refused(reply, 502, "QUEUE_UNAVAILABLE")
    shop.assert_silent(reply)


def test_the_answer_can_be_sqs_s_own(shop: Door) -> None:
    reply = shop.send("sqs-batch", ["one", "two"])

    assert reply.status == 202
    result = reply.answer["SendMessageBatchResponse"]["SendMessageBatchResult"]
    assert not result.get("Failed")
    assert {each["Id"] for each in result["Successful"]} == {"0", "1"}
    ids = {each["Id"]: each["MessageId"] for each in result["Successful"]}
    assert [each["Body"] for each in shop.take_all("plain", [ids["0"], ids["1"]])] == ['"one"', '"two"']


def test_sqs_s_own_answer_is_not_given_where_a_part_was_refused(shop: Door) -> None:
    reply = shop.send("sqs-batch", json.dumps(["one", NOT_CARRIED], ensure_ascii=False))

    assert (reply.status, reply.answer["code"]) == (400, "BATCH_INCOMPLETE")
    shop.assert_silent(reply)


def test_a_batch_can_be_answered_without_a_body(shop: Door) -> None:
    whole = shop.send("empty-batch", ["one"])
    part = shop.send("empty-batch", json.dumps(["one", NOT_CARRIED], ensure_ascii=False))

    assert (whole.status, whole.body) == (204, b"")
    assert (part.status, part.answer["code"]) == (400, "BATCH_INCOMPLETE")


def test_the_messages_of_a_batch_have_groups_of_their_own(shop: Door) -> None:
    items = [{"group": group, "n": number} for number, group in enumerate("abab")]

    reply = shop.send("group-batch", items)

    messages = shop.take_all("orders", [each["messageId"] for each in entries_of(reply)])
    assert [each["Attributes"]["MessageGroupId"] for each in messages] == list("abab")


@pytest.mark.parametrize("group", [None, "", "x" * 129, "two words"])
def test_one_without_a_group_for_a_fifo_queue_is_a_400(shop: Door, group: str | None) -> None:
    reply = shop.send("group-batch", [{"group": "a", "for": group}, {"group": group}])

    assert reply.status == 400
    assert reply.answer["code"] in {"BAD_GROUP_ID", "BATCH_INCOMPLETE"}
    if reply.answer["code"] == "BATCH_INCOMPLETE":
        assert [each.get("code") for each in entries_of(reply)] == [None, "BAD_GROUP_ID"]
    shop.assert_silent(reply)
