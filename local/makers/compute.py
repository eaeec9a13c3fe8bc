"""Makers for Lambda."""

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pulumi

from components import archives

from .registry import Inputs, Outputs, Workshop, auto_name, makes

POLLER_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


class LocalSetupError(RuntimeError):
    """AWS would refuse what the program asks for."""


@makes("aws:lambda/function:Function")
def function(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a function; it runs on this machine's interpreter, whatever its runtime says."""
    inputs.only_on_aws("architectures")
    physical = auto_name(name)
    logging = inputs["loggingConfig"]
    made = workshop.aws.client("lambda").create_function(
        FunctionName=physical,
        Code={"ZipFile": zipped(inputs["code"])},
        LoggingConfig={"LogFormat": logging["logFormat"], "LogGroup": logging["logGroup"]},
        Environment={"Variables": inputs.get("environment", {}).get("variables", {})},
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
    return physical, {"name": physical, "arn": made["FunctionArn"]}


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
        **inputs.pick(FunctionName="function", Action="action", Principal="principal", SourceArn="sourceArn"),
    )
    return statement, {"statementId": statement}


@makes("aws:lambda/eventSourceMapping:EventSourceMapping")
def event_source_mapping(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Attach a function to a queue, if its role may drain that queue."""
    queue_arn: str = inputs["eventSourceArn"]
    client = workshop.aws.client("lambda")
    role = client.get_function(FunctionName=inputs["functionName"])["Configuration"]["Role"]
    _check_poller(workshop, role, queue_arn)
    wanted = inputs.pick(
        FunctionName="functionName",
        BatchSize="batchSize",
        MaximumBatchingWindowInSeconds="maximumBatchingWindowInSeconds",
        FunctionResponseTypes="functionResponseTypes",
    )
    if "scalingConfig" in inputs:
        wanted["ScalingConfig"] = {"MaximumConcurrency": inputs["scalingConfig"]["maximumConcurrency"]}
    made = client.create_event_source_mapping(EventSourceArn=queue_arn, **wanted)
    return made["UUID"], {"uuid": made["UUID"]}


def _check_poller(workshop: Workshop, role: str, queue_arn: str) -> None:
    """Refuse a mapping whose role may not poll, as Lambda does; the emulator polls with no role at all."""
    results = workshop.aws.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=list(POLLER_ACTIONS), ResourceArns=[queue_arn]
    )["EvaluationResults"]
    for result in results:
        if result["EvalDecision"] != "allowed":
            action = result["EvalActionName"].partition(":")[2]
            raise LocalSetupError(
                f"the provided execution role does not have permissions to call {action} on SQS"
            )


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
