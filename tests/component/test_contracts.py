import re
import typing
from collections.abc import Mapping

import pulumi
import pulumi_aws as aws
import pytest

from components import (
    COMPONENTS,
    AlarmTopic,
    Authorizer,
    Consumer,
    Dashboard,
    EncryptionKey,
    FrontDoor,
    Limiter,
    Retrier,
    answers,
    functions,
)
from sluice import tokens

from .cases import (
    CALLERS,
    CASES,
    CI,
    CONSUMER_ARGS,
    DECIDER,
    KEY,
    LIMITER_ARGS,
    PROTECTING,
    QUEUE_ARN,
    RETRIER_ARGS,
    ROOT,
    TOPIC,
    Case,
    planned,
)
from .recording import (
    ALARM,
    BUCKET_POLICY,
    COMPONENT_PREFIX,
    FUNCTION,
    LOG_GROUP,
    POLICY,
    QUEUE,
    QUEUE_POLICY,
    REST_API_POLICY,
    ROLE,
    ROLE_POLICY,
    SNS_TOPIC,
    TABLE,
    Values,
    component_plan,
    plan_of,
    refused_plan,
)

KEYED = [name for name, case in CASES.items() if "kms_key_arn" in case.args]
KEYLESS = [name for name in CASES if name not in KEYED]
FRONT_DOORS = [name for name, case in CASES.items() if case.component is FrontDoor]
RETRIERS = [name for name, case in CASES.items() if case.component is Retrier]
LIMITERS = [name for name, case in CASES.items() if case.component is Limiter]
WITH_FUNCTION = [
    *(f"authorizer {kind}{how}" for kind in ("token", "jwt") for how in ("", " with everything")),
    "consumer",
    "consumer with a key and no table",
    "consumer of an image",
    "consumer of an image with an entry",
    "consumer of a FIFO queue with pollers of its own",
    "consumer with everything",
    *LIMITERS,
    *RETRIERS,
]
LOGGING = ["logs:CreateLogStream", "logs:PutLogEvents"]
KEEPING = ["s3:PutObject"]
OF_NAMED_EXECUTIONS = ["states:DescribeExecution"]
ON_EVERYTHING = {
    *("ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses"),
    *("logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:GetLogDelivery"),
    *("logs:DescribeResourcePolicies", "logs:ListLogDeliveries", "logs:PutResourcePolicy"),
    *("logs:UpdateLogDelivery", "xray:GetSamplingRules", "xray:GetSamplingTargets"),
    *("xray:PutTelemetryRecords", "xray:PutTraceSegments"),
}
"""What IAM knows no resource for, or none that is there before it is used."""

SEGMENT = r"([^/{}]+|\{\})"
PATH = f"{SEGMENT}(/{SEGMENT})*"
"""Names of parameters are no part of a child's name, so that one can be renamed."""
PLACEHOLDERS = {
    "<n>": r"\d+",
    "<place>": r"\d+",
    "<egress>": "call|nat",
    "<path>": PATH,
    "<method>": f"(POST|PUT|PATCH|GET|OPTIONS)/{PATH}",
    "<part>": "logs|role|policy|function|retries",
    "<queue>": "queue|queue-policy|dead-letters|dead-letters-policy|dead-letters-redrive",
    "<subject>": "[a-z]+(-[a-z]+){0,2}",
    "<answer>": r"accepted|refused(-\d{3})?|broken|found|healthy|preflight",
    "<type>": "|".join(
        each.response_type.lower().replace("_", "-")
        for each in answers.gateway_answers(answers.Shape.PLAIN, {}, schemas=False)
    ),
    "<plan>": "gold|trial|partners",
    "<key>": "acme|globex|guest",
    "<email>": r"[^@]+@example\.com",
}
"""What stands for several children in a docstring."""
PLACEHOLDERS_OF: dict[type, dict[str, str]] = {FrontDoor: {"<queue>": "events|orders|theirs"}}
"""What stands for something else in one component's."""
NAMED_CHILD = re.compile(r"``<name>-([^`]+)``")


def documented_children(component: type[pulumi.ComponentResource]) -> set[str]:
    """Return a pattern for each child that the class docstring names, less the component's own name."""
    _, _, children = (component.__doc__ or "").partition("Children")
    roles: set[str] = set()
    for clause in children.split(";"):
        named = set(NAMED_CHILD.findall(clause))
        # A name that begins with dots continues those that are named before "with".
        before, _, behind = clause.partition(" with ")
        endings = re.findall(r"``\.\.\.([^`]+)``", behind)
        named |= {f"{stem}{ending}" for stem in NAMED_CHILD.findall(before) for ending in endings}
        # "And so on" repeats what the clause named before.
        if several := re.search(r"``<name>-(<[a-z]+>-)[^`]+`` and so on", clause):
            named |= {f"{several[1]}{each}" for each in named if not each.startswith("<")}
        roles |= named
    for placeholder, pattern in (PLACEHOLDERS | PLACEHOLDERS_OF.get(component, {})).items():
        roles = {each.replace(placeholder, f"({pattern})") for each in roles}
    return roles


def roles_made(case: str) -> set[str]:
    return {each.name.removeprefix("unit-") for each in planned(case).children}


@pytest.mark.parametrize("case", CASES)
def test_every_child_has_the_component_as_its_parent(case: str) -> None:
    plan = planned(case)
    assert {each.parent for each in plan.children} <= {plan["unit"].urn}


@pytest.mark.parametrize("case", CASES)
def test_child_names_begin_with_the_component_s_name_and_are_documented(case: str) -> None:
    patterns = documented_children(typing.cast(type[pulumi.ComponentResource], CASES[case].component))
    assert all(each.name.startswith("unit-") for each in planned(case).children)
    unknown = {role for role in roles_made(case) if not any(re.fullmatch(each, role) for each in patterns)}
    assert not unknown, "transforms find children by the names that the docstring promises"


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_documented_child_exists(component: type[pulumi.ComponentResource]) -> None:
    made = {role for name, case in CASES.items() if case.component is component for role in roles_made(name)}
    missing = {
        each for each in documented_children(component) if not any(re.fullmatch(each, role) for role in made)
    }
    assert documented_children(component)
    assert not missing


@pytest.mark.parametrize("case", CASES)
def test_the_type_token_is_the_one_that_a_schema_would_name(case: str) -> None:
    (component,) = planned(case).components
    assert component.type == f"{COMPONENT_PREFIX}{typing.cast(type, CASES[case].component).__name__}"


@pytest.mark.parametrize("case", CASES)
def test_every_export_has_a_value_or_is_absent_as_documented(case: str) -> None:
    exports = planned(case).result
    assert {key for key, value in exports.items() if value is None} == CASES[case].absent
    for value in exports.values():
        texts = value.values() if isinstance(value, dict) else [value]
        assert all(isinstance(each, str) and each for each in texts if each is not None)


@pytest.mark.parametrize("component", COMPONENTS)
def test_only_an_export_that_says_so_may_be_absent(component: type[pulumi.ComponentResource]) -> None:
    absent = {key for case in CASES.values() if case.component is component for key in case.absent}
    optional = {
        key
        for key, hint in component.__annotations__.items()
        if type(None) in typing.get_args(typing.get_args(hint)[0])
    }
    assert absent == optional


@pytest.mark.parametrize("case", CASES)
def test_exports_are_registered_with_the_engine(case: str) -> None:
    plan = planned(case)
    present = {key: value for key, value in plan.result.items() if value is not None}
    assert plan.registered_outputs[plan["unit"].urn] == present, "what is absent does not travel"


@pytest.mark.parametrize("case", CASES)
def test_every_queue_is_encrypted_one_way(case: str) -> None:
    for queue in planned(case).of(QUEUE):
        managed = queue.inputs.get("sqsManagedSseEnabled")
        key = queue.inputs.get("kmsMasterKeyId")
        assert (managed, key) in [(True, None), (None, KEY)], "SQS refuses both at once"


@pytest.mark.parametrize("case", CASES)
def test_every_log_is_kept_as_long_as_asked(case: str) -> None:
    days = {group.inputs["retentionInDays"] for group in planned(case).of(LOG_GROUP)}
    assert days <= {CASES[case].args.get("log_retention_days", 30)}


def key_of(type_: str, inputs: Values) -> object:
    return {
        QUEUE: inputs.get("kmsMasterKeyId"),
        LOG_GROUP: inputs.get("kmsKeyId"),
        SNS_TOPIC: inputs.get("kmsMasterKeyId"),
        TABLE: inputs.get("serverSideEncryption", {}).get("kmsKeyArn"),
    }[type_]


@pytest.mark.parametrize(("cases", "key"), [(KEYED, KEY), (KEYLESS, None)])
@pytest.mark.parametrize("type_", [QUEUE, LOG_GROUP, TABLE, SNS_TOPIC])
def test_whatever_holds_data_has_the_customer_key_that_was_given(
    cases: list[str], key: str | None, type_: str
) -> None:
    holders = [each for case in cases for each in planned(case).of(type_)]
    assert {key_of(type_, each.inputs) for each in holders} <= {key}
    assert holders or (type_, key) == (TABLE, None)


@pytest.mark.parametrize("case", WITH_FUNCTION)
def test_a_function_s_variables_are_encrypted_with_the_customer_key(case: str) -> None:
    for function in planned(case).of(FUNCTION):
        assert function.inputs["environment"]["variables"]
        assert function.inputs.get("kmsKeyArn") == (KEY if case in KEYED else None)


def test_a_function_without_variables_has_no_key() -> None:
    def program() -> None:
        spec = functions.FunctionSpec(
            package=functions.Zipped(pulumi.AssetArchive({}), "module.handler"),
            timeout_seconds=5,
            memory_mb=128,
            log_retention_days=30,
            kms_key_arn=KEY,
        )
        parent = pulumi.ComponentResource("sluice:index:Some", "some")
        functions.create_function("unit", spec, statements=[], parent=parent)

    plan = plan_of(program)
    assert "kmsKeyArn" not in plan["unit-function"].inputs, (
        "Lambda keeps none without variables, so each preview would show it as new"
    )
    actions = [action for _, each in plan.statements(ROLE_POLICY) for action in each["Action"]]
    assert actions == LOGGING
    assert plan["unit-logs"].inputs["kmsKeyId"] == KEY


SENDING = {"kms:Decrypt", "kms:GenerateDataKey"}
READING_VARIABLES = {"kms:Decrypt"}
KEEPING_A_TABLE = {
    *("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"),
    *("kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"),
}


@pytest.mark.parametrize("case", CASES)
def test_roles_may_use_the_customer_key_and_no_other(case: str) -> None:
    plan = planned(case)
    granted: dict[str, set[str]] = {}
    for name, statement in plan.statements(ROLE_POLICY):
        actions = {action for action in statement["Action"] if action.startswith("kms:")}
        if actions:
            granted.setdefault(name, set()).update(actions)
            assert statement["Resource"] == [KEY]
    of_function = READING_VARIABLES | (KEEPING_A_TABLE if plan.of(TABLE) else set())
    wanted = {
        "unit-role-policy": SENDING,
        "unit-policy": of_function,
        # The dead letters' bucket asks for no more: to encrypt an object needs GenerateDataKey.
        "unit-ingest-policy": of_function,
        "unit-enforcer-policy": of_function,
        "unit-call-policy": of_function,
        "unit-nat-policy": of_function,
        "unit-machine-policy": SENDING,
        "unit-orchestrator-policy": READING_VARIABLES
        | SENDING
        | (KEEPING_A_TABLE if "unit-idempotency-table" in plan else set()),
    }
    assert granted == {
        each.name: wanted[each.name] for each in plan.of(ROLE_POLICY) if case in KEYED and wanted[each.name]
    }


@pytest.mark.parametrize("case", CASES)
def test_no_role_may_do_anything_to_everything(case: str) -> None:
    for name, statement in planned(case).statements(ROLE, ROLE_POLICY, POLICY):
        assert not any("*" in action for action in statement["Action"]), name
        if statement.get("Resource") == ["*"]:
            assert set(statement["Action"]) <= ON_EVERYTHING, name
            continue
        for resource in statement.get("Resource", []):
            assert re.fullmatch(r"arn:aws:[^*]+(?<![:/])([:/]\*)?", resource), name
            assert resource.endswith(":*") == (statement["Action"] in (LOGGING, OF_NAMED_EXECUTIONS)), name
            assert resource.endswith("/*") == (statement["Action"] == KEEPING), "any object of one bucket"


@pytest.mark.parametrize("case", CASES)
def test_the_only_wildcard_is_a_denial_in_policies_of_queues_and_buckets(case: str) -> None:
    denied = {QUEUE_POLICY: ("Deny", ["sqs:*"]), BUCKET_POLICY: ("Deny", ["s3:*"])}
    for type_, denial in denied.items():
        for name, statement in planned(case).statements(type_):
            assert (statement["Effect"], statement["Action"]) == denial, name
            whole = {each.removesuffix("/*") for each in statement["Resource"]}
            assert len(whole) == 1, name
            assert "*" not in "".join(whole), name
            assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}, name


@pytest.mark.parametrize("case", CASES)
def test_what_an_api_s_policy_allows_to_everybody_is_to_call_what_is_not_signed(case: str) -> None:
    plan = planned(case)
    for name, statement in plan.statements(REST_API_POLICY):
        assert statement["Action"] == ["execute-api:Invoke"], name
        execution = plan["unit-api"].outputs["executionArn"]
        everything = statement["Resource"] == [f"{execution}/*"]
        if statement["Effect"] == "Deny" or "iam_authorization" not in CASES[case].args:
            assert (statement["Principal"], everything) == ("*", True), name
        elif everything:
            assert statement["Principal"] == {"AWS": sorted(CALLERS)}, name
        else:
            verbs = {
                each.removeprefix(f"{execution}/v1/").partition("/")[0] for each in statement["Resource"]
            }
            assert verbs == {"GET", "OPTIONS"}, name


@pytest.mark.parametrize("case", CASES)
def test_a_role_trusts_one_service_alone(case: str) -> None:
    for name, statement in planned(case).statements(ROLE):
        served = "apigateway" if CASES[case].component is FrontDoor else "lambda"
        served = "states" if name == "unit-machine-role" else served
        assert statement["Principal"] == {"Service": f"{served}.amazonaws.com"}, name


@pytest.mark.parametrize("case", FRONT_DOORS)
def test_the_api_s_role_may_send_to_its_queues_and_nothing_else(case: str) -> None:
    plan = planned(case)
    queues = {each.outputs["arn"] for each in plan.of(QUEUE) if not each.name.endswith("-dead-letters")}
    given = [CASES[case].args, *typing.cast(list[Mapping[str, object]], CASES[case].args.get("queues", []))]
    queues |= {each["queue_arn"] for each in given if "queue_arn" in each}
    statements = [each for name, each in plan.statements(ROLE_POLICY) if name == "unit-role-policy"]
    using = {"Effect": "Allow", "Action": sorted(SENDING), "Resource": [KEY]}
    sending = {"Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": sorted(queues)}
    assert statements == [sending, *([using] if case in KEYED else [])]
    assert plan["unit-role-policy"].inputs["role"] == plan["unit-role"].outputs["name"]


@pytest.mark.parametrize("case", WITH_FUNCTION)
def test_a_function_writes_to_its_own_log_alone(case: str) -> None:
    plan = planned(case)
    functions = plan.of(FUNCTION)
    assert functions
    for function in functions:
        unit = function.name.removesuffix("-function")
        group = plan[f"{unit}-logs"]
        logging = [
            statement
            for name, statement in plan.statements(ROLE_POLICY)
            if name == f"{unit}-policy" and any(action.startswith("logs:") for action in statement["Action"])
        ]
        assert logging == [{"Effect": "Allow", "Action": LOGGING, "Resource": [f"{group.outputs['arn']}:*"]}]
        assert function.inputs["loggingConfig"]["logGroup"] == group.outputs["name"]
        assert function.inputs["role"] == plan[f"{unit}-role"].outputs["arn"]


@pytest.mark.parametrize("case", CASES)
def test_every_alarm_tells_the_topic(case: str) -> None:
    for alarm in planned(case).of(ALARM):
        assert alarm.inputs["alarmActions"] == [TOPIC]
        assert alarm.inputs["okActions"] == [TOPIC]


@pytest.mark.parametrize(
    ("case", "alarms"),
    [
        ("front door", set()),
        ("front door with everything", {"errors", "latency", "throttled", "dead-letters", "age"}),
        (
            "front door with routes and queues",
            {
                *("errors", "latency", "throttled"),
                *("events-dead-letters", "events-age", "orders-dead-letters", "orders-age", "theirs-age"),
            },
        ),
        ("front door to a queue that exists", {"errors", "latency", "throttled", "age"}),
        ("front door in an API that exists", {"errors", "latency", "throttled", "dead-letters", "age"}),
        ("alarm topic with everything", set()),
        ("authorizer token", set()),
        ("authorizer token with everything", {"errors", "settings", "throttles"}),
        ("authorizer jwt", set()),
        ("authorizer jwt with everything", {"errors", "settings", "throttles"}),
        ("authorizer function with everything", set()),
        ("authorizer cognito with everything", set()),
        ("authorizer iam with everything", set()),
        ("consumer", set()),
        ("consumer with a key and no table", set()),
        ("consumer of an image", set()),
        ("consumer of an image with an entry", set()),
        ("consumer of a function", set()),
        ("consumer of a function with its role", {"errors", "throttles"}),
        ("consumer of a FIFO queue with pollers of its own", set()),
        ("consumer with everything", {"errors", "throttles"}),
        ("limiter", set()),
        ("limiter with a stage", set()),
        (
            "limiter with everything",
            {
                *("ingest-errors", "dead-letters", "lost-letters", "malformed", "lag", "block-rate"),
                *("enforcer-errors", "enforcer-silent", "stream", "release", "wake-ups", "fill"),
                *("unreadable", "missing", "paused"),
            },
        ),
        ("retrier", set()),
        ("retrier with a key", set()),
        ("retrier for everybody", set()),
        (
            "retrier without a URL",
            {"failed", "throttled", "timed-out", "circuit", "call-errors", "call-throttles"},
        ),
        (
            "retrier with a standard workflow",
            {
                *("failed", "throttled", "timed-out", "circuit"),
                *("call-errors", "call-throttles", "orchestrator-errors", "orchestrator-throttles"),
            },
        ),
        (
            "retrier with everything",
            {
                *("failed", "throttled", "timed-out", "circuit"),
                *("call-errors", "nat-errors", "theirs-errors", "orchestrator-errors"),
                *("call-throttles", "nat-throttles", "theirs-throttles", "orchestrator-throttles"),
            },
        ),
    ],
)
def test_there_are_alarms_where_there_is_a_topic(case: str, alarms: set[str]) -> None:
    assert {each.name for each in planned(case).of(ALARM)} == {f"unit-{each}-alarm" for each in alarms}


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (Case(FrontDoor, {"max_message_size": 1}), "max_message_size"),
        (Case(FrontDoor, {"throttle_rate": 1.5}), "throttle_rate"),
        (Case(FrontDoor, {"path": "/messages"}), "path"),
        (Case(FrontDoor, {"path": "orders/../../_internal"}), "path"),
        (Case(FrontDoor, {"path": "~orders"}), "path"),
        (Case(FrontDoor, {"pth": "messages"}), "pth"),
        (Case(FrontDoor, {"authorizer_cache_ttl_seconds": 0}), "authorizer_cache_ttl_seconds"),
        (Case(FrontDoor, {"authorizer_token_pattern": tokens.BEARER}), "authorizer_token_pattern"),
        (Case(FrontDoor, {"log_principal": True}), "log_principal"),
        (Case(FrontDoor, {"authorizer_function_arn": QUEUE_ARN}), "authorizer_function_arn"),
        (
            Case(FrontDoor, {"authorizer_function_arn": DECIDER, "authorizer_token_pattern": "Bearer ("}),
            "authorizer_token_pattern",
        ),
        (Case(FrontDoor, {"queue_arn": QUEUE_ARN}), "queue_url"),
        (Case(FrontDoor, {"routes": []}), "routes"),
        (Case(FrontDoor, {"routes": [{"path": "a", "pth": "b"}]}), "routes[0].pth"),
        (Case(FrontDoor, {"reads": [{"path": "a"}]}), "reads[0].url"),
        (Case(FrontDoor, {"domain_name": "api.example.com"}), "certificate_arn"),
        (Case(FrontDoor, {"usage_plans": [{"name": "Gold"}]}), "usage_plans[0].name"),
        (Case(EncryptionKey, {"deletion_window_days": 6}), "deletion_window_days"),
        (Case(EncryptionKey, {"rotation": True}), "rotation"),
        (Case(AlarmTopic, {"emails": ["nobody"]}), "emails[0]"),
        (Case(AlarmTopic, {"email": "ops@example.com"}), "email"),
        (Case(Authorizer, {}), "kind"),
        (Case(Authorizer, {"kind": None}), "kind"),
        (Case(Authorizer, {"kind": "oidc"}), "kind"),
        (Case(Authorizer, {"kind": "jwt"}), "issuer audiences"),
        (Case(Authorizer, {"kind": "cognito"}), "user_pool_arns"),
        (Case(Authorizer, {"kind": "iam", "callers": ["*"]}), "callers[0]"),
        (Case(Authorizer, {"kind": "token"}), "tokens"),
        (Case(Authorizer, {"kind": "function"}), "function_arn"),
        (Case(Authorizer, {"kind": "none", "function_arn": DECIDER}), "function_arn"),
        (Case(Authorizer, {"kind": "none", "kms_key": KEY}), "kms_key"),
        (Case(Authorizer, {"kind": "token", "tokens": {"ci": CI}}), "tokens"),
        (Case(Authorizer, {"kind": "token", "tokens": [{"name": "a b", "sha256": CI}]}), "tokens[0].name"),
        (Case(Consumer, {**CONSUMER_ARGS, "timeout_seconds": 31}), "timeout_seconds"),
        (Case(Consumer, {**CONSUMER_ARGS, "batch_size": 11}), "batching_window_seconds"),
        (Case(Consumer, {**CONSUMER_ARGS, "code": "no/such/folder"}), "code"),
        (Case(Consumer, {**CONSUMER_ARGS, "entry": "recorder:handle"}), "entry"),
        (Case(Consumer, {**CONSUMER_ARGS, "entry": None}), "entry"),
        (Case(Consumer, {**CONSUMER_ARGS, "code": str(ROOT)}), "code"),
        (Case(Consumer, {**CONSUMER_ARGS, "environment": {"X": "1"}}), "environment"),
        (Case(Consumer, {**CONSUMER_ARGS, "retry_cap_seconds": 1}), "retry_cap_seconds"),
        (Case(Consumer, {**CONSUMER_ARGS, "concurrency": 3}), "concurrency"),
        (
            Case(Consumer, {key: value for key, value in CONSUMER_ARGS.items() if key != "queue_arn"}),
            "queue_arn",
        ),
        (Case(Limiter, {}), "access_log_arn access_log_name"),
        (Case(Limiter, {**LIMITER_ARGS, "window": []}), "window"),
        (Case(Limiter, {**LIMITER_ARGS, "windows": []}), "windows"),
        (Case(Limiter, {**LIMITER_ARGS, "sets_per_family": 21}), "sets_per_family"),
        (Case(Limiter, {**LIMITER_ARGS, "access_log_arn": "log-group"}), "access_log_arn"),
        (Case(Limiter, {**LIMITER_ARGS, "burst_window_seconds": 60}), "burst_window_seconds"),
        (Case(Limiter, {**LIMITER_ARGS, "log_blocked": True}), "log_blocked"),
        (Case(Limiter, {**PROTECTING, "stage_name": None}), "stage_name"),
        (Case(Limiter, {**LIMITER_ARGS, "ipv6_site_prefix": 48}), "ipv6_site_limits"),
        (Case(Retrier, {}), "upstreams"),
        (Case(Retrier, {"upstreams": []}), "upstreams"),
        (Case(Retrier, {**RETRIER_ARGS, "access": "everybody"}), "access"),
        (Case(Retrier, {**RETRIER_ARGS, "retries": 3}), "retries"),
        (Case(Retrier, {"upstreams": [{"origin": "https://a.b", "pace": 5}]}), "upstreams[0].pace"),
        (Case(Retrier, {**RETRIER_ARGS, "private_networks": ["127.0.0.0/8"]}), "private_networks[0]"),
        (Case(Dashboard, {}), "front_door"),
        (
            Case(Dashboard, {"consumers": [{"label": "worker", "function": "worker-1"}], "panels": []}),
            "panels",
        ),
        (Case(FrontDoor, {"log_retention_days": 31}), "log_retention_days"),
        (Case(Consumer, {**CONSUMER_ARGS, "kms_key_arn": "alias/mine"}), "kms_key_arn"),
        (
            Case(
                Dashboard,
                {"consumers": [{"label": "worker", "function": "worker-1"}], "alarm_topic_arn": KEY},
            ),
            "alarm_topic_arn",
        ),
    ],
)
def test_wrong_arguments_are_refused_before_any_child_exists(wrong: Case, path: str) -> None:
    refusal, plan = refused_plan(wrong.component, wrong.args)
    assert [each.path for each in refusal.problems] == path.split()
    assert not plan.children


def test_all_problems_are_told_at_once() -> None:
    refusal, _ = refused_plan(FrontDoor, {"throttle_rate": 0, "path": "", "unknown": 1})
    assert {each.path for each in refusal.problems} == {"throttle_rate", "path", "unknown"}


FLOWING = re.compile(
    r".*_(arn|url)|api_id|api_name|root_resource_id|hosted_zone_id|issuer|jwks_uri"
    r"|audiences|.*user_pool_arns|(iam_)?callers|caller_arns|policy_arns|secrets|subnet_ids"
    r"|security_group_ids"
)


def later(value: typing.Any) -> typing.Any:
    """Return arguments with an output in the place of whatever other resources may give."""
    if isinstance(value, list):
        return [later(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {key: given_by(each) if flows(key, each) else later(each) for key, each in value.items()}


def flows(key: str, value: object) -> bool:
    """Whether other resources may give an argument; in a list of maps each of their arguments says it."""
    maps = isinstance(value, list) and any(isinstance(each, Mapping) for each in value)
    return bool(FLOWING.fullmatch(key)) and not maps


def given_by(value: object) -> object:
    return [given_by(each) for each in value] if isinstance(value, list) else pulumi.Output.from_input(value)


@pytest.mark.parametrize("case", CASES)
def test_what_flows_from_other_resources_may_be_an_output(case: str) -> None:
    def flowing(name: str, args: Mapping[str, object]) -> pulumi.ComponentResource:
        return CASES[case].component(name, later(args))

    plan = component_plan(flowing, CASES[case].args)
    assert {each.name for each in plan.children} == {each.name for each in planned(case).children}
    assert plan.result == planned(case).result


@pytest.mark.parametrize(
    ("case", "function"),
    [
        ("front door with everything", "getPartition"),
        ("front door in an API that exists", "getPartition getRegion getCallerIdentity"),
        ("encryption key", "getPartition getRegion getCallerIdentity"),
        ("alarm topic", "getCallerIdentity"),
        ("dashboard", "getRegion"),
        ("limiter", "getRegion getCallerIdentity"),
    ],
)
def test_what_a_component_asks_of_aws_it_asks_of_its_own_provider(case: str, function: str) -> None:
    def program() -> None:
        abroad = aws.Provider("abroad", region="eu-west-1")
        CASES[case].component(
            "unit", CASES[case].args, opts=pulumi.ResourceOptions(providers={"aws": abroad})
        )

    plan = plan_of(program)
    abroad = f"{plan['abroad'].urn}::{plan['abroad'].outputs['id']}"
    asked = {f"aws:index/{each}:{each}": abroad for each in function.split()}
    assert plan.asked == asked, "the default one is of another Region"
    assert {each.provider for each in plan.children if each.name != "abroad"} == {abroad}
