import json
import zipfile
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import Consumer
from components.archives import LAYER_LOCK, LayerBuildError, Target
from components.consumer_args import LAYER_LOCK as LAYER_LOCK_OF_OURS

from .cases import (
    CONSUMER_ARGS,
    DRAINED,
    DYING,
    FUNCTION_ARN,
    IMAGE,
    KEY,
    POLICIES,
    QUEUE_ARN,
    TOPIC,
    planned,
)
from .recording import ROLE_POLICY, TABLE, Plan, component_plan, plan_of

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
        "SLUICE_DEAD_LETTER_QUEUE_URL": DYING["dead_letter_queue_url"],
        "SLUICE_MAX_RECEIVES": "4",
        "SLUICE_POISON_ERRORS": "recorder.PoisonError,ValueError",
        "SLUICE_IDEMPOTENCY_TABLE": plan["unit-idempotency-table"].outputs["name"],
        "SLUICE_IDEMPOTENCY": json.dumps(
            {"key": "powertools_json(body).id", "payload": "body", "expires_after_seconds": 3600}
        ),
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
    table = plan["unit-table"].outputs["arn"]
    (granted,) = (each for _, each in plan.statements(ROLE_POLICY) if each["Resource"] == [table])
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
        "sluice/dead_letters.py",
        "sluice/sqs.py",
        *(
            f"sluice/handlers/{each}.py"
            for each in (*("__init__", "batches", "consumer", "deadline", "giving_up", "journal", "once"),)
        ),
    }


@pytest.mark.parametrize("name", ["SLUICE_ENTRY", "AWS_REGION", "_HANDLER", "LAMBDA_TASK_ROOT"])
def test_names_that_are_taken_are_refused_in_the_environment(name: str) -> None:
    with pytest.raises(ValueError, match=f"environment.{name}"):
        consumer(environment={name: "mine"})


def granted(plan: Plan, resource: str) -> list[list[str]]:
    """Return the actions that roles are allowed on one resource, statement by statement."""
    return [each["Action"] for _, each in plan.statements(ROLE_POLICY) if each["Resource"] == [resource]]


def test_the_function_may_put_what_it_gives_up_into_the_dead_letter_queue() -> None:
    dead = str(DYING["dead_letter_queue_arn"])
    assert granted(full(), dead) == [["sqs:SendMessage"]]
    assert ["kms:GenerateDataKey"] in granted(full(), KEY), "what is sent there is encrypted with it"
    assert granted(plain(), dead) == []
    assert "SLUICE_DEAD_LETTER_QUEUE_URL" not in environment(plain())


def test_an_image_that_handles_batches_itself_is_not_let_at_the_dead_letter_queue() -> None:
    plan = component_plan(Consumer, {**DRAINED, **DYING, "image_uri": IMAGE})
    assert granted(plan, str(DYING["dead_letter_queue_arn"])) == []


def test_what_was_handled_is_noted_in_a_table_that_forgets() -> None:
    plan = full()
    table = plan["unit-idempotency-table"]
    assert table.inputs["hashKey"] == "id"
    assert table.inputs["ttl"] == {"enabled": True, "attributeName": "expiration"}
    assert table.inputs["serverSideEncryption"] == {"enabled": True, "kmsKeyArn": KEY}
    assert granted(plan, table.outputs["arn"]) == [
        ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    ]
    assert plan["unit-idempotency-table"].urn not in {each.urn for each in plain().of(TABLE)}


def test_idempotency_goes_by_the_message_s_id_for_four_days_unless_told_otherwise() -> None:
    variables = environment(consumer(idempotency={"key": None, "expires_after_seconds": None}))
    assert json.loads(variables["SLUICE_IDEMPOTENCY"]) == {
        "key": "messageId",
        "payload": "",
        "expires_after_seconds": 345_600,
    }


def test_runs_are_set_aside_only_when_asked() -> None:
    assert full()["unit-function"].inputs["reservedConcurrentExecutions"] == 3
    assert "reservedConcurrentExecutions" not in plain()["unit-function"].inputs


def test_pollers_are_kept_only_when_asked() -> None:
    own = planned("consumer of a FIFO queue with pollers of its own")["unit-mapping"].inputs
    assert own["provisionedPollerConfig"] == {"minimumPollers": 2, "maximumPollers": 10}
    assert "scalingConfig" not in own
    assert "provisionedPollerConfig" not in full()["unit-mapping"].inputs
    most = consumer(provisioned_pollers={"minimum": None})["unit-mapping"].inputs["provisionedPollerConfig"]
    assert most == {"minimumPollers": 2, "maximumPollers": 200}


def test_filters_choose_messages_and_what_they_delete_is_counted() -> None:
    mapping = planned("consumer of a FIFO queue with pollers of its own")["unit-mapping"].inputs
    (chosen,) = mapping["filterCriteria"]["filters"]
    assert json.loads(chosen["pattern"]) == {"body": {"kind": ["order", {"prefix": "o-"}]}}
    assert mapping["metricsConfig"] == {"metrics": ["EventCount"]}
    assert not {"filterCriteria", "metricsConfig"} & plain()["unit-mapping"].inputs.keys()


def test_what_filters_delete_is_to_be_seen_where_there_are_filters() -> None:
    names: list[Any] = []

    def program() -> None:
        for filters in (None, [{"body": {"kind": ["order"]}}]):
            name = "with" if filters else "without"
            names.append(Consumer(name, {**CONSUMER_ARGS, "filters": filters}).names())  # type: ignore[typeddict-item]

    plan_of(program)
    assert ["filtered_by" in each for each in names] == [False, True]


def test_an_image_is_run_as_it_is_or_with_our_handler_for_an_entry() -> None:
    own = planned("consumer of an image")["unit-function"].inputs
    assert (own["packageType"], own["imageUri"]) == ("Image", IMAGE)
    assert not {"handler", "runtime", "layers", "code", "imageConfig"} & own.keys()
    assert own["environment"]["variables"] == {"MODE": "fast"}
    ours = planned("consumer of an image with an entry")["unit-function"].inputs
    assert ours["imageConfig"] == {"commands": ["sluice.handlers.consumer.handler"]}
    assert ours["environment"]["variables"]["SLUICE_ENTRY"] == "orders:handle"
    assert ours["environment"]["variables"]["SLUICE_POISON_ERRORS"] == "Bad"


def test_a_function_that_exists_is_fed_and_nothing_else_is_made() -> None:
    plan = planned("consumer of a function")
    assert [each.name for each in plan.children] == ["unit-mapping"]
    assert plan["unit-mapping"].inputs["functionName"] == FUNCTION_ARN


def test_a_function_that_exists_is_let_drain_before_it_is_fed() -> None:
    plan = planned("consumer of a function with its role")
    assert {each.name for each in plan.children} == {
        *("unit-policy", "unit-mapping", "unit-errors-alarm", "unit-throttles-alarm")
    }
    assert plan["unit-policy"].inputs["role"] == "worker-role"
    assert plan["unit-policy"].urn in plan["unit-mapping"].dependencies
    assert granted(plan, QUEUE_ARN) == granted(full(), QUEUE_ARN)
    assert granted(plan, KEY) == [["kms:Decrypt"]]
    alarm = plan["unit-errors-alarm"].inputs
    assert alarm["dimensions"] == {"FunctionName": "orders"}


def test_an_alias_of_a_function_is_fed_and_the_function_watched() -> None:
    plan = component_plan(
        Consumer, {**DRAINED, "function_arn": f"{FUNCTION_ARN}:live", "alarm_topic_arn": TOPIC}
    )
    assert plan["unit-mapping"].inputs["functionName"] == f"{FUNCTION_ARN}:live"
    assert plan["unit-errors-alarm"].inputs["dimensions"] == {"FunctionName": "orders"}


def test_the_user_s_packages_are_a_layer_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"iniconfig==2.1.0 --hash=sha256:{'0' * 64}\n")
    built: list[Path] = []

    def layer(asked: Path, target: Target) -> Path:
        built.append(asked)
        zipped = tmp_path / f"{len(built)}.zip"
        zipfile.ZipFile(zipped, "w").close()
        return zipped

    monkeypatch.setattr("components.archives.layer", layer)
    plan = consumer(requirements=str(lock), architecture="arm64")
    mine = plan["unit-requirements-layer"]
    assert set(built) == {LAYER_LOCK_OF_OURS, lock}
    assert mine.inputs["compatibleArchitectures"] == ["arm64"]
    assert plan["unit-function"].inputs["layers"] == [plan["unit-layer"].outputs["arn"], mine.outputs["arn"]]


@pytest.mark.parametrize(("limit", "what"), [("LARGEST_ZIPPED", "zipped"), ("LARGEST_UNZIPPED", "unzipped")])
def test_what_lambda_would_not_take_is_not_made(
    limit: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"components.archives.{limit}", 1000)
    with pytest.raises(LayerBuildError, match=rf" MB {what}; Lambda takes 0. Leave packages out, or put all"):
        consumer()


def test_an_image_without_variables_may_use_the_key_of_its_queue() -> None:
    plan = component_plan(Consumer, {**DRAINED, "image_uri": IMAGE, "kms_key_arn": KEY})
    assert granted(plan, KEY) == [["kms:Decrypt"]]
    assert "kmsKeyArn" not in plan["unit-function"].inputs


def test_no_permission_is_written_twice() -> None:
    assert granted(component_plan(Consumer, {**CONSUMER_ARGS, "kms_key_arn": KEY}), KEY) == [["kms:Decrypt"]]


def test_a_queue_is_drained_unless_told_otherwise() -> None:
    assert plain()["unit-mapping"].inputs["enabled"] is True
    assert consumer(enabled=False)["unit-mapping"].inputs["enabled"] is False


def test_an_image_may_come_of_the_same_program() -> None:
    def program() -> object:
        built: Any = pulumi.Output.from_input(IMAGE)
        return Consumer("unit", {**DRAINED, "image_uri": built})  # type: ignore[typeddict-item]

    assert plan_of(program)["unit-function"].inputs["imageUri"] == IMAGE


def test_where_the_package_cannot_be_had_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def layer(*_: object) -> Path:
        raise LayerBuildError("no index")

    monkeypatch.setattr("components.archives.layer", layer)

    def program() -> None:
        with pytest.raises(LayerBuildError, match="no index"):
            Consumer("unit", {**CONSUMER_ARGS, "table": "id", "idempotency": {}})  # type: ignore[typeddict-item]

    assert plan_of(program).children == []


def test_the_function_has_its_user_s_policies_before_it_is_fed() -> None:
    plan = full()
    attached = [plan[f"unit-policy-{place}"] for place in (0, 1)]
    assert [each.inputs for each in attached] == [
        {"role": plan["unit-role"].outputs["name"], "policyArn": each} for each in POLICIES
    ]
    assert {each.urn for each in attached} <= plan["unit-mapping"].dependencies
    assert "unit-policy-0" not in plain()
