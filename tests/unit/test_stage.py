import re
from collections.abc import Mapping
from typing import Any

import pytest

from components import routes, stage
from components.routes import Read
from components.stage import THROTTLED_PATTERN, StageSpec
from sluice import access_log
from sluice.access_log import FIELDS

URL = "https://backend.example.com"
OF_ALL = {
    "throttling_rate_limit": 100,
    "throttling_burst_limit": 50,
    "metrics_enabled": True,
    "logging_level": "OFF",
    "data_trace_enabled": False,
    "caching_enabled": False,
}


def spec(*given_routes: Mapping[str, Any], reads: tuple[Read, ...] = (), log: str = "OFF") -> StageSpec:
    return StageSpec(
        stage_name="v1",
        throttle_rate=100,
        throttle_burst=50,
        routes=[routes.make(each) for each in given_routes],  # type: ignore[arg-type]
        reads=reads,
        cache_size_gb="0.5",
        tracing=False,
        execution_log=log,
        line_format=access_log.line_format(),
        manage_account_logging=False,
        log_retention_days=30,
        kms_key_arn=None,
        metric_namespace="Sluice/test-door",
    )


def test_what_is_not_different_for_any_method_is_said_once_for_all() -> None:
    found = stage.settings(spec({"path": "a"}, {"path": "b"}, reads=(Read("c", URL),)))
    assert found == {"*/*": OF_ALL}


def test_a_route_s_own_throttle_is_said_with_everything_else_of_all() -> None:
    # What is set for one method replaces what is set for all.
    found = stage.settings(
        spec(
            {"path": "a", "throttle_rate": 5},
            {"path": "a", "method": "PUT", "throttle_burst": 7},
            {"path": "orders/{id}", "throttle_rate": 1, "throttle_burst": 2},
        )
    )
    assert found == {
        "*/*": OF_ALL,
        "~1a/POST": {**OF_ALL, "throttling_rate_limit": 5},
        "~1a/PUT": {**OF_ALL, "throttling_burst_limit": 7},
        "~1orders~1{id}/POST": {**OF_ALL, "throttling_rate_limit": 1, "throttling_burst_limit": 2},
    }


def test_a_read_is_cached_alone_and_nobody_empties_the_cache() -> None:
    reads = (Read("orders/{id}", URL, cache_ttl_seconds=60), Read("other", URL))
    found = stage.settings(spec({"path": "a"}, reads=reads))
    assert found == {
        "*/*": OF_ALL,
        "~1orders~1{id}/GET": {
            **OF_ALL,
            "caching_enabled": True,
            "cache_ttl_in_seconds": 60,
            "cache_data_encrypted": True,
            "require_authorization_for_cache_control": True,
            "unauthorized_cache_control_header_strategy": "FAIL_WITH_403",
        },
    }


@pytest.mark.parametrize(
    "given",
    [
        spec({"path": "a", "throttle_rate": 5}, reads=(Read("b", URL, cache_ttl_seconds=1),), log="INFO"),
        spec({"path": "a"}, log="ERROR"),
    ],
)
def test_the_settings_of_all_come_first_and_each_other_repeats_them(given: StageSpec) -> None:
    found = stage.settings(given)
    assert next(iter(found)) == "*/*"
    for values in found.values():
        assert values.keys() >= OF_ALL.keys()
        assert values["logging_level"] == given.execution_log
        assert values["data_trace_enabled"] is False, "bodies are in no log"
        assert values["metrics_enabled"] is True


@pytest.mark.parametrize(
    ("reads", "cached"),
    [((), False), ((Read("a", URL),), False), ((Read("a", URL), Read("b", URL, cache_ttl_seconds=1)), True)],
)
def test_there_is_a_cache_where_there_is_something_to_remember(reads: tuple[Read, ...], cached: bool) -> None:
    assert spec(reads=reads).cached is cached


TERM = re.compile(r'\(\$\.(\w+) (=|!=) "([^"]*)"\)')


def counted(line: Mapping[str, str]) -> bool:
    """Whether a line of the access log is counted as throttled: its pattern is a list of comparisons."""
    terms = TERM.findall(THROTTLED_PATTERN)
    written = " && ".join(f'($.{name} {operator} "{value}")' for name, operator, value in terms)
    assert f"{{ {written} }}" == THROTTLED_PATTERN
    return all((line[name] == value) == (operator == "=") for name, operator, value in terms)


def line(**changes: str) -> dict[str, str]:
    return {**dict.fromkeys(FIELDS, "-"), "status": "202", "waf": "WAF_ALLOW", **changes}


@pytest.mark.parametrize(
    ("written", "throttled"),
    [
        (line(), False),
        (line(status="429"), True),
        (line(status="429", waf="-"), True),
        (line(status="429", waf="WAF_BLOCK"), False),
        # What a read's back end answers is passed on as it is.
        (line(status="429", backend="429"), False),
        (line(status="429", backend="503", waf="-"), False),
        (line(status="503"), False),
        (line(status="403", waf="WAF_BLOCK"), False),
    ],
)
def test_a_request_that_the_stage_throttled_is_counted_and_no_other(
    written: dict[str, str], throttled: bool
) -> None:
    assert counted(written) is throttled


def test_the_pattern_speaks_of_fields_that_the_access_log_has() -> None:
    assert {name for name, _, _ in TERM.findall(THROTTLED_PATTERN)} <= FIELDS.keys()
