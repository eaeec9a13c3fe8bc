"""Makers for CloudWatch and its logs."""

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from local.aws import Aws

from .compute import LocalSetupError
from .registry import Inputs, Outputs, Workshop, auto_name, makes
from .shapes import api_shape

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef
    from mypy_boto3_logs.type_defs import MetricTransformationTypeDef

EXCLUSION = re.compile(r'-(\w+|"[^"]+")')
WORDS = re.compile(r'|(\w+|"\w+")( (\w+|"\w+"))*')


@makes("aws:cloudwatch/logGroup:LogGroup")
def log_group(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a log group."""
    logs = workshop.aws.client("logs")
    physical = inputs.get("name") or auto_name(inputs.get("namePrefix", f"{name}-").removesuffix("-"))
    logs.create_log_group(logGroupName=physical, **inputs.pick(kmsKeyId="kmsKeyId"))
    logs.put_retention_policy(logGroupName=physical, retentionInDays=inputs["retentionInDays"])
    # The provider's ARN comes without the ":*" that CloudWatch appends.
    arn = f"arn:aws:logs:{workshop.aws.region}:{workshop.aws.account}:log-group:{physical}"
    return physical, {"name": physical, "arn": arn}


@makes("aws:cloudwatch/metricAlarm:MetricAlarm")
def metric_alarm(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make an alarm."""
    physical = auto_name(name)
    of_metric: dict[str, Any] = {}
    if "dimensions" in inputs:
        of_metric["Dimensions"] = _dimensions(inputs["dimensions"])
    if "metricQueries" in inputs:
        of_metric["Metrics"] = [_query(each) for each in inputs["metricQueries"]]
    workshop.aws.client("cloudwatch").put_metric_alarm(
        AlarmName=physical,
        **of_metric,
        **inputs.pick(
            AlarmDescription="alarmDescription",
            Namespace="namespace",
            MetricName="metricName",
            Statistic="statistic",
            ExtendedStatistic="extendedStatistic",
            ComparisonOperator="comparisonOperator",
            Threshold="threshold",
            Period="period",
            EvaluationPeriods="evaluationPeriods",
            DatapointsToAlarm="datapointsToAlarm",
            TreatMissingData="treatMissingData",
            EvaluateLowSampleCountPercentile="evaluateLowSampleCountPercentiles",
            AlarmActions="alarmActions",
            OKActions="okActions",
        ),
    )
    arn = f"arn:aws:cloudwatch:{workshop.aws.region}:{workshop.aws.account}:alarm:{physical}"
    return physical, {"name": physical, "arn": arn}


def _dimensions(given: Mapping[str, str]) -> "list[DimensionTypeDef]":
    return [{"Name": key, "Value": value} for key, value in given.items()]


def _query(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return one metric or expression of an alarm as CloudWatch's API wants it."""
    query = {key: value for key, value in given.items() if key != "metric"}
    shaped: dict[str, Any] = api_shape(query)
    if metric := given.get("metric"):
        of_metric = {key: value for key, value in metric.items() if key in {"namespace", "metricName"}}
        shaped["MetricStat"] = {
            **api_shape({key: metric[key] for key in ("period", "stat", "unit") if key in metric}),
            "Metric": {**api_shape(of_metric), "Dimensions": _dimensions(metric.get("dimensions") or {})},
        }
    return shaped


@makes("aws:cloudwatch/logSubscriptionFilter:LogSubscriptionFilter")
def log_subscription_filter(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Send a log group's lines to a function that CloudWatch Logs may invoke."""
    physical: str = inputs.get("name") or auto_name(name)
    group, destination = inputs["logGroup"], inputs["destinationArn"]
    _check_invocable(workshop, destination, group)
    workshop.aws.client("logs").put_subscription_filter(
        logGroupName=group,
        filterName=physical,
        filterPattern=_pattern(inputs["filterPattern"]),
        destinationArn=destination,
    )
    return physical, {"name": physical}


@makes("aws:cloudwatch/logMetricFilter:LogMetricFilter")
def log_metric_filter(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say what of a log becomes a metric; the edge counts it in the log that it writes."""
    physical: str = inputs.get("name") or auto_name(name)
    given = inputs["metricTransformation"]
    transformation: MetricTransformationTypeDef = {
        "metricName": given["name"],
        "metricNamespace": given["namespace"],
        "metricValue": given["value"],
    }
    if "defaultValue" in given:
        transformation["defaultValue"] = float(given["defaultValue"])
    workshop.aws.client("logs").put_metric_filter(
        logGroupName=inputs["logGroupName"],
        filterName=physical,
        filterPattern=inputs["pattern"],
        metricTransformations=[transformation],
    )
    return physical, {"name": physical}


def _pattern(given: str) -> str:
    """Return the pattern that the emulator gets: it knows words that must be there, and no others.

    Where one term must not be there it gets none, and so the function sees more lines than on AWS.
    """
    if EXCLUSION.fullmatch(given):
        return ""
    if WORDS.fullmatch(given):
        return given
    raise LocalSetupError(f"the local AWS cannot carry the filter pattern {given!r}")


def _check_invocable(workshop: Workshop, function_arn: str, group: str) -> None:
    """Refuse a function that CloudWatch Logs may not invoke: AWS tries, the emulator needs no permission."""
    aws = workshop.aws
    client = aws.client("lambda")
    try:
        policy = json.loads(client.get_policy(FunctionName=function_arn)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        policy = {"Statement": []}
    source = f"arn:aws:logs:{aws.region}:{aws.account}:log-group:{group}:*"
    if not any(_lets_logs_invoke(each, source, aws) for each in policy["Statement"]):
        raise LocalSetupError(
            "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to "
            f"execute your function: no permission of {function_arn} for logs.amazonaws.com covers {source}"
        )


def _lets_logs_invoke(statement: Mapping[str, Any], source: str, aws: Aws) -> bool:
    condition = statement.get("Condition", {})
    pattern = next(iter(condition.get("ArnLike", {"": "*"}).values()))
    account = next(iter(condition.get("StringEquals", {"": aws.account}).values()))
    principal = statement["Principal"]
    return (
        isinstance(principal, dict)
        and principal.get("Service") in {"logs.amazonaws.com", f"logs.{aws.region}.amazonaws.com"}
        and statement["Action"] in {"lambda:InvokeFunction", "lambda:*"}
        and fnmatchcase(source, pattern)
        and account == aws.account
    )


@makes("aws:cloudwatch/logResourcePolicy:LogResourcePolicy")
def log_resource_policy(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Let a service write logs."""
    name: str = inputs["policyName"]
    workshop.aws.client("logs").put_resource_policy(policyName=name, policyDocument=inputs["policyDocument"])
    return name, {}


@makes("aws:cloudwatch/dashboard:Dashboard")
def dashboard(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a dashboard."""
    physical: str = inputs["dashboardName"]
    workshop.aws.client("cloudwatch").put_dashboard(
        DashboardName=physical, DashboardBody=inputs["dashboardBody"]
    )
    return physical, {}
