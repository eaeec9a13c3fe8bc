"""What an operator sees of a front door: metrics, alarms, logs, and no body in any of them."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from local.backend import Backend
from local.demo_checks import wait_until
from local.say import Say
from local.stack import LocalAws, local_aws

from .doors import Door, delete_queue, open_door
from .support import access_lines, log_texts

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef

RETENTION_DAYS = 7
ACCEPTED, REFUSED, FAILED, READ = 5, 4, 3, 4
"""How many requests of each kind were sent."""
MARK = f"marked-{uuid.uuid4().hex}"
"""In everything that a caller writes."""


@pytest.fixture(scope="module")
def own_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS where no other test's requests raise alarms."""
    with local_aws(Say(quiet=True), folder=tmp_path_factory.mktemp("own")) as running:
        yield running


@pytest.fixture(scope="module")
def operated(own_cloud: LocalAws, behind: Backend) -> Door:
    """A front door with everything that is to be seen, after some requests."""
    door = open_door(
        own_cloud,
        {
            "queues": [{"name": "drained"}, {"name": "kept"}, {"name": "gone"}],
            "routes": [
                {"path": "kept", "queue": "kept", "attributes": {"mark": "header.X-Mark"}},
                {"path": "gone", "queue": "gone"},
                {"path": "batch", "queue": "kept", "batch": True},
                {"path": "checked", "queue": "kept", "schema": {"type": "object", "required": ["kind"]}},
                {"path": "rare", "queue": "kept", "throttle_rate": 1, "throttle_burst": 1},
            ],
            "reads": [{"path": "catalog/{sku}", "url": f"{behind.url}/{{sku}}", "cache_ttl_seconds": 60}],
            "execution_log": "INFO",
        },
        alarm_topic={"enabled": True},
        log_retention_days=RETENTION_DAYS,
    )
    marked = {"X-Mark": MARK, "User-Agent": MARK, "Cookie": MARK}
    for _ in range(ACCEPTED):
        assert door.send(f"kept?mark={MARK}", {"mark": MARK}, marked).status == 202
    for _ in range(REFUSED):
        assert door.send("checked", {"mark": MARK}, marked).status == 400
    for _ in range(READ):
        assert door.send(f"catalog/{MARK}", None, marked, "GET").status == 200
    assert door.send("batch", [MARK, {"mark": MARK}], marked).status == 202
    return door


def api_values(door: Door, metric: str, statistic: str = "Sum", **dimensions: str) -> float:
    """Return the statistic of a metric of a door's stage, over the last minutes."""
    name = door.made("front-door-api").outputs["name"]
    return values(door, "AWS/ApiGateway", metric, statistic, ApiName=name, Stage="v1", **dimensions)


def values(door: Door, namespace: str, metric: str, statistic: str = "Sum", **dimensions: str) -> float:
    """Return the statistic of a metric over the last minutes; 0 where there is nothing."""
    named: list[DimensionTypeDef] = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    now = datetime.now(UTC)
    points = door.cloud.aws.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=named,
        StartTime=now - timedelta(minutes=15),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=[statistic],  # type: ignore[list-item]  # one of the literals
    )["Datapoints"]
    return sum(each[statistic] for each in points)  # type: ignore[literal-required]


def test_requests_are_counted_by_api_and_stage(operated: Door) -> None:
    expected = {"Count": ACCEPTED + REFUSED + READ + 1, "4XXError": REFUSED, "5XXError": 0}

    found = wait_until(
        lambda: {name: api_values(operated, name) for name in expected}, lambda seen: seen == expected
    )

    assert found == expected


def test_the_time_to_answer_is_measured(operated: Door) -> None:
    wait_until(lambda: api_values(operated, "Count"), lambda seen: seen >= ACCEPTED + REFUSED + READ + 1)

    latency, behind = (api_values(operated, name, "Maximum") for name in ("Latency", "IntegrationLatency"))
    assert 0 < behind <= latency < 60_000


def test_each_method_has_metrics_of_its_own(operated: Door) -> None:
    def counted() -> list[float]:
        return [
            api_values(operated, metric, Method=method, Resource=resource)
            for metric, method, resource in (
                ("Count", "POST", "/kept"),
                ("4XXError", "POST", "/checked"),
                ("Count", "GET", "/catalog/{sku}"),
            )
        ]

    expected = [ACCEPTED, REFUSED, READ]
    assert wait_until(counted, lambda seen: seen == expected) == expected


def test_the_cache_s_hits_and_misses_are_counted(operated: Door) -> None:
    expected = [READ - 1, 1]

    def counted() -> list[float]:
        return [api_values(operated, name) for name in ("CacheHitCount", "CacheMissCount")]

    assert wait_until(counted, lambda seen: seen == expected) == expected


def test_what_is_throttled_is_counted_from_the_access_log(operated: Door) -> None:
    filtered = operated.made("front-door-throttled-requests").outputs
    told = filtered["metricTransformation"]

    refused = 0
    while refused < 3:
        refused += operated.send("rare").status == 429

    found = wait_until(lambda: values(operated, told["namespace"], told["name"]), lambda seen: seen >= 3)
    assert (told["name"], found) == ("RequestsThrottled", 3)


def test_the_access_log_has_one_line_for_each_request(operated: Door) -> None:
    lines = access_lines(operated.cloud, operated.stack, ACCEPTED + REFUSED + READ + 1)

    told = [(each.method, each.route, each.status) for each in lines]
    assert told.count(("POST", "/kept", 202)) == ACCEPTED
    assert told.count(("POST", "/checked", 400)) == REFUSED
    assert told.count(("GET", "/catalog/{sku}", 200)) == READ


def test_every_log_is_kept_as_long_as_it_was_set(operated: Door) -> None:
    groups = {each["logGroupName"]: each for each in log_groups(operated.cloud)}
    api = operated.made("front-door-api").id
    ours = [operated.stack.outputs["access_log"], f"API-Gateway-Execution-Logs_{api}/v1"]

    assert {groups[each]["retentionInDays"] for each in ours} == {RETENTION_DAYS}
    stage = operated.cloud.aws.client("apigateway").get_stage(restApiId=api, stageName="v1")
    assert {each["loggingLevel"] for each in stage["methodSettings"].values()} == {"INFO"}
    assert {each["dataTraceEnabled"] for each in stage["methodSettings"].values()} == {False}


def test_nothing_that_a_caller_writes_is_in_any_log(operated: Door) -> None:
    access_lines(operated.cloud, operated.stack, ACCEPTED + REFUSED + READ + 1)

    told = {
        each["logGroupName"]: [
            text for text in log_texts(operated.cloud, each["logGroupName"]) if MARK in text
        ]
        for each in log_groups(operated.cloud)
    }
    assert operated.stack.outputs["access_log"] in told
    assert {group: texts for group, texts in told.items() if texts} == {}


def log_groups(cloud: LocalAws) -> list[dict[str, Any]]:
    """Return every log group that there is."""
    pages = cloud.aws.client("logs").get_paginator("describe_log_groups").paginate()
    return [dict(each) for page in pages for each in page["logGroups"]]


def test_a_queue_that_is_deleted_raises_the_alarm_and_somebody_is_told(operated: Door) -> None:
    aws, topic = operated.cloud.aws, operated.stack.outputs["alarm_topic"]
    alarm = operated.made("front-door-errors-alarm").outputs["name"]
    sqs, inbox = aws.client("sqs"), subscribed(operated.cloud, topic)
    assert state_of(operated, alarm) != "ALARM"

    delete_queue(operated, "gone")
    assert [operated.send("gone").status for _ in range(FAILED)] == [502] * FAILED

    assert wait_until(lambda: state_of(operated, alarm), lambda seen: seen == "ALARM") == "ALARM"
    told: list[tuple[str, str]] = []

    def heard() -> bool:
        for each in sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10).get("Messages", []):
            notice = json.loads(json.loads(each["Body"])["Message"])
            told.append((notice["AlarmName"], notice["NewStateValue"]))
        return (alarm, "ALARM") in told

    assert wait_until(heard, bool), told
    assert wait_until(lambda: api_values(operated, "5XXError"), lambda seen: seen >= FAILED) == FAILED


def subscribed(cloud: LocalAws, topic: str) -> str:
    """Return the URL of a new queue that gets what a topic is told."""
    sqs = cloud.aws.client("sqs")
    url = sqs.create_queue(QueueName=f"oncall-{uuid.uuid4().hex}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    cloud.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url


def state_of(door: Door, alarm: str) -> str:
    """Return the state of an alarm."""
    (found,) = door.cloud.aws.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    return found["StateValue"]


def test_the_alarms_of_another_door_stay_quiet(operated: Door) -> None:
    other = open_door(operated.cloud, {}, alarm_topic={"enabled": True})
    assert other.send("messages").status == 202
    errors = other.made("front-door-errors-alarm").outputs["name"]

    assert wait_until(lambda: state_of(other, errors), lambda seen: seen != "INSUFFICIENT_DATA") == "OK"

    alarms = [each for each in other.stack.deployment.resources if each.name.endswith("-alarm")]
    assert "ALARM" not in {state_of(other, each.outputs["name"]) for each in alarms}
