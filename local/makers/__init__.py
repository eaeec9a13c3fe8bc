"""Makers of every resource type that the program uses."""

from . import compute, gateway, identity, messaging, observability, storage
from .registry import UnknownInputError, UnknownTypeError, Workshop, call, make

__all__ = [
    "UnknownInputError",
    "UnknownTypeError",
    "Workshop",
    "call",
    "compute",
    "gateway",
    "identity",
    "make",
    "messaging",
    "observability",
    "storage",
]
