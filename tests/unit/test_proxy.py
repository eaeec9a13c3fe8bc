import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import proxy
from components.arguments import InvalidArgsError
from handlers.authorizing import client_address
from sluice import tokens

SECRET = "a-secret-of-the-proxy-0123456789abcdef"
NEXT_SECRET = "the-secret-of-tomorrow-0123456789abcdef"
GOOD: dict[str, Any] = {"address_header": "CF-Connecting-IP", "secrets": [SECRET]}
OUTPUT = pulumi.Output.from_input("known later")

Resolve = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


def paths(**changes: Any) -> list[str]:
    return [each.path for each in proxy.problems({"proxy": {**GOOD, **changes}})]


def told(args: Any) -> str:
    return "\n".join(map(str, proxy.problems(args)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"address_header": "True-Client-IP"},
        {"address_header": "x"},
        {"address_header": "x" * 64},
        {"secret_header": "X-Proof"},
        {"secret_header": None},
        {"secrets": [SECRET, NEXT_SECRET]},
        {"secrets": ["!" * 32]},
        {"secrets": ["~" * 200]},
        {"secrets": [OUTPUT]},
        {"secrets": [SECRET, OUTPUT]},
        {"secrets": [OUTPUT, SECRET]},
        {"secrets": [OUTPUT, OUTPUT]},
    ],
    ids=range(13),
)
def test_a_proxy_says_where_it_writes_the_address_and_what_it_shows(changes: dict[str, Any]) -> None:
    assert paths(**changes) == []


def test_without_a_proxy_there_is_no_problem() -> None:
    assert proxy.problems({}) == []
    assert proxy.problems({"proxy": None}) == []


NO_HEADERS = [
    "",
    " ",
    "X Client",
    "X-Client-IP ",
    "X_Client_IP",
    "-X",
    "X-Client:IP",
    "X-Client-IP\n",
    "\u00c9",
    "x" * 65,
    5,
    True,
    ["X-Client-IP"],
    OUTPUT,
]
THE_CLIENT_S = [
    "X-Forwarded-For",
    "x-forwarded-for",
    "Forwarded",
    "Via",
    "Host",
    "Authorization",
    "Cookie",
    "User-Agent",
    "X-Api-Key",
    "X-Amzn-Trace-Id",
]


@pytest.mark.parametrize("key", ["address_header", "secret_header"])
@pytest.mark.parametrize("header", [*NO_HEADERS, *THE_CLIENT_S], ids=lambda each: ascii(each)[:20])
def test_a_header_is_one_that_the_proxy_alone_writes(header: object, key: str) -> None:
    assert set(paths(**{key: header})) == {f"proxy.{key}"}


@pytest.mark.parametrize(
    ("address", "secret"),
    [("X-Origin-Secret", None), ("x-origin-secret", None), ("X-Proof", "X-Proof"), ("X-Proof", "x-PROOF")],
)
def test_one_header_does_not_hold_both(address: str, secret: str | None) -> None:
    assert paths(address_header=address, secret_header=secret) == ["proxy.address_header"]


NO_SECRETS: list[tuple[str, object]] = [
    ("proxy.secrets", []),
    ("proxy.secrets", SECRET),
    ("proxy.secrets", OUTPUT),
    ("proxy.secrets", {"0": SECRET}),
    ("proxy.secrets", [SECRET, NEXT_SECRET, "x" * 40]),
    ("proxy.secrets[0]", ["x" * 31]),
    ("proxy.secrets[0]", ["x" * 201]),
    ("proxy.secrets[0]", [""]),
    ("proxy.secrets[0]", [None]),
    ("proxy.secrets[0]", [5]),
    ("proxy.secrets[0]", [[SECRET]]),
    ("proxy.secrets[0]", [f" {SECRET}"]),
    ("proxy.secrets[0]", [f"{SECRET}\n"]),
    ("proxy.secrets[0]", [f"{SECRET}\u00e9"]),
    ("proxy.secrets[1]", [SECRET, "short"]),
    ("proxy.secrets[1]", [SECRET, SECRET]),
]


@pytest.mark.parametrize(("path", "secrets"), NO_SECRETS, ids=range(len(NO_SECRETS)))
def test_one_or_two_secrets_are_long_and_printable_and_not_the_same(path: str, secrets: object) -> None:
    assert paths(secrets=secrets) == [path]
    assert "openssl rand" in told({"proxy": {**GOOD, "secrets": secrets}})


@pytest.mark.parametrize("key", ["address_header", "secrets"])
def test_what_is_missing_is_told_once(key: str) -> None:
    given = {name: value for name, value in GOOD.items() if name != key}
    assert [each.path for each in proxy.problems({"proxy": given})] == [f"proxy.{key}"]


def test_every_problem_is_told_at_once() -> None:
    found = proxy.problems(
        {"proxy": {"address_header": "Via", "secret_header": "", "secrets": [], "more": 1}}
    )
    assert [each.path for each in found] == [
        "proxy.more",
        "proxy.address_header",
        "proxy.secret_header",
        "proxy.secrets",
    ]


@pytest.mark.parametrize("value", ["CF-Connecting-IP", [GOOD], 5, True, OUTPUT], ids=range(5))
def test_a_proxy_is_a_map(value: object) -> None:
    (problem,) = proxy.problems({"proxy": value})
    assert (problem.path, problem.allowed) == ("proxy", "a map with address_header, secrets, secret_header")


HUSH = "hush-hush-hush-hush-hush-hush-hush-hush-hush"


@pytest.mark.parametrize(
    "value",
    [
        HUSH,
        [HUSH],
        {**GOOD, "secrets": HUSH},
        {**GOOD, "secrets": {"first": HUSH}},
        {**GOOD, "secrets": [f"{HUSH} "]},
        {**GOOD, "secrets": [HUSH, HUSH]},
        {**GOOD, "secrets": [HUSH, f"2-{HUSH}", f"3-{HUSH}"]},
        {**GOOD, "secrets": [[HUSH]]},
        {**GOOD, "secret": HUSH},
        {**GOOD, "secret_header": f"{HUSH} "},
        {**GOOD, "more": {"secrets": [HUSH]}},
    ],
    ids=range(11),
)
def test_no_problem_shows_a_secret_wherever_it_was_written(value: object) -> None:
    shown = told({"proxy": value})
    assert shown
    assert "hush" not in shown


@given(st.recursive(st.none() | st.text() | st.integers(), lambda each: st.lists(each, max_size=3)))
def test_whatever_is_given_for_secrets_is_taken_or_told_and_not_shown(secrets: Any) -> None:
    found = proxy.problems(
        {"proxy": {**GOOD, "secrets": [*secrets, HUSH] if isinstance(secrets, list) else secrets}}
    )
    assert all(each.path.startswith("proxy.secrets") for each in found)
    assert HUSH not in "\n".join(map(str, found))


def test_the_settings_of_a_proxy_alone_are_checked_without_its_name() -> None:
    assert [each.path for each in proxy.problems_of({**GOOD, "secrets": [], "more": 1})] == [
        "more",
        "secrets",
    ]


@pytest.fixture
def resolve() -> Iterator[Resolve]:
    """Return what waits for outputs, in a loop of its own."""
    with closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        yield lambda check: loop.run_until_complete(check())
    asyncio.set_event_loop(None)


def of(**changes: Any) -> proxy.Proxy:
    found = proxy.of({"proxy": {**GOOD, **changes}})
    assert found is not None
    return found


def test_where_callers_come_directly_there_is_none() -> None:
    assert proxy.of({}) is None
    assert proxy.of({"proxy": None}) is None


def test_a_proxy_is_what_its_arguments_say(resolve: Resolve) -> None:
    async def check() -> None:
        found = of(secrets=[SECRET, pulumi.Output.from_input(NEXT_SECRET)])
        assert (found.address_header, found.secret_header) == ("CF-Connecting-IP", "X-Origin-Secret")
        assert found.headers == ["CF-Connecting-IP", "X-Origin-Secret"]
        assert [await each.future() for each in found.secrets] == [SECRET, NEXT_SECRET]
        assert of(secret_header="X-Proof").headers == ["CF-Connecting-IP", "X-Proof"]

    resolve(check)


def test_a_secret_is_one_from_the_first_moment_on(resolve: Resolve) -> None:
    async def check() -> None:
        found = of(secrets=[SECRET, pulumi.Output.from_input(NEXT_SECRET)])
        assert [await each.is_secret() for each in found.secrets] == [True, True]

    resolve(check)


@pytest.mark.parametrize("secret", ["short", "", f"{SECRET} ", "x" * 201])
def test_a_secret_that_is_known_late_is_checked_then(secret: str, resolve: Resolve) -> None:
    async def check() -> None:
        found = of(secrets=[pulumi.Output.from_input(secret)])
        with pytest.raises(InvalidArgsError) as refused:
            await found.secrets[0].future()
        assert [each.path for each in refused.value.problems] == ["proxy.secrets"]
        assert "proxy.secrets = (hidden)" in str(refused.value)

    resolve(check)


def test_the_function_knows_digests_alone_and_they_are_no_secret(resolve: Resolve) -> None:
    async def check() -> None:
        settings = of(secrets=[SECRET, NEXT_SECRET], secret_header="X-Proof").settings()
        found = await settings.future()
        assert found == {
            "address_header": "cf-connecting-ip",
            "secret_header": "x-proof",
            "secrets": [tokens.digest(SECRET), tokens.digest(NEXT_SECRET)],
        }
        assert not await settings.is_secret()
        assert SECRET not in json.dumps(found)

    resolve(check)


def test_the_function_finds_by_its_settings_what_the_proxy_sends(resolve: Resolve) -> None:
    async def check() -> None:
        settings = await of().settings().future()
        assert settings is not None
        headers = {"cf-connecting-ip": ["192.0.2.7"], "x-origin-secret": [SECRET]}
        assert client_address(headers, settings) == "192.0.2.7"

    resolve(check)
