"""AWS WAF and a request's headers, on the local AWS: what may be deployed, and what the edge then does."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.makers import make
from local.makers.compute import LocalSetupError
from local.stack import LocalAws

from .support import Values, call, fresh, made, wait_every

SEEN = {"cloudwatchMetricsEnabled": False, "metricName": "m", "sampledRequestsEnabled": False}
FIRST, SECOND = "a" * 32, "b" * 32
BLOCKED, LIMIT = "198.51.100.7", 10


def exactly(search: str, header: str = "x-origin-secret") -> Values:
    return {
        "byteMatchStatement": {
            "searchString": search,
            "fieldToMatch": {"singleHeader": {"name": header}},
            "positionalConstraint": "EXACTLY",
            "textTransformations": [{"priority": 0, "type": "NONE"}],
        }
    }


def rule(priority: int, statement: Values) -> Values:
    action = {"block": {"customResponse": {"responseCode": 403 if priority < 2 else 429}}}
    return {
        "name": f"r{priority}",
        "priority": priority,
        "statement": statement,
        "action": action,
        "visibilityConfig": SEEN,
    }


def group(capacity: int, *statements: Values) -> Values:
    return {
        "scope": "REGIONAL",
        "capacity": capacity,
        "rules": [rule(priority, each) for priority, each in enumerate(statements)],
        "visibilityConfig": SEEN,
    }


def make_waf(cloud: LocalAws, kind: str, inputs: Values) -> str:
    _, outputs = make(cloud.workshop, f"aws:wafv2/{kind}", f"rig-{uuid.uuid4().hex[:6]}", inputs)
    arn: str = outputs.get("arn", "")
    return arn


Send = Callable[..., int]


@pytest.fixture(scope="module")
def send(cloud: LocalAws) -> Iterator[Send]:
    """Send requests to a stack behind a proxy's rules, and return their statuses."""
    stack = fresh(cloud)
    blocked = make_waf(
        cloud,
        "ipSet:IpSet",
        {"scope": "REGIONAL", "ipAddressVersion": "IPV4", "addresses": [f"{BLOCKED}/32"]},
    )
    forwarded = {"headerName": "X-Client-Ip", "fallbackBehavior": "NO_MATCH"}
    origin = {"orStatement": {"statements": [exactly(FIRST), exactly(SECOND)]}}
    of_group = group(
        7,
        {"notStatement": {"statements": [origin]}},
        {
            "ipSetReferenceStatement": {
                "arn": blocked,
                "ipSetForwardedIpConfig": {**forwarded, "position": "FIRST"},
            }
        },
        {
            "rateBasedStatement": {
                "limit": LIMIT,
                "evaluationWindowSec": 600,
                "aggregateKeyType": "FORWARDED_IP",
                "forwardedIpConfig": forwarded,
            }
        },
    )
    rules = make_waf(cloud, "ruleGroup:RuleGroup", of_group)
    reference = {
        "name": "g",
        "priority": 0,
        "statement": {"ruleGroupReferenceStatement": {"arn": rules}},
        "overrideAction": {"none": {}},
        "visibilityConfig": SEEN,
    }
    acl = make_waf(
        cloud,
        "webAcl:WebAcl",
        {
            "scope": "REGIONAL",
            "defaultAction": {"allow": {}},
            "rules": [reference],
            "visibilityConfig": SEEN,
        },
    )
    stage = f"arn:aws:apigateway:us-east-1::/restapis/{made(stack, 'front-door-api').id}/stages/v1"
    make_waf(cloud, "webAclAssociation:WebAclAssociation", {"resourceArn": stage, "webAclArn": acl})

    def sent(**headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(stack.outputs["url"], headers=given).status

    assert wait_every(0.1, 5, lambda: sent() == 403)
    yield sent
    cloud.aws.client("wafv2").disassociate_web_acl(ResourceArn=stage)


def test_only_a_proxy_that_shows_a_secret_gets_through(send: Send) -> None:
    assert [send(X_Origin_Secret=each) for each in (FIRST, SECOND, FIRST[1:], "")] == [202, 202, 403, 403]


def test_the_address_that_the_proxy_tells_is_blocked_and_not_the_proxy_s(send: Send) -> None:
    addresses = [BLOCKED, f"{BLOCKED}, 192.0.2.1", f"192.0.2.1, {BLOCKED}", "nobody"]

    told = [send(X_Origin_Secret=FIRST, x_client_ip=each) for each in addresses]

    assert told == [403, 403, 202, 202]


def test_each_address_that_the_proxy_tells_has_a_rate_of_its_own(send: Send) -> None:
    def ask(address: str) -> int:
        return send(X_Origin_Secret=SECOND, X_Client_Ip=address)

    assert [ask("192.0.2.50") for _ in range(LIMIT + 1)] == [202] * LIMIT + [429]
    assert ask("192.0.2.51") == 202


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (group(1, exactly(FIRST)), "need 2 capacity units, and the group has 1"),
        (group(9, exactly("a" * 201)), "at most 200 bytes"),
        (group(9, exactly(FIRST, "X-Origin-Secret")), "in lower case only"),
        (group(9, {"byteMatchStatement": {}}), "the rules lack"),
    ],
)
def test_a_group_that_aws_or_the_provider_would_refuse_is_refused(
    cloud: LocalAws, inputs: dict[str, Any], said: str
) -> None:
    with pytest.raises(LocalSetupError, match=said):
        make_waf(cloud, "ruleGroup:RuleGroup", inputs)
