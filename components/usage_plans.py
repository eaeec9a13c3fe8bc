"""Usage plans: API keys, and how much each may ask for."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict, cast

import pulumi
import pulumi_aws as aws

from . import arguments, naming
from .arguments import Problem
from .routes import MOST_REQUESTS

PERIODS = ("DAY", "WEEK", "MONTH")
PERIOD = "MONTH"
LATEST_OFFSET = {"DAY": 0, "WEEK": 6, "MONTH": 27}
"""The last day on which a period may begin ("QuotaSettings", API Gateway API reference)."""
LARGEST_QUOTA = 2_000_000_000


class UsagePlanArgs(TypedDict):
    """What the holders of some API keys may ask for.

    API Gateway counts by key and at its best effort: a plan is for customers, not for attackers ("Usage plans
    and API keys for REST APIs").
    """

    name: str
    """What the plan is called: lower-case letters, digits and -."""
    keys: NotRequired[list[str]]
    """The names of its API keys, which are made; their values are AWS's. Default: none."""
    throttle_rate: NotRequired[int]
    """Requests per second for each key, 1 to 100,000. Default: the stage's."""
    throttle_burst: NotRequired[int]
    """Requests at once beyond that rate for each key, 1 to 100,000. Default: the stage's."""
    quota_limit: NotRequired[int]
    """Requests in a period for each key, 1 to 2,000,000,000. Default: no quota."""
    quota_period: NotRequired[str]
    """``DAY``, ``WEEK`` or ``MONTH``, from midnight UTC. Default: ``MONTH``, where there is a quota."""
    quota_offset: NotRequired[int]
    """On which day a period begins, counted from its first: 0 for days, to 6 (Sunday is 0) for weeks, to 27
    for months. Default: 0."""


def problems(args: Mapping[str, object]) -> list[Problem]:
    """Return everything that is wrong with the plans of a front door's arguments."""
    found = [
        *arguments.each_of(args, "usage_plans", UsagePlanArgs, _plan_problems),
        *arguments.distinct(args, "usage_plans", "name"),
        *arguments.filled(args, "usage_plans", "without a plan nobody needs a key"),
    ]
    if not found:
        keys = [key for plan in _plans(args) for key in plan.get("keys", [])]
        found += [
            Problem("usage_plans", each, "each key's name once: a key of one API is in one plan")
            for each in sorted({key for key in keys if keys.count(key) > 1})
        ]
    return found


def _plan_problems(plan: Mapping[str, object]) -> list[Problem]:
    period = plan.get("quota_period", PERIOD)
    found = [
        *arguments.text(plan, "name", arguments.NAME, arguments.NAME_ALLOWED),
        *arguments.texts(plan, "keys", arguments.NAME, arguments.NAME_ALLOWED),
        *arguments.between(plan, "throttle_rate", 1, MOST_REQUESTS, "requests per second"),
        *arguments.between(plan, "throttle_burst", 1, MOST_REQUESTS, "requests"),
        *arguments.together(plan, "throttle_rate", "throttle_burst"),
        *arguments.between(plan, "quota_limit", 1, LARGEST_QUOTA, "requests"),
        *arguments.one_of(plan, "quota_period", PERIODS),
        *arguments.between(plan, "quota_offset", 0, LATEST_OFFSET.get(str(period), 0), "days"),
    ]
    if "quota_limit" not in plan:
        found += arguments.without(plan, ("quota_period", "quota_offset"), "there is no quota_limit")
    return found


def _plans(args: Mapping[str, object]) -> list[UsagePlanArgs]:
    return [
        cast(UsagePlanArgs, arguments.present(each))
        for each in cast(list[dict[str, object]], args.get("usage_plans", []))
    ]


def create(
    name: str, args: Mapping[str, object], stage: "aws.apigateway.Stage", parent: pulumi.Resource
) -> tuple[dict[str, pulumi.Output[str]], dict[str, pulumi.Output[str]]]:
    """Make the plans and their keys, one plan after the other; return the ids of both by their names.

    The children are ``<name>-plan-<plan>``, ``<name>-key-<key>`` and ``<name>-plan-key-<key>``.
    """
    # "Amazon API Gateway quotas": the control plane takes few changes of plans at once.
    before: list[pulumi.Resource] = []
    plans: dict[str, pulumi.Output[str]] = {}
    keys: dict[str, pulumi.Output[str]] = {}
    for given in _plans(args):
        plan = aws.apigateway.UsagePlan(
            f"{name}-plan-{given['name']}",
            name=naming.stack_wide(f"{name}-{given['name']}"),
            api_stages=[{"api_id": stage.rest_api, "stage": stage.stage_name}],
            throttle_settings=_throttle(given),
            quota_settings=_quota(given),
            opts=pulumi.ResourceOptions(parent=parent, depends_on=before),
        )
        before = [plan]
        plans[given["name"]] = plan.id
        for key_name in given.get("keys", []):
            key = aws.apigateway.ApiKey(
                f"{name}-key-{key_name}",
                name=naming.stack_wide(f"{name}-{key_name}"),
                opts=pulumi.ResourceOptions(parent=parent, additional_secret_outputs=["value"]),
            )
            keys[key_name] = key.id
            aws.apigateway.UsagePlanKey(
                f"{name}-plan-key-{key_name}",
                key_id=key.id,
                key_type="API_KEY",
                usage_plan_id=plan.id,
                # A key that moves to another plan of the same stage must leave the first before.
                opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
            )
    return plans, keys


def _throttle(plan: UsagePlanArgs) -> "aws.apigateway.UsagePlanThrottleSettingsArgsDict | None":
    if "throttle_rate" not in plan:
        return None
    return {"rate_limit": plan["throttle_rate"], "burst_limit": plan["throttle_burst"]}


def _quota(plan: UsagePlanArgs) -> "aws.apigateway.UsagePlanQuotaSettingsArgsDict | None":
    if "quota_limit" not in plan:
        return None
    return {
        "limit": plan["quota_limit"],
        "period": plan.get("quota_period", PERIOD),
        "offset": plan.get("quota_offset", 0),
    }
