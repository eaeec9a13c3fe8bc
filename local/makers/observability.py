"""Makers for CloudWatch and its logs."""

from typing import TYPE_CHECKING

from .registry import Inputs, Outputs, Workshop, auto_name, makes

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef


@makes("aws:cloudwatch/logGroup:LogGroup")
def log_group(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a log group."""
    logs = workshop.aws.client("logs")
    physical = auto_name(name)
    logs.create_log_group(logGroupName=physical, **inputs.pick(kmsKeyId="kmsKeyId"))
    logs.put_retention_policy(logGroupName=physical, retentionInDays=inputs["retentionInDays"])
    # The provider's ARN comes without the ":*" that CloudWatch appends.
    arn = f"arn:aws:logs:{workshop.aws.region}:{workshop.aws.account}:log-group:{physical}"
    return physical, {"name": physical, "arn": arn}


@makes("aws:cloudwatch/metricAlarm:MetricAlarm")
def metric_alarm(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make an alarm."""
    physical = auto_name(name)
    dimensions: list[DimensionTypeDef] = [
        {"Name": key, "Value": value} for key, value in inputs["dimensions"].items()
    ]
    workshop.aws.client("cloudwatch").put_metric_alarm(
        AlarmName=physical,
        Dimensions=dimensions,
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
            TreatMissingData="treatMissingData",
            AlarmActions="alarmActions",
            OKActions="okActions",
        ),
    )
    return physical, {"name": physical}


@makes("aws:cloudwatch/dashboard:Dashboard")
def dashboard(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a dashboard."""
    physical: str = inputs["dashboardName"]
    workshop.aws.client("cloudwatch").put_dashboard(
        DashboardName=physical, DashboardBody=inputs["dashboardBody"]
    )
    return physical, {}
