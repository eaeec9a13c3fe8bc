"""What is to be seen of a front door: its alarms and its graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pulumi

from .monitoring import PERCENTILES, Alarm, Formula, Metric, Panel, api_metric, queue_metric
from .stage import THROTTLED

ERROR_RATE_PERCENT = 1
LATENCY_MS = 1000
THROTTLED_PERCENT = 5
OLDEST_MESSAGE_SECONDS = 900
MOST_LATENCY_MS = 30_000
PERIODS = 3
"""In how many periods of 5 minutes in a row the time to answer, or the throttled share, has to be bad."""


class QueueNames(TypedDict):
    """What the metrics of one queue are found by."""

    queue: pulumi.Input[str]
    """The queue's name."""
    dead_letter_queue: NotRequired[pulumi.Input[str] | None]
    """The dead-letter queue's name. Default: none, the queue is somebody else's."""


class FrontDoorNames(TypedDict):
    """What metrics are found by."""

    api: pulumi.Input[str]
    """The API's name."""
    stage: pulumi.Input[str]
    """The stage's name."""
    namespace: str
    """The namespace of what is read from its access log."""
    queues: list[QueueNames]
    """Its queues."""
    cached: NotRequired[bool]
    """Whether the stage has a cache. Default: false."""


@dataclass(frozen=True)
class Limits:
    """From when on things are bad."""

    error_rate_percent: int = ERROR_RATE_PERCENT
    latency_ms: int = LATENCY_MS
    throttled_percent: int = THROTTLED_PERCENT
    oldest_message_seconds: int = OLDEST_MESSAGE_SECONDS


def alarms(names: FrontDoorNames, labels: Sequence[str], limits: Limits) -> list[Alarm]:
    """Return the alarms of a front door.

    Args:
        names: what its metrics are found by.
        labels: for each queue what the names of its alarms begin with.
        limits: from when on things are bad.
    """
    found = [
        Alarm(
            "errors-alarm",
            f"{limits.error_rate_percent} % or more of the requests are answered 5xx.",
            # Each request counts as 0 or 1, so the average is the share.
            _of_api(names, "5XXError", "Average"),
            threshold=limits.error_rate_percent / 100,
        ),
        Alarm(
            "latency-alarm",
            f"1 % of the requests take {limits.latency_ms} ms or more.",
            _of_api(names, "Latency", "p99"),
            threshold=limits.latency_ms,
            periods=PERIODS,
        ),
        Alarm(
            "throttled-alarm",
            f"{limits.throttled_percent} % or more of the requests are throttled.",
            throttled_share(names),
            threshold=limits.throttled_percent,
            periods=PERIODS,
        ),
    ]
    for label, queue in zip(labels, names["queues"], strict=True):
        found.append(
            Alarm(
                f"{label}age-alarm",
                f"The oldest message waits for {limits.oldest_message_seconds} seconds or more: "
                "the consumer lags.",
                queue_metric(queue["queue"], "ApproximateAgeOfOldestMessage", "Maximum"),
                threshold=limits.oldest_message_seconds,
            )
        )
        if dead := queue.get("dead_letter_queue"):
            found.append(
                Alarm(
                    f"{label}dead-letters-alarm",
                    "Messages were given up and wait in the dead-letter queue.",
                    queue_metric(dead, "ApproximateNumberOfMessagesVisible", "Maximum"),
                    threshold=1,
                )
            )
    return found


def throttled_share(names: FrontDoorNames) -> Formula:
    """Return the share of the requests that the stage or a usage plan throttled, in percent."""
    return Formula(
        "IF(FILL(requests, 0) > 0, 100 * FILL(throttled, 0) / requests, 0)",
        "Throttled (%)",
        {"requests": _of_api(names, "Count"), "throttled": _throttled(names)},
    )


def panels(names: FrontDoorNames) -> list[Panel]:
    """Return the dashboard's graphs of a front door."""
    queues = [each["queue"] for each in names["queues"]]
    dead = [each for queue in names["queues"] if (each := queue.get("dead_letter_queue"))]
    cache = [
        Panel("Cache", [_of_api(names, each) for each in ("CacheHitCount", "CacheMissCount")]),
    ]
    return [
        Panel("Requests", [_of_api(names, "Count")]),
        Panel("Errors", [*(_of_api(names, each) for each in ("4XXError", "5XXError")), _throttled(names)]),
        Panel("Time to answer (ms)", [_of_api(names, "Latency", each) for each in PERCENTILES]),
        Panel(
            "Time behind the door (ms)", [_of_api(names, "IntegrationLatency", each) for each in PERCENTILES]
        ),
        Panel(
            "Messages",
            [
                queue_metric(queue, each)
                for queue in queues
                for each in ("NumberOfMessagesSent", "NumberOfMessagesDeleted")
            ],
        ),
        Panel(
            "Waiting",
            [queue_metric(each, "ApproximateNumberOfMessagesVisible", "Maximum") for each in queues],
        ),
        Panel(
            "Oldest message (s)",
            [queue_metric(each, "ApproximateAgeOfOldestMessage", "Maximum") for each in queues],
        ),
        *(
            [
                Panel(
                    "Dead letters",
                    [queue_metric(each, "ApproximateNumberOfMessagesVisible", "Maximum") for each in dead],
                )
            ]
            if dead
            else []
        ),
        *(cache if names.get("cached") else []),
    ]


def _throttled(names: FrontDoorNames) -> Metric:
    return Metric(names["namespace"], THROTTLED, {})


def _of_api(names: FrontDoorNames, name: str, statistic: str = "Sum") -> Metric:
    return api_metric(names["api"], names["stage"], name, statistic)
