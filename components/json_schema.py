"""JSON schemas as API Gateway knows them: draft 4 ("Data models for REST APIs")."""

import json
from collections.abc import Iterable, Mapping

from .arguments import Problem

DRAFT = "http://json-schema.org/draft-04/schema#"
LARGEST = 400 * 1024
"""Bytes ("Quotas for configuring and running a REST API")."""
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
NEWER = (
    "const", "contains", "if", "then", "else", "propertyNames", "prefixItems", "minContains", "maxContains",
    "dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties",
    "$id", "$defs", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor",
)  # fmt: skip
"""Keywords that came after draft 4, which a validator of draft 4 passes over in silence."""
EXCLUSIVE = ("exclusiveMinimum", "exclusiveMaximum")
"""Truth values in draft 4, numbers since."""
NAMED = ("properties", "patternProperties", "definitions", "dependencies")
"""Keywords that hold schemas by names of the user's."""
INNER = ("items", "additionalItems", "additionalProperties", "not", "allOf", "anyOf", "oneOf")
"""Keywords that hold a schema, or a list of them."""
ANYTHING = {"type": [each for each in TYPES if each not in {"null", "integer"}]}
"""What a message can be: null has no text that could be sent."""


def problems(schema: object) -> Iterable[Problem]:
    """Report what is wrong with a schema, or would be passed over and so let everything through."""
    if schema is None:
        return
    if not isinstance(schema, dict):
        yield Problem("", schema, "a JSON schema: a map")
        return
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        yield Problem("", "(not shown)", "a JSON schema: maps, lists, texts, finite numbers, truth values")
        return
    if size > LARGEST:
        yield Problem("", f"{size} bytes", f"at most {LARGEST} bytes as JSON")
    if schema.get("$schema", DRAFT) != DRAFT:
        yield Problem(".$schema", schema["$schema"], DRAFT, "remove it")
    yield from _inside(schema, "")


def _inside(schema: object, path: str) -> Iterable[Problem]:
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from _inside(each, f"{path}[{index}]")
    elif isinstance(schema, dict):
        for key, value in schema.items():
            yield from _keyword(str(key), value, f"{path}.{key}")
    else:
        yield Problem(path, schema, "a map: in draft 4 a schema is nothing else")


def _keyword(key: str, value: object, path: str) -> Iterable[Problem]:
    if key in NEWER or (key in EXCLUSIVE and not isinstance(value, bool)):
        yield Problem(path, key, "draft 4 of JSON schema: API Gateway passes over this keyword")
    elif key == "type":
        given = value if isinstance(value, list) else [value]
        if not given or not all(each in TYPES for each in given):
            yield Problem(path, value, f"one of {', '.join(TYPES)}, or a list of them")
    elif key in NAMED and isinstance(value, dict):
        for name, inner in value.items():
            if not (key == "dependencies" and isinstance(inner, list)):
                yield from _inside(inner, f"{path}.{name}")
    elif key in INNER and not (key.startswith("additional") and isinstance(value, bool)):
        yield from _inside(value, path)


def references(schema: object, path: str = "") -> Iterable[tuple[str, str]]:
    """Find where a schema refers to another, and to which."""
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from references(each, f"{path}[{index}]")
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield f"{path}.$ref", value
            else:
                yield from references(value, f"{path}.{key}")


def list_of(schema: Mapping[str, object] | None, most: int) -> dict[str, object]:
    """Return the schema of a list of 1 to ``most`` of what a schema describes."""
    items = dict(ANYTHING if schema is None else schema)
    items.pop("$schema", None)
    # References are from the root of the whole schema.
    definitions = {"definitions": items.pop("definitions")} if "definitions" in items else {}
    return {"type": "array", "minItems": 1, "maxItems": most, "items": items, **definitions}
