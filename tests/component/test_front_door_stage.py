import itertools
import json
import re

import pulumi
import pytest

from sluice import access_log

from .cases import KEY, QUEUES, READS, ROUTES, SHARED, TOPIC, planned
from .doors import GUARDED, door, plain
from .recording import ALARM, LOG_GROUP, METHOD_SETTINGS, Plan

EXECUTION_LOG = "API-Gateway-Execution-Logs_a1b2c3d4e5/v1"


def test_the_account_s_logging_is_left_alone_by_default() -> None:
    plan = plain()
    assert not plan.of("aws:apigateway/account:Account")
    assert "unit-logging-role" not in plan
    assert "unit-logging-policy" not in plan


def test_a_managed_account_logs_before_the_stage_does_and_outlives_the_program() -> None:
    plan = door(manage_account_logging=True)
    role, attachment, account = (
        plan[f"unit-{each}"] for each in ("logging-role", "logging-policy", "account")
    )
    assert account.inputs["cloudwatchRoleArn"] == role.outputs["arn"]
    assert attachment.inputs["role"] == role.outputs["name"]
    assert attachment.inputs["policyArn"].startswith("arn:aws:iam::aws:policy/service-role/")
    assert attachment.urn in account.dependencies, "API Gateway tries the role when it is set"
    assert account.urn in plan["unit-stage"].dependencies
    kept = {each.name for each in plan.registrations if each.retain_on_delete}
    assert kept == {role.name, attachment.name, account.name}


def test_the_stage_throttles_as_asked() -> None:
    plan = door(throttle_rate=20, throttle_burst=40)
    settings = plan["unit-settings"].inputs
    assert (settings["methodPath"], settings["stageName"]) == ("*/*", plan["unit-stage"].outputs["stageName"])
    assert settings["settings"] == {
        "throttlingRateLimit": 20,
        "throttlingBurstLimit": 40,
        "metricsEnabled": True,
        "loggingLevel": "OFF",
        "dataTraceEnabled": False,
        "cachingEnabled": False,
    }


def test_the_stage_s_throttle_is_never_nothing() -> None:
    settings = plain()["unit-settings"].inputs["settings"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (1000, 500), (
        "settings without a throttle would let nothing through, or the whole account's share"
    )


def with_settings() -> Plan:
    return door(**QUEUES, **ROUTES, **READS, throttle_rate=50, throttle_burst=70, execution_log="INFO")


def test_settings_of_single_methods_say_everything_that_the_settings_of_all_say() -> None:
    plan = with_settings()
    of_all, *of_some = plan.of(METHOD_SETTINGS)
    assert of_all.inputs["methodPath"] == "*/*"
    assert {each.inputs["methodPath"] for each in of_some} == {
        "~1orders~1{shop}/PUT",
        "~1catalog~1{sku}/GET",
    }
    for each in of_some:
        own = each.inputs["settings"]
        assert of_all.inputs["settings"].keys() <= own.keys(), "what is left out falls back to AWS's own"
        assert own["loggingLevel"] == "INFO"
        assert own["metricsEnabled"] is True


def test_settings_are_made_one_after_the_other_those_of_all_first() -> None:
    made = with_settings().of(METHOD_SETTINGS)
    assert len(made) == 3
    for before, each in itertools.pairwise(made):
        assert before.urn in each.dependencies, "a stage takes one change at a time"


def test_a_route_may_have_a_throttle_of_its_own() -> None:
    plan = with_settings()
    own = plan["unit-settings-PUT/orders/{}"].inputs["settings"]
    assert (own["throttlingRateLimit"], own["throttlingBurstLimit"]) == (200, 100)
    read = plan["unit-settings-GET/catalog/{}"].inputs["settings"]
    assert (read["throttlingRateLimit"], read["throttlingBurstLimit"]) == (50, 70)


def test_a_route_may_have_a_rate_of_its_own_and_the_stage_s_burst() -> None:
    plan = door(routes=[{"path": "a", "throttle_rate": 5}], throttle_burst=70)
    own = plan["unit-settings-POST/a"].inputs["settings"]
    assert (own["throttlingRateLimit"], own["throttlingBurstLimit"]) == (5, 70)


@pytest.mark.parametrize("level", ["OFF", "ERROR", "INFO"])
def test_bodies_are_in_no_log(level: str) -> None:
    plan = door(**QUEUES, **ROUTES, **READS, execution_log=level)
    settings = [each.inputs["settings"] for each in plan.of(METHOD_SETTINGS)]
    assert len(settings) == 3
    assert all(each["dataTraceEnabled"] is False for each in settings)


def test_the_execution_log_is_there_before_api_gateway_makes_it() -> None:
    plan = door(execution_log="ERROR", kms_key_arn=KEY, log_retention_days=7)
    log = plan["unit-execution-log"]
    assert log.inputs == {"name": EXECUTION_LOG, "retentionInDays": 7, "kmsKeyId": KEY}, (
        "API Gateway's own would be kept for ever, without the key"
    )
    assert log.urn in plan["unit-stage"].dependencies
    assert plan["unit-settings"].inputs["settings"]["loggingLevel"] == "ERROR"
    assert plan.result["execution_log_name"] == EXECUTION_LOG


def test_there_is_no_execution_log_unless_asked() -> None:
    plan = plain()
    assert [each.name for each in plan.of(LOG_GROUP)] == ["unit-access-log"]
    assert plan.result["execution_log_name"] is None


@pytest.mark.parametrize(
    ("args", "traced"), [({}, None), ({"tracing": False}, None), ({"tracing": True}, True)]
)
def test_requests_are_traced_where_asked(args: dict[str, bool], traced: bool | None) -> None:
    assert door(**args)["unit-stage"].inputs.get("xrayTracingEnabled") is traced


def test_what_is_throttled_is_counted_from_the_access_log_under_its_own_namespace() -> None:
    plan = planned("front door with everything")
    counted = plan["unit-throttled-requests"].inputs
    assert counted["logGroupName"] == plan["unit-access-log"].outputs["name"]
    metric = counted["metricTransformation"]
    assert metric == {
        "name": "RequestsThrottled",
        "namespace": "Sluice/sluice-test-unit",
        "value": "1",
        "defaultValue": "0",
    }
    queries = {
        each["id"]: each.get("metric") for each in plan["unit-throttled-alarm"].inputs["metricQueries"]
    }
    assert queries["throttled"]["namespace"] == metric["namespace"]
    assert queries["throttled"]["metricName"] == metric["name"]


@pytest.mark.parametrize(
    ("status", "backend", "waf", "throttled"),
    [
        ("429", "-", "-", True),
        ("429", "-", "WAF_BLOCK", False),
        ("429", "429", "-", False),
        ("202", "200", "-", False),
        ("403", "-", "WAF_BLOCK", False),
    ],
)
def test_what_a_web_acl_or_a_back_end_stops_is_not_counted_as_throttled(
    status: str, backend: str, waf: str, throttled: bool
) -> None:
    pattern = plain()["unit-throttled-requests"].inputs["pattern"]
    terms = re.findall(r'\(\$\.(\w+) (=|!=) "([\w-]+)"\)', pattern)
    assert pattern == "{ " + " && ".join(f'($.{name} {sign} "{value}")' for name, sign, value in terms) + " }"
    line = json.loads(plain()["unit-stage"].inputs["accessLogSettings"]["format"])
    assert {name for name, _, _ in terms} <= line.keys()
    values = {"status": status, "backend": backend, "waf": waf}
    assert all((values[name] == value) == (sign == "=") for name, sign, value in terms) is throttled


@pytest.mark.parametrize(
    ("args", "principal"),
    [
        ({}, None),
        ({"log_principal": False}, None),
        (GUARDED, None),
        ({**GUARDED, "log_principal": False}, None),
        ({**GUARDED, "log_principal": True}, "ci"),
    ],
)
def test_a_line_of_the_access_log_parses_and_names_the_principal_only_when_asked(
    args: dict[str, object], principal: str | None
) -> None:
    plan = door(**args)
    written = plan["unit-stage"].inputs["accessLogSettings"]
    assert written["destinationArn"] == plan["unit-access-log"].outputs["arn"]
    values = {
        "$context.requestId": "c6af9ac6",
        "$context.identity.sourceIp": "203.0.113.9",
        "$context.requestTimeEpoch": "1700000000000",
        "$context.httpMethod": "POST",
        "$context.resourcePath": "/messages",
        "$context.status": "202",
        "$context.wafResponseCode": "-",
        "$context.responseLatency": "12",
        "$context.integrationStatus": "200",
        "$context.authorizer.principalId": "ci",
    }
    text = re.sub(r"\$context\.[A-Za-z.]+", lambda match: values[match[0]], written["format"])
    assert access_log.parse(text) == access_log.Line(
        request_id="c6af9ac6",
        ip="203.0.113.9",
        time=1700000000000,
        method="POST",
        route="/messages",
        status=202,
        waf=None,
        latency=12,
        backend=200,
        principal=principal,
    )


def test_alarms_fire_from_the_limits_that_are_set() -> None:
    plan = door(
        **SHARED,
        error_rate_alarm_percent=7,
        latency_alarm_ms=2500,
        throttled_alarm_percent=9,
        oldest_message_alarm_seconds=600,
    )
    thresholds = {each.name.removeprefix("unit-"): each.inputs["threshold"] for each in plan.of(ALARM)}
    assert thresholds == {
        "errors-alarm": 0.07,
        "latency-alarm": 2500,
        "throttled-alarm": 9,
        "age-alarm": 600,
        "dead-letters-alarm": 1,
    }


def test_alarms_fire_from_good_limits_unless_set() -> None:
    plan = door(alarm_topic_arn=TOPIC)
    thresholds = {each.name.removeprefix("unit-"): each.inputs["threshold"] for each in plan.of(ALARM)}
    assert thresholds == {
        "errors-alarm": 0.01,
        "latency-alarm": 1000,
        "throttled-alarm": 5,
        "age-alarm": 900,
        "dead-letters-alarm": 1,
    }


def test_each_of_several_queues_has_alarms_on_itself() -> None:
    plan = planned("front door with routes and queues")
    for queue in ("events", "orders"):
        for alarm, role in (("age", "queue"), ("dead-letters", "dead-letters")):
            watched = plan[f"unit-{queue}-{alarm}-alarm"].inputs["dimensions"]
            assert watched == {"QueueName": plan[f"unit-{queue}-{role}"].outputs["name"]}
    assert plan["unit-theirs-age-alarm"].inputs["dimensions"] == {"QueueName": "orders"}


def test_a_queue_that_exists_has_no_alarm_on_dead_letters() -> None:
    names = {each.name for each in planned("front door to a queue that exists").of(ALARM)}
    assert "unit-age-alarm" in names
    assert not [each for each in names if "dead-letters" in each]


@pytest.mark.parametrize(("rate", "warned"), [(10_000, False), (10_001, True)])
def test_a_rate_beyond_the_account_s_quota_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, rate: int, warned: bool
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda message, *_: said.append(message))
    door(throttle_rate=rate)
    assert bool(said) is warned
    assert all("10,000 requests per second" in each for each in said)
