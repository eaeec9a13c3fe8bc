import itertools
import json
from typing import Any

import pytest

from components import Dashboard, authorizer, consumer, front_door, limiter_metrics
from components.front_door import FrontDoorNames
from components.limiter_metrics import LimiterNames

from .cases import FRONT_DOOR_NAMES, planned
from .recording import REGION, Plan, component_plan

DOOR: FrontDoorNames = {
    "api": "door-api",
    "stage": "v1",
    "queue": "door-queue",
    "dead_letter_queue": "door-dead",
}
COUNTING: LimiterNames = {
    "ingest": "limiter-ingest",
    "enforcer": "limiter-enforcer",
    "wake_up_dead_letters": "limiter-dead",
    "region": REGION,
    "web_acl": "limiter-acl",
    "api": "door-api",
    "stage": "v1",
}
NAMES = {
    "front_door": DOOR,
    "authorizer": {"function": "decider"},
    "limiter": COUNTING,
    "consumer": {"function": "worker"},
}
TITLES = {
    "front_door": [each.title for each in front_door.panels(DOOR)],
    "authorizer": [each.title for each in authorizer.panels({"function": "decider"})],
    "limiter": [each.title for each in limiter_metrics.panels(COUNTING)],
    "consumer": [each.title for each in consumer.panels({"function": "worker"})],
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
        ("QueueName", FRONT_DOOR_NAMES["queue"]),
        ("QueueName", FRONT_DOOR_NAMES["dead_letter_queue"]),
        ("FunctionName", "decider"),
        ("FunctionName", "worker"),
        ("service", "worker"),
        ("FunctionName", "limiter-ingest"),
        ("FunctionName", "limiter-enforcer"),
        ("service", "limiter-ingest"),
        ("service", "limiter-enforcer"),
        ("WebACL", "limiter-acl"),
        ("Rule", "ALL"),
        ("Region", REGION),
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
