"""Calls over a retrier's function URL: what is started for them, once, and what is answered."""

import base64
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from handlers.retrier import orchestrator
from handlers.retrier.machines import ASK_AGAIN_SECONDS, MOST_RUNS, Express, Standard
from handlers.retrier.once import ROOM_MS, Once
from handlers.retrier.orchestrator import Orchestrator
from handlers.retrier.outcomes import Code
from handlers.retrier.progress import Progress
from handlers.retrier.replies import Refusal, Reply
from sluice.retrier.rules import STARTING_SECONDS

from .consumer_records import TABLE, HandledTable
from .retrier_rules import rules

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:calls"
CALLER, ANOTHER = "123456789012/AROAA", "123456789012/AROAB"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:calls"
KEPT = 3600
RUN_SECONDS = 10.0
LONGEST_SECONDS = rules().deadline_seconds + STARTING_SECONDS + 10.0
"""Of an orchestrator's run."""
PATIENCE = 30
URL = "https://api.example.com/orders"
PLAIN = {"url": URL}
KEYED = {"url": URL, "method": "POST", "body": "1", "idempotency_key": "k-1"}
DONE: dict[str, Any] = {
    "ok": True,
    "attempts": 2,
    "waited": 1.5,
    "history": [{"at": 0.0, "egress": "a", "status": 429}, {"at": 1.5, "egress": "a", "status": 201}],
    "status": 201,
    "headers": {"content-type": "text/plain"},
    "body": "made",
}
REFUSED = {**DONE, "ok": False, "status": 404, "body": "no such thing"}
GAVE_UP = {**DONE, "ok": False, "status": 503, "gave_up": "attempts"}
BROKEN = {
    **{key: DONE[key] for key in ("attempts", "waited", "history")},
    "ok": False,
    "gave_up": "budget",
    "error": {"code": "BudgetUsedUp", "message": "used up", "status": 503, "retry_after": 7},
}
FOR_NOW = {str(each): {**DONE, "ok": False, "status": each} for each in (401, 408, 425, 429, 500, 501)}
NOT_FINAL = {"given up": GAVE_UP, "an error of ours": BROKEN, **FOR_NOW}
BUSY = ("ThrottlingException", "ExecutionLimitExceeded", "TooManyRequestsException", "ServiceUnavailable")

Json = dict[str, Any]


class KilledError(BaseException):
    """Lambda's end of a function, as far as the code sees it: nothing after it runs."""


def refused(code: str, status: int = 400) -> ClientError:
    told: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told, "StartExecution")


UNKNOWN = (
    ReadTimeoutError(endpoint_url="https://states"),
    ConnectionClosedError(endpoint_url="https://states"),
    refused("InternalFailure", 500),
)
"""After which it is not known whether an execution was started."""


def ended(outcome: Json) -> Json:
    return {"status": "SUCCEEDED", "output": json.dumps(outcome)}


@dataclass
class Context:
    """What Lambda tells of a run, whose time passes by sleeping."""

    seconds: float = 30.0
    aws_request_id: str = "r-1"

    def get_remaining_time_in_millis(self) -> int:
        return round(self.seconds * 1000)

    def sleep(self, seconds: float) -> None:
        self.seconds -= seconds


@dataclass
class StepFunctions:
    """Executions as Step Functions has them, which end as a test says."""

    ends: Callable[[], Json] = lambda: ended(DONE)
    inputs: list[str] = field(default_factory=list)
    """Of all executions that were started."""
    executions: dict[str, Json] = field(default_factory=dict)
    """The asynchronous ones, by name."""
    described: list[str] = field(default_factory=list)
    problem: BaseException | None = None

    def start_sync_execution(self, **given: Any) -> Json:
        assert given.keys() == {"stateMachineArn", "input"}
        assert given["stateMachineArn"] == MACHINE
        self.inputs.append(given["input"])
        self._refuse()
        return self.ends()

    def start_execution(self, **given: Any) -> Json:
        assert given.keys() == {"stateMachineArn", "input", "name"}
        assert given["stateMachineArn"] == MACHINE
        self._refuse()
        name, text = given["name"], given["input"]
        assert 1 <= len(name) <= 80
        found = self.executions.get(name)
        if found and not (found["status"] == "RUNNING" and found["input"] == text):
            raise refused("ExecutionAlreadyExists")
        if not found:
            self.inputs.append(text)
            self.executions[name] = {"status": "RUNNING", "input": text}
        return {"executionArn": f"{EXECUTION}:{name}"}

    def describe_execution(self, *, executionArn: str) -> Json:  # noqa: N803 - as boto3 has it
        self.described.append(executionArn)
        self._refuse()
        prefix, _, name = executionArn.rpartition(":")
        if prefix != EXECUTION or name not in self.executions:
            raise refused("ExecutionDoesNotExist")
        return self.executions[name]

    def end(self, **how: str) -> None:
        """End whatever is running."""
        for each in self.executions.values():
            if each["status"] == "RUNNING":
                each.update(how)

    def _refuse(self) -> None:
        if self.problem is not None:
            raise self.problem


class SharedTable(HandledTable):
    """A table that several functions ask at the same time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._mine = threading.local()
        self._lock = threading.Lock()
        super().__init__(monkeypatch)

    @property
    def _asked(self) -> Json:
        found: Json = self._mine.asked
        return found

    @_asked.setter
    def _asked(self, asked: Json) -> None:
        self._mine.asked = asked

    def _answer(self, model: Any, **given: object) -> Any:
        with self._lock:
            return super()._answer(model, **given)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> SharedTable:
    return SharedTable(monkeypatch)


@pytest.fixture
def aws() -> StepFunctions:
    return StepFunctions()


@pytest.fixture
def context() -> Context:
    return Context()


def express(aws: StepFunctions, sleep: Callable[[float], None]) -> Express:
    client: Any = aws
    return Express(client, MACHINE, Once(TABLE, KEPT, RUN_SECONDS, sleep))


def standard(aws: StepFunctions) -> Standard:
    client: Any = aws
    return Standard(client, MACHINE)


def take(machine: Express | Standard, call: Json, context: Context, caller: str = CALLER) -> Reply:
    given: Any = context
    return machine.take(call, caller, given)


def code_of(machine: Express | Standard, call: Json, context: Context) -> Code:
    """Return with which error of ours a call is refused."""
    with pytest.raises(Refusal) as refusal:
        take(machine, call, context)
    return Code(refusal.value.error["code"])


def test_a_call_without_a_key_is_made_each_time(
    aws: StepFunctions, table: SharedTable, context: Context
) -> None:
    machine = express(aws, context.sleep)
    replies = [take(machine, PLAIN, context) for _ in range(2)]
    assert [json.loads(each) for each in aws.inputs] == [{"call": PLAIN}] * 2
    assert replies[0] == replies[1]
    assert replies[0]["headers"] == {
        "content-type": "text/plain",
        "Sluice-Attempts": "2",
        "Sluice-Waited": "1.5",
        "Sluice-History": json.dumps(DONE["history"], separators=(",", ":")),
    }
    assert (replies[0]["statusCode"], replies[0]["body"]) == (201, "made")
    assert table.items == {}


@pytest.mark.parametrize("outcome", [DONE, REFUSED], ids=["answered", "refused"])
def test_a_call_with_a_key_is_made_once_and_its_outcome_told_again(
    aws: StepFunctions, table: SharedTable, context: Context, outcome: Json
) -> None:
    aws.ends = lambda: ended(outcome)
    first = take(express(aws, context.sleep), KEYED, context)
    # Another function, and the same call with its parts in another order.
    again = take(express(aws, context.sleep), dict(reversed(KEYED.items())), context)

    assert len(aws.inputs) == 1
    assert "Sluice-Replayed" not in first["headers"]
    assert again["headers"].pop("Sluice-Replayed") == "true"
    assert again == first


def test_of_the_same_call_twice_at_once_one_is_made_and_both_are_answered(
    aws: StepFunctions, table: SharedTable
) -> None:
    at_work, waited = threading.Event(), threading.Event()

    def ends_once_the_other_waits() -> Json:
        at_work.set()
        assert waited.wait(PATIENCE)
        return ended(DONE)

    def wait_for_the_first(_: float) -> None:
        waited.set()
        first.result(PATIENCE)

    aws.ends = ends_once_the_other_waits
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(take, express(aws, wait_for_the_first), KEYED, Context())
        assert at_work.wait(PATIENCE)
        second = take(express(aws, wait_for_the_first), KEYED, Context())

    assert len(aws.inputs) == 1
    assert "Sluice-Replayed" not in first.result()["headers"]
    assert second["headers"]["Sluice-Replayed"] == "true"
    assert second["body"] == first.result()["body"] == "made"


def test_a_key_belongs_to_the_call_that_it_came_with(
    aws: StepFunctions, table: SharedTable, context: Context
) -> None:
    machine = express(aws, context.sleep)
    take(machine, KEYED, context)
    assert code_of(machine, {**KEYED, "body": "2"}, context) is Code.REUSED
    assert code_of(machine, {**KEYED, "headers": {"x-a": "b"}}, context) is Code.REUSED
    take(machine, {**KEYED, "body": "2", "idempotency_key": "k-2"}, context)
    assert len(aws.inputs) == 2


def test_a_call_that_is_tried_harder_is_still_the_same_call(
    aws: StepFunctions, table: SharedTable, context: Context
) -> None:
    machine = express(aws, context.sleep)
    take(machine, KEYED, context)
    again = take(machine, {**KEYED, "retry": {"attempts": 1}, "timeout_seconds": 3}, context)
    assert again["headers"]["Sluice-Replayed"] == "true"
    assert len(aws.inputs) == 1


@pytest.mark.parametrize("workflow", ["express", "standard"])
def test_a_key_of_one_caller_is_not_that_of_another(
    aws: StepFunctions, table: SharedTable, context: Context, workflow: str
) -> None:
    machine = express(aws, context.sleep) if workflow == "express" else standard(aws)
    first = take(machine, KEYED, context, CALLER)
    other = take(machine, {**KEYED, "body": "2"}, context, ANOTHER)
    assert "Sluice-Replayed" not in other["headers"]
    assert len(aws.inputs) == 2
    again = take(machine, KEYED, context, CALLER)
    assert (again["statusCode"], again["body"]) == (first["statusCode"], first["body"])
    assert len(aws.inputs) == 2


@pytest.mark.parametrize(("seconds", "made"), [(RUN_SECONDS - 0.1, False), (RUN_SECONDS, True)])
def test_no_run_is_begun_that_may_not_come_to_its_end(
    aws: StepFunctions, table: SharedTable, seconds: float, made: bool
) -> None:
    context = Context(seconds)
    machine = express(aws, context.sleep)
    if made:
        assert take(machine, KEYED, context)["statusCode"] == 201
        return
    assert code_of(machine, KEYED, context) is Code.IN_PROGRESS
    assert aws.inputs == []
    assert take(machine, KEYED, Context(30))["statusCode"] == 201, "and the key is free again"


@pytest.mark.parametrize("outcome", NOT_FINAL.values(), ids=NOT_FINAL)
def test_an_outcome_that_another_run_may_better_is_not_kept(
    aws: StepFunctions, table: SharedTable, context: Context, outcome: Json
) -> None:
    machine = express(aws, context.sleep)
    aws.ends = lambda: ended(outcome)
    answered = outcome.get("status") or outcome["error"]["status"]
    assert take(machine, KEYED, context)["statusCode"] == answered
    assert table.items == {}

    aws.ends = lambda: ended(DONE)
    again = take(machine, KEYED, context)
    assert (again["statusCode"], len(aws.inputs)) == (201, 2)
    assert "Sluice-Replayed" not in again["headers"]


def test_an_outcome_is_forgotten_after_its_time(
    aws: StepFunctions, table: SharedTable, context: Context
) -> None:
    machine = express(aws, context.sleep)
    take(machine, KEYED, context)
    table.pass_time(KEPT - 10)
    take(machine, KEYED, context)
    assert len(aws.inputs) == 1
    table.pass_time(20)
    take(machine, KEYED, context)
    assert len(aws.inputs) == 2


def test_who_waits_in_vain_for_the_same_call_is_told_so_in_time(
    aws: StepFunctions, table: SharedTable, context: Context
) -> None:
    aws.problem = KilledError()
    with pytest.raises(KilledError):
        take(express(aws, context.sleep), KEYED, Context(300))

    aws.problem = None
    assert code_of(express(aws, context.sleep), KEYED, context) is Code.IN_PROGRESS
    assert ROOM_MS / 2 <= context.get_remaining_time_in_millis() < ROOM_MS
    assert len(aws.inputs) == 1


def test_a_call_whose_function_was_ended_is_made_again_once_that_is_certain(
    aws: StepFunctions, table: SharedTable, context: Context
) -> None:
    aws.problem = KilledError()
    with pytest.raises(KilledError):
        take(express(aws, context.sleep), KEYED, Context(30))

    aws.problem = None
    table.pass_time(31)
    assert take(express(aws, context.sleep), KEYED, context)["statusCode"] == 201


@pytest.mark.parametrize(
    ("refuses", "outcome", "status"), [("UpdateItem", DONE, 201), ("DeleteItem", GAVE_UP, 503)]
)
def test_an_outcome_that_cannot_be_written_down_is_answered_all_the_same(
    aws: StepFunctions, table: SharedTable, refuses: str, outcome: Json, status: int
) -> None:
    context = Context()
    table.refused = {refuses}
    aws.ends = lambda: ended(outcome)
    found = take(express(aws, context.sleep), KEYED, context)
    assert (found["statusCode"], len(aws.inputs)) == (status, 1)
    assert "Sluice-Replayed" not in found["headers"]


def test_a_call_is_not_made_where_nobody_knows_whether_it_was(
    aws: StepFunctions, table: SharedTable, context: Context
) -> None:
    table.refused = {"PutItem"}
    assert code_of(express(aws, context.sleep), KEYED, context) is Code.BUSY
    assert aws.inputs == []


@pytest.mark.parametrize("call", [PLAIN, KEYED], ids=["without a key", "with a key"])
@pytest.mark.parametrize(
    ("problem", "code"),
    [
        *[(refused(each), Code.BUSY) for each in BUSY],
        (refused("ServiceUnavailable", 503), Code.BUSY),
        (refused("AccessDeniedException"), Code.FAILED),
        (NoCredentialsError(), Code.FAILED),
        (EndpointConnectionError(endpoint_url="https://states"), Code.FAILED),
        (ConnectTimeoutError(endpoint_url="https://states"), Code.FAILED),
    ],
    ids=str,
)
@pytest.mark.usefixtures("table")
def test_a_call_that_step_functions_does_not_take_is_refused_and_may_come_again(
    aws: StepFunctions, context: Context, call: Json, problem: Exception, code: Code
) -> None:
    machine = express(aws, context.sleep)
    aws.problem = problem
    assert code_of(machine, call, context) is code

    aws.problem = None
    assert take(machine, call, context)["statusCode"] == 201


@pytest.mark.parametrize("problem", UNKNOWN, ids=lambda each: type(each).__name__)
def test_a_call_of_which_nobody_knows_what_came_is_not_made_again_until_its_run_is_over(
    aws: StepFunctions, table: SharedTable, problem: Exception
) -> None:
    first, again = Context(30), Context(30)
    aws.problem = problem
    assert code_of(express(aws, first.sleep), KEYED, first) is Code.DEADLINE

    aws.problem = None
    assert code_of(express(aws, again.sleep), KEYED, again) is Code.IN_PROGRESS
    assert len(aws.inputs) == 1
    table.pass_time(31)
    assert take(express(aws, first.sleep), KEYED, Context(30))["statusCode"] == 201


@pytest.mark.parametrize("problem", UNKNOWN, ids=lambda each: type(each).__name__)
def test_a_call_without_a_key_of_which_nobody_knows_what_came_says_so(
    aws: StepFunctions, context: Context, table: SharedTable, problem: Exception
) -> None:
    aws.problem = problem
    assert code_of(express(aws, context.sleep), PLAIN, context) is Code.DEADLINE
    assert len(aws.inputs) == 1


@pytest.mark.parametrize(
    ("status", "code", "answered"),
    [("FAILED", "CallFailed", 500), ("ABORTED", "CallFailed", 500), ("TIMED_OUT", "DeadlineExceeded", 504)],
)
def test_an_execution_that_breaks_is_an_error_of_ours_and_is_not_kept(
    aws: StepFunctions, table: SharedTable, status: str, code: str, answered: int
) -> None:
    context = Context()
    aws.ends = lambda: {"status": status, "error": "CallFailed", "cause": "secret things"}
    found = take(express(aws, context.sleep), KEYED, context)
    assert (found["statusCode"], found["headers"]["Sluice-Error"]) == (answered, code)
    assert "secret" not in found["body"]
    assert table.items == {}


def test_an_execution_that_breaks_tells_what_it_came_to(
    aws: StepFunctions, table: SharedTable, context: Context
) -> None:
    def broken(progress: Progress | None, losses: int) -> tuple[str, str, list[Json]]:
        told = {"error": "CallFailed", "progress": progress and progress.dump(), "losses": losses}
        cause = json.dumps(told)
        aws.ends = lambda: {"status": "FAILED", "error": "CallFailed", "cause": cause}
        headers = take(express(aws, context.sleep), PLAIN, context)["headers"]
        history = json.loads(headers["Sluice-History"])
        return headers["Sluice-Attempts"], headers["Sluice-Waited"], history

    progress = Progress(1_800_000_000.0, waited=1.5)
    progress.note(1_800_000_000.5, "a", status=503)
    first = progress.history[0]
    assert broken(progress, losses=0) == ("1", "1.5", [first])
    assert broken(progress, losses=3) == ("2", "1.5", [first, {"failure": "lost"}])
    progress.followed.append({"status": 303, "url": "https://api.example.com/"})
    assert broken(progress, losses=0) == ("2", "1.5", [first, {"failure": "redirect"}])
    assert broken(None, losses=1) == ("1", "0.0", [{"failure": "lost"}])


@pytest.mark.parametrize(
    "cause",
    ["", "null", "[]", "{", '{"error": "x"}', '{"progress": null}', '{"progress": null, "losses": 0}'],
)
def test_an_execution_that_breaks_with_another_cause_has_no_history(
    aws: StepFunctions, table: SharedTable, context: Context, cause: str
) -> None:
    aws.ends = lambda: {"status": "FAILED", "error": "CallFailed", "cause": cause}
    found = take(express(aws, context.sleep), PLAIN, context)
    assert (found["statusCode"], found["headers"]["Sluice-Error"]) == (500, "CallFailed")
    assert (found["headers"]["Sluice-Attempts"], found["headers"]["Sluice-History"]) == ("0", "[]")


def test_an_asynchronous_call_is_taken_under_a_name_of_its_own(aws: StepFunctions, context: Context) -> None:
    found = [take(standard(aws), PLAIN, context) for _ in range(2)]
    names = [json.loads(each["body"])["execution"] for each in found]
    assert [*aws.executions] == names
    assert len({*names}) == 2
    assert found[0]["statusCode"] == 202
    assert json.loads(found[0]["body"]) == {"execution": names[0], "status": "running"}
    assert found[0]["headers"]["Location"] == f"/executions/{names[0]}"
    assert found[0]["headers"]["Retry-After"] == str(ASK_AGAIN_SECONDS)


@pytest.mark.parametrize("end", [None, ended(DONE), ended(REFUSED)], ids=["runs", "answered", "refused"])
def test_the_same_asynchronous_call_is_the_same_execution(
    aws: StepFunctions, context: Context, end: Mapping[str, str] | None
) -> None:
    first = take(standard(aws), KEYED, context)
    aws.end(**(end or {}))
    again = take(standard(aws), dict(reversed(KEYED.items())), context)
    assert again == first
    assert len(aws.inputs) == 1


@pytest.mark.parametrize(
    "end",
    [*map(ended, NOT_FINAL.values()), {"status": "FAILED"}, {"status": "TIMED_OUT"}, {"status": "ABORTED"}],
    ids=[*NOT_FINAL, "failed", "timed out", "aborted"],
)
def test_an_asynchronous_call_that_failed_is_run_again_and_once(
    aws: StepFunctions, context: Context, end: Mapping[str, str]
) -> None:
    first = take(standard(aws), KEYED, context)
    aws.end(**end)
    second, third = take(standard(aws), KEYED, context), take(standard(aws), KEYED, context)
    assert second == third != first
    assert len(aws.inputs) == 2


@pytest.mark.parametrize("end", [{}, ended(DONE), {"status": "FAILED"}], ids=["runs", "answered", "failed"])
def test_a_key_of_an_asynchronous_call_is_no_other_calls(
    aws: StepFunctions, context: Context, end: Mapping[str, str]
) -> None:
    take(standard(aws), KEYED, context)
    aws.end(**end)
    assert code_of(standard(aws), {**KEYED, "body": "2"}, context) is Code.REUSED
    assert len(aws.inputs) == 1


def test_an_asynchronous_call_is_run_so_often_and_then_no_more(aws: StepFunctions, context: Context) -> None:
    for _ in range(MOST_RUNS):
        take(standard(aws), KEYED, context)
        aws.end(status="FAILED")
    assert code_of(standard(aws), KEYED, context) is Code.REUSED
    assert len(aws.inputs) == MOST_RUNS


def test_keys_of_any_form_make_names_that_step_functions_takes(aws: StepFunctions, context: Context) -> None:
    for key in ("a/b:c", "x" * 255, "!~", "k-1-1", "k-1"):
        take(standard(aws), {**KEYED, "idempotency_key": key}, context)
    assert len(aws.executions) == 5


@pytest.mark.parametrize("call", [PLAIN, KEYED], ids=["without a key", "with a key"])
@pytest.mark.parametrize("code", BUSY)
def test_an_asynchronous_call_that_is_throttled_may_come_again(
    aws: StepFunctions, context: Context, call: Json, code: str
) -> None:
    aws.problem = refused(code)
    assert code_of(standard(aws), call, context) is Code.BUSY
    aws.problem = None
    assert take(standard(aws), call, context)["statusCode"] == 202


class Door:
    """An orchestrator, over its function URL."""

    def __init__(self, orchestrator_: Orchestrator, context: Context) -> None:
        self._orchestrator = orchestrator_
        self._context: Any = context
        self.caller: Json | None = None
        """Who signs, as a function URL says it."""

    def ask(self, method: str, path: str, body: str | None = None, *, encoded: bool = False) -> Reply:
        who = {} if self.caller is None else {"authorizer": {"iam": self.caller}}
        told = {"http": {"method": method}, **who}
        event = {"requestContext": told, "rawPath": path, "isBase64Encoded": encoded}
        found = self._orchestrator.run(event if body is None else {**event, "body": body}, self._context)
        assert isinstance(found["body"], str)
        assert all(isinstance(each, str) for each in found["headers"].values())
        return found

    def post(self, call: Json) -> Reply:
        return self.ask("POST", "/", json.dumps(call))


Opener = Callable[[str], Door]


@pytest.fixture
def opened(
    aws: StepFunctions,
    table: SharedTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Opener:
    """Opens the door of a retrier with a kind of workflow."""
    (tmp_path / "rules.json").write_text(rules().dumps())
    monkeypatch.setattr(orchestrator, "__file__", str(tmp_path / "orchestrator.py"))
    monkeypatch.setattr(boto3, "client", lambda *_, **__: aws)

    def open_(workflow: str) -> Door:
        variables = {
            "SLUICE_SERVICE": "calls",
            "SLUICE_STATE_MACHINE": MACHINE,
            "SLUICE_WORKFLOW": workflow,
            "SLUICE_IDEMPOTENCY_TABLE": TABLE,
            "SLUICE_KEPT_SECONDS": str(KEPT),
        }
        return Door(Orchestrator(variables), Context(LONGEST_SECONDS))

    return open_


@pytest.fixture
def door(opened: Opener) -> Door:
    return opened("express")


def error_of(reply: Reply) -> tuple[int, str]:
    """Return the status and the code of an error of ours, which looks as each does."""
    body = json.loads(reply["body"])
    assert body.keys() == {"code", "message", "requestId"}
    assert (body["requestId"], body["code"]) == ("r-1", reply["headers"]["Sluice-Error"])
    assert reply["headers"]["Content-Type"] == "application/json"
    return reply["statusCode"], body["code"]


def test_a_call_over_the_url_is_answered_with_what_the_upstream_answered(door: Door) -> None:
    found = door.post(PLAIN)
    assert (found["statusCode"], found["body"]) == (201, "made")
    assert "Sluice-Error" not in found["headers"]


def test_a_call_in_base64_is_the_same(door: Door, aws: StepFunctions) -> None:
    text = json.dumps({**PLAIN, "body": "ä"})
    found = door.ask("POST", "/", base64.b64encode(text.encode()).decode(), encoded=True)
    assert found["statusCode"] == 201
    assert json.loads(aws.inputs[0]) == {"call": {**PLAIN, "body": "ä"}}


def test_an_answer_in_bytes_is_handed_on_as_bytes(door: Door, aws: StepFunctions) -> None:
    body = base64.b64encode(b"\xff\x00").decode()
    aws.ends = lambda: ended({**DONE, "body": body, "base64": True})
    found = door.post(PLAIN)
    assert (found["body"], found["isBase64Encoded"]) == (body, True)


def test_who_is_given_up_is_told_why_with_the_last_answer(door: Door, aws: StepFunctions) -> None:
    aws.ends = lambda: ended(GAVE_UP)
    found = door.post(PLAIN)
    assert (found["statusCode"], found["body"]) == (503, "made")
    assert found["headers"]["Sluice-Gave-Up"] == "attempts"
    assert "Sluice-Error" not in found["headers"]


def test_who_is_given_up_without_an_answer_gets_an_error_of_ours(door: Door, aws: StepFunctions) -> None:
    aws.ends = lambda: ended(BROKEN)
    found = door.post(PLAIN)
    assert error_of(found) == (503, "BudgetUsedUp")
    assert (found["headers"]["Retry-After"], found["headers"]["Sluice-Gave-Up"]) == ("7", "budget")
    assert found["headers"]["Sluice-Attempts"] == "2"


@pytest.mark.parametrize(
    ("body", "encoded"),
    [
        (None, False),
        ("", False),
        ("not JSON", False),
        ("[]", False),
        ('"text"', False),
        ("null", False),
        ("not base64!", True),
        (base64.b64encode(b"\xff\xfe{").decode(), True),
        ("[" * 100_000, False),
        ('{"url": ' * 5_000 + "1" + "}" * 5_000, False),
        ('{"url": "https://api.example.com", "x": ' + "[" * 960 + "]" * 960 + "}", False),
    ],
)
def test_what_is_no_call_is_refused_before_anything_starts(
    door: Door, aws: StepFunctions, body: str | None, encoded: bool
) -> None:
    assert error_of(door.ask("POST", "/", body, encoded=encoded)) == (400, "InvalidCall")
    assert aws.inputs == []


@pytest.mark.parametrize("workflow", ["express", "standard"])
def test_a_call_that_may_not_be_made_is_refused_before_anything_starts(
    opened: Opener, aws: StepFunctions, workflow: str
) -> None:
    door = opened(workflow)
    assert error_of(door.post({"url": "https://elsewhere.example.com"})) == (403, "ForbiddenTarget")
    assert error_of(door.post({"url": URL, "method": "BREW"})) == (400, "InvalidCall")
    assert aws.inputs == []


@pytest.mark.parametrize("workflow", ["express", "standard"])
def test_too_many_calls_at_once_are_told_to_come_again(
    opened: Opener, aws: StepFunctions, workflow: str
) -> None:
    aws.problem = refused("ThrottlingException")
    found = opened(workflow).post(PLAIN)
    assert error_of(found) == (503, "Busy")
    assert found["headers"]["Retry-After"] == "1"


@pytest.mark.parametrize("workflow", ["express", "standard"])
def test_a_key_of_another_call_is_refused(opened: Opener, workflow: str) -> None:
    door = opened(workflow)
    door.post(KEYED)
    assert error_of(door.post({**KEYED, "body": "2"})) == (422, "IdempotencyKeyReused")


def test_a_key_is_that_of_whoever_signs_in_any_session(door: Door, aws: StepFunctions) -> None:
    for account, user in (
        ("1", "AROAA:monday"),
        ("1", "AROAA:tuesday"),
        ("1", "AROAB:monday"),
        ("2", "AROAA"),
    ):
        door.caller = {"accountId": account, "userId": user}
        door.post(KEYED)
    assert len(aws.inputs) == 3
    door.caller = None
    assert "Sluice-Replayed" not in door.post(KEYED)["headers"], "and nobody's is another one"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/orders"), ("POST", "/orders"), ("POST", ""), ("POST", "//"), ("GET", "/executions")],
)
def test_an_unknown_path_is_not_found(door: Door, aws: StepFunctions, method: str, path: str) -> None:
    assert error_of(door.ask(method, path, json.dumps(PLAIN))) == (404, "NotFound")
    assert aws.inputs == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/", "POST"),
        ("PUT", "/", "POST"),
        ("POST", "/executions/a", "GET"),
        ("DELETE", "/executions/a", "GET"),
    ],
)
def test_a_wrong_method_is_not_allowed_and_the_right_one_named(
    door: Door, aws: StepFunctions, method: str, path: str, allowed: str
) -> None:
    found = door.ask(method, path, json.dumps(PLAIN))
    assert (found["statusCode"], found["headers"]["Allow"]) == (405, allowed)
    assert aws.inputs == []


def test_synchronous_executions_cannot_be_asked_for(door: Door, aws: StepFunctions) -> None:
    assert error_of(door.ask("GET", "/executions/a")) == (404, "NotFound")
    assert aws.described == []


def test_an_asynchronous_call_is_asked_for_until_it_has_ended(opened: Opener, aws: StepFunctions) -> None:
    door = opened("standard")
    taken = door.post(KEYED)
    where = taken["headers"]["Location"]

    running = door.ask("GET", where)
    assert (running["statusCode"], running["body"]) == (202, taken["body"])
    assert running["headers"]["Retry-After"] == str(ASK_AGAIN_SECONDS)

    aws.end(**ended(REFUSED))
    found = door.ask("GET", where)
    assert found["statusCode"] == 200
    assert json.loads(found["body"]) == {
        "execution": where.removeprefix("/executions/"),
        "status": "ended",
        "outcome": REFUSED,
    }


@pytest.mark.parametrize(
    ("status", "code"),
    [("FAILED", "CallFailed"), ("ABORTED", "CallFailed"), ("TIMED_OUT", "DeadlineExceeded")],
)
def test_an_asynchronous_call_that_broke_has_ended_with_an_error_of_ours(
    opened: Opener, aws: StepFunctions, status: str, code: str
) -> None:
    door = opened("standard")
    where = door.post(PLAIN)["headers"]["Location"]
    aws.end(status=status)
    outcome = json.loads(door.ask("GET", where)["body"])["outcome"]
    assert (outcome["ok"], outcome["error"]["code"]) == (False, code)


@pytest.mark.parametrize(
    "name", ["", "a/b", "../a", "a:b", "a b", "%2e", "a\n", "x" * 81, f"{EXECUTION}:a", "ä", "a*"]
)
def test_what_cannot_be_an_executions_name_is_not_found_and_nobody_is_asked(
    opened: Opener, aws: StepFunctions, name: str
) -> None:
    assert error_of(opened("standard").ask("GET", f"/executions/{name}")) == (404, "NotFound")
    assert aws.described == []


def test_an_execution_that_never_was_is_not_found(opened: Opener, aws: StepFunctions) -> None:
    assert error_of(opened("standard").ask("GET", "/executions/abc-1")) == (404, "NotFound")
    assert aws.described == [f"{EXECUTION}:abc-1"]


def test_a_status_that_is_throttled_may_be_asked_for_again(opened: Opener, aws: StepFunctions) -> None:
    aws.problem = refused("ThrottlingException")
    assert error_of(opened("standard").ask("GET", "/executions/abc-1")) == (503, "Busy")
