"""The web ACLs that the edge keeps, over an API that tells what was asked of it."""

import itertools
import types
from typing import Any

import pytest

from local.aws import Aws
from local.firewalls import Firewalls
from local.waf import Client, UnsupportedError

STAGE = "arn:aws:apigateway:us-east-1::/restapis/abc/stages/v1"
BLOCKED = Client.at("198.51.100.7")
NUMBERS = itertools.count(1)

Values = dict[str, Any]


class NonexistentError(Exception):
    """What the API answers where there is nothing."""


class FakeWaf:
    """AWS WAF's API as far as it is read."""

    def __init__(self) -> None:
        self.exceptions = types.SimpleNamespace(WAFNonexistentItemException=NonexistentError)
        self.acls: dict[str, Values] = {}
        self.groups: dict[str, Values] = {}
        self.sets: dict[str, list[str]] = {}
        self.tokens: dict[str, str] = {}
        self.asked: list[str] = []
        self.lists = True
        """Whether a set that is listed can also be read."""

    def put_set(self, name: str, *addresses: str) -> str:
        arn = f"arn:aws:wafv2:us-east-1:000000000000:regional/ipset/{name}/id-{name}"
        self.sets[arn], self.tokens[arn] = list(addresses), f"token-{next(NUMBERS)}"
        return arn

    def get_web_acl_for_resource(self, *, ResourceArn: str) -> Values:  # noqa: N803 - the API's name
        if ResourceArn not in self.acls:
            raise NonexistentError
        return {"WebACL": self.acls[ResourceArn]}

    def get_rule_group(self, **given: str) -> Values:
        self.asked.append(f"group {given['Name']} {given['Id']} {given['Scope']}")
        return {"RuleGroup": self.groups[given["Name"]]}

    def list_ip_sets(self, **given: str) -> Values:
        return {"IPSets": [{"ARN": arn, "LockToken": token} for arn, token in self.tokens.items()]}

    def get_ip_set(self, **given: str) -> Values:
        self.asked.append(given["Name"])
        if not self.lists:
            raise NonexistentError
        arn = next(each for each in self.sets if each.endswith(f"/{given['Name']}/{given['Id']}"))
        return {"IPSet": {"Addresses": self.sets[arn]}, "LockToken": self.tokens[arn]}


def aws(waf: FakeWaf) -> Aws:
    fake: Any = types.SimpleNamespace(client=lambda service: {"wafv2": waf}[service])
    given: Aws = fake
    return given


def in_set(arn: str, name: str = "r") -> Values:
    return {
        "Name": name,
        "Priority": 0,
        "Statement": {"IPSetReferenceStatement": {"ARN": arn}},
        "Action": {"Block": {}},
    }


def acl(*rules: Values) -> Values:
    return {"ARN": "arn:acl", "DefaultAction": {"Allow": {}}, "Rules": list(rules)}


@pytest.fixture
def waf() -> FakeWaf:
    return FakeWaf()


def blocked(firewalls: Firewalls) -> bool:
    web_acl = firewalls.of(STAGE)
    assert web_acl
    return web_acl.decide(BLOCKED).blocked


def test_a_stage_without_a_web_acl_has_none(waf: FakeWaf) -> None:
    assert Firewalls(aws(waf)).of(STAGE) is None


def test_the_sets_of_a_web_acl_are_read_with_it(waf: FakeWaf) -> None:
    waf.acls[STAGE] = acl(in_set(waf.put_set("blocked", "198.51.100.7/32")))

    assert blocked(Firewalls(aws(waf)))


def test_the_sets_of_its_groups_are_read_as_well(waf: FakeWaf) -> None:
    waf.groups["ours"] = {"Rules": [in_set(waf.put_set("blocked", "198.51.100.7/32"))]}
    group = "arn:aws:wafv2:us-east-1:000000000000:regional/rulegroup/ours/id-1"
    waf.acls[STAGE] = acl(
        {
            "Name": "group",
            "Priority": 0,
            "Statement": {"RuleGroupReferenceStatement": {"ARN": group}},
            "OverrideAction": {"None": {}},
        }
    )

    assert blocked(Firewalls(aws(waf)))
    assert waf.asked == ["group ours id-1 REGIONAL", "blocked"]


def test_a_set_that_has_changed_is_read_again_and_no_other(waf: FakeWaf) -> None:
    arn = waf.put_set("blocked")
    waf.put_set("somebody else's", "198.51.100.7/32")
    waf.acls[STAGE] = acl(in_set(arn), in_set(waf.put_set("unchanged")))
    firewalls = Firewalls(aws(waf))
    web_acl = firewalls.of(STAGE)
    assert web_acl
    assert not web_acl.decide(BLOCKED).blocked
    waf.asked.clear()

    waf.put_set("blocked", "198.51.100.7/32")
    firewalls.refresh()
    firewalls.refresh()

    assert waf.asked == ["blocked"]
    assert web_acl.decide(BLOCKED).blocked, "an ACL that is in use sees it too"


def test_nothing_is_asked_while_no_web_acl_is_known(waf: FakeWaf) -> None:
    waf.put_set("somebody else's", "198.51.100.7/32")

    Firewalls(aws(waf)).refresh()

    assert waf.asked == []


def test_a_set_that_was_deleted_since_it_was_listed_stops_nothing(waf: FakeWaf) -> None:
    arn = waf.put_set("blocked", "198.51.100.7/32")
    waf.acls[STAGE] = acl(in_set(arn))
    firewalls = Firewalls(aws(waf))
    assert blocked(firewalls)

    waf.put_set("blocked")
    waf.lists = False
    firewalls.refresh()

    assert blocked(firewalls), "what was known last"


def test_what_a_rate_rule_counted_outlives_another_reading(waf: FakeWaf) -> None:
    waf.acls[STAGE] = acl(
        {
            "Name": "rate",
            "Priority": 0,
            "Statement": {"RateBasedStatement": {"Limit": 2, "AggregateKeyType": "IP"}},
            "Action": {"Block": {}},
        }
    )
    firewalls = Firewalls(aws(waf))

    assert [blocked(firewalls) for _ in range(3)] == [False, False, True]


def test_a_web_acl_that_cannot_be_carried_out_is_refused(waf: FakeWaf) -> None:
    waf.acls[STAGE] = acl({**in_set("arn"), "Statement": {"GeoMatchStatement": {}}})

    with pytest.raises(UnsupportedError, match="GeoMatchStatement"):
        Firewalls(aws(waf)).of(STAGE)
