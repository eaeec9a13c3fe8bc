import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

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


FROM_HEADER: Values = {"HeaderName": "X-Client-Ip", "FallbackBehavior": "NO_MATCH"}


def forwarded(arn: str, position: str = "FIRST", fallback: str = "NO_MATCH") -> Values:
    config = {"HeaderName": "X-Client-Ip", "FallbackBehavior": fallback, "Position": position}
    return {"IPSetReferenceStatement": {"ARN": arn, "IPSetForwardedIPConfig": config}}


def exactly(
    search: str | bytes,
    field: Values | None = None,
    constraint: str = "EXACTLY",
    transformation: str = "NONE",
) -> Values:
    return {
        "ByteMatchStatement": {
            "SearchString": search,
            "FieldToMatch": field or {"SingleHeader": {"Name": "x-origin-secret"}},
            "PositionalConstraint": constraint,
            "TextTransformations": [{"Priority": 0, "Type": transformation}],
        }
    }


def acl(*rules: Values, default: Values = ALLOW, **more: Any) -> WebAcl:
    described = {"ARN": "arn:acl", "DefaultAction": default, "Rules": list(rules), **more}
    return parse(described, {}, {V4: AddressSet([f"{INSIDE}/32"]), V6: AddressSet(["2001:db8::/64"])})


def decide(
    web_acl: WebAcl, address: str = INSIDE, now: float | None = None, headers: Mapping[str, str] | None = None
) -> Decision:
    return web_acl.decide(Client.at(address), now, CIMultiDict(headers or {}))


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


@pytest.mark.parametrize(
    ("value", "position", "blocked"),
    [
        (INSIDE, "FIRST", True),
        (f" {INSIDE} ", "FIRST", True),
        (f"{INSIDE}, {OUTSIDE}", "FIRST", True),
        (f"{OUTSIDE}, {INSIDE}", "FIRST", False),
        (f"{OUTSIDE}, {INSIDE}", "LAST", True),
        (f"{INSIDE}, {OUTSIDE}", "LAST", False),
        (f"{OUTSIDE}, {INSIDE}, {OUTSIDE}", "ANY", True),
        (f"nobody, {INSIDE}", "ANY", True),
        (f"{OUTSIDE}, {OUTSIDE}", "ANY", False),
        (", ".join([INSIDE, *[OUTSIDE] * 9]), "ANY", True),
        (", ".join([INSIDE, *[OUTSIDE] * 10]), "ANY", False),
    ],
)
def test_an_address_is_taken_from_a_header_by_its_position(value: str, position: str, blocked: bool) -> None:
    web_acl = acl(rule("r", forwarded(V4, position)))

    assert decide(web_acl, OUTSIDE, headers={"x-client-ip": value}).blocked is blocked
    # The peer's address no longer counts.
    assert decide(web_acl, INSIDE, headers={"x-client-ip": value}).blocked is blocked


@pytest.mark.parametrize("value", ["", "nobody", f"{INSIDE}:80", f"nobody, {INSIDE}"])
@pytest.mark.parametrize(("fallback", "blocked"), [("MATCH", True), ("NO_MATCH", False)])
def test_where_there_is_no_valid_address_the_fallback_decides(
    value: str, fallback: str, blocked: bool
) -> None:
    web_acl = acl(rule("r", forwarded(V4, "FIRST", fallback)))

    assert decide(web_acl, headers={"X-Client-Ip": value}).blocked is blocked


@pytest.mark.parametrize(
    ("statement", "with_it"),
    [
        (forwarded(V4, "FIRST", "MATCH"), "nobody"),
        (negated(forwarded(V4)), OUTSIDE),
        ({"OrStatement": {"Statements": [in_set(V4), forwarded(V6)]}}, OUTSIDE),
    ],
)
def test_a_rule_is_not_applied_at_all_without_the_header_that_it_takes_an_address_from(
    statement: Values, with_it: str
) -> None:
    web_acl = acl(rule("r", statement))

    assert decide(web_acl, headers={"X-Client-Ip": with_it}).blocked
    assert not decide(web_acl).blocked


def test_addresses_on_several_lines_are_one_list() -> None:
    web_acl = acl(rule("r", forwarded(V4, "LAST")))
    headers = CIMultiDict([("X-Client-Ip", OUTSIDE), ("X-Client-Ip", INSIDE)])

    assert web_acl.decide(Client.at(OUTSIDE), headers=headers).blocked


@pytest.mark.parametrize("search", ["a secret", b"a secret"])
def test_a_header_is_compared_exactly(search: str | bytes) -> None:
    web_acl = acl(rule("r", exactly(search), ALLOW), default=BLOCK)

    def blocked(*values: str) -> bool:
        headers = CIMultiDict(("X-Origin-Secret", each) for each in values)
        return web_acl.decide(Client.at(INSIDE), headers=headers).blocked

    assert not blocked("a secret")
    for others in ([], [""], ["A secret"], ["a secret "], ["a secre"], ["a secret", "a secret"]):
        assert blocked(*others), others


def test_either_of_two_secrets_lets_a_request_pass() -> None:
    either = {"OrStatement": {"Statements": [exactly("one"), exactly("two")]}}
    web_acl = acl(rule("origin", negated(either)))

    shown = ["one", "two", "three"]
    assert [decide(web_acl, headers={"X-Origin-Secret": each}).blocked for each in shown] == [
        False,
        False,
        True,
    ]
    assert decide(web_acl).blocked


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


def test_a_rate_rule_counts_by_the_address_that_a_header_tells() -> None:
    web_acl = acl(rule("rate", rate(1, AggregateKeyType="FORWARDED_IP", ForwardedIPConfig=FROM_HEADER)))

    def blocked(headers: dict[str, str]) -> bool:
        return decide(web_acl, now=0.0, headers=headers).blocked

    assert [blocked({"X-Client-Ip": f"{INSIDE}, {OUTSIDE}"}) for _ in range(2)] == [False, True]
    assert [blocked({"X-Client-Ip": OUTSIDE}) for _ in range(2)] == [False, True]
    assert not any(blocked({}) for _ in range(3)), "without the header nobody is counted"
    assert not any(blocked({"X-Client-Ip": "nobody"}) for _ in range(3))


def test_a_rate_rule_may_match_whoever_tells_no_address() -> None:
    always = {**FROM_HEADER, "FallbackBehavior": "MATCH"}
    web_acl = acl(rule("rate", rate(9, AggregateKeyType="FORWARDED_IP", ForwardedIPConfig=always)))

    assert decide(web_acl, headers={"X-Client-Ip": "nobody"}).blocked
    assert not decide(web_acl, headers={"X-Client-Ip": INSIDE}).blocked


@pytest.mark.parametrize(
    ("statements", "units"),
    [
        ([], 0),
        ([in_set(V4), in_set(V6)], 2),
        ([exactly("a")], 2),
        ([negated({"OrStatement": {"Statements": [exactly("a"), exactly("b")]}})], 4),
        ([forwarded(V4), forwarded(V4, "LAST")], 2),
        ([forwarded(V4, "ANY")], 5),
        ([rate()], 2),
        ([rate(ScopeDownStatement=negated(in_set(V4)))], 3),
    ],
)
def test_rules_need_the_capacity_of_all_their_statements(statements: list[Values], units: int) -> None:
    assert waf.capacity([rule("r", each) for each in statements]) == units


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
            rule("r", {"AndStatement": {"Statements": [in_set(V4), {"SizeConstraintStatement": {}}]}}),
            "SizeConstraintStatement",
        ),
        (rule("r", exactly("s", field={"QueryString": {}})), "field QueryString"),
        (rule("r", exactly("s", constraint="CONTAINS")), "positional constraint CONTAINS"),
        (rule("r", exactly("s", transformation="LOWERCASE")), "text transformation LOWERCASE"),
        (rule("r", negated({"SqliMatchStatement": {}})), "SqliMatchStatement"),
        (rule("r", negated(rate())), "RateBasedStatement"),
        (
            rule("r", forwarded(V4, "FIRST", "MAYBE")),
            "fallback behavior MAYBE",
        ),
        (rule("r", forwarded(V4, "SECOND")), "position SECOND"),
        (rule("r", rate(CustomKeys=[])), "CustomKeys"),
        (rule("r", rate(AggregateKeyType="CONSTANT")), "aggregate key type CONSTANT"),
        (rule("r", rate(AggregateKeyType="FORWARDED_IP")), "ForwardedIPConfig goes with"),
        (rule("r", rate(ForwardedIPConfig=FROM_HEADER)), "ForwardedIPConfig goes with"),
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
