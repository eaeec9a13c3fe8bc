"""Makers for Step Functions, which refuse what Step Functions would refuse."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .compute import LocalSetupError, denied
from .registry import Inputs, Outputs, Workshop, auto_name, makes

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.type_defs import LoggingConfigurationTypeDef

SERVICE = "states.amazonaws.com"
DELIVERY_ACTIONS = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)
"""What a role needs for logging ("Using CloudWatch Logs to log execution history", Step Functions guide)."""
WHOLE_GROUP = ":*"
TARGETS = {"Next", "Default"}
"""The fields that name a state."""
INNER = ("Branches", "ItemProcessor", "Iterator")
"""The fields of a state that hold states of their own."""


@makes("aws:sfn/stateMachine:StateMachine")
def state_machine(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a state machine; what it would log and trace nobody sees here."""
    inputs.only_on_aws("tracingConfiguration")
    role: str = inputs["roleArn"]
    _check_definition(inputs["definition"])
    _check_trust(workshop, role)
    physical = inputs.get("name") or auto_name(inputs.get("namePrefix", name).removesuffix("-"))
    wanted = inputs.pick(
        definition="definition", type="type", encryptionConfiguration="encryptionConfiguration"
    )
    if "loggingConfiguration" in inputs:
        wanted["loggingConfiguration"] = _logging(workshop, role, inputs["loggingConfiguration"])
    try:
        made = workshop.aws.client("stepfunctions").create_state_machine(
            name=physical, roleArn=role, **wanted
        )
    except ClientError as error:
        raise LocalSetupError(str(error)) from error
    arn = made["stateMachineArn"]
    return arn, {"arn": arn, "name": physical}


def _check_definition(text: str) -> None:
    """Refuse a definition that is no JSON, or that leads to a state which is not there."""
    try:
        definition = json.loads(text)
    except ValueError as error:
        raise _invalid(f"INVALID_JSON_DESCRIPTION: {error}") from error
    if not isinstance(definition, dict):
        raise _invalid("INVALID_JSON_DESCRIPTION: Could not parse JSON as an object")
    for missing in missing_targets(definition):
        raise _invalid(f"MISSING_TRANSITION_TARGET: {missing}")


def _invalid(reason: str) -> LocalSetupError:
    return LocalSetupError(f"Invalid State Machine Definition: '{reason}'")


def missing_targets(machine: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield, for every state that a machine names and does not have, where it does."""
    states = machine.get("States", {})
    if machine.get("StartAt") not in states:
        yield f"Missing 'StartAt' target: {machine.get('StartAt')} at {path}/StartAt"
    for name, state in states.items():
        here = f"{path}/States/{name}"
        for field, target in _targets(state):
            if target not in states:
                yield f"Missing '{field}' target: {target} at {here}"
        for field in INNER:
            inner = state.get(field, [])
            for each in inner if isinstance(inner, list) else [inner]:
                yield from missing_targets(each, f"{here}/{field}")


def _targets(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what follows a state, by the field that says so."""
    for each in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        yield from ((field, each[field]) for field in sorted(TARGETS & each.keys()))


def _check_trust(workshop: Workshop, role_arn: str) -> None:
    """Refuse a role that Step Functions may not take on."""
    role = workshop.aws.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
    if SERVICE not in json.dumps(role["AssumeRolePolicyDocument"]):
        raise LocalSetupError(
            f"Neither the global service principal {SERVICE}, nor the regional one is authorized to assume "
            f"the provided role: {role_arn}"
        )


def _logging(workshop: Workshop, role: str, given: Mapping[str, Any]) -> "LoggingConfigurationTypeDef":
    """Return how a machine logs, if its role may."""
    wanted: LoggingConfigurationTypeDef = {
        "level": given.get("level", "OFF"),
        "includeExecutionData": given.get("includeExecutionData", False),
    }
    destination: str | None = given.get("logDestination")
    if wanted["level"] == "OFF":
        return wanted
    if destination is None or not destination.endswith(WHOLE_GROUP):
        raise LocalSetupError(
            "Invalid Logging Configuration: the log destination has to be the ARN of a log group that ends "
            f"in {WHOLE_GROUP}, not {destination}"
        )
    if denied(workshop, role, DELIVERY_ACTIONS, "*"):
        raise LocalSetupError("The state machine IAM Role is not authorized to access the Log Destination")
    wanted["destinations"] = [{"cloudWatchLogsLogGroup": {"logGroupArn": destination}}]
    return wanted
