import json
from collections.abc import Mapping

import pulumi
import pytest

from components import Authorizer, AuthorizerArgs
from components.authorizer import AuthorizerKind
from sluice import tokens

from .cases import DECIDER, DIGESTS, planned
from .recording import Plan, arn, component_plan, physical, plan_of, refused_plan

NONE: AuthorizerArgs = {"kind": AuthorizerKind.NONE}
FUNCTION: AuthorizerArgs = {"kind": AuthorizerKind.FUNCTION, "function_arn": DECIDER}
TOKEN: AuthorizerArgs = {"kind": AuthorizerKind.TOKEN, "tokens": DIGESTS}
OURS = physical("unit-function")
"""The name of the function that kind ``token`` makes."""


def archive(plan: Plan) -> Mapping[str, pulumi.Asset | pulumi.Archive]:
    found = plan["unit-function"].inputs["code"]
    assert isinstance(found, pulumi.AssetArchive)
    return found.assets


@pytest.mark.parametrize("case", ["authorizer none", "authorizer function"])
def test_a_kind_that_is_not_ours_makes_nothing(case: str) -> None:
    assert not planned(case).children


def test_a_function_is_passed_through() -> None:
    assert planned("authorizer function").result["function_arn"] == DECIDER


def test_the_token_function_is_ours_with_what_it_imports_and_no_more() -> None:
    plan = planned("authorizer token")
    function = plan["unit-function"].inputs
    assert function["handler"] == "sluice.handlers.token_authorizer.handler"
    assert set(archive(plan)) == {
        "sluice/__init__.py",
        "sluice/tokens.py",
        "sluice/handlers/__init__.py",
        "sluice/handlers/token_authorizer.py",
        "sluice/handlers/token_digests.json",
    }
    assert "layers" not in function or not function["layers"], "a layer would slow every cold start"


def test_the_digests_are_shipped_as_a_file() -> None:
    plan = planned("authorizer token")
    shipped = archive(plan)["sluice/handlers/token_digests.json"]
    assert isinstance(shipped, pulumi.StringAsset)
    assert json.loads(shipped.text) == DIGESTS
    assert "environment" not in plan["unit-function"].inputs, "30 digests fill a function's environment"


def test_the_same_tokens_give_the_same_archive_in_any_order() -> None:
    turned = component_plan(Authorizer, {**TOKEN, "tokens": dict(reversed(DIGESTS.items()))})
    first, second = (
        archive(plan)["sluice/handlers/token_digests.json"] for plan in (planned("authorizer token"), turned)
    )
    assert isinstance(first, pulumi.StringAsset)
    assert isinstance(second, pulumi.StringAsset)
    assert first.text == second.text


@pytest.mark.parametrize(
    "args",
    [
        {"kind": "token", "tokens": "TOKEN"},
        {"kind": "token", "tokens": {"ci": "TOKEN"}},
        {"kind": "token", "tokens": {"ci": "Bearer TOKEN"}},
        {"kind": "token", "tokens": {"ci": {"digest": "TOKEN"}}},
        {"kind": "none", "tokens": {"ci": "TOKEN"}},
        {"kind": "function", "function_arn": DECIDER, "tokens": {"ci": "TOKEN"}},
    ],
)
def test_a_token_in_place_of_a_digest_is_refused_and_not_repeated(args: dict[str, object]) -> None:
    token = tokens.mint()
    refusal, plan = refused_plan(Authorizer, json.loads(json.dumps(args).replace("TOKEN", token)))
    assert not plan.children
    assert token not in str(refusal), "an error is kept in the logs of whatever ran the program"


@pytest.mark.parametrize(
    ("args", "given"),
    [
        (NONE, {}),
        (FUNCTION, {"authorizer_function_arn": DECIDER, "authorizer_cache_ttl_seconds": 60}),
        (
            {**TOKEN, "cache_ttl_seconds": 0},
            {
                "authorizer_function_arn": arn("lambda", f"function:{OURS}"),
                "authorizer_cache_ttl_seconds": 0,
                "authorizer_token_pattern": tokens.BEARER,
                "log_principal": True,
            },
        ),
    ],
    ids=["none", "function", "token"],
)
def test_a_front_door_gets_what_the_kind_needs(args: AuthorizerArgs, given: dict[str, object]) -> None:
    assert plan_of(lambda: Authorizer("unit", args).front_door_args()).result == given


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (NONE, None),
        (FUNCTION, {"function": "decider"}),
        ({**FUNCTION, "function_arn": f"{DECIDER}:live"}, {"function": "decider"}),
        (TOKEN, {"function": OURS}),
    ],
    ids=["none", "function", "alias of a function", "token"],
)
def test_a_dashboard_finds_the_function_that_decides(
    args: AuthorizerArgs, names: dict[str, str] | None
) -> None:
    assert plan_of(lambda: Authorizer("unit", args).names()).result == names
