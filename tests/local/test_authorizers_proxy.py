"""A proxy in front: clients are counted, blocked and named one by one, and there is no way past the proxy."""

import http.client
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from local.callers import Proxy
from local.client import JSON
from local.demo_checks import wait_until
from local.stack import LocalAws
from sluice import tokens
from sluice.limiter.operator import Explanation

from .admission import QUEUE, front_door, line_of
from .doors import PAGE, Door
from .support import Reply, Values, assert_refused, call, fresh, log_texts, operator_of, wait_every

SHORT, LONG = 10, 500
"""The limits in 8 seconds and in 10 minutes."""
BURST = 80
PROXY = "203.0.113.80"
"""Where everything comes from."""
OLD_SECRET, NEW_SECRET = "old-" + "o" * 40, "new-" + "n" * 40
NOTES = {"path": "notes"}

Line = tuple[str, str]
"""A header line."""


@dataclass(frozen=True)
class Origin(Door):
    """A front door behind a proxy, reached by its domain."""

    @property
    def proxy(self) -> Proxy:
        """The proxy."""
        assert self.stack.callers.proxy
        return self.stack.callers.proxy

    @property
    def token(self) -> Line:
        """The header of a caller whom the authorizer knows."""
        return ("Authorization", f"Bearer {self.stack.token}")

    def ask(self, *lines: Line, path: str = "notes", method: str = "POST") -> Reply:
        """Send a request from the proxy's address with exactly these header lines."""
        sent = [("Host", urlsplit(self.stack.outputs["url"]).netloc), *self.as_client(PROXY).items(), *lines]
        connection = http.client.HTTPConnection(urlsplit(self.cloud.edge.url).netloc, timeout=30)
        try:
            connection.putrequest(method, f"/{path}", skip_host=True, skip_accept_encoding=True)
            for name, value in [*sent, ("Content-Type", JSON), ("Content-Length", "2")]:
                connection.putheader(name, value)
            connection.endheaders(b"{}")
            response = connection.getresponse()
            given = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, given, response.read())
        finally:
            connection.close()

    def ask_for(self, client: str, *lines: Line, path: str = "notes", method: str = "POST") -> Reply:
        """Send a caller's request as the proxy sends it on."""
        return self.ask(*self.proxy.headers(client).items(), self.token, *lines, path=path, method=method)

    def decisions(self) -> list[Values]:
        """Return what the authorizer's function logged of its decisions."""
        return [
            json.loads(each)
            for each in log_texts(self.cloud, self.stack.outputs["authorizer_log"])
            if '"_aws"' in each
        ]

    def decided(self, key: str, value: str) -> list[Values]:
        """Wait for a decision with this word, and return all such."""
        return wait_until(lambda: [each for each in self.decisions() if each.get(key) == value], bool)

    def explain(self, client: str) -> Explanation:
        """Return how a client stands with the limiter."""
        return operator_of(self.cloud, self.stack).explain(client)

    def counted(self, client: str) -> int:
        """Return how often a client was counted in the longer window."""
        return self.explain(client).standings[1].count


def served(cloud: LocalAws, domain: str, **sections: Values) -> Origin:
    """Deploy a front door behind a proxy, and wait until its domain leads there."""
    door = {**front_door(NOTES), "domain_name": domain}
    origin = Origin(cloud, fresh(cloud, "proxy", front_door=door, **sections))
    assert wait_every(0.1, 20, lambda: origin.ask_for(PROXY, path="health", method="GET").status == 200)
    return origin


@pytest.fixture(scope="module")
def counted(cloud: LocalAws) -> Origin:
    """One with a limiter, whose proxy is about to change its secret."""
    return served(
        cloud,
        "counted.example.com",
        proxy={"secrets": [OLD_SECRET, NEW_SECRET]},
        limiter={
            "allow_short_windows": True,
            "burst_limit": BURST,
            "windows": [
                {"name": "short", "limit": SHORT, "length_seconds": 8},
                {"name": "long", "limit": LONG, "length_seconds": 600},
            ],
        },
    )


@pytest.fixture(scope="module")
def bare(cloud: LocalAws) -> Origin:
    """One without a limiter, so that only the authorizer looks at what the proxy sends."""
    return served(
        cloud,
        "bare.example.com",
        proxy={"address_header": "True-Client-IP", "secret_header": "X-Shared-Key"},
        authorizer={"kind": "jwt", "issuer": "https://login.example.com", "audiences": ["orders"]},
        limiter={"enabled": False},
    )


@pytest.fixture(params=["counted", "bare"])
def origin(request: pytest.FixtureRequest) -> Origin:
    found: Origin = request.getfixturevalue(request.param)
    return found


@dataclass
class Client:
    """A client of the proxy, and what it was answered."""

    origin: Origin
    addresses: Sequence[str]
    """It comes from each in turn."""
    replies: list[Reply] = field(default_factory=list)

    @property
    def statuses(self) -> list[int]:
        return [each.status for each in self.replies]

    def send(self, count: int = 1) -> int:
        """Send requests, and return the last status."""
        for _ in range(count):
            address = self.addresses[len(self.replies) % len(self.addresses)]
            self.replies.append(self.origin.ask_for(address))
        return self.statuses[-1]

    def send_until(self, status: int) -> bool:
        """Send requests until one is answered so, and return whether one was."""
        return wait_every(0.3, 20, lambda: self.send() == status)


V4, V6 = "198.51.100.7", "2001:db8:1:2::/64"
NEIGHBOURS = ("198.51.100.8", "2001:db8:1:3::1")


@dataclass(frozen=True)
class Story:
    """What clients behind one proxy saw in the same seconds."""

    busy: dict[str, Client]
    neighbours: dict[str, Client]


@pytest.fixture(scope="module", autouse=True)
def coming(counted: Origin) -> Iterator[Future[Story]]:
    """Clients that come while other tests run."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(tell, counted)


@pytest.fixture(scope="module")
def story(coming: Future[Story]) -> Story:
    return coming.result()


def tell(counted: Origin) -> Story:
    """Let some clients come too often, and others now and then."""
    told = Story(
        {
            V4: Client(counted, [V4]),
            V6: Client(counted, ["2001:db8:1:2::1", "2001:DB8:1:2:ffff:0:0:9"]),
        },
        {each: Client(counted, [each]) for each in NEIGHBOURS},
    )

    def come_too_often(one: Client) -> None:
        one.send(SHORT)
        assert one.send_until(429)
        assert one.send_until(202)

    with ThreadPoolExecutor(len(told.busy)) as pool:
        busy = [pool.submit(come_too_often, each) for each in told.busy.values()]
        while not wait_every(0.1, 1.5, lambda: all(each.done() for each in busy)):
            for one in told.neighbours.values():
                one.send()
        for each in busy:
            each.result()
    return told


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("198.51.100.30", "198.51.100.30"),
        ("2001:db8:5::7", "2001:db8:5::7"),
        ("2001:DB8:6:0:0::0007", "2001:db8:6::7"),
    ],
)
def test_messages_and_the_log_have_the_client_s_address(origin: Origin, written: str, address: str) -> None:
    reply = origin.ask_for(written)

    assert reply.status == 202
    arrived, line = origin.arrived(QUEUE, reply), line_of(origin, reply)
    assert (arrived["sourceIp"], line.ip) == (address, address)
    assert arrived["principal"] == line.principal
    assert line.principal is not None


def test_the_same_token_from_another_address_has_that_address(origin: Origin) -> None:
    addresses = ["198.51.100.31", "198.51.100.32", "198.51.100.31"]

    replies = [origin.ask_for(each) for each in addresses]

    assert [origin.arrived(QUEUE, each)["sourceIp"] for each in replies] == addresses
    assert [line_of(origin, each).ip for each in replies] == addresses
    assert len(origin.decided("clientIp", addresses[0])) == 1, "its decision was kept"


def test_what_a_client_says_of_itself_changes_nothing(counted: Origin) -> None:
    client, other = "198.51.100.33", "198.51.100.34"
    names = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "clientIp")

    reply = counted.ask_for(client, *((name, other) for name in names))

    assert reply.status == 202
    assert (counted.arrived(QUEUE, reply)["sourceIp"], line_of(counted, reply).ip) == (client, client)
    assert wait_every(0.1, 10, lambda: counted.counted(client) == 1)
    assert counted.counted(other) == 0


def test_the_proxy_may_show_either_secret_while_it_changes(counted: Origin) -> None:
    headers = counted.proxy.address_header, counted.proxy.secret_header
    for secret in (OLD_SECRET, NEW_SECRET, OLD_SECRET):
        shown = zip(headers, ("198.51.100.35", secret), strict=True)
        reply = counted.ask(*shown, counted.token)

        assert reply.status == 202
        assert line_of(counted, reply).ip == "198.51.100.35"


def wrong(secret: str) -> dict[str, str]:
    """Return values of the secret's header, by what is wrong with them."""
    return {
        "empty": "",
        "another": "x" * len(secret),
        "shorter": secret[:-1],
        "longer": f"{secret}x",
        "another case": secret.swapcase(),
        "in quotes": f'"{secret}"',
        "a list": f"{secret}, {secret}",
        "a digest": tokens.digest(secret),
    }


def several(secret: str) -> dict[str, list[str]]:
    """Return several values of the secret's header, one of which would do."""
    return {"twice": [secret, secret], "at last": ["x" * 32, secret], "at first": [secret, "x" * 32]}


def past_the_proxy(origin: Origin, client: str, *secrets: str) -> Reply:
    """Send a caller's request with these values of the secret's header."""
    shown = [(origin.proxy.secret_header, each) for each in secrets]
    return origin.ask((origin.proxy.address_header, client), *shown, origin.token)


def assert_stopped(counted: Origin, reply: Reply, how: str = "") -> None:
    """Fail unless WAF stopped a request before anything looked at it."""
    assert reply.status == 403, how
    assert reply.answer == {"code": "FORBIDDEN", "message": "You may not call this."}
    line = line_of(counted, reply)
    assert (line.waf, line.ip, line.principal) == ("WAF_BLOCK", None, None)


def assert_denied(bare: Origin, reply: Reply, how: str = "") -> None:
    """Fail unless the authorizer let nobody in, and nobody's address is known."""
    assert reply.status == 403, how
    assert_refused(reply, 403, "ACCESS_DENIED")
    bare.assert_silent(reply)
    line = line_of(bare, reply)
    assert (line.status, line.backend, line.ip, line.principal) == (403, None, None, None)


def test_with_another_secret_or_with_several_the_limiter_lets_nobody_in(counted: Origin) -> None:
    client = "198.51.100.36"
    assert counted.ask_for(client).status == 202, "a decision is kept for this token and address"

    shown: dict[str, list[str]] = {how: [value] for how, value in wrong(NEW_SECRET).items()}
    shown |= several(OLD_SECRET) | {"none": [], "both": [OLD_SECRET, NEW_SECRET]}
    replies = {how: past_the_proxy(counted, client, *each) for how, each in shown.items()}

    for how, reply in replies.items():
        assert_stopped(counted, reply, how)


def test_with_another_secret_the_authorizer_lets_nobody_in(bare: Origin) -> None:
    client = "198.51.100.36"
    assert bare.ask_for(client).status == 202, "a decision is kept for this token and address"

    shown = {how: each for how, each in wrong(bare.proxy.secret).items() if each}
    replies = {how: past_the_proxy(bare, client, each) for how, each in shown.items()}

    for how, reply in replies.items():
        assert_denied(bare, reply, how)


def test_with_several_secrets_the_authorizer_lets_nobody_in(bare: Origin) -> None:
    # Of each client no decision is kept: that one would be found by the last value alone.
    replies = {
        how: past_the_proxy(bare, f"2001:db8:9::{number}", *secrets)
        for number, (how, secrets) in enumerate(several(bare.proxy.secret).items())
    }

    for how, reply in replies.items():
        assert_denied(bare, reply, how)


@pytest.mark.parametrize("shown", [[], [""]], ids=["none", "empty"])
def test_without_a_secret_the_authorizer_is_not_even_asked(bare: Origin, shown: list[str]) -> None:
    client = "198.51.100.36"
    assert bare.ask_for(client).status == 202, "a decision is kept for this token and address"
    asked = len(bare.decisions())

    assert_refused(past_the_proxy(bare, client, *shown), 401, "UNAUTHORIZED")
    assert len(bare.decisions()) == asked


def test_the_authorizer_s_log_says_who_did_not_come_through_the_proxy(bare: Origin) -> None:
    past_the_proxy(bare, "198.51.100.43", "x" * 32)

    for each in bare.decided("reason", "not through the proxy"):
        assert each["decision"] == "deny"
        assert "clientIp" not in each


def test_aws_s_own_name_leads_nowhere(origin: Origin) -> None:
    shown = {**origin.proxy.headers("198.51.100.44"), **dict([origin.token])}

    for path in ("notes", "health"):
        reply = call(f"{origin.url}/{path}", headers=shown)

        assert (reply.status, reply.answer) == (403, {"message": "Forbidden"})


def test_past_the_proxy_the_health_path_answers_only_where_there_is_no_limiter(
    counted: Origin, bare: Origin
) -> None:
    def answers(origin: Origin, *lines: Line) -> list[int]:
        preflight = origin.ask(("Origin", PAGE), *lines, method="OPTIONS").status
        return [origin.ask(*lines, path="health", method="GET").status, preflight]

    assert answers(counted) == [403, 403]
    assert answers(counted, *counted.proxy.headers().items()) == [200, 204]
    assert answers(bare) == [200, 204]


def test_nobody_past_the_proxy_can_have_somebody_else_blocked(counted: Origin) -> None:
    victim, marker = "198.51.100.40", "198.51.100.41"
    forged = (counted.proxy.address_header, victim)

    for shown in ([], [(counted.proxy.secret_header, "x" * 32)], [("X-Forwarded-For", victim)]):
        for _ in range(2 * SHORT):
            assert counted.ask(forged, *shown, counted.token).status == 403
    for _ in range(BURST):
        assert counted.ask(forged, path="health", method="GET").status == 403

    # What comes later in the log is counted later.
    assert counted.ask_for(marker).status == 202
    assert wait_every(0.1, 20, lambda: counted.counted(marker) == 1)
    known = counted.explain(victim)
    assert ([each.count for each in known.standings], known.block) == ([0, 0], None)
    assert counted.ask_for(victim).status == 202
    assert counted.ask_for(victim, path="health", method="GET").status == 200


def test_who_is_refused_behind_the_proxy_is_known_by_its_address(origin: Origin) -> None:
    client = "198.51.100.42"
    unknown = ("Authorization", f"Bearer {tokens.mint()}")

    replies = [origin.ask(*origin.proxy.headers(client).items(), unknown) for _ in range(2)]

    for reply in replies:
        assert_refused(reply, 403, "ACCESS_DENIED")
        origin.assert_silent(reply)
        line = line_of(origin, reply)
        assert (line.ip, line.principal) == (client, None)
    (decision,) = origin.decided("clientIp", client)
    assert decision["decision"] == "deny"


def test_who_guesses_tokens_is_counted(counted: Origin) -> None:
    client = "198.51.100.46"

    for _ in range(3):
        guess = ("Authorization", f"Bearer {tokens.mint()}")
        assert counted.ask(*counted.proxy.headers(client).items(), guess).status == 403

    assert wait_until(lambda: counted.counted(client), lambda found: found >= 3) == 3


def unattributed(counted: Origin) -> int:
    """Return how many requests were counted of which nobody knows the address."""
    texts = log_texts(counted.cloud, counted.made("limiter-ingest-logs").id)
    measured = [json.loads(each) for each in texts if '"_aws"' in each]
    return sum(each.get("RequestsUnattributed", 0) for each in measured)


@pytest.mark.parametrize("missing", ["Authorization", "X-Client-Ip"])
def test_a_request_that_nobody_looked_at_has_no_address_and_counts_for_nobody(
    counted: Origin, missing: str
) -> None:
    client, before = "198.51.100.45", unattributed(counted)
    shown = {**counted.proxy.headers(client), **dict([counted.token])}
    del shown[missing]

    replies = [counted.ask(*shown.items()) for _ in range(3)]

    for reply in replies:
        assert_refused(reply, 401, "UNAUTHORIZED")
        line = line_of(counted, reply)
        assert (line.waf, line.ip, line.principal) == ("WAF_ALLOW", None, None)
    assert wait_until(lambda: unattributed(counted) - before, lambda found: found >= 3) == 3
    assert counted.counted(client) == 0


NO_SINGLE, NOT_PLAIN = "the proxy tells no single address", "the proxy tells no plain address"
NO_ADDRESSES = [
    (["nobody"], NO_SINGLE),
    (["198.51.100.1, 198.51.100.2"], NO_SINGLE),
    (["198.51.100.1:443"], NO_SINGLE),
    (["198.51.100.1", "198.51.100.2"], NO_SINGLE),
    (["::ffff:198.51.100.1"], NOT_PLAIN),
]
"""Values of the address's header, and what is wrong with them."""


@pytest.mark.parametrize(
    ("name", "cases"), [("counted", NO_ADDRESSES), ("bare", NO_ADDRESSES[-2:])], ids=["counted", "bare"]
)
def test_an_address_that_is_none_lets_nobody_in_and_no_caller_is_to_blame(
    request: pytest.FixtureRequest, name: str, cases: list[tuple[list[str], str]]
) -> None:
    origin: Origin = request.getfixturevalue(name)
    header, secret = origin.proxy.address_header, (origin.proxy.secret_header, origin.proxy.secret)

    replies = [origin.ask(*((header, each) for each in told), secret, origin.token) for told, _ in cases]

    for reply in replies:
        assert_refused(reply, 500, "AUTHORIZER_FAILURE")
        origin.assert_silent(reply)
        assert line_of(origin, reply).ip is None
    logged = wait_until(
        lambda: [each for each in origin.decisions() if "SettingsErrors" in each],
        lambda found: len(found) >= len(cases),
    )
    assert [each["reason"] for each in logged] == [reason for _, reason in cases]
    assert {each["level"] for each in logged} == {"ERROR"}
    assert "198.51" not in json.dumps(logged)


def test_a_burst_is_stopped_for_one_client_alone(counted: Origin) -> None:
    def ask(client: str) -> Reply:
        return counted.ask_for(client, path="health", method="GET")

    replies = [ask("198.51.100.50") for _ in range(BURST + 1)]

    assert [each.status for each in replies] == [200] * BURST + [429]
    assert replies[-1].answer["message"] == "Too many requests at once from your address."
    assert ask("198.51.100.51").status == 200
    assert ask("2001:db8:7::1").status == 200


@pytest.mark.parametrize("client", [V4, V6])
def test_who_is_over_its_limit_is_blocked_and_then_let_in_again(story: Story, client: str) -> None:
    one = story.busy[client]

    assert one.statuses[:SHORT] == [202] * SHORT
    assert set(one.statuses) == {202, 429}
    assert one.statuses[-1] == 202
    blocked = next(each for each in one.replies if each.status == 429)
    assert blocked.answer["message"] == "The limit of requests from your address is used up for now."


@pytest.mark.parametrize("client", NEIGHBOURS)
def test_others_behind_the_same_proxy_never_notice(story: Story, client: str) -> None:
    one = story.neighbours[client]

    assert len(one.statuses) >= 3
    assert set(one.statuses) == {202}


def test_each_client_is_counted_for_itself_and_the_proxy_never_is(counted: Origin, story: Story) -> None:
    everybody = {**story.busy, "2001:db8:1:3::/64": story.neighbours[NEIGHBOURS[1]]}
    wanted = {name: one.statuses.count(202) for name, one in everybody.items()}

    found = wait_until(
        lambda: {name: counted.counted(name) for name in everybody}, lambda seen: seen == wanted
    )

    assert found == wanted
    assert counted.counted(PROXY) == 0


def test_nothing_went_to_the_dead_letters(counted: Origin, coming: Future[Story]) -> None:
    wait([coming])

    kept = counted.cloud.aws.client("s3").list_objects_v2(Bucket=counted.made("limiter-dead-letters").id)

    assert kept["KeyCount"] == 0


def test_no_log_has_a_secret_or_a_token(counted: Origin, bare: Origin, coming: Future[Story]) -> None:
    wait([coming])
    logs = counted.cloud.aws.client("logs")
    groups = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    hidden = [OLD_SECRET, NEW_SECRET, bare.proxy.secret, counted.stack.token, bare.stack.token]

    for origin in (counted, bare):
        assert {origin.stack.outputs[each] for each in ("access_log", "authorizer_log")} <= set(groups)
    for group in groups:
        text = "\n".join(log_texts(counted.cloud, group))
        assert not [each for each in hidden if str(each) in text], group
