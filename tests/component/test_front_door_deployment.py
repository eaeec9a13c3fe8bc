import functools
import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest

from .cases import (
    CALLERS,
    CERTIFICATE,
    CERTIFIED,
    CORS,
    DECIDER,
    DOMAIN,
    EXISTING_API,
    EXISTING_QUEUE,
    KEY,
    MUTUAL_TLS,
    PLANS,
    POOLS,
    PROXY,
    QUEUE_URL,
    SCHEMA,
    SECRETS,
    TOPIC,
    ZONE,
    planned,
)
from .doors import GUARDED, door, urns
from .recording import (
    GATEWAY_RESPONSE,
    INTEGRATION,
    INTEGRATION_RESPONSE,
    METHOD,
    METHOD_RESPONSE,
    MODEL,
    REST_API_POLICY,
    arn,
)

Args = dict[str, Any]
ROUTED: Mapping[str, Any] = {
    **GUARDED,
    "queues": [{"name": "events"}, {"name": "orders"}],
    "routes": [{"path": "events"}, {"path": "orders/{shop}", "method": "PUT", "queue": "orders"}],
    "allow_cidrs": ["203.0.113.0/24"],
}
READ: Mapping[str, Any] = {
    "reads": [
        {
            "path": "catalog/{sku}",
            "url": "https://backend.example.com/v2/catalog/{sku}",
            "query": ["page"],
            "headers": ["Accept-Language"],
            "cache_ttl_seconds": 60,
            "timeout_ms": 5000,
        }
    ],
    "health_path": "health",
    "cors_origins": ["https://shop.example.com"],
}
"""Two front doors, with something of everything that a deployment takes a picture of."""


def trigger(args: Mapping[str, object]) -> str:
    return hash_of(json.dumps(args))


@functools.cache
def hash_of(args: str) -> str:
    found: str = door(**json.loads(args))["unit-deployment"].inputs["triggers"]["definition"]
    return found


def changed(args: Mapping[str, Any], *place: str | int, to: object) -> Args:
    """Return arguments with another value (or with none, where it is None) at one place."""
    key, *rest = place
    given: Any = list(args) if isinstance(args, list) else dict(args)
    given[key] = changed(given[key], *rest, to=to) if rest else to
    if isinstance(given, dict):
        return {name: value for name, value in given.items() if value is not None}
    return given  # type: ignore[no-any-return]


PLACES: list[tuple[tuple[str | int, ...], object]] = [
    (("routes", 0, "path"), "happenings"),
    (("routes", 0, "method"), "PATCH"),
    (("routes", 0, "queue"), "orders"),
    (("routes", 0, "content_types"), ["text/plain"]),
    (("routes", 0, "schema"), dict(SCHEMA)),
    (("routes", 0, "required_headers"), ["X-Tenant"]),
    (("routes", 0, "required_query"), ["page"]),
    (("routes", 0, "attributes"), {"tenant": "header.X-Tenant"}),
    (("routes", 0, "attributes"), {"tenant": "text.one"}),
    (("routes", 0, "group_id"), "body.tenant"),
    (("routes", 0, "delay_seconds"), 5),
    (("routes", 0, "batch"), True),
    (("routes", 0, "answer"), "sqs"),
    (("routes", 0, "success_status"), 200),
    (("routes",), ROUTED["routes"][:1]),
    (("queues", 0, "max_message_size"), 4096),
    (("queues", 0), {"name": "events", **EXISTING_QUEUE}),
    (("reads", 0, "path"), "products/{sku}"),
    (("reads", 0, "url"), "https://other.example.com/{sku}"),
    (("reads", 0, "query"), ["page", "size"]),
    (("reads", 0, "headers"), []),
    (("reads", 0, "timeout_ms"), 1000),
    (("reads",), None),
    (("health_path",), "healthy"),
    (("health_path",), None),
    (("problem_json",), True),
    (("cors_origins",), ["*"]),
    (("cors_credentials",), True),
    (("redeploy",), "after the owner's change"),
    (("cors_origins",), None),
    (("cors_headers",), ["X-Tenant"]),
    (("cors_max_age_seconds",), 5),
    (("allow_cidrs",), ["203.0.113.0/25"]),
    (("allow_cidrs",), None),
    (("deny_cidrs",), ["203.0.113.9/32"]),
    (("vpc_endpoint_ids",), ["vpce-0a1b2c3d4e5f60718"]),
    (("usage_plans",), PLANS["usage_plans"]),
    (("authorizer_function_arn",), f"{DECIDER}-2"),
    (("authorizer_function_arn",), None),
    (("authorizer_cache_ttl_seconds",), 0),
    (("authorizer_token_pattern",), "Bearer .+"),
    (("authorizer_identity_sources",), ["header.Authorization"]),
]


def around(place: tuple[str | int, ...]) -> Mapping[str, Any]:
    """Return the front door of the two in which a place means something."""
    read = place[0] in READ or str(place[0]).startswith(("cache_", "cors_"))
    return READ if read else ROUTED


def label(value: object) -> str:
    return ".".join(map(str, value)) if isinstance(value, tuple) else "to"


@pytest.mark.parametrize(("place", "value"), PLACES, ids=label)
def test_a_change_of_what_the_api_answers_is_deployed(place: tuple[str | int, ...], value: object) -> None:
    before = around(place)
    assert trigger(changed(before, *place, to=value)) != trigger(before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"path": "orders"}),
        ({}, {"content_types": ["text/plain"]}),
        ({}, {"answer": "sqs"}),
        ({}, {"max_message_size": 4096}),
        ({}, EXISTING_QUEUE),
        ({}, CORS),
        (
            {"tracing": True, "routes": [{"path": "messages"}]},
            {"tracing": True, "routes": [{"path": "messages", "trace_header": True}]},
        ),
        (
            {"fifo": True, "routes": [{"path": "a", "group_id": "body.a", "deduplication_id": "body.b"}]},
            {"fifo": True, "routes": [{"path": "a", "group_id": "body.a", "deduplication_id": "body.c"}]},
        ),
        ({"health_path": "health"}, {"health_path": "health", "problem_json": True}),
        (EXISTING_API, {**EXISTING_API, "path": "orders"}),
    ],
    ids=",".join,
)
def test_a_change_of_one_of_the_lesser_arguments_is_deployed(
    before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    assert trigger(after) != trigger(before)


def test_closing_aws_s_own_name_of_the_api_is_deployed() -> None:
    # "The update requires modifying any stage on the API" (Updates to REST APIs that require redeployment).
    assert trigger({**CERTIFIED, "disable_execute_api_endpoint": True}) != trigger(CERTIFIED)
    assert trigger(MUTUAL_TLS) != trigger(CERTIFIED), "or callers without a certificate still get in"


def test_another_root_in_an_api_that_exists_is_deployed() -> None:
    assert trigger({**EXISTING_API, "root_resource_id": "zyx987wvu6"}) != trigger(EXISTING_API), (
        "the stage would go on to serve the paths that were deleted"
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("stage_name",), "live"),
        (("throttle_rate",), 1),
        (("throttle_burst",), 1),
        (("routes", 0, "throttle_rate"), 1),
        (("routes", 0, "throttle_burst"), 1),
        (("queues", 0, "visibility_timeout_seconds"), 60),
        (("queues", 0, "message_retention_seconds"), 60),
        (("queues", 0, "max_receive_count"), 1),
        (("reads", 0, "cache_ttl_seconds"), 5),
        (("reads", 0, "cache_ttl_seconds"), 0),
        (("cache_size_gb",), "6.1"),
        (("tracing",), True),
        (("execution_log",), "INFO"),
        (("manage_account_logging",), True),
        (("log_principal",), True),
        (("log_retention_days",), 1),
        (("kms_key_arn",), KEY),
        (("alarm_topic_arn",), TOPIC),
        (("error_rate_alarm_percent",), 50),
        (("latency_alarm_ms",), 50),
        (("throttled_alarm_percent",), 50),
        (("oldest_message_alarm_seconds",), 60),
    ],
    ids=label,
)
def test_a_change_of_anything_else_is_not_deployed(place: tuple[str | int, ...], value: object) -> None:
    before = around(place)
    assert trigger(changed(before, *place, to=value)) == trigger(before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CERTIFIED, {**CERTIFIED, "certificate_arn": f"{CERTIFICATE}-2"}),
        (CERTIFIED, {**CERTIFIED, "base_path": "shop"}),
        (CERTIFIED, {**CERTIFIED, "hosted_zone_id": ZONE}),
        (CERTIFIED, {**CERTIFIED, "domain_name": "other.example.com"}),
        (CERTIFIED, {}),
        (MUTUAL_TLS, {**MUTUAL_TLS, "truststore_version": "4"}),
        (MUTUAL_TLS, {**MUTUAL_TLS, "truststore_uri": "s3://example-trust/others.pem"}),
        (MUTUAL_TLS, {**MUTUAL_TLS, "ownership_certificate_arn": arn("acm", "certificate/9")}),
        ({**DOMAIN, "hosted_zone_id": ZONE}, {}),
        (PLANS, {"usage_plans": [{"name": "other"}]}),
        (EXISTING_QUEUE, {**EXISTING_QUEUE, "queue_url": f"{QUEUE_URL}"}),
        ({"fifo": False}, {}),
        (EXISTING_API, {**EXISTING_API, "api_name": "other"}),
    ],
    ids=",".join,
)
def test_a_change_of_domains_plans_or_names_is_not_deployed(
    before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    assert trigger(after) == trigger(before)


def test_the_same_arguments_give_the_same_hash() -> None:
    for given in (ROUTED, READ):
        turned = dict(reversed(list(given.items())))
        assert trigger(turned) == trigger(given), "in whatever order they were written"


REQUESTED: Mapping[str, Any] = {**GUARDED, "authorizer_identity_sources": ["header.X-Tenant", "query.key"]}
USERS: Mapping[str, Any] = {"authorizer_user_pool_arns": POOLS[:1]}
SCOPED: Mapping[str, Any] = {**USERS, "authorizer_scopes": ["orders/write"]}
SIGNED: Mapping[str, Any] = {"iam_authorization": True, "health_path": "health"}
CALLED: Mapping[str, Any] = {**SIGNED, "iam_callers": CALLERS[:1]}
PROXIED: Mapping[str, Any] = {**CERTIFIED, **GUARDED, "proxy": PROXY}
KINDS = {"none": {}, "function": GUARDED, "request": REQUESTED, "pools": USERS, "iam": SIGNED}


@pytest.mark.parametrize(("before", "after"), [*itertools.combinations(KINDS, 2)])
def test_another_way_to_decide_is_deployed(before: str, after: str) -> None:
    assert trigger(KINDS[before]) != trigger(KINDS[after])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (REQUESTED, {**REQUESTED, "authorizer_identity_sources": ["header.X-Tenant"]}),
        (REQUESTED, {**REQUESTED, "authorizer_cache_ttl_seconds": 0}),
        (USERS, {"authorizer_user_pool_arns": POOLS[1:]}),
        (USERS, {"authorizer_user_pool_arns": POOLS}),
        (USERS, SCOPED),
        (SCOPED, {**SCOPED, "authorizer_scopes": ["orders/read"]}),
        (SIGNED, CALLED),
        (CALLED, {**SIGNED, "iam_callers": CALLERS}),
        (CALLED, {**CALLED, "health_path": "healthy"}),
        ({**CERTIFIED, **GUARDED}, PROXIED),
        (PROXIED, {**PROXIED, "proxy": {**PROXY, "address_header": "CF-Connecting-IP"}}),
        (PROXIED, {**PROXIED, "proxy": {**PROXY, "secret_header": "X-Edge"}}),
        (PROXIED, {**PROXIED, "authorizer_identity_sources": ["header.X-Tenant"]}),
    ],
)
def test_a_change_of_how_it_is_decided_is_deployed(
    before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    assert trigger(after) != trigger(before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PROXIED, {**PROXIED, "proxy": {**PROXY, "secrets": SECRETS[1:]}}),
        (PROXIED, {**PROXIED, "proxy": {**PROXY, "secret_header": "X-Origin-Secret"}}),
        (PROXIED, {**PROXIED, "disable_execute_api_endpoint": True}),
        (USERS, {**USERS, "authorizer_scopes": []}),
        (SIGNED, {**SIGNED, "iam_callers": []}),
        ({}, {"iam_authorization": False}),
        (GUARDED, {**GUARDED, "authorizer_cache_ttl_seconds": 60}),
        (CALLED, {**CALLED, "iam_callers": [*CALLERS[:1]], "log_principal": True}),
    ],
)
def test_what_decides_as_before_is_not_deployed(
    before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    assert trigger(after) == trigger(before)


PICTURED = (
    METHOD,
    MODEL,
    INTEGRATION,
    INTEGRATION_RESPONSE,
    METHOD_RESPONSE,
    GATEWAY_RESPONSE,
    REST_API_POLICY,
)


@pytest.mark.parametrize(
    "case",
    [
        "front door with routes and queues",
        "front door for browsers",
        "front door for some networks",
        "front door for signed requests",
        "front door for the users of pools",
        "front door in an API that exists",
    ],
)
def test_a_deployment_waits_for_all_that_it_takes_a_picture_of(case: str) -> None:
    plan = planned(case)
    pictured = {each.urn for type_ in PICTURED for each in plan.of(type_)}
    assert len(pictured) > 10
    assert pictured <= plan["unit-deployment"].dependencies


def test_a_deployment_waits_until_the_function_may_be_asked() -> None:
    plan = door(**GUARDED)
    assert urns(plan, "authorizer-permission") <= plan["unit-deployment"].dependencies, (
        "the first callers would be answered 500"
    )


def test_a_stage_moves_on_before_its_deployment_is_gone() -> None:
    plan = planned("front door")
    deployment, stage = plan["unit-deployment"], plan["unit-stage"]
    assert stage.inputs["deployment"] == deployment.outputs["id"]
    assert deployment.urn in stage.dependencies
    assert deployment.inputs.keys() == {"restApi", "triggers"}, "no stage of its own, which it would delete"
    assert plan.result["deployment_id"] == deployment.outputs["id"]
