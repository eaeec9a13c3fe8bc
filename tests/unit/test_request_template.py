import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.templates import ATTRIBUTES, Attribute, send_message
from local.standin.velocity import Request

from .rendering import REQUEST_ID, SOURCE_IP, attribute, form

HOSTILE = [
    "a&b=c+d%20e",
    "&MessageBody=other&Action=DeleteQueue",
    "&MessageAttribute.1.Value.StringValue=forged",
    "%26Action%3DPurgeQueue",
    'he said "no"',
    "it's",
    "\U0001f600 \u00e9\u4e2d\u202e",
    "one\ntwo\r\nthree\ttab",
    "#set($context.requestId = 'x')",
    "#if(true)yes#end ## comment #* block *#",
    "$input.body $context.requestId ${n} $!x \\$y",
    "$util.urlDecode('%26')",
    "\\",
    " ",
    "",
]
TEXTS = st.text() | st.sampled_from(HOSTILE) | st.lists(st.sampled_from(HOSTILE)).map("".join)
ALWAYS = {
    "Action": "SendMessage",
    **attribute(1, "requestId", REQUEST_ID),
    **attribute(2, "sourceIp", SOURCE_IP),
}
TRACED = (
    Attribute("trace", "$input.params('X-Trace')", optional=True),
    *ATTRIBUTES,
    Attribute("tenant", "$input.params('X-Tenant')", optional=True),
)


def arrives(body: str) -> str:
    """Return what API Gateway makes of a body before any template sees it."""
    return body or "{}"


@given(body=TEXTS, principal=TEXTS.filter(bool))
@example(body="", principal="ann")
def test_what_was_sent_is_what_the_queue_gets(body: str, principal: str) -> None:
    assert form(send_message(), Request(body), principal) == {
        **ALWAYS,
        "MessageBody": arrives(body),
        **attribute(3, "principal", principal),
    }


@pytest.mark.parametrize("body", HOSTILE)
def test_a_hostile_body_is_nothing_but_a_body(body: str) -> None:
    assert form(send_message(), Request(body)) == {**ALWAYS, "MessageBody": arrives(body)}


@pytest.mark.parametrize("principal", [None, ""])
def test_a_principal_that_is_not_there_vanishes(principal: str | None) -> None:
    # SQS refuses the whole message for an attribute with an empty value.
    assert form(send_message(), Request("body"), principal) == {**ALWAYS, "MessageBody": "body"}


@given(trace=TEXTS, principal=st.none() | TEXTS, tenant=TEXTS)
@example(trace="", principal="ann", tenant="")
@example(trace="t", principal="", tenant="&x=1")
@example(trace="", principal=None, tenant="")
def test_the_attributes_that_are_there_are_numbered_without_gaps(
    trace: str, principal: str | None, tenant: str
) -> None:
    request = Request("body", headers={"x-trace": trace, "X-TENANT": tenant})
    optional = {"trace": trace, "principal": principal, "tenant": tenant}
    expected = {**ALWAYS, "MessageBody": "body"}
    there = [(name, value) for name, value in optional.items() if value]
    for index, (name, value) in enumerate(there, start=3):
        expected |= attribute(index, name, value)
    assert form(send_message(TRACED), request, principal) == expected


def test_a_template_without_optional_attributes_has_no_conditions() -> None:
    template = send_message(ATTRIBUTES[:2])
    assert "#" not in template
    assert form(template, Request("body"), "ann") == {**ALWAYS, "MessageBody": "body"}


def test_a_message_may_have_no_attributes() -> None:
    assert form(send_message([]), Request("body")) == {"Action": "SendMessage", "MessageBody": "body"}
