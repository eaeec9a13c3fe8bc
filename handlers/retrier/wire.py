"""A request as it is sent, and what can come of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sluice.retrier.targets import Target


class Trouble(StrEnum):
    """Why there is no answer."""

    CONNECTION = "connection"
    """No connection, or one that broke before the answer was there."""
    TIMEOUT = "timeout"
    """No answer in time."""
    LOST = "lost"
    """The function that made the call was ended."""


@dataclass(frozen=True)
class Answer:
    """What an upstream answered."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case; several values of one name are joined by commas."""
    body: bytes
    origin: str = ""
    """Whose answer it is, where the one who was asked has sent elsewhere."""


@dataclass(frozen=True)
class Failure:
    """That an upstream did not answer."""

    trouble: Trouble
    detail: str
    origin: str = ""
    """Who did not, where the one who was asked has sent elsewhere."""


@dataclass(frozen=True)
class Request:
    """One request as it is sent."""

    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes | None
    private: frozenset[str] = frozenset()
    """The names of headers that hold a secret, which goes to nobody else."""
    before: tuple[tuple[str, str], ...] = ()
    """Methods and URLs of what was redirected here."""
