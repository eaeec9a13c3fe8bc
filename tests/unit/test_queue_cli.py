"""``sluice queue redrive`` without AWS: what is understood, what is said, and how it exits."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from sluice import cli
from sluice.cli import queue, queue_views, session
from sluice.redrive import Tally

from .dead_letter_queues import ARN, BASE, REGION, FakeSqs, Time, refused, task

ROOT = Path(cli.__file__).parent.parent.parent
INVALID, BUSY = "orders.InvalidOrder", "TimeoutError"
ORDERS = {"url": f"{BASE}/orders", "dead_letter_url": f"{BASE}/orders-dead"}
PAYMENTS = {"url": f"{BASE}/payments", "dead_letter_url": f"{BASE}/payments-dead"}
FOREIGN = {"url": f"{BASE}/foreign", "dead_letter_url": None}
NO_CONNECTION = 'Could not connect to the endpoint URL: "http://x"'
Said = tuple[int, str, str]


def outputs_with(**queues: dict[str, Any]) -> dict[str, Any]:
    return {"front_door": {"region": REGION, "queues": queues}}


OUTPUTS = outputs_with(orders=ORDERS)


@pytest.fixture(autouse=True)
def _somewhere_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the operator's clock be two hours ahead."""
    monkeypatch.setenv("TZ", "XYZ-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> FakeSqs:
    """SQS in memory, in the place of AWS's."""
    made = FakeSqs(Time())
    monkeypatch.setattr(session, "client", lambda service, region, outputs: made)
    monkeypatch.setattr(queue.Stop, "clock", lambda _: made.time.clock())
    return made


Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command, and return its code and what it said on standard output and on standard error."""

    def ran(*words: str, outputs: Any = OUTPUTS) -> Said:
        file = tmp_path / "outputs.json"
        file.write_text(json.dumps(outputs))
        code = cli.main(["queue", "redrive", "--outputs", str(file), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran


def told(said: Said) -> list[str]:
    code, out, err = said
    assert (code, err) == (0, "")
    return [line.rstrip() for line in out.splitlines()]


def as_json(said: Said) -> dict[str, Any]:
    code, out, err = said
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def assert_failed(said: Said, words: str) -> None:
    code, out, err = said
    assert (code, out) == (1, "")
    assert err == f"sluice queue redrive: {words}\n"


# What is understood


@pytest.mark.parametrize(
    "words",
    [
        ["queue"],
        ["queue", "purge", "--local"],
        ["queue", "redrive"],
        ["queue", "redrive", "--local", "--stack", "dev"],
        ["queue", "redrive", "--local", "orders"],
        ["queue", "redrive", "--local", "--error"],
        ["queue", "redrive", "--local", "--limit"],
    ],
)
def test_what_is_not_understood_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert "usage: sluice" in capsys.readouterr().err


@pytest.mark.usefixtures("sqs")
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "ten", "", "\u0661"])
@pytest.mark.parametrize(("option", "allowed"), [("--limit", "from 1"), ("--velocity", "from 1 to 500")])
def test_what_is_no_number_is_refused(run: Run, option: str, allowed: str, text: str) -> None:
    assert_failed(run(f"{option}={text}"), f"{option} {text}: a whole number {allowed}")


def test_sqs_moves_at_most_500_a_second(sqs: FakeSqs, run: Run) -> None:
    sqs.tasks = [[], [task("COMPLETED")]]

    assert_failed(run("--velocity", "501"), "--velocity 501: a whole number from 1 to 500")
    assert run("--velocity", "500")[0] == 0
    assert [each["MaxNumberOfMessagesPerSecond"] for each in sqs.started] == [500]


@pytest.mark.usefixtures("sqs")
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"front_door": None},
        {"front_door": {"queues": {"orders": ORDERS}}},
        {"front_door": {"region": REGION}},
        {"front_door": {"region": REGION, "queues": {}}},
        {"front_door": {"region": REGION, "queues": [ORDERS]}},
        outputs_with(orders={"url": f"{BASE}/orders", "dead_letter_url": 1}),
        outputs_with(orders={"dead_letter_url": None}),
    ],
)
def test_a_stack_without_a_front_door_is_told_so(run: Run, given: dict[str, Any]) -> None:
    assert_failed(
        run(outputs=given),
        "the stack has no front door: its output `front_door` is missing. "
        "Was it deployed by another version?",
    )


def test_outputs_that_cannot_be_read_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["queue", "redrive", "--outputs", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith(f"sluice queue redrive: {tmp_path / 'none'} cannot be read: ")


def test_one_of_several_queues_is_chosen_by_its_name(sqs: FakeSqs, run: Run) -> None:
    several = outputs_with(orders=ORDERS, payments=PAYMENTS)

    assert_failed(
        run(outputs=several), "the front door has several queues; choose one by --queue: orders, payments"
    )
    assert_failed(
        run("--queue", "order", outputs=several),
        "the front door has no queue 'order': it has orders, payments",
    )
    assert as_json(run("--queue", "payments", "--dry-run", "--json", outputs=several))["queue"] == "payments"
    assert as_json(run("--queue", "orders", "--dry-run", "--json"))["queue"] == "orders"
    assert (sqs.sent, sqs.started) == ([], [])


@pytest.mark.usefixtures("sqs")
def test_a_queue_that_is_somebody_else_s_is_refused(run: Run) -> None:
    assert_failed(
        run(outputs=outputs_with(orders=FOREIGN)),
        "orders was not made by the front door, which does not know its dead-letter queue",
    )


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (None, {}),
        (
            {"endpoint_url": "http://127.0.0.1:1", "region": REGION},
            {
                "endpoint_url": "http://127.0.0.1:1",
                "aws_access_key_id": "test",
                "aws_secret_access_key": "test",
            },
        ),
    ],
)
def test_the_queue_is_asked_where_the_stack_is(
    monkeypatch: pytest.MonkeyPatch, run: Run, local: Any, expected: dict[str, str]
) -> None:
    made: list[dict[str, Any]] = []

    class Session:
        def __init__(self, **words: Any) -> None:
            self.words = words

        def client(self, service: str, **words: Any) -> FakeSqs:
            made.append({"service": service, **self.words, **words})
            return FakeSqs(Time())

    monkeypatch.setattr(boto3, "Session", Session)

    run("--dry-run", outputs={**OUTPUTS, "local": local})

    assert made == [{"service": "sqs", "region_name": REGION, **expected}]


def test_the_command_starts_without_what_only_some_commands_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, sluice.cli; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "sluice.redrive" in loaded
    assert loaded.isdisjoint({"boto3", "botocore", "rich", "components", "handlers"})


# What is done


def test_everything_is_brought_back_by_sqs(sqs: FakeSqs, run: Run) -> None:
    sqs.tasks = [[], [task("RUNNING", 1, 3)], [task("COMPLETED", 3, 3)]]

    assert told(run()) == ["3 dead letters were moved to orders."]

    assert sqs.started == [{"SourceArn": f"{ARN}:orders-dead", "DestinationArn": f"{ARN}:orders"}]
    assert sqs.sent == []


@pytest.mark.parametrize("words", [["--error", "InvalidOrder"], ["--limit", "2"]])
def test_chosen_ones_are_brought_back_one_by_one(sqs: FakeSqs, run: Run, words: list[str]) -> None:
    for body, error in {"a": INVALID, "b": INVALID, "c": BUSY}.items():
        sqs.bury(body, error)

    assert as_json(run(*words, "--json"))["moved"] == 2

    assert sqs.bodies() == ["a", "b"]
    assert sqs.started == []


def test_a_dry_run_never_starts_a_task(sqs: FakeSqs, run: Run) -> None:
    sqs.bury("a")

    assert as_json(run("--dry-run", "--json"))["found"] == 1

    assert (sqs.started, sqs.sent, len(sqs.visible())) == ([], [], 1)


# What is shown


def test_a_dry_run_is_a_table_by_error(sqs: FakeSqs, run: Run) -> None:
    sqs.bury("a", INVALID, said="no [bold]such[/bold]\n order")
    sqs.bury("b", INVALID, since=-30)
    sqs.bury("c")

    first, header, invalid, none, *notes = told(run("--dry-run"))

    assert first == "3 dead letters were looked at; all would be moved to orders."
    assert header.split() == ["error", "count", "oldest", "example"]
    when = "2026-11-18 13:05:40"
    assert invalid.split() == [INVALID, "2", *when.split(), "no", "[bold]such[/bold]", "order"]
    assert none.split() == ["without", "a", "reason", "1", *when.split()]
    assert notes == [
        queue_views.GIVEN_UP,
        queue_views.LOOKED_AT,
    ]


def test_a_dry_run_of_some_says_how_many(sqs: FakeSqs, run: Run) -> None:
    sqs.bury("a", INVALID)
    sqs.bury("b", BUSY)
    sqs.hidden_total = 2

    lines = told(run("--dry-run", "--error", "TimeoutError"))

    assert lines[0] == "2 dead letters were looked at; 1 would be moved to orders."
    assert lines[1] == "SQS counts 2 more, behind others of their group, or held by another receiver."
    assert [line.split()[0] for line in lines[2:4]] == ["error", "TimeoutError"]


def test_long_words_are_shown_in_part(sqs: FakeSqs, run: Run) -> None:
    sqs.bury("a", INVALID, said="x" * 200)

    assert told(run("--limit", "1"))[2].endswith(" " + "x" * 77 + "...")


def test_words_do_nothing_to_the_terminal(sqs: FakeSqs, run: Run) -> None:
    sqs.bury("a", INVALID, said="no\x1b[2J such\x07 order\r\n4711")

    assert told(run("--limit", "1"))[2].endswith("no [2J such order 4711")


def test_what_was_moved_is_a_sentence_and_a_table(sqs: FakeSqs, run: Run) -> None:
    sqs.bury("a", INVALID)
    sqs.bury("b", BUSY)

    first, _, row = told(run("--error", "InvalidOrder"))

    assert first == "1 dead letter was moved to orders; 1 stayed."
    assert row.split()[:2] == [INVALID, "1"]


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--limit", "3"]])
def test_that_there_are_none_is_said(sqs: FakeSqs, run: Run, words: list[str]) -> None:
    sqs.tasks = [[], [task("COMPLETED")]]

    assert told(run(*words)) == ["No dead letters of orders were found."]


def test_json_says_it_all(sqs: FakeSqs, run: Run) -> None:
    sqs.bury("a", INVALID)
    sqs.bury("b", BUSY)
    sqs.bury("c")

    assert as_json(run("--error", "InvalidOrder", "--error", "none", "--json")) == {
        "queue": "orders",
        "found": 3,
        "moved": 2,
        "failed": 0,
        "kept": 1,
        "not_deleted": 0,
        "unseen": 0,
        "dry_run": False,
        "interrupted": False,
        "task": None,
        "errors": [
            {"error": INVALID, "count": 1, "example": "no a", "oldest": "2026-11-18T11:05:40.000+00:00"},
            {"error": None, "count": 1, "example": None, "oldest": "2026-11-18T11:05:40.000+00:00"},
        ],
    }


def test_where_there_is_no_terminal_a_line_now_and_then_tells_how_far_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally, clock = Tally(total=9), iter([0.0, 0.5, 1.0, 1.0, 1.5, 2.1, 2.1, 9.0, 9.0])

    def steps() -> Iterator[None]:
        for done in (1, 3, 4, 6, 9):
            tally.found, tally.waiting = done + 1, 1
            yield

    queue_views.follow(steps(), tally, lambda: next(clock))

    assert capsys.readouterr().err.splitlines() == [
        "3 of about 9 dead letters",
        "6 of about 9 dead letters",
        "9 of about 10 dead letters",
    ]


def test_on_a_terminal_a_bar_tells_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    tally = Tally(total=4)

    def steps() -> Iterator[None]:
        for tally.found in range(1, 5):
            yield

    queue_views.follow(steps(), tally)

    said = capsys.readouterr()
    assert said.out == ""
    assert "4/4" in said.err


# What goes wrong


def test_what_the_queue_did_not_take_is_told_and_exits_with_1(sqs: FakeSqs, run: Run) -> None:
    for body in ("a", "bad", "c"):
        sqs.bury(body)
    sqs.not_taken = {"bad"}

    code, out, err = run("--error", "none", "--json")

    assert code == 1
    assert err == (
        "sluice queue redrive: orders did not take 1, which are dead letters still: "
        "InvalidMessageContents: bad (1)\n"
    )
    found = json.loads(out)
    assert (found["moved"], found["failed"], found["kept"]) == (2, 1, 0)


def test_what_could_not_be_deleted_is_told_and_exits_with_1(sqs: FakeSqs, run: Run) -> None:
    sqs.not_deleted = {sqs.bury("a"): 99}

    code, out, err = run("--limit", "1")

    assert code == 1
    assert err == (
        "sluice queue redrive: 1 of those that were moved could not be deleted, and are dead letters too\n"
    )
    assert out.startswith("1 dead letter was moved to orders.\n")


def test_credentials_that_cannot_be_had_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody-s")

    assert_failed(
        run(),
        "The config profile (nobody-s) could not be found. "
        "Is the stack there, and are there credentials for it?",
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused("ReceiveMessage", message="no such thing"), "AWS refused ReceiveMessage: no such thing"),
        (refused("ReceiveMessage", "AccessDenied", ""), "AWS refused ReceiveMessage: AccessDenied"),
        (
            EndpointConnectionError(endpoint_url="http://x"),
            f"{NO_CONNECTION}. Is the stack there, and are there credentials for it?",
        ),
    ],
)
def test_what_aws_refuses_is_one_line(sqs: FakeSqs, run: Run, error: Exception, words: str) -> None:
    sqs.broken = {"receive_message": error}

    assert_failed(run("--dry-run"), words)
    assert_failed(run("--limit", "3", "--json"), words)


def test_what_was_done_before_it_broke_is_told(sqs: FakeSqs, run: Run) -> None:
    sqs.bury("a")
    sqs.broken = {"delete_message_batch": refused("DeleteMessageBatch")}

    code, out, err = run("--error", "none", "--json")

    assert code == 1
    assert err == (
        "sluice queue redrive: AWS refused DeleteMessageBatch: no; 1 of those that were moved could not be "
        "deleted, and are dead letters too\n"
    )
    assert (json.loads(out)["moved"], json.loads(out)["not_deleted"]) == (1, 1)


def test_a_task_that_runs_already_is_told(sqs: FakeSqs, run: Run) -> None:
    sqs.tasks = [[task("RUNNING", 2, 5)]]

    assert_failed(run(), "SQS moves the dead letters of orders already: 2 of 5 so far")


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (
            task("FAILED", 1, 3, FailureReason="AWS.SimpleQueueService.NonExistentQueue"),
            "SQS ended the task: FAILED, AWS.SimpleQueueService.NonExistentQueue",
        ),
        (task("CANCELLED", 1, 3), "SQS ended the task: CANCELLED"),
    ],
)
def test_a_task_that_does_not_complete_exits_with_1(
    sqs: FakeSqs, run: Run, shown: dict[str, Any], words: str
) -> None:
    sqs.tasks = [[], [shown]]

    assert run() == (
        1,
        "1 dead letter was moved to orders; 2 stayed.\n",
        f"sluice queue redrive: {words}\n",
    )


def test_a_task_that_is_lost_sight_of_may_go_on(sqs: FakeSqs, run: Run) -> None:
    sqs.tasks = [[], [task("RUNNING", 1, 3)]]
    sleep = sqs.time.sleep

    def cut_off(seconds: float) -> None:
        sleep(seconds)
        sqs.broken = {"list_message_move_tasks": EndpointConnectionError(endpoint_url="http://x")}

    sqs.time.sleep = cut_off  # type: ignore[method-assign]

    code, out, err = run()

    assert code == 1
    assert err.endswith("credentials for it?; SQS may move more of them still\n")
    assert out == "1 dead letter was moved to orders; 2 stayed.\n"


# Ctrl-C


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def with_real_ctrl_c(sqs: FakeSqs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock be the fake one, and what stops it the operator."""

    def clock(stop: queue.Stop) -> Any:
        made = sqs.time.clock()
        return type(made)(made.now, made.sleep, lambda: stop.pressed)

    monkeypatch.setattr(queue.Stop, "clock", clock)


def test_ctrl_c_lets_what_is_being_done_be_done_and_exits_with_130(
    sqs: FakeSqs, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_real_ctrl_c(sqs, monkeypatch)
    for number in range(15):
        sqs.bury(str(number))
    sqs.arriving = lambda message: press() if message["MessageBody"] == "3" else None
    before = signal.getsignal(signal.SIGINT)

    code, out, err = run("--error", "none", "--velocity", "5", "--json")

    assert (code, err) == (130, "sluice queue redrive: stopped\n")
    found = json.loads(out)
    assert (found["moved"], found["interrupted"], found["not_deleted"]) == (5, True, 0)
    assert (len(sqs.deleted), len(sqs.visible())) == (5, 10)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_breaks_it_off_and_gives_back_what_is_held(
    sqs: FakeSqs, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_real_ctrl_c(sqs, monkeypatch)
    for number in range(15):
        sqs.bury(str(number))

    def twice(message: dict[str, Any]) -> None:
        press()
        press()

    sqs.arriving = twice

    code, _, err = run("--error", "none", "--json")

    assert (code, err) == (130, "sluice queue redrive: broken off\n")
    assert len(sqs.visible()) == 15


def test_ctrl_c_cancels_the_task_and_says_what_it_moved(
    sqs: FakeSqs, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_real_ctrl_c(sqs, monkeypatch)
    sqs.tasks = [[], [task("RUNNING", 1, 9)], [task("CANCELLING", 1, 9)], [task("CANCELLED", 4, 9)]]
    start = sqs.start_message_move_task

    def started(**words: Any) -> Any:
        press()
        return start(**words)

    sqs.start_message_move_task = started  # type: ignore[method-assign]

    assert run() == (
        130,
        "4 dead letters were moved to orders; 5 stayed.\n",
        "sluice queue redrive: stopped\n",
    )
    assert sqs.cancelled == ["handle-1"]


def test_waiting_ends_when_ctrl_c_is_pressed() -> None:
    stop = queue.Stop()
    pressing = threading.Timer(0.05, stop.press, (signal.SIGINT, None))
    pressing.start()
    began = time.monotonic()

    stop.sleep(60)

    assert time.monotonic() - began < 30
    pressing.join()
    assert stop.pressed


def test_after_ctrl_c_what_is_watched_to_its_end_is_not_asked_without_a_pause() -> None:
    stop = queue.Stop()
    stop.press(signal.SIGINT, None)
    began = time.monotonic()

    stop.sleep(0.05)

    assert time.monotonic() - began >= 0.05
