import json
from typing import Any

import pulumi
import pytest
from aws_lambda_powertools.utilities.jmespath_utils import query
from pulumi.runtime import config

from components import retrier_args
from components.retrier_args import RetrierArgs, calls_from_queue, egresses, problems, rules_of
from handlers.retrier.wire import Trouble
from sluice.retrier import rules
from sluice.retrier.rules import Circuit, Pace, Secret, Upstream

ORIGIN = "https://api.example.com"
UPSTREAM = {"origin": ORIGIN}
SECRET_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:partner-Ab12Cd"
SECRET: dict[str, Any] = {"name": "partner", "secret_arn": SECRET_ARN, "origins": [ORIGIN]}
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:calls"
KEY = "arn:aws:kms:us-east-1:123456789012:key/abc"
NETWORK = {"subnet_ids": ["subnet-0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]}


def given(**args: Any) -> RetrierArgs:
    return {"upstreams": [UPSTREAM], **args}  # type: ignore[typeddict-item]


def paths(**args: Any) -> list[str]:
    return [each.path for each in problems(given(**args))]


def of_upstream(**upstream: Any) -> list[str]:
    return [each.removeprefix("upstreams[0].") for each in paths(upstreams=[{**UPSTREAM, **upstream}])]


def of_secret(**changes: Any) -> list[str]:
    return [each.removeprefix("secrets[0].") for each in paths(secrets=[{**SECRET, **changes}])]


def of_egress(**changes: Any) -> list[str]:
    return [each.removeprefix("egress[0].") for each in paths(egress=[{"name": "one", **changes}])]


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("attempts", 1, 20),
        ("deadline_seconds", 1, 270),
        ("timeout_seconds", 1, 120),
        ("base_seconds", 1, 3600),
        ("cap_seconds", 1, 3600),
        ("shared_pause_seconds", 0, 86_400),
        ("kept_seconds", 60, 2_592_000),
        ("memory_mb", 128, 10_240),
        ("reserved_concurrency", 1, 10_000),
    ],
)
def test_a_number_is_within_its_bounds(key: str, low: int, high: int) -> None:
    beside = {"cap_seconds": 3600} if key == "base_seconds" else {}
    for fine in (low, high):
        assert paths(**{**beside, key: fine}) == []
    for wrong in (low - 1, high + 1, low + 0.5, str(low), True):
        assert set(paths(**{**beside, key: wrong})) == {key}


@pytest.mark.parametrize(
    ("key", "low", "high"), [("calls", 1, 100_000), ("seconds", 1, 86_400), ("burst", 1, 10_000)]
)
def test_a_pace_is_within_its_bounds(key: str, low: int, high: int) -> None:
    beside = {"calls": 5, "seconds": 86_400}
    for fine in (low, high):
        assert of_upstream(**{**beside, key: fine}) == []
    for wrong in (low - 1, high + 1, True, "5"):
        assert of_upstream(**{**beside, key: wrong}) == [key]


def test_a_pace_is_no_faster_than_one_item_of_a_table_can_count() -> None:
    for fine in ({"calls": 300}, {"calls": 300, "seconds": 1}, {"calls": 3000, "seconds": 10}):
        assert of_upstream(**fine) == []
    for wrong in ({"calls": 301}, {"calls": 301, "seconds": 1}, {"calls": 3001, "seconds": 10}):
        assert of_upstream(**wrong) == ["calls"]


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("failure_percent", 1, 100),
        ("minimum_calls", 1, 10_000),
        ("window_seconds", 1, 3600),
        ("open_seconds", 1, 3600),
    ],
)
def test_a_circuit_s_numbers_are_within_their_bounds(key: str, low: int, high: int) -> None:
    for fine in (low, high):
        assert paths(circuit={key: fine}) == []
    for wrong in (low - 1, high + 1):
        assert paths(circuit={key: wrong}) == [f"circuit.{key}"]


def test_a_circuit_is_a_map_of_what_it_knows() -> None:
    assert paths(circuit=5) == ["circuit"]
    assert paths(circuit={"failures": 5}) == ["circuit.failures"]
    assert paths(circuit={"enabled": "no"}) == ["circuit.enabled"]


def test_a_standard_workflow_has_six_hours_and_an_express_one_less_than_five_minutes() -> None:
    assert paths(workflow="standard", deadline_seconds=21_600) == []
    assert paths(workflow="standard", deadline_seconds=21_601) == ["deadline_seconds"]
    assert paths(workflow="express", deadline_seconds=271) == ["deadline_seconds"]


@pytest.mark.parametrize(
    "origin",
    [
        ORIGIN,
        "http://backend",
        "https://api.example.com:8443",
        "https://a.example.com:65535",
        "https://*.example.com",
        "https://*.example.com:8443",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
    ],
)
def test_an_origin_is_a_scheme_a_host_and_perhaps_a_port(origin: str) -> None:
    assert paths(upstreams=[{"origin": origin}]) == []


@pytest.mark.parametrize(
    "origin",
    [
        *("api.example.com", "ftp://api.example.com", "https://", "https://*", "*", ""),
        *("https://api.example.com/", "https://api.example.com/v1", "https://api.example.com?a"),
        *("https://API.example.com", "HTTPS://api.example.com", "https://ann:x@api.example.com"),
        *("https://api..example.com", "https://-api.example.com", "https://api.*.example.com"),
        *("https://api.example.com:", "https://api.example.com:0", "https://api.example.com:080"),
        *("https://api.example.com:65536", "https://api.example.com:99999", "https://api.example.com:100000"),
        *("https://[1]", "https://[::::]", "https://[1:2]:8443", f"{ORIGIN}\n", f" {ORIGIN}", 5),
    ],
)
def test_what_is_no_origin_is_one_problem(origin: object) -> None:
    assert paths(upstreams=[{"origin": origin}]) == ["upstreams[0].origin"]


@pytest.mark.parametrize("upstream", [{}, {"origin": None}], ids=str)
def test_an_upstream_without_an_origin_is_refused(upstream: dict[str, Any]) -> None:
    assert {*paths(upstreams=[upstream])} == {"upstreams[0].origin"}


def test_a_wildcard_does_not_stand_for_a_whole_top_level() -> None:
    assert paths(upstreams=[{"origin": "https://*.com"}]) == ["upstreams[0].origin"]
    assert paths(upstreams=[{"origin": "https://*.localhost:8443"}]) == ["upstreams[0].origin"]


def test_without_upstreams_nobody_may_be_called_and_that_is_no_retrier() -> None:
    assert paths(upstreams=[]) == ["upstreams"]
    assert paths(upstreams=ORIGIN) == ["upstreams"]
    assert paths(upstreams=[ORIGIN]) == ["upstreams[0]"]


def test_upstreams_are_each_there_once_and_not_too_many() -> None:
    assert paths(upstreams=[UPSTREAM, UPSTREAM]) == ["upstreams[1].origin"]
    many = [{"origin": f"https://a{index}.example.com"} for index in range(101)]
    assert paths(upstreams=many[:100]) == []
    assert paths(upstreams=many) == ["upstreams"]


def test_a_pace_without_calls_is_none() -> None:
    assert of_upstream(seconds=5, burst=2) == ["seconds", "burst"]


@pytest.mark.parametrize("network", ["10.0.0.0/8", "192.168.7.0/24", "fd00::/8", "10.1.2.3/32"])
def test_private_networks_are_named_as_networks(network: str) -> None:
    assert paths(private_networks=[network]) == []


@pytest.mark.parametrize("network", ["10.0.0.1", "10.0.0.1/8", "private", "10.0.0.0/33", "", 5, None])
def test_what_is_no_network_is_refused(network: object) -> None:
    assert paths(private_networks=["10.0.0.0/8", network]) == ["private_networks[1]"]
    assert paths(private_networks="10.0.0.0/8") == ["private_networks"]


LOOPBACK = ["127.0.0.0/8", "127.0.0.1/32", "::1/128", "::ffff:127.0.0.1/128", "0.0.0.0/0", "::/0"]


@pytest.mark.parametrize("network", LOOPBACK)
def test_loopback_is_refused_on_aws(network: str) -> None:
    assert paths(private_networks=["10.0.0.0/8", network]) == ["private_networks[1]"]


def endpoints(monkeypatch: pytest.MonkeyPatch, told: str | None) -> None:
    """Have a stack's ``aws:endpoints`` say where AWS is."""
    monkeypatch.setattr(config, "get_config", {"aws:endpoints": told}.get)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("network", LOOPBACK)
def test_loopback_is_taken_on_a_local_aws(host: str, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints(monkeypatch, f'[{{"lambda":"http://{host}:4566","sqs":"http://{host}:4566"}}]')
    assert paths(private_networks=[network]) == []


@pytest.mark.parametrize(
    "told",
    [
        None,
        "",
        "[]",
        '[{"lambda":"https://lambda.us-east-1.amazonaws.com"}]',
        '[{"lambda":"http://127.0.0.1:4566","sqs":"https://sqs.us-east-1.amazonaws.com"}]',
        '[{"lambda":"http://127.0.0.1.example.com:4566"}]',
        '[{"lambda":"http://localhost.example.com"}]',
        '[{"lambda":"http://10.0.0.7:4566"}]',
        '[{"s3":"http://127.0.0.1:9000"}]',
        "not JSON",
        '["http://127.0.0.1:4566"]',
        '[{"lambda":null}]',
        '[{"lambda":"http://[::1"}]',
    ],
)
def test_loopback_is_refused_where_functions_or_any_endpoint_are_elsewhere(
    told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints(monkeypatch, told)
    assert not retrier_args.on_local_aws()
    assert paths(private_networks=["127.0.0.0/8"]) == ["private_networks[0]"]


def test_a_secret_is_named_and_goes_to_upstreams(output: pulumi.Output[str]) -> None:
    assert of_secret() == []
    assert of_secret(secret_arn=output, kms_key_arn=KEY, json_key="api token") == []
    assert of_secret(secret_arn=SECRET_ARN.rpartition("-")[0]) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("name", each) for each in ("", "Partner", "1st", "a" * 33, 5)),
        *(("secret_arn", each) for each in ("partner", KEY, f"{SECRET_ARN}*", 5)),
        *(("json_key", each) for each in ("", "a\n", "a" * 129, 5)),
        ("kms_key_arn", "alias/mine"),
        ("origins", []),
    ],
)
def test_a_secret_that_cannot_be_is_refused(key: str, value: object) -> None:
    assert of_secret(**{key: value}) == [key]


@pytest.mark.parametrize("origins", ["https://api.example.com", 5, {ORIGIN: True}])
def test_a_secret_s_origins_are_a_list(origins: object) -> None:
    assert of_secret(origins=origins) == ["origins"]


def test_a_secret_goes_nowhere_but_to_upstreams() -> None:
    elsewhere = [ORIGIN, "https://evil.example.net", "http://api.example.com", f"{ORIGIN}:8443"]
    assert of_secret(origins=elsewhere) == ["origins[1]", "origins[2]", "origins[3]"]
    told = problems(given(secrets=[{**SECRET, "origins": ["https://evil.example.net"]}]))
    assert ORIGIN in told[0].allowed


def test_secrets_are_each_there_once_and_not_too_many() -> None:
    assert paths(secrets=[SECRET, SECRET]) == ["secrets[1].name"]
    many = [{**SECRET, "name": f"s{index}"} for index in range(21)]
    assert paths(secrets=many[:20]) == []
    assert paths(secrets=many) == ["secrets"]
    assert paths(secrets=SECRET) == ["secrets"]


def test_a_secret_says_where_it_is_and_where_it_goes() -> None:
    assert paths(secrets=[{}]) == [f"secrets[0].{each}" for each in ("name", "origins", "secret_arn")]


def test_a_function_that_calls_is_made_in_a_network_of_its_own_or_exists(output: pulumi.Output[str]) -> None:
    assert of_egress() == []
    assert of_egress(**NETWORK) == []
    assert of_egress(subnet_ids=[output], security_group_ids=[output]) == []
    assert of_egress(function_arn=FUNCTION) == []
    assert of_egress(function_arn=output) == []


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"subnet_ids": ["subnet-0a1b2c3d"]}, ["security_group_ids"]),
        ({"security_group_ids": ["sg-0a1b2c3d"]}, ["subnet_ids"]),
        ({**NETWORK, "subnet_ids": []}, ["subnet_ids"]),
        ({**NETWORK, "security_group_ids": []}, ["security_group_ids"]),
        ({**NETWORK, "subnet_ids": ["sg-0a1b2c3d"]}, ["subnet_ids[0]"]),
        ({**NETWORK, "security_group_ids": ["subnet-0a1b2c3d"]}, ["security_group_ids[0]"]),
        ({**NETWORK, "function_arn": FUNCTION}, ["subnet_ids", "security_group_ids"]),
        ({"function_arn": "calls"}, ["function_arn"]),
        ({"name": "One"}, ["name"]),
        ({"name": None}, ["name"]),
        ({"address": "192.0.2.1"}, ["address"]),
    ],
)
def test_a_function_that_cannot_be_is_refused(changes: dict[str, Any], wrong: list[str]) -> None:
    assert of_egress(**changes) == wrong


@pytest.mark.parametrize("name", ["machine", "orchestrator", "start"])
def test_a_function_is_not_named_as_a_part_of_the_retrier(name: str) -> None:
    assert of_egress(name=name) == ["name"]


def test_functions_are_each_there_once_and_not_none_or_too_many() -> None:
    assert paths(egress=[]) == ["egress"]
    assert paths(egress=[{"name": "one"}, {"name": "two"}, {"name": "one"}]) == ["egress[2].name"]
    many = [{"name": f"e{index}"} for index in range(11)]
    assert paths(egress=many[:10]) == []
    assert paths(egress=many) == ["egress"]


def test_the_workflow_and_the_access_are_of_the_known_kinds() -> None:
    for workflow in ("express", "standard"):
        assert paths(workflow=workflow) == []
    for access in ("iam", "open", "none"):
        assert paths(access=access) == []
    assert paths(workflow="EXPRESS", access="public") == ["workflow", "access"]


@pytest.mark.parametrize(
    "principal",
    [
        "arn:aws:iam::123456789012:root",
        "arn:aws:iam::123456789012:role/orders/sender",
        "arn:aws:iam::123456789012:user/ann",
        "arn:aws-cn:sts::123456789012:assumed-role/sender/session",
    ],
)
def test_callers_are_roles_users_or_accounts(principal: str) -> None:
    assert paths(caller_arns=[principal]) == []


@pytest.mark.parametrize("principal", ["*", "arn:aws:iam::*:root", "123456789012", FUNCTION, None])
def test_nobody_else_is_a_caller(principal: object) -> None:
    assert paths(caller_arns=[principal]) == ["caller_arns[0]"]


@pytest.mark.parametrize("access", ["open", "none"])
def test_callers_are_named_where_they_sign_and_nowhere_else(access: str) -> None:
    assert paths(access=access, caller_arns=["arn:aws:iam::123456789012:root"]) == ["caller_arns"]


@pytest.mark.parametrize("other", [{"access": "none"}, {"workflow": "standard"}])
def test_outcomes_are_kept_where_the_orchestrator_keeps_them_and_nowhere_else(other: dict[str, Any]) -> None:
    assert paths(kept_seconds=3600) == []
    assert paths(kept_seconds=3600, **other) == ["kept_seconds"]


@pytest.mark.parametrize("access", ["iam", "open"])
def test_runs_are_set_aside_for_an_orchestrator_and_for_nothing_else(access: str) -> None:
    assert paths(access=access, reserved_concurrency=5) == []
    assert paths(access="none", reserved_concurrency=5) == ["reserved_concurrency"]


def test_failures_are_of_the_known_kinds() -> None:
    assert paths(failures=["connection", "timeout", "lost"]) == []
    assert paths(failures=[]) == [], "none is tried again"
    assert paths(failures=["timeout", "reset", "Lost", None]) == [f"failures[{each}]" for each in (1, 2, 3)]
    assert paths(failures="timeout") == ["failures"]


def test_statuses_are_of_errors_and_methods_known() -> None:
    assert paths(statuses=[400, 429, 599], methods=["GET", "PATCH"]) == []
    assert paths(statuses=[399, 429, 600, "503", True]) == [f"statuses[{index}]" for index in (0, 2, 3, 4)]
    assert paths(methods=["get", "POST", "CONNECT"]) == ["methods[0]", "methods[2]"]
    assert paths(statuses=429, methods="GET") == ["statuses", "methods"]
    assert paths(statuses=[], methods=[]) == [], "nothing is tried again"


def test_the_bound_of_waits_is_not_below_where_they_begin() -> None:
    assert paths(base_seconds=30) == []
    assert paths(base_seconds=31) == ["cap_seconds"]
    assert paths(base_seconds=5, cap_seconds=4) == ["cap_seconds"]
    assert paths(base_seconds=5, cap_seconds=5) == []
    assert paths(base_seconds=5000) == ["base_seconds"], "one wrong number is one problem"


@pytest.mark.parametrize("header", ["set-cookie", "connection", "keep-alive", "transfer-encoding",
                                    "content-encoding", "content-length", "set-*", "content-*", "c*",
                                    "sluice-error", "sluice-*"])  # fmt: skip
def test_what_is_between_the_upstream_and_us_never_goes_back(header: str) -> None:
    assert paths(response_headers=["content-type", header]) == ["response_headers[1]"]


@pytest.mark.parametrize("header", ["sluice*", "sluic*", "sl*"])
def test_a_pattern_does_not_take_an_upstream_s_word_for_ours(header: str) -> None:
    assert paths(response_headers=[header]) == ["response_headers[0]"]


@pytest.mark.parametrize("header", ["x-*", "content-type", "content-t*", "etag", "ratelimit-*", "set-c"])
def test_an_upstream_s_own_headers_may_go_back(header: str) -> None:
    assert paths(response_headers=[header]) == []


def test_headers_are_named_in_lower_case() -> None:
    assert paths(response_headers=["X-Total", "x total", "", "x*y"]) == [
        f"response_headers[{index}]" for index in range(4)
    ]
    assert paths(response_headers="x-total") == ["response_headers"]
    assert paths(idempotency_header="Idempotency-Key") == ["idempotency_header"]
    assert paths(idempotency_header="x-*") == ["idempotency_header"]
    assert paths(idempotency_header="x-request-key") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architecture", "arm"),
        ("tracing", "yes"),
        ("kms_key_arn", "alias/mine"),
        ("log_retention_days", 2),
        ("alarm_topic_arn", "topic"),
    ],
)
def test_functions_and_what_is_shared_are_checked(key: str, value: object) -> None:
    assert paths(**{key: value}) == [key]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = paths(
        upstreams=[{"origin": "https://*.com", "burst": 0}],
        private_networks=["::1/128"],
        secrets=[{**SECRET, "name": "P"}],
        egress=[{"name": "machine"}],
        workflow="fast",
        attempts=0,
        base_seconds=9,
        cap_seconds=8,
        circuit={"open_seconds": 0},
        response_headers=["set-cookie"],
        memory_mb=1,
        log_retention_days=2,
    )
    assert wrong == [
        *("upstreams[0].origin", "upstreams[0].burst", "upstreams[0].burst", "private_networks[0]"),
        *("secrets[0].name", "secrets[0].origins[0]", "egress[0].name", "workflow", "attempts"),
        *("cap_seconds", "circuit.open_seconds", "response_headers[0]", "memory_mb", "log_retention_days"),
    ]


def test_the_functions_are_told_what_is_given() -> None:
    found = rules_of(
        given(
            upstreams=[UPSTREAM, {"origin": "https://*.b.c", "calls": 5, "seconds": 2, "burst": 3}],
            private_networks=["10.0.0.0/8"],
            secrets=[{**SECRET, "json_key": "token"}],
            circuit={"failure_percent": 20, "minimum_calls": 5, "window_seconds": 60, "open_seconds": 90},
            timeout_seconds=60,
            statuses=[503],
            failures=["lost"],
            attempts=7,
            shared_pause_seconds=0,
        )
    )
    assert found.upstreams == (Upstream(ORIGIN, None), Upstream("https://*.b.c", Pace(5, 2, 3)))
    assert found.private_networks == ("10.0.0.0/8",)
    assert found.secrets == (Secret("partner", (ORIGIN,), "token"),), "no ARN, no value"
    assert found.circuit == Circuit(20, 5, 60, 90, probe_seconds=60 + rules.STARTING_SECONDS), (
        "a probe has the time of a whole call"
    )
    assert found.failures == ("lost",)
    assert (found.statuses, found.attempts, found.shared_pause_seconds) == ((503,), 7, 0)
    assert rules.loads(found.dumps()) == found


def test_the_functions_are_told_the_documented_defaults() -> None:
    found = rules_of(given(upstreams=[{"origin": ORIGIN, "calls": 5}]))
    assert found.upstreams == (Upstream(ORIGIN, Pace(5, 1, 1)),)
    assert found.statuses == (408, 425, 429, 500, 502, 503, 504)
    assert found.failures == ("connection", "timeout", "lost")
    assert found.methods == ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
    assert (found.attempts, found.deadline_seconds, found.timeout_seconds) == (5, 60, 10)
    assert (found.base_seconds, found.cap_seconds, found.shared_pause_seconds) == (1, 30, 60)
    assert found.idempotency_header == "idempotency-key"
    assert found.circuit == Circuit(50, 10, 30, 30, probe_seconds=25)
    assert problems(given(response_headers=[*found.response_headers])) == []


def test_there_is_no_circuit_where_it_is_switched_off() -> None:
    assert rules_of(given(circuit={"enabled": False, "open_seconds": 5})).circuit is None
    assert rules_of(given(circuit={"enabled": True})).circuit == rules_of(given()).circuit is not None


def test_every_failure_that_is_known_is_one_that_there_can_be() -> None:
    assert {*retrier_args.FAILURES} == {*Trouble}


def test_one_function_calls_unless_others_are_named() -> None:
    assert egresses(given()) == [{"name": "call"}]
    assert egresses(given(egress=[{"name": "one"}, {"name": "two"}])) == [{"name": "one"}, {"name": "two"}]


def test_a_consumer_has_the_time_of_a_whole_call_and_makes_one_at_a_time() -> None:
    assert calls_from_queue(given(deadline_seconds=45))["timeout_seconds"] == 75
    assert calls_from_queue(given())["timeout_seconds"] == 90
    assert calls_from_queue(given())["batch_size"] == 1


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"url": "https://api.example.com/", "idempotency_key": "order-1"}', "order-1"),
        ('{"url": "https://api.example.com/"}', "m-1"),
        ('{"url": "https://api.example.com/", "idempotency_key": ""}', "m-1"),
        ("[]", "m-1"),
        ("5", "m-1"),
    ],
)
def test_a_message_is_known_by_its_call_s_key_or_its_own_id(body: str, key: str) -> None:
    told = calls_from_queue(given())["idempotency"]
    assert query({"body": body, "messageId": "m-1"}, told["key"]) == key


def test_a_message_is_told_from_another_of_its_key_by_what_is_sent() -> None:
    told = calls_from_queue(given())["idempotency"]
    sent = {
        "method": "POST",
        "url": "https://api.example.com/",
        "headers": {"x-shop": "1"},
        "body": "an order",
        "body_base64": "YQ==",
    }
    body = json.dumps({**sent, "idempotency_key": "order-1", "deadline_seconds": 5})
    assert query({"body": body, "messageId": "m-1"}, told["payload"]) == [*sent.values()]
