import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.authorizer_args import known_tokens
from handlers import authorizing, token_authorizer
from handlers.authorizing import ANONYMOUS, Caller, Check, Log, RefusedError, SettingsError
from handlers.emf import Source
from sluice import tokens
from sluice.tokens import Token

from .authorizer_events import VARIABLES, Door, Told, read, statement, token_event

NOW = 1_750_000_000
TOKEN, NEXT_TOKEN, OTHER = tokens.mint(), tokens.mint(), tokens.mint()
ANN = Token("ann", tokens.digest(TOKEN))
BOB = Token("bob", tokens.digest(OTHER))


def check_of(*known: Token) -> Check:
    settings = {"proxy": None, "tokens": [each._asdict() for each in known]}
    return token_authorizer.checking(settings, Log(Source.read(VARIABLES)))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the one time that it is, in milliseconds."""
    time = [NOW * 1000]
    monkeypatch.setattr(token_authorizer, "now", lambda: time[0])
    return time


def test_the_holder_of_a_token_is_called_by_its_name() -> None:
    check = check_of(ANN, BOB)
    assert check(TOKEN) == Caller("ann", {})
    assert check(OTHER) == Caller("bob", {})


STRANGERS = [
    "",
    " ",
    "ann",
    TOKEN[:-1],
    f"{TOKEN} ",
    f" {TOKEN}",
    f"{TOKEN}x",
    TOKEN.swapcase(),
    TOKEN.removeprefix(tokens.PREFIX),
    NEXT_TOKEN,
    ANN.sha256,
    "s\u00e9same",
    "x" * 8192,
    "x" * 8193,
]


@pytest.mark.parametrize("token", STRANGERS, ids=range(len(STRANGERS)))
def test_everybody_else_is_refused(token: str) -> None:
    with pytest.raises(RefusedError, match=r"^unknown token$"):
        check_of(ANN, BOB)(token)


@given(st.text())
@example("")
def test_no_text_is_taken_for_a_token_or_breaks_the_function(token: str) -> None:
    with pytest.raises(RefusedError, match=r"^unknown token$"):
        check_of(ANN, BOB)(token)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_a_token_with_any_other_character_in_it_is_another(place: int, character: str) -> None:
    changed = f"{TOKEN[:place]}{character}{TOKEN[place + 1 :]}"
    if changed != TOKEN:
        with pytest.raises(RefusedError):
            check_of(ANN)(changed)


@pytest.mark.parametrize(
    ("milliseconds", "allowed"), [(-1_000, True), (-1, True), (0, False), (1, False), (86_400_000, False)]
)
def test_a_token_ends_at_its_second_and_not_before(
    milliseconds: int, allowed: bool, clock: list[int]
) -> None:
    check = check_of(ANN._replace(expires=NOW), BOB)
    clock[0] += milliseconds
    if allowed:
        assert check(TOKEN).principal == "ann"
    else:
        with pytest.raises(RefusedError, match=r"^expired token of ann$"):
            check(TOKEN)
    assert check(OTHER).principal == "bob", "no other token ends with it"


def test_a_token_without_an_end_is_good_for_ever(clock: list[int]) -> None:
    check = check_of(ANN)
    clock[0] = 2**53
    assert check(TOKEN).principal == "ann"


def test_two_tokens_of_one_name_are_good_while_one_takes_the_other_s_place(clock: list[int]) -> None:
    check = check_of(ANN._replace(expires=NOW + 60), Token("ann", tokens.digest(NEXT_TOKEN)))
    assert {check(each).principal for each in (TOKEN, NEXT_TOKEN)} == {"ann"}
    clock[0] += 60_000
    with pytest.raises(RefusedError, match="expired"):
        check(TOKEN)
    assert check(NEXT_TOKEN).principal == "ann"


@pytest.mark.parametrize("shown", [TOKEN, OTHER, NEXT_TOKEN], ids=["first", "last", "nobody's"])
def test_every_digest_is_compared_in_constant_time(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    constant_time = hmac.compare_digest

    def recording(one: str, other: str) -> bool:
        compared.append((one, other))
        return constant_time(one, other)

    monkeypatch.setattr(hmac, "compare_digest", recording)
    known = [ANN, Token("eve", tokens.digest("x")), Token("eve", tokens.digest("y")), BOB]
    decision = Door(check_of(*known)).ask(token_event(f"Bearer {shown}"))
    # A search that ends at the first match would tell by its length where the match is.
    assert compared == [(tokens.digest(shown), each.sha256) for each in known]
    assert decision["principalId"] == {TOKEN: "ann", OTHER: "bob"}.get(shown, ANONYMOUS)


def test_without_a_token_that_is_known_nothing_is_decided() -> None:
    with pytest.raises(SettingsError, match="no tokens are known"):
        check_of()


def test_no_token_can_have_the_name_of_nobody() -> None:
    assert not tokens.NAME.fullmatch(ANONYMOUS)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the settings of a function that is deployed and was not asked yet."""
    monkeypatch.setattr(authorizing, "__file__", str(tmp_path / "authorizing.py"))
    monkeypatch.setattr(token_authorizer, "handler", authorizing.handler(token_authorizer.checking))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    args: Any = {
        "kind": "token",
        "tokens": [
            {"name": "ann", "sha256": ANN.sha256},
            {"name": "bob", "sha256": BOB.sha256, "expires": "2025-06-15T15:06:40Z"},
        ],
    }
    file = tmp_path / authorizing.SETTINGS_FILE
    file.write_text(json.dumps({"proxy": None, "tokens": [each._asdict() for each in known_tokens(args)]}))
    return file


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    ("token", "told"),
    [
        (TOKEN, Told("Allowed", {"decision": "allow", "principal": "ann"})),
        (OTHER, Told("Refused", {"decision": "deny", "reason": "expired token of bob"})),
        (NEXT_TOKEN, Told("Refused", {"decision": "deny", "reason": "unknown token"})),
    ],
    ids=["known", "expired", "unknown"],
)
def test_a_function_decides_by_what_was_shipped_and_tells_no_token(
    token: str, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = token_authorizer.handler(token_event(f"Bearer {token}"), None)
    assert statement(decision)["Effect"] == ("Allow" if told.metric == "Allowed" else "Deny")
    out, err = capsys.readouterr()
    assert read(out) == [told]
    assert token not in out + err
    assert tokens.digest(token) not in out + err


def test_the_settings_are_read_once(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = token_event(f"Bearer {TOKEN}")
    first = token_authorizer.handler(asked, None)
    shipped.unlink()
    assert token_authorizer.handler(asked, None) == first
    assert len(read(capsys.readouterr().out)) == 2


def test_a_function_without_tokens_fails_loudly(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped.write_text(json.dumps({"proxy": None, "tokens": []}))
    with pytest.raises(SettingsError):
        token_authorizer.handler(token_event(f"Bearer {TOKEN}"), None)
    (told,) = read(capsys.readouterr().out)
    assert told == Told(
        "SettingsErrors",
        {"level": "ERROR", "message": "authorizer settings", "reason": "no tokens are known"},
    )


def test_a_function_without_its_settings_fails_loudly(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped.unlink()
    with pytest.raises(SettingsError):
        token_authorizer.handler(token_event(f"Bearer {TOKEN}"), None)
    assert [each.metric for each in read(capsys.readouterr().out)] == ["SettingsErrors"]
