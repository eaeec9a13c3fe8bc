"""The limiter as it is deployed: clients come, some too often, and what becomes of them."""

import ipaddress
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from handlers.enforcement import Enforcer, Report
from handlers.ip_sets import WafIpSets
from local.demo_checks import wait_until
from local.stack import LocalAws, LocalStack
from sluice.access_log import FIELDS
from sluice.limiter import blocks
from sluice.limiter.blocks import Block
from sluice.limiter.clients import cidr, family
from sluice.limiter.sets import BLOCK, CAPACITY, SetName

from .conftest import SHORT
from .support import (
    REFUSED_FOR_NOW,
    Values,
    Visitor,
    delivery,
    edit_by_hand,
    enforce,
    fresh,
    held,
    invoke,
    ip_sets,
    log_texts,
    made,
    now,
    operator_of,
    wait_every,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, WriteRequestTypeDef
    from mypy_boto3_wafv2 import WAFV2Client

BLOCKED_MS = 3000
"""From the request that uses up a limit to the first 429."""
RELEASED_MS = 5000
"""From the moment when there is room to the first request that is accepted again."""
NOTHING_SECONDS = 3.0
"""How long to wait for what is not to happen: longer than it takes elsewhere."""
HOUR_MS = 3_600_000
V4, V6 = "198.51.100.7", "2001:db8:1:2::/64"
UNREADABLE = "192.0.2.40"
NEIGHBOURS = ("198.51.100.6", "198.51.100.8", "2001:db8:1:3::1", "2001:db8:1:1:ffff:ffff:ffff:ffff")
PATIENT = "192.0.2.1"
ABOVE = SHORT + 5
"""More requests than the shorter window has room for."""


@dataclass
class Story:
    """What several clients saw in the same seconds."""

    busy: dict[str, Visitor]
    neighbours: list[Visitor]
    patient: Visitor
    allowed: list[Visitor]
    uncounted: Visitor
    until: dict[str, int]
    """When there is room for those that were blocked, as their blocks said last."""
    while_blocked: dict[str, list[int]]
    """What they had in their longest window, looked at again and again while they were blocked."""
    reasons: dict[str, str]
    """The windows that blocked."""

    def everybody(self) -> list[Visitor]:
        return [*self.busy.values(), *self.neighbours, self.patient, *self.allowed, self.uncounted]


@pytest.fixture(scope="module")
def story(cloud: LocalAws, limited: LocalStack) -> Story:
    visitor = partial(Visitor.at, cloud, limited)
    told = Story(
        busy={
            V4: visitor(V4),
            V6: Visitor(cloud, limited, lambda n: f"2001:db8:1:2:{97 * n + 1:x}::{n:x}"),
            UNREADABLE: visitor(UNREADABLE),
        },
        neighbours=[visitor(each) for each in NEIGHBOURS],
        patient=visitor(PATIENT),
        allowed=[visitor("198.51.100.200"), visitor("2001:db8:a:1::1")],
        uncounted=visitor("198.51.100.20"),
        until={},
        while_blocked={V4: [], V6: [], UNREADABLE: []},
        reasons={},
    )
    spoil(cloud, limited, {**block_item(UNREADABLE), "until": {"S": "soon"}, "generation": {"B": b"x"}})
    busy_end: list[bool] = []

    def come_too_often(client: str) -> None:
        one = told.busy[client]
        # WAF takes one write a second: each crossing has seconds of its own.
        time.sleep(1.5 * list(told.busy).index(client))
        one.send(SHORT)
        if not one.send_until(429, every=0.3):
            return
        watching = pool.submit(watch, told, client)
        one.send_until(202, every=0.25)
        watching.result()

    def come_quietly(one: Visitor) -> None:
        while not busy_end:
            one.send()
            time.sleep(1.5)

    def come_in_bursts() -> None:
        time.sleep(4.0)
        told.patient.send(7)
        time.sleep(8.5)
        told.patient.send(7)
        told.patient.send_until(429, seconds=5.0, every=0.3)
        found = operator_of(cloud, limited).explain(PATIENT).block
        told.reasons[PATIENT] = found.window if found else ""

    def come_freely() -> None:
        time.sleep(6.0)
        for one in told.allowed:
            one.send(ABOVE)
        told.uncounted.send(ABOVE, **{"Content-Type": "text/plain"})

    with ThreadPoolExecutor(16) as pool:
        ended = [pool.submit(come_too_often, each) for each in told.busy]
        ended.append(pool.submit(come_in_bursts))
        quiet = [pool.submit(come_quietly, each) for each in told.neighbours]
        quiet.append(pool.submit(come_freely))
        try:
            for each in ended:
                each.result()
        finally:
            busy_end.append(True)
        for each in quiet:
            each.result()
    return told


def watch(told: Story, client: str) -> None:
    """Look at a client's block until it is over."""
    one = told.busy[client]
    operator = operator_of(one.cloud, one.stack)
    time.sleep(1.0)
    while found := operator.explain(client).block:
        told.until[client], told.reasons[client] = found.until, found.window
        told.while_blocked[client].append(operator.explain(client).standings[1].count)
        time.sleep(0.3)


def spoil(cloud: LocalAws, stack: LocalStack, *items: "dict[str, AttributeValueTypeDef]") -> None:
    """Put records into the table of the blocks, whatever they say."""
    for item in items:
        cloud.aws.client("dynamodb").put_item(TableName=stack.outputs["limiter"]["blocks"], Item=item)


def block_item(client: str, until: int | None = None) -> "dict[str, AttributeValueTypeDef]":
    """Return the record of a block for an hour, as it is in the table."""
    return blocks._as_item(Block(client, "short", now(), until or now() + HOUR_MS))


@pytest.mark.parametrize("client", [V4, V6, UNREADABLE])
def test_who_uses_up_its_limit_gets_429_within_3_seconds(story: Story, client: str) -> None:
    one = story.busy[client]
    crossed = one.times(202)[SHORT - 1]

    assert one.statuses[:SHORT] == [202] * SHORT
    assert one.times(429)[0] - crossed <= BLOCKED_MS
    assert set(one.statuses) == {202, 429}
    assert story.reasons[client] == "short"


@pytest.mark.parametrize("client", [V4, V6, UNREADABLE])
def test_who_is_blocked_is_free_within_5_seconds_of_room_and_not_before(story: Story, client: str) -> None:
    one = story.busy[client]
    first_429 = one.times(429)[0]
    released = next(when for when in one.times(202) if when > first_429)

    assert 0 <= released - story.until[client] <= RELEASED_MS
    assert one.statuses.count(429) >= 3, "it asked all the while"


def test_the_429_says_what_happened_when_to_come_again_and_can_be_read_by_a_page(story: Story) -> None:
    for one in story.busy.values():
        reply = next(reply for _, reply in one.answers if reply.status == 429)
        assert reply.answer == {
            "code": "TOO_MANY_REQUESTS",
            "message": "The limit of requests from your address is used up for now.",
        }
        assert reply.headers["retry-after"] == "20"
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["content-type"] == "application/json"


def test_neighbours_never_notice(story: Story) -> None:
    for one in story.neighbours:
        assert len(one.statuses) >= 4
        assert set(one.statuses) == {202}, one.address(0)


@pytest.mark.parametrize("client", [V4, V6])
def test_what_a_blocked_client_asks_for_does_not_count(story: Story, client: str) -> None:
    counts = story.while_blocked[client]

    assert len(counts) >= 3
    assert len(set(counts)) == 1, counts


def test_the_longer_window_blocks_who_stays_below_the_shorter_one(story: Story) -> None:
    assert story.patient.statuses[:14] == [202] * 14
    assert story.patient.times(429)
    assert story.reasons[PATIENT] == "long"


def test_who_is_on_the_allow_list_of_the_settings_is_never_refused_and_never_counted(
    cloud: LocalAws, limited: LocalStack, story: Story
) -> None:
    for one in story.allowed:
        assert one.statuses == [202] * ABOVE
        standings = operator_of(cloud, limited).explain(as_client(limited, one)).standings
        assert [each.count for each in standings] == [0, 0]


def test_an_answer_that_does_not_count_is_not_counted(
    cloud: LocalAws, limited: LocalStack, story: Story
) -> None:
    assert story.uncounted.statuses == [415] * ABOVE
    assert [each.count for each in operator_of(cloud, limited).explain("198.51.100.20").standings] == [0, 0]


def test_every_request_that_counts_is_counted_exactly_once(
    cloud: LocalAws, limited: LocalStack, story: Story
) -> None:
    """The longer window holds all of it."""
    operator = operator_of(cloud, limited)
    counted = {as_client(limited, one): one.statuses.count(202) for one in story.everybody()}
    counted |= {as_client(limited, one): 0 for one in story.allowed}

    def found() -> dict[str, int]:
        return {each: operator.explain(each).standings[1].count for each in counted}

    assert wait_until(found, lambda seen: seen == counted) == counted


def as_client(stack: LocalStack, one: Visitor) -> str:
    identity = operator_of(one.cloud, stack).rules.identity
    return identity.clients(one.address(0))[0]


@pytest.fixture
def _unscheduled(cloud: LocalAws, limited: LocalStack) -> Iterator[None]:
    name = made(limited, "limiter-schedule").id
    cloud.aws.client("events").disable_rule(Name=name)
    yield
    cloud.aws.client("events").enable_rule(Name=name)


@pytest.mark.usefixtures("_unscheduled")
def test_a_wake_up_at_its_end_releases_a_block_that_nothing_else_looks_at(
    cloud: LocalAws, limited: LocalStack
) -> None:
    client = "192.0.2.91"
    one = Visitor.at(cloud, limited, client)
    block, _ = operator_of(cloud, limited).block(client, 4000, "")

    assert one.send_until(429, every=0.1)
    assert one.send_until(202)

    assert 0 <= one.times(202)[-1] - block.until <= RELEASED_MS


def test_a_second_stack_of_the_same_name_leaves_the_first_alone(
    cloud: LocalAws, limited: LocalStack, counting: LocalStack
) -> None:
    client = "192.0.2.90"
    operator_of(cloud, limited).block(client, HOUR_MS, "in the first only")

    assert Visitor.at(cloud, limited, client).send_until(429)
    assert Visitor.at(cloud, counting, client).send() == 202
    assert operator_of(cloud, counting).explain(client).block is None
    operator_of(cloud, limited).unblock(client)


def test_the_schedule_lets_the_enforcer_work_every_minute(cloud: LocalAws, limited: LocalStack) -> None:
    events = cloud.aws.client("events")
    name = made(limited, "limiter-schedule").id
    enforcer = made(limited, "limiter-enforcer-function").outputs

    rule = events.describe_rule(Name=name)
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]

    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    assert target["Arn"] == enforcer["arn"]
    policy = json.loads(cloud.aws.client("lambda").get_policy(FunctionName=enforcer["name"])["Policy"])
    assert [
        (each["Principal"]["Service"], each["Condition"]["ArnLike"]["AWS:SourceArn"])
        for each in policy["Statement"]
    ] == [("events.amazonaws.com", rule["Arn"])]


FRAMED = "203.0.113.77"
BROKEN = [
    "",
    "not JSON",
    '{"requestId":"r-1"}',
    "[" * 10_000,
    "x" * 65_536,
    json.dumps(dict.fromkeys(FIELDS, "1")),
    "\u0000\ud7ff",
]


def test_a_forged_or_broken_line_is_counted_and_kept_and_harms_nobody(
    cloud: LocalAws, limited: LocalStack
) -> None:
    client = "192.0.2.60"
    forged = [
        line(client).replace('"principal":"-"', f'"principal":"x","ip":"{FRAMED}"'),
        line(client, principal=f'x","ip":"{FRAMED}'),
        line(client, principal="y" * 65_000, extra="1"),
        line(FRAMED, status="200 "),
        line(f"{FRAMED} "),
        line(f"{FRAMED}/32"),
    ]
    lines = [*BROKEN, *(each for each in forged for _ in range(SHORT))]
    readable = [each for each in lines if each]
    fine = [line(client), line(client, principal=f"says ip {FRAMED}"), line(client, waf="WAF_BLOCK")]
    logs, group = cloud.aws.client("logs"), limited.outputs["access_log"]
    logs.create_log_stream(logGroupName=group, logStreamName="forged")

    logs.put_log_events(
        logGroupName=group,
        logStreamName="forged",
        logEvents=[{"timestamp": now(), "message": each} for each in [*readable, *fine]],
    )

    operator = operator_of(cloud, limited)
    assert wait_every(0.2, 10, lambda: operator.explain(client).standings[1].count > 0)
    counts = {each: operator.explain(each).standings[1].count for each in (client, FRAMED)}
    # One forgery hides its quotes so well that it is a line: its principal is only a text.
    hidden = SHORT
    assert counts == {client: len(fine) - 1 + hidden, FRAMED: 0}
    assert operator.explain(FRAMED).block is None
    (delivery,) = wait_until(
        lambda: [each for each in metrics(cloud, limited, "ingest") if "LinesMalformed" in each], bool
    )
    assert delivery["LinesMalformed"] == len(readable) - hidden
    assert delivery["EventsPerDelivery"] == len(readable) + len(fine)
    s3, bucket = cloud.aws.client("s3"), made(limited, "limiter-dead-letters").id
    (kept,) = wait_until(lambda: s3.list_objects_v2(Bucket=bucket).get("Contents", []), bool)
    assert kept["Key"].startswith("malformed/")
    body = json.loads(s3.get_object(Bucket=bucket, Key=kept["Key"])["Body"].read())
    assert body == [each for each in readable if each != forged[1]]


def line(ip: str, **changed: str) -> str:
    """Return an access log line of a request that came now."""
    given = {
        **dict.fromkeys(FIELDS, "-"),
        "requestId": "r-1",
        "ip": ip,
        "time": str(now()),
        "status": "202",
        "waf": "WAF_ALLOW",
        **changed,
    }
    return json.dumps(given, separators=(",", ":"))


def metrics(cloud: LocalAws, stack: LocalStack, function: str) -> list[Values]:
    """Return everything that a function measured."""
    group = made(stack, f"limiter-{function}-logs").id
    return [json.loads(text) for text in log_texts(cloud, group) if '"_aws"' in text]


def test_a_delivery_that_comes_twice_counts_once(cloud: LocalAws, limited: LocalStack) -> None:
    clients = ["192.0.2.70", "192.0.2.71"]
    message = {
        "messageType": "DATA_MESSAGE",
        "logEvents": [{"id": f"e-{number}", "message": line(each)} for number, each in enumerate(clients)],
    }
    event = delivery(message)

    first, second = (invoke(cloud, limited, "limiter-ingest-function", event)[-1] for _ in range(2))

    assert (first["RequestsCounted"], second["RequestsCounted"]) == (2, 0)
    assert (first.get("EventsRepeated", 0), second["EventsRepeated"]) == (0, 2)
    for each in clients:
        assert [known.count for known in operator_of(cloud, limited).explain(each).standings] == [1, 1]


def test_a_counters_item_of_garbage_harms_nobody(cloud: LocalAws, limited: LocalStack) -> None:
    spoilt, neighbour = "192.0.2.72", "192.0.2.73"
    operator = operator_of(cloud, limited)
    cloud.aws.client("dynamodb").put_item(
        TableName=limited.outputs["limiter"]["counters"],
        Item={
            "k": {"S": spoilt},
            "g": {"S": "first"},
            "z": {"M": {"abc": {"L": [{"S": "x"}, {"NULL": True}]}, "abd": {"N": "1"}}},
            "x": {"S": "never"},
            "zzzzzz": {"S": "many"},
            "000000": {"N": "-1.5"},
            "other": {"BOOL": True},
        },
    )
    events = [line(each) for each in [*[spoilt] * SHORT, neighbour]]
    message = {
        "messageType": "DATA_MESSAGE",
        "logEvents": [{"id": f"g-{number}", "message": each} for number, each in enumerate(events)],
    }

    measured = invoke(cloud, limited, "limiter-ingest-function", delivery(message))[-1]

    assert measured["RequestsCounted"] == SHORT + 1
    assert [each.count for each in operator.explain(neighbour).standings] == [1, 1]
    assert operator.explain(spoilt).standings[1].count == SHORT
    assert Visitor.at(cloud, limited, spoilt).send_until(429, seconds=5.0)
    assert Visitor.at(cloud, limited, neighbour).send() == 202


def as_role(cloud: LocalAws, stack: LocalStack, function: str, service: str) -> Any:
    """Return a client that may do what one of a stack's functions may."""
    role = made(stack, f"limiter-{function}-role").outputs["arn"]
    given = cloud.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    session = boto3.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=cloud.aws.region
    )
    client: Any = session.client(service, endpoint_url=cloud.aws.endpoint)  # type: ignore[call-overload]
    return client


def assert_denied(do: Callable[[], object]) -> None:
    with pytest.raises(ClientError) as refused:
        do()
    assert refused.value.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}


def test_the_enforcer_may_write_its_own_ip_sets_and_no_others(
    cloud: LocalAws, limited: LocalStack, counting: LocalStack
) -> None:
    waf = as_role(cloud, limited, "enforcer", "wafv2")

    def update(each: SetName) -> None:
        read = cloud.aws.client("wafv2").get_ip_set(Name=each.name, Scope="REGIONAL", Id=each.id)
        waf.update_ip_set(
            Name=each.name,
            Scope="REGIONAL",
            Id=each.id,
            Addresses=read["IPSet"]["Addresses"],
            LockToken=read["LockToken"],
        )

    def updated() -> bool:
        try:
            update(ip_sets(cloud, limited)[-1])
        except ClientError as refused:
            if refused.response["Error"]["Code"] not in REFUSED_FOR_NOW:
                raise
            return False
        return True

    assert wait_every(0.3, 10, updated)
    assert_denied(lambda: update(ip_sets(cloud, counting)[0]))
    assert_denied(lambda: waf.list_ip_sets(Scope="REGIONAL"))


def test_ingest_may_add_and_not_delete(cloud: LocalAws, limited: LocalStack) -> None:
    tables = as_role(cloud, limited, "ingest", "dynamodb")
    found = limited.outputs["limiter"]
    key = {"k": {"S": "192.0.2.80"}}

    assert "Item" not in tables.get_item(TableName=found["counters"], Key=key)
    assert_denied(lambda: tables.delete_item(TableName=found["counters"], Key=key))
    assert_denied(lambda: tables.delete_item(TableName=found["blocks"], Key=blocks.PAUSE))
    assert_denied(lambda: tables.scan(TableName=found["counters"]))
    (each, *_) = ip_sets(cloud, limited)
    waf = as_role(cloud, limited, "ingest", "wafv2")
    assert_denied(lambda: waf.get_ip_set(Name=each.name, Scope="REGIONAL", Id=each.id))


def test_where_it_only_counts_nobody_is_refused_and_everybody_is_recorded(
    cloud: LocalAws, counting: LocalStack
) -> None:
    over, under = (Visitor.at(cloud, counting, each) for each in ("192.0.2.1", "192.0.2.2"))
    over.send(2)
    under.send(1)
    operator = operator_of(cloud, counting)
    blocking = next(each for each in ip_sets(cloud, counting) if (each.role, each.family) == (BLOCK, 4))

    assert wait_every(0.1, 10, lambda: held(cloud, blocking) == {"192.0.2.1/32"})

    over.send(6)
    assert set(over.statuses) == {202}
    assert [each.client for each in operator.blocked().blocks] == ["192.0.2.1"]
    assert operator.explain("192.0.2.2").standings[0].count == 5, "each request counts for five"
    assert wait_every(0.1, 10, lambda: operator.explain("192.0.2.1").standings[0].count == 40)


@pytest.fixture(scope="module")
def deaf(cloud: LocalAws) -> LocalStack:
    """A stack with a limit for bursts, to which the access log is not delivered."""
    stack = fresh(
        cloud,
        "limits",
        limiter={
            "burst_limit": 15,
            "retry_after_seconds": 77,
            "windows": [{"name": "short", "limit": SHORT, "length_seconds": 3600}],
        },
    )
    cloud.aws.client("logs").delete_subscription_filter(
        logGroupName=stack.outputs["access_log"], filterName=made(stack, "limiter-subscription").id
    )
    return stack


def test_a_burst_is_stopped_at_once_by_waf_itself(cloud: LocalAws, deaf: LocalStack) -> None:
    busy, other = (Visitor.at(cloud, deaf, each) for each in ("192.0.2.1", "192.0.2.2"))
    assert other.send_until(202)

    busy.send(18)

    assert busy.statuses == [202] * 15 + [429] * 3
    reply = busy.answers[-1][1]
    assert reply.answer["message"] == "Too many requests at once from your address."
    assert reply.headers["retry-after"] == "60", "its own window"
    assert other.send() == 202


def test_without_the_subscription_nobody_is_blocked(cloud: LocalAws, deaf: LocalStack) -> None:
    one = Visitor.at(cloud, deaf, "192.0.2.10")
    one.send(SHORT + 2)

    time.sleep(NOTHING_SECONDS)

    one.send()
    assert set(one.statuses) == {202}
    assert operator_of(cloud, deaf).blocked().blocks == ()


@pytest.fixture(scope="module")
def unattended(cloud: LocalAws) -> LocalStack:
    """A stack of two sets for each family, whose enforcer nothing wakes."""
    stack = fresh(
        cloud,
        "limits",
        limiter={
            "sets_per_family": 2,
            "windows": [{"name": "short", "limit": SHORT, "length_seconds": 3600}],
        },
    )
    functions, events = cloud.aws.client("lambda"), cloud.aws.client("events")
    for mapping in ("limiter-stream", "limiter-releases"):
        functions.delete_event_source_mapping(UUID=made(stack, mapping).id)
    events.disable_rule(Name=made(stack, "limiter-schedule").id)
    return stack


def right(cloud: LocalAws, stack: LocalStack) -> bool:
    """Whether the sets hold exactly what the table says, each client in one of them."""
    found = [held(cloud, each) for each in ip_sets(cloud, stack) if each.role == BLOCK]
    wanted = {cidr(each.client) for each in operator_of(cloud, stack).blocked().blocks}
    return set().union(*found) == wanted and sum(map(len, found)) == len(wanted)


def set_of(cloud: LocalAws, stack: LocalStack, client: str) -> SetName:
    """Return the set that a client would be in."""
    candidates = [
        each for each in ip_sets(cloud, stack) if (each.role, each.family) == (BLOCK, family(client))
    ]
    return candidates[blocks.spread(client, len(candidates))]


def test_without_the_enforcer_s_wake_ups_nobody_is_blocked_although_it_is_decided(
    cloud: LocalAws, unattended: LocalStack
) -> None:
    client = "198.51.100.1"
    one = Visitor.at(cloud, unattended, client)
    operator = operator_of(cloud, unattended)
    one.send(SHORT)

    assert wait_every(0.1, 10, lambda: operator.explain(client).block is not None)
    time.sleep(NOTHING_SECONDS)
    assert one.send() == 202
    assert held(cloud, set_of(cloud, unattended, client)) == set()
    enforce(cloud, unattended)
    assert one.send_until(429), "the enforcer was all that was missing"


def test_an_edit_by_hand_holds_until_the_next_run(cloud: LocalAws, unattended: LocalStack) -> None:
    innocent, guilty = "198.51.100.20", "2001:db8:20::/64"
    operator_of(cloud, unattended).block(guilty, HOUR_MS, "")
    enforce(cloud, unattended)
    innocent_one = Visitor.at(cloud, unattended, innocent)
    guilty_one = Visitor.at(cloud, unattended, "2001:db8:20::5")
    assert innocent_one.send() == 202
    assert guilty_one.send_until(429)

    edit_by_hand(cloud, set_of(cloud, unattended, innocent), lambda before: {*before, f"{innocent}/32"})
    edit_by_hand(cloud, set_of(cloud, unattended, guilty), lambda before: before - {guilty})

    assert innocent_one.send_until(429)
    assert guilty_one.send_until(202)
    measured = enforce(cloud, unattended)
    assert innocent_one.send_until(202)
    assert guilty_one.send_until(429)
    assert measured["SetsWritten"] == 2
    assert right(cloud, unattended)
    assert enforce(cloud, unattended)["SetsWritten"] == 0, "there is nothing to heal"


def test_another_way_to_write_an_address_is_no_difference(cloud: LocalAws, unattended: LocalStack) -> None:
    client = "2001:db8:21::/64"
    operator_of(cloud, unattended).block(client, HOUR_MS, "")
    enforce(cloud, unattended)

    edit_by_hand(
        cloud,
        set_of(cloud, unattended, client),
        lambda before: {ipaddress.ip_network(each).exploded for each in before},
    )

    assert enforce(cloud, unattended)["SetsWritten"] == 0


def enforcer_of(cloud: LocalAws, stack: LocalStack, waf: "WAFV2Client | FlakyWaf | None" = None) -> Enforcer:
    """Return one more enforcer of a stack, which wakes nobody."""
    operator = operator_of(cloud, stack)
    client: Any = waf or cloud.aws.client("wafv2")
    sets = WafIpSets(client, ip_sets(cloud, stack))
    return Enforcer(operator.rules, operator.counters, operator.blocks, sets, lambda _: None, now)


def test_eight_enforcers_and_a_hand_at_once_end_in_the_right_sets(
    cloud: LocalAws, unattended: LocalStack
) -> None:
    operator = operator_of(cloud, unattended)
    ended: list[bool] = []

    def add(before: set[str]) -> set[str]:
        return {*before, f"203.0.113.{random.randrange(256)}/32"}

    def edit() -> None:
        try:
            for _ in range(2):
                edit_by_hand(cloud, set_of(cloud, unattended, "198.51.100.30"), add)
        finally:
            ended.append(True)

    def run(number: int) -> list[Report]:
        enforcer = enforcer_of(cloud, unattended)
        reports: list[Report] = []
        while True:
            last = bool(ended)
            operator.block(f"198.51.100.{30 + number}", HOUR_MS + len(reports), "")
            reports.append(enforcer.run(f"{number}-{len(reports)}", wakes=False))
            if last:
                return reports
            time.sleep(0.1)

    with ThreadPoolExecutor(9) as pool:
        hand = pool.submit(edit)
        runs = list(pool.map(run, range(8)))
        hand.result()

    assert right(cloud, unattended)
    reports = [each for of_one in runs for each in of_one]
    assert any(each.busy for each in reports), "they did meet"
    assert sum(each.written for each in reports) > 0


class FlakyWaf:
    """WAF on a bad day: now and then it throttles, fails, or says that somebody else was faster."""

    def __init__(self, client: "WAFV2Client", seed: int) -> None:
        self._client = client
        self._random = random.Random(seed)
        self.failures: list[str] = []

    def get_ip_set(self, **given: Any) -> Any:
        self._fail(
            ("ThrottlingException", 400), ("WAFInternalErrorException", 500), ("ServiceUnavailable", 503)
        )
        return self._client.get_ip_set(**given)

    def update_ip_set(self, **given: Any) -> Any:
        self._fail(
            ("ThrottlingException", 400),
            ("WAFInternalErrorException", 500),
            ("WAFOptimisticLockException", 400),
            ("Nobody knows", 502),
        )
        return self._client.update_ip_set(**given)

    def _fail(self, *failures: tuple[str, int]) -> None:
        if self._random.random() < 0.4:
            code, status = self._random.choice(failures)
            self.failures.append(code)
            raise ClientError(
                {"Error": {"Code": code, "Message": code}, "ResponseMetadata": metadata(status)}, "Any"
            )


def metadata(status: int) -> Any:
    return {"HTTPStatusCode": status}


def test_a_waf_that_fails_at_random_ends_in_the_right_sets(cloud: LocalAws, unattended: LocalStack) -> None:
    operator = operator_of(cloud, unattended)
    flaky = FlakyWaf(cloud.aws.client("wafv2"), seed=1)
    enforcer = enforcer_of(cloud, unattended, flaky)
    operator.block("198.51.100.101", HOUR_MS, "")
    operator.block("2001:db8:101::/64", HOUR_MS, "")

    def ran() -> bool:
        try:
            enforcer.run("test", wakes=False)
        except ClientError:
            return False
        return True

    assert wait_every(0.0, 60, ran)
    assert right(cloud, unattended)
    assert flaky.failures


def poisoned(client: str, **changed: "AttributeValueTypeDef") -> "dict[str, AttributeValueTypeDef]":
    return {**block_item(client), **changed}


@contextmanager
def records(cloud: LocalAws, stack: LocalStack, *items: "dict[str, AttributeValueTypeDef]") -> Iterator[None]:
    """Keep records in the table of the blocks for a while."""
    spoil(cloud, stack, *items)
    try:
        yield
    finally:
        for item in items:
            cloud.aws.client("dynamodb").delete_item(
                TableName=stack.outputs["limiter"]["blocks"],
                Key={"partition": item["partition"], "client": item["client"]},
            )


def test_a_poisoned_record_harms_nobody_and_is_told_of(cloud: LocalAws, unattended: LocalStack) -> None:
    crossing = [f"198.51.100.{number}" for number in range(140, 148)]
    poison: list[dict[str, AttributeValueTypeDef]] = [
        poisoned(crossing[0], partition=other_partition(crossing[0])),
        poisoned(crossing[1], until={"S": "never"}),
        poisoned(crossing[2], until={"N": "9" * 38}),
        poisoned(crossing[3], since={"NULL": True}),
        poisoned(crossing[4], generation={"M": {}}),
        poisoned(crossing[5], window={"NULL": True}),
        poisoned(crossing[6], state={"N": "1"}),
        poisoned(crossing[7], state={"S": "blocked"}),
        poisoned("198.51.100.149", until={"N": "1.5"}),
        poisoned("nobody"),
        poisoned("0.0.0.0/0"),
        poisoned("::/0"),
        poisoned("10.0.0.1/8"),
        poisoned("198.51.0.0/16"),
        poisoned("2000::/12"),
        poisoned("2001:DB8:7::/64"),
        poisoned("198.51.100.148 "),
        {"partition": {"S": "allow"}, "client": {"S": "everybody"}, "state": {"S": "allow"}},
    ]
    operator = operator_of(cloud, unattended)
    with records(cloud, unattended, *poison):
        operator.block("198.51.100.150", HOUR_MS, "")
        *warnings, measured = invoke(cloud, unattended, "limiter-enforcer-function", {})

        assert measured["RecordsUnreadable"] == len(poison)
        assert len([each for each in warnings if each["message"] == "unreadable record"]) == len(poison)
        assert not [each for each in warnings if "198.51." in json.dumps(each)], "nor of whom"
        assert right(cloud, unattended)
        assert len(operator.blocked().unreadable) == len(poison)
        assert Visitor.at(cloud, unattended, "198.51.100.150").send_until(429)
        visitors = [Visitor.at(cloud, unattended, each) for each in crossing]
        for one in visitors:
            one.send(SHORT)
            assert set(one.statuses) == {202}

        assert wait_every(
            0.2, 20, lambda: {each.client for each in operator.blocked().blocks} >= set(crossing)
        ), "who crosses is blocked all the same"
        enforce(cloud, unattended)
        assert right(cloud, unattended)
        assert all(one.send_until(429) for one in visitors)


def other_partition(client: str) -> "AttributeValueTypeDef":
    """Return a partition in which a client's record is not looked for."""
    return {"S": "p1" if block_item(client)["partition"] == {"S": "p0"} else "p0"}


@pytest.mark.parametrize(
    "garbage",
    [
        {"held_until": {"S": "for ever"}, "holder": {"N": "1"}},
        {"held_until": {"N": "9" * 38}, "holder": {"S": "nobody"}},
        {"held_until": {"NULL": True}, "asked": {"N": "-1"}, "asked_to_wake": {"L": []}},
    ],
    ids=["texts", "for ever", "other types"],
)
def test_a_lease_of_garbage_harms_nobody(
    cloud: LocalAws, unattended: LocalStack, garbage: "dict[str, AttributeValueTypeDef]"
) -> None:
    client = "198.51.100.160"
    lease: dict[str, AttributeValueTypeDef] = {
        "partition": {"S": blocks.CONTROL},
        "client": {"S": "lease"},
        **garbage,
    }
    with records(cloud, unattended, lease):
        operator_of(cloud, unattended).block(client, HOUR_MS, "")
        (measured,) = invoke(cloud, unattended, "limiter-enforcer-function", {})

    assert not measured["RunsBusy"]
    assert right(cloud, unattended)
    assert cidr(client) in held(cloud, set_of(cloud, unattended, client))
    operator_of(cloud, unattended).unblock(client)


MANY = 12_000
PREFIXES = (f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64" for number in itertools.count(0x10001))


def test_very_many_blocks_are_all_written_and_where_a_set_is_full_the_first_to_end_goes(
    cloud: LocalAws, unattended: LocalStack
) -> None:
    many = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(MANY - CAPACITY)]
    own = (each for each in PREFIXES if ":0::" not in each and blocks.spread(each, 2) == 0)
    crowded = list(itertools.islice(own, CAPACITY + 1))
    latest = now() + 2 * HOUR_MS
    rest = {each.client for each in operator_of(cloud, unattended).blocked().blocks} | set(many)
    full_set = set_of(cloud, unattended, crowded[0])
    in_full_set = {each for each in rest if family(each) == full_set.family and blocks.spread(each, 2) == 0}
    write(
        cloud,
        unattended,
        [block_item(each, latest) for each in many]
        + [block_item(each, latest + number) for number, each in enumerate(crowded)],
    )

    measured = enforce(cloud, unattended)

    found = {each: held(cloud, each) for each in ip_sets(cloud, unattended) if each.role == BLOCK}
    everything = [address for addresses in found.values() for address in addresses]
    assert len(everything) == len(set(everything)) >= MANY
    assert found.pop(full_set) == set(crowded[1:])
    assert set().union(*found.values()) == {cidr(each) for each in rest - in_full_set}
    assert measured["BlocksEvicted"] == 1 + len(in_full_set)
    assert measured["SetFill"] > 100


def write(cloud: LocalAws, stack: LocalStack, items: "Sequence[dict[str, AttributeValueTypeDef]]") -> None:
    """Put many records into the table of the blocks."""
    table = stack.outputs["limiter"]["blocks"]

    def put(first: int) -> None:
        batch: list[WriteRequestTypeDef] = [
            {"PutRequest": {"Item": each}} for each in items[first : first + 25]
        ]
        answer = cloud.aws.client("dynamodb").batch_write_item(RequestItems={table: batch})
        assert not answer["UnprocessedItems"]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(put, range(0, len(items), 25)))
