"""What of a request becomes what of a message: attributes, groups, deduplication, delays and traces."""

import json
import time
import uuid
from typing import Any
from urllib.parse import quote

import pytest

from local.stack import LocalAws

from .doors import LABEL, Door, attributes_of, open_door
from .support import assert_refused, now

SMUGGLED = (
    "x&Action=DeleteQueue&QueueUrl=y&MessageBody=forged&MessageAttribute.9.Name=forged"
    "&MessageAttribute.9.Value.DataType=String&MessageAttribute.9.Value.StringValue=forged"
    "&MessageAttribute.1.Name=requestId&MessageGroupId=forged&DelaySeconds=900"
)
HOSTILE = {
    "a form": SMUGGLED,
    "a template": "$input.body ${x} $util.urlEncode('a') #set($a = 1)#if($a)#end ## #* *# #[[a]]#",
    "quotes": '"double" \'single\' `back` \\ \\\\ \\u0041 \\" $value',
    "percent signs": "100% + 1 = 101% %26 %zz %2526 + ++",
    "XML": "<a b='c'>&amp;&lt;<![CDATA[x]]></a>",
    "JSON": '{"a": [1, null]}, "b": "',
    "one character": "0",
    "a word that is no text": "null",
    "truth": "false",
}
FOREIGN = "\u00e9 \u4e2d\u6587 \u0627\u0644 \U0001f600 \u200b\u2028"
OURS = {"requestId", "sourceIp", "label"}
"""What every message of the route has."""


@pytest.mark.parametrize("value", [*HOSTILE.values(), FOREIGN], ids=[*HOSTILE, "other scripts"])
def test_a_query_parameter_arrives_byte_for_byte(shop: Door, value: str) -> None:
    arrived = shop.arrived("plain", shop.send(f"mapped/1?page={quote(value, safe='')}"))

    assert arrived.keys() == OURS | {"id", "page"}
    assert arrived["page"] == value


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_header_arrives_byte_for_byte(shop: Door, value: str) -> None:
    arrived = shop.arrived("plain", shop.send("mapped/1", headers={"X-Tenant": value}))

    assert arrived.keys() == OURS | {"id", "tenant"}
    assert arrived["tenant"] == value


@pytest.mark.parametrize(
    "value",
    [each for each in (*HOSTILE.values(), FOREIGN) if "/" not in each],
    ids=[name for name, each in HOSTILE.items() if "/" not in each] + ["other scripts"],
)
def test_a_path_parameter_arrives_byte_for_byte(shop: Door, value: str) -> None:
    arrived = shop.arrived("plain", shop.send(f"mapped/{quote(value, safe='')}"))

    assert arrived.keys() == OURS | {"id"}
    assert arrived["id"] == value


@pytest.mark.parametrize(
    "value", [*HOSTILE.values(), FOREIGN, "tab\tand\nline"], ids=[*HOSTILE, "other scripts", "white space"]
)
def test_a_text_of_the_body_arrives_as_it_is(shop: Door, value: str) -> None:
    body = {"value": value, "order": {"lines": [{}, {"sku": value}]}}

    reply = shop.send("mapped/1", body)

    message = shop.take("plain", reply)
    arrived = attributes_of(message)
    assert arrived.keys() == OURS | {"id", "value", "deep"}
    assert arrived["value"] == arrived["deep"] == value
    assert message["Body"] == json.dumps(body), "and the body is not touched"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, "7"),
        (0, "0"),
        (-12.5, "-12.5"),
        (True, "true"),
        (False, "false"),
        ([], "[]"),
        ([1, "two", None], '[1,"two",null]'),
        ({}, "{}"),
        ({"a&b=": {"c": 'd"'}}, '{"a&b=":{"c":"d\\""}}'),
        ("7", "7"),
        ('"quoted"', '"quoted"'),
    ],
)
def test_what_is_no_text_in_the_body_arrives_as_json(shop: Door, value: Any, expected: str) -> None:
    assert shop.arrived("plain", shop.send("mapped/1", {"value": value}))["value"] == expected


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"",
        b'{"value": null}',
        b'{"value": ""}',
        b'{"order": {"lines": []}}',
        b'{"order": {"lines": [{"sku": "first"}]}}',
        b'{"order": {"lines": {"sku": 1}}}',
        b'{"order": "lines[1].sku"}',
        b'[{"value": 1}]',
        b'"value"',
        b"null",
        b'{"Value": 1, "order.lines[1].sku": 2}',
    ],
)
def test_what_is_absent_in_the_body_is_no_attribute(shop: Door, body: bytes) -> None:
    assert shop.arrived("plain", shop.send("mapped/1", body)).keys() == OURS | {"id"}


@pytest.mark.parametrize("body", [b"not JSON, {value: 1}", b'{"value": 1', b"value=1", b"{'value': 1}"])
def test_where_a_route_reads_the_body_it_has_to_be_json(shop: Door, body: bytes) -> None:
    reply = shop.send("mapped/1", body)

    assert_refused(reply, 400, "BAD_REQUEST_BODY")
    shop.assert_silent(reply)


def test_what_is_absent_or_empty_in_the_request_is_no_attribute(shop: Door) -> None:
    for path, headers in (("mapped/1", {}), ("mapped/1?page=", {"X-Tenant": ""})):
        assert shop.arrived("plain", shop.send(path, headers=headers)).keys() == OURS | {"id"}


def test_a_text_is_the_same_for_every_request(shop: Door) -> None:
    assert shop.arrived("plain", shop.send("mapped/1"))["label"] == LABEL
    assert shop.arrived("plain", shop.send("mapped/2?label=other", {"label": "other"}))["label"] == LABEL


def test_a_query_or_path_parameter_never_stands_in_for_a_header(shop: Door) -> None:
    path = "mapped/X-Tenant?X-Tenant=forged&x-tenant=forged"

    assert "tenant" not in shop.arrived("plain", shop.send(path))
    assert shop.arrived("plain", shop.send(path, headers={"X-Tenant": "acme"}))["tenant"] == "acme"


def test_a_header_never_stands_in_for_a_query_or_path_parameter(shop: Door) -> None:
    arrived = shop.arrived("plain", shop.send("mapped/1", headers={"page": "forged", "id": "forged"}))

    assert arrived["id"] == "1"
    assert "page" not in arrived


@pytest.mark.parametrize("name", ["X-Tenant", "x-tenant", "X-TENANT", "x-tEnAnT"])
def test_a_header_is_found_in_whatever_case(shop: Door, name: str) -> None:
    assert shop.arrived("plain", shop.send("mapped/1", headers={name: "acme"}))["tenant"] == "acme"


def test_of_several_headers_of_one_name_there_is_one_attribute(shop: Door) -> None:
    reply = shop.send_raw(
        "mapped/1", ["Content-Type: application/json", "X-Tenant: first", "x-tenant: second"]
    )

    arrived = shop.arrived("plain", reply)
    assert arrived.keys() == OURS | {"id", "tenant"}
    assert arrived["tenant"] in {"first", "second", "first, second", "first,second"}


def test_of_several_query_parameters_of_one_name_the_last_one_counts(shop: Door) -> None:
    assert shop.arrived("plain", shop.send("mapped/1?page=1&page=2&page=3"))["page"] == "3"


def test_nobody_can_add_to_what_sqs_is_asked(shop: Door) -> None:
    forged = quote(SMUGGLED, safe="&=")
    body = {"value": SMUGGLED, "order": {"lines": [{}, {"sku": SMUGGLED}]}}
    headers = {"X-Tenant": SMUGGLED, "X-Group": SMUGGLED, "MessageBody": "forged", "Action": "DeleteQueue"}

    reply = shop.send(f"mapped/{quote(SMUGGLED, safe='')}?page={forged}", body, headers)

    message = shop.take("plain", reply)
    arrived = attributes_of(message)
    assert arrived.keys() == OURS | {"id", "tenant", "page", "value", "deep"}
    assert arrived["requestId"] == reply.answer["requestId"]
    assert arrived["id"] == arrived["tenant"] == arrived["value"] == arrived["deep"] == SMUGGLED
    assert arrived["page"] == "x", "the rest are query parameters of their own"
    assert message["Body"] == json.dumps(body)
    assert "MessageGroupId" not in message["Attributes"]


def test_a_body_of_text_is_one_field_of_what_sqs_is_asked(shop: Door) -> None:
    reply = shop.send("texts", SMUGGLED, {"Content-Type": "text/plain"})

    message = shop.take("plain", reply)
    assert message["Body"] == SMUGGLED
    assert attributes_of(message).keys() == {"requestId", "sourceIp"}


def test_the_request_s_own_values_are_those_that_the_caller_sees(shop: Door) -> None:
    before = now()
    headers = {**shop.as_client("203.0.113.77"), "User-Agent": HOSTILE["a form"]}

    reply = shop.send("known?stage=forged", headers=headers)

    arrived = shop.arrived("plain", reply)
    assert arrived["request_id"] == arrived["requestId"] == reply.headers["x-amzn-requestid"]
    assert arrived["source_ip"] == arrived["sourceIp"] == "203.0.113.77"
    assert (arrived["stage"], arrived["method"], arrived["route"]) == ("v1", "POST", "/known")
    assert arrived["user_agent"] == HOSTILE["a form"]
    # The clocks of two processes, and half a second of rounding.
    assert before - 1000 <= int(arrived["time"]) <= now() + 1000


def test_an_ipv6_address_arrives_as_such(shop: Door) -> None:
    reply = shop.send("known", headers=shop.as_client("2001:db8::7"))

    assert shop.arrived("plain", reply)["sourceIp"] == "2001:db8::7"


def test_the_principal_is_the_one_that_the_authorizer_names(guarded: Door, shown: dict[str, str]) -> None:
    reply = guarded.send("notes?who=forged", {"kind": "x", "who": "forged"}, {**shown, "principal": "forged"})

    arrived = guarded.arrived("plain", reply)
    assert arrived["who"] == arrived["said"] == arrived["principal"] == "local"


TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793"


def test_the_trace_goes_on_with_the_message_where_the_route_says_so(shop: Door) -> None:
    message = shop.take("plain", shop.send("traced", headers={"X-Amzn-Trace-Id": f"{TRACE};Sampled=1"}))

    assert message["Attributes"]["AWSTraceHeader"].startswith(TRACE)
    assert attributes_of(message)["trace"] == TRACE.removeprefix("Root=")


def test_a_request_without_a_trace_begins_one(shop: Door) -> None:
    one, two = (shop.take("plain", shop.send("traced"))["Attributes"]["AWSTraceHeader"] for _ in range(2))

    assert one.startswith("Root=1-")
    assert one != two


def test_another_route_sends_no_trace(shop: Door) -> None:
    message = shop.take("plain", shop.send("plain", headers={"X-Amzn-Trace-Id": TRACE}))

    assert "AWSTraceHeader" not in message["Attributes"]


def test_a_stage_without_tracing_knows_no_trace(cloud: LocalAws) -> None:
    door = open_door(
        cloud,
        {
            "queues": [{"name": "drained"}, {"name": "plain"}],
            "routes": [
                {"path": "untraced", "queue": "plain", "attributes": {"trace": "context.trace_id"}},
            ],
        },
    )

    message = door.take("plain", door.send("untraced", headers={"X-Amzn-Trace-Id": TRACE}))

    assert "trace" not in attributes_of(message)
    assert "AWSTraceHeader" not in message["Attributes"]


def test_a_delayed_message_is_not_there_at_once(shop: Door) -> None:
    asked = time.monotonic()
    reply = shop.send("delayed")

    assert reply.answer["messageId"] not in {each["MessageId"] for each in shop.receive("plain")}
    message = shop.take("plain", reply)
    assert time.monotonic() - asked >= 2
    # Sent at once, in milliseconds since 1970.
    assert int(message["Attributes"]["SentTimestamp"]) <= now() - 1000


def test_messages_of_one_group_come_in_order(shop: Door) -> None:
    shop.receive("orders")
    group = f"group-{uuid.uuid4()}"

    replies = [shop.send(f"shops/{group}/orders/{number}", {"n": number}) for number in range(8)]

    messages = shop.take_all("orders", [each.answer["messageId"] for each in replies])
    numbers = [int(each["Attributes"]["SequenceNumber"]) for each in messages]
    assert numbers == sorted(numbers)
    assert {each["Attributes"]["MessageGroupId"] for each in messages} == {group}
    order = [each for each in shop.taken.values() if each["Attributes"].get("MessageGroupId") == group]
    assert [json.loads(each["Body"])["n"] for each in order] == list(range(8))


def test_equal_bodies_are_one_message_where_the_queue_says_so(shop: Door) -> None:
    group, body = f"group-{uuid.uuid4()}", {"same": str(uuid.uuid4())}

    one, two = (shop.send(f"shops/{group}/orders/{number}", body) for number in (1, 2))
    other = shop.send(f"shops/{group}/orders/1", {"same": "no"})

    assert one.status == two.status == 202
    assert one.answer["messageId"] == two.answer["messageId"] != other.answer["messageId"]
    assert one.answer["requestId"] != two.answer["requestId"]


def test_what_the_deduplication_id_comes_from_says_what_is_one_message(shop: Door) -> None:
    once = {"X-Once": str(uuid.uuid4())}

    one = shop.send("strict/a", {"n": 1}, once)
    again = shop.send("strict/a", {"n": 2}, once)
    other = shop.send("strict/a", {"n": 1}, {"X-Once": str(uuid.uuid4())})

    assert one.answer["messageId"] == again.answer["messageId"] != other.answer["messageId"]
    message = shop.take("strict", one)
    assert json.loads(message["Body"]) == {"n": 1}
    assert message["Attributes"]["MessageDeduplicationId"] == once["X-Once"]
    assert message["Attributes"]["MessageGroupId"] == "a"


@pytest.mark.parametrize("headers", [{}, {"X-Once": ""}, {"X-Once": "x" * 129}, {"X-Once": "a b"}])
def test_a_request_without_a_deduplication_id_is_answered_400(shop: Door, headers: dict[str, str]) -> None:
    reply = shop.send("strict/a", headers=headers)

    assert_refused(reply, 400, "BAD_DEDUPLICATION_ID")
    shop.assert_silent(reply)


@pytest.mark.parametrize(
    "headers", [{}, {"X-Group": ""}, {"X-Group": "x" * 129}, {"X-Group": "two words"}, {"X-Group": "\u00e9"}]
)
def test_a_request_without_a_group_for_a_fifo_queue_is_answered_400(
    shop: Door, headers: dict[str, str]
) -> None:
    reply = shop.send("grouped?X-Group=forged", headers=headers)

    assert_refused(reply, 400, "BAD_GROUP_ID")
    shop.assert_silent(reply)


def test_a_group_may_have_128_characters_of_any_punctuation(shop: Door) -> None:
    group = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~&MessageBody=x".ljust(128, "g")

    message = shop.take("orders", shop.send("grouped", str(uuid.uuid4()), {"X-Group": group}))

    assert message["Attributes"]["MessageGroupId"] == group


def test_a_queue_that_is_not_fifo_is_fair_between_groups(shop: Door) -> None:
    message = shop.take("plain", shop.send("fair", {"tenant": "acme"}))
    none = shop.take("plain", shop.send("fair", {"tenant": None}))

    assert message["Attributes"]["MessageGroupId"] == "acme"
    assert "MessageGroupId" not in none["Attributes"], "and needs none"


@pytest.mark.parametrize("tenant", ["x" * 129, "two words", "\u00e9"])
def test_what_cannot_be_a_group_is_answered_400(shop: Door, tenant: str) -> None:
    assert_refused(shop.send("fair", {"tenant": tenant}), 400, "BAD_GROUP_ID")


def test_an_attribute_that_no_message_can_carry_is_answered_400(shop: Door) -> None:
    reply = shop.send("mapped/1?page=%01")

    assert reply.status == 400
    assert reply.answer["code"] in {"BAD_REQUEST_BODY", "BAD_ATTRIBUTE"}
    shop.assert_silent(reply)


def test_attributes_count_towards_the_size(shop: Door) -> None:
    fitting, over = (shop.send("small", b"x" * size) for size in (800, 1000))

    assert fitting.status == 202
    assert_refused(over, 413, "REQUEST_TOO_LARGE")
    assert "1024 bytes" in over.answer["message"]
