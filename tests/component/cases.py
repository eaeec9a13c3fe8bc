"""Every component in its variants, for the contracts that hold over all of them."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi

from components import Authorizer, Consumer, Dashboard, FrontDoor, Limiter
from sluice import tokens

from .recording import ACCOUNT, REGION, Plan, arn, component_plan

ROOT = Path(__file__).parent.parent.parent
KEY = arn("kms", "key/0a1b2c3d")
TOPIC = arn("sns", "alarms")
DECIDER = arn("lambda", "function:decider")
QUEUE_ARN = arn("sqs", "orders")
SHARED = {"kms_key_arn": KEY, "alarm_topic_arn": TOPIC, "log_retention_days": 90}
DIGESTS = {"ci": tokens.digest("sluice_one"), "web": tokens.digest("sluice_two")}
CONSUMER_ARGS: Mapping[str, object] = {
    "queue_arn": QUEUE_ARN,
    "queue_url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/orders",
    "queue_visibility_timeout_seconds": 180,
    "code": str(ROOT / "examples" / "recorder"),
    "entry": "recorder:record_handler",
}
LIMITER_ARGS: Mapping[str, object] = {
    "access_log_name": "door-access-log",
    "access_log_arn": arn("logs", "log-group:door-access-log"),
}
STAGE_ARN = f"arn:aws:apigateway:{REGION}::/restapis/a1b2c3d4e5/stages/v1"
PROTECTING: Mapping[str, object] = {
    **LIMITER_ARGS,
    "stage_arn": STAGE_ARN,
    "api_name": "door-api",
    "stage_name": "v1",
}
LIMITER_NAMES = {
    "ingest": "limiter-ingest",
    "enforcer": "limiter-enforcer",
    "wake_up_dead_letters": "limiter-dead",
    "region": REGION,
    "web_acl": "limiter-acl",
    "api": "door-api",
    "stage": "v1",
}
FRONT_DOOR_NAMES = {"api": "door-api", "stage": "v1", "queue": "door-queue", "dead_letter_queue": "door-dead"}


@dataclass(frozen=True)
class Case:
    """One component with some arguments."""

    component: Callable[..., pulumi.ComponentResource]
    args: Mapping[str, object] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    """What is exported as None, as the class says."""


ALL_OF_AUTHORIZER = frozenset({"function_arn", "function_name", "log_group_name"})
CASES = {
    "front door": Case(FrontDoor),
    "front door with everything": Case(
        FrontDoor,
        {
            "path": "orders/new",
            "stage_name": "live",
            "content_types": ["application/json", "text/plain"],
            "answer": "sqs",
            "max_message_size": 4096,
            "visibility_timeout_seconds": 600,
            "message_retention_seconds": 3600,
            "max_receive_count": 7,
            "throttle_rate": 20,
            "throttle_burst": 40,
            "manage_account_logging": True,
            "authorizer_function_arn": DECIDER,
            "authorizer_cache_ttl_seconds": 30,
            "authorizer_token_pattern": tokens.BEARER,
            "log_principal": True,
            **SHARED,
        },
    ),
    "authorizer none": Case(Authorizer, {"kind": "none"}, ALL_OF_AUTHORIZER),
    "authorizer function": Case(
        Authorizer,
        {"kind": "function", "function_arn": DECIDER, **SHARED},
        ALL_OF_AUTHORIZER - {"function_arn"},
    ),
    "authorizer token": Case(Authorizer, {"kind": "token", "tokens": DIGESTS}),
    "authorizer token with everything": Case(
        Authorizer, {"kind": "token", "tokens": DIGESTS, "cache_ttl_seconds": 0, **SHARED}
    ),
    "consumer": Case(Consumer, CONSUMER_ARGS, frozenset({"table_name"})),
    "consumer with a key and no table": Case(
        Consumer, {**CONSUMER_ARGS, "kms_key_arn": KEY}, frozenset({"table_name"})
    ),
    "consumer with everything": Case(
        Consumer,
        {
            **CONSUMER_ARGS,
            "environment": {"MODE": "fast"},
            "table": "id",
            "timeout_seconds": 20,
            "memory_mb": 512,
            "architecture": "x86_64",
            "batch_size": 50,
            "batching_window_seconds": 5,
            "maximum_concurrency": 3,
            "retry_base_seconds": 4,
            "retry_cap_seconds": 64,
            **SHARED,
        },
    ),
    "limiter": Case(Limiter, LIMITER_ARGS, frozenset({"web_acl_arn"})),
    "limiter with a stage": Case(Limiter, PROTECTING),
    "limiter with everything": Case(
        Limiter,
        {
            **PROTECTING,
            "windows": [
                {
                    "name": "day",
                    "limit": 500,
                    "kind": "calendar",
                    "period": "day",
                    "time_zone": "Asia/Kolkata",
                },
                {"name": "week", "limit": 2_000, "kind": "rolling", "length_seconds": 604_800},
                {"name": "month", "limit": 5_000, "kind": "calendar", "period": "month"},
            ],
            "count_only": True,
            "ipv6_prefix": 64,
            "ipv6_site_prefix": 48,
            "ipv6_site_limits": {"day": 50_000},
            "uncounted_statuses": ["404", "5xx"],
            "uncounted_methods": ["HEAD", "OPTIONS"],
            "uncounted_routes": ["/health", "/ready"],
            "weights": {"/orders": 5},
            "allow": ["198.51.100.0/24", "203.0.113.9/32", "2001:db8:7::/48"],
            "overrides": [
                {"network": "192.0.2.0/24", "limits": {"day": 1_000, "week": 3_000}},
                {"network": "2001:db8:8::/48", "limits": {"month": 9_000}},
            ],
            "sets_per_family": 2,
            "retry_after_seconds": 600,
            "cors_origin": "https://shop.example.com",
            "burst_limit": 100,
            "burst_window_seconds": 120,
            "managed_rule_groups": ["AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"],
            "log_blocked": True,
            "deletion_protection": True,
            "block_rate_alarm": 7,
            **SHARED,
        },
    ),
    "limiter with a key and as many sets as it may have": Case(
        Limiter,
        {
            **PROTECTING,
            "windows": [{"name": "minute", "limit": 5, "length_seconds": 60}],
            "allow_short_windows": True,
            "sets_per_family": 10,
            "log_blocked": True,
            "kms_key_arn": KEY,
        },
    ),
    "dashboard": Case(Dashboard, {"consumer": {"function": "worker"}}),
    "dashboard with everything": Case(
        Dashboard,
        {
            "front_door": FRONT_DOOR_NAMES,
            "authorizer": {"function": "decider"},
            "limiter": LIMITER_NAMES,
            "consumer": {"function": "worker"},
            **SHARED,
        },
    ),
}


@functools.cache
def planned(case: str) -> Plan:
    """Return what a case's component, named ``unit``, asks for."""
    return component_plan(CASES[case].component, CASES[case].args)
