import ipaddress
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from components import web_acl
from components.proxy import Proxy
from components.web_acl import Burst, RuleSpec
from local import waf
from local.makers import firewall
from local.makers.registry import Inputs
from local.makers.shapes import api_shape

GROUP, ACL = "arn:group", "arn:acl"
BLOCK4, OTHER4, BLOCK6, ALLOW4, ALLOW6 = "arn:b4", "arn:b4-2", "arn:b6", "arn:a4", "arn:a6"
SPEC = RuleSpec(count_only=False, retry_after_seconds=600, cors_origin="https://a.example.com", burst=None)
BURSTING = RuleSpec(False, 600, "*", Burst(10, 120))
BLOCKED, NEIGHBOUR = "192.0.2.7", "192.0.2.8"
EDGE = "198.51.100.77"
"""The address of a proxy, by which all that comes through it arrives."""
FIRST, SECOND = "the-first-secret-of-the-proxy-01", "the-other-secret-of-the-proxy-02"


def behind(*secrets: str) -> Proxy:
    given: Any = secrets
    return Proxy("X-Client-Ip", "X-Origin-Secret", given)


PROXIED = RuleSpec(False, 600, "*", Burst(10, 120), behind(FIRST))
ROTATING = RuleSpec(False, 600, "*", Burst(10, 120), behind(FIRST, SECOND))
COUNTING = RuleSpec(True, 600, "*", Burst(10, 120), behind(FIRST))


def group_rules(spec: RuleSpec = SPEC) -> list[dict[str, Any]]:
    return web_acl.rules("lim", spec, [BLOCK4, OTHER4, BLOCK6], [ALLOW4, ALLOW6])


def camel(value: Any) -> Any:
    """Return a resource's arguments as Pulumi hands them to the provider."""
    if isinstance(value, Mapping):
        return {
            re.sub("_([a-z])", lambda match: match[1].upper(), key): camel(each)
            for key, each in value.items()
        }
    return [camel(each) for each in value] if isinstance(value, list) else value


def shown(secret: str, address: str = NEIGHBOUR) -> dict[str, str]:
    """Return what the proxy, or somebody else, sends beside the request."""
    return {"x-origin-secret": secret, "X-CLIENT-IP": address}


class Firewall:
    """A web ACL with our rule group in it, and IP sets, as the local AWS carries them out."""

    def __init__(self, spec: RuleSpec = SPEC, **held: list[str]) -> None:
        group = {
            "Rules": firewall.rules(camel(group_rules(spec))),
            "CustomResponseBodies": firewall.bodies(
                Inputs({"customResponseBodies": camel(web_acl.bodies(spec.proxy))})
            ),
        }
        described = {
            "ARN": ACL,
            "DefaultAction": api_shape({"allow": {}}),
            "Rules": firewall.rules(camel(web_acl.acl_rules("lim", GROUP, ["AWSManagedRulesCommonRuleSet"]))),
        }
        sets = {f"arn:{name}": waf.AddressSet(addresses) for name, addresses in held.items()}
        self._acl = waf.parse(described, {GROUP: group}, sets)

    def decide(
        self, address: str, now: float = 0.0, headers: Mapping[str, str] | None = None
    ) -> waf.Decision:
        return self._acl.decide(waf.Client.at(address), now, headers or {})

    def through_the_proxy(self, address: str, now: float = 0.0, secret: str = FIRST) -> waf.Decision:
        return self.decide(EDGE, now, shown(secret, address))


def test_a_client_in_any_set_is_blocked_and_nobody_else() -> None:
    acl = Firewall(b4=["192.0.2.7/32"], b6=["2001:db8:1:2::/64"])
    blocked = {
        each: acl.decide(each).blocked
        for each in (BLOCKED, NEIGHBOUR, "2001:db8:1:2:3::4", "2001:db8:1:3::4", "198.51.100.1")
    }
    assert [each for each, is_blocked in blocked.items() if is_blocked] == [BLOCKED, "2001:db8:1:2:3::4"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-client-ip": NEIGHBOUR},
        shown(""),
        shown(FIRST.upper()),
        shown(FIRST[:-1]),
        shown(f"{FIRST} "),
        shown(f"{FIRST},{FIRST}"),
        shown(SECOND),
    ],
)
@pytest.mark.parametrize("spec", [PROXIED, COUNTING], ids=["blocking", "counting"])
def test_what_did_not_come_through_the_proxy_is_stopped_also_where_else_is_only_counted(
    headers: dict[str, str], spec: RuleSpec
) -> None:
    decision = Firewall(spec).decide(EDGE, headers=headers)
    assert (decision.blocked, decision.rule) == (True, "lim-origin")
    assert decision.response is not None
    assert decision.response.status == 403
    assert json.loads(decision.response.body) == web_acl.ORIGIN_BODY
    assert "Retry-After" not in decision.response.headers, "to wait would not help"


@pytest.mark.parametrize(
    ("spec", "secret", "passed"),
    [
        (PROXIED, FIRST, True),
        (PROXIED, SECOND, False),
        (ROTATING, FIRST, True),
        (ROTATING, SECOND, True),
        (ROTATING, f"{FIRST}{SECOND}", False),
    ],
)
def test_while_one_secret_takes_the_other_s_place_both_are_good(
    spec: RuleSpec, secret: str, passed: bool
) -> None:
    assert Firewall(spec).through_the_proxy(NEIGHBOUR, secret=secret).blocked is not passed


def test_behind_a_proxy_a_client_is_who_the_proxy_says() -> None:
    acl = Firewall(PROXIED, b4=["192.0.2.7/32"], b6=["2001:db8:1:2::/64"])
    blocked = {
        each: acl.through_the_proxy(each).rule
        for each in (BLOCKED, NEIGHBOUR, "2001:db8:1:2:3::4", "2001:db8:1:3::4")
    }
    assert blocked == {
        BLOCKED: "lim-limit",
        NEIGHBOUR: None,
        "2001:db8:1:2:3::4": "lim-limit",
        "2001:db8:1:3::4": None,
    }


def test_the_proxy_s_own_address_blocks_nobody() -> None:
    acl = Firewall(PROXIED, b4=[f"{EDGE}/32"])
    assert not acl.through_the_proxy(NEIGHBOUR).blocked


def test_behind_a_proxy_an_allowed_client_is_stopped_by_no_limit() -> None:
    acl = Firewall(PROXIED, b4=["192.0.2.7/32"], a4=["192.0.2.7/32"])
    assert not any(acl.through_the_proxy(BLOCKED, second / 10).blocked for second in range(30))


def test_behind_a_proxy_a_burst_is_one_client_s_and_not_the_proxy_s() -> None:
    acl = Firewall(PROXIED)
    answers = [acl.through_the_proxy(BLOCKED, second).rule for second in range(12)]
    assert answers == [None] * 10 + ["lim-burst"] * 2
    assert not acl.through_the_proxy(NEIGHBOUR, 12).blocked


@pytest.mark.parametrize("spec", [SPEC, BURSTING])
def test_the_answer_is_429_with_a_body_of_ours_that_a_page_may_read(spec: RuleSpec) -> None:
    decision = Firewall(spec, b4=["192.0.2.7/32"]).decide(BLOCKED)
    assert decision.rule == "lim-limit"
    assert decision.response is not None
    assert decision.response.status == 429
    assert decision.response.headers == {
        "Content-Type": "application/json",
        "Retry-After": "600",
        "Access-Control-Allow-Origin": spec.cors_origin,
    }
    body = json.loads(decision.response.body)
    assert body == {"code": "TOO_MANY_REQUESTS", "message": web_acl.BODIES["limit"]}


def test_an_allowed_network_is_blocked_by_no_rule_of_ours() -> None:
    held = {"b4": ["192.0.2.7/32", "192.0.2.8/32"], "b6": ["2001:db8:1:2::/64"]}
    acl = Firewall(BURSTING, **held, a4=["192.0.2.7/32"], a6=["2001:db8::/32"])
    assert [acl.decide(each).blocked for each in (BLOCKED, NEIGHBOUR, "2001:db8:1:2::1")] == [
        False,
        True,
        False,
    ]
    for number in range(50):
        assert not acl.decide(BLOCKED, number / 10).blocked
        assert not acl.decide("2001:db8:1:2::1", number / 10).blocked


def test_to_be_allowed_ends_nothing_so_that_rules_behind_ours_still_see_the_request() -> None:
    decision = Firewall(a4=["192.0.2.7/32"]).decide(BLOCKED)
    assert (decision.blocked, decision.rule) == (False, None), "it is the default action that lets it in"


def test_a_burst_is_stopped_within_its_window_and_for_its_client_alone() -> None:
    acl = Firewall(BURSTING)
    answers = [acl.decide(BLOCKED, second).blocked for second in range(12)]
    assert answers == [False] * 10 + [True] * 2
    assert not acl.decide(NEIGHBOUR, 12).blocked
    decision = acl.decide(BLOCKED, 13)
    assert decision.rule == "lim-burst"
    assert decision.response is not None
    assert decision.response.status == 429
    assert decision.response.headers["Retry-After"] == "120", "as long as its window"
    assert json.loads(decision.response.body)["message"] == web_acl.BODIES["burst"]
    assert not acl.decide(BLOCKED, 13 + 121).blocked


def test_a_client_that_is_blocked_by_its_limit_is_told_of_its_limit() -> None:
    acl = Firewall(BURSTING, b4=["192.0.2.7/32"])
    assert {acl.decide(BLOCKED, second).rule for second in range(30)} == {"lim-limit"}


def test_to_only_count_lets_everybody_in_and_tells_who_would_have_been_kept_out() -> None:
    acl = Firewall(RuleSpec(True, 600, "*", Burst(10, 60)), b4=["192.0.2.7/32"])
    decisions = [acl.decide(BLOCKED, second) for second in range(12)]
    assert not any(each.blocked for each in decisions)
    assert decisions[0].counted == ("lim-limit",)
    assert decisions[-1].counted == ("lim-limit", "lim-burst")
    assert acl.decide(NEIGHBOUR).counted == ()


def statements(value: Any, kind: str) -> list[Any]:
    """Return every statement of a kind, however deep it is."""
    if isinstance(value, list):
        return [found for each in value for found in statements(each, kind)]
    if not isinstance(value, dict):
        return []
    here = [value[kind]] if kind in value else []
    return [*here, *(found for each in value.values() for found in statements(each, kind))]


@pytest.mark.parametrize(("spec", "rules"), [(SPEC, 1), (BURSTING, 2)])
def test_the_allow_list_is_part_of_each_rule(spec: RuleSpec, rules: int) -> None:
    made = group_rules(spec)
    assert len(made) == rules
    for rule in made:
        negated = statements(rule["statement"], "not_statement")
        assert [statements(each, "ip_set_reference_statement") for each in negated] == [
            [{"arn": ALLOW4}],
            [{"arn": ALLOW6}],
        ]
        assert all(len(each["statements"]) == 1 for each in negated), "WAF negates exactly one"


def test_every_combination_has_at_least_two_parts() -> None:
    made = web_acl.rules("lim", BURSTING, [BLOCK4, BLOCK6], [ALLOW4, ALLOW6])
    for kind, rule in itertools.product(("and_statement", "or_statement"), made):
        assert all(len(each["statements"]) >= 2 for each in statements(rule["statement"], kind))


def test_a_burst_counts_each_address_that_is_not_allowed() -> None:
    (rate,) = statements(group_rules(BURSTING), "rate_based_statement")
    assert (rate["limit"], rate["evaluation_window_sec"], rate["aggregate_key_type"]) == (10, 120, "IP")
    assert statements(rate["scope_down_statement"], "ip_set_reference_statement") == [
        {"arn": ALLOW4},
        {"arn": ALLOW6},
    ]


@pytest.mark.parametrize("spec", [PROXIED, ROTATING, COUNTING])
def test_who_came_through_the_proxy_is_looked_at_first(spec: RuleSpec) -> None:
    first, *others = group_rules(spec)
    assert (first["name"], first["priority"]) == ("lim-origin", 0)
    assert others, "these read the address that anybody could have written"
    assert first["action"] == {
        "block": {"custom_response": {"response_code": 403, "custom_response_body_key": "origin"}}
    }


@pytest.mark.parametrize(("spec", "secrets"), [(PROXIED, [FIRST]), (ROTATING, [FIRST, SECOND])])
def test_a_secret_is_compared_as_a_whole_and_as_it_stands(spec: RuleSpec, secrets: list[str]) -> None:
    (negated,) = group_rules(spec)[0]["statement"]["not_statement"]["statements"]
    assert ("or_statement" in negated) is (len(secrets) > 1), "WAF wants two parts in an Or"
    assert statements(negated, "byte_match_statement") == [
        {
            "field_to_match": {"single_header": {"name": "x-origin-secret"}},
            "positional_constraint": "EXACTLY",
            "search_string": each,
            "text_transformations": [{"priority": 0, "type": "NONE"}],
        }
        for each in secrets
    ]


FROM_THE_PROXY = {"header_name": "X-Client-Ip", "fallback_behavior": "NO_MATCH"}


@pytest.mark.parametrize("spec", [PROXIED, ROTATING, COUNTING])
def test_behind_a_proxy_every_address_comes_from_its_header(spec: RuleSpec) -> None:
    made = group_rules(spec)
    sets = statements(made, "ip_set_reference_statement")
    assert {each["arn"] for each in sets} == {BLOCK4, OTHER4, BLOCK6, ALLOW4, ALLOW6}
    for each in sets:
        assert each["ip_set_forwarded_ip_config"] == {**FROM_THE_PROXY, "position": "FIRST"}
    (rate,) = statements(made, "rate_based_statement")
    assert (rate["aggregate_key_type"], rate["forwarded_ip_config"]) == ("FORWARDED_IP", FROM_THE_PROXY)


@pytest.mark.parametrize("spec", [SPEC, BURSTING])
def test_without_a_proxy_no_address_comes_from_a_header(spec: RuleSpec) -> None:
    made = json.dumps(group_rules(spec))
    assert "forwarded" not in made
    assert "byte_match" not in made
    assert "lim-origin" not in made


def units(rules: list[dict[str, Any]]) -> int:
    """Return what rules take of a rule group's capacity at most ("AWS WAF web ACL capacity units").

    A text that is compared as it stands takes 2; that its "transformation", which is none, takes 10 more is
    not said, nor that it does not.
    """
    return (
        len(statements(rules, "ip_set_reference_statement"))
        + 2 * len(statements(rules, "rate_based_statement"))
        + (2 + 10) * len(statements(rules, "byte_match_statement"))
    )


@pytest.mark.parametrize(("spec", "taken"), [(BURSTING, 26), (PROXIED, 38), (ROTATING, 50)])
def test_the_largest_rules_fit_into_the_capacity_that_can_never_change(spec: RuleSpec, taken: int) -> None:
    block = [f"arn:{number}" for number in range(20)]
    assert units(web_acl.rules("lim", spec, block, [ALLOW4, ALLOW6])) == taken <= web_acl.CAPACITY


def test_samples_show_all_headers_so_there_are_none_where_one_is_a_secret() -> None:
    for spec, sampled in ((BURSTING, True), (PROXIED, False)):
        acl = web_acl.acl_rules("lim", GROUP, ["AWSManagedRulesCommonRuleSet"], spec.proxy)
        for each in [*group_rules(spec), *acl]:
            assert each["visibility_config"]["sampled_requests_enabled"] is sampled
        assert web_acl.visibility("lim", spec.proxy)["sampled_requests_enabled"] is sampled


@pytest.mark.parametrize(
    "made",
    [group_rules(), group_rules(BURSTING), group_rules(ROTATING), web_acl.acl_rules("lim", GROUP, []),
     web_acl.acl_rules("lim", GROUP, ["AWSManagedRulesA", "AWSManagedRulesB"])],
)  # fmt: skip
def test_rules_have_priorities_names_and_metrics_of_their_own(made: list[dict[str, Any]]) -> None:
    assert [each["priority"] for each in made] == list(range(len(made)))
    assert len({each["name"] for each in made}) == len(made)
    metrics = [each["visibility_config"]["metric_name"] for each in made]
    assert len(set(metrics)) == len(metrics)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,128}", each) for each in metrics)
    assert all(each["visibility_config"]["cloudwatch_metrics_enabled"] for each in made)


def test_groups_of_aws_only_count_and_come_behind_ours() -> None:
    ours, *theirs = web_acl.acl_rules("lim", GROUP, ["AWSManagedRulesA", "AWSManagedRulesB"])
    assert ours["statement"] == {"rule_group_reference_statement": {"arn": GROUP}}
    assert ours["override_action"] == {"none": {}}
    assert [each["statement"]["managed_rule_group_statement"] for each in theirs] == [
        {"vendor_name": "AWS", "name": "AWSManagedRulesA"},
        {"vendor_name": "AWS", "name": "AWSManagedRulesB"},
    ]
    assert [each["override_action"] for each in theirs] == [{"count": {}}] * 2
    assert not any("action" in each for each in [ours, *theirs]), "a group's rules have their own"


@pytest.mark.parametrize("spec", [BURSTING, PROXIED], ids=["direct", "behind a proxy"])
def test_every_body_that_a_rule_answers_with_is_there_and_fits(spec: RuleSpec) -> None:
    bodies = {each["key"]: each for each in web_acl.bodies(spec.proxy)}
    used = {
        each["custom_response"]["custom_response_body_key"]
        for each in statements([rule["action"] for rule in group_rules(spec)], "block")
    }
    assert used == bodies.keys()
    for each in bodies.values():
        assert each["content_type"] == "APPLICATION_JSON"
        assert json.loads(each["content"]).keys() == {"code", "message"}
        assert len(each["content"]) <= 4096


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_without_addresses_in_any_set_nobody_is_blocked(address: str) -> None:
    assert not Firewall(BURSTING).decide(address).blocked
    assert ipaddress.ip_address(address)
