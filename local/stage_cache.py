"""The cache of a stage: answers to GET that are given again without asking the back end.

("Cache settings for REST APIs in API Gateway", API Gateway guide)
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus

from multidict import CIMultiDict, MultiMapping

from .domains import Target
from .gateway_responses import Answer
from .stages import Caching

LARGEST_ENTRY = 1024 * 1024
MOST_ENTRIES = 1000
WARNING = "199 Cache-control headers were ignored because the caller was unauthorized."
SIGNATURE = "AWS4-HMAC-SHA256 "

Key = tuple[Target, str, tuple[tuple[str, ...], ...]]


class Wish(Enum):
    """What a request says about the cache, and what becomes of it."""

    NONE = auto()
    """It says nothing."""
    ANEW = auto()
    """The answer is to be read anew, and it may ask for that."""
    IGNORED = auto()
    """It may not, and is answered from the cache all the same."""
    WARNED = auto()
    """As before, with a warning."""
    REFUSED = auto()
    """It may not, and is refused."""


@dataclass(frozen=True)
class Asked:
    """What of a request the cache looks at."""

    path: Mapping[str, str]
    query: MultiMapping[str]
    headers: MultiMapping[str]


@dataclass(frozen=True)
class Visit:
    """One request's visit to the cache."""

    key: Key
    ttl_seconds: int
    wish: Wish
    kept: Answer | None
    """The answer to give, unless the wish forbids it."""

    @property
    def refused(self) -> bool:
        """Whether the request is to be refused for what it wishes."""
        return self.wish is Wish.REFUSED

    @property
    def needs_back_end(self) -> bool:
        """Whether the back end is asked."""
        return self.kept is None and not self.refused


class StageCaches:
    """The caches of all stages."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty."""
        self._clock = clock
        self._entries: dict[Key, tuple[float, Answer]] = {}

    def visit(self, target: Target, caching: Caching, asked: Asked) -> Visit:
        """Look for the answer to a request."""
        key = (target, caching.namespace, key_values(caching.key_parameters, asked))
        wish = wish_of(caching, asked.headers)
        until, answer = self._entries.get(key, (0.0, None))
        alive = until > self._clock() and wish is not Wish.ANEW
        return Visit(key, caching.ttl_seconds, wish, answer if alive else None)

    def keep(self, visit: Visit, answer: Answer) -> None:
        """Keep an answer of the back end, if it is one to keep."""
        success = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
        if not success or len(answer.body) > LARGEST_ENTRY or not visit.ttl_seconds:
            return
        self._entries.pop(visit.key, None)
        while len(self._entries) >= MOST_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[visit.key] = (self._clock() + visit.ttl_seconds, answer)


def key_values(parameters: tuple[str, ...], asked: Asked) -> tuple[tuple[str, ...], ...]:
    """Return the values that tell requests apart: all values of each parameter, in the order they came."""
    return tuple(values_of(each, asked) for each in parameters)


def values_of(parameter: str, asked: Asked) -> tuple[str, ...]:
    """Return a request's values of a parameter, such as ``method.request.querystring.page``."""
    *_, kind, name = parameter.split(".", 3)
    if kind == "path":
        return (asked.path[name],) if name in asked.path else ()
    if kind in {"querystring", "multivaluequerystring"}:
        return tuple(asked.query.getall(name, []))
    return tuple(asked.headers.getall(name, []))


def wish_of(caching: Caching, headers: MultiMapping[str]) -> Wish:
    """Return what becomes of a request's ``Cache-Control: max-age=0``."""
    directives = ",".join(headers.getall("Cache-Control", [])).lower().split(",")
    if "max-age=0" not in map(str.strip, directives):
        return Wish.NONE
    if not caching.needs_authorization or headers.get("Authorization", "").startswith(SIGNATURE):
        return Wish.ANEW
    refusals = {"FAIL_WITH_403": Wish.REFUSED, "SUCCEED_WITHOUT_RESPONSE_HEADER": Wish.IGNORED}
    return refusals.get(caching.unauthorized, Wish.WARNED)


def warned(answer: Answer) -> Answer:
    """Return an answer with the warning that the caller's wish was ignored."""
    headers = CIMultiDict(answer.headers)
    headers["Warning"] = WARNING
    return Answer(answer.status, headers, answer.body)
