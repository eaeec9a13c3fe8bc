"""Front doors for the tests, and what they look for in one."""

from collections.abc import Mapping

from components import FrontDoor

from .cases import DECIDER, planned
from .recording import METHOD, Plan, Values, component_plan

GUARDED: Mapping[str, object] = {"authorizer_function_arn": DECIDER}
POST_MESSAGES = "POST/messages"
"""The one method of a front door without routes."""


def door(**args: object) -> Plan:
    """Return what a front door with these arguments asks for."""
    return component_plan(FrontDoor, args)


def plain() -> Plan:
    """Return what a front door without arguments asks for."""
    return planned("front door")


def urns(plan: Plan, *roles: str) -> set[str]:
    """Return the URNs of some children."""
    return {plan[f"unit-{role}"].urn for role in roles}


def methods(plan: Plan) -> dict[str, Values]:
    """Return the inputs of each method by its name, ``POST/messages``."""
    return {each.name.removeprefix("unit-method-"): each.inputs for each in plan.of(METHOD)}
