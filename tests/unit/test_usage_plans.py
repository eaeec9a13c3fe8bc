from types import SimpleNamespace
from typing import Any, cast

import pulumi
import pulumi_aws as aws
import pytest

from components import usage_plans

from ..component.recording import Plan, plan_of

GOOD: list[dict[str, Any]] = [
    {"name": "free"},
    {"name": "free", "keys": ["acme", "globex"]},
    {"name": "free", "throttle_rate": 1, "throttle_burst": 100_000},
    {"name": "free", "quota_limit": 2_000_000_000},
    {"name": "free", "quota_limit": 1, "quota_period": "DAY", "quota_offset": 0},
    {"name": "free", "quota_limit": 1, "quota_period": "WEEK", "quota_offset": 6},
    {"name": "free", "quota_limit": 1, "quota_period": "MONTH", "quota_offset": 27},
    {"name": "free", "quota_limit": 1, "quota_offset": 27},
    {"name": "free", "keys": None, "quota_limit": None},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({"name": None}, "name"),
    *(({"name": name}, "name") for name in ("", "Free", "1st", "a b", "-a", "a" * 33, 5)),
    ({"name": "free", "key": ["acme"]}, "key"),
    ({"name": "free", "keys": "acme"}, "keys"),
    ({"name": "free", "keys": ["acme", "A"]}, "keys[1]"),
    ({"name": "free", "throttle_rate": 5}, "throttle_burst"),
    ({"name": "free", "throttle_burst": 5}, "throttle_rate"),
    ({"name": "free", "throttle_rate": 0, "throttle_burst": 1}, "throttle_rate"),
    ({"name": "free", "throttle_rate": 1, "throttle_burst": 100_001}, "throttle_burst"),
    ({"name": "free", "quota_limit": 0}, "quota_limit"),
    ({"name": "free", "quota_limit": 2_000_000_001}, "quota_limit"),
    ({"name": "free", "quota_limit": 1, "quota_period": "day"}, "quota_period"),
    ({"name": "free", "quota_limit": 1, "quota_period": "DAY", "quota_offset": 1}, "quota_offset"),
    ({"name": "free", "quota_limit": 1, "quota_period": "WEEK", "quota_offset": 7}, "quota_offset"),
    ({"name": "free", "quota_limit": 1, "quota_offset": 28}, "quota_offset"),
    ({"name": "free", "quota_limit": 1, "quota_offset": -1}, "quota_offset"),
    ({"name": "free", "quota_period": "DAY"}, "quota_period"),
    ({"name": "free", "quota_offset": 0}, "quota_offset"),
]


def wrong(*plans: object) -> list[str]:
    return [each.path for each in usage_plans.problems({"usage_plans": [*plans]})]


def test_without_plans_there_is_no_problem() -> None:
    assert not usage_plans.problems({})


def test_an_empty_list_of_plans_looks_as_if_keys_were_needed_and_is_refused() -> None:
    assert wrong() == ["usage_plans"]


@pytest.mark.parametrize("plan", GOOD)
def test_a_good_plan_has_no_problem(plan: dict[str, Any]) -> None:
    assert not wrong(plan)


@pytest.mark.parametrize(("plan", "path"), BAD)
def test_what_is_wrong_with_a_plan_is_named(plan: dict[str, Any], path: str) -> None:
    assert wrong({"name": "other"}, plan) == [f"usage_plans[1].{path}"]


def test_a_plan_is_a_map_in_a_list() -> None:
    assert wrong("free") == ["usage_plans[0]"]
    assert [each.path for each in usage_plans.problems({"usage_plans": {"name": "free"}})] == ["usage_plans"]


def test_plans_have_names_of_their_own() -> None:
    assert wrong({"name": "free"}, {"name": "paid"}, {"name": "free"}) == ["usage_plans[2].name"]


def test_a_key_is_in_one_plan_and_in_it_once() -> None:
    plans = (
        {"name": "free", "keys": ["acme", "initech"]},
        {"name": "paid", "keys": ["acme", "globex", "globex"]},
    )
    found = usage_plans.problems({"usage_plans": [*plans]})
    assert [each.value for each in found] == ["acme", "globex"]


def test_every_problem_of_every_plan_is_told_at_once() -> None:
    assert wrong({"name": "A"}, {"name": "b", "throttle_rate": 1}) == [
        "usage_plans[0].name",
        "usage_plans[1].throttle_burst",
    ]


STAGE = cast(aws.apigateway.Stage, SimpleNamespace(rest_api="a1b2c3d4e5", stage_name="v1"))


def planned(*plans: dict[str, Any]) -> Plan:
    """Return what is made of the plans of a front door."""

    def program() -> object:
        parent = pulumi.ComponentResource("sluice:index:FrontDoor", "door")
        return usage_plans.create("door", {"usage_plans": [*plans]}, STAGE, parent)

    return plan_of(program)


def test_plans_are_made_one_after_the_other() -> None:
    plan = planned({"name": "a"}, {"name": "b"}, {"name": "c"})
    made = [plan[f"door-plan-{name}"] for name in ("a", "b", "c")]
    waited_for = [each.dependencies & {other.urn for other in made} for each in made]
    assert waited_for == [set(), {made[0].urn}, {made[1].urn}]


def test_a_key_leaves_its_plan_before_it_is_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    # API Gateway refuses a key that is in two plans of one stage.
    asked: dict[str, pulumi.ResourceOptions] = {}
    make = aws.apigateway.UsagePlanKey

    def recorded(name: str, opts: pulumi.ResourceOptions, **inputs: Any) -> aws.apigateway.UsagePlanKey:
        asked[name] = opts
        return make(name, opts=opts, **inputs)

    monkeypatch.setattr(aws.apigateway, "UsagePlanKey", recorded)
    planned({"name": "a", "keys": ["acme"]}, {"name": "b", "keys": ["globex"]})
    assert {name: opts.delete_before_replace for name, opts in asked.items()} == {
        "door-plan-key-acme": True,
        "door-plan-key-globex": True,
    }
