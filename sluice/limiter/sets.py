"""The limiter's IP sets: which there are, and how the enforcer is told."""

import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass

CAPACITY = 10_000
"""CIDRs of one set ("AWS WAF quotas")."""
BLOCK, ALLOW = "block", "allow"


@dataclass(frozen=True)
class SetName:
    """One IP set."""

    role: str
    """``block`` or ``allow``."""
    family: int
    """4 or 6."""
    name: str
    id: str


def dumps(names: Iterable[SetName]) -> str:
    """Return sets as an environment variable holds them: short, since all variables have 4 KB together."""
    return json.dumps([astuple(each) for each in names], separators=(",", ":"))


def loads(text: str) -> list[SetName]:
    """Return the sets that `dumps` wrote."""
    return [SetName(*each) for each in json.loads(text)]
