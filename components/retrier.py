"""`Retrier`: outbound calls that survive 429 and 5xx."""

from dataclasses import replace

import pulumi
import pulumi_aws as aws

from sluice.retrier import rules
from sluice.retrier.rules import STARTING_SECONDS

from . import (
    archives,
    arguments,
    functions,
    naming,
    policies,
    retrier_args,
    retrier_machine,
    retrier_metrics,
    tables,
)
from .monitoring import METRIC_NAMESPACE, create_alarms
from .retrier_args import (
    KEPT_SECONDS,
    TIMEOUT_SECONDS,
    CallsFromQueue,
    EgressArgs,
    RetrierArgs,
    calls_from_queue,
    deadline,
    egresses,
    problems,
    rules_of,
)
from .retrier_metrics import RetrierNames

LAYER_LOCK = archives.HANDLERS / "layers" / "retrier.txt"
SHARED = ("retrier/__init__", "retrier/rules", "retrier/targets")
COMMON = ("__init__", "calls", "outcomes", "progress", "wire")
CALLING = (
    *(*COMMON, "attempt", "budget", "call", "diary", "redirects", "secret_values", "shared", "signals"),
    *("upstream", "verdicts", "world"),
)
ORCHESTRATING = (*COMMON, "machines", "once", "orchestrator", "replies")
MEMORY_MB = 256
LOG_RETENTION_DAYS = 30
CALL_MARGIN_SECONDS = 10
"""What an attempt takes beside the upstream: a slot, a secret, what is left of a wait."""
STANDARD_SECONDS = 30
"""The orchestrator's time where it does not wait for the outcome."""
KEY_REUSE_SECONDS = 300
"""For how long Step Functions uses one data key; each is a call to KMS."""
BUDGET_KEY, EXPIRY = "id", "expires"


class CallsToMake(CallsFromQueue):
    """The arguments of a consumer whose messages are calls."""

    environment: dict[str, pulumi.Input[str]]
    policy_arns: list[pulumi.Input[str]]


class Retrier(pulumi.ComponentResource):
    """Calls other people's APIs for you: waits as it is told, tries again, and never storms them.

    Children: ``<name>-<egress>-<part>`` and ``<name>-orchestrator-<part>``, with the parts ``logs``,
    ``role``, ``policy`` and ``function``; ``<name>-layer``, ``<name>-url``, ``<name>-url-permission``,
    ``<name>-url-permission-<place>``, ``<name>-url-invoke-permission``,
    ``<name>-url-invoke-permission-<place>``, ``<name>-machine``, ``<name>-machine-logs``,
    ``<name>-machine-role``, ``<name>-machine-policy``, ``<name>-start-policy``, ``<name>-budgets-table``,
    ``<name>-idempotency-table``, ``<name>-<subject>-alarm``.
    """

    url: pulumi.Output[str | None]
    """Where to POST a call; none where ``access`` is ``none``."""
    state_machine_arn: pulumi.Output[str]
    """The state machine, for whoever starts it without the URL."""
    start_policy_arn: pulumi.Output[str]
    """A policy that lets a role start the state machine, for whoever does."""
    orchestrator_name: pulumi.Output[str | None]
    """The function behind the URL; none where there is no URL."""
    orchestrator_arn: pulumi.Output[str | None]
    """Its ARN, on which callers need ``lambda:InvokeFunctionUrl`` and ``lambda:InvokeFunction``."""
    function_arns: pulumi.Output[dict[str, str]]
    """The functions that call, by the name of their egress."""
    budgets_table_name: pulumi.Output[str]
    """The table of what the upstreams may be asked."""
    log_group_name: pulumi.Output[str]
    """The state machine's log group."""

    def __init__(self, name: str, args: RetrierArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the functions, the state machine and the URL.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
            LayerBuildError: if the packages that the functions need cannot be had.
        """
        super().__init__("sluice:index:Retrier", name, None, opts)
        self._name = name
        self._args = arguments.admit(f"Retrier {name!r}", args, RetrierArgs, problems)
        self._opts = pulumi.ResourceOptions(parent=self)
        self._target = archives.Target(architecture=self._args.get("architecture", "x86_64"))
        self._rules = rules_of(self._args)
        self._service = naming.stack_wide(name)
        # First: where it cannot be had, nothing is made.
        self._layer = functions.create_layer(name, LAYER_LOCK, self._target, self)
        key_arn = self._args.get("kms_key_arn")
        budgets = tables.create_forgetting(f"{name}-budgets", BUDGET_KEY, EXPIRY, key_arn, self)
        self.budgets_table_name = budgets.name
        self._create_callers(budgets)
        machine = self._create_machine()
        self.state_machine_arn = machine.arn
        self.start_policy_arn = self._create_start_policy(machine)
        self._create_orchestrator(machine)
        if "alarm_topic_arn" in self._args:
            wanted = retrier_metrics.alarms(self.names())
            create_alarms(name, wanted, self._args["alarm_topic_arn"], self)
        self.register_outputs({key: getattr(self, key) for key in Retrier.__annotations__})

    def names(self) -> RetrierNames:
        """Return what a dashboard needs to find this retrier's metrics."""
        names: RetrierNames = {
            "label": self._name,
            "service": self._service,
            "state_machine": self.state_machine_arn,
            "functions": {**self._function_names},
        }
        if self._orchestrator is not None:
            names["orchestrator"] = self._orchestrator.name
        return names

    def consumer_args(self) -> CallsToMake:
        """Return the arguments of a `Consumer` whose messages are calls: its code, and what that needs.

        Raises:
            InvalidArgsError: if nobody would wait for an outcome, and what failed would be forgotten.
        """
        if self._is_standard:
            raise arguments.InvalidArgsError(f"Retrier {self._name!r}", [retrier_args.NOT_FROM_A_QUEUE])
        return {
            **calls_from_queue(self._args),
            "environment": {
                "CALLS_STATE_MACHINE": self.state_machine_arn,
                "CALLS_REPEATED": " ".join(retrier_args.repeated(self._args)),
            },
            "policy_arns": [self.start_policy_arn],
        }

    def operator(
        self,
    ) -> dict[str, pulumi.Output[str] | pulumi.Output[str | None] | pulumi.Output[dict[str, str]]]:
        """Return what an operator finds this retrier's parts by."""
        return {
            "url": self.url,
            "state_machine": self.state_machine_arn,
            "functions": self.function_arns,
            "orchestrator": self.orchestrator_name,
            "budgets": self.budgets_table_name,
            "log": self.log_group_name,
        }

    @property
    def _workflow(self) -> str:
        return self._args.get("workflow", "express")

    @property
    def _is_standard(self) -> bool:
        return self._workflow == "standard"

    def _create_callers(self, budgets: aws.dynamodb.Table) -> None:
        """Make the functions that call, or take those that exist."""
        self._function_names: dict[str, pulumi.Output[str]] = {}
        arns: dict[str, pulumi.Output[str]] = {}
        for each in egresses(self._args):
            if "function_arn" in each:
                arn = pulumi.Output.from_input(each["function_arn"])
                self._function_names[each["name"]] = functions.name_of(arn)
            else:
                function = self._create_caller(each, budgets)
                arn = function.arn
                self._function_names[each["name"]] = function.name
            arns[each["name"]] = arn
        self.function_arns = pulumi.Output.all(**arns)

    def _create_caller(self, egress: EgressArgs, budgets: aws.dynamodb.Table) -> aws.lambda_.Function:
        args = self._args
        secrets = args.get("secrets", [])
        known = pulumi.Output.all(
            budgets.arn,
            args.get("kms_key_arn"),
            [each["secret_arn"] for each in secrets],
            [each.get("kms_key_arn") for each in secrets],
        )
        environment: dict[str, pulumi.Input[str]] = {
            **self._environment(),
            "SLUICE_BUDGETS": budgets.name,
            "POWERTOOLS_METRICS_NAMESPACE": METRIC_NAMESPACE,
        }
        if secrets:
            named = {each["name"]: each["secret_arn"] for each in secrets}
            environment["SLUICE_SECRETS"] = pulumi.Output.json_dumps(named)
        network = self._network(egress)
        return functions.create_function(
            f"{self._name}-{egress['name']}",
            self._spec("call", CALLING, self._function_seconds, environment, network),
            statements=known.apply(lambda these: call_statements(*these, in_network=network is not None)),
            parent=self,
        ).function

    @property
    def _function_seconds(self) -> int:
        return self._args.get("timeout_seconds", TIMEOUT_SECONDS) + CALL_MARGIN_SECONDS

    def _network(self, egress: EgressArgs) -> functions.Network | None:
        if "subnet_ids" not in egress:
            return None
        return functions.Network(egress["subnet_ids"], egress["security_group_ids"])

    def _environment(self) -> dict[str, pulumi.Input[str]]:
        return {"SLUICE_SERVICE": self._service}

    def _spec(
        self,
        entry: str,
        modules: tuple[str, ...],
        timeout_seconds: int,
        environment: dict[str, pulumi.Input[str]],
        network: functions.Network | None = None,
    ) -> functions.FunctionSpec:
        return functions.FunctionSpec(
            package=functions.Zipped(
                archives.handler_archive(
                    modules=[f"retrier/{each}" for each in modules],
                    shared=SHARED,
                    generated={f"sluice/handlers/retrier/{rules.FILE}": self._rules.dumps()},
                ),
                f"sluice.handlers.retrier.{entry}.handler",
                layers=[self._layer.arn],
            ),
            timeout_seconds=timeout_seconds,
            memory_mb=self._args.get("memory_mb", MEMORY_MB),
            log_retention_days=self._args.get("log_retention_days", LOG_RETENTION_DAYS),
            kms_key_arn=self._args.get("kms_key_arn"),
            target=self._target,
            environment=environment,
            network=network,
            tracing=self._args.get("tracing", False),
        )

    def _create_machine(self) -> aws.sfn.StateMachine:
        args = self._args
        key = args.get("kms_key_arn")
        # The prefix keeps deliveries out of a resource policy that is too small for many of them ("Using
        # CloudWatch Logs to log execution history in Step Functions").
        log_group = aws.cloudwatch.LogGroup(
            f"{self._name}-machine-logs",
            name_prefix=f"/aws/vendedlogs/states/{self._service}-",
            retention_in_days=args.get("log_retention_days", LOG_RETENTION_DAYS),
            kms_key_id=key,
            opts=self._opts,
        )
        self.log_group_name = log_group.name
        role = aws.iam.Role(
            f"{self._name}-machine-role",
            assume_role_policy=policies.trusts("states.amazonaws.com"),
            opts=self._opts,
        )
        permissions = aws.iam.RolePolicy(
            f"{self._name}-machine-policy",
            role=role.name,
            policy=pulumi.Output.all(self.function_arns, key).apply(
                lambda known: policies.policy(
                    *machine_statements([*known[0].values()], known[1], tracing=args.get("tracing", False))
                )
            ),
            opts=self._opts,
        )
        return aws.sfn.StateMachine(
            f"{self._name}-machine",
            type=self._workflow.upper(),
            role_arn=role.arn,
            definition=self.function_arns.apply(
                lambda arns: retrier_machine.definition(
                    {each["name"]: arns[each["name"]] for each in egresses(args)},
                    deadline(args),
                    self._function_seconds,
                )
            ),
            # What calls and answers hold is nobody's to read in a log.
            logging_configuration={
                "level": "ERROR",
                "include_execution_data": False,
                "log_destination": log_group.arn.apply(lambda arn: f"{arn}:*"),
            },
            tracing_configuration={"enabled": args.get("tracing", False)},
            encryption_configuration={
                "type": "CUSTOMER_MANAGED_KMS_KEY",
                "kms_key_id": key,
                "kms_data_key_reuse_period_seconds": KEY_REUSE_SECONDS,
            }
            if key
            else None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[permissions]),
        )

    def _create_start_policy(self, machine: aws.sfn.StateMachine) -> pulumi.Output[str]:
        return aws.iam.Policy(
            f"{self._name}-start-policy",
            description="Lets a role start a retrier's state machine.",
            policy=pulumi.Output.all(machine.arn, self._args.get("kms_key_arn")).apply(
                lambda known: policies.policy(*start_statements(*known, standard=self._is_standard))
            ),
            opts=self._opts,
        ).arn

    def _create_orchestrator(self, machine: aws.sfn.StateMachine) -> None:
        nothing: pulumi.Output[str | None] = pulumi.Output.from_input(None)
        self.url = self.orchestrator_name = self.orchestrator_arn = nothing
        self._orchestrator: aws.lambda_.Function | None = None
        if self._args.get("access") == "none":
            return
        kept = None
        environment: dict[str, pulumi.Input[str]] = {
            **self._environment(),
            "SLUICE_STATE_MACHINE": machine.arn,
            "SLUICE_WORKFLOW": self._workflow,
        }
        if not self._is_standard:
            kept = tables.create_idempotency(self._name, self._args.get("kms_key_arn"), self)
            environment["SLUICE_IDEMPOTENCY_TABLE"] = kept.name
            environment["SLUICE_KEPT_SECONDS"] = str(self._args.get("kept_seconds", KEPT_SECONDS))
        known = pulumi.Output.all(machine.arn, kept.arn if kept else None, self._args.get("kms_key_arn"))
        waits = STANDARD_SECONDS if self._is_standard else deadline(self._args) + 2 * STARTING_SECONDS
        self._orchestrator = functions.create_function(
            f"{self._name}-orchestrator",
            replace(
                self._spec("orchestrator", ORCHESTRATING, waits, environment),
                reserved_concurrency=self._args.get("reserved_concurrency"),
            ),
            statements=known.apply(lambda these: orchestrator_statements(*these, standard=self._is_standard)),
            parent=self,
        ).function
        self.orchestrator_name = pulumi.Output.from_input(self._orchestrator.name)
        self.orchestrator_arn = pulumi.Output.from_input(self._orchestrator.arn)
        self.url = pulumi.Output.from_input(self._create_url(self._orchestrator))

    def _create_url(self, function: aws.lambda_.Function) -> pulumi.Output[str]:
        is_open = self._args.get("access") == "open"
        authorization = "NONE" if is_open else "AWS_IAM"
        callers: dict[str, pulumi.Input[str]] = {"": "*"} if is_open else {}
        callers |= {f"-{place}": arn for place, arn in enumerate(self._args.get("caller_arns", []))}
        allowed = [
            permission
            for suffix, principal in callers.items()
            for permission in self._let_call(function, suffix, principal, authorization)
        ]
        return aws.lambda_.FunctionUrl(
            f"{self._name}-url",
            function_name=function.name,
            authorization_type=authorization,
            opts=pulumi.ResourceOptions(parent=self, depends_on=allowed),
        ).function_url

    def _let_call(
        self, function: aws.lambda_.Function, suffix: str, principal: pulumi.Input[str], authorization: str
    ) -> list[aws.lambda_.Permission]:
        """Let somebody call the URL: since October 2025 that takes two permissions.

        "Control access to Lambda function URLs", Lambda guide.
        """
        return [
            aws.lambda_.Permission(
                f"{self._name}-url-permission{suffix}",
                function=function.name,
                action="lambda:InvokeFunctionUrl",
                principal=principal,
                function_url_auth_type=authorization,
                opts=self._opts,
            ),
            aws.lambda_.Permission(
                f"{self._name}-url-invoke-permission{suffix}",
                function=function.name,
                action="lambda:InvokeFunction",
                principal=principal,
                invoked_via_function_url=True,
                opts=self._opts,
            ),
        ]


def call_statements(
    budgets_arn: str,
    kms_key_arn: str | None,
    secret_arns: list[str],
    secret_key_arns: list[str | None],
    *,
    in_network: bool,
) -> list[policies.Statement]:
    """Return what a function that calls may do, besides writing its log."""
    return [
        policies.Statement(["dynamodb:GetItem", "dynamodb:UpdateItem"], [budgets_arn]),
        *policies.table_key_use(kms_key_arn),
        *([policies.Statement(["secretsmanager:GetSecretValue"], secret_arns)] if secret_arns else []),
        *(each for key in secret_key_arns for each in policies.key_use(key, "kms:Decrypt")),
        *(policies.in_network() if in_network else []),
    ]


def machine_statements(
    function_arns: list[str], kms_key_arn: str | None, *, tracing: bool
) -> list[policies.Statement]:
    """Return what the state machine may do."""
    return [
        policies.Statement(["lambda:InvokeFunction"], function_arns),
        policies.deliver_own_logs(),
        # "Data at rest encryption in Step Functions"
        *policies.key_use(kms_key_arn, "kms:Decrypt", "kms:GenerateDataKey"),
        *([policies.send_traces()] if tracing else []),
    ]


def start_statements(
    state_machine_arn: str, kms_key_arn: str | None, *, standard: bool
) -> list[policies.Statement]:
    """Return what it takes to start the state machine."""
    action = "states:StartExecution" if standard else "states:StartSyncExecution"
    return [
        policies.Statement([action], [state_machine_arn]),
        *policies.key_use(kms_key_arn, "kms:Decrypt", "kms:GenerateDataKey"),
    ]


def orchestrator_statements(
    state_machine_arn: str, idempotency_arn: str | None, kms_key_arn: str | None, *, standard: bool
) -> list[policies.Statement]:
    """Return what the orchestrator may do, besides writing its log."""
    found = start_statements(state_machine_arn, kms_key_arn, standard=standard)
    if standard:
        # Executions are named when they start.
        executions = state_machine_arn.replace(":stateMachine:", ":execution:", 1) + ":*"
        found.append(policies.Statement(["states:DescribeExecution"], [executions]))
    if idempotency_arn:
        found.append(policies.note_in_table(idempotency_arn))
        found += policies.table_key_use(kms_key_arn)
    return found
