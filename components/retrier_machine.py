"""A retrier's state machine: call, wait as told, call again, and end truthfully."""

import json
from collections.abc import Mapping
from typing import Any

from sluice.retrier.rules import STARTING_SECONDS

MOST_LOSSES = 3
"""How often in a row the call function may end without an answer of its own."""
NOT_RUN = [
    "BudgetUnavailableError", "Lambda.TooManyRequestsException", "Lambda.EC2ThrottledException",
    "Lambda.ENILimitReachedException", "Lambda.ENINotReadyException", "Lambda.ResourceNotReadyException",
]  # fmt: skip
"""Errors after which it is certain that the upstream was not called."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, MOST_RETRIES = 1, 8, 4
TASK_MARGIN_SECONDS = 5
"""Beyond a function's own timeout, after which Lambda itself must have ended it."""

TOLD = (
    "$progress ? $merge([$progress, {'followed': [$progress.followed.{'at': at, 'status': status}]}]) : null"
)
"""How far a call has come, without URLs: a cause is short, and read by more than the caller."""

State = dict[str, Any]


def definition(functions: Mapping[str, str], deadline_seconds: int, function_seconds: int) -> str:
    """Return a state machine in Amazon States Language, with JSONata.

    Args:
        functions: the ARNs of the functions that call, by the name of each egress.
        deadline_seconds: when a call ends at the latest.
        function_seconds: the functions' timeout.
    """
    return json.dumps(
        {
            "Comment": "Calls an upstream until it answers, or nothing more is to be hoped for.",
            "QueryLanguage": "JSONata",
            "TimeoutSeconds": deadline_seconds + STARTING_SECONDS,
            "StartAt": "Begin",
            "States": {
                "Begin": _begin(list(functions.values())),
                "Call": _call(list(functions), function_seconds + TASK_MARGIN_SECONDS),
                "What next": _what_next(),
                "Wait": {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "Next": "Call"},
                "Done": {"Type": "Succeed", "Output": "{% $states.input.outcome %}"},
                "Fall back": _fall_back(),
                "Lost": _lost(),
                "Recover": {"Type": "Wait", "Seconds": 1, "Next": "Call"},
                "Failed": {
                    "Type": "Fail",
                    "Error": "CallFailed",
                    # What it came to until then is told to whoever asked for the call.
                    "Cause": f"{{% $string({{'error': $lost, 'losses': $losses, 'progress': {TOLD}}}) %}}",
                },
            },
        }
    )


def _begin(arns: list[str]) -> State:
    return {
        "Type": "Pass",
        "Assign": {
            "call": "{% $states.input.call %}",
            "began": "{% $toMillis($states.context.Execution.StartTime) / 1000 %}",
            "functions": arns,
            "egress": 0,
            "progress": None,
            "last": None,
            "lost": None,
            "losses": 0,
        },
        "Output": {},
        "Next": "Call",
    }


def _call(names: list[str], timeout_seconds: int) -> State:
    answer = "$states.result.Payload.answer"
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "TimeoutSeconds": timeout_seconds,
        "Arguments": {
            "FunctionName": "{% $functions[$egress] %}",
            "Payload": {
                "call": "{% $call %}",
                "began": "{% $began %}",
                "egresses": names,
                "egress": "{% $egress %}",
                "progress": "{% $progress %}",
                "lost": "{% $lost %}",
            },
        },
        "Assign": {
            "egress": "{% $states.result.Payload.egress %}",
            "progress": "{% $states.result.Payload.progress %}",
            # Not through the states: with the call beside it, it would be too large.
            "last": f"{{% {answer} ? {answer} : $last %}}",
            "lost": None,
            "losses": 0,
        },
        "Output": {key: f"{{% $states.result.Payload.{key} %}}" for key in ("next", "seconds", "outcome")},
        "Retry": [
            {
                "ErrorEquals": NOT_RUN,
                "IntervalSeconds": FIRST_RETRY_SECONDS,
                "BackoffRate": 2,
                "MaxDelaySeconds": LONGEST_RETRY_SECONDS,
                "MaxAttempts": MOST_RETRIES,
                "JitterStrategy": "FULL",
            }
        ],
        "Catch": [
            {
                "ErrorEquals": ["States.ALL"],
                "Assign": {
                    "lost": "{% $states.errorOutput.Error %}",
                    # Of those runs only that may have called the upstream.
                    "losses": f"{{% ({_never_ran('$states.errorOutput.Error')}) ? $losses : $losses + 1 %}}",
                },
                "Output": {},
                "Next": "Lost",
            }
        ],
        "Next": "What next",
    }


def _what_next() -> State:
    return {
        "Type": "Choice",
        "Choices": [
            {"Condition": "{% $states.input.next = 'done' %}", "Next": "Done"},
            {"Condition": "{% $states.input.next = 'fall back' and $last != null %}", "Next": "Fall back"},
            {"Condition": "{% $states.input.next = 'fall back' %}", "Next": "Done"},
            {"Condition": "{% $states.input.seconds > 0 %}", "Next": "Wait"},
        ],
        "Default": "Call",
    }


def _fall_back() -> State:
    """Return the state that ends with the last answer that there was, in place of an error of ours."""
    told = "$sift($states.input.outcome, function($value, $key) { $key != 'error' })"
    return {"Type": "Succeed", "Output": f"{{% $merge([{told}, $last]) %}}"}


def _lost() -> State:
    """Return the state that decides whether the call function is told of its loss, or all is given up."""
    given_up = f"$losses >= {MOST_LOSSES} or {_never_ran('$lost')}"
    return {
        "Type": "Choice",
        "Choices": [{"Condition": f"{{% {given_up} %}}", "Next": "Failed"}],
        "Default": "Recover",
    }


def _never_ran(error: str) -> str:
    """Return an expression for whether an error says that a function certainly called nobody."""
    return " or ".join(f"{error} = '{each}'" for each in NOT_RUN)
