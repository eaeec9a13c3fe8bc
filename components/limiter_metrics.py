"""What is seen of a limiter: its metrics' names, its alarms and its graphs."""

from typing import NotRequired, TypedDict

import pulumi

from .monitoring import (
    PERCENTILES,
    Alarm,
    Comparison,
    Formula,
    Metric,
    Missing,
    Panel,
    api_metric,
    lambda_metric,
    own_metric,
    queue_metric,
)

BLOCK_RATE_ALARM = 100
FULL_PERCENT = 80
LAG_MS = 5 * 60 * 1000
LATE_MS = 60 * 1000
QUARTER = 15 * 60
MISSING_PERCENT = 5
LEAST_TRAFFIC = 100


class LimiterNames(TypedDict):
    """What metrics are found by."""

    ingest: pulumi.Input[str]
    """The name of the function that counts."""
    enforcer: pulumi.Input[str]
    """The name of the function that writes the IP sets."""
    wake_up_dead_letters: pulumi.Input[str]
    """The name of the wake-ups' dead-letter queue."""
    region: pulumi.Input[str]
    """The Region of the web ACL."""
    web_acl: NotRequired[pulumi.Input[str]]
    """The web ACL's name in metrics; none where it is not ours."""
    api: NotRequired[pulumi.Input[str]]
    """The API's name."""
    stage: NotRequired[pulumi.Input[str]]
    """The stage's name."""


def alarms(names: LimiterNames, block_rate: int = BLOCK_RATE_ALARM) -> list[Alarm]:
    """Return the alarms of a limiter."""
    ingest, enforcer = names["ingest"], names["enforcer"]
    found = [
        Alarm("ingest-errors-alarm", "Counting fails.", lambda_metric(ingest, "Errors"), threshold=1),
        Alarm(
            "dead-letters-alarm",
            "Deliveries of the log were given up and wait in the dead letters' bucket.",
            lambda_metric(ingest, "AsyncEventsDropped"),
            threshold=1,
        ),
        Alarm(
            "lost-letters-alarm",
            "What was given up could not even be kept.",
            lambda_metric(ingest, "DestinationDeliveryFailures"),
            threshold=1,
        ),
        Alarm(
            "malformed-alarm",
            "The access log holds lines that are not its own; they are in the dead letters' bucket.",
            own_metric(ingest, "LinesMalformed"),
            threshold=1,
        ),
        Alarm(
            "lag-alarm",
            f"Requests are counted more than {LAG_MS // 60_000} minutes late.",
            own_metric(ingest, "IngestLag", "Maximum"),
            threshold=LAG_MS,
            periods=3,
        ),
        Alarm(
            "block-rate-alarm",
            f"{block_rate} clients or more were blocked in 5 minutes.",
            own_metric(ingest, "BlocksStarted"),
            threshold=block_rate,
        ),
        Alarm(
            "enforcer-errors-alarm",
            "Blocks and releases are not written.",
            lambda_metric(enforcer, "Errors"),
            threshold=1,
            periods=2,
        ),
        Alarm(
            "enforcer-silent-alarm",
            "The enforcer does not run, not even by its schedule.",
            lambda_metric(enforcer, "Invocations"),
            threshold=1,
            comparison=Comparison.BELOW,
            missing=Missing.BAD,
        ),
        Alarm(
            "paused-alarm",
            "The enforcer has been paused for an hour: nobody is blocked or released.",
            own_metric(enforcer, "RunsPaused", "Maximum"),
            threshold=1,
            periods=12,
        ),
        Alarm(
            "stream-alarm",
            "The enforcer hears of new blocks more than a minute late.",
            lambda_metric(enforcer, "IteratorAge", "Maximum"),
            threshold=LATE_MS,
        ),
        Alarm(
            "release-alarm",
            "Clients are released more than a minute late.",
            own_metric(enforcer, "ReleaseLag", "Maximum"),
            threshold=LATE_MS,
        ),
        Alarm(
            "wake-ups-alarm",
            "Wake-ups for releases fail; the schedule releases up to a minute late.",
            queue_metric(names["wake_up_dead_letters"], "ApproximateNumberOfMessagesVisible", "Maximum"),
            threshold=1,
        ),
        Alarm(
            "fill-alarm",
            f"An IP set is over {FULL_PERCENT} % full: raise sets_per_family.",
            own_metric(enforcer, "SetFill", "Maximum"),
            threshold=FULL_PERCENT,
        ),
        Alarm(
            "unreadable-alarm",
            "The blocks' table holds records that are not its own.",
            own_metric(enforcer, "RecordsUnreadable", "Maximum"),
            threshold=1,
        ),
    ]
    return [*found, *_missing_alarm(names)]


def _missing_alarm(names: LimiterNames) -> list[Alarm]:
    """Compare what the API counted with what was ingested or blocked: the log may skip lines in silence."""
    if not {"api", "stage", "web_acl"} <= names.keys():
        return []
    formula = Formula(
        f"IF(count >= {LEAST_TRAFFIC}, 100 * (count - FILL(seen, 0) - FILL(blocked, 0)) / count, 0)",
        "requests that nobody counted (%)",
        {
            "count": api_metric(names["api"], names["stage"], "Count"),
            "seen": own_metric(names["ingest"], "RequestsSeen"),
            "blocked": _waf_metric(names, "BlockedRequests"),
        },
    )
    return [
        Alarm(
            "missing-alarm",
            f"{MISSING_PERCENT} % or more of the API's requests were neither counted nor blocked.",
            formula,
            threshold=MISSING_PERCENT,
            periods=2,
            period=QUARTER,
        )
    ]


def _waf_metric(names: LimiterNames, name: str) -> Metric:
    return Metric("AWS/WAFV2", name, {"WebACL": names["web_acl"], "Rule": "ALL", "Region": names["region"]})


def panels(names: LimiterNames) -> list[Panel]:
    """Return the dashboard's graphs of a limiter."""
    ingest, enforcer = names["ingest"], names["enforcer"]
    waf = _waf_metric(names, "BlockedRequests") if "web_acl" in names else None
    return [
        *([Panel("Limiter: blocked requests", [waf])] if waf else []),
        Panel(
            "Limiter: requests",
            [
                own_metric(ingest, each)
                for each in ("RequestsSeen", "RequestsCounted", "RequestsUnattributed", "LinesMalformed")
            ],
        ),
        Panel("Limiter: new blocks", [own_metric(ingest, "BlocksStarted")]),
        Panel("Limiter: live blocks", [own_metric(enforcer, "BlocksLive", "Maximum")]),
        Panel("Limiter: fullest IP set (%)", [own_metric(enforcer, "SetFill", "Maximum")]),
        Panel(
            "Limiter: lag (ms)",
            [
                own_metric(ingest, "IngestLag", "Maximum"),
                own_metric(enforcer, "BlockLag", "Maximum"),
                own_metric(enforcer, "ReleaseLag", "Maximum"),
            ],
        ),
        Panel("Limiter: events per delivery", [own_metric(ingest, "EventsPerDelivery", "p50")]),
        Panel(
            "Limiter: runs",
            [lambda_metric(each, name) for each in (ingest, enforcer) for name in ("Invocations", "Errors")],
        ),
        Panel(
            "Limiter: time to count (ms)", [lambda_metric(ingest, "Duration", each) for each in PERCENTILES]
        ),
    ]
