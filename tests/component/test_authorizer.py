import json
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest

from components import Authorizer, AuthorizerArgs, Dashboard, FrontDoor, Limiter
from components.authorizer_args import JWT_PATTERN, Authorization
from components.monitoring import METRIC_NAMESPACE
from handlers import authorizing
from sluice import tokens

from .cases import (
    CALLERS,
    CASES,
    CERTIFIED,
    CI,
    DECIDER,
    EXISTING_API,
    ISSUER,
    JWT,
    KEY,
    OLD_WEB,
    POOLS,
    PROXY,
    SECRETS,
    SHARED,
    TOKENS,
    TOPIC,
    WEB,
    planned,
)
from .doors import methods
from .recording import (
    ALARM,
    AUTHORIZER,
    PERMISSION,
    Plan,
    Values,
    arn,
    component_plan,
    is_unknown,
    physical,
    plan_of,
    refused_plan,
    unknown,
)

NONE: Mapping[str, Any] = {"kind": "none"}
FUNCTION_ARGS: Mapping[str, Any] = {"kind": "function", "function_arn": DECIDER}
TOKEN: Mapping[str, Any] = {"kind": "token", "tokens": TOKENS}
COGNITO: Mapping[str, Any] = {"kind": "cognito", "user_pool_arns": POOLS}
IAM: Mapping[str, Any] = {"kind": "iam"}
KINDS = {
    "none": NONE,
    "function": FUNCTION_ARGS,
    "token": TOKEN,
    "jwt": JWT,
    "cognito": COGNITO,
    "iam": IAM,
}
OURS = physical("unit-function")
"""The name of the function that kinds ``token`` and ``jwt`` make."""
SETTINGS = f"sluice/handlers/{authorizing.SETTINGS_FILE}"
FULL = "authorizer jwt with everything"


def authorizer(args: Mapping[str, Any], name: str = "unit") -> Authorizer:
    given: Any = args
    return Authorizer(name, given)


def archive(plan: Plan) -> Mapping[str, pulumi.Asset | pulumi.Archive]:
    found = plan["unit-function"].inputs["code"]
    assert isinstance(found, pulumi.AssetArchive)
    return found.assets


def shipped(plan: Plan) -> Values:
    """Return the settings that the function finds in its archive."""
    settings = archive(plan)[SETTINGS]
    assert isinstance(settings, pulumi.StringAsset)
    found: Values = json.loads(settings.text)
    return found


def flowing(args: Any, into: Callable[[Any], pulumi.Output[Any]], *keys: str) -> Any:
    """Return arguments with an output in the place of each value of these keys, or of each in its list."""
    if not isinstance(args, dict):
        return args
    return {
        key: flowing(value, into, *keys)
        if key not in keys
        else [into(each) for each in value]
        if isinstance(value, list)
        else into(value)
        for key, value in args.items()
    }


def yet_to_be(_value: object) -> pulumi.Output[Any]:
    """Return an output in the place of a value that a preview cannot know."""
    return unknown()


@pytest.mark.parametrize("kind", ["none", "function", "cognito", "iam"])
def test_a_kind_whose_function_is_not_ours_makes_nothing(kind: str) -> None:
    for case in {f"authorizer {kind}", f"authorizer {kind} with everything"} & CASES.keys():
        assert not planned(case).children


def test_a_function_is_passed_through() -> None:
    assert planned("authorizer function").result["function_arn"] == DECIDER


@pytest.mark.parametrize(
    ("kind", "modules"),
    [("token", {"token_authorizer"}), ("jwt", {"jwt_authorizer", "key_sets"})],
)
@pytest.mark.parametrize("how", ["", " with everything"])
def test_our_function_is_shipped_with_what_it_imports_and_no_more(
    kind: str, modules: set[str], how: str
) -> None:
    plan = planned(f"authorizer {kind}{how}")
    assert plan["unit-function"].inputs["handler"] == f"sluice.handlers.{kind}_authorizer.handler"
    assert set(archive(plan)) == {
        "sluice/__init__.py",
        "sluice/tokens.py",
        SETTINGS,
        *(f"sluice/handlers/{each}.py" for each in ("__init__", "authorizing", "emf", *modules)),
    }


def test_the_function_reads_its_settings_where_they_are_shipped() -> None:
    shared = archive(planned("authorizer token"))["sluice/handlers/authorizing.py"]
    assert isinstance(shared, pulumi.FileAsset)
    assert shared.path == authorizing.__file__, "it looks for them beside itself"


def test_only_what_checks_signatures_has_packages() -> None:
    assert not planned("authorizer token")["unit-function"].inputs.get("layers"), "each slows a cold start"
    plan = planned("authorizer jwt")
    assert plan["unit-function"].inputs["layers"] == [plan["unit-layer"].outputs["arn"]]


@pytest.mark.parametrize(
    ("case", "architecture"), [("authorizer jwt", "x86_64"), (FULL, "arm64")], ids=["default", "asked"]
)
def test_the_packages_are_for_the_function_s_own_machine(case: str, architecture: str) -> None:
    plan = planned(case)
    layer, function = plan["unit-layer"].inputs, plan["unit-function"].inputs
    assert layer["compatibleArchitectures"] == function["architectures"] == [architecture]
    assert layer["compatibleRuntimes"] == [function["runtime"]]
    assert layer["layerName"] == "sluice-test-unit-packages"


@pytest.mark.parametrize(
    ("case", "seconds", "megabytes"),
    [("authorizer token", 5, 256), ("authorizer jwt", 10, 512)],
)
def test_a_function_that_asks_an_issuer_has_more_time_and_more_memory(
    case: str, seconds: int, megabytes: int
) -> None:
    function = planned(case)["unit-function"].inputs
    assert (function["timeout"], function["memorySize"]) == (seconds, megabytes)


@pytest.mark.parametrize("case", ["authorizer token", "authorizer token with everything", FULL])
def test_the_function_s_variables_say_where_its_metrics_are_and_hold_nothing_else(case: str) -> None:
    variables = planned(case)["unit-function"].inputs["environment"]["variables"]
    assert variables == {"SLUICE_METRIC_NAMESPACE": METRIC_NAMESPACE}


def test_lambda_s_own_lines_are_not_logged_for_each_decision() -> None:
    assert planned("authorizer token")["unit-function"].inputs["loggingConfig"]["systemLogLevel"] == "WARN"


def test_tokens_are_shipped_as_digests_with_their_ends() -> None:
    assert shipped(planned("authorizer token")) == {
        "proxy": None,
        "tokens": [
            {"name": "ci", "sha256": CI, "expires": None},
            {"name": "web", "sha256": WEB, "expires": None},
            {"name": "web", "sha256": OLD_WEB, "expires": 1_806_444_000},
        ],
    }


def test_what_a_token_has_to_be_is_shipped_with_its_defaults() -> None:
    assert shipped(planned("authorizer jwt")) == {
        "proxy": None,
        "issuer": ISSUER,
        "jwks_uri": None,
        "audiences": ["orders"],
        "scopes": [],
        "algorithms": ["RS256", "ES256", "EdDSA"],
        "leeway_seconds": 30,
        "key_max_age_seconds": 3600,
        "required_claims": {},
        "principal_claim": "sub",
        "claims": {},
    }


def test_what_a_token_has_to_be_is_shipped_as_the_arguments_say() -> None:
    assert shipped(planned(FULL)) == {
        "proxy": {
            "address_header": "x-client-ip",
            "secret_header": "x-edge",
            "secrets": [tokens.digest(each) for each in SECRETS],
        },
        "issuer": ISSUER,
        "jwks_uri": f"{ISSUER}/keys?v=2",
        "audiences": ["orders", "https://orders.example.com"],
        "scopes": ["orders:write"],
        "algorithms": ["ES256"],
        "leeway_seconds": 0,
        "key_max_age_seconds": 600,
        "required_claims": {"azp": "shop"},
        "principal_claim": "client_id",
        "claims": {"tenant": "https://example.com/tenant"},
    }


def test_the_proxy_s_secrets_are_shipped_as_digests_under_names_that_are_looked_up() -> None:
    assert shipped(planned("authorizer token with everything"))["proxy"] == {
        "address_header": "x-client-ip",
        "secret_header": "x-origin-secret",
        "secrets": [tokens.digest(each) for each in SECRETS],
    }, "a header's name comes in any case"


@pytest.mark.parametrize("args", [TOKEN, JWT], ids=["token", "jwt"])
@pytest.mark.parametrize(
    "given", [str, pulumi.Output.from_input, pulumi.Output.secret], ids=["text", "output", "secret"]
)
def test_no_secret_of_the_proxy_is_in_anything_that_is_made(
    args: Mapping[str, Any], given: Callable[[Any], Any]
) -> None:
    plan = plan_of(lambda: authorizer(flowing({**args, **SHARED, "proxy": PROXY}, given, "secrets")))
    assert shipped(plan)["proxy"]["secrets"] == [tokens.digest(each) for each in SECRETS]
    assert [plan.showing(each) for each in SECRETS] == [[], []]
    assert "code" not in plan["unit-function"].secrets, "a preview would not tell that the code changed"


def test_the_same_arguments_give_the_same_settings_in_any_order() -> None:
    def text(args: Mapping[str, Any]) -> str:
        settings = archive(component_plan(Authorizer, args))[SETTINGS]
        assert isinstance(settings, pulumi.StringAsset)
        return settings.text

    claims = {"tenant": "tid", "plan": "plan"}
    turned = {"claims": dict(reversed(claims.items())), **dict(reversed([*JWT.items()]))}
    assert text({**JWT, "claims": claims}) == text(turned)


@pytest.mark.parametrize(
    "args",
    [
        {"kind": "token", "tokens": "TOKEN"},
        {"kind": "token", "tokens": {"ci": "TOKEN"}},
        {"kind": "token", "tokens": ["TOKEN"]},
        {"kind": "token", "tokens": [{"name": "ci", "sha256": "TOKEN"}]},
        {"kind": "token", "tokens": [{"name": "ci", "sha256": "Bearer TOKEN"}]},
        {"kind": "token", "tokens": [{"name": "ci", "sha256": {"digest": "TOKEN"}}]},
        {"kind": "token", "tokens": [{"name": "ci", "token": "TOKEN"}]},
        {"kind": "token", "tokens": [{"name": "TOKEN", "sha256": CI}]},
        {"kind": "token", "tokens": [{"name": "ci", "sha256": CI, "expires": "TOKEN"}]},
        {"kind": "none", "tokens": [{"name": "ci", "sha256": "TOKEN"}]},
        {"kind": "function", "function_arn": DECIDER, "tokens": ["TOKEN"]},
        {**JWT, "audiences": ["a TOKEN"]},
        {"kind": "TOKEN"},
    ],
)
def test_a_token_in_place_of_something_else_is_refused_and_not_repeated(args: dict[str, object]) -> None:
    token = tokens.mint()
    refusal, plan = refused_plan(Authorizer, json.loads(json.dumps(args).replace("TOKEN", token)))
    assert not plan.children
    assert token not in str(refusal), "an error is kept in the logs of whatever ran the program"


@pytest.mark.parametrize(
    "args",
    [
        {**TOKEN, "proxy": {**PROXY, "secrets": "SECRET"}},
        {**TOKEN, "proxy": {**PROXY, "secrets": ["SECRET", "short"]}},
        {**TOKEN, "proxy": {**PROXY, "secrets": ["SECRET", "SECRET with a space"]}},
        {**TOKEN, "proxy": {**PROXY, "secrets": ["SECRET"] * 3}},
        {**TOKEN, "proxy": {**PROXY, "secrets": {"SECRET": "SECRET"}}},
        {**TOKEN, "proxy": {**PROXY, "secret": "SECRET"}},
        {**TOKEN, "proxy": {"address_header": "X-Client-Ip", "secret": "SECRET"}},
        {**TOKEN, "proxy": {**PROXY, "secrets": ["SECRET"], "address_header": "Host"}},
        {**TOKEN, "proxy": "SECRET"},
        {**TOKEN, "proxy": ["SECRET"]},
        *(
            {**KINDS[each], "proxy": {**PROXY, "secrets": ["SECRET"]}}
            for each in KINDS.keys() - {"token", "jwt"}
        ),
    ],
)
def test_a_proxy_s_secret_is_not_repeated_where_something_is_wrong(args: dict[str, object]) -> None:
    refusal, plan = refused_plan(Authorizer, json.loads(json.dumps(args).replace("SECRET", SECRETS[0])))
    assert not plan.children
    assert SECRETS[0] not in str(refusal)


WITH_A_FUNCTION = {"function", "token", "jwt"}
OF_KINDS: list[tuple[str, object, set[str]]] = [
    ("tokens", TOKENS, {"token"}),
    ("function_arn", DECIDER, {"function"}),
    ("identity_sources", ["header.X-Tenant"], {"function"}),
    ("issuer", ISSUER, {"jwt"}),
    ("jwks_uri", f"{ISSUER}/keys", {"jwt"}),
    ("audiences", ["orders"], {"jwt"}),
    ("algorithms", ["ES256"], {"jwt"}),
    ("leeway_seconds", 5, {"jwt"}),
    ("key_max_age_seconds", 60, {"jwt"}),
    ("required_claims", {"token_use": "access"}, {"jwt"}),
    ("principal_claim", "client_id", {"jwt"}),
    ("claims", {"tenant": "tid"}, {"jwt"}),
    ("architecture", "arm64", {"jwt"}),
    ("scopes", ["orders/write"], {"jwt", "cognito"}),
    ("user_pool_arns", POOLS, {"cognito"}),
    ("callers", CALLERS, {"iam"}),
    ("cache_ttl_seconds", 30, WITH_A_FUNCTION),
    ("proxy", PROXY, {"token", "jwt"}),
]


def test_every_argument_that_not_all_kinds_take_is_looked_at_here() -> None:
    everywhere = {"kind", "kms_key_arn", "log_retention_days", "alarm_topic_arn"}
    assert {key for key, _, _ in OF_KINDS} | everywhere == set(AuthorizerArgs.__annotations__)


@pytest.mark.parametrize(("key", "value", "kinds"), OF_KINDS, ids=[key for key, _, _ in OF_KINDS])
def test_what_a_kind_cannot_use_is_refused_before_anything_exists(
    key: str, value: object, kinds: set[str]
) -> None:
    for kind in KINDS.keys() - kinds:
        refusal, plan = refused_plan(Authorizer, {**KINDS[kind], key: value})
        (problem,) = refusal.problems
        assert (problem.path, problem.remedy) == (key, "remove it"), kind
        assert all(repr(each) in problem.allowed for each in kinds), "it says which kinds could"
        assert not plan.children


@pytest.mark.parametrize(
    ("args", "missing"),
    [
        ({"kind": "token"}, ["tokens"]),
        ({"kind": "token", "tokens": []}, ["tokens"]),
        ({"kind": "function"}, ["function_arn"]),
        ({"kind": "jwt"}, ["issuer", "audiences"]),
        ({**JWT, "audiences": []}, ["audiences"]),
        ({"kind": "cognito"}, ["user_pool_arns"]),
        ({"kind": "cognito", "user_pool_arns": []}, ["user_pool_arns"]),
        ({}, ["kind"]),
    ],
    ids=json.dumps,
)
def test_what_a_kind_cannot_do_without_is_missed_once(args: Mapping[str, Any], missing: list[str]) -> None:
    refusal, plan = refused_plan(Authorizer, args)
    assert [each.path for each in refusal.problems] == missing
    assert not plan.children


OURS_ARN = arn("lambda", f"function:{OURS}")
GIVEN: dict[str, tuple[Mapping[str, Any], Mapping[str, object]]] = {
    "none": (NONE, {}),
    "function": (FUNCTION_ARGS, {"authorizer_function_arn": DECIDER, "authorizer_cache_ttl_seconds": 60}),
    "function that depends on more": (
        {**FUNCTION_ARGS, "identity_sources": ["header.X-Tenant"], "cache_ttl_seconds": 5},
        {
            "authorizer_function_arn": DECIDER,
            "authorizer_cache_ttl_seconds": 5,
            "authorizer_identity_sources": ["header.X-Tenant"],
        },
    ),
    "token": (
        {**TOKEN, "cache_ttl_seconds": 0},
        {
            "authorizer_function_arn": OURS_ARN,
            "authorizer_cache_ttl_seconds": 0,
            "authorizer_token_pattern": tokens.BEARER,
            "log_principal": True,
        },
    ),
    "token behind a proxy": (
        {**TOKEN, "proxy": PROXY},
        {
            "authorizer_function_arn": OURS_ARN,
            "authorizer_cache_ttl_seconds": 60,
            "log_principal": True,
            "proxy": PROXY,
        },
    ),
    "jwt": (
        JWT,
        {
            "authorizer_function_arn": OURS_ARN,
            "authorizer_cache_ttl_seconds": 60,
            "authorizer_token_pattern": JWT_PATTERN,
            "log_principal": True,
        },
    ),
    "jwt behind a proxy": (
        {**JWT, "proxy": PROXY, "scopes": ["orders/write"]},
        {
            "authorizer_function_arn": OURS_ARN,
            "authorizer_cache_ttl_seconds": 60,
            "log_principal": True,
            "proxy": PROXY,
        },
    ),
    "cognito": (
        COGNITO,
        {"authorizer_user_pool_arns": POOLS, "authorizer_scopes": [], "log_principal": True},
    ),
    "cognito with scopes": (
        {**COGNITO, "scopes": ["orders/write"]},
        {"authorizer_user_pool_arns": POOLS, "authorizer_scopes": ["orders/write"], "log_principal": True},
    ),
    "iam": (IAM, {"iam_authorization": True, "log_principal": True}),
    "iam with callers": (
        {**IAM, "callers": CALLERS},
        {"iam_authorization": True, "iam_callers": CALLERS, "log_principal": True},
    ),
}


@pytest.mark.parametrize(("args", "given"), GIVEN.values(), ids=GIVEN)
def test_a_front_door_gets_what_the_kind_needs(args: Mapping[str, Any], given: Mapping[str, object]) -> None:
    found = plan_of(lambda: authorizer(args).front_door_args()).result
    assert found.keys() <= set(Authorization.__annotations__)
    assert {key: value for key, value in found.items() if value != []} == {
        key: value for key, value in given.items() if value != []
    }


def guarded(args: Mapping[str, Any], **door: Any) -> FrontDoor:
    """Return a front door that an authorizer guards."""
    given: Any = {**door, **authorizer(args, "guard").front_door_args()}
    return FrontDoor("unit", given)


ON_METHODS = {
    "none": "NONE",
    "function": "CUSTOM",
    "token": "CUSTOM",
    "jwt": "CUSTOM",
    "cognito": "COGNITO_USER_POOLS",
    "iam": "AWS_IAM",
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_guards_what_takes_messages_and_what_is_read_and_nothing_else(kind: str) -> None:
    reads = [{"path": "status", "url": "https://backend.example.com/status"}]
    door = {"reads": reads, "health_path": "health", "cors_origins": ["https://shop.example.com"]}
    plan = plan_of(lambda: guarded(KINDS[kind], **door))
    assert {name: each["authorization"] for name, each in methods(plan).items()} == {
        "POST/messages": ON_METHODS[kind],
        "GET/status": ON_METHODS[kind],
        "GET/health": "NONE",
        "OPTIONS/messages": "NONE",
        "OPTIONS/status": "NONE",
        "OPTIONS/health": "NONE",
    }
    made = {each.outputs["id"] for each in plan.of(AUTHORIZER)}
    named = {each["authorizerId"] for each in methods(plan).values() if "authorizerId" in each}
    assert named == made
    assert bool(made) == (kind not in {"none", "iam"})
    assert bool(plan.of(PERMISSION)) == (kind in WITH_A_FUNCTION), "who asks a function needs its leave"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_guards_an_api_that_exists(kind: str) -> None:
    plan = plan_of(lambda: guarded(KINDS[kind], **EXISTING_API))
    assert methods(plan)["POST/messages"]["authorization"] == ON_METHODS[kind]


@pytest.mark.parametrize("kind", ["token", "jwt"])
def test_behind_a_proxy_one_argument_reaches_front_door_and_limiter(kind: str) -> None:
    def program() -> None:
        guard = authorizer({**KINDS[kind], "proxy": PROXY}, "guard")
        door: Any = {**CERTIFIED, **guard.front_door_args()}
        watched: Any = FrontDoor("door", door).limiter_args()
        Limiter("limiter", watched)

    plan = plan_of(program)
    assert plan["door-authorizer"].inputs["type"] == "REQUEST"
    first, *_ = plan["limiter-rule-group"].inputs["rules"]
    assert first["name"].endswith("-origin")
    assert [plan.showing(each) for each in SECRETS] == [[], []]


def test_a_front_door_without_a_proxy_tells_a_limiter_of_none() -> None:
    def program() -> object:
        return FrontDoor("door", {}).limiter_args()

    assert "proxy" not in plan_of(program).result


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (NONE, None),
        (COGNITO, None),
        (IAM, None),
        (FUNCTION_ARGS, {"function": "decider", "ours": False}),
        ({**FUNCTION_ARGS, "function_arn": f"{DECIDER}:live"}, {"function": "decider", "ours": False}),
        (TOKEN, {"function": OURS, "ours": True}),
        (JWT, {"function": OURS, "ours": True}),
    ],
    ids=["none", "cognito", "iam", "function", "alias of a function", "token", "jwt"],
)
def test_a_dashboard_finds_the_function_that_decides(
    args: Mapping[str, Any], names: dict[str, object] | None
) -> None:
    assert plan_of(lambda: authorizer(args).names()).result == names


@pytest.mark.parametrize("args", [NONE, FUNCTION_ARGS, TOKEN, COGNITO, IAM], ids=lambda each: each["kind"])
def test_a_dashboard_shows_any_kind_beside_what_else_there_is(args: Mapping[str, Any]) -> None:
    def program() -> None:
        Dashboard(
            "board",
            {
                "authorizer": authorizer(args).names(),
                "consumers": [{"label": "worker", "function": "worker"}],
            },
        )

    body = json.loads(plan_of(program)["board-dashboard"].inputs["dashboardBody"])
    titles = {each["properties"]["title"] for each in body["widgets"]}
    assert ("Authorizer: runs" in titles) == (args["kind"] in WITH_A_FUNCTION)
    assert ("Authorizer: decisions" in titles) == (args["kind"] == "token")


@pytest.mark.parametrize("case", ["authorizer token with everything", FULL])
def test_alarms_look_at_the_function_that_was_made(case: str) -> None:
    plan = planned(case)
    name = plan["unit-function"].outputs["name"]
    watched = {
        each.name.removeprefix("unit-"): (
            each.inputs["namespace"],
            each.inputs["metricName"],
            each.inputs["dimensions"],
        )
        for each in plan.of(ALARM)
    }
    assert watched == {
        "errors-alarm": ("AWS/Lambda", "Errors", {"FunctionName": name}),
        "settings-alarm": (METRIC_NAMESPACE, "SettingsErrors", {"service": name}),
        "throttles-alarm": ("AWS/Lambda", "Throttles", {"FunctionName": name}),
    }


FLOWING: Mapping[str, Mapping[str, Any]] = {
    "issuer": JWT,
    "jwks_uri": {**JWT, "jwks_uri": f"{ISSUER}/keys"},
    "audiences": JWT,
    "secrets": {**TOKEN, "proxy": PROXY},
}
"""The arguments of our functions that other resources may give, each with all that it needs."""


@pytest.mark.parametrize("key", FLOWING)
def test_what_other_resources_give_is_shipped_as_if_it_were_written(key: str) -> None:
    written = FLOWING[key]
    plan = plan_of(lambda: authorizer(flowing(written, pulumi.Output.from_input, key)))
    assert shipped(plan) == shipped(component_plan(Authorizer, written))


@pytest.mark.parametrize("key", FLOWING)
def test_what_is_yet_to_be_made_leaves_the_archive_open_in_a_preview(key: str) -> None:
    plan = plan_of(lambda: authorizer(flowing(FLOWING[key], yet_to_be, key)), preview=True)
    assert is_unknown(plan["unit-function"].inputs["code"])
    made = component_plan(Authorizer, FLOWING[key])
    assert {each.urn for each in plan.children} == {each.urn for each in made.children}


@pytest.mark.parametrize(
    ("key", "args"),
    [
        ("function_arn", FUNCTION_ARGS),
        ("user_pool_arns", COGNITO),
        ("callers", {**IAM, "callers": CALLERS}),
        ("secrets", {**TOKEN, "proxy": PROXY}),
    ],
)
def test_a_preview_shows_all_that_guards_an_api(key: str, args: Mapping[str, Any]) -> None:
    domain = CERTIFIED if "proxy" in args else {}
    made = plan_of(lambda: guarded(args, **domain))
    previewed = plan_of(lambda: guarded(flowing(args, yet_to_be, key), **domain), preview=True)
    assert {each.urn for each in previewed.children} == {each.urn for each in made.children}


def test_an_alarm_s_topic_and_a_key_may_be_outputs() -> None:
    args = {**TOKEN, **SHARED}
    outputs = ("kms_key_arn", "alarm_topic_arn")
    plan = plan_of(lambda: authorizer(flowing(args, pulumi.Output.from_input, *outputs)))
    assert {each.inputs["alarmActions"][0] for each in plan.of(ALARM)} == {TOPIC}
    assert plan["unit-function"].inputs["kmsKeyArn"] == KEY
