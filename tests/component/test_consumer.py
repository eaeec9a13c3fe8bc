import zipfile
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import Consumer
from components.archives import LAYER_LOCK

from .cases import CONSUMER_ARGS, QUEUE_ARN, planned
from .recording import ROLE_POLICY, TABLE, Plan, component_plan

QUEUE_URL = CONSUMER_ARGS["queue_url"]


def plain() -> Plan:
    return planned("consumer")


def full() -> Plan:
    return planned("consumer with everything")


def consumer(**args: object) -> Plan:
    return component_plan(Consumer, {**CONSUMER_ARGS, **args})


def environment(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = plan["unit-function"].inputs["environment"]["variables"]
    return found


def test_the_queue_feeds_the_function_and_failed_records_come_back_alone() -> None:
    plan = plain()
    mapping = plan["unit-mapping"].inputs
    assert mapping["eventSourceArn"] == QUEUE_ARN
    assert mapping["functionName"] == plan["unit-function"].outputs["arn"]
    assert mapping["functionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (mapping["batchSize"], mapping["maximumBatchingWindowInSeconds"]) == (10, 0)


def test_batches_are_as_large_and_as_slow_as_asked() -> None:
    mapping = full()["unit-mapping"].inputs
    assert (mapping["batchSize"], mapping["maximumBatchingWindowInSeconds"]) == (50, 5)


def test_concurrency_is_limited_only_when_asked() -> None:
    assert "scalingConfig" not in plain()["unit-mapping"].inputs
    assert full()["unit-mapping"].inputs["scalingConfig"] == {"maximumConcurrency": 3}


def test_the_function_is_told_its_entry_its_queue_and_its_waits() -> None:
    assert environment(plain()) == {
        "SLUICE_ENTRY": "recorder:record_handler",
        "SLUICE_QUEUE_URL": QUEUE_URL,
        "SLUICE_RETRY_BASE_SECONDS": "2",
        "SLUICE_RETRY_CAP_SECONDS": "300",
        "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
    }


def test_the_user_s_environment_is_there_too() -> None:
    plan = full()
    assert environment(plan) == {
        "MODE": "fast",
        "SLUICE_ENTRY": "recorder:record_handler",
        "SLUICE_QUEUE_URL": QUEUE_URL,
        "SLUICE_RETRY_BASE_SECONDS": "4",
        "SLUICE_RETRY_CAP_SECONDS": "64",
        "SLUICE_TABLE": plan["unit-table"].outputs["name"],
        "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
    }


def test_the_function_is_as_large_and_as_patient_as_asked() -> None:
    function = full()["unit-function"].inputs
    assert (function["memorySize"], function["timeout"]) == (512, 20)


def test_there_is_no_table_unless_asked() -> None:
    plan = plain()
    assert not plan.of(TABLE)
    granted = [action for _, statement in plan.statements(ROLE_POLICY) for action in statement["Action"]]
    assert not any(action.startswith("dynamodb:") for action in granted)


def test_a_table_has_the_key_that_was_asked_for_and_can_be_restored() -> None:
    table = consumer(table="order_id")["unit-table"].inputs
    assert table["hashKey"] == "order_id"
    assert table["attributes"] == [{"name": "order_id", "type": "S"}]
    assert table["pointInTimeRecovery"] == {"enabled": True}
    assert table["serverSideEncryption"] == {"enabled": True}


def test_the_function_may_handle_the_items_of_its_table_and_nothing_else_of_it() -> None:
    plan = full()
    (granted,) = (
        statement
        for _, statement in plan.statements(ROLE_POLICY)
        if any(action.startswith("dynamodb:") for action in statement["Action"])
    )
    assert granted["Resource"] == [plan["unit-table"].outputs["arn"]]
    verbs = {action.removeprefix("dynamodb:") for action in granted["Action"]}
    assert verbs == {
        "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "BatchGetItem", "BatchWriteItem",
        "ConditionCheckItem",
    }  # fmt: skip


def test_the_function_may_drain_its_queue() -> None:
    on_queue = [
        statement["Action"]
        for _, statement in plain().statements(ROLE_POLICY)
        if statement["Resource"] == [QUEUE_ARN]
    ]
    assert on_queue == [
        ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    ]


def test_the_function_has_its_permissions_before_it_runs() -> None:
    plan = plain()
    assert plan["unit-policy"].urn in plan["unit-function"].dependencies


def test_the_packages_are_a_layer_built_from_the_lock() -> None:
    plan = plain()
    layer = plan["unit-layer"]
    code = layer.inputs["code"]
    assert isinstance(code, pulumi.FileArchive)
    with zipfile.ZipFile(Path(code.path)) as archive:
        names = set(archive.namelist())
    assert {LAYER_LOCK, "python/aws_lambda_powertools/__init__.py"} <= names
    function = plan["unit-function"].inputs
    assert function["layers"] == [layer.outputs["arn"]]
    assert layer.inputs["compatibleRuntimes"] == [function["runtime"]]
    assert layer.inputs["compatibleArchitectures"] == function["architectures"] == ["x86_64"]


def test_the_archive_holds_the_user_s_code_beside_ours(tmp_path: Path) -> None:
    for file in ("helpers/rules.py", "__pycache__/consumer.pyc", ".env"):
        target = tmp_path / file
        target.parent.mkdir(exist_ok=True)
        target.write_text("")
    (tmp_path / "consumer.py").write_text("def record_handler(record): ...\n")
    archive = consumer(code=str(tmp_path), entry=None)["unit-function"].inputs["code"]
    assert isinstance(archive, pulumi.AssetArchive)
    assert set(archive.assets) == {
        "consumer.py",
        "helpers/rules.py",
        "sluice/__init__.py",
        "sluice/handlers/__init__.py",
        "sluice/handlers/consumer.py",
    }


@pytest.mark.parametrize("name", ["SLUICE_ENTRY", "AWS_REGION", "_HANDLER", "LAMBDA_TASK_ROOT"])
def test_names_that_are_taken_are_refused_in_the_environment(name: str) -> None:
    with pytest.raises(ValueError, match=f"environment.{name}"):
        consumer(environment={name: "mine"})
