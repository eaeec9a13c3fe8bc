"""`FrontDoor`: an HTTP endpoint that puts what it is sent into a queue, with nothing in between."""

import re
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from sluice import access_log

from . import api_definition, arguments, policies
from .api_definition import JSON
from .arguments import Problem
from .authorizer import CACHE_TTL_SECONDS, MAX_CACHE_TTL_SECONDS
from .message_queues import (
    LONGEST_RETENTION_SECONDS,
    LONGEST_VISIBILITY_SECONDS,
    QueuePair,
    QueueSpec,
    create_queues,
)
from .monitoring import PERCENTILES, Alarm, Metric, Panel, create_alarms, queue_metric
from .rest_api import Backend, Guard, RestApi
from .templates import Answer

KIB = 1024
DAY = 24 * 60 * 60
PATH = "messages"
STAGE_NAME = "v1"
CONTENT_TYPES = (JSON,)
MAX_MESSAGE_SIZE = 256 * KIB
LARGEST_MESSAGE_SIZE = 1024 * KIB
"""SQS's own limit ("Amazon SQS message quotas")."""
VISIBILITY_TIMEOUT_SECONDS = 180
MESSAGE_RETENTION_SECONDS = 4 * DAY
MAX_RECEIVE_COUNT = 5
MOST_RECEIVES = 1000
THROTTLE_RATE = 1000
THROTTLE_BURST = 500
MOST_REQUESTS = 100_000
LOG_RETENTION_DAYS = 30
OLDEST_MESSAGE_SECONDS = 900
LOGGING_POLICY = "arn:{0}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"

LONGEST_PATH = access_log.LONGEST_ROUTE - 1
SEGMENT = r"(?!\.{1,2}(/|$))[A-Za-z0-9._:-]+"
PATH_PATTERN = re.compile(rf"(?=.{{1,{LONGEST_PATH}}}$){SEGMENT}(/{SEGMENT})*")
PATH_ALLOWED = f"segments of letters, digits and . _ : - with / between, at most {LONGEST_PATH} in all"
STAGE_PATTERN = re.compile(r"[A-Za-z0-9_]{1,128}")
CONTENT_TYPE_PATTERN = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")


class FrontDoorArgs(TypedDict):
    """What `FrontDoor` takes. Everything has a default: ``FrontDoor("door", {})`` works, open to all."""

    path: NotRequired[str]
    """The path that takes POSTs: one or more segments, at most 53 characters, so that a line of the access
    log stays short. Default: ``messages``."""
    stage_name: NotRequired[str]
    """The stage, which is the first segment of the URL. Default: ``v1``."""
    content_types: NotRequired[list[str]]
    """The media types that are taken; any other is answered 415. Default: ``["application/json"]``."""
    answer: NotRequired[Answer]
    """What a caller reads when its message was accepted, with status 202: ``summary`` is
    ``{"messageId", "requestId"}``, ``sqs`` is SQS's own answer. Default: ``summary``."""
    max_message_size: NotRequired[int]
    """The largest message, in bytes with its attributes, 1,024 to 1,048,576; a larger one is answered 413.
    Default: 262,144."""
    visibility_timeout_seconds: NotRequired[int]
    """How long a received message stays hidden, in seconds, 0 to 43,200; at least 6 times the consumer's
    timeout. Default: 180."""
    message_retention_seconds: NotRequired[int]
    """How long the queue keeps a message, in seconds, 60 to 1,209,600. Default: 345,600 (4 days)."""
    max_receive_count: NotRequired[int]
    """After how many receives a message goes to the dead-letter queue, 1 to 1,000. Default: 5."""
    throttle_rate: NotRequired[int]
    """Requests per second that the stage takes from everybody together, 1 to 100,000; more are answered 429.
    Default: 1,000."""
    throttle_burst: NotRequired[int]
    """Requests that the stage takes at once beyond its rate, 1 to 100,000. Default: 500."""
    manage_account_logging: NotRequired[bool]
    """Whether to set the role by which API Gateway writes logs. There is one for the account and Region, so
    exactly one program may manage it; it is kept when this one is destroyed. Default: false, the account has
    one already."""
    authorizer_function_arn: NotRequired[pulumi.Input[str]]
    """The function that decides who may call, from the Authorization header. Default: none, everybody may."""
    authorizer_cache_ttl_seconds: NotRequired[int]
    """How long a decision is kept, in seconds, 0 to 3,600. Default: 60."""
    authorizer_token_pattern: NotRequired[str]
    """A regular expression for the Authorization header; what does not match is answered 401 without asking
    the function. Default: none."""
    log_principal: NotRequired[bool]
    """Whether the access log names the authorizer's principal. Only for an authorizer whose principals hold
    no quotes: others could forge lines. Default: false."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """A customer key for the queues and the log. Its policy must let CloudWatch Logs use it. Default: SQS's
    and CloudWatch's own."""
    log_retention_days: NotRequired[int]
    """How long the access log is kept, in days. Default: 30."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """The SNS topic that the alarms tell; without it there are no alarms. Default: none."""


class FrontDoorNames(TypedDict):
    """What metrics are found by."""

    api: pulumi.Input[str]
    """The API's name."""
    stage: pulumi.Input[str]
    """The stage's name."""
    queue: pulumi.Input[str]
    """The queue's name."""
    dead_letter_queue: pulumi.Input[str]
    """The dead-letter queue's name."""


class Watched(TypedDict):
    """The arguments that a front door gives to a limiter."""

    access_log_name: pulumi.Input[str]
    access_log_arn: pulumi.Input[str]
    stage_arn: pulumi.Input[str]
    api_name: pulumi.Input[str]
    stage_name: pulumi.Input[str]


def problems(args: FrontDoorArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    return [
        *arguments.matching(args, "path", PATH_PATTERN, PATH_ALLOWED),
        *arguments.matching(args, "stage_name", STAGE_PATTERN, "1 to 128 letters, digits and _"),
        *_content_type_problems(args.get("content_types", [JSON])),
        *arguments.one_of(args, "answer", Answer),
        *arguments.between(args, "max_message_size", KIB, LARGEST_MESSAGE_SIZE, "bytes"),
        *arguments.between(args, "visibility_timeout_seconds", 0, LONGEST_VISIBILITY_SECONDS, "seconds"),
        *arguments.between(args, "message_retention_seconds", 60, LONGEST_RETENTION_SECONDS, "seconds"),
        *arguments.between(args, "max_receive_count", 1, MOST_RECEIVES, "receives"),
        *arguments.between(args, "throttle_rate", 1, MOST_REQUESTS, "requests per second"),
        *arguments.between(args, "throttle_burst", 1, MOST_REQUESTS, "requests"),
        *arguments.flag(args, "manage_account_logging"),
        *arguments.matching(
            args, "authorizer_function_arn", arguments.FUNCTION_ARN, "the ARN of a Lambda function"
        ),
        *arguments.between(args, "authorizer_cache_ttl_seconds", 0, MAX_CACHE_TTL_SECONDS, "seconds"),
        *_pattern_problems(args.get("authorizer_token_pattern")),
        *arguments.flag(args, "log_principal"),
        *_unguarded_problems(args),
        *arguments.shared(args),
    ]


def _pattern_problems(pattern: object) -> list[Problem]:
    try:
        if pattern is None or (isinstance(pattern, str) and re.compile(pattern)):
            return []
    except (re.error, OverflowError, RecursionError):
        pass
    return [Problem("authorizer_token_pattern", pattern, "a regular expression")]


def _unguarded_problems(args: FrontDoorArgs) -> list[Problem]:
    """Report what only an authorizer gives meaning to, where there is none: the door would be open."""
    if "authorizer_function_arn" in args:
        return []
    allowed = "nothing, unless authorizer_function_arn is given"
    given: dict[str, object] = {
        "authorizer_cache_ttl_seconds": args.get("authorizer_cache_ttl_seconds"),
        "authorizer_token_pattern": args.get("authorizer_token_pattern"),
        "log_principal": args.get("log_principal") or None,
    }
    return [Problem(key, value, allowed) for key, value in given.items() if value is not None]


def _content_type_problems(value: object) -> list[Problem]:
    allowed = "a list of media types in lower case, without parameters, at least one"
    if not isinstance(value, list) or not value:
        return [Problem("content_types", value, allowed)]
    return [
        Problem(f"content_types[{index}]", each, allowed)
        for index, each in enumerate(value)
        if not isinstance(each, str) or not CONTENT_TYPE_PATTERN.fullmatch(each)
    ]


def alarms(names: FrontDoorNames) -> list[Alarm]:
    """Return the alarms of a front door."""
    return [
        Alarm(
            "errors-alarm",
            "Requests are answered 5xx: messages are not accepted.",
            _api_metric(names, "5XXError"),
            threshold=1,
        ),
        Alarm(
            "dead-letters-alarm",
            "Messages were given up and wait in the dead-letter queue.",
            queue_metric(names["dead_letter_queue"], "ApproximateNumberOfMessagesVisible", "Maximum"),
            threshold=1,
        ),
        Alarm(
            "age-alarm",
            f"The oldest message waits for more than {OLDEST_MESSAGE_SECONDS} seconds: the consumer lags.",
            queue_metric(names["queue"], "ApproximateAgeOfOldestMessage", "Maximum"),
            threshold=OLDEST_MESSAGE_SECONDS,
        ),
    ]


def panels(names: FrontDoorNames) -> list[Panel]:
    """Return the dashboard's graphs of a front door."""
    queue, dead = names["queue"], names["dead_letter_queue"]
    return [
        Panel("Requests", [_api_metric(names, each) for each in ("Count", "4XXError", "5XXError")]),
        Panel("Time to answer (ms)", [_api_metric(names, "Latency", each) for each in PERCENTILES]),
        Panel(
            "Messages",
            [queue_metric(queue, each) for each in ("NumberOfMessagesSent", "NumberOfMessagesDeleted")],
        ),
        Panel("Waiting", [queue_metric(queue, "ApproximateNumberOfMessagesVisible", "Maximum")]),
        Panel("Oldest message (s)", [queue_metric(queue, "ApproximateAgeOfOldestMessage", "Maximum")]),
        Panel("Dead letters", [queue_metric(dead, "ApproximateNumberOfMessagesVisible", "Maximum")]),
    ]


def _api_metric(names: FrontDoorNames, name: str, statistic: str = "Sum") -> Metric:
    return Metric("AWS/ApiGateway", name, {"ApiName": names["api"], "Stage": names["stage"]}, statistic)


class FrontDoor(pulumi.ComponentResource):
    """An HTTP endpoint that puts what it is sent into a queue, with no code in the way of a request.

    No answer is 2xx unless SQS took the message.

    Children: ``<name>-queue``, ``<name>-dead-letters`` (queues) with ``...-policy`` and
    ``<name>-dead-letters-redrive``; ``<name>-api``, ``<name>-path-<n>``, ``<name>-method``,
    ``<name>-integration``, ``<name>-<answer>`` and ``<name>-<answer>-method`` for the answers ``accepted``,
    ``refused`` and ``broken``, ``<name>-<type>`` for each gateway response, ``<name>-authorizer``,
    ``<name>-authorizer-permission``; ``<name>-role``, ``<name>-role-policy``; ``<name>-deployment``,
    ``<name>-stage``, ``<name>-settings``, ``<name>-access-log``; ``<name>-logging-role``,
    ``<name>-logging-policy``, ``<name>-account``; ``<name>-errors-alarm``, ``<name>-dead-letters-alarm``,
    ``<name>-age-alarm``.
    """

    url: pulumi.Output[str]
    """Where to POST to."""
    api_name: pulumi.Output[str]
    """The REST API's name, by which its metrics are found."""
    api_id: pulumi.Output[str]
    """The REST API's id."""
    stage_name: pulumi.Output[str]
    """The stage's name."""
    stage_arn: pulumi.Output[str]
    """The stage's ARN, for a web ACL."""
    queue_arn: pulumi.Output[str]
    """The queue's ARN."""
    queue_url: pulumi.Output[str]
    """The queue's URL."""
    queue_name: pulumi.Output[str]
    """The queue's name."""
    dead_letter_queue_arn: pulumi.Output[str]
    """The dead-letter queue's ARN."""
    dead_letter_queue_url: pulumi.Output[str]
    """The dead-letter queue's URL."""
    dead_letter_queue_name: pulumi.Output[str]
    """The dead-letter queue's name."""
    access_log_name: pulumi.Output[str]
    """The log group of the access log."""
    access_log_arn: pulumi.Output[str]
    """The ARN of the access log's group, without ``:*``."""

    def __init__(self, name: str, args: FrontDoorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the endpoint and its queue.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
        """
        super().__init__("sluice:index:FrontDoor", name, None, opts)
        self._name = name
        self._args = arguments.admit(f"FrontDoor {name!r}", args, FrontDoorArgs, problems)
        self._opts = pulumi.ResourceOptions(parent=self)
        path = self._args.get("path", PATH)
        definition = api_definition.define(
            path,
            self._args.get("content_types", list(CONTENT_TYPES)),
            self._args.get("answer", Answer.SUMMARY),
            self._args.get("max_message_size", MAX_MESSAGE_SIZE),
        )
        queues = self._create_queues()
        queue, dead_letters = queues.queue, queues.dead_letters
        backend = self._create_backend(queue)
        api, deployment = RestApi(name, definition, backend, self._guard(), parent=self).create()
        access_log = self._create_access_log()
        stage = self._create_stage(api, deployment, access_log)

        self.url = pulumi.Output.format("{0}/{1}", stage.invoke_url, path)
        self.api_name = api.name
        self.api_id = api.id
        self.stage_name = stage.stage_name
        self.stage_arn = stage.arn
        self.queue_arn = queue.arn
        self.queue_url = queue.url
        self.queue_name = queue.name
        self.dead_letter_queue_arn = dead_letters.arn
        self.dead_letter_queue_url = dead_letters.url
        self.dead_letter_queue_name = dead_letters.name
        self.access_log_name = access_log.name
        self.access_log_arn = access_log.arn
        if "alarm_topic_arn" in self._args:
            create_alarms(name, alarms(self.names()), self._args["alarm_topic_arn"], self)
        self.register_outputs({key: getattr(self, key) for key in FrontDoor.__annotations__})

    def names(self) -> FrontDoorNames:
        """Return what a dashboard needs to find this front door's metrics."""
        return {
            "api": self.api_name,
            "stage": self.stage_name,
            "queue": self.queue_name,
            "dead_letter_queue": self.dead_letter_queue_name,
        }

    def limiter_args(self) -> Watched:
        """Return what a `Limiter` needs to count and to protect this front door."""
        return {
            "access_log_name": self.access_log_name,
            "access_log_arn": self.access_log_arn,
            "stage_arn": self.stage_arn,
            "api_name": self.api_name,
            "stage_name": self.stage_name,
        }

    def _create_queues(self) -> QueuePair:
        args = self._args
        return create_queues(
            self._name,
            QueueSpec(
                max_message_size=args.get("max_message_size", MAX_MESSAGE_SIZE),
                visibility_timeout_seconds=args.get("visibility_timeout_seconds", VISIBILITY_TIMEOUT_SECONDS),
                message_retention_seconds=args.get("message_retention_seconds", MESSAGE_RETENTION_SECONDS),
                max_receive_count=args.get("max_receive_count", MAX_RECEIVE_COUNT),
                kms_key_arn=args.get("kms_key_arn"),
            ),
            parent=self,
        )

    def _guard(self) -> Guard | None:
        args = self._args
        if "authorizer_function_arn" not in args:
            return None
        return Guard(
            function_arn=args["authorizer_function_arn"],
            cache_ttl_seconds=args.get("authorizer_cache_ttl_seconds", CACHE_TTL_SECONDS),
            token_pattern=args.get("authorizer_token_pattern"),
        )

    def _create_backend(self, queue: aws.sqs.Queue) -> Backend:
        role = aws.iam.Role(
            f"{self._name}-role",
            assume_role_policy=policies.trusts("apigateway.amazonaws.com"),
            opts=self._opts,
        )
        policy = aws.iam.RolePolicy(
            f"{self._name}-role-policy",
            role=role.name,
            policy=pulumi.Output.all(queue.arn, self._args.get("kms_key_arn")).apply(
                lambda known: policies.send_messages(*known)
            ),
            opts=self._opts,
        )
        return Backend(queue.arn, role.arn, policy)

    def _create_access_log(self) -> aws.cloudwatch.LogGroup:
        return aws.cloudwatch.LogGroup(
            f"{self._name}-access-log",
            retention_in_days=self._args.get("log_retention_days", LOG_RETENTION_DAYS),
            kms_key_id=self._args.get("kms_key_arn"),
            opts=self._opts,
        )

    def _create_stage(
        self,
        api: aws.apigateway.RestApi,
        deployment: aws.apigateway.Deployment,
        log_group: aws.cloudwatch.LogGroup,
    ) -> aws.apigateway.Stage:
        name, args = self._name, self._args
        stage = aws.apigateway.Stage(
            f"{name}-stage",
            rest_api=api.id,
            deployment=deployment.id,
            stage_name=args.get("stage_name", STAGE_NAME),
            access_log_settings={
                "destination_arn": log_group.arn,
                "format": access_log.line_format(principal=args.get("log_principal", False)),
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._create_account_logging()),
        )
        aws.apigateway.MethodSettings(
            f"{name}-settings",
            rest_api=api.id,
            stage_name=stage.stage_name,
            method_path="*/*",
            settings={
                "throttling_rate_limit": args.get("throttle_rate", THROTTLE_RATE),
                "throttling_burst_limit": args.get("throttle_burst", THROTTLE_BURST),
                "metrics_enabled": True,
                "logging_level": "OFF",
                "data_trace_enabled": False,
            },
            opts=self._opts,
        )
        return stage

    def _create_account_logging(self) -> list[pulumi.Resource]:
        if not self._args.get("manage_account_logging", False):
            return []
        # Other APIs of the account write their logs by the same role, so it outlives this program.
        kept = pulumi.ResourceOptions(parent=self, retain_on_delete=True)
        role = aws.iam.Role(
            f"{self._name}-logging-role",
            assume_role_policy=policies.trusts("apigateway.amazonaws.com"),
            opts=kept,
        )
        attached = aws.iam.RolePolicyAttachment(
            f"{self._name}-logging-policy",
            role=role.name,
            policy_arn=pulumi.Output.format(
                LOGGING_POLICY,
                aws.get_partition_output(opts=pulumi.InvokeOutputOptions(parent=self)).partition,
            ),
            opts=kept,
        )
        account = aws.apigateway.Account(
            f"{self._name}-account",
            cloudwatch_role_arn=role.arn,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True, depends_on=[attached]),
        )
        return [account]
