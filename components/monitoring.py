"""Metrics, alarms and dashboard panels as values, and the alarms made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pulumi
import pulumi_aws as aws

MINUTE = 60
METRIC_NAMESPACE = "Sluice"
"""Of the metrics that our functions make."""
PERCENTILES = ("p50", "p99")


class Missing(StrEnum):
    """What the absence of data says ("Configuring how CloudWatch alarms treat missing data")."""

    FINE = "notBreaching"
    BAD = "breaching"


@dataclass(frozen=True)
class Metric:
    """One metric of CloudWatch: the exact dimension set that AWS publishes it under."""

    namespace: str
    name: str
    dimensions: Mapping[str, pulumi.Input[str]]
    statistic: str = "Sum"
    """A statistic or a percentile, ``p99``."""


@dataclass(frozen=True)
class Formula:
    """A value computed of several metrics ("Using metric math with Amazon CloudWatch metrics")."""

    expression: str
    label: str
    metrics: Mapping[str, Metric]
    """By the name that the expression knows each by."""


class Comparison(StrEnum):
    """On which side of its threshold a value is bad."""

    AT_LEAST = "GreaterThanOrEqualToThreshold"
    BELOW = "LessThanThreshold"


@dataclass(frozen=True)
class Panel:
    """One graph of a dashboard."""

    title: str
    metrics: Sequence[Metric]
    width: int = 8
    """Of the 24 columns that a dashboard has."""


@dataclass(frozen=True)
class Alarm:
    """When to wake somebody: the metric at or over a threshold (or below it) for some periods in a row."""

    role: str
    """The child's name, behind the component's."""
    description: str
    metric: Metric | Formula
    threshold: float
    periods: int = 1
    period: int = 5 * MINUTE
    """Seconds."""
    missing: Missing = field(default=Missing.FINE)
    comparison: Comparison = field(default=Comparison.AT_LEAST)


def lambda_metric(function: pulumi.Input[str], name: str, statistic: str = "Sum") -> Metric:
    """Return a metric of one function."""
    return Metric("AWS/Lambda", name, {"FunctionName": function}, statistic)


def queue_metric(queue: pulumi.Input[str], name: str, statistic: str = "Sum") -> Metric:
    """Return a metric of one queue."""
    return Metric("AWS/SQS", name, {"QueueName": queue}, statistic)


def api_metric(api: pulumi.Input[str], stage: pulumi.Input[str], name: str, statistic: str = "Sum") -> Metric:
    """Return a metric of one stage of a REST API."""
    return Metric("AWS/ApiGateway", name, {"ApiName": api, "Stage": stage}, statistic)


def own_metric(function: pulumi.Input[str], name: str, statistic: str = "Sum") -> Metric:
    """Return a metric that one of our functions makes in its log."""
    return Metric(METRIC_NAMESPACE, name, {"service": function}, statistic)


def create_alarms(
    name: str, alarms: Sequence[Alarm], topic_arn: pulumi.Input[str], parent: pulumi.Resource
) -> dict[str, pulumi.Output[str]]:
    """Make the alarms of a component; each tells the topic when it fires and when it is over.

    Returns their ARNs by what their names have behind the component's.
    """
    made: dict[str, pulumi.Output[str]] = {}
    for alarm in alarms:
        made[alarm.role] = aws.cloudwatch.MetricAlarm(
            f"{name}-{alarm.role}",
            alarm_description=alarm.description,
            **_value(alarm.metric, alarm.period),
            comparison_operator=alarm.comparison.value,
            threshold=alarm.threshold,
            evaluation_periods=alarm.periods,
            treat_missing_data=alarm.missing.value,
            alarm_actions=[topic_arn],
            ok_actions=[topic_arn],
            opts=pulumi.ResourceOptions(parent=parent),
        ).arn
    return made


def _value(metric: Metric | Formula, period: int) -> dict[str, Any]:
    """Return the arguments of an alarm that say what it looks at."""
    if isinstance(metric, Formula):
        return {"metric_queries": _queries(metric, period)}
    percentile = metric.statistic.startswith("p")
    return {
        "namespace": metric.namespace,
        "metric_name": metric.name,
        "dimensions": dict(metric.dimensions),
        "statistic": None if percentile else metric.statistic,
        "extended_statistic": metric.statistic if percentile else None,
        # Of a few requests a percentile says nothing ("Percentiles and low data samples").
        "evaluate_low_sample_count_percentiles": "ignore" if percentile else None,
        "period": period,
    }


def _queries(formula: Formula, period: int) -> list[dict[str, Any]]:
    parts = [
        {
            "id": each,
            "metric": {
                "namespace": metric.namespace,
                "metric_name": metric.name,
                "dimensions": dict(metric.dimensions),
                "stat": metric.statistic,
                "period": period,
            },
        }
        for each, metric in formula.metrics.items()
    ]
    result = {"id": "result", "expression": formula.expression, "label": formula.label, "return_data": True}
    return [*parts, result]
