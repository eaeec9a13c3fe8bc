"""Metrics, alarms and dashboard panels as values, and the alarms made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pulumi
import pulumi_aws as aws

MINUTE = 60
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
class Panel:
    """One graph of a dashboard."""

    title: str
    metrics: Sequence[Metric]
    width: int = 8
    """Of the 24 columns that a dashboard has."""


@dataclass(frozen=True)
class Alarm:
    """When to wake somebody: the metric at or over a threshold for some periods in a row."""

    role: str
    """The child's name, behind the component's."""
    description: str
    metric: Metric
    threshold: float
    periods: int = 1
    period: int = 5 * MINUTE
    """Seconds."""
    missing: Missing = field(default=Missing.FINE)


def lambda_metric(function: pulumi.Input[str], name: str, statistic: str = "Sum") -> Metric:
    """Return a metric of one function."""
    return Metric("AWS/Lambda", name, {"FunctionName": function}, statistic)


def create_alarms(
    name: str, alarms: Sequence[Alarm], topic_arn: pulumi.Input[str], parent: pulumi.Resource
) -> None:
    """Make the alarms of a component; each tells the topic when it fires and when it is over."""
    for alarm in alarms:
        metric = alarm.metric
        percentile = metric.statistic.startswith("p")
        aws.cloudwatch.MetricAlarm(
            f"{name}-{alarm.role}",
            alarm_description=alarm.description,
            namespace=metric.namespace,
            metric_name=metric.name,
            dimensions=dict(metric.dimensions),
            statistic=None if percentile else metric.statistic,
            extended_statistic=metric.statistic if percentile else None,
            comparison_operator="GreaterThanOrEqualToThreshold",
            threshold=alarm.threshold,
            period=alarm.period,
            evaluation_periods=alarm.periods,
            treat_missing_data=alarm.missing.value,
            alarm_actions=[topic_arn],
            ok_actions=[topic_arn],
            opts=pulumi.ResourceOptions(parent=parent),
        )
