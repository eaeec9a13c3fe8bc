import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.jwt_authorizer import PRINCIPAL
from local.access_lines import log_line
from sluice import access_log, tokens
from sluice.access_log import ABSENT, FIELDS, Line, MalformedLineError

REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
IPV4 = "203.0.113.255"
IPV6 = "2001:0db8:85a3:1234:5678:8a2e:0370:7334"
LONG_ROUTE = "/" + "r" * (access_log.LONGEST_ROUTE - 1)
ROLE_SESSION = f"AROA{'X' * 17}:{'s' * 64}"
"""A caller by IAM: the id of a role, and the name of its session ("IAM identifiers", IAM User Guide)."""

VALUES = {
    "requestId": REQUEST_ID,
    "ip": IPV4,
    "time": "1760000000123",
    "method": "POST",
    "route": "/messages",
    "status": "202",
    "waf": ABSENT,
    "latency": "17",
    "backend": "200",
    "principal": "ann",
}


def written(**changes: Any) -> str:
    return json.dumps({**VALUES, **changes}, separators=(",", ":"))


def without(key: str) -> str:
    return json.dumps({name: value for name, value in VALUES.items() if name != key})


def rendered(
    context: dict[str, Any], principal: str | None = access_log.PRINCIPAL, address: str = access_log.ADDRESS
) -> str:
    return log_line(access_log.line_format(principal, address), context)


def context_of(line: Line) -> dict[str, Any]:
    return {
        "requestId": line.request_id,
        "identity": {"sourceIp": line.ip},
        "requestTimeEpoch": line.time,
        "httpMethod": line.method,
        "resourcePath": line.route,
        "status": line.status,
        "wafResponseCode": line.waf,
        "responseLatency": line.latency,
        "integrationStatus": line.backend,
        "authorizer": {"principalId": line.principal},
    }


numbers = st.integers(min_value=0, max_value=10**15)
LINES = st.builds(
    Line,
    request_id=st.uuids().map(str),
    ip=st.none() | st.ip_addresses().map(str),
    time=numbers,
    method=st.sampled_from(["POST", "GET", "OPTIONS"]),
    route=st.from_regex(r"/[A-Za-z0-9._~:{}+-]{1,40}", fullmatch=True),
    status=st.integers(min_value=100, max_value=599),
    waf=st.sampled_from([None, "WAF_ALLOW", "WAF_BLOCK"]),
    latency=st.none() | numbers,
    backend=st.none() | st.integers(min_value=100, max_value=599),
    principal=st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@|+=~/-]{1,85}", fullmatch=True),
)


@given(LINES)
def test_what_is_written_is_read_back(line: Line) -> None:
    assert access_log.parse(rendered(context_of(line))) == line


def test_a_principal_that_is_not_ours_is_never_written() -> None:
    assert "principalId" not in access_log.line_format(principal=None)
    forged = {"authorizer": {"principalId": 'x","ip":"198.51.100.1'}, "status": 200, "requestTimeEpoch": 1}
    assert access_log.parse(rendered(forged, principal=None)).principal is None


@pytest.mark.parametrize(
    ("variable", "context"),
    [
        ("$context.authorizer.claims.sub", {"authorizer": {"claims": {"sub": "7a3f-user"}}}),
        ("$context.identity.caller", {"identity": {"caller": "7a3f-user", "sourceIp": IPV4}}),
    ],
)
def test_whoever_decides_a_line_says_who_called(variable: str, context: dict[str, Any]) -> None:
    line = rendered({**context_of(access_log.parse(written())), **context}, principal=variable)
    assert access_log.parse(line).principal == "7a3f-user"


BEHIND_A_PROXY = "$context.authorizer.clientIp"


def test_behind_a_proxy_the_address_is_the_one_that_the_authorizer_found() -> None:
    told = {"clientIp": IPV6, "principalId": "ann"}
    context = {**context_of(access_log.parse(written())), "authorizer": told}
    line = access_log.parse(rendered(context, address=BEHIND_A_PROXY))
    assert (line.ip, line.principal) == (IPV6, "ann")
    assert access_log.parse(rendered(context)).ip == IPV4


def test_behind_a_proxy_a_request_that_was_refused_unread_has_no_address() -> None:
    context = {**context_of(access_log.parse(written())), "authorizer": {}}
    assert access_log.parse(rendered(context, address=BEHIND_A_PROXY)).ip is None


def test_a_quote_in_a_principal_makes_a_line_that_is_refused() -> None:
    context = {**context_of(access_log.parse(written())), "authorizer": {"principalId": 'x","ip":"1.2.3.4'}}
    with pytest.raises(MalformedLineError):
        access_log.parse(rendered(context))


def test_every_value_is_one_quoted_variable_that_a_client_cannot_write() -> None:
    assert list(json.loads(access_log.line_format()).items()) == list(FIELDS.items())
    client_writes = re.compile(r"\$context\.(path|identity\.userAgent|identity\.user|domainName|protocol)\b")
    assert not client_writes.search(access_log.line_format())


def test_the_fields_are_the_same_whoever_decides_and_wherever_the_address_is_from() -> None:
    for text in (
        access_log.line_format(None),
        access_log.line_format("$context.identity.caller", BEHIND_A_PROXY),
    ):
        assert list(json.loads(text)) == list(FIELDS)


WIDEST = {"method": "OPTIONS", "route": LONG_ROUTE, "waf": "WAF_BLOCK", "latency": "29000"}


def test_the_longest_line_has_exactly_the_bytes_that_are_said() -> None:
    line = written(**WIDEST, ip=IPV6, principal=ROLE_SESSION)
    assert len(ROLE_SESSION) == 86
    assert len(line.encode()) == access_log.MAX_BYTES


@pytest.mark.parametrize(("names", "longest"), [(tokens.NAME, 32), (PRINCIPAL, 64)], ids=["token", "JWT"])
def test_no_principal_of_ours_is_longer_than_a_caller_by_iam(names: re.Pattern[str], longest: int) -> None:
    assert names.fullmatch("p" * longest)
    assert not [each for each in range(longest + 1, 500) if names.fullmatch("p" * each)]
    assert longest < len(ROLE_SESSION)


BROKEN = {
    "empty": "",
    "no JSON": "hello",
    "a JSON string": '"hello"',
    "a JSON number": "5",
    "null": "null",
    "an array": "[]",
    "an array of pairs": json.dumps(list(VALUES.items())),
    "an empty object": "{}",
    "cut off": written()[:-1],
    "two lines at once": written() + written(),
    "text behind": written() + "x",
    "a bare dash": written().replace('"200"', "-"),
    "an open quote": written(route='/mess"ages').replace("\\", ""),
    "a forged address": written(method='POST","ip":"198.51.100.1').replace("\\", ""),
    "a key twice": written()[:-1] + ',"ip":"198.51.100.1"}',
    "the same key twice in place of another": written().replace('"waf"', '"ip"'),
    "one field more": written(path="/x"),
    "another order": json.dumps(dict(reversed(VALUES.items()))),
    "another name": written().replace('"ip"', '"IP"'),
    "a number": written(status=202),
    "null for a value": written(waf=None),
    "an object for a value": written(principal={"a": "b"}),
    "a list for a value": written(principal=["a"]),
    "true for a value": written(waf=True),
    "no digits": written(status="ok"),
    "an empty number": written(time=""),
    "a sign": written(time="-5"),
    "a fraction": written(latency="1.5"),
    "an underscore": written(time="1_000"),
    "a space": written(time=" 5"),
    "digits of another script": written(time="\u0661\u0662"),
    "a superscript": written(time="\u00b2"),
    "an absent time": written(time=ABSENT),
    "an absent status": written(status=ABSENT),
    "64 KB of text": "x" * 65_536,
    "64 KB in a number": written(time="9" * 65_536),
    "64 KB of brackets": "[" * 65_536,
    "64 KB of objects": '{"requestId":' * 5_000,
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in BROKEN.items()])
def test_any_other_line_is_refused(text: str) -> None:
    with pytest.raises(MalformedLineError):
        access_log.parse(text)


@pytest.mark.parametrize("key", FIELDS)
def test_a_line_that_lacks_a_field_is_refused(key: str) -> None:
    with pytest.raises(MalformedLineError):
        access_log.parse(without(key))


@given(st.text() | st.dictionaries(st.sampled_from(list(FIELDS)), st.text(), min_size=1).map(json.dumps))
def test_no_other_text_makes_anything_but_a_refusal(text: str) -> None:
    with pytest.raises(MalformedLineError):
        access_log.parse(text)


@pytest.mark.parametrize("key", ["time", "status", "latency", "backend"])
def test_a_refusal_repeats_nothing_of_the_line(key: str) -> None:
    with pytest.raises(MalformedLineError) as refused:
        access_log.parse(written(**{key: "personal-data"}))
    assert "personal" not in str(refused.value)
    with pytest.raises(MalformedLineError) as unreadable:
        access_log.parse("personal-data")
    assert "personal" not in f"{unreadable.value} {unreadable.value.__cause__}"
