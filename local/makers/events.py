"""Makers for EventBridge."""

from typing import TYPE_CHECKING

from .registry import Inputs, Outputs, Workshop, auto_name, makes
from .shapes import api_shape

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import TargetTypeDef


@makes("aws:cloudwatch/eventRule:EventRule")
def event_rule(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a rule; the emulator keeps its schedule."""
    physical: str = inputs.get("name") or auto_name(name)
    made = workshop.aws.client("events").put_rule(
        Name=physical,
        **inputs.pick(
            ScheduleExpression="scheduleExpression",
            EventPattern="eventPattern",
            Description="description",
            State="state",
        ),
    )
    return physical, {"name": physical, "arn": made["RuleArn"]}


@makes("aws:cloudwatch/eventTarget:EventTarget")
def event_target(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say what a rule starts; the emulator keeps how to try again, and does not do it."""
    target: str = inputs.get("targetId") or auto_name(name)
    wanted: TargetTypeDef = {"Id": target, "Arn": inputs["arn"]}
    if "input" in inputs:
        wanted["Input"] = inputs["input"]
    if "retryPolicy" in inputs:
        wanted["RetryPolicy"] = api_shape(inputs["retryPolicy"])
    if "deadLetterConfig" in inputs:
        wanted["DeadLetterConfig"] = api_shape(inputs["deadLetterConfig"])
    answer = workshop.aws.client("events").put_targets(Rule=inputs["rule"], Targets=[wanted])
    if answer["FailedEntryCount"]:
        raise RuntimeError(f"EventBridge refuses the target: {answer['FailedEntries']}")
    return f"{inputs['rule']}-{target}", {"targetId": target}
