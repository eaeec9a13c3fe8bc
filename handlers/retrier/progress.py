"""How far a call has come: what a state machine carries from one attempt to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

REDIRECTED = "redirect"
"""What the history says of an attempt whose redirect could not be followed in time."""

Json = dict[str, Any]


@dataclass
class Progress:
    """How far a call has come. Times are in seconds since 1970, on whichever machine."""

    began: float
    attempts: int = 0
    waited: float = 0.0
    """Seconds of all waits so far."""
    history: list[Json] = field(default_factory=list)
    """One entry for each attempt: when after ``began``, from where, and with what result."""
    ready: dict[str, float] = field(default_factory=dict)
    """By egress, before when it may not call."""
    paused_at: float | None = None
    """Since when it waits."""
    resume_at: float = 0.0
    """Until when it waits."""
    slot: float | None = None
    """When the next attempt may be made, or go on, which is reserved for it."""
    followed: list[Json] = field(default_factory=list)
    """The redirects behind which an attempt goes on: ``at``, when it was sent, ``status`` and ``url``."""

    @classmethod
    def read(cls, began: float, given: Mapping[str, Any] | None) -> "Progress":
        """Return what a state machine carried, or the beginning."""
        return cls(**given) if given else cls(began)

    def dump(self) -> Json:
        """Return it as JSON carries it."""
        return dict(vars(self))

    def note(self, at: float, egress: str, **result: object) -> None:
        """Count an attempt and what came of it; one that waited to go on was made when it was sent first."""
        at = self.followed[0]["at"] if self.followed else at
        self.attempts += 1
        self.followed.clear()
        self.history.append({"at": round(at - self.began, 2), "egress": egress, **result})

    def abandon(self, egress: str) -> bool:
        """Count an attempt that was sent and follows its redirect no more; whether there is one."""
        waits = bool(self.followed)
        if waits:
            self.note(self.began, egress, failure=REDIRECTED)
        return waits

    def pause(self, now: float, until: float) -> None:
        """Begin to wait."""
        if self.paused_at is None:
            self.paused_at = now
        self.resume_at = until

    def resume(self, now: float) -> None:
        """End the wait, if there is one, and count it; what came after its end was work."""
        if self.paused_at is not None:
            self.waited += max(0.0, min(now, self.resume_at) - self.paused_at)
        self.paused_at = None

    def hold(self, egresses: list[str], until: float) -> None:
        """Let no call be made from these before a time."""
        for each in egresses:
            self.ready[each] = max(self.ready.get(each, 0.0), until)

    def earliest(self, egresses: list[str], after: str) -> str:
        """Return from where a call may be made first; of several the one that comes next after ``after``."""
        start = egresses.index(after) + 1
        in_turn = [*egresses[start:], *egresses[:start]]
        return min(in_turn, key=lambda each: self.ready.get(each, 0.0))
