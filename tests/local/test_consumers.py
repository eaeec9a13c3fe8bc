"""What consumers make of real messages: of late, failing, repeated, hopeless, ordered and filtered ones."""

import io
import json
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.__main__ import EXPECTED
from local.demo_checks import wait_until
from local.program import DeployError
from local.stack import LocalAws
from sluice.dead_letters import ATTRIBUTE, Reason

from .deciding import create_function, json_lines
from .doors import Door, open_door
from .support import Values, invoke, log_texts

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

WORKERS = Path(__file__).with_name("workers")
SCRIPTED = {"code": str(WORKERS / "scripted"), "table": "id"}
OUT_OF_TIME = "sluice.handlers.deadline.OutOfTimeError"
TIMEOUT_SECONDS = 3
"""Of functions that use it up: long enough for one that starts anew on a busy machine."""
VISIBILITY_SECONDS = TIMEOUT_SECONDS + 2
"""Until a batch comes back whose run was ended; six times the timeout, as deployed, would be long to wait."""
EXCEPTIONS = "aws_lambda_powertools.utilities.idempotency.exceptions"

QUEUES: list[Values] = [
    {"name": "plain", "max_receive_count": 3},
    {"name": "slow", "max_receive_count": 2},
    {"name": "stubborn", "visibility_timeout_seconds": 6 * TIMEOUT_SECONDS},
    {"name": "once", "max_receive_count": 3},
    {"name": "groups", "fifo": True, "content_based_deduplication": True},
    {"name": "last", "fifo": True, "content_based_deduplication": True, "max_receive_count": 2},
    {"name": "orders"},
    {"name": "notes"},
    {"name": "many"},
    {"name": "packed"},
    {"name": "standing"},
]
CONSUMERS: list[Values] = [
    {"name": "plain", **SCRIPTED, "retry_base_seconds": 0, "poison_errors": ["PoisonError"]},
    {"name": "slow", **SCRIPTED, "timeout_seconds": TIMEOUT_SECONDS, "retry_base_seconds": 4},
    {"name": "stubborn", **SCRIPTED, "timeout_seconds": TIMEOUT_SECONDS, "idempotency": {}},
    {
        "name": "once",
        **SCRIPTED,
        "idempotency": {"key": "powertools_json(body).id", "payload": "powertools_json(body).amount"},
    },
    {
        "name": "groups",
        **SCRIPTED,
        "retry_base_seconds": 1,
        "retry_cap_seconds": 1,
        "poison_errors": ["consumer.PoisonError"],
    },
    {"name": "last", **SCRIPTED, "retry_base_seconds": 0},
    {"name": "orders", **SCRIPTED, "filters": [{"body": {"kind": ["order"]}}]},
    {"name": "notes", **SCRIPTED, "filters": [{"body": {"kind": ["note", "letter"]}}]},
    {
        "name": "many",
        **SCRIPTED,
        "batch_size": 1,
        "maximum_concurrency": 2,
        "reserved_concurrency": 3,
    },
    {
        "name": "packed",
        "code": str(WORKERS / "packed"),
        "entry": "handlers.orders:record_handler",
        "requirements": str(WORKERS / "packages.txt"),
        "table": "id",
    },
]


@dataclass(frozen=True)
class Line:
    """A queue with its consumer and its dead letters."""

    door: Door
    name: str

    @property
    def cloud(self) -> LocalAws:
        return self.door.cloud

    @property
    def consumer(self) -> Mapping[str, Any]:
        """What the program exported of the consumer."""
        found: Mapping[str, Any] = self.door.stack.outputs["consumers"][f"consumer-{self.name}"]
        return found

    @property
    def dead_letter_queue_url(self) -> str:
        url: str = self.door.stack.outputs["dead_letter_queue_urls"][self.name]
        return url

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the queue fill, so that what is sent comes as one batch."""
        mappings = self.cloud.aws.client("lambda")
        mapping = self.door.made(f"consumer-{self.name}-mapping").id
        mappings.update_event_source_mapping(UUID=mapping, Enabled=False)
        try:
            yield
        finally:
            mappings.update_event_source_mapping(UUID=mapping, Enabled=True)

    @contextmanager
    def hiding(self, seconds: int) -> Iterator[None]:
        """Let what is received now come back so soon, unless it is done by then."""
        sqs, url = self.cloud.aws.client("sqs"), self.door.queue_url(self.name)
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(seconds)})
        yield
        sqs.set_queue_attributes(QueueUrl=url, Attributes={**found})

    def send(self, *messages: Values) -> list[str]:
        """Send messages as one batch, and return their ids; a body that is a text is sent as it is."""
        entries: list[Any] = [
            {"Id": str(place), **each, "MessageBody": as_text(each["MessageBody"])}
            for place, each in enumerate(messages)
        ]
        with self.paused():
            answer = self.cloud.aws.client("sqs").send_message_batch(
                QueueUrl=self.door.queue_url(self.name), Entries=entries
            )
        assert not answer.get("Failed")
        return [each["MessageId"] for each in sorted(answer["Successful"], key=lambda each: int(each["Id"]))]

    def drain(self) -> None:
        """Wait until the queue has no message any more, whoever might hold it."""
        kinds: list[Any] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

        def counts() -> set[str]:
            url = self.door.queue_url(self.name)
            found = self.cloud.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=kinds)
            return set(found["Attributes"].values())

        assert wait_until(counts, lambda found: found == {"0"}) == {"0"}, "a message stays in the queue"

    def await_handled(self, ids: Sequence[str]) -> None:
        """Wait until the consumer logged that it handled these messages."""
        assert wait_until(lambda: self.said("handled", ids), lambda found: set(found) == set(ids))

    def story(self, *names: str) -> list[str]:
        """Return what the scripted worker wrote down of messages, in order."""
        found = self.cloud.aws.client("dynamodb").get_item(
            TableName=self.consumer["table"], Key={"id": {"S": "story"}}, ConsistentRead=True
        )
        lines = [each["S"] for each in found.get("Item", {}).get("told", {"L": []})["L"]]
        return [line for line in lines if line.partition(" ")[2] in names]

    def said(self, message: str, ids: Sequence[str]) -> list[str]:
        """Return of which of these messages the consumer logged this, in order."""
        lines = json_lines(self.cloud, self.consumer["log"])
        return [
            line["message_id"]
            for line in lines
            if line.get("message") == message and line["message_id"] in ids
        ]

    def dead(self) -> "list[MessageTypeDef]":
        """Take out all dead letters, of which none comes any more once the queue is drained."""
        sqs = self.cloud.aws.client("sqs")
        found: list[MessageTypeDef] = []
        while got := sqs.receive_message(
            QueueUrl=self.dead_letter_queue_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            found += got
            for each in got:
                sqs.delete_message(QueueUrl=self.dead_letter_queue_url, ReceiptHandle=each["ReceiptHandle"])
        return found


def as_text(body: object) -> str:
    return body if isinstance(body, str) else json.dumps(body)


def message(name: str, *tries: str, **more: Any) -> Values:
    """Return a message for the scripted worker, which says what to do at each try."""
    return {"MessageBody": {"name": name, "tries": tries or ("work",), **more}}


def grouped(name: str, *tries: str) -> Values:
    """Return such a message of the group that its name begins with."""
    return {**message(name, *tries), "MessageGroupId": name[0]}


def done(*names: str) -> list[str]:
    """Return the story of messages of which each was handled at its first try, in this order."""
    return [f"{what} {name}" for name in names for what in ("began", "handled")]


def reason_of(dead: "MessageTypeDef") -> Reason:
    return Reason.loads(dead["MessageAttributes"][ATTRIBUTE]["StringValue"])


def kept_attributes(dead: "MessageTypeDef") -> Values:
    """Return the attributes that a message had before it was given up."""
    return {name: each for name, each in dead.get("MessageAttributes", {}).items() if name != ATTRIBUTE}


@dataclass(frozen=True)
class Standing:
    """A function that was there before the stack."""

    arn: str
    log: str

    @property
    def name(self) -> str:
        """Also of its role."""
        return self.arn.rpartition(":")[2]


@pytest.fixture(scope="module")
def standing(cloud: LocalAws) -> Standing:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(WORKERS / "standing" / "standing.py", "standing.py")
    return Standing(*create_function(cloud, target.getvalue(), "standing.handler", {}))


@pytest.fixture(scope="module")
def door(cloud: LocalAws, standing: Standing) -> Door:
    """A front door with a route, a queue and a consumer for everything that is shown here."""
    existing = {"name": "standing", "function_arn": standing.arn, "function_role_name": standing.name}
    consumers: Any = [{**each, "queue": each["name"]} for each in [*CONSUMERS, existing]]
    routes = [{"path": name, "queue": name} for name in ("orders", "notes")]
    return open_door(cloud, {"queues": QUEUES, "routes": routes}, consumer={}, consumers=consumers)


LATE = ("early", "late", "next", "last")
STUBBORN = ("before", "stubborn", "after")


@pytest.fixture(scope="module", autouse=True)
def late(door: Door) -> dict[str, list[str]]:
    """What takes seconds, sent before everything else and looked at last; the ids by queue."""
    slow, stubborn = Line(door, "slow"), Line(door, "stubborn")
    # A start is none of what is shown, and may take longer than the rest.
    for line, ids in [(line, line.send(message("start"))) for line in (slow, stubborn)]:
        line.await_handled(ids)
    sent = {slow.name: slow.send(*(message(name, "hang" if name == "late" else "work") for name in LATE))}
    with stubborn.hiding(VISIBILITY_SECONDS):
        tries = {"stubborn": ["hang_on", "work"]}
        sent[stubborn.name] = stubborn.send(*(message(name, *tries.get(name, ())) for name in STUBBORN))
        assert wait_until(lambda: stubborn.story("stubborn"), bool)
    return sent


def test_the_same_event_twice_is_handled_once(door: Door) -> None:
    stubborn = Line(door, "stubborn")
    message_id = str(uuid.uuid4())
    event = {"Records": [record_of(message_id, message("twice")["MessageBody"])]}

    logged = [
        *invoke(door.cloud, door.stack, "consumer-stubborn-function", event),
        *invoke(door.cloud, door.stack, "consumer-stubborn-function", event),
    ]

    assert stubborn.story("twice") == done("twice")
    said = [line["message"] for line in logged if line.get("message_id") == message_id]
    assert said == ["handled", "handled before"]


def record_of(message_id: str, body: Values) -> Values:
    """Return a record as Lambda hands it over."""
    return {
        "messageId": message_id,
        "receiptHandle": "none",
        "body": as_text(body),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue",
        "awsRegion": "us-east-1",
    }


def test_of_a_batch_only_the_record_that_raised_comes_again(door: Door) -> None:
    plain = Line(door, "plain")
    names = [f"raising-{number}" for number in range(1, 6)]
    third = message(names[2], "refuse", "work")
    sent = plain.send(message(names[0]), message(names[1]), third, message(names[3]), message(names[4]))
    plain.drain()

    assert plain.story(*names) == [
        *done(names[0], names[1]),
        f"began {names[2]}",
        *done(names[3], names[4], names[2]),
    ]
    assert plain.said("failed", sent) == [sent[2]]
    assert sorted(plain.said("handled", sent)) == sorted(sent)
    assert not plain.dead()


def test_messages_with_one_key_are_one_and_what_cannot_be_told_is_given_up(door: Door) -> None:
    once = Line(door, "once")
    key = str(uuid.uuid4())
    sent = once.send(
        message("first", id=key, amount=5),
        message("twin", id=key, amount=5),
        message("other-amount", id=key, amount=6),
        message("keyless", amount=5),
        message("other-key", id=f"{key}-2", amount=5),
    )
    once.drain()

    names = ("first", "twin", "other-amount", "keyless", "other-key")
    assert once.story(*names) == done("first", "other-key")
    assert once.said("handled", sent) == [sent[0], sent[4]]
    assert once.said("handled before", sent) == [sent[1]]
    given_up = {each.message_id: (each.error, each.receives) for each in map(reason_of, once.dead())}
    assert given_up == {
        sent[2]: (f"{EXCEPTIONS}.IdempotencyValidationError", 1),
        sent[3]: (f"{EXCEPTIONS}.IdempotencyKeyError", 1),
    }


AWKWARD = "grün \N{SNOWMAN} \N{PILE OF POO} \"quoted\" \\ 'single'\t<&>"


def test_poison_is_given_up_at_once_with_all_that_it_had(door: Door) -> None:
    plain = Line(door, "plain")
    # Spaces and line ends of JSON that no parser would write again.
    body = (
        f'{{ "name":"poison",\r\n\t"tries" :["poison"],"text":{json.dumps(AWKWARD, ensure_ascii=False)}}}\n'
    )
    attributes: Values = {
        "requestId": {"DataType": "String", "StringValue": AWKWARD},
        "total": {"DataType": "Number.int", "StringValue": "17"},
        "order": {"DataType": "String.json", "StringValue": '{"a": 1}'},
        "picture": {"DataType": "Binary.png", "BinaryValue": bytes(range(256))},
    }
    ten = {f"attribute-{number}": {"DataType": "String", "StringValue": "x"} for number in range(10)}
    sent = plain.send(
        message("mate"),
        {"MessageBody": body, "MessageAttributes": attributes},
        {**message("full-poison", "poison"), "MessageAttributes": ten},
        message("other-mate"),
    )
    plain.drain()

    names = ("mate", "poison", "full-poison", "other-mate")
    assert plain.story(*names) == [
        *done("mate"),
        "began poison",
        "began full-poison",
        *done("other-mate"),
    ]
    assert plain.said("given up", sent) == sent[1:3]
    poison, full = sorted(plain.dead(), key=lambda each: "full-poison" in each["Body"])
    assert (poison["Body"], kept_attributes(poison)) == (body, attributes)
    assert reason_of(poison) == Reason("consumer.PoisonError", "as the message said", sent[1], 1)
    assert (json.loads(full["Body"])["name"], full["MessageAttributes"]) == ("full-poison", ten)


def test_a_group_keeps_its_order_and_holds_no_other(door: Door) -> None:
    groups = Line(door, "groups")
    a = [grouped("a1", "refuse", "refuse", "work"), grouped("a2"), grouped("a3")]
    b = [grouped("b1"), grouped("b2"), grouped("b3")]
    c = [grouped("c1"), grouped("c2", "poison"), grouped("c3")]
    sent = groups.send(*(each for three in zip(a, b, c, strict=True) for each in three))
    groups.drain()

    story = groups.story(*(f"{group}{number}" for group in "abc" for number in (1, 2, 3)))
    assert [line for line in story if " a" in line] == [
        *["began a1"] * 2,
        *done("a1", "a2", "a3"),
    ]
    assert [line for line in story if " b" in line] == done("b1", "b2", "b3")
    assert [line for line in story if " c" in line] == [*done("c1"), "began c2", *done("c3")]
    first_again = [place for place, line in enumerate(story) if line == "began a1"][1]
    assert max(story.index("handled b3"), story.index("handled c3")) < first_again
    (dead,) = groups.dead()
    assert reason_of(dead) == Reason("consumer.PoisonError", "as the message said", sent[5], 1)
    assert dead["Attributes"]["MessageGroupId"] == "c"
    assert dead["Body"] == as_text(c[1]["MessageBody"])


def test_a_group_goes_on_behind_what_is_given_up_at_its_last_receive(door: Door) -> None:
    last = Line(door, "last")
    sent = last.send(grouped("x1", "refuse"), grouped("x2"), grouped("x3"))
    last.drain()

    assert last.story("x1", "x2", "x3") == [*["began x1"] * 2, *done("x2", "x3")]
    (dead,) = last.dead()
    assert reason_of(dead) == Reason("consumer.RefusedError", "as the message said", sent[0], 2)
    assert dead["Attributes"]["MessageGroupId"] == "x"


def test_each_consumer_handles_what_fits_its_filters_and_the_rest_is_gone(door: Door) -> None:
    orders, notes = Line(door, "orders"), Line(door, "notes")
    for line in (orders, notes):
        with line.paused():
            for kind in ("order", "note", "letter", "bill"):
                body = {"name": f"{kind}-to-{line.name}", "kind": kind}
                assert door.send(line.name, body).status == 202
    orders.drain()
    notes.drain()

    every = [
        f"{kind}-to-{line}" for kind in ("order", "note", "letter", "bill") for line in ("orders", "notes")
    ]
    assert orders.story(*every) == done("order-to-orders")
    assert notes.story(*every) == done("note-to-notes", "letter-to-notes")
    assert not orders.dead() + notes.dead()


def test_no_more_batches_are_handled_at_once_than_allowed(door: Door) -> None:
    many = Line(door, "many")
    names = [f"slow-{number}" for number in range(6)]
    many.send(*(message(name, "take_a_moment") for name in names))
    many.drain()

    story = many.story(*names)
    assert sorted(story) == sorted(done(*names))
    running = [
        sum(1 if each.startswith("began") else -1 for each in story[:place])
        for place in range(1, len(story) + 1)
    ]
    assert max(running) == 2
    reserved = door.cloud.aws.client("lambda").get_function_concurrency(
        FunctionName=many.consumer["function"]
    )
    assert reserved["ReservedConcurrentExecutions"] == 3


def test_code_may_need_packages_and_have_a_package_of_the_name_of_ours(door: Door) -> None:
    packed = Line(door, "packed")
    sent = packed.send({"MessageBody": "[order]\ncustomer = Ada\n"})
    packed.drain()

    found = door.cloud.aws.client("dynamodb").get_item(
        TableName=packed.consumer["table"], Key={"id": {"S": sent[0]}}
    )
    assert found["Item"]["customer"] == {"S": "Ada"}
    assert packed.said("handled", sent) == sent


def test_a_function_that_exists_drains_a_queue(door: Door, standing: Standing) -> None:
    line = Line(door, "standing")
    bodies = [f"message {uuid.uuid4()}" for _ in range(3)]
    line.send(*({"MessageBody": each} for each in bodies))
    line.drain()

    logged = [each.strip() for each in log_texts(door.cloud, standing.log)]
    assert [each for each in logged if each in bodies] == bodies
    assert line.consumer == {
        "function": standing.name,
        "log": None,
        "table": None,
        "idempotency_table": None,
    }
    assert not line.dead()


def test_a_container_image_is_refused_in_clear_words_and_no_function_is_made(cloud: LocalAws) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/worker:1"
    before = consuming(cloud)

    with pytest.raises(DeployError) as refused:
        open_door(cloud, {}, consumer={"image_uri": image})

    assert isinstance(refused.value, EXPECTED), "the command tells it without a traceback"
    assert str(refused.value) == (
        "aws:lambda/function:Function 'consumer-function': the local AWS runs no container images, so not "
        f"{image} either: give the code as a folder (code) to run it here, or deploy this stack to AWS"
    )
    assert consuming(cloud) == before


def consuming(cloud: LocalAws) -> set[str]:
    """Return every function, and every attachment of one to a queue."""
    client = cloud.aws.client("lambda")
    functions = client.get_paginator("list_functions").paginate()
    mappings = client.get_paginator("list_event_source_mappings").paginate()
    return {each["FunctionArn"] for page in functions for each in page["Functions"]} | {
        each["UUID"] for page in mappings for each in page["EventSourceMappings"]
    }


def test_a_record_that_takes_too_long_fails_alone(door: Door, late: Mapping[str, list[str]]) -> None:
    slow, sent = Line(door, "slow"), late["slow"]
    slow.drain()

    story = slow.story(*LATE)
    assert story[:3] == [*done("early"), "began late"]
    # The second try may be at work beside the others.
    assert sorted(story[3:]) == sorted([*done("next", "last"), "began late"])
    assert slow.said("handled", sent) == [sent[0], sent[2], sent[3]]
    assert slow.said("failed", sent) == slow.said("given up", sent) == [sent[1]]
    returned = [line for line in json_lines(door.cloud, slow.consumer["log"]) if "records" in line]
    assert [(line["message"], line["records"]) for line in returned] == [
        ("returned without being started", 2)
    ]
    (dead,) = slow.dead()
    assert reason_of(dead) == Reason(OUT_OF_TIME, "the function's time was nearly over", sent[1], 2)


def test_what_was_handled_is_known_after_lambda_ended_a_run(
    door: Door, late: Mapping[str, list[str]]
) -> None:
    stubborn, sent = Line(door, "stubborn"), late["stubborn"]
    stubborn.drain()

    assert stubborn.story(*STUBBORN) == [*done("before"), "began stubborn", *done("stubborn", "after")]
    assert stubborn.said("handled", sent) == sent
    assert stubborn.said("handled before", sent) == sent[:1]
    assert stubborn.said("an attempt before was interrupted", sent) == sent[1:2]
    assert not stubborn.said("failed", sent)
    assert not stubborn.dead()
    lines = json_lines(door.cloud, stubborn.consumer["log"])
    counted = [line["AttemptsInterrupted"] for line in lines if "AttemptsInterrupted" in line]
    assert counted == [[1.0]]
