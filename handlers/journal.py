"""What is written down of each record: a line in the log and a count in the metrics, never its body."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger
    from aws_lambda_powertools.metrics import EphemeralMetrics

Record = Mapping[str, Any]


class Journal:
    """A consumer's log and its metrics."""

    def __init__(self, logger: "Logger", metrics: "EphemeralMetrics", now: Callable[[], float]) -> None:
        """Keep where to write to, and what tells the time in seconds since 1970.

        The metrics are to be ours alone: what the user's code adds to its own is not to change their names.
        """
        self._logger = logger
        self._metrics = metrics
        self._now = now
        self._counts: Counter[str] = Counter()

    def handled(self, record: Record) -> None:
        """Note a record that was handled, and how long ago it was sent."""
        age = self._now() * 1000 - int(record["attributes"]["SentTimestamp"])
        self._count("RecordsHandled")
        # The sender's clock is another one.
        self._metrics.add_metric("RecordAge", MetricUnit.Milliseconds, max(0.0, age))
        self._logger.info("handled", extra=identity(record))

    def repeated(self, record: Record) -> None:
        """Note a record that had been handled before."""
        self._count("RecordsRepeated")
        self._logger.info("handled before", extra=identity(record))

    def failed(self, record: Record, error: BaseException, receives: int, delay: int) -> None:
        """Note a record that comes again in so many seconds."""
        self._count("RecordsFailed")
        told = {**identity(record), "receives": receives, "retry_in_seconds": delay}
        self._logger.error("failed", extra=told, exc_info=error)

    def given_up(self, record: Record, error: BaseException, receives: int) -> None:
        """Note a record that is in the dead-letter queue now."""
        self._count("RecordsGivenUp")
        self._logger.error("given up", extra={**identity(record), "receives": receives}, exc_info=error)

    def returned(self, count: int) -> None:
        """Note records that come again without having been started."""
        self._count("RecordsReturned", count)
        self._logger.warning("returned without being started", extra={"records": count})

    def interrupted(self, record: Record) -> None:
        """Note an attempt at a record that never came to an end."""
        self._count("AttemptsInterrupted")
        self._logger.warning("an attempt before was interrupted", extra=identity(record))

    def troubled(self, trouble: str, error: Exception, record: Record | None = None) -> None:
        """Note what went wrong beside the records."""
        self._logger.error(trouble, extra=identity(record) if record else {}, exc_info=error)

    def refused(self, trouble: str, code: str, record: Record) -> None:
        """Note what SQS would not do for one record."""
        self._logger.error(trouble, extra={**identity(record), "code": code})

    def flush(self) -> None:
        """Write the counts of a batch."""
        for name, count in self._counts.items():
            self._metrics.add_metric(name, MetricUnit.Count, count)
        if self._counts:
            self._metrics.flush_metrics()
        self._counts.clear()

    def _count(self, name: str, count: int = 1) -> None:
        self._counts[name] += count


def identity(record: Record) -> dict[str, str | None]:
    """Return what a log line says of a record: its id, and the id that its caller got from a front door."""
    request = record["messageAttributes"].get("requestId") or {}
    return {"message_id": record["messageId"], "request_id": request.get("stringValue")}
