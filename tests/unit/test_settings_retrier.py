import json
from pathlib import Path
from typing import Any

import pytest

import settings
from settings import Settings, SettingsError

ROOT = Path(settings.__file__).parent
UPSTREAMS = [{"origin": "https://api.example.com", "calls": 10}]
PATIENT = {"visibility_timeout_seconds": 540}
"""Six times what a call may take by default, with its waits."""
RECORDER = {"code": "examples/recorder", "entry": "recorder:record_handler"}


def load(**sections: Any) -> Settings:
    given = {"authorizer": {"kind": "none"}, "front_door": PATIENT, "consumer": RECORDER, **sections}
    return settings.load({f"sluice:{key}": json.dumps(value) for key, value in given.items()})


def refused(**sections: Any) -> list[str]:
    with pytest.raises(SettingsError) as refusal:
        load(**sections)
    return [each.path.removeprefix("sluice:") for each in refusal.value.problems]


def test_there_is_a_retrier_where_its_section_holds_something_and_nowhere_else() -> None:
    assert load().retrier is None
    assert load(retrier={}).retrier is None
    assert load(retrier={"upstreams": UPSTREAMS}).retrier == {"upstreams": UPSTREAMS}


def test_a_retrier_s_settings_have_the_types_of_its_arguments() -> None:
    loaded = load(retrier={"upstreams": UPSTREAMS, "attempts": "7", "tracing": "true", "statuses": ["503"]})
    assert loaded.retrier == {"upstreams": UPSTREAMS, "attempts": 7, "tracing": True, "statuses": [503]}
    loaded = load(retrier={"upstreams": UPSTREAMS, "failures": ["lost"], "reserved_concurrency": "5"})
    assert loaded.retrier == {"upstreams": UPSTREAMS, "failures": ["lost"], "reserved_concurrency": 5}


@pytest.mark.parametrize(
    ("section", "paths"),
    [
        ({"attempts": 3}, ["upstreams"]),
        ({"atempts": 3, "upstreams": UPSTREAMS}, ["atempts"]),
        ({"upstreams": UPSTREAMS, "enabled": True}, ["enabled"]),
        ({"upstreams": []}, ["upstreams"]),
        ({"upstreams": [{"origin": "https://*.com"}]}, ["upstreams[0].origin"]),
        ({"upstreams": [{"orign": "https://a.b"}]}, ["upstreams[0].orign", "upstreams[0].origin"]),
        ({"upstreams": "https://api.example.com"}, ["upstreams"]),
        ({"upstreams": UPSTREAMS, "attempts": "many"}, ["attempts"]),
        ({"upstreams": UPSTREAMS, "attempts": 0, "cap_seconds": 0}, ["attempts", "cap_seconds"]),
        ({"upstreams": UPSTREAMS, "private_networks": ["127.0.0.0/8"]}, ["private_networks[0]"]),
        ({"upstreams": UPSTREAMS, "failures": ["slow"]}, ["failures[0]"]),
        ({"upstreams": UPSTREAMS, "access": "none", "reserved_concurrency": 5}, ["reserved_concurrency"]),
        ({"upstreams": UPSTREAMS, "kms_key_arn": "key"}, ["kms_key_arn"]),
        ({"upstreams": UPSTREAMS, "log_retention_days": 30}, ["log_retention_days"]),
    ],
)
def test_a_retrier_s_wrong_settings_are_told_under_its_section(
    section: dict[str, Any], paths: list[str]
) -> None:
    assert list(dict.fromkeys(refused(retrier=section))) == [f"retrier.{each}" for each in paths]


def test_what_a_retrier_misses_is_told_in_its_own_words() -> None:
    with pytest.raises(SettingsError, match="who may be called, with at least an origin each"):
        load(retrier={"attempts": 3})


def test_a_consumer_makes_calls_of_its_messages_where_it_is_told_to() -> None:
    (worker,) = load(retrier={"upstreams": UPSTREAMS}, consumer={"calls": True}).consumers
    assert worker.makes_calls
    assert worker.args["code"] == str(ROOT / "handlers/queued_calls")
    assert worker.args["entry"] == "queued_calls:record_handler"
    assert (worker.args.get("timeout_seconds"), worker.args.get("batch_size")) == (90, 1)
    assert worker.args.get("poison_errors") == [
        *("queued_calls.UnmakeableCallError", "queued_calls.RefusedError"),
    ]
    assert "calls" not in worker.args


def test_a_message_that_comes_again_is_known_by_its_call_s_key() -> None:
    (worker,) = load(retrier={"upstreams": UPSTREAMS}, consumer={"calls": True}).consumers
    key = "powertools_json(body).idempotency_key || messageId"
    payload = "powertools_json(body).[method, url, headers, body, body_base64]"
    assert worker.args.get("idempotency") == {"key": key, "payload": payload}


def test_how_long_a_call_is_known_does_not_change_what_it_is_known_by() -> None:
    calls = {"calls": True, "idempotency": {"expires_after_seconds": 600}}
    (worker,) = load(retrier={"upstreams": UPSTREAMS}, consumer=calls).consumers
    known = worker.args.get("idempotency", {})
    assert known.keys() == {"key", "payload", "expires_after_seconds"}


def test_calls_that_nobody_waits_for_do_not_come_from_a_queue() -> None:
    standard = {"upstreams": UPSTREAMS, "workflow": "standard"}
    assert refused(retrier=standard, consumer={"calls": True}) == ["consumer.calls"]
    with pytest.raises(SettingsError, match=r"sluice:retrier\.workflow is standard"):
        load(retrier=standard, consumer={"calls": True})
    assert load(retrier=standard).retrier == standard, "without calls from a queue it may be"


def test_a_consumer_s_time_follows_from_the_retrier_s_deadline() -> None:
    def seconds(**retrier: Any) -> int | None:
        loaded = load(retrier={"upstreams": UPSTREAMS, **retrier}, consumer={"calls": "true"})
        return loaded.consumers[0].args.get("timeout_seconds")

    assert seconds(deadline_seconds=45) == 75
    assert seconds() == 90


def test_what_a_consumer_that_makes_calls_is_told_goes_before_what_it_has_of_the_retrier() -> None:
    told = {"calls": True, "timeout_seconds": 80, "maximum_concurrency": 5, "memory_mb": 512}
    (worker,) = load(retrier={"upstreams": UPSTREAMS, "deadline_seconds": 45}, consumer=told).consumers
    assert worker.args.get("timeout_seconds") == 80
    assert worker.args.get("maximum_concurrency") == 5
    assert worker.args.get("memory_mb") == 512


def test_a_queue_that_shows_messages_again_before_a_call_can_end_is_refused() -> None:
    front_door = {"visibility_timeout_seconds": 539}
    paths = refused(retrier={"upstreams": UPSTREAMS}, consumer={"calls": True}, front_door=front_door)
    assert paths == ["consumer.timeout_seconds"]


@pytest.mark.parametrize("retrier", [{}, {"upstreams": UPSTREAMS}])
def test_a_consumer_with_code_of_its_own_makes_no_calls(retrier: dict[str, Any]) -> None:
    for consumer in (RECORDER, {**RECORDER, "calls": False}):
        (worker,) = load(retrier=retrier, consumer=consumer).consumers
        assert not worker.makes_calls
        assert "calls" not in worker.args
        assert "timeout_seconds" not in worker.args


def test_calls_without_a_retrier_are_refused() -> None:
    assert refused(consumer={"calls": True}) == ["consumer.calls"]
    with pytest.raises(SettingsError, match="there is no retrier, whose upstreams are in sluice:retrier"):
        load(consumer={"calls": True})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("code", "examples/recorder"),
        ("image_uri", "123456789012.dkr.ecr.us-east-1.amazonaws.com/orders:v1"),
        ("function_arn", "arn:aws:lambda:us-east-1:123456789012:function:orders"),
        ("entry", "recorder:record_handler"),
        ("requirements", "handlers/layers/consumer.txt"),
        ("environment", {"MODE": "fast"}),
        ("policy_arns", ["arn:aws:iam::123456789012:policy/orders"]),
        ("table", "id"),
        ("poison_errors", ["ValueError"]),
    ],
)
def test_a_consumer_that_makes_calls_is_told_nothing_of_other_code(key: str, value: object) -> None:
    paths = refused(retrier={"upstreams": UPSTREAMS}, consumer={"calls": True, key: value})
    assert paths[0] == f"consumer.{key}"


def test_each_of_several_consumers_makes_calls_or_not() -> None:
    queues: list[dict[str, Any]] = [{"name": "orders"}, {"name": "calls", **PATIENT}]
    routes = [{"path": each["name"], "queue": each["name"]} for each in queues]
    loaded = load(
        retrier={"upstreams": UPSTREAMS},
        front_door={"queues": queues, "routes": routes},
        consumer={},
        consumers=[
            {"name": "orders", "queue": "orders", **RECORDER},
            {"name": "calls", "queue": "calls", "calls": True},
        ],
    )
    assert [(each.name, each.makes_calls) for each in loaded.consumers] == [
        ("consumer-orders", False),
        ("consumer-calls", True),
    ]


def test_what_is_wrong_with_one_of_several_is_told_under_its_place() -> None:
    consumers = [{"name": "calls", "calls": True, "entry": "a:b"}]
    assert refused(retrier={"upstreams": UPSTREAMS}, consumer={}, consumers=consumers) == [
        "consumers[0].entry"
    ]
