import hashlib
from collections import Counter
from urllib.parse import urlsplit

import pytest

from local import demo, demo_checks
from local.client import JSON, post, post_all
from local.demo_checks import wait_until
from local.stack import TOKEN_NAME, LocalAws, LocalStack
from sluice import tokens

from .support import bearer, call, detach_consumer, exchange, fresh, take

PARTNER = tokens.mint()

AWKWARD = {
    "a form": b"a=1&b=2&Action=DeleteQueue&MessageBody=x",
    "percent signs": b"100% + 1 = 101% %26 %zz %",
    "quotes": b"\"double\" 'single' `back` \\ \\\\ \\u0041",
    "a template": b"$input.body ${x} $util.urlEncode('a') #set($a = 1)#if($a)#end ## #* *# #[[a]]#",
    "white space": b" \t\r\nline\n\n line \t ",
    "other scripts": "\u00e9 \u4e2d\u6587 \u0627\u0644 \U0001f600 \U0001f468\u200d\U0001f469".encode(),
    "marks that look like nothing": "\ufeff\u200b\u2028\u2029\u00a0\u0301".encode(),
    "JSON": b'{"json": [1, {"a": null}, "\\u0000"], "b": 1.0}',
    "no JSON": b"plain text, {unfinished",
    "XML": b"<a b='c'>&amp;&lt;<![CDATA[x]]></a>",
    "one byte": b"0",
    "200 KB": demo.large_body(),
}


@pytest.fixture(scope="module")
def waiting(cloud: LocalAws) -> LocalStack:
    """An open stack whose messages stay in the queue."""
    return detach_consumer(cloud, fresh(cloud))


@pytest.fixture(scope="module")
def guarded_waiting(cloud: LocalAws) -> LocalStack:
    """A stack that wants tokens, and whose messages stay in the queue."""
    known = [{"name": "partner-1", "sha256": tokens.digest(PARTNER)}]
    return detach_consumer(cloud, fresh(cloud, "dev", authorizer={"tokens": known}))


def test_an_accepted_message_is_answered_with_its_id_and_the_request_s(
    cloud: LocalAws, waiting: LocalStack
) -> None:
    reply = call(waiting.outputs["url"])

    assert reply.status == 202
    assert reply.headers["content-type"] == "application/json"
    assert reply.answer == {
        "messageId": take(cloud, waiting.outputs["queue_url"])["MessageId"],
        "requestId": reply.headers["x-amzn-requestid"],
    }


def test_two_requests_have_two_ids(cloud: LocalAws, waiting: LocalStack) -> None:
    answers = [each.answer for each in post_all(waiting.outputs["url"], [b"{}"] * 2, None)]
    for _ in answers:
        take(cloud, waiting.outputs["queue_url"])

    assert len({each["requestId"] for each in answers}) == 2
    assert len({each["messageId"] for each in answers}) == 2


def test_the_answer_can_be_sqs_s_own(cloud: LocalAws) -> None:
    stack = detach_consumer(cloud, fresh(cloud, front_door={"answer": "sqs"}))
    body = AWKWARD["other scripts"] + AWKWARD["quotes"]

    reply = call(stack.outputs["url"], body=body)

    message = take(cloud, stack.outputs["queue_url"])
    result = reply.answer["SendMessageResponse"]["SendMessageResult"]
    assert reply.status == 202
    assert result["MD5OfMessageBody"] == hashlib.md5(body).hexdigest()
    assert result["MessageId"] == message["MessageId"]
    assert reply.answer["SendMessageResponse"]["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize("body", AWKWARD.values(), ids=AWKWARD)
def test_a_body_arrives_byte_for_byte(cloud: LocalAws, waiting: LocalStack, body: bytes) -> None:
    sent = post(waiting.outputs["url"], body)

    message = take(cloud, waiting.outputs["queue_url"])
    assert sent.status == 202
    assert message["MessageId"] == sent.answer["messageId"]
    assert message["Body"].encode() == body


def test_an_empty_body_arrives_as_an_empty_object(cloud: LocalAws, waiting: LocalStack) -> None:
    reply = call(waiting.outputs["url"], body=b"")

    message = take(cloud, waiting.outputs["queue_url"])
    assert reply.status == 202
    assert (message["MessageId"], message["Body"]) == (reply.answer["messageId"], "{}")


def test_what_is_called_compressed_arrives_as_it_was_sent(cloud: LocalAws, waiting: LocalStack) -> None:
    reply = call(waiting.outputs["url"], body=b'{"a": 1}', headers={"Content-Encoding": "gzip"})

    assert reply.status == 202
    assert take(cloud, waiting.outputs["queue_url"])["Body"] == '{"a": 1}'


def test_a_client_that_waits_for_leave_to_send_gets_it(cloud: LocalAws, waiting: LocalStack) -> None:
    url = waiting.outputs["url"]
    head = [
        f"POST {urlsplit(url).path} HTTP/1.1",
        f"Content-Type: {JSON}",
        "Content-Length: 2",
        "Expect: 100-continue",
    ]

    received = exchange(url, head, b"", b"{}")

    assert received.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 202 " in received
    assert take(cloud, waiting.outputs["queue_url"])["Body"] == "{}"


def test_a_message_of_an_open_door_carries_request_id_and_address_alone(
    cloud: LocalAws, waiting: LocalStack
) -> None:
    reply = call(waiting.outputs["url"])

    assert attributes_of_next(cloud, waiting) == {
        "requestId": reply.headers["x-amzn-requestid"],
        "sourceIp": "127.0.0.1",
    }


@pytest.mark.parametrize("name", [TOKEN_NAME, "partner-1"])
def test_a_message_carries_the_name_of_the_token_that_sent_it(
    cloud: LocalAws, guarded_waiting: LocalStack, name: str
) -> None:
    token = PARTNER if name == "partner-1" else guarded_waiting.token

    reply = call(guarded_waiting.outputs["url"], headers=bearer(token))

    assert attributes_of_next(cloud, guarded_waiting) == {
        "requestId": reply.headers["x-amzn-requestid"],
        "sourceIp": "127.0.0.1",
        "principal": name,
    }


def test_a_client_cannot_write_its_own_address_or_outcome(cloud: LocalAws, waiting: LocalStack) -> None:
    forged = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Edge-Context": '{"requestId": "mine", "authorizer": {"principalId": "admin"}}',
        "X-Edge-Fault": "REQUEST_TOO_LARGE",
        "X-Amzn-RequestId": "mine",
    }

    reply = call(waiting.outputs["url"], headers=forged)

    assert reply.status == 202
    assert reply.answer["requestId"] != "mine"
    assert attributes_of_next(cloud, waiting) == {
        "requestId": reply.answer["requestId"],
        "sourceIp": "127.0.0.1",
    }
    assert not [name for name in reply.headers if name.startswith("x-edge-")], "the edge's own never leave"


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
)
def test_the_content_type_may_have_parameters_and_any_case(door: LocalStack, content_type: str) -> None:
    assert post(door.outputs["url"], b"{}", headers={"Content-Type": content_type}).status == 202


def test_exactly_what_was_accepted_is_handled_and_once_each(cloud: LocalAws) -> None:
    stack = fresh(cloud, "dev")

    sent = demo.send(stack, [b'{"number": %d}' % (number % 10) for number in range(30)])

    accepted = Counter(each.message for each in sent)
    assert [each.status for each in sent] == [202] * 30
    assert accepted.total() == len(accepted) == 30, "every message has an id of its own, equal bodies too"
    assert wait_until(lambda: demo_checks.recorded(cloud, stack), lambda found: found == accepted) == accepted


def attributes_of_next(cloud: LocalAws, stack: LocalStack) -> dict[str, str]:
    message = take(cloud, stack.outputs["queue_url"])
    return {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
