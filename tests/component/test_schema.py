import functools
import json
import os
import re
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import pytest
from pulumi.provider.experimental.component import ComponentProvider

import components
import sluice

from .cases import CASES, ROOT, planned
from .recording import Plan, Values, plan_of

SNAPSHOT = Path(__file__).with_name("schema.json")
RENEW = "SLUICE_WRITE_SCHEMA=1 .venv/bin/python -m pytest tests/component/test_schema.py"


@functools.cache
def hosted() -> tuple[list[type[pulumi.ComponentResource]], str, str]:
    """Return what ``components/`` hosts when Pulumi runs it: the classes, the package and its version."""
    with (
        mock.patch("pulumi.provider.experimental.component_provider_host") as host,
        mock.patch.object(sys, "path", list(sys.path)),
    ):
        runpy.run_path(str(ROOT / "components" / "__main__.py"), run_name="__main__")
    (classes,), named = host.call_args
    return classes, named["name"], named["version"]


@functools.cache
def provider() -> ComponentProvider:
    classes, name, _ = hosted()
    return ComponentProvider(classes, name, None, "0.0.0")


@functools.cache
def schema() -> Values:
    found: Values = json.loads(provider().schema or "")
    return found


def properties() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every property of the schema with its place."""
    holders = {**schema()["resources"], **schema().get("types", {})}
    for token, holder in holders.items():
        for group in ("inputProperties", "properties"):
            for name, each in holder.get(group, {}).items():
                yield f"{token} {group} {name}", each


def shapes(schema_part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a property's type and those of its items."""
    yield schema_part
    for key in ("items", "additionalProperties"):
        if isinstance(schema_part.get(key), dict):
            yield from shapes(schema_part[key])


def camel(value: Any) -> Any:
    """Return arguments as a program in another language sends them: camelCase, every number a float."""
    if isinstance(value, dict):
        return {re.sub("_([a-z])", lambda match: match[1].upper(), k): camel(v) for k, v in value.items()}
    if isinstance(value, list):
        return [camel(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def inputs(plan: Plan) -> dict[str, Values]:
    """Return the inputs of each resource, of its archive what was written for it."""
    return {each.name: {key: written(value) for key, value in each.inputs.items()} for each in plan.children}


def written(value: Any) -> Any:
    if isinstance(value, pulumi.AssetArchive):
        texts = {
            path: each.text for path, each in value.assets.items() if isinstance(each, pulumi.StringAsset)
        }
        return set(value.assets), texts
    return value.path if isinstance(value, pulumi.FileArchive) else value


def test_every_component_is_hosted_under_the_name_of_its_type_token() -> None:
    classes, name, version = hosted()
    exported = [getattr(components, each) for each in components.__all__]
    assert set(classes) == {
        each for each in exported if isinstance(each, type) and issubclass(each, pulumi.ComponentResource)
    }
    assert (name, version) == ("sluice", sluice.__version__)


def test_the_schema_for_other_languages_is_the_committed_one() -> None:
    if os.environ.get("SLUICE_WRITE_SCHEMA"):
        SNAPSHOT.write_text(json.dumps(schema(), indent=2, sort_keys=True) + "\n")
    assert schema() == json.loads(SNAPSHOT.read_text()), (
        f"The components' public face changed. If that is meant, renew the snapshot: {RENEW}"
    )


def test_every_property_is_described() -> None:
    assert [place for place, each in properties() if not each.get("description")] == []


def test_every_component_and_type_is_described() -> None:
    holders = {**schema()["resources"], **schema()["types"]}
    assert [token for token, each in holders.items() if not each.get("description")] == []


def test_no_property_is_of_a_type_that_a_schema_cannot_express_but_a_json_schema() -> None:
    loose = [
        place
        for place, each in properties()
        for shape in shapes(each)
        if "oneOf" in shape or shape.get("$ref", "").endswith("/Any") or not ({"type", "$ref"} & shape.keys())
    ]
    assert loose == [
        "sluice:index:Consumer inputProperties filters",
        "sluice:index:RouteArgs properties schema",
    ], "what is in them is any JSON"


def test_every_argument_says_its_default_unless_it_is_required() -> None:
    wrong = {
        f"{token} {name}": each["description"]
        for token, resource in schema()["resources"].items()
        for name, each in resource["inputProperties"].items()
        if ("Default:" in each["description"]) == (name in resource.get("requiredInputs", []))
    }
    assert wrong == {}


@pytest.mark.parametrize("case", CASES)
def test_a_host_makes_the_same_resources_as_a_python_program(case: str) -> None:
    component = CASES[case].component

    def program() -> Values:
        token = f"sluice:index:{getattr(component, '__name__', '')}"
        return dict(provider().construct("unit", token, camel(dict(CASES[case].args))).state)

    plan = plan_of(program)
    assert inputs(plan) == inputs(planned(case)), "its floats must not reach policies, templates or variables"
    assert plan.result == camel(planned(case).result)
