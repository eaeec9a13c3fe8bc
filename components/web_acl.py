"""WAF's side of the limiter: the IP sets, and the rules that look into them, as values and as resources.

Our rules are a rule group, which fits into a web ACL of ours and into anybody's. The allow list is part of
each rule (``AND NOT``), not a rule of its own: one that allows would end the evaluation, and with it the
owner's rules behind ours.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from sluice.limiter.clients import FAMILIES, V4, V6
from sluice.limiter.sets import ALLOW, BLOCK

from . import naming

SCOPE = "REGIONAL"
STATUS = 429
CODE = "TOO_MANY_REQUESTS"
BODIES = {
    "limit": "The limit of requests from your address is used up for now.",
    "burst": "Too many requests at once from your address.",
}
"""What a caller is told, by the rule that stopped it."""
BURST_SECONDS = (60, 120, 300, 600)
"""The stretches of time of a rate-based rule ("Rate-based rule high-level settings", WAF guide)."""
LEAST_BURST = 10
MOST_BURST = 2_000_000_000
CAPACITY = 30
"""WAF capacity units of the rule group: 26 for 10 sets of a family and the burst rule. It can never change,
so it is the same for less."""

Statement = dict[str, Any]


@dataclass(frozen=True)
class Burst:
    """At most so many requests of one address in a short time."""

    limit: int
    seconds: int


@dataclass(frozen=True)
class RuleSpec:
    """What the rules are made of."""

    count_only: bool
    retry_after_seconds: int
    cors_origin: str
    burst: Burst | None


@dataclass(frozen=True)
class Sets:
    """The IP sets by what they are for."""

    block: "Mapping[int, Sequence[aws.wafv2.IpSet]]"
    """By family."""
    allow: "Mapping[int, aws.wafv2.IpSet]"

    def all(self) -> "list[tuple[str, int, aws.wafv2.IpSet]]":
        """Return every set with its role and its family."""
        blocking = [(BLOCK, family, each) for family, sets in self.block.items() for each in sets]
        return [*blocking, *((ALLOW, family, each) for family, each in self.allow.items())]


def create_sets(
    name: str, per_family: int, allow: Mapping[int, Sequence[str]], parent: pulumi.Resource
) -> Sets:
    """Make the sets, empty but for the allow list.

    From then on the enforcer writes them, so the program never looks at what they hold. They have no
    description: to change one would send the addresses of the state again.

    The children are ``<name>-block-v4-<n>``, ``<name>-block-v6-<n>``, ``<name>-allow-v4`` and
    ``<name>-allow-v6``.
    """
    versions = {V4: "IPV4", V6: "IPV6"}

    def create(role: str, family: int, addresses: Sequence[str]) -> "aws.wafv2.IpSet":
        return aws.wafv2.IpSet(
            f"{name}-{role}",
            scope=SCOPE,
            ip_address_version=versions[family],
            addresses=list(addresses),
            opts=pulumi.ResourceOptions(parent=parent, ignore_changes=["addresses"]),
        )

    return Sets(
        block={
            family: [create(f"block-v{family}-{number}", family, []) for number in range(1, per_family + 1)]
            for family in FAMILIES
        },
        allow={family: create(f"allow-v{family}", family, allow[family]) for family in FAMILIES},
    )


def rules(
    name: str, spec: RuleSpec, block: Sequence[pulumi.Input[str]], allow: Sequence[pulumi.Input[str]]
) -> list[dict[str, Any]]:
    """Return the rules of the rule group, in their order.

    Args:
        name: what the rules' metrics begin with.
        spec: what they are made of.
        block: the ARNs of the sets of blocked clients, at least two.
        allow: the ARNs of the sets of clients that are never blocked, at least two.
    """
    not_allowed: list[Statement] = [{"not_statement": {"statements": [_in_set(each)]}} for each in allow]
    blocked: Statement = {"or_statement": {"statements": [_in_set(each) for each in block]}}
    limit: Statement = {"and_statement": {"statements": [blocked, *not_allowed]}}
    found = [_rule(f"{name}-limit", limit) | {"action": _action(spec, "limit", spec.retry_after_seconds)}]
    if spec.burst:
        rate: Statement = {
            "rate_based_statement": {
                "limit": spec.burst.limit,
                "evaluation_window_sec": spec.burst.seconds,
                "aggregate_key_type": "IP",
                "scope_down_statement": {"and_statement": {"statements": not_allowed}},
            }
        }
        found.append(_rule(f"{name}-burst", rate) | {"action": _action(spec, "burst", spec.burst.seconds)})
    return _in_order(found)


def acl_rules(name: str, rule_group_arn: pulumi.Input[str], managed: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rules of the web ACL: our rule group, and AWS's managed ones, which only count."""
    ours = _rule(name, {"rule_group_reference_statement": {"arn": rule_group_arn}})
    theirs = [
        _rule(f"{name}-{group}", {"managed_rule_group_statement": {"vendor_name": "AWS", "name": group}})
        for group in managed
    ]
    return _in_order(
        [
            {**ours, "override_action": {"none": {}}},
            *({**each, "override_action": {"count": {}}} for each in theirs),
        ]
    )


def bodies() -> list[dict[str, str]]:
    """Return the bodies that the rules answer with: as everywhere, less the request id, which WAF has not."""
    return [
        {
            "key": key,
            "content_type": "APPLICATION_JSON",
            "content": json.dumps({"code": CODE, "message": message}),
        }
        for key, message in BODIES.items()
    ]


def visibility(metric: str) -> dict[str, Any]:
    """Return what is published of a rule: its metrics, and samples of the requests that it matched."""
    return {"cloudwatch_metrics_enabled": True, "metric_name": metric, "sampled_requests_enabled": True}


def metric_name(name: str) -> str:
    """Return what a component's web ACL is called in metrics."""
    return naming.stack_wide(name)


def _in_set(arn: pulumi.Input[str]) -> Statement:
    return {"ip_set_reference_statement": {"arn": arn}}


def _in_order(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**rule, "priority": priority} for priority, rule in enumerate(found)]


def _rule(name: str, statement: Statement) -> dict[str, Any]:
    return {"name": name, "statement": statement, "visibility_config": visibility(name)}


def _action(spec: RuleSpec, body: str, retry_after: int) -> dict[str, Any]:
    if spec.count_only:
        return {"count": {}}
    headers = {"Retry-After": str(retry_after), "Access-Control-Allow-Origin": spec.cors_origin}
    return {
        "block": {
            "custom_response": {
                "response_code": STATUS,
                "custom_response_body_key": body,
                "response_headers": [{"name": key, "value": value} for key, value in headers.items()],
            }
        }
    }
