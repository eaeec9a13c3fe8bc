"""``sluice queue redrive`` as an operator runs it, on queues that work; and the tasks of the local SQS."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.emulator import ROOT
from local.stack import LocalAws
from sluice.dead_letters import ATTRIBUTE, Reason

from .support import Values, wait_every
from .test_limiter_cli import AWS_VARIABLES, Done

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

INVALID, BUSY = "orders.InvalidOrder", "TimeoutError"
ACCOUNT = "arn:aws:sqs:us-east-1:000000000000"
SOURCE_ACTIONS = (
    "StartMessageMoveTask",
    "ListMessageMoveTasks",
    "CancelMessageMoveTask",
    "ReceiveMessage",
    "DeleteMessage",
    "GetQueueAttributes",
    "ChangeMessageVisibility",
)


@dataclass
class Pair:
    """A queue and its dead-letter queue."""

    sqs: "SQSClient"
    url: str
    dead: str
    outputs: str
    """A file with a stack's outputs that name them."""
    put: int = field(default=0)

    @property
    def arn(self) -> str:
        return f"{ACCOUNT}:{self.url.rpartition('/')[2]}"

    @property
    def dead_arn(self) -> str:
        return f"{ACCOUNT}:{self.dead.rpartition('/')[2]}"

    def bury(self, body: str, error: str | None = None, **more: Any) -> None:
        """Put a message into the dead-letter queue."""
        self.put += 1
        attributes: Any = {"colour": {"DataType": "String", "StringValue": "red"}}
        if error:
            said = Reason(error, f"no such order: {body}", str(uuid.uuid4()), 3).dumps()
            attributes[ATTRIBUTE] = {"DataType": "String", "StringValue": said}
        self.sqs.send_message(
            QueueUrl=self.dead,
            MessageBody=body,
            MessageAttributes=attributes,
            **more,
        )

    def bury_some(self, count: int, error: str | None = None) -> None:
        for number in range(count):
            self.bury(f"{error} {number}", error)

    def counts(self) -> tuple[int, int]:
        """Return how many messages of the queue, and how many dead letters, can be received."""
        answers = (
            self.sqs.get_queue_attributes(QueueUrl=each, AttributeNames=["ApproximateNumberOfMessages"])
            for each in (self.url, self.dead)
        )
        live, dead = (int(answer["Attributes"]["ApproximateNumberOfMessages"]) for answer in answers)
        return live, dead

    def received(self) -> list["MessageTypeDef"]:
        """Take the queue's messages."""
        found: list[MessageTypeDef] = []
        while messages := self.sqs.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            found += messages
        return found


def command(pair: Pair, *words: str) -> list[str]:
    return [sys.executable, "-m", "sluice.cli", "queue", "redrive", "--outputs", pair.outputs, *words]


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    given = {key: value for key, value in os.environ.items() if key not in AWS_VARIABLES}
    return {**given, "AWS_EC2_METADATA_DISABLED": "true", **(variables or {})}


def run(pair: Pair, *words: str, variables: Mapping[str, str] | None = None) -> Done:
    done = subprocess.run(
        command(pair, *words),
        cwd=ROOT,
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def pair_of(cloud: LocalAws, folder: Path, suffix: str = "", **local: Any) -> Pair:
    sqs = cloud.aws.client("sqs")
    name = f"redrive-{uuid.uuid4().hex[:8]}"
    fifo: Any = {"FifoQueue": "true"} if suffix else {}
    dead = sqs.create_queue(QueueName=f"{name}-dead{suffix}", Attributes={**fifo})["QueueUrl"]
    policy = {"deadLetterTargetArn": f"{ACCOUNT}:{name}-dead{suffix}", "maxReceiveCount": 1}
    url = sqs.create_queue(
        QueueName=f"{name}{suffix}",
        Attributes={"RedrivePolicy": json.dumps(policy), **fifo},
    )["QueueUrl"]
    queues = {"queue": {"url": url, "dead_letter_url": dead}}
    where = {"endpoint_url": cloud.aws.endpoint, "region": cloud.aws.region}
    file = folder / f"{name}.json"
    file.write_text(
        json.dumps({"front_door": {"region": "us-east-1", "queues": queues}, "local": where, **local})
    )
    return Pair(sqs, url, dead, str(file))


@pytest.fixture
def pair(cloud: LocalAws, tmp_path: Path) -> Pair:
    return pair_of(cloud, tmp_path)


@pytest.fixture
def fifo(cloud: LocalAws, tmp_path: Path) -> Pair:
    return pair_of(cloud, tmp_path, ".fifo")


def bodies(messages: list["MessageTypeDef"]) -> set[str]:
    return {each["Body"] for each in messages}


def errors(result: Values) -> dict[str | None, int]:
    return {each["error"]: each["count"] for each in result["errors"]}


def test_a_dry_run_shows_what_there_is_and_leaves_all_of_it(pair: Pair) -> None:
    pair.bury_some(12, INVALID)
    pair.bury_some(2, BUSY)
    pair.bury_some(1)

    printed = run(pair, "--dry-run", "--json").printed
    said = run(pair, "--dry-run", "--error", "InvalidOrder", "--limit", "12").words

    assert errors(printed) == {INVALID: 12, BUSY: 2, None: 1}
    assert (printed["found"], printed["moved"], printed["kept"], printed["unseen"]) == (15, 0, 15, 0)
    assert printed["errors"][0]["example"] == f"no such order: {INVALID} 0"
    assert said.startswith("15 dead letters were looked at; 12 would be moved to queue.")
    assert pair.counts() == (0, 15), "each can be received again at once"


def test_sqs_brings_all_of_them_back_whoever_put_them_there(pair: Pair) -> None:
    pair.bury_some(3, INVALID)
    pair.sqs.send_message(QueueUrl=pair.url, MessageBody="given up")
    for _ in range(2):
        pair.sqs.receive_message(QueueUrl=pair.url, VisibilityTimeout=0)
    assert pair.counts() == (0, 4)

    printed = run(pair, "--json").printed

    assert (printed["moved"], printed["kept"], printed["task"]["status"]) == (4, 0, "COMPLETED")
    assert pair.counts() == (4, 0)
    found = pair.received()
    assert bodies(found) == {f"{INVALID} 0", f"{INVALID} 1", f"{INVALID} 2", "given up"}
    assert {each["Attributes"]["ApproximateReceiveCount"] for each in found} == {"1"}
    assert run(pair).words == "No dead letters of queue were found."


def test_what_sqs_gives_up_the_second_time_is_not_told_by_its_first_reason(pair: Pair) -> None:
    pair.bury_some(1, INVALID)
    assert run(pair, "--json").printed["moved"] == 1
    for _ in range(2):
        pair.sqs.receive_message(QueueUrl=pair.url, VisibilityTimeout=0)
    assert pair.counts() == (0, 1)

    assert errors(run(pair, "--dry-run", "--limit", "1", "--json").printed) == {None: 1}


def test_chosen_ones_come_back_as_they_were_sent(pair: Pair) -> None:
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    pair.bury("wrong", INVALID)
    pair.bury(
        "late", BUSY, MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
    )
    pair.bury("lost")

    printed = run(pair, "--error", BUSY, "--error", "none", "--json").printed

    assert errors(printed) == {BUSY: 1, None: 1}
    assert (printed["found"], printed["moved"], printed["kept"]) == (3, 2, 1)
    assert pair.counts() == (2, 1)
    found = {each["Body"]: each for each in pair.received()}
    assert found.keys() == {"late", "lost"}
    assert found["late"]["Attributes"]["AWSTraceHeader"] == trace
    for each in found.values():
        assert each["MessageAttributes"] == {"colour": {"DataType": "String", "StringValue": "red"}}


def test_no_more_come_back_than_were_asked_for(pair: Pair) -> None:
    pair.bury_some(13)

    assert run(pair, "--limit", "11").words.startswith("11 dead letters were moved to queue")

    assert pair.counts() == (11, 2)


def test_a_fifo_queue_gets_each_in_its_group_once(fifo: Pair) -> None:
    for number in range(12):
        error = INVALID if number % 2 else BUSY
        fifo.bury(f"a{number}", error, MessageGroupId="a", MessageDeduplicationId=str(number))
    fifo.bury("b", INVALID, MessageGroupId="b", MessageDeduplicationId="b")

    printed = run(fifo, "--error", "InvalidOrder", "--limit", "7", "--json").printed

    assert (printed["moved"], printed["kept"]) == (7, 6)
    found = fifo.received()
    assert [each["Body"] for each in found if each["Attributes"]["MessageGroupId"] == "a"] == [
        f"a{number}" for number in range(1, 12, 2)
    ]
    assert run(fifo, "--json").printed["moved"] == 6


def test_no_more_come_in_a_second_than_the_velocity_says(pair: Pair) -> None:
    pair.bury_some(3)

    assert run(pair, "--velocity", "2", "--limit", "3", "--json").printed["moved"] == 3

    sent = sorted(int(each["Attributes"]["SentTimestamp"]) for each in pair.received())
    assert sent[2] - sent[0] >= 500


@contextmanager
def started(pair: Pair, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command until it has moved something."""
    with subprocess.Popen(
        command(pair, *words),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert wait_every(0.02, 20, lambda: pair.counts()[0] > 0)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("words", [[], ["--limit", "99"]], ids=["task", "one by one"])
def test_ctrl_c_ends_it_and_leaves_the_others_to_be_received(pair: Pair, words: list[str]) -> None:
    pair.bury_some(15)

    with started(pair, "--velocity", "1", "--json", *words) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert err.splitlines()[-1] == "sluice queue redrive: stopped"
    printed = json.loads(out)
    moved = printed["moved"]
    assert printed["interrupted"] is True
    assert 1 <= moved < 15
    assert pair.counts() == (moved, 15 - moved)
    tasks = pair.sqs.list_message_move_tasks(SourceArn=pair.dead_arn)["Results"]
    assert [each["Status"] for each in tasks] == ([] if words else ["CANCELLED"])


def test_a_second_task_is_refused_and_told_how_far_the_first_is(pair: Pair) -> None:
    pair.bury_some(30)
    handle = pair.sqs.start_message_move_task(
        SourceArn=pair.dead_arn, DestinationArn=pair.arn, MaxNumberOfMessagesPerSecond=1
    )["TaskHandle"]

    done = run(pair)

    pair.sqs.cancel_message_move_task(TaskHandle=handle)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("sluice queue redrive: SQS moves the dead letters of queue already: ")
    assert done.err.count("\n") == 1


def as_operator(
    cloud: LocalAws, pair: Pair, actions: tuple[str, ...], destination: tuple[str, ...]
) -> Values:
    """Return the variables of somebody who may do no more than that."""
    iam, name = cloud.aws.client("iam"), f"operator-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    statements = [
        {"Effect": "Allow", "Action": [f"sqs:{each}" for each in allowed], "Resource": arn}
        for allowed, arn in ((actions, pair.dead_arn), (destination, pair.arn))
        if allowed
    ]
    iam.put_user_policy(
        UserName=name,
        PolicyName="redrive",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        "AWS_ENDPOINT_URL": cloud.aws.endpoint,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def test_the_permissions_that_the_docs_name_are_enough_and_none_can_be_missed(
    cloud: LocalAws, tmp_path: Path
) -> None:
    pair = pair_of(cloud, tmp_path, local=None)
    pair.bury_some(2)
    without_delete = tuple(each for each in SOURCE_ACTIONS if each != "DeleteMessage")
    refused = {
        "AWS refused StartMessageMoveTask": as_operator(cloud, pair, SOURCE_ACTIONS, ()),
        "AWS refused ListMessageMoveTasks": as_operator(cloud, pair, without_delete, ("SendMessage",)),
    }
    enough = as_operator(cloud, pair, SOURCE_ACTIONS, ("SendMessage",))

    for words, variables in refused.items():
        done = run(pair, variables=variables)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"sluice queue redrive: {words}: ")
        assert done.err.count("\n") == 1
    assert pair.counts() == (0, 2)
    assert run(pair, "--limit", "1", "--json", variables=enough).printed["moved"] == 1
    assert run(pair, "--json", variables=enough).printed["moved"] == 1


def test_who_may_not_delete_is_told_what_is_there_twice(cloud: LocalAws, tmp_path: Path) -> None:
    pair = pair_of(cloud, tmp_path, local=None)
    pair.bury_some(1)
    actions = tuple(each for each in SOURCE_ACTIONS if each != "DeleteMessage")

    done = run(pair, "--error", "none", variables=as_operator(cloud, pair, actions, ("SendMessage",)))

    assert done.code == 1
    assert done.err.startswith("sluice queue redrive: AWS refused DeleteMessageBatch: ")
    assert "; 1 of those that were moved could not be deleted, and are dead letters too\n" in done.err
    assert pair.counts()[0] == 1


def refusal(call: Any, **words: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**words)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_tasks_are_refused_as_aws_refuses_them(pair: Pair) -> None:
    start, cancel = pair.sqs.start_message_move_task, pair.sqs.cancel_message_move_task
    nowhere = f"{ACCOUNT}:nowhere"
    no = "The resource that you specified for the {} parameter doesn't exist."

    assert refusal(start, SourceArn=pair.arn) == (
        "InvalidParameterValue",
        "Source queue must be configured as a Dead Letter Queue.",
    )
    assert refusal(start, SourceArn=nowhere) == ("ResourceNotFoundException", no.format("SourceArn"))
    assert refusal(start, SourceArn=pair.dead_arn, DestinationArn=nowhere) == (
        "ResourceNotFoundException",
        no.format("DestinationArn"),
    )
    assert refusal(cancel, TaskHandle="foobared") == (
        "InvalidParameterValue",
        "Value for parameter TaskHandle is invalid.",
    )
    pair.bury_some(9)
    words: Values = {"SourceArn": pair.dead_arn, "DestinationArn": pair.arn}
    handle = start(**words, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    code, said = refusal(start, **words)
    assert (code, said.partition(".")[0]) == ("InvalidParameterValue", "There is already a task running")
    (running,) = pair.sqs.list_message_move_tasks(SourceArn=pair.dead_arn)["Results"]
    assert (running["Status"], running["TaskHandle"], running["ApproximateNumberOfMessagesToMove"]) == (
        "RUNNING",
        handle,
        9,
    )
    cancel(TaskHandle=handle)
    assert refusal(cancel, TaskHandle=handle)[0] == "InvalidParameterValue"


def test_a_task_without_a_destination_fails_for_what_sqs_did_not_put_there(pair: Pair) -> None:
    pair.sqs.send_message(QueueUrl=pair.url, MessageBody="given up")
    for _ in range(2):
        pair.sqs.receive_message(QueueUrl=pair.url, VisibilityTimeout=0)
    pair.bury_some(1, INVALID)

    pair.sqs.start_message_move_task(SourceArn=pair.dead_arn)

    def ended() -> bool:
        (task,) = pair.sqs.list_message_move_tasks(SourceArn=pair.dead_arn)["Results"]
        return task["Status"] == "FAILED" and task["FailureReason"] == "CouldNotDetermineMessageSource"

    assert wait_every(0.05, 10, ended)
    assert pair.counts() == (1, 1)
