import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.config import Config
from botocore.stub import Stubber

from handlers.retrier import secret_values
from handlers.retrier.secret_values import SecretUnavailableError, SecretValues

from .retrier_rules import rules, secret

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-AbCdEf"
HUSH = "hush-0123456789"
PARAMETERS = {"SecretId": ARN}


@contextmanager
def kept(*answers: dict[str, Any] | str, json_key: str | None = None) -> Iterator[SecretValues]:
    """Give the secret ``shop``; texts are the codes of errors. Every answer is to be asked for."""
    client = boto3.client(
        "secretsmanager", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    known = rules(secrets=(secret("shop", json_key=json_key), secret("other")))
    with Stubber(client) as stubber:
        for each in answers:
            if isinstance(each, str):
                stubber.add_client_error(
                    "get_secret_value", each, f"{HUSH} is no secret", expected_params=PARAMETERS
                )
            else:
                stubber.add_response("get_secret_value", {"ARN": ARN, **each}, PARAMETERS)
        yield SecretValues(
            lambda: SecretsProvider(boto3_client=client), {"shop": ARN, "other": ARN + "2"}, known
        )
        stubber.assert_no_pending_responses()


def read(value: str, json_key: str | None = None) -> str:
    with kept({"SecretString": value}, json_key=json_key) as secrets:
        return secrets.read("shop")


@pytest.mark.parametrize("value", ["x", HUSH, "Bearer a b\tc", "~!\"#$%&'()*+,-./:;<=>?@[]^_`{|}"])
def test_a_secret_is_its_text(value: str) -> None:
    assert read(value) == value


@pytest.mark.parametrize("around", ["{}\n", "\r\n{}\r\n", "  {} "])
def test_what_an_editor_leaves_around_a_secret_is_not_sent(around: str) -> None:
    assert read(around.format(HUSH)) == HUSH


def test_a_secret_may_be_a_value_of_an_object() -> None:
    assert read(json.dumps({"user": "shop", "token": HUSH}), "token") == HUSH


def test_a_secret_that_looks_like_json_is_a_text_where_no_key_is_meant() -> None:
    assert read('{"token":"x"}') == '{"token":"x"}'


@pytest.mark.parametrize("value", [None, True, {"a": 1}, ["x"]], ids=str)
def test_what_is_no_text_in_an_object_is_no_secret(value: object) -> None:
    # None and {'a': 1} are how Python writes it: an upstream could make nothing of that.
    with pytest.raises(SecretUnavailableError):
        read(json.dumps({"token": value}), "token")


@pytest.mark.parametrize("value", [HUSH, "{", "[]", '["token"]', '{"user":"hush"}', "null", "1", '"token"'])
def test_a_secret_without_its_key_is_none(value: str) -> None:
    with pytest.raises(SecretUnavailableError, match=r"^the secret 'shop' is no JSON object with 'token'$"):
        read(value, "token")


@pytest.mark.parametrize(
    "value", ["two\nlines", "two\r\nX-Admin: 1", "a\0b", "caf\u00e9", "\u4e2d", "a\x7f"], ids=ascii
)
@pytest.mark.parametrize("json_key", [None, "token"])
def test_what_is_no_header_is_refused_and_not_shown(value: str, json_key: str | None) -> None:
    with pytest.raises(SecretUnavailableError, match="not ASCII on one line") as found:
        read(json.dumps({"token": value}) if json_key else value, json_key)
    assert value not in str(found.value)


@pytest.mark.parametrize("json_key", [None, "token"])
def test_a_secret_of_bytes_is_refused_and_not_shown(json_key: str | None) -> None:
    value = json.dumps({"token": HUSH}).encode()
    with (
        kept({"SecretBinary": value}, json_key=json_key) as secrets,
        pytest.raises(SecretUnavailableError, match="not ASCII on one line") as found,
    ):
        secrets.read("shop")
    assert HUSH not in str(found.value)


@pytest.mark.parametrize(
    "code", ["ResourceNotFoundException", "AccessDeniedException", "DecryptionFailure", "ThrottlingException"]
)
def test_a_secret_that_cannot_be_read_says_only_that(code: str) -> None:
    told = r"^the secret 'shop' cannot be read$"
    with kept(code) as secrets, pytest.raises(SecretUnavailableError, match=told) as found:
        secrets.read("shop")
    assert found.value.__suppress_context__, "what AWS says may show more"


def test_a_secret_is_read_once_a_minute() -> None:
    with kept({"SecretString": "first"}) as secrets:
        assert {secrets.read("shop") for _ in range(5)} == {"first"}
    assert secret_values.KEPT_SECONDS == 60


def test_a_secret_that_was_rotated_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_values, "KEPT_SECONDS", -1)
    with kept({"SecretString": "first"}, {"SecretString": "second"}) as secrets:
        assert [secrets.read("shop"), secrets.read("shop")] == ["first", "second"]


def test_a_failure_is_not_kept() -> None:
    with kept("ThrottlingException", {"SecretString": HUSH}) as secrets:
        with pytest.raises(SecretUnavailableError):
            secrets.read("shop")
        assert secrets.read("shop") == HUSH


def test_nothing_is_made_ready_before_a_secret_is_read() -> None:
    def never() -> SecretsProvider:
        raise AssertionError("no secret was read")

    SecretValues(never, {"shop": ARN}, rules(secrets=(secret("shop"),)))


def test_secrets_are_named_by_a_json_object_of_arns(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get(_self: SecretsProvider, name: str, max_age: int) -> str:
        asked.append(name)
        return HUSH

    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr(SecretsProvider, "get", get)
    known = rules(secrets=(secret("shop"),))
    found = SecretValues.named(json.dumps({"shop": ARN}), known, Config(read_timeout=1))
    assert (found.read("shop"), asked) == (HUSH, [ARN])
