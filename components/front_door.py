"""`FrontDoor`: an HTTP endpoint that puts what it is sent into queues, with nothing in between."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict, cast

import pulumi
import pulumi_aws as aws

from sluice import access_log
from sluice.limiter.rules import UNCOUNTED_ROUTES

from . import (
    api_definition,
    arguments,
    cors,
    custom_domain,
    door_queues,
    front_door_metrics,
    guard,
    naming,
    policies,
    proxy,
    resource_policy,
    routes,
    stage,
    usage_plans,
)
from .answers import Asks, Shape
from .api_definition import Style
from .consumer_args import QueueToDrain
from .front_door_args import CACHE_SIZES, FrontDoorArgs, problems, routes_of
from .front_door_metrics import FrontDoorNames, Limits, QueueNames
from .monitoring import METRIC_NAMESPACE, create_alarms
from .proxy import ProxyArgs
from .rest_api import Api, Backend, Entry, RestApi

THROTTLE_RATE = 1000
THROTTLE_BURST = 500
ACCOUNT_RATE = 10_000
"""Requests per second of one account and Region ("Amazon API Gateway quotas")."""
LOG_RETENTION_DAYS = 30


class Watched(TypedDict):
    """The arguments that a front door gives to a limiter."""

    access_log_name: pulumi.Input[str]
    access_log_arn: pulumi.Input[str]
    stage_arn: pulumi.Input[str]
    api_name: pulumi.Input[str]
    stage_name: pulumi.Input[str]
    uncounted_routes: list[str]
    proxy: NotRequired[ProxyArgs]


class FrontDoor(pulumi.ComponentResource):
    """An HTTP endpoint that puts what it is sent into queues, with no code in the way of a request.

    No answer is 2xx unless SQS took the message.

    Children, where ``<method>`` is like ``POST/orders/{}`` and ``<path>`` like ``orders/{}``:
    ``<name>-queue``, ``<name>-dead-letters`` (queues) with ``...-policy`` and
    ``<name>-dead-letters-redrive``, for each of several queues ``<name>-<queue>-queue`` and so on;
    ``<name>-api``, ``<name>-path-<path>``, ``<name>-validator``, ``<name>-method-<method>``,
    ``<name>-model-<method>``, ``<name>-integration-<method>``, ``<name>-<answer>-<method>`` and
    ``<name>-<answer>-response-<method>`` for the answers ``accepted``, ``refused``, ``broken``, ``found``,
    ``refused-<status>``, ``healthy`` and ``preflight``; ``<name>-<type>`` for each gateway response;
    ``<name>-policy``, ``<name>-authorizer``, ``<name>-authorizer-permission``; ``<name>-role``,
    ``<name>-role-policy``; ``<name>-deployment``, ``<name>-stage``, ``<name>-settings``,
    ``<name>-settings-<method>``, ``<name>-access-log``, ``<name>-throttled-requests``,
    ``<name>-execution-log``; ``<name>-logging-role``, ``<name>-logging-policy``, ``<name>-account``;
    ``<name>-plan-<plan>``, ``<name>-key-<key>``, ``<name>-plan-key-<key>``; ``<name>-domain``,
    ``<name>-base-path``, ``<name>-alias-a``, ``<name>-alias-aaaa``, ``<name>-certificate``,
    ``<name>-validation-record``, ``<name>-validation``; ``<name>-errors-alarm``, ``<name>-latency-alarm``,
    ``<name>-throttled-alarm``, ``<name>-age-alarm``, ``<name>-dead-letters-alarm``, and
    ``<name>-<queue>-age-alarm`` and ``<name>-<queue>-dead-letters-alarm`` for each of several queues.
    """

    url: pulumi.Output[str]
    """Where to send to: the first route's path, under the domain where there is one. A private API's is
    reached from its VPC alone."""
    base_url: pulumi.Output[str]
    """What the URL of every path begins with, without a slash at its end."""
    invoke_url: pulumi.Output[str]
    """The stage's own URL, also where there is a domain."""
    api_name: pulumi.Output[str]
    """The REST API's name, by which its metrics are found."""
    api_id: pulumi.Output[str]
    """The REST API's id."""
    api_execution_arn: pulumi.Output[str]
    """The ARN that permissions to call the API are about."""
    api_arn: pulumi.Output[str]
    """The REST API's ARN."""
    root_resource_id: pulumi.Output[str]
    """The id of the resource under which the paths begin."""
    resource_ids: pulumi.Output[dict[str, str]]
    """The ids of the API's resources, by path (``orders/{id}``)."""
    authorizer_id: pulumi.Output[str | None]
    """The id of the API's authorizer; none where everybody may call."""
    role_arn: pulumi.Output[str]
    """The ARN of the role that puts messages into the queues."""
    role_name: pulumi.Output[str]
    """The name of that role."""
    deployment_id: pulumi.Output[str]
    """The id of the deployment that the stage serves."""
    stage_name: pulumi.Output[str]
    """The stage's name."""
    stage_arn: pulumi.Output[str]
    """The stage's ARN, for a web ACL."""
    queue_arn: pulumi.Output[str]
    """The ARN of the queue, of several the first."""
    queue_url: pulumi.Output[str]
    """The URL of that queue."""
    queue_name: pulumi.Output[str]
    """The name of that queue."""
    dead_letter_queue_arn: pulumi.Output[str | None]
    """The ARN of its dead-letter queue; none for a queue that existed."""
    dead_letter_queue_url: pulumi.Output[str | None]
    """The URL of its dead-letter queue; none for a queue that existed."""
    dead_letter_queue_name: pulumi.Output[str | None]
    """The name of its dead-letter queue; none for a queue that existed."""
    queue_arns: pulumi.Output[dict[str, str]]
    """The ARNs of several queues, by what routes call them; empty where there is one."""
    queue_urls: pulumi.Output[dict[str, str]]
    """The URLs of several queues, likewise."""
    dead_letter_queue_arns: pulumi.Output[dict[str, str]]
    """The ARNs of the dead-letter queues of several queues, likewise."""
    dead_letter_queue_urls: pulumi.Output[dict[str, str]]
    """The URLs of the dead-letter queues of several queues, likewise."""
    queue_names: pulumi.Output[dict[str, str]]
    """What several queues are called in AWS, likewise."""
    dead_letter_queue_names: pulumi.Output[dict[str, str]]
    """What the dead-letter queues of several queues are called in AWS, likewise."""
    access_log_name: pulumi.Output[str]
    """The log group of the access log."""
    access_log_arn: pulumi.Output[str]
    """The ARN of the access log's group, without ``:*``."""
    execution_log_name: pulumi.Output[str | None]
    """The log group of the execution log; none where it is off."""
    execution_log_arn: pulumi.Output[str | None]
    """The ARN of that group, without ``:*``; none where it is off."""
    alarm_arns: pulumi.Output[dict[str, str]]
    """The ARNs of the alarms, by their names less the front door's own; empty without a topic."""
    usage_plan_ids: pulumi.Output[dict[str, str]]
    """The ids of the usage plans, by name."""
    api_key_ids: pulumi.Output[dict[str, str]]
    """The ids of the API keys, by name; ``aws apigateway get-api-key --include-value`` shows a key's
    value."""
    domain_name: pulumi.Output[str | None]
    """The domain; none where there is none."""
    domain_target: pulumi.Output[str | None]
    """The name that the domain's DNS records have to lead to; none where there is no domain."""
    domain_target_zone_id: pulumi.Output[str | None]
    """The hosted zone of that name, for an alias record; none where there is no domain."""
    certificate_arn: pulumi.Output[str | None]
    """The ARN of the domain's certificate; none where there is no domain."""

    def __init__(self, name: str, args: FrontDoorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the endpoint and its queues.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
        """
        super().__init__("sluice:index:FrontDoor", name, None, opts)
        self._name = name
        self._args = arguments.admit(f"FrontDoor {name!r}", args, FrontDoorArgs, problems)
        self._given = cast(Mapping[str, object], self._args)
        self._opts = pulumi.ResourceOptions(parent=self)
        self._warn()
        self._routes = routes_of(self._given)
        self._reads = [routes.make_read(each) for each in self._args.get("reads", [])]
        self._queues = door_queues.of(self._given)
        self._create_queues()
        api, deployment = self._create_api()
        made = self._create_stage(api, deployment)
        self._create_domain(made.stage)
        self._create_usage_plans(made.stage)
        self.url = pulumi.Output.format("{0}/{1}", self.base_url, self._routes[0].path)
        self._create_alarms()
        self.register_outputs({key: getattr(self, key) for key in FrontDoor.__annotations__})

    def _warn(self) -> None:
        rate = self._args.get("throttle_rate", THROTTLE_RATE)
        if rate > ACCOUNT_RATE:
            pulumi.log.warn(
                f"throttle_rate = {rate}: an account has {ACCOUNT_RATE:,} requests per second in a Region "
                "(2,500 in newer ones) for all its APIs, unless AWS raised that quota.",
                self,
            )

    def names(self) -> FrontDoorNames:
        """Return what a dashboard needs to find this front door's metrics."""
        return {
            "api": self.api_name,
            "stage": self.stage_name,
            "namespace": self._namespace,
            "queues": [_queue_names(each) for each in self._destinations.values()],
            "cached": self._spec.cached,
        }

    def limiter_args(self) -> Watched:
        """Return what a `Limiter` needs to count and to protect this front door."""
        watched: Watched = {
            "access_log_name": self.access_log_name,
            "access_log_arn": self.access_log_arn,
            "stage_arn": self.stage_arn,
            "api_name": self.api_name,
            "stage_name": self.stage_name,
            "uncounted_routes": sorted({*UNCOUNTED_ROUTES, *_slashed(self._args.get("health_path"))}),
        }
        if "proxy" in self._args:
            watched["proxy"] = self._args["proxy"]
        return watched

    def consumer_args(self, queue: str | None = None) -> QueueToDrain:
        """Return what a `Consumer` needs to drain one of the queues.

        Args:
            queue: what routes call it. Default: the first.

        Raises:
            KeyError: if there is no such queue.
        """
        found = self._queues[0] if queue is None else self._by_label[queue]
        made = self._destinations[found.name]
        drained: dict[str, object] = {
            "queue_arn": made.arn,
            "queue_url": made.url,
            **door_queues.to_drain(found.args),
        }
        if made.dead_letters is not None:
            drained["dead_letter_queue_arn"] = made.dead_letters.arn
            drained["dead_letter_queue_url"] = made.dead_letters.url
        return cast(QueueToDrain, drained)

    def operator(self) -> dict[str, object]:
        """Return what an operator finds the queues by."""
        return {
            "region": aws.get_region_output(opts=pulumi.InvokeOutputOptions(parent=self)).region,
            "queues": {
                label: {
                    "url": self._destinations[queue.name].url,
                    "dead_letter_url": _dead_letter_url(self._destinations[queue.name]),
                }
                for label, queue in self._by_label.items()
            },
        }

    @property
    def _by_label(self) -> dict[str, door_queues.DoorQueue]:
        return {each.name or door_queues.ONLY: each for each in self._queues}

    @property
    def _namespace(self) -> str:
        """Where metrics are that are read from the access log; their filter has no dimension to give them."""
        return f"{METRIC_NAMESPACE}/{naming.stack_wide(self._name)}"

    def _create_queues(self) -> None:
        key = self._args.get("kms_key_arn")
        self._destinations = {
            each.name: each.create(self._name, key, default=index == 0, parent=self)
            for index, each in enumerate(self._queues)
        }
        first = next(iter(self._destinations.values()))
        dead = first.dead_letters
        self.queue_arn, self.queue_url, self.queue_name = first.arn, first.url, first.name
        self.dead_letter_queue_arn = _optional(dead.arn if dead else None)
        self.dead_letter_queue_url = _optional(dead.url if dead else None)
        self.dead_letter_queue_name = _optional(dead.name if dead else None)
        named = {name: queue for name, queue in self._destinations.items() if name}
        given_up = {name: queue.dead_letters for name, queue in named.items() if queue.dead_letters}
        self.queue_arns = _by_name({name: each.arn for name, each in named.items()})
        self.queue_urls = _by_name({name: each.url for name, each in named.items()})
        self.queue_names = _by_name({name: each.name for name, each in named.items()})
        self.dead_letter_queue_arns = _by_name({name: each.arn for name, each in given_up.items()})
        self.dead_letter_queue_urls = _by_name({name: each.url for name, each in given_up.items()})
        self.dead_letter_queue_names = _by_name({name: each.name for name, each in given_up.items()})

    def _create_api(self) -> tuple[Api, aws.apigateway.Deployment]:
        args = self._given
        backend = self._create_backend()
        looked_at = [header for route in self._routes for header in route.headers]
        looked_at += [header for read in self._reads for header in read.headers]
        guarded = guard.of(args)
        front = proxy.of(args)
        # Pages send what shows who calls, and never what only the proxy may.
        looked_at += [
            each for each in (guarded.headers if guarded else []) if not front or each not in front.headers
        ]
        definition = api_definition.define(
            self._routes,
            {each.name: each.max_message_size for each in self._queues},
            self._reads,
            cast("str | None", args.get("health_path")),
            Style(
                Shape.PROBLEM if args.get("problem_json") else Shape.PLAIN,
                cors.of(args, looked_at),
                guard.caller(args),
                guarded.asks if guarded else Asks.TOKEN,
            ),
        )
        maker = RestApi(
            self._name,
            definition,
            backend,
            guarded,
            resource_policy.of(args),
            self._entry(),
            keys=bool(args.get("usage_plans")),
            redeploy=self._args.get("redeploy", ""),
            parent=self,
        )
        api = self._existing_api() if "api_id" in self._args else maker.create_api()
        served = maker.create(api)
        self.api_name, self.api_id, self.root_resource_id = api.name, api.id, api.root_resource_id
        self.api_arn, self.api_execution_arn = api.arn, api.execution_arn
        self.resource_ids = _by_name(served.resource_ids)
        self.authorizer_id = _optional(served.authorizer.id if served.authorizer else None)
        self.deployment_id = served.deployment.id
        return api, served.deployment

    def _existing_api(self) -> Api:
        api_id = pulumi.Output.from_input(self._args["api_id"])
        invoke = pulumi.InvokeOutputOptions(parent=self)
        partition = aws.get_partition_output(opts=invoke).partition
        region = aws.get_region_output(opts=invoke).region
        account = aws.get_caller_identity_output(opts=invoke).account_id
        return Api(
            api_id,
            pulumi.Output.from_input(self._args["api_name"]),
            pulumi.Output.from_input(self._args["root_resource_id"]),
            arn=pulumi.Output.format("arn:{0}:apigateway:{1}::/restapis/{2}", partition, region, api_id),
            execution_arn=pulumi.Output.format(
                "arn:{0}:execute-api:{1}:{2}:{3}", partition, region, account, api_id
            ),
            ours=False,
        )

    def _entry(self) -> Entry:
        args = self._args
        return Entry(
            endpoints=args.get("vpc_endpoint_ids", []),
            disabled=args.get("disable_execute_api_endpoint", "truststore_uri" in args or "proxy" in args),
        )

    def _create_backend(self) -> Backend:
        role = aws.iam.Role(
            f"{self._name}-role",
            assume_role_policy=policies.trusts("apigateway.amazonaws.com"),
            opts=self._opts,
        )
        arns = {name: queue.arn for name, queue in self._destinations.items()}
        policy = aws.iam.RolePolicy(
            f"{self._name}-role-policy",
            role=role.name,
            policy=pulumi.Output.all(pulumi.Output.all(*arns.values()), self._args.get("kms_key_arn")).apply(
                lambda known: policies.send_messages(*known)
            ),
            opts=self._opts,
        )
        self.role_arn, self.role_name = role.arn, role.name
        return Backend(arns, role.arn, policy)

    def _create_stage(self, api: Api, deployment: aws.apigateway.Deployment) -> stage.Serving:
        args = self._args
        self._spec = stage.StageSpec(
            stage_name=args.get("stage_name", api_definition.STAGE_NAME),
            throttle_rate=args.get("throttle_rate", THROTTLE_RATE),
            throttle_burst=args.get("throttle_burst", THROTTLE_BURST),
            routes=self._routes,
            reads=self._reads,
            cache_size_gb=args.get("cache_size_gb", CACHE_SIZES[0]),
            tracing=args.get("tracing", False),
            execution_log=args.get("execution_log", stage.OFF),
            line_format=self._line_format(),
            manage_account_logging=args.get("manage_account_logging", False),
            log_retention_days=args.get("log_retention_days", LOG_RETENTION_DAYS),
            kms_key_arn=args.get("kms_key_arn"),
            metric_namespace=self._namespace,
        )
        made = stage.create(self._name, self._spec, api, deployment, self)
        self.stage_name, self.stage_arn = made.stage.stage_name, made.stage.arn
        self.invoke_url = made.stage.invoke_url
        self.access_log_name, self.access_log_arn = made.access_log.name, made.access_log.arn
        self.execution_log_name = _optional(made.execution_log.name if made.execution_log else None)
        self.execution_log_arn = _optional(made.execution_log.arn if made.execution_log else None)
        return made

    def _line_format(self) -> str:
        caller = guard.caller(self._given)
        logged = caller.principal if self._args.get("log_principal", False) else None
        return access_log.line_format(logged, caller.address)

    def _create_domain(self, served: aws.apigateway.Stage) -> None:
        made = (
            custom_domain.create(self._name, self._given, served, self)
            if "domain_name" in self._args
            else None
        )
        self.domain_name = _optional(made.name if made else None)
        self.domain_target = _optional(made.target if made else None)
        self.domain_target_zone_id = _optional(made.target_zone_id if made else None)
        self.certificate_arn = _optional(made.certificate_arn if made else None)
        base_path = f"/{self._args['base_path']}" if "base_path" in self._args else ""
        self.base_url = (
            pulumi.Output.format("https://{0}{1}", made.name, base_path) if made else self.invoke_url
        )

    def _create_usage_plans(self, served: aws.apigateway.Stage) -> None:
        plans, keys = usage_plans.create(self._name, self._given, served, self)
        self.usage_plan_ids = _by_name(plans)
        self.api_key_ids = _by_name(keys)

    def _create_alarms(self) -> None:
        args = self._args
        if "alarm_topic_arn" not in args:
            self.alarm_arns = _by_name({})
            return
        limits = Limits(
            args.get("error_rate_alarm_percent", front_door_metrics.ERROR_RATE_PERCENT),
            args.get("latency_alarm_ms", front_door_metrics.LATENCY_MS),
            args.get("throttled_alarm_percent", front_door_metrics.THROTTLED_PERCENT),
            args.get("oldest_message_alarm_seconds", front_door_metrics.OLDEST_MESSAGE_SECONDS),
        )
        labels = ["" if each is None else f"{each}-" for each in self._destinations]
        wanted = front_door_metrics.alarms(self.names(), labels, limits)
        made = create_alarms(self._name, wanted, args["alarm_topic_arn"], self)
        self.alarm_arns = _by_name(made)


def _slashed(path: str | None) -> list[str]:
    """Return a path as a log line names its route; nothing where there is none."""
    return [] if path is None else [f"/{path}"]


def _by_name(values: Mapping[str, pulumi.Output[str]]) -> pulumi.Output[dict[str, str]]:
    """Return one output of several; of none it is an empty map."""
    return pulumi.Output.all(**values) if values else pulumi.Output.from_input(dict[str, str]())


def _optional(value: pulumi.Output[str] | None) -> pulumi.Output[str | None]:
    """Return an output that may have no value."""
    return cast("pulumi.Output[str | None]", pulumi.Output.from_input(value))


def _dead_letter_url(queue: door_queues.Destination) -> pulumi.Output[str] | None:
    return queue.dead_letters.url if queue.dead_letters else None


def _queue_names(queue: door_queues.Destination) -> QueueNames:
    if queue.dead_letters is None:
        return {"queue": queue.name}
    return {"queue": queue.name, "dead_letter_queue": queue.dead_letters.name}
