"""Retriers that tests have calls made by, and what is to be seen of them."""

import json
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.kills import workers
from components import policies
from components.policies import Statement
from local.callers import IamUser
from local.client import JSON
from local.stack import LocalAws, LocalStack
from local.surroundings import new_iam_user
from local.upstreams import Exchange, Upstream

from .support import Reply, Values, call, made

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricAlarmTypeDef
    from mypy_boto3_stepfunctions.type_defs import StartSyncExecutionOutputTypeDef as Run

LOOPBACK = "127.0.0.0/8"
STARTS_AT_ONCE = 4
LONGEST_START_SECONDS = 20
ALARMS = ("failed", "throttled", "timed-out", "circuit", "orchestrator-errors")


def results(history: Sequence[Values]) -> list[int | str]:
    """Return the status of each attempt, or why it had none."""
    return [each["failure"] if "failure" in each else each["status"] for each in history]


@dataclass(frozen=True)
class Outcome:
    """What a caller was answered, and how it came to that."""

    reply: Reply
    seconds: float
    """How long the answer took."""

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def error(self) -> str | None:
        """The code of an error of the retrier's own."""
        return self.reply.headers.get("sluice-error")

    @property
    def gave_up(self) -> str | None:
        """Why no other attempt was made."""
        return self.reply.headers.get("sluice-gave-up")

    @property
    def waited(self) -> float:
        """Seconds of all waits."""
        return float(self.reply.headers["sluice-waited"])

    @property
    def history(self) -> list[Values]:
        """One entry for each attempt."""
        found: list[Values] = json.loads(self.reply.headers["sluice-history"])
        assert len(found) == int(self.reply.headers["sluice-attempts"])
        return found

    @property
    def results(self) -> list[int | str]:
        """The status of each attempt, or why it had none."""
        return results(self.history)

    @property
    def egresses(self) -> list[str]:
        """From where each attempt was made."""
        return [each["egress"] for each in self.history]


@dataclass(frozen=True)
class Retrying:
    """A stack with a retrier, and somebody who calls it."""

    cloud: LocalAws
    stack: LocalStack
    user: IamUser | None = None
    """Who signs; none where nobody has to."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What the program exported of the retrier."""
        found: Mapping[str, Any] = self.stack.outputs["retrier"]
        return found

    @property
    def url(self) -> str:
        """The orchestrator's."""
        url: str = self.outputs["url"]
        return url

    @property
    def machine(self) -> str:
        """The ARN of the state machine."""
        arn: str = self.outputs["state_machine"]
        return arn

    def have(self, url: str, **fields: Any) -> Outcome:
        """Have a call made, and wait for what came of it."""
        began = time.monotonic()
        reply = self.ask("POST", "", {"url": url, **fields})
        return Outcome(reply, time.monotonic() - began)

    def ask(self, method: str, path: str, body: object = None) -> Reply:
        """Send a request to the retrier's URL."""
        url, sent = f"{self.url}{path}", None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": JSON}
        if self.user:
            headers = self.user.sign(method, url, sent, headers, service="lambda")
        return call(url, method, sent, headers)

    def signed_by(self, *actions: str) -> "Retrying":
        """Return this retrier with a caller who may do just that with its orchestrator."""
        user = new_iam_user(self.cloud.aws, "calls")
        if actions:
            allowed = Statement(
                [*actions], [made(self.stack, "retrier-orchestrator-function").outputs["arn"]]
            )
            self.cloud.aws.client("iam").put_user_policy(
                UserName=user.name, PolicyName="calls", PolicyDocument=policies.policy(allowed)
            )
        return Retrying(self.cloud, self.stack, user)

    def run(self, call_: Values) -> "Run":
        """Have the state machine itself make a call, and wait for its end."""
        return self.cloud.aws.client("stepfunctions").start_sync_execution(
            stateMachineArn=self.machine, input=json.dumps({"call": call_})
        )

    def alarm(self, name: str) -> "MetricAlarmTypeDef":
        """Return one of the retrier's alarms by what it is called beside others."""
        physical = made(self.stack, f"retrier-{name}-alarm").outputs["name"]
        (found,) = self.cloud.aws.client("cloudwatch").describe_alarms(AlarmNames=[physical])["MetricAlarms"]
        return found

    def raised(self) -> list[str]:
        """Return which of the alarms are raised."""
        return [each for each in ALARMS if self.alarm(each)["StateValue"] == "ALARM"]


def retrying(
    cloud: LocalAws, name: str, origins: Sequence[str | Values], retrier: Values, **sections: Values
) -> Retrying:
    """Deploy a stack with a retrier; stacks with one have each a name, which is that of its log group.

    Args:
        cloud: where.
        name: of a stack whose settings there are.
        origins: who may be called: an origin, or all that is said of an upstream.
        retrier: what else is said of the retrier.
        sections: what is said otherwise than in the stack's settings.
    """
    upstreams = [{"origin": each} if isinstance(each, str) else each for each in origins]
    given = {
        "authorizer": {"kind": "none"},
        "front_door": {"manage_account_logging": True},
        "retrier": {"upstreams": upstreams, "private_networks": [LOOPBACK], **retrier},
        **sections,
    }
    return Retrying(cloud, cloud.up(name, {f"sluice:{key}": json.dumps(each) for key, each in given.items()}))


def start_workers(retrier: Retrying, holding: Upstream, count: int) -> None:
    """Have so many workers of the call function started, a few at a time: all at once would starve all.

    Args:
        retrier: whose function.
        holding: an upstream that may be called, which keeps every call until all are there.
        count: how many.
    """
    starting, all_there = threading.Semaphore(STARTS_AT_ONCE), threading.Event()

    def hold(exchange: Exchange) -> None:
        starting.release()
        all_there.wait(LONGEST_START_SECONDS)
        exchange.answer()

    holding.does("/hold", hold)
    with ThreadPoolExecutor(count) as pool:
        for place in range(count + STARTS_AT_ONCE):
            # At the end: until the last ones are there.
            starting.acquire(timeout=LONGEST_START_SECONDS)
            if place < count:
                pool.submit(retrier.run, {"url": f"{holding.url}/hold"})
        all_there.set()


def kill_workers(retrier: Retrying) -> None:
    """Kill all workers of the call function, whatever they are at."""
    for each in workers(retrier.outputs["functions"]["call"].rpartition(":")[2]):
        os.kill(each, signal.SIGKILL)
