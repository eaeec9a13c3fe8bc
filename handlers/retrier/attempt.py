"""One attempt at a call: whether it may be made now, what came of it, and what follows."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from sluice.retrier.rules import Rules
from sluice.retrier.targets import ForbiddenTargetError, Target

from . import calls, outcomes, signals
from .budget import SPREAD_SECONDS, BudgetUnavailableError, Go, Hold, Reason
from .calls import Call, InvalidCallError, SecretValue
from .diary import Diary
from .outcomes import Code, GaveUp
from .progress import Progress
from .redirects import LARGEST_REDIRECTS, TooManyRedirectsError, followed
from .secret_values import SecretUnavailableError
from .shared import Shared
from .upstream import ResponseTooLargeError, UntrustedUpstreamError
from .verdicts import Json, Next, verdict
from .wire import Answer, Failure, Request, Trouble
from .world import World

INSIDE_SECONDS = 1.0
"""Shorter waits are slept here: a state machine waits for whole seconds."""
EARLY_SECONDS = 0.6
"""How much sooner than it need be a call comes back from a wait, and sleeps: a function may have to start."""
STALE_SECONDS = 0.2
"""A call that comes later than this after its slot takes another: all that are late would come at once."""
UNKNOWN_SECONDS = 10.0
"""How long a call waits where nobody knows whether its redirect may be followed. Each wait is some ten events
of the 25,000 that an execution has ("Step Functions quotas")."""
LEAST_SECONDS = 0.05
"""With less time than this before the deadline an attempt is not worth beginning."""
NO_TIME = "no time is left for an attempt"
SERVER_ERROR = 500
LAST_OK = 399
OWN: Mapping[type[Exception], Code] = {
    ForbiddenTargetError: Code.FORBIDDEN,
    InvalidCallError: Code.INVALID,
    ResponseTooLargeError: Code.TOO_LARGE,
    SecretUnavailableError: Code.SECRET,
    TooManyRedirectsError: Code.REDIRECTS,
    UntrustedUpstreamError: Code.UNREACHABLE,
}
"""What ends a call at once, with an error of ours."""
SILENCE = {
    Trouble.CONNECTION: (Code.UNREACHABLE, "the upstream could not be reached, or hung up"),
    Trouble.TIMEOUT: (Code.TIMEOUT, "the upstream did not answer in time"),
    Trouble.LOST: (Code.FAILED, "the function that called the upstream was ended"),
}
"""What is told where no attempt had an answer."""
HELD = {
    Reason.BUDGET: (GaveUp.BUDGET, Code.BUDGET, "all calls until the deadline are promised to others"),
    Reason.CIRCUIT: (GaveUp.CIRCUIT, Code.CIRCUIT, "the upstream failed too often, and is left alone"),
    Reason.PAUSE: (GaveUp.PAUSE, Code.PAUSED, "the upstream asked for no calls until after the deadline"),
    Reason.UNKNOWN: (GaveUp.DEADLINE, Code.FAILED, "nobody knows whether the upstream may be called"),
}


class HeldOnTheWayError(Exception):
    """A call was redirected to an upstream whose turn is not soon."""

    def __init__(self, upstream: str, admission: Go | Hold) -> None:
        """Keep who it is, and when it may be called."""
        super().__init__(upstream)
        self.upstream = upstream
        self.admission = admission


class Attempt:
    """One attempt at one call."""

    def __init__(self, rules: Rules, world: World, event: Mapping[str, Any]) -> None:
        """Take what the state machine says.

        Raises:
            InvalidCallError: if the call cannot be made as it is.
            ForbiddenTargetError: if it may not be made.
        """
        self._rules = rules
        self._world = world
        self._egresses: list[str] = event["egresses"]
        self._egress = self._egresses[event["egress"]]
        self._lost: str | None = event.get("lost")
        self._progress = Progress.read(event["began"], event.get("progress"))
        self._call: Call = calls.parse(event["call"], rules)
        self._upstream = self._call.target.origin
        self._deadline = self._progress.began + self._call.policy.deadline_seconds
        self._shared = Shared(world, self._egress)
        self._oversize: ResponseTooLargeError | None = None
        self._began = self._reached = self._over = 0.0
        """When it was sent, when to the upstream that it has come to, and when its time is over."""

    async def run(self) -> Json:
        """Make the attempt if it may be made now, and return what the state machine does next."""
        if self._lost is not None:
            self._progress.resume(self._world.now())
            self._progress.slot = None
            return await self._after(Failure(Trouble.LOST, self._lost))
        if not await self._rested():
            return self._wait_until(self._progress.resume_at)
        request = await asyncio.to_thread(self._request)
        self._upstream = request.target.origin
        if self._world.now() > self._deadline - LEAST_SECONDS:
            return self._give_up(GaveUp.DEADLINE, Code.DEADLINE, NO_TIME)
        admission = await self._admitted(request.target)
        if isinstance(admission, Hold) or not self._is_now(admission, request.target):
            return self._later(admission)
        await self._sleep_until(admission.at)
        return await self._send(request)

    async def _rested(self) -> bool:
        """Sleep what the state machine's wait left over; false where another wait of its own is due."""
        left = self._progress.resume_at - self._world.now()
        if left > INSIDE_SECONDS + EARLY_SECONDS + SPREAD_SECONDS:
            return False
        await self._world.sleep(max(0.0, left))
        self._progress.resume(self._world.now())
        return True

    async def _admitted(self, target: Target) -> Go | Hold:
        """Return whether a call may be made now or later, keeping the slot that it has.

        Raises:
            BudgetUnavailableError: if nobody knows, and nothing was sent yet.
        """
        now = self._world.now()
        slot, self._progress.slot = self._progress.slot, None
        try:
            if slot is not None and now - slot < STALE_SECONDS:
                return await self._shared.standing(target.origin) or Go(slot)
            return await self._shared.admit(target, self._deadline - LEAST_SECONDS)
        except BudgetUnavailableError as error:
            if not self._progress.followed:
                raise
            self._world.diary.troubled("a redirect is not followed yet", error)
            # Less as the end comes near, and a time that DynamoDB may need.
            left = (self._deadline - now) / 4
            return Hold(now + min(UNKNOWN_SECONDS, max(INSIDE_SECONDS, left)), Reason.UNKNOWN)

    def _is_now(self, turn: Go, target: Target) -> bool:
        """Whether a turn is neither some time ahead nor over."""
        ahead = turn.at - self._world.now()
        keeps = turn.probe or target.upstream.pace is None
        return ahead <= INSIDE_SECONDS and (keeps or ahead >= -STALE_SECONDS)

    def _later(self, admission: Go | Hold) -> Json:
        """Return that the call comes again: for the slot that it has, or once it may ask for another."""
        now = self._world.now()
        if isinstance(admission, Hold):
            return self._held(admission)
        if admission.at < now:
            return self._wait_until(now)
        self._progress.slot = admission.at
        self._tell_held(Reason.BUDGET, admission.at)
        return self._wait_until(admission.at)

    def _held(self, hold: Hold) -> Json:
        """Wait for what keeps the call, or go another way; give up where that takes too long."""
        self._progress.hold(self._egresses if hold.everywhere else [self._egress], hold.until)
        gave_up, code, message = HELD[hold.reason]
        until = self._turn()
        if until > self._deadline - LEAST_SECONDS:
            return self._give_up(gave_up, code, message, retry_after=until - self._world.now())
        self._tell_held(hold.reason, until)
        return self._wait_until(until)

    async def _send(self, request: Request) -> Json:
        """Send the request, and tell all callers what came of it."""
        self._began = self._reached = self._world.now()
        seconds = min(self._call.timeout_seconds, self._deadline - self._began)
        self._over = self._began + seconds
        if seconds < LEAST_SECONDS:
            await self._shared.not_called()
            return self._give_up(GaveUp.DEADLINE, Code.DEADLINE, NO_TIME)
        try:
            result = await self._world.client.send(request, seconds, self._follow)
        except HeldOnTheWayError as error:
            await self._shared.answered(self._upstream, failed=False)
            self._upstream = error.upstream
            return self._later(error.admission)
        except tuple(OWN) as error:
            await self._shared.answered(self._upstream, failed=_speaks_against(error))
            self._tell_attempt({"failure": _code(error).value}, "AttemptsFailed")
            if isinstance(error, ResponseTooLargeError) and self._is_tried_again(error.answer):
                self._oversize = error
                return await self._after(error.answer)
            self._progress.note(self._began, self._egress, failure=_code(error).value)
            raise
        failed = None if self._says_nothing(result) else _is_failure(result)
        await self._shared.answered(result.origin or self._upstream, failed=failed)
        self._tell_attempt(_told(result), _metric(result))
        return await self._after(result)

    async def _follow(self, target: Target, status: int) -> None:
        """Wait for the turn of a redirect, which is a call like any other.

        Raises:
            HeldOnTheWayError: if that is not soon.
        """
        self._progress.followed.append({"at": self._began, "status": status, "url": target.url})
        if len(json.dumps(self._progress.followed)) > LARGEST_REDIRECTS:
            raise TooManyRedirectsError("to URLs that are too long to be carried")
        admission = await self._admitted(target)
        if isinstance(admission, Hold) or not self._is_now(admission, target) or admission.at > self._over:
            raise HeldOnTheWayError(target.origin, admission)
        await self._sleep_until(admission.at)
        self._upstream, self._reached = target.origin, self._world.now()

    def _says_nothing(self, result: Answer | Failure) -> bool:
        """Whether a result says nothing of the upstream's health: it had little time."""
        late = isinstance(result, Failure) and result.trouble is Trouble.TIMEOUT
        enough = min(self._rules.timeout_seconds, self._rules.deadline_seconds / 2)
        return late and self._over - self._reached < enough

    def _is_tried_again(self, result: Answer | Failure) -> bool:
        policy = self._call.policy
        if isinstance(result, Answer):
            return result.status in policy.statuses
        return result.trouble.value in policy.failures

    def _request(self) -> Request:
        """Return what is sent, with its secrets in place, and to where it was redirected before.

        Raises:
            SecretUnavailableError: if one of them cannot be read.
        """
        values = {
            name: value if isinstance(value, str) else value.prefix + self._world.secrets.read(value.name)
            for name, value in self._call.headers.items()
        }
        private = frozenset(
            name for name, value in self._call.headers.items() if isinstance(value, SecretValue)
        )
        request = Request(self._call.method, self._call.target, values, self._call.body, private)
        for each in self._progress.followed:
            request = followed(request, each["status"], each["url"], self._rules)
        return request

    async def _after(self, result: Answer | Failure) -> Json:
        """Return what follows from a result: the end, or another attempt."""
        now = self._world.now()
        self._progress.note(self._began or now, self._egress, **_told(result))
        asked = await self._asked_to_wait(result)
        if not self._is_tried_again(result):
            if isinstance(result, Answer):
                return self._done(outcomes.outcome(self._progress, ok=result.status <= LAST_OK), result)
            return self._end(GaveUp.FAILURE, result)
        if not self._call.repeatable:
            return self._end(GaveUp.METHOD, result)
        if self._progress.attempts >= self._call.policy.attempts:
            return self._end(GaveUp.ATTEMPTS, result)
        wait = self._backoff() if not asked else asked + self._world.chance() * SPREAD_SECONDS
        self._progress.hold(self._kept_away(result), now + wait)
        until = self._turn()
        if until > self._deadline - LEAST_SECONDS:
            return self._end(GaveUp.DEADLINE, result)
        return self._wait_until(until, result)

    async def _asked_to_wait(self, result: Answer | Failure) -> float | None:
        """Return for how long the upstream wants no call, and let all callers know."""
        if isinstance(result, Failure):
            return None
        asked = signals.told_to_wait(result.status, result.headers, self._world.now())
        shared = min(asked or 0.0, self._rules.shared_pause_seconds)
        if shared:
            upstream = result.origin or self._upstream
            await self._shared.pause(upstream, shared, everywhere=self._everywhere(result))
        return asked

    def _everywhere(self, result: Answer) -> bool:
        """Whether what an upstream says holds for every egress: a limit is an address's, trouble is all's."""
        return result.status >= SERVER_ERROR

    def _kept_away(self, result: Answer | Failure) -> list[str]:
        """Return from where no call is made for a while."""
        everywhere = isinstance(result, Answer) and self._everywhere(result)
        return self._egresses if everywhere else [self._egress]

    def _backoff(self) -> float:
        """Return a random wait below a bound that doubles ("Exponential Backoff And Jitter": full jitter)."""
        policy = self._call.policy
        bound = min(policy.cap_seconds, policy.base_seconds * 2.0 ** (self._progress.attempts - 1))
        return self._world.chance() * bound

    def _turn(self) -> float:
        """Go on with the egress that may call first, and return when that is."""
        self._egress = self._progress.earliest(self._egresses, self._egress)
        return max(self._world.now(), self._progress.ready.get(self._egress, 0.0))

    def _wait_until(self, until: float, result: Answer | Failure | None = None) -> Json:
        """Let the state machine wait, and keep an answer in case that no better one comes."""
        now = self._world.now()
        self._progress.pause(now, until)
        whole = result if isinstance(result, Answer) and self._oversize is None else None
        return verdict(
            Next.WAIT,
            seconds=max(0, int(until - now - EARLY_SECONDS)),
            egress=self._egresses.index(self._egress),
            progress=self._progress.dump(),
            answer=self._carried(whole) if whole else None,
        )

    async def _sleep_until(self, at: float) -> None:
        now = self._world.now()
        if at > now:
            self._progress.pause(now, at)
            await self._world.sleep(at - now)
            self._progress.resume(self._world.now())

    def _carried(self, answer: Answer) -> Json:
        return outcomes.answered(answer, self._rules.response_headers)

    def _done(self, outcome: Json, answer: Answer) -> Json:
        self._tell_end("CallsAnswered" if "gave_up" not in outcome else "CallsGivenUp", answer.status)
        return verdict(Next.DONE, outcome={**outcome, **self._carried(answer)})

    def _end(self, gave_up: GaveUp, result: Answer | Failure) -> Json:
        """End with the last answer; where this attempt had none, with one before it or an error of ours."""
        if self._oversize is not None:
            return self.refuse(self._oversize)
        if isinstance(result, Answer):
            return self._done(outcomes.outcome(self._progress, ok=False, gave_up=gave_up), result)
        code, message = SILENCE[result.trouble]
        return self._give_up(gave_up, code, f"{message} ({result.detail})")

    def _give_up(
        self, gave_up: GaveUp, code: Code, message: str, *, retry_after: float | None = None
    ) -> Json:
        """End without an answer of this attempt; the state machine puts an earlier one in its place."""
        if self._progress.abandon(self._egress) and not self._call.repeatable:
            gave_up, retry_after = GaveUp.METHOD, None
        outcome = outcomes.outcome(self._progress, ok=False, gave_up=gave_up)
        self._tell_end("CallsGivenUp", gave_up.value)
        told = outcomes.error(code, message, retry_after=retry_after)
        return verdict(Next.FALL_BACK, outcome={**outcome, "error": told})

    def refuse(self, error: Exception) -> Json:
        """End with an error of ours, whatever an attempt before has brought."""
        self._progress.abandon(self._egress)
        return refusal(self._progress, error, self._world.diary)

    def _tell_attempt(self, result: Json, metric: str) -> None:
        told = {
            "upstream": self._upstream,
            "method": self._call.method,
            "attempt": self._progress.attempts + 1,
            "egress": self._egress,
            **result,
        }
        self._world.diary.attempted(told, metric, (self._world.now() - self._began) * 1000)

    def _tell_held(self, reason: Reason, until: float) -> None:
        seconds = round(until - self._world.now(), 2)
        self._world.diary.held({"upstream": self._upstream, "reason": reason.value, "seconds": seconds})

    def _tell_end(self, metric: str, result: object) -> None:
        told = {"upstream": self._upstream, "attempts": self._progress.attempts, "result": result}
        self._world.diary.ended(told, metric)


def refusal(progress: Progress, error: Exception, diary: Diary) -> Json:
    """Return the end of a call that is not to be made, or whose answer cannot be had."""
    code = _code(error)
    diary.ended({"result": code.value, "why": str(error)}, "CallsRefused")
    outcome = outcomes.outcome(progress, ok=False)
    return verdict(Next.DONE, outcome={**outcome, "error": outcomes.error(code, str(error))})


def _code(error: Exception) -> Code:
    return next(code for kind, code in OWN.items() if isinstance(error, kind))


def _speaks_against(error: Exception) -> bool | None:
    """Whether an error of ours speaks against the upstream's health; none where it was not asked.

    Where a call leads is its caller's doing, and opens no circuit for others.
    """
    if isinstance(error, ResponseTooLargeError):
        return _is_failure(error.answer)
    return None if isinstance(error, ForbiddenTargetError) else isinstance(error, UntrustedUpstreamError)


def _is_failure(result: Answer | Failure) -> bool:
    """Whether a result speaks against the upstream's health; that it limits its callers does not."""
    return isinstance(result, Failure) or result.status >= SERVER_ERROR


def _told(result: Answer | Failure) -> Json:
    return {"status": result.status} if isinstance(result, Answer) else {"failure": result.trouble.value}


def _metric(result: Answer | Failure) -> str:
    if _is_failure(result):
        return "AttemptsFailed"
    limited = isinstance(result, Answer) and result.status == signals.TOO_MANY_REQUESTS
    return "AttemptsLimited" if limited else "AttemptsAnswered"


async def attempt(rules: Rules, world: World, event: Mapping[str, Any]) -> Json:
    """Make an attempt, and return what the state machine does next.

    Args:
        rules: the retrier's.
        world: what attempts depend on.
        event: ``call``, as a caller gave it; ``began``, seconds since 1970; ``egresses``, their names, and
            ``egress``, the place of this function's; ``progress`` of an attempt before, or none; ``lost``,
            the name of the error by which an attempt before was lost, or none.

    Returns:
        What `verdicts.verdict` does.

    Raises:
        BudgetUnavailableError: if nobody knows whether the call may be made.
    """
    try:
        one = Attempt(rules, world, event)
    except tuple(OWN) as error:
        progress = Progress.read(event["began"], event.get("progress"))
        progress.abandon(event["egresses"][event["egress"]])
        return refusal(progress, error, world.diary)
    try:
        return await one.run()
    except tuple(OWN) as error:
        return one.refuse(error)
