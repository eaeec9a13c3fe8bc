"""What all callers of one upstream share: a token bucket, pauses that it asked for, and a circuit.

One item of a DynamoDB table for each upstream, changed by conditional updates alone, so that any number of
functions agree. The bucket is the virtual scheduling form of GCRA (ITU-T I.371): the item holds the time of
the next free slot, and who takes one moves it by a step. Nobody asks again and again: each waits for a slot
of its own. The circuit is that of Nygard's "Release It!": it opens on a share of failures, and once its time
is over one probe decides whether it closes.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sluice.retrier.rules import MS, Circuit, Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        UpdateItemInputTypeDef,
        UpdateItemOutputTypeDef,
    )

ID, EXPIRES = "id", "expires"
NEXT, OPEN, PROBE = "next", "open_until", "probe_until"
WINDOW, CALLS, FAILURES = "window", "calls", "failures"
PAUSE, EVERYWHERE = "pause_", "*"
"""No egress is called ``*``."""
KEPT_SECONDS = 7 * 24 * 60 * 60
"""After this long without a call an upstream is as good as new."""
LONGEST_PAUSE_MS = 24 * 60 * 60 * MS
"""What an upstream may ask of all callers at once; one that is mistaken would else be left alone for ever."""
SPREAD_SECONDS = 0.25
"""Over how long those are spread who wait for the same moment."""
TURNS = 20
"""How often to look again when others were faster."""
CONFLICT = "ConditionalCheckFailedException"

Item = Mapping[str, "AttributeValueTypeDef"]
Result = TypeVar("Result")


class BudgetUnavailableError(Exception):
    """The table cannot be asked, so nobody knows whether the upstream may be called."""


class Reason(StrEnum):
    """Why a call has to wait."""

    BUDGET = "budget"
    """Its slot comes later than it can wait for."""
    PAUSE = "pause"
    """The upstream asked for it."""
    CIRCUIT = "circuit"
    """The upstream has failed too often."""
    UNKNOWN = "unknown"
    """The table cannot be asked."""


@dataclass(frozen=True)
class Go:
    """A call may be made."""

    at: float
    """When, in seconds since 1970: now, or at its slot."""
    probe: bool = False
    """Whether it decides if the circuit closes."""


@dataclass(frozen=True)
class Hold:
    """A call may not be made before a time."""

    until: float
    """Seconds since 1970."""
    reason: Reason
    everywhere: bool = True
    """Whether it is so for every egress address."""


Admission = Go | Hold


class Budget:
    """What may be asked of upstreams, by all callers together."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        circuit: Circuit | None,
        spread: "Callable[[], float]" = random.random,
    ) -> None:
        """Say which table.

        Args:
            client: DynamoDB's.
            table: its name.
            circuit: when an upstream is left alone; none for never.
            spread: a number from 0 to 1, by which those who wait for one moment are spread behind it.
        """
        self._client = client
        self._table = table
        self._circuit = circuit
        self._spread = spread

    def admit(self, upstream: str, egress: str, pace: Pace | None, now: float, latest: float) -> Admission:
        """Return when a call may be made, and take the slot for it; a probe has none, and is made at once.

        Args:
            upstream: whose budget.
            egress: the address that the call comes from.
            pace: how often; none where that is not limited.
            now: seconds since 1970.
            latest: the last moment at which the call is of use; no slot is taken after it.

        Raises:
            BudgetUnavailableError: if DynamoDB does not answer.
        """
        at, last = _ms(now), _ms(latest)
        for _ in range(TURNS):
            item = self._look(upstream)
            if held := self._held(item, egress, at):
                return held
            if self._opened(item) is not None:
                found = self._probe(upstream, item, at)
            else:
                found = Go(now) if pace is None else self._slot(upstream, egress, pace, item, at, last)
            if found is not None:
                return found
        raise BudgetUnavailableError(f"others were faster {TURNS} times")

    def standing(self, upstream: str, egress: str, now: float) -> Hold | None:
        """Return why a call that has its slot may not be made after all; nothing where it may.

        Raises:
            BudgetUnavailableError: if DynamoDB does not answer.
        """
        item = self._look(upstream)
        held = self._held(item, egress, _ms(now))
        if held is None and self._opened(item) is not None:
            # Its time is over, but who probes is decided elsewhere.
            return Hold(now, Reason.CIRCUIT)
        return held

    def pause(self, upstream: str, egress: str | None, until: float, now: float) -> None:
        """Let nobody call until a time: from one address, or from any.

        Raises:
            BudgetUnavailableError: if DynamoDB does not answer.
        """
        at = min(_ms(until) + 1, _ms(now) + LONGEST_PAUSE_MS)
        self._update(
            upstream,
            "SET #pause = :until, #expires = :expires",
            "attribute_not_exists(#pause) OR #pause < :until",
            {"pause": _pause(egress), "expires": EXPIRES},
            {"until": at, "expires": _expiry(at)},
        )

    def report(self, upstream: str, now: float, *, failed: bool, probe: bool = False) -> bool:
        """Count a call that was made, and return whether that has opened the circuit.

        Raises:
            BudgetUnavailableError: if DynamoDB does not answer.
        """
        if self._circuit is None:
            return False
        at = _ms(now)
        if probe:
            return self._reopen(upstream, self._circuit, at) if failed else self._close(upstream)
        counted = self._count(upstream, self._circuit, at, failed=failed)
        calls, failures = (_number(counted, each) or 0 for each in (CALLS, FAILURES))
        many = calls >= self._circuit.minimum_calls
        bad = failures * 100 >= self._circuit.failure_percent * calls
        return failed and many and bad and self._open(upstream, self._circuit, at)

    def release(self, upstream: str) -> None:
        """Let another find out whether an upstream is well again, since this probe has shown nothing.

        Raises:
            BudgetUnavailableError: if DynamoDB does not answer.
        """
        self._update(upstream, "REMOVE #probe", "attribute_exists(#open)", {"probe": PROBE, "open": OPEN}, {})

    def _look(self, upstream: str) -> Item:
        return _asked(
            lambda: self._client.get_item(
                TableName=self._table, Key={ID: {"S": upstream}}, ConsistentRead=True
            ).get("Item", {})
        )

    def _held(self, item: Item, egress: str, at: int) -> Hold | None:
        """Return what keeps calls from an address from being made at a time."""
        opened = self._opened(item) or 0
        everywhere, here = (_number(item, _pause(each)) or 0 for each in (None, egress))
        until = max(opened, everywhere, here)
        if until <= at:
            return None
        after = until / MS + self._spread() * SPREAD_SECONDS
        reason = Reason.CIRCUIT if until == opened else Reason.PAUSE
        return Hold(after, reason, everywhere=until in {opened, everywhere})

    def _opened(self, item: Item) -> int | None:
        """Return until when the circuit is open, or waits for a probe; nothing while it is closed."""
        return None if self._circuit is None else _number(item, OPEN)

    def _slot(  # noqa: PLR0913, PLR0917 - what a slot depends on
        self, upstream: str, egress: str, pace: Pace, item: Item, at: int, last: int
    ) -> Admission | None:
        """Take a slot; nothing where another was faster and all has to be looked at again."""
        free = _number(item, NEXT)
        slot = at if free is None else max(at, free - pace.tolerance_ms)
        if slot > last:
            return Hold(slot / MS, Reason.BUDGET)
        still = (
            "(attribute_not_exists(#all) OR #all <= :at) AND (attribute_not_exists(#here) OR #here <= :at)"
        )
        if self._circuit is not None:
            still += " AND attribute_not_exists(#open)"
        names = {"open": OPEN, "all": _pause(None), "here": _pause(egress), "next": NEXT, "expires": EXPIRES}
        numbers = {"at": at, "step": pace.step_ms, "expires": _expiry(at)}
        if free is None or free < at:
            # After a quiet time: the next slot counts from now.
            taken = self._update(
                upstream,
                "SET #next = :at + :step, #expires = :expires",
                f"{still} AND (attribute_not_exists(#next) OR #next < :at)",
                names,
                numbers,
            )
            return None if taken is None else Go(at / MS)
        # Any number of callers get here at once, and none is in another's way.
        taken = self._update(
            upstream,
            "SET #next = #next + :step, #expires = :expires",
            f"{still} AND #next >= :at AND #next <= :last",
            names,
            {**numbers, "last": last + pace.tolerance_ms},
        )
        if taken is None:
            return None
        before = (_number(taken, NEXT) or at) - pace.step_ms
        return Go(max(at, before - pace.tolerance_ms) / MS)

    def _probe(self, upstream: str, item: Item, at: int) -> Admission | None:
        """Be the one who finds out whether the upstream is well again, or wait for the one who is."""
        circuit = self._circuit
        lease = max(circuit.open_seconds, circuit.probe_seconds) * MS if circuit else MS
        busy = _number(item, PROBE) or 0
        if busy > at:
            # The probe's end is not known. Whoever waits looks again, ever sooner, and not all at once.
            half = (busy - at) / MS / 2
            return Hold(at / MS + max(1.0, half) + self._spread(), Reason.CIRCUIT)
        taken = self._update(
            upstream,
            "SET #probe = :until",
            "#open = :open AND (attribute_not_exists(#probe) OR #probe <= :at)",
            {"probe": PROBE, "open": OPEN},
            {"until": at + lease, "open": _number(item, OPEN) or 0, "at": at},
        )
        return None if taken is None else Go(at / MS, probe=True)

    def _open(self, upstream: str, circuit: Circuit, at: int) -> bool:
        opened = self._update(
            upstream,
            "SET #open = :until, #expires = :expires",
            "attribute_not_exists(#open)",
            {"open": OPEN, "expires": EXPIRES},
            {"until": at + circuit.open_seconds * MS, "expires": _expiry(at)},
        )
        return opened is not None

    def _reopen(self, upstream: str, circuit: Circuit, at: int) -> bool:
        again = self._update(
            upstream,
            "SET #open = :until, #expires = :expires REMOVE #probe",
            "attribute_exists(#open)",
            {"open": OPEN, "probe": PROBE, "expires": EXPIRES},
            {"until": at + circuit.open_seconds * MS, "expires": _expiry(at)},
        )
        return again is not None

    def _close(self, upstream: str) -> bool:
        names = {"open": OPEN, "probe": PROBE, "window": WINDOW, "calls": CALLS, "failures": FAILURES}
        removed = ", ".join(f"#{each}" for each in names)
        self._update(upstream, f"REMOVE {removed}", "attribute_exists(#open)", names, {})
        return False

    def _count(self, upstream: str, circuit: Circuit, at: int, *, failed: bool) -> Item:
        """Count a call in its window, and return what the window holds."""
        names = {"window": WINDOW, "calls": CALLS, "failures": FAILURES, "expires": EXPIRES}
        numbers = {
            "window": at // (circuit.window_seconds * MS),
            "one": 1,
            "failed": int(failed),
            "expires": _expiry(at),
        }
        for _ in range(TURNS):
            same = self._update(
                upstream,
                "SET #calls = #calls + :one, #failures = #failures + :failed, #expires = :expires",
                "#window = :window",
                names,
                numbers,
            )
            if same is not None:
                return same
            new = self._update(
                upstream,
                "SET #window = :window, #calls = :one, #failures = :failed, #expires = :expires",
                "attribute_not_exists(#window) OR #window < :window",
                names,
                numbers,
            )
            if new is not None:
                return new
            if (_number(self._look(upstream), WINDOW) or 0) > numbers["window"]:
                # Another's clock is ahead, and this call's window is over.
                return {}
        raise BudgetUnavailableError(f"others were faster {TURNS} times")

    def _update(
        self,
        upstream: str,
        expression: str,
        condition: str,
        names: Mapping[str, str],
        numbers: Mapping[str, int],
    ) -> Item | None:
        """Change an item, and return what it holds then; nothing where its condition does not hold."""
        used = {f"#{key}": name for key, name in names.items() if f"#{key}" in expression + condition}

        def update() -> "UpdateItemOutputTypeDef":
            wanted: UpdateItemInputTypeDef = {
                "TableName": self._table,
                "Key": {ID: {"S": upstream}},
                "UpdateExpression": expression,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": used,
                "ReturnValues": "ALL_NEW",
            }
            values: dict[str, AttributeValueTypeDef] = {
                f":{key}": {"N": str(number)}
                for key, number in numbers.items()
                if f":{key}" in expression + condition
            }
            # DynamoDB takes no empty map of them.
            return self._client.update_item(
                **({**wanted, "ExpressionAttributeValues": values} if values else wanted)
            )

        try:
            return _asked(update).get("Attributes", {})
        except _ConflictError:
            return None


class _ConflictError(Exception):
    """A condition does not hold."""


def _asked(ask: "Callable[[], Result]") -> Result:
    try:
        return ask()
    except ClientError as error:
        if error.response["Error"]["Code"] == CONFLICT:
            raise _ConflictError from None
        raise BudgetUnavailableError(error.response["Error"]["Code"]) from error
    except BotoCoreError as error:
        raise BudgetUnavailableError(type(error).__name__) from error


def _ms(seconds: float) -> int:
    return round(seconds * MS)


def _expiry(at_ms: int) -> int:
    """Return when an item may go, in seconds since 1970, as DynamoDB's TTL has it."""
    return at_ms // MS + KEPT_SECONDS


def _number(item: Item, name: str) -> int | None:
    value = item.get(name)
    return int(value["N"]) if value else None


def _pause(egress: str | None) -> str:
    return f"{PAUSE}{egress or EVERYWHERE}"
