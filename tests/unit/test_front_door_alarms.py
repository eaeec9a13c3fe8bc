import re
from typing import Any

import pytest

from components import front_door_metrics
from components.front_door_metrics import FrontDoorNames, Limits, QueueNames
from components.monitoring import Alarm, Formula, Metric

from .alarm_evaluation import Data, Value, fires, names_in, value
from .aws_metrics import DOOR_NAMESPACE

OURS: QueueNames = {"queue": "orders", "dead_letter_queue": "dead"}
THEIRS: QueueNames = {"queue": "theirs"}
THROTTLED = "RequestsThrottled"
WAITING = "ApproximateNumberOfMessagesVisible"
AGE = "ApproximateAgeOfOldestMessage"


def names(*queues: QueueNames, cached: bool = False) -> FrontDoorNames:
    return {
        "api": "api",
        "stage": "v1",
        "namespace": DOOR_NAMESPACE,
        "queues": [*queues] or [OURS],
        "cached": cached,
    }


def alarms(*queues: QueueNames, **limits: int) -> dict[str, Alarm]:
    given = names(*queues)
    labels = ["" if len(given["queues"]) == 1 else f"{each['queue']}-" for each in given["queues"]]
    return {each.role: each for each in front_door_metrics.alarms(given, labels, Limits(**limits))}


ALARMS = alarms()
CASES: dict[str, tuple[list[Data], list[Data]]] = {
    "errors-alarm": (
        [{"5XXError": [0.01]}, {"5XXError": [1]}, {"5XXError": [0, 0.5]}],
        [{"5XXError": [0.0099]}, {"5XXError": [0]}, {"5XXError": [1, 0]}, {"5XXError": [None]}],
    ),
    "latency-alarm": (
        [{"Latency": [1000] * 3}, {"Latency": [0, 29_000, 29_000, 1000]}],
        [
            {"Latency": [999] * 3},
            {"Latency": [29_000, 29_000, 999]},
            {"Latency": [29_000, None, 29_000]},
            {"Latency": [None] * 3},
        ],
    ),
    "throttled-alarm": (
        [
            {"Count": [100] * 3, THROTTLED: [5] * 3},
            {"Count": [1000, 20, 1], THROTTLED: [1000, 1, 1]},
        ],
        [
            {"Count": [100] * 3, THROTTLED: [4] * 3},
            {"Count": [100] * 3, THROTTLED: [100, 4, 100]},
            {"Count": [100] * 3, THROTTLED: [0] * 3},
            # No line of the log came in a period, so nothing was published.
            {"Count": [100] * 3, THROTTLED: [None] * 3},
            {"Count": [None] * 3, THROTTLED: [None] * 3},
            {"Count": [0] * 3, THROTTLED: [0] * 3},
            # The log comes later than the count.
            {"Count": [0, None, 0], THROTTLED: [7, 7, 7]},
        ],
    ),
    "age-alarm": ([{AGE: [900]}, {AGE: [345_600]}], [{AGE: [899]}, {AGE: [0]}, {AGE: [None]}]),
    "dead-letters-alarm": ([{WAITING: [1]}, {WAITING: [70]}], [{WAITING: [0]}, {WAITING: [None]}]),
}


def test_every_alarm_has_its_cases() -> None:
    assert CASES.keys() == ALARMS.keys()


@pytest.mark.parametrize(("role", "data"), [(role, data) for role, (bad, _) in CASES.items() for data in bad])
def test_an_alarm_of_the_front_door_fires_where_something_is_wrong(role: str, data: Data) -> None:
    assert fires(ALARMS[role], data)


@pytest.mark.parametrize(
    ("role", "data"), [(role, data) for role, (_, good) in CASES.items() for data in good]
)
def test_an_alarm_of_the_front_door_stays_quiet_where_nothing_is(role: str, data: Data) -> None:
    assert not fires(ALARMS[role], data)


def metrics_of(alarm: Alarm) -> list[Metric]:
    return [*alarm.metric.metrics.values()] if isinstance(alarm.metric, Formula) else [alarm.metric]


@pytest.mark.parametrize("role", ALARMS)
def test_no_alarm_takes_silence_for_a_fault(role: str) -> None:
    silence: dict[str, list[Value]] = {each.name: [None] * 3 for each in metrics_of(ALARMS[role])}
    assert not fires(ALARMS[role], silence)


@pytest.mark.parametrize(
    ("limits", "role", "bad", "good"),
    [
        ({"error_rate_percent": 25}, "errors-alarm", {"5XXError": [0.25]}, {"5XXError": [0.24]}),
        ({"error_rate_percent": 100}, "errors-alarm", {"5XXError": [1.0]}, {"5XXError": [0.99]}),
        ({"latency_ms": 50}, "latency-alarm", {"Latency": [50] * 3}, {"Latency": [49] * 3}),
        (
            {"throttled_percent": 50},
            "throttled-alarm",
            {"Count": [10] * 3, THROTTLED: [5] * 3},
            {"Count": [10] * 3, THROTTLED: [4] * 3},
        ),
        ({"oldest_message_seconds": 60}, "age-alarm", {AGE: [60]}, {AGE: [59]}),
    ],
)
def test_from_when_on_things_are_bad_is_the_owner_s_to_say(
    limits: dict[str, Any], role: str, bad: Data, good: Data
) -> None:
    alarm = alarms(**limits)[role]
    assert fires(alarm, bad)
    assert not fires(alarm, good)
    (limit,) = limits.values()
    assert re.search(rf"\b{limit}\b", alarm.description)


@pytest.mark.parametrize(
    ("requests", "throttled", "share"),
    [
        (200, 50, 25),
        (200, None, 0),
        (200, 200, 100),
        (None, 5, 0),
        (0, 5, 0),
        (None, None, 0),
        (3, 1, 100 / 3),
    ],
)
def test_the_share_that_was_throttled_is_in_percent(requests: Value, throttled: Value, share: float) -> None:
    formula = front_door_metrics.throttled_share(names())
    assert value(formula, {"Count": requests, THROTTLED: throttled}) == pytest.approx(share)


def test_the_formula_speaks_of_its_metrics_and_of_no_other() -> None:
    formula = front_door_metrics.throttled_share(names())
    assert names_in(formula.expression) == formula.metrics.keys()
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9_]*", each) for each in formula.metrics), "or CloudWatch refuses"


def test_what_is_a_share_is_an_average_and_what_is_rare_a_percentile() -> None:
    statistics = {role: [each.statistic for each in metrics_of(alarm)] for role, alarm in ALARMS.items()}
    assert statistics == {
        "errors-alarm": ["Average"],
        "latency-alarm": ["p99"],
        "throttled-alarm": ["Sum", "Sum"],
        "age-alarm": ["Maximum"],
        "dead-letters-alarm": ["Maximum"],
    }


def test_each_queue_has_alarms_of_its_own_and_ours_has_one_for_what_was_given_up() -> None:
    found = alarms(OURS, THEIRS)
    about = {role: [each.dimensions for each in metrics_of(alarm)] for role, alarm in found.items()}
    of_the_stage = {"errors-alarm", "latency-alarm", "throttled-alarm"}
    assert {role: looked for role, looked in about.items() if role not in of_the_stage} == {
        "orders-age-alarm": [{"QueueName": "orders"}],
        "orders-dead-letters-alarm": [{"QueueName": "dead"}],
        "theirs-age-alarm": [{"QueueName": "theirs"}],
    }


def test_a_queue_without_its_label_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="zip"):
        front_door_metrics.alarms(names(OURS, THEIRS), [""], Limits())


def titles(*queues: QueueNames, cached: bool = False) -> list[str]:
    return [each.title for each in front_door_metrics.panels(names(*queues, cached=cached))]


def test_a_graph_is_there_only_where_there_is_something_to_see() -> None:
    assert titles(OURS, cached=True) == [*titles(OURS), "Cache"]
    assert titles(THEIRS) == [each for each in titles(OURS) if each != "Dead letters"]
    assert titles(OURS, THEIRS) == titles(OURS)


def test_a_graph_shows_all_queues() -> None:
    panels = {each.title: each for each in front_door_metrics.panels(names(OURS, THEIRS))}
    shown = {
        title: [each.dimensions["QueueName"] for each in panels[title].metrics]
        for title in ("Messages", "Waiting", "Oldest message (s)", "Dead letters")
    }
    assert shown == {
        "Messages": ["orders", "orders", "theirs", "theirs"],
        "Waiting": ["orders", "theirs"],
        "Oldest message (s)": ["orders", "theirs"],
        "Dead letters": ["dead"],
    }
