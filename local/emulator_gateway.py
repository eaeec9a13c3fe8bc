"""What API Gateway does before an integration, where the emulator does less.

A resource policy is asked whatever the method's authorizer, and of a private API it sees the VPC endpoint; an
integration learns of the API key; and every refusal names its gateway response, which the edge then gives.

This runs inside the emulator.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

import json
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import apigateway_v1 as gateway

FAULT_HEADER = "x-edge-fault"
DETAIL_HEADER = "x-edge-fault-detail"
INVOKE = "execute-api:Invoke"
ENDPOINT = "vpce-00000000000000000"
"""Through which all come to a private API that names no endpoints."""

Data = dict[str, Any]
Answer = tuple[int, Data, bytes]


def naming_faults(respond: Callable[[Any, Data], Answer]) -> Callable[[Any, Data], Answer]:
    """Return what answers a refusal, with its type and its message in headers for the edge."""

    def named(error: Any, request: Data) -> Answer:  # noqa: ANN401 - the emulator's own error
        status, headers, body = respond(error, request)
        detail = json.dumps({"message": error.message} if error.message else {})
        return status, {**headers, FAULT_HEADER: error.response_type, DETAIL_HEADER: detail}, body

    return named


def asking_policy(authorize: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return what authorizes a request, after a resource policy that denies it by name.

    The emulator asks the policy where a method has no authorization or IAM's. Where it has an authorizer, a
    policy that only does not allow leaves the matter to that.
    """

    async def authorized(  # noqa: PLR0913, PLR0917 - the emulator's own signature
        api: str,
        stage_name: str,
        method: Data,
        verb: str,
        path: str,
        resource: Data,
        headers: Data,
        body: bytes,
        query: Data,
        parameters: Data,
        stage: Data,
        account: str,
        region: str,
    ) -> object:
        if (method.get("authorizationType") or "NONE").upper() not in {"NONE", "AWS_IAM"}:
            error = gateway._anonymous_policy_error(api, stage_name, verb, path, account, region)
            if error is not None and "explicit deny" in error.message:
                return error, None
        return await authorize(
            api,
            stage_name,
            method,
            verb,
            path,
            resource,
            headers,
            body,
            query,
            parameters,
            stage,
            account,
            region,
        )

    return authorized


def seeing_endpoints(resolve: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Return what finds the value of a condition's key: a private API is called through a VPC endpoint."""

    def resolved(key: str, context: Any) -> Any:  # noqa: ANN401 - the emulator's own types
        if context.action != INVOKE:
            return resolve(key, context)
        endpoints = vpc_endpoints(context.resource_arn)
        match key.lower():
            case "aws:sourceip":
                return None if endpoints else context.source_ip
            case "aws:vpcsourceip":
                return context.source_ip if endpoints else None
            case "aws:sourcevpce":
                return endpoints[0] if endpoints else None
            case _:
                return resolve(key, context)

    return resolved


def vpc_endpoints(arn: str) -> list[str]:
    """Return the VPC endpoints through which an API is called; none unless it is private."""
    api = gateway._rest_apis.get(arn.rpartition(":")[2].partition("/")[0]) or {}
    configuration = api.get("endpointConfiguration") or {}
    if "PRIVATE" not in configuration.get("types", []):
        return []
    return configuration.get("vpcEndpointIds") or [ENDPOINT]


def knowing_keys(build: Callable[..., Data]) -> Callable[..., Data]:
    """Return what makes an integration's event, with the API key where the method requires one."""

    def event(  # noqa: PLR0913, PLR0917 - the emulator's own signature
        api: str,
        stage_name: str,
        stage: Data,
        resource: Data,
        path: str,
        verb: str,
        headers: Data,
        *rest: object,
        **more: object,
    ) -> Data:
        built = build(api, stage_name, stage, resource, path, verb, headers, *rest, **more)
        if resource["resourceMethods"].get(verb, {}).get("apiKeyRequired"):
            key = gateway._resolve_api_key(gateway._api_key_from_request(headers))
            built["requestContext"]["identity"] |= {"apiKey": key["value"], "apiKeyId": key["id"]}
        return built

    return event


def install() -> None:
    """Put all this in the place of the emulator's own."""
    gateway._gateway_error_response = naming_faults(gateway._gateway_error_response)
    gateway._authorize_request_v1 = asking_policy(gateway._authorize_request_v1)
    gateway._build_lambda_event_v1 = knowing_keys(gateway._build_lambda_event_v1)
    iam_evaluator._resolve_condition_key = seeing_endpoints(iam_evaluator._resolve_condition_key)
