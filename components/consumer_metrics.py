"""What is to be seen of a consumer: its alarms and its graphs."""

from typing import NotRequired, TypedDict

import pulumi

from .monitoring import PERCENTILES, Alarm, Metric, Panel, lambda_metric, own_metric

OUTCOMES = ("RecordsHandled", "RecordsRepeated", "RecordsFailed", "RecordsReturned", "RecordsGivenUp")


class ConsumerNames(TypedDict):
    """What metrics are found by."""

    label: str
    """What the graphs call it."""
    function: pulumi.Input[str]
    """The function's name."""
    filtered_by: NotRequired[pulumi.Input[str]]
    """The id of the mapping whose filters let Lambda delete messages. Default: there are no filters."""


def alarms(names: ConsumerNames) -> list[Alarm]:
    """Return the alarms of a consumer."""
    function = names["function"]
    return [
        Alarm(
            "errors-alarm", "The consumer fails as a whole.", lambda_metric(function, "Errors"), threshold=1
        ),
        Alarm(
            "throttles-alarm",
            "Lambda refuses to run the consumer: its concurrency is used up.",
            lambda_metric(function, "Throttles"),
            threshold=1,
            periods=3,
        ),
    ]


def panels(names: ConsumerNames) -> list[Panel]:
    """Return the dashboard's graphs of a consumer."""
    label, function = names["label"], names["function"]
    outcomes = [own_metric(function, each) for each in OUTCOMES]
    if "filtered_by" in names:
        mapping = {"EventSourceMappingUUID": names["filtered_by"]}
        outcomes.append(Metric("AWS/Lambda", "FilteredOutEventCount", mapping))
    return [
        Panel(f"{label}: records", outcomes),
        Panel(
            f"{label}: time from sent to handled (ms)",
            [own_metric(function, "RecordAge", each) for each in PERCENTILES],
        ),
        Panel(
            f"{label}: runs",
            [
                *(lambda_metric(function, each) for each in ("Invocations", "Errors", "Throttles")),
                own_metric(function, "AttemptsInterrupted"),
            ],
        ),
        Panel(f"{label}: time (ms)", [lambda_metric(function, "Duration", each) for each in PERCENTILES]),
    ]
