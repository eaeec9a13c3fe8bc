"""What is written down of attempts: a line in the log and a count in the metrics, no path and no body."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger
    from aws_lambda_powertools.metrics import EphemeralMetrics


class Diary:
    """A retrier's log and its metrics."""

    def __init__(self, logger: "Logger", metrics: "EphemeralMetrics") -> None:
        self._logger = logger
        self._metrics = metrics

    def attempted(self, told: Mapping[str, Any], metric: str, milliseconds: float) -> None:
        """Note an attempt: what is known of it, and the metric of its kind."""
        self._logger.info("attempt", extra={**told, "ms": round(milliseconds)})
        self._metrics.add_metric(metric, MetricUnit.Count, 1)
        self._metrics.add_metric("UpstreamTime", MetricUnit.Milliseconds, milliseconds)

    def held(self, told: Mapping[str, Any]) -> None:
        """Note that a call has to wait for its turn."""
        self._logger.info("held", extra=dict(told))
        self._metrics.add_metric("CallsHeld", MetricUnit.Count, 1)

    def opened(self, upstream: str) -> None:
        """Note that an upstream has failed too often."""
        self._logger.warning("circuit opened", extra={"upstream": upstream})
        self._metrics.add_metric("CircuitsOpened", MetricUnit.Count, 1)

    def ended(self, told: Mapping[str, Any], metric: str) -> None:
        """Note what came of a call in the end."""
        self._logger.info("ended", extra=dict(told))
        self._metrics.add_metric(metric, MetricUnit.Count, 1)

    def troubled(self, trouble: str, problem: Exception) -> None:
        """Note what went wrong beside a call."""
        self._logger.error(trouble, exc_info=problem)

    def flush(self) -> None:
        """Write the counts of an invocation."""
        if self._metrics.metric_set:
            self._metrics.flush_metrics()
