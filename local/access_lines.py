"""Access log lines as API Gateway writes them, collected and put into the stage's log group."""

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .aws import Aws

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef

ABSENT = "-"
VARIABLE = re.compile(r"\$context\.([A-Za-z][A-Za-z0-9_.]*[A-Za-z0-9])")


def log_line(log_format: str, context: Mapping[str, Any]) -> str:
    """Return an access log line as API Gateway writes it: bare values, and ``-`` where there is none."""
    values = flat(context)
    return VARIABLE.sub(lambda found: values.get(found[1], ABSENT) or ABSENT, log_format)


def flat(context: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a context's values by their dotted names."""
    values: dict[str, str] = {}
    for key, value in context.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            values[f"{prefix}{key}"] = str(value)
    return values


class AccessLines:
    """Lines that wait to be written."""

    def __init__(self, aws: Aws, stream: str) -> None:
        """Say which stream of each group they go to."""
        self._aws = aws
        self._stream = stream
        self._waiting: dict[str, list[InputLogEventTypeDef]] = {}
        self._streams: set[str] = set()

    def add(self, group: str, line: str) -> None:
        """Keep a line until the next write."""
        event: InputLogEventTypeDef = {"timestamp": int(time.time() * 1000), "message": line}
        self._waiting.setdefault(group, []).append(event)

    def take(self) -> "dict[str, list[InputLogEventTypeDef]]":
        """Return what waits, by group; it waits no longer."""
        taken, self._waiting = self._waiting, {}
        return taken

    def put(self, group: str, events: "list[InputLogEventTypeDef]") -> None:
        """Write lines into a group; where it was deleted they are lost, as on AWS."""
        logs = self._aws.client("logs")
        with suppress(logs.exceptions.ResourceNotFoundException):
            if group not in self._streams:
                logs.create_log_stream(logGroupName=group, logStreamName=self._stream)
                self._streams.add(group)
            logs.put_log_events(logGroupName=group, logStreamName=self._stream, logEvents=events)
