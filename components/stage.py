"""The stage of an API: what it serves, how fast, what it remembers, and what it writes down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pulumi
import pulumi_aws as aws

from . import policies
from .api_definition import settings_path
from .rest_api import Api
from .routes import GET, Read, Route, place

LOGGING_POLICY = "arn:{0}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
EXECUTION_LOG = "API-Gateway-Execution-Logs_{0}/{1}"
"""The group's name is API Gateway's ("Set up CloudWatch logging for REST APIs in API Gateway")."""
THROTTLED = "RequestsThrottled"
# What a web ACL stops, and what a read's back end answers, may be 429 as well.
THROTTLED_PATTERN = '{ ($.status = "429") && ($.backend = "-") && ($.waf != "WAF_BLOCK") }'
OFF = "OFF"


@dataclass(frozen=True)
class StageSpec:
    """What a stage is made of."""

    stage_name: str
    throttle_rate: int
    throttle_burst: int
    routes: Sequence[Route]
    reads: Sequence[Read]
    cache_size_gb: str
    tracing: bool
    execution_log: str
    """``OFF``, ``ERROR`` or ``INFO``."""
    line_format: str
    """Of the access log."""
    manage_account_logging: bool
    log_retention_days: int
    kms_key_arn: pulumi.Input[str] | None
    metric_namespace: str
    """Of what is read from the access log."""

    @property
    def cached(self) -> bool:
        """Whether there is anything to remember."""
        return any(each.cache_ttl_seconds for each in self.reads)


@dataclass(frozen=True)
class Serving:
    """What a stage came to."""

    stage: aws.apigateway.Stage
    access_log: aws.cloudwatch.LogGroup
    execution_log: aws.cloudwatch.LogGroup | None


def create(
    name: str, spec: StageSpec, api: Api, deployment: aws.apigateway.Deployment, parent: pulumi.Resource
) -> Serving:
    """Make the stage, its settings and its logs.

    The children are ``<name>-stage``, ``<name>-settings``, ``<name>-settings-<method>``,
    ``<name>-access-log``, ``<name>-throttled-requests``, ``<name>-execution-log``, ``<name>-logging-role``,
    ``<name>-logging-policy`` and ``<name>-account``.
    """
    opts = pulumi.ResourceOptions(parent=parent)
    access = _log_group(f"{name}-access-log", spec, opts)
    execution = None
    waits_for: list[pulumi.Resource] = (
        _create_account_logging(name, parent) if spec.manage_account_logging else []
    )
    if spec.execution_log != OFF:
        # Made before API Gateway makes it, with no end to what it keeps and without the key.
        execution = _log_group(
            f"{name}-execution-log", spec, opts, pulumi.Output.format(EXECUTION_LOG, api.id, spec.stage_name)
        )
        waits_for.append(execution)
    stage = aws.apigateway.Stage(
        f"{name}-stage",
        rest_api=api.id,
        deployment=deployment.id,
        stage_name=spec.stage_name,
        access_log_settings={
            "destination_arn": access.arn,
            "format": spec.line_format,
        },
        cache_cluster_enabled=spec.cached or None,
        cache_cluster_size=spec.cache_size_gb if spec.cached else None,
        xray_tracing_enabled=spec.tracing or None,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=waits_for),
    )
    _create_settings(name, spec, stage, opts)
    # API Gateway has no metric of what it throttles: such a request is one of its 4XX errors.
    aws.cloudwatch.LogMetricFilter(
        f"{name}-throttled-requests",
        log_group_name=access.name,
        pattern=THROTTLED_PATTERN,
        metric_transformation={
            "name": THROTTLED,
            "namespace": spec.metric_namespace,
            "value": "1",
            "default_value": "0",
        },
        opts=opts,
    )
    return Serving(stage, access, execution)


def _log_group(
    name: str, spec: StageSpec, opts: pulumi.ResourceOptions, called: pulumi.Input[str] | None = None
) -> aws.cloudwatch.LogGroup:
    return aws.cloudwatch.LogGroup(
        name,
        name=called,
        retention_in_days=spec.log_retention_days,
        kms_key_id=spec.kms_key_arn,
        opts=opts,
    )


Settings: TypeAlias = "aws.apigateway.MethodSettingsSettingsArgsDict"


def settings(spec: StageSpec) -> dict[str, Settings]:
    """Return the stage's settings by method: those of all, and what is different for some.

    What is set for one method replaces what is set for all, so each says everything.
    """
    of_all: Settings = {
        "throttling_rate_limit": spec.throttle_rate,
        "throttling_burst_limit": spec.throttle_burst,
        "metrics_enabled": True,
        "logging_level": spec.execution_log,
        # Bodies are in no log.
        "data_trace_enabled": False,
        "caching_enabled": False,
    }
    found = {"*/*": of_all}
    for route in spec.routes:
        own: Settings = {}
        if route.throttle_rate is not None:
            own["throttling_rate_limit"] = route.throttle_rate
        if route.throttle_burst is not None:
            own["throttling_burst_limit"] = route.throttle_burst
        if own:
            found[settings_path(route.path, route.verb)] = {**of_all, **own}
    for read in spec.reads:
        if read.cache_ttl_seconds:
            found[settings_path(read.path, GET)] = {
                **of_all,
                "caching_enabled": True,
                "cache_ttl_in_seconds": read.cache_ttl_seconds,
                "cache_data_encrypted": True,
                # Else anybody could empty the cache by a header.
                "require_authorization_for_cache_control": True,
                "unauthorized_cache_control_header_strategy": "FAIL_WITH_403",
            }
    return found


def _create_settings(
    name: str, spec: StageSpec, stage: aws.apigateway.Stage, opts: pulumi.ResourceOptions
) -> None:
    """Make the settings one after the other, those of all first.

    A stage takes one change at a time ("UpdateStage", ConflictException).
    """
    before: list[pulumi.Resource] = []
    for method_path, values in settings(spec).items():
        path, _, verb = method_path.rpartition("/")
        role = f"settings-{verb}{place(path.replace('~1', '/'))}" if before else "settings"
        made = aws.apigateway.MethodSettings(
            f"{name}-{role}",
            rest_api=stage.rest_api,
            stage_name=stage.stage_name,
            method_path=method_path,
            settings=values,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=before)),
        )
        before = [made]


def _create_account_logging(name: str, parent: pulumi.Resource) -> list[pulumi.Resource]:
    # Other APIs of the account write their logs by the same role, so it outlives this program.
    kept = pulumi.ResourceOptions(parent=parent, retain_on_delete=True)
    role = aws.iam.Role(
        f"{name}-logging-role",
        assume_role_policy=policies.trusts("apigateway.amazonaws.com"),
        opts=kept,
    )
    attached = aws.iam.RolePolicyAttachment(
        f"{name}-logging-policy",
        role=role.name,
        policy_arn=pulumi.Output.format(
            LOGGING_POLICY,
            aws.get_partition_output(opts=pulumi.InvokeOutputOptions(parent=parent)).partition,
        ),
        opts=kept,
    )
    account = aws.apigateway.Account(
        f"{name}-account",
        cloudwatch_role_arn=role.arn,
        opts=pulumi.ResourceOptions(parent=parent, retain_on_delete=True, depends_on=[attached]),
    )
    return [account]
