import json

import pytest

from examples.recorder import recorder
from local import demo, demo_checks
from local.client import post, post_all
from local.demo_checks import PATIENCE_SECONDS, wait_until
from local.stack import LocalAws, LocalStack
from sluice import cli
from sluice.dead_letters import Reason

from .support import forbid, fresh, log_texts, take


@pytest.mark.parametrize("receives", [1, 3])
def test_poison_is_given_up_after_exactly_so_many_receives_and_its_batch_is_handled(
    cloud: LocalAws, receives: int
) -> None:
    stack = fresh(cloud, front_door={"max_receive_count": receives}, consumer={"retry_base_seconds": 0})
    queue = cloud.aws.client("sqs").get_queue_attributes(
        QueueUrl=stack.outputs["queue_url"], AttributeNames=["VisibilityTimeout"]
    )

    poison, mates = demo.send_poison(stack)

    dead = take(cloud, stack.outputs["dead_letter_queue_url"])
    assert float(queue["Attributes"]["VisibilityTimeout"]) > PATIENCE_SECONDS, "or it came by waiting alone"
    message_id = poison.answer["messageId"]
    assert demo.reason_of(dead) == Reason("recorder.PoisonError", message_id, message_id, receives)
    assert dead["Body"].encode() == poison.body
    assert dead["MessageAttributes"]["requestId"]["StringValue"] == poison.answer["requestId"]
    # The log may come after the message that it tells of.
    said = wait_until(lambda: messages(cloud, stack, "given up"), bool)
    assert [each["message_id"] for each in said] == [message_id]
    failed = wait_until(lambda: messages(cloud, stack, "failed"), lambda found: len(found) >= receives - 1)
    assert len(failed) == receives - 1
    handled = wait_until(
        lambda: demo_checks.recorded(cloud, stack), lambda found: found.total() >= len(mates)
    )
    assert handled == dict.fromkeys((mate.message for mate in mates), 1)


def test_what_the_consumer_may_not_write_ends_in_the_dead_letter_queue(cloud: LocalAws) -> None:
    stack = fresh(cloud, front_door={"max_receive_count": 2}, consumer={"retry_base_seconds": 0})
    forbid(cloud, stack, "consumer-policy", "dynamodb:UpdateItem")

    sent = post_all(stack.outputs["url"], [b"{}"] * 2, None)

    taken = [take(cloud, stack.outputs["dead_letter_queue_url"]) for _ in sent]
    dead = {demo.reason_of(each).message_id for each in taken}
    assert dead == {each.answer["messageId"] for each in sent}
    assert not demo_checks.recorded(cloud, stack)


def test_a_consumer_that_may_not_shorten_a_wait_says_so_and_handles_the_rest(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    forbid(cloud, stack, "consumer-policy", "sqs:ChangeMessageVisibility")

    poison, mates = demo.send_poison(stack)

    wanted = {mate.message for mate in mates}
    handled = wait_until(lambda: demo_checks.recorded(cloud, stack), lambda found: wanted <= found.keys())
    assert handled == dict.fromkeys(wanted, 1)
    said = wait_until(lambda: messages(cloud, stack, "postponing failed"), bool)
    assert [each["message_id"] for each in said] == [poison.answer["messageId"]]


def test_the_consumer_s_log_names_the_request_that_a_message_came_with(
    cloud: LocalAws, dev: LocalStack
) -> None:
    sent = post(dev.outputs["url"], b"{}", dev.token)

    def said() -> list[dict[str, str]]:
        found = messages(cloud, dev, "handled")
        return [each for each in found if each["message_id"] == sent.answer["messageId"]]

    lines = wait_until(said, bool)
    assert [each["request_id"] for each in lines] == [sent.answer["requestId"]]


def messages(cloud: LocalAws, stack: LocalStack, message: str) -> list[dict[str, str]]:
    texts = log_texts(cloud, stack.consumer["log"])
    lines = [json.loads(text) for text in texts if f'"message":"{message}"' in text]
    return [line for line in lines if line["message"] == message]


def test_what_is_given_up_is_brought_back_by_the_stack_s_own_outputs(
    cloud: LocalAws, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = fresh(cloud, front_door={"max_receive_count": 1})
    outputs = str(cloud.folder / "outputs.open.json")
    sent = post(stack.outputs["url"], b"poison", None)
    wait_until(lambda: messages(cloud, stack, "given up"), bool)

    assert cli.main(["queue", "redrive", "--outputs", outputs, "--dry-run", "--json"]) == 0
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert (error["error"], error["count"]) == ("recorder.PoisonError", 1)
    assert error["example"] == sent.answer["messageId"]

    cloud.aws.client("dynamodb").put_item(
        TableName=stack.consumer["table"], Item={"id": {"S": recorder.ANTIDOTE}}
    )
    assert cli.main(["queue", "redrive", "--outputs", outputs]) == 0
    assert capsys.readouterr().out == "1 dead letter was moved to queue.\n"
    handled = wait_until(lambda: demo_checks.recorded(cloud, stack), bool)
    assert [body for _, body in handled] == [sent.message[1]]
