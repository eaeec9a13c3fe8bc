"""When an authorizer's alarms fire, by metrics that its function makes under the names it makes them."""

import re
from collections.abc import Callable
from contextlib import suppress

import pytest

from components import authorizer
from components.authorizer import AuthorizerNames
from components.monitoring import Alarm, Metric
from handlers.authorizing import Caller, RefusedError, SettingsError

from .alarm_evaluation import Data, fires
from .authorizer_events import Door, Told, token_event
from .aws_metrics import AUTHORIZER_COUNTS

OURS: AuthorizerNames = {"function": "guard", "ours": True}
THEIRS: AuthorizerNames = {"function": "decider", "ours": False}
ALARMS = {each.role: each for each in authorizer.alarms(OURS)}
CASES: dict[str, tuple[list[Data], list[Data]]] = {
    "errors-alarm": (
        [{"Errors": [1]}, {"Errors": [0, 70]}],
        [{"Errors": [0]}, {"Errors": [5, 0]}, {"Errors": [1, None]}],
    ),
    "settings-alarm": (
        [{"SettingsErrors": [1]}, {"SettingsErrors": [None, 3]}],
        [{"SettingsErrors": [0]}, {"SettingsErrors": [3, None]}],
    ),
    "throttles-alarm": (
        [{"Throttles": [1]}, {"Throttles": [0, 20]}],
        [{"Throttles": [0]}, {"Throttles": [20, 0]}],
    ),
}


def test_every_alarm_has_its_cases() -> None:
    assert CASES.keys() == ALARMS.keys()


@pytest.mark.parametrize(("role", "data"), [(role, data) for role, (bad, _) in CASES.items() for data in bad])
def test_an_alarm_of_the_authorizer_fires_where_something_is_wrong(role: str, data: Data) -> None:
    assert fires(ALARMS[role], data)


@pytest.mark.parametrize(
    ("role", "data"), [(role, data) for role, (_, good) in CASES.items() for data in good]
)
def test_an_alarm_of_the_authorizer_stays_quiet_where_nothing_is(role: str, data: Data) -> None:
    assert not fires(ALARMS[role], data)


@pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)
def test_no_alarm_takes_silence_for_a_fault(alarm: Alarm) -> None:
    assert isinstance(alarm.metric, Metric)
    assert not fires(alarm, {alarm.metric.name: [None]}), "nobody calls at night"


def allows(_token: str) -> Caller:
    return Caller("ci")


def refuses(_token: str) -> Caller:
    raise RefusedError("unknown token")


def has_no_keys(_token: str) -> Caller:
    raise SettingsError("the issuer cannot be reached")


CHECKS = {"Allowed": allows, "Refused": refuses, "SettingsErrors": has_no_keys}


def told(check: Callable[[str], Caller]) -> list[Told]:
    """Return what an authorizer tells its log of one caller."""
    door = Door(check)
    with suppress(SettingsError):
        door.ask(token_event("Bearer any"))
    return door.told


@pytest.mark.parametrize(("metric", "check"), CHECKS.items())
def test_an_alarm_hears_of_what_no_caller_is_to_blame_for_and_of_nothing_else(
    metric: str, check: Callable[[str], Caller]
) -> None:
    made = [each.metric for each in told(check)]
    assert made == [metric]
    heard = made.count("SettingsErrors") or None
    assert fires(ALARMS["settings-alarm"], {"SettingsErrors": [heard]}) is (check is has_no_keys)


def test_the_metrics_of_the_authorizer_are_those_that_it_makes() -> None:
    assert CHECKS.keys() == AUTHORIZER_COUNTS


def graphs(names: AuthorizerNames) -> dict[str, list[Metric]]:
    return {each.title: [*each.metrics] for each in authorizer.panels(names)}


def test_what_our_function_decided_is_shown_under_the_names_that_it_tells() -> None:
    shown = graphs(OURS)["Authorizer: decisions"]
    assert {each.name for each in shown} == AUTHORIZER_COUNTS
    assert all(each.dimensions == {"service": "guard"} for each in shown)


def test_of_another_s_function_is_shown_what_lambda_tells_and_no_empty_graph() -> None:
    assert graphs(THEIRS).keys() == graphs(OURS).keys() - {"Authorizer: decisions"}
    for metrics in graphs(THEIRS).values():
        assert {each.namespace for each in metrics} == {"AWS/Lambda"}
        assert all(each.dimensions == {"FunctionName": "decider"} for each in metrics)


def test_an_alarm_says_what_callers_see_or_where_to_look() -> None:
    for alarm in ALARMS.values():
        assert re.search("callers get a 500|its log says", alarm.description), alarm.role
