"""Makers of every resource type that the program uses."""

from . import (
    buckets,
    compute,
    events,
    firewall,
    gateway,
    identity,
    messaging,
    observability,
    storage,
)
from .registry import UnknownInputError, UnknownTypeError, Workshop, call, make

__all__ = [
    "UnknownInputError",
    "UnknownTypeError",
    "Workshop",
    "buckets",
    "call",
    "compute",
    "events",
    "firewall",
    "gateway",
    "identity",
    "make",
    "messaging",
    "observability",
    "storage",
]
