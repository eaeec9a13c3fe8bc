"""Makers for Lambda."""

import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pulumi

from components import archives

from .registry import Inputs, Outputs, Workshop, auto_name, makes
from .shapes import api_shape

DESTINATIONS = {"sqs": ("sqs:SendMessage", "{}"), "s3": ("s3:PutObject", "{}/*")}
"""By service, what a role needs to keep failed events there, and on what; the emulator fills no bucket."""
INTERFACE_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DeleteNetworkInterface",
)
"""What a role needs for a function in a VPC."""
URLS = "/_aws/lambda-url/"
"""Where the emulator serves functions by their URLs, whose own names nobody resolves."""
POLLER_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
STREAM_ACTIONS = (
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:DescribeStream",
    "dynamodb:ListStreams",
)


class LocalSetupError(RuntimeError):
    """AWS would refuse what the program asks for."""


@makes("aws:lambda/function:Function")
def function(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a function; it runs on this machine's interpreter, whatever its runtime says."""
    inputs.only_on_aws("architectures", "tracingConfig")
    if "imageUri" in inputs:
        raise LocalSetupError(
            f"the local AWS runs no container images, so not {inputs['imageUri']} either: give the code as a "
            "folder (code) to run it here, or deploy this stack to AWS"
        )
    physical = auto_name(name)
    logging = inputs["loggingConfig"]
    vpc = _vpc_config(workshop, inputs)
    client = workshop.aws.client("lambda")
    made = client.create_function(
        FunctionName=physical,
        Code={"ZipFile": zipped(inputs["code"])},
        LoggingConfig={"LogFormat": logging["logFormat"], "LogGroup": logging["logGroup"]},
        Environment={"Variables": inputs.get("environment", {}).get("variables", {})},
        **vpc,
        **inputs.pick(
            Role="role",
            Handler="handler",
            Runtime="runtime",
            Timeout="timeout",
            MemorySize="memorySize",
            Layers="layers",
            KMSKeyArn="kmsKeyArn",
        ),
    )
    if "reservedConcurrentExecutions" in inputs:
        client.put_function_concurrency(
            FunctionName=physical, ReservedConcurrentExecutions=inputs["reservedConcurrentExecutions"]
        )
    return physical, {"name": physical, "arn": made["FunctionArn"]}


def _vpc_config(workshop: Workshop, inputs: Inputs) -> Outputs:
    """Return the VPC that a function is in, if it is in one and its role may attach it."""
    if "vpcConfig" not in inputs:
        return {}
    config: Outputs = api_shape(inputs["vpcConfig"])
    if config.get("SubnetIds") and (missing := denied(workshop, inputs["role"], INTERFACE_ACTIONS, "*")):
        raise LocalSetupError(
            f"The provided execution role does not have permissions to call {missing[0]} on EC2"
        )
    return {"VpcConfig": config}


@makes("aws:lambda/layerVersion:LayerVersion")
def layer_version(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a layer, built again for this machine's interpreter from the lock that it carries."""
    inputs.only_on_aws("compatibleRuntimes", "compatibleArchitectures")
    with (
        zipfile.ZipFile(io.BytesIO(zipped(inputs["code"]))) as built,
        tempfile.TemporaryDirectory() as scratch,
    ):
        lock = Path(scratch, archives.LAYER_LOCK)
        lock.write_bytes(built.read(archives.LAYER_LOCK))
        content = archives.layer(lock, archives.Target.host()).read_bytes()
    made = workshop.aws.client("lambda").publish_layer_version(
        LayerName=auto_name(inputs["layerName"]), Content={"ZipFile": content}
    )
    return made["LayerVersionArn"], {"arn": made["LayerVersionArn"], "layerArn": made["LayerArn"]}


@makes("aws:lambda/permission:Permission")
def permission(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Let a service invoke a function."""
    statement = auto_name(name)
    workshop.aws.client("lambda").add_permission(
        StatementId=statement,
        **inputs.pick(
            FunctionName="function",
            Action="action",
            Principal="principal",
            SourceArn="sourceArn",
            SourceAccount="sourceAccount",
            FunctionUrlAuthType="functionUrlAuthType",
            InvokedViaFunctionUrl="invokedViaFunctionUrl",
        ),
    )
    return statement, {"statementId": statement}


@makes("aws:lambda/functionUrl:FunctionUrl")
def function_url(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Give a function a URL, under which a client of this machine reaches it."""
    name: str = inputs["functionName"]
    made = workshop.aws.client("lambda").create_function_url_config(
        FunctionName=name, **inputs.pick(AuthType="authorizationType", InvokeMode="invokeMode")
    )
    url_id = urlsplit(made["FunctionUrl"]).netloc.partition(".")[0]
    url = f"{workshop.aws.endpoint}{URLS}{url_id}/"
    return name, {"functionUrl": url, "urlId": url_id, "functionArn": made["FunctionArn"]}


@makes("aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig")
def function_event_invoke_config(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say what becomes of events that a function fails on."""
    name: str = inputs["functionName"]
    destinations = api_shape(inputs.get("destinationConfig", {}))
    client = workshop.aws.client("lambda")
    role = client.get_function(FunctionName=name)["Configuration"]["Role"]
    for each in destinations.values():
        _check_destination(workshop, role, each["Destination"])
    client.put_function_event_invoke_config(
        FunctionName=name,
        DestinationConfig=destinations,
        **inputs.pick(
            MaximumRetryAttempts="maximumRetryAttempts", MaximumEventAgeInSeconds="maximumEventAgeInSeconds"
        ),
    )
    return name, {}


@makes("aws:lambda/eventSourceMapping:EventSourceMapping")
def event_source_mapping(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Attach a function to a queue or a table's stream, if its role may read there.

    Of a stream's settings the emulator keeps all and does the filter, the batch size and the age; it never
    waits for a batch, and tries a batch again that failed until its oldest record is too old.
    """
    # Its pollers are its own, and it counts nothing.
    inputs.only_on_aws("provisionedPollerConfig", "metricsConfig")
    source: str = inputs["eventSourceArn"]
    client = workshop.aws.client("lambda")
    role = client.get_function(FunctionName=inputs["functionName"])["Configuration"]["Role"]
    _check_poller(workshop, role, source)
    wanted = inputs.pick(
        FunctionName="functionName",
        Enabled="enabled",
        BatchSize="batchSize",
        MaximumBatchingWindowInSeconds="maximumBatchingWindowInSeconds",
        FunctionResponseTypes="functionResponseTypes",
        StartingPosition="startingPosition",
        BisectBatchOnFunctionError="bisectBatchOnFunctionError",
        MaximumRetryAttempts="maximumRetryAttempts",
        MaximumRecordAgeInSeconds="maximumRecordAgeInSeconds",
        ParallelizationFactor="parallelizationFactor",
    )
    for key, given in (("ScalingConfig", "scalingConfig"), ("FilterCriteria", "filterCriteria")):
        if given in inputs:
            wanted[key] = api_shape(inputs[given])
    if "destinationConfig" in inputs:
        failed: str = inputs["destinationConfig"]["onFailure"]["destinationArn"]
        _check_destination(workshop, role, failed)
        wanted["DestinationConfig"] = {"OnFailure": {"Destination": failed}}
    made = client.create_event_source_mapping(EventSourceArn=source, **wanted)
    return made["UUID"], {"uuid": made["UUID"]}


def _check_poller(workshop: Workshop, role: str, source_arn: str) -> None:
    """Refuse a mapping whose role may not poll, as Lambda does; the emulator polls with no role at all."""
    if ":dynamodb:" not in source_arn:
        if missing := denied(workshop, role, POLLER_ACTIONS, source_arn):
            raise LocalSetupError(
                f"the provided execution role does not have permissions to call {missing[0]} on SQS"
            )
        return
    if missing := denied(workshop, role, STREAM_ACTIONS, source_arn):
        raise LocalSetupError(
            f"cannot access stream {source_arn}: the execution role may not {', '.join(missing)}"
        )


def _check_destination(workshop: Workshop, role: str, arn: str) -> None:
    """Refuse a place for failed events that the function's role may not write to."""
    service = arn.split(":")[2]
    if service not in DESTINATIONS:
        raise LocalSetupError(f"failed events can go to {', '.join(DESTINATIONS)}, not to {arn}")
    action, resource = DESTINATIONS[service]
    if missing := denied(workshop, role, (action,), resource.format(arn)):
        raise LocalSetupError(
            f"the function's execution role does not have permissions to call {missing[0]} on {arn}"
        )


def denied(workshop: Workshop, role: str, actions: Sequence[str], arn: str) -> list[str]:
    """Return those of a service's actions that a role may not do, without the service's name."""
    results = workshop.aws.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=list(actions), ResourceArns=[arn]
    )["EvaluationResults"]
    return [
        result["EvalActionName"].partition(":")[2]
        for result in results
        if result["EvalDecision"] != "allowed"
    ]


def zipped(archive: Any) -> bytes:  # noqa: ANN401 - an asset as Pulumi hands it over
    """Return the bytes of an archive that a program gives to Lambda."""
    if isinstance(archive, pulumi.FileArchive):
        return Path(archive.path).read_bytes()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
        for path, asset in archive.assets.items():
            text = (
                asset.text.encode()
                if isinstance(asset, pulumi.StringAsset)
                else Path(asset.path).read_bytes()
            )
            written.writestr(path, text)
    return target.getvalue()
