import re

import pytest

from components import limiter_metrics
from components.limiter_metrics import LimiterNames
from components.monitoring import Alarm, Comparison, Formula, Metric, Missing

from .alarm_evaluation import Data, Value, fires, names_in, value

NAMES: LimiterNames = {
    "ingest": "ingest",
    "enforcer": "enforcer",
    "wake_up_dead_letters": "late",
    "region": "eu-west-1",
    "web_acl": "acl",
    "api": "api",
    "stage": "v1",
}
ALARMS = {alarm.role: alarm for alarm in limiter_metrics.alarms(NAMES)}
MINUTE_MS = 60_000
METRIC = Metric("Sluice", "RequestsSeen", {"service": "ingest"})
OTHER = Metric("Sluice", "RequestsCounted", {"service": "ingest"})


def alarm(
    threshold: float, periods: int = 1, *, below: bool = False, missing: Missing = Missing.FINE
) -> Alarm:
    comparison = Comparison.BELOW if below else Comparison.AT_LEAST
    return Alarm("x-alarm", "X.", METRIC, threshold, periods, missing=missing, comparison=comparison)


@pytest.mark.parametrize(
    ("evaluated", "values", "fired"),
    [
        (alarm(3), [3], True),
        (alarm(3), [2.9], False),
        (alarm(3), [9, 2], False),
        (alarm(3), [None], False),
        (alarm(3, missing=Missing.BAD), [None], True),
        (alarm(3, 2), [3, 3], True),
        (alarm(3, 2), [2, 3], False),
        (alarm(3, 2), [3, None], False),
        (alarm(3, 2, missing=Missing.BAD), [3, None], True),
        (alarm(3, below=True), [2], True),
        (alarm(3, below=True), [3], False),
        (alarm(3, below=True), [0], True),
    ],
)
def test_an_alarm_fires_where_all_of_its_last_periods_are_bad(
    evaluated: Alarm, values: list[Value], fired: bool
) -> None:
    assert fires(evaluated, {METRIC.name: values}) == fired


@pytest.mark.parametrize(
    ("expression", "a", "b", "wanted"),
    [
        ("a + b * 2", 1, 3, 7),
        ("(a - b) / 2", 5, 1, 2),
        ("a / b", 1, 0, None),
        ("a + b", None, 1, None),
        ("FILL(a, 0) + b", None, 1, 1),
        ("FILL(a, 0) + b", 4, 1, 5),
        ("IF(a >= 2, b, 0)", 2, 7, 7),
        ("IF(a >= 2, b, 0)", 1, 7, 0),
        ("IF(a >= 2, b, 0)", None, 7, None),
        ("IF(a >= 2, b, 9)", 1, None, 9),
        ("IF(a < 2, 1, 0)", 1, None, 1),
    ],
)
def test_a_formula_is_computed_as_cloudwatch_computes_it(
    expression: str, a: Value, b: Value, wanted: Value
) -> None:
    formula = Formula(expression, "x", {"a": METRIC, "b": OTHER})
    assert value(formula, {METRIC.name: a, OTHER.name: b}) == wanted
    assert names_in(expression) == {"a", "b"} & set(re.findall(r"\b[ab]\b", expression))


def test_a_formula_of_what_is_not_carried_here_is_no_number_by_chance() -> None:
    with pytest.raises(ValueError, match="not carried here"):
        value(Formula("ABS(a)", "x", {"a": METRIC}), {METRIC.name: 1})


CASES: dict[str, tuple[list[Data], list[Data]]] = {
    "ingest-errors-alarm": ([{"Errors": [1]}], [{"Errors": [0]}, {"Errors": [None]}]),
    "dead-letters-alarm": (
        [{"AsyncEventsDropped": [1]}],
        [{"AsyncEventsDropped": [0]}, {"AsyncEventsDropped": [None]}],
    ),
    "lost-letters-alarm": (
        [{"DestinationDeliveryFailures": [1]}],
        [{"DestinationDeliveryFailures": [0]}, {"DestinationDeliveryFailures": [None]}],
    ),
    "malformed-alarm": ([{"LinesMalformed": [1]}], [{"LinesMalformed": [0]}, {"LinesMalformed": [None]}]),
    "lag-alarm": (
        [{"IngestLag": [5 * MINUTE_MS] * 3}],
        [
            {"IngestLag": [5 * MINUTE_MS - 1] * 3},
            {"IngestLag": [9 * MINUTE_MS, 0, 9 * MINUTE_MS]},
            {"IngestLag": [None] * 3},
        ],
    ),
    "block-rate-alarm": ([{"BlocksStarted": [100]}], [{"BlocksStarted": [99]}, {"BlocksStarted": [None]}]),
    "enforcer-errors-alarm": (
        [{"Errors": [1, 1]}],
        [{"Errors": [0, 1]}, {"Errors": [1, 0]}, {"Errors": [None, None]}],
    ),
    "enforcer-silent-alarm": (
        [{"Invocations": [0]}, {"Invocations": [None]}],
        [{"Invocations": [1]}, {"Invocations": [5]}],
    ),
    "paused-alarm": (
        [{"RunsPaused": [1] * 12}],
        [{"RunsPaused": [1] * 11 + [0]}, {"RunsPaused": [0] + [1] * 11}, {"RunsPaused": [None] * 12}],
    ),
    "stream-alarm": (
        [{"IteratorAge": [MINUTE_MS]}],
        [{"IteratorAge": [MINUTE_MS - 1]}, {"IteratorAge": [None]}],
    ),
    "release-alarm": ([{"ReleaseLag": [MINUTE_MS]}], [{"ReleaseLag": [2_000]}, {"ReleaseLag": [None]}]),
    "wake-ups-alarm": (
        [{"ApproximateNumberOfMessagesVisible": [1]}],
        [{"ApproximateNumberOfMessagesVisible": [0]}, {"ApproximateNumberOfMessagesVisible": [None]}],
    ),
    "fill-alarm": ([{"SetFill": [80]}, {"SetFill": [250]}], [{"SetFill": [79.9]}, {"SetFill": [None]}]),
    "unreadable-alarm": (
        [{"RecordsUnreadable": [1]}],
        [{"RecordsUnreadable": [0]}, {"RecordsUnreadable": [None]}],
    ),
    "missing-alarm": (
        [
            {"Count": [100, 100], "RequestsSeen": [95, 0], "BlockedRequests": [None, 95]},
            {"Count": [1000, 1000], "RequestsSeen": [None, None], "BlockedRequests": [None, None]},
            {"Count": [200, 200], "RequestsSeen": [100, 100], "BlockedRequests": [90, 90]},
        ],
        [
            {"Count": [100, 100], "RequestsSeen": [100, 100], "BlockedRequests": [None, None]},
            {"Count": [1000, 1000], "RequestsSeen": [900, 10], "BlockedRequests": [60, 950]},
            {"Count": [99, 99], "RequestsSeen": [None, None], "BlockedRequests": [None, None]},
            {"Count": [1000, 1000], "RequestsSeen": [1000, 0], "BlockedRequests": [0, 0]},
            # What was counted late counts for another period, so there may be more than the API counted.
            {"Count": [100, 100], "RequestsSeen": [300, 300], "BlockedRequests": [None, None]},
            {"Count": [None, None], "RequestsSeen": [None, None], "BlockedRequests": [None, None]},
            {"Count": [0, 0], "RequestsSeen": [0, 0], "BlockedRequests": [0, 0]},
        ],
    ),
}


def test_every_alarm_has_its_cases() -> None:
    assert CASES.keys() == ALARMS.keys()


@pytest.mark.parametrize(("role", "data"), [(role, data) for role, (bad, _) in CASES.items() for data in bad])
def test_an_alarm_of_the_limiter_fires_where_something_is_wrong(role: str, data: Data) -> None:
    assert fires(ALARMS[role], data)


@pytest.mark.parametrize(
    ("role", "data"), [(role, data) for role, (_, good) in CASES.items() for data in good]
)
def test_an_alarm_of_the_limiter_stays_quiet_where_nothing_is(role: str, data: Data) -> None:
    assert not fires(ALARMS[role], data)


def test_the_rate_of_new_blocks_that_is_too_high_is_the_owner_s_to_say() -> None:
    (alarm,) = (each for each in limiter_metrics.alarms(NAMES, 7) if each.role == "block-rate-alarm")
    assert fires(alarm, {"BlocksStarted": [7]})
    assert not fires(alarm, {"BlocksStarted": [6]})
    assert "7 clients" in alarm.description


def test_only_the_alarm_that_looks_for_silence_takes_silence_for_a_fault() -> None:
    silent = {
        role for role, alarm in ALARMS.items() if fires(alarm, dict.fromkeys(_names(alarm), [None] * 12))
    }
    assert silent == {"enforcer-silent-alarm"}


def _names(alarm: Alarm) -> list[str]:
    formula = alarm.metric
    metrics = formula.metrics.values() if isinstance(formula, Formula) else [formula]
    return [metric.name for metric in metrics]


def test_the_expression_of_an_alarm_speaks_of_its_metrics_and_of_no_other() -> None:
    formula = ALARMS["missing-alarm"].metric
    assert isinstance(formula, Formula)
    assert names_in(formula.expression) == formula.metrics.keys()
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9_]*", each) for each in formula.metrics), "or CloudWatch refuses"
