"""What API Gateway does before an integration, where the emulator does less.

A resource policy is asked whatever the method's authorizer, and of a private API it sees the VPC endpoint; an
integration learns of the API key; and every refusal names its gateway response, which the edge then gives,
and what is known of the caller.

This runs inside the emulator.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

import json
from collections.abc import Awaitable, Callable
from typing import Any

import emulator_arrival  # type: ignore[import-not-found]  # siblings: this runs by its path
from emulator_authorizers import Call, with_lambda_authorizers  # type: ignore[import-not-found]
from ministack.core import iam_evaluator
from ministack.services import apigateway_v1 as gateway

FAULT_HEADER = "x-edge-fault"
DETAIL_HEADER = "x-edge-fault-detail"
LEARNED_HEADER = "x-edge-learned"
INVOKE = "execute-api:Invoke"
ENDPOINT = "vpce-00000000000000000"
"""Through which all come to a private API that names no endpoints."""

Data = dict[str, Any]
Answer = tuple[int, Data, bytes]
Authorize = Callable[..., Awaitable[Any]]


def naming_faults(respond: Callable[[Any, Data], Answer]) -> Callable[[Any, Data], Answer]:
    """Return what answers a refusal, with its type, its words and who was refused in headers for the edge."""

    def named(error: Any, request: Data) -> Answer:  # noqa: ANN401 - the emulator's own error
        status, headers, body = respond(error, request)
        told = {"message": error.message, "errorType": error.error_type}
        arrival = emulator_arrival.current()
        for_edge = {
            FAULT_HEADER: error.response_type,
            DETAIL_HEADER: json.dumps({key: value for key, value in told.items() if value}),
            LEARNED_HEADER: json.dumps(arrival.learned if arrival else {}),
        }
        return status, {**headers, **for_edge}, body

    return named


def asking_policy(authorize: Authorize) -> Authorize:
    """Return what authorizes a request, after a resource policy that denies it by name.

    The emulator asks the policy where a method has no authorization or IAM's. Where it has an authorizer, a
    policy that only does not allow leaves the matter to that.
    """

    async def authorized(*given: Any) -> object:  # noqa: ANN401 - the emulator's own signature
        call = Call(*given)
        if call.kind not in {"NONE", "AWS_IAM"}:
            error = gateway._anonymous_policy_error(
                call.api, call.stage_name, call.verb, call.path, call.account, call.region
            )
            if error is not None and "explicit deny" in error.message:
                return error, None
        return await authorize(*given)

    return authorized


def learning_context(authorize: Authorize) -> Authorize:
    """Return what authorizes a request, and notes the authorizer's context, for the log of later refusals."""

    async def authorized(*given: Any) -> object:  # noqa: ANN401 - the emulator's own signature
        error, context = await authorize(*given)
        arrival = emulator_arrival.current()
        if arrival and context:
            arrival.learned["authorizer"] = context
        return error, context

    return authorized


def telling_tokens_apart(validate: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return what validates a user pool's token: an access token where there are scopes, else an ID token.

    ("Control access to REST APIs using Amazon Cognito user pools as an authorizer", API Gateway guide)
    """

    async def validated(authorizer: Data, method: Data, *request: Any) -> Any:  # noqa: ANN401 - the emulator's own signature
        claims, error = await validate(authorizer, method, *request)
        wanted = "access" if method.get("authorizationScopes") else "id"
        if claims is not None and claims.get("token_use") != wanted:
            return None, gateway._gw_error("UNAUTHORIZED", "Unauthorized")
        return claims, error

    return validated


def with_the_edge_s_ids(make: Callable[[], str]) -> Callable[[], str]:
    """Return what makes ids: a request that came through the edge has the one that the edge gave it."""

    def made() -> str:
        arrival = emulator_arrival.current()
        return str(arrival.context["requestId"]) if arrival else make()

    return made


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
    authorize = with_lambda_authorizers(gateway._authorize_request_v1)
    gateway._authorize_request_v1 = learning_context(asking_policy(authorize))
    gateway._validate_cognito_authorizer = telling_tokens_apart(gateway._validate_cognito_authorizer)
    gateway._gateway_error_response = naming_faults(gateway._gateway_error_response)
    gateway._build_lambda_event_v1 = knowing_keys(gateway._build_lambda_event_v1)
    gateway.new_uuid = with_the_edge_s_ids(gateway.new_uuid)
    iam_evaluator._resolve_condition_key = seeing_endpoints(iam_evaluator._resolve_condition_key)
