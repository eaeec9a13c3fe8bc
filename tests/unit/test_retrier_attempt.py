"""What follows from each thing that can come of an attempt, by a clock that only sleeping moves."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

import pytest

from benchmarks.driving import ExecutionFailedError, Machine
from handlers.retrier.attempt import EARLY_SECONDS, LEAST_SECONDS, STALE_SECONDS, attempt
from handlers.retrier.budget import SPREAD_SECONDS, Admission, BudgetUnavailableError, Go, Hold, Reason
from handlers.retrier.progress import Progress
from handlers.retrier.redirects import LARGEST_REDIRECTS, MOST_REDIRECTS, TooManyRedirectsError
from handlers.retrier.secret_values import SecretUnavailableError
from handlers.retrier.upstream import Admit, ResponseTooLargeError, UntrustedUpstreamError
from handlers.retrier.wire import Answer, Failure, Request, Trouble
from handlers.retrier.world import World
from sluice.retrier.rules import Pace, Upstream
from sluice.retrier.targets import LONGEST_URL, ForbiddenTargetError, Target, judge

from .retrier_rules import ALLOWED, rules, secret

NOW = 1_800_000_000.0
ORIGIN, ELSEWHERE = "https://api.example.com:443", "https://other.example.com:443"
URL = "https://api.example.com/orders"
GET = {"url": URL}
POST = {"url": URL, "method": "POST", "body": "{}"}
KEYED = {**POST, "idempotency_key": "k-1"}
PACE = Pace(10, 1, 1)
RULES = rules(
    upstreams=(Upstream(ALLOWED, PACE), Upstream("https://other.example.com", PACE)),
    secrets=(secret("token"),),
    statuses=(429, 500, 503),
    timeout_seconds=10,
    cap_seconds=30,
    response_headers=("content-type", "x-ratelimit-*"),
)
OK = Answer(200, {"content-type": "text/plain", "set-cookie": "a=b"}, b"done")
LIMITED, BROKEN = Answer(429, {}, b"slow down"), Answer(503, {}, b"broken")
TIMEOUT = Failure(Trouble.TIMEOUT, "no answer in time")
TOO_LARGE = ResponseTooLargeError(Answer(200, {}, b""))
TOO_LARGE_TROUBLE = ResponseTooLargeError(Answer(503, {"retry-after": "3"}, b""))
CONNECTION = Failure(Trouble.CONNECTION, "ServerDisconnectedError")
KEYS = {"next", "seconds", "egress", "progress", "answer", "outcome"}
A, B = "a", "b"

Json = dict[str, Any]
Result = Answer | Failure | Exception


def limited(seconds: object) -> Answer:
    return replace(LIMITED, headers={"retry-after": str(seconds)})


def broken(seconds: object) -> Answer:
    return replace(BROKEN, headers={"retry-after": str(seconds)})


class Clock:
    """A time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.time += seconds

    @property
    def passed(self) -> float:
        return round(self.time - NOW, 6)


@dataclass
class Scripted:
    """An upstream that answers by a list, and at the end for ever the same."""

    clock: Clock
    results: list[Result] = field(default_factory=lambda: [OK])
    takes: float = 0.0
    requests: list[Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    leads_to: Target | None = None
    """Where it redirects to, before its answer."""
    redirects_with: int = 307
    followed: list[float] = field(default_factory=list)

    async def send(
        self, request: Request, timeout_seconds: float, admit: Admit | None = None
    ) -> Answer | Failure:
        self.requests.append(request)
        self.times.append(self.clock.passed)
        self.timeouts.append(round(timeout_seconds, 6))
        await self.clock.sleep(self.takes)
        if self.leads_to is not None:
            if request.target != self.leads_to:
                assert admit is not None
                await admit(self.leads_to, self.redirects_with)
            self.followed.append(self.clock.passed)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


@dataclass
class Scheduled:
    """A budget that admits by a list, and then at once; and that can be out of order in parts."""

    clock: Clock
    admissions: list[Admission] = field(default_factory=list)
    standings: list[Hold | None] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    pace: Pace | None = PACE
    broken_for: str | None = None
    """Of which upstream nothing can be told."""
    opens: bool = False
    takes: float = 0.0
    asked: list[tuple[str, float]] = field(default_factory=list)
    """For which egress, and by when at the latest."""
    pauses: list[tuple[str | None, float]] = field(default_factory=list)
    """For which egress, and for how long from now on."""
    reports: list[tuple[bool, bool]] = field(default_factory=list)
    """Whether it failed, and whether it was a probe."""
    whose: dict[str, list[str]] = field(default_factory=dict)
    """Of which upstream it was, by what it was asked."""

    def admit(self, upstream: str, egress: str, pace: Pace | None, now: float, latest: float) -> Admission:
        self._ask("admit", upstream)
        assert pace == self.pace
        assert now == self.clock.time
        self.asked.append((egress, latest - NOW))
        found = self.admissions.pop(0) if self.admissions else Go(now)
        self.clock.time += self.takes
        return found

    def standing(self, upstream: str, egress: str, now: float) -> Hold | None:
        self._ask("standing", upstream)
        return self.standings.pop(0) if self.standings else None

    def pause(self, upstream: str, egress: str | None, until: float, now: float) -> None:
        self._ask("pause", upstream)
        self.pauses.append((egress, round(until - now, 3)))

    def report(self, upstream: str, now: float, *, failed: bool, probe: bool) -> bool:
        self._ask("report", upstream)
        self.reports.append((failed, probe))
        return self.opens

    def release(self, upstream: str) -> None:
        self._ask("release", upstream)

    def _ask(self, what: str, upstream: str) -> None:
        assert upstream in {ORIGIN, ELSEWHERE}
        self.whose.setdefault(what, []).append(upstream)
        if what in self.broken or upstream == self.broken_for:
            raise BudgetUnavailableError("ThrottlingException")


class Notes:
    """A diary that can be read."""

    def __init__(self) -> None:
        self.metrics: list[str] = []
        self.waits: list[float] = []
        self.lines: list[Json] = []
        self.troubles: list[str] = []

    def attempted(self, told: Json, metric: str, milliseconds: float) -> None:
        assert milliseconds >= 0
        self.lines.append(told)
        self.metrics.append(metric)

    def held(self, told: Json) -> None:
        self.waits.append(told["seconds"])

    def opened(self, upstream: str) -> None:
        self.metrics.append("CircuitsOpened")

    def ended(self, told: Json, metric: str) -> None:
        self.metrics.append(metric)

    def troubled(self, trouble: str, problem: Exception) -> None:
        self.troubles.append(trouble)


class Vault:
    """Secrets by name."""

    def __init__(self) -> None:
        self.values = {"token": "s3cret"}

    def read(self, name: str) -> str:
        if name not in self.values:
            raise SecretUnavailableError(f"the secret {name!r} cannot be read")
        return self.values[name]


class Scene:
    """Everything an attempt depends on, and what it did with it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.upstream = Scripted(self.clock)
        self.budget = Scheduled(self.clock)
        self.notes = Notes()
        self.vault = Vault()
        self.chance = 0.5
        self.rules = RULES
        self.before: Callable[[Json], Awaitable[None]] | None = None
        """What the function does first, or ends with."""

    def attempt(self, call: object = GET, *, egresses: Sequence[str] = (A,), **event: Any) -> Json:
        """Make one attempt, and return its verdict."""
        whole = {"call": call, "began": NOW, "egresses": list(egresses), "egress": 0, "progress": None}
        return asyncio.run(self._attempt({**whole, "lost": None, **event}))

    def run(self, call: Json = GET, *, egresses: Sequence[str] = (A,)) -> Json:
        """Have a call made to its end, and return the outcome."""
        machine = Machine(self._attempt, self.clock.now, self.clock.sleep, lambda: self.chance)
        return asyncio.run(machine.run(call, egresses))

    async def _attempt(self, event: Json) -> Json:
        if self.before is not None:
            await self.before(event)
        budget: Any = self.budget
        secrets: Any = self.vault
        diary: Any = self.notes
        world = World(
            self.upstream, budget, secrets, diary, self.clock.now, self.clock.sleep, lambda: self.chance
        )
        verdict = await attempt(self.rules, world, event)
        assert verdict.keys() == KEYS
        assert json.loads(json.dumps(verdict)) == verdict
        assert 0 <= verdict["seconds"] == int(verdict["seconds"])
        assert 0 <= verdict["egress"] < len(event["egresses"])
        assert (
            (verdict["outcome"] is None) == (verdict["next"] == "wait") == (verdict["progress"] is not None)
        )
        return verdict


@pytest.fixture
def scene() -> Scene:
    return Scene()


def egresses_of(outcome: Json) -> list[str]:
    return [each["egress"] for each in outcome["history"]]


def test_a_good_answer_ends_a_call_at_once(scene: Scene) -> None:
    verdict = scene.attempt()
    assert verdict == {
        "next": "done",
        "seconds": 0,
        "egress": 0,
        "progress": None,
        "answer": None,
        "outcome": {
            "ok": True,
            "attempts": 1,
            "waited": 0.0,
            "history": [{"at": 0.0, "egress": A, "status": 200}],
            "status": 200,
            "headers": {"content-type": "text/plain"},
            "body": "done",
        },
    }
    assert scene.notes.metrics == ["AttemptsAnswered", "CallsAnswered"]
    ((egress, latest),) = scene.budget.asked
    assert egress == A
    assert latest == pytest.approx(60 - LEAST_SECONDS)


@pytest.mark.parametrize(
    ("status", "ok"), [(204, True), (304, True), (400, False), (404, False), (501, False)]
)
def test_an_answer_that_is_not_tried_again_is_the_upstreams_last_word(
    scene: Scene, status: int, ok: bool
) -> None:
    scene.upstream.results = [replace(OK, status=status)]
    outcome = scene.run()
    assert (outcome["ok"], outcome["status"], outcome["attempts"]) == (ok, status, 1)
    assert not {"gave_up", "error"} & outcome.keys()


def test_a_call_that_is_limited_twice_is_answered_the_third_time(scene: Scene) -> None:
    scene.upstream.results = [LIMITED, LIMITED, OK]
    outcome = scene.run()

    assert scene.upstream.times == [0.0, 0.5, 1.5]
    assert (outcome["ok"], outcome["status"], outcome["body"]) == (True, 200, "done")
    assert (outcome["attempts"], outcome["waited"]) == (3, 1.5)
    assert outcome["history"] == [
        {"at": 0.0, "egress": A, "status": 429},
        {"at": 0.5, "egress": A, "status": 429},
        {"at": 1.5, "egress": A, "status": 200},
    ]
    assert scene.notes.metrics == ["AttemptsLimited", "AttemptsLimited", "AttemptsAnswered", "CallsAnswered"]
    assert [each["attempt"] for each in scene.notes.lines] == [1, 2, 3]


def test_an_answer_that_is_tried_again_is_carried_along(scene: Scene) -> None:
    scene.upstream.results = [LIMITED]
    verdict = scene.attempt()
    assert verdict["next"] == "wait"
    assert verdict["answer"] == {"status": 429, "headers": {}, "body": "slow down"}


def test_waits_double_up_to_their_bound(scene: Scene) -> None:
    scene.upstream.results = [BROKEN]
    scene.chance = 1.0
    scene.run({**GET, "retry": {"cap_seconds": 4}})
    assert scene.upstream.times == [0.0, 1.0, 3.0, 7.0, 11.0]


def test_waits_are_spread_from_nothing_up(scene: Scene) -> None:
    scene.upstream.results = [BROKEN]
    scene.chance = 0.0
    outcome = scene.run()
    assert scene.upstream.times == [0.0] * 5
    assert outcome["waited"] == 0.0


@pytest.mark.parametrize("chance", [0.0, 1.0])
@pytest.mark.parametrize("began", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("first", [limited, broken])
@pytest.mark.parametrize("date", [False, True])
def test_no_call_comes_before_the_upstream_wants_it_and_none_much_later(
    scene: Scene, date: bool, first: Callable[[object], Answer], began: float, chance: float
) -> None:
    scene.chance = chance
    scene.clock.time += began
    scene.upstream.takes = 0.01
    scene.upstream.results = [first(formatdate(NOW + 8, usegmt=True) if date else 7), OK]
    outcome = scene.run()

    wanted = 8.0 if date else began + 0.01 + 7
    assert wanted - 1e-6 <= scene.upstream.times[1] <= wanted + SPREAD_SECONDS + 1e-6
    assert outcome["waited"] == pytest.approx(scene.upstream.times[1] - began - 0.01, abs=0.01)


def test_no_wait_at_all_that_is_asked_for_is_no_reason_to_come_at_once(scene: Scene) -> None:
    scene.upstream.results = [limited(0), OK]
    scene.run()
    assert scene.upstream.times == [0.0, 0.5]
    assert scene.budget.pauses == []


def test_a_wait_beyond_the_deadline_is_not_begun(scene: Scene) -> None:
    scene.upstream.results = [limited(61)]
    outcome = scene.run()
    assert (outcome["gave_up"], outcome["status"], outcome["attempts"]) == ("deadline", 429, 1)
    assert not outcome["ok"]
    assert scene.clock.passed == 0
    assert scene.budget.pauses == [(A, 61.0)], "others are told all the same"


def test_the_calls_own_deadline_counts(scene: Scene) -> None:
    scene.upstream.results = [limited(5)]
    assert scene.run({**GET, "retry": {"deadline_seconds": 4}})["gave_up"] == "deadline"
    assert scene.clock.passed == 0


def test_a_failure_without_time_for_another_attempt_is_told_as_what_it_is(scene: Scene) -> None:
    scene.upstream.results, scene.upstream.takes = [TIMEOUT], 4.0
    outcome = scene.run({**GET, "retry": {"deadline_seconds": 4}})
    assert (outcome["gave_up"], outcome["error"]["code"], outcome["error"]["status"]) == (
        "deadline",
        "UpstreamTimeout",
        504,
    )


def test_an_attempt_that_begins_after_the_deadline_calls_nobody(scene: Scene) -> None:
    scene.clock.time += 60
    outcome = scene.attempt()["outcome"]
    assert (outcome["gave_up"], outcome["error"]["code"], outcome["attempts"]) == (
        "deadline",
        "DeadlineExceeded",
        0,
    )
    assert scene.upstream.times == []
    assert scene.budget.asked == [], "and takes no slot"


def test_no_attempt_takes_longer_than_is_left(scene: Scene) -> None:
    scene.upstream.results, scene.upstream.takes = [TIMEOUT, OK], 3.0
    scene.run({**GET, "timeout_seconds": 3, "retry": {"deadline_seconds": 5}})
    assert scene.upstream.timeouts == [3.0, 1.5]


def test_attempts_are_used_up(scene: Scene) -> None:
    scene.upstream.results = [BROKEN]
    outcome = scene.run({**GET, "retry": {"attempts": 3}})
    assert (outcome["ok"], outcome["gave_up"], outcome["status"]) == (False, "attempts", 503)
    assert (outcome["attempts"], len(scene.upstream.times)) == (3, 3)
    assert scene.notes.metrics[-1] == "CallsGivenUp"


def test_a_call_may_narrow_what_is_tried_again(scene: Scene) -> None:
    scene.upstream.results = [BROKEN]
    outcome = scene.run({**GET, "retry": {"statuses": [429]}})
    assert (outcome["status"], outcome["attempts"]) == (503, 1)
    assert "gave_up" not in outcome


@pytest.mark.parametrize(
    ("failure", "allowed", "code"),
    [(TIMEOUT, "connection", "UpstreamTimeout"), (CONNECTION, "timeout", "UpstreamUnreachable")],
)
@pytest.mark.parametrize("whose", ["the retrier's", "the call's"])
def test_a_failure_of_another_class_than_is_tried_again_ends_a_call(
    scene: Scene, failure: Failure, allowed: str, code: str, whose: str
) -> None:
    scene.upstream.results = [failure, OK]
    if whose == "the retrier's":
        scene.rules = replace(RULES, failures=(allowed,))
    call = GET if whose == "the retrier's" else {**GET, "retry": {"failures": [allowed]}}
    outcome = scene.run(call)
    assert (outcome["ok"], outcome["gave_up"], outcome["attempts"]) == (False, "failure", 1)
    assert outcome["error"]["code"] == code


@pytest.mark.parametrize(("failure", "allowed"), [(TIMEOUT, "timeout"), (CONNECTION, "connection")])
def test_a_failure_of_a_class_that_is_tried_again_is(scene: Scene, failure: Failure, allowed: str) -> None:
    scene.upstream.results = [failure, OK]
    assert scene.run({**GET, "retry": {"failures": [allowed]}})["attempts"] == 2


def test_a_lost_attempt_ends_a_call_where_that_is_not_tried_again(scene: Scene) -> None:
    losing(scene, 1)
    outcome = scene.run({**GET, "retry": {"failures": ["timeout"]}})
    assert (outcome["gave_up"], outcome["error"]["code"]) == ("failure", "CallFailed")
    assert scene.upstream.times == []


def elsewhere() -> Target:
    return judge("https://other.example.com/orders", RULES.upstreams)


def test_a_redirect_waits_for_its_turn_at_the_upstream_that_it_leads_to(scene: Scene) -> None:
    scene.upstream.leads_to = elsewhere()
    scene.budget.admissions = [Go(NOW), Go(NOW + 0.9)]
    outcome = scene.run()
    assert (scene.upstream.times, scene.upstream.followed) == ([0.0], [0.9])
    assert scene.budget.whose["admit"] == [ORIGIN, ELSEWHERE]
    assert (outcome["ok"], outcome["attempts"], outcome["waited"]) == (True, 1, 0.9)


@pytest.mark.parametrize(
    "kept",
    [Hold(NOW + 7.5, Reason.PAUSE), Hold(NOW + 7.5, Reason.CIRCUIT), Go(NOW + 7.5)],
    ids=["a pause", "a circuit", "a late slot"],
)
@pytest.mark.parametrize(
    "call", [POST, {**GET, "retry": {"attempts": 1}}], ids=["a POST without a key", "one attempt alone"]
)
def test_a_redirect_whose_turn_is_not_soon_is_followed_later_and_nothing_is_sent_twice(
    scene: Scene, call: Json, kept: Admission
) -> None:
    scene.upstream.leads_to = elsewhere()
    scene.budget.admissions = [Go(NOW), kept]
    outcome = scene.run(call)
    assert [each.target.origin for each in scene.upstream.requests] == [ORIGIN, ELSEWHERE]
    assert (scene.upstream.times, scene.upstream.followed) == ([0.0, 7.5], [7.5])
    assert (outcome["ok"], outcome["attempts"], outcome["waited"]) == (True, 1, 7.5)
    assert outcome["history"] == [{"at": 0.0, "egress": A, "status": 200}], "when it was sent first"
    assert scene.budget.reports == [(False, False), (False, False)], "who redirects is well"
    assert scene.budget.whose["report"] == [ORIGIN, ELSEWHERE]
    slots = 1 if isinstance(kept, Go) else 2
    assert scene.budget.whose["admit"] == [ORIGIN, *[ELSEWHERE] * slots], "a slot is kept"


def test_what_follows_a_redirect_later_is_what_it_asks_for(scene: Scene) -> None:
    scene.upstream.leads_to, scene.upstream.redirects_with = elsewhere(), 303
    scene.budget.admissions = [Go(NOW), Go(NOW + 7.5)]
    headers = {"Authorization": "Bearer mine", "Accept": "text/plain", "Content-Type": "application/json"}
    assert scene.run({**POST, "headers": headers})["ok"]
    first, second = scene.upstream.requests
    assert (first.method, first.body) == ("POST", b"{}")
    assert second.before == (("POST", URL),), "a circle is seen over waits too"
    assert (second.method, second.body, second.headers) == ("GET", None, {"accept": "text/plain"})


def test_an_attempt_after_one_that_was_redirected_begins_at_the_beginning(scene: Scene) -> None:
    scene.upstream.leads_to, scene.upstream.results = elsewhere(), [replace(limited(3), origin=ELSEWHERE), OK]
    scene.budget.admissions = [Go(NOW), Go(NOW + 7.5)]
    outcome = scene.run()
    assert [each.target.origin for each in scene.upstream.requests] == [ORIGIN, ELSEWHERE, ORIGIN]
    assert [each.get("status") for each in outcome["history"]] == [429, 200]


def test_redirects_are_counted_over_all_waits_for_them(scene: Scene) -> None:
    turns = iter(range(1, 100))
    scene.budget.admissions = [Go(NOW + 2 * next(turns)) for _ in range(10)]

    async def elsewhere_again(_event: Json) -> None:
        scene.upstream.leads_to = judge(f"https://other.example.com/{next(turns)}", RULES.upstreams)

    scene.before = elsewhere_again
    outcome = scene.run()
    assert outcome["error"]["code"] == "TooManyRedirects"
    assert len(scene.upstream.requests) == 1 + MOST_REDIRECTS
    assert outcome["attempts"] == 1


def test_redirects_that_a_state_machine_could_not_carry_end_a_call(scene: Scene) -> None:
    def entry(path: str, size: int, filled: str) -> Json:
        return {"at": NOW, "status": 307, "url": f"https://other.example.com/{path}".ljust(size, filled)}

    first, last = entry("1", LONGEST_URL, '"'), entry("3", LONGEST_URL, '"')
    scene.upstream.leads_to = judge(last["url"], RULES.upstreams)
    room = LARGEST_REDIRECTS - len(json.dumps([first, {**last, "url": ""}, last]))

    def run(size: int) -> Json:
        progress = {**vars(Progress(NOW)), "followed": [first, entry("2", size, "x")]}
        outcome: Json = scene.attempt(progress=progress)["outcome"]
        return outcome

    assert run(room)["ok"]
    outcome = run(room + 1)
    assert outcome["error"]["code"] == "TooManyRedirects"
    assert outcome["attempts"] == 1


@pytest.mark.parametrize(
    ("call", "gave_up"),
    [(POST, "method"), (KEYED, "pause"), (GET, "pause")],
    ids=["a POST without a key", "a POST with a key", "a GET"],
)
def test_what_was_sent_and_may_not_follow_its_redirect_in_time_says_so(
    scene: Scene, call: Json, gave_up: str
) -> None:
    scene.upstream.leads_to = elsewhere()
    scene.budget.admissions = [Go(NOW), Hold(NOW + 75, Reason.PAUSE)]
    outcome = scene.run(call)
    assert (scene.upstream.times, scene.upstream.followed) == ([0.0], [])
    assert (outcome["gave_up"], outcome["error"]["code"]) == (gave_up, "UpstreamPaused")
    assert ("retry_after" in outcome["error"]) == (call is not POST), (
        "who may not, is not asked to come again"
    )
    assert [each["failure"] for each in outcome["history"]] == ["redirect"]
    assert outcome["attempts"] == 1


def test_little_time_is_used_where_nobody_knows_whether_a_redirect_may_be_followed(scene: Scene) -> None:
    scene.upstream.leads_to = elsewhere()
    scene.before = nothing_for(scene, seconds=5)
    outcome = scene.run({**POST, "retry": {"deadline_seconds": 9}})
    assert (outcome["ok"], outcome["attempts"]) == (True, 1)
    assert 5 <= scene.clock.passed < 8


def nothing_for(scene: Scene, seconds: float) -> Callable[[Json], Awaitable[None]]:
    """Have nothing told of the other upstream for a time."""

    async def look(_event: Json) -> None:
        scene.budget.broken_for = ELSEWHERE if scene.clock.passed < seconds else None

    return look


def test_a_refusal_tells_of_what_was_sent_before_it(scene: Scene) -> None:
    carried = {"at": NOW + 1, "status": 307, "url": "https://other.example.com/"}
    progress = {**vars(Progress(NOW)), "followed": [carried]}
    for call in ({"url": "https://stranger.example.com/"}, {**GET, "headers": {"a": {"secret": "token"}}}):
        scene.vault.values = {}
        outcome = scene.attempt(call, progress=json.loads(json.dumps(progress)))["outcome"]
        assert (outcome["attempts"], outcome["ok"]) == (1, False)
        assert outcome["history"] == [{"at": 1.0, "egress": A, "failure": "redirect"}]


def test_a_timeout_behind_a_redirect_speaks_against_who_had_the_time(scene: Scene) -> None:
    scene.upstream.leads_to, scene.upstream.takes = elsewhere(), 9.8
    scene.upstream.results = [replace(TIMEOUT, origin=ELSEWHERE)]
    scene.attempt()
    assert scene.budget.reports == [], "it had two tenths of a second"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ForbiddenTargetError("no"), ("release", [])),
        (TooManyRedirectsError(), ("report", [(False, True)])),
        (UntrustedUpstreamError(judge(URL, RULES.upstreams)), ("report", [(True, True)])),
        (TOO_LARGE, ("report", [(False, True)])),
        (TOO_LARGE_TROUBLE, ("report", [(True, True)])),
    ],
    ids=["forbidden", "redirects", "untrusted", "too large", "trouble that is too large"],
)
def test_a_probe_that_ends_with_an_error_of_ours_tells_what_it_has_shown(
    scene: Scene, error: Exception, told: tuple[str, list[tuple[bool, bool]]]
) -> None:
    scene.upstream.leads_to = elsewhere()
    scene.upstream.results = [error]
    scene.budget.admissions = [Go(NOW), Go(NOW, probe=True)]
    scene.attempt({**GET, "retry": {"statuses": []}})
    how, reports = told
    assert scene.budget.whose[how] == [ELSEWHERE]
    assert scene.budget.reports == reports


def test_a_turn_that_comes_after_the_attempts_time_is_waited_for_elsewhere(scene: Scene) -> None:
    scene.upstream.leads_to = elsewhere()
    scene.budget.admissions = [Go(NOW), Go(NOW + 0.9)]
    outcome = scene.run({**POST, "timeout_seconds": 0.5})
    assert [each.target.origin for each in scene.upstream.requests] == [ORIGIN, ELSEWHERE]
    assert (outcome["ok"], outcome["attempts"]) == (True, 1)
    assert scene.upstream.timeouts == [0.5, 0.5]


def test_without_a_pace_there_is_no_slot_to_come_too_late_for(scene: Scene) -> None:
    scene.rules = replace(RULES, upstreams=(Upstream(ALLOWED, None),))
    scene.budget.pace, scene.budget.takes = None, 2 * STALE_SECONDS
    assert scene.attempt()["outcome"]["ok"]
    assert len(scene.upstream.requests) == 1


@pytest.mark.parametrize("call", [POST, KEYED], ids=["without a key", "with a key"])
def test_a_call_that_was_sent_is_not_sent_again_where_nobody_knows_whether_its_redirect_may_be_followed(
    scene: Scene, call: Json
) -> None:
    scene.upstream.leads_to = elsewhere()
    scene.budget.broken_for = ELSEWHERE
    outcome = scene.run(call)
    assert [each.target.origin for each in scene.upstream.requests] == [ORIGIN]
    assert outcome["error"]["code"] == "CallFailed"
    assert outcome["gave_up"] == ("method" if call is POST else "deadline")
    assert [each["failure"] for each in outcome["history"]] == ["redirect"]
    assert set(scene.notes.troubles) == {"a redirect is not followed yet"}
    assert scene.clock.passed == pytest.approx(59, abs=1)


def test_who_is_redirected_may_find_out_that_the_other_is_well_again(scene: Scene) -> None:
    scene.upstream.leads_to = elsewhere()
    scene.upstream.results = [replace(OK, origin=ELSEWHERE)]
    scene.budget.admissions = [Go(NOW), Go(NOW, probe=True)]
    assert scene.run()["ok"]
    assert list(zip(scene.budget.whose["report"], scene.budget.reports, strict=True)) == [
        (ELSEWHERE, (False, True))
    ]


def test_a_redirect_whose_turn_comes_after_the_deadline_ends_a_call_and_says_when_to_come(
    scene: Scene,
) -> None:
    scene.upstream.leads_to = elsewhere()
    scene.budget.admissions = [Go(NOW), Hold(NOW + 75, Reason.CIRCUIT)]
    outcome = scene.run()
    assert (outcome["gave_up"], outcome["error"]["retry_after"]) == ("circuit", 75)
    assert (scene.clock.passed, scene.upstream.followed) == (0.0, [])


def test_what_is_learnt_of_an_upstream_is_of_the_one_that_answered(scene: Scene) -> None:
    scene.upstream.results = [
        replace(broken(3), origin=ELSEWHERE),
        replace(CONNECTION, origin=ELSEWHERE),
        OK,
    ]
    assert scene.run()["ok"]
    assert scene.budget.whose["report"] == [ELSEWHERE, ELSEWHERE, ORIGIN]
    assert scene.budget.whose["pause"] == [ELSEWHERE]


@pytest.mark.parametrize(
    ("call", "reports"),
    [
        (GET, [(True, False)]),
        ({**GET, "timeout_seconds": 9.9}, []),
        ({**GET, "retry": {"deadline_seconds": 9}}, []),
    ],
    ids=["the whole time", "less by the call", "less by the deadline"],
)
def test_a_timeout_speaks_against_an_upstream_only_where_it_had_the_whole_time(
    scene: Scene, call: Json, reports: list[tuple[bool, bool]]
) -> None:
    scene.upstream.results = [TIMEOUT]
    scene.attempt(call)
    assert scene.budget.reports == reports


@pytest.mark.parametrize(("timeout_seconds", "deadline_seconds"), [(60, 60), (10, 5)])
@pytest.mark.parametrize(("part", "reports"), [(0.6, [(True, False)]), (0.4, [])])
def test_a_timeout_that_cannot_be_waited_out_speaks_against_an_upstream_after_half_of_the_deadline(
    scene: Scene,
    timeout_seconds: int,
    deadline_seconds: int,
    part: float,
    reports: list[tuple[bool, bool]],
) -> None:
    scene.rules = replace(RULES, timeout_seconds=timeout_seconds, deadline_seconds=deadline_seconds)
    scene.upstream.results = [TIMEOUT]
    scene.attempt({**GET, "timeout_seconds": part * deadline_seconds})
    assert scene.budget.reports == reports


def test_a_broken_connection_speaks_against_an_upstream_whatever_time_it_had(scene: Scene) -> None:
    scene.upstream.results = [CONNECTION]
    scene.attempt({**GET, "timeout_seconds": 1})
    assert scene.budget.reports == [(True, False)]


def test_a_probe_that_had_too_little_time_to_show_anything_leaves_it_to_another(scene: Scene) -> None:
    scene.upstream.results = [TIMEOUT]
    scene.budget.admissions = [Go(NOW, probe=True)]
    scene.attempt({**GET, "timeout_seconds": 1})
    assert scene.budget.reports == []
    assert scene.budget.whose["release"] == [ORIGIN]


def test_a_probe_without_any_time_left_is_left_to_another(scene: Scene) -> None:
    scene.budget.admissions, scene.budget.takes = [Go(NOW, probe=True)], 60
    assert scene.attempt()["outcome"]["gave_up"] == "deadline"
    assert scene.upstream.requests == []
    assert scene.budget.whose["release"] == [ORIGIN]


@pytest.mark.parametrize(
    ("result", "call"), [(OK, {**GET, "timeout_seconds": 1}), (TIMEOUT, GET)], ids=["an answer", "a timeout"]
)
def test_a_probe_that_shows_something_is_told(scene: Scene, result: Result, call: Json) -> None:
    scene.upstream.results = [result]
    scene.budget.admissions = [Go(NOW, probe=True)]
    scene.attempt(call)
    assert scene.budget.reports == [(result is TIMEOUT, True)]
    assert "release" not in scene.budget.whose


def test_a_call_that_is_no_probe_releases_none(scene: Scene) -> None:
    scene.upstream.results = [TIMEOUT]
    scene.attempt({**GET, "timeout_seconds": 1})
    assert "release" not in scene.budget.whose


@pytest.mark.parametrize("there", [OK, BROKEN])
def test_a_probe_that_is_sent_elsewhere_has_found_its_upstream_well(scene: Scene, there: Answer) -> None:
    scene.upstream.results = [replace(there, origin=ELSEWHERE)]
    scene.budget.admissions = [Go(NOW, probe=True)]
    scene.attempt()
    assert scene.budget.whose["report"] == [ORIGIN, ELSEWHERE]
    assert scene.budget.reports == [(False, True), (there is BROKEN, False)]


@pytest.mark.parametrize("result", [LIMITED, BROKEN, TIMEOUT, CONNECTION])
def test_a_post_without_a_key_is_sent_once(scene: Scene, result: Result) -> None:
    scene.upstream.results = [result]
    outcome = scene.run(POST)
    assert (outcome["ok"], outcome["gave_up"], outcome["attempts"]) == (False, "method", 1)
    assert len(scene.upstream.times) == 1


def test_a_post_with_a_key_is_sent_again_and_the_same(scene: Scene) -> None:
    scene.upstream.results = [TIMEOUT, BROKEN, OK]
    assert scene.run(KEYED)["attempts"] == 3
    first, *others = scene.upstream.requests
    assert others == [first, first]
    assert (first.method, first.body, first.headers) == ("POST", b"{}", {"idempotency-key": "k-1"})


@pytest.mark.parametrize(
    ("failure", "code", "told"),
    [(TIMEOUT, "UpstreamTimeout", "timeout"), (CONNECTION, "UpstreamUnreachable", "connection")],
)
def test_what_never_answers_is_tried_again_and_told_at_last(
    scene: Scene, failure: Failure, code: str, told: str
) -> None:
    scene.upstream.results = [failure]
    outcome = scene.run()
    assert (outcome["gave_up"], outcome["attempts"], outcome["error"]["code"]) == ("attempts", 5, code)
    assert {each["failure"] for each in outcome["history"]} == {told}
    assert scene.budget.reports == [(True, False)] * 5


def test_an_answer_before_a_failure_is_what_is_told_at_last(scene: Scene) -> None:
    scene.upstream.results = [BROKEN, TIMEOUT]
    outcome = scene.run({**GET, "retry": {"attempts": 2}})
    assert (outcome["status"], outcome["body"], outcome["gave_up"]) == (503, "broken", "attempts")
    assert "error" not in outcome
    assert [each.get("status", each.get("failure")) for each in outcome["history"]] == [503, "timeout"]


def losing(scene: Scene, *attempts: int, after: float = 0.0) -> None:
    """Let the function be ended in some of its runs, counted from 1, after so many seconds."""
    runs = iter(range(1, 100))

    async def before(_: Json) -> None:
        if next(runs) in attempts:
            await scene.clock.sleep(after)
            raise RuntimeError("Sandbox.Timedout")

    scene.before = before


def test_an_attempt_that_is_lost_counts_and_is_followed_by_another(scene: Scene) -> None:
    losing(scene, 1)
    outcome = scene.run()
    assert (outcome["ok"], outcome["attempts"]) == (True, 2)
    assert [each.get("status", each.get("failure")) for each in outcome["history"]] == ["lost", 200]


def test_a_post_without_a_key_that_is_lost_is_not_sent_again(scene: Scene) -> None:
    losing(scene, 1)
    outcome = scene.run(POST)
    assert (outcome["gave_up"], outcome["error"]["code"]) == ("method", "CallFailed")
    assert scene.upstream.times == []


def test_three_losses_in_a_row_fail_the_execution(scene: Scene) -> None:
    losing(scene, 1, 2, 3)
    with pytest.raises(ExecutionFailedError, match="RuntimeError"):
        scene.run()


def test_losses_that_are_not_in_a_row_fail_nothing(scene: Scene) -> None:
    losing(scene, 1, 2, 4, 5, 7)
    outcome = scene.run({**GET, "retry": {"attempts": 5}})
    assert (outcome["ok"], outcome["attempts"]) == (True, 4)


def test_a_slot_is_not_kept_over_a_loss(scene: Scene) -> None:
    progress = {**scene_progress(scene), "slot": NOW}
    assert scene.attempt(progress=progress, lost="Lambda.Unknown")["progress"]["slot"] is None


def scene_progress(scene: Scene, **values: Any) -> Json:
    """Return what a state machine carries after an attempt that is followed by another."""
    results, scene.upstream.results = scene.upstream.results, [BROKEN]
    progress: Json = scene.attempt()["progress"]
    scene.upstream.results = results
    scene.upstream.times.clear()
    scene.budget.asked.clear()
    return {**progress, **values}


def test_time_at_work_is_no_wait_also_where_it_is_lost(scene: Scene) -> None:
    scene.upstream.results = [BROKEN, OK]
    losing(scene, 2, after=20.0)
    outcome = scene.run()
    assert outcome["attempts"] == 3
    assert outcome["waited"] <= 0.5 + 1.0 + 1.0, "the backoffs, and the second before the loss is told"


def test_who_is_limited_at_one_address_calls_at_once_from_another(scene: Scene) -> None:
    scene.upstream.results = [limited(9), OK]
    outcome = scene.run(egresses=(A, B))
    assert (egresses_of(outcome), scene.clock.passed, outcome["waited"]) == ([A, B], 0.0, 0.0)
    assert scene.budget.pauses == [(A, 9.0)]
    assert [egress for egress, _ in scene.budget.asked] == [A, B]


def test_what_cannot_be_reached_from_one_address_is_tried_from_another(scene: Scene) -> None:
    scene.upstream.results = [CONNECTION, OK]
    assert egresses_of(scene.run(egresses=(A, B))) == [A, B]
    assert scene.clock.passed == 0.0


def test_an_upstream_in_trouble_is_left_alone_from_everywhere(scene: Scene) -> None:
    scene.upstream.results = [broken(9), OK]
    outcome = scene.run(egresses=(A, B))
    assert scene.upstream.times[1] >= 9
    assert egresses_of(outcome) == [A, B], "who waits for the same moment takes turns"
    assert scene.budget.pauses == [(None, 9.0)]


def test_where_all_addresses_are_limited_the_earliest_goes_on(scene: Scene) -> None:
    scene.upstream.results = [limited(10), limited(3), limited(20), OK]
    outcome = scene.run(egresses=(A, B))
    assert egresses_of(outcome) == [A, B, B, A]
    assert scene.upstream.times[:2] == [0.0, 0.0]
    assert 3 <= scene.upstream.times[2] <= 3 + SPREAD_SECONDS
    assert 10 <= scene.upstream.times[3] <= 10 + SPREAD_SECONDS


def test_addresses_take_turns(scene: Scene) -> None:
    scene.upstream.results = [LIMITED]
    assert egresses_of(scene.run(egresses=(A, B, "c"))) == [A, B, "c", A, B]


@pytest.mark.parametrize("reason", Reason)
def test_a_hold_that_ends_in_time_is_waited_for(scene: Scene, reason: Reason) -> None:
    scene.budget.admissions = [Hold(NOW + 7.5, reason)]
    outcome = scene.run()
    assert scene.upstream.times == [7.5]
    assert (outcome["ok"], outcome["waited"], outcome["attempts"]) == (True, 7.5, 1)
    assert scene.notes.waits == [7.5]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.BUDGET, "BudgetUsedUp"),
        (Reason.PAUSE, "UpstreamPaused"),
        (Reason.CIRCUIT, "CircuitOpen"),
    ],
)
def test_a_hold_beyond_the_deadline_ends_a_call_at_once_and_says_when_to_come(
    scene: Scene, reason: Reason, code: str
) -> None:
    scene.budget.admissions = [Hold(NOW + 75, reason)]
    outcome = scene.run()
    assert (outcome["ok"], outcome["gave_up"], outcome["attempts"]) == (False, reason.value, 0)
    assert (outcome["error"]["code"], outcome["error"]["status"]) == (code, 503)
    assert outcome["error"]["retry_after"] == 75
    assert (scene.clock.passed, scene.upstream.times) == (0.0, [])
    assert scene.notes.metrics == ["CallsGivenUp"]


def test_a_hold_after_an_answer_ends_with_that_answer(scene: Scene) -> None:
    scene.upstream.results = [BROKEN]
    scene.budget.admissions = [Go(NOW), Hold(NOW + 75, Reason.CIRCUIT)]
    outcome = scene.run()
    assert (outcome["status"], outcome["body"], outcome["gave_up"]) == (503, "broken", "circuit")
    assert "error" not in outcome


def test_a_hold_of_one_address_lets_a_call_go_at_once_from_another(scene: Scene) -> None:
    scene.budget.admissions = [Hold(NOW + 75, Reason.PAUSE, everywhere=False)]
    outcome = scene.run(egresses=(A, B))
    assert (outcome["ok"], egresses_of(outcome), scene.clock.passed) == (True, [B], 0.0)


def test_a_hold_of_one_address_is_noted_as_no_wait_where_another_is_free(scene: Scene) -> None:
    scene.budget.admissions = [Hold(NOW + 75, Reason.PAUSE, everywhere=False)]
    scene.run(egresses=(A, B))
    assert scene.notes.waits == [0.0]


def test_a_hold_of_all_addresses_is_waited_for_where_it_ends_first(scene: Scene) -> None:
    scene.budget.admissions = [
        Hold(NOW + 9, Reason.PAUSE, everywhere=False),
        Hold(NOW + 4, Reason.PAUSE, everywhere=False),
    ]
    assert egresses_of(scene.run(egresses=(A, B))) == [B]
    assert scene.upstream.times == [4.0]


def test_holds_again_and_again_end_at_the_deadline(scene: Scene) -> None:
    scene.budget.admissions = [Hold(NOW + 20.0 * each, Reason.CIRCUIT) for each in range(1, 9)]
    outcome = scene.run()
    assert (outcome["gave_up"], scene.clock.passed, outcome["waited"]) == ("circuit", 40.0, 40.0)


def test_a_slot_that_comes_soon_is_slept_for(scene: Scene) -> None:
    scene.budget.admissions = [Go(NOW + 0.7)]
    outcome = scene.attempt()["outcome"]
    assert (scene.upstream.times, outcome["waited"]) == ([0.7], 0.7)


def test_a_slot_that_comes_later_is_waited_for_and_kept(scene: Scene) -> None:
    scene.budget.admissions = [Go(NOW + 5.3), Go(NOW + 99)]
    verdict = scene.attempt()
    assert (verdict["next"], verdict["seconds"]) == ("wait", 4)
    assert verdict["progress"]["slot"] == NOW + 5.3

    asyncio.run(scene.clock.sleep(verdict["seconds"]))
    outcome = scene.attempt(progress=verdict["progress"])["outcome"]
    assert scene.upstream.times == [5.3]
    assert (outcome["attempts"], outcome["waited"]) == (1, 5.3)
    assert len(scene.budget.asked) == 1


def test_a_wait_that_was_cut_short_goes_on_without_another_slot(scene: Scene) -> None:
    scene.budget.admissions = [Go(NOW + 5.3)]
    first = scene.attempt()
    asyncio.run(scene.clock.sleep(2.0))
    second = scene.attempt(progress=first["progress"])
    assert (second["next"], second["seconds"]) == ("wait", 2)
    assert (second["progress"]["slot"], scene.upstream.times) == (NOW + 5.3, [])

    asyncio.run(scene.clock.sleep(3.0))
    outcome = scene.attempt(progress=second["progress"])["outcome"]
    assert (scene.upstream.times, outcome["waited"]) == ([5.3], 5.3)


@pytest.mark.parametrize("until", [1.5, 1.7, 2.0, 2.59, 2.61, 7.3])
def test_a_wait_ends_early_enough_to_start_a_function_and_the_rest_is_slept(
    scene: Scene, until: float
) -> None:
    scene.budget.admissions = [Go(NOW + until)]
    verdict = scene.attempt()
    assert verdict["next"] == "wait"
    assert until - verdict["seconds"] >= EARLY_SECONDS or verdict["seconds"] == 0
    assert until - verdict["seconds"] < 1 + EARLY_SECONDS + 1e-6

    asyncio.run(scene.clock.sleep(verdict["seconds"]))
    assert scene.attempt(progress=verdict["progress"])["next"] == "done"
    assert scene.upstream.times == [until]


def test_a_call_that_comes_late_for_its_slot_takes_another(scene: Scene) -> None:
    scene.budget.admissions = [Go(NOW + 5), Go(NOW + 6)]
    first = scene.attempt()
    asyncio.run(scene.clock.sleep(5 + STALE_SECONDS + 0.01))
    outcome = scene.attempt(progress=first["progress"])["outcome"]
    assert (scene.upstream.times, outcome["ok"]) == ([6.0], True)
    assert len(scene.budget.asked) == 2


def test_a_call_that_comes_a_little_late_uses_its_slot(scene: Scene) -> None:
    scene.budget.admissions = [Go(NOW + 5), Go(NOW + 99)]
    first = scene.attempt()
    asyncio.run(scene.clock.sleep(5 + STALE_SECONDS - 0.01))
    scene.attempt(progress=first["progress"])
    assert scene.upstream.times == [round(5 + STALE_SECONDS - 0.01, 6)]
    assert len(scene.budget.asked) == 1


def test_a_slot_that_is_long_over_once_it_is_known_is_not_used(scene: Scene) -> None:
    scene.budget.takes = 5.0
    scene.budget.admissions = [Go(NOW), Go(NOW + 12)]
    scene.run()
    assert scene.upstream.times == [12.0]


def test_nobody_is_called_after_the_deadline_also_where_the_budget_was_slow(scene: Scene) -> None:
    scene.budget.takes = 60.0
    scene.budget.admissions = [Go(NOW + 59.9)]
    assert scene.run()["gave_up"] == "deadline"
    assert scene.upstream.times == []


def test_a_slot_in_a_pause_is_given_up_for_one_after_it(scene: Scene) -> None:
    scene.budget.admissions = [Go(NOW + 5), Go(NOW + 9.5)]
    scene.budget.standings = [Hold(NOW + 9, Reason.PAUSE)]
    outcome = scene.run()
    assert (scene.upstream.times, outcome["waited"], outcome["attempts"]) == ([9.5], 9.5, 1)
    assert len(scene.budget.asked) == 2


def test_a_slot_in_a_pause_beyond_the_deadline_ends_a_call(scene: Scene) -> None:
    scene.budget.admissions = [Go(NOW + 5)]
    scene.budget.standings = [Hold(NOW + 90, Reason.PAUSE)]
    outcome = scene.run()
    assert (outcome["gave_up"], outcome["error"]["retry_after"], scene.clock.passed) == ("pause", 85, 5.0)


def test_waits_of_all_kinds_are_counted_once(scene: Scene) -> None:
    scene.upstream.results, scene.upstream.takes = [limited(4), OK], 0.5
    scene.budget.admissions = [Hold(NOW + 2, Reason.PAUSE), Go(NOW + 2.6), Go(NOW + 10)]
    outcome = scene.run()
    assert scene.upstream.times == [2.6, 10.0]
    assert outcome["waited"] == pytest.approx(2.6 + 10.0 - 3.1)


def test_a_secret_is_put_into_its_header_and_marked(scene: Scene) -> None:
    scene.run({**GET, "headers": {"Authorization": {"secret": "token", "prefix": "Bearer "}, "X-A": "b"}})
    (request,) = scene.upstream.requests
    assert request.headers == {"authorization": "Bearer s3cret", "x-a": "b"}
    assert request.private == {"authorization"}


def test_a_secret_that_cannot_be_read_ends_a_call_before_it_takes_a_slot(scene: Scene) -> None:
    scene.vault.values.clear()
    outcome = scene.run({**GET, "headers": {"Authorization": {"secret": "token"}}})
    assert (outcome["ok"], outcome["attempts"], outcome["history"]) == (False, 0, [])
    assert (outcome["error"]["code"], outcome["error"]["status"]) == ("SecretUnavailable", 500)
    assert (scene.budget.asked, scene.upstream.times) == ([], [])


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (TOO_LARGE, "ResponseTooLarge", 502),
        (TooManyRedirectsError("circle"), "TooManyRedirects", 502),
        (ForbiddenTargetError("private"), "ForbiddenTarget", 403),
        (UntrustedUpstreamError(elsewhere()), "UpstreamUnreachable", 502),
    ],
)
def test_what_another_attempt_would_not_better_ends_a_call(
    scene: Scene, error: Exception, code: str, status: int
) -> None:
    scene.upstream.results = [BROKEN, error]
    outcome = scene.run()
    assert (outcome["ok"], outcome["attempts"]) == (False, 2)
    assert outcome["error"] == {"code": code, "message": str(error), "status": status}
    assert "status" not in outcome, "the answer before is not taken for this one's"
    assert outcome["history"][-1] == {"at": 0.5, "egress": A, "failure": code}
    assert scene.notes.metrics[-2:] == ["AttemptsFailed", "CallsRefused"]
    assert scene.notes.lines[-1]["failure"] == code
    assert [each["attempt"] for each in scene.notes.lines] == [1, 2]


def test_an_answer_that_is_too_large_and_would_be_tried_again_is_tried_again(scene: Scene) -> None:
    scene.upstream.results = [TOO_LARGE_TROUBLE, OK]
    outcome = scene.run()
    assert (outcome["ok"], outcome["attempts"], outcome["body"]) == (True, 2, "done")
    assert [each["status"] for each in outcome["history"]] == [503, 200]
    assert scene.upstream.times[1] >= 3, "and what it asks for counts"
    assert scene.budget.pauses == [(None, 3.0)]


def test_answers_that_are_too_large_to_the_last_are_told_as_such(scene: Scene) -> None:
    scene.upstream.results = [BROKEN, TOO_LARGE_TROUBLE]
    outcome = scene.run({**GET, "retry": {"attempts": 3}})
    assert (outcome["ok"], outcome["attempts"], outcome["error"]["code"]) == (False, 3, "ResponseTooLarge")
    assert "status" not in outcome, "the answer before is not taken for this one's"
    assert [each["status"] for each in outcome["history"]] == [503, 503, 503]
    assert scene.notes.metrics[-1] == "CallsRefused"


def test_an_answer_that_is_too_large_is_not_carried(scene: Scene) -> None:
    scene.upstream.results = [TOO_LARGE_TROUBLE]
    verdict = scene.attempt()
    assert (verdict["next"], verdict["answer"]) == ("wait", None)


@pytest.mark.parametrize("error", [TOO_LARGE, TooManyRedirectsError("circle")])
def test_an_upstream_that_answers_too_much_is_well(scene: Scene, error: Exception) -> None:
    scene.upstream.results = [error]
    scene.budget.admissions = [Go(NOW, probe=True)]
    scene.run()
    assert scene.budget.reports == [(False, True)]


@pytest.mark.parametrize(
    ("call", "code", "status"),
    [
        ({"url": URL, "method": "BREW"}, "InvalidCall", 400),
        ("a text", "InvalidCall", 400),
        ({"url": "https://elsewhere.example.com/"}, "ForbiddenTarget", 403),
        ({"url": URL, "headers": {"x": {"secret": "other"}}}, "InvalidCall", 400),
    ],
)
def test_a_call_that_is_not_to_be_made_is_refused(scene: Scene, call: object, code: str, status: int) -> None:
    verdict = scene.attempt(call)
    assert (verdict["next"], verdict["outcome"]["attempts"]) == ("done", 0)
    assert (verdict["outcome"]["error"]["code"], verdict["outcome"]["error"]["status"]) == (code, status)
    assert (scene.budget.asked, scene.upstream.times) == ([], [])


def test_a_budget_that_is_unavailable_is_the_state_machines_to_know(scene: Scene) -> None:
    scene.budget.broken = {"admit"}
    with pytest.raises(BudgetUnavailableError):
        scene.attempt()

    scene.budget.broken = {"standing"}
    with pytest.raises(BudgetUnavailableError):
        scene.attempt(progress=scene_progress(scene, slot=NOW, resume_at=NOW))
    assert scene.upstream.times == []


def test_a_budget_that_is_unavailable_for_a_while_is_asked_again(scene: Scene) -> None:
    runs = iter(range(1, 100))

    async def before(_: Json) -> None:
        scene.budget.broken = {"admit"} if next(runs) < 4 else set()

    scene.before = before
    outcome = scene.run()
    assert (outcome["ok"], outcome["attempts"]) == (True, 1)
    assert scene.upstream.times == [0.5 + 1 + 2]


def test_a_budget_that_stays_unavailable_fails_the_execution_and_nobody_is_called(scene: Scene) -> None:
    scene.budget.broken = {"admit"}
    with pytest.raises(ExecutionFailedError, match="BudgetUnavailableError"):
        scene.run()
    assert scene.upstream.times == []


@pytest.mark.parametrize(("part", "result"), [("report", OK), ("report", broken(3)), ("pause", broken(3))])
def test_what_cannot_be_told_to_others_does_not_lose_an_answer(
    scene: Scene, part: str, result: Answer
) -> None:
    scene.budget.broken = {part}
    scene.upstream.results = [result, OK]
    assert scene.run()["ok"]
    assert scene.notes.troubles
    assert len(scene.upstream.times) == (1 if result is OK else 2)


def test_a_good_answer_that_uses_a_limit_up_pauses_the_others_there(scene: Scene) -> None:
    scene.upstream.results = [
        replace(OK, headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}),
    ]
    outcome = scene.run(egresses=(A, B))
    assert (outcome["ok"], outcome["attempts"]) == (True, 1)
    assert scene.budget.pauses == [(A, 30.0)]
    assert outcome["headers"] == {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}


@pytest.mark.parametrize(("bound", "shared"), [(3600, 30.0), (20, 20.0)])
def test_others_heed_what_one_caller_is_told_up_to_a_bound_and_the_caller_without(
    scene: Scene, bound: int, shared: float
) -> None:
    scene.rules = replace(RULES, shared_pause_seconds=bound)
    scene.upstream.results = [limited(30), OK]
    scene.run()
    assert scene.budget.pauses == [(A, shared)]
    assert scene.upstream.times[1] >= 30


def test_others_heed_nothing_where_they_are_not_to(scene: Scene) -> None:
    scene.rules = replace(RULES, shared_pause_seconds=0)
    scene.upstream.results = [limited(30), OK]
    scene.run()
    assert scene.budget.pauses == []


def test_a_good_answer_with_calls_remaining_pauses_nobody(scene: Scene) -> None:
    scene.upstream.results = [
        replace(OK, headers={"x-ratelimit-remaining": "1", "x-ratelimit-reset": "30"}),
    ]
    scene.run()
    assert scene.budget.pauses == []


@pytest.mark.parametrize(
    ("result", "failed", "metric"),
    [
        (OK, False, "AttemptsAnswered"),
        (replace(OK, status=404), False, "AttemptsAnswered"),
        (LIMITED, False, "AttemptsLimited"),
        (BROKEN, True, "AttemptsFailed"),
        (replace(OK, status=501), True, "AttemptsFailed"),
        (TIMEOUT, True, "AttemptsFailed"),
        (CONNECTION, True, "AttemptsFailed"),
    ],
)
@pytest.mark.parametrize("probe", [False, True])
def test_the_circuit_is_told_what_speaks_against_an_upstreams_health(
    scene: Scene, result: Result, failed: bool, metric: str, probe: bool
) -> None:
    scene.upstream.results = [result]
    scene.budget.admissions = [Go(NOW, probe=probe)]
    scene.attempt()
    assert scene.budget.reports == [(failed, probe)]
    assert scene.notes.metrics[0] == metric


def test_who_opens_the_circuit_notes_it(scene: Scene) -> None:
    scene.upstream.results = [BROKEN]
    scene.budget.opens = True
    scene.attempt()
    assert scene.notes.metrics == ["CircuitsOpened", "AttemptsFailed"]


def test_a_call_goes_out_for_each_attempt_and_for_no_other_reason(scene: Scene) -> None:
    scene.upstream.results = [LIMITED, TIMEOUT, BROKEN, OK]
    outcome = scene.run(egresses=(A, B))
    assert len(scene.upstream.times) == outcome["attempts"] == len(outcome["history"]) == 4
    assert outcome["history"] == sorted(outcome["history"], key=lambda each: each["at"])
