"""What becomes of an exception in a Python handler: its caller learns its class, and the worker lives on.

The emulator calls every one a ``Runtime.HandlerError`` and ends the worker. On AWS the runtime answers with
the name of the class, the text and the stack, and waits for the next event.

("AWS Lambda function errors in Python", Lambda guide)

This runs inside the emulator; one part of it inside the worker.
"""

import functools
import queue
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Data = dict[str, Any]
Invoke = Callable[..., Data]

CAUGHT = """\
        try:
            result = handler_fn(event, context)
            _real_stdout.write(json.dumps({"status": "ok", "result": result}) + "\\n")
        except Exception as e:
            _real_stdout.write(json.dumps({"status": "error", "error": str(e), \
"trace": traceback.format_exc()}) + "\\n")
"""
"""How the emulator's worker calls a handler."""
ANSWERED = """\
        _real_stdout.write(_answer(handler_fn, event, context) + "\\n")
"""
"""How it calls it here."""
IN_WORKER = '''\
def _answer(handler, event, context):
    """Call a handler, and return what is told of it: an exception is an answer too."""
    import json, sys, traceback

    def failed(kind, message, stack, trace):
        told = {
            "errorMessage": message,
            "errorType": kind,
            "requestId": context.aws_request_id,
            "stackTrace": stack,
        }
        return json.dumps({"status": "ok", "failure": told, "trace": trace})

    try:
        result = handler(event, context)
    except Exception as error:
        stack = traceback.format_list(traceback.extract_tb(error.__traceback__)[1:])
        return failed(type(error).__name__, str(error), stack, traceback.format_exc())
    finally:
        print("__END__", file=sys.__stderr__, flush=True)
    try:
        return json.dumps({"status": "ok", "result": result})
    except Exception as error:
        message = "Unable to marshal response: " + str(error)
        return failed("Runtime.MarshalError", message, [], message)


'''
END = "=== end of an invocation ==="
"""What a worker writes behind an invocation's log, which has come as a whole once this has."""
LATEST_SECONDS = 5.0
"""How long to wait for it, of a worker that lives."""
DIED = "Worker process died"
"""What the emulator says of a worker that ended while it had an event."""
EXITED = "Runtime.ExitError"


class UnknownWorkerError(RuntimeError):
    """The emulator's worker is not the one that this is written for."""


class Failed(dict[str, Any]):
    """What a caller is told of an exception, on its way through the emulator as a handler's result."""

    def __init__(self, told: Data, trace: str) -> None:
        """Keep what is told, and what the log shows."""
        super().__init__(told)
        self.trace = trace


def answering(script: str) -> str:
    """Return the worker's script, in which an exception is an answer.

    Raises:
        UnknownWorkerError: if it calls its handler in another way than is known here.
    """
    if script.count(CAUGHT) != 1:
        raise UnknownWorkerError("the emulator's worker calls its handler in a way that is not known here")
    return IN_WORKER.replace("__END__", END) + script.replace(CAUGHT, ANSWERED)


def whole_log(drain: Callable[..., str]) -> Callable[..., str]:
    """Return what reads an invocation's log to its end: the emulator's own waits for a while alone.

    Args:
        drain: the emulator's own, for a worker that is gone.
    """

    def drained(worker: Any) -> str:  # noqa: ANN401 - the emulator's own
        if worker._proc is None:  # noqa: SLF001
            return drain(worker)
        lines: list[str] = []
        latest = time.monotonic() + LATEST_SECONDS
        with suppress(queue.Empty):
            while True:
                left = max(0.0, latest - time.monotonic())
                line: str = worker._stderr_queue.get(timeout=left)  # noqa: SLF001
                if line.endswith(END):
                    lines += filter(None, [line.removesuffix(END)])
                    break
                lines.append(line)
        return "\n".join(lines)

    return drained


def keeping_failures(invoke: Invoke) -> Invoke:
    """Return what has a worker do one event, and returns an exception as its result."""

    # Whoever calls finds the emulator's own parameters.
    @functools.wraps(invoke)
    def invoked(*given: Any, **more: Any) -> Data:  # noqa: ANN401 - the emulator's own signature
        answer = invoke(*given, **more)
        if "failure" in answer:
            answer["result"] = Failed(answer["failure"], answer["trace"])
        return answer

    return invoked


def telling_failures(execute: Callable[[Data, Any, str], Data]) -> Callable[[Data, Any, str], Data]:
    """Return what runs a function, and tells its exceptions as Lambda does."""

    def executed(function: Data, event: Any, request: str) -> Data:  # noqa: ANN401 - any JSON
        result = execute(function, event, request)
        body = result.get("body")
        if isinstance(body, Failed):
            log = "\n".join(filter(None, [result.get("log"), body.trace]))
            return {"body": dict(body), "error": True, "function_error": "Unhandled", "log": log}
        if result.get("error") and isinstance(body, dict) and body.get("errorMessage") == DIED:
            message = f"RequestId: {request} Error: Runtime exited without providing a reason"
            return {**result, "body": {"errorType": EXITED, "errorMessage": message}}
        return result

    return executed


def install() -> None:
    """Put all this in the place of the emulator's own."""
    # All above is of use without the emulator, and tested without it.
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.services import lambda_svc  # noqa: PLC0415

    # There is no other way in than the emulator's private names.
    lambda_runtime._PYTHON_WORKER_SCRIPT = answering(lambda_runtime._PYTHON_WORKER_SCRIPT)  # noqa: SLF001
    lambda_runtime.Worker.invoke = keeping_failures(lambda_runtime.Worker.invoke)
    lambda_svc._execute_function_warm = telling_failures(lambda_svc._execute_function_warm)  # noqa: SLF001
    lambda_runtime.Worker._drain_stderr_bounded = whole_log(  # noqa: SLF001
        lambda_runtime.Worker._drain_stderr_bounded  # noqa: SLF001
    )
