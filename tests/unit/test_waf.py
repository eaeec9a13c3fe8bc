import ipaddress
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local import waf
from local.waf import AddressSet, Client, Decision, Rates, UnsupportedError, WebAcl, parse

V4, V6, OTHER = "arn:v4", "arn:v6", "arn:other"
INSIDE, OUTSIDE = "198.51.100.7", "198.51.100.8"

Values = dict[str, Any]
ALLOW: Values = {"Allow": {}}
BLOCK: Values = {"Block": {}}
COUNT: Values = {"Count": {}}


def in_set(arn: str) -> Values:
    return {"IPSetReferenceStatement": {"ARN": arn}}


def negated(statement: Values) -> Values:
    return {"NotStatement": {"Statement": statement}}


def rule(name: str, statement: Values, action: Values = BLOCK, priority: int = 0, **more: Any) -> Values:
    return {"Name": name, "Priority": priority, "Statement": statement, "Action": action, **more}


def acl(*rules: Values, default: Values = ALLOW, **more: Any) -> WebAcl:
    described = {"ARN": "arn:acl", "DefaultAction": default, "Rules": list(rules), **more}
    return parse(described, {}, {V4: AddressSet([f"{INSIDE}/32"]), V6: AddressSet(["2001:db8::/64"])})


def decide(web_acl: WebAcl, address: str = INSIDE, now: float | None = None) -> Decision:
    return web_acl.decide(Client.at(address), now)


@pytest.mark.parametrize(
    ("statement", "blocked"),
    [
        (in_set(V4), [INSIDE]),
        (in_set(V6), ["2001:db8::1", "2001:db8::ffff:1"]),
        (in_set("arn:that is not there"), []),
        (negated(in_set(V4)), [OUTSIDE, "2001:db8::1", "2001:db8::ffff:1"]),
        (
            {"OrStatement": {"Statements": [in_set(V4), in_set(V6)]}},
            [INSIDE, "2001:db8::1", "2001:db8::ffff:1"],
        ),
        ({"AndStatement": {"Statements": [in_set(V4), in_set(V6)]}}, []),
        ({"AndStatement": {"Statements": [in_set(V4), negated(in_set(V6))]}}, [INSIDE]),
        (
            {
                "AndStatement": {
                    "Statements": [
                        {"OrStatement": {"Statements": [in_set(V4), in_set(V6)]}},
                        negated(in_set(V4)),
                    ]
                }
            },
            ["2001:db8::1", "2001:db8::ffff:1"],
        ),
        (negated(negated(in_set(V4))), [INSIDE]),
    ],
)
def test_a_statement_matches_those_that_it_says(statement: Values, blocked: list[str]) -> None:
    web_acl = acl(rule("r", statement))

    known = [INSIDE, OUTSIDE, "2001:db8::1", "2001:db8::ffff:1"]
    assert [each for each in known if decide(web_acl, each).blocked] == blocked


def test_an_address_is_in_no_set_of_the_other_family() -> None:
    number = int(ipaddress.ip_address(INSIDE))

    assert Client(4, number) in AddressSet([f"{INSIDE}/32"])
    assert Client(6, number) not in AddressSet([f"{INSIDE}/32"])
    assert Client(4, number) not in AddressSet([f"::{INSIDE}/128"])


def test_rules_are_looked_at_by_priority_and_the_first_that_ends_it_decides() -> None:
    web_acl = acl(
        rule("last", in_set(V4), BLOCK, 9),
        rule("first", in_set(V4), ALLOW, 2),
        rule("elsewhere", in_set(V6), BLOCK, 1),
    )

    assert decide(web_acl) == Decision(blocked=False, rule="first")


def test_a_rule_that_counts_goes_on() -> None:
    web_acl = acl(
        rule("counts", in_set(V4), COUNT, 1),
        rule("counts too", negated(in_set(V6)), COUNT, 2),
        rule("blocks", in_set(V4), BLOCK, 3),
        rule("is not reached", in_set(V4), COUNT, 4),
    )

    assert decide(web_acl) == Decision(blocked=True, rule="blocks", counted=("counts", "counts too"))
    assert decide(web_acl, OUTSIDE) == Decision(blocked=False, counted=("counts too",))


@pytest.mark.parametrize(("default", "blocked"), [(ALLOW, False), (BLOCK, True)])
def test_where_no_rule_ends_it_the_default_decides(default: Values, blocked: bool) -> None:
    assert decide(acl(default=default)) == Decision(blocked=blocked)
    assert decide(acl(rule("r", in_set(V6)), default=default)).blocked is blocked


def test_a_default_may_have_a_response_of_its_own() -> None:
    default = {"Block": {"CustomResponse": {"ResponseCode": 418}}}

    response = decide(acl(default=default)).response

    assert response == waf.Response(418, {}, b"")


def custom(code: int = 429, body: str | None = "limit", **headers: str) -> Values:
    response: Values = {"ResponseCode": code}
    if body:
        response["CustomResponseBodyKey"] = body
    if headers:
        response["ResponseHeaders"] = [{"Name": key, "Value": value} for key, value in headers.items()]
    return {"Block": {"CustomResponse": response}}


BODIES = {
    "limit": {"ContentType": "APPLICATION_JSON", "Content": '{"code": "é"}'},
    "plain": {"ContentType": "TEXT_PLAIN", "Content": "no"},
    "page": {"ContentType": "TEXT_HTML", "Content": "<p>no"},
}


@pytest.mark.parametrize(
    ("body", "content_type", "content"),
    [
        ("limit", "application/json", '{"code": "é"}'.encode()),
        ("plain", "text/plain", b"no"),
        ("page", "text/html", b"<p>no"),
        (None, None, b""),
    ],
)
def test_a_block_answers_as_it_is_told(body: str | None, content_type: str | None, content: bytes) -> None:
    web_acl = acl(
        rule("r", in_set(V4), custom(403, body, **{"Retry-After": "20"})), CustomResponseBodies=BODIES
    )

    response = decide(web_acl).response

    typed = {"Content-Type": content_type} if content_type else {}
    assert response == waf.Response(403, {**typed, "Retry-After": "20"}, content)


def test_a_block_without_a_response_of_its_own_has_none() -> None:
    assert decide(acl(rule("r", in_set(V4)))) == Decision(blocked=True, rule="r")


GROUP = "arn:group"


def grouped(*inner: Values, override: str = "None", after: Values | None = None, **more: Any) -> WebAcl:
    reference = {
        "Name": "group",
        "Priority": 1,
        "Statement": {"RuleGroupReferenceStatement": {"ARN": GROUP}},
        "OverrideAction": {override: {}},
    }
    return parse(
        {"ARN": "arn:acl", "DefaultAction": ALLOW, "Rules": [reference, *([after] if after else [])]},
        {GROUP: {"Rules": list(inner), **more}},
        {V4: AddressSet([f"{INSIDE}/32"])},
    )


def test_the_rules_of_a_group_act_in_its_place_with_its_own_bodies() -> None:
    web_acl = grouped(
        rule("counts", in_set(V4), COUNT, 1),
        rule("blocks", in_set(V4), custom(), 2),
        after=rule("later", in_set(V4), ALLOW, 2),
        CustomResponseBodies=BODIES,
    )

    decision = decide(web_acl)

    assert (decision.blocked, decision.rule, decision.counted) == (True, "blocks", ("counts",))
    assert decision.response
    assert decision.response.body == '{"code": "é"}'.encode()


def test_a_group_that_ends_nothing_lets_the_next_rule_decide() -> None:
    web_acl = grouped(rule("r", negated(in_set(V4))), after=rule("later", in_set(V4), BLOCK, 2))

    assert decide(web_acl).rule == "later"
    assert decide(web_acl, OUTSIDE).rule == "r"


def test_a_group_whose_reference_only_counts_ends_with_the_rule_that_would_have_acted() -> None:
    web_acl = grouped(
        rule("would block", in_set(V4), BLOCK, 1),
        rule("is not reached", in_set(V4), BLOCK, 2),
        override="Count",
        after=rule("later", in_set(V4), BLOCK, 2),
    )

    assert decide(web_acl) == Decision(blocked=True, rule="later", counted=("would block",))


def test_a_managed_group_matches_nobody() -> None:
    managed = {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "AWSManagedRulesCommonRuleSet"}}
    web_acl = acl({"Name": "m", "Priority": 0, "Statement": managed, "OverrideAction": {"None": {}}})

    assert decide(web_acl) == Decision(blocked=False)


def rate(limit: int = 10, seconds: int | None = 60, **more: Any) -> Values:
    window = {} if seconds is None else {"EvaluationWindowSec": seconds}
    return {"RateBasedStatement": {"Limit": limit, "AggregateKeyType": "IP", **window, **more}}


def allowed_in_a_row(web_acl: WebAcl, times: list[float], address: str = INSIDE) -> list[bool]:
    return [not decide(web_acl, address, when).blocked for when in times]


def test_a_rate_rule_blocks_what_is_over_its_limit_within_its_window() -> None:
    web_acl = acl(rule("rate", rate(10, 60)))

    assert allowed_in_a_row(web_acl, [float(second) for second in range(12)]) == [True] * 10 + [False] * 2
    assert decide(web_acl, OUTSIDE, 12.0).blocked is False, "each address for itself"


def test_a_rate_rule_forgets_what_is_older_than_its_window() -> None:
    web_acl = acl(rule("rate", rate(2, 60)))

    assert allowed_in_a_row(web_acl, [0.0, 1.0, 59.9, 61.1, 119.8, 200.0]) == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_rate_rule_looks_back_over_five_minutes_where_it_says_nothing() -> None:
    web_acl = acl(rule("rate", rate(1, None)))

    assert allowed_in_a_row(web_acl, [0.0, 299.0, 700.0]) == [True, False, True]


def test_a_rate_rule_counts_only_what_is_within_its_scope() -> None:
    web_acl = acl(rule("rate", rate(1, 60, ScopeDownStatement=negated(in_set(V4)))))

    assert allowed_in_a_row(web_acl, [0.0, 1.0, 2.0]) == [True] * 3
    assert allowed_in_a_row(web_acl, [0.0, 1.0, 2.0], OUTSIDE) == [True, False, False]


def test_what_a_rate_rule_counted_outlives_another_reading_of_the_same_acl() -> None:
    rates = Rates()
    described = {"ARN": "arn:acl", "DefaultAction": ALLOW, "Rules": [rule("rate", rate(1))]}

    first = decide(parse(described, {}, {}, rates), now=0.0)
    second = decide(parse(described, {}, {}, rates), now=1.0)

    assert (first.blocked, second.blocked) == (False, True)


def test_rules_of_another_limit_or_another_group_count_for_themselves() -> None:
    rates = Rates()

    def blocked(limit: int) -> bool:
        described = {"ARN": "arn:acl", "DefaultAction": ALLOW, "Rules": [rule("rate", rate(limit))]}
        return decide(parse(described, {}, {}, rates), now=0.0).blocked

    assert [blocked(1), blocked(2), blocked(1), blocked(2)] == [False, False, True, False]


def test_clients_that_went_quiet_are_not_kept() -> None:
    rates = Rates()
    for number in range(100):
        rates.exceeds(("rule",), Client(4, number), 5, 60.0, 0.0)
    rates.exceeds(("rule",), Client(4, 1), 5, 60.0, 61.0)

    assert list(rates._seen["rule",]) == [Client(4, 1)]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 30)), max_size=60),
    st.integers(1, 5),
)
def test_a_rate_is_exact(gaps: list[tuple[int, float]], limit: int) -> None:
    """Compared with a list of all times."""
    rates, seen, now = Rates(), list[tuple[int, float]](), 0.0
    for client, gap in gaps:
        now += gap
        seen.append((client, now))
        within = [when for who, when in seen if who == client and when > now - 60.0]
        assert rates.exceeds(("rule",), Client(4, client), limit, 60.0, now) is (len(within) > limit)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (rule("r", {"GeoMatchStatement": {"CountryCodes": ["DE"]}}), "GeoMatchStatement"),
        (
            rule("r", {"AndStatement": {"Statements": [in_set(V4), {"ByteMatchStatement": {}}]}}),
            "ByteMatchStatement",
        ),
        (rule("r", negated({"SqliMatchStatement": {}})), "SqliMatchStatement"),
        (rule("r", negated(rate())), "RateBasedStatement"),
        (
            rule("r", {"IPSetReferenceStatement": {"ARN": V4, "IPSetForwardedIPConfig": {}}}),
            "IPSetForwardedIPConfig",
        ),
        (rule("r", rate(CustomKeys=[])), "CustomKeys"),
        (
            rule("r", {"RateBasedStatement": {"Limit": 10, "AggregateKeyType": "FORWARDED_IP"}}),
            "FORWARDED_IP",
        ),
        (rule("r", {}), "one statement expected, not 0"),
        (rule("r", {**in_set(V4), **rate()}), "one statement expected, not 2"),
        (rule("r", in_set(V4), {"Captcha": {}}), "Captcha"),
        (rule("r", in_set(V4), {}), "one action expected"),
        (rule("r", in_set(V4), {"Allow": {"CustomRequestHandling": {}}}), "CustomRequestHandling"),
    ],
)
def test_what_is_not_carried_here_is_refused_by_name(broken: Values, named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        acl(broken)


def test_a_reference_that_changes_the_group_s_rules_is_refused() -> None:
    reference = {
        "Name": "group",
        "Priority": 1,
        "Statement": {"RuleGroupReferenceStatement": {"ARN": GROUP, "ExcludedRules": []}},
        "OverrideAction": {"None": {}},
    }

    with pytest.raises(UnsupportedError, match="ExcludedRules"):
        parse({"ARN": "arn:acl", "DefaultAction": ALLOW, "Rules": [reference]}, {GROUP: {"Rules": []}}, {})


def test_references_are_found_however_deep_they_are() -> None:
    described = [
        rule("a", {"AndStatement": {"Statements": [in_set(V4), negated(in_set(V6))]}}),
        rule("b", rate(ScopeDownStatement=negated(in_set(OTHER)))),
        {"text": "IPSetReferenceStatement", "number": 5},
    ]

    assert waf.references("IPSetReferenceStatement", described) == {V4, V6, OTHER}
    assert waf.references("RuleGroupReferenceStatement", described) == set()


def test_sets_that_are_replaced_are_looked_into_at_once() -> None:
    sets = {V4: AddressSet([])}
    web_acl = parse({"ARN": "a", "DefaultAction": ALLOW, "Rules": [rule("r", in_set(V4))]}, {}, sets)
    assert not decide(web_acl).blocked

    sets[V4] = AddressSet([f"{INSIDE}/32"])

    assert decide(web_acl).blocked


NETWORKS: dict[str, Callable[[tuple[int, int]], str]] = {
    "v4": lambda given: str(ipaddress.IPv4Network(given, strict=False)),
    "v6": lambda given: str(ipaddress.IPv6Network(given, strict=False)),
}
V4_NETWORKS = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 32)).map(NETWORKS["v4"])
V6_NETWORKS = st.tuples(st.integers(0, 2**128 - 1), st.integers(1, 128)).map(NETWORKS["v6"])


@given(st.data(), st.lists(V4_NETWORKS | V6_NETWORKS, max_size=8))
def test_an_address_set_holds_what_the_standard_library_says(
    data: st.DataObject, networks: list[str]
) -> None:
    parsed = [ipaddress.ip_network(each) for each in networks]
    edges = [
        str(ipaddress.ip_address(number) if each.version == 4 else ipaddress.IPv6Address(number))
        for each in parsed
        for number in (
            int(each.network_address),
            int(each.broadcast_address),
            max(0, int(each.network_address) - 1),
            min(2**each.max_prefixlen - 1, int(each.broadcast_address) + 1),
        )
    ]
    anywhere = st.ip_addresses().map(str)
    address = data.draw(st.sampled_from(edges) | anywhere if edges else anywhere)

    found = Client.at(address) in AddressSet(networks)

    assert found is any(ipaddress.ip_address(address) in each for each in parsed)


@pytest.mark.parametrize("text", ["", "nobody", "198.51.100.7/32", "198.51.100.256"])
def test_a_text_that_is_no_address_is_no_client(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        Client.at(text)
