"""What is to be seen of a retrier: its alarms and its graphs."""

from typing import NotRequired, TypedDict

import pulumi

from .monitoring import PERCENTILES, Alarm, Metric, Panel, lambda_metric, own_metric

ATTEMPTS = ("AttemptsAnswered", "AttemptsLimited", "AttemptsFailed")
CALLS = ("CallsAnswered", "CallsGivenUp", "CallsRefused", "CallsHeld")


class RetrierNames(TypedDict):
    """What metrics are found by."""

    label: str
    """What the graphs call it."""
    service: str
    """What its own metrics are found by."""
    state_machine: pulumi.Input[str]
    """The ARN of the state machine."""
    functions: dict[str, pulumi.Input[str]]
    """The names of the functions that call, by their egress."""
    orchestrator: NotRequired[pulumi.Input[str]]
    """The name of the function behind the URL. Default: there is none."""


def machine_metric(state_machine: pulumi.Input[str], name: str, statistic: str = "Sum") -> Metric:
    """Return a metric of one state machine ("Monitoring Step Functions metrics using Amazon CloudWatch")."""
    return Metric("AWS/States", name, {"StateMachineArn": state_machine}, statistic)


def alarms(names: RetrierNames) -> list[Alarm]:
    """Return the alarms of a retrier."""
    machine = names["state_machine"]
    found = [
        Alarm(
            "failed-alarm",
            "The retrier's state machine fails: calls cannot be carried out.",
            machine_metric(machine, "ExecutionsFailed"),
            threshold=1,
        ),
        Alarm(
            "throttled-alarm",
            "Step Functions holds the retrier's state machine back.",
            machine_metric(machine, "ExecutionThrottled"),
            threshold=1,
        ),
        Alarm(
            "timed-out-alarm",
            "Calls of the retrier do not end by their deadline.",
            machine_metric(machine, "ExecutionsTimedOut"),
            threshold=1,
        ),
        Alarm(
            "circuit-alarm",
            "An upstream fails so often that the retrier leaves it alone.",
            own_metric(names["service"], "CircuitsOpened"),
            threshold=1,
        ),
    ]
    for role, function in _functions(names).items():
        found += [
            Alarm(
                f"{role}-errors-alarm",
                "A function of the retrier fails.",
                lambda_metric(function, "Errors"),
                1,
            ),
            Alarm(
                f"{role}-throttles-alarm",
                "Lambda refuses to run a function of the retrier: its concurrency is used up.",
                lambda_metric(function, "Throttles"),
                1,
            ),
        ]
    return found


def _functions(names: RetrierNames) -> dict[str, pulumi.Input[str]]:
    """Return the names of all functions by what they are."""
    orchestrator = {"orchestrator": names["orchestrator"]} if "orchestrator" in names else {}
    return {**names["functions"], **orchestrator}


def panels(names: RetrierNames) -> list[Panel]:
    """Return the dashboard's graphs of a retrier."""
    label, service, machine = names["label"], names["service"], names["state_machine"]
    executions = ("Started", "Succeeded", "Failed", "TimedOut")
    return [
        Panel(f"{label}: calls", [own_metric(service, each) for each in CALLS]),
        Panel(
            f"{label}: attempts",
            [*(own_metric(service, each) for each in ATTEMPTS), own_metric(service, "CircuitsOpened")],
        ),
        Panel(
            f"{label}: the upstreams' time (ms)",
            [own_metric(service, "UpstreamTime", each) for each in PERCENTILES],
        ),
        Panel(
            f"{label}: executions",
            [
                *(machine_metric(machine, f"Executions{each}") for each in executions),
                machine_metric(machine, "ExecutionThrottled"),
            ],
        ),
        Panel(
            f"{label}: time of a call, with its waits (ms)",
            [machine_metric(machine, "ExecutionTime", each) for each in PERCENTILES],
        ),
        Panel(
            f"{label}: functions that fail",
            [
                lambda_metric(function, name)
                for function in _functions(names).values()
                for name in ("Errors", "Throttles")
            ],
        ),
    ]
