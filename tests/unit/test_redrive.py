"""Which dead letters are brought back, how fast, and what becomes of them when something goes wrong."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice.dead_letters import ATTRIBUTE
from sluice.redrive import (
    HIDDEN_SECONDS,
    LARGEST_BATCH,
    UNREADABLE,
    Choice,
    Handover,
    MoveTask,
    Route,
    Tally,
    TaskRunningError,
)

from .dead_letter_queues import ARN, BEGAN, FIFO, ROUTE, FakeSqs, Time, refused, task

INVALID, BUSY = "orders.InvalidOrder", "TimeoutError"
ALL = Choice()


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs(Time())


def handover(sqs: FakeSqs, choice: Choice = ALL, **more: Any) -> Tally:
    """Bring dead letters back, to the end."""
    client: Any = sqs
    work = Handover(client, FIFO if sqs.fifo else ROUTE, sqs.time.clock(), choice, **more)
    for _ in work.run():
        assert 0 <= work.tally.done <= work.tally.found
    return work.tally


def text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


# Which


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((), ["a", "b", "c", "d"]),
        (("InvalidOrder",), ["a", "b"]),
        (("orders.InvalidOrder",), ["a"]),
        (("TimeoutError",), ["c"]),
        (("none",), ["d"]),
        (("none", "TimeoutError"), ["c", "d"]),
        (("Order",), []),
        (("orders",), []),
    ],
)
def test_an_error_is_chosen_by_its_class_with_or_without_its_module(
    sqs: FakeSqs, errors: tuple[str, ...], expected: list[str]
) -> None:
    for body, error in {"a": INVALID, "b": "shop.orders.InvalidOrder", "c": BUSY, "d": None}.items():
        sqs.bury(body, error)

    tally = handover(sqs, Choice(errors))

    assert sqs.bodies() == expected
    assert (tally.found, tally.moved, tally.kept) == (4, len(expected), 4 - len(expected))
    assert {each.body for each in sqs.visible()} == {"a", "b", "c", "d"} - set(expected)


def test_a_reason_that_cannot_be_read_is_an_error_of_its_own(sqs: FakeSqs) -> None:
    sqs.bury("a", attributes={ATTRIBUTE: text("{}")})
    sqs.bury("b", attributes={ATTRIBUTE: {"DataType": "Binary", "BinaryValue": b"\xff"}})
    sqs.bury("c")

    tally = handover(sqs, Choice((UNREADABLE,)))

    assert sqs.bodies() == ["a", "b"]
    assert tally.kinds[UNREADABLE].example == "no reason of a dead letter: '{}'"


def test_the_reason_of_an_earlier_time_is_none_of_what_sqs_gave_up(sqs: FakeSqs) -> None:
    sqs.bury("a", INVALID, system={"DeadLetterQueueSourceArn": f"{ARN}:orders"})
    sqs.bury("b", INVALID)

    tally = handover(sqs, Choice(("none",)))

    assert sqs.bodies() == ["a"]
    assert tally.kinds.keys() == {None}
    ((_, (sent,)),) = sqs.sent
    assert "MessageAttributes" not in sent, "and it does not travel on"


def test_a_limit_ends_it_without_holding_more_than_it_needs(sqs: FakeSqs) -> None:
    for number in range(30):
        sqs.bury(str(number))

    tally = handover(sqs, Choice(limit=13))

    assert sqs.bodies() == [str(number) for number in range(13)]
    assert (tally.found, tally.moved) == (13, 13)
    assert len(sqs.visible()) == 17
    assert sqs.time.seconds == 0, "it does not wait for more"


def test_a_limit_counts_those_that_match(sqs: FakeSqs) -> None:
    for number in range(30):
        sqs.bury(str(number), INVALID if number % 3 == 0 else BUSY)

    tally = handover(sqs, Choice(("InvalidOrder",), limit=5))

    assert sqs.bodies() == ["0", "3", "6", "9", "12"]
    assert (tally.moved, tally.kept) == (5, 15)
    assert len(sqs.visible()) == 25


def test_what_comes_back_after_the_beginning_is_left_alone(sqs: FakeSqs) -> None:
    """It fails again at once, and would go round and round."""
    sqs.bury("poison", INVALID)
    sqs.time.seconds = 10

    def fails_again(message: dict[str, Any]) -> None:
        sqs.time.seconds += 2
        sqs.bury(message["MessageBody"], INVALID, since=sqs.time.seconds)

    sqs.arriving = fails_again
    tally = handover(sqs, Choice((INVALID,)))

    assert sqs.bodies() == ["poison"]
    assert (tally.moved, tally.kept) == (1, 1)
    assert [each.body for each in sqs.visible()] == ["poison"]


def test_a_dry_run_moves_nothing_and_gives_everything_back_at_once(sqs: FakeSqs) -> None:
    sqs.bury("late", INVALID, said="second", since=-10)
    sqs.bury("early", INVALID, said="first", since=-90)
    for number in range(21):
        sqs.bury(str(number), BUSY if number % 2 else None)

    tally = handover(sqs, dry_run=True)

    assert (tally.found, tally.moved, tally.kept, tally.unseen) == (23, 0, 23, 0)
    assert {error: kind.count for error, kind in tally.kinds.items()} == {INVALID: 2, BUSY: 10, None: 11}
    assert (tally.kinds[INVALID].example, tally.kinds[INVALID].oldest) == ("first", (BEGAN - 90) * 1000)
    assert tally.kinds[None].example is None
    assert (sqs.sent, sqs.deleted) == ([], [])
    assert len(sqs.visible()) == 23


def test_what_sqs_counts_and_does_not_give_is_told(sqs: FakeSqs) -> None:
    sqs.bury("a")
    sqs.hidden_total = 4

    assert handover(sqs, dry_run=True).unseen == 4
    assert handover(sqs, Choice(limit=1)).unseen == 0, "it did not ask for them"


# As what


def test_ten_attributes_come_back_and_the_reason_does_not(sqs: FakeSqs) -> None:
    nine = {f"name-{number}": text(str(number)) for number in range(9)}
    ten = {**nine, "tenth": {"DataType": "Number.int", "StringValue": "10"}}
    sqs.bury("nine", INVALID, attributes=nine)
    sqs.bury("ten", attributes=ten)
    sqs.bury("bare", INVALID)

    handover(sqs)

    ((_, (first, second, bare)),) = sqs.sent
    assert first["MessageAttributes"] == nine
    assert second["MessageAttributes"] == ten
    assert "MessageAttributes" not in bare


def test_a_binary_attribute_comes_back_byte_by_byte(sqs: FakeSqs) -> None:
    given = {"DataType": "Binary.gif", "BinaryValue": bytes(range(256)), "StringListValues": []}
    sqs.bury("a", INVALID, attributes={"image": given})

    handover(sqs)

    ((_, (sent,)),) = sqs.sent
    assert sent["MessageAttributes"] == {
        "image": {"DataType": "Binary.gif", "BinaryValue": bytes(range(256))}
    }


def test_the_trace_comes_along(sqs: FakeSqs) -> None:
    sqs.bury("a", system={"AWSTraceHeader": "Root=1-2-3"})
    sqs.bury("b", system={"MessageGroupId": "tenant"})

    handover(sqs)

    ((_, (traced, grouped)),) = sqs.sent
    assert traced == {
        "Id": "0",
        "MessageBody": "a",
        "MessageSystemAttributes": {"AWSTraceHeader": text("Root=1-2-3")},
    }
    assert grouped == {"Id": "1", "MessageBody": "b", "MessageGroupId": "tenant"}


def test_in_a_fifo_queue_each_keeps_its_group_and_is_known_by_its_own_id() -> None:
    sqs = FakeSqs(Time(), fifo=True)
    system = {"MessageGroupId": "a", "MessageDeduplicationId": "first", "SequenceNumber": "7"}
    letter = sqs.bury("a", INVALID, system=system)

    handover(sqs)

    ((_, (sent,)),) = sqs.sent
    assert sent == {
        "Id": "0",
        "MessageBody": "a",
        "MessageGroupId": "a",
        "MessageDeduplicationId": letter,
    }


def test_in_a_fifo_queue_those_behind_others_of_their_group_are_reached() -> None:
    sqs = FakeSqs(Time(), fifo=True)
    for number in range(25):
        error = BUSY if number in {3, 4} else INVALID
        sqs.bury(str(number), error, system={"MessageGroupId": "a"})

    tally = handover(sqs, Choice((INVALID,)))

    assert sqs.bodies() == [str(number) for number in range(25) if number not in {3, 4}]
    assert (tally.found, tally.moved, tally.kept) == (25, 23, 2)
    assert [each.body for each in sqs.visible()] == ["3", "4"]


# In which batches, and how fast


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([100_000] * 5, [2, 2, 1]),
        ([LARGEST_BATCH // 2, LARGEST_BATCH // 2, 1], [2, 1]),
        ([LARGEST_BATCH // 2, LARGEST_BATCH // 2 + 1], [1, 1]),
        ([1_048_576, 10, 10], [1, 2]),
        ([10, 1_048_576, 10], [1, 1, 1]),
        ([10] * 23, [10, 10, 3]),
    ],
)
def test_a_batch_is_no_larger_than_sqs_takes(sqs: FakeSqs, sizes: list[int], batches: list[int]) -> None:
    for size in sizes:
        sqs.bury("x" * size)

    assert handover(sqs).moved == len(sizes)

    assert [len(batch) for _, batch in sqs.sent] == batches


def test_attributes_count_by_name_type_and_value_and_characters_by_their_bytes(sqs: FakeSqs) -> None:
    half = LARGEST_BATCH // 2
    attribute = {"name": {"DataType": "Binary", "BinaryValue": b"\xff" * 90}}
    sqs.bury("\u00fc" * ((half - 100) // 2), INVALID, attributes=attribute)
    sqs.bury("x" * half, attributes={})
    sqs.bury("\u00fc" * ((half - 100) // 2) + "x", INVALID, attributes=attribute)
    sqs.bury("x" * half, attributes={})

    handover(sqs)

    assert [len(batch) for _, batch in sqs.sent] == [2, 1, 1]


@pytest.mark.parametrize("velocity", [1, 3, 10, 15, 40, 500])
def test_no_second_sees_more_than_the_velocity_and_none_is_wasted(sqs: FakeSqs, velocity: int) -> None:
    count = 4 * velocity + 1 if velocity < 500 else 1001
    for number in range(count):
        sqs.bury(str(number))

    handover(sqs, velocity=velocity)

    times = [when for when, batch in sqs.sent for _ in batch]
    assert len(times) == count
    for when in times:
        assert sum(when <= each < when + 1 for each in times) <= velocity
    assert times[-1] == pytest.approx((count - 1) // velocity)


def test_a_second_is_a_whole_one_also_where_sending_takes_most_of_it(sqs: FakeSqs) -> None:
    for number in range(9):
        sqs.bury(str(number))
    sqs.arriving = lambda _: sqs.time.sleep(0.31)

    handover(sqs, velocity=3)

    assert [when for when, _ in sqs.sent] == pytest.approx([0, 1, 2])


def test_dead_letters_that_show_again_on_a_long_way_are_not_counted_again(sqs: FakeSqs) -> None:
    sqs.bury("kept", BUSY)
    for number in range(HIDDEN_SECONDS + 20):
        sqs.bury(str(number), INVALID)

    tally = handover(sqs, Choice((INVALID,)), velocity=1)

    assert (tally.moved, tally.kept) == (HIDDEN_SECONDS + 20, 1)
    assert [each.body for each in sqs.visible()] == ["kept"], "by its last receipt"


def test_on_a_long_way_those_that_stay_do_not_hide_others(sqs: FakeSqs) -> None:
    for number in range(3 * HIDDEN_SECONDS):
        sqs.bury(str(number), INVALID if number % 3 == 0 else BUSY)

    tally = handover(sqs, Choice((INVALID,)), velocity=1)

    assert (tally.moved, tally.kept, tally.unseen) == (HIDDEN_SECONDS, 2 * HIDDEN_SECONDS, 0)
    assert len(sqs.visible()) == 2 * HIDDEN_SECONDS


# When something goes wrong


def test_what_the_queue_does_not_take_stays_a_dead_letter(sqs: FakeSqs) -> None:
    for body in ("a", "bad", "c"):
        sqs.bury(body)
    sqs.not_taken = {"bad"}

    tally = handover(sqs)

    assert sqs.bodies() == ["a", "c"]
    assert (tally.moved, tally.failed, tally.kept) == (2, 1, 0)
    assert tally.problems == {"InvalidMessageContents: bad": 1}
    assert [each.body for each in sqs.visible()] == ["bad"], "and can be received again at once"


def test_what_is_not_deleted_the_first_time_is_deleted_the_second_time(sqs: FakeSqs) -> None:
    sqs.bury("a")
    slow = sqs.bury("b")
    sqs.not_deleted = {slow: 1}

    tally = handover(sqs)

    assert sqs.deleted == ["letter-0", slow]
    assert (tally.moved, tally.not_deleted) == (2, 0)


def test_what_cannot_be_deleted_is_told_and_is_not_shown_again_at_once(sqs: FakeSqs) -> None:
    stuck = sqs.bury("a")
    sqs.not_deleted = {stuck: 99}

    tally = handover(sqs)

    assert (tally.moved, tally.not_deleted) == (1, 1)
    assert sqs.bodies() == ["a"]
    assert sqs.visible() == []


def test_what_was_sent_and_comes_again_is_deleted_and_not_sent_again(sqs: FakeSqs) -> None:
    stuck = sqs.bury("stuck")
    sqs.not_deleted = {stuck: 2}
    for number in range(HIDDEN_SECONDS + 20):
        sqs.bury(str(number))

    tally = handover(sqs, velocity=1)

    assert sqs.bodies().count("stuck") == 1
    assert stuck in sqs.deleted
    assert (tally.not_deleted, tally.found) == (0, HIDDEN_SECONDS + 21)


def test_what_is_received_twice_is_handled_once(sqs: FakeSqs) -> None:
    for number in range(12):
        sqs.bury(str(number), INVALID if number % 2 else BUSY)
    sqs.shown_twice = True

    tally = handover(sqs, Choice((INVALID,)))

    assert sorted(sqs.bodies(), key=int) == ["1", "3", "5", "7", "9", "11"]
    assert (tally.found, tally.moved, tally.kept) == (12, 6, 6)
    assert len(sqs.visible()) == 6


@pytest.mark.parametrize("call", ["send_message_batch", "delete_message_batch", "receive_message"])
def test_whatever_breaks_what_was_not_sent_is_given_back(sqs: FakeSqs, call: str) -> None:
    for number in range(12):
        sqs.bury(str(number), INVALID if number in {1, 11} else BUSY)
    client: Any = sqs
    work = Handover(client, ROUTE, sqs.time.clock(), Choice((INVALID,)))
    steps = work.run()
    next(steps)
    next(steps)
    sqs.broken = {call: refused(call)}

    with pytest.raises(ClientError, match=call):
        list(steps)

    sent = {"1", "11"} if call == "delete_message_batch" else {"1"}
    assert set(sqs.bodies()) == sent
    assert (work.tally.moved, work.tally.not_deleted) == (len(sent), len(sent) - 1)
    assert {each.body for each in sqs.visible()} == {str(number) for number in range(12)} - sent


def test_an_error_is_not_hidden_by_another_that_follows_from_it(sqs: FakeSqs) -> None:
    sqs.bury("a")
    sqs.broken = {
        "send_message_batch": refused("SendMessageBatch"),
        "change_message_visibility_batch": refused("ChangeMessageVisibilityBatch"),
    }

    with pytest.raises(ClientError, match="SendMessageBatch"):
        handover(sqs)


def test_when_it_is_to_stop_what_was_not_sent_is_given_back(sqs: FakeSqs) -> None:
    for number in range(30):
        sqs.bury(str(number))
    sqs.time.stop_at = 3

    tally = handover(sqs, velocity=2)

    assert sqs.bodies() == ["0", "1", "2", "3", "4", "5"]
    assert (tally.found, tally.moved, tally.kept) == (10, 6, 4)
    assert [each.body for each in sqs.visible()] == [str(number) for number in range(6, 30)]


def test_when_the_watching_ends_what_is_held_is_given_back(sqs: FakeSqs) -> None:
    for number in range(5):
        sqs.bury(str(number), BUSY)
    client: Any = sqs
    steps = Handover(client, ROUTE, sqs.time.clock(), Choice((INVALID, BUSY)), velocity=1).run()
    next(steps)
    next(steps)

    steps.close()

    assert (sqs.bodies(), len(sqs.visible())) == (["0"], 4)


# By SQS itself


def watched(sqs: FakeSqs, route: Route = ROUTE, velocity: int | None = None) -> MoveTask:
    client: Any = sqs
    work = MoveTask(client, route, sqs.time.clock(), velocity)
    for _ in work.run():
        assert work.tally.done == work.tally.moved
    return work


@pytest.mark.parametrize(("velocity", "more"), [(None, {}), (20, {"MaxNumberOfMessagesPerSecond": 20})])
def test_a_task_is_told_where_to(sqs: FakeSqs, velocity: int | None, more: dict[str, int]) -> None:
    sqs.tasks = [[], [task("RUNNING", 1, 3)], [task("COMPLETED", 3, 3)]]

    work = watched(sqs, velocity=velocity)

    assert sqs.started == [{"SourceArn": f"{ARN}:orders-dead", "DestinationArn": f"{ARN}:orders", **more}]
    assert (work.status, work.failure, work.active) == ("COMPLETED", None, False)
    assert (work.tally.found, work.tally.moved, work.tally.kept, work.tally.unseen) == (3, 3, 0, 0)
    assert sqs.looks == 3


def test_neither_an_earlier_task_nor_the_next_one_is_taken_for_it(sqs: FakeSqs) -> None:
    earlier, ours = task("FAILED", 1, 9, started=1), task("COMPLETED", 3, 3, started=2)
    sqs.tasks = [[earlier], [earlier], [task("RUNNING", 0, 7, started=3), ours, earlier]]

    work = watched(sqs)

    assert (work.status, work.tally.moved) == ("COMPLETED", 3)


@pytest.mark.parametrize("status", ["RUNNING", "CANCELLING"])
def test_a_task_that_runs_already_is_left_alone(sqs: FakeSqs, status: str) -> None:
    sqs.tasks = [[task(status, 2, 5)]]

    with pytest.raises(TaskRunningError, match=r"dead letters of orders already: 2 of 5 so far"):
        watched(sqs)

    assert sqs.started == []


def test_a_task_that_fails_says_why(sqs: FakeSqs) -> None:
    sqs.tasks = [[], [task("FAILED", 1, 3, FailureReason="AccessDenied")]]

    work = watched(sqs)

    assert (work.status, work.failure, work.active, work.tally.kept) == ("FAILED", "AccessDenied", False, 2)


def test_when_it_is_to_stop_the_task_is_cancelled_once_and_seen_to_its_end(sqs: FakeSqs) -> None:
    running, cancelling = task("RUNNING", 1, 9, TaskHandle="handle-1"), task("CANCELLING", 1, 9)
    sqs.tasks = [[], [running], [running], [cancelling], [cancelling], [task("CANCELLED", 2, 9)]]
    sqs.time.stop_at = 0.2

    work = watched(sqs)

    assert sqs.cancelled == ["handle-1"]
    assert (work.status, work.tally.moved, work.tally.kept) == ("CANCELLED", 2, 7)


def no_such_task(sqs: FakeSqs) -> None:
    sqs.broken = {"cancel_message_move_task": refused("CancelMessageMoveTask", "ResourceNotFoundException")}
    sqs.time.stop_at = 0


def test_a_task_that_ends_before_it_can_be_cancelled_has_ended(sqs: FakeSqs) -> None:
    sqs.tasks = [[], [task("RUNNING", 1, 3)], [task("COMPLETED", 3, 3)]]
    no_such_task(sqs)

    assert watched(sqs).status == "COMPLETED"


def test_a_task_that_cannot_be_cancelled_may_go_on(sqs: FakeSqs) -> None:
    sqs.tasks = [[], [task("RUNNING", 1, 3)]]
    no_such_task(sqs)
    client: Any = sqs
    work = MoveTask(client, ROUTE, sqs.time.clock())

    with pytest.raises(ClientError, match="CancelMessageMoveTask"):
        list(work.run())

    assert work.active


def test_looks_at_a_task_become_rarer(sqs: FakeSqs) -> None:
    sqs.tasks = [[], *([[task("RUNNING", 1, 3)]] * 9), [task("COMPLETED", 3, 3)]]

    watched(sqs)

    assert sqs.time.seconds == 0.25 + 0.5 + 1 + 6 * 2
