"""Makers for what serves an API: deployments, stages and their settings, and the account's logging."""

from typing import TYPE_CHECKING, Any

from .compute import LocalSetupError
from .identity import check_trust
from .registry import Inputs, Outputs, Workshop, makes

if TYPE_CHECKING:
    from mypy_boto3_apigateway.type_defs import PatchOperationTypeDef

OFF = "OFF"
METHOD_SETTINGS = {
    "metricsEnabled": "metrics/enabled",
    "loggingLevel": "logging/loglevel",
    "dataTraceEnabled": "logging/dataTrace",
    "throttlingRateLimit": "throttling/rateLimit",
    "throttlingBurstLimit": "throttling/burstLimit",
    "cachingEnabled": "caching/enabled",
    "cacheTtlInSeconds": "caching/ttlInSeconds",
    "cacheDataEncrypted": "caching/dataEncrypted",
    "requireAuthorizationForCacheControl": "caching/requireAuthorizationForCacheControl",
    "unauthorizedCacheControlHeaderStrategy": "caching/unauthorizedCacheControlHeaderStrategy",
}
"""Where UpdateStage has each setting."""


@makes("aws:apigateway/deployment:Deployment")
def deployment(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Take a picture of the API."""
    # Triggers matter to an update, and there is none here.
    inputs.only_on_aws("triggers")
    gateway = workshop.aws.client("apigateway")
    api = gateway.get_rest_api(restApiId=inputs["restApi"])
    if "PRIVATE" in api["endpointConfiguration"]["types"] and not api.get("policy"):
        raise LocalSetupError("Private REST API doesn't have a resource policy attached to it")
    made = gateway.create_deployment(restApiId=inputs["restApi"])
    return made["id"], {}


@makes("aws:apigateway/stage:Stage")
def stage(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Serve a deployment at a URL, which is the edge's."""
    gateway = workshop.aws.client("apigateway")
    api, name = inputs["restApi"], inputs["stageName"]
    gateway.create_stage(
        restApiId=api,
        stageName=name,
        deploymentId=inputs["deployment"],
        **inputs.pick(
            tracingEnabled="xrayTracingEnabled",
            cacheClusterEnabled="cacheClusterEnabled",
            cacheClusterSize="cacheClusterSize",
        ),
    )
    log = inputs.get("accessLogSettings")
    if log:
        _check_logging(workshop)
        _patch(
            workshop,
            inputs,
            {
                "/accessLogSettings/destinationArn": log["destinationArn"],
                "/accessLogSettings/format": log["format"],
            },
        )
    aws = workshop.aws
    return f"{api}-{name}", {
        "invokeUrl": f"{workshop.invoke_base}/{api}/{name}",
        "arn": f"arn:aws:apigateway:{aws.region}::/restapis/{api}/stages/{name}",
        "executionArn": f"arn:aws:execute-api:{aws.region}:{aws.account}:{api}/{name}",
    }


@makes("aws:apigateway/methodSettings:MethodSettings")
def method_settings(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Set what a stage does for a method, or for all; the emulator has no execution log."""
    settings: dict[str, Any] = inputs["settings"]
    if unknown := settings.keys() - METHOD_SETTINGS.keys():
        raise LocalSetupError(
            f"the local AWS would ignore the method's settings {', '.join(sorted(unknown))}"
        )
    if settings.get("loggingLevel", OFF) != OFF:
        _check_logging(workshop)
    path = inputs["methodPath"]
    _patch(
        workshop,
        inputs,
        {
            f"/{path}/{METHOD_SETTINGS[key]}": _text(value)
            for key, value in settings.items()
            if value is not None
        },
    )
    return name, {}


@makes("aws:apigateway/account:Account")
def account(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Set the role by which API Gateway writes logs."""
    role: str = inputs["cloudwatchRoleArn"]
    check_trust(workshop, role)
    workshop.aws.client("apigateway").update_account(
        patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}]
    )
    return name, {}


def check_stage(workshop: Workshop, api: str, name: str) -> None:
    """Refuse what is for a stage that is not there."""
    gateway = workshop.aws.client("apigateway")
    try:
        gateway.get_stage(restApiId=api, stageName=name)
    except gateway.exceptions.NotFoundException as error:
        raise LocalSetupError(f"API Gateway finds no stage {name!r} of the API {api}") from error


def _check_logging(workshop: Workshop) -> None:
    """Refuse to log where API Gateway has no role to log with."""
    if not workshop.aws.client("apigateway").get_account().get("cloudwatchRoleArn"):
        raise LocalSetupError(
            "CloudWatch Logs role ARN must be set in account settings to enable logging: "
            "set sluice:front_door.manage_account_logging"
        )


def _patch(workshop: Workshop, inputs: Inputs, values: dict[str, str]) -> None:
    operations: list[PatchOperationTypeDef] = [
        {"op": "replace", "path": path, "value": value} for path, value in values.items()
    ]
    workshop.aws.client("apigateway").update_stage(
        restApiId=inputs["restApi"], stageName=inputs["stageName"], patchOperations=operations
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
