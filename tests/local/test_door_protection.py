"""Who may call, how often, and by which name: throttles, plans, networks and domains."""

import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from local import demo_full
from local.backend import Backend
from local.client import Reply as Answer
from local.client import ask
from local.demo_checks import wait_until
from local.stack import LocalAws

from .doors import PAGE, Door, open_door
from .support import Reply, Values, assert_refused, call, detach_consumer

MANY = 6


def undrained(cloud: LocalAws, front_door: Values, **sections: Values) -> Door:
    """Open a front door whose messages stay in their queue: who is let in does not depend on a consumer."""
    door = open_door(cloud, front_door, **sections)
    detach_consumer(cloud, door.stack)
    return door


def at_once(send: Mapping[str, str] | None, door: Door, path: str, method: str = "POST") -> list[Reply]:
    """Send many requests at once, with these headers."""
    body = None if method == "GET" else b"{}"
    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(lambda _: door.send(path, body, send, method), range(MANY)))


def statuses(replies: list[Reply]) -> Counter[int]:
    """Count what was answered, and fail unless what was throttled says so in our shape."""
    for reply in replies:
        if reply.status == 429:
            assert_refused(reply, 429, "THROTTLED")
            assert reply.headers["retry-after"] == "1"
            assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]
    return Counter(reply.status for reply in replies)


@pytest.fixture(scope="module")
def throttled(cloud: LocalAws) -> Door:
    """A stage of one request a second, and a route and a read of their own measure."""
    return undrained(
        cloud,
        {
            "throttle_rate": 1,
            "throttle_burst": 1,
            "routes": [
                {"path": "slow"},
                {"path": "slow", "method": "PUT"},
                {"path": "fast", "throttle_rate": 1000, "throttle_burst": 1000},
            ],
        },
    )


def test_the_stage_takes_so_many_requests_and_no_more(throttled: Door) -> None:
    counted = statuses(at_once(None, throttled, "slow"))

    assert set(counted) == {202, 429}


def test_a_route_may_have_more_than_the_stage(throttled: Door) -> None:
    assert statuses(at_once(None, throttled, "fast")) == {202: MANY}


def test_a_route_may_have_less_than_the_stage(guarded: Door, shown: dict[str, str]) -> None:
    # The authorizer is asked once then, and not by all of them at once.
    assert guarded.send("batch?first", headers=shown).status == 400

    replies = at_once(shown, guarded, "rare")

    counted = Counter(each.status for each in replies)
    assert set(counted) == {202, 429}
    assert {each.status for each in at_once(shown, guarded, "batch?other")} == {400}, "others are not slower"


def test_who_waits_as_long_as_the_answer_says_is_let_in(throttled: Door) -> None:
    refused = next(each for each in at_once(None, throttled, "slow", "PUT") if each.status == 429)

    time.sleep(int(refused.headers["retry-after"]) + 0.1)

    assert throttled.send("slow", method="PUT").status == 202


QUOTA = 3


@pytest.fixture(scope="module")
def keyed(cloud: LocalAws, behind: Backend) -> Door:
    """A front door for customers with keys: one is slow, one has a quota, one has neither."""
    return undrained(
        cloud,
        {
            "routes": [{"path": "a"}, {"path": "b", "attributes": {"customer": "context.api_key_id"}}],
            "queues": [{"name": "kept"}],
            "reads": [{"path": "c", "url": f"{behind.url}/c", "cache_ttl_seconds": 60}],
            "health_path": "health",
            "cors_origins": [PAGE],
            "usage_plans": [
                {"name": "slow", "keys": ["snail"], "throttle_rate": 1, "throttle_burst": 1},
                {
                    "name": "trial",
                    "keys": ["guest", "visitor"],
                    "quota_limit": QUOTA,
                    "quota_period": "DAY",
                },
                {"name": "gold", "keys": ["acme"]},
            ],
        },
    )


def key_of(door: Door, name: str) -> dict[str, str]:
    """Return the header that shows a customer's key."""
    gateway = door.cloud.aws.client("apigateway")
    known = gateway.get_api_key(apiKey=door.stack.outputs["api_keys"][name], includeValue=True)
    return {"x-api-key": known["value"]}


def test_a_customer_is_let_in_everywhere(keyed: Door) -> None:
    acme = key_of(keyed, "acme")

    assert [keyed.send(path, headers=acme).status for path in ("a", "b")] == [202, 202]
    assert keyed.send("c", None, acme, "GET").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "wrong"},
        {"x-api-key": "x" * 40},
        {"Authorization": "Bearer x"},
        {"X-Api": "x"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "a"), ("POST", "b"), ("GET", "c")])
def test_without_a_key_that_is_known_nobody_is_let_in(
    keyed: Door, method: str, path: str, headers: dict[str, str]
) -> None:
    reply = keyed.send(path, None if method == "GET" else b"{}", headers, method)

    assert_refused(reply, 403, "INVALID_API_KEY")
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]
    assert reply.headers["access-control-allow-origin"] == PAGE
    keyed.assert_silent(reply)


def test_a_key_in_the_query_is_none(keyed: Door) -> None:
    key = key_of(keyed, "acme")["x-api-key"]

    assert_refused(keyed.send(f"a?x-api-key={key}&api_key={key}"), 403, "INVALID_API_KEY")


def test_a_key_of_no_plan_is_none(keyed: Door) -> None:
    made = keyed.cloud.aws.client("apigateway").create_api_key(name="loose", enabled=True)

    assert_refused(keyed.send("a", headers={"x-api-key": made["value"]}), 403, "INVALID_API_KEY")


def test_a_key_of_another_door_is_none(keyed: Door, cloud: LocalAws) -> None:
    other = undrained(cloud, {"usage_plans": [{"name": "gold", "keys": ["acme"]}]})

    assert_refused(keyed.send("a", headers=key_of(other, "acme")), 403, "INVALID_API_KEY")
    assert other.send("messages", headers=key_of(other, "acme")).status == 202


def test_health_and_preflights_need_no_key(keyed: Door) -> None:
    preflight = keyed.send("a", None, {"Origin": PAGE}, "OPTIONS")

    assert keyed.send("health", None, method="GET").status == 200
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, PAGE)
    assert "X-Api-Key" in preflight.headers["access-control-allow-headers"]


def test_a_message_can_tell_whose_key_it_was(keyed: Door) -> None:
    reply = keyed.send("b", headers=key_of(keyed, "acme"))

    arrived = keyed.arrived("kept", reply)
    assert arrived["customer"] == keyed.stack.outputs["api_keys"]["acme"]
    assert key_of(keyed, "acme")["x-api-key"] not in arrived.values()


def test_a_plan_s_throttle_is_its_customers_alone(keyed: Door) -> None:
    slow = statuses(at_once(key_of(keyed, "snail"), keyed, "a"))
    others = statuses(at_once(key_of(keyed, "acme"), keyed, "a"))

    assert set(slow) == {202, 429}
    assert others == {202: MANY}


def test_a_quota_ends_and_is_each_customer_s_own(keyed: Door) -> None:
    guest = [keyed.send("a", headers=key_of(keyed, "guest")) for _ in range(QUOTA + 2)]

    assert [each.status for each in guest] == [202] * QUOTA + [429, 429]
    for over in guest[QUOTA:]:
        assert_refused(over, 429, "QUOTA_EXCEEDED")
        assert "retry-after" not in over.headers, "a second later it is used up as well"
        assert over.answer["requestId"] == over.headers["x-amzn-requestid"]
    assert keyed.send("a", headers=key_of(keyed, "visitor")).status == 202
    assert keyed.send("health", None, key_of(keyed, "guest"), "GET").status == 200


def test_a_key_is_asked_for_before_the_cache(keyed: Door) -> None:
    acme = key_of(keyed, "acme")
    assert [keyed.send("c", None, acme, "GET").status for _ in range(2)] == [200, 200]

    assert_refused(keyed.send("c", None, None, "GET"), 403, "INVALID_API_KEY")


@pytest.fixture(scope="module")
def fenced(cloud: LocalAws) -> Door:
    """A front door for some networks, less a part of each."""
    return undrained(
        cloud,
        {
            "health_path": "health",
            "allow_cidrs": ["198.51.100.0/24", "2001:db8:1::/48", "203.0.113.9/32"],
            "deny_cidrs": ["198.51.100.64/26", "2001:db8:1:bad::/64"],
        },
    )


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("198.51.100.0", True),
        ("198.51.100.63", True),
        ("198.51.100.64", False),
        ("198.51.100.127", False),
        ("198.51.100.128", True),
        ("198.51.101.0", False),
        ("203.0.113.9", True),
        ("203.0.113.10", False),
        ("127.0.0.1", False),
        ("2001:db8:1::1", True),
        ("2001:db8:1:bac:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:bad::1", False),
        ("2001:db8:1:bae::", True),
        ("2001:db8:2::1", False),
        ("::1", False),
    ],
)
def test_only_the_networks_that_may_call_are_let_in(fenced: Door, address: str, allowed: bool) -> None:
    headers = fenced.as_client(address)
    replies = [fenced.send("messages", headers=headers), fenced.send("health", None, headers, "GET")]

    if allowed:
        assert [each.status for each in replies] == [202, 200]
        return
    for reply in replies:
        assert_refused(reply, 403, "ACCESS_DENIED")
        fenced.assert_silent(reply)


def test_nobody_can_write_that_it_comes_from_an_allowed_network(fenced: Door) -> None:
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "X-Edge-Client-Ip"):
        assert_refused(fenced.send("messages", headers={name: "198.51.100.1"}), 403, "ACCESS_DENIED")


BOTH = "both.example.org"


@pytest.fixture(scope="module")
def both(cloud: LocalAws) -> Door:
    """A front door for all but some networks, with a domain beside AWS's own name.

    Requests to the domain come from loopback, which is in no denied network.
    """
    certificate = cloud.aws.client("acm").request_certificate(DomainName=BOTH)["CertificateArn"]
    return undrained(
        cloud,
        {
            "domain_name": BOTH,
            "certificate_arn": certificate,
            "base_path": "in",
            "health_path": "health",
            "deny_cidrs": ["192.0.2.0/24", "2001:db8:bad::/48"],
        },
    )


def test_denied_networks_alone_leave_all_others_in(both: Door) -> None:
    addresses = ("192.0.2.1", "192.0.3.1", "2001:db8:bad::1", "2001:db8:bae::1")

    statuses = [both.send("messages", headers=both.as_client(each)).status for each in addresses]

    assert statuses == [403, 202, 403, 202]


def test_a_denied_network_is_refused_although_its_token_is_known(cloud: LocalAws) -> None:
    door = undrained(cloud, {"allow_cidrs": ["198.51.100.0/24"]}, authorizer={"kind": "token"})
    good = {"Authorization": f"Bearer {door.stack.token}"}

    inside, outside = (
        door.send("messages", headers={**good, **door.as_client(each)})
        for each in ("198.51.100.1", "203.0.113.1")
    )
    stranger = door.send("messages", headers=door.as_client("198.51.100.1"))

    assert inside.status == 202
    assert_refused(outside, 403, "ACCESS_DENIED")
    assert_refused(stranger, 401, "UNAUTHORIZED")


DOMAIN = "door.example.org"


@pytest.fixture(scope="module")
def named(cloud: LocalAws) -> Door:
    """A front door that is reached by a domain alone."""
    certificate = cloud.aws.client("acm").request_certificate(DomainName=DOMAIN)["CertificateArn"]
    return undrained(
        cloud,
        {
            "domain_name": DOMAIN,
            "certificate_arn": certificate,
            "disable_execute_api_endpoint": True,
            "health_path": "health",
        },
    )


def by_name(door: Door, host: str, path: str, method: str = "POST") -> Answer:
    """Send a request to the edge under a host's name."""
    body = None if method == "GET" else "{}"
    headers = {"Host": host, "Content-Type": "application/json"}
    return ask(method, f"{door.cloud.edge.url}{path}", body, headers)


def known(door: Door, host: str, path: str) -> bool:
    """Wait until the edge has looked up a domain, as DNS takes its time; whether it did."""
    return wait_until(lambda: by_name(door, host, path, "GET").status, lambda status: status == 200) == 200


def test_the_domain_leads_to_the_stage(named: Door) -> None:
    assert known(named, DOMAIN, "/health")
    assert named.stack.outputs["url"] == f"https://{DOMAIN}/messages"
    for host in (DOMAIN, DOMAIN.upper(), f"{DOMAIN}:443"):
        accepted = by_name(named, host, "/messages")
        assert accepted.status == 202
        assert accepted.json["requestId"] == accepted.headers["x-amzn-requestid"]
    assert by_name(named, DOMAIN, "/health", "GET").status == 200
    assert by_name(named, DOMAIN, "/v1/messages").status == 403, "the stage is no part of its URLs"


def test_aws_s_own_name_leads_nowhere_where_it_was_switched_off(named: Door) -> None:
    reply = named.send("messages")

    assert reply.status == 403
    assert reply.answer == {"message": "Forbidden"}


@pytest.mark.parametrize("host", ["other.example.org", f"www.{DOMAIN}", f"{DOMAIN}.evil.example.org"])
def test_another_host_s_name_leads_nowhere(named: Door, host: str) -> None:
    assert by_name(named, host, "/messages").status == 403


def test_with_a_domain_aws_s_own_name_leads_here_too_unless_it_is_switched_off(both: Door) -> None:
    assert both.send("messages").status == 202
    assert known(both, BOTH, "/in/health")
    assert by_name(both, BOTH, "/in/messages").status == 202
    assert [by_name(both, BOTH, path).status for path in ("/messages", "/inn/messages", "/in")] == [403] * 3


def test_the_example_of_everything_serves_its_domain_its_plans_and_its_networks(
    cloud: LocalAws, behind: Backend
) -> None:
    given = demo_full.overrides(behind)
    renamed = {key: each.replace("api.example.com", "full.example.com") for key, each in given.items()}
    stack = cloud.up(demo_full.STACK, renamed)
    full = Door(cloud, stack)
    where = urlsplit(stack.outputs["base_url"])
    assert (where.netloc, where.path) == ("full.example.com", "/shop")

    assert known(full, where.netloc, "/shop/health")
    denied = call(f"{full.url}/health", "GET", None, full.as_client("2001:db8:bad::1"))
    assert (denied.status, denied.answer["code"]) == (403, "ACCESS_DENIED")
    acme = {**key_of(full, "acme"), "X-Tenant": "acme"}
    assert full.send("orders/berlin", {"id": "1"}, acme, "PUT").status == 200
    assert full.send("orders/berlin", {"id": "1"}, {"X-Tenant": "acme"}, "PUT").status == 403
