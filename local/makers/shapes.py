"""Inputs with a structure of their own, as AWS's APIs want them."""

from collections.abc import Mapping
from typing import Any


def api_shape(value: Any, names: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - any structure
    """Return an input with every key as AWS's APIs write it: a capital first.

    Args:
        value: what the program gave.
        names: keys that AWS writes in another way.
    """
    known = names or {}
    if isinstance(value, Mapping):
        return {
            known.get(key, key[0].upper() + key[1:]): api_shape(inner, known)
            for key, inner in value.items()
            if inner is not None
        }
    if isinstance(value, list | tuple):
        return [api_shape(each, known) for each in value]
    return value
