"""A function of ours in Lambda: its role, its log group and itself, the same way for every component."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

from . import archives, naming, policies
from .archives import Target


@dataclass(frozen=True)
class Zipped:
    """Code in an archive, run by Lambda's own Python."""

    archive: pulumi.Input[pulumi.Archive]
    handler: str
    layers: Sequence[pulumi.Input[str]] = ()


@dataclass(frozen=True)
class Image:
    """A container image, which holds its interpreter and its packages."""

    uri: pulumi.Input[str]
    command: str | None = None
    """The handler, where it is not the image's own."""


@dataclass(frozen=True)
class Network:
    """Where in a VPC a function is, which decides the address that it calls from."""

    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_ids: Sequence[pulumi.Input[str]]


@dataclass(frozen=True)
class FunctionSpec:
    """What one function is made of."""

    package: Zipped | Image
    timeout_seconds: int
    memory_mb: int
    log_retention_days: int
    kms_key_arn: pulumi.Input[str] | None
    target: Target = field(default_factory=Target)
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    system_log_level: str = "INFO"
    """Which of Lambda's own lines are logged: from INFO on, two or three for each run."""
    reserved_concurrency: int | None = None
    """How many runs at once are set aside for it; none for the account's rest."""
    network: Network | None = None
    """Where it is; none for Lambda's own network."""
    tracing: bool = False
    """Whether X-Ray traces it."""


@dataclass(frozen=True)
class FunctionUnit:
    """The resources of one function."""

    function: aws.lambda_.Function
    role: aws.iam.Role
    log_group: aws.cloudwatch.LogGroup


def name_of(function_arn: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return the name of a function, of which there may be an alias or a version behind."""
    # arn:aws:lambda:REGION:ACCOUNT:function:NAME
    return function_arn.apply(lambda arn: arn.split(":")[6])


def create_layer(name: str, lock: Path, target: Target, parent: pulumi.Resource) -> aws.lambda_.LayerVersion:
    """Make the child ``<name>-layer``, which holds the packages of a lock file.

    Raises:
        LayerBuildError: if the packages cannot be had.
    """
    return aws.lambda_.LayerVersion(
        f"{name}-layer",
        layer_name=naming.stack_wide(f"{name}-packages"),
        code=pulumi.FileArchive(str(archives.layer(lock, target))),
        compatible_runtimes=[target.runtime],
        compatible_architectures=[target.architecture],
        opts=pulumi.ResourceOptions(parent=parent),
    )


def create_function(
    name: str,
    spec: FunctionSpec,
    statements: pulumi.Input[Sequence[policies.Statement]],
    parent: pulumi.Resource,
) -> FunctionUnit:
    """Make a function with a role that may write to its own log group and do what ``statements`` say.

    The children are ``<name>-logs``, ``<name>-role``, ``<name>-policy`` and ``<name>-function``.
    """
    opts = pulumi.ResourceOptions(parent=parent)
    # Without variables Lambda does not keep the key, and every preview would show a difference.
    environment_key = spec.kms_key_arn if spec.environment else None
    log_group = aws.cloudwatch.LogGroup(
        f"{name}-logs",
        retention_in_days=spec.log_retention_days,
        kms_key_id=spec.kms_key_arn,
        opts=opts,
    )
    role = aws.iam.Role(f"{name}-role", assume_role_policy=policies.trusts("lambda.amazonaws.com"), opts=opts)
    permissions = aws.iam.RolePolicy(
        f"{name}-policy",
        role=role.name,
        policy=pulumi.Output.all(log_group.arn, statements, environment_key).apply(
            lambda known: policies.policy(
                policies.write_logs(known[0]),
                *known[1],
                *policies.key_use(known[2], "kms:Decrypt"),
                *([policies.send_traces()] if spec.tracing else []),
            )
        ),
        opts=opts,
    )
    function = aws.lambda_.Function(
        f"{name}-function",
        **_packaged(spec),
        **_placed(spec.network),
        tracing_config=aws.lambda_.FunctionTracingConfigArgs(mode="Active") if spec.tracing else None,
        architectures=[spec.target.architecture],
        timeout=spec.timeout_seconds,
        memory_size=spec.memory_mb,
        role=role.arn,
        reserved_concurrent_executions=spec.reserved_concurrency,
        environment={"variables": dict(spec.environment)} if spec.environment else None,
        kms_key_arn=environment_key,
        logging_config={
            "log_format": "JSON",
            "log_group": log_group.name,
            "system_log_level": spec.system_log_level,
        },
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[permissions]),
    )
    return FunctionUnit(function, role, log_group)


def _placed(network: Network | None) -> dict[str, Any]:
    """Return the arguments of a function that say where in a VPC it is."""
    if network is None:
        return {}
    return {
        "vpc_config": {
            "subnet_ids": [*network.subnet_ids],
            "security_group_ids": [*network.security_group_ids],
        }
    }


def _packaged(spec: FunctionSpec) -> dict[str, Any]:
    """Return the arguments of a function that say what it runs."""
    if isinstance(spec.package, Image):
        command = spec.package.command
        return {
            "package_type": "Image",
            "image_uri": spec.package.uri,
            "image_config": {"commands": [command]} if command else None,
        }
    return {
        "code": spec.package.archive,
        "handler": spec.package.handler,
        "runtime": spec.target.runtime,
        "layers": list(spec.package.layers),
    }
