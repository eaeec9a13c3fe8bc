"""The limiter's first half: deliveries of the access log in, counters and blocks out.

Every addition carries the delivery's token, blocks only ever grow, and a delivery of several clients is
marked as done at its end. So repeats, disorder and crashes between any two writes change nothing, as long as
a repeat comes before two dozen other deliveries of the same client (`counters.RING_SIZE`); one that comes
later may count twice.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sluice import access_log
from sluice.access_log import Line, MalformedLineError
from sluice.limiter import clients, counters
from sluice.limiter.blocks import Block, Blocks, Change
from sluice.limiter.clients import Networks
from sluice.limiter.counters import Counters
from sluice.limiter.rules import WAF_BLOCK, Counted, Rules, worst
from sluice.limiter.windows import SECOND, CounterNames

from .parallel import WORKERS, outcomes

ALLOWANCES_SECONDS = 30
"""For how long the operator's allow list is not read again."""
KNOWN_BLOCKS = 10_000
WRITTEN_SECONDS = 60

Amounts = Mapping[str, int]


@dataclass(frozen=True)
class Event:
    """One line of the log."""

    id: str
    message: str


@dataclass
class Tally:
    """What became of a delivery."""

    events: int = 0
    repeated: int = 0
    """Events that this delivery holds twice, or all of them where it was counted before."""
    malformed: list[str] = field(default_factory=list)
    """Why each line was no line of the access log; nothing of the line itself."""
    requests: int = 0
    counted: int = 0
    unattributed: int = 0
    """Requests that would count, and of which nobody knows the address: refused before it was looked at."""
    clients: int = 0
    lag: int = 0
    """Milliseconds since the oldest request."""
    started: int = 0
    extended: int = 0


class IncompleteDeliveryError(RuntimeError):
    """Some clients of a delivery could not be counted; a repetition counts them and no other."""


Keep = Callable[[str, Sequence[str]], None]
"""Keeps lines that are none of the access log's, under a name."""


class Ingest:
    """Counts deliveries; one for a whole execution environment."""

    def __init__(  # noqa: PLR0913 - each is another neighbour
        self,
        rules: Rules,
        held: Counters,
        blocks: Blocks,
        keep: Keep,
        clock: Callable[[], int],
        *,
        workers: int = WORKERS,
    ) -> None:
        """Work by ``rules``, for so many clients at once; ``clock`` tells milliseconds since 1970."""
        self._workers = workers
        self._rules = rules
        self._counters = held
        self._blocks = blocks
        self._keep = keep
        self._clock = clock
        self._allowed = Networks()
        self._allowed_read: int | None = None
        self._written: dict[str, tuple[int, int, int]] = {}
        """Generation and end of the blocks that this environment wrote, and when: no need to try again."""

    def run(self, events: Sequence[Event]) -> Tally:
        """Count a delivery and block who has used up a limit.

        Raises:
            IncompleteDeliveryError: if something could not be written; everything else was, and the same
                delivery may be given again.
        """
        now = self._clock()
        tally = Tally(events=len(events))
        fresh = list({event.id: event for event in events}.values())
        tally.repeated = len(events) - len(fresh)
        marker = counters.marker_of([event.id for event in fresh])
        names = CounterNames(self._rules.windows, now)
        amounts, unreadable = self._fold(fresh, names, tally)
        tally.clients = len(amounts)
        # One client's own tokens are enough; of several, a late repetition would find some of them gone.
        if len(amounts) > 1 and self._counters.is_marked(marker):
            tally.repeated = len(events)
            return tally
        self._add_all(amounts, counters.token_of(marker), names, tally)
        if unreadable:
            self._keep(marker.hex(), unreadable)
        if len(amounts) > 1:
            self._counters.mark(marker, now // SECOND + counters.MARKER_SECONDS)
        return tally

    def _fold(
        self, events: Iterable[Event], names: CounterNames, tally: Tally
    ) -> tuple[dict[str, Counter[str]], list[str]]:
        """Return what each client's counters gain, and the lines that are none of the access log's."""
        allowed = self._read_allowed(names.now)
        amounts: dict[str, Counter[str]] = {}
        unreadable = []
        for event in events:
            try:
                line = access_log.parse(event.message)
                of_event = self._clients(line, allowed)
            except MalformedLineError as error:
                tally.malformed.append(str(error))
                unreadable.append(event.message)
                continue
            # The subscription leaves out what WAF stopped; where one comes all the same, it is none of ours.
            tally.requests += line.waf != WAF_BLOCK
            tally.lag = max(tally.lag, names.now - line.time)
            weight = self._rules.counting.weight(line)
            tally.unattributed += line.ip is None and weight > 0
            weight = weight if of_event else 0
            buckets = names.at(line.time) if weight else ()
            tally.counted += bool(buckets)
            for client in of_event if buckets else ():
                held = amounts.setdefault(client, Counter())
                for bucket in buckets:
                    held[bucket] += weight
        return amounts, unreadable

    def _clients(self, line: Line, allowed: Networks) -> tuple[str, ...]:
        """Return who a request counts for: nobody, if its address is on an allow list, or not known.

        This is the one place that says which address a request came from.
        """
        if line.ip is None:
            return ()
        try:
            address = clients.parse(line.ip)
        except ValueError as error:
            raise MalformedLineError("an ip that is no address") from error
        if address in self._rules.allowed or address in allowed:
            return ()
        return self._rules.identity.clients(line.ip)

    def _read_allowed(self, now: int) -> Networks:
        if self._allowed_read is None or now - self._allowed_read > ALLOWANCES_SECONDS * SECOND:
            self._allowed = Networks(each.network for each in self._blocks.allowances())
            self._allowed_read = now
        return self._allowed

    def _add_all(
        self, amounts: Mapping[str, Amounts], token: bytes, names: CounterNames, tally: Tally
    ) -> None:
        """Add to every client's counters, whatever becomes of some."""
        changes = outcomes(
            lambda client: self._add(client, amounts[client], token, names), amounts, self._workers
        )
        tally.started = changes.count(Change.STARTED)
        tally.extended = changes.count(Change.EXTENDED)
        failures = [each for each in changes if isinstance(each, Exception)]
        if failures:
            raise IncompleteDeliveryError(
                f"{len(failures)} of {len(amounts)} clients were not counted"
            ) from failures[0]

    def _add(self, client: str, amounts: Amounts, token: bytes, names: CounterNames) -> Change:
        known = self._counters.add(client, amounts, token, self._rules.expires(names.now))
        stale = names.stale(known.counters)
        if len(stale) >= counters.MOST_STALE:
            self._counters.remove(client, stale)
        # Not at the time when the delivery began: another run may have added to a bucket that began since.
        return self._block(client, known, max(names.now, self._clock()))

    def _block(self, client: str, known: Counted, now: int) -> Change:
        """Keep out a client that is over a limit until there is room, as things stand now."""
        over = worst(self._rules.standings(client, known, now))
        if over is None:
            return Change.NOTHING
        generation, until, written = self._written.get(client, (-1, 0, 0))
        if (generation, until) == (
            known.generation,
            over.room_at,
        ) and now - written < WRITTEN_SECONDS * SECOND:
            return Change.NOTHING
        change = self._blocks.put(Block(client, over.window, now, over.room_at, known.generation))
        if len(self._written) >= KNOWN_BLOCKS:
            self._written.clear()
        self._written[client] = (known.generation, over.room_at, now)
        return change
