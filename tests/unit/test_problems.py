import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import alarm_topic, authorizer, consumer, dashboard, encryption_key, front_door_args, limiter
from components.arguments import Problem
from sluice import cli, tokens

ROOT = Path(__file__).parents[2]
OUTPUT = pulumi.Output.from_input("known later")
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:guard"
KEY = "arn:aws:kms:us-east-1:123456789012:key/abc"
TOPIC = "arn:aws:sns:us-east-1:123456789012:topic"
DIGEST = tokens.digest("any")
OTHER_DIGEST = tokens.digest("other")
TOKEN = f"{tokens.PREFIX}{'Zk3-_x9Q' * 5}abc"
GUARDED: dict[str, Any] = {"authorizer_function_arn": FUNCTION}
TOKENS: dict[str, Any] = {"kind": "token", "tokens": {"ann": DIGEST}}

Problems = Callable[[Any], list[Problem]]


def paths(problems: Problems, args: dict[str, Any]) -> list[str]:
    return [each.path for each in problems(args)]


SHARED_GOOD: list[dict[str, Any]] = [
    {"kms_key_arn": KEY},
    {"kms_key_arn": OUTPUT},
    {"log_retention_days": 1},
    {"alarm_topic_arn": TOPIC},
]
SHARED_BAD: list[tuple[str, dict[str, Any]]] = [
    ("kms_key_arn", {"kms_key_arn": "alias/key"}),
    ("kms_key_arn", {"kms_key_arn": TOPIC}),
    ("log_retention_days", {"log_retention_days": 2}),
    ("alarm_topic_arn", {"alarm_topic_arn": "topic"}),
    ("alarm_topic_arn", {"alarm_topic_arn": KEY}),
]

FRONT_DOOR_GOOD: list[dict[str, Any]] = [
    {},
    {"path": "messages"},
    {"path": "a/b-c/d.e:g_h"},
    {"path": "a/.b/c./..d/e../..."},
    {"path": "x" * 53},
    {"stage_name": "v1"},
    {"stage_name": "x" * 128},
    {"content_types": ["application/json", "text/plain", "application/vnd.api+json"]},
    {"answer": "summary"},
    {"answer": "sqs"},
    {"max_message_size": 1024},
    {"max_message_size": 1_048_576},
    {"visibility_timeout_seconds": 0},
    {"visibility_timeout_seconds": 43_200},
    {"message_retention_seconds": 60},
    {"message_retention_seconds": 1_209_600},
    {"max_receive_count": 1},
    {"max_receive_count": 1000},
    {"throttle_rate": 1, "throttle_burst": 1},
    {"manage_account_logging": True},
    {"authorizer_function_arn": FUNCTION, "authorizer_cache_ttl_seconds": 0},
    {"authorizer_function_arn": OUTPUT, "authorizer_cache_ttl_seconds": 3600},
    {"authorizer_function_arn": f"{FUNCTION}:live", "authorizer_token_pattern": tokens.BEARER},
    {"authorizer_function_arn": OUTPUT, "log_principal": True},
    {"log_principal": False},
    *SHARED_GOOD,
]
FRONT_DOOR_BAD: list[tuple[str, dict[str, Any]]] = [
    *[("path", {"path": path}) for path in ("", "/", "/a", "a/", "a//b", "a b", "{proxy+}", "a?b", "é", 5)],
    *[("path", {"path": path}) for path in (".", "..", "a/..", "../a", "a/./b", "a/../b", "a~b", "a\n")],
    *[("path", {"path": path}) for path in ("x" * 54, "a/" * 26 + "ab", "x" * 53 + "\n")],
    *[("stage_name", {"stage_name": name}) for name in ("", "a-b", "a/b", "x" * 129, "$default")],
    ("content_types", {"content_types": []}),
    ("content_types", {"content_types": "application/json"}),
    ("content_types[0]", {"content_types": ["Application/JSON"]}),
    ("content_types[0]", {"content_types": ["application/json; charset=utf-8"]}),
    ("content_types[1]", {"content_types": ["text/plain", "*/*"]}),
    ("content_types[0]", {"content_types": [5]}),
    ("answer", {"answer": "none"}),
    ("max_message_size", {"max_message_size": 1023}),
    ("max_message_size", {"max_message_size": 1_048_577}),
    ("visibility_timeout_seconds", {"visibility_timeout_seconds": 43_201}),
    ("message_retention_seconds", {"message_retention_seconds": 59}),
    ("message_retention_seconds", {"message_retention_seconds": 1_209_601}),
    ("max_receive_count", {"max_receive_count": 0}),
    ("max_receive_count", {"max_receive_count": 1001}),
    ("throttle_rate", {"throttle_rate": 0}),
    ("throttle_burst", {"throttle_burst": 100_001}),
    ("manage_account_logging", {"manage_account_logging": "yes"}),
    ("authorizer_function_arn", {"authorizer_function_arn": "guard"}),
    ("authorizer_function_arn", {"authorizer_function_arn": TOPIC}),
    ("authorizer_cache_ttl_seconds", {**GUARDED, "authorizer_cache_ttl_seconds": 3601}),
    *[
        ("authorizer_token_pattern", {**GUARDED, "authorizer_token_pattern": pattern})
        for pattern in ("(", "a**", "[z-a]", "(?P<a>x)(?P<a>y)", "a{99999999999}", 5, True, ["a"])
    ],
    ("log_principal", {**GUARDED, "log_principal": 1}),
    *[
        (key, {key: value})
        for key, value in (
            ("authorizer_cache_ttl_seconds", 60),
            ("authorizer_cache_ttl_seconds", 0),
            ("authorizer_token_pattern", tokens.BEARER),
            ("authorizer_token_pattern", ""),
            ("log_principal", True),
        )
    ],
    *SHARED_BAD,
]

AUTHORIZER_GOOD: list[dict[str, Any]] = [
    {"kind": "none"},
    {"kind": "none", "tokens": {}},
    {"kind": "function", "function_arn": FUNCTION},
    {"kind": "function", "function_arn": f"{FUNCTION}:live"},
    {"kind": "function", "function_arn": OUTPUT, "cache_ttl_seconds": 0},
    TOKENS,
    {"kind": "token", "tokens": {"a": DIGEST, "b-2_c": OTHER_DIGEST}, "cache_ttl_seconds": 3600},
    *[{**TOKENS, **each} for each in SHARED_GOOD],
]
AUTHORIZER_BAD: list[tuple[str, dict[str, Any]]] = [
    ("kind", {"kind": "jwt"}),
    ("kind", {"kind": ["token"]}),
    ("kind", {"kind": {}}),
    ("cache_ttl_seconds", {"kind": "none", "cache_ttl_seconds": 3601}),
    ("cache_ttl_seconds", {"kind": "none", "cache_ttl_seconds": -1}),
    ("function_arn", {"kind": "function"}),
    ("function_arn", {"kind": "function", "function_arn": "guard"}),
    ("function_arn", {"kind": "function", "function_arn": KEY}),
    ("function_arn", {"kind": "none", "function_arn": FUNCTION}),
    ("function_arn", {**TOKENS, "function_arn": OUTPUT}),
    ("tokens", {"kind": "token"}),
    ("tokens", {"kind": "token", "tokens": {}}),
    ("tokens", {"kind": "token", "tokens": [DIGEST]}),
    ("tokens", {"kind": "none", "tokens": {"ann": DIGEST}}),
    ("tokens", {"kind": "function", "function_arn": FUNCTION, "tokens": {"ann": DIGEST}}),
    ("tokens", {"kind": "token", "tokens": {"Ann": DIGEST}}),
    ("tokens", {"kind": "token", "tokens": {"": DIGEST}}),
    ("tokens", {"kind": "token", "tokens": {"ann": DIGEST, "bob-": OTHER_DIGEST}}),
    ("tokens", {"kind": "token", "tokens": {None: 5}}),
    ("tokens.5", {"kind": "token", "tokens": {5: 6}}),
    ("tokens.ann", {"kind": "token", "tokens": {"ann": "a" * 63}}),
    ("tokens.ann", {"kind": "token", "tokens": {"ann": DIGEST.upper()}}),
    ("tokens.ann", {"kind": "token", "tokens": {"ann": None}}),
    ("tokens.ann", {"kind": "token", "tokens": {"ann": TOKEN}}),
    ("tokens.ann", {"kind": "token", "tokens": {"ann": [DIGEST], "bob": DIGEST}}),
    *[(path, {**TOKENS, **each}) for path, each in SHARED_BAD],
]

CONSUMER_GOOD: list[dict[str, Any]] = [
    {},
    {"entry": "consumer:record_handler"},
    {"entry": "a.b_c.d:_e"},
    {"code": str(ROOT / "examples" / "recorder"), "entry": "recorder:record_handler"},
    {"environment": {}},
    {"environment": {"AB": "x", "a_1": OUTPUT, "b__": ""}},
    {"environment": {"AB": "x" * (3 * 1024 - 2), "CDE": OUTPUT}},
    {"queue_visibility_timeout_seconds": 43_200},
    {"table": "id"},
    {"timeout_seconds": 1},
    {"timeout_seconds": 900, "queue_visibility_timeout_seconds": 5400},
    {"timeout_seconds": 30, "queue_visibility_timeout_seconds": 180},
    {"memory_mb": 128},
    {"memory_mb": 10_240},
    {"architecture": "x86_64"},
    {"architecture": "arm64"},
    {"batch_size": 1},
    {"batch_size": 10, "batching_window_seconds": 0},
    {"batch_size": 11, "batching_window_seconds": 1},
    {"batch_size": 10_000, "batching_window_seconds": 300},
    {"maximum_concurrency": 2},
    {"maximum_concurrency": 1000},
    {"retry_base_seconds": 0, "retry_cap_seconds": 0},
    {"retry_base_seconds": 43_200, "retry_cap_seconds": 43_200},
    {"retry_base_seconds": 300},
    {"retry_cap_seconds": 2},
    *SHARED_GOOD,
]
CONSUMER_BAD: list[tuple[str, dict[str, Any]]] = [
    ("code", {"code": "/no/such/folder"}),
    ("code", {"code": __file__}),
    ("code", {"code": 5}),
    *[
        ("entry", {"entry": entry})
        for entry in ("", "a", "a:", ":b", "a:b:c", "a/b:c", "1a:b", "a..b:c", "a:b.c")
    ],
    ("environment", {"environment": ["A=x"]}),
    ("environment", {"environment": 5}),
    ("environment.AB", {"environment": {"AB": 1}}),
    *[
        ("environment", {"environment": {name: "x"}})
        for name in ("", "A", "_", "1A", "A-B", "A B", "A.B", "\u00e9t\u00e9", "AB\n", 5)
    ],
    ("environment", {"environment": {"AB": "x" * (3 * 1024 - 1)}}),
    ("environment", {"environment": {"AB": "\u00e9" * (3 * 512)}}),
    ("environment", {"environment": {f"NAME_{index}": "x" * 300 for index in range(11)}}),
    *[
        ("queue_visibility_timeout_seconds", {"queue_visibility_timeout_seconds": value})
        for value in (43_201, "180", 180.5, [180])
    ],
    *[
        (f"environment.{name}", {"environment": {name: "x"}})
        for name in ("AWS_REGION", "LAMBDA_X", "SLUICE_TABLE", "POWERTOOLS_LOG_LEVEL", "_HANDLER")
    ],
    ("table", {"table": ""}),
    ("table", {"table": "a b"}),
    ("table", {"table": "x" * 256}),
    ("timeout_seconds", {"timeout_seconds": 0}),
    ("timeout_seconds", {"timeout_seconds": 901, "queue_visibility_timeout_seconds": 43_200}),
    ("timeout_seconds", {"timeout_seconds": 31, "queue_visibility_timeout_seconds": 180}),
    ("timeout_seconds", {"queue_visibility_timeout_seconds": 179}),
    ("memory_mb", {"memory_mb": 127}),
    ("memory_mb", {"memory_mb": 10_241}),
    ("architecture", {"architecture": "riscv"}),
    ("batch_size", {"batch_size": 0}),
    ("batch_size", {"batch_size": 10_001, "batching_window_seconds": 1}),
    ("batching_window_seconds", {"batching_window_seconds": 301}),
    ("batching_window_seconds", {"batch_size": 11}),
    ("batching_window_seconds", {"batch_size": 11, "batching_window_seconds": 0}),
    ("maximum_concurrency", {"maximum_concurrency": 1}),
    ("maximum_concurrency", {"maximum_concurrency": 1001}),
    ("retry_base_seconds", {"retry_base_seconds": -1}),
    ("retry_base_seconds", {"retry_base_seconds": "5"}),
    ("retry_cap_seconds", {"retry_cap_seconds": 43_201}),
    ("retry_cap_seconds", {"retry_cap_seconds": "5"}),
    ("retry_cap_seconds", {"retry_base_seconds": 301}),
    ("retry_cap_seconds", {"retry_cap_seconds": 1}),
    ("retry_cap_seconds", {"retry_base_seconds": 10, "retry_cap_seconds": 9}),
    *SHARED_BAD,
]

LOG_GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:/door/access-1234567"
STAGE = "arn:aws:apigateway:us-east-1::/restapis/a1b2c3d4e5/stages/v1"
LIMITER_GOOD: list[dict[str, Any]] = [
    {},
    {"access_log_arn": LOG_GROUP},
    {"access_log_arn": OUTPUT, "stage_arn": OUTPUT, "api_name": OUTPUT, "stage_name": OUTPUT},
    {"access_log_arn": "arn:aws-us-gov:logs:us-gov-west-1:123456789012:log-group:x"},
    {"stage_arn": STAGE},
    {"stage_arn": STAGE, "log_blocked": True, "managed_rule_groups": ["AWSManagedRulesCommonRuleSet"]},
    {"api_name": "api", "stage_name": "v1"},
    {"count_only": True, "deletion_protection": True, "log_blocked": False, "managed_rule_groups": []},
    {"sets_per_family": 1},
    {"sets_per_family": 10},
    {"retry_after_seconds": 1},
    {"retry_after_seconds": 2_678_400},
    *[{"cors_origin": each} for each in ("*", "https://a.example.com", "http://localhost:8080")],
    {"burst_limit": 10},
    *[{"burst_limit": 2_000_000_000, "burst_window_seconds": each} for each in (60, 120, 300, 600)],
    {"block_rate_alarm": 1},
    {"block_rate_alarm": 1_000_000},
    {"windows": [{"name": "day", "limit": 5, "length_seconds": 86_400}], "weights": {"/a": 2}},
    {"allow": ["192.0.2.0/24"], "ipv6_prefix": 56},
    *SHARED_GOOD,
]
LIMITER_BAD: list[tuple[str, dict[str, Any]]] = [
    *[
        ("access_log_arn", {"access_log_arn": each})
        for each in ("", "door", f"{LOG_GROUP}:*", f"{LOG_GROUP}\n", KEY, 5)
    ],
    *[("stage_arn", {"stage_arn": each}) for each in ("", "v1", STAGE.replace("/stages", ""), LOG_GROUP, 5)],
    *[("sets_per_family", {"sets_per_family": each}) for each in (0, 11, 1.5, "2", True)],
    *[("retry_after_seconds", {"retry_after_seconds": each}) for each in (0, 2_678_401, "60")],
    *[
        ("cors_origin", {"cors_origin": each})
        for each in ("", "example.com", "https://", "https://a.com/", "https://a.com\r\nX: y", "null", 5)
    ],
    *[("burst_limit", {"burst_limit": each}) for each in (9, 2_000_000_001, "100", 10.5)],
    *[
        ("burst_window_seconds", {"burst_limit": 10, "burst_window_seconds": each})
        for each in (0, 59, 61, 3600, "60")
    ],
    ("burst_window_seconds", {"burst_window_seconds": 60}),
    *[
        ("managed_rule_groups[0]", {"stage_arn": STAGE, "managed_rule_groups": [each]})
        for each in ("", "CommonRuleSet", "AWSManagedRules", "AWSManagedRules:x", 5)
    ],
    ("managed_rule_groups", {"stage_arn": STAGE, "managed_rule_groups": "AWSManagedRulesCommonRuleSet"}),
    ("managed_rule_groups", {"managed_rule_groups": ["AWSManagedRulesCommonRuleSet"]}),
    (
        "managed_rule_groups[2]",
        {
            "stage_arn": STAGE,
            "managed_rule_groups": [
                "AWSManagedRulesCommonRuleSet",
                "AWSManagedRulesKnownBadInputsRuleSet",
                "AWSManagedRulesCommonRuleSet",
            ],
        },
    ),
    ("log_blocked", {"log_blocked": True}),
    *[("block_rate_alarm", {"block_rate_alarm": each}) for each in (0, 1_000_001, 1.5)],
    ("stage_name", {"api_name": "api"}),
    ("api_name", {"stage_name": "v1"}),
    *[
        (key, {"stage_arn": STAGE, key: "true"})
        for key in ("count_only", "deletion_protection", "log_blocked")
    ],
    ("windows[0].limit", {"windows": [{"name": "day", "limit": 0, "length_seconds": 86_400}]}),
    ("ipv6_prefix", {"ipv6_prefix": 8}),
    ("allow_short_windows", {"allow_short_windows": "yes"}),
    *SHARED_BAD,
]

DASHBOARD_GOOD: list[dict[str, Any]] = [
    {
        "front_door": {
            "api": "a",
            "stage": "s",
            "namespace": "n",
            "queues": [{"queue": "q", "dead_letter_queue": "d"}, {"queue": "r"}],
        }
    },
    {"authorizer": {"function": "f"}, "front_door": None},
    {"consumer": {"function": "f"}},
    *[{"consumer": {"function": "f"}, **each} for each in SHARED_GOOD],
]
DASHBOARD_BAD: list[tuple[str, dict[str, Any]]] = [
    ("front_door", {}),
    ("front_door", {"front_door": None, "authorizer": None, "consumer": None}),
    *[(path, {"consumer": {"function": "f"}, **each}) for path, each in SHARED_BAD],
]

ENCRYPTION_KEY_GOOD: list[dict[str, Any]] = [
    {},
    {"deletion_window_days": 7},
    {"deletion_window_days": 30},
    *SHARED_GOOD,
]
ENCRYPTION_KEY_BAD: list[tuple[str, dict[str, Any]]] = [
    *[("deletion_window_days", {"deletion_window_days": each}) for each in (6, 31, "7", 7.5, True)],
    *SHARED_BAD,
]

ALARM_TOPIC_GOOD: list[dict[str, Any]] = [
    {},
    {"emails": []},
    {"emails": ["oncall@example.com", "ops+sluice@example.co.uk"]},
    *SHARED_GOOD,
]
ALARM_TOPIC_BAD: list[tuple[str, dict[str, Any]]] = [
    *[
        ("emails[0]", {"emails": [each]})
        for each in ("", "ops", "@example.com", "a b@example.com", "a@b@c", 5)
    ],
    ("emails[1]", {"emails": ["ops@example.com", "ops@"]}),
    ("emails", {"emails": "ops@example.com"}),
    *SHARED_BAD,
]

GOOD = {
    alarm_topic.problems: ALARM_TOPIC_GOOD,
    encryption_key.problems: ENCRYPTION_KEY_GOOD,
    front_door_args.problems: FRONT_DOOR_GOOD,
    authorizer.problems: AUTHORIZER_GOOD,
    consumer.problems: CONSUMER_GOOD,
    limiter.problems: LIMITER_GOOD,
    dashboard.problems: DASHBOARD_GOOD,
}
BAD = {
    alarm_topic.problems: ALARM_TOPIC_BAD,
    encryption_key.problems: ENCRYPTION_KEY_BAD,
    front_door_args.problems: FRONT_DOOR_BAD,
    authorizer.problems: AUTHORIZER_BAD,
    consumer.problems: CONSUMER_BAD,
    limiter.problems: LIMITER_BAD,
    dashboard.problems: DASHBOARD_BAD,
}


def label(value: object) -> str:
    if callable(value):
        return value.__module__.rpartition(".")[2]
    # Every worker must give the same names: no addresses in memory.
    return re.sub(r" at 0x\w+", "", repr(value))[:60]


@pytest.mark.parametrize(
    ("problems", "args"), [(each, args) for each, many in GOOD.items() for args in many], ids=label
)
def test_good_arguments_have_no_problem(problems: Problems, args: dict[str, Any]) -> None:
    assert paths(problems, args) == []


@pytest.mark.parametrize(
    ("problems", "path", "args"),
    [(each, path, args) for each, many in BAD.items() for path, args in many],
    ids=label,
)
def test_a_bad_argument_is_named(problems: Problems, path: str, args: dict[str, Any]) -> None:
    found = paths(problems, args)
    assert set(found) == {path}


def test_every_problem_is_found_at_once() -> None:
    assert paths(front_door_args.problems, {"path": "", "answer": "x", "throttle_rate": 0}) == [
        "path",
        "answer",
        "throttle_rate",
    ]


def test_a_wait_out_of_range_is_told() -> None:
    # A base over the range is over every cap as well.
    assert "retry_base_seconds" in paths(consumer.problems, {"retry_base_seconds": 43_201})
    both = {"retry_base_seconds": 43_201, "retry_cap_seconds": 43_201}
    assert paths(consumer.problems, both) == ["retry_base_seconds", "retry_cap_seconds"]


def test_a_cap_below_the_base_tells_the_base() -> None:
    (found,) = consumer.problems({"retry_base_seconds": 301})  # type: ignore[typeddict-item]
    assert (found.value, found.allowed) == (300, "at least retry_base_seconds, which is 301")


def test_a_bad_name_is_told_beside_its_map_and_the_rest_is_checked_too() -> None:
    names = {"Ann": "not looked at", TOKEN: DIGEST, "bob": "short"}
    found = authorizer.problems({"kind": authorizer.AuthorizerKind.TOKEN, "tokens": names})
    assert [(each.path, each.value) for each in found] == [
        ("tokens", "Ann"),
        ("tokens", TOKEN),
        ("tokens.bob", "short"),
    ]


def test_two_names_for_one_token_are_refused() -> None:
    known = {"ann": DIGEST, "bob": OTHER_DIGEST, "eve": DIGEST}
    found = authorizer.problems({"kind": authorizer.AuthorizerKind.TOKEN, "tokens": known})
    assert [each.path for each in found] == ["tokens.ann", "tokens.eve"]
    assert {each.allowed for each in found} == {"a digest that no other name has"}


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (FUNCTION, "guard"),
        (f"{FUNCTION}:live", "guard"),
        (f"{FUNCTION}:$LATEST", "guard"),
        ("", ""),
        ("x:y", ""),
    ],
)
def test_a_function_is_named_by_any_arn_of_it(arn: str, name: str) -> None:
    assert authorizer._function_name(arn) == name


def test_without_an_authorizer_nothing_can_be_said_of_one() -> None:
    given: Any = {
        "authorizer_cache_ttl_seconds": 60,
        "authorizer_token_pattern": tokens.BEARER,
        "log_principal": True,
    }
    found = front_door_args.problems(given)
    assert [each.path for each in found] == list(given)
    assert {each.allowed for each in found} == {"nothing: there is no authorizer_function_arn"}
    assert paths(front_door_args.problems, {**given, "authorizer_function_arn": OUTPUT}) == []


def test_every_variable_that_is_no_good_is_named() -> None:
    given = {"A": "x", "AB": 5, "AWS_REGION": "x", "CD": "x" * 4096}
    found = paths(consumer.problems, {"environment": given})
    assert found == ["environment.AB", "environment", "environment.AWS_REGION", "environment"]


def test_no_problem_of_a_variable_shows_what_is_in_it_where_its_name_is_wrong() -> None:
    given: Any = {"environment": {"A": "hush", "_X": "hush", "BIG": "hush" * 1000}}
    assert "hush" not in "\n".join(map(str, consumer.problems(given)))


def test_the_default_entry_is_looked_for_in_the_code(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("def record_handler(record): ...\n")
    args: Any = {"code": str(tmp_path)}
    (found,) = consumer.problems(args)
    assert (found.path, found.value) == ("entry", consumer.ENTRY)
    (tmp_path / "other.py").rename(tmp_path / "consumer.py")
    assert consumer.problems(args) == []


@pytest.mark.parametrize(
    ("code", "entry"), [("examples/recorder", "recorder:record_handler"), ("tests", "unit.conftest:output")]
)
def test_a_folder_with_code_is_taken(code: str, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert paths(consumer.problems, {"code": code, "entry": entry}) == []


def test_a_folder_with_nothing_to_ship_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("x")
    found = consumer.problems({"code": str(tmp_path)})  # type: ignore[typeddict-item]
    assert [(each.path, each.allowed) for each in found] == [
        ("code", "a folder that holds your code; it is empty")
    ]


@pytest.mark.parametrize(
    "args",
    [
        {"kind": "token", "tokens": {"ann": TOKEN}},
        {"kind": "token", "tokens": {"ann": f"Bearer {TOKEN}"}},
        {"kind": "token", "tokens": {"ann": f" {TOKEN}"}},
        {"kind": "token", "tokens": {TOKEN: DIGEST}},
        {"kind": "token", "tokens": TOKEN},
        {"kind": "token", "tokens": [TOKEN]},
        {"kind": "none", "tokens": {"ann": TOKEN}},
    ],
    ids=["digest", "header", "space", "name", "text", "list", "kind none"],
)
def test_no_problem_shows_a_token(args: Any) -> None:
    found = authorizer.problems(args)
    assert found
    # Problems end up in consoles and in the logs of a CI.
    assert TOKEN[-20:] not in "\n".join(map(str, found))


def test_a_missing_digest_tells_the_two_commands_that_work(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = authorizer.problems({"kind": authorizer.AuthorizerKind.TOKEN})
    make, know = map(shlex.split, found.remedy.splitlines())
    assert make[:3] == ["python3", "-m", "sluice.cli"]
    assert cli.main(make[3:]) == 0
    # The last line that the first prints is the second with the digest in it.
    assert shlex.split(capsys.readouterr().out.splitlines()[-1])[:-1] == know[:-1]


@pytest.mark.parametrize(("timeout", "visibility"), [(31, 180), (900, 60), (7, 41)])
def test_a_timeout_that_is_too_long_tells_both_ways_out(timeout: int, visibility: int) -> None:
    args: Any = {"timeout_seconds": timeout, "queue_visibility_timeout_seconds": visibility}
    (found,) = consumer.problems(args)
    lower, higher = visibility // 6, timeout * 6
    assert f"lower it to {lower}," in found.remedy
    assert found.remedy.endswith(f"visibility_timeout_seconds to {higher}")
    for way_out in ({"timeout_seconds": lower}, {"queue_visibility_timeout_seconds": higher}):
        assert paths(consumer.problems, {**args, **way_out}) == []


def test_a_timeout_is_never_to_be_lowered_to_nothing() -> None:
    args: Any = {"timeout_seconds": 1, "queue_visibility_timeout_seconds": 5}
    (found,) = consumer.problems(args)
    assert "lower it to 0" not in found.remedy


def test_what_is_wrong_with_a_limiter_is_told_at_once() -> None:
    given: Any = {
        "access_log_arn": "x",
        "windows": [],
        "sets_per_family": 0,
        "burst_window_seconds": 7,
        "log_blocked": True,
        "kms_key_arn": "x",
    }
    assert set(paths(limiter.problems, given)) == given.keys()


def test_what_belongs_into_a_web_acl_of_somebody_else_is_said_to() -> None:
    (found,) = limiter.problems({"log_blocked": True})  # type: ignore[typeddict-item]
    assert found.allowed == "nothing, without stage_arn: it belongs into your web ACL"
