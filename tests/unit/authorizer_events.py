"""What API Gateway gives to an authorizer, and what the authorizer tells its log, read back."""

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, NamedTuple

from handlers.authorizing import Authorizer, Check, Decision, Log, Request, Settings
from handlers.emf import Source

STAGE = "arn:aws:execute-api:us-east-1:123456789012:abc123/v1"
VARIABLES = {"SLUICE_METRIC_NAMESPACE": "Sluice", "AWS_LAMBDA_FUNCTION_NAME": "door-authorizer"}


def token_event(header: str, method: str = "POST/messages") -> Request:
    """Return the event of a TOKEN authorizer."""
    event: Any = {"type": "TOKEN", "methodArn": f"{STAGE}/{method}", "authorizationToken": header}
    found: Request = event
    return found


def request_event(headers: Mapping[str, Sequence[str]] | None, method: str = "POST/messages") -> Request:
    """Return the event of a REQUEST authorizer; one without any headers has null for them."""
    given = None if headers is None else {name: [*values] for name, values in headers.items()}
    event: Any = {
        "type": "REQUEST",
        "methodArn": f"{STAGE}/{method}",
        "resource": "/messages",
        "path": "/messages",
        "httpMethod": "POST",
        "headers": given and {name: values[-1] for name, values in given.items() if values},
        "multiValueHeaders": given,
        "queryStringParameters": {},
        "pathParameters": {},
        "stageVariables": {},
        "requestContext": {"stage": "v1", "identity": {"sourceIp": "203.0.113.1"}},
    }
    found: Request = event
    return found


def statement(decision: Decision) -> dict[str, str]:
    """Return the only statement of a decision's policy."""
    policy: Any = decision["policyDocument"]
    (found,) = policy["Statement"]
    return dict(found)


class Told(NamedTuple):
    """One line of an authorizer's log."""

    metric: str
    said: Mapping[str, str]


def read(text: str) -> list[Told]:
    """Return the lines of a log, each of which has to make exactly one metric.

    What is checked is said by "Specification: CloudWatch embedded metric format".
    """
    return [_read_line(json.loads(line)) for line in text.splitlines()]


def _read_line(line: dict[str, Any]) -> Told:
    envelope = line.pop("_aws")
    (directive,) = envelope["CloudWatchMetrics"]
    (metric,) = directive["Metrics"]
    assert isinstance(envelope["Timestamp"], int)
    assert directive["Namespace"] == VARIABLES["SLUICE_METRIC_NAMESPACE"]
    assert directive["Dimensions"] == [["service"]]
    assert line.pop("service") == VARIABLES["AWS_LAMBDA_FUNCTION_NAME"]
    assert metric["Unit"] == "Count"
    assert line.pop(metric["Name"]) == 1
    return Told(metric["Name"], line)


class Door:
    """An authorizer, and everything that it told."""

    def __init__(self, check: Check, proxy: Settings | None = None) -> None:
        """Take what checks tokens, and what is known of a proxy in front."""
        self.log = Log(Source.read(VARIABLES))
        self.text = ""
        self._authorizer = Authorizer(proxy, check, self.log)

    def ask(self, event: Request) -> Decision:
        """Return the decision, or let through what is raised in its place."""
        with redirect_stdout(io.StringIO()) as said:
            try:
                return self._authorizer.answer(event)
            finally:
                self.text += said.getvalue()

    @property
    def told(self) -> list[Told]:
        """The lines of its log."""
        return read(self.text)
