import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import token_authorizer
from handlers.token_authorizer import ANONYMOUS, TokenRequest, decide
from sluice import tokens

TOKEN = tokens.mint()
DIGESTS = {"ann": tokens.digest(TOKEN), "bob": tokens.digest(tokens.mint())}
API = "arn:aws:execute-api:us-east-1:123456789012:abc123"


def request(header: str, method: str = "POST/messages") -> TokenRequest:
    return {"type": "TOKEN", "authorizationToken": header, "methodArn": f"{API}/v1/{method}"}


def statement(decision: Any) -> dict[str, str]:
    (found,) = decision["policyDocument"]["Statement"]
    return dict(found)


def test_the_holder_of_a_token_may_call_the_whole_stage() -> None:
    decision = decide(request(f"Bearer {TOKEN}"), DIGESTS)
    assert decision["principalId"] == "ann"
    assert decision["policyDocument"]["Version"] == "2012-10-17"
    assert statement(decision) == {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        # The decision is cached by the token alone: a method here would refuse the caller every other one.
        "Resource": f"{API}/v1/*",
    }


@pytest.mark.parametrize("method", ["POST/messages", "GET/", "POST/a/b/c", "PUT/v1/v2"])
def test_a_decision_is_the_same_for_every_method(method: str) -> None:
    asked = f"Bearer {TOKEN}"
    assert decide(request(asked, method), DIGESTS) == decide(request(asked), DIGESTS)


STRANGERS = [
    "",
    " ",
    "Bearer",
    "Bearer ",
    TOKEN,
    f"bearer {TOKEN}",
    f"BEARER {TOKEN}",
    f"Basic {TOKEN}",
    f"Bearer  {TOKEN}",
    f"Bearer {TOKEN} ",
    f" Bearer {TOKEN}",
    f"Bearer\t{TOKEN}",
    f"Bearer {TOKEN[:-1]}",
    f"Bearer {tokens.mint()}",
    f"Bearer {DIGESTS['ann']}",
    "Bearer ann",
    "Bearer s\u00e9same \u4e2d\U0001f600",
    f"Bearer {'x' * 8192}",
]


@pytest.mark.parametrize("header", STRANGERS, ids=range(len(STRANGERS)))
def test_everybody_else_is_denied_by_an_answer(header: str) -> None:
    decision = decide(request(header), DIGESTS)
    assert decision["principalId"] == ANONYMOUS
    assert statement(decision)["Effect"] == "Deny"
    assert statement(decision)["Resource"] == f"{API}/v1/*"


@given(st.text())
def test_no_header_breaks_the_function(header: str) -> None:
    for asked in (header, f"Bearer {header}"):
        assert decide(request(asked), DIGESTS)["principalId"] == ANONYMOUS


def test_nobody_may_where_no_token_is_known() -> None:
    assert statement(decide(request(f"Bearer {TOKEN}"), {}))["Effect"] == "Deny"


def test_no_token_can_have_the_name_of_nobody() -> None:
    assert not tokens.NAME.fullmatch(ANONYMOUS)


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the function, with digests beside its module."""
    (tmp_path / token_authorizer.DIGESTS_FILE).write_text(json.dumps(DIGESTS))
    monkeypatch.setattr(token_authorizer, "__file__", str(tmp_path / "token_authorizer.py"))
    token_authorizer.read_digests.cache_clear()
    return tmp_path


def test_the_digests_are_read_once(deployed: Path) -> None:
    asked = request(f"Bearer {TOKEN}")
    first = token_authorizer.handler(asked, None)
    (deployed / token_authorizer.DIGESTS_FILE).unlink()
    assert token_authorizer.handler(asked, None) == first
    assert first["principalId"] == "ann"


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (TOKEN, {"decision": "allow", "principal": "ann"}),
        ("sluice_guess", {"decision": "deny", "principal": ANONYMOUS}),
    ],
    ids=["known", "unknown"],
)
@pytest.mark.usefixtures("deployed")
def test_a_decision_is_logged_without_the_token(
    token: str, told: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    token_authorizer.handler(request(f"Bearer {token}"), None)
    out, err = capsys.readouterr()
    assert json.loads(out) == told
    assert token not in out + err
    assert tokens.digest(token) not in out + err


def test_a_function_without_its_digests_fails_loudly(deployed: Path) -> None:
    (deployed / token_authorizer.DIGESTS_FILE).unlink()
    with pytest.raises(FileNotFoundError):
        token_authorizer.handler(request(f"Bearer {TOKEN}"), None)
