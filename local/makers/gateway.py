"""Makers for API Gateway's REST APIs."""

import json
from pathlib import Path

import pulumi

from components import policies
from local.standin.integration import URI_PARAMETER

from .compute import LocalSetupError, zipped
from .registry import Inputs, Outputs, Workshop, auto_name, makes

STANDIN = Path(__file__).parent.parent / "standin"
STANDIN_NAME = "local-integrations"
STANDIN_TIMEOUT_SECONDS = 29


@makes("aws:apigateway/restApi:RestApi")
def rest_api(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make an API."""
    endpoint = inputs["endpointConfiguration"]
    physical = auto_name(name)
    gateway = workshop.aws.client("apigateway")
    made = gateway.create_rest_api(
        name=physical,
        endpointConfiguration={"types": [endpoint["types"]], "ipAddressType": endpoint["ipAddressType"]},
    )
    root = next(each for each in gateway.get_resources(restApiId=made["id"])["items"] if each["path"] == "/")
    aws = workshop.aws
    return made["id"], {
        "name": physical,
        "rootResourceId": root["id"],
        "arn": f"arn:aws:apigateway:{aws.region}::/restapis/{made['id']}",
        "executionArn": f"arn:aws:execute-api:{aws.region}:{aws.account}:{made['id']}",
    }


@makes("aws:apigateway/resource:Resource")
def resource(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make one segment of a path."""
    made = workshop.aws.client("apigateway").create_resource(
        **inputs.pick(restApiId="restApi", parentId="parentId", pathPart="pathPart")
    )
    return made["id"], {"path": made["path"]}


@makes("aws:apigateway/authorizer:Authorizer")
def authorizer(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Attach an authorizer to an API."""
    made = workshop.aws.client("apigateway").create_authorizer(
        name=auto_name(name),
        **inputs.pick(
            restApiId="restApi",
            type="type",
            authorizerUri="authorizerUri",
            authorizerResultTtlInSeconds="authorizerResultTtlInSeconds",
            identitySource="identitySource",
            identityValidationExpression="identityValidationExpression",
        ),
    )
    return made["id"], {}


@makes("aws:apigateway/method:Method")
def method(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a method."""
    workshop.aws.client("apigateway").put_method(
        **inputs.pick(
            restApiId="restApi",
            resourceId="resourceId",
            httpMethod="httpMethod",
            authorizationType="authorization",
            authorizerId="authorizerId",
        )
    )
    return name, {}


@makes("aws:apigateway/integration:Integration")
def integration(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a service integration: the emulator hands it to the stand-in, which reads here what to do."""
    if inputs["type"] != "AWS":
        raise LocalSetupError(f"the local AWS carries integrations of type AWS only, not {inputs['type']}")
    _check_trust(workshop, inputs["credentials"])
    workshop.aws.client("apigateway").put_integration(
        type="AWS_PROXY",
        uri=_standin_uri(workshop),
        # Where the stand-in finds the URI that the program gave; the emulator only keeps these.
        requestParameters={**inputs.get("requestParameters", {}), URI_PARAMETER: inputs["uri"]},
        **inputs.pick(
            restApiId="restApi",
            resourceId="resourceId",
            httpMethod="httpMethod",
            integrationHttpMethod="integrationHttpMethod",
            credentials="credentials",
            passthroughBehavior="passthroughBehavior",
            requestTemplates="requestTemplates",
        ),
    )
    return name, {}


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


@makes("aws:apigateway/deployment:Deployment")
def deployment(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Take a picture of the API."""
    # Triggers matter to an update, and there is none here.
    inputs.only_on_aws("triggers")
    made = workshop.aws.client("apigateway").create_deployment(restApiId=inputs["restApi"])
    return made["id"], {}


@makes("aws:apigateway/stage:Stage")
def stage(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Serve a deployment at a URL, which is the edge's."""
    gateway = workshop.aws.client("apigateway")
    api, name = inputs["restApi"], inputs["stageName"]
    gateway.create_stage(restApiId=api, stageName=name, deploymentId=inputs["deployment"])
    log = inputs.get("accessLogSettings")
    if log:
        if not gateway.get_account().get("cloudwatchRoleArn"):
            raise LocalSetupError(
                "CloudWatch Logs role ARN must be set in account settings to enable logging: "
                "set sluice:front_door.manage_account_logging"
            )
        gateway.update_stage(
            restApiId=api,
            stageName=name,
            patchOperations=[
                {
                    "op": "replace",
                    "path": "/accessLogSettings/destinationArn",
                    "value": log["destinationArn"],
                },
                {"op": "replace", "path": "/accessLogSettings/format", "value": log["format"]},
            ],
        )
    aws = workshop.aws
    return f"{api}-{name}", {
        "invokeUrl": f"{workshop.invoke_base}/{api}/{name}",
        "arn": f"arn:aws:apigateway:{aws.region}::/restapis/{api}/stages/{name}",
        "executionArn": f"arn:aws:execute-api:{aws.region}:{aws.account}:{api}/{name}",
    }


@makes("aws:apigateway/methodSettings:MethodSettings")
def method_settings(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Throttle the methods of a stage; the emulator has no metrics and no execution log."""
    settings = inputs["settings"]
    path = inputs["methodPath"]
    workshop.aws.client("apigateway").update_stage(
        restApiId=inputs["restApi"],
        stageName=inputs["stageName"],
        patchOperations=[
            {
                "op": "replace",
                "path": f"/{path}/throttling/rateLimit",
                "value": str(settings["throttlingRateLimit"]),
            },
            {
                "op": "replace",
                "path": f"/{path}/throttling/burstLimit",
                "value": str(settings["throttlingBurstLimit"]),
            },
        ],
    )
    return name, {}


@makes("aws:apigateway/account:Account")
def account(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Set the role by which API Gateway writes logs."""
    role: str = inputs["cloudwatchRoleArn"]
    _check_trust(workshop, role)
    workshop.aws.client("apigateway").update_account(
        patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}]
    )
    return name, {}


def _check_trust(workshop: Workshop, role_arn: str) -> None:
    """Refuse a role that API Gateway may not take on; the emulator lets everybody take on every role."""
    role = workshop.aws.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
    trusted = json.dumps(role["AssumeRolePolicyDocument"])
    if "apigateway.amazonaws.com" not in trusted:
        raise LocalSetupError(f"API Gateway does not have permission to assume the provided role {role_arn}")


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
