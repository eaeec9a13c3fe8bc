"""The demo of the retrier: an upstream that says 429, and calls that get through or end truthfully."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

from .callers import Callers, IamUser
from .client import JSON, Reply, ask, post
from .demo_checks import Check, outcome, wait_until
from .stack import LocalStack
from .upstreams import Called, Upstream, answers, limits, most_within, rated, wants_seconds

STACK = "retrier"
CALLERS = 20
PACE = 10
"""What the stack lets all callers together call in a second, and its upstream takes."""
BURST = 2
"""How many calls may come at once after a quiet time, as the stack has it."""
WAIT = 2
"""Seconds that the upstream asks for."""
SPREAD = 1.5
"""How much later than asked a call may come, in seconds."""


@dataclass(frozen=True)
class Retrier:
    """A stack's retrier, who may call it, and whom it calls."""

    url: str
    user: IamUser
    upstream: Upstream

    @classmethod
    def of(cls, stack: LocalStack) -> "Retrier":
        """Return that of a stack."""
        callers: Callers = stack.callers
        return cls(
            stack.outputs["retrier"]["url"], cast(IamUser, callers.calling), cast(Upstream, callers.upstream)
        )

    def have(self, path: str, **fields: object) -> Reply:
        """Have the upstream called at a path."""
        return self.send({"url": f"{self.upstream.url}{path}", **fields})

    def send(self, call: Mapping[str, object]) -> Reply:
        """Have a call made."""
        body = json.dumps(call)
        headers = self.user.sign("POST", self.url, body.encode(), {"Content-Type": JSON}, service="lambda")
        return ask("POST", self.url, body, headers)


def examine(stack: LocalStack) -> list[Check]:
    """Show of a stack with a retrier what becomes of its calls."""
    retrier = Retrier.of(stack)
    findings: Sequence[Callable[[], Check]] = [
        lambda: obeyed(retrier),
        lambda: once(retrier),
        lambda: refused(retrier),
        lambda: queued(stack, retrier),
        lambda: shared(retrier),
        # Last: what it is told holds for all callers.
        lambda: forwarded(retrier),
    ]
    return [replace(each, name=f"{STACK}: {each.name}") for each in map(outcome, findings)]


def obeyed(retrier: Retrier) -> Check:
    """Check that a call waits as the upstream asks, and gets through."""
    retrier.upstream.does("/asks", wants_seconds(WAIT), answers())
    reply = retrier.have("/asks")
    first, *later = [each.at for each in retrier.upstream.at("/asks")]
    waits = [each - first for each in later]
    ok = reply.status == 200 and len(waits) == 1 and WAIT <= waits[0] <= WAIT + SPREAD  # noqa: PLR2004
    detail = {"status": reply.status, "asked": WAIT, "waited": [round(each, 2) for each in waits]}
    return Check("a call waits as a 429 asks", ok, detail)


def forwarded(retrier: Retrier) -> Check:
    """Check that what the upstream says to the last comes back as it is, at once where waiting is in vain."""
    retrier.upstream.does("/never", limits())
    retrier.upstream.does("/later", wants_seconds(3600))
    last = retrier.have("/never", retry={"attempts": 3, "cap_seconds": 1})
    began = time.monotonic()
    late = retrier.have("/later")
    seconds = time.monotonic() - began
    history = [each["status"] for each in json.loads(last.headers["sluice-history"])]
    ok = (
        (last.status, last.body, history) == (429, b"slow down", [429] * 3)
        and (late.status, late.headers["sluice-gave-up"]) == (429, "deadline")
        and seconds < WAIT
    )
    detail = {"history": history, "gave up": [each.headers["sluice-gave-up"] for each in (last, late)]}
    return Check("when all fails, the upstream's own answer comes back", ok, detail)


def once(retrier: Retrier) -> Check:
    """Check that a call with an idempotency key is made once, however often and at once it is asked for."""
    fields = {"method": "POST", "body": "{}", "idempotency_key": "order-4711"}
    with ThreadPoolExecutor(2) as pool:
        twice = [*pool.map(lambda _: retrier.have("/orders", **fields), range(2))]
    replies = [*twice, retrier.have("/orders", **fields)]
    asked = retrier.upstream.at("/orders")
    ok = {each.status for each in replies} == {200} and len(asked) == 1
    return Check("one idempotency key, one call", ok, {"asked for": len(replies), "made": len(asked)})


def refused(retrier: Retrier) -> Check:
    """Check that a call goes nowhere but where it may."""
    there = retrier.upstream.url
    urls = {
        "not listed": "https://elsewhere.example.org/",
        "metadata": "http://169.254.169.254/latest/meta-data/",
        "user trick": f"{there}@elsewhere.example.org/",
        "redirect": f"{there}/redirect?to=http://169.254.169.254/",
    }
    replies = {name: retrier.send({"url": url}) for name, url in urls.items()}
    ok = all(
        (each.status, each.headers.get("sluice-error")) == (403, "ForbiddenTarget")
        for each in replies.values()
    )
    return Check(
        "it calls nobody else", ok, {name: each.headers.get("sluice-error") for name, each in replies.items()}
    )


def queued(stack: LocalStack, retrier: Retrier) -> Check:
    """Check that messages become calls."""
    call = {"method": "POST", "url": f"{retrier.upstream.url}/queued", "body": "hello"}
    sent = post(stack.outputs["url"], json.dumps(call).encode())
    made: Sequence[Called] = wait_until(lambda: retrier.upstream.at("/queued"), bool)
    ok = sent.accepted and [each.body for each in made] == [b"hello"]
    return Check("a message becomes a call", ok, {"accepted": sent.status, "made": len(made)})


def shared(retrier: Retrier) -> Check:
    """Check that many callers at once keep within the upstream's pace together."""
    retrier.upstream.does("/busy", rated(PACE + BURST))
    with ThreadPoolExecutor(CALLERS) as pool:
        replies = [*pool.map(lambda _: retrier.have("/busy"), range(CALLERS))]
    statuses = Counter(each.status for each in replies)
    asked = [each.at for each in retrier.upstream.at("/busy")]
    fullest = most_within(asked, 1)
    ok = statuses == {200: CALLERS} and fullest <= (PACE + BURST) * 1.1
    detail: dict[str, Any] = {
        "callers": CALLERS, "200": statuses[200], "calls": len(asked), "most in a second": fullest,
    }  # fmt: skip
    return Check("all callers share the upstream's pace", ok, detail)
