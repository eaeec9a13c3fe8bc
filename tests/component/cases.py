"""Every component in its variants, for the contracts that hold over all of them."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi

from components import AlarmTopic, Authorizer, Consumer, Dashboard, EncryptionKey, FrontDoor, Limiter, Retrier
from components.front_door_metrics import FrontDoorNames
from sluice import tokens

from .recording import ACCOUNT, REGION, Plan, arn, component_plan

ROOT = Path(__file__).parent.parent.parent
KEY = arn("kms", "key/0a1b2c3d")
TOPIC = arn("sns", "alarms")
DECIDER = arn("lambda", "function:decider")
QUEUE_ARN = arn("sqs", "orders")
QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/orders"
SHARED = {"kms_key_arn": KEY, "alarm_topic_arn": TOPIC, "log_retention_days": 90}
CI, WEB, OLD_WEB = (tokens.digest(f"sluice_{each}") for each in ("one", "two", "three"))
TOKENS = [
    {"name": "ci", "sha256": CI},
    {"name": "web", "sha256": WEB},
    {"name": "web", "sha256": OLD_WEB, "expires": "2027-03-31T00:00:00+02:00"},
]
SECRETS = ["kept-by-nobody-but-the-proxy-0001", "kept-by-nobody-but-the-proxy-0002"]
"""What shows that a request came through the proxy: the one, and the one that takes its place."""
PROXY: Mapping[str, object] = {"address_header": "X-Client-Ip", "secrets": SECRETS}
ISSUER = "https://login.example.com/tenant"
JWT: Mapping[str, object] = {"kind": "jwt", "issuer": ISSUER, "audiences": ["orders"]}
POOLS = [
    f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_Abc123",
    f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_Def456",
]
CALLERS = ["arn:aws:iam::210987654321:role/orders/sender", "arn:aws:iam::345678901234:root"]
CONSUMER_ARGS: Mapping[str, object] = {
    "queue_arn": QUEUE_ARN,
    "queue_url": QUEUE_URL,
    "queue_visibility_timeout_seconds": 180,
    "code": str(ROOT / "examples" / "recorder"),
    "entry": "recorder:record_handler",
}
DRAINED: Mapping[str, object] = {
    key: value for key, value in CONSUMER_ARGS.items() if key.startswith("queue")
}
DYING: Mapping[str, object] = {
    "queue_max_receive_count": 4,
    "dead_letter_queue_arn": arn("sqs", "dead-letters"),
    "dead_letter_queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters",
}
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/orders:v1"
FUNCTION_ARN = arn("lambda", "function:orders")
POLICIES = [f"arn:aws:iam::{ACCOUNT}:policy/orders/read", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]
TABLES_OF_CONSUMER = frozenset({"table_name", "idempotency_table_name"})
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
FRONT_DOOR_NAMES: FrontDoorNames = {
    "api": "door-api",
    "stage": "v1",
    "namespace": "Sluice/sluice-test-door",
    "queues": [{"queue": "door-queue", "dead_letter_queue": "door-dead"}, {"queue": "orders"}],
    "cached": True,
}
RETRIER_ARGS: Mapping[str, object] = {"upstreams": [{"origin": "https://api.example.com"}]}
SECRET_ARN = arn("secretsmanager", "secret:partner-Ab12Cd")
RETRIER_NAMES = {
    "label": "retrier",
    "service": "sluice-test-retrier",
    "state_machine": arn("states", "stateMachine:retrier"),
    "functions": {"call": "retrier-call", "second": "retrier-second"},
    "orchestrator": "retrier-orchestrator",
}
CERTIFICATE = arn("acm", "certificate/0a1b2c3d")
ZONE = "Z0123456789ABCDEFGHIJ"
DOMAIN: Mapping[str, object] = {"domain_name": "api.example.com"}
ZONED: Mapping[str, object] = {**DOMAIN, "hosted_zone_id": ZONE, "base_path": "shop"}
CERTIFIED: Mapping[str, object] = {**DOMAIN, "certificate_arn": CERTIFICATE}
MUTUAL_TLS: Mapping[str, object] = {
    **CERTIFIED,
    "truststore_uri": "s3://example-trust/clients.pem",
    "truststore_version": "3",
    "ownership_certificate_arn": arn("acm", "certificate/4e5f6a7b"),
}
EXISTING_API: Mapping[str, object] = {
    "api_id": "z9y8x7w6v5",
    "api_name": "shop",
    "root_resource_id": "abc123def4",
}
EXISTING_QUEUE: Mapping[str, object] = {"queue_arn": QUEUE_ARN, "queue_url": QUEUE_URL}
QUEUES: Mapping[str, object] = {
    "queues": [
        {"name": "events", "max_receive_count": 3, "max_message_size": 4096},
        {
            "name": "orders",
            "fifo": True,
            "content_based_deduplication": True,
            "high_throughput": True,
            "visibility_timeout_seconds": 60,
        },
        {"name": "theirs", **EXISTING_QUEUE},
    ]
}
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string", "minLength": 1}, "total": {"type": "number", "minimum": 0}},
}
ROUTES: Mapping[str, object] = {
    "routes": [
        {"path": "events", "batch": True, "schema": {"type": "object"}, "attributes": {"kind": "body.kind"}},
        {
            "path": "orders/{shop}",
            "method": "PUT",
            "queue": "orders",
            "content_types": ["application/json", "application/vnd.shop.order+json"],
            "required_headers": ["X-Tenant"],
            "required_query": ["source"],
            "schema": SCHEMA,
            "attributes": {"shop": "path.shop", "tenant": "header.X-Tenant", "page": "query.page"},
            "group_id": "path.shop",
            "success_status": 200,
            "throttle_rate": 200,
            "throttle_burst": 100,
        },
        {"path": "orders/{shop}/notes", "content_types": ["text/plain"], "delay_seconds": 1},
        {"path": "theirs", "method": "PATCH", "queue": "theirs", "answer": "sqs", "success_status": 204},
    ]
}
READS: Mapping[str, object] = {
    "reads": [
        {
            "path": "catalog/{sku}",
            "url": "https://backend.example.com/v2/catalog/{sku}",
            "query": ["page"],
            "headers": ["Accept-Language"],
            "cache_ttl_seconds": 60,
            "timeout_ms": 5000,
        },
        {"path": "status", "url": "https://backend.example.com/status"},
    ],
    "health_path": "health",
}
PLANS: Mapping[str, object] = {
    "usage_plans": [
        {
            "name": "gold",
            "keys": ["acme", "globex"],
            "throttle_rate": 500,
            "throttle_burst": 250,
            "quota_limit": 1_000_000,
        },
        {
            "name": "trial",
            "keys": ["guest"],
            "quota_limit": 20,
            "quota_period": "WEEK",
            "quota_offset": 1,
        },
        {"name": "partners"},
    ]
}
CORS: Mapping[str, object] = {"cors_origins": ["https://shop.example.com", "https://admin.example.com"]}


@dataclass(frozen=True)
class Case:
    """One component with some arguments."""

    component: Callable[..., pulumi.ComponentResource]
    args: Mapping[str, object] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    """What is exported as None, as the class says."""


ALL_OF_AUTHORIZER = frozenset({"function_arn", "function_name", "log_group_name"})
WITHOUT_DOMAIN = frozenset({"domain_name", "domain_target", "domain_target_zone_id", "certificate_arn"})
WITHOUT_AUTHORIZER = frozenset({"authorizer_id"})
WITHOUT_EXECUTION_LOG = frozenset({"execution_log_name", "execution_log_arn"})
WITHOUT_DEAD_LETTERS = frozenset({"dead_letter_queue_arn", "dead_letter_queue_url", "dead_letter_queue_name"})
PLAIN = WITHOUT_DOMAIN | WITHOUT_AUTHORIZER | WITHOUT_EXECUTION_LOG
"""What most front doors have not."""
CASES = {
    "front door": Case(FrontDoor, {}, PLAIN),
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
        WITHOUT_DOMAIN | WITHOUT_EXECUTION_LOG,
    ),
    "front door with routes and queues": Case(FrontDoor, {**QUEUES, **ROUTES, **SHARED}, PLAIN),
    "front door with a FIFO queue": Case(
        FrontDoor,
        {
            "fifo": True,
            "high_throughput": True,
            "routes": [{"path": "orders", "group_id": "body.shop", "deduplication_id": "body.id"}],
            "kms_key_arn": KEY,
        },
        PLAIN,
    ),
    "front door with reads": Case(FrontDoor, {**READS, "cache_size_gb": "1.6"}, PLAIN),
    "front door for browsers": Case(
        FrontDoor, {**READS, **CORS, "authorizer_function_arn": DECIDER}, PLAIN - WITHOUT_AUTHORIZER
    ),
    "front door with usage plans": Case(FrontDoor, {**READS, **PLANS, **CORS}, PLAIN),
    "front door with a domain in a zone": Case(FrontDoor, ZONED, PLAIN - WITHOUT_DOMAIN),
    "front door with a domain and a certificate": Case(FrontDoor, CERTIFIED, PLAIN - WITHOUT_DOMAIN),
    "front door with mutual TLS": Case(FrontDoor, MUTUAL_TLS, PLAIN - WITHOUT_DOMAIN),
    "front door for some networks": Case(
        FrontDoor,
        {"allow_cidrs": ["203.0.113.0/24", "2001:db8::/32"], "deny_cidrs": ["203.0.113.7/32"]},
        PLAIN,
    ),
    "private front door": Case(
        FrontDoor,
        {"vpc_endpoint_ids": ["vpce-0a1b2c3d4e5f60718"], "allow_cidrs": ["10.0.0.0/8"]},
        PLAIN,
    ),
    "front door in an API that exists": Case(
        FrontDoor,
        {**EXISTING_API, **READS, **SHARED, "authorizer_function_arn": DECIDER, "path": "orders/new"},
        PLAIN - WITHOUT_AUTHORIZER,
    ),
    "front door to a queue that exists": Case(
        FrontDoor, {**EXISTING_QUEUE, **SHARED}, PLAIN | WITHOUT_DEAD_LETTERS
    ),
    "front door that tells more": Case(
        FrontDoor,
        {"problem_json": True, "execution_log": "ERROR", "tracing": True, **READS, **CORS, **SHARED},
        PLAIN - WITHOUT_EXECUTION_LOG,
    ),
    "encryption key": Case(EncryptionKey),
    "encryption key with everything": Case(EncryptionKey, {"deletion_window_days": 7, **SHARED}),
    "alarm topic": Case(AlarmTopic),
    "alarm topic with everything": Case(
        AlarmTopic, {"emails": ["oncall@example.com", "ops+sluice@example.com"], **SHARED}
    ),
    "front door behind a proxy": Case(
        FrontDoor,
        {
            **READS,
            **CORS,
            **CERTIFIED,
            "authorizer_function_arn": DECIDER,
            "log_principal": True,
            "proxy": PROXY,
        },
        PLAIN - WITHOUT_DOMAIN - WITHOUT_AUTHORIZER,
    ),
    "front door that depends on more": Case(
        FrontDoor,
        {
            "authorizer_function_arn": DECIDER,
            "authorizer_identity_sources": ["header.X-Tenant", "query.key", "context.source_ip"],
        },
        PLAIN - WITHOUT_AUTHORIZER,
    ),
    "front door for the users of pools": Case(
        FrontDoor,
        {
            **READS,
            **CORS,
            "authorizer_user_pool_arns": POOLS,
            "authorizer_scopes": ["orders/write", "orders/admin"],
            "log_principal": True,
        },
        PLAIN - WITHOUT_AUTHORIZER,
    ),
    "front door for signed requests": Case(
        FrontDoor,
        {
            **READS,
            **CORS,
            "iam_authorization": True,
            "iam_callers": CALLERS,
            "deny_cidrs": ["203.0.113.7/32"],
            "log_principal": True,
        },
        PLAIN,
    ),
    "authorizer none": Case(Authorizer, {"kind": "none"}, ALL_OF_AUTHORIZER),
    "authorizer function": Case(
        Authorizer,
        {"kind": "function", "function_arn": DECIDER, **SHARED},
        ALL_OF_AUTHORIZER - {"function_arn"},
    ),
    "authorizer function with everything": Case(
        Authorizer,
        {
            "kind": "function",
            "function_arn": f"{DECIDER}:live",
            "identity_sources": ["header.X-Tenant", "query.key", "context.method", "context.route"],
            "cache_ttl_seconds": 30,
            **SHARED,
        },
        ALL_OF_AUTHORIZER - {"function_arn"},
    ),
    "authorizer token": Case(Authorizer, {"kind": "token", "tokens": TOKENS}),
    "authorizer token with everything": Case(
        Authorizer,
        {"kind": "token", "tokens": TOKENS, "cache_ttl_seconds": 0, "proxy": PROXY, **SHARED},
    ),
    "authorizer jwt": Case(Authorizer, JWT),
    "authorizer jwt with everything": Case(
        Authorizer,
        {
            **JWT,
            "jwks_uri": f"{ISSUER}/keys?v=2",
            "audiences": ["orders", "https://orders.example.com"],
            "scopes": ["orders:write"],
            "algorithms": ["ES256"],
            "leeway_seconds": 0,
            "key_max_age_seconds": 600,
            "required_claims": {"azp": "shop"},
            "principal_claim": "client_id",
            "claims": {"tenant": "https://example.com/tenant"},
            "cache_ttl_seconds": 300,
            "proxy": {**PROXY, "secret_header": "X-Edge"},
            "architecture": "arm64",
            **SHARED,
        },
    ),
    "authorizer cognito": Case(Authorizer, {"kind": "cognito", "user_pool_arns": POOLS}, ALL_OF_AUTHORIZER),
    "authorizer cognito with everything": Case(
        Authorizer,
        {"kind": "cognito", "user_pool_arns": POOLS, "scopes": ["orders/write"], **SHARED},
        ALL_OF_AUTHORIZER,
    ),
    "authorizer iam": Case(Authorizer, {"kind": "iam"}, ALL_OF_AUTHORIZER),
    "authorizer iam with everything": Case(
        Authorizer, {"kind": "iam", "callers": CALLERS, **SHARED}, ALL_OF_AUTHORIZER
    ),
    "consumer": Case(Consumer, CONSUMER_ARGS, TABLES_OF_CONSUMER),
    "consumer with a key and no table": Case(
        Consumer, {**CONSUMER_ARGS, "kms_key_arn": KEY}, TABLES_OF_CONSUMER
    ),
    "consumer of an image": Case(
        Consumer, {**DRAINED, "image_uri": IMAGE, "environment": {"MODE": "fast"}}, TABLES_OF_CONSUMER
    ),
    "consumer of an image with an entry": Case(
        Consumer,
        {**DRAINED, "image_uri": IMAGE, "entry": "orders:handle", "poison_errors": ["Bad"], **DYING},
        TABLES_OF_CONSUMER,
    ),
    "consumer of a function": Case(
        Consumer,
        {**DRAINED, "function_arn": FUNCTION_ARN},
        TABLES_OF_CONSUMER | {"role_name", "log_group_name"},
    ),
    "consumer of a function with its role": Case(
        Consumer,
        {**DRAINED, "function_arn": FUNCTION_ARN, "function_role_name": "worker-role", **SHARED},
        TABLES_OF_CONSUMER | {"log_group_name"},
    ),
    "consumer of a FIFO queue with pollers of its own": Case(
        Consumer,
        {
            **CONSUMER_ARGS,
            **{key: f"{value}.fifo" for key, value in DYING.items() if key.startswith("dead")},
            "queue_arn": f"{QUEUE_ARN}.fifo",
            "queue_url": f"{QUEUE_URL}.fifo",
            "provisioned_pollers": {"maximum": 10},
            "filters": [{"body": {"kind": ["order", {"prefix": "o-"}]}}],
        },
        TABLES_OF_CONSUMER,
    ),
    "consumer with everything": Case(
        Consumer,
        {
            **CONSUMER_ARGS,
            # What the function has anyway, and so no clash with it.
            "requirements": str(ROOT / "handlers" / "layers" / "consumer.txt"),
            "environment": {"MODE": "fast"},
            "policy_arns": POLICIES,
            "table": "id",
            "timeout_seconds": 20,
            "memory_mb": 512,
            "architecture": "x86_64",
            "batch_size": 50,
            "batching_window_seconds": 5,
            "maximum_concurrency": 3,
            "reserved_concurrency": 3,
            "retry_base_seconds": 4,
            "retry_cap_seconds": 64,
            "poison_errors": ["recorder.PoisonError", "ValueError"],
            "idempotency": {
                "key": "powertools_json(body).id",
                "payload": "body",
                "expires_after_seconds": 3600,
            },
            **DYING,
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
    "limiter behind a proxy": Case(
        Limiter,
        {**PROTECTING, "burst_limit": 100, "count_only": True, "log_blocked": True, "proxy": PROXY},
    ),
    "retrier": Case(Retrier, RETRIER_ARGS),
    "retrier with a key": Case(Retrier, {**RETRIER_ARGS, "kms_key_arn": KEY}),
    "retrier with a standard workflow": Case(
        Retrier, {**RETRIER_ARGS, "workflow": "standard", "deadline_seconds": 21_600, **SHARED}
    ),
    "retrier for everybody": Case(Retrier, {**RETRIER_ARGS, "access": "open"}),
    "retrier without a URL": Case(
        Retrier,
        {**RETRIER_ARGS, "access": "none", **SHARED},
        frozenset({"url", "orchestrator_name", "orchestrator_arn"}),
    ),
    "retrier with everything": Case(
        Retrier,
        {
            "upstreams": [
                {"origin": "https://api.example.com", "calls": 10, "seconds": 2, "burst": 5},
                {"origin": "https://*.example.org:8443"},
            ],
            "private_networks": ["10.0.0.0/8", "fd00::/8"],
            "secrets": [
                {
                    "name": "partner",
                    "secret_arn": SECRET_ARN,
                    "origins": ["https://api.example.com"],
                    "json_key": "token",
                    "kms_key_arn": KEY,
                }
            ],
            "egress": [
                {"name": "call"},
                {
                    "name": "nat",
                    "subnet_ids": ["subnet-0a1b2c3d4e5f60718", "subnet-0a1b2c3d4e5f60719"],
                    "security_group_ids": ["sg-0a1b2c3d4e5f60718"],
                },
                {"name": "theirs", "function_arn": FUNCTION_ARN},
            ],
            "caller_arns": CALLERS,
            "statuses": [429, 503],
            "failures": ["connection", "timeout"],
            "methods": ["GET", "POST"],
            "attempts": 8,
            "deadline_seconds": 120,
            "timeout_seconds": 20,
            "base_seconds": 2,
            "cap_seconds": 60,
            "shared_pause_seconds": 120,
            "circuit": {
                "failure_percent": 25,
                "minimum_calls": 20,
                "window_seconds": 60,
                "open_seconds": 90,
            },
            "idempotency_header": "x-request-key",
            "kept_seconds": 3600,
            "response_headers": ["content-type", "x-*"],
            "reserved_concurrency": 50,
            "memory_mb": 512,
            "architecture": "x86_64",
            "tracing": True,
            **SHARED,
        },
    ),
    "dashboard": Case(Dashboard, {"consumers": [{"label": "worker", "function": "worker"}]}),
    "dashboard with everything": Case(
        Dashboard,
        {
            "front_door": FRONT_DOOR_NAMES,
            "authorizer": {"function": "decider", "ours": True},
            "limiter": LIMITER_NAMES,
            "consumers": [{"label": "worker", "function": "worker"}],
            "retrier": RETRIER_NAMES,
            **SHARED,
        },
    ),
}


@functools.cache
def planned(case: str) -> Plan:
    """Return what a case's component, named ``unit``, asks for."""
    return component_plan(CASES[case].component, CASES[case].args)
