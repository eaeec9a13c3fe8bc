"""``sluice queue``: what an operator can do about dead letters."""

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from sluice.redrive import (
    COMPLETED,
    NO_REASON,
    Choice,
    Clock,
    Handover,
    MoveTask,
    Route,
    TaskRunningError,
)

from . import session, target
from .clock import utc
from .target import TargetError, UsageError

NAME = "sluice queue redrive"
FASTEST = 500
"""Messages a second, that SQS moves at most."""
DONE, FAILED, INTERRUPTED = 0, 1, 130

Work = Handover | MoveTask


class Stop:
    """Whether the operator pressed Ctrl-C; the second time nothing is waited for."""

    def __init__(self) -> None:
        self._pressed = threading.Event()

    @property
    def pressed(self) -> bool:
        """Whether to stop."""
        return self._pressed.is_set()

    def press(self, _signal: int, _frame: FrameType | None) -> None:
        """Stop after the step that is being done, so that nothing is left half done."""
        if self.pressed:
            raise KeyboardInterrupt
        self._pressed.set()

    def sleep(self, seconds: float) -> None:
        """Wait, until Ctrl-C is pressed."""
        if self.pressed:
            time.sleep(seconds)
        else:
            self._pressed.wait(seconds)

    def clock(self) -> Clock:
        """Return the time, and this."""
        return Clock(time.monotonic, self.sleep, lambda: self.pressed)


@contextmanager
def listening(stop: Stop) -> Iterator[None]:
    """Hear of Ctrl-C meanwhile."""
    before = signal.signal(signal.SIGINT, stop.press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Ending:
    """How it ended."""

    code: int
    problem: str = ""
    """One line, where the code is not 0."""


def register(groups: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    group = groups.add_parser("queue", help="dead letters, and how to bring them back")
    commands = group.add_subparsers(required=True, metavar="COMMAND")
    text = "bring dead letters back to the queue that they came from"
    parser = commands.add_parser("redrive", help=text, description=text)
    target.add_options(parser)
    parser.add_argument("--queue", metavar="NAME", help="which queue, where the front door has several")
    parser.add_argument(
        "--dry-run", action="store_true", help="move nothing, and show what there is, by error"
    )
    parser.add_argument(
        "--error",
        action="append",
        default=[],
        metavar="NAME",
        help=f"only those of this class of error, with or without its module; {NO_REASON} for those that SQS "
        "itself gave up; may be repeated",
    )
    parser.add_argument("--limit", metavar="N", help="at most so many")
    parser.add_argument("--velocity", metavar="N", help=f"at most so many a second, up to {FASTEST}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=redrive)


def redrive(chosen: argparse.Namespace) -> int:
    """Bring dead letters back, or show them; what an operator can mend is told in a line."""
    # Here, since no other command needs it, and it takes most of a second.
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    stop = Stop()
    try:
        outputs = target.outputs(chosen)
        region, routes = _front_door(outputs)
        route = _chosen_route(routes, chosen.queue)
        choice = Choice(tuple(chosen.error), _number("--limit", chosen.limit))
        velocity = _number("--velocity", chosen.velocity, FASTEST)
        sqs = session.client("sqs", region, outputs)
        work: Work
        if chosen.dry_run or choice != Choice():
            work = Handover(sqs, route, stop.clock(), choice, velocity=velocity, dry_run=chosen.dry_run)
        else:
            work = MoveTask(sqs, route, stop.clock(), velocity)
    except (TargetError, UsageError) as error:
        return _failed(str(error))
    except BotoCoreError as error:
        return _failed(session.refusal(error))
    ending = _done(work, route, stop)
    if ending.problem:
        _failed(ending.problem)
    if ending.code != FAILED or work.tally.found:
        _show(_result(work, route, stop, dry_run=chosen.dry_run), as_json=chosen.json)
    return ending.code


def _done(work: Work, route: Route, stop: Stop) -> Ending:
    """Do it to its end, whichever that is."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    from . import queue_views  # noqa: PLC0415 - as above

    try:
        with listening(stop), closing(work.run()) as steps:
            queue_views.follow(steps, work.tally)
    except TaskRunningError as error:
        return Ending(FAILED, str(error))
    except (BotoCoreError, ClientError) as error:
        return Ending(FAILED, f"{session.refusal(error)}{_loose_ends(work)}")
    except KeyboardInterrupt:
        return Ending(INTERRUPTED, f"broken off{_loose_ends(work)}")
    if stop.pressed:
        return Ending(INTERRUPTED, f"stopped{_loose_ends(work)}")
    problem = f"{_problem(work, route)}{_loose_ends(work)}".removeprefix("; ")
    return Ending(FAILED if problem else DONE, problem)


def _problem(work: Work, route: Route) -> str:
    """Return what was not done of all that was tried."""
    if isinstance(work, MoveTask):
        if work.status == COMPLETED:
            return ""
        return f"SQS ended the task: {work.status}{f', {work.failure}' if work.failure else ''}"
    if not work.tally.failed:
        return ""
    why = "; ".join(f"{each} ({count})" for each, count in work.tally.problems.most_common())
    return f"{route.name} did not take {work.tally.failed}, which are dead letters still: {why}"


def _loose_ends(work: Work) -> str:
    """Return what may surprise later."""
    words = ""
    if doubled := work.tally.not_deleted:
        words += f"; {doubled} of those that were moved could not be deleted, and are dead letters too"
    if isinstance(work, MoveTask) and work.active:
        words += "; SQS may move more of them still"
    return words


def _failed(message: str) -> int:
    print(f"{NAME}: {message}", file=sys.stderr)
    return FAILED


def _result(work: Work, route: Route, stop: Stop, *, dry_run: bool) -> dict[str, Any]:
    """Return what is printed as JSON."""
    tally = work.tally
    return {
        "queue": route.name,
        "found": tally.found,
        "moved": tally.moved,
        "failed": tally.failed,
        "kept": tally.kept,
        "not_deleted": tally.not_deleted,
        "dry_run": dry_run,
        "interrupted": stop.pressed,
        "unseen": tally.unseen,
        "task": None if isinstance(work, Handover) else {"status": work.status, "failure": work.failure},
        "errors": [
            {
                "error": error,
                "count": kind.count,
                "example": kind.example,
                "oldest": utc(kind.oldest),
            }
            for error, kind in sorted(tally.kinds.items(), key=lambda each: -each[1].count)
        ],
    }


def _show(result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    from . import queue_views  # noqa: PLC0415 - as above

    queue_views.show(result)


def _front_door(outputs: Mapping[str, Any]) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """Return a front door's region and its queues by name."""
    found = outputs.get("front_door")
    if not (
        isinstance(found, dict) and isinstance(found.get("region"), str) and _are_queues(found.get("queues"))
    ):
        raise TargetError(
            "the stack has no front door: its output `front_door` is missing. Was it deployed by another "
            "version?"
        )
    return found["region"], found["queues"]


def _are_queues(given: object) -> bool:
    return (
        isinstance(given, dict)
        and bool(given)
        and all(
            isinstance(each, dict)
            and isinstance(each.get("url"), str)
            and isinstance(each.get("dead_letter_url"), str | None)
            for each in given.values()
        )
    )


def _chosen_route(queues: Mapping[str, Mapping[str, Any]], name: str | None) -> Route:
    known = ", ".join(queues)
    if name is None:
        if len(queues) > 1:
            raise UsageError(f"the front door has several queues; choose one by --queue: {known}")
        (name,) = queues
    if name not in queues:
        raise UsageError(f"the front door has no queue {name!r}: it has {known}")
    dead_letter_url = queues[name]["dead_letter_url"]
    if dead_letter_url is None:
        raise UsageError(f"{name} was not made by the front door, which does not know its dead-letter queue")
    return Route(name, queues[name]["url"], dead_letter_url)


def _number(option: str, text: str | None, most: int | None = None) -> int | None:
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1 or (most is not None and number > most):
        allowed = "from 1" if most is None else f"from 1 to {most}"
        raise UsageError(f"{option} {text}: a whole number {allowed}")
    return number
