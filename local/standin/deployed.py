"""What is deployed of a method, read from the emulator: nothing is known here that was not deployed."""

import json
import os
import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from botocore.credentials import Credentials

from . import signed
from .mappings import ConfigurationError
from .validation import Checks

CACHE_SECONDS = 1.0
SESSION_SECONDS = 600.0
ROOT = Credentials("test", "test")
"""The emulator's root user, whose secret it does not check."""
CREDENTIALS = ("AccessKeyId", "SecretAccessKey", "SessionToken")
TYPE_PARAMETER = "local.integration.type"
URI_PARAMETER = "local.integration.uri"
"""Request parameters of an integration, in which its maker hides what it is: for the emulator it is the
stand-in's function."""
VALIDATOR_PARAMETER = "local.validator."
"""Begins the request parameter of a method whose name ends with its validator's id: the emulator's own
validator does not say what is wrong."""
LONGEST_SECONDS = 29.0
"""The longest that API Gateway waits for an integration."""


@dataclass(frozen=True)
class Integration:
    """One deployed integration."""

    kind: str
    """AWS, HTTP or MOCK."""
    uri: str = ""
    role: str = ""
    request_templates: Mapping[str, str] = field(default_factory=dict)
    request_parameters: Mapping[str, str] = field(default_factory=dict)
    responses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    passthrough: str = "WHEN_NO_MATCH"
    timeout_seconds: float = LONGEST_SECONDS


@dataclass(frozen=True)
class Method:
    """One deployed method: its integration, and what a request must be to get there."""

    integration: Integration
    checks: Checks


Event = Mapping[str, Any]


def method_for(event: Event) -> Method:
    """Return the method that a request is for, as the emulator has it."""
    given = event["requestContext"]
    api = f"/restapis/{given['apiId']}"
    known = _read(f"{api}/resources/{given['resourceId']}/methods/{given['httpMethod']}")
    return Method(integration_of(known["methodIntegration"]), _checks(api, known))


def integration_of(known: Mapping[str, Any]) -> Integration:
    """Return an integration as it was deployed; the maker hid its kind and URI among the parameters."""
    parameters = dict(known["requestParameters"])
    return Integration(
        kind=parameters.pop(TYPE_PARAMETER),
        uri=parameters.pop(URI_PARAMETER, ""),
        role=known.get("credentials") or "",
        request_templates=known.get("requestTemplates") or {},
        request_parameters=parameters,
        responses=known.get("integrationResponses") or {},
        passthrough=known.get("passthroughBehavior") or "WHEN_NO_MATCH",
        timeout_seconds=min(known.get("timeoutInMillis", LONGEST_SECONDS * 1000) / 1000, LONGEST_SECONDS),
    )


def _checks(api: str, method: Mapping[str, Any]) -> Checks:
    """Return what a method's validator checks; nothing where it has none."""
    parameters: Mapping[str, bool] = method.get("requestParameters") or {}
    ids = [each for each in parameters if each.startswith(VALIDATOR_PARAMETER)]
    if not ids:
        return Checks()
    validator = _read(f"{api}/requestvalidators/{ids[0].removeprefix(VALIDATOR_PARAMETER)}")
    models = method.get("requestModels") or {} if validator.get("validateRequestBody") else {}
    return Checks(
        parameters=required(parameters) if validator.get("validateRequestParameters") else (),
        schemas={
            media_type.lower(): json.loads(_read(f"{api}/models/{name}")["schema"])
            for media_type, name in models.items()
        },
    )


def required(parameters: Mapping[str, bool]) -> tuple[str, ...]:
    """Return the parameters that must be there."""
    return tuple(name for name, wanted in parameters.items() if wanted)


def traced(event: Event) -> bool:
    """Whether the stage of a request makes traces."""
    given = event["requestContext"]
    stage = _read(f"/restapis/{given['apiId']}/stages/{given['stage']}")
    return bool(stage.get("tracingEnabled"))


_readings: dict[str, tuple[float, Mapping[str, Any]]] = {}


def _read(path: str) -> Mapping[str, Any]:
    """Return what the emulator's API Gateway has under a path, as it was a moment ago."""
    since, found = _readings.get(path, (0.0, None))
    if found is None or time.monotonic() - since > CACHE_SECONDS:
        found = json.loads(_as_root("apigateway", "GET", path))
        _readings[path] = (time.monotonic(), found)
    return found


_sessions: dict[str, tuple[float, Credentials]] = {}


def assumed(role: str) -> Credentials:
    """Return credentials of the integration's role, so that its policy counts."""
    taken, credentials = _sessions.get(role, (0.0, None))
    if credentials is None or time.monotonic() - taken > SESSION_SECONDS:
        form = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": "apigateway",
        }
        answer = _as_root("sts", "POST", "/", urllib.parse.urlencode(form))
        found = {name: re.search(f"<{name}>([^<]+)<", answer) for name in CREDENTIALS}
        credentials = Credentials(*(match[1] for match in found.values() if match))
        _sessions[role] = (time.monotonic(), credentials)
    return credentials


def _as_root(service: str, method: str, path: str, body: str = "") -> str:
    """Call the emulator with its root credentials: API Gateway itself stands outside the account."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    caller = signed.Caller(ROOT, service, os.environ["AWS_REGION"], headers)
    answer = signed.call(caller, method, f"{os.environ['AWS_ENDPOINT_URL']}{path}", body)
    if answer.status != HTTPStatus.OK:
        raise ConfigurationError(f"{service} answered {answer.status}: {answer.body}")
    return answer.body
