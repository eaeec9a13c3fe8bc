"""`Consumer`: a function that drains a queue at the pace that the back end can bear."""

import re
from pathlib import Path
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import archives, arguments, functions, policies, user_code
from .arguments import Problem
from .message_queues import LONGEST_VISIBILITY_SECONDS
from .monitoring import METRIC_NAMESPACE, PERCENTILES, Alarm, Panel, create_alarms, lambda_metric, own_metric

LAYER_LOCK = archives.HANDLERS / "layers" / "consumer.txt"
ENTRY = "consumer:record_handler"
TIMEOUT_SECONDS = 30
LONGEST_TIMEOUT_SECONDS = 900
MEMORY_MB = 256
BATCH_SIZE = 10
LARGEST_BATCH = 10_000
BATCH_WITHOUT_WINDOW = 10
"""A larger batch needs a batching window ("Lambda parameters for Amazon SQS event source mappings")."""
VISIBILITY_FACTOR = 6
"""The queue's visibility timeout over the function's ("Using Lambda with Amazon SQS", Lambda guide)."""
RETRY_BASE_SECONDS = 2
RETRY_CAP_SECONDS = 300
LOG_RETENTION_DAYS = 30
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]+")
LARGEST_ENVIRONMENT = 3 * 1024
"""Bytes of the user's variables: Lambda takes 4 KB, and ours need some."""
RESERVED_ENVIRONMENT = re.compile(r"(AWS|LAMBDA|SLUICE|POWERTOOLS)_.*|_.*")
TABLE_KEY_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,255}")


class ConsumerArgs(TypedDict):
    """What `Consumer` takes."""

    queue_arn: pulumi.Input[str]
    """The queue to drain."""
    queue_url: pulumi.Input[str]
    """The URL of that queue."""
    queue_visibility_timeout_seconds: int
    """The queue's visibility timeout, in seconds: at least 6 times ``timeout_seconds``, or a slow batch is
    delivered twice."""
    code: str
    """The folder of your code; what is in it goes to the root of the function's archive."""
    entry: NotRequired[str]
    """The function that handles one record, as ``module:function``. It is called with a Powertools
    ``SQSRecord``; to return is success, to raise is failure. Default: ``consumer:record_handler``."""
    environment: NotRequired[dict[str, pulumi.Input[str]]]
    """Environment variables for your code. Default: none."""
    table: NotRequired[str]
    """The partition key (a string) of a DynamoDB table of the function's own. Its name is in
    ``SLUICE_TABLE``. Default: no table."""
    timeout_seconds: NotRequired[int]
    """How long the function may take for a batch, in seconds, 1 to 900. Default: 30."""
    memory_mb: NotRequired[int]
    """The function's memory, in MB, 128 to 10,240. Default: 256."""
    architecture: NotRequired[str]
    """The function's processor: ``x86_64`` or ``arm64``. Default: ``x86_64``."""
    batch_size: NotRequired[int]
    """How many messages the function gets at once, 1 to 10,000. Default: 10."""
    batching_window_seconds: NotRequired[int]
    """How long to wait for a batch to fill, in seconds, 0 to 300; at least 1 for a batch over 10.
    Default: 0."""
    maximum_concurrency: NotRequired[int]
    """How many batches are handled at once, 2 to 1,000. Default: no limit but the account's."""
    retry_base_seconds: NotRequired[int]
    """How long a failed record waits before its second try, in seconds, 0 to 43,200; the wait doubles with
    each try, less a random part of up to a half. Default: 2."""
    retry_cap_seconds: NotRequired[int]
    """The longest wait before another try, in seconds, 0 to 43,200. Default: 300."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """A customer key: the queue's, and for the function's environment, its log and its table. Default: AWS's
    own keys."""
    log_retention_days: NotRequired[int]
    """How long the function's log is kept, in days. Default: 30."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """The SNS topic that the alarms tell; without it there are no alarms. Default: none."""


class ConsumerNames(TypedDict):
    """What metrics are found by."""

    function: pulumi.Input[str]
    """The function's name."""


def problems(args: ConsumerArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    return [
        *user_code.problems(args.get("code"), args.get("entry", ENTRY)),
        *arguments.matching(args, "entry", user_code.ENTRY_PATTERN, "module:function"),
        *arguments.between(
            args, "queue_visibility_timeout_seconds", 0, LONGEST_VISIBILITY_SECONDS, "seconds"
        ),
        *_environment_problems(args),
        *arguments.matching(args, "table", TABLE_KEY_PATTERN, "the name of a DynamoDB attribute"),
        *arguments.between(args, "timeout_seconds", 1, LONGEST_TIMEOUT_SECONDS, "seconds"),
        *_visibility_problems(args),
        *arguments.between(args, "memory_mb", 128, 10_240, "MB"),
        *arguments.one_of(args, "architecture", ("x86_64", "arm64")),
        *arguments.between(args, "batch_size", 1, LARGEST_BATCH, "messages"),
        *arguments.between(args, "batching_window_seconds", 0, 300, "seconds"),
        *_window_problems(args),
        *arguments.between(args, "maximum_concurrency", 2, 1000, "batches at once"),
        *arguments.between(args, "retry_base_seconds", 0, LONGEST_VISIBILITY_SECONDS, "seconds"),
        *arguments.between(args, "retry_cap_seconds", 0, LONGEST_VISIBILITY_SECONDS, "seconds"),
        *_retry_problems(args),
        *arguments.shared(args),
    ]


def _environment_problems(args: ConsumerArgs) -> list[Problem]:
    found = [*arguments.text_map(args, "environment")]
    given = args.get("environment")
    if not isinstance(given, dict):
        return found
    for name in map(str, given):
        if not ENVIRONMENT_NAME.fullmatch(name):
            found.append(
                Problem("environment", name, "names of at least two letters, digits and _, a letter first")
            )
        elif RESERVED_ENVIRONMENT.fullmatch(name):
            allowed = "a name without AWS_, LAMBDA_, POWERTOOLS_, SLUICE_ or _ in front"
            found.append(Problem(f"environment.{name}", "(reserved)", allowed))
    size = sum(len(f"{name}{value}".encode()) for name, value in given.items() if isinstance(value, str))
    if size > LARGEST_ENVIRONMENT:
        found.append(Problem("environment", f"{size} bytes", f"at most {LARGEST_ENVIRONMENT} bytes in all"))
    return found


def _retry_problems(args: ConsumerArgs) -> list[Problem]:
    base = args.get("retry_base_seconds", RETRY_BASE_SECONDS)
    cap = args.get("retry_cap_seconds", RETRY_CAP_SECONDS)
    if isinstance(base, int) and isinstance(cap, int) and cap < base <= LONGEST_VISIBILITY_SECONDS:
        return [Problem("retry_cap_seconds", cap, f"at least retry_base_seconds, which is {base}")]
    return []


def _visibility_problems(args: ConsumerArgs) -> list[Problem]:
    timeout = args.get("timeout_seconds", TIMEOUT_SECONDS)
    visibility = args.get("queue_visibility_timeout_seconds")
    if not isinstance(timeout, int) or not isinstance(visibility, int):
        return []
    if visibility >= VISIBILITY_FACTOR * timeout:
        return []
    raised = f"raise the queue's visibility_timeout_seconds to {VISIBILITY_FACTOR * timeout}"
    fitting = visibility // VISIBILITY_FACTOR
    return [
        Problem(
            "timeout_seconds",
            timeout,
            f"at most a {VISIBILITY_FACTOR}th of the queue's visibility timeout, {visibility} seconds",
            f"lower it to {fitting}, or {raised}" if fitting else raised,
        )
    ]


def _window_problems(args: ConsumerArgs) -> list[Problem]:
    size, window = args.get("batch_size", BATCH_SIZE), args.get("batching_window_seconds", 0)
    if isinstance(size, int) and size > BATCH_WITHOUT_WINDOW and window == 0:
        return [Problem("batching_window_seconds", window, "at least 1, since batch_size is over 10")]
    return []


def statements(queue_arn: str, table_arn: str | None, kms_key_arn: str | None) -> list[policies.Statement]:
    """Return what the function may do, besides writing its log."""
    own = [policies.own_table(table_arn), *policies.table_key_use(kms_key_arn)] if table_arn else []
    return [policies.drain_queue(queue_arn), *own]


def alarms(names: ConsumerNames) -> list[Alarm]:
    """Return the alarms of a consumer."""
    function = names["function"]
    return [
        Alarm(
            "errors-alarm", "The consumer fails as a whole.", lambda_metric(function, "Errors"), threshold=1
        ),
        Alarm(
            "throttles-alarm",
            "Lambda refuses to run the consumer: its concurrency is used up.",
            lambda_metric(function, "Throttles"),
            threshold=1,
            periods=3,
        ),
    ]


def panels(names: ConsumerNames) -> list[Panel]:
    """Return the dashboard's graphs of a consumer."""
    function = names["function"]
    records = [own_metric(function, each) for each in ("RecordsHandled", "RecordsFailed")]
    return [
        Panel("Consumer: records", records),
        Panel(
            "Consumer: runs",
            [lambda_metric(function, each) for each in ("Invocations", "Errors", "Throttles")],
        ),
        Panel("Consumer: time (ms)", [lambda_metric(function, "Duration", each) for each in PERCENTILES]),
    ]


class Consumer(pulumi.ComponentResource):
    """A function that drains a queue: your code for one record, everything around it ours.

    A record that fails does not take its batch with it: it alone comes back, after a wait that doubles, until
    the queue gives it up to its dead-letter queue.

    Children: ``<name>-logs``, ``<name>-role``, ``<name>-policy``, ``<name>-function``, ``<name>-layer``,
    ``<name>-mapping``, ``<name>-table``, ``<name>-errors-alarm``, ``<name>-throttles-alarm``.
    """

    function_name: pulumi.Output[str]
    """The function's name."""
    function_arn: pulumi.Output[str]
    """The function's ARN."""
    role_name: pulumi.Output[str]
    """The function's role, to which a program may attach what your code needs."""
    log_group_name: pulumi.Output[str]
    """The function's log group."""
    table_name: pulumi.Output[str | None]
    """The table of the function's own; none unless ``table`` is given."""

    def __init__(self, name: str, args: ConsumerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the function and attach it to the queue.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
            LayerBuildError: if the packages that the function needs cannot be had.
        """
        super().__init__("sluice:index:Consumer", name, None, opts)
        self._name = name
        self._args = arguments.admit(f"Consumer {name!r}", args, ConsumerArgs, problems)
        self._target = archives.Target(architecture=self._args.get("architecture", "x86_64"))
        table = self._create_table()
        unit = self._create_function(table)
        self._create_mapping(unit)
        self.function_name = unit.function.name
        self.function_arn = unit.function.arn
        self.role_name = unit.role.name
        self.log_group_name = unit.log_group.name
        self.table_name = pulumi.Output.from_input(table.name if table else None)
        if "alarm_topic_arn" in self._args:
            create_alarms(name, alarms(self.names()), self._args["alarm_topic_arn"], self)
        self.register_outputs({key: getattr(self, key) for key in Consumer.__annotations__})

    def names(self) -> ConsumerNames:
        """Return what a dashboard needs to find this consumer's metrics."""
        return {"function": self.function_name}

    def _create_table(self) -> aws.dynamodb.Table | None:
        if "table" not in self._args:
            return None
        key = self._args["table"]
        return aws.dynamodb.Table(
            f"{self._name}-table",
            billing_mode="PAY_PER_REQUEST",
            hash_key=key,
            attributes=[{"name": key, "type": "S"}],
            point_in_time_recovery={"enabled": True},
            server_side_encryption={"enabled": True, "kms_key_arn": self._args.get("kms_key_arn")},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _create_function(self, table: aws.dynamodb.Table | None) -> functions.FunctionUnit:
        args = self._args
        environment: dict[str, pulumi.Input[str]] = {
            **args.get("environment", {}),
            "SLUICE_ENTRY": args.get("entry", ENTRY),
            "SLUICE_QUEUE_URL": args["queue_url"],
            "SLUICE_RETRY_BASE_SECONDS": str(args.get("retry_base_seconds", RETRY_BASE_SECONDS)),
            "SLUICE_RETRY_CAP_SECONDS": str(args.get("retry_cap_seconds", RETRY_CAP_SECONDS)),
            "POWERTOOLS_METRICS_NAMESPACE": METRIC_NAMESPACE,
        }
        if table:
            environment["SLUICE_TABLE"] = table.name
        layer = functions.create_layer(self._name, LAYER_LOCK, self._target, self)
        return functions.create_function(
            self._name,
            functions.FunctionSpec(
                archive=archives.handler_archive(modules=["consumer"], shared=[], code=Path(args["code"])),
                handler="sluice.handlers.consumer.handler",
                timeout_seconds=args.get("timeout_seconds", TIMEOUT_SECONDS),
                memory_mb=args.get("memory_mb", MEMORY_MB),
                log_retention_days=args.get("log_retention_days", LOG_RETENTION_DAYS),
                kms_key_arn=args.get("kms_key_arn"),
                target=self._target,
                environment=environment,
                layers=[layer.arn],
            ),
            statements=pulumi.Output.all(
                args["queue_arn"], table.arn if table else None, args.get("kms_key_arn")
            ).apply(lambda known: statements(*known)),
            parent=self,
        )

    def _create_mapping(self, unit: functions.FunctionUnit) -> None:
        args = self._args
        concurrency = args.get("maximum_concurrency")
        aws.lambda_.EventSourceMapping(
            f"{self._name}-mapping",
            event_source_arn=args["queue_arn"],
            function_name=unit.function.arn,
            batch_size=args.get("batch_size", BATCH_SIZE),
            maximum_batching_window_in_seconds=args.get("batching_window_seconds", 0),
            function_response_types=["ReportBatchItemFailures"],
            scaling_config={"maximum_concurrency": concurrency} if concurrency else None,
            opts=pulumi.ResourceOptions(parent=self),
        )
