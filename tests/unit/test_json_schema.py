from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft4Validator

from components import json_schema
from components.json_schema import DRAFT, LARGEST

from ..velocity import hostile

TYPES = ["array", "boolean", "integer", "null", "number", "object", "string"]
HOLDS_ONE = ["items", "additionalItems", "additionalProperties", "not"]
HOLDS_SEVERAL = ["items", "allOf", "anyOf", "oneOf"]
HOLDS_BY_NAME = ["properties", "patternProperties", "definitions", "dependencies"]
AFTER_DRAFT_4 = [
    *("const", "contains", "propertyNames", "$id"),
    *("if", "then", "else"),
    *("minContains", "maxContains", "dependentRequired", "dependentSchemas", "unevaluatedItems"),
    *("unevaluatedProperties", "$defs", "$anchor", "$recursiveRef", "$recursiveAnchor"),
    *("prefixItems", "$dynamicRef", "$dynamicAnchor"),
]
"""What the drafts 6, 7, 2019-09 and 2020-12 of JSON schema added, in this order."""
ENTRY = {"$ref": "#/definitions/entry"}


def wrong(schema: object) -> list[str]:
    """Return where a schema is wrong."""
    return [each.path for each in json_schema.problems(schema)]


def endless() -> dict[str, Any]:
    """Return a schema that holds itself."""
    schema: dict[str, Any] = {}
    schema["not"] = schema
    return schema


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


GOOD: list[dict[str, Any] | None] = [
    None,
    {},
    {"$schema": DRAFT, "type": "object", "required": ["a"]},
    {"type": TYPES},
    {"minimum": 1, "exclusiveMinimum": True, "maximum": 2, "exclusiveMaximum": False},
    {"additionalProperties": False, "additionalItems": True},
    {"additionalProperties": {"type": "string"}, "items": [{}, {"type": "null"}]},
    {"allOf": [{}, {"anyOf": [{}]}], "not": {"oneOf": [{}]}},
    {"dependencies": {"a": ["b", "c"], "d": {"required": ["e"]}}},
    # Names of the user's, and values, are no keywords.
    {"properties": {"const": {}, "if": {"type": "string"}, "exclusiveMinimum": {}, "type": {}, "$id": {}}},
    {"patternProperties": {"contains": {}}, "definitions": {"then": {}}, "dependencies": {"else": ["$defs"]}},
    {"enum": [{"const": 1}, {"type": "any"}], "default": {"if": 5}, "required": ["contains"]},
    {"description": "x" * (LARGEST - len('{"description": ""}'))},
]
NO_SCHEMAS: list[object] = [[], "{}", True, 5]
NO_JSON: list[object] = [float("nan"), float("inf"), {1, 2}, b"x", object]
NO_TYPES: list[object] = ["any", "Object", "", None, 5, [], ["string", "any"], {}]
BAD: list[tuple[object, str]] = [
    *((schema, "") for schema in NO_SCHEMAS),
    *(({"description": value}, "") for value in NO_JSON),
    (endless(), ""),
    (deep(20_000), ""),
    ({"description": "x" * LARGEST}, ""),
    ({"$schema": "http://json-schema.org/draft-07/schema#"}, ".$schema"),
    ({"$schema": DRAFT.removesuffix("#")}, ".$schema"),
    *(({keyword: {}}, f".{keyword}") for keyword in AFTER_DRAFT_4),
    *(({keyword: 5}, f".{keyword}") for keyword in ("exclusiveMinimum", "exclusiveMaximum")),
    *(({"type": value}, ".type") for value in NO_TYPES),
    # In each place where a schema can be.
    *(({keyword: {"if": {}}}, f".{keyword}.if") for keyword in HOLDS_ONE),
    *(({keyword: [{}, {"if": {}}]}, f".{keyword}[1].if") for keyword in HOLDS_SEVERAL),
    *(({keyword: {"a": {"if": {}}}}, f".{keyword}.a.if") for keyword in HOLDS_BY_NAME),
    ({"properties": {"a": {"items": {"allOf": [{"const": 1}]}}}}, ".properties.a.items.allOf[0].const"),
    # Draft 6 knows true and false as schemas, draft 4 does not.
    *(({keyword: True}, f".{keyword}") for keyword in ("items", "not")),
    ({"properties": {"a": True}}, ".properties.a"),
    ({"properties": {"a": ["b"]}}, ".properties.a[0]"),
    ({"definitions": {"a": "string"}}, ".definitions.a"),
    ({"anyOf": [{}, False]}, ".anyOf[1]"),
]


@pytest.mark.parametrize("schema", GOOD)
def test_a_good_schema_has_no_problem(schema: dict[str, Any] | None) -> None:
    assert not wrong(schema)
    Draft4Validator.check_schema({} if schema is None else schema)


@pytest.mark.parametrize(
    ("schema", "path"), BAD, ids=[f"{index}-{path}" for index, (_, path) in enumerate(BAD)]
)
def test_what_would_let_everything_through_is_named_by_its_place(schema: object, path: str) -> None:
    assert wrong(schema) == [path]


def test_every_problem_of_a_schema_is_told_at_once() -> None:
    schema = {"$schema": "x", "if": {}, "properties": {"a": {"const": 1}, "b": {"type": "text"}}, "not": 5}
    assert wrong(schema) == [".$schema", ".if", ".properties.a.const", ".properties.b.type", ".not"]


def test_a_schema_that_cannot_be_shown_is_not() -> None:
    (problem,) = json_schema.problems(endless())
    assert problem.value == "(not shown)"


@given(hostile.values)
def test_whatever_is_given_for_a_schema_is_looked_at_to_its_end(value: Any) -> None:
    assert all(isinstance(each, str) for each in wrong(value))
    assert all(
        isinstance(each, str) for each in wrong({"allOf": [value], "properties": value, "type": value})
    )


def test_references_are_found_wherever_they_are() -> None:
    schema = {
        "$ref": "#",
        "items": [{"$ref": "#/definitions/a"}],
        "properties": {"b": {"not": {"$ref": "https://example.com/b"}}, "$ref": {"type": "string"}},
    }
    assert [*json_schema.references(schema)] == [
        (".$ref", "#"),
        (".items[0].$ref", "#/definitions/a"),
        (".properties.b.not.$ref", "https://example.com/b"),
    ]
    assert not [*json_schema.references(None)]


# The schema of a batch.


def accepts(schema: dict[str, Any] | None, most: int = 3) -> Draft4Validator:
    whole = json_schema.list_of(schema, most)
    Draft4Validator.check_schema(whole)
    return Draft4Validator(whole)


@pytest.mark.parametrize("schema", [None, {}, {"type": ["object", "string", "number"]}])
def test_a_list_holds_one_to_so_many(schema: dict[str, Any] | None) -> None:
    batch = accepts(schema)
    assert [count for count in range(6) if batch.is_valid([{}] * count)] == [1, 2, 3]
    assert not batch.is_valid({})


def test_each_of_a_list_fits_the_schema_of_one() -> None:
    batch = accepts({"type": "object", "required": ["a"]})
    assert batch.is_valid([{"a": 1}, {"a": 2}])
    assert not batch.is_valid([{"a": 1}, {"b": 2}])


def test_without_a_schema_one_of_a_list_is_anything_but_null() -> None:
    batch = accepts(None, 10)
    assert batch.is_valid([{}, [], "", 0, 1.5, False])
    assert not batch.is_valid([None])


def test_what_a_schema_refers_to_is_where_it_was_in_the_schema_of_a_list() -> None:
    schema = {
        "properties": {"next": ENTRY},
        "definitions": {"entry": {"type": "integer"}, "other": {"items": ENTRY}},
    }
    batch = accepts(schema)
    assert batch.is_valid([{"next": 7}])
    assert not batch.is_valid([{"next": "7"}])
    assert json_schema.list_of(schema, 3)["definitions"] == schema["definitions"]


def test_the_draft_of_one_is_not_said_again_of_the_list() -> None:
    assert json_schema.list_of({"$schema": DRAFT, "type": "object"}, 3)["items"] == {"type": "object"}


def test_the_schema_of_one_stays_as_it_was() -> None:
    schema = {"$schema": DRAFT, "definitions": {"a": {}}}
    json_schema.list_of(schema, 3)
    assert schema == {"$schema": DRAFT, "definitions": {"a": {}}}
    assert "null" not in json_schema.ANYTHING["type"]
