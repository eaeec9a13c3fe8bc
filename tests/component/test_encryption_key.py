import json

from components import encryption_key

from .cases import planned
from .recording import ACCOUNT, REGION, Values, plan_of

OWNER = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
LOGS = {"Service": f"logs.{REGION}.amazonaws.com"}
ALARMS = {"Service": "cloudwatch.amazonaws.com"}
DELIVERY = {"Service": "delivery.logs.amazonaws.com"}


def statements() -> list[Values]:
    found: list[Values] = json.loads(planned("encryption key")["unit-key"].inputs["policy"])["Statement"]
    return found


def granted(principal: dict[str, str]) -> Values:
    (found,) = (each for each in statements() if each["Principal"] == principal)
    return found


def test_the_key_rotates_and_can_be_saved_for_a_month() -> None:
    key = planned("encryption key")["unit-key"].inputs
    assert key["enableKeyRotation"] is True
    assert key["deletionWindowInDays"] == 30
    assert planned("encryption key with everything")["unit-key"].inputs["deletionWindowInDays"] == 7


def test_the_key_s_policy_names_the_account_logs_and_alarms_and_nobody_else() -> None:
    assert [each["Principal"] for each in statements()] == [OWNER, LOGS, DELIVERY, ALARMS]
    assert {(each["Effect"], tuple(each["Resource"])) for each in statements()} == {("Allow", ("*",))}, (
        "in a key's own policy * is that key"
    )


def test_the_account_decides_by_iam() -> None:
    assert granted(OWNER)["Action"] == ["kms:*"], "without it nobody could change the key any more"
    assert "Condition" not in granted(OWNER)


def test_log_groups_of_this_account_and_region_may_be_encrypted() -> None:
    assert granted(LOGS)["Action"] == [
        *("kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"),
    ]
    assert granted(LOGS)["Condition"] == {
        "ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:*"}
    }


def test_what_delivers_the_logs_of_this_account_s_state_machines_may_read_their_encrypted_entries() -> None:
    assert granted(DELIVERY)["Action"] == ["kms:Decrypt*"]
    assert granted(DELIVERY)["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:*"},
    }


def test_an_alarm_may_tell_an_encrypted_topic() -> None:
    assert granted(ALARMS)["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]


def test_a_given_key_needs_what_a_key_of_ours_has_but_its_owner() -> None:
    needed = json.loads(plan_of(encryption_key.statements_for_a_given_key).result)
    assert needed["Statement"] == statements()[1:]


def test_the_outputs_name_the_key() -> None:
    plan = planned("encryption key")
    key = plan["unit-key"].outputs
    assert plan.result == {"key_arn": key["arn"], "key_id": key["keyId"]}


def test_a_key_of_another_partition_is_named_as_its_own() -> None:
    written = json.loads(encryption_key.key_policy("aws-cn", "cn-north-1", ACCOUNT))["Statement"]
    assert written[0]["Principal"] == {"AWS": f"arn:aws-cn:iam::{ACCOUNT}:root"}
    for each in written[1:3]:
        assert f"arn:aws-cn:logs:cn-north-1:{ACCOUNT}:*" in json.dumps(each["Condition"])
