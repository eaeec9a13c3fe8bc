"""AWS WAF on the local AWS: its API for IP sets, what a stack may ask for, and what the edge then does."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.makers import make
from local.makers.compute import LocalSetupError
from local.makers.firewall import rules
from local.stack import LocalAws, LocalStack

from .support import Values, call, fresh, made, wait_every

if TYPE_CHECKING:
    from mypy_boto3_wafv2 import WAFV2Client

REGIONAL = "REGIONAL"
SEEN = {"cloudwatchMetricsEnabled": False, "metricName": "m", "sampledRequestsEnabled": False}


@pytest.fixture
def waf(cloud: LocalAws) -> "WAFV2Client":
    return cloud.aws.client("wafv2")


class IpSet:
    """An IP set as who edits it by the API sees it."""

    def __init__(self, waf: "WAFV2Client", name: str, version: Any = "IPV4") -> None:
        made_set = waf.create_ip_set(Name=name, Scope="REGIONAL", IPAddressVersion=version, Addresses=[])
        self.arn = made_set["Summary"]["ARN"]
        self.token = made_set["Summary"]["LockToken"]
        self._names: Any = {"Name": name, "Scope": "REGIONAL", "Id": made_set["Summary"]["Id"]}
        self._waf = waf

    def read(self) -> tuple[list[str], str]:
        answer = self._waf.get_ip_set(**self._names)
        return answer["IPSet"]["Addresses"], answer["LockToken"]

    def update(self, addresses: list[str], token: str) -> str:
        answer = self._waf.update_ip_set(**self._names, Addresses=addresses, LockToken=token)
        return answer["NextLockToken"]

    def update_patiently(self, addresses: list[str], token: str) -> str:
        """Update at the pace that the API allows."""
        found: list[str] = []

        def updated() -> bool:
            try:
                found.append(self.update(addresses, token))
            except ClientError as refused:
                if refused.response["Error"]["Code"] != "ThrottlingException":
                    raise
                return False
            return True

        assert wait_every(0.1, 10, updated)
        return found[0]

    def delete(self, token: str) -> None:
        self._waf.delete_ip_set(**self._names, LockToken=token)


def code_of(do: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as refused:
        do()
    return str(refused.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def ip_set(cloud: LocalAws) -> IpSet:
    return IpSet(cloud.aws.client("wafv2"), "of-a-test")


def test_a_set_is_written_only_with_the_token_of_what_it_holds(ip_set: IpSet) -> None:
    _, first = ip_set.read()
    second = ip_set.update_patiently(["198.51.100.7/32"], first)

    assert ip_set.read() == (["198.51.100.7/32"], second)
    assert code_of(lambda: ip_set.update_patiently([], first)) == "WAFOptimisticLockException"
    assert code_of(lambda: ip_set.delete(first)) == "WAFOptimisticLockException"
    assert ip_set.read() == (["198.51.100.7/32"], second)


def test_of_many_that_write_at_once_none_undoes_another(ip_set: IpSet) -> None:
    _, token = ip_set.read()

    def write(number: int) -> str:
        try:
            ip_set.update([f"198.51.100.{number}/32"], token)
        except ClientError as refused:
            return str(refused.response["Error"]["Code"])
        return "written"

    assert wait_every(1.1, 5, lambda: True)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(write, range(8)))

    assert outcomes.count("written") <= 1
    assert set(outcomes) <= {"written", "ThrottlingException", "WAFOptimisticLockException"}


def test_sets_are_written_once_a_second_for_the_whole_account(waf: "WAFV2Client", ip_set: IpSet) -> None:
    other = IpSet(waf, "another-of-a-test")
    _, token = ip_set.read()
    ip_set.update_patiently([], token)

    assert code_of(lambda: other.update([], other.token)) == "ThrottlingException"
    other.update_patiently([], other.token)
    other.delete(other.read()[1])
    assert code_of(other.read) == "WAFNonexistentItemException"


@pytest.mark.parametrize(
    "addresses",
    [
        ["nobody"],
        ["198.51.100.7"],
        ["198.51.100.7/33"],
        ["0.0.0.0/0"],
        ["2001:db8::/64"],
        ["198.51.100.7/32", "198.51.100.7/32"],
        ["198.51.100.0/24", "198.51.100.9/24"],
    ],
    ids=" ".join,
)
def test_what_a_set_cannot_hold_is_refused(waf: "WAFV2Client", addresses: list[str]) -> None:
    def create() -> None:
        waf.create_ip_set(Name="refused", Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=addresses)

    assert code_of(create) == "WAFInvalidParameterException"


def test_a_set_holds_ten_thousand_addresses_and_no_more(waf: "WAFV2Client") -> None:
    addresses = [f"10.0.{number >> 8}.{number & 255}/32" for number in range(10_001)]

    def create(name: str, count: int) -> None:
        waf.create_ip_set(Name=name, Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=addresses[:count])

    create("just-fits", 10_000)
    assert code_of(lambda: create("too-many", 10_001)) == "WAFLimitsExceededException"


def test_a_set_that_rules_refer_to_cannot_be_deleted(cloud: LocalAws, waf: "WAFV2Client") -> None:
    used = IpSet(waf, "used")
    group = {
        "scope": REGIONAL,
        "capacity": 5,
        "rules": [rule({"ipSetReferenceStatement": {"arn": used.arn}})],
        "visibilityConfig": SEEN,
    }
    made_id, outputs = make(cloud.workshop, "aws:wafv2/ruleGroup:RuleGroup", "group", group)

    assert code_of(lambda: used.delete(used.token)) == "WAFAssociatedItemException"

    waf.delete_rule_group(Name=outputs["name"], Scope="REGIONAL", Id=made_id, LockToken=outputs["lockToken"])
    used.delete(used.token)


def rule(statement: Values, **more: Any) -> Values:
    return {
        "name": "r",
        "priority": 0,
        "statement": statement,
        "action": {"block": {}},
        "visibilityConfig": SEEN,
        **more,
    }


def acl_of(statement: Values, **more: Any) -> Values:
    return {
        "scope": REGIONAL,
        "defaultAction": {"allow": {}},
        "rules": [rule(statement, **more)],
        "visibilityConfig": SEEN,
    }


MISSING_SET = "arn:aws:wafv2:us-east-1:000000000000:regional/ipset/missing/1"
MISSING_GROUP = "arn:aws:wafv2:us-east-1:000000000000:regional/rulegroup/missing/1"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (acl_of({"geoMatchStatement": {"countryCodes": ["DE"]}}), "cannot carry out these rules: .*GeoMatch"),
        (acl_of({"ipSetReferenceStatement": {"arn": MISSING_SET}}), "does not find what the rules refer to"),
        (acl_of({"ruleGroupReferenceStatement": {"arn": MISSING_GROUP}}), "does not find what the rules"),
        (acl_of({"ipSetReferenceStatement": {}}), "the rules lack 'ARN'"),
        (
            acl_of({"rateBasedStatement": {"limit": 10, "aggregateKeyType": "CONSTANT"}}),
            "aggregate key type CONSTANT",
        ),
        (
            acl_of({"notStatement": {"statements": [{"a": 1}, {"b": 1}]}}),
            "a negation holds exactly one statement",
        ),
    ],
)
def test_rules_that_the_edge_could_not_carry_out_are_refused(
    cloud: LocalAws, given: Values, said: str
) -> None:
    with pytest.raises(LocalSetupError, match=said):
        make(cloud.workshop, "aws:wafv2/webAcl:WebAcl", "acl", given)


@pytest.mark.parametrize("stage", ["missing", "arn:aws:apigateway:us-east-1::/restapis/nothing/stages/v1"])
def test_a_web_acl_in_front_of_no_stage_is_refused(cloud: LocalAws, limited: LocalStack, stage: str) -> None:
    acl = made(limited, "limiter-web-acl").outputs["arn"]

    with pytest.raises(LocalSetupError, match="finds no stage"):
        make(
            cloud.workshop,
            "aws:wafv2/webAclAssociation:WebAclAssociation",
            "association",
            {"resourceArn": stage, "webAclArn": acl},
        )


@pytest.mark.parametrize(
    ("destinations", "said"),
    [
        (["{door}"], "a log group's name has to begin with aws-waf-logs-"),
        (["arn:aws:logs:us-east-1:000000000000:log-group:aws-waf-logs-missing"], "finds no log group"),
        ([], "exactly one destination"),
    ],
)
def test_a_web_acl_s_log_has_to_be_where_waf_may_write(
    cloud: LocalAws, limited: LocalStack, destinations: list[str], said: str
) -> None:
    log = made(limited, "front-door-access-log").outputs["arn"]
    given = {
        "resourceArn": made(limited, "limiter-web-acl").outputs["arn"],
        "logDestinationConfigs": [each.format(door=log) for each in destinations],
    }

    with pytest.raises(LocalSetupError, match=said):
        make(cloud.workshop, "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration", "log", given)


def test_a_stack_that_logs_what_is_blocked_is_taken(cloud: LocalAws) -> None:
    groups = ["AWSManagedRulesCommonRuleSet"]
    stack = fresh(cloud, "limits", limiter={"log_blocked": True, "managed_rule_groups": groups})

    assert call(stack.outputs["url"]).status == 202
    assert made(stack, "limiter-web-acl-logging").id == made(stack, "limiter-web-acl").outputs["arn"]


def subscription(stack: LocalStack, **changed: str) -> Values:
    return {
        "logGroup": made(stack, "front-door-access-log").id,
        "filterPattern": "-WAF_BLOCK",
        "destinationArn": made(stack, "limiter-ingest-function").outputs["arn"],
        **changed,
    }


def subscribe(cloud: LocalAws, given: Values) -> None:
    make(cloud.workshop, "aws:cloudwatch/logSubscriptionFilter:LogSubscriptionFilter", "filter", given)


def test_a_function_that_logs_may_not_invoke_gets_none(cloud: LocalAws, limited: LocalStack) -> None:
    other_log = made(limited, "limiter-enforcer-logs").id
    for given in (
        subscription(limited, logGroup=other_log),
        subscription(limited, destinationArn=made(limited, "consumer-function").outputs["arn"]),
        subscription(limited, destinationArn=made(limited, "limiter-enforcer-function").outputs["arn"]),
    ):
        with pytest.raises(LocalSetupError, match="given CloudWatch Logs permission to execute"):
            subscribe(cloud, given)


@pytest.mark.parametrize("pattern", ["{ $.status = 202 }", "[a, b]", "?A ?B", "-A -B", "a -B"])
def test_a_filter_pattern_that_the_emulator_would_misread_is_refused(
    cloud: LocalAws, limited: LocalStack, pattern: str
) -> None:
    with pytest.raises(LocalSetupError, match="cannot carry the filter pattern"):
        subscribe(cloud, subscription(limited, filterPattern=pattern))


def test_a_mapping_whose_role_may_not_read_the_stream_is_refused(
    cloud: LocalAws, limited: LocalStack
) -> None:
    given = {
        "eventSourceArn": made(limited, "limiter-blocks").outputs["streamArn"],
        "functionName": made(limited, "limiter-ingest-function").outputs["arn"],
        "startingPosition": "LATEST",
    }

    with pytest.raises(LocalSetupError, match=r"cannot access stream .* GetRecords"):
        make(cloud.workshop, "aws:lambda/eventSourceMapping:EventSourceMapping", "mapping", given)


def test_failed_events_go_only_where_the_function_may_put_them(
    cloud: LocalAws, limited: LocalStack, door: LocalStack
) -> None:
    name = made(limited, "limiter-ingest-function").id
    for arn, said in (
        (made(door, "front-door-queue").outputs["arn"], "permissions to call SendMessage"),
        ("arn:aws:s3:::somebody-else-s", "permissions to call PutObject"),
        ("arn:aws:sns:us-east-1:000000000000:topic", "failed events can go to sqs, s3"),
    ):
        given = {"functionName": name, "destinationConfig": {"onFailure": {"destination": arn}}}
        with pytest.raises(LocalSetupError, match=said):
            make(
                cloud.workshop,
                "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
                "config",
                given,
            )


@pytest.fixture
def guarded(cloud: LocalAws) -> Iterator[LocalStack]:
    """A stack in front of which everybody is blocked, without an answer of the ACL's own."""
    stack = fresh(cloud)
    _, outputs = make(
        cloud.workshop,
        "aws:wafv2/webAcl:WebAcl",
        "closed",
        {"scope": REGIONAL, "defaultAction": {"block": {}}, "rules": [], "visibilityConfig": SEEN},
    )
    api = made(stack, "front-door-api").id
    stage = f"arn:aws:apigateway:{cloud.aws.region}::/restapis/{api}/stages/v1"
    make(
        cloud.workshop,
        "aws:wafv2/webAclAssociation:WebAclAssociation",
        "association",
        {"resourceArn": stage, "webAclArn": outputs["arn"]},
    )
    yield stack
    cloud.aws.client("wafv2").disassociate_web_acl(ResourceArn=stage)


def test_a_block_without_an_answer_of_its_own_is_403_in_our_shape(guarded: LocalStack) -> None:
    reply = call(guarded.outputs["url"])

    assert (reply.status, reply.answer["code"]) == (403, "WAF_FILTERED")
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]


def test_a_negation_of_the_provider_s_is_one_of_the_api_s() -> None:
    given = rule({"notStatement": {"statements": [{"ipSetReferenceStatement": {"arn": "a"}}]}})

    (shaped,) = rules([given])

    assert shaped["Statement"] == {"NotStatement": {"Statement": {"IPSetReferenceStatement": {"ARN": "a"}}}}
