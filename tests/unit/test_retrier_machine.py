"""The definition of a retrier's state machine: whole, connected, and without a word of any call or secret."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from components import retrier_machine
from components.retrier_args import LONGEST_EXPRESS_SECONDS, MOST_EGRESSES
from components.retrier_machine import MOST_RETRIES, NOT_RUN
from handlers.retrier import budget
from handlers.retrier.calls import LARGEST_CALL
from handlers.retrier.progress import Progress
from handlers.retrier.redirects import LARGEST_REDIRECTS
from handlers.retrier.verdicts import Next, verdict
from sluice.retrier.rules import STARTING_SECONDS

ARN = "arn:aws:lambda:us-east-1:123456789012:function"
FUNCTIONS = {"a": f"{ARN}:calls-a", "b": f"{ARN}:calls-b"}
ENDS = {"Succeed", "Fail"}
LONGEST_CAUSE = 32_768
"""Characters ("ExecutionFailedEventDetails", Step Functions reference)."""
FIELDS = {
    "Pass": {"Assign", "Output", "Next"},
    "Task": {
        "Resource",
        "TimeoutSeconds",
        "Arguments",
        "Assign",
        "Output",
        "Retry",
        "Catch",
        "Next",
    },
    "Choice": {"Choices", "Default"},
    "Wait": {"Seconds", "Next"},
    "Succeed": {"Output"},
    "Fail": {"Error", "Cause"},
}
VARIABLE = re.compile(r"\$(?!states\b)([a-z]+)\b(?!\()")
FUNCTIONS_OF_JSONATA = {"merge", "sift", "toMillis", "key", "value"}
PAYLOAD = re.compile(r"\$states\.result\.Payload\.([a-z_]+)")

Json = dict[str, Any]


@pytest.fixture
def machine() -> Json:
    found: Json = json.loads(retrier_machine.definition(FUNCTIONS, 60, 15))
    return found


def following(state: Json) -> Iterator[str]:
    """Yield what can come after a state."""
    yield from (state[key] for key in ("Next", "Default") if key in state)
    yield from (each["Next"] for key in ("Choices", "Catch") for each in state.get(key, []))


def reached(machine: Json, *, without: Iterable[str] = ()) -> set[str]:
    """Return the states that can be reached from the first, past some of them."""
    found: set[str] = set()
    ahead = [machine["StartAt"]]
    while ahead:
        name = ahead.pop()
        if name not in found and name not in without:
            found.add(name)
            ahead += following(machine["States"][name])
    return found


def texts(part: object) -> Iterator[str]:
    """Yield all texts in a part of a definition."""
    if isinstance(part, dict):
        part = [*part.values()]
    if isinstance(part, list):
        for each in part:
            yield from texts(each)
    elif isinstance(part, str):
        yield part


def expressions(part: object) -> list[str]:
    return [each for each in texts(part) if each.startswith("{%")]


def test_every_state_exists_and_can_be_reached(machine: Json) -> None:
    assert reached(machine) == machine["States"].keys()


def test_every_state_can_still_come_to_an_end(machine: Json) -> None:
    states = machine["States"]
    for name in states:
        assert {states[each]["Type"] for each in reached({**machine, "StartAt": name})} & ENDS


def test_states_have_the_fields_of_their_type_and_no_others(machine: Json) -> None:
    assert machine["QueryLanguage"] == "JSONata"
    for name, state in machine["States"].items():
        assert state.keys() - {"Type"} <= FIELDS[state["Type"]], name
        assert (state["Type"] in ENDS) == (not list(following(state))), name


def test_every_expression_is_a_whole_text(machine: Json) -> None:
    for each in texts(machine):
        assert ("{%" in each) == ("%}" in each) == bool(re.fullmatch(r"\{%[^%]*%\}", each)), each


def test_every_variable_is_assigned_before_all_else(machine: Json) -> None:
    assert reached(machine, without=["Begin"]) == set()
    assigned = machine["States"]["Begin"]["Assign"].keys()
    used = {name for each in expressions(machine) for name in VARIABLE.findall(each)}
    assert used - FUNCTIONS_OF_JSONATA <= assigned
    for state in machine["States"].values():
        for changed in (state, *state.get("Catch", [])):
            assert changed.get("Assign", {}).keys() <= assigned


def test_the_call_function_is_told_what_an_attempt_reads(machine: Json) -> None:
    arguments = machine["States"]["Call"]["Arguments"]
    assert arguments["Payload"].keys() == {"call", "began", "egresses", "egress", "progress", "lost"}
    assert arguments["Payload"]["egresses"] == list(FUNCTIONS)


def test_the_functions_are_in_the_order_of_their_egresses(machine: Json) -> None:
    assert machine["States"]["Begin"]["Assign"]["functions"] == list(FUNCTIONS.values())
    assert machine["States"]["Call"]["Arguments"]["FunctionName"] == "{% $functions[$egress] %}"


def test_all_that_is_read_of_an_answer_is_always_in_it(machine: Json) -> None:
    read = {name for each in expressions(machine) for name in PAYLOAD.findall(each)}
    assert read == verdict(Next.DONE).keys()


def test_every_verdict_is_known_to_the_machine(machine: Json) -> None:
    choices = machine["States"]["What next"]["Choices"]
    known = {name for each in choices for name in re.findall(r"next = '([^']+)'", each["Condition"])}
    assert known | {Next.WAIT} == {*Next}


def test_errors_after_which_nobody_was_called_are_tried_again_and_no_others(machine: Json) -> None:
    (again,) = machine["States"]["Call"]["Retry"]
    assert again["ErrorEquals"] == NOT_RUN
    assert budget.BudgetUnavailableError.__name__ in NOT_RUN
    assert again["MaxAttempts"] == MOST_RETRIES
    (caught,) = machine["States"]["Call"]["Catch"]
    assert (caught["ErrorEquals"], caught["Next"]) == (["States.ALL"], "Lost")
    assert "call" not in caught["Output"]


def test_who_is_throttled_or_still_being_made_was_not_run() -> None:
    """As Lambda tells it of an invocation that did not begin ("Invoke", errors)."""
    names = ("TooManyRequests", "EC2Throttled", "ENILimitReached", "ENINotReady", "ResourceNotReady")
    assert {f"Lambda.{each}Exception" for each in names} < {*NOT_RUN}
    assert not {"Lambda.Unknown", "Lambda.ServiceException", "States.Timeout"} & {*NOT_RUN}


def test_of_runs_that_are_lost_those_count_that_may_have_called(machine: Json) -> None:
    """How it counts is shown on the local AWS."""
    (caught,) = machine["States"]["Call"]["Catch"]
    expression = caught["Assign"]["losses"]
    assert re.findall(r"\$states\.errorOutput\.Error = '([^']+)'", expression) == NOT_RUN
    assert expression.endswith(") ? $losses : $losses + 1 %}")


def test_an_execution_that_fails_tells_what_it_came_to(machine: Json) -> None:
    failed = machine["States"]["Failed"]
    assert failed["Error"] == "CallFailed"
    assert failed["Cause"].startswith("{% $string({'error': $lost, 'losses': $losses, 'progress': ")


def test_who_is_lost_again_and_again_or_never_ran_has_failed(machine: Json) -> None:
    condition = machine["States"]["Lost"]["Choices"][0]["Condition"]
    assert f"$losses >= {retrier_machine.MOST_LOSSES}" in condition
    assert all(f"$lost = '{each}'" in condition for each in NOT_RUN)


@pytest.mark.parametrize(("deadline", "function"), [(1, 3), (60, 15), (LONGEST_EXPRESS_SECONDS, 130)])
def test_the_machine_ends_after_its_calls_deadline_and_an_attempt_after_its_function(
    deadline: int, function: int
) -> None:
    machine = json.loads(retrier_machine.definition(FUNCTIONS, deadline, function))
    assert machine["TimeoutSeconds"] == deadline + STARTING_SECONDS
    assert machine["States"]["Call"]["TimeoutSeconds"] > function
    assert machine["TimeoutSeconds"] < 5 * 60, "no Express workflow runs longer"


def test_nothing_in_the_definition_is_of_a_call(machine: Json) -> None:
    """What a call holds, and so what its headers do, comes with the execution alone."""
    plain = [each for each in texts(machine) if not each.startswith("{%")]
    assert {each for each in plain if "arn:" in each} == {
        *FUNCTIONS.values(),
        "arn:aws:states:::lambda:invoke",
    }
    telling = re.compile(r"secret|token|password|authorization", re.IGNORECASE)
    assert not [each for each in texts(machine) if telling.search(each)]


def test_neither_call_nor_answer_goes_from_state_to_state(machine: Json) -> None:
    """With both in an output, it would be larger than Step Functions carries."""
    for name, state in machine["States"].items():
        if state["Type"] not in ENDS:
            outputs = [state.get("Output"), *(each.get("Output") for each in state.get("Catch", []))]
            assert not [each for each in texts(outputs) if re.search(r"\$call\b|answer|\$last\b", each)], name


def test_what_is_carried_fits_beside_the_largest_call_and_answer() -> None:
    """The progress of the most attempts, the longest names of egresses, and the longest redirects."""
    progress = Progress(1_800_000_000.0)
    for number in range(20):
        progress.note(1_800_000_000.0 + number, "e" * 30, status=503)
        progress.hold(["e" * 30 + str(number % 10)], 1_800_000_000.123456)
    assert len(json.dumps(progress.dump())) < 4096
    assert LARGEST_CALL + LARGEST_REDIRECTS + 4096 + len(json.dumps(["e" * 32] * MOST_EGRESSES)) < 256 * 1024
    assert LONGEST_CAUSE - len(json.dumps({"error": "e" * 256})) > 4096
