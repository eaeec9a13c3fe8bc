"""State machines as Step Functions runs them, where the emulator does less.

A machine's role counts for what its tasks invoke; executions end in time, measure themselves and keep to the
limits; Express workflows and Standard ones are told apart.

This runs inside the emulator, in place of its own functions for all that.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

import contextvars
import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import emulator_measuring  # type: ignore[import-not-found]  # siblings: this runs by its path
import emulator_workflow_rules as rules  # type: ignore[import-not-found]
from ministack.core import iam_evaluator
from ministack.core.responses import (
    error_response_json,
    get_region,
    json_response,
    new_uuid,
    now_iso,
)
from ministack.services import iam, lambda_svc
from ministack.services import stepfunctions as sfn

NAMESPACE = "AWS/States"
INVOKE = "lambda:InvokeFunction"
THROTTLED = "Lambda.TooManyRequestsException"
NOT_FOUND = "Lambda.ResourceNotFoundException"
FORBIDDEN = "Lambda.AWSLambdaException"
TIMEOUT = "States.Timeout"
START_PAUSE = 0.15
"""The emulator's own wait before the first state, which stands for nothing."""
SESSION_BYTES = 16

Data = dict[str, Any]
Answer = tuple[int, Data, bytes]
Call = Callable[[Data], Answer]
Execute = Callable[..., tuple[object, str | None]]
"""Executes a state, and returns its output and what comes next."""


class Ended(BaseException):
    """The execution has ended, and a state of it has not."""


@dataclass
class Run:
    """One execution, while it runs."""

    execution: Data
    machine: Data
    ended: threading.Event = field(default_factory=threading.Event)
    session: str = field(default_factory=lambda: secrets.token_hex(SESSION_BYTES))
    """What the session of the machine's role is called."""

    @property
    def limit(self) -> float | None:
        """After how many seconds it times out."""
        with suppress(ValueError):
            return rules.longest_run(json.loads(self.machine["definition"]), self.machine["type"])  # type: ignore[no-any-return]
        return None

    def measure(self, name: str, value: float = 1, unit: str = "Count") -> None:
        """Put one value of a metric, and let alarms look at it."""
        dimensions = {"StateMachineArn": self.machine["stateMachineArn"]}
        emulator_measuring.put(NAMESPACE, name, value, unit, dimensions)

    def time_out(self) -> None:
        """End it, since it took too long."""
        self.execution.update(status="TIMED_OUT", stopDate=now_iso(), error=TIMEOUT)
        sfn._add_event(
            self.execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {"error": TIMEOUT}}
        )
        sfn._emit_execution_status_event(self.execution)


_current: ContextVar[Run | None] = ContextVar("run", default=None)
_runs: dict[str, Run] = {}


def in_time(walk: Callable[[str], None]) -> Callable[[str], None]:
    """Return what runs an execution until it ends, is stopped or has taken too long, and measures it."""

    def ran(arn: str) -> None:
        execution = sfn._executions.get(arn) or {}
        machine = sfn._state_machines.get(execution.get("stateMachineArn"))
        if machine is None:
            walk(arn)
            return
        run = _runs[arn] = Run(execution, machine)
        started = time.monotonic()
        run.measure("ExecutionsStarted")
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(walked, walk, arn, run), daemon=True).start()
        if not run.ended.wait(run.limit) and execution["status"] == "RUNNING":
            run.time_out()
        run.ended.set()
        del _runs[arn]
        run.measure("ExecutionTime", (time.monotonic() - started) * 1000, "Milliseconds")
        if outcome := rules.METRICS.get(execution["status"]):
            run.measure(outcome)
        if ":express:" in arn:
            # Nobody can ask for it.
            sfn._executions.pop(arn, None)

    return ran


def walked(walk: Callable[[str], None], arn: str, run: Run) -> None:
    """Walk through a machine's states, as long as the execution runs."""
    _current.set(run)
    with suppress(Ended):
        walk(arn)
    run.ended.set()


def pause(seconds: float) -> None:
    """Wait, or until the execution that waits has ended."""
    if seconds == START_PAUSE:
        return
    run = _current.get()
    if run is None:
        time.sleep(seconds)
    elif run.ended.wait(seconds):
        raise Ended


def once(fail: Callable[[Data, str, str], None]) -> Callable[[Data, str, str], None]:
    """Return what ends an execution with an error, unless it has ended."""

    def failed(execution: Data, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)
            execution["output"] = None

    return failed


def stopping(stop: Call) -> Call:
    """Return what stops an execution, wherever it waits."""

    def stopped(data: Data) -> Answer:
        answer = stop(data)
        run = _runs.get(data.get("executionArn", ""))
        if run and run.execution["status"] == "ABORTED":
            run.ended.set()
        return answer

    return stopped


def refusing(call: Call) -> Call:
    """Return what answers a call, also one that is refused."""

    def answered(data: Data) -> Answer:
        try:
            return call(data)
        except rules.RefusalError as refusal:
            answer: Answer = error_response_json(refusal.code, refusal.message, 400)
            return answer

    return answered


def of_standard(call: Call) -> Call:
    """Return what answers a call about an execution, and knows none of an Express workflow."""

    def answered(data: Data) -> Answer:
        if ":express:" in data.get("executionArn", ""):
            raise rules.RefusalError(
                "InvalidArn", "Invalid Arn: 'Resource type not valid in this context: express'"
            )
        return call(data)

    return refusing(answered)


def named(data: Data) -> Data | None:
    """Return the machine that a call is about; nothing where there is none."""
    arn = sfn._resolve_state_machine_arn(data.get("stateMachineArn", ""))
    found: Data | None = sfn._state_machines.get(arn) if arn else None
    return found


def starting(start: Call) -> Call:
    """Return what starts an execution: once by its name, but each time where it is Express."""

    def started(data: Data) -> Answer:
        machine = named(data)
        if machine is None:
            return start(data)
        rules.check_start(data)
        if machine["type"] == rules.EXPRESS:
            execution = express(machine, data)
            arn = execution["executionArn"]
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(sfn._run_execution, arn), daemon=True).start()
            return told(execution, "executionArn", "startDate")
        arn = f"{machine['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{data.get('name')}"
        known = sfn._executions.get(arn)
        if known and (known["status"], known["input"]) == ("RUNNING", data.get("input", "{}")):
            return told(known, "executionArn", "startDate")
        return start(data)

    return refusing(started)


def start_and_wait(data: Data) -> Answer:
    """Answer StartSyncExecution."""
    machine = named(data)
    if machine is None:
        missing = f"State Machine Does Not Exist: '{data.get('stateMachineArn')}'"
        raise rules.RefusalError("StateMachineDoesNotExist", missing)
    rules.check_start(data)
    if machine["type"] != rules.EXPRESS:
        wrong = "This operation is not supported by this type of state machine"
        raise rules.RefusalError("StateMachineTypeNotSupported", wrong)
    execution = express(machine, data)
    sfn._run_execution(execution["executionArn"])
    outcome = ("output", "outputDetails") if execution["status"] == "SUCCEEDED" else ("error", "cause")
    identity = ("executionArn", "stateMachineArn", "name", "status")
    return told(execution, *identity, "startDate", "stopDate", "input", "inputDetails", *outcome)


def told(execution: Data, *names: str) -> Answer:
    """Return what a caller is told of an execution."""
    answer: Answer = json_response(
        {name: execution[name] for name in names if execution.get(name) is not None}
    )
    return answer


def express(machine: Data, data: Data) -> Data:
    """Make an execution of an Express workflow: of whatever name, it is one of its own."""
    name = data.get("name") or new_uuid()
    base = machine["stateMachineArn"].replace(":stateMachine:", ":express:")
    arn, given, started = f"{base}:{name}:{new_uuid()}", data.get("input", "{}"), now_iso()
    begun = {"input": given, "roleArn": machine["roleArn"]}
    execution = {
        "executionArn": arn,
        "stateMachineArn": machine["stateMachineArn"],
        "name": name,
        "status": "RUNNING",
        "startDate": started,
        "stopDate": None,
        "input": given,
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": {"included": True},
        "mockAttempts": {},
        "sync": True,
        "events": [
            {"id": 1, "type": "ExecutionStarted", "timestamp": started, "executionStartedEventDetails": begun}
        ],
    }
    sfn._executions[arn] = execution
    return execution


def invoke(ref: str, event: object) -> object:
    """Invoke a function for a task, if the machine's role may, and return its answer.

    Raises:
        sfn._ExecutionError: with the error's name as a Retry or a Catch has it.
    """
    name, qualifier = lambda_svc._resolve_name_and_qualifier(ref)
    arn = lambda_svc._func_arn(name) + (f":{qualifier}" if qualifier else "")
    run = _current.get()
    if run and (words := denial(run, arn)):
        raise sfn._ExecutionError(FORBIDDEN, of_lambda(words, 403, "AccessDeniedException"))
    function, config, _ = lambda_svc._get_func_record_for_ref(ref)
    if not function or not config:
        words = f"Function not found: {arn}"
        raise sfn._ExecutionError(NOT_FOUND, of_lambda(words, 404, "ResourceNotFoundException"))
    record = lambda_svc._execution_record_for_config(function, config)
    execute = lambda_svc._execute_function_with_config_scope
    result = emulator_measuring.run_function(execute, record, event)
    if result.get("throttle"):
        raise sfn._ExecutionError(THROTTLED, of_lambda("Rate Exceeded.", 429, "TooManyRequestsException"))
    body: object = result.get("body")
    if result.get("error"):
        kind = body.get("errorType") if isinstance(body, dict) else None
        raise sfn._ExecutionError(kind or "Lambda.Unknown", json.dumps(body))
    return body


def of_lambda(words: str, status: int, code: str) -> str:
    """Return what Lambda said, as the cause of an error has it."""
    return (
        f"{words} (Service: AWSLambda; Status Code: {status}; Error Code: {code}; "
        f"Request ID: {new_uuid()}; Proxy: null)"
    )


def denial(run: Run, arn: str) -> str | None:
    """Return why a machine's role may not invoke a function; nothing if it may."""
    role: str = run.machine["roleArn"]
    account, name = role.split(":")[4], role.rpartition("/")[2]
    caller = f"arn:aws:sts::{account}:assumed-role/{name}/{run.session}"
    context = iam_evaluator.EvalContext(caller, "AssumedRole", account, INVOKE, arn, get_region())
    policies = iam_evaluator._gather_role_policies(name, account)
    boundary = iam_evaluator._permissions_boundary(iam._roles, name, account)
    decided = iam_evaluator.evaluate(context, policies, *boundary)
    if policy := lambda_svc.function_policy_for_arn(arn):
        decided = iam_evaluator.combine_resource_policy(decided, context, *policy, limits=boundary)
    if decided.decision == "Allow":
        return None
    reason = (
        "with an explicit deny"
        if decided.decision == "Deny"
        else f"because no identity-based policy allows the {INVOKE} action"
    )
    return f"User: {caller} is not authorized to perform: {INVOKE} on resource: {arn} {reason}"


def limited(source: str, value: object) -> None:
    """End an execution with what is too large.

    Raises:
        sfn._ExecutionError: if it is.
    """
    if rules.size(value) > rules.MOST_BYTES:
        raise sfn._ExecutionError(
            rules.TOO_LARGE,
            f"The state/task '{source}' returned a result with a size exceeding the maximum number of bytes "
            "service limit.",
        )


def state_name(ctx: Data) -> str:
    """Return the name of the state that an execution is in."""
    name: str = ctx.get("State", {}).get("Name", "")
    return name


def limiting_output(execute: Execute) -> Execute:
    """Return what executes a state, and hands on no more than it may."""

    def executed(state: Data, *given: Any) -> tuple[object, str | None]:  # noqa: ANN401 - the emulator's own signature
        output, following = execute(state, *given)
        limited(state_name(given[-1]), output)
        return output, following

    return executed


def limiting_arguments(apply: Callable[..., object]) -> Callable[..., object]:
    """Return what makes a task's arguments, and not more than it may have."""

    def applied(state: Data, *given: object) -> object:
        arguments = apply(state, *given)
        limited(state.get("Resource", ""), arguments)
        return arguments

    return applied


def limiting_result(invoked: Callable[[str, object], object]) -> Callable[[str, object], object]:
    """Return what does a task, and takes no more from it than it may."""

    def done(resource: str, given: object) -> object:
        result = invoked(resource, given)
        limited(resource, result)
        return result

    return done


def timing_tasks(execute: Execute) -> Execute:
    """Return what executes a task, also one whose time limit is an expression."""

    def executed(state: Data, given: object, execution: Data, ctx: Data) -> tuple[object, str | None]:
        if isinstance(state.get("TimeoutSeconds"), str):
            seconds = sfn._jsonata_state_field(state, "TimeoutSeconds", "number", given, ctx)
            state = {**state, "TimeoutSeconds": seconds}
        return execute(state, given, execution, ctx)

    return executed


def choosing(choose: Execute) -> Execute:
    """Return what chooses the next state: a Default is a rule that always holds."""

    def chosen(state: Data, given: object, ctx: Data | None = None) -> tuple[object, str | None]:
        if "Default" in state and sfn._state_query_language(state, ctx) == "JSONata":
            own: Data = {key: state[key] for key in ("Output", "Assign") if key in state}
            otherwise = {"Condition": True, "Next": state["Default"], **own}
            state = {**state, "Choices": [*state["Choices"], otherwise]}
        return choose(state, given, ctx)

    return chosen


def assign(
    state: Data, given: object, ctx: Data | None, result: object = None, error_output: object = None
) -> None:
    """Assign a state's variables, all at once: an expression sees them as they were before.

    ("Passing data between states with variables", Step Functions guide)
    """
    if ctx is None or sfn._state_query_language(state, ctx) != "JSONata" or not state.get("Assign"):
        return
    assigned = sfn._apply_jsonata_template(
        state["Assign"], given, ctx, result=result, error_output=error_output
    )
    limited(state_name(ctx), assigned)
    ctx.setdefault("variables", {}).update(assigned)


def succeeding(apply: Callable[..., object]) -> Callable[..., object]:
    """Return what makes a state's output, also that of a Succeed state in JSONata, up to what it may be."""

    def applied(state: Data, data: object, ctx: Data | None = None) -> object:
        if state.get("Type") == "Succeed" and sfn._state_query_language(state, ctx) == "JSONata":
            output: object = sfn._apply_jsonata_output(state, data, ctx, default=data)
            limited(state_name(ctx or {}), output)
            return output
        return apply(state, data, ctx)

    return applied


def settling_delays(find: Callable[..., tuple[Data | None, int]]) -> Callable[..., tuple[Data | None, int]]:
    """Return what finds the Retry of an error, with how long to wait before this very try."""

    def found(retriers: list[Data], error: str, counts: dict[int, int]) -> tuple[Data | None, int]:
        retrier, position = find(retriers, error, counts)
        if retrier is None:
            return None, position
        seconds = rules.delay(retrier, counts.get(position, 0))
        return {**retrier, "IntervalSeconds": seconds, "BackoffRate": 1}, position

    return found


def install() -> None:
    """Put all this in the place of the emulator's own."""
    sfn.time = SimpleNamespace(sleep=pause, time=time.time, monotonic=time.monotonic)
    sfn._run_execution = in_time(sfn._run_execution)
    sfn._fail_execution = once(sfn._fail_execution)
    sfn._start_execution = starting(sfn._start_execution)
    sfn._start_sync_execution = refusing(start_and_wait)
    sfn._stop_execution = of_standard(stopping(sfn._stop_execution))
    sfn._describe_execution = of_standard(sfn._describe_execution)
    sfn._get_execution_history = of_standard(sfn._get_execution_history)
    sfn._call_lambda = invoke
    sfn._invoke_resource = limiting_result(sfn._invoke_resource)
    sfn._apply_jsonata_arguments = limiting_arguments(sfn._apply_jsonata_arguments)
    sfn._apply_state_assign = assign
    sfn._apply_output_path = succeeding(sfn._apply_output_path)
    sfn._execute_task = timing_tasks(sfn._execute_task)
    sfn._execute_choice = choosing(sfn._execute_choice)
    for kind in ("pass", "task", "choice", "wait", "parallel", "map"):
        name = f"_execute_{kind}"
        setattr(sfn, name, limiting_output(getattr(sfn, name)))
    sfn._error_matches = rules.stands_for
    sfn._find_matching_retrier = settling_delays(sfn._find_matching_retrier)
