"""`Limiter`: counts each client over a day and a month, and keeps out whoever asks too often."""

import json
import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_aws as aws

from sluice.limiter import clients, counters, rules, sets
from sluice.limiter.sets import SetName

from . import archives, arguments, functions, limiter_rules, naming, policies, proxy, web_acl
from .arguments import InvalidArgsError, Problem
from .dead_letters import create_dead_letters
from .limiter_metrics import BLOCK_RATE_ALARM, LimiterNames, alarms
from .limiter_permissions import enforcer_statements, ingest_statements
from .limiter_rules import OverrideArgs, RuleArgs, WindowArgs
from .message_queues import QueuePair, QueueSpec, create_queues
from .monitoring import METRIC_NAMESPACE, create_alarms
from .proxy import ProxyArgs
from .web_acl import Burst, RuleSpec

LOG_RETENTION_DAYS = 30
RETRY_AFTER_SECONDS = 3600
LONGEST_RETRY_AFTER = 31 * 24 * 60 * 60
CORS_ORIGIN = "*"
MOST_SETS = 10
"""Of a family: 22 sets in all. WAF lets five of them be read a second, before each look at the table."""
LARGEST_ENVIRONMENT = 4096
"""Bytes of all variables of a function ("Lambda quotas")."""
SET_BYTES = len('["block",4,"-block-v4-20-1234567",""],') + 36
"""What one set takes besides the limiter's name, with its id."""
OTHER_BYTES = 500
"""What the other variables take, besides the limiter's name three times."""
MOST_BLOCKS = 1_000_000
FILTER_PATTERN = f"-{rules.WAF_BLOCK}"
"""An excluded term: a pattern for JSON would drop lines that are not JSON before anybody counts them."""
INGEST_MEMORY_MB = 1024
"""The CPU bounds it, and comes with memory."""
INGEST_TIMEOUT_SECONDS = 120
ENFORCER_MEMORY_MB = 1769
"""One whole CPU ("Configuring Lambda function memory"), for 100,000 blocks of a family."""
ENFORCER_TIMEOUT_SECONDS = 120
LONGEST_EVENT_AGE = 6 * 60 * 60
"""Seconds for which Lambda repeats a delivery ("How Lambda handles errors and retries with asynchronous
invocation")."""
TICK_SECONDS = 60
STREAM_BATCH = 1000
STREAM_RETRIES = 5
STREAM_AGE_SECONDS = 300
WAKE_UP_BYTES = 1024
WAKE_UP_SECONDS = 3600
WAKE_UP_RECEIVES = 3
ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.:-]{1,255}")
ORIGIN_ALLOWED = "* or an origin, https://example.com"
GROUP = re.compile(r"AWSManagedRules[A-Za-z0-9]{1,100}")
LOG_GROUP_ARN = re.compile(r"arn:aws[a-z-]*:logs:[a-z0-9-]+:\d{12}:log-group:[\w/.#-]+", re.ASCII)
STAGE_ARN = re.compile(r"arn:aws[a-z-]*:apigateway:[a-z0-9-]+::/restapis/[a-z0-9]+/stages/\w+", re.ASCII)
HANDLER_MODULES = {
    "ingest": ["counting", "emf", "ingest", "parallel", "tables"],
    "enforce": ["emf", "enforce", "enforcement", "ip_sets", "parallel", "tables"],
}
LIMITER_MODULES = (
    *("__init__", "blocks", "clients", "clock", "counters"),
    *("dynamodb", "rules", "sets", "windows"),
)
SHARED_MODULES = ["access_log", *(f"limiter/{each}" for each in LIMITER_MODULES)]


class LimiterArgs(TypedDict):
    """What `Limiter` takes."""

    access_log_name: pulumi.Input[str]
    """The log group of the front door's access log."""
    access_log_arn: pulumi.Input[str]
    """The ARN of that log group, without ``:*``."""
    stage_arn: NotRequired[pulumi.Input[str]]
    """The stage that the web ACL protects. Default: none, and no web ACL: put the rule group into yours."""
    api_name: NotRequired[pulumi.Input[str]]
    """The API's name, to compare what it counted with what was ingested. Default: not compared."""
    stage_name: NotRequired[pulumi.Input[str]]
    """The stage's name, for the same. Default: not compared."""
    windows: NotRequired[list[WindowArgs]]
    """The limits, 1 to 5. Default: ``day``, 1,000 requests in 24 hours, and ``month``, 10,000 in 30 days."""
    count_only: NotRequired[bool]
    """Whether WAF only counts what it would block; who that would be is recorded all the same. Default:
    false."""
    ipv6_prefix: NotRequired[int]
    """How many bits of an IPv6 address tell clients apart, 32 to 128. Default: 64."""
    ipv6_site_prefix: NotRequired[int]
    """A shorter IPv6 prefix that is counted and limited besides, in bits, 16 to 127: the owner of a /48 has
    65,536 times /64. Default: none."""
    ipv6_site_limits: NotRequired[dict[str, int]]
    """Its limits, in requests by the window's name; a window that is not named does not limit it. Default:
    none."""
    uncounted_statuses: NotRequired[list[str]]
    """Answers that do not count, as ``429`` or ``5xx``. Default: ``["429", "5xx"]``."""
    uncounted_methods: NotRequired[list[str]]
    """Methods that do not count. Default: ``["OPTIONS"]``."""
    uncounted_routes: NotRequired[list[str]]
    """Routes that do not count, as they are in the access log. Default: ``["/health"]``."""
    weights: NotRequired[dict[str, int]]
    """How many requests one of a route counts for, 1 to 1,000, by route. Default: 1 each."""
    allow: NotRequired[list[str]]
    """CIDRs that are never counted and never blocked, up to 10,000 of a family. Default: none."""
    overrides: NotRequired[list[OverrideArgs]]
    """Limits of their own for the clients of some networks; the smallest network decides. Default: none."""
    sets_per_family: NotRequired[int]
    """IP sets for IPv4 and as many for IPv6, 1 to 10, of 10,000 blocked clients each. Default: 1."""
    retry_after_seconds: NotRequired[int]
    """What a blocked client is told to wait, in seconds, 1 to 2,678,400; WAF tells everybody the same.
    Default: 3,600."""
    cors_origin: NotRequired[str]
    """The origin whose pages may read the 429. Default: ``*``."""
    burst_limit: NotRequired[int]
    """Requests of one address in ``burst_window_seconds``, 10 to 2,000,000,000: WAF's own estimate, within
    seconds, which bounds what a client does before it is counted. Default: no such limit."""
    burst_window_seconds: NotRequired[int]
    """60, 120, 300 or 600. Default: 60."""
    managed_rule_groups: NotRequired[list[str]]
    """AWS's managed rule groups to add, which only count: ``AWSManagedRulesCommonRuleSet``. Default: none."""
    log_blocked: NotRequired[bool]
    """Whether WAF logs the requests that a rule matched, without their Authorization header and without a
    proxy's secret. Default: false."""
    deletion_protection: NotRequired[bool]
    """Whether tables refuse to be deleted, and the dead letters' bucket too while it holds something.
    Default: false."""
    block_rate_alarm: NotRequired[int]
    """How many new blocks in 5 minutes set off an alarm, 1 to 1,000,000. Default: 100."""
    allow_short_windows: NotRequired[bool]
    """Whether a window may be shorter than 15 minutes, down to a second. For the local stack alone: on AWS
    the log takes up to 3 minutes. Default: false."""
    proxy: NotRequired[ProxyArgs]
    """The CDN or proxy in front of the API, as the front door has it: then its header alone says who a client
    is. Default: none, callers come directly."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """A customer key for tables, bucket, queue, logs and the functions' environment. Default: AWS's own."""
    log_retention_days: NotRequired[int]
    """How long the logs are kept, in days. Default: 30."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """The SNS topic that the alarms tell; without it there are no alarms. Default: none."""


def problems(args: LimiterArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    found = [
        *arguments.matching(args, "access_log_arn", LOG_GROUP_ARN, "the ARN of a log group, without :*"),
        *arguments.matching(args, "stage_arn", STAGE_ARN, "the ARN of a stage of a REST API"),
        *limiter_rules.problems(_rule_args(args)),
        *arguments.between(args, "sets_per_family", 1, MOST_SETS, "sets"),
        *arguments.between(args, "retry_after_seconds", 1, LONGEST_RETRY_AFTER, "seconds"),
        *arguments.matching(args, "cors_origin", ORIGIN, ORIGIN_ALLOWED),
        *arguments.between(args, "burst_limit", web_acl.LEAST_BURST, web_acl.MOST_BURST, "requests"),
        *arguments.one_of(args, "burst_window_seconds", web_acl.BURST_SECONDS),
        *arguments.texts(args, "managed_rule_groups", GROUP, "the name of a rule group of AWS's"),
        *_repeated_group_problems(args.get("managed_rule_groups", [])),
        *arguments.between(args, "block_rate_alarm", 1, MOST_BLOCKS, "blocks"),
        *_web_acl_problems(args),
        *proxy.problems({**args}),
        *arguments.shared(args),
    ]
    for key in ("count_only", "log_blocked", "deletion_protection"):
        found += arguments.flag(args, key)
    return found


def _repeated_group_problems(groups: object) -> list[Problem]:
    listed = groups if isinstance(groups, list) else []
    return [
        Problem(f"managed_rule_groups[{index}]", each, "each group once")
        for index, each in enumerate(listed)
        if each in listed[:index]
    ]


def _web_acl_problems(args: LimiterArgs) -> list[Problem]:
    found = []
    if "burst_window_seconds" in args and "burst_limit" not in args:
        found.append(
            Problem("burst_window_seconds", args["burst_window_seconds"], "nothing, without burst_limit")
        )
    if "stage_arn" not in args:
        found += [
            Problem(key, value, "nothing, without stage_arn: it belongs into your web ACL")
            for key, value in (
                ("managed_rule_groups", args.get("managed_rule_groups")),
                ("log_blocked", args.get("log_blocked")),
            )
            if value
        ]
    if ("api_name" in args) != ("stage_name" in args):
        missing = "api_name" if "stage_name" in args else "stage_name"
        found.append(Problem(missing, None, "a value: api_name and stage_name need each other"))
    return found


def environment_problems(name: str, args: LimiterArgs) -> list[Problem]:
    """Report a limiter whose sets' names do not fit into the enforcer's environment."""
    count = args.get("sets_per_family", 1)
    one = len(name) + SET_BYTES
    fitting = (LARGEST_ENVIRONMENT - OTHER_BYTES - 3 * len(name)) // one // len(clients.FAMILIES) - 1
    if count <= fitting:
        return []
    allowed = (
        f"at most {fitting} for a name of {len(name)} characters: the sets' names must fit into Lambda's 4 KB"
    )
    return [Problem("sets_per_family", count, allowed, "lower it, or give the limiter a shorter name")]


def _rule_args(args: LimiterArgs) -> RuleArgs:
    given: Mapping[str, object] = {**args}
    return cast(RuleArgs, {key: given[key] for key in RuleArgs.__annotations__ if key in given})


class Limiter(pulumi.ComponentResource):
    """Counts each client's requests over long windows, from the access log, and blocks it at the WAF.

    Nothing of it is in the way of a request but WAF's look into its IP sets.

    Children: ``<name>-counters``, ``<name>-blocks``; ``<name>-dead-letters`` (a bucket) with ``...-access``,
    ``...-encryption``, ``...-lifecycle`` and ``...-policy``; ``<name>-block-v4-<n>``,
    ``<name>-block-v6-<n>``, ``<name>-allow-v4``, ``<name>-allow-v6``; ``<name>-web-acl``,
    ``<name>-web-acl-association``, ``<name>-web-acl-logs``, ``<name>-web-acl-logs-policy``,
    ``<name>-web-acl-logging``, ``<name>-rule-group``; ``<name>-ingest-<part>`` and
    ``<name>-enforcer-<part>`` with the parts ``logs``, ``role``, ``policy``, ``function`` and ``retries``;
    ``<name>-log-permission``, ``<name>-subscription``; ``<name>-wake-ups-<queue>``; ``<name>-stream``,
    ``<name>-releases``, ``<name>-schedule``, ``<name>-schedule-permission``, ``<name>-schedule-target``;
    ``<name>-<subject>-alarm``.
    """

    counters_table_name: pulumi.Output[str]
    """The table of the counters."""
    blocks_table_name: pulumi.Output[str]
    """The table of the blocks."""
    blocks_table_arn: pulumi.Output[str]
    """The ARN of that table."""
    ingest_function_name: pulumi.Output[str]
    """The function that counts."""
    ingest_log_name: pulumi.Output[str]
    """Its log group."""
    enforcer_function_name: pulumi.Output[str]
    """The function that writes the IP sets."""
    enforcer_log_name: pulumi.Output[str]
    """Its log group."""
    dead_letters_bucket: pulumi.Output[str]
    """The bucket of what could not be counted."""
    wake_ups_queue_url: pulumi.Output[str]
    """The queue of the wake-ups for releases."""
    web_acl_arn: pulumi.Output[str | None]
    """The web ACL; none without ``stage_arn``."""
    rule_group_arn: pulumi.Output[str]
    """The rule group of the limiter's rules, also for a web ACL of yours."""
    rules: pulumi.Output[str]
    """What is counted and who is blocked, as JSON, for the operator's command."""
    region: pulumi.Output[str]
    """The Region that all of it is in."""

    def __init__(self, name: str, args: LimiterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the tables, the functions, the IP sets and the rules.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
        """
        super().__init__("sluice:index:Limiter", name, None, opts)
        self._name = name
        self._args = arguments.admit(f"Limiter {name!r}", args, LimiterArgs, problems)
        if too_much := environment_problems(name, self._args):
            raise InvalidArgsError(f"Limiter {name!r}", too_much)
        self._opts = pulumi.ResourceOptions(parent=self)
        self._proxy = proxy.of({**self._args})
        self._rules = limiter_rules.make(_rule_args(self._args))
        self._tell_oddities()
        invoke_opts = pulumi.InvokeOutputOptions(parent=self)
        self.region = aws.get_region_output(opts=invoke_opts).region
        self._account = aws.get_caller_identity_output(opts=invoke_opts).account_id
        self._counters = self._create_counters()
        self._blocks = self._create_blocks()
        self._dead_letters = create_dead_letters(
            f"{name}-dead-letters",
            self._args.get("kms_key_arn"),
            self,
            keep=self._args.get("deletion_protection", False),
        )
        self._sets = web_acl.create_sets(
            name, self._args.get("sets_per_family", 1), self._allow_by_family(), parent=self
        )
        self._wake_ups = self._create_wake_ups()
        ingest, retries = self._create_ingest()
        enforcer = self._create_enforcer()
        self.counters_table_name = self._counters.name
        self.blocks_table_name = self._blocks.name
        self.blocks_table_arn = self._blocks.arn
        self.ingest_function_name = ingest.function.name
        self.ingest_log_name = ingest.log_group.name
        self.enforcer_function_name = enforcer.function.name
        self.enforcer_log_name = enforcer.log_group.name
        self.dead_letters_bucket = self._dead_letters.bucket
        self.wake_ups_queue_url = self._wake_ups.queue.url
        self.rules = pulumi.Output.from_input(rules.dumps(self._rules))
        group = self._create_rule_group()
        self.rule_group_arn = group.arn
        self.web_acl_arn = pulumi.Output.from_input(None)
        if "stage_arn" in self._args:
            self.web_acl_arn = self._create_web_acl(self._args["stage_arn"], group).arn
        self._subscribe(ingest, retries)
        self._wake(enforcer)
        if "alarm_topic_arn" in self._args:
            block_rate = self._args.get("block_rate_alarm", BLOCK_RATE_ALARM)
            create_alarms(name, alarms(self.names(), block_rate), self._args["alarm_topic_arn"], self)
        self.register_outputs({key: getattr(self, key) for key in Limiter.__annotations__})

    def _tell_oddities(self) -> None:
        """Tell, in a preview as well, what is allowed but seldom meant."""
        if self._args.get("allow_short_windows", False):
            pulumi.log.warn("Windows under 15 minutes are for the local stack: on AWS the log lags.", self)
        item = counters.largest_item(self._rules.most_counters + counters.MOST_STALE)
        if item > counters.ONE_WRITE_UNIT:
            pulumi.log.info(
                f"With these windows a client's item may take {item} bytes: two write units a write.", self
            )

    def names(self) -> LimiterNames:
        """Return what a dashboard needs to find this limiter's metrics."""
        found: LimiterNames = {
            "ingest": self.ingest_function_name,
            "enforcer": self.enforcer_function_name,
            "wake_up_dead_letters": self._wake_ups.dead_letters.name,
            "region": self.region,
        }
        if "stage_arn" in self._args:
            found["web_acl"] = web_acl.metric_name(self._name)
        if "api_name" in self._args and "stage_name" in self._args:
            found["api"] = self._args["api_name"]
            found["stage"] = self._args["stage_name"]
        return found

    def operator(self) -> dict[str, pulumi.Output[str]]:
        """Return what the operator's command needs to find this limiter, as a stack's output ``limiter``."""
        return {
            "counters": self.counters_table_name,
            "blocks": self.blocks_table_name,
            "rules": self.rules,
            "region": self.region,
            "mode": pulumi.Output.from_input("count" if self._args.get("count_only", False) else "block"),
        }

    def _allow_by_family(self) -> dict[int, list[str]]:
        return {
            family: [each for each in self._rules.allow if clients.family(each) == family]
            for family in clients.FAMILIES
        }

    def _create_counters(self) -> aws.dynamodb.Table:
        # No point-in-time recovery: an item counts for weeks at most, and a restored one would count twice.
        return aws.dynamodb.Table(
            f"{self._name}-counters",
            billing_mode="PAY_PER_REQUEST",
            hash_key="k",
            attributes=[{"name": "k", "type": "S"}],
            ttl={"attribute_name": "x", "enabled": True},
            point_in_time_recovery={"enabled": False},
            **self._table_settings(),
            opts=self._opts,
        )

    def _create_blocks(self) -> aws.dynamodb.Table:
        return aws.dynamodb.Table(
            f"{self._name}-blocks",
            billing_mode="PAY_PER_REQUEST",
            hash_key="partition",
            range_key="client",
            attributes=[{"name": "partition", "type": "S"}, {"name": "client", "type": "S"}],
            ttl={"attribute_name": "expires", "enabled": True},
            point_in_time_recovery={"enabled": True},
            stream_enabled=True,
            stream_view_type="NEW_IMAGE",
            **self._table_settings(),
            opts=self._opts,
        )

    def _table_settings(self) -> dict[str, Any]:
        return {
            "server_side_encryption": {"enabled": True, "kms_key_arn": self._args.get("kms_key_arn")},
            "deletion_protection_enabled": self._args.get("deletion_protection", False),
        }

    def _create_wake_ups(self) -> QueuePair:
        return create_queues(
            f"{self._name}-wake-ups",
            QueueSpec(
                max_message_size=WAKE_UP_BYTES,
                visibility_timeout_seconds=6 * ENFORCER_TIMEOUT_SECONDS,
                message_retention_seconds=WAKE_UP_SECONDS,
                max_receive_count=WAKE_UP_RECEIVES,
                kms_key_arn=self._args.get("kms_key_arn"),
            ),
            parent=self,
        )

    def _create_ingest(self) -> tuple[functions.FunctionUnit, pulumi.Resource]:
        unit = self._create_function(
            "ingest",
            "ingest",
            INGEST_MEMORY_MB,
            {"SLUICE_DEAD_LETTERS": self._dead_letters.bucket},
            self._known().apply(ingest_statements),
        )
        retries = aws.lambda_.FunctionEventInvokeConfig(
            f"{self._name}-ingest-retries",
            function_name=unit.function.name,
            maximum_retry_attempts=2,
            maximum_event_age_in_seconds=LONGEST_EVENT_AGE,
            # Not a queue: a delivery may be larger than a message.
            destination_config={"on_failure": {"destination": self._dead_letters.arn}},
            opts=self._opts,
        )
        return unit, retries

    def _create_enforcer(self) -> functions.FunctionUnit:
        set_arns = pulumi.Output.all(*(each.arn for _, _, each in self._sets.all()))
        unit = self._create_function(
            "enforcer",
            "enforce",
            ENFORCER_MEMORY_MB,
            {"SLUICE_WAKE_UPS": self._wake_ups.queue.url, "SLUICE_IP_SETS": self._set_names()},
            pulumi.Output.all(self._known(), set_arns).apply(lambda known: enforcer_statements(*known)),
        )
        # The next tick does what a failed one did not.
        aws.lambda_.FunctionEventInvokeConfig(
            f"{self._name}-enforcer-retries",
            function_name=unit.function.name,
            maximum_retry_attempts=0,
            maximum_event_age_in_seconds=TICK_SECONDS,
            opts=self._opts,
        )
        return unit

    def _known(self) -> pulumi.Output[dict[str, str | None]]:
        """Return the ARNs that the functions' permissions are about."""
        return pulumi.Output.all(
            counters=self._counters.arn,
            blocks=self._blocks.arn,
            stream=self._blocks.stream_arn,
            queue=self._wake_ups.queue.arn,
            dead_letters=self._dead_letters.arn,
            key=self._args.get("kms_key_arn"),
        )

    def _set_names(self) -> pulumi.Output[str]:
        described = [
            pulumi.Output.all(role, family, each.name, each.id) for role, family, each in self._sets.all()
        ]
        return pulumi.Output.all(*described).apply(
            lambda known: sets.dumps(SetName(role, int(family), *rest) for role, family, *rest in known)
        )

    def _create_function(
        self,
        role: str,
        module: str,
        memory_mb: int,
        environment: dict[str, pulumi.Input[str]],
        statements: pulumi.Input[list[policies.Statement]],
    ) -> functions.FunctionUnit:
        args = self._args
        return functions.create_function(
            f"{self._name}-{role}",
            functions.FunctionSpec(
                package=functions.Zipped(
                    archives.handler_archive(
                        modules=HANDLER_MODULES[module],
                        shared=SHARED_MODULES,
                        generated={f"sluice/handlers/{rules.FILE}": rules.dumps(self._rules)},
                        files=limiter_rules.zone_files(self._rules),
                    ),
                    f"sluice.handlers.{module}.handler",
                ),
                timeout_seconds=ENFORCER_TIMEOUT_SECONDS if module == "enforce" else INGEST_TIMEOUT_SECONDS,
                memory_mb=memory_mb,
                log_retention_days=args.get("log_retention_days", LOG_RETENTION_DAYS),
                kms_key_arn=args.get("kms_key_arn"),
                # There is a run for each delivery, and its lines would cost more than its counting.
                system_log_level="WARN",
                environment={
                    "SLUICE_COUNTERS": self._counters.name,
                    "SLUICE_BLOCKS": self._blocks.name,
                    "SLUICE_METRIC_NAMESPACE": METRIC_NAMESPACE,
                    **environment,
                },
            ),
            statements=statements,
            parent=self,
        )

    def _create_rule_group(self) -> "aws.wafv2.RuleGroup":
        args = self._args
        seconds = args.get("burst_window_seconds", web_acl.BURST_SECONDS[0])
        spec = RuleSpec(
            count_only=args.get("count_only", False),
            retry_after_seconds=args.get("retry_after_seconds", RETRY_AFTER_SECONDS),
            cors_origin=args.get("cors_origin", CORS_ORIGIN),
            burst=Burst(args["burst_limit"], seconds) if "burst_limit" in args else None,
            proxy=self._proxy,
        )
        metric = web_acl.metric_name(self._name)
        blocking = [each.arn for family in self._sets.block.values() for each in family]
        allowing = [each.arn for each in self._sets.allow.values()]
        return aws.wafv2.RuleGroup(
            f"{self._name}-rule-group",
            scope=web_acl.SCOPE,
            capacity=web_acl.CAPACITY,
            rules=cast(Any, web_acl.rules(metric, spec, blocking, allowing)),
            custom_response_bodies=cast(Any, web_acl.bodies(self._proxy)),
            visibility_config=cast(Any, web_acl.visibility(metric, self._proxy)),
            opts=self._opts,
        )

    def _create_web_acl(
        self, stage_arn: pulumi.Input[str], group: "aws.wafv2.RuleGroup"
    ) -> "aws.wafv2.WebAcl":
        metric = web_acl.metric_name(self._name)
        managed = self._args.get("managed_rule_groups", [])
        acl = aws.wafv2.WebAcl(
            f"{self._name}-web-acl",
            scope=web_acl.SCOPE,
            default_action={"allow": {}},
            rules=cast(Any, web_acl.acl_rules(metric, group.arn, managed, self._proxy)),
            visibility_config=cast(Any, web_acl.visibility(metric, self._proxy)),
            opts=self._opts,
        )
        aws.wafv2.WebAclAssociation(
            f"{self._name}-web-acl-association",
            resource_arn=stage_arn,
            web_acl_arn=acl.arn,
            opts=self._opts,
        )
        if self._args.get("log_blocked", False):
            self._log_blocked(acl)
        return acl

    def _log_blocked(self, acl: "aws.wafv2.WebAcl") -> None:
        """Log what a rule matched ("Logging AWS WAF web ACL traffic": the log group's name must begin so)."""
        log_group = aws.cloudwatch.LogGroup(
            f"{self._name}-web-acl-logs",
            name=f"aws-waf-logs-{naming.stack_wide(self._name)}",
            retention_in_days=self._args.get("log_retention_days", LOG_RETENTION_DAYS),
            kms_key_id=self._args.get("kms_key_arn"),
            opts=self._opts,
        )
        delivery = aws.cloudwatch.LogResourcePolicy(
            f"{self._name}-web-acl-logs-policy",
            policy_name=naming.stack_wide(f"{self._name}-web-acl-logs"),
            policy_document=pulumi.Output.all(log_group.arn, self._account, self.region).apply(
                lambda known: policies.deliver_logs(*known)
            ),
            opts=self._opts,
        )
        aws.wafv2.WebAclLoggingConfiguration(
            f"{self._name}-web-acl-logging",
            resource_arn=acl.arn,
            log_destination_configs=[log_group.arn],
            redacted_fields=[{"single_header": {"name": each}} for each in self._hidden_headers()],
            logging_filter={
                "default_behavior": "DROP",
                "filters": [
                    {
                        "behavior": "KEEP",
                        "requirement": "MEETS_ANY",
                        "conditions": [
                            {"action_condition": {"action": "BLOCK"}},
                            {"action_condition": {"action": "COUNT"}},
                        ],
                    }
                ],
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[delivery]),
        )

    def _hidden_headers(self) -> list[str]:
        """Return the headers that hold secrets."""
        return ["authorization", *([self._proxy.secret_header.lower()] if self._proxy else [])]

    def _subscribe(self, ingest: functions.FunctionUnit, retries: pulumi.Resource) -> None:
        """Let CloudWatch Logs hand over the access log; the permission first, or lines are skipped."""
        permission = aws.lambda_.Permission(
            f"{self._name}-log-permission",
            action="lambda:InvokeFunction",
            function=ingest.function.name,
            principal="logs.amazonaws.com",
            source_arn=pulumi.Output.format("{0}:*", self._args["access_log_arn"]),
            source_account=self._account,
            opts=self._opts,
        )
        aws.cloudwatch.LogSubscriptionFilter(
            f"{self._name}-subscription",
            log_group=self._args["access_log_name"],
            filter_pattern=FILTER_PATTERN,
            destination_arn=ingest.function.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[permission, retries]),
        )

    def _wake(self, enforcer: functions.FunctionUnit) -> None:
        """Wake the enforcer by new blocks, at releases, and every minute, which alone would do."""
        aws.lambda_.EventSourceMapping(
            f"{self._name}-stream",
            event_source_arn=self._blocks.stream_arn,
            function_name=enforcer.function.arn,
            starting_position="TRIM_HORIZON",
            batch_size=STREAM_BATCH,
            maximum_batching_window_in_seconds=1,
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=STREAM_RETRIES,
            maximum_record_age_in_seconds=STREAM_AGE_SECONDS,
            # What an operator or ingest wrote; what was released, deleted or leased wakes nobody.
            filter_criteria={
                "filters": [
                    {
                        "pattern": json.dumps(
                            {"dynamodb": {"NewImage": {"state": {"S": ["on", "off", "allow"]}}}}
                        )
                    }
                ]
            },
            destination_config={"on_failure": {"destination_arn": self._dead_letters.arn}},
            opts=self._opts,
        )
        aws.lambda_.EventSourceMapping(
            f"{self._name}-releases",
            event_source_arn=self._wake_ups.queue.arn,
            function_name=enforcer.function.arn,
            batch_size=10,
            opts=self._opts,
        )
        schedule = aws.cloudwatch.EventRule(
            f"{self._name}-schedule", schedule_expression="rate(1 minute)", opts=self._opts
        )
        permission = aws.lambda_.Permission(
            f"{self._name}-schedule-permission",
            action="lambda:InvokeFunction",
            function=enforcer.function.name,
            principal="events.amazonaws.com",
            source_arn=schedule.arn,
            opts=self._opts,
        )
        aws.cloudwatch.EventTarget(
            f"{self._name}-schedule-target",
            rule=schedule.name,
            arn=enforcer.function.arn,
            retry_policy={"maximum_event_age_in_seconds": TICK_SECONDS, "maximum_retry_attempts": 0},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[permission]),
        )
