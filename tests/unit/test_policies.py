import json
from typing import Any

import pytest

from components import consumer, policies
from components.policies import Statement

QUEUE = "arn:aws:sqs:us-east-1:123456789012:orders"
KEY = "arn:aws:kms:us-east-1:123456789012:key/abc"


def statements(document: str) -> list[dict[str, Any]]:
    written = json.loads(document)
    assert written["Version"] == "2012-10-17"
    assert set(written) == {"Version", "Statement"}
    found: list[dict[str, Any]] = written["Statement"]
    return found


def test_a_statement_holds_nothing_that_was_not_said() -> None:
    assert Statement(["b:Y", "a:X"], ["r2", "r1"]).document() == {
        "Effect": "Allow",
        "Action": ["a:X", "b:Y"],
        "Resource": ["r1", "r2"],
    }


def test_the_same_statements_make_the_same_text() -> None:
    one = policies.policy(Statement(["a:X", "b:Y"], ["r1", "r2"]))
    assert policies.policy(Statement(["b:Y", "a:X"], ["r2", "r1"])) == one


def test_a_role_is_taken_on_by_one_service_alone() -> None:
    assert statements(policies.trusts("lambda.amazonaws.com")) == [
        {"Effect": "Allow", "Action": ["sts:AssumeRole"], "Principal": {"Service": "lambda.amazonaws.com"}}
    ]


def test_a_queue_refuses_everybody_without_tls() -> None:
    assert statements(policies.tls_only(QUEUE)) == [
        {
            "Effect": "Deny",
            "Action": ["sqs:*"],
            "Principal": "*",
            "Resource": [QUEUE],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]


def test_the_front_door_may_send_and_nothing_else() -> None:
    assert statements(policies.send_messages([QUEUE], None)) == [
        {"Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": [QUEUE]}
    ]


def test_the_front_door_may_send_to_all_of_its_queues_and_to_no_other() -> None:
    (found,) = statements(policies.send_messages([QUEUE, f"{QUEUE}-2"], None))
    assert found["Resource"] == [QUEUE, f"{QUEUE}-2"]


def test_a_sender_needs_both_actions_of_a_customer_key() -> None:
    assert statements(policies.send_messages([QUEUE], KEY))[1:] == [
        {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": [KEY]}
    ]


def test_without_a_customer_key_no_key_is_named() -> None:
    assert policies.key_use(None, "kms:Decrypt") == []
    assert policies.key_use("", "kms:Decrypt") == []


def test_a_function_writes_to_the_streams_of_its_own_log_alone() -> None:
    written = policies.write_logs("arn:aws:logs:us-east-1:1:log-group:mine").document()
    assert written["Resource"] == ["arn:aws:logs:us-east-1:1:log-group:mine:*"]
    assert written["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]


@pytest.mark.parametrize("statement", [policies.drain_queue(QUEUE), policies.own_table(QUEUE)])
def test_what_a_consumer_may_do_is_named_action_by_action_on_one_resource(statement: Statement) -> None:
    assert statement.effect == "Allow"
    assert list(statement.resources) == [QUEUE]
    assert not [action for action in statement.actions if "*" in action]


def test_a_function_may_use_the_key_of_its_own_table_and_of_no_other() -> None:
    assert policies.table_key_use(None) == []
    (used,) = policies.table_key_use(KEY)
    assert list(used.resources) == [KEY]
    assert not [action for action in used.actions if not action.startswith("kms:") or "*" in action]


TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/t"
KEPT = "arn:aws:dynamodb:us-east-1:123456789012:table/kept"
DEAD = "arn:aws:sqs:us-east-1:123456789012:dead"


@pytest.mark.parametrize(
    ("dead", "table", "kept", "key", "resources"),
    [
        (None, None, None, None, [QUEUE]),
        (None, None, None, KEY, [QUEUE, KEY]),
        (None, TABLE, None, None, [QUEUE, TABLE]),
        (None, TABLE, None, KEY, [QUEUE, KEY, TABLE, KEY]),
        (DEAD, None, None, None, [QUEUE, DEAD]),
        (DEAD, None, None, KEY, [QUEUE, KEY, DEAD, KEY]),
        (None, None, KEPT, None, [QUEUE, KEPT]),
        (DEAD, TABLE, KEPT, KEY, [QUEUE, KEY, DEAD, KEY, TABLE, KEPT, KEY]),
    ],
)
def test_a_consumer_is_let_at_what_it_has_and_no_more(
    dead: str | None, table: str | None, kept: str | None, key: str | None, resources: list[str]
) -> None:
    given = consumer.statements(QUEUE, dead, table, kept, key)
    assert [resource for each in given for resource in each.resources] == resources


def test_a_consumer_may_neither_send_nor_change_its_queue_or_table() -> None:
    assert set(policies.drain_queue(QUEUE).actions) == {
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ChangeMessageVisibility",
    }
    # Settings are changed by actions on the table, such as UpdateTable: those of items end in Item, or read.
    assert {action.partition(":")[2] for action in policies.own_table(QUEUE).actions} == {
        "GetItem",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "Query",
        "BatchGetItem",
        "BatchWriteItem",
        "ConditionCheckItem",
    }
