"""Makers of every resource type that the program uses."""

from . import (
    authorizers,
    buckets,
    compute,
    domains,
    events,
    firewall,
    gateway,
    gateway_stage,
    gateway_usage,
    identity,
    keys,
    messaging,
    observability,
    storage,
    topics,
)
from .registry import UnknownInputError, UnknownTypeError, Workshop, call, make

__all__ = [
    "UnknownInputError",
    "UnknownTypeError",
    "Workshop",
    "authorizers",
    "buckets",
    "call",
    "compute",
    "domains",
    "events",
    "firewall",
    "gateway",
    "gateway_stage",
    "gateway_usage",
    "identity",
    "keys",
    "make",
    "messaging",
    "observability",
    "storage",
    "topics",
]
