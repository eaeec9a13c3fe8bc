"""The metrics that AWS makes of an API's requests, of a log's lines and of a queue's length.

They are put once in a while, many values at a time, so that no request waits for them.
"""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from logging import Logger
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from .aws import Aws

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef
    from mypy_boto3_logs.type_defs import MetricFilterTypeDef

API_NAMESPACE = "AWS/ApiGateway"
QUEUE_NAMESPACE = "AWS/SQS"
QUEUE_METRICS = {"ApproximateNumberOfMessagesVisible": "ApproximateNumberOfMessages"}
"""The queue metrics that are known here, with the attribute that tells each."""
MOST_VALUES = 150
"""How many different values one datum holds ("PutMetricData", CloudWatch API reference)."""
MOST_DATA = 100
FILTERS_SECONDS = 1.0
COMPARISON = re.compile(r'\(?\s*\$\.(?P<field>[\w.]+)\s*(?P<sign>!?=)\s*"(?P<value>[^"*()]*)"\s*\)?')
"""The parts of a filter pattern that are known here: a string field equals a text, or another one."""

Dimensions = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """What values belong to."""

    namespace: str
    name: str
    dimensions: Dimensions


class Served(NamedTuple):
    """Where requests were served, as far as metrics tell them apart."""

    api: str
    stage: str
    resource: str
    method: str
    measured: bool
    """Whether the method has metrics of its own."""


Values = Counter[float]


class Metrics:
    """Values that wait to be put."""

    def __init__(self, aws: Aws) -> None:
        """Start with none."""
        self._aws = aws
        self._lock = threading.Lock()
        self._requests: dict[tuple[Served, str], Values] = {}
        self._others: dict[Series, Values] = {}

    def add(
        self, namespace: str, name: str, value: float, dimensions: Dimensions = (), count: int = 1
    ) -> None:
        """Keep a value, or the same one several times."""
        with self._lock:
            self._others.setdefault(Series(namespace, name, dimensions), Counter())[value] += count

    def request(self, served: Served, values: Mapping[str, float]) -> None:
        """Keep what one request measured."""
        with self._lock:
            for name, value in values.items():
                waiting = self._requests.get((served, name))
                if waiting is None:
                    waiting = self._requests[served, name] = Counter()
                waiting[value] += 1

    def put(self) -> None:
        """Put what waits."""
        with self._lock:
            requests, self._requests = self._requests, {}
            series, self._others = self._others, {}
        for (served, name), values in requests.items():
            for dimensions in dimension_sets(served):
                series.setdefault(Series(API_NAMESPACE, name, dimensions), Counter()).update(values)
        cloudwatch = self._aws.client("cloudwatch")
        for namespace in {each.namespace for each in series}:
            data = (
                datum
                for each, values in series.items()
                if each.namespace == namespace
                for datum in data_of(each, values)
            )
            for batch in batches(data, MOST_DATA):
                cloudwatch.put_metric_data(Namespace=namespace, MetricData=batch)


def dimension_sets(served: Served) -> list[Dimensions]:
    """Return the sets of dimensions under which API Gateway reports a request."""
    api, stage = ("ApiName", served.api), ("Stage", served.stage)
    sets: list[Dimensions] = [(api,), (api, stage)]
    if served.measured:
        sets.append((api, ("Method", served.method), ("Resource", served.resource), stage))
    return sets


def data_of(series: Series, values: Values) -> "Iterator[MetricDatumTypeDef]":
    """Return values in the form in which they are put: each different value once, and how often it came."""
    for batch in batches(values.items(), MOST_VALUES):
        yield {
            "MetricName": series.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
            "Values": [value for value, _ in batch],
            "Counts": [count for _, count in batch],
        }


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Return items in lists of at most so many."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def request_values(context: Mapping[str, Any], cache_hit: bool | None) -> dict[str, float]:
    """Return what API Gateway measures of one request.

    Args:
        context: the request's, with its status and latencies.
        cache_hit: whether the cache answered; nothing where it was not asked.
    """
    family = int(context["status"]) // 100
    values: dict[str, float] = {
        "Count": 1,
        "4XXError": int(family == 4),  # noqa: PLR2004 - as its name says
        "5XXError": int(family == 5),  # noqa: PLR2004
        "Latency": context["responseLatency"],
    }
    if context.get("integrationLatency") is not None:
        values["IntegrationLatency"] = context["integrationLatency"]
    if cache_hit is not None:
        values["CacheHitCount" if cache_hit else "CacheMissCount"] = 1
    return values


@dataclass(frozen=True)
class Comparison:
    """One part of a filter pattern."""

    field: str
    value: str
    equal: bool

    def holds(self, line: Mapping[str, Any]) -> bool:
        """Whether it is so of a line; nothing is so of a field that is not there."""
        found: Any = line
        for step in self.field.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        return isinstance(found, str) and (found == self.value) is self.equal


def comparisons(pattern: str) -> tuple[Comparison, ...]:
    """Return the parts of a filter pattern, of which each has to hold; none where one is not known here."""
    inner = pattern.strip()
    if not (inner.startswith("{") and inner.endswith("}")):
        return ()
    parts = [COMPARISON.fullmatch(each.strip()) for each in inner[1:-1].split("&&")]
    return (
        tuple(Comparison(part["field"], part["value"], part["sign"] == "=") for part in parts if part)
        if all(parts)
        else ()
    )


@dataclass(frozen=True)
class MetricFilter:
    """A filter that makes a metric of a log's lines."""

    namespace: str
    name: str
    comparisons: tuple[Comparison, ...]
    """All of which have to hold."""
    value: float
    default: float | None

    def fits(self, line: Mapping[str, Any]) -> bool:
        """Whether a line is one that counts."""
        return all(each.holds(line) for each in self.comparisons)


def parse_filter(described: "MetricFilterTypeDef") -> MetricFilter | None:
    """Return a filter as it is deployed; nothing where it says more than is known here."""
    known = comparisons(described.get("filterPattern", ""))
    transformations = described.get("metricTransformations", [])
    if not known or len(transformations) != 1:
        return None
    told = transformations[0]
    try:
        value = float(told["metricValue"])
    except ValueError:
        return None
    return MetricFilter(
        told["metricNamespace"],
        told["metricName"],
        known,
        value,
        told.get("defaultValue"),
    )


class MetricFilters:
    """The metric filters of log groups."""

    def __init__(self, aws: Aws, metrics: Metrics, logger: Logger) -> None:
        """Say where values go, and where it is told that a filter is not understood."""
        self._aws = aws
        self._metrics = metrics
        self._logger = logger
        self._known: dict[str, tuple[float, list[MetricFilter]]] = {}
        self._told: set[tuple[str, str]] = set()

    def count(self, group: str, messages: Sequence[str]) -> None:
        """Make values of lines that were written into a group."""
        filters = self._of(group)
        if not filters:
            return
        lines = [line for line in map(as_object, messages) if line is not None]
        for each in filters:
            fitting = sum(map(each.fits, lines))
            if fitting:
                self._metrics.add(each.namespace, each.name, each.value, count=fitting)
            elif each.default is not None:
                self._metrics.add(each.namespace, each.name, each.default)

    def _of(self, group: str) -> list[MetricFilter]:
        read, filters = self._known.get(group, (0.0, []))
        if group not in self._known or time.monotonic() - read > FILTERS_SECONDS:
            described = self._described(group)
            parsed = [(each, parse_filter(each)) for each in described]
            for each, known in parsed:
                if known is None:
                    self._tell(group, each)
            filters = [known for _, known in parsed if known]
            self._known[group] = (time.monotonic(), filters)
        return filters

    def _described(self, group: str) -> "list[MetricFilterTypeDef]":
        logs = self._aws.client("logs")
        with suppress(logs.exceptions.ResourceNotFoundException):
            return logs.describe_metric_filters(logGroupName=group)["metricFilters"]
        return []

    def _tell(self, group: str, described: "MetricFilterTypeDef") -> None:
        told = (group, described.get("filterPattern", ""))
        if told not in self._told:
            self._told.add(told)
            self._logger.error("no metric is made of %s by %r: its filter is not known here", *told)


def as_object(text: str) -> dict[str, Any] | None:
    """Return a line's fields; nothing where it is no JSON object, which a filter of this form never fits."""
    with suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return None


def measure_queues(aws: Aws, metrics: Metrics) -> None:
    """Keep the length of every queue that an alarm looks at; the age of its oldest message nobody tells."""
    sqs = aws.client("sqs")
    pages = aws.client("cloudwatch").get_paginator("describe_alarms").paginate()
    for queue in watched_queues(alarm for page in pages for alarm in page.get("MetricAlarms", [])):
        # One that is gone, or whose policy keeps even us out, is not measured.
        with suppress(ClientError):
            url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
            told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            for name, attribute in QUEUE_METRICS.items():
                value = float(told[attribute])  # type: ignore[index]
                metrics.add(QUEUE_NAMESPACE, name, value, (("QueueName", queue),))


def watched_queues(alarms: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the queues whose metrics alarms look at, also by way of a formula."""
    found = set()
    for alarm in alarms:
        metrics = [
            alarm,
            *(each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each),
        ]
        for metric in metrics:
            if metric.get("Namespace") == QUEUE_NAMESPACE:
                found |= {
                    each["Value"] for each in metric.get("Dimensions", []) if each["Name"] == "QueueName"
                }
    return sorted(found)
