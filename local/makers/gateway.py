"""Makers for API Gateway's REST APIs: what there is, who may call it, and what becomes of a call."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pulumi

from components import policies
from local.standin.deployed import TYPE_PARAMETER, URI_PARAMETER, VALIDATOR_PARAMETER

from .authorizers import check_authorization
from .compute import LocalSetupError, zipped
from .identity import check_trust
from .registry import Inputs, Outputs, Workshop, auto_name, makes

STANDIN = Path(__file__).parent.parent / "standin"
STANDIN_NAME = "local-integrations"
STANDIN_TIMEOUT_SECONDS = 40
"""Longer than any integration may take: that it takes too long is for the stand-in to say."""
KINDS = ("AWS", "HTTP", "MOCK")
LONGEST_POLICY = 8192
MODEL_NAME = re.compile(r"[A-Za-z0-9]+")


@makes("aws:apigateway/restApi:RestApi")
def rest_api(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make an API."""
    endpoint: dict[str, Any] = {**inputs["endpointConfiguration"]}
    endpoint["types"] = [endpoint["types"]]
    physical = auto_name(name)
    gateway = workshop.aws.client("apigateway")
    made = gateway.create_rest_api(
        name=physical,
        endpointConfiguration=endpoint,  # type: ignore[arg-type]  # as the program gave it
        **inputs.pick(disableExecuteApiEndpoint="disableExecuteApiEndpoint"),
    )
    root = next(each for each in gateway.get_resources(restApiId=made["id"])["items"] if each["path"] == "/")
    aws = workshop.aws
    return made["id"], {
        "name": physical,
        "rootResourceId": root["id"],
        "arn": f"arn:aws:apigateway:{aws.region}::/restapis/{made['id']}",
        "executionArn": f"arn:aws:execute-api:{aws.region}:{aws.account}:{made['id']}",
    }


@makes("aws:apigateway/restApiPolicy:RestApiPolicy")
def rest_api_policy(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say who may call an API, which the emulator asks at once."""
    api, policy = inputs["restApiId"], inputs["policy"]
    if len(policy.encode()) > LONGEST_POLICY:
        raise LocalSetupError(f"a resource policy has at most {LONGEST_POLICY} bytes")
    workshop.aws.client("apigateway").update_rest_api(
        restApiId=api, patchOperations=[{"op": "replace", "path": "/policy", "value": policy}]
    )
    return api, {}


@makes("aws:apigateway/resource:Resource")
def resource(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make one segment of a path."""
    made = workshop.aws.client("apigateway").create_resource(
        **inputs.pick(restApiId="restApi", parentId="parentId", pathPart="pathPart")
    )
    return made["id"], {"path": made["path"]}


@makes("aws:apigateway/requestValidator:RequestValidator")
def request_validator(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say what of a request is looked at."""
    physical: str = inputs.get("name") or auto_name(name)
    made = workshop.aws.client("apigateway").create_request_validator(
        name=physical,
        **inputs.pick(
            restApiId="restApi",
            validateRequestBody="validateRequestBody",
            validateRequestParameters="validateRequestParameters",
        ),
    )
    return made["id"], {"name": physical}


@makes("aws:apigateway/model:Model")
def model(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Keep the schema of a body."""
    name, schema = inputs["name"], inputs["schema"]
    if not MODEL_NAME.fullmatch(name):
        raise LocalSetupError(f"Model name must be alphanumeric: {name}")
    try:
        jsonschema.Draft4Validator.check_schema(json.loads(schema))
    except (ValueError, jsonschema.SchemaError) as error:
        raise LocalSetupError(f"Invalid model specified: {name} is no schema of draft 4: {error}") from error
    made = workshop.aws.client("apigateway").create_model(
        name=name, schema=schema, **inputs.pick(restApiId="restApi", contentType="contentType")
    )
    return made["id"], {}


@makes("aws:apigateway/method:Method")
def method(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a method; the emulator does not learn of its validator, but the stand-in does."""
    gateway = workshop.aws.client("apigateway")
    models: dict[str, str] = inputs.get("requestModels", {})
    for each in models.values():
        gateway.get_model(restApiId=inputs["restApi"], modelName=each)
    parameters: dict[str, bool] = dict(inputs.get("requestParameters", {}))
    if validator := inputs.get("requestValidatorId"):
        gateway.get_request_validator(restApiId=inputs["restApi"], requestValidatorId=validator)
        parameters[f"{VALIDATOR_PARAMETER}{validator}"] = False
    check_authorization(workshop, inputs)
    gateway.put_method(
        requestParameters=parameters,
        **inputs.pick(
            restApiId="restApi",
            resourceId="resourceId",
            httpMethod="httpMethod",
            authorizationType="authorization",
            authorizerId="authorizerId",
            authorizationScopes="authorizationScopes",
            apiKeyRequired="apiKeyRequired",
            requestModels="requestModels",
        ),
    )
    return name, {}


@makes("aws:apigateway/integration:Integration")
def integration(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make an integration: the emulator hands it to the stand-in, which reads here what to do."""
    kind: str = inputs["type"]
    if kind not in KINDS:
        raise LocalSetupError(
            f"the local AWS carries integrations of type {', '.join(KINDS)} only, not {kind}"
        )
    if kind == "AWS":
        check_trust(workshop, inputs["credentials"])
    parameters: dict[str, str] = inputs.get("requestParameters", {})
    _check_declared(workshop, inputs, parameters)
    workshop.aws.client("apigateway").put_integration(
        type="AWS_PROXY",
        uri=_standin_uri(workshop),
        requestParameters={
            **parameters,
            TYPE_PARAMETER: kind,
            **inputs.pick(**{URI_PARAMETER: "uri"}),
        },
        **inputs.pick(
            restApiId="restApi",
            resourceId="resourceId",
            httpMethod="httpMethod",
            integrationHttpMethod="integrationHttpMethod",
            credentials="credentials",
            passthroughBehavior="passthroughBehavior",
            requestTemplates="requestTemplates",
            cacheKeyParameters="cacheKeyParameters",
            cacheNamespace="cacheNamespace",
            timeoutInMillis="timeoutMilliseconds",
        ),
    )
    return name, {}


def _check_declared(workshop: Workshop, inputs: Inputs, parameters: Mapping[str, str]) -> None:
    """Refuse to map a parameter that the method does not declare."""
    known = workshop.aws.client("apigateway").get_method(
        restApiId=inputs["restApi"], resourceId=inputs["resourceId"], httpMethod=inputs["httpMethod"]
    )
    declared = known.get("requestParameters", {})
    for source in parameters.values():
        if source.startswith("method.request.") and source not in declared:
            raise LocalSetupError(f"Invalid mapping expression parameter specified: {source}")


@makes("aws:apigateway/methodResponse:MethodResponse")
def method_response(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Declare a status that a method answers with."""
    workshop.aws.client("apigateway").put_method_response(
        **inputs.pick(
            restApiId="restApi",
            resourceId="resourceId",
            httpMethod="httpMethod",
            statusCode="statusCode",
            responseParameters="responseParameters",
        )
    )
    return name, {}


@makes("aws:apigateway/integrationResponse:IntegrationResponse")
def integration_response(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say how a service's answer becomes ours."""
    place = inputs.pick(
        restApiId="restApi", resourceId="resourceId", httpMethod="httpMethod", statusCode="statusCode"
    )
    parameters: dict[str, str] = inputs.get("responseParameters", {})
    declared = workshop.aws.client("apigateway").get_method_response(**place).get("responseParameters", {})
    for target in parameters:
        if target not in declared:
            raise LocalSetupError(f"Invalid mapping expression parameter specified: {target}")
    workshop.aws.client("apigateway").put_integration_response(
        **inputs.pick(
            restApiId="restApi",
            resourceId="resourceId",
            httpMethod="httpMethod",
            statusCode="statusCode",
            selectionPattern="selectionPattern",
            responseTemplates="responseTemplates",
            responseParameters="responseParameters",
        )
    )
    return name, {}


@makes("aws:apigateway/response:Response")
def gateway_response(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say what API Gateway itself answers."""
    workshop.aws.client("apigateway").put_gateway_response(
        **inputs.pick(
            restApiId="restApiId",
            responseType="responseType",
            statusCode="statusCode",
            responseTemplates="responseTemplates",
            responseParameters="responseParameters",
        )
    )
    return name, {}


def _standin_uri(workshop: Workshop) -> str:
    """Return the URI of the function that carries service integrations, making it the first time."""
    with workshop.lock:
        if "integrations" not in workshop.standins:
            workshop.standins["integrations"] = _create_standin(workshop)
    arn = workshop.standins["integrations"]
    return f"arn:aws:apigateway:{workshop.aws.region}:lambda:path/2015-03-31/functions/{arn}/invocations"


def _create_standin(workshop: Workshop) -> str:
    files: dict[str, pulumi.Asset | pulumi.Archive] = {
        f"standin/{file.name}": pulumi.FileAsset(str(file)) for file in sorted(STANDIN.glob("*.py"))
    }
    role = workshop.aws.client("iam").create_role(
        RoleName=STANDIN_NAME, AssumeRolePolicyDocument=policies.trusts("lambda.amazonaws.com")
    )["Role"]
    arn: str = workshop.aws.client("lambda").create_function(
        FunctionName=STANDIN_NAME,
        Runtime="python3.13",
        Handler="standin.integration.handler",
        Role=role["Arn"],
        Timeout=STANDIN_TIMEOUT_SECONDS,
        Code={"ZipFile": zipped(pulumi.AssetArchive(files))},
    )["FunctionArn"]
    return arn
