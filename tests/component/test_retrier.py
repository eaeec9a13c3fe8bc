import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import InvalidArgsError, LayerBuildError, Retrier
from components.retrier_args import calls_from_queue
from sluice.retrier import rules

from .cases import CALLERS, FUNCTION_ARN, KEY, RETRIER_ARGS, SECRET_ARN, planned
from .recording import (
    ALARM,
    FUNCTION,
    LAYER,
    LOG_GROUP,
    PERMISSION,
    POLICY,
    ROLE_POLICY,
    TABLE,
    Plan,
    Values,
    arn,
    component_plan,
    plan_of,
)

SECRET: dict[str, Any] = {
    "name": "partner",
    "secret_arn": SECRET_ARN,
    "origins": ["https://api.example.com"],
}
NETWORK = {"subnet_ids": ["subnet-0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]}
LOGGING = ["logs:CreateLogStream", "logs:PutLogEvents"]
DELIVERING_LOGS = [
    *("logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups"),
    *("logs:DescribeResourcePolicies", "logs:GetLogDelivery", "logs:ListLogDeliveries"),
    *("logs:PutResourcePolicy", "logs:UpdateLogDelivery"),
]
TRACING = [
    *("xray:GetSamplingRules", "xray:GetSamplingTargets"),
    *("xray:PutTelemetryRecords", "xray:PutTraceSegments"),
]
IN_NETWORK = [
    *("ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses"),
]
OF_A_TABLE = [
    *("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"),
    *("kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"),
]
OF_A_MACHINE = ["kms:Decrypt", "kms:GenerateDataKey"]
NOTING = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
Granted = list[tuple[list[str], list[str]]]


def plain() -> Plan:
    return planned("retrier")


def full() -> Plan:
    return planned("retrier with everything")


def standard() -> Plan:
    return planned("retrier with a standard workflow")


def retrier(**args: object) -> Plan:
    return component_plan(Retrier, {**RETRIER_ARGS, **args})


def granted(plan: Plan, name: str) -> Granted:
    """Return the actions and the resources of each statement of a policy."""
    found = [each for policy, each in plan.statements(ROLE_POLICY, POLICY) if policy == name]
    assert {each["Effect"] for each in found} == {"Allow"}
    assert not any("Condition" in each for each in found)
    return [(each["Action"], each["Resource"]) for each in found]


def arn_of(plan: Plan, name: str) -> str:
    return str(plan[name].outputs["arn"])


def logging(plan: Plan, part: str) -> tuple[list[str], list[str]]:
    return LOGGING, [f"{arn_of(plan, f'unit-{part}-logs')}:*"]


def environment(plan: Plan, part: str) -> Values:
    found: Values = plan[f"unit-{part}-function"].inputs["environment"]["variables"]
    return found


def definition(plan: Plan) -> Values:
    found: Values = json.loads(plan["unit-machine"].inputs["definition"])
    return found


def test_a_plain_retrier_is_a_function_that_calls_a_state_machine_and_a_url() -> None:
    assert {each.name.removeprefix("unit-") for each in plain().children} == {
        *("call-logs", "call-role", "call-policy", "call-function"),
        *("orchestrator-logs", "orchestrator-role", "orchestrator-policy", "orchestrator-function"),
        *("machine", "machine-logs", "machine-role", "machine-policy", "start-policy"),
        *("layer", "url", "budgets-table", "idempotency-table"),
    }


def test_each_egress_is_a_function_of_its_own_and_one_that_exists_is_taken() -> None:
    plan = full()
    assert {each.name for each in plan.of(FUNCTION)} == {
        *("unit-call-function", "unit-nat-function", "unit-orchestrator-function"),
    }
    assert plan.result["function_arns"] == {
        "call": arn_of(plan, "unit-call-function"),
        "nat": arn_of(plan, "unit-nat-function"),
        "theirs": FUNCTION_ARN,
    }
    assert definition(plan)["States"]["Begin"]["Assign"]["functions"] == [
        *plan.result["function_arns"].values(),
    ], "in the order in which they are asked"


def test_functions_are_in_a_network_only_where_asked() -> None:
    plan = full()
    assert plan["unit-nat-function"].inputs["vpcConfig"] == {
        "subnetIds": ["subnet-0a1b2c3d4e5f60718", "subnet-0a1b2c3d4e5f60719"],
        "securityGroupIds": ["sg-0a1b2c3d4e5f60718"],
    }
    assert "vpcConfig" not in plan["unit-call-function"].inputs
    assert "vpcConfig" not in plan["unit-orchestrator-function"].inputs


def test_a_function_that_calls_may_use_its_budgets_and_write_its_log_and_nothing_else() -> None:
    plan = plain()
    assert granted(plan, "unit-call-policy") == [
        logging(plan, "call"),
        (["dynamodb:GetItem", "dynamodb:UpdateItem"], [arn_of(plan, "unit-budgets-table")]),
    ]


def test_a_function_that_calls_reads_its_secrets_alone_each_with_its_own_key() -> None:
    other = arn("secretsmanager", "secret:other-Xy98Zw")
    other_key = arn("kms", "key/other")
    plan = retrier(
        secrets=[SECRET, {**SECRET, "name": "other", "secret_arn": other, "kms_key_arn": other_key}]
    )
    assert granted(plan, "unit-call-policy")[2:] == [
        (["secretsmanager:GetSecretValue"], sorted([SECRET_ARN, other])),
        (["kms:Decrypt"], [other_key]),
    ]
    told = {name for name, each in plan.statements(ROLE_POLICY, POLICY) if SECRET_ARN in each["Resource"]}
    assert told == {"unit-call-policy"}


def test_a_function_in_a_network_and_traced_may_be_that_too() -> None:
    plan = retrier(egress=[{"name": "nat", **NETWORK}, {"name": "call"}], tracing=True)
    assert granted(plan, "unit-nat-policy")[2:] == [(IN_NETWORK, ["*"]), (TRACING, ["*"])]
    assert granted(plan, "unit-call-policy")[2:] == [(TRACING, ["*"])]
    assert granted(plan, "unit-machine-policy")[2:] == [(TRACING, ["*"])]
    assert (TRACING, ["*"]) in granted(plan, "unit-orchestrator-policy")


def test_with_a_customer_key_each_may_use_it_for_what_it_reads_and_writes() -> None:
    plan = planned("retrier with a key")
    assert granted(plan, "unit-call-policy")[2:] == [(OF_A_TABLE, [KEY]), (["kms:Decrypt"], [KEY])]
    assert granted(plan, "unit-machine-policy")[2:] == [(OF_A_MACHINE, [KEY])]
    assert granted(plan, "unit-start-policy")[1:] == [(OF_A_MACHINE, [KEY])]
    of_key = [each for each, where in granted(plan, "unit-orchestrator-policy") if where == [KEY]]
    assert of_key == [OF_A_MACHINE, OF_A_TABLE, ["kms:Decrypt"]]


def test_the_state_machine_may_run_the_functions_that_call_and_deliver_its_log() -> None:
    plan = full()
    functions = sorted(plan.result["function_arns"].values())
    assert granted(plan, "unit-machine-policy")[:2] == [
        (["lambda:InvokeFunction"], functions),
        (DELIVERING_LOGS, ["*"]),
    ]
    assert len(granted(plain(), "unit-machine-policy")) == 2
    assert plan["unit-machine-policy"].urn in plan["unit-machine"].dependencies


def test_the_orchestrator_may_start_the_state_machine_and_wait_and_note_what_is_done() -> None:
    plan = plain()
    assert granted(plan, "unit-orchestrator-policy") == [
        logging(plan, "orchestrator"),
        (["states:StartSyncExecution"], [arn_of(plan, "unit-machine")]),
        (NOTING, [arn_of(plan, "unit-idempotency-table")]),
    ]


def test_the_orchestrator_of_a_standard_workflow_may_start_executions_and_look_at_them() -> None:
    plan = retrier(workflow="standard")
    machine = arn_of(plan, "unit-machine")
    executions = machine.replace(":stateMachine:", ":execution:") + ":*"
    assert granted(plan, "unit-orchestrator-policy") == [
        logging(plan, "orchestrator"),
        (["states:StartExecution"], [machine]),
        (["states:DescribeExecution"], [executions]),
    ]
    assert "unit-idempotency-table" not in plan, "Step Functions keeps what became of a call"


@pytest.mark.parametrize(
    ("workflow", "action"),
    [("express", "states:StartSyncExecution"), ("standard", "states:StartExecution")],
)
def test_whoever_has_the_start_policy_may_start_the_state_machine_and_nothing_else(
    workflow: str, action: str
) -> None:
    plan = retrier(workflow=workflow)
    assert granted(plan, "unit-start-policy") == [([action], [arn_of(plan, "unit-machine")])]
    assert plan.result["start_policy_arn"] == arn_of(plan, "unit-start-policy")


def permissions(plan: Plan) -> list[tuple[object, ...]]:
    of_url = ("principal", "action", "functionUrlAuthType", "invokedViaFunctionUrl")
    function = plan["unit-orchestrator-function"].outputs["name"]
    assert {each.inputs["function"] for each in plan.of(PERMISSION)} <= {function}
    return [tuple(each.inputs.get(key) for key in of_url) for each in plan.of(PERMISSION)]


def test_by_default_callers_sign_and_their_own_policies_decide() -> None:
    plan = plain()
    assert plan["unit-url"].inputs == {
        "functionName": plan["unit-orchestrator-function"].outputs["name"],
        "authorizationType": "AWS_IAM",
    }
    assert permissions(plan) == []


def test_callers_that_are_named_may_call_the_url_and_run_the_function_through_it_alone() -> None:
    plan = full()
    assert permissions(plan) == [
        each
        for caller in CALLERS
        for each in (
            (caller, "lambda:InvokeFunctionUrl", "AWS_IAM", None),
            (caller, "lambda:InvokeFunction", None, True),
        )
    ]
    assert {each.urn for each in plan.of(PERMISSION)} <= plan["unit-url"].dependencies


def test_an_open_url_lets_everybody_call_and_run_the_function_through_it_alone() -> None:
    plan = planned("retrier for everybody")
    assert plan["unit-url"].inputs["authorizationType"] == "NONE"
    assert permissions(plan) == [
        ("*", "lambda:InvokeFunctionUrl", "NONE", None),
        ("*", "lambda:InvokeFunction", None, True),
    ]


def test_without_access_there_is_neither_url_nor_orchestrator() -> None:
    plan = planned("retrier without a URL")
    assert not [each.name for each in plan.children if "orchestrator" in each.name or "url" in each.name]
    assert [each.name for each in plan.of(TABLE)] == ["unit-budgets-table"]
    assert plan.result["url"] is None
    assert plan.result["state_machine_arn"] == arn_of(plan, "unit-machine")


def test_the_state_machine_is_of_the_kind_that_was_asked_for() -> None:
    assert plain()["unit-machine"].inputs["type"] == "EXPRESS"
    assert standard()["unit-machine"].inputs["type"] == "STANDARD"


def test_everything_ends_after_what_it_waits_for() -> None:
    for plan, deadline, attempt in ((plain(), 60, 10), (full(), 120, 20)):
        functions = plan["unit-call-function"].inputs["timeout"]
        assert functions > attempt
        machine = definition(plan)
        assert machine["States"]["Call"]["TimeoutSeconds"] > functions
        assert machine["TimeoutSeconds"] > deadline
        assert plan["unit-orchestrator-function"].inputs["timeout"] > machine["TimeoutSeconds"]
    assert definition(standard())["TimeoutSeconds"] > 21_600
    assert standard()["unit-orchestrator-function"].inputs["timeout"] == 30, "it waits for nothing"
    longest = retrier(deadline_seconds=270)
    assert definition(longest)["TimeoutSeconds"] <= 300, "no Express workflow runs longer"


def test_the_log_is_of_errors_alone_without_what_calls_and_answers_hold() -> None:
    plan = plain()
    group = plan["unit-machine-logs"]
    assert group.inputs["namePrefix"] == "/aws/vendedlogs/states/sluice-test-unit-"
    assert plan["unit-machine"].inputs["loggingConfiguration"] == {
        "level": "ERROR",
        "includeExecutionData": False,
        "logDestination": f"{group.outputs['arn']}:*",
    }
    assert plan.result["log_group_name"] == group.outputs["name"]


def test_logs_are_kept_as_long_as_asked() -> None:
    assert {each.inputs["retentionInDays"] for each in plain().of(LOG_GROUP)} == {30}
    assert {each.inputs["retentionInDays"] for each in full().of(LOG_GROUP)} == {90}


def test_what_is_kept_is_encrypted_with_the_customer_key() -> None:
    plan = planned("retrier with a key")
    assert plan["unit-machine"].inputs["encryptionConfiguration"] == {
        "type": "CUSTOMER_MANAGED_KMS_KEY",
        "kmsKeyId": KEY,
        "kmsDataKeyReusePeriodSeconds": 300,
    }
    assert "encryptionConfiguration" not in plain()["unit-machine"].inputs
    assert {each.inputs["kmsKeyId"] for each in plan.of(LOG_GROUP)} == {KEY}
    assert {each.inputs["kmsKeyArn"] for each in plan.of(FUNCTION)} == {KEY}
    assert {each.inputs["serverSideEncryption"]["kmsKeyArn"] for each in plan.of(TABLE)} == {KEY}


def test_tables_forget_what_is_over() -> None:
    plan = plain()
    for name, expiry in (("budgets", "expires"), ("idempotency", "expiration")):
        table = plan[f"unit-{name}-table"].inputs
        assert (table["hashKey"], table["billingMode"]) == ("id", "PAY_PER_REQUEST")
        assert table["ttl"] == {"enabled": True, "attributeName": expiry}
        assert table["serverSideEncryption"] == {"enabled": True}


def test_the_functions_are_told_where_their_things_are() -> None:
    plan = plain()
    assert environment(plan, "call") == {
        "SLUICE_SERVICE": "sluice-test-unit",
        "SLUICE_BUDGETS": plan["unit-budgets-table"].outputs["name"],
        "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
    }
    assert environment(plan, "orchestrator") == {
        "SLUICE_SERVICE": "sluice-test-unit",
        "SLUICE_STATE_MACHINE": arn_of(plan, "unit-machine"),
        "SLUICE_WORKFLOW": "express",
        "SLUICE_IDEMPOTENCY_TABLE": plan["unit-idempotency-table"].outputs["name"],
        "SLUICE_KEPT_SECONDS": "86400",
    }
    assert environment(full(), "orchestrator")["SLUICE_KEPT_SECONDS"] == "3600"


def test_the_functions_are_told_the_names_of_secrets_and_where_they_are_but_no_value() -> None:
    told = environment(full(), "call")["SLUICE_SECRETS"]
    assert json.loads(told) == {"partner": SECRET_ARN}
    assert "SLUICE_SECRETS" not in environment(full(), "orchestrator")


def test_the_orchestrator_of_a_standard_workflow_is_told_of_no_table() -> None:
    assert environment(standard(), "orchestrator") == {
        "SLUICE_SERVICE": "sluice-test-unit",
        "SLUICE_STATE_MACHINE": arn_of(standard(), "unit-machine"),
        "SLUICE_WORKFLOW": "standard",
    }


def test_every_function_of_ours_has_the_same_rules_in_its_archive() -> None:
    plan = full()
    texts = set()
    for each in plan.of(FUNCTION):
        archive = each.inputs["code"]
        assert isinstance(archive, pulumi.AssetArchive)
        asset = archive.assets[f"sluice/handlers/retrier/{rules.FILE}"]
        assert isinstance(asset, pulumi.StringAsset)
        texts.add(asset.text)
    (text,) = texts
    told = rules.loads(text)
    assert [each.origin for each in told.upstreams] == [
        "https://api.example.com",
        "https://*.example.org:8443",
    ]
    assert told.upstreams[0].pace == rules.Pace(10, 2, 5)
    assert told.failures == ("connection", "timeout")
    assert (told.attempts, told.deadline_seconds, told.shared_pause_seconds) == (8, 120, 120)
    assert told.idempotency_header == "x-request-key"


def test_the_functions_share_one_layer_and_are_as_large_as_asked() -> None:
    plan = full()
    (layer,) = plan.of(LAYER)
    handlers = {each.name: each.inputs["handler"] for each in plan.of(FUNCTION)}
    assert handlers == {
        "unit-call-function": "sluice.handlers.retrier.call.handler",
        "unit-nat-function": "sluice.handlers.retrier.call.handler",
        "unit-orchestrator-function": "sluice.handlers.retrier.orchestrator.handler",
    }
    for function in plan.of(FUNCTION):
        assert function.inputs["layers"] == [layer.outputs["arn"]]
        assert function.inputs["memorySize"] == 512
        assert function.inputs["architectures"] == layer.inputs["compatibleArchitectures"] == ["x86_64"]


def test_everything_is_traced_only_when_asked() -> None:
    for plan, traced in ((full(), True), (plain(), False)):
        assert plan["unit-machine"].inputs["tracingConfiguration"] == {"enabled": traced}
        modes = {each.inputs.get("tracingConfig", {}).get("mode") for each in plan.of(FUNCTION)}
        assert modes == {"Active" if traced else None}


def test_alarms_look_at_this_state_machine_and_these_functions() -> None:
    plan = full()
    machine = {"StateMachineArn": arn_of(plan, "unit-machine")}
    looked = {
        each.name.removeprefix("unit-").removesuffix("-alarm"): (
            each.inputs["namespace"], each.inputs["metricName"], each.inputs["dimensions"]
        )
        for each in plan.of(ALARM)
    }  # fmt: skip
    functions = {
        **{each: plan[f"unit-{each}-function"].outputs["name"] for each in ("call", "nat", "orchestrator")},
        "theirs": "orders",
    }
    assert looked == {
        "failed": ("AWS/States", "ExecutionsFailed", machine),
        "throttled": ("AWS/States", "ExecutionThrottled", machine),
        "timed-out": ("AWS/States", "ExecutionsTimedOut", machine),
        "circuit": ("Sluice", "CircuitsOpened", {"service": "sluice-test-unit"}),
        **{
            f"{role}-{metric.lower()}": ("AWS/Lambda", metric, {"FunctionName": name})
            for role, name in functions.items()
            for metric in ("Errors", "Throttles")
        },
    }
    assert {each.inputs["treatMissingData"] for each in plan.of(ALARM)} == {"notBreaching"}


@pytest.mark.parametrize(("case", "orchestrated"), [("retrier", True), ("retrier without a URL", False)])
def test_a_dashboard_finds_the_functions_that_there_are(case: str, orchestrated: bool) -> None:
    wanted = planned(case)
    names: list[Any] = []

    def program() -> None:
        args = {**RETRIER_ARGS, **({} if orchestrated else {"access": "none"})}
        names.append(Retrier("unit", args).names())  # type: ignore[arg-type]

    plan_of(program)
    assert ("orchestrator" in names[0]) is orchestrated
    assert ("unit-orchestrator-function" in wanted) is orchestrated
    assert [*names[0]["functions"]] == ["call"]


def consumer_args(**args: object) -> Values:
    def program() -> object:
        made: Any = Retrier("unit", {**RETRIER_ARGS, **args})  # type: ignore[typeddict-item]
        return pulumi.Output.from_input(made.consumer_args())

    found: Values = plan_of(program).result
    return found


def test_a_consumer_gets_the_code_that_makes_calls_and_may_start_the_state_machine() -> None:
    plan = plain()
    given = consumer_args(deadline_seconds=45)
    assert given["environment"] == {
        "CALLS_STATE_MACHINE": arn_of(plan, "unit-machine"),
        "CALLS_REPEATED": "GET HEAD OPTIONS PUT DELETE",
    }
    assert given["policy_arns"] == [arn_of(plan, "unit-start-policy")]
    assert (Path(given["code"]) / "queued_calls.py").is_file()
    assert given["entry"] == "queued_calls:record_handler"
    args: Any = {**RETRIER_ARGS, "deadline_seconds": 45}
    assert given.items() >= calls_from_queue(args).items()


def test_no_consumer_makes_calls_that_nobody_waits_for() -> None:
    with pytest.raises(InvalidArgsError, match="express, where calls come from a queue") as refusal:
        consumer_args(workflow="standard")
    assert [each.path for each in refusal.value.problems] == ["workflow"]
    assert "Retrier 'unit'" in str(refusal.value)


def test_runs_are_set_aside_for_the_orchestrator_alone() -> None:
    plan = retrier(reserved_concurrency=5)
    assert plan["unit-orchestrator-function"].inputs["reservedConcurrentExecutions"] == 5
    assert "reservedConcurrentExecutions" not in plan["unit-call-function"].inputs
    assert "reservedConcurrentExecutions" not in plain()["unit-orchestrator-function"].inputs


def test_where_the_package_cannot_be_had_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def layer(*_: object) -> Path:
        raise LayerBuildError("no index")

    monkeypatch.setattr("components.archives.layer", layer)

    def program() -> None:
        with pytest.raises(LayerBuildError, match="no index"):
            Retrier("unit", {**RETRIER_ARGS})  # type: ignore[typeddict-item]

    assert plan_of(program).children == []
