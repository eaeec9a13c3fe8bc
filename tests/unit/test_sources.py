import re
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import sources
from components.sources import (
    ALLOWED,
    CONTEXT,
    DIRECT,
    NAMES,
    OF_THE_CALLER,
    Caller,
    Kind,
    Source,
    parse,
)
from local.standin.velocity import Request, render

from ..velocity import hostile

GOOD = {
    "header.X-Tenant": Source(Kind.HEADER, "X-Tenant"),
    "path.id": Source(Kind.PATH, "id"),
    "query.page": Source(Kind.QUERY, "page"),
    "body.order": Source(Kind.BODY, "order"),
    "body.order.lines[0].sku-id": Source(Kind.BODY, "order.lines[0].sku-id"),
    "body.matrix[0][12]": Source(Kind.BODY, "matrix[0][12]"),
    "context.request_id": Source(Kind.CONTEXT, "request_id"),
    "context.authorizer.tenant": Source(Kind.CONTEXT, "authorizer.tenant"),
    "context.principal": Source(Kind.CONTEXT, "principal"),
    "context.source_ip": Source(Kind.CONTEXT, "source_ip"),
    "context.user_arn": Source(Kind.CONTEXT, "user_arn"),
    "context.claims.sub": Source(Kind.CONTEXT, "claims.sub"),
    "context.claims.cognito:username": Source(Kind.CONTEXT, "claims.cognito:username"),
    f"context.claims.{'x' * 64}": Source(Kind.CONTEXT, f"claims.{'x' * 64}"),
    "text.a": Source(Kind.TEXT, "a"),
    "text.header.X-Tenant, as it stands": Source(Kind.TEXT, "header.X-Tenant, as it stands"),
    "text. ": Source(Kind.TEXT, " "),
    f"header.{'x' * 64}": Source(Kind.HEADER, "x" * 64),
    f"path.{'x' * 53}": Source(Kind.PATH, "x" * 53),
}
BAD = [
    *("", ".", "X-Tenant", "header", "header.", "HEADER.X", " header.X", "headers.X", "cookie.a", "$.a"),
    *("header.a b", "header.a:b", "header.it's", 'header.a"', "header.a$b", "header.\u00e9", "header.X\n"),
    *("header.#if", "header.a!b", "header.a~b", "header.a*", "header.a|b", "query.filter[a]", "query.a:b"),
    *("header.(x)", "header.a{b}", "header.a\\b", "header.a,b", "header.a/b", f"header.{'x' * 65}"),
    *("path.", "path.{id}", "path.a/b", "path.a'b", "path.a b", "path.$id", f"path.{'x' * 54}"),
    *("query.", "query.a b", "query.a'", "query.$a", "query.a#b", "query.a&b", "query.a=b"),
    *("body.", "body.$", "body.a.", "body..a", "body.a[b]", "body.a[-1]", "body.[0]", "body.0", "body.a b"),
    *("body.a'", "body.*", "body.a[*]", "body.a[?(@.b)]", "body.a[0", "body.\u00e9", "body.a[12345]"),
    *("context.", "context.requestId", "context.identity.sourceIp", "context.authorizer"),
    *("context.authorizer.", "context.authorizer.a.b", "context.authorizer.a-b", "context.request_id.x"),
    *("context.claims", "context.claims.", "context.claims.it's", "context.claims.a.b", "context.claims.:a"),
    *(
        "context.claims['sub']",
        "context.authorizer.claims.sub",
        "context.authorizer.a:b",
        "context.source_ip.x",
    ),
    *("context.claims.\u00e9", f"context.claims.{'x' * 65}", "context.principalId", "context.clientIp"),
    *("text.", "text.\u00e9", "text.a\nb", "text.\x7f", f"text.{'x' * 257}"),
]


@pytest.mark.parametrize(("text", "source"), GOOD.items(), ids=GOOD)
def test_a_text_names_one_place_in_a_request(text: str, source: Source) -> None:
    assert parse(text) == source
    assert isinstance(parse(text), Source)


@pytest.mark.parametrize("text", BAD)
def test_what_names_no_place_is_no_source(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("value", [None, 5, True, ["header.X"], {"header": "X"}])
def test_only_a_text_names_a_place(value: object) -> None:
    assert parse(value) is None


@pytest.mark.parametrize("name", CONTEXT)
def test_everything_that_api_gateway_knows_can_be_had_by_a_name(name: str) -> None:
    assert parse(f"context.{name}") == Source(Kind.CONTEXT, name)
    assert CONTEXT[name] in Source(Kind.CONTEXT, name).reading()


def test_a_refusal_tells_every_way_to_name_a_place() -> None:
    assert all(f"{kind}." in ALLOWED for kind in Kind)
    assert all(re.search(rf"\b{name}\b", ALLOWED) for name in [*CONTEXT, *OF_THE_CALLER, "claims"])


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("header.X-Tenant", "method.request.header.X-Tenant"),
        ("path.id", "method.request.path.id"),
        ("query.page", "method.request.querystring.page"),
        ("body.a", None),
        ("context.stage", None),
        ("text.a", None),
    ],
)
def test_a_parameter_has_the_name_by_which_a_method_declares_it(text: str, declared: str | None) -> None:
    source = parse(text)
    assert source
    assert source.declared == declared


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("header.X-Tenant", "method.request.header.X-Tenant"),
        ("query.page", "method.request.querystring.page"),
        ("context.source_ip", "context.identity.sourceIp"),
        ("context.method", "context.httpMethod"),
        ("context.route", "context.resourcePath"),
        ("path.id", None),
        ("body.a", None),
        ("text.a", None),
        ("context.stage", None),
        ("context.principal", None),
        ("context.authorizer.tenant", None),
        ("context.claims.sub", None),
    ],
)
def test_what_a_decision_may_depend_on_has_an_authorizer_s_name_for_it(
    text: str, identity: str | None
) -> None:
    source = parse(text)
    assert source
    assert source.identity == identity


def read(
    source: Source,
    request: Request,
    context: dict[str, object],
    root: str = "$",
    caller: Caller = DIRECT,
) -> str:
    """Return what a source's VTL finds."""
    template = f"{sources.HEADERS}{source.reading(root, caller)}{sources.VALUE}"
    return render(template, request, context).text


REQUEST = Request(
    '{"order": {"id": "7", "n": 1.5, "ok": true, "none": null, "lines": [{"sku": "x"}]}}',
    {"x-tenant": "acme", "id": "a header"},
    {"page": "2", "id": "a query"},
    {"id": "a path"},
)
AROUND: dict[str, object] = {
    "authorizer": {
        "principalId": "ann",
        "tenant": "acme",
        "clientIp": "2001:db8::7",
        "claims": {"sub": "0a1b", "cognito:username": "bob", "aud": "web"},
    },
    "identity": {
        "sourceIp": "203.0.113.7",
        "caller": "AROAEXAMPLE:ci",
        "userArn": "arn:aws:sts::123456789012:assumed-role/sender/ci",
    },
    "requestTimeEpoch": 1_760_000_000_123,
    "stage": "v1",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("header.X-Tenant", "acme"),
        ("header.ID", "a header"),
        ("path.id", "a path"),
        ("query.id", "a query"),
        ("query.page", "2"),
        ("header.X-None", ""),
        ("path.none", ""),
        ("query.none", ""),
        ("body.order.id", "7"),
        ("body.order.n", "1.5"),
        ("body.order.ok", "true"),
        ("body.order.none", ""),
        ("body.order.lines", '[{"sku":"x"}]'),
        ("body.order.lines[0].sku", "x"),
        ("body.order.lines[1].sku", ""),
        ("body.other", ""),
        ("context.principal", "ann"),
        ("context.source_ip", "203.0.113.7"),
        ("context.time", "1760000000123"),
        ("context.user_agent", ""),
        ("context.authorizer.tenant", "acme"),
        ("context.authorizer.none", ""),
        ("context.user_arn", "arn:aws:sts::123456789012:assumed-role/sender/ci"),
        ("context.claims.sub", "0a1b"),
        ("context.claims.cognito:username", "bob"),
        ("context.claims.none", ""),
    ],
)
def test_a_source_is_read_from_where_it_says_and_from_nowhere_else(text: str, value: str) -> None:
    source = parse(text)
    assert source
    assert source.fixed is None
    assert read(source, REQUEST, AROUND) == value


OF_POOLS = Caller("$context.authorizer.claims.sub")
SIGNED = Caller("$context.identity.caller")
PROXIED = Caller(address="$context.authorizer.clientIp")


@pytest.mark.parametrize(
    ("caller", "principal", "address"),
    [
        (DIRECT, "ann", "203.0.113.7"),
        (OF_POOLS, "0a1b", "203.0.113.7"),
        (SIGNED, "AROAEXAMPLE:ci", "203.0.113.7"),
        (PROXIED, "ann", "2001:db8::7"),
    ],
    ids=["function", "pools", "iam", "proxy"],
)
def test_who_calls_and_from_where_is_read_as_callers_are_let_in(
    caller: Caller, principal: str, address: str
) -> None:
    found = [read(Source(Kind.CONTEXT, each), REQUEST, AROUND, caller=caller) for each in OF_THE_CALLER]
    assert found == [principal, address]
    for name in CONTEXT:
        source = Source(Kind.CONTEXT, name)
        assert source.reading(caller=caller) == source.reading(), "nothing else depends on it"


@pytest.mark.parametrize("text", ["context.principal", "context.source_ip", "context.claims.sub"])
@pytest.mark.parametrize("caller", [DIRECT, OF_POOLS, SIGNED, PROXIED], ids=["", "pools", "iam", "proxy"])
def test_who_is_not_known_is_an_empty_text(text: str, caller: Caller) -> None:
    source = parse(text)
    assert source
    empty: list[dict[str, object]] = [{}, {"authorizer": {}, "identity": {}}, {"authorizer": {"claims": {}}}]
    assert [read(source, REQUEST, each, caller=caller) for each in empty] == ["", "", ""]


def test_one_message_of_several_is_read_from_its_own_part_of_the_body() -> None:
    request = Request('[{"a": 1}, {"a": 2}]')
    found = [read(Source(Kind.BODY, "a"), request, {}, f"$[{index}]") for index in range(3)]
    assert found == ["1", "2", ""]


@pytest.mark.parametrize("place", ["header", "path", "query"])
@given(value=hostile.texts)
def test_what_a_caller_writes_is_a_value_and_no_template(place: str, value: str) -> None:
    source = parse(f"{place}.X-Id")
    assert source
    given_there = {"X-Id": value}
    requests = {
        "header": Request("", headers=given_there),
        "path": Request("", path=given_there),
        "query": Request("", query=given_there),
    }
    assert read(source, requests[place], {}) == value


IN_TEMPLATES = [each for each in Kind if each is not Kind.TEXT]


@given(st.sampled_from(IN_TEMPLATES).flatmap(lambda kind: st.from_regex(NAMES[kind], fullmatch=True)))
def test_no_name_can_end_the_text_in_a_template_that_holds_it(name: str) -> None:
    assert not set("'\"\\${}() \n") & set(name)


@given(name=st.from_regex(NAMES[Kind.HEADER], fullmatch=True), value=hostile.texts)
def test_a_header_of_any_name_can_be_read(name: str, value: str) -> None:
    request = Request("", headers={name.swapcase(): value})
    assert read(Source(Kind.HEADER, name), request, {}) == value


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=256))
def test_a_fixed_text_stands_in_a_form_and_in_a_template_as_itself(text: str) -> None:
    source = parse(f"text.{text}")
    assert source
    assert source.fixed is not None
    assert unquote_plus(source.fixed) == text
    assert re.fullmatch(r"[A-Za-z0-9_.~%+-]+", source.fixed), "nothing that a form or Velocity reads"
