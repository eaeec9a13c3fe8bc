import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import (
    alarm_topic,
    authorizer,
    authorizer_args,
    consumer_args,
    dashboard,
    encryption_key,
    front_door_args,
    limiter,
)
from components.arguments import Problem
from components.authorizer_args import OF_KINDS, AuthorizerKind
from sluice import cli, tokens

ROOT = Path(__file__).parents[2]
OUTPUT = pulumi.Output.from_input("known later")
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:guard"
KEY = "arn:aws:kms:us-east-1:123456789012:key/abc"
TOPIC = "arn:aws:sns:us-east-1:123456789012:topic"
DIGEST = tokens.digest("any")
OTHER_DIGEST = tokens.digest("other")
TOKEN = f"{tokens.PREFIX}{'Zk3-_x9Q' * 5}abc"
GUARDED: dict[str, Any] = {"authorizer_function_arn": FUNCTION}
ANN: dict[str, Any] = {"name": "ann", "sha256": DIGEST}
TOKENS: dict[str, Any] = {"kind": "token", "tokens": [ANN]}
FUNCTIONS: dict[str, Any] = {"kind": "function", "function_arn": FUNCTION}
JWT: dict[str, Any] = {"kind": "jwt", "issuer": "https://issuer.example.com", "audiences": ["api"]}
POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_aB3dE5fG7"
COGNITO: dict[str, Any] = {"kind": "cognito", "user_pool_arns": [POOL]}
ROLE = "arn:aws:iam::123456789012:role/sender"
SECRET = "a-secret-of-the-proxy-0123456789abcdef"
PROXY = {"address_header": "CF-Connecting-IP", "secrets": [SECRET]}

Problems = Callable[[Any], list[Problem]]


def paths(problems: Problems, args: dict[str, Any]) -> list[str]:
    return [each.path for each in problems(args)]


SHARED_GOOD: list[dict[str, Any]] = [
    {"kms_key_arn": KEY},
    {"kms_key_arn": OUTPUT},
    {"log_retention_days": 1},
    {"alarm_topic_arn": TOPIC},
]
SHARED_BAD: list[tuple[str, dict[str, Any]]] = [
    ("kms_key_arn", {"kms_key_arn": "alias/key"}),
    ("kms_key_arn", {"kms_key_arn": TOPIC}),
    ("log_retention_days", {"log_retention_days": 2}),
    ("alarm_topic_arn", {"alarm_topic_arn": "topic"}),
    ("alarm_topic_arn", {"alarm_topic_arn": KEY}),
]

FRONT_DOOR_GOOD: list[dict[str, Any]] = [
    {},
    {"path": "messages"},
    {"path": "a/b-c/d.e:g_h"},
    {"path": "a/.b/c./..d/e../..."},
    {"path": "x" * 53},
    {"stage_name": "v1"},
    {"stage_name": "x" * 128},
    {"content_types": ["application/json", "text/plain", "application/vnd.api+json"]},
    {"answer": "summary"},
    {"answer": "sqs"},
    {"max_message_size": 1024},
    {"max_message_size": 1_048_576},
    {"visibility_timeout_seconds": 0},
    {"visibility_timeout_seconds": 43_200},
    {"message_retention_seconds": 60},
    {"message_retention_seconds": 1_209_600},
    {"max_receive_count": 1},
    {"max_receive_count": 1000},
    {"throttle_rate": 1, "throttle_burst": 1},
    {"manage_account_logging": True},
    {"authorizer_function_arn": FUNCTION, "authorizer_cache_ttl_seconds": 0},
    {"authorizer_function_arn": OUTPUT, "authorizer_cache_ttl_seconds": 3600},
    {"authorizer_function_arn": f"{FUNCTION}:live", "authorizer_token_pattern": tokens.BEARER},
    {"authorizer_function_arn": OUTPUT, "log_principal": True},
    {"log_principal": False},
    *SHARED_GOOD,
]
FRONT_DOOR_BAD: list[tuple[str, dict[str, Any]]] = [
    *[("path", {"path": path}) for path in ("", "/", "/a", "a/", "a//b", "a b", "{proxy+}", "a?b", "é", 5)],
    *[("path", {"path": path}) for path in (".", "..", "a/..", "../a", "a/./b", "a/../b", "a~b", "a\n")],
    *[("path", {"path": path}) for path in ("x" * 54, "a/" * 26 + "ab", "x" * 53 + "\n")],
    *[("stage_name", {"stage_name": name}) for name in ("", "a-b", "a/b", "x" * 129, "$default")],
    ("content_types", {"content_types": []}),
    ("content_types", {"content_types": "application/json"}),
    ("content_types[0]", {"content_types": ["Application/JSON"]}),
    ("content_types[0]", {"content_types": ["application/json; charset=utf-8"]}),
    ("content_types[1]", {"content_types": ["text/plain", "*/*"]}),
    ("content_types[0]", {"content_types": [5]}),
    ("answer", {"answer": "none"}),
    ("max_message_size", {"max_message_size": 1023}),
    ("max_message_size", {"max_message_size": 1_048_577}),
    ("visibility_timeout_seconds", {"visibility_timeout_seconds": 43_201}),
    ("message_retention_seconds", {"message_retention_seconds": 59}),
    ("message_retention_seconds", {"message_retention_seconds": 1_209_601}),
    ("max_receive_count", {"max_receive_count": 0}),
    ("max_receive_count", {"max_receive_count": 1001}),
    ("throttle_rate", {"throttle_rate": 0}),
    ("throttle_burst", {"throttle_burst": 100_001}),
    ("manage_account_logging", {"manage_account_logging": "yes"}),
    ("authorizer_function_arn", {"authorizer_function_arn": "guard"}),
    ("authorizer_function_arn", {"authorizer_function_arn": TOPIC}),
    ("authorizer_cache_ttl_seconds", {**GUARDED, "authorizer_cache_ttl_seconds": 3601}),
    *[
        ("authorizer_token_pattern", {**GUARDED, "authorizer_token_pattern": pattern})
        for pattern in ("(", "a**", "[z-a]", "(?P<a>x)(?P<a>y)", "a{99999999999}", 5, True, ["a"])
    ],
    ("log_principal", {**GUARDED, "log_principal": 1}),
    *[
        (key, {key: value})
        for key, value in (
            ("authorizer_cache_ttl_seconds", 60),
            ("authorizer_cache_ttl_seconds", 0),
            ("authorizer_token_pattern", tokens.BEARER),
            ("authorizer_token_pattern", ""),
            ("log_principal", True),
        )
    ],
    *SHARED_BAD,
]

AUTHORIZER_GOOD: list[dict[str, Any]] = [
    {"kind": "none"},
    {"kind": "none", "tokens": [], "claims": {}},
    FUNCTIONS,
    {"kind": "function", "function_arn": f"{FUNCTION}:live"},
    {"kind": "function", "function_arn": OUTPUT, "cache_ttl_seconds": 0},
    {**FUNCTIONS, "identity_sources": ["header.X-Tenant", "query.tenant", "context.source_ip"]},
    TOKENS,
    {
        "kind": "token",
        "tokens": [ANN, {"name": "b-2_c", "sha256": OTHER_DIGEST}],
        "cache_ttl_seconds": 3600,
        "proxy": PROXY,
    },
    {"kind": "token", "tokens": [ANN, {"name": "ann", "sha256": OTHER_DIGEST}]},
    *[
        {"kind": "token", "tokens": [{**ANN, "expires": each}]}
        for each in (
            "2027-03-31T00:00:00Z",
            "2027-03-31T02:00:00+02:00",
            "2027-03-31 00:00:00.5Z",
            "20270331T000000Z",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            None,
        )
    ],
    {
        "kind": "token",
        "tokens": [{"name": f"t{each}", "sha256": tokens.digest(str(each))} for each in range(1000)],
    },
    JWT,
    {
        **JWT,
        "jwks_uri": "https://keys.example.net:8443/x?v=2",
        "scopes": ["api/read", "openid"],
        "algorithms": ["RS256", "ES256", "EdDSA"],
        "leeway_seconds": 0,
        "key_max_age_seconds": 60,
        "required_claims": {"token_use": "access", "https://example.com/tenant": "blue and red"},
        "principal_claim": "https://example.com/user",
        "claims": {"tenant": "https://example.com/tenant", "_a1": "b"},
        "architecture": "arm64",
        "cache_ttl_seconds": 0,
        "proxy": PROXY,
    },
    {**JWT, "leeway_seconds": 300, "key_max_age_seconds": 86_400, "audiences": ["a" * 256, OUTPUT]},
    {**JWT, "audiences": [str(each) for each in range(20)], "architecture": "x86_64"},
    {"kind": "jwt", "issuer": OUTPUT, "jwks_uri": OUTPUT, "audiences": [OUTPUT]},
    *[
        {**JWT, "issuer": each}
        for each in (
            "https://issuer.example.com/",
            "https://issuer.example.com:8443/tenant/v2.0",
            "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_aB3dE5fG7",
            "http://127.0.0.1:8080",
            "http://localhost/issuer",
        )
    ],
    COGNITO,
    {"kind": "cognito", "user_pool_arns": [POOL, OUTPUT], "scopes": ["openid"]},
    {"kind": "iam"},
    {"kind": "iam", "callers": [ROLE, "arn:aws:iam::123456789012:root", OUTPUT]},
    *[{**TOKENS, **each} for each in SHARED_GOOD],
]
NO_ISSUERS: list[object] = [
    "",
    "issuer.example.com",
    "http://issuer.example.com",
    "http://127.0.0.1.example.com",
    "http://127.0.0.1:@issuer.example.com",
    "http://localhost:80@issuer.example.com",
    "https://",
    "https://user@issuer.example.com",
    "https://issuer.example.com?a=b",
    "https://issuer.example.com#a",
    "https://issuer.example.com/a b",
    "https://issuer.example.com:port",
    " https://issuer.example.com",
    "https://issuer.example.com\n",
    "HTTPS://issuer.example.com",
    "https://\u2100.example.com",
    "ftp://issuer.example.com",
    f"https://issuer.example.com/{'x' * 501}",
    5,
    ["https://issuer.example.com"],
]
AUTHORIZER_BAD: list[tuple[str, dict[str, Any]]] = [
    *[("kind", {"kind": each}) for each in ("JWT", "", "oidc", True)],
    ("kind", {"kind": ["token"]}),
    ("kind", {"kind": {}}),
    ("cache_ttl_seconds", {**FUNCTIONS, "cache_ttl_seconds": 3601}),
    ("cache_ttl_seconds", {**TOKENS, "cache_ttl_seconds": -1}),
    ("cache_ttl_seconds", {**JWT, "cache_ttl_seconds": "60"}),
    ("function_arn", {"kind": "function"}),
    ("function_arn", {"kind": "function", "function_arn": "guard"}),
    ("function_arn", {"kind": "function", "function_arn": KEY}),
    ("identity_sources", {**FUNCTIONS, "identity_sources": []}),
    ("identity_sources", {**FUNCTIONS, "identity_sources": "header.A"}),
    ("identity_sources[1]", {**FUNCTIONS, "identity_sources": ["header.A", "path.id"]}),
    ("tokens", {"kind": "token"}),
    ("tokens", {"kind": "token", "tokens": []}),
    ("tokens", {"kind": "token", "tokens": {}}),
    ("tokens", {"kind": "token", "tokens": {"ann": DIGEST}}),
    *[("tokens", {"kind": "token", "tokens": each}) for each in (DIGEST, 5)],
    (
        "tokens",
        {
            "kind": "token",
            "tokens": [{"name": f"t{n}", "sha256": tokens.digest(str(n))} for n in range(1001)],
        },
    ),
    *[("tokens[1]", {"kind": "token", "tokens": [ANN, each]}) for each in (DIGEST, None, [ANN], 5)],
    *[
        ("tokens[0].name", {"kind": "token", "tokens": [{**ANN, "name": each}]})
        for each in ("", "Ann", "ann-", "a b", "-", "a" * 33, 5, None, ["ann"])
    ],
    *[
        ("tokens[0].sha256", {"kind": "token", "tokens": [{**ANN, "sha256": each}]})
        for each in (
            "",
            "a" * 63,
            DIGEST.upper(),
            f"{DIGEST}\n",
            TOKEN,
            f"Bearer {TOKEN}",
            5,
            None,
            [DIGEST],
            OUTPUT,
        )
    ],
    *[
        ("tokens[0].expires", {"kind": "token", "tokens": [{**ANN, "expires": each}]})
        for each in ("", "90d", "never", "2027-03-31", "2027-03-31T00:00:00", "2027-02-30T00:00:00Z", 1, True)
    ],
    ("tokens[0].more", {"kind": "token", "tokens": [{**ANN, "more": 1}]}),
    ("tokens[2].sha256", {"kind": "token", "tokens": [ANN, {"name": "bob", "sha256": OTHER_DIGEST}, ANN]}),
    *[("issuer", {**JWT, "issuer": each}) for each in NO_ISSUERS],
    ("issuer", {"kind": "jwt", "audiences": ["api"]}),
    *[("jwks_uri", {**JWT, "jwks_uri": each}) for each in NO_ISSUERS if "?" not in str(each)],
    ("jwks_uri", {**JWT, "jwks_uri": "https://issuer.example.com"}),
    ("audiences", {"kind": "jwt", "issuer": OUTPUT}),
    *[
        ("audiences", {**JWT, "audiences": each})
        for each in ([], "api", {"api": True}, [str(n) for n in range(21)])
    ],
    *[
        ("audiences[1]", {**JWT, "audiences": ["api", each]})
        for each in ("", "a b", "a\n", "a" * 257, 5, None)
    ],
    *[("scopes[0]", {**JWT, "scopes": [each]}) for each in ("", "a b", 'a"b', 5, None, OUTPUT)],
    ("scopes", {**JWT, "scopes": "openid"}),
    ("algorithms", {**JWT, "algorithms": []}),
    ("algorithms", {**JWT, "algorithms": "RS256"}),
    *[
        ("algorithms[1]", {**JWT, "algorithms": ["RS256", each]})
        for each in ("none", "HS256", "rs256", "RS384", "PS256", "RS256\n", "", 5, None)
    ],
    *[("leeway_seconds", {**JWT, "leeway_seconds": each}) for each in (-1, 301, 0.5, "30", True)],
    *[("key_max_age_seconds", {**JWT, "key_max_age_seconds": each}) for each in (0, 59, 86_401, "60")],
    *[
        ("principal_claim", {**JWT, "principal_claim": each})
        for each in ("", "a b", "a\n", "a" * 129, 5, ["sub"])
    ],
    *[("architecture", {**JWT, "architecture": each}) for each in ("riscv", "", True)],
    *[("claims", {**JWT, "claims": each}) for each in (["tenant"], "tenant", 5)],
    *[
        ("claims", {**JWT, "claims": {each: "tenant"}})
        for each in (
            "",
            "a-b",
            "a b",
            "1a",
            "a\n",
            "\u00e9",
            "a" * 65,
            "principalId",
            "clientIp",
            "claims",
            "error",
            5,
        )
    ],
    *[
        ("claims.tenant", {**JWT, "claims": {"tenant": each}})
        for each in ("", "a b", "a" * 129, 5, None, ["a"])
    ],
    *[
        ("required_claims", {**JWT, "required_claims": each})
        for each in (["token_use"], "token_use=access", 5)
    ],
    *[("required_claims", {**JWT, "required_claims": {each: "a"}}) for each in ("", "a b", "a" * 129, 5)],
    *[
        ("required_claims.use", {**JWT, "required_claims": {"use": each}})
        for each in ("", "a\0", "a" * 257, 5, True, None, ["a"])
    ],
    ("user_pool_arns", {"kind": "cognito"}),
    ("user_pool_arns", {"kind": "cognito", "user_pool_arns": []}),
    ("user_pool_arns", {"kind": "cognito", "user_pool_arns": POOL}),
    *[
        ("user_pool_arns[0]", {"kind": "cognito", "user_pool_arns": [each]})
        for each in ("us-east-1_aB3dE5fG7", KEY, None)
    ],
    ("scopes[0]", {**COGNITO, "scopes": ["a b"]}),
    ("callers", {"kind": "iam", "callers": ROLE}),
    *[("callers[0]", {"kind": "iam", "callers": [each]}) for each in ("*", "123456789012", FUNCTION, None)],
    ("proxy", {**TOKENS, "proxy": "CF-Connecting-IP"}),
    ("proxy.secrets[0]", {**JWT, "proxy": {**PROXY, "secrets": ["short"]}}),
    ("proxy.more", {**JWT, "proxy": {**PROXY, "more": 1}}),
    *[(path, {**TOKENS, **each}) for path, each in SHARED_BAD],
]

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/orders:v1"
DYING = {
    "dead_letter_queue_arn": "arn:aws:sqs:us-east-1:123456789012:dead",
    "dead_letter_queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/dead",
}
LOCK = ROOT / "handlers" / "layers" / "consumer.txt"


def of_consumer(args: Any) -> list[Problem]:
    """Return what is wrong with a consumer's arguments, of an image unless they say where it comes from."""
    there = {"code", "image_uri", "function_arn"} & args.keys()
    full: Any = {**({} if there else {"image_uri": IMAGE, "entry": "a:b"}), **args}
    return consumer_args.problems(full)


CODE = {"code": str(ROOT / "examples" / "recorder"), "entry": "recorder:record_handler"}
CONSUMER_GOOD: list[dict[str, Any]] = [
    {},
    {"entry": "consumer:record_handler"},
    {"entry": "a.b_c.d:_e"},
    {"code": str(ROOT / "examples" / "recorder"), "entry": "recorder:record_handler"},
    {"environment": {}},
    {"environment": {"AB": "x", "a_1": OUTPUT, "b__": ""}},
    {"environment": {"AB": "x" * 3047, "CDE": OUTPUT}},
    {"queue_visibility_timeout_seconds": 43_200},
    {"table": "id"},
    {"timeout_seconds": 1},
    {"timeout_seconds": 900, "queue_visibility_timeout_seconds": 5400},
    {"timeout_seconds": 30, "queue_visibility_timeout_seconds": 180},
    {"memory_mb": 128},
    {"memory_mb": 10_240},
    {"architecture": "x86_64"},
    {"architecture": "arm64"},
    {"batch_size": 1},
    {"batch_size": 10, "batching_window_seconds": 0},
    {"batch_size": 11, "batching_window_seconds": 1},
    {"batch_size": 10_000, "batching_window_seconds": 300},
    {"maximum_concurrency": 2},
    {"maximum_concurrency": 1000},
    {"retry_base_seconds": 0, "retry_cap_seconds": 0},
    {"retry_base_seconds": 43_200, "retry_cap_seconds": 43_200},
    {"retry_base_seconds": 300},
    {"retry_cap_seconds": 2},
    {"maximum_concurrency": 5, "reserved_concurrency": 5},
    {"enabled": False},
    {"reserved_concurrency": 1000},
    {"provisioned_pollers": {"maximum": 2}, "reserved_concurrency": 20},
    {"provisioned_pollers": {}},
    {"provisioned_pollers": {"minimum": 2, "maximum": 2}},
    {"provisioned_pollers": {"minimum": 200, "maximum": 2000}},
    {"filters": [{"body": {"kind": ["order"]}}]},
    {"filters": [{"body": {"a": {"b": [{"numeric": [">", 5]}, None, True, 1]}}}] * 10},
    {"filters": [{"body": ["plain text"]}]},
    {"filters": [{"body": {"$or": [{"kind": ["a"]}, {"total": [{"numeric": [">", 5]}]}]}}]},
    {"batching_window_seconds": 300, "queue_visibility_timeout_seconds": 480},
    {"idempotency": {"key": None, "payload": None}, "provisioned_pollers": {"minimum": None}},
    {"image_uri": OUTPUT},
    {"image_uri": f"{IMAGE}@sha256:{'0' * 64}"},
    {"poison_errors": ["ValueError", "orders.errors.Bad"], **DYING},
    {"poison_errors": ["x" * 512], **DYING},
    {"idempotency": {}},
    {"idempotency": {"key": "powertools_json(body).id || messageId", "payload": "body"}},
    {"idempotency": {"key": "[body, attributes.MessageGroupId]", "expires_after_seconds": 60}},
    {"idempotency": {"key": "x" * 200, "expires_after_seconds": 31_622_400}},
    {"queue_max_receive_count": 1, **DYING},
    {"queue_fifo": True, "batch_size": 10},
    {"queue_fifo": False, "batch_size": 11, "batching_window_seconds": 1},
    {**DYING, "dead_letter_queue_arn": OUTPUT, "dead_letter_queue_url": OUTPUT},
    {**CODE, "requirements": str(LOCK)},
    {"image_uri": IMAGE},
    {"image_uri": f"{IMAGE.partition(':')[0]}@sha256:{'0' * 64}", "memory_mb": 512, "table": "id"},
    {"function_arn": FUNCTION, "timeout_seconds": 5, "maximum_concurrency": 5},
    {"function_arn": f"{FUNCTION}:live", "function_role_name": "role"},
    {"function_arn": OUTPUT, "function_role_name": OUTPUT, "filters": [{"body": {"a": [1]}}]},
    *SHARED_GOOD,
]
CONSUMER_BAD: list[tuple[str, dict[str, Any]]] = [
    ("code", {"code": "/no/such/folder"}),
    ("code", {"code": __file__}),
    ("code", {"code": 5}),
    *[
        ("entry", {"entry": entry})
        for entry in ("", "a", "a:", ":b", "a:b:c", "a/b:c", "1a:b", "a..b:c", "a:b.c")
    ],
    ("environment", {"environment": ["A=x"]}),
    ("environment", {"environment": 5}),
    ("environment.AB", {"environment": {"AB": 1}}),
    *[
        ("environment", {"environment": {name: "x"}})
        for name in ("", "A", "_", "1A", "A-B", "A B", "A.B", "\u00e9t\u00e9", "AB\n", 5)
    ],
    ("environment", {"environment": {"AB": "x" * 3060}}),
    ("environment", {"environment": {"AB": "\u00e9" * 1530}}),
    ("environment", {"environment": {f"NAME_{index}": "x" * 300 for index in range(11)}}),
    *[
        ("queue_visibility_timeout_seconds", {"queue_visibility_timeout_seconds": value})
        for value in (43_201, "180", 180.5, [180])
    ],
    *[
        (f"environment.{name}", {"environment": {name: "x"}})
        for name in ("AWS_REGION", "LAMBDA_X", "SLUICE_TABLE", "POWERTOOLS_LOG_LEVEL", "_HANDLER")
    ],
    ("table", {"table": ""}),
    ("table", {"table": "a b"}),
    ("table", {"table": "x" * 256}),
    ("timeout_seconds", {"timeout_seconds": 0}),
    ("timeout_seconds", {"timeout_seconds": 901, "queue_visibility_timeout_seconds": 43_200}),
    ("timeout_seconds", {"timeout_seconds": 31, "queue_visibility_timeout_seconds": 180}),
    ("timeout_seconds", {"queue_visibility_timeout_seconds": 179}),
    ("memory_mb", {"memory_mb": 127}),
    ("memory_mb", {"memory_mb": 10_241}),
    ("architecture", {"architecture": "riscv"}),
    ("batch_size", {"batch_size": 0}),
    ("batch_size", {"batch_size": 10_001, "batching_window_seconds": 1}),
    ("batching_window_seconds", {"batching_window_seconds": 301}),
    ("batching_window_seconds", {"batch_size": 11}),
    ("batching_window_seconds", {"batch_size": 11, "batching_window_seconds": 0}),
    ("maximum_concurrency", {"maximum_concurrency": 1}),
    ("maximum_concurrency", {"maximum_concurrency": 1001}),
    ("maximum_concurrency", {"maximum_concurrency": 2, "provisioned_pollers": {}}),
    ("reserved_concurrency", {"maximum_concurrency": 5, "reserved_concurrency": 4}),
    ("reserved_concurrency", {"maximum_concurrency": 5, "reserved_concurrency": 0}),
    ("reserved_concurrency", {"reserved_concurrency": 1}),
    ("reserved_concurrency", {"reserved_concurrency": 1999, "provisioned_pollers": {}}),
    ("reserved_concurrency", {"reserved_concurrency": 19, "provisioned_pollers": {"maximum": 2}}),
    ("enabled", {"enabled": "no"}),
    *[
        ("timeout_seconds", {"queue_visibility_timeout_seconds": seconds, "batching_window_seconds": window})
        for seconds, window in ((180, 1), (479, 300))
    ],
    ("environment", {"environment": {"AB": "x" * 2600}, "poison_errors": ["x" * 500], **DYING}),
    (
        "environment",
        {"environment": {"AB": "x" * 2000}, "idempotency": {"key": 'body."' + "\u00e9" * 190 + '"'}},
    ),
    ("queue_arn", {"queue_arn": "nonsense"}),
    ("queue_url", {"queue_url": "nonsense"}),
    (
        "queue_url",
        {"queue_arn": DYING["dead_letter_queue_arn"], "queue_url": f"{DYING['dead_letter_queue_url']}-2"},
    ),
    ("dead_letter_queue_url", {**DYING, "dead_letter_queue_url": f"{DYING['dead_letter_queue_url']}-2"}),
    ("dead_letter_queue_arn", {"queue_arn": f"{DYING['dead_letter_queue_arn']}.fifo", **DYING}),
    *[
        (f"filters[0].body{place}", {"filters": [{"body": pattern}]})
        for place, pattern in (
            (".kind", {"kind": []}),
            ("", {}),
            (".kind[0]", {"kind": [["a"]]}),
            (".kind[1]", {"kind": ["a", {"prefx": "a"}]}),
            (".kind[0]", {"kind": [{"prefix": "a", "suffix": "b"}]}),
            (".$or[1].kind", {"$or": [{"kind": ["a"]}, {"kind": "b"}]}),
        )
    ],
    ("provisioned_pollers", {"provisioned_pollers": 5}),
    ("provisioned_pollers.minimum", {"provisioned_pollers": {"minimum": 1}}),
    ("provisioned_pollers.minimum", {"provisioned_pollers": {"minimum": 201, "maximum": 500}}),
    ("provisioned_pollers.maximum", {"provisioned_pollers": {"maximum": 2001}}),
    ("provisioned_pollers.maximum", {"provisioned_pollers": {"minimum": 5, "maximum": 4}}),
    ("provisioned_pollers.most", {"provisioned_pollers": {"most": 4}}),
    ("filters", {"filters": []}),
    ("filters", {"filters": {"body": {"kind": ["order"]}}}),
    ("filters", {"filters": ["order"]}),
    ("filters", {"filters": [{"body": {"a": [1]}}] * 11}),
    ("filters[0]", {"filters": [{}]}),
    ("filters[1].messageAttributes", {"filters": [{"body": [1]}, {"body": [1], "messageAttributes": {}}]}),
    ("filters[0].body.kind", {"filters": [{"body": {"kind": "order"}}]}),
    ("filters[0].body", {"filters": [{"body": "order"}]}),
    ("filters[0]", {"filters": [{"body": {"kind": ["x" * 4096]}}]}),
    ("filters[0]", {"filters": [{"body": {"kind": [float("nan")]}}]}),
    ("poison_errors", {"poison_errors": ["ValueError"]}),
    ("poison_errors", {"poison_errors": [], **DYING}),
    ("poison_errors", {"poison_errors": "ValueError", **DYING}),
    ("poison_errors", {"poison_errors": ["x" * 513], **DYING}),
    *[
        (f"poison_errors[{0}]", {"poison_errors": [each], **DYING})
        for each in ("", "a-b", "a,b", "a:B", ".A", "1a", 5)
    ],
    ("idempotency", {"idempotency": True}),
    ("idempotency.ttl", {"idempotency": {"ttl": 5}}),
    *[
        (f"idempotency.{key}", {"idempotency": {key: each}})
        for key in ("key", "payload")
        for each in ("", "a..b", "json(body)", "a b", 5, "x" * 201)
    ],
    *[
        ("idempotency.expires_after_seconds", {"idempotency": {"expires_after_seconds": each}})
        for each in (59, 31_622_401, "60")
    ],
    ("queue_max_receive_count", {"queue_max_receive_count": 0}),
    ("queue_fifo", {"queue_fifo": "yes"}),
    ("batch_size", {"queue_fifo": True, "batch_size": 11}),
    ("batch_size", {"queue_arn": f"{DYING['dead_letter_queue_arn']}.fifo", "batch_size": 11}),
    ("batching_window_seconds", {"queue_fifo": True, "batching_window_seconds": 1}),
    ("dead_letter_queue_url", {"dead_letter_queue_arn": DYING["dead_letter_queue_arn"]}),
    ("dead_letter_queue_arn", {**DYING, "dead_letter_queue_arn": "dead"}),
    ("dead_letter_queue_url", {**DYING, "dead_letter_queue_url": "dead"}),
    ("code", {"image_uri": IMAGE, "function_arn": FUNCTION}),
    *[("image_uri", {"image_uri": each}) for each in ("orders:v1", IMAGE.partition(":")[0], "", 5)],
    ("requirements", {"image_uri": IMAGE, "requirements": str(LOCK)}),
    ("requirements", {**CODE, "requirements": "/no/such/file"}),
    ("requirements", {**CODE, "requirements": 5}),
    ("poison_errors", {"image_uri": IMAGE, "poison_errors": ["Bad"], **DYING}),
    ("idempotency", {"image_uri": IMAGE, "idempotency": {}}),
    ("function_arn", {"function_arn": "orders"}),
    ("function_role_name", {**CODE, "function_role_name": "role"}),
    ("function_role_name", {"function_arn": FUNCTION, "function_role_name": "a role"}),
    *[
        (key, {"function_arn": FUNCTION, key: value})
        for key, value in (
            ("entry", "a:b"),
            ("environment", {"AB": "x"}),
            ("table", "id"),
            ("memory_mb", 256),
            ("architecture", "arm64"),
            ("reserved_concurrency", 5),
            ("retry_base_seconds", 5),
            ("idempotency", {}),
        )
    ],
    ("retry_base_seconds", {"retry_base_seconds": -1}),
    ("retry_base_seconds", {"retry_base_seconds": "5"}),
    ("retry_cap_seconds", {"retry_cap_seconds": 43_201}),
    ("retry_cap_seconds", {"retry_cap_seconds": "5"}),
    ("retry_cap_seconds", {"retry_base_seconds": 301}),
    ("retry_cap_seconds", {"retry_cap_seconds": 1}),
    ("retry_cap_seconds", {"retry_base_seconds": 10, "retry_cap_seconds": 9}),
    *SHARED_BAD,
]

LOG_GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:/door/access-1234567"
STAGE = "arn:aws:apigateway:us-east-1::/restapis/a1b2c3d4e5/stages/v1"
LIMITER_GOOD: list[dict[str, Any]] = [
    {},
    {"access_log_arn": LOG_GROUP},
    {"access_log_arn": OUTPUT, "stage_arn": OUTPUT, "api_name": OUTPUT, "stage_name": OUTPUT},
    {"access_log_arn": "arn:aws-us-gov:logs:us-gov-west-1:123456789012:log-group:x"},
    {"stage_arn": STAGE},
    {"stage_arn": STAGE, "log_blocked": True, "managed_rule_groups": ["AWSManagedRulesCommonRuleSet"]},
    {"api_name": "api", "stage_name": "v1"},
    {"count_only": True, "deletion_protection": True, "log_blocked": False, "managed_rule_groups": []},
    {"sets_per_family": 1},
    {"sets_per_family": 10},
    {"retry_after_seconds": 1},
    {"retry_after_seconds": 2_678_400},
    *[{"cors_origin": each} for each in ("*", "https://a.example.com", "http://localhost:8080")],
    {"burst_limit": 10},
    *[{"burst_limit": 2_000_000_000, "burst_window_seconds": each} for each in (60, 120, 300, 600)],
    {"block_rate_alarm": 1},
    {"block_rate_alarm": 1_000_000},
    {"windows": [{"name": "day", "limit": 5, "length_seconds": 86_400}], "weights": {"/a": 2}},
    {"allow": ["192.0.2.0/24"], "ipv6_prefix": 56},
    *SHARED_GOOD,
]
LIMITER_BAD: list[tuple[str, dict[str, Any]]] = [
    *[
        ("access_log_arn", {"access_log_arn": each})
        for each in ("", "door", f"{LOG_GROUP}:*", f"{LOG_GROUP}\n", KEY, 5)
    ],
    *[("stage_arn", {"stage_arn": each}) for each in ("", "v1", STAGE.replace("/stages", ""), LOG_GROUP, 5)],
    *[("sets_per_family", {"sets_per_family": each}) for each in (0, 11, 1.5, "2", True)],
    *[("retry_after_seconds", {"retry_after_seconds": each}) for each in (0, 2_678_401, "60")],
    *[
        ("cors_origin", {"cors_origin": each})
        for each in ("", "example.com", "https://", "https://a.com/", "https://a.com\r\nX: y", "null", 5)
    ],
    *[("burst_limit", {"burst_limit": each}) for each in (9, 2_000_000_001, "100", 10.5)],
    *[
        ("burst_window_seconds", {"burst_limit": 10, "burst_window_seconds": each})
        for each in (0, 59, 61, 3600, "60")
    ],
    ("burst_window_seconds", {"burst_window_seconds": 60}),
    *[
        ("managed_rule_groups[0]", {"stage_arn": STAGE, "managed_rule_groups": [each]})
        for each in ("", "CommonRuleSet", "AWSManagedRules", "AWSManagedRules:x", 5)
    ],
    ("managed_rule_groups", {"stage_arn": STAGE, "managed_rule_groups": "AWSManagedRulesCommonRuleSet"}),
    ("managed_rule_groups", {"managed_rule_groups": ["AWSManagedRulesCommonRuleSet"]}),
    (
        "managed_rule_groups[2]",
        {
            "stage_arn": STAGE,
            "managed_rule_groups": [
                "AWSManagedRulesCommonRuleSet",
                "AWSManagedRulesKnownBadInputsRuleSet",
                "AWSManagedRulesCommonRuleSet",
            ],
        },
    ),
    ("log_blocked", {"log_blocked": True}),
    *[("block_rate_alarm", {"block_rate_alarm": each}) for each in (0, 1_000_001, 1.5)],
    ("stage_name", {"api_name": "api"}),
    ("api_name", {"stage_name": "v1"}),
    *[
        (key, {"stage_arn": STAGE, key: "true"})
        for key in ("count_only", "deletion_protection", "log_blocked")
    ],
    ("windows[0].limit", {"windows": [{"name": "day", "limit": 0, "length_seconds": 86_400}]}),
    ("ipv6_prefix", {"ipv6_prefix": 8}),
    ("allow_short_windows", {"allow_short_windows": "yes"}),
    *SHARED_BAD,
]

DASHBOARD_GOOD: list[dict[str, Any]] = [
    {
        "front_door": {
            "api": "a",
            "stage": "s",
            "namespace": "n",
            "queues": [{"queue": "q", "dead_letter_queue": "d"}, {"queue": "r"}],
        }
    },
    {"authorizer": {"function": "f"}, "front_door": None},
    {"consumers": [{"label": "c", "function": "f"}]},
    *[{"consumers": [{"label": "c", "function": "f"}], **each} for each in SHARED_GOOD],
]
DASHBOARD_BAD: list[tuple[str, dict[str, Any]]] = [
    ("front_door", {}),
    ("front_door", {"front_door": None, "authorizer": None, "consumers": []}),
    *[(path, {"consumers": [{"label": "c", "function": "f"}], **each}) for path, each in SHARED_BAD],
]

ENCRYPTION_KEY_GOOD: list[dict[str, Any]] = [
    {},
    {"deletion_window_days": 7},
    {"deletion_window_days": 30},
    *SHARED_GOOD,
]
ENCRYPTION_KEY_BAD: list[tuple[str, dict[str, Any]]] = [
    *[("deletion_window_days", {"deletion_window_days": each}) for each in (6, 31, "7", 7.5, True)],
    *SHARED_BAD,
]

ALARM_TOPIC_GOOD: list[dict[str, Any]] = [
    {},
    {"emails": []},
    {"emails": ["oncall@example.com", "ops+sluice@example.co.uk"]},
    *SHARED_GOOD,
]
ALARM_TOPIC_BAD: list[tuple[str, dict[str, Any]]] = [
    *[
        ("emails[0]", {"emails": [each]})
        for each in ("", "ops", "@example.com", "a b@example.com", "a@b@c", 5)
    ],
    ("emails[1]", {"emails": ["ops@example.com", "ops@"]}),
    ("emails", {"emails": "ops@example.com"}),
    *SHARED_BAD,
]

GOOD = {
    alarm_topic.problems: ALARM_TOPIC_GOOD,
    encryption_key.problems: ENCRYPTION_KEY_GOOD,
    front_door_args.problems: FRONT_DOOR_GOOD,
    authorizer_args.problems: AUTHORIZER_GOOD,
    of_consumer: CONSUMER_GOOD,
    limiter.problems: LIMITER_GOOD,
    dashboard.problems: DASHBOARD_GOOD,
}
BAD = {
    alarm_topic.problems: ALARM_TOPIC_BAD,
    encryption_key.problems: ENCRYPTION_KEY_BAD,
    front_door_args.problems: FRONT_DOOR_BAD,
    authorizer_args.problems: AUTHORIZER_BAD,
    of_consumer: CONSUMER_BAD,
    limiter.problems: LIMITER_BAD,
    dashboard.problems: DASHBOARD_BAD,
}


def label(value: object) -> str:
    if callable(value):
        return value.__module__.rpartition(".")[2]
    # Every worker must give the same names: no addresses in memory.
    return re.sub(r" at 0x\w+", "", repr(value))[:60]


@pytest.mark.parametrize(
    ("problems", "args"), [(each, args) for each, many in GOOD.items() for args in many], ids=label
)
def test_good_arguments_have_no_problem(problems: Problems, args: dict[str, Any]) -> None:
    assert paths(problems, args) == []


@pytest.mark.parametrize(
    ("problems", "path", "args"),
    [(each, path, args) for each, many in BAD.items() for path, args in many],
    ids=label,
)
def test_a_bad_argument_is_named(problems: Problems, path: str, args: dict[str, Any]) -> None:
    found = paths(problems, args)
    assert set(found) == {path}


def test_every_problem_is_found_at_once() -> None:
    assert paths(front_door_args.problems, {"path": "", "answer": "x", "throttle_rate": 0}) == [
        "path",
        "answer",
        "throttle_rate",
    ]


def test_a_wait_out_of_range_is_told() -> None:
    # A base over the range is over every cap as well.
    assert "retry_base_seconds" in paths(of_consumer, {"retry_base_seconds": 43_201})
    both = {"retry_base_seconds": 43_201, "retry_cap_seconds": 43_201}
    assert paths(of_consumer, both) == ["retry_base_seconds", "retry_cap_seconds"]


def test_a_cap_below_the_base_tells_the_base() -> None:
    (found,) = of_consumer({"retry_base_seconds": 301})
    assert (found.value, found.allowed) == (300, "at least retry_base_seconds, which is 301")


OF_EACH_KIND: dict[AuthorizerKind, dict[str, Any]] = {
    AuthorizerKind.NONE: {"kind": "none"},
    AuthorizerKind.FUNCTION: FUNCTIONS,
    AuthorizerKind.TOKEN: TOKENS,
    AuthorizerKind.JWT: JWT,
    AuthorizerKind.COGNITO: COGNITO,
    AuthorizerKind.IAM: {"kind": "iam"},
}
FOR_SOME_KINDS: list[tuple[str, set[str], object]] = [
    ("tokens", {"token"}, [ANN]),
    ("function_arn", {"function"}, FUNCTION),
    ("function_arn", {"function"}, OUTPUT),
    ("identity_sources", {"function"}, ["header.A"]),
    ("issuer", {"jwt"}, "https://issuer.example.com"),
    ("issuer", {"jwt"}, OUTPUT),
    ("jwks_uri", {"jwt"}, "https://issuer.example.com/keys"),
    ("audiences", {"jwt"}, ["api"]),
    ("algorithms", {"jwt"}, ["RS256"]),
    ("leeway_seconds", {"jwt"}, 30),
    ("leeway_seconds", {"jwt"}, 0),
    ("key_max_age_seconds", {"jwt"}, 3600),
    ("required_claims", {"jwt"}, {"token_use": "access"}),
    ("principal_claim", {"jwt"}, "sub"),
    ("claims", {"jwt"}, {"tenant": "tenant"}),
    ("architecture", {"jwt"}, "arm64"),
    ("scopes", {"jwt", "cognito"}, ["openid"]),
    ("user_pool_arns", {"cognito"}, [POOL]),
    ("user_pool_arns", {"cognito"}, [OUTPUT]),
    ("callers", {"iam"}, [ROLE]),
    ("cache_ttl_seconds", {"function", "token", "jwt"}, 60),
    ("cache_ttl_seconds", {"function", "token", "jwt"}, 0),
    ("proxy", {"token", "jwt"}, PROXY),
]


def test_each_argument_that_only_some_kinds_take_is_looked_at_here() -> None:
    assert {key for key, _, _ in FOR_SOME_KINDS} == OF_KINDS.keys()
    assert OF_EACH_KIND.keys() == set(AuthorizerKind)


@pytest.mark.parametrize("kind", AuthorizerKind)
@pytest.mark.parametrize(("key", "kinds", "value"), FOR_SOME_KINDS, ids=range(len(FOR_SOME_KINDS)))
def test_an_argument_is_taken_by_the_kinds_that_can_use_it_and_told_for_any_other(
    kind: AuthorizerKind, key: str, kinds: set[str], value: object
) -> None:
    found = paths(authorizer_args.problems, {**OF_EACH_KIND[kind], key: value})
    assert found == ([] if kind in kinds else [key])


def test_the_problem_of_another_kind_s_argument_says_whose_it_is() -> None:
    (found,) = authorizer_args.problems({**TOKENS, "scopes": ["openid"]})  # type: ignore[typeddict-item]
    assert found.allowed == "nothing, unless kind is 'jwt' or 'cognito'"


def test_every_end_that_is_no_problem_is_a_second() -> None:
    known = [authorizer_args.known_tokens(each) for each in AUTHORIZER_GOOD if each["kind"] == "token"]  # type: ignore[arg-type]
    ends = [token.expires for each in known for token in each]
    assert {type(each) for each in ends} == {int, type(None)}


def test_what_is_wrong_with_each_token_is_told_by_its_place() -> None:
    args: Any = {
        "kind": "token",
        "tokens": [ANN, {"name": "Bob", "sha256": "short", "expires": "soon"}, {"expires": None, "more": 1}],
    }
    assert paths(authorizer_args.problems, args) == [
        "tokens[1].name",
        "tokens[1].sha256",
        "tokens[1].expires",
        "tokens[2].more",
        "tokens[2].name",
        "tokens[2].sha256",
    ]


def test_one_token_is_known_once() -> None:
    known = [
        {"name": name, "sha256": digest}
        for name, digest in (("a", DIGEST), ("b", OTHER_DIGEST), ("c", DIGEST))
    ]
    (found,) = authorizer_args.problems({"kind": AuthorizerKind.TOKEN, "tokens": known})  # type: ignore[typeddict-item]
    assert (found.path, found.allowed) == ("tokens[2].sha256", "one of its own; tokens[0] has the same")


def test_tokens_are_known_by_name_digest_and_the_second_in_which_they_end() -> None:
    args: Any = {
        "kind": "token",
        "tokens": [
            ANN,
            {**ANN, "expires": None},
            {"name": "bob", "sha256": OTHER_DIGEST, "expires": "2025-06-15T17:06:40.9+02:00"},
        ],
    }
    ann = tokens.Token("ann", DIGEST)
    assert authorizer_args.known_tokens(args) == [ann, ann, tokens.Token("bob", OTHER_DIGEST, 1_750_000_000)]
    assert authorizer_args.known_tokens({"kind": AuthorizerKind.NONE}) == []


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (FUNCTION, "guard"),
        (f"{FUNCTION}:live", "guard"),
        (f"{FUNCTION}:$LATEST", "guard"),
        ("", ""),
        ("x:y", ""),
    ],
)
def test_a_function_is_named_by_any_arn_of_it(arn: str, name: str) -> None:
    assert authorizer._function_name(arn) == name


def test_without_an_authorizer_nothing_can_be_said_of_one() -> None:
    given: Any = {
        "authorizer_cache_ttl_seconds": 60,
        "authorizer_token_pattern": tokens.BEARER,
        "log_principal": True,
    }
    found = front_door_args.problems(given)
    assert [each.path for each in found] == list(given)
    assert [each.allowed for each in found] == [
        "nothing: there is no authorizer_function_arn",
        "nothing: there is no authorizer_function_arn",
        "nothing: nobody decides who may call",
    ]
    assert paths(front_door_args.problems, {**given, "authorizer_function_arn": OUTPUT}) == []


def test_every_variable_that_is_no_good_is_named() -> None:
    given = {"A": "x", "AB": 5, "AWS_REGION": "x", "CD": "x" * 4096}
    found = paths(of_consumer, {"environment": given})
    assert found == ["environment.AB", "environment", "environment.AWS_REGION", "environment"]


def test_no_problem_of_a_variable_shows_what_is_in_it_where_its_name_is_wrong() -> None:
    given: Any = {"environment": {"A": "hush", "_X": "hush", "BIG": "hush" * 1000}}
    assert "hush" not in "\n".join(map(str, of_consumer(given)))


def test_the_default_entry_is_looked_for_in_the_code(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("def record_handler(record): ...\n")
    args: Any = {"code": str(tmp_path)}
    (found,) = of_consumer(args)
    assert (found.path, found.value) == ("entry", consumer_args.ENTRY)
    (tmp_path / "other.py").rename(tmp_path / "consumer.py")
    assert of_consumer(args) == []


@pytest.mark.parametrize(
    ("code", "entry"), [("examples/recorder", "recorder:record_handler"), ("tests", "unit.conftest:output")]
)
def test_a_folder_with_code_is_taken(code: str, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert paths(of_consumer, {"code": code, "entry": entry}) == []


def test_a_folder_with_nothing_to_ship_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("x")
    found = of_consumer({"code": str(tmp_path)})
    assert [(each.path, each.allowed) for each in found] == [
        ("code", "a folder that holds your code; it is empty")
    ]


@pytest.mark.parametrize(
    "args",
    [
        {"kind": "token", "tokens": [{"name": "ann", "sha256": TOKEN}]},
        {"kind": "token", "tokens": [{"name": "ann", "sha256": f"Bearer {TOKEN}"}]},
        {"kind": "token", "tokens": [{"name": "ann", "sha256": [f" {TOKEN}"]}]},
        {"kind": "token", "tokens": [{"name": TOKEN, "sha256": DIGEST}]},
        {"kind": "token", "tokens": [{**ANN, "expires": TOKEN}]},
        {"kind": "token", "tokens": [{**ANN, "token": TOKEN}]},
        {"kind": "token", "tokens": {"ann": TOKEN}},
        {"kind": "token", "tokens": TOKEN},
        {"kind": "token", "tokens": [TOKEN]},
        {"kind": "none", "tokens": [{"name": "ann", "sha256": TOKEN}]},
    ],
    ids=["digest", "header", "list", "name", "end", "key", "map", "text", "texts", "kind none"],
)
def test_no_problem_shows_a_token(args: Any) -> None:
    found = authorizer_args.problems(args)
    assert found
    # Problems end up in consoles and in the logs of a CI.
    assert TOKEN[-20:] not in "\n".join(map(str, found))


@pytest.mark.parametrize("kind", ["none", "function", "token", "jwt", "cognito", "iam", "other"])
def test_no_problem_of_an_authorizer_shows_the_proxy_s_secret(kind: str) -> None:
    short = {**PROXY, "secrets": [SECRET, SECRET[:20]]}
    told = "\n".join(map(str, authorizer_args.problems({"kind": kind, "proxy": short})))  # type: ignore[typeddict-item]
    assert "proxy" in told
    assert SECRET[:20] not in told


@pytest.mark.parametrize(
    "given", [{}, {"tokens": [{"name": "ann", "sha256": "short"}]}], ids=["none", "short"]
)
def test_a_missing_digest_tells_the_command_that_makes_one(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = authorizer_args.problems({"kind": AuthorizerKind.TOKEN, **given})  # type: ignore[typeddict-item]
    words = shlex.split(found.remedy.splitlines()[0].replace("NAME", "ann"))
    assert words[:3] == ["python3", "-m", "sluice.cli"]
    assert cli.main(words[3:]) == 0
    shown = dict(line.split() for line in capsys.readouterr().out.partition("\n\n")[0].splitlines())
    known: Any = [{"name": shown["name:"], "sha256": shown["sha256:"]}]
    assert authorizer_args.problems({"kind": AuthorizerKind.TOKEN, "tokens": known}) == []


@pytest.mark.parametrize(("timeout", "visibility"), [(31, 180), (900, 60), (7, 41)])
def test_a_timeout_that_is_too_long_tells_both_ways_out(timeout: int, visibility: int) -> None:
    args: Any = {"timeout_seconds": timeout, "queue_visibility_timeout_seconds": visibility}
    (found,) = of_consumer(args)
    lower, higher = visibility // 6, timeout * 6
    assert f"lower it to {lower}," in found.remedy
    assert found.remedy.endswith(f"visibility_timeout_seconds to {higher}")
    for way_out in ({"timeout_seconds": lower}, {"queue_visibility_timeout_seconds": higher}):
        assert paths(of_consumer, {**args, **way_out}) == []


def test_a_timeout_is_never_to_be_lowered_to_nothing() -> None:
    args: Any = {"timeout_seconds": 1, "queue_visibility_timeout_seconds": 5}
    (found,) = of_consumer(args)
    assert "lower it to 0" not in found.remedy


def test_what_is_wrong_with_a_limiter_is_told_at_once() -> None:
    given: Any = {
        "access_log_arn": "x",
        "windows": [],
        "sets_per_family": 0,
        "burst_window_seconds": 7,
        "log_blocked": True,
        "kms_key_arn": "x",
    }
    assert set(paths(limiter.problems, given)) == given.keys()


def test_what_belongs_into_a_web_acl_of_somebody_else_is_said_to() -> None:
    (found,) = limiter.problems({"log_blocked": True})  # type: ignore[typeddict-item]
    assert found.allowed == "nothing, without stage_arn: it belongs into your web ACL"
