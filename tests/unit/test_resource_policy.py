import json
from bisect import bisect_left
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import resource_policy
from components.resource_policy import LARGEST, Access

from .policy_evaluation import Caller, effects, lets_in

API = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5"
ENDPOINT, OTHER_ENDPOINT = "vpce-0123456789abcdef0", "vpce-0fedcba9876543210"


def statement(effect: str, condition: dict[str, Any] | None = None, principal: Any = "*") -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, **({"Condition": condition} if condition else {})}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Statement": statements})


ALLOW = statement("Allow")
NEAR: Caller = {"aws:SourceIp": "10.0.0.1"}


@pytest.mark.parametrize(
    ("text", "caller", "principal", "inside"),
    [
        (document(), {}, "x", False),
        (document(ALLOW), {}, "x", True),
        (document(ALLOW, statement("Deny")), {}, "x", False),
        (document(statement("Allow", principal={"Service": "s"})), {}, "s", True),
        (document(statement("Allow", principal={"Service": "s"})), {}, "x", False),
        (document(statement("Allow", {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})), NEAR, "x", True),
        (document(statement("Allow", {"IpAddress": {"aws:SourceIp": ["10.0.0.1"]}})), NEAR, "x", True),
        (document(statement("Allow", {"IpAddress": {"aws:SourceIp": ["11.0.0.0/8"]}})), NEAR, "x", False),
        (document(statement("Allow", {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}})), {}, "x", False),
        (document(statement("Allow", {"IpAddress": {"aws:SourceIp": "::/0"}})), NEAR, "x", False),
        (document(statement("Allow", {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}})), NEAR, "x", False),
        (document(statement("Allow", {"NotIpAddress": {"aws:SourceIp": "11.0.0.0/8"}})), NEAR, "x", True),
        (document(statement("Allow", {"NotIpAddress": {"aws:SourceIp": "11.0.0.0/8"}})), {}, "x", True),
        (document(statement("Allow", {"StringNotEquals": {"k": ["a", "b"]}})), {"k": "b"}, "x", False),
        (document(statement("Allow", {"StringNotEquals": {"k": ["a", "b"]}})), {"k": "c"}, "x", True),
        (document(statement("Allow", {"StringNotEquals": {"k": ["a", "b"]}})), {}, "x", True),
        (document(statement("Allow", {"ArnLike": {"k": "arn:a:*"}})), {"k": "arn:a:b"}, "x", True),
        (document(statement("Allow", {"ArnLike": {"k": "arn:a:*"}})), {"k": "arn:b:b"}, "x", False),
        (document(statement("Allow", {"Bool": {"k": "true"}, "StringEquals": {"l": "m"}})), {}, "x", False),
        (document(statement("Allow", principal={"AWS": ["a", "x"]})), {}, "x", True),
        (document(statement("Allow", principal={"AWS": ["a", "b"]})), {}, "x", False),
    ],
)
def test_a_policy_is_evaluated_as_iam_does_it(
    text: str, caller: Caller, principal: str, inside: bool
) -> None:
    assert lets_in(text, caller, principal) is inside


@pytest.mark.parametrize(
    ("resource", "asked", "inside"),
    [
        ("arn:api/*", "arn:api/v1/POST/messages", True),
        ("arn:api/*/GET/health", "arn:api/v1/GET/health", True),
        ("arn:api/*/GET/health", "arn:api/v1/POST/health", False),
        ("arn:api/*/GET/health", "arn:api/v1/GET/health/more", False),
        ("arn:api/*/OPTIONS/*", "arn:api/v1/OPTIONS/orders/7", True),
        ("arn:api/*/OPTIONS/*", "arn:api/v1/PUT/orders/7", False),
        ("arn:other/*", "arn:api/v1/POST/messages", False),
        # An asterisk is about any number of segments.
        ("arn:api/*/OPTIONS/*", "arn:api/v1/PUT/orders/OPTIONS/x", True),
        ("arn:api/v1/OPTIONS/*", "arn:api/v1/PUT/orders/OPTIONS/x", False),
    ],
)
def test_a_statement_is_about_its_resources(resource: str, asked: str, inside: bool) -> None:
    assert lets_in(document({**ALLOW, "Resource": ["arn:none", resource]}), {}, "x", asked) is inside


def public(access: Access, address: str) -> bool:
    return lets_in(access.document(API), {"aws:SourceIp": address})


def private(access: Access, address: str, endpoint: str) -> bool:
    # Behind an endpoint there is no aws:SourceIp.
    return lets_in(access.document(API), {"aws:VpcSourceIp": address, "aws:SourceVpce": endpoint})


MIXED = Access(allow=["203.0.113.0/24", "2001:db8::/32"], deny=["203.0.113.9/32", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("access", "address", "inside"),
    [
        (Access(allow=["203.0.113.0/24"]), "203.0.113.7", True),
        (Access(allow=["203.0.113.0/24"]), "203.0.114.7", False),
        (Access(allow=["203.0.113.0/24"]), "2001:db8::1", False),
        (Access(allow=["203.0.113.7"]), "203.0.113.7", True),
        (Access(deny=["203.0.113.0/24"]), "203.0.113.7", False),
        (Access(deny=["203.0.113.0/24"]), "203.0.114.7", True),
        (Access(deny=["203.0.113.0/24"]), "2001:db8::1", True),
        (Access(deny=["2001:db8::/32"]), "2001:db8::1", False),
        (MIXED, "203.0.113.7", True),
        (MIXED, "203.0.113.9", False),
        (MIXED, "2001:db8::1", True),
        (MIXED, "2001:db8:1::1", False),
        (MIXED, "198.51.100.1", False),
        (MIXED, "2001:db9::1", False),
        (Access(allow=["0.0.0.0/0"]), "198.51.100.1", True),
        (Access(allow=["0.0.0.0/0"]), "2001:db8::1", False),
    ],
)
def test_a_public_api_lets_in_by_address(access: Access, address: str, inside: bool) -> None:
    assert public(access, address) is inside


@pytest.mark.parametrize(
    ("access", "address", "endpoint", "inside"),
    [
        (Access(endpoints=[ENDPOINT]), "10.0.0.1", ENDPOINT, True),
        (Access(endpoints=[ENDPOINT]), "10.0.0.1", OTHER_ENDPOINT, False),
        (Access(endpoints=[ENDPOINT, OTHER_ENDPOINT]), "10.0.0.1", OTHER_ENDPOINT, True),
        (Access(["10.0.0.0/24"], endpoints=[ENDPOINT]), "10.0.0.1", ENDPOINT, True),
        (Access(["10.0.0.0/24"], endpoints=[ENDPOINT]), "10.0.1.1", ENDPOINT, False),
        (Access(["10.0.0.0/24"], endpoints=[ENDPOINT]), "10.0.0.1", OTHER_ENDPOINT, False),
        (Access(deny=["10.0.0.0/24"], endpoints=[ENDPOINT]), "10.0.0.1", ENDPOINT, False),
        (Access(deny=["10.0.0.0/24"], endpoints=[ENDPOINT]), "10.0.1.1", ENDPOINT, True),
    ],
)
def test_a_private_api_lets_in_by_endpoint_and_by_the_address_behind_it(
    access: Access, address: str, endpoint: str, inside: bool
) -> None:
    assert private(access, address, endpoint) is inside


def test_nobody_reaches_a_private_api_from_the_internet() -> None:
    assert not public(Access(endpoints=[ENDPOINT]), "203.0.113.7")
    assert not public(Access(["203.0.113.0/24"], endpoints=[ENDPOINT]), "203.0.113.7")


# Small prefixes of a small part of the addresses, so that some meet.
v4_networks = st.builds(
    lambda host, size: IPv4Network((0xCB007100 + host, size), strict=False),
    st.integers(0, 255),
    st.integers(24, 32),
)
v6_networks = st.builds(
    lambda host, size: IPv6Network(((0x20010DB8 << 96) + host, size), strict=False),
    st.integers(0, 255),
    st.integers(120, 128),
)
networks = st.lists((v4_networks | v6_networks).map(str), max_size=3)
addresses = st.integers(0, 255).flatmap(
    lambda host: st.sampled_from(
        [str(ip_address(0xCB007100 + host)), str(ip_address((0x20010DB8 << 96) + host))]
    )
)


@given(
    allow=networks,
    deny=networks,
    endpoints=st.lists(st.sampled_from([ENDPOINT, OTHER_ENDPOINT]), unique=True),
    address=addresses,
    through=st.sampled_from([ENDPOINT, OTHER_ENDPOINT]),
)
def test_who_is_allowed_and_not_denied_gets_in_and_nobody_else(
    allow: list[str], deny: list[str], endpoints: list[str], address: str, through: str
) -> None:
    def within(listed: list[str]) -> bool:
        return any(ip_address(address) in ip_network(each) for each in listed)

    access = Access(allow, deny, endpoints)
    wanted = (not allow or within(allow)) and not within(deny)
    if endpoints:
        assert private(access, address, through) is (wanted and through in endpoints)
    else:
        assert public(access, address) is wanted


def test_a_policy_is_about_calling_this_api_alone() -> None:
    found = json.loads(MIXED.document(API))["Statement"]
    assert [each["Effect"] for each in found] == ["Allow", "Deny", "Deny"]
    for each in found:
        assert (each["Action"], each["Resource"]) == (["execute-api:Invoke"], [f"{API}/*"])
        assert each["Principal"] == "*"


def test_an_authorizer_s_yes_opens_nothing_that_the_policy_closed() -> None:
    # With an authorizer only an explicit Deny stops: an Allow that does not hold would not.
    found = json.loads(MIXED.document(API))["Statement"]
    assert not any("Condition" in each for each in found if each["Effect"] == "Allow")


def test_without_arguments_there_is_no_policy() -> None:
    assert resource_policy.of({}) is None
    assert resource_policy.of({"deny_cidrs": ["10.0.0.0/8"]}) == Access([], ["10.0.0.0/8"], [], callers=[])


SENDER, ACCOUNT = "arn:aws:iam::210987654321:role/sender", "arn:aws:iam::345678901234:root"
OPEN = ["GET/health", "OPTIONS/*"]
"""The methods that need no signature, as a definition names them."""
UNGUARDED = ["GET/health", "OPTIONS/messages", "OPTIONS/orders/7/lines"]
GUARDED = [
    *("POST/messages", "GET/orders/7", "POST/health", "GET/healthy", "GET/health/more"),
    # What a parameter of a path may hold.
    *("PUT/orders/OPTIONS/x", "POST/orders/GET/health"),
]


def said(access: Access, method: str, principal: str, address: str = "203.0.113.7") -> set[str]:
    """Return what the policy says of a call of one method."""
    text = access.document(API, [str(each) for each in access.callers], OPEN)
    return effects(text, {"aws:SourceIp": address}, principal, f"{API}/v1/{method}")


SIGNED = Access(deny=["203.0.113.9"], signed=True, callers=[SENDER, ACCOUNT])


@pytest.mark.parametrize("method", GUARDED)
def test_with_iam_what_is_guarded_is_allowed_to_the_named_callers_alone(method: str) -> None:
    assert [said(SIGNED, method, each) for each in (SENDER, ACCOUNT)] == [{"Allow"}] * 2
    # In one account an Allow suffices, so one for everybody would let in who has no policy at all.
    assert said(SIGNED, method, "anybody") == set()


@pytest.mark.parametrize("method", UNGUARDED)
@pytest.mark.parametrize("principal", ["anybody", SENDER])
def test_with_iam_what_is_not_guarded_is_allowed_to_everybody(method: str, principal: str) -> None:
    # Without a signature nobody has a policy of its own, and what no policy allows is refused.
    assert said(SIGNED, method, principal) == {"Allow"}


@pytest.mark.parametrize("method", [*GUARDED, *UNGUARDED])
@pytest.mark.parametrize("principal", ["anybody", SENDER])
def test_with_iam_a_denial_is_for_all_methods_and_for_all_who_call(method: str, principal: str) -> None:
    assert "Deny" in said(SIGNED, method, principal, "203.0.113.9")
    near = Access(allow=["198.51.100.0/24"], signed=True, callers=[SENDER])
    assert "Deny" in said(near, method, principal)
    assert "Deny" not in said(near, method, principal, "198.51.100.7")


@given(
    access=st.builds(
        Access,
        allow=networks,
        deny=networks,
        signed=st.just(True),
        callers=st.lists(st.sampled_from([SENDER, ACCOUNT]), unique=True),
    ),
    address=addresses,
    method=st.sampled_from([*GUARDED, *UNGUARDED]),
    principal=st.sampled_from(["anybody", SENDER, ACCOUNT]),
)
def test_with_iam_an_address_closes_and_never_opens(
    access: Access, address: str, method: str, principal: str
) -> None:
    found = said(access, method, principal, address)
    assert ("Allow" in found) is (method in UNGUARDED or principal in access.callers)
    assert ("Deny" in found) is not public(replace(access, signed=False), address)


def test_a_private_api_with_iam_is_closed_to_other_endpoints_and_opened_by_none() -> None:
    access = Access(endpoints=[ENDPOINT], signed=True, callers=[SENDER])
    text = access.document(API, [SENDER], OPEN)

    def through(endpoint: str, principal: str) -> set[str]:
        return effects(text, {"aws:SourceVpce": endpoint}, principal, f"{API}/v1/POST/messages")

    assert through(ENDPOINT, SENDER) == {"Allow"}
    assert through(ENDPOINT, "anybody") == set()
    assert through(OTHER_ENDPOINT, SENDER) == {"Allow", "Deny"}


def test_iam_without_callers_or_networks_needs_no_policy() -> None:
    assert resource_policy.of({"iam_authorization": True}) is None
    assert resource_policy.of({"iam_authorization": True, "iam_callers": []}) is None
    found = resource_policy.of({"iam_authorization": True, "iam_callers": [SENDER]})
    assert found == Access([], [], [], signed=True, callers=[SENDER])


@pytest.mark.parametrize("callers", [[SENDER, ACCOUNT], [ACCOUNT, SENDER]])
def test_callers_in_another_order_are_no_other_policy(callers: list[str]) -> None:
    access = Access(signed=True, callers=callers)
    assert access.document(API, callers) == access.document(API, sorted(callers))


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"allow_cidrs": ["203.0.113.0/24", "203.0.113.9", "2001:db8::/32", "::1"]},
        {"deny_cidrs": ["0.0.0.0/0"], "vpc_endpoint_ids": [ENDPOINT, "vpce-12345678"]},
        {"deny_cidrs": ["::/0", "2001:DB8::/32"]},
        # Nobody is denied, as it says.
        {"deny_cidrs": []},
    ],
)
def test_good_arguments_have_no_problem(args: dict[str, Any]) -> None:
    assert not resource_policy.problems(args)


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"allow_cidrs": "203.0.113.0/24"}, "allow_cidrs"),
        ({"allow_cidrs": ["203.0.113.7/24"]}, "allow_cidrs[0]"),
        ({"deny_cidrs": ["203.0.113.0/24", "203.0.113.0/33"]}, "deny_cidrs[1]"),
        # What Python takes for a network and IAM does not: a mask, a zone, a number.
        ({"allow_cidrs": ["203.0.113.0/255.255.255.0"]}, "allow_cidrs[0]"),
        ({"allow_cidrs": ["fe80::1%eth0"]}, "allow_cidrs[0]"),
        ({"allow_cidrs": ["2001:db8::/ 32"]}, "allow_cidrs[0]"),
        ({"allow_cidrs": ["203.0.113.0/24\n"]}, "allow_cidrs[0]"),
        ({"allow_cidrs": ["203.0.113.0/0024"]}, "allow_cidrs[0]"),
        ({"allow_cidrs": ["2001:db8::/129"]}, "allow_cidrs[0]"),
        ({"allow_cidrs": ["2001:db8::1/64"]}, "allow_cidrs[0]"),
        # Empty lists look like limits, and would let everybody in.
        ({"allow_cidrs": []}, "allow_cidrs"),
        ({"vpc_endpoint_ids": []}, "vpc_endpoint_ids"),
        ({"allow_cidrs": [], "deny_cidrs": ["203.0.113.0/24"]}, "allow_cidrs"),
        ({"deny_cidrs": ["example.com"]}, "deny_cidrs[0]"),
        ({"deny_cidrs": [""]}, "deny_cidrs[0]"),
        ({"deny_cidrs": [None]}, "deny_cidrs[0]"),
        ({"deny_cidrs": [3221225985]}, "deny_cidrs[0]"),
        ({"vpc_endpoint_ids": ["vpc-12345678"]}, "vpc_endpoint_ids[0]"),
        ({"vpc_endpoint_ids": ["vpce-1234567G"]}, "vpc_endpoint_ids[0]"),
        ({"vpc_endpoint_ids": ENDPOINT}, "vpc_endpoint_ids"),
    ],
)
def test_a_bad_argument_is_named(args: dict[str, Any], path: str) -> None:
    assert [each.path for each in resource_policy.problems(args)] == [path]


def test_a_policy_that_api_gateway_would_refuse_for_its_size_is_told_before() -> None:
    many = [f"203.0.{index // 256}.{index % 256}/32" for index in range(600)]

    def fits(count: int) -> bool:
        return not resource_policy.problems({"allow_cidrs": many[:count]})

    most = bisect_left(range(len(many)), True, key=lambda count: not fits(count + 1))
    assert most > 300
    size, too_large = (len(Access(many[:count]).document(API)) for count in (most, most + 10))
    assert size <= LARGEST < too_large
    (problem,) = resource_policy.problems({"allow_cidrs": many[:300], "deny_cidrs": many[300:]})
    assert (problem.path, str(LARGEST) in problem.allowed) == ("allow_cidrs", True)
    assert problem.remedy
    (problem,) = resource_policy.problems({"deny_cidrs": many})
    assert problem.path == "deny_cidrs"


def test_so_many_callers_that_api_gateway_would_refuse_the_policy_are_told_before() -> None:
    callers = [f"{SENDER}-{index:04}" for index in range(400)]

    def told(count: int, **more: Any) -> list[str]:
        args = {"iam_authorization": True, "iam_callers": callers[:count], **more}
        return [each.path for each in resource_policy.problems(args)]

    most = max(count for count in range(len(callers)) if not told(count))
    assert most > 100
    assert told(most + 1) == ["iam_callers"]
    text = Access(signed=True, callers=callers[:most]).document(API, callers[:most], OPEN)
    assert len(text) <= LARGEST
    assert told(most, deny_cidrs=["203.0.113.0/24"] * 40) == ["deny_cidrs"]


def test_a_policy_that_fits_fits_in_every_partition_and_region() -> None:
    for partition, region in (
        ("aws-us-gov", "us-gov-west-1"),
        ("aws", "ap-southeast-1"),
        ("aws-cn", "cn-north-1"),
    ):
        arn = f"arn:{partition}:execute-api:{region}:123456789012:a1b2c3d4e5"
        assert len(MIXED.document(arn)) <= len(MIXED.document(resource_policy.EXECUTION_ARN))
