import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.sources import CONTEXT, DIRECT, NAMES, OF_THE_CALLER, Caller, Kind, Source, parse
from components.templates import BUILT_IN, Message, send
from local.standin.velocity import Request
from sluice.sqs import MOST_ENTRIES

from ..velocity import hostile
from ..velocity.generated import CALLERS, Sent
from .rendering import REQUEST_ID, SOURCE_IP, attribute, context, entry, form, trace

BUILT_IN_FIELDS = {**attribute(1, "requestId", REQUEST_ID), **attribute(2, "sourceIp", SOURCE_IP)}
ALWAYS = {"Action": "SendMessage", **BUILT_IN_FIELDS}
TRACE = "1-5759e988-bd862e3fe1be46a994272793"


def message(attributes: Mapping[str, str] | None = None, **more: Any) -> Message:
    """Return a message; its attributes and ids come from where these texts say."""
    ids = {name: source(text) for name, text in more.items() if isinstance(text, str)}
    return Message({name: source(text) for name, text in (attributes or {}).items()}, **{**more, **ids})


def source(text: str) -> Source:
    found = parse(text)
    assert found is not None, text
    return found


def arrives(body: str) -> str:
    """Return what API Gateway makes of a body before any template sees it."""
    return body or "{}"


PLAIN = send(message())


@given(body=hostile.texts, principal=hostile.texts.filter(bool))
@example(body="", principal="ann")
def test_what_was_sent_is_what_the_queue_gets(body: str, principal: str) -> None:
    assert form(PLAIN, Request(body), context(principal)) == {
        **ALWAYS,
        "MessageBody": arrives(body),
        **attribute(3, "principal", principal),
    }


@pytest.mark.parametrize("body", hostile.WORST)
def test_a_hostile_body_is_nothing_but_a_body(body: str) -> None:
    assert form(PLAIN, Request(body)) == {**ALWAYS, "MessageBody": arrives(body)}


@pytest.mark.parametrize("principal", [None, ""])
def test_a_principal_that_is_not_there_vanishes(principal: str | None) -> None:
    # SQS refuses the whole message for an attribute with an empty value.
    assert form(PLAIN, Request("body"), context(principal)) == {**ALWAYS, "MessageBody": "body"}


@pytest.mark.parametrize(("there", "number"), [({}, 1), ({"identity": {"sourceIp": SOURCE_IP}}, 2)])
def test_not_even_our_own_attributes_are_sent_empty(there: dict[str, Any], number: int) -> None:
    found = form(send(message({"kind": "text.x"})), Request("body"), there)
    assert found[f"MessageAttribute.{number}.Name"] == "kind"
    assert all(found.values())


@pytest.mark.parametrize(
    ("caller", "principal", "address"),
    [
        (CALLERS["users of pools"], "0a1b", SOURCE_IP),
        (CALLERS["signed"], "AROAEXAMPLE:ci", SOURCE_IP),
        (CALLERS["behind a proxy"], "ann", "2001:db8::7"),
    ],
    ids=CALLERS,
)
@pytest.mark.parametrize("batch", [False, True])
def test_every_message_says_who_sent_it_however_callers_are_let_in(
    caller: Caller, principal: str, address: str, batch: bool
) -> None:
    around = {
        "requestId": REQUEST_ID,
        "authorizer": {"principalId": "ann", "clientIp": "2001:db8::7", "claims": {"sub": "0a1b"}},
        "identity": {"sourceIp": SOURCE_IP, "caller": "AROAEXAMPLE:ci"},
    }
    found = form(send(message(batch=batch), caller), Request("[1]"), around)
    own = {
        **attribute(1, "requestId", REQUEST_ID),
        **attribute(2, "sourceIp", address),
        **attribute(3, "principal", principal),
    }
    assert (entry(1, own) if batch else own).items() <= found.items()
    assert not any("Attribute.4" in each for each in found)


TENANTS = message({"trace": "header.X-Trace", "tenant": "header.X-Tenant"})


@given(value=hostile.texts, principal=st.none() | hostile.texts, tenant=hostile.texts)
@example(value="", principal="ann", tenant="")
@example(value="t", principal="", tenant="&x=1")
@example(value="", principal=None, tenant="")
def test_the_attributes_that_are_there_are_numbered_without_gaps(
    value: str, principal: str | None, tenant: str
) -> None:
    request = Request("body", headers={"x-trace": value, "X-TENANT": tenant})
    optional = {"principal": principal, "trace": value, "tenant": tenant}
    expected = {**ALWAYS, "MessageBody": "body"}
    there = [(name, text) for name, text in optional.items() if text]
    for index, (name, text) in enumerate(there, start=3):
        expected |= attribute(index, name, text)
    assert form(send(TENANTS), request, context(principal)) == expected


@pytest.mark.parametrize("name", ["X-Tenant", "x-tenant", "X-TENANT", "x-TENANT"])
def test_a_header_is_found_in_whatever_case_it_comes(name: str) -> None:
    found = form(send(message({"tenant": "header.X-tenanT"})), Request("body", {name: "acme"}))
    assert found == {**ALWAYS, "MessageBody": "body", **attribute(3, "tenant", "acme")}


@pytest.mark.parametrize("value", [{}, {"X-Tenant": ""}, {"X-Tenant": "acme"}])
def test_nobody_writes_a_header_by_a_parameter_of_its_name(value: dict[str, str]) -> None:
    template = send(message({"tenant": "header.X-Tenant"}, group_id="header.X-Tenant"))
    forged = dict.fromkeys(("X-Tenant", "x-tenant", "$value", "headers"), "forged")
    found = form(template, Request("{}", value, query=forged, path=forged))
    assert "forged" not in found.values()
    assert found.get("MessageGroupId") == (value.get("X-Tenant") or None)


def test_a_path_s_parameter_is_not_taken_from_the_query_nor_the_other_way_round() -> None:
    template = send(message({"in-path": "path.id", "in-query": "query.page"}))
    request = Request("{}", query={"id": "forged", "page": "2"}, path={"id": "7", "page": "forged"})
    expected = {**attribute(3, "in-path", "7"), **attribute(4, "in-query", "2")}
    assert form(template, request) == {**ALWAYS, "MessageBody": "{}", **expected}


BODY_VALUES = [
    ("acme", "acme"),
    ('"quoted"', '"quoted"'),
    ("&Action=PurgeQueue", "&Action=PurgeQueue"),
    ("7", "7"),
    (7, "7"),
    (0, "0"),
    (-1.5, "-1.5"),
    (True, "true"),
    (False, "false"),
    ([1, "a", None], '[1,"a",null]'),
    ([], "[]"),
    ({}, "{}"),
    ({"b": ["&"]}, '{"b":["&"]}'),
]


@pytest.mark.parametrize(("value", "sent"), BODY_VALUES)
@pytest.mark.parametrize("batch", [False, True])
def test_a_value_of_the_body_is_a_text_as_it_is_or_else_json(value: Any, sent: str, batch: bool) -> None:
    template = send(message({"v": "body.in.v"}, batch=batch))
    item = {"in": {"v": value}}
    found = form(template, Request(json.dumps([item] if batch else item)))
    prefix = "SendMessageBatchRequestEntry.1." if batch else ""
    assert found[f"{prefix}MessageAttribute.3.Value.StringValue"] == sent


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"in": null}',
        '{"in": {"v": null}}',
        '{"in": {"v": ""}}',
        '{"in": "v"}',
        "[]",
        "7",
        "no JSON",
        "",
    ],
)
def test_a_value_that_the_body_has_not_is_left_out(body: str) -> None:
    template = send(message({"v": "body.in.v"}, deduplication_id="body.in.v"))
    assert form(template, Request(body)) == {**ALWAYS, "MessageBody": arrives(body)}


def test_a_value_is_reached_through_lists() -> None:
    template = send(message({"sku": "body.lines[1].sku"}))
    found = form(template, Request('{"lines": [{"sku": "a"}, {"sku": "b"}]}'))
    assert found["MessageAttribute.3.Value.StringValue"] == "b"


FIXED = 'a&b=$c #if(true) "quoted" it\'s 100% ~ +'


def test_a_fixed_text_is_sent_as_it_stands_and_read_by_no_engine() -> None:
    template = send(message({"kind": f"text.{FIXED}"}, group_id=f"text.{FIXED}"))
    found = form(template, Request("{}"), context("ann"))
    assert found["MessageAttribute.4.Value.StringValue"] == FIXED
    assert found["MessageGroupId"] == FIXED


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=256))
def test_any_fixed_text_is_sent_as_it_stands(text: str) -> None:
    found = form(send(Message({}, deduplication_id=source(f"text.{text}"))), Request("{}"))
    assert found == {**ALWAYS, "MessageBody": "{}", "MessageDeduplicationId": text}


@pytest.mark.parametrize("seconds", [0, 1, 900])
def test_a_delay_is_sent_also_if_it_is_none(seconds: int) -> None:
    found = form(send(message(delay_seconds=seconds)), Request("{}"))
    assert found == {**ALWAYS, "MessageBody": "{}", "DelaySeconds": str(seconds)}


@pytest.mark.parametrize("batch", [False, True])
def test_a_trace_goes_on_where_there_is_one(batch: bool) -> None:
    template = send(message(trace_header=True, batch=batch))
    request = Request('[{"a": 1}]' if batch else "{}")
    untraced, traced = form(template, request), form(template, request, context(xrayTraceId=TRACE))
    added = entry(1, trace(TRACE)) if batch else trace(TRACE)
    assert traced == {**untraced, **added}
    assert not set(untraced) & set(added)


def test_each_message_of_a_batch_has_its_own_values() -> None:
    template = send(
        message(
            {"tenant": "header.X-Tenant", "order": "body.order"},
            group_id="body.group",
            delay_seconds=5,
            batch=True,
        )
    )
    body = '[{"order": 1, "group": "a"}, "text", {"order": "two"}]'
    own = {**BUILT_IN_FIELDS, **attribute(3, "tenant", "acme")}
    assert form(template, Request(body, {"x-tenant": "acme"})) == {
        "Action": "SendMessageBatch",
        **entry(
            1, {"Id": "0", "MessageBody": '{"order":1,"group":"a"}', **own, **attribute(4, "order", "1")}
        ),
        **entry(1, {"MessageGroupId": "a", "DelaySeconds": "5"}),
        **entry(2, {"Id": "1", "MessageBody": '"text"', **own, "DelaySeconds": "5"}),
        **entry(3, {"Id": "2", "MessageBody": '{"order":"two"}', **own, **attribute(4, "order", "two")}),
        **entry(3, {"DelaySeconds": "5"}),
    }


def test_a_message_without_headers_does_not_look_at_any() -> None:
    assert "headers" not in PLAIN
    assert "headers" in send(TENANTS)


# Every message that arguments can mean, and every request: what tests/velocity shows of a few messages on all
# engines is shown here of all messages on the local one.

header_names = st.sampled_from(hostile.NAMES) | st.from_regex(NAMES[Kind.HEADER], fullmatch=True)
query_names = st.sampled_from(hostile.NAMES) | st.from_regex(NAMES[Kind.QUERY], fullmatch=True)
members = st.sampled_from(["tenant", "order", "order-id", "lines", "id", "get", "size", "class", "_x"])
steps = st.tuples(members, st.sampled_from(["", "[0]", "[1]", "[0][1]"])).map("".join)
NAMED = {
    Kind.HEADER: header_names,
    Kind.PATH: st.sampled_from(["id", "user", "order-id", "a.b"]),
    Kind.QUERY: query_names,
    Kind.BODY: st.lists(steps, min_size=1, max_size=3).map(".".join),
    Kind.CONTEXT: st.sampled_from(
        [*CONTEXT, *OF_THE_CALLER, "authorizer.tenant", "claims.sub", "claims.cognito:username"]
    ),
    Kind.TEXT: st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20),
}


def is_one(source: Source) -> bool:
    return parse(f"{source.kind}.{source.name}") == source


sources = st.one_of([st.builds(Source, st.just(kind), names).filter(is_one) for kind, names in NAMED.items()])
attribute_names = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True).filter(
    lambda each: each not in BUILT_IN
)
messages = st.builds(
    Message,
    attributes=st.dictionaries(attribute_names, sources, max_size=7),
    group_id=st.none() | sources,
    deduplication_id=st.none() | sources,
    delay_seconds=st.none() | st.integers(0, 900),
    trace_header=st.booleans(),
    batch=st.booleans(),
)
entries = hostile.bodies(
    st.lists(hostile.objects | hostile.values.filter(lambda each: each is not None), max_size=MOST_ENTRIES)
)


@st.composite
def asked(draw: st.DrawFn) -> tuple[Message, Sent]:
    """Return a message and a hostile request that has some of what the message reads."""
    wanted = draw(messages)
    request = draw(hostile.requests(entries if wanted.batch else hostile.any_body))
    headers = {name.lower(): (name, value) for name, value in request.headers.items()}
    query, path = dict(request.query), dict(request.path)
    for each in wanted.sources:
        value = draw(st.none() | hostile.texts)
        if value is None or each.kind not in {Kind.HEADER, Kind.PATH, Kind.QUERY}:
            continue
        if each.kind is Kind.HEADER:
            spelled = draw(st.sampled_from([each.name, each.name.lower(), each.name.upper()]))
            headers[each.name.lower()] = (spelled, value)
        elif each.kind is Kind.PATH:
            path[each.name] = value
        # What is no header, and should not be taken for one.
        query[each.name] = draw(hostile.texts) if each.kind is not Kind.QUERY else value
    caller = draw(st.sampled_from([DIRECT, *CALLERS.values()]))
    sent = Request(request.body, dict(headers.values()), query, path)
    return wanted, Sent(sent, draw(hostile.contexts()), caller)


@given(asked())
def test_any_message_is_what_its_documentation_says_and_nothing_else(exchange: tuple[Message, Sent]) -> None:
    wanted, sent = exchange
    found = form(send(wanted, sent.caller), sent.request, sent.context)
    assert found == sent.form(wanted)
    # SQS refuses an empty value, and with it the message.
    assert all(found.values())
