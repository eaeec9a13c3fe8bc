import asyncio
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pulumi
import pytest

from components import guard, sources
from components.answers import Asks
from components.guard import AUTHORIZATION, BEHIND_A_PROXY, Authorization, Guard
from components.sources import Caller
from handlers.authorizing import ADDRESS
from sluice import access_log, tokens

IDENTITIES, POOLS = "authorizer_identity_sources", "authorizer_user_pool_arns"
OUTPUT = pulumi.Output.from_input("known later")
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:guard"
POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_aB3dE5fG7"
ROLE = "arn:aws:iam::123456789012:role/partners/sender"
PROXY = {"address_header": "CF-Connecting-IP", "secrets": ["a-secret-of-the-proxy-0123456789abcdef"]}
BY_FUNCTION: dict[str, Any] = {"authorizer_function_arn": FUNCTION}
BY_POOLS: dict[str, Any] = {POOLS: [POOL]}
BY_IAM: dict[str, Any] = {"iam_authorization": True}
PROXIED: dict[str, Any] = {**BY_FUNCTION, "proxy": PROXY, "domain_name": "api.example.com"}
HEADER = "method.request.header"


def label(value: object) -> str:
    # Every worker must give the same names: no addresses in memory.
    return re.sub(r" at 0x\w+", "", str(value))[:80]


def paths(args: dict[str, Any]) -> list[str]:
    return [each.path for each in guard.problems(args)]


@pytest.mark.parametrize(
    "args",
    [
        {},
        BY_FUNCTION,
        {"authorizer_function_arn": OUTPUT, "log_principal": True},
        {**BY_FUNCTION, "authorizer_cache_ttl_seconds": 0},
        {**BY_FUNCTION, "authorizer_cache_ttl_seconds": 3600},
        {**BY_FUNCTION, "authorizer_token_pattern": tokens.BEARER},
        {
            **BY_FUNCTION,
            IDENTITIES: [
                "header.X-Tenant",
                "query.tenant",
                "context.source_ip",
                "context.method",
                "context.route",
            ],
        },
        {**BY_FUNCTION, "iam_authorization": False},
        BY_POOLS,
        {POOLS: [POOL, OUTPUT], "authorizer_scopes": ["api/read", "openid"]},
        {**BY_POOLS, "authorizer_scopes": [], "log_principal": True, "iam_authorization": False},
        BY_IAM,
        {**BY_IAM, "log_principal": True, "iam_callers": []},
        {**BY_IAM, "iam_callers": [ROLE, OUTPUT, "arn:aws:iam::123456789012:root"]},
        {"iam_authorization": False, "log_principal": False},
        PROXIED,
        {**PROXIED, IDENTITIES: ["header.X-Tenant"], "disable_execute_api_endpoint": True},
        {**BY_FUNCTION, "proxy": PROXY, "vpc_endpoint_ids": ["vpce-1"]},
    ],
    ids=range(18),
)
def test_what_decides_may_be_said_like_this(args: dict[str, Any]) -> None:
    assert paths(args) == []


NOT_POOLS: list[object] = [
    "",
    "us-east-1_aB3dE5fG7",
    POOL.replace("cognito-idp", "iam"),
    f"{POOL}\n",
    f"{POOL}/x",
    FUNCTION,
    5,
    None,
]
NOT_CALLERS: list[object] = [
    "",
    "*",
    "123456789012",
    "arn:aws:iam::123456789012:role/",
    "arn:aws:iam::123456789012:role/*\n",
    "arn:aws:iam::123456789012:group/all",
    "arn:aws:iam::*:root",
    "arn:aws:iam::123456789012:root/x",
    "arn:aws:iam::aws:policy/x",
    "arn:aws:sts::123456789012:assumed-role/sender/session",
    FUNCTION,
    5,
    None,
]
NOT_SCOPES: list[object] = ["", "a b", 'a"b', "a\\b", "\u00e9", "a\n", "x" * 257, 5, None, OUTPUT]
NOT_LISTS: list[object] = [[], "header.A", POOL, {"header": "A"}, OUTPUT, 5]
"""Of something, at least one."""
NOT_IDENTITIES: list[object] = [
    "",
    "header",
    "header.",
    "header.X Y",
    "Header.X",
    "X-Tenant",
    "path.id",
    "body.id",
    "text.x",
    "context.principal",
    "context.stage",
    "context.user_agent",
    "context.authorizer.x",
    "context.claims.sub",
    5,
    None,
    OUTPUT,
]


@pytest.mark.parametrize(
    ("path", "args"),
    [
        *[("authorizer_function_arn", {"authorizer_function_arn": each}) for each in ("", "guard", POOL, 5)],
        *[
            ("authorizer_cache_ttl_seconds", {**BY_FUNCTION, "authorizer_cache_ttl_seconds": each})
            for each in (-1, 3601, 1.5, "60", True)
        ],
        *[
            ("authorizer_token_pattern", {**BY_FUNCTION, "authorizer_token_pattern": each})
            for each in ("(", "a**", "[z-a]", "a{99999999999}", 5, True, ["a"])
        ],
        *[(f"{IDENTITIES}[1]", {**BY_FUNCTION, IDENTITIES: ["header.A", each]}) for each in NOT_IDENTITIES],
        *[(IDENTITIES, {**BY_FUNCTION, IDENTITIES: each}) for each in NOT_LISTS],
        *[(f"{POOLS}[0]", {POOLS: [each, POOL]}) for each in NOT_POOLS],
        *[(POOLS, {POOLS: each}) for each in NOT_LISTS],
        *[("authorizer_scopes[0]", {**BY_POOLS, "authorizer_scopes": [each]}) for each in NOT_SCOPES],
        ("authorizer_scopes", {**BY_POOLS, "authorizer_scopes": "openid"}),
        *[("iam_authorization", {"iam_authorization": each}) for each in ("true", "", 1, 0)],
        *[("iam_callers[1]", {**BY_IAM, "iam_callers": [ROLE, each]}) for each in NOT_CALLERS],
        ("iam_callers", {**BY_IAM, "iam_callers": ROLE}),
        ("log_principal", {**BY_FUNCTION, "log_principal": 1}),
        ("proxy", {**PROXIED, "proxy": "CF-Connecting-IP"}),
        ("proxy.secrets[0]", {**PROXIED, "proxy": {**PROXY, "secrets": ["short"]}}),
    ],
    ids=label,
)
def test_a_bad_argument_is_named(path: str, args: dict[str, Any]) -> None:
    assert set(paths(args)) == {path}


@pytest.mark.parametrize(
    ("path", "args"),
    [
        (POOLS, {**BY_FUNCTION, **BY_POOLS}),
        ("iam_authorization", {**BY_FUNCTION, **BY_IAM}),
        ("iam_authorization", {**BY_POOLS, **BY_IAM}),
        ("authorizer_cache_ttl_seconds", {"authorizer_cache_ttl_seconds": 0}),
        ("authorizer_cache_ttl_seconds", {**BY_POOLS, "authorizer_cache_ttl_seconds": 60}),
        ("authorizer_token_pattern", {**BY_IAM, "authorizer_token_pattern": tokens.BEARER}),
        ("authorizer_token_pattern", {"authorizer_token_pattern": ""}),
        (IDENTITIES, {**BY_POOLS, IDENTITIES: ["header.A"]}),
        ("authorizer_scopes", {**BY_FUNCTION, "authorizer_scopes": ["openid"]}),
        ("authorizer_scopes", {**BY_IAM, "authorizer_scopes": ["openid"]}),
        ("iam_callers", {**BY_FUNCTION, "iam_callers": [ROLE]}),
        ("iam_callers", {"iam_authorization": False, "iam_callers": [ROLE]}),
        ("log_principal", {"log_principal": True}),
        ("log_principal", {"iam_authorization": False, "log_principal": True}),
        (
            "authorizer_token_pattern",
            {
                **BY_FUNCTION,
                "authorizer_token_pattern": tokens.BEARER,
                IDENTITIES: [AUTHORIZATION],
            },
        ),
        ("authorizer_token_pattern", {**PROXIED, "authorizer_token_pattern": tokens.BEARER}),
        ("proxy", {"proxy": PROXY, "domain_name": "api.example.com"}),
        ("proxy", {**BY_POOLS, "proxy": PROXY, "domain_name": "api.example.com"}),
        ("proxy", {**BY_IAM, "proxy": PROXY, "domain_name": "api.example.com"}),
        ("domain_name", {**BY_FUNCTION, "proxy": PROXY}),
        ("disable_execute_api_endpoint", {**PROXIED, "disable_execute_api_endpoint": False}),
        (
            f"{IDENTITIES}[1]",
            {**PROXIED, IDENTITIES: ["header.A", "context.source_ip"]},
        ),
    ],
    ids=label,
)
def test_what_would_leave_the_door_open_or_says_two_things_is_told_once(
    path: str, args: dict[str, Any]
) -> None:
    assert paths(args) == [path]


def test_all_three_who_decide_are_two_too_many() -> None:
    found = guard.problems({**BY_FUNCTION, **BY_POOLS, **BY_IAM})
    assert [each.path for each in found] == [POOLS, "iam_authorization"]
    assert {each.allowed for each in found} == {"nothing: authorizer_function_arn says who decides"}


def test_contradictions_are_looked_for_in_good_arguments_alone() -> None:
    assert paths({"authorizer_token_pattern": "(", "log_principal": True}) == ["authorizer_token_pattern"]


def test_no_problem_shows_the_proxy_s_secret() -> None:
    told = "\n".join(map(str, guard.problems({"proxy": PROXY, "disable_execute_api_endpoint": False})))
    assert "proxy" in told
    assert PROXY["secrets"][0] not in told


@pytest.mark.parametrize("args", [{}, {"iam_authorization": False}, {"log_principal": False}], ids=label)
def test_where_nobody_decides_there_is_no_guard(args: dict[str, Any]) -> None:
    assert guard.of(args) is None


def test_a_function_decides_by_the_authorization_header_alone_unless_told_otherwise() -> None:
    assert guard.of(BY_FUNCTION) == Guard(Authorization.FUNCTION, FUNCTION, identity_sources=[])
    args = {**BY_FUNCTION, "authorizer_cache_ttl_seconds": 0, "authorizer_token_pattern": tokens.BEARER}
    assert guard.of(args) == Guard(
        Authorization.FUNCTION,
        FUNCTION,
        identity_sources=[],
        cache_ttl_seconds=0,
        token_pattern=tokens.BEARER,
    )


def test_user_pools_and_iam_decide_without_a_function() -> None:
    args = {**BY_POOLS, "authorizer_scopes": ["openid"], "iam_authorization": False}
    assert guard.of(args) == Guard(Authorization.USER_POOLS, user_pool_arns=[POOL], scopes=["openid"])
    assert guard.of({**BY_IAM, "iam_callers": [ROLE]}) == Guard(Authorization.IAM)


@pytest.fixture
def loop() -> Iterator[None]:
    """Let outputs be made, as a proxy's secrets are."""
    with closing(asyncio.new_event_loop()) as made:
        asyncio.set_event_loop(made)
        yield
        made.run_until_complete(asyncio.gather(*asyncio.all_tasks(made)))
    asyncio.set_event_loop(None)


def identities(args: dict[str, Any]) -> list[str]:
    found = guard.of(args)
    assert found is not None
    return [*found.identity_sources]


def test_a_decision_may_depend_on_more_than_one_header() -> None:
    named = ["header.X-Tenant", "query.tenant", "context.source_ip", "context.method", "context.route"]
    assert identities({**BY_FUNCTION, IDENTITIES: named}) == [
        f"{HEADER}.X-Tenant",
        "method.request.querystring.tenant",
        "context.identity.sourceIp",
        "context.httpMethod",
        "context.resourcePath",
    ]


@pytest.mark.usefixtures("loop")
def test_behind_a_proxy_a_decision_depends_on_the_address_and_on_the_secret_too() -> None:
    # Kept under the token alone, the first one's address would be everybody's with the same token.
    assert identities(PROXIED) == [
        f"{HEADER}.Authorization",
        f"{HEADER}.CF-Connecting-IP",
        f"{HEADER}.X-Origin-Secret",
    ]
    proof = {**PROXY, "secret_header": "X-Proof"}
    assert identities({**PROXIED, "proxy": proof, IDENTITIES: ["query.tenant"]}) == [
        "method.request.querystring.tenant",
        f"{HEADER}.CF-Connecting-IP",
        f"{HEADER}.X-Proof",
    ]


@pytest.mark.usefixtures("loop")
def test_two_spellings_of_a_header_are_one_thing_that_a_decision_depends_on() -> None:
    named = ["header.X-Tenant", "header.x-tenant", "header.cf-connecting-ip"]
    found = identities({**PROXIED, IDENTITIES: named})
    assert [each.lower() for each in found] == [
        f"{HEADER}.x-tenant",
        f"{HEADER}.cf-connecting-ip",
        f"{HEADER}.x-origin-secret",
    ]


def test_two_spellings_of_a_parameter_are_two_things_that_a_decision_depends_on() -> None:
    # API Gateway tells them apart: without one of them, a caller could get what another may.
    named = ["query.tenant", "query.Tenant", "header.tenant"]
    assert identities({**BY_FUNCTION, IDENTITIES: named}) == [
        "method.request.querystring.tenant",
        "method.request.querystring.Tenant",
        f"{HEADER}.tenant",
    ]


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize(
    ("args", "headers", "asks"),
    [
        (BY_FUNCTION, ["Authorization"], Asks.TOKEN),
        (BY_POOLS, ["Authorization"], Asks.TOKEN),
        (PROXIED, ["Authorization", "CF-Connecting-IP", "X-Origin-Secret"], Asks.TOKEN),
        (
            {**BY_FUNCTION, IDENTITIES: ["header.X-Key", "query.tenant"]},
            ["X-Key"],
            Asks.PARTS,
        ),
        ({**BY_FUNCTION, IDENTITIES: ["query.tenant"]}, [], Asks.PARTS),
        ({**BY_FUNCTION, IDENTITIES: ["header.authorization"]}, ["authorization"], Asks.TOKEN),
        (BY_IAM, list(guard.SIGNED_HEADERS), Asks.SIGNATURE),
    ],
    ids=range(7),
)
def test_a_guard_knows_the_headers_by_which_callers_show_who_they_are(
    args: dict[str, Any], headers: list[str], asks: Asks
) -> None:
    found = guard.of(args)
    assert found is not None
    assert (found.headers, found.asks) == (headers, asks)


@pytest.mark.parametrize(
    ("args", "caller"),
    [
        ({}, Caller(access_log.PRINCIPAL, access_log.ADDRESS)),
        (BY_FUNCTION, Caller("$context.authorizer.principalId", "$context.identity.sourceIp")),
        (BY_POOLS, Caller("$context.authorizer.claims.sub", "$context.identity.sourceIp")),
        (BY_IAM, Caller("$context.identity.caller", "$context.identity.sourceIp")),
        ({"iam_authorization": False}, sources.DIRECT),
        (PROXIED, Caller("$context.authorizer.principalId", "$context.authorizer.clientIp")),
    ],
    ids=range(6),
)
def test_who_calls_and_from_where_is_told_by_whoever_knows_it(args: dict[str, Any], caller: Caller) -> None:
    assert guard.caller(args) == caller


def test_the_address_behind_a_proxy_is_what_our_functions_call_it() -> None:
    assert f"$context.authorizer.{ADDRESS}" == BEHIND_A_PROXY
