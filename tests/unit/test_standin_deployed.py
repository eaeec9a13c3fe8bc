import json
from typing import Any

import pytest

from local.standin import deployed, signed
from local.standin.deployed import (
    LONGEST_SECONDS,
    TYPE_PARAMETER,
    URI_PARAMETER,
    VALIDATOR_PARAMETER,
    integration_of,
    method_for,
)
from local.standin.mappings import ConfigurationError
from local.standin.signed import Answer
from local.standin.validation import Checks

URI = "arn:aws:apigateway:us-east-1:sqs:path/123456789012/orders"
PARAMETERS = {"integration.request.header.Accept": "'application/json'"}
INTEGRATION: dict[str, Any] = {
    "requestParameters": {**PARAMETERS, URI_PARAMETER: URI, TYPE_PARAMETER: "AWS"},
    "credentials": "arn:aws:iam::123456789012:role/r",
    "requestTemplates": {"application/json": "x"},
    "integrationResponses": {"200": {"statusCode": "200"}},
    "passthroughBehavior": "NEVER",
    "timeoutInMillis": 3000,
}
SCHEMA = {"type": "object"}
VALIDATOR = {"id": "v-1", "validateRequestBody": True, "validateRequestParameters": True}
METHOD = {
    "methodIntegration": INTEGRATION,
    "requestParameters": {
        "method.request.header.X-Tenant": True,
        "method.request.querystring.page": False,
        f"{VALIDATOR_PARAMETER}v-1": False,
    },
    "requestModels": {"Application/JSON": "Order"},
}
EVENT = {"requestContext": {"apiId": "abc", "resourceId": "res", "httpMethod": "POST", "stage": "v1"}}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Return what the emulator's API Gateway holds, by path."""
    held: dict[str, dict[str, Any]] = {
        "/restapis/abc/resources/res/methods/POST": METHOD,
        "/restapis/abc/requestvalidators/v-1": VALIDATOR,
        "/restapis/abc/models/Order": {"schema": json.dumps(SCHEMA)},
        "/restapis/abc/stages/v1": {"tracingEnabled": True},
    }

    def call(_caller: object, method: str, url: str, _body: str = "") -> Answer:
        found = held.get(url.removeprefix("http://127.0.0.1:9"))
        return Answer(200, json.dumps(found)) if found and method == "GET" else Answer(404, "{}")

    monkeypatch.setattr(signed, "call", call)
    monkeypatch.setattr(deployed, "_readings", {})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return held


def test_an_integration_is_read_as_it_was_deployed() -> None:
    read = integration_of(INTEGRATION)
    assert vars(read) == {
        "kind": "AWS",
        "uri": URI,
        "role": INTEGRATION["credentials"],
        "request_templates": INTEGRATION["requestTemplates"],
        "request_parameters": PARAMETERS,
        "responses": INTEGRATION["integrationResponses"],
        "passthrough": "NEVER",
        "timeout_seconds": 3.0,
    }
    assert URI_PARAMETER in INTEGRATION["requestParameters"], "what was read is not to be changed"


def test_an_integration_may_have_nothing_but_its_kind() -> None:
    read = integration_of({"requestParameters": {TYPE_PARAMETER: "MOCK"}})
    assert (read.kind, read.uri, read.role) == ("MOCK", "", "")
    assert (read.request_templates, read.request_parameters, read.responses) == ({}, {}, {})
    assert (read.passthrough, read.timeout_seconds) == ("WHEN_NO_MATCH", LONGEST_SECONDS)


def test_no_integration_may_take_longer_than_api_gateway_waits() -> None:
    assert integration_of({**INTEGRATION, "timeoutInMillis": 60_000}).timeout_seconds == LONGEST_SECONDS


def test_a_method_is_read_with_what_its_validator_checks(emulator: dict[str, Any]) -> None:
    method = method_for(EVENT)
    assert method.integration == integration_of(INTEGRATION)
    assert method.checks == Checks(("method.request.header.X-Tenant",), {"application/json": SCHEMA})


@pytest.mark.parametrize(
    ("changes", "checks"),
    [
        ({"validateRequestBody": False}, Checks(("method.request.header.X-Tenant",))),
        ({"validateRequestParameters": False}, Checks((), {"application/json": SCHEMA})),
    ],
)
def test_only_what_the_validator_names_is_checked(
    changes: dict[str, bool], checks: Checks, emulator: dict[str, Any]
) -> None:
    emulator["/restapis/abc/requestvalidators/v-1"] = {**VALIDATOR, **changes}
    assert method_for(EVENT).checks == checks


def test_without_a_validator_nothing_is_checked(emulator: dict[str, Any]) -> None:
    emulator["/restapis/abc/resources/res/methods/POST"] = {
        **METHOD,
        "requestParameters": {"method.request.header.X-Tenant": True},
    }
    assert method_for(EVENT).checks == Checks()


def test_each_method_of_a_path_has_its_own_integration(emulator: dict[str, Any]) -> None:
    emulator["/restapis/abc/resources/res/methods/GET"] = {
        "methodIntegration": {"requestParameters": {TYPE_PARAMETER: "MOCK"}}
    }
    get = {"requestContext": {**EVENT["requestContext"], "httpMethod": "GET"}}
    assert (method_for(EVENT).integration.kind, method_for(get).integration.kind) == ("AWS", "MOCK")


def test_what_is_deployed_is_read_again_when_it_is_old(
    emulator: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deployed.traced(EVENT)
    emulator["/restapis/abc/stages/v1"] = {"tracingEnabled": False}
    assert deployed.traced(EVENT), "it is not read for every request"
    monkeypatch.setattr(deployed, "CACHE_SECONDS", 0.0)
    assert not deployed.traced(EVENT)


def test_what_is_not_deployed_is_a_fault_of_the_configuration(emulator: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="404"):
        method_for({"requestContext": {**EVENT["requestContext"], "httpMethod": "PUT"}})
