"""Metrics as lines of a function's log ("Specification: CloudWatch embedded metric format").

Powertools writes the same lines, but would be the only package that the limiter's functions need, and costs
them more time at a cold start than everything else but boto3.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, Self


class Unit(StrEnum):
    """Units of CloudWatch."""

    COUNT = "Count"
    MILLISECONDS = "Milliseconds"
    PERCENT = "Percent"


class Source(NamedTuple):
    """Where metrics come from."""

    namespace: str
    service: str
    """The function's name, which is the metrics' only dimension, ``service``."""

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Self:
        """Return the source that a function's environment names."""
        return cls(variables["SLUICE_METRIC_NAMESPACE"], variables["AWS_LAMBDA_FUNCTION_NAME"])

    def line(
        self, time: int, values: Mapping[str, tuple[float, Unit]], also: Mapping[str, str] | None = None
    ) -> str:
        """Return the line that makes metrics of values.

        Args:
            time: when they were measured, in milliseconds since 1970.
            values: value and unit by the metric's name.
            also: what else the line says, for who reads the log.
        """
        directive = {
            "Namespace": self.namespace,
            "Dimensions": [["service"]],
            "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in values.items()],
        }
        said = {
            "_aws": {"Timestamp": time, "CloudWatchMetrics": [directive]},
            "service": self.service,
            **{name: value for name, (value, _) in values.items()},
            **(also or {}),
        }
        return json.dumps(said, separators=(",", ":"))
