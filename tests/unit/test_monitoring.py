import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import authorizer, consumer_metrics, dashboard, front_door_metrics, limiter_metrics
from components.consumer_metrics import ConsumerNames
from components.dashboard import COLUMNS, DashboardArgs
from components.front_door_metrics import FrontDoorNames, Limits
from components.limiter_metrics import LimiterNames
from components.monitoring import (
    Alarm,
    Comparison,
    Formula,
    Metric,
    Missing,
    Panel,
    api_metric,
    create_alarms,
    lambda_metric,
    own_metric,
)
from components.stage import THROTTLED
from handlers import enforce, ingest, journal
from handlers.counting import Tally
from handlers.emf import Unit
from handlers.enforcement import Report

from ..component.recording import ALARM, Plan, plan_of
from .aws_metrics import (
    AUTHORIZER_COUNTS,
    CONSUMER_COUNTS,
    DOOR_NAMESPACE,
    ENFORCER_COUNTS,
    GAUGES,
    INGEST_COUNTS,
    METRICS,
    SHARES,
)

FRONT_DOOR: FrontDoorNames = {
    "api": "api",
    "stage": "v1",
    "namespace": DOOR_NAMESPACE,
    "queues": [{"queue": "orders", "dead_letter_queue": "dead"}, {"queue": "theirs"}],
    "cached": True,
}
LIMITER: LimiterNames = {
    "ingest": "ingest",
    "enforcer": "enforcer",
    "wake_up_dead_letters": "late",
    "region": "eu-west-1",
    "web_acl": "acl",
    "api": "api",
    "stage": "v1",
}
WORKER: ConsumerNames = {"label": "worker", "function": "worker", "filtered_by": "mapping"}
ALL: DashboardArgs = {
    "front_door": FRONT_DOOR,
    "authorizer": {"function": "guard", "ours": True},
    "limiter": LIMITER,
    "consumers": [WORKER],
}
ALARMS = {
    "front_door": front_door_metrics.alarms(FRONT_DOOR, ["orders-", "theirs-"], Limits()),
    "authorizer": authorizer.alarms({"function": "guard", "ours": True}),
    "limiter": limiter_metrics.alarms(LIMITER),
    "consumer": consumer_metrics.alarms(WORKER),
}
EVERY_ALARM = [alarm for alarms in ALARMS.values() for alarm in alarms]
EVERY_PANEL = dashboard.panels(ALL)


def metrics_of(alarm: Alarm) -> list[Metric]:
    return [*alarm.metric.metrics.values()] if isinstance(alarm.metric, Formula) else [alarm.metric]


EVERY_METRIC = [metric for alarm in EVERY_ALARM for metric in metrics_of(alarm)] + [
    metric for panel in EVERY_PANEL for metric in panel.metrics
]


def boxes(body: dict[str, object]) -> list[tuple[int, int, int, int]]:
    widgets = body["widgets"]
    assert isinstance(widgets, list)
    return [(each["x"], each["y"], each["width"], each["height"]) for each in widgets]


def overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    x, y, width, height = one
    other_x, other_y, other_width, other_height = other
    return (
        x < other_x + other_width
        and other_x < x + width
        and y < other_y + other_height
        and other_y < y + height
    )


@pytest.mark.parametrize("metric", EVERY_METRIC, ids=lambda metric: f"{metric.namespace}-{metric.name}")
def test_every_metric_is_one_that_is_published_under_these_dimensions(metric: Metric) -> None:
    # An alarm on dimensions that nobody publishes is silent for ever.
    assert set(metric.dimensions) in METRICS[metric.namespace][metric.name]
    assert all(metric.dimensions.values())


@pytest.mark.parametrize("metric", EVERY_METRIC, ids=lambda metric: f"{metric.namespace}-{metric.name}")
def test_every_metric_has_a_statistic_that_means_something(metric: Metric) -> None:
    allowed = "Maximum|p[0-9]{2}" if metric.name in GAUGES else "Sum"
    if metric.name in SHARES:
        allowed = "Sum|Average"
    assert re.fullmatch(allowed, metric.statistic)


@pytest.mark.parametrize("component", ALARMS)
def test_the_alarms_of_a_component_have_names_of_their_own(component: str) -> None:
    roles = [alarm.role for alarm in ALARMS[component]]
    assert len(set(roles)) == len(roles)
    assert all(role.endswith("-alarm") for role in roles)


@pytest.mark.parametrize("alarm", EVERY_ALARM, ids=lambda alarm: alarm.role)
def test_an_alarm_can_fire_and_be_over(alarm: Alarm) -> None:
    assert alarm.threshold > 0, "at or over 0 it would fire without anything wrong"
    share = isinstance(alarm.metric, Metric) and alarm.metric.statistic == "Average"
    assert alarm.threshold < 1 if share else alarm.threshold >= 1, "of what is counted, a part is no one"
    assert alarm.period % 60 == 0
    assert alarm.periods * alarm.period <= 86_400, "the longest that CloudWatch evaluates"
    wanted = Missing.FINE if alarm.comparison is Comparison.AT_LEAST else Missing.BAD
    assert alarm.missing is wanted, "no traffic is no fault, but to be silent is one where that is looked for"
    assert alarm.description.endswith(".")


TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"


def planned(*alarms: Alarm) -> Plan:
    """Return what is made of alarms, and the ARNs that are told."""

    def program() -> object:
        parent = pulumi.ComponentResource("sluice:index:Thing", "thing")
        return create_alarms("thing", alarms, TOPIC, parent)

    return plan_of(program)


def inputs_of(metric: Metric | Formula) -> dict[str, Any]:
    """Return what CloudWatch is told of an alarm on a metric."""
    found: dict[str, Any] = planned(Alarm("x-alarm", "X.", metric, 1))["thing-x-alarm"].inputs
    return found


def test_the_arns_of_alarms_are_told_by_what_each_is_about() -> None:
    alarms = ALARMS["front_door"]
    plan = planned(*alarms)
    made = {each.name: each.outputs["arn"] for each in plan.of(ALARM)}
    assert plan.result == {each.role: made[f"thing-{each.role}"] for each in alarms}
    assert len(set(plan.result.values())) == len(alarms)


def test_no_alarms_have_no_arns() -> None:
    assert planned().result == {}


def test_a_percentile_of_a_few_requests_says_nothing() -> None:
    # "Percentiles and low data samples": one slow request would be the slowest of a hundred.
    slow = inputs_of(api_metric("a", "v1", "Latency", "p99"))
    assert slow["extendedStatistic"] == "p99"
    assert slow["evaluateLowSampleCountPercentiles"] == "ignore"
    assert "statistic" not in slow


@pytest.mark.parametrize("statistic", ["Sum", "Average", "Maximum"])
def test_what_is_no_percentile_is_looked_at_however_little_there_is(statistic: str) -> None:
    counted = inputs_of(api_metric("a", "v1", "5XXError", statistic))
    assert counted["statistic"] == statistic
    assert not counted.keys() & {"extendedStatistic", "evaluateLowSampleCountPercentiles"}


def test_a_formula_is_asked_for_by_its_metrics() -> None:
    formula = Formula(
        "a / b", "Share", {"a": lambda_metric("f", "Errors"), "b": lambda_metric("f", "Invocations")}
    )
    asked = inputs_of(formula)
    assert [each["id"] for each in asked["metricQueries"]] == ["a", "b", "result"]
    assert [each.get("returnData") for each in asked["metricQueries"]] == [None, None, True]
    assert not asked.keys() & {"namespace", "metricName", "statistic", "extendedStatistic", "period"}


def test_a_metric_of_an_api_is_found_by_its_stage() -> None:
    dimensions = {"ApiName": "a", "Stage": "v1"}
    assert api_metric("a", "v1", "Latency", "p99") == Metric("AWS/ApiGateway", "Latency", dimensions, "p99")


def test_a_metric_of_a_function_is_found_by_its_name() -> None:
    assert lambda_metric("f", "Errors") == Metric("AWS/Lambda", "Errors", {"FunctionName": "f"}, "Sum")


def test_the_metrics_of_the_consumer_are_those_that_it_counts() -> None:
    source = Path(journal.__file__).read_text()
    assert set(re.findall(r'(?:add_metric|_count)\("(\w+)"', source)) == CONSUMER_COUNTS


FULL_TALLY = Tally(
    events=9,
    repeated=1,
    malformed=["x"],
    requests=8,
    counted=7,
    unattributed=1,
    clients=2,
    lag=1,
    started=1,
    extended=1,
)
FULL_REPORT = Report(block_lag=1, release_lag=1)


def test_the_metrics_of_the_limiter_are_those_that_its_functions_count() -> None:
    assert ingest.measured(FULL_TALLY).keys() == INGEST_COUNTS
    assert enforce.measured(FULL_REPORT).keys() == ENFORCER_COUNTS


@pytest.mark.parametrize(
    "metric",
    [each for each in EVERY_METRIC if each.namespace == "Sluice"],
    ids=lambda metric: f"{metric.dimensions['service']}-{metric.name}",
)
def test_a_metric_of_ours_is_looked_for_where_the_function_is_that_counts_it(metric: Metric) -> None:
    counts = {
        "guard": AUTHORIZER_COUNTS,
        "worker": CONSUMER_COUNTS,
        "ingest": INGEST_COUNTS,
        "enforcer": ENFORCER_COUNTS,
    }
    assert metric.name in counts[str(metric.dimensions["service"])]


def test_what_is_measured_in_time_or_shares_is_never_summed() -> None:
    told = {**ingest.measured(FULL_TALLY), **enforce.measured(FULL_REPORT)}
    assert {name for name, (_, unit) in told.items() if unit is not Unit.COUNT} <= GAUGES


def test_a_metric_of_our_own_is_found_by_the_function_that_makes_it() -> None:
    assert own_metric("f", "SetFill", "Maximum") == Metric("Sluice", "SetFill", {"service": "f"}, "Maximum")


def test_blocked_requests_are_those_of_all_rules_of_the_web_acl_in_its_region() -> None:
    wanted = {"WebACL": "acl", "Rule": "ALL", "Region": "eu-west-1"}
    looked = [each.dimensions for each in EVERY_METRIC if each.namespace == "AWS/WAFV2"]
    assert looked == [wanted] * 2, "one graph and one alarm"


@pytest.mark.parametrize("without", ["web_acl", "api", "stage"])
def test_without_what_counts_requests_nothing_is_said_to_be_missing(without: str) -> None:
    names: LimiterNames = {key: value for key, value in LIMITER.items() if key != without}  # type: ignore[assignment]
    roles = {alarm.role for alarm in limiter_metrics.alarms(names)}
    assert roles == {alarm.role for alarm in limiter_metrics.alarms(LIMITER)} - {"missing-alarm"}
    shown = {metric.namespace for panel in limiter_metrics.panels(names) for metric in panel.metrics}
    assert ("AWS/WAFV2" in shown) == (without != "web_acl")


def test_what_a_stage_throttled_is_looked_for_where_its_filter_puts_it() -> None:
    throttled = [each for each in EVERY_METRIC if each.namespace == DOOR_NAMESPACE]
    # A metric of the access log has no dimensions: the namespace alone tells the front doors apart.
    assert throttled == [Metric(DOOR_NAMESPACE, THROTTLED, {})] * 2, "one alarm and one graph"


def test_every_panel_has_a_title_of_its_own() -> None:
    titles = [panel.title for panel in EVERY_PANEL]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("part", ALL)
def test_a_dashboard_shows_only_what_it_is_given(part: str) -> None:
    one: DashboardArgs = {part: ALL[part]}  # type: ignore[misc]
    titles = {panel.title for panel in dashboard.panels(one)}
    assert titles
    assert titles < {panel.title for panel in EVERY_PANEL}


WIDTHS = [[8] * 11, [24, 24], [8, 24, 8], [12, 12, 1], [6] * 9, [23, 1, 1], []]


@pytest.mark.parametrize(
    "panels",
    [EVERY_PANEL, *[[Panel(str(index), [], width) for index, width in enumerate(each)] for each in WIDTHS]],
)
def test_panels_lie_inside_the_page_and_never_over_each_other(panels: Sequence[Panel]) -> None:
    laid = boxes(dashboard.body(panels, "us-east-1"))
    assert [width for _, _, width, _ in laid] == [panel.width for panel in panels]
    assert all(x >= 0 and x + width <= COLUMNS for x, _, width, _ in laid)
    assert not [pair for pair in combinations(laid, 2) if overlap(*pair)]


def test_panels_are_read_from_left_to_right_and_down() -> None:
    laid = boxes(dashboard.body(EVERY_PANEL, "us-east-1"))
    assert [(y, x) for x, y, _, _ in laid] == sorted((y, x) for x, y, _, _ in laid)


def test_a_widget_tells_cloudwatch_where_its_metrics_are() -> None:
    metric = Metric("AWS/ApiGateway", "Count", {"ApiName": "a", "Stage": "v1"})
    assert dashboard.body([Panel("Requests", [metric])], "eu-west-1") == {
        "widgets": [
            {
                "type": "metric",
                "x": 0,
                "y": 0,
                "width": 8,
                "height": 6,
                "properties": {
                    "title": "Requests",
                    "region": "eu-west-1",
                    "period": 60,
                    "view": "timeSeries",
                    "metrics": [["AWS/ApiGateway", "Count", "ApiName", "a", "Stage", "v1", {"stat": "Sum"}]],
                },
            }
        ]
    }
