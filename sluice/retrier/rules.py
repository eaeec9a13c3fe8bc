"""What a retrier's functions are told: whom they may call, how often, and when they try again."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

FILE = "rules.json"
"""Where a function finds its rules, beside its code."""
MS = 1000
METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH")
"""What a call may be."""
STARTING_SECONDS = 15
"""What a call's execution takes beside the call: functions start, and what was not run is run again."""
LATENESS_MS = 50
"""How much later after its slot one call may come than another, and both still be in windows of their own."""


@dataclass(frozen=True)
class Pace:
    """How often an upstream may be called, by all callers together."""

    calls: int
    seconds: int
    burst: int
    """How many calls may come at once after a quiet time."""

    @property
    def step_ms(self) -> int:
        """The time between two calls, in milliseconds; rounded up, so that the pace is never passed."""
        return -(-(self.seconds * MS + LATENESS_MS) // self.calls)

    @property
    def tolerance_ms(self) -> int:
        """How much earlier than evenly spaced a call may come."""
        return (self.burst - 1) * self.step_ms


@dataclass(frozen=True)
class Upstream:
    """Somebody who may be called."""

    origin: str
    """Scheme, host and port, as ``targets.ORIGIN`` has it; ``*.`` stands for all names below one."""
    pace: Pace | None


@dataclass(frozen=True)
class Circuit:
    """When an upstream is left alone for a while."""

    failure_percent: int
    minimum_calls: int
    """Of fewer calls in a window a share says nothing."""
    window_seconds: int
    open_seconds: int
    probe_seconds: int = 0
    """For how long at least nobody else finds out, once somebody does."""


@dataclass(frozen=True)
class Secret:
    """A secret that calls may name in a header."""

    name: str
    origins: tuple[str, ...]
    """Where it may be sent."""
    json_key: str | None
    """Which value of a secret that is a JSON object; none for the whole."""


@dataclass(frozen=True)
class Rules:
    """Everything that a retrier does by."""

    upstreams: tuple[Upstream, ...]
    private_networks: tuple[str, ...]
    secrets: tuple[Secret, ...]
    statuses: tuple[int, ...]
    """Which answers are tried again."""
    failures: tuple[str, ...]
    """Which kinds of having no answer are tried again: ``wire.Trouble``."""
    methods: tuple[str, ...]
    """Which methods may be sent again without an idempotency key."""
    attempts: int
    deadline_seconds: int
    timeout_seconds: int
    base_seconds: int
    cap_seconds: int
    shared_pause_seconds: int
    """For how long at most all callers heed what one of them was told."""
    idempotency_header: str
    response_headers: tuple[str, ...]
    circuit: Circuit | None

    def dumps(self) -> str:
        """Return the rules as text, the same for the same rules."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=1)


def loads(text: str) -> Rules:
    """Return the rules that a text holds."""
    given: dict[str, Any] = json.loads(text)
    for key in ("private_networks", "statuses", "failures", "methods", "response_headers"):
        given[key] = tuple(given[key])
    given["upstreams"] = tuple(
        Upstream(each["origin"], Pace(**each["pace"]) if each["pace"] else None)
        for each in given["upstreams"]
    )
    given["secrets"] = tuple(
        Secret(each["name"], tuple(each["origins"]), each["json_key"]) for each in given["secrets"]
    )
    given["circuit"] = Circuit(**given["circuit"]) if given["circuit"] else None
    return Rules(**given)
