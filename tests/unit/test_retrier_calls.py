import base64
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.retrier import calls
from handlers.retrier.calls import InvalidCallError, SecretValue, parse
from sluice.retrier.targets import ForbiddenTargetError

from .retrier_rules import ALLOWED, rules, secret

RULES = rules(secrets=(secret("shop"), secret("far", "https://far.example.com")))
URL = f"{ALLOWED}/orders"
NAN = float("nan")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def call(**given: Any) -> calls.Call:
    return parse({"url": URL, **given}, RULES)


def problems(**given: Any) -> list[str]:
    """Return what is wrong with a call."""
    with pytest.raises(InvalidCallError) as found:
        call(**given)
    assert str(found.value) == "; ".join(found.value.problems)
    return sorted(found.value.problems)


Wrong = tuple[dict[str, Any], str]
"""What is given, and the beginning of what is told of it."""


def with_each(values: Mapping[str, Sequence[object]], problem: str) -> Iterator[Wrong]:
    for key, several in values.items():
        for each in several:
            yield {key: each}, problem


def with_each_retry(values: Mapping[str, Sequence[object]], problem: str) -> Iterator[Wrong]:
    for retry, _ in with_each(values, problem):
        yield {"retry": retry}, problem


def test_a_url_is_enough() -> None:
    found = call()
    assert (found.method, found.target.url, found.headers, found.body) == ("GET", URL, {}, None)
    assert (found.timeout_seconds, found.repeatable) == (20, True)
    assert found.policy == calls.Policy(
        frozenset(RULES.statuses), frozenset({"connection", "timeout", "lost"}), 5, 60, 1, 20
    )


def test_a_call_may_say_everything() -> None:
    found = call(
        method="POST",
        headers={"X-Shop": "1", "Authorization": {"secret": "shop", "prefix": "Bearer "}},
        body="{}",
        timeout_seconds=2.5,
        idempotency_key="order-1",
        retry={
            "statuses": [503],
            "failures": ["connection"],
            "attempts": 2,
            "deadline_seconds": 9,
            "base_seconds": 2,
            "cap_seconds": 4.5,
        },
    )
    assert found.method == "POST"
    assert found.headers == {
        "x-shop": "1",
        "authorization": SecretValue("shop", "Bearer "),
        "idempotency-key": "order-1",
    }
    assert (found.body, found.timeout_seconds) == (b"{}", 2.5)
    assert found.policy == calls.Policy(frozenset({503}), frozenset({"connection"}), 2, 9, 2, 4.5)


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ({}, None),
        ({"body": ""}, b""),
        ({"body": "\u00fc\u4e2d\0"}, b"\xc3\xbc\xe4\xb8\xad\0"),
        ({"body_base64": ""}, b""),
        ({"body_base64": base64.b64encode(bytes(range(256))).decode()}, bytes(range(256))),
    ],
)
def test_a_body_is_a_text_or_bytes(given: dict[str, str], body: bytes | None) -> None:
    assert call(**given).body == body


@pytest.mark.parametrize(
    ("method", "key", "repeatable"),
    [
        ("GET", None, True),
        ("PUT", None, True),
        ("POST", None, False),
        ("PATCH", None, False),
        ("POST", "x", True),
        ("PATCH", "x", True),
        ("GET", "x", True),
    ],
)
def test_what_is_repeated_is_safe_to(method: str, key: str | None, repeatable: bool) -> None:
    given = {} if key is None else {"idempotency_key": key}
    assert call(method=method, **given).repeatable is repeatable


def test_a_key_goes_into_the_header_that_the_upstream_knows() -> None:
    known = rules(idempotency_header="x-once")
    assert parse({"url": URL, "idempotency_key": "a"}, known).headers == {"x-once": "a"}


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Length",
        "Expect",
        "Accept-Encoding",
        "Connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Authenticate",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "UPGRADE",
    ],
)
def test_what_is_no_caller_s_to_say_is_left_out(name: str) -> None:
    assert call(headers={name: "x", "X-Shop": "1"}).headers == {"x-shop": "1"}


def test_what_a_connection_names_is_left_out_with_it() -> None:
    given = {"Connection": "close, X-Hop ,x-other", "x-hop": "1", "X-Other": "2", "x-shop": "3"}
    assert call(headers=given).headers == {"x-shop": "3"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"url": None}, "url: a text, as https://api.example.com/orders"),
        ({"url": 5}, "url: a text, as https://api.example.com/orders"),
        ({"url": ["x"]}, "url: a text, as https://api.example.com/orders"),
        *with_each({"method": ["get", "", "TRACE", "CONNECT", None, [], {}]}, "method: one of GET, HEAD,"),
        ({"method": "GET / HTTP/1.1\r\nX: y"}, "method: one of GET, HEAD,"),
        ({"body": None}, "body: a text; "),
        ({"body": {"a": 1}}, "body: a text; "),
        ({"body": "\ud800"}, "body: a text; "),
        *with_each({"body_base64": ["x", "a b=", "\u00fc", "ab==c", 5, []]}, "body_base64: bytes in Base64"),
        ({"body": "", "body_base64": ""}, "body: not beside body_base64"),
        ({"surprise": 1}, "surprise: no such thing; there are method, url,"),
        ({"headers": []}, "headers: a map of names to texts"),
        ({"headers": None}, "headers: a map of names to texts"),
        ({"headers": {"a b": "x"}}, "headers.'a b': the name of a header"),
        ({"headers": {"": "x"}}, "headers.'': the name of a header"),
        ({"headers": {"x:": "x"}}, "headers.'x:': the name of a header"),
        ({"headers": {"x\r\ny": "x"}}, "headers.'x\\r\\ny': the name of a header"),
        ({"headers": {"\u212aey": "x"}}, "headers."),
        ({"headers": {"x": "a\nb"}}, "headers.x: ASCII text without line ends"),
        ({"headers": {"x": "a\r"}}, "headers.x: ASCII text without line ends"),
        ({"headers": {"x": "a\n"}}, "headers.x: ASCII text without line ends"),
        ({"headers": {"x": "caf\u00e9"}}, "headers.x: ASCII text without line ends"),
        ({"headers": {"x": "\0"}}, "headers.x: ASCII text without line ends"),
        *(({"headers": {"x": each}}, "headers.x: ASCII text without") for each in (1, None, True, ["x"])),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a: only once, in whatever case"),
        ({"headers": {"Idempotency-Key": "x"}}, "headers.idempotency-key: give it as idempotency_key"),
        ({"headers": {str(each): "x" for each in range(51)}}, "headers: at most 50"),
        ({"headers": {"x": "a" * 16384}}, "headers: at most 16384 characters in all"),
        ({"headers": {"x": {"secret": "nobody's"}}}, "headers.x.secret: one of far, shop"),
        ({"headers": {"x": {}}}, "headers.x.secret: one of far, shop"),
        ({"headers": {"x": {"secret": []}}}, "headers.x.secret: one of far, shop"),
        ({"headers": {"x": {"secret": "shop", "prefix": "a\n"}}}, "headers.x.prefix: a text without"),
        ({"headers": {"x": {"secret": "shop", "prefix": 1}}}, "headers.x.prefix: a text without line ends"),
        ({"headers": {"x": {"secret": "shop", "suffix": ""}}}, "headers.x.suffix: no such thing;"),
        *with_each(
            {"timeout_seconds": [0, 0.09, 20.01, -1, "5", None, True, NAN, float("inf"), 10**400, []]},
            "timeout_seconds: a number from 0.1 to 20 (seconds)",
        ),
        *with_each(
            {"idempotency_key": ["", " ", "a b", "a\n", "x" * 256, "caf\u00e9", 5, None, []]},
            "idempotency_key: 1 to 255 visible ASCII characters",
        ),
        *with_each({"retry": [None, [], "x", 5]}, "retry: a map of statuses,"),
        ({"retry": {"surprise": 1}}, "retry.surprise: no such thing; there are statuses,"),
        *with_each_retry(
            {"statuses": [[200], [429, 404], "429", None, {"429": 1}, [[429]], ["429"], [None], 429]},
            "retry.statuses: some of 408, 425,",
        ),
        *with_each_retry(
            {"failures": [["slow"], ["lost", "Timeout"], "lost", None, {"lost": 1}, [["lost"]], [None], 5]},
            "retry.failures: some of connection, timeout, lost",
        ),
        *with_each_retry(
            {"attempts": [0, 6, -1, 2.0, "2", None, True, []]}, "retry.attempts: a whole number from 1 to 5"
        ),
        *with_each_retry(
            {"deadline_seconds": [0.5, 61, "9", None, False, NAN]},
            "retry.deadline_seconds: a number from 1 to 60",
        ),
        *with_each_retry(
            {"base_seconds": [0, 0.5, 21, "2", None]}, "retry.base_seconds: a number from 1 to 20"
        ),
        *with_each_retry({"cap_seconds": [0.5, 21, "2"]}, "retry.cap_seconds: a number from 1 to 20"),
        ({"retry": {"base_seconds": 5, "cap_seconds": 4}}, "retry.cap_seconds: at least base_seconds"),
    ],
)
def test_what_is_wrong_is_told(given: dict[str, Any], problem: str) -> None:
    assert any(each.startswith(problem) for each in problems(**given)), problems(**given)


@pytest.mark.parametrize("given", [None, [], "x", 5, True, [{"url": URL}]])
def test_a_call_is_an_object(given: object) -> None:
    with pytest.raises(InvalidCallError, match="a call is a JSON object with at least a url"):
        parse(given, RULES)


def test_a_call_without_a_url_is_none() -> None:
    with pytest.raises(InvalidCallError, match="url: a text"):
        parse({}, RULES)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = problems(
        url=5, method="x", body=1, headers=[], timeout_seconds=0, idempotency_key="", retry=[], odd=1
    )
    assert [each.partition(":")[0] for each in found] == sorted(
        ["url", "method", "body", "headers", "timeout_seconds", "idempotency_key", "retry", "odd"]
    )


def test_a_problem_is_told_before_where_it_would_go() -> None:
    assert problems(url="https://evil.example/", method="x") == problems(method="x")


def test_nobody_else_is_called() -> None:
    with pytest.raises(ForbiddenTargetError, match=r"evil\.example"):
        call(url="https://evil.example/")


def test_a_secret_is_sent_only_where_it_may_be() -> None:
    with pytest.raises(ForbiddenTargetError, match=r"^the secret 'far' may not be sent to https://api\.exam"):
        call(headers={"authorization": {"secret": "far"}})


def test_a_secret_is_bound_to_scheme_and_port_too() -> None:
    plain, odd = "http://api.example.com", "https://api.example.com:8443"
    known = rules(ALLOWED, plain, odd, secrets=(secret("shop"),))
    given = {"headers": {"authorization": {"secret": "shop"}}}
    assert parse({"url": f"{ALLOWED}:443/", **given}, known).headers["authorization"] == SecretValue(
        "shop", ""
    )
    for each in (plain, odd):
        with pytest.raises(ForbiddenTargetError):
            parse({"url": f"{each}/", **given}, known)


def test_a_retrier_without_secrets_says_so() -> None:
    with pytest.raises(InvalidCallError, match="none: this retrier has no secrets"):
        parse({"url": URL, "headers": {"x": {"secret": "shop"}}}, rules())


def test_a_call_has_a_size_that_a_state_machine_carries() -> None:
    room = calls.LARGEST_CALL - len(json.dumps({"url": URL, "body": ""}))
    assert call(body="x" * room).body == b"x" * room
    assert problems(body="x" * (room + 1)) == ["the call: at most 204800 bytes as JSON"]
    assert problems(body="\u4e2d" * (room // 5))[-1] == "the call: at most 204800 bytes as JSON"


def test_a_call_is_not_nested_deeper_than_it_can_be_carried() -> None:
    def nested(deep: int) -> list[str]:
        # As `json.loads` makes it, which goes deeper than `json.dumps`.
        value: list[object] = []
        for _ in range(deep):
            value = [value]
        return problems(body=value)

    assert "the call: nested less deep" not in nested(100)
    assert "the call: nested less deep" in nested(sys.getrecursionlimit())


def test_a_call_may_be_gentler_than_its_retrier_and_never_rougher() -> None:
    gentle = call(
        retry={"attempts": 1, "deadline_seconds": 1, "statuses": [], "failures": [], "base_seconds": 20}
    )
    assert gentle.policy == calls.Policy(frozenset(), frozenset(), 1, 1, 20, 20)
    assert gentle.policy.base_seconds >= RULES.base_seconds


def test_a_failure_that_its_retrier_does_not_try_again_is_not_a_call_s_to_ask_for() -> None:
    known = rules(failures=("connection",))
    assert parse({"url": URL}, known).policy.failures == {"connection"}
    with pytest.raises(InvalidCallError, match=r"^retry\.failures: some of connection$"):
        parse({"url": URL, "retry": {"failures": ["connection", "lost"]}}, known)


def test_parts_of_headers_that_are_too_many_do_not_hide_others() -> None:
    found = problems(headers={**{f"x-{each}": "a\n" for each in range(51)}})
    assert len(found) == 52


@given(JSON)
def test_nothing_breaks_it(given: object) -> None:
    with pytest.raises((InvalidCallError, ForbiddenTargetError)):
        parse(given, RULES)


@given(st.dictionaries(st.sampled_from([*calls.KEYS, "odd"]), JSON | st.just(URL)))
def test_no_value_breaks_it(given: dict[str, Any]) -> None:
    try:
        found = parse(given, RULES)
    except (InvalidCallError, ForbiddenTargetError):
        return
    assert found.target.upstream in RULES.upstreams


@given(st.dictionaries(st.sampled_from([*calls.RETRY_KEYS, "odd"]), JSON | st.integers(0, 70)))
def test_no_retry_breaks_it(retry: dict[str, Any]) -> None:
    try:
        policy = call(retry=retry).policy
    except InvalidCallError:
        return
    assert 1 <= policy.attempts <= RULES.attempts
    assert RULES.base_seconds <= policy.base_seconds <= policy.cap_seconds <= RULES.cap_seconds
    assert 1 <= policy.deadline_seconds <= RULES.deadline_seconds
    assert policy.statuses <= {*RULES.statuses}
    assert policy.failures <= {*RULES.failures}


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=()), max_size=5) | st.just("connection"), JSON)
)
def test_no_header_breaks_it(headers: dict[str, Any]) -> None:
    try:
        found = call(headers=headers).headers
    except InvalidCallError:
        return
    assert all("\n" not in f"{name}{value}" and "\r" not in f"{name}{value}" for name, value in found.items())
