import asyncio
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import config

import settings
from components import authorizer_args, consumer_args, encryption_key, front_door_args, templates
from components.arguments import HIDDEN
from components.authorizer_args import AuthorizerKind
from local.program import stack_config
from settings import CONSUMER, SECTIONS, SHARED, Section, Settings, SettingsError, Worker
from sluice import tokens

ROOT = Path(settings.__file__).parent
DIGEST = tokens.digest("any")
TOKENS = [{"name": "ann", "sha256": DIGEST}]
SECRET, OTHER = "hush-hush-hush-hush-hush-hush-0001", "hush-hush-hush-hush-hush-hush-0002"
PROXY: dict[str, Any] = {"address_header": "X-Client-Ip", "secrets": [SECRET]}
DOMAIN = {"domain_name": "api.example.com", "hosted_zone_id": "Z0123456789ABCDEFGHIJ"}
POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_Abc123"
DECIDER = "arn:aws:lambda:us-east-1:123456789012:function:decider"
KEY = "arn:aws:kms:us-east-1:123456789012:key/abc"
TOPIC = "arn:aws:sns:us-east-1:123456789012:topic"
GOOD: dict[str, dict[str, Any]] = {
    "front_door": {},
    "authorizer": {"kind": "none"},
    "proxy": {},
    "limiter": {},
    "retrier": {},
    "consumer": {"code": "examples/recorder", "entry": "recorder:record_handler"},
    "encryption_key": {},
    "alarm_topic": {},
}


def raw(*, beside: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return good settings as Pulumi hands them over, with changes."""
    sections = {
        key: {**value, **changes.get(key, {})} if isinstance(changes.get(key, {}), dict) else changes[key]
        for key, value in GOOD.items()
    }
    return {
        **{f"sluice:{key}": json.dumps(value) for key, value in sections.items()},
        **{f"sluice:{key}": value for key, value in (beside or {}).items()},
    }


def refusal(given: dict[str, Any]) -> SettingsError:
    with pytest.raises(SettingsError) as refused:
        settings.load(given)
    return refused.value


def refused_keys(given: dict[str, Any]) -> list[str]:
    return [each.path for each in refusal(given).problems]


JWT: dict[str, Any] = {"kind": "jwt", "issuer": "https://login.example.com", "audiences": ["orders"]}


def test_good_settings_are_the_components_arguments() -> None:
    loaded = settings.load(
        raw(
            front_door={"path": "a/b", "answer": "sqs", "content_types": ["text/plain"]},
            authorizer={"kind": "token", "tokens": TOKENS},
            consumer={"environment": {"AB": "x"}},
        )
    )
    assert loaded == Settings(
        front_door={"path": "a/b", "answer": templates.Answer.SQS, "content_types": ["text/plain"]},
        authorizer={"kind": AuthorizerKind.TOKEN, "tokens": TOKENS},  # type: ignore[typeddict-item]
        consumers=[
            Worker(
                "consumer",
                None,
                False,
                {  # type: ignore[typeddict-item]
                    "code": str(ROOT / "examples/recorder"),
                    "environment": {"AB": "x"},
                    "entry": "recorder:record_handler",
                    "queue_fifo": False,
                    "queue_visibility_timeout_seconds": 180,
                    "queue_max_receive_count": 5,
                },
            )
        ],
        shared={},
        limiter=None,
        retrier=None,
        encryption_key=None,
        alarm_topic=None,
    )
    assert front_door_args.problems(loaded.front_door) == []
    assert authorizer_args.problems(loaded.authorizer) == []
    assert consumer_args.problems(loaded.consumers[0].args) == []


def test_there_is_a_limiter_where_it_is_enabled_and_nowhere_else() -> None:
    windows = [{"name": "day", "limit": 5, "length_seconds": 86_400}]
    assert settings.load(raw(limiter={"windows": windows})).limiter is None
    assert settings.load(raw(limiter={"windows": windows, "enabled": False})).limiter is None
    loaded = settings.load(raw(limiter={"windows": windows, "enabled": True}))
    assert loaded.limiter == {"windows": windows}  # type: ignore[comparison-overlap]
    loaded = settings.load(raw(limiter={"enabled": "true"}))
    assert loaded.limiter == {}, "`config set` keeps texts"  # type: ignore[comparison-overlap]


def test_a_limiter_that_is_not_enabled_is_checked_all_the_same() -> None:
    wrong = {"retry_after_seconds": 0, "windows": [{"name": "day", "limit": 0, "length_seconds": 86_400}]}
    for enabled in ({}, {"enabled": False}, {"enabled": True}):
        assert refused_keys(raw(limiter={**wrong, **enabled})) == [
            "sluice:limiter.windows[0].limit",
            "sluice:limiter.retry_after_seconds",
        ]


def test_windows_may_hold_texts_as_other_settings_do() -> None:
    loaded = settings.load(
        raw(limiter={"enabled": True, "sets_per_family": "3", "ipv6_site_prefix": "48",
                     "ipv6_site_limits": {"day": "5000", "month": "50000"}})
    )  # fmt: skip
    assert loaded.limiter == {
        "sets_per_family": 3,
        "ipv6_site_prefix": 48,
        "ipv6_site_limits": {"day": 5000, "month": 50_000},
    }


def test_what_belongs_to_the_web_acl_of_the_stack_s_limiter_may_be_set() -> None:
    given = {"log_blocked": True, "managed_rule_groups": ["AWSManagedRulesCommonRuleSet"]}
    loaded = settings.load(raw(limiter={"enabled": True, **given}))
    assert loaded.limiter == given, "and what it is wired to is not in it"


@pytest.mark.parametrize("section", [each.key for each in SECTIONS if each.optional and each.switched])
def test_what_is_optional_is_there_where_it_is_enabled_and_nowhere_else(section: str) -> None:
    for given, there in ({}, False), ({"enabled": False}, False), ({"enabled": True}, True):
        loaded = getattr(settings.load(raw(**{section: given})), section)
        assert loaded == ({} if there else None)


@pytest.mark.parametrize(
    ("section", "given", "path"),
    [
        ("encryption_key", {"deletion_window_days": 6}, "deletion_window_days"),
        ("alarm_topic", {"emails": ["ops@example.com", "nobody"]}, "emails[1]"),
        ("alarm_topic", {"emails": "ops@example.com"}, "emails"),
        ("encryption_key", {"enabled": "perhaps"}, "enabled"),
    ],
)
def test_a_key_or_a_topic_that_is_not_enabled_is_checked_all_the_same(
    section: str, given: dict[str, Any], path: str
) -> None:
    assert refused_keys(raw(**{section: given})) == [f"sluice:{section}.{path}"]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("encryption_key", "kms_key_arn", KEY), ("alarm_topic", "alarm_topic_arn", TOPIC)],
)
def test_what_is_given_is_not_made_as_well(section: str, key: str, value: str) -> None:
    (problem,) = refusal(raw(**{section: {"enabled": True}}, beside={key: value})).problems
    assert (problem.path, problem.value) == (f"sluice:{section}.enabled", True)
    assert problem.allowed == f"false, with sluice:{key}: that one is used"
    assert settings.load(raw(**{section: {"enabled": False}}, beside={key: value})).shared == {key: value}


def test_the_owner_of_a_given_key_is_told_what_its_policy_needs_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encryption_key, "statements_for_a_given_key", lambda: "statements")
    assert settings.load(raw(beside={"kms_key_arn": KEY})).key_policy_needs() == "statements"  # type: ignore[comparison-overlap]
    assert settings.load(raw()).key_policy_needs() is None
    assert settings.load(raw(encryption_key={"enabled": True})).key_policy_needs() is None


ROUTE = {"path": "orders"}


def test_routes_queues_reads_and_plans_are_arguments_as_they_stand() -> None:
    given = {
        "routes": [{**ROUTE, "attributes": {"tenant": "header.X-Tenant"}}],
        "queues": [{"name": "orders", "max_receive_count": 3}],
        "reads": [{"path": "a", "url": "https://b.example.com"}],
        "usage_plans": [{"name": "gold", "keys": ["acme"]}],
    }
    assert settings.load(raw(front_door=given)).front_door == given


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"routes": [{**ROUTE, "pth": "a"}]}, "routes[0].pth"),
        ({"routes": [ROUTE, {"path": "a", "attributes": {"x": "y"}}]}, "routes[1].attributes.x"),
        ({"routes": [{}]}, "routes[0].path"),
        ({"routes": "orders"}, "routes"),
        ({"routes": ["orders"]}, "routes[0]"),
        ({"queues": [{"name": "a", "size": 5}]}, "queues[0].size"),
        ({"reads": [{"path": "a", "url": "https://b.example.com", "ttl": 5}]}, "reads[0].ttl"),
        ({"usage_plans": [{"name": "gold", "limit": 5}]}, "usage_plans[0].limit"),
    ],
)
def test_what_is_wrong_inside_a_list_is_one_problem_under_its_place(given: dict[str, Any], path: str) -> None:
    assert refused_keys(raw(front_door=given)) == [f"sluice:front_door.{path}"]


def test_an_unknown_key_inside_a_window_is_told_under_its_place() -> None:
    window = {"name": "day", "limit": 5, "length_seconds": 86_400, "zone": "UTC"}
    assert refused_keys(raw(limiter={"windows": [window]})) == ["sluice:limiter.windows[0].zone"]


AUTHORIZERS: dict[str, dict[str, Any]] = {
    "none": {},
    "function": {
        "function_arn": DECIDER,
        "identity_sources": ["header.X-Tenant", "context.source_ip"],
        "cache_ttl_seconds": 30,
    },
    "token": {
        "tokens": [*TOKENS, {"name": "ci", "sha256": tokens.digest("ci"), "expires": "2027-03-31T00:00:00Z"}],
        "cache_ttl_seconds": 0,
    },
    "jwt": {
        "issuer": "https://login.example.com",
        "jwks_uri": "https://login.example.com/keys",
        "audiences": ["orders"],
        "scopes": ["orders:write"],
        "algorithms": ["ES256"],
        "leeway_seconds": 0,
        "key_max_age_seconds": 60,
        "required_claims": {"token_use": "access"},
        "principal_claim": "client_id",
        "claims": {"tenant": "tid"},
        "cache_ttl_seconds": 300,
        "architecture": "arm64",
    },
    "cognito": {"user_pool_arns": [POOL], "scopes": ["orders/write"]},
    "iam": {"callers": ["arn:aws:iam::123456789012:role/sender"]},
}
"""Each kind with all that it takes."""


@pytest.mark.parametrize("kind", AuthorizerKind)
def test_every_argument_of_every_kind_can_be_set(kind: AuthorizerKind) -> None:
    given = AUTHORIZERS[kind.value]
    loaded = settings.load(raw(authorizer={"kind": kind.value, **given}))
    assert loaded.authorizer == {"kind": kind, **given}


def test_no_argument_of_an_authorizer_is_left_out_here() -> None:
    named = {key for each in AUTHORIZERS.values() for key in each}
    assert named | {"kind"} == settings.AUTHORIZER.types.keys()


def test_numbers_of_an_authorizer_may_come_as_texts() -> None:
    given = {**JWT, "leeway_seconds": "5", "key_max_age_seconds": "600", "cache_ttl_seconds": "0"}
    loaded = settings.load(raw(authorizer=given)).authorizer
    assert (loaded["leeway_seconds"], loaded["key_max_age_seconds"], loaded["cache_ttl_seconds"]) == (
        5,
        600,
        0,
    )


def proxied(*, kind: str = "token", **changes: Any) -> dict[str, Any]:
    """Return good settings with a proxy in front, with changes."""
    given: dict[str, Any] = {
        "front_door": DOMAIN,
        "authorizer": {"kind": kind, **AUTHORIZERS[kind]},
        "proxy": PROXY,
        **changes,
    }
    return raw(**given)


@pytest.mark.parametrize("kind", ["token", "jwt"])
@pytest.mark.parametrize("more", [{}, {"secret_header": "X-Edge", "secrets": [SECRET, OTHER]}])
def test_a_proxy_is_there_where_its_section_is(kind: str, more: dict[str, Any]) -> None:
    loaded = settings.load(proxied(kind=kind, proxy={**PROXY, **more}, limiter={"enabled": True}))
    assert loaded.authorizer["proxy"] == {**PROXY, **more}
    assert loaded.limiter is not None
    assert not loaded.limiter.keys(), "front door and limiter get it from there"
    assert "proxy" not in loaded.front_door


@pytest.mark.parametrize("absent", ["{}", {}])
def test_without_its_section_there_is_no_proxy(absent: Any) -> None:
    given = {**proxied(), "sluice:proxy": absent}
    assert "proxy" not in settings.load(given).authorizer
    del given["sluice:proxy"]
    assert "proxy" not in settings.load(given).authorizer


def test_a_proxy_has_no_switch() -> None:
    (problem,) = refusal(proxied(proxy={**PROXY, "enabled": True})).problems
    assert (problem.path, problem.allowed) == ("sluice:proxy.enabled", "no such setting")
    assert "address_header" in problem.remedy


@pytest.mark.parametrize("section", ["front_door", "authorizer", "limiter"])
def test_a_proxy_is_set_once_for_all_and_in_no_other_section(section: str) -> None:
    key = f"sluice:{section}"
    given = proxied()
    given[key] = json.dumps({**json.loads(given[key]), "proxy": PROXY})
    assert refused_keys(given) == [f"{key}.proxy"]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"colour": "hush"}, "colour address_header secrets"),
        ({"secrets": [SECRET]}, "address_header"),
        ({"address_header": "X-Client-Ip"}, "secrets"),
        ({**PROXY, "address_header": "X-Forwarded-For"}, "address_header"),
        ({**PROXY, "address_header": 5}, "address_header"),
        ({**PROXY, "address_header": "X-Origin-Secret"}, "address_header"),
        ({**PROXY, "secret_header": "Authorization"}, "secret_header"),
        ({**PROXY, "secret_header": ["X-Edge"]}, "secret_header"),
        ({**PROXY, "secrets": SECRET}, "secrets"),
        ({**PROXY, "secrets": {"a": SECRET}}, "secrets"),
        ({**PROXY, "secrets": []}, "secrets"),
        ({**PROXY, "secrets": [SECRET, OTHER, f"{OTHER}3"]}, "secrets"),
        ({**PROXY, "secrets": [SECRET, SECRET]}, "secrets[1]"),
        ({**PROXY, "secrets": [SECRET, "hush"]}, "secrets[1]"),
        ({**PROXY, "secrets": [SECRET, f"{SECRET} "]}, "secrets[1]"),
        ({**PROXY, "secrets": [SECRET, 5]}, "secrets[1]"),
        ({**PROXY, "secret": SECRET}, "secret"),
        ({**PROXY, "kms_key_arn": KEY}, "kms_key_arn"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_proxy_is_one_problem_and_shows_no_secret(
    given: dict[str, Any], path: str
) -> None:
    refused = refusal(proxied(proxy=given))
    assert [each.path for each in refused.problems] == [f"sluice:proxy.{each}" for each in path.split()]
    assert "hush" not in str(refused)
    assert all(each.remedy for each in refused.problems)


@pytest.mark.parametrize("section", ["hush", ["hush"], 5, True, None], ids=repr)
def test_a_proxy_that_is_no_map_is_one_problem_and_shows_no_secret(section: Any) -> None:
    refused = refusal({**proxied(), "sluice:proxy": json.dumps(section)})
    (problem,) = refused.problems
    assert (problem.path, problem.allowed) == (
        "sluice:proxy",
        "a map of: address_header, secrets, secret_header",
    )
    assert "hush" not in str(refused)


FRONT = "front_door.domain_name"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (proxied(kind="none"), "proxy"),
        (proxied(kind="function"), "proxy"),
        (proxied(kind="cognito"), "proxy"),
        (proxied(kind="iam"), "proxy"),
        (proxied(front_door={}), FRONT),
        (proxied(front_door={}, limiter={"enabled": True}), FRONT),
        (proxied(kind="jwt", front_door={}), FRONT),
        (proxied(authorizer={"kind": "token", "tokens": []}, front_door={}), f"{FRONT} authorizer.tokens"),
        (
            proxied(front_door={**DOMAIN, "disable_execute_api_endpoint": False}),
            "front_door.disable_execute_api_endpoint",
        ),
        (
            proxied(
                front_door={
                    **DOMAIN,
                    "api_id": "a1b2c3d4e5",
                    "api_name": "shop",
                    "root_resource_id": "abc123def4",
                }
            ),
            "proxy",
        ),
        (proxied(front_door={"vpc_endpoint_ids": ["vpce-0a1b2c3d"]}), "proxy"),
    ],
)
def test_what_a_proxy_contradicts_is_told_once_before_anything_is_made(
    given: dict[str, Any], path: str
) -> None:
    refused = refusal(given)
    assert [each.path for each in refused.problems] == [f"sluice:{each}" for each in path.split()]
    assert "hush" not in str(refused)


def test_a_proxy_may_be_secret_as_a_whole() -> None:
    given = proxied()
    assert settings.load(given, secret={"sluice:proxy"}) == settings.load(given)
    with pytest.raises(SettingsError) as refused:
        settings.load(proxied(proxy={**PROXY, "address_header": "no header"}), secret={"sluice:proxy"})
    assert "no header" not in str(refused.value)


@pytest.mark.parametrize("kind", AuthorizerKind)
def test_an_authorizer_takes_the_place_of_one_attribute(kind: AuthorizerKind) -> None:
    def told(count: int) -> list[str]:
        route = {"path": "a", "attributes": {f"a{index}": "text.x" for index in range(count)}}
        given = raw(
            authorizer={"kind": kind.value, **AUTHORIZERS[kind.value]}, front_door={"routes": [route]}
        )
        try:
            settings.load(given)
        except SettingsError as error:
            return [each.path for each in error.problems]
        return []

    most = 8 if kind is AuthorizerKind.NONE else 7
    assert told(most) == [], "its principal is the tenth"
    assert told(most + 1) == ["sluice:front_door.routes[0].attributes"]


def test_an_authorizer_that_is_wrong_is_told_alone() -> None:
    wrong: list[dict[str, Any]] = [
        {"kind": "cognito"},
        {"kind": "iam", "callers": ["*"]},
        {"kind": "token", "tokens": TOKENS, "issuer": "https://a.example.com"},
    ]
    told = [refused_keys(raw(authorizer=each)) for each in wrong]
    assert told == [
        ["sluice:authorizer.user_pool_arns"],
        ["sluice:authorizer.callers[0]"],
        ["sluice:authorizer.issuer"],
    ]


@pytest.mark.parametrize("callers", [[], ["arn:aws:iam::123456789012:role/sender"]])
def test_callers_are_for_a_policy_of_ours_and_signed_requests_for_any_api(callers: list[str]) -> None:
    theirs = {"api_id": "a1b2c3d4e5", "api_name": "shop", "root_resource_id": "abc123def4"}
    given = raw(authorizer={"kind": "iam", "callers": callers}, front_door=theirs)
    if callers:
        assert refused_keys(given) == ["sluice:front_door.iam_callers"]
    else:
        assert settings.load(given).authorizer["kind"] is AuthorizerKind.IAM


def test_settings_of_other_programs_are_let_be() -> None:
    assert settings.load({**raw(), "aws:region": "us-east-1", "other:front_door": "5"}) == settings.load(
        raw()
    )


def test_a_section_may_come_as_an_object_or_as_json() -> None:
    plain = {f"sluice:{key}": value for key, value in GOOD.items()}
    assert settings.load(plain) == settings.load(raw())


def test_numbers_and_flags_may_come_as_texts() -> None:
    # `pulumi config set --path` keeps as text what its shell quoted.
    loaded = settings.load(
        raw(
            front_door={"throttle_rate": "50", "manage_account_logging": "true"},
            beside={"log_retention_days": "7"},
        )
    )
    assert loaded.front_door == {"throttle_rate": 50, "manage_account_logging": True}
    assert loaded.shared == {"log_retention_days": 7}
    assert type(loaded.front_door["throttle_rate"]) is int


def test_what_is_shared_is_told_once_for_every_component() -> None:
    shared = {"kms_key_arn": KEY, "log_retention_days": 90, "alarm_topic_arn": TOPIC}
    loaded = settings.load(raw(limiter={"enabled": True}, beside={**shared, "log_retention_days": "90"}))
    assert loaded.shared == shared
    for args in (loaded.front_door, loaded.authorizer, loaded.limiter, loaded.consumers[0].args):
        assert args is not None
        assert not set(SHARED) & args.keys()


def test_a_shared_setting_that_is_empty_is_not_set() -> None:
    loaded = settings.load(raw(beside=dict.fromkeys(SHARED, "")))
    assert loaded == settings.load(raw())
    assert loaded.shared == {}


@pytest.mark.parametrize("code", ["examples/recorder", str(ROOT / "examples" / "recorder")])
def test_code_is_looked_for_beside_the_program(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.load(raw(consumer={"code": code})).consumers[0].args["code"] == str(
        ROOT / "examples/recorder"
    )


def test_the_consumer_is_held_to_the_front_doors_visibility_timeout() -> None:
    loaded = settings.load(
        raw(front_door={"visibility_timeout_seconds": "600"}, consumer={"timeout_seconds": 100})
    )
    assert loaded.consumers[0].args["queue_visibility_timeout_seconds"] == 600
    assert refused_keys(raw(consumer={"timeout_seconds": 31})) == ["sluice:consumer.timeout_seconds"]


def test_the_consumer_is_held_to_the_first_queue_s_visibility_timeout() -> None:
    queues = [{"name": "orders", "visibility_timeout_seconds": 60}, {"name": "events"}]
    loaded = settings.load(raw(front_door={"queues": queues}, consumer={"timeout_seconds": 10}))
    assert loaded.consumers[0].args["queue_visibility_timeout_seconds"] == 60
    given = raw(front_door={"queues": queues}, consumer={"timeout_seconds": 11})
    assert refused_keys(given) == ["sluice:consumer.timeout_seconds"]


def test_the_consumer_is_held_to_a_visibility_timeout_of_nothing() -> None:
    given = raw(front_door={"visibility_timeout_seconds": 0}, consumer={"timeout_seconds": 1})
    assert refused_keys(given) == ["sluice:consumer.timeout_seconds"], "each message would come twice"


THEIRS = {
    "queue_arn": "arn:aws:sqs:us-east-1:123456789012:orders",
    "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/orders",
}


@pytest.mark.parametrize(
    "door", [THEIRS, {"queues": [{"name": "theirs", **THEIRS}, {"name": "ours"}]}], ids=["one", "several"]
)
def test_the_visibility_timeout_of_a_queue_that_exists_has_to_be_set(door: dict[str, Any]) -> None:
    (problem,) = refusal(raw(front_door=door)).problems
    assert problem.path == "sluice:consumer.queue_visibility_timeout_seconds"
    assert problem.allowed == settings.OF_A_GIVEN_QUEUE
    loaded = settings.load(raw(front_door=door, consumer={"queue_visibility_timeout_seconds": 240}))
    assert loaded.consumers[0].args["queue_visibility_timeout_seconds"] == 240


def several(*consumers: object, queues: object = ("orders", "events")) -> dict[str, Any]:
    """Return the settings of a stack with some consumers, and a queue for each name."""
    named = [{"name": each} if isinstance(each, str) else each for each in queues]  # type: ignore[attr-defined]
    given = raw(front_door={"queues": named}, beside={"consumers": json.dumps(consumers)})
    return {key: value for key, value in given.items() if key != "sluice:consumer"}


A_WORKER = GOOD["consumer"]


def test_each_of_several_consumers_drains_its_own_queue() -> None:
    queues = [{"name": "orders", "visibility_timeout_seconds": 60}, {"name": "events"}]
    found = settings.load(
        several(
            {**A_WORKER, "name": "a", "queue": "events", "timeout_seconds": 30},
            {**A_WORKER, "name": "b", "timeout_seconds": 10},
            queues=queues,
        )
    ).consumers
    assert [(each.name, each.queue) for each in found] == [("consumer-a", "events"), ("consumer-b", None)]
    assert [each.args["queue_visibility_timeout_seconds"] for each in found] == [180, 60]


def test_an_empty_list_of_consumers_is_none_and_an_empty_consumer_no_other() -> None:
    assert settings.load(raw(beside={"consumers": "[]"})) == settings.load(raw())
    given = several({**A_WORKER, "name": "a"})
    assert settings.load({**given, "sluice:consumer": "{}"}) == settings.load(given)


@pytest.mark.parametrize(
    ("consumers", "paths"),
    [
        ([{**A_WORKER}], ["consumers[0].name"]),
        ([{**A_WORKER, "name": "A b"}], ["consumers[0].name"]),
        ([{**A_WORKER, "name": "a"}, {**A_WORKER, "name": "a", "queue": "events"}], ["consumers[1].name"]),
        ([{**A_WORKER, "name": "a", "queue": "none"}], ["consumers[0].queue"]),
        ([{**A_WORKER, "name": "a"}, 5], ["consumers[1]", "consumers[1].name", "consumers[1].code"]),
        ([{"name": "a"}], ["consumers[0].code"]),
        ([{**A_WORKER, "name": "a", "batch_size": 0}], ["consumers[0].batch_size"]),
        ([{**A_WORKER, "name": "a", "colour": "red"}], ["consumers[0].colour"]),
        ([{**A_WORKER, "name": "a", "queue_max_receive_count": 9}], ["consumers[0].queue_max_receive_count"]),
        ([{**A_WORKER, "name": "a", "dead_letter_queue_url": "x"}], ["consumers[0].dead_letter_queue_url"]),
    ],
)
def test_what_is_wrong_with_one_of_several_consumers_is_told_of_that_one(
    consumers: list[object], paths: list[str]
) -> None:
    assert {each.rstrip(".") for each in refused_keys(several(*consumers))} == {
        f"sluice:{each}" for each in paths
    }


@pytest.mark.parametrize("queues", [("orders", None), (None, "orders"), (None, None), ("orders", "orders")])
@pytest.mark.parametrize("filtering", [0, 1])
def test_two_consumers_with_a_filter_do_not_share_a_queue(
    queues: tuple[str | None, str | None], filtering: int
) -> None:
    both: list[dict[str, Any]] = [
        {**A_WORKER, "name": name, **({"queue": queue} if queue else {})}
        for name, queue in zip("ab", queues, strict=True)
    ]
    settings.load(several(*both))
    both[filtering]["filters"] = [{"body": {"kind": ["order"]}}]
    (problem,) = refusal(several(*both)).problems
    assert problem.path == "sluice:consumers[1].queue"
    assert "a filter deletes what fits none" in problem.allowed
    both[0]["queue"] = "events"
    both[1]["queue"] = "orders"
    settings.load(several(*both))


def test_two_names_of_one_queue_that_exists_are_one_queue() -> None:
    queues = [{"name": "a", **THEIRS}, {"name": "b", **THEIRS}]
    both: list[dict[str, Any]] = [
        {**A_WORKER, "name": each, "queue": each, "queue_visibility_timeout_seconds": 180} for each in "ab"
    ]
    settings.load(several(*both, queues=queues))
    both[0]["filters"] = [{"body": {"kind": ["order"]}}]
    (problem,) = refusal(several(*both, queues=queues)).problems
    assert problem.path == "sluice:consumers[1].queue"


@pytest.mark.parametrize("names", [("a", "a-idempotency"), ("a-requirements", "a")])
def test_no_consumer_has_the_name_of_another_s_part(names: tuple[str, str]) -> None:
    consumers = [
        {**A_WORKER, "name": each, "queue": queue}
        for each, queue in zip(names, ("orders", "events"), strict=True)
    ]
    assert refused_keys(several(*consumers)) == ["sluice:consumers[1].name"]


@pytest.mark.parametrize("consumers", ["{}", '"a"', "5", "no json", "{"])
def test_several_consumers_are_a_list(consumers: str) -> None:
    given = several()
    assert "sluice:consumers" in refused_keys({**given, "sluice:consumers": consumers})


def test_one_consumer_and_several_contradict_each_other() -> None:
    given = several({**A_WORKER, "name": "a"})
    assert refused_keys({**raw(), **given}) == ["sluice:consumer"]


def test_errors_that_are_poison_need_no_dead_letter_queue_where_the_front_door_makes_one() -> None:
    poison = {"poison_errors": ["ValueError"]}
    assert settings.load(raw(consumer=poison)).consumers[0].args["poison_errors"] == ["ValueError"]
    theirs = {**poison, "queue_visibility_timeout_seconds": 180}
    assert refused_keys(raw(front_door=THEIRS, consumer=theirs)) == ["sluice:consumer.poison_errors"]
    dead = {
        "dead_letter_queue_arn": f"{THEIRS['queue_arn']}-dead",
        "dead_letter_queue_url": f"{THEIRS['queue_url']}-dead",
    }
    found = settings.load(raw(front_door=THEIRS, consumer={**theirs, **dead})).consumers[0]
    assert found.args["dead_letter_queue_arn"] == dead["dead_letter_queue_arn"]


def test_the_variables_of_secret_consumers_become_secrets_and_stay_hidden() -> None:
    async def load() -> list[bool]:
        given = several({**A_WORKER, "name": "a", "environment": {"AB": "hush"}})
        (found,) = settings.load(given, secret={"sluice:consumers"}).consumers
        variables: Any = found.args["environment"]
        return [await each.is_secret() for each in variables.values()]

    assert asyncio.run(load()) == [True]
    with pytest.raises(SettingsError) as refused:
        settings.load(several({**A_WORKER, "name": "hush hush"}), secret={"sluice:consumers"})
    assert "hush" not in str(refused.value)


def test_every_problem_is_told_at_once_under_its_key() -> None:
    refused = refusal(
        raw(
            front_door={"throttle_rate": 0, "answer": "no", "throtle_burst": 5},
            authorizer={"kind": "token"},
            consumer={"code": "nowhere", "environment": {"A": 5}},
            beside={"kms_key_arn": "key", "log_retention_days": "2", "colour": "red"},
        )
    )
    assert [each.path for each in refused.problems] == [
        "sluice:colour",
        "sluice:kms_key_arn",
        "sluice:log_retention_days",
        "sluice:front_door.answer",
        "sluice:front_door.throtle_burst",
        "sluice:consumer.environment.A",
        "sluice:front_door.throttle_rate",
        "sluice:authorizer.tokens",
        "sluice:consumer.code",
    ]
    told = str(refused)
    assert told.startswith("Nothing was deployed: 9 settings are wrong.\n\n")
    for problem in refused.problems:
        assert str(problem) in told
        assert problem.remedy


def test_one_problem_is_told_in_the_singular_and_without_a_traceback() -> None:
    refused = refusal(raw(front_door={"throttle_rate": 0}))
    assert str(refused).startswith(
        "Nothing was deployed: 1 setting is wrong.\n\nsluice:front_door.throttle_rate = 0\n"
    )
    assert isinstance(refused, pulumi.RunError), "Pulumi prints the message of this kind alone"


def test_a_problem_without_a_remedy_gets_the_command() -> None:
    (problem,) = refusal(raw(front_door={"throttle_rate": 0})).problems
    assert problem.remedy == "pulumi config set --path 'sluice:front_door.throttle_rate' VALUE"


@pytest.mark.parametrize(
    ("section", "key", "meant"),
    [
        ("front_door", "throtle_rate", "throttle_rate"),
        ("authorizer", "token", "tokens"),
        ("consumer", "batchsize", "batch_size"),
    ],
)
def test_a_misspelt_setting_is_guessed(section: str, key: str, meant: str) -> None:
    (problem,) = refusal(raw(**{section: {key: 1}})).problems
    assert (problem.path, problem.remedy) == (f"sluice:{section}.{key}", f"did you mean {meant}?")


def test_a_misspelt_section_is_guessed() -> None:
    (problem,) = refusal(raw(beside={"frontdoor": "{}"})).problems
    assert (problem.path, problem.remedy) == ("sluice:frontdoor", "did you mean front_door?")


def test_an_unknown_setting_that_resembles_nothing_tells_what_there_is() -> None:
    (problem,) = refusal(raw(consumer={"zzz": 1})).problems
    assert problem.remedy.startswith("use one of: queue, calls, queue_visibility_timeout_seconds, ")
    assert " queue_arn," not in problem.remedy


COMPONENTS = [each for each in (*SECTIONS, CONSUMER) if each is not settings.PROXY]
"""The proxy is none of ours: nothing is made of its section alone."""
WIRED = [(section.key, key) for section in SECTIONS for key in section.wired]


@pytest.mark.parametrize(("section", "key"), WIRED)
def test_what_comes_from_another_component_cannot_be_set(section: str, key: str) -> None:
    assert f"sluice:{section}.{key}" in refused_keys(raw(**{section: {key: "x"}}))


@pytest.mark.parametrize("section", COMPONENTS, ids=lambda section: section.key)
@pytest.mark.parametrize("key", SHARED)
def test_what_is_shared_is_set_beside_the_sections(section: Section, key: str) -> None:
    beside = {"upstreams": [{"origin": "https://api.example.com"}]} if section is settings.RETRIER else {}
    (problem,) = refusal(raw(**{section.key: {**beside, key: "x"}})).problems
    assert problem.path == f"sluice:{section.key}.{key}"
    assert problem.allowed == f"nothing here: sluice:{key} holds for all"
    assert problem.remedy == "move it"


@pytest.mark.parametrize("section", COMPONENTS, ids=lambda section: section.key)
def test_every_wired_argument_is_one_that_the_component_takes(section: Section) -> None:
    assert set(section.wired) <= set(section.shape.__annotations__)
    assert set(SHARED) <= set(section.shape.__annotations__)


@pytest.mark.parametrize("value", [5, "text", [], None, True])
@pytest.mark.parametrize("section", list(GOOD))
def test_a_section_that_is_no_map_is_a_problem(section: str, value: Any) -> None:
    problems = {
        each.path: each for each in refusal({**raw(), f"sluice:{section}": json.dumps(value)}).problems
    }
    problem = problems[f"sluice:{section}"]
    assert problem.allowed.startswith("a map of: ")
    assert problem.remedy == f"pulumi config set --path 'sluice:{section}.KEY' VALUE"


def test_a_section_that_is_no_json_is_a_problem() -> None:
    (problem,) = refusal({**raw(), "sluice:front_door": "{not json"}).problems
    assert (problem.path, problem.value) == ("sluice:front_door", "{not json")


@pytest.mark.parametrize("shape", ["%s", '{"path": %s}', '{"colour": %s}'])
@pytest.mark.parametrize("depth", [10, 500, 100_000])
def test_however_deep_a_section_is_it_is_a_problem_and_no_crash(shape: str, depth: int) -> None:
    deep = shape % ("[" * depth + "]" * depth)
    (problem,) = refusal({**raw(), "sluice:front_door": deep}).problems
    assert problem.path.startswith("sluice:front_door")
    assert len(str(problem)) < 1000, "what is there is cut"


@pytest.mark.parametrize(
    ("section", "given", "path"),
    [
        ("front_door", {"throttle_rate": "many"}, "throttle_rate"),
        ("front_door", {"throttle_rate": 1.5}, "throttle_rate"),
        ("front_door", {"throttle_rate": None}, "throttle_rate"),
        ("front_door", {"content_types": "text/plain"}, "content_types"),
        ("front_door", {"content_types": ["text/plain", 5]}, "content_types[1]"),
        ("front_door", {"manage_account_logging": "perhaps"}, "manage_account_logging"),
        ("authorizer", {"kind": "oidc"}, "kind"),
        ("authorizer", {"kind": None}, "kind"),
        ("consumer", {"environment": {"AB": 1}}, "environment.AB"),
        ("consumer", {"environment": {"AB": {"CD": ["x"]}}}, "environment.AB"),
        ("consumer", {"code": 5}, "code"),
        # Without the value that was no good, the component would miss it as well.
        ("authorizer", {"kind": "token", "tokens": 5}, "tokens"),
        ("authorizer", {"kind": "token", "tokens": {"ann": DIGEST}}, "tokens"),
        ("authorizer", {"kind": "token", "tokens": ["ann"]}, "tokens[0]"),
        ("authorizer", {"kind": "token", "tokens": [{"name": "ann"}]}, "tokens[0].sha256"),
        ("authorizer", {"kind": "jwt", "issuer": "https://a.example.com", "audiences": [5]}, "audiences[0]"),
        ("authorizer", {"kind": "cognito", "user_pool_arns": POOL}, "user_pool_arns"),
        ("authorizer", {"kind": "cognito", "user_pool_arns": [5]}, "user_pool_arns[0]"),
        ("authorizer", {"kind": "iam", "callers": "*"}, "callers"),
        ("authorizer", {**JWT, "claims": ["tid"]}, "claims"),
        ("authorizer", {**JWT, "claims": {"tenant": 5}}, "claims.tenant"),
        ("authorizer", {**JWT, "leeway_seconds": "long"}, "leeway_seconds"),
        ("authorizer", {**JWT, "leeway_seconds": 301}, "leeway_seconds"),
        ("authorizer", {"kind": "function", "function_arn": 5}, "function_arn"),
        ("consumer", {"batch_size": 11, "batching_window_seconds": "long"}, "batching_window_seconds"),
    ],
)
def test_a_value_of_another_type_is_one_problem(section: str, given: dict[str, Any], path: str) -> None:
    assert refused_keys(raw(**{section: given})) == [f"sluice:{section}.{path}"]


@pytest.mark.parametrize(("section", "key"), [("authorizer", "kind"), ("consumer", "code")])
def test_a_required_setting_is_missed_once(section: str, key: str) -> None:
    (problem,) = refusal({**raw(), f"sluice:{section}": "{}"}).problems
    assert (problem.path, problem.value) == (f"sluice:{section}.{key}", None)
    assert (
        problem.allowed
        == {
            "kind": "one of none, function, token, jwt, cognito, iam",
            "code": "one of code, image_uri and function_arn: where the function comes from",
        }[key]
    )


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.key)
def test_whatever_is_required_has_words_for_what_is_allowed(section: Section) -> None:
    assert section.required <= settings.REQUIRED.keys()


def test_the_words_for_the_kinds_are_the_kinds() -> None:
    assert settings.REQUIRED["kind"] == f"one of {', '.join(AuthorizerKind)}"


def test_an_empty_config_misses_what_is_required_and_nothing_else() -> None:
    assert refused_keys({}) == ["sluice:authorizer.kind", "sluice:consumer.code"]


def test_missing_tokens_tell_how_to_mint_one() -> None:
    told = str(refusal(raw(authorizer={"kind": "token"})))
    assert "python3 -m sluice.cli token new " in told


def test_the_settings_of_a_stack_come_from_pulumis_own_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "get_config_env", lambda: {**raw(), "sluice:front_door": "5"})
    token = config.CONFIG.set({"sluice:front_door": json.dumps({"path": "set"})})
    try:
        assert settings.stack_settings().front_door == {"path": "set"}
    finally:
        config.CONFIG.reset(token)


def test_what_pulumi_knows_as_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    given = raw(front_door={"path": "hush hush"}, consumer={"table": "not hidden"})
    monkeypatch.setattr(config, "get_config_env", lambda: given)
    monkeypatch.setattr(config, "is_config_secret", {"sluice:front_door"}.__contains__)
    with pytest.raises(SettingsError) as refused:
        settings.stack_settings()
    assert {each.path: each.value for each in refused.value.problems} == {
        "sluice:front_door.path": HIDDEN,
        "sluice:consumer.table": "not hidden",
    }


def test_what_the_engine_names_as_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(raw(authorizer={"kind": "hush"})))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(["sluice:authorizer"]))
    with pytest.raises(SettingsError) as refused:
        settings.stack_settings()
    assert [each.path for each in refused.value.problems] == ["sluice:authorizer.kind"]
    assert "hush" not in str(refused.value)


SECRETS: list[tuple[str, dict[str, Any]]] = [
    ("sluice:front_door", raw(front_door={"path": "hush hush"})),
    ("sluice:front_door", raw(front_door={"throttle_rate": "hush"})),
    ("sluice:front_door", raw(front_door={"content_types": ["text/plain", "hush"]})),
    ("sluice:front_door", raw(front_door={"colour": "hush"})),
    ("sluice:front_door", {**raw(), "sluice:front_door": "hush"}),
    ("sluice:front_door", {**raw(), "sluice:front_door": '["hush"]'}),
    ("sluice:authorizer", raw(authorizer={"kind": "hush"})),
    ("sluice:authorizer", raw(authorizer={"kind": "token", "tokens": [{"name": "a", "sha256": "hush"}]})),
    ("sluice:authorizer", raw(authorizer={**JWT, "audiences": ["hush hush"]})),
    ("sluice:authorizer", raw(authorizer={"kind": "cognito", "user_pool_arns": ["hush"]})),
    ("sluice:consumer", raw(consumer={"table": "hush hush"})),
    ("sluice:kms_key_arn", raw(beside={"kms_key_arn": "hush"})),
    ("sluice:colour", raw(beside={"colour": "hush"})),
    # Set with --secret and without --path, its key is taken as it stands.
    ("sluice:front_door.path", raw(beside={"front_door.path": "hush"})),
]


@pytest.mark.parametrize(("key", "given"), SECRETS)
def test_what_a_secret_holds_is_in_no_problem(key: str, given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        settings.load(given, secret={key})
    assert "hush" in str(refusal(given)), "it is told where it is no secret"
    assert "hush" not in str(refused.value)
    assert {each.path for each in refused.value.problems} == {each.path for each in refusal(given).problems}


@pytest.mark.parametrize(
    "environment",
    [
        {"AB": 5005},
        {"AB": ["5005"]},
        {"AB": {"CD": "5005"}},
        {"A": "5005"},
        {"AWS_X": "5005"},
        "5005",
        ["5005"],
    ],
    ids=repr,
)
def test_what_a_variable_holds_is_in_no_problem(environment: Any) -> None:
    refused = refusal(raw(consumer={"environment": environment}))
    assert all(each.path.startswith("sluice:consumer.environment") for each in refused.problems)
    assert "5005" not in str(refused)


def test_the_variables_of_a_secret_section_become_secrets() -> None:
    async def load() -> dict[str, tuple[bool, str | None]]:
        given = raw(consumer={"environment": {"AB": "hush", "CD": ""}})
        variables: Any = settings.load(given, secret={"sluice:consumer"}).consumers[0].args["environment"]
        return {name: (await each.is_secret(), await each.future()) for name, each in variables.items()}

    assert asyncio.run(load()) == {"AB": (True, "hush"), "CD": (True, "")}


def test_what_is_made_of_a_secret_section_has_no_problem() -> None:
    async def problems() -> list[Any]:
        given = raw(consumer={"environment": {"AB": "hush"}})
        return consumer_args.problems(settings.load(given, secret={"sluice:consumer"}).consumers[0].args)

    assert asyncio.run(problems()) == []


def test_the_variables_of_any_other_section_stay_as_they_are() -> None:
    given = raw(consumer={"environment": {"AB": "x"}})
    others = {"sluice:front_door", "sluice:authorizer", "other:consumer", "aws:region"}
    assert settings.load(given, secret=others) == settings.load(given)


def test_a_secret_section_may_have_no_variables() -> None:
    assert not settings.load(raw(), secret={"sluice:consumer"}).consumers[0].args.get("environment")


def test_the_projects_defaults_are_settings_that_load() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert set(declared) == {*SHARED, *(section.key for section in SECTIONS), "consumer", "consumers"}
    assert all("default" in each for each in declared.values()), "the engine refuses a stack without"
    defaults = {f"sluice:{key}": json.dumps(each["default"]) for key, each in declared.items()}
    defaults |= {key: "" for key, value in defaults.items() if value == '""'}
    assert settings.load({**defaults, **raw()}).shared == {"log_retention_days": 30}


def test_the_open_stack_loads_as_it_is() -> None:
    assert settings.load(stack_config("open")).authorizer["kind"] is AuthorizerKind.NONE


@pytest.mark.parametrize("kind", ["function", "jwt", "cognito", "iam"])
def test_there_is_a_stack_of_each_kind_that_loads_as_it_is(kind: str) -> None:
    assert settings.load(stack_config(kind)).authorizer["kind"] == kind


def test_the_stack_behind_a_proxy_lacks_a_token_and_the_secrets_and_nothing_else() -> None:
    given = stack_config("proxy")
    assert refused_keys(given) == ["sluice:proxy.secrets", "sluice:authorizer.tokens"]
    for section, more in (("proxy", {"secrets": [SECRET]}), ("authorizer", {"tokens": TOKENS})):
        key = f"sluice:{section}"
        given = {**given, key: json.dumps({**json.loads(given[key]), **more})}
    loaded = settings.load(given)
    assert loaded.authorizer["proxy"]["secrets"] == [SECRET]
    assert loaded.limiter is not None


def test_the_full_stack_loads_as_it_is_with_all_that_there_is() -> None:
    loaded = settings.load(stack_config("full"))
    assert loaded.encryption_key == {}
    assert loaded.alarm_topic == {"emails": ["oncall@example.com"]}
    assert loaded.limiter is not None
    door = loaded.front_door
    assert [len(door["routes"]), len(door["queues"]), len(door["usage_plans"])] == [3, 2, 2]


def test_the_dev_stack_lacks_a_token_and_nothing_else() -> None:
    given = stack_config("dev")
    assert refused_keys(given) == ["sluice:authorizer.tokens"]
    section = {**json.loads(given["sluice:authorizer"]), "tokens": TOKENS}
    loaded = settings.load({**given, "sluice:authorizer": json.dumps(section)})
    assert loaded.authorizer["tokens"] == TOKENS
