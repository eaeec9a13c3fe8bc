"""What a front door refuses, each with where it is and what it holds."""

import re
from typing import Any

import pulumi
import pytest

from components import QueueArgs, ReadArgs, RouteArgs, UsagePlanArgs, front_door_args, sources
from components.arguments import InvalidArgsError, Problem, admit
from components.front_door_args import FrontDoorArgs
from sluice import tokens

OUTPUT = pulumi.Output.from_input("known later")
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:guard"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:orders"
URL = "https://sqs.us-east-1.amazonaws.com/123456789012/orders"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b-2c3d"
ZONE = "Z0123456789ABCDEFGHIJ"
TRUST = "s3://example-trust/clients.pem"
DOMAIN: dict[str, Any] = {"domain_name": "api.example.com", "certificate_arn": CERTIFICATE}
API: dict[str, Any] = {"api_id": "a1b2c3d4e5", "api_name": "shop", "root_resource_id": "abc123def4"}
THEIRS: dict[str, Any] = {"queue_arn": QUEUE, "queue_url": URL}
READ: dict[str, Any] = {"path": "a", "url": "https://b.example.com/a"}
POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_Abc123"
DECIDERS: list[dict[str, Any]] = [
    {"authorizer_function_arn": FUNCTION},
    {"authorizer_user_pool_arns": [POOL]},
    {"iam_authorization": True},
]
FIFO_ROUTE: dict[str, Any] = {"path": "a", "group_id": "body.a", "deduplication_id": "body.b"}
PLAN: dict[str, Any] = {"name": "gold"}


def told(args: dict[str, Any]) -> list[Problem]:
    return front_door_args.problems(args)  # type: ignore[arg-type]


def paths(args: dict[str, Any]) -> list[str]:
    return [each.path for each in told(args)]


def route(**given: Any) -> dict[str, Any]:
    return {"routes": [{"path": "a", **given}]}


def read(**given: Any) -> dict[str, Any]:
    return {"reads": [{**READ, **given}]}


def plan(**given: Any) -> dict[str, Any]:
    return {"usage_plans": [{**PLAN, **given}]}


def cidrs(count: int) -> list[str]:
    return [f"2001:db8:{index:x}:ffff:ffff:ffff:ffff:ffff/128" for index in range(count)]


ROUTES_GOOD: list[dict[str, Any]] = [
    route(),
    *[route(path=path) for path in ("a/{b}/c", "{a}", "a/{b.c-d_e}", "{a}/{b}", "x" * 53)],
    *[route(method=method) for method in ("POST", "PUT", "PATCH")],
    {"queues": [{"name": "q"}], **route(queue="q")},
    {"queues": [{"name": "q-1", **THEIRS}, {"name": "r"}], **route(queue="q-1")},
    route(content_types=["text/plain", "application/vnd.a+json"]),
    route(schema={"type": "object", "properties": {"const": {}, "if": {"enum": [{"const": 1}]}}}),
    route(schema={"minimum": 1, "exclusiveMinimum": True}),
    route(schema={}),
    route(schema={"additionalProperties": False, "items": [{}, {}], "dependencies": {"a": ["b"]}}),
    route(schema={"$schema": "http://json-schema.org/draft-04/schema#", "type": ["string", "null"]}),
    route(batch=True, schema={"items": {"$ref": "#/definitions/a"}, "definitions": {"a": {}}}),
    route(required_headers=["X-Tenant", "x_y"], required_query=["page", "a.b_c-d"]),
    route(attributes={"tenant": "header.X-Tenant", "t.x-y_1": "text.a b & c", "n": "context.time"}),
    route(path="a/{b}", attributes={"b": "path.b"}, group_id="path.b"),
    route(attributes={"a": "body.a[0].b", "c": "context.authorizer.tenant"}),
    route(attributes={f"a{index}": "text.x" for index in range(8)}),
    *[{**route(attributes={f"a{index}": "text.x" for index in range(7)}), **each} for each in DECIDERS],
    {**route(attributes={f"a{index}": "text.x" for index in range(8)}), "iam_authorization": False},
    route(attributes={"who": "context.claims.cognito:username", "arn": "context.user_arn"}),
    route(group_id="header.X-Tenant"),
    route(delay_seconds=0),
    route(delay_seconds=900),
    {"tracing": True, **route(trace_header=True)},
    route(trace_header=False, batch=False),
    route(batch=True, content_types=["application/json"]),
    *[route(success_status=status) for status in (200, 201, 202, 204)],
    *[route(answer=answer) for answer in ("summary", "sqs")],
    route(throttle_rate=1, throttle_burst=100_000),
    {"routes": [{"path": "a"}, {"path": "a", "method": "PUT"}, {"path": "b/{x}"}, {"path": "b/{x}/c"}]},
    {"routes": [{"path": "b/{x}/c/{y}"}, {"path": "d/{z}"}, {"path": "b/w"}]},
    {"routes": [{"path": f"p{index}"} for index in range(100)]},
    route(path="a", method=None, schema=None, attributes=None, batch=None),
]
QUEUES_GOOD: list[dict[str, Any]] = [
    THEIRS,
    {"queue_arn": OUTPUT, "queue_url": OUTPUT},
    {"fifo": False},
    {"fifo": True, "routes": [FIFO_ROUTE]},
    {"fifo": True, "content_based_deduplication": True, **route(group_id="body.a")},
    {"fifo": True, "content_based_deduplication": True, "high_throughput": True, "routes": [FIFO_ROUTE]},
    {"queue_arn": f"{QUEUE}.fifo", "queue_url": f"{URL}.fifo", "routes": [FIFO_ROUTE]},
    # Whether a queue is FIFO that only AWS knows is not for us to say.
    {"queue_arn": OUTPUT, "queue_url": OUTPUT, **route(delay_seconds=5)},
    {"queues": [{"name": "a"}, {"name": "b", "fifo": True}], "routes": [{"path": "a"}]},
    {"queues": [{"name": "b", "fifo": True}, {"name": "a"}], "routes": [{"path": "a", "queue": "a"}]},
    {"queues": [{"name": "x" * 32, "max_message_size": 1024, "fifo": None}]},
]
READS_GOOD: list[dict[str, Any]] = [
    read(),
    read(path="a/{b}", url="https://b.internal:8080/x/{b}"),
    read(path="a/{b}", url="http://127.0.0.1:8080/{b}"),
    read(query=["page"], headers=["Accept-Language"], cache_ttl_seconds=0, timeout_ms=50),
    read(cache_ttl_seconds=3600, timeout_ms=29_000),
    {**read(path="messages"), "health_path": "health"},
    {"health_path": "status/health"},
    *[{"cache_size_gb": size} for size in front_door_args.CACHE_SIZES],
]
ENTRY_GOOD: list[dict[str, Any]] = [
    {"cors_origins": ["*"]},
    {"cors_origins": ["https://a.example.com", "http://localhost:3000"], "cors_headers": ["X-A"]},
    {"cors_origins": ["https://a.example.com"], "cors_credentials": True, "cors_max_age_seconds": 0},
    {"cors_origins": ["https://a.example.com", "https://b.example.com"], "cors_credentials": False},
    {"cors_origins": [f"https://{index}.example.com" for index in range(20)]},
    API,
    {"api_id": OUTPUT, "api_name": OUTPUT, "root_resource_id": OUTPUT},
    plan(),
    plan(keys=["acme", "b-2"], throttle_rate=1, throttle_burst=1),
    plan(quota_limit=2_000_000_000, quota_period="DAY", quota_offset=0),
    plan(quota_limit=1, quota_period="WEEK", quota_offset=6),
    plan(quota_limit=1, quota_period="MONTH", quota_offset=27),
    plan(quota_limit=1, quota_offset=27),
    plan(keys=None, quota_limit=None),
    {"usage_plans": [{"name": "a", "keys": ["x"]}, {"name": "b", "keys": ["y"]}]},
    {"allow_cidrs": ["203.0.113.0/24", "2001:db8::/32", "203.0.113.9"], "deny_cidrs": ["203.0.113.7/32"]},
    {"allow_cidrs": cidrs(150)},
    DOMAIN,
    {"domain_name": "api.example.com", "hosted_zone_id": ZONE},
    {**DOMAIN, "hosted_zone_id": OUTPUT, "base_path": "shop-1.a_b~c"},
    {**DOMAIN, "truststore_uri": TRUST, "truststore_version": "3", "ownership_certificate_arn": CERTIFICATE},
    {**DOMAIN, "truststore_uri": TRUST, "disable_execute_api_endpoint": True},
    {**DOMAIN, "disable_execute_api_endpoint": True},
    {"disable_execute_api_endpoint": False},
    {"vpc_endpoint_ids": ["vpce-0a1b2c3d", "vpce-0a1b2c3d4e5f60718"]},
    {"tracing": True, "execution_log": "INFO", "problem_json": True},
    *[{"execution_log": level} for level in ("OFF", "ERROR")],
    {"error_rate_alarm_percent": 100, "latency_alarm_ms": 30_000, "throttled_alarm_percent": 1},
    {"oldest_message_alarm_seconds": 1_209_600},
]

Wrong = tuple[str, object, dict[str, Any]]
ABSENT = None


def each_wrong(path: str, key: str, values: list[Any], make: Any) -> list[Wrong]:
    return [(path, value, make(**{key: value})) for value in values]


def plainly(**given: Any) -> dict[str, Any]:
    return given


ROUTES_BAD: list[Wrong] = [
    *each_wrong("routes[0].path", "path", ["", "/a", "a/", "a//b", "{", "{a", "a{b}", "{proxy+}", 5], route),
    *each_wrong("routes[0].path", "path", ["x" * 54, "{a}/{a}", "a/../b", "a\n"], route),
    ("routes[0].path", ABSENT, {"routes": [{}]}),
    ("routes[0].path", ABSENT, {"routes": [{"path": None}]}),
    *each_wrong("routes[0].method", "method", ["GET", "post", "DELETE", "ANY", 5], route),
    ("routes[0].queue", "orders", route(queue="orders")),
    ("routes[0].queue", "b", {"queues": [{"name": "a"}], **route(queue="b")}),
    *each_wrong("routes[0].content_types", "content_types", [[], "text/plain"], route),
    ("routes[0].content_types[1]", "*/*", route(content_types=["text/plain", "*/*"])),
    *each_wrong("routes[0].schema", "schema", ["{}", ["a"], 5], route),
    ("routes[0].schema", "(not shown)", route(schema={"enum": [{1, 2}]})),
    ("routes[0].schema", "409614 bytes", route(schema={"title": "x" * 409_601})),
    *[
        (f"routes[0].schema.{keyword}", keyword, route(schema={keyword: {}}))
        for keyword in ("const", "contains", "if", "then", "else", "propertyNames", "$id", "$defs")
    ],
    ("routes[0].schema", "(not shown)", route(schema={"minimum": float("nan")})),
    (
        "routes[0].schema.$schema",
        "https://json-schema.org/draft-07/schema#",
        route(schema={"$schema": "https://json-schema.org/draft-07/schema#"}),
    ),
    *[("routes[0].schema.type", value, route(schema={"type": value})) for value in ("text", [], ["a"], 5)],
    *[
        (f"routes[0].schema.{key}", value, route(schema={key: value}))
        for key, value in (("items", True), ("not", "a"), ("additionalProperties", "no"))
    ],
    ("routes[0].schema.anyOf[0]", False, route(schema={"anyOf": [False]})),
    ("routes[0].schema.properties.a", True, route(schema={"properties": {"a": True}})),
    (
        "routes[0].schema.items.$ref",
        "#/properties/a",
        route(batch=True, schema={"items": {"$ref": "#/properties/a"}}),
    ),
    ("routes[0].schema.properties.a.const", "const", route(schema={"properties": {"a": {"const": 1}}})),
    ("routes[0].schema.items.if", "if", route(schema={"items": {"if": {}}})),
    ("routes[0].schema.anyOf[1].const", "const", route(schema={"anyOf": [{}, {"const": 1}]})),
    (
        "routes[0].schema.definitions.a.contains",
        "contains",
        route(schema={"definitions": {"a": {"contains": {}}}}),
    ),
    ("routes[0].schema.exclusiveMinimum", "exclusiveMinimum", route(schema={"exclusiveMinimum": 5})),
    (
        "routes[0].schema.items.exclusiveMaximum",
        "exclusiveMaximum",
        route(schema={"items": {"exclusiveMaximum": 5}}),
    ),
    ("routes[0].required_headers", "X-A", route(required_headers="X-A")),
    ("routes[0].required_headers[0]", "X A", route(required_headers=["X A"])),
    ("routes[0].required_headers[1]", 5, route(required_headers=["X-A", 5])),
    ("routes[0].required_query[0]", "a&b", route(required_query=["a&b"])),
    ("routes[0].required_query[1]", "a[b]", route(required_query=["a", "a[b]"])),
    ("routes[0].attributes", ["a"], route(attributes=["a"])),
    *[
        ("routes[0].attributes.x", value, route(attributes={"x": value}))
        for value in (
            *("", "header", "header.", "X-Tenant", "cookie.a", "Header.A", "header.A B", "query.a&b"),
            *("body.", "body.a..b", "body.0", "body.a[x]", "context.", "context.password", "text."),
            *(
                "context.authorizer.",
                "text.a\nb",
                "text.é",
                f"text.{'x' * 257}",
                "$input.body",
                5,
                None,
                ["a"],
            ),
        )
    ],
    ("routes[0].attributes.x", "path.b", route(attributes={"x": "path.b"})),
    ("routes[0].attributes.x", "path.c", route(path="a/{b}", attributes={"x": "path.c"})),
    *[
        ("routes[0].attributes", name, route(attributes={name: "text.x"}))
        for name in ("", ".a", "a.", "a..b", "a b", "AWS.x", "amazon.x", "Aws.Trace", "é", "x" * 257)
    ],
    *[
        (f"routes[0].attributes.{name}", "text.x", route(attributes={name: "text.x"}))
        for name in ("requestId", "sourceIp", "principal")
    ],
    ("routes[0].attributes", "9 attributes", route(attributes={f"a{i}": "text.x" for i in range(9)})),
    *[
        (
            "routes[0].attributes",
            "8 attributes",
            {**route(attributes={f"a{i}": "text.x" for i in range(8)}), **each},
        )
        for each in DECIDERS
    ],
    *each_wrong("routes[0].group_id", "group_id", ["text.a b", f"text.{'x' * 129}"], route),
    ("routes[0].group_id", "tenant", route(group_id="tenant")),
    ("routes[0].group_id", "path.b", route(group_id="path.b")),
    (
        "routes[0].deduplication_id",
        "id",
        {"fifo": True, "routes": [{**FIFO_ROUTE, "deduplication_id": "id"}]},
    ),
    *each_wrong("routes[0].delay_seconds", "delay_seconds", [-1, 901, "5", 1.5, True], route),
    ("routes[0].trace_header", "yes", route(trace_header="yes")),
    ("routes[0].trace_header", True, route(trace_header=True)),
    ("routes[0].batch", 1, route(batch=1)),
    *[
        ("routes[0].content_types", types, route(batch=True, content_types=types))
        for types in (["text/plain"], ["application/json", "text/plain"])
    ],
    (
        "routes[0].content_types[1]",
        "text/plain",
        route(content_types=["application/a+json", "text/plain"], attributes={"a": "body.a"}),
    ),
    ("routes[0].content_types[0]", "text/plain", route(content_types=["text/plain"], group_id="body.a")),
    *each_wrong("routes[0].answer", "answer", ["xml", 5], route),
    *each_wrong("routes[0].success_status", "success_status", [203, 302, "202", 99], route),
    *each_wrong("routes[0].throttle_rate", "throttle_rate", [0, 100_001, "5"], route),
    *each_wrong("routes[0].throttle_burst", "throttle_burst", [0, 100_001], route),
    ("routes[0].pth", "b", route(pth="b")),
    ("routes", "0 routes", {"routes": []}),
    ("routes", "101 routes", {"routes": [{"path": f"p{index}"} for index in range(101)]}),
    ("routes", {"path": "a"}, {"routes": {"path": "a"}}),
    ("routes[1]", "b", {"routes": [{"path": "a"}, "b"]}),
    *[(key, value, {**route(), key: value}) for key, value in (("path", "b"), ("answer", "sqs"))],
    ("content_types", ["text/plain"], {**route(), "content_types": ["text/plain"]}),
    ("routes[1].path", "a", {"routes": [{"path": "a"}, {"path": "a"}]}),
    ("routes[2].path", "a", {"routes": [{"path": "a"}, {"path": "b"}, {"path": "a", "method": "POST"}]}),
    ("routes[1].path", "b/{y}", {"routes": [{"path": "b/{x}"}, {"path": "b/{y}"}]}),
    ("routes[1].path", "b/{y}/c", {"routes": [{"path": "b/{x}"}, {"path": "b/{y}/c"}]}),
    (
        "reads[0].path",
        "a/{y}",
        {**route(path="a/{x}"), **read(path="a/{y}", url="https://b.example.com/{y}")},
    ),
]
QUEUES_BAD: list[Wrong] = [
    ("queue_url", ABSENT, {"queue_arn": QUEUE}),
    ("queue_arn", ABSENT, {"queue_url": URL}),
    *[("queue_arn", value, {"queue_url": OUTPUT, "queue_arn": value}) for value in ("orders", FUNCTION, 5)],
    *[("queue_url", value, {"queue_arn": OUTPUT, "queue_url": value}) for value in ("orders", QUEUE, 5)],
    ("queue_url", f"{URL}-2", {"queue_arn": QUEUE, "queue_url": f"{URL}-2"}),
    *[
        (key, value, {**THEIRS, key: value})
        for key, value in (
            ("max_message_size", 4096),
            ("visibility_timeout_seconds", 60),
            ("message_retention_seconds", 60),
            ("max_receive_count", 3),
            ("high_throughput", True),
            ("content_based_deduplication", True),
        )
    ],
    ("queues[0].max_receive_count", 3, {"queues": [{"name": "a", **THEIRS, "max_receive_count": 3}]}),
    ("fifo", "yes", {"fifo": "yes"}),
    ("routes", ABSENT, {"fifo": True}),
    ("routes", ABSENT, {"queues": [{"name": "a", "fifo": True}]}),
    ("content_based_deduplication", True, {"content_based_deduplication": True}),
    ("high_throughput", True, {"high_throughput": True, "fifo": False}),
    ("routes[0].group_id", ABSENT, {"fifo": True, **route(deduplication_id="body.a")}),
    ("routes[0].deduplication_id", ABSENT, {"fifo": True, **route(group_id="body.a")}),
    ("routes[0].delay_seconds", 5, {"fifo": True, "routes": [{**FIFO_ROUTE, "delay_seconds": 5}]}),
    ("routes[0].deduplication_id", "body.a", route(deduplication_id="body.a")),
    (
        "routes[1].group_id",
        ABSENT,
        {
            "queues": [{"name": "a"}, {"name": "b", "fifo": True, "content_based_deduplication": True}],
            "routes": [{"path": "a"}, {"path": "b", "queue": "b"}],
        },
    ),
    (
        "routes[0].deduplication_id",
        ABSENT,
        {"queue_arn": f"{QUEUE}.fifo", "queue_url": f"{URL}.fifo", **route(group_id="body.a")},
    ),
    ("queues", [], {"queues": []}),
    ("queues", "a", {"queues": "a"}),
    ("queues[0]", "a", {"queues": ["a"]}),
    ("queues[0].name", ABSENT, {"queues": [{}]}),
    *[("queues[0].name", value, {"queues": [{"name": value}]}) for value in ("A", "1a", "a_b", "x" * 33, "")],
    ("queues[1].name", "a", {"queues": [{"name": "a"}, {"name": "a"}]}),
    ("queues[0].size", 5, {"queues": [{"name": "a", "size": 5}]}),
    ("queues[0].max_message_size", 5, {"queues": [{"name": "a", "max_message_size": 5}]}),
    ("queues[0].queue_url", ABSENT, {"queues": [{"name": "a", "queue_arn": QUEUE}]}),
    ("max_receive_count", 3, {"queues": [{"name": "a"}], "max_receive_count": 3}),
    ("queue_arn", QUEUE, {"queues": [{"name": "a"}], "queue_arn": QUEUE}),
]
READS_BAD: list[Wrong] = [
    ("reads[0].url", ABSENT, {"reads": [{"path": "a"}]}),
    *each_wrong("reads[0].path", "path", ["", "/a", 5], read),
    *each_wrong(
        "reads[0].url",
        "url",
        [
            "b.example.com",
            "ftp://b",
            "http://b.example.com",
            "http://localhost.example.com",
            "https://b/?x=1",
            "https://b/#x",
            5,
        ],
        read,
    ),
    ("reads[0].url", "https://b.example.com/{c}", read(url="https://b.example.com/{c}")),
    ("reads[0].url", "https://b.example.com/a", read(path="a/{b}")),
    ("reads[0].query[0]", "a b", read(query=["a b"])),
    ("reads[0].headers", "Accept", read(headers="Accept")),
    *[("reads[0].headers[1]", name, read(headers=["Accept", name])) for name in ("Host", "If-None-Match")],
    *each_wrong("reads[0].cache_ttl_seconds", "cache_ttl_seconds", [-1, 3601, "60"], read),
    *each_wrong("reads[0].timeout_ms", "timeout_ms", [49, 29_001], read),
    ("reads[0].ttl", 5, read(ttl=5)),
    ("reads", "a", {"reads": "a"}),
    ("reads[1].path", "a", {"reads": [READ, READ]}),
    ("health_path", "a", {**read(), "health_path": "a"}),
    *[("health_path", value, {"health_path": value}) for value in ("", "/health", "a/{b}", 5)],
    *each_wrong("cache_size_gb", "cache_size_gb", ["1", "0.50", 0.5, 5], plainly),
]
ENTRY_BAD: list[Wrong] = [
    *[
        ("cors_origins[0]", value, {"cors_origins": [value]})
        for value in ("a.example.com", "https://a.example.com/", "null", "", "https://*.example.com", 5)
    ],
    ("cors_origins", "*", {"cors_origins": "*"}),
    ("cors_origins", [], {"cors_origins": []}),
    ("cors_origins", ["*", "https://a.example.com"], {"cors_origins": ["*", "https://a.example.com"]}),
    (
        "cors_origins",
        [f"https://{index}.example.com" for index in range(21)],
        {"cors_origins": [f"https://{index}.example.com" for index in range(21)]},
    ),
    ("cors_origins", ["*"], {"cors_origins": ["*"], "cors_credentials": True}),
    (
        "cors_origins",
        ["https://a.example.com", "https://b.example.com"],
        {"cors_origins": ["https://a.example.com", "https://b.example.com"], "cors_credentials": True},
    ),
    ("cors_headers[0]", "X A", {"cors_origins": ["*"], "cors_headers": ["X A"]}),
    ("cors_credentials", "yes", {"cors_origins": ["*"], "cors_credentials": "yes"}),
    ("cors_max_age_seconds", 86_401, {"cors_origins": ["*"], "cors_max_age_seconds": 86_401}),
    *[
        (key, value, {key: value})
        for key, value in (("cors_headers", ["X-A"]), ("cors_credentials", True), ("cors_max_age_seconds", 5))
    ],
    *[(missing, ABSENT, {key: value for key, value in API.items() if key != missing}) for missing in API],
    *[
        (key, value, {**API, key: value})
        for key, value in (("api_id", "A B"), ("api_name", ""), ("root_resource_id", "/"))
    ],
    *[
        (key, value, {**API, key: value})
        for key, value in (
            ("allow_cidrs", ["192.0.2.0/24"]),
            ("deny_cidrs", ["192.0.2.0/24"]),
            ("vpc_endpoint_ids", ["vpce-0a1b2c3d"]),
            ("problem_json", True),
            ("disable_execute_api_endpoint", False),
        )
    ],
    *each_wrong("usage_plans[0].name", "name", ["", "Gold", "a b", "x" * 33, 5], plan),
    ("usage_plans[0].name", ABSENT, {"usage_plans": [{}]}),
    ("usage_plans[1].name", "gold", {"usage_plans": [PLAN, PLAN]}),
    ("usage_plans[0].keys[1]", "B", plan(keys=["a", "B"])),
    ("usage_plans[0].keys", "a", plan(keys="a")),
    ("usage_plans", "a", {"usage_plans": [{"name": "x", "keys": ["a"]}, {"name": "y", "keys": ["a"]}]}),
    ("usage_plans", "a", plan(keys=["a", "a"])),
    ("usage_plans", "gold", {"usage_plans": "gold"}),
    ("usage_plans", [], {"usage_plans": []}),
    ("usage_plans[0].throttle_burst", ABSENT, plan(throttle_rate=5)),
    ("usage_plans[0].throttle_rate", ABSENT, plan(throttle_burst=5)),
    ("usage_plans[0].throttle_rate", 0, plan(throttle_rate=0, throttle_burst=1)),
    *each_wrong("usage_plans[0].quota_limit", "quota_limit", [0, 2_000_000_001, "5"], plan),
    ("usage_plans[0].quota_period", "YEAR", plan(quota_limit=1, quota_period="YEAR")),
    *[
        ("usage_plans[0].quota_offset", offset, plan(quota_limit=1, quota_period=period, quota_offset=offset))
        for period, offset in (("DAY", 1), ("WEEK", 7), ("MONTH", 28), ("MONTH", -1))
    ],
    ("usage_plans[0].quota_period", "DAY", plan(quota_period="DAY")),
    ("usage_plans[0].quota_offset", 1, plan(quota_offset=1)),
    ("usage_plans[0].burst", 5, plan(burst=5)),
    *[
        (f"{key}[0]", value, {key: [value]})
        for key in ("allow_cidrs", "deny_cidrs")
        for value in ("203.0.113.7/24", "203.0.113.0/33", "example.com", "2001:db8::1/64", "", 5)
    ],
    ("allow_cidrs", "203.0.113.0/24", {"allow_cidrs": "203.0.113.0/24"}),
    ("vpc_endpoint_ids[0]", "vpc-0a1b2c3d", {"vpc_endpoint_ids": ["vpc-0a1b2c3d"]}),
    ("vpc_endpoint_ids", [], {"vpc_endpoint_ids": []}),
    (
        "cors_origins",
        ["https://a.example.com", "https://b.example.com"],
        {
            **read(),
            "allow_cidrs": ["192.0.2.0/24"],
            "cors_origins": ["https://a.example.com", "https://b.example.com"],
        },
    ),
    ("path", "ping", {**DOMAIN, "path": "ping"}),
    ("routes[0].path", "sping", {**DOMAIN, **route(path="sping")}),
    ("reads[0].path", "ping", {**DOMAIN, **read(path="ping")}),
    ("health_path", "ping", {**DOMAIN, "health_path": "ping"}),
    *each_wrong("redeploy", "redeploy", [5, "x" * 257], plainly),
    ("domain_name", "api.example.com", {**DOMAIN, "vpc_endpoint_ids": ["vpce-0a1b2c3d"]}),
    *[
        ("domain_name", value, {**DOMAIN, "domain_name": value})
        for value in (
            "example",
            "API.example.com",
            "api.example.com.",
            "*.example.com",
            f"{'x' * 64}.example.com",
            5,
        )
    ],
    ("certificate_arn", ABSENT, {"domain_name": "api.example.com"}),
    ("certificate_arn", "mine", {**DOMAIN, "certificate_arn": "mine"}),
    ("hosted_zone_id", "example.com", {**DOMAIN, "hosted_zone_id": "example.com"}),
    *[("base_path", value, {**DOMAIN, "base_path": value}) for value in ("", "a/b", "/a", "a b")],
    *[
        ("truststore_uri", value, {**DOMAIN, "truststore_uri": value})
        for value in ("x", "https://b/k", "s3://b")
    ],
    ("truststore_version", "3", {**DOMAIN, "truststore_version": "3"}),
    ("ownership_certificate_arn", CERTIFICATE, {**DOMAIN, "ownership_certificate_arn": CERTIFICATE}),
    (
        "disable_execute_api_endpoint",
        False,
        {**DOMAIN, "truststore_uri": TRUST, "disable_execute_api_endpoint": False},
    ),
    ("disable_execute_api_endpoint", True, {"disable_execute_api_endpoint": True}),
    ("disable_execute_api_endpoint", "no", {"disable_execute_api_endpoint": "no"}),
    *[
        (key, value, {key: value})
        for key, value in (
            ("certificate_arn", CERTIFICATE),
            ("hosted_zone_id", ZONE),
            ("base_path", "shop"),
            ("truststore_uri", TRUST),
        )
    ],
    *each_wrong("execution_log", "execution_log", ["DEBUG", "error", True], plainly),
    ("tracing", 1, {"tracing": 1}),
    ("problem_json", "yes", {"problem_json": "yes"}),
    *each_wrong("error_rate_alarm_percent", "error_rate_alarm_percent", [0, 101, 0.5], plainly),
    *each_wrong("latency_alarm_ms", "latency_alarm_ms", [0, 30_001], plainly),
    *each_wrong("throttled_alarm_percent", "throttled_alarm_percent", [0, 101], plainly),
    *each_wrong("oldest_message_alarm_seconds", "oldest_message_alarm_seconds", [59, 1_209_601], plainly),
]


def label(value: object) -> str:
    # Without addresses: the tests are called the same in every process.
    return re.sub(r"<pulumi[^>]*>", "OUTPUT", repr(value))[:60]


@pytest.mark.parametrize("args", [*ROUTES_GOOD, *QUEUES_GOOD, *READS_GOOD, *ENTRY_GOOD], ids=label)
def test_good_arguments_are_admitted(args: dict[str, Any]) -> None:
    admit("FrontDoor 'door'", args, FrontDoorArgs, front_door_args.problems)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "value", "args"), [*ROUTES_BAD, *QUEUES_BAD, *READS_BAD, *ENTRY_BAD], ids=label
)
def test_a_bad_argument_is_named_with_what_it_holds(path: str, value: object, args: dict[str, Any]) -> None:
    assert {(each.path, repr(each.value)) for each in told(args)} == {(path, repr(value))}


def test_a_policy_that_is_too_large_tells_its_size() -> None:
    (found,) = told({"allow_cidrs": cidrs(200)})
    assert found.path == "allow_cidrs"
    size = int(str(found.value).partition(" ")[0])
    assert size > 8192
    assert found.allowed == "at most 8192 bytes"
    (found,) = told({"deny_cidrs": cidrs(200)})
    assert "bytes of policy" in str(found.value)


def test_everything_is_told_at_once() -> None:
    given: dict[str, Any] = {
        "routes": [
            {"path": "a/", "method": "GET", "attributes": {"x": "y", "requestId": "text.z"}, "colour": 1},
            {"path": "b", "queue": "nowhere", "schema": {"const": 1}, "delay_seconds": 901},
            {"path": "c", "queue": "orders"},
        ],
        "queues": [{"name": "events", "max_receive_count": 0}, {"name": "orders", "fifo": True}],
        "reads": [{"path": "d", "url": "x"}],
        "health_path": "/",
        "cors_origins": ["x"],
        "api_id": "a1b2c3d4e5",
        "usage_plans": [{"name": "Gold"}],
        "allow_cidrs": ["x"],
        "base_path": "shop",
        "execution_log": "ALL",
        "latency_alarm_ms": 0,
        "log_principal": True,
    }
    found = set(paths(given))
    assert found == {
        *("routes[0].path", "routes[0].method", "routes[0].attributes.x", "routes[0].attributes.requestId"),
        *("routes[0].colour", "routes[1].queue", "routes[1].schema.const", "routes[1].delay_seconds"),
        *("routes[2].group_id", "routes[2].deduplication_id", "queues[0].max_receive_count", "reads[0].url"),
        *("health_path", "cors_origins[0]", "api_name", "root_resource_id", "usage_plans[0].name"),
        *("allow_cidrs", "allow_cidrs[0]", "base_path", "execution_log", "latency_alarm_ms", "log_principal"),
    }
    with pytest.raises(InvalidArgsError) as refused:
        admit("FrontDoor 'door'", given, FrontDoorArgs, front_door_args.problems)  # type: ignore[arg-type]
    message = str(refused.value)
    assert all(f"{path} = " in message for path in found)


def test_what_an_unknown_key_of_a_route_could_be_is_told() -> None:
    (found,) = told(route(pth="b"))
    assert "group_id" in found.remedy
    assert found.allowed == "no such argument"


def test_what_a_value_can_come_from_is_told() -> None:
    (found,) = told(route(attributes={"x": "X-Tenant"}))
    assert found.allowed == sources.ALLOWED
    assert all(name in found.allowed for name in sources.CONTEXT)


def test_how_many_attributes_are_left_is_told() -> None:
    (found,) = told(route(attributes={f"a{index}": "text.x" for index in range(9)}))
    assert found.allowed == "at most 8: SQS takes 10, 2 are ours"


def test_a_fifo_queue_without_routes_tells_the_way_out() -> None:
    (found,) = told({"fifo": True})
    assert found.remedy == "write routes: with path and group_id"


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 5, True], ids=repr)
def test_whatever_a_route_s_queue_is_is_a_problem_and_no_crash(value: object) -> None:
    assert paths(route(queue=value)) == ["routes[0].queue"]


def test_a_route_names_no_queue_where_there_is_one_without_a_name() -> None:
    assert paths(route(queue="None")) == ["routes[0].queue"]


def test_mutual_tls_needs_an_api_whose_other_name_can_be_closed() -> None:
    given = {**API, **DOMAIN, "truststore_uri": TRUST}
    assert paths(given) == ["truststore_uri"], "its execute-api name asks for no certificate"


def test_a_list_of_networks_that_is_empty_is_a_problem() -> None:
    assert paths({"allow_cidrs": []}) == ["allow_cidrs"], "it would let everybody in"


def test_a_health_path_is_not_told_to_have_parameters() -> None:
    (found,) = told({"health_path": "a/{b}"})
    assert "{parameters}" not in found.allowed


def test_none_is_not_set_at_any_depth() -> None:
    given: dict[str, Any] = {
        "path": None,
        "cors_origins": None,
        "routes": [{**dict.fromkeys(RouteArgs.__annotations__), "path": "a"}],
        "queues": [{**dict.fromkeys(QueueArgs.__annotations__), "name": "q"}],
        "reads": [{**dict.fromkeys(ReadArgs.__annotations__), **READ}],
        "usage_plans": [{**dict.fromkeys(UsagePlanArgs.__annotations__), **PLAN}],
        "domain_name": None,
    }
    admitted = admit("FrontDoor 'door'", given, FrontDoorArgs, front_door_args.problems)  # type: ignore[arg-type]
    assert admitted.keys() == {"routes", "queues", "reads", "usage_plans"}


def test_no_problem_of_a_token_pattern_repeats_a_token() -> None:
    token = tokens.mint()
    found = told({"authorizer_function_arn": FUNCTION, "authorizer_token_pattern": f"{token}("})
    assert found
    assert token not in "\n".join(map(str, found))
