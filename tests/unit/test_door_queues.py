from typing import Any

import pulumi
import pytest

from components import door_queues
from components.door_queues import DoorQueue, QueueArgs

from ..component.recording import Plan, physical, plan_of

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
THEIRS: dict[str, Any] = {"queue_arn": ARN, "queue_url": URL}
FIFO: dict[str, Any] = {"queue_arn": f"{ARN}.fifo", "queue_url": f"{URL}.fifo"}
SETTINGS: dict[str, Any] = {
    "max_message_size": 2048,
    "visibility_timeout_seconds": 30,
    "message_retention_seconds": 60,
    "max_receive_count": 3,
    "fifo": True,
    "content_based_deduplication": True,
    "high_throughput": True,
}


def wrong(args: dict[str, Any]) -> list[str]:
    return [each.path for each in door_queues.problems(args)]


def test_what_a_queue_that_exists_decides_for_itself_is_every_setting() -> None:
    assert SETTINGS.keys() == {*door_queues.SETTINGS}
    assert {*QueueArgs.__annotations__} - SETTINGS.keys() == {"name", "queue_arn", "queue_url"}


@pytest.mark.parametrize(
    "args",
    [
        {},
        SETTINGS,
        THEIRS,
        FIFO,
        {"queue_arn": ARN.replace("aws", "aws-cn", 1), "queue_url": f"{URL.replace('com/', 'com.cn/')}"},
        {"queue_arn": ARN, "queue_url": "http://127.0.0.1:4566/123456789012/orders"},
        *({"max_message_size": size} for size in (1024, 1024 * 1024)),
        *({"visibility_timeout_seconds": seconds} for seconds in (0, 43_200)),
        *({"message_retention_seconds": seconds} for seconds in (60, 1_209_600)),
        *({"max_receive_count": count} for count in (1, 1000)),
        {"fifo": False},
    ],
)
def test_good_arguments_of_a_queue_have_no_problem(args: dict[str, Any]) -> None:
    assert not wrong(args)


@pytest.mark.parametrize(
    ("args", "paths"),
    [
        ({"queue_arn": ARN}, ["queue_url"]),
        ({"queue_url": URL}, ["queue_arn"]),
        ({"queue_arn": ARN.replace("sqs", "sns"), "queue_url": URL}, ["queue_arn"]),
        ({"queue_arn": ARN, "queue_url": "ftp://example.com/123456789012/orders"}, ["queue_url"]),
        # One queue has one name in both.
        ({"queue_arn": ARN, "queue_url": f"{URL}-2"}, ["queue_url"]),
        ({"queue_arn": ARN, "queue_url": f"{URL}.fifo"}, ["queue_url"]),
        ({"queue_arn": ARN.replace("123", "321"), "queue_url": URL}, ["queue_url"]),
        *(({"max_message_size": size}, ["max_message_size"]) for size in (1023, 1024 * 1024 + 1, "1 KiB")),
        *(
            ({"visibility_timeout_seconds": seconds}, ["visibility_timeout_seconds"])
            for seconds in (-1, 43_201, 1.5, False)
        ),
        *(
            ({"message_retention_seconds": seconds}, ["message_retention_seconds"])
            for seconds in (59, 1_209_601)
        ),
        *(({"max_receive_count": count}, ["max_receive_count"]) for count in (0, 1001)),
        *(({**SETTINGS, name: "yes"}, [name]) for name in ("content_based_deduplication", "high_throughput")),
        ({"fifo": 1}, ["fifo"]),
        ({"high_throughput": True}, ["high_throughput"]),
        ({"fifo": False, "content_based_deduplication": True}, ["content_based_deduplication"]),
    ],
)
def test_what_is_wrong_with_a_queue_is_named(args: dict[str, Any], paths: list[str]) -> None:
    assert wrong(args) == paths


@pytest.mark.parametrize(("key", "value"), SETTINGS.items(), ids=SETTINGS)
def test_a_queue_that_exists_keeps_its_own_settings(key: str, value: object) -> None:
    assert wrong({**THEIRS, key: value}) == [key]


def test_two_names_of_which_one_is_known_later_are_not_compared(output: pulumi.Output[str]) -> None:
    assert not wrong({"queue_arn": ARN, "queue_url": output})
    assert not wrong({"queue_arn": output, "queue_url": URL})


@pytest.mark.parametrize(
    ("args", "fifo"),
    [({}, False), ({"fifo": False}, False), ({"fifo": True}, True), (THEIRS, False), (FIFO, True)],
)
def test_whether_a_queue_is_fifo_is_said_by_its_setting_or_by_its_name(
    args: dict[str, Any], fifo: bool
) -> None:
    assert door_queues.is_fifo(args) is fifo


def test_whether_a_queue_is_fifo_of_which_nothing_is_known_only_aws_can_tell(
    output: pulumi.Output[str],
) -> None:
    assert door_queues.is_fifo({"queue_arn": output, "queue_url": output}) is None
    assert door_queues.is_fifo({"queue_arn": output, "queue_url": f"{URL}.fifo"}) is True
    assert door_queues.is_fifo({"queue_arn": ARN, "queue_url": output}) is False


def test_a_front_door_has_one_queue_without_a_name_or_several_with() -> None:
    assert door_queues.of({}) == [DoorQueue(None, {})]
    own = {"fifo": True, "max_receive_count": 3}
    assert door_queues.of({**own, "tracing": True}) == [DoorQueue(None, own)]
    several = [{"name": "a", "fifo": None}, {"name": "b", **THEIRS}]
    assert door_queues.of({"queues": several}) == [
        DoorQueue("a", {"name": "a"}),
        DoorQueue("b", {"name": "b", **THEIRS}),
    ]


@pytest.mark.parametrize(
    ("args", "size"), [({}, 262_144), ({"max_message_size": 1024}, 1024), (THEIRS, 1_048_576)]
)
def test_the_largest_message_is_the_queue_s_own_or_the_most_that_sqs_takes(
    args: dict[str, Any], size: int
) -> None:
    assert DoorQueue(None, args).max_message_size == size


@pytest.mark.parametrize(
    ("args", "seconds"),
    [
        ({}, 180),
        ({"visibility_timeout_seconds": None}, 180),
        ({"visibility_timeout_seconds": 0}, 0),
        ({"visibility_timeout_seconds": 30}, 30),
        (THEIRS, None),
        ({"queues": [{"name": "a", "visibility_timeout_seconds": 0}, {"name": "b"}]}, 0),
        ({"queues": [{"name": "a"}, {"name": "b", "visibility_timeout_seconds": 30}]}, 180),
        ({"queues": [{"name": "a", **THEIRS}, {"name": "b"}]}, None),
        # What is wrong is told where it is looked for.
        ({"queues": ["a"]}, None),
    ],
)
def test_a_message_stays_hidden_as_long_as_the_first_queue_says(
    args: dict[str, Any], seconds: int | None
) -> None:
    first = door_queues.named(args, None)
    known = door_queues.to_drain(first) if first is not None else {}
    assert known.get("queue_visibility_timeout_seconds") == seconds


@pytest.mark.parametrize(
    ("args", "known"),
    [
        ({}, {"queue_fifo": False, "queue_max_receive_count": 5, "queue_visibility_timeout_seconds": 180}),
        (
            {"fifo": True, "max_receive_count": 2, "visibility_timeout_seconds": 60},
            {"queue_fifo": True, "queue_max_receive_count": 2, "queue_visibility_timeout_seconds": 60},
        ),
        (THEIRS, {"queue_fifo": False}),
        ({key: f"{value}.fifo" for key, value in THEIRS.items()}, {"queue_fifo": True}),
    ],
)
def test_a_consumer_is_told_what_is_known_of_its_queue(args: dict[str, Any], known: dict[str, Any]) -> None:
    assert door_queues.to_drain(args) == known


def test_a_queue_is_found_by_what_routes_call_it() -> None:
    queues = [{"name": "a"}, {"name": "b", "fifo": True}]
    assert door_queues.named({"queues": queues}, None) == queues[0]
    assert door_queues.named({"queues": queues}, "b") == queues[1]
    assert door_queues.named({"queues": queues}, "c") is None
    assert door_queues.named({"fifo": True}, None) == {"fifo": True}
    assert door_queues.named({"fifo": True}, "queue") == {"fifo": True}
    assert door_queues.named({"fifo": True}, "a") is None


def planned(*queues: DoorQueue) -> Plan:
    """Return what is made of the queues of a front door, and where each leads to."""

    def program() -> object:
        parent = pulumi.ComponentResource("sluice:index:FrontDoor", "door")
        made = [
            each.create("door", None, default=index == 0, parent=parent) for index, each in enumerate(queues)
        ]
        return [{"name": each.name, "arn": each.arn, "dead": each.dead_letters is not None} for each in made]

    return plan_of(program)


def test_a_queue_that_exists_is_found_by_its_arn_and_nothing_is_made() -> None:
    plan = planned(DoorQueue(None, FIFO))
    assert plan.result == [{"name": "orders.fifo", "arn": f"{ARN}.fifo", "dead": False}]
    assert not plan.children


def test_a_message_that_does_not_stay_hidden_is_no_message_that_does_for_three_minutes() -> None:
    plan = planned(DoorQueue(None, {"visibility_timeout_seconds": 0}), DoorQueue("other", {}))
    seconds = [plan[f"door-{name}"].inputs["visibilityTimeoutSeconds"] for name in ("queue", "other-queue")]
    assert seconds == [0, 180]
    assert [each["name"] for each in plan.result] == [physical("door-queue"), physical("door-other-queue")]
    assert all(each["dead"] for each in plan.result)


def test_the_first_of_several_queues_takes_over_the_only_one_of_before() -> None:
    plan = planned(DoorQueue("orders", {}), DoorQueue("events", {}))
    former = {each.name: each.aliases for each in plan.children if each.aliases}
    assert {name: [*aliases] for name, aliases in former.items()} == {
        each.name: [each.name.replace("door-orders-", "door-")]
        for each in plan.children
        if each.name.startswith("door-orders-")
    }
    assert not [each.name for each in planned(DoorQueue(None, {})).children if each.aliases]
