"""Makers for authorizers of an API, which refuse what API Gateway would refuse."""

import re
from collections.abc import Callable

from botocore.exceptions import ClientError

from .compute import LocalSetupError
from .registry import Inputs, Outputs, Workshop, auto_name, makes

LONGEST_TTL_SECONDS = 3600
DEFAULT_TTL_SECONDS = 300
DEFAULT_SOURCE = "method.request.header.Authorization"
"""The provider's own defaults, for each type."""
HEADER_SOURCE = r"method\.request\.header\.[^,\s]+"
HEADER = re.compile(HEADER_SOURCE)
SOURCE = re.compile(
    rf"{HEADER_SOURCE}|method\.request\.querystring\.[^,\s]+|stageVariables\.[^,\s]+"
    r"|context\.(identity\.sourceIp|httpMethod|resourcePath|path)"
)
USER_POOLS = "COGNITO_USER_POOLS"
CUSTOM = "CUSTOM"
AUTHORIZED_BY = {"TOKEN": CUSTOM, "REQUEST": CUSTOM, USER_POOLS: USER_POOLS}
"""The authorization of methods that each type of authorizer is for."""
WITHOUT_AUTHORIZER = {"NONE", "AWS_IAM"}

Check = Callable[[Workshop, Inputs], None]


@makes("aws:apigateway/authorizer:Authorizer")
def authorizer(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Attach an authorizer to an API."""
    kind: str = inputs.get("type", "TOKEN")
    if kind not in CHECKS:
        raise LocalSetupError(f"an authorizer is of type {', '.join(CHECKS)}, not {kind}")
    if not 0 <= inputs.get("authorizerResultTtlInSeconds", 0) <= LONGEST_TTL_SECONDS:
        raise LocalSetupError(f"a decision is kept for at most {LONGEST_TTL_SECONDS} seconds")
    CHECKS[kind](workshop, inputs)
    made = workshop.aws.client("apigateway").create_authorizer(
        name=inputs.get("name") or auto_name(name),
        type=kind,  # type: ignore[arg-type]  # one of those that are checked
        identitySource=inputs.get("identitySource", DEFAULT_SOURCE),
        **inputs.pick(
            restApiId="restApi",
            authorizerUri="authorizerUri",
            authorizerResultTtlInSeconds="authorizerResultTtlInSeconds",
            identityValidationExpression="identityValidationExpression",
            providerARNs="providerArns",
        ),
    )
    return made["id"], {}


def _check_token(_workshop: Workshop, inputs: Inputs) -> None:
    _check_function(inputs)
    _check_header(inputs)
    try:
        re.compile(inputs.get("identityValidationExpression", ""))
    except re.error as error:
        raise LocalSetupError(f"Invalid identity validation expression specified: {error}") from error


def _check_request(_workshop: Workshop, inputs: Inputs) -> None:
    _check_function(inputs)
    if "identityValidationExpression" in inputs:
        raise LocalSetupError("only an authorizer of type TOKEN validates a token by an expression")
    named: str = inputs.get("identitySource", DEFAULT_SOURCE)
    if not named and inputs.get("authorizerResultTtlInSeconds", DEFAULT_TTL_SECONDS):
        raise LocalSetupError("Identity source is required when caching is enabled")
    for source in filter(None, (each.strip() for each in named.split(","))):
        if not SOURCE.fullmatch(source):
            raise LocalSetupError(f"Invalid identity source specified, or none that is known here: {source}")


def _check_user_pools(workshop: Workshop, inputs: Inputs) -> None:
    _check_header(inputs)
    if "authorizerUri" in inputs:
        raise LocalSetupError(f"an authorizer of type {USER_POOLS} asks no function")
    if not inputs.get("providerArns"):
        raise LocalSetupError("an authorizer of type COGNITO_USER_POOLS needs the ARN of a user pool")
    for arn in inputs["providerArns"]:
        try:
            workshop.aws.client("cognito-idp").describe_user_pool(UserPoolId=arn.rpartition("/")[2])
        except ClientError as error:
            raise LocalSetupError(f"Invalid Cognito user pool ARN: {arn}") from error


def _check_function(inputs: Inputs) -> None:
    if ":lambda:path/" not in inputs.get("authorizerUri", ""):
        raise LocalSetupError("a Lambda authorizer needs the invocation URI of a function")
    if "providerArns" in inputs:
        raise LocalSetupError(f"only an authorizer of type {USER_POOLS} has user pools")


def _check_header(inputs: Inputs) -> None:
    source: str = inputs.get("identitySource", DEFAULT_SOURCE)
    if not HEADER.fullmatch(source):
        raise LocalSetupError(f"Invalid identity source specified, one header is needed: {source}")


CHECKS: dict[str, Check] = {
    "TOKEN": _check_token,
    "REQUEST": _check_request,
    USER_POOLS: _check_user_pools,
}


def check_authorization(workshop: Workshop, method: Inputs) -> None:
    """Refuse a method whose authorizer is not there or of another type, and scopes that nobody asks for."""
    kind: str = method["authorization"]
    wanted = method.get("authorizerId")
    if method.get("authorizationScopes") and kind != USER_POOLS:
        raise LocalSetupError(f"only a method with authorization {USER_POOLS} has scopes, not {kind}")
    if kind in WITHOUT_AUTHORIZER:
        if wanted:
            raise LocalSetupError(f"a method with authorization {kind} has no authorizer")
        return
    gateway = workshop.aws.client("apigateway")
    known = gateway.get_authorizers(restApiId=method["restApi"], limit=500)["items"]
    fitting = {each["id"] for each in known if AUTHORIZED_BY[each["type"]] == kind}
    if wanted not in fitting:
        raise LocalSetupError(
            "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or "
            "COGNITO_USER_POOLS requires a valid authorizer."
        )
