import json
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from components.stage import THROTTLED_PATTERN
from local import metrics
from local.metrics import (
    Comparison,
    MetricFilter,
    MetricFilters,
    Metrics,
    Served,
    comparisons,
    data_of,
    dimension_sets,
    measure_queues,
    parse_filter,
    request_values,
    watched_queues,
)

Values = dict[str, Any]
SERVED = Served("shop", "v1", "/orders/{id}", "GET", False)
CONTEXT: Values = {"status": 200, "responseLatency": 12}


class GoneError(Exception):
    """What is asked for is not there."""


class Cloud:
    """An AWS of mocks."""

    region = "us-east-1"

    def __init__(self) -> None:
        self.services: dict[str, Mock] = {name: Mock() for name in ("cloudwatch", "logs", "sqs")}
        self.services["logs"].exceptions.ResourceNotFoundException = GoneError

    def client(self, service: str) -> Mock:
        return self.services[service]

    @property
    def put(self) -> list[Values]:
        """Every datum that was put, with its namespace."""
        calls = self.services["cloudwatch"].put_metric_data.call_args_list
        return [
            {"Namespace": each.kwargs["Namespace"], **datum}
            for each in calls
            for datum in each.kwargs["MetricData"]
        ]

    def values(self, name: str) -> dict[tuple[str, ...], Counter[float]]:
        """What was put of a metric, by the values of its dimensions."""
        found: dict[tuple[str, ...], Counter[float]] = {}
        for datum in self.put:
            if datum["MetricName"] == name:
                key = tuple(each["Value"] for each in datum["Dimensions"])
                counts = zip(datum["Values"], datum["Counts"], strict=True)
                found.setdefault(key, Counter()).update(dict(counts))
        return found


def watched() -> tuple[Cloud, Metrics]:
    cloud = Cloud()
    return cloud, Metrics(cloud)  # type: ignore[arg-type]  # a double


@pytest.mark.parametrize(
    ("status", "errors"), [(202, (0, 0)), (304, (0, 0)), (404, (1, 0)), (429, (1, 0)), (502, (0, 1))]
)
def test_every_request_counts_and_says_whether_it_failed(status: int, errors: tuple[int, int]) -> None:
    values = request_values({**CONTEXT, "status": status}, None)

    assert values == {"Count": 1, "4XXError": errors[0], "5XXError": errors[1], "Latency": 12}


def test_an_integration_that_was_asked_has_a_latency() -> None:
    assert request_values({**CONTEXT, "integrationLatency": 0}, None)["IntegrationLatency"] == 0


@pytest.mark.parametrize(("hit", "name"), [(True, "CacheHitCount"), (False, "CacheMissCount")])
def test_a_cache_that_was_asked_counts(hit: bool, name: str) -> None:
    counted = {key: value for key, value in request_values(CONTEXT, hit).items() if key.startswith("Cache")}

    assert counted == {name: 1}


def test_a_request_is_reported_for_its_api_and_its_stage() -> None:
    assert dimension_sets(SERVED) == [(("ApiName", "shop"),), (("ApiName", "shop"), ("Stage", "v1"))]


def test_a_method_with_metrics_of_its_own_is_reported_besides() -> None:
    *_, own = dimension_sets(SERVED._replace(measured=True))

    assert dict(own) == {"ApiName": "shop", "Method": "GET", "Resource": "/orders/{id}", "Stage": "v1"}


def test_requests_are_put_together_each_value_once() -> None:
    cloud, made = watched()
    for latency in (5, 7, 5):
        made.request(SERVED, {"Latency": latency})
    made.request(SERVED._replace(method="POST"), {"Latency": 5})
    made.put()

    assert cloud.services["cloudwatch"].put_metric_data.call_count == 1
    assert {each["Namespace"] for each in cloud.put} == {"AWS/ApiGateway"}
    assert cloud.values("Latency") == {
        ("shop",): Counter({5: 3, 7: 1}),
        ("shop", "v1"): Counter({5: 3, 7: 1}),
    }


def test_only_requests_of_measured_methods_are_in_their_metrics() -> None:
    cloud, made = watched()
    made.request(SERVED._replace(measured=True), {"Count": 1})
    made.request(SERVED._replace(method="POST"), {"Count": 1})
    made.put()

    assert cloud.values("Count")["shop", "GET", "/orders/{id}", "v1"] == Counter({1: 1})
    assert cloud.values("Count")["shop",] == Counter({1: 2})


def test_what_was_put_is_not_put_again() -> None:
    cloud, made = watched()
    made.request(SERVED, {"Count": 1})
    made.add("Own", "Thing", 2.0)
    made.put()
    made.put()

    assert cloud.services["cloudwatch"].put_metric_data.call_count == 2
    assert {each["Namespace"] for each in cloud.put} == {"AWS/ApiGateway", "Own"}


def test_no_datum_has_more_values_than_it_may_and_none_is_lost() -> None:
    values: Counter[float] = Counter({float(each): each + 1 for each in range(400)})
    data = list(data_of(metrics.Series("N", "M", ()), values))

    assert [len(each["Values"]) for each in data] == [150, 150, 100]
    assert sum(sum(each["Counts"]) for each in data) == values.total()


def test_no_call_has_more_data_than_it_may() -> None:
    cloud, made = watched()
    for each in range(250):
        made.add("Own", f"m{each}", 1.0)
    made.put()

    sizes = [
        len(each.kwargs["MetricData"]) for each in cloud.services["cloudwatch"].put_metric_data.call_args_list
    ]
    assert sizes == [100, 100, 50]


def described(pattern: str, **transformation: Any) -> Values:
    told = {"metricNamespace": "Own", "metricName": "Throttled", "metricValue": "1", **transformation}
    return {"filterName": "f", "filterPattern": pattern, "metricTransformations": [told]}


STATUS_429 = Comparison("status", "429", equal=True)
NOT_BY_WAF = Comparison("waf", "WAF_BLOCK", equal=False)


@pytest.mark.parametrize(
    "pattern",
    ['{ $.status = "429" }', '{$.status="429"}', ' {  $.status  =  "429"  } ', '{ ( $.status = "429" ) }'],
)
def test_an_equality_of_a_text_is_known(pattern: str) -> None:
    found = parse_filter(described(pattern, defaultValue=0.0))  # type: ignore[arg-type]  # as boto3 tells it

    assert found == MetricFilter("Own", "Throttled", (STATUS_429,), 1.0, 0.0)


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ('{ $.waf != "WAF_BLOCK" }', (NOT_BY_WAF,)),
        ('{$.waf!="WAF_BLOCK"}', (NOT_BY_WAF,)),
        ('{ ($.status = "429") && ($.waf != "WAF_BLOCK") }', (STATUS_429, NOT_BY_WAF)),
        ('{ $.waf != "WAF_BLOCK" && $.status = "429" }', (NOT_BY_WAF, STATUS_429)),
        (
            '{($.status="429")&&($.waf!="WAF_BLOCK")&&($.a.b = "")}',
            (STATUS_429, NOT_BY_WAF, Comparison("a.b", "", equal=True)),
        ),
    ],
)
def test_inequalities_are_known_and_several_of_which_each_has_to_hold(
    pattern: str, parts: tuple[Comparison, ...]
) -> None:
    assert comparisons(pattern) == parts


@pytest.mark.parametrize(
    "given",
    [
        described('{ $.status = "4*" }'),
        described("{ $.status = 429 }"),
        described('{ $.status > "429" }'),
        described('{ $.status = "429" || $.ip = "::1" }'),
        described('{ $.status = "429" && $.latency > 5 }'),
        described('{ $.status = "429" && }'),
        described('{ ($.status = "429") || ($.waf != "WAF_BLOCK") }'),
        described("{ $.ip = * }"),
        described('$.status = "429"'),
        described("{ }"),
        described("ERROR"),
        described(""),
        described('{ $.status = "429" }', metricValue="$.latency"),
        {**described('{ $.status = "429" }'), "metricTransformations": []},
    ],
)
def test_any_other_filter_is_not(given: Values) -> None:
    assert parse_filter(given) is None  # type: ignore[arg-type]  # as boto3 tells it


@pytest.mark.parametrize(
    ("field", "line", "equal", "different"),
    [
        ("status", {"status": "429"}, True, False),
        ("status", {"status": "202"}, False, True),
        ("status", {"status": ""}, False, True),
        ("status", {"status": 429}, False, False),
        ("status", {"status": None}, False, False),
        ("status", {}, False, False),
        ("a.b", {"a": {"b": "429"}}, True, False),
        ("a.b", {"a": {"b": "-"}}, False, True),
        ("a.b", {"a": "429"}, False, False),
    ],
)
def test_a_comparison_is_of_texts_and_holds_for_no_field_that_is_not_there(
    field: str, line: Values, equal: bool, different: bool
) -> None:
    assert Comparison(field, "429", equal=True).holds(line) == equal
    assert Comparison(field, "429", equal=False).holds(line) == different


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ({"status": "429", "waf": "-"}, True),
        ({"status": "429", "waf": "WAF_ALLOW"}, True),
        ({"status": "429", "waf": "WAF_BLOCK"}, False),
        ({"status": "202", "waf": "-"}, False),
        ({"status": "202", "waf": "WAF_BLOCK"}, False),
        ({"status": "429"}, False),
    ],
)
def test_a_filter_fits_lines_of_which_every_comparison_holds(line: Values, fits: bool) -> None:
    assert MetricFilter("Own", "M", (STATUS_429, NOT_BY_WAF), 1.0, None).fits(line) == fits


def filtering(*filters: Values) -> tuple[Cloud, Metrics, MetricFilters]:
    cloud, made = watched()
    cloud.services["logs"].describe_metric_filters.return_value = {"metricFilters": list(filters)}
    return cloud, made, MetricFilters(cloud, made, logging.getLogger("test"))  # type: ignore[arg-type]  # a double


def lines(*statuses: str) -> Sequence[str]:
    return [json.dumps({"status": each}) for each in statuses]


@pytest.mark.parametrize(
    ("messages", "default", "expected"),
    [
        (lines("429", "202", "429"), None, Counter({3.0: 2})),
        (lines("202", "202"), 0.0, Counter({0.0: 1})),
        (["429", "not JSON", "[429]"], 0.0, Counter({0.0: 1})),
    ],
)
def test_lines_that_fit_become_values_and_none_the_default(
    messages: list[str], default: float | None, expected: Counter[float]
) -> None:
    more = {} if default is None else {"defaultValue": default}
    cloud, made, filters = filtering(described('{ $.status = "429" }', metricValue="3", **more))
    filters.count("/a", messages)
    made.put()

    assert cloud.values("Throttled") == {(): expected}


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        ({"status": "429", "backend": "-", "waf": "-"}, True),
        ({"status": "429", "backend": "-", "waf": "WAF_ALLOW"}, True),
        ({"status": "429", "backend": "-", "waf": "WAF_BLOCK"}, False),
        ({"status": "429", "backend": "429", "waf": "-"}, False),
        ({"status": "503", "backend": "-", "waf": "-"}, False),
        ({"status": "202", "backend": "200", "waf": "WAF_ALLOW"}, False),
    ],
)
def test_of_what_the_front_door_deploys_only_api_gateway_s_own_429_is_throttled(
    line: Values, counted: bool
) -> None:
    cloud, made, filters = filtering(described(THROTTLED_PATTERN, defaultValue=0.0))
    filters.count("/a", [json.dumps(line)])
    made.put()

    assert cloud.values("Throttled") == {(): Counter({float(counted): 1})}


def test_without_a_default_lines_that_do_not_fit_become_nothing() -> None:
    cloud, made, filters = filtering(described('{ $.status = "429" }'))
    filters.count("/a", lines("202"))
    made.put()

    assert cloud.put == []


def test_filters_are_read_once_in_a_while() -> None:
    cloud, _, filters = filtering()
    for _ in range(3):
        filters.count("/a", lines("429"))
    filters.count("/b", lines("429"))

    asked = cloud.services["logs"].describe_metric_filters.call_args_list
    assert [each.kwargs["logGroupName"] for each in asked] == ["/a", "/b"]


def test_a_group_that_was_deleted_has_no_filters() -> None:
    cloud, made, filters = filtering()
    cloud.services["logs"].describe_metric_filters.side_effect = GoneError
    filters.count("/a", lines("429"))
    made.put()

    assert cloud.put == []


def test_a_filter_that_is_not_known_is_told_once_and_loudly(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "FILTERS_SECONDS", -1.0)
    _, _, filters = filtering(described("ERROR"))
    for _ in range(3):
        filters.count("/a", lines("429"))

    assert [each.levelname for each in caplog.records] == ["ERROR"]
    assert "'ERROR'" in caplog.text


def alarm(queue: str, namespace: str = "AWS/SQS") -> Values:
    return {"Namespace": namespace, "MetricName": "M", "Dimensions": [{"Name": "QueueName", "Value": queue}]}


def test_queues_are_watched_that_alarms_look_at_also_in_formulas() -> None:
    alarms = [
        alarm("b"),
        alarm("b"),
        alarm("other", "AWS/Lambda"),
        {"Metrics": [{"Expression": "m1*2"}, {"MetricStat": {"Metric": alarm("a")}}]},
    ]

    assert watched_queues(alarms) == ["a", "b"]


@pytest.mark.parametrize("code", ["QueueDoesNotExist", "AccessDenied"])
def test_the_length_of_a_watched_queue_is_put_and_one_that_does_not_tell_is_no_matter(code: str) -> None:
    refusal = ClientError({"Error": {"Code": code}}, "GetQueueUrl")
    cloud, made = watched()
    pages = [{"MetricAlarms": [alarm("gone"), alarm("here")]}, {"MetricAlarms": []}]
    cloud.services["cloudwatch"].get_paginator.return_value.paginate.return_value = pages
    sqs = cloud.services["sqs"]
    sqs.get_queue_url.side_effect = [refusal, {"QueueUrl": "http://here"}]
    sqs.get_queue_attributes.return_value = {"Attributes": {"ApproximateNumberOfMessages": "3"}}
    measure_queues(cloud, made)  # type: ignore[arg-type]  # a double
    made.put()

    assert cloud.values("ApproximateNumberOfMessagesVisible") == {("here",): Counter({3.0: 1})}
    assert {each["Namespace"] for each in cloud.put} == {"AWS/SQS"}
