import itertools
import json
from typing import Any

import pytest

from components import (
    Dashboard,
    authorizer,
    consumer_metrics,
    front_door_metrics,
    limiter_metrics,
    retrier_metrics,
)
from components.consumer_metrics import ConsumerNames
from components.front_door_metrics import FrontDoorNames
from components.limiter_metrics import LimiterNames
from components.monitoring import Metric
from components.retrier_metrics import RetrierNames

from .cases import FRONT_DOOR_NAMES, planned
from .recording import REGION, Plan, arn, component_plan

COUNTING: LimiterNames = {
    "ingest": "limiter-ingest",
    "enforcer": "limiter-enforcer",
    "wake_up_dead_letters": "limiter-dead",
    "region": REGION,
    "web_acl": "limiter-acl",
    "api": "door-api",
    "stage": "v1",
}
WORKER: ConsumerNames = {"label": "worker", "function": "worker-1"}
CALLING: RetrierNames = {
    "label": "retrier",
    "service": "sluice-test-retrier",
    "state_machine": arn("states", "stateMachine:retrier"),
    "functions": {"call": "retrier-call", "second": "retrier-second"},
    "orchestrator": "retrier-orchestrator",
}
NAMES = {
    "front_door": FRONT_DOOR_NAMES,
    "authorizer": {"function": "decider", "ours": True},
    "limiter": COUNTING,
    "consumers": [WORKER],
    "retrier": CALLING,
}
TITLES = {
    "front_door": [each.title for each in front_door_metrics.panels(FRONT_DOOR_NAMES)],
    "authorizer": [each.title for each in authorizer.panels({"function": "decider", "ours": True})],
    "limiter": [each.title for each in limiter_metrics.panels(COUNTING)],
    "consumers": [each.title for each in consumer_metrics.panels(WORKER)],
    "retrier": [each.title for each in retrier_metrics.panels(CALLING)],
}


def widgets(plan: Plan) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(plan["unit-dashboard"].inputs["dashboardBody"])["widgets"]
    return found


def full() -> list[dict[str, Any]]:
    return widgets(planned("dashboard with everything"))


@pytest.mark.parametrize(
    "shown", [*itertools.combinations(NAMES, 1), *itertools.combinations(NAMES, 2), tuple(NAMES)]
)
def test_what_is_given_is_shown_and_what_is_none_is_not(shown: tuple[str, ...]) -> None:
    plan = component_plan(Dashboard, {key: NAMES[key] if key in shown else None for key in NAMES})
    titles = [each["properties"]["title"] for each in widgets(plan)]
    assert titles == [title for key in shown for title in TITLES[key]]


def test_the_graphs_are_of_the_given_names_in_the_stack_s_region() -> None:
    dimensions = set()
    for widget in full():
        assert widget["properties"]["region"] == REGION
        for _namespace, _metric, *pairs, _options in widget["properties"]["metrics"]:
            dimensions |= set(zip(pairs[::2], pairs[1::2], strict=True))
    assert dimensions == {
        ("ApiName", FRONT_DOOR_NAMES["api"]),
        ("Stage", FRONT_DOOR_NAMES["stage"]),
        ("QueueName", "door-queue"),
        ("QueueName", "door-dead"),
        ("QueueName", "orders"),
        ("FunctionName", "decider"),
        ("FunctionName", "worker"),
        ("service", "decider"),
        ("service", "worker"),
        ("FunctionName", "limiter-ingest"),
        ("FunctionName", "limiter-enforcer"),
        ("service", "limiter-ingest"),
        ("service", "limiter-enforcer"),
        ("WebACL", "limiter-acl"),
        ("Rule", "ALL"),
        ("Region", REGION),
        ("StateMachineArn", CALLING["state_machine"]),
        ("FunctionName", "retrier-call"),
        ("FunctionName", "retrier-second"),
        ("FunctionName", "retrier-orchestrator"),
        ("service", "sluice-test-retrier"),
    }


def graphs(names: FrontDoorNames) -> dict[str, list[Metric]]:
    return {each.title: [*each.metrics] for each in front_door_metrics.panels(names)}


def test_each_queue_of_a_front_door_is_in_each_graph_of_queues() -> None:
    shown = graphs(FRONT_DOOR_NAMES)
    for title in ("Messages", "Waiting", "Oldest message (s)"):
        assert {each.dimensions["QueueName"] for each in shown[title]} == {"door-queue", "orders"}
    assert [each.dimensions for each in shown["Dead letters"]] == [{"QueueName": "door-dead"}], (
        "a queue that existed has its dead letters elsewhere"
    )


def test_there_is_a_graph_of_the_cache_where_there_is_one() -> None:
    assert [each.name for each in graphs(FRONT_DOOR_NAMES)["Cache"]] == ["CacheHitCount", "CacheMissCount"]
    assert "Cache" not in graphs({**FRONT_DOOR_NAMES, "cached": False})


def test_there_is_no_graph_of_dead_letters_where_all_queues_are_somebody_else_s() -> None:
    assert "Dead letters" not in graphs({**FRONT_DOOR_NAMES, "queues": [{"queue": "orders"}]})


def test_what_is_throttled_is_counted_under_the_front_door_s_own_namespace() -> None:
    (throttled,) = [each for each in graphs(FRONT_DOOR_NAMES)["Errors"] if each.name == "RequestsThrottled"]
    assert (throttled.namespace, throttled.dimensions) == ("Sluice/sluice-test-door", {})


def test_a_retrier_s_graphs_tell_what_became_of_calls_and_of_its_state_machine() -> None:
    shown = {each.title: [*each.metrics] for each in retrier_metrics.panels(CALLING)}
    assert [each.name for each in shown["retrier: calls"]] == [
        *("CallsAnswered", "CallsGivenUp", "CallsRefused", "CallsHeld"),
    ]
    assert {(each.namespace, each.dimensions["service"]) for each in shown["retrier: attempts"]} == {
        ("Sluice", "sluice-test-retrier")
    }
    executions = shown["retrier: executions"]
    assert [each.name for each in executions] == [
        *("ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut"),
        "ExecutionThrottled",
    ]
    assert {each.namespace for each in executions} == {"AWS/States"}
    failing = shown["retrier: functions that fail"]
    assert {each.dimensions["FunctionName"] for each in failing} == {
        "retrier-call",
        "retrier-second",
        "retrier-orchestrator",
    }


def test_no_graph_covers_another_or_leaves_the_page() -> None:
    cells = [
        (x, y)
        for widget in full()
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_dashboard_is_named_after_the_stack() -> None:
    assert planned("dashboard").result == {"dashboard_name": "sluice-test-unit"}
