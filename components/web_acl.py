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
from .proxy import Proxy

SCOPE = "REGIONAL"
STATUS = 429
CODE = "TOO_MANY_REQUESTS"
BODIES = {
    "limit": "The limit of requests from your address is used up for now.",
    "burst": "Too many requests at once from your address.",
}
"""What a caller is told, by the rule that stopped it."""
FORBIDDEN = 403
ORIGIN_BODY = {"code": "FORBIDDEN", "message": "You may not call this."}
BURST_SECONDS = (60, 120, 300, 600)
"""The stretches of time of a rate-based rule ("Rate-based rule high-level settings", WAF guide)."""
LEAST_BURST = 10
MOST_BURST = 2_000_000_000
CAPACITY = 50
"""WAF capacity units of the rule group: 26 for 10 sets of a family and the burst rule, and 4 or, if WAF
counts a text that is not transformed as one that is, 24 for a proxy's two secrets. It can never change, so it
is the same for less."""

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
    proxy: Proxy | None = None
    """What tells the address of a client; none where clients come directly."""


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
    proxy = spec.proxy
    not_allowed: list[Statement] = [_not(_in_set(each, proxy)) for each in allow]
    blocked: Statement = {"or_statement": {"statements": [_in_set(each, proxy) for each in block]}}
    limit: Statement = {"and_statement": {"statements": [blocked, *not_allowed]}}
    found = [_origin_rule(f"{name}-origin", proxy)] if proxy else []
    waiting = _action(spec, "limit", spec.retry_after_seconds)
    found.append(_rule(f"{name}-limit", limit, proxy) | {"action": waiting})
    if spec.burst:
        rate = _rate(spec.burst, proxy, {"and_statement": {"statements": not_allowed}})
        slower = _action(spec, "burst", spec.burst.seconds)
        found.append(_rule(f"{name}-burst", rate, proxy) | {"action": slower})
    return _in_order(found)


def _origin_rule(name: str, proxy: Proxy) -> dict[str, Any]:
    """Return the rule that stops what did not come through the proxy, before anything reads its address."""
    shown = [_has_secret(proxy.secret_header, each) for each in proxy.secrets]
    either: Statement = {"or_statement": {"statements": shown}} if len(shown) > 1 else shown[0]
    response = {"response_code": FORBIDDEN, "custom_response_body_key": "origin"}
    return _rule(name, _not(either), proxy) | {"action": {"block": {"custom_response": response}}}


def _has_secret(header: str, secret: pulumi.Input[str]) -> Statement:
    return {
        "byte_match_statement": {
            "field_to_match": {"single_header": {"name": header.lower()}},
            "positional_constraint": "EXACTLY",
            "search_string": secret,
            "text_transformations": [{"priority": 0, "type": "NONE"}],
        }
    }


def _rate(burst: Burst, proxy: Proxy | None, scope: Statement) -> Statement:
    of_whom = (
        {"aggregate_key_type": "FORWARDED_IP", "forwarded_ip_config": _forwarded(proxy)}
        if proxy
        else {"aggregate_key_type": "IP"}
    )
    return {
        "rate_based_statement": {
            "limit": burst.limit,
            "evaluation_window_sec": burst.seconds,
            **of_whom,
            "scope_down_statement": scope,
        }
    }


def _forwarded(proxy: Proxy) -> dict[str, str]:
    return {"header_name": proxy.address_header, "fallback_behavior": "NO_MATCH"}


def acl_rules(
    name: str, rule_group_arn: pulumi.Input[str], managed: Sequence[str], proxy: Proxy | None = None
) -> list[dict[str, Any]]:
    """Return the rules of the web ACL: our rule group, and AWS's managed ones, which only count."""
    ours = _rule(name, {"rule_group_reference_statement": {"arn": rule_group_arn}}, proxy)
    groups = {each: {"vendor_name": "AWS", "name": each} for each in managed}
    theirs = [
        _rule(f"{name}-{group}", {"managed_rule_group_statement": named}, proxy)
        for group, named in groups.items()
    ]
    return _in_order(
        [
            {**ours, "override_action": {"none": {}}},
            *({**each, "override_action": {"count": {}}} for each in theirs),
        ]
    )


def bodies(proxy: Proxy | None = None) -> list[dict[str, str]]:
    """Return the bodies that the rules answer with: as everywhere, less the request id, which WAF has not."""
    told = {key: {"code": CODE, "message": message} for key, message in BODIES.items()}
    told |= {"origin": ORIGIN_BODY} if proxy else {}
    return [
        {"key": key, "content_type": "APPLICATION_JSON", "content": json.dumps(body)}
        for key, body in told.items()
    ]


def visibility(metric: str, proxy: Proxy | None = None) -> dict[str, Any]:
    """Return what is published of a rule: its metrics, and samples of the requests that it matched.

    Samples show all headers, and so a proxy's secret.
    """
    return {
        "cloudwatch_metrics_enabled": True,
        "metric_name": metric,
        "sampled_requests_enabled": proxy is None,
    }


def metric_name(name: str) -> str:
    """Return what a component's web ACL is called in metrics."""
    return naming.stack_wide(name)


def _in_set(arn: pulumi.Input[str], proxy: Proxy | None) -> Statement:
    where = {"ip_set_forwarded_ip_config": {**_forwarded(proxy), "position": "FIRST"}} if proxy else {}
    return {"ip_set_reference_statement": {"arn": arn, **where}}


def _not(statement: Statement) -> Statement:
    return {"not_statement": {"statements": [statement]}}


def _in_order(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**rule, "priority": priority} for priority, rule in enumerate(found)]


def _rule(name: str, statement: Statement, proxy: Proxy | None) -> dict[str, Any]:
    return {"name": name, "statement": statement, "visibility_config": visibility(name, proxy)}


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
