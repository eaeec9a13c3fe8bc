"""What a caller learns of a handler's exception on the local AWS."""

import io
import json
import queue
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from local.emulator_errors import (
    CAUGHT,
    DIED,
    END,
    Failed,
    UnknownWorkerError,
    answering,
    keeping_failures,
    telling_failures,
    whole_log,
)

WORKER = f"    for event in events:\n{CAUGHT}"
LOOP = "def run(handler_fn, events, context, _real_stdout):\n    import json, traceback\n"
CONTEXT = SimpleNamespace(aws_request_id="r-1")


class QuotaError(Exception):
    """One of a handler's own."""


def answers(handler: Any, *events: Any) -> list[dict[str, Any]]:
    """Have the worker's loop call a handler, and return what it writes."""
    written, names = io.StringIO(), dict[str, Any]()
    exec(answering(LOOP + WORKER), names)
    names["run"](handler, events, CONTEXT, written)
    return [json.loads(line) for line in written.getvalue().splitlines()]


def raising(event: Any, context: Any) -> Any:
    if event == "fail":
        raise QuotaError("no more today")
    return {"got": event}


def test_an_exception_is_an_answer_with_its_class_its_text_and_its_stack() -> None:
    (answer,) = answers(raising, "fail")

    assert answer["status"] == "ok"
    told = answer["failure"]
    assert (told["errorType"], told["errorMessage"]) == ("QuotaError", "no more today")
    assert told["requestId"] == "r-1"
    (frame,) = told["stackTrace"]
    assert "in raising" in frame
    assert 'raise QuotaError("no more today")' in frame
    assert "QuotaError: no more today" in answer["trace"]


def test_the_worker_goes_on_after_an_exception() -> None:
    _, second = answers(raising, "fail", "work")

    assert second == {"status": "ok", "result": {"got": "work"}}


def test_what_is_no_json_is_a_failure_of_its_own() -> None:
    (answer,) = answers(lambda event, context: {1, 2}, "any")

    assert answer["failure"]["errorType"] == "Runtime.MarshalError"
    assert answer["failure"]["errorMessage"].startswith("Unable to marshal response: ")


def test_another_worker_than_the_known_one_is_refused() -> None:
    for script in ("", LOOP + WORKER.replace("str(e)", "repr(e)"), LOOP + WORKER + WORKER):
        with pytest.raises(UnknownWorkerError):
            answering(script)


def test_a_failure_becomes_what_lambda_answers() -> None:
    told = {"errorType": "QuotaError", "errorMessage": "no more today"}
    invoke = keeping_failures(lambda *_: {"status": "ok", "failure": told, "trace": "the trace"})

    result = telling_failures(lambda *_: {"body": invoke("event")["result"], "log": "a line"})(
        {}, "event", "r-1"
    )

    assert result == {
        "body": told,
        "error": True,
        "function_error": "Unhandled",
        "log": "a line\nthe trace",
    }


def test_a_handler_s_own_result_is_left_alone_whatever_it_looks_like() -> None:
    like_a_failure = {"status": "ok", "result": {"errorType": "QuotaError"}}

    assert keeping_failures(lambda *_: dict(like_a_failure))("event") == like_a_failure
    result = {"body": like_a_failure["result"], "log": ""}
    assert telling_failures(lambda *_: result)({}, "event", "r-1") is result


def test_a_worker_that_ended_is_an_exit_of_the_runtime() -> None:
    died = {"body": {"errorMessage": DIED, "errorType": "Runtime.HandlerError"}, "error": True, "log": ""}

    body = telling_failures(lambda *_: died)({}, "event", "r-1")["body"]

    assert body["errorType"] == "Runtime.ExitError"
    assert "r-1" in body["errorMessage"]


def test_what_the_emulator_reports_otherwise_stays() -> None:
    late = {"body": {"errorMessage": "Task timed out", "errorType": "Sandbox.Timedout"}, "error": True}

    assert telling_failures(lambda *_: late)({}, "event", "r-1") is late


def test_a_failure_is_what_is_told_of_it() -> None:
    failed = Failed({"errorType": "E"}, "trace")

    assert json.dumps(failed) == '{"errorType": "E"}'
    assert failed.trace == "trace"


class Worker:
    """One whose log comes as it does."""

    def __init__(self, *lines: str, alive: bool = True) -> None:
        self._proc = object() if alive else None
        self._stderr_queue: queue.Queue[str] = queue.Queue()
        for line in lines:
            self._stderr_queue.put(line)


def test_a_log_is_read_to_its_end_and_not_beyond() -> None:
    drained = whole_log(lambda worker: "the emulator's own")
    worker = Worker("one", "two", END, "the next one's")
    assert drained(worker) == "one\ntwo"
    assert drained(Worker(f"without an end of its own{END}")) == "without an end of its own"


def test_a_log_that_comes_late_is_waited_for() -> None:
    worker = Worker()
    drained = whole_log(lambda worker: "the emulator's own")
    threading.Timer(0.2, lambda: [*map(worker._stderr_queue.put, ("late", END))]).start()
    assert drained(worker) == "late"


def test_of_a_worker_that_is_gone_nothing_is_waited_for() -> None:
    drained = whole_log(lambda worker: "the emulator's own")
    assert drained(Worker(alive=False)) == "the emulator's own"
