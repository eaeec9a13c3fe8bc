"""`Consumer`: a function that drains a queue at the pace that the back end can bear."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pulumi
import pulumi_aws as aws

from . import archives, arguments, consumer_metrics, functions, policies, tables
from .consumer_args import (
    BATCH_SIZE,
    ENTRY,
    LAYER_LOCK,
    MAXIMUM_POLLERS,
    MESSAGE_KEY,
    MINIMUM_POLLERS,
    REPEATS_SECONDS,
    RETRY_BASE_SECONDS,
    RETRY_CAP_SECONDS,
    TIMEOUT_SECONDS,
    ConsumerArgs,
    gives_up,
    problems,
    runs_our_handler,
)
from .consumer_metrics import ConsumerNames
from .monitoring import METRIC_NAMESPACE, create_alarms

HANDLER = "sluice.handlers.consumer.handler"
MODULES = ("batches", "consumer", "deadline", "giving_up", "journal", "once")
SHARED = ("dead_letters", "sqs")
MEMORY_MB = 256
LOG_RETENTION_DAYS = 30


class Consumer(pulumi.ComponentResource):
    """A function that drains a queue: your code for one record, everything around it ours.

    A record that fails does not take its batch with it: it alone comes back, after a wait that doubles, until
    it is given up to the queue's dead-letter queue, with the reason beside it.

    Children: ``<name>-logs``, ``<name>-role``, ``<name>-policy``, ``<name>-function``, ``<name>-layer``,
    ``<name>-requirements-layer``, ``<name>-policy-<place>`` (of ``policy_arns``), ``<name>-mapping``,
    ``<name>-table``, ``<name>-idempotency-table``, ``<name>-errors-alarm``, ``<name>-throttles-alarm``; with
    ``function_arn`` the mapping, the policy (for
    ``function_role_name``) and the alarms alone.
    """

    function_name: pulumi.Output[str]
    """The function's name."""
    function_arn: pulumi.Output[str]
    """The function's ARN."""
    role_name: pulumi.Output[str | None]
    """The function's role, to which a program may attach what your code needs; none for a function that
    existed and whose role is not given."""
    log_group_name: pulumi.Output[str | None]
    """The function's log group; none for a function that existed."""
    table_name: pulumi.Output[str | None]
    """The table of the function's own; none unless ``table`` is given."""
    idempotency_table_name: pulumi.Output[str | None]
    """The table of the messages that were handled; none unless ``idempotency`` is given."""

    def __init__(self, name: str, args: ConsumerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the function and attach it to the queue.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
            LayerBuildError: if the packages that the function needs cannot be had.
        """
        super().__init__("sluice:index:Consumer", name, None, opts)
        self._name = name
        self._args = arguments.admit(f"Consumer {name!r}", args, ConsumerArgs, problems)
        self._opts = pulumi.ResourceOptions(parent=self)
        self._target = archives.Target(architecture=self._args.get("architecture", "x86_64"))
        self._let_in: list[pulumi.Resource] = []
        if "function_arn" in self._args:
            self._take_existing(self._args["function_arn"])
        else:
            self._create()
        self._create_mapping()
        if "alarm_topic_arn" in self._args:
            wanted = consumer_metrics.alarms(self.names())
            create_alarms(name, wanted, self._args["alarm_topic_arn"], self)
        self.register_outputs({key: getattr(self, key) for key in Consumer.__annotations__})

    def names(self) -> ConsumerNames:
        """Return what a dashboard needs to find this consumer's metrics."""
        names: ConsumerNames = {"label": self._name, "function": self.function_name}
        if self._filtered_by is not None:
            names["filtered_by"] = self._filtered_by
        return names

    def operator(self) -> dict[str, pulumi.Output[str] | pulumi.Output[str | None]]:
        """Return what an operator finds this consumer's parts by."""
        return {
            "function": self.function_name,
            "log": self.log_group_name,
            "table": self.table_name,
            "idempotency_table": self.idempotency_table_name,
        }

    def _create(self) -> None:
        # First: where it cannot be had, nothing is made.
        package = self._package()
        table = self._create_table()
        handled = self._create_idempotency_table()
        unit = self._create_function(package, table, handled)
        self._let_in = [
            aws.iam.RolePolicyAttachment(
                f"{self._name}-policy-{place}", role=unit.role.name, policy_arn=arn, opts=self._opts
            )
            for place, arn in enumerate(self._args.get("policy_arns", []))
        ]
        self.function_name, self.function_arn = unit.function.name, unit.function.arn
        self.role_name = pulumi.Output.from_input(unit.role.name)
        self.log_group_name = pulumi.Output.from_input(unit.log_group.name)
        self.table_name = pulumi.Output.from_input(table.name if table else None)
        self.idempotency_table_name = pulumi.Output.from_input(handled.name if handled else None)

    def _take_existing(self, function_arn: pulumi.Input[str]) -> None:
        """Take a function that exists, and let its role drain the queue."""
        self.function_arn = pulumi.Output.from_input(function_arn)
        self.function_name = functions.name_of(self.function_arn)
        role = self._args.get("function_role_name")
        nothing: pulumi.Output[str | None] = pulumi.Output.from_input(None)
        self.role_name = pulumi.Output.from_input(role)
        self.log_group_name = self.table_name = self.idempotency_table_name = nothing
        if role is None:
            return
        policy = pulumi.Output.all(self._args["queue_arn"], self._args.get("kms_key_arn")).apply(
            lambda known: policies.policy(*statements(known[0], None, None, None, known[1]))
        )
        self._let_in = [aws.iam.RolePolicy(f"{self._name}-policy", role=role, policy=policy, opts=self._opts)]

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
            opts=self._opts,
        )

    def _create_idempotency_table(self) -> aws.dynamodb.Table | None:
        if "idempotency" not in self._args:
            return None
        return tables.create_idempotency(self._name, self._args.get("kms_key_arn"), self)

    def _create_function(
        self,
        package: functions.Zipped | functions.Image,
        table: aws.dynamodb.Table | None,
        handled: aws.dynamodb.Table | None,
    ) -> functions.FunctionUnit:
        args = self._args
        own, kept = (each.arn if each else None for each in (table, handled))
        known = pulumi.Output.all(
            args["queue_arn"],
            args["dead_letter_queue_arn"] if gives_up(args) else None,
            own,
            kept,
            args.get("kms_key_arn"),
        )
        return functions.create_function(
            self._name,
            functions.FunctionSpec(
                package=package,
                timeout_seconds=args.get("timeout_seconds", TIMEOUT_SECONDS),
                memory_mb=args.get("memory_mb", MEMORY_MB),
                log_retention_days=args.get("log_retention_days", LOG_RETENTION_DAYS),
                kms_key_arn=args.get("kms_key_arn"),
                target=self._target,
                environment=self._environment(table, handled),
                reserved_concurrency=args.get("reserved_concurrency"),
            ),
            statements=known.apply(lambda arns: statements(*arns)),
            parent=self,
        )

    def _package(self) -> functions.Zipped | functions.Image:
        args = self._args
        if "image_uri" in args:
            return functions.Image(args["image_uri"], command=HANDLER if runs_our_handler(args) else None)
        locks = {self._name: LAYER_LOCK}
        if "requirements" in args:
            locks[f"{self._name}-requirements"] = Path(args["requirements"])
        code = Path(args["code"])
        archives.check_size(code, [archives.layer(lock, self._target) for lock in locks.values()])
        layers = [functions.create_layer(name, lock, self._target, self) for name, lock in locks.items()]
        return functions.Zipped(
            archives.handler_archive(modules=MODULES, shared=SHARED, code=code),
            HANDLER,
            layers=[each.arn for each in layers],
        )

    def _environment(
        self, table: aws.dynamodb.Table | None, handled: aws.dynamodb.Table | None
    ) -> dict[str, pulumi.Input[str]]:
        args = self._args
        environment: dict[str, pulumi.Input[str]] = {**args.get("environment", {})}
        if table:
            environment["SLUICE_TABLE"] = table.name
        if not runs_our_handler(args):
            return environment
        environment |= {
            "SLUICE_ENTRY": args.get("entry", ENTRY),
            "SLUICE_QUEUE_URL": args["queue_url"],
            "SLUICE_RETRY_BASE_SECONDS": str(args.get("retry_base_seconds", RETRY_BASE_SECONDS)),
            "SLUICE_RETRY_CAP_SECONDS": str(args.get("retry_cap_seconds", RETRY_CAP_SECONDS)),
            "POWERTOOLS_METRICS_NAMESPACE": METRIC_NAMESPACE,
        }
        if gives_up(args):
            environment["SLUICE_DEAD_LETTER_QUEUE_URL"] = args["dead_letter_queue_url"]
            if "queue_max_receive_count" in args:
                environment["SLUICE_MAX_RECEIVES"] = str(args["queue_max_receive_count"])
        if "poison_errors" in args:
            environment["SLUICE_POISON_ERRORS"] = ",".join(args["poison_errors"])
        if handled:
            environment["SLUICE_IDEMPOTENCY_TABLE"] = handled.name
            environment["SLUICE_IDEMPOTENCY"] = self._idempotency()
        return environment

    def _idempotency(self) -> str:
        asked = arguments.present(cast(Mapping[str, object], self._args["idempotency"]))
        return json.dumps(
            {
                "key": asked.get("key", MESSAGE_KEY),
                "payload": asked.get("payload", ""),
                "expires_after_seconds": asked.get("expires_after_seconds", REPEATS_SECONDS),
            }
        )

    def _create_mapping(self) -> None:
        args = self._args
        filters = [json.dumps(each, sort_keys=True) for each in args.get("filters", [])]
        mapping = aws.lambda_.EventSourceMapping(
            f"{self._name}-mapping",
            event_source_arn=args["queue_arn"],
            function_name=self.function_arn,
            enabled=args.get("enabled", True),
            batch_size=args.get("batch_size", BATCH_SIZE),
            maximum_batching_window_in_seconds=args.get("batching_window_seconds", 0),
            function_response_types=["ReportBatchItemFailures"],
            **_pace(args),
            **_filtering(filters),
            # Lambda refuses a mapping whose function may not drain the queue, and code needs its policies.
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._let_in),
        )
        self._filtered_by = mapping.uuid if filters else None


def _pace(args: ConsumerArgs) -> dict[str, Any]:
    """Return the arguments of a mapping that say how fast the queue is drained."""
    if "maximum_concurrency" in args:
        return {"scaling_config": {"maximum_concurrency": args["maximum_concurrency"]}}
    if "provisioned_pollers" not in args:
        return {}
    pollers = arguments.present(cast(Mapping[str, object], args["provisioned_pollers"]))
    return {
        "provisioned_poller_config": {
            "minimum_pollers": pollers.get("minimum", MINIMUM_POLLERS),
            "maximum_pollers": pollers.get("maximum", MAXIMUM_POLLERS),
        }
    }


def _filtering(patterns: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of a mapping that say which messages are handled, and count the others."""
    if not patterns:
        return {}
    return {
        "filter_criteria": {"filters": [{"pattern": each} for each in patterns]},
        "metrics_config": {"metrics": ["EventCount"]},
    }


def statements(
    queue_arn: str,
    dead_letter_queue_arn: str | None,
    table_arn: str | None,
    idempotency_table_arn: str | None,
    kms_key_arn: str | None,
) -> list[policies.Statement]:
    """Return what the function may do, besides writing its log."""
    allowed = [policies.drain_queue(queue_arn), *policies.key_use(kms_key_arn, "kms:Decrypt")]
    if dead_letter_queue_arn:
        allowed.append(policies.send_to(dead_letter_queue_arn))
        allowed += policies.key_use(kms_key_arn, "kms:GenerateDataKey")
    if table_arn:
        allowed.append(policies.own_table(table_arn))
    if idempotency_table_arn:
        allowed.append(policies.note_in_table(idempotency_table_arn))
    return [*allowed, *(policies.table_key_use(kms_key_arn) if table_arn or idempotency_table_arn else [])]
