import hmac
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handlers import authorizing
from handlers.authorizing import (
    ADDRESS,
    ANONYMOUS,
    Caller,
    Check,
    Decision,
    Log,
    RefusedError,
    Request,
    Settings,
    SettingsError,
)
from handlers.emf import Source
from sluice import access_log, tokens

from .authorizer_events import STAGE, VARIABLES, Door, Told, read, request_event, statement, token_event

SECRET = "a-secret-of-the-proxy-0123456789abcdef"
NEXT_SECRET = "the-secret-of-tomorrow-0123456789abcdef"
PROXY: Settings = {
    "address_header": "x-client-ip",
    "secret_header": "x-origin-secret",
    "secrets": [tokens.digest(SECRET), tokens.digest(NEXT_SECRET)],
}
CLIENT = "198.51.100.7"
THROUGH: Mapping[str, Sequence[str]] = {
    "Authorization": ["Bearer good"],
    "X-Client-Ip": [CLIENT],
    "X-Origin-Secret": [SECRET],
}
"""The headers of a request that came through the proxy."""
ANN = Caller("ann", {"tenant": "blue"})
TEXTS = st.text(st.characters(exclude_categories=()))
"""Any text, also of what no encoding can hold."""


def ann_or_nobody(token: str) -> Caller:
    if token != "good":
        raise RefusedError("unknown token")
    return ANN


def never(_token: str) -> Caller:
    raise AssertionError("the token was looked at")


def broken(_token: str) -> Caller:
    raise SettingsError("the issuer's keys cannot be had")


def through(**headers: Sequence[str]) -> Request:
    """Return a request through the proxy, with some headers of its own; without those that have no value."""
    named = {name.replace("_", "-"): values for name, values in headers.items()}
    return request_event({name: values for name, values in {**THROUGH, **named}.items() if values})


@pytest.mark.parametrize("method", ["POST/messages", "GET/", "GET", "POST/a/b/c", "PUT/v1/v2"])
@pytest.mark.parametrize("token", ["good", "bad"])
def test_a_decision_is_about_the_whole_stage(token: str, method: str) -> None:
    # It is cached under the token alone: a method here would refuse the caller every other one.
    decision = Door(ann_or_nobody).ask(token_event(f"Bearer {token}", method))
    assert decision["policyDocument"]["Version"] == "2012-10-17"
    assert statement(decision) == {
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if token == "good" else "Deny",
        "Resource": f"{STAGE}/*",
    }


def test_a_caller_who_may_is_named_with_what_else_is_known_of_them() -> None:
    decision = Door(ann_or_nobody).ask(token_event("Bearer good"))
    assert (decision["principalId"], decision["context"]) == ("ann", {"tenant": "blue"})
    decision["context"]["tenant"] = "red"
    assert ANN.context == {"tenant": "blue"}, "an answer is nobody else's"


def test_a_refusal_is_an_answer_about_nobody() -> None:
    decision = Door(ann_or_nobody).ask(token_event("Bearer bad"))
    assert (decision["principalId"], decision["context"]) == (ANONYMOUS, {})
    assert statement(decision)["Effect"] == "Deny"


def test_nobody_s_principal_is_what_the_access_log_holds_where_there_is_none() -> None:
    assert ANONYMOUS == access_log.ABSENT


def test_a_decision_can_be_written_as_json() -> None:
    decision = Door(ann_or_nobody).ask(token_event("Bearer good"))
    assert json.loads(json.dumps(decision)) == decision


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION", "aUTHORIZATION"])
def test_a_header_is_found_by_its_name_in_any_case(name: str) -> None:
    decision = Door(ann_or_nobody).ask(request_event({"Host": ["h"], name: ["Bearer good"]}))
    assert decision["principalId"] == "ann"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no Authorization header"),
        ({"Host": ["h"]}, "no Authorization header"),
        (None, "no Authorization header"),
        ({"Authorization": []}, "no Authorization header"),
        ({"Proxy-Authorization": ["Bearer good"]}, "no Authorization header"),
        ({"Authorization": ["Bearer good", "Bearer good"]}, "several Authorization headers"),
        ({"Authorization": ["Bearer good", "Bearer bad"]}, "several Authorization headers"),
        ({"Authorization": ["", "Bearer good"]}, "several Authorization headers"),
        ({"Authorization": ["Bearer good"], "authorization": ["Bearer x"]}, "several Authorization headers"),
    ],
)
def test_a_request_without_exactly_one_token_is_refused(
    headers: Mapping[str, Sequence[str]] | None, reason: str
) -> None:
    door = Door(never)
    assert statement(door.ask(request_event(headers)))["Effect"] == "Deny"
    assert door.told == [Told("Refused", {"decision": "deny", "reason": reason})]


NO_BEARER = [
    "",
    " ",
    "good",
    "Bearer",
    "Bearer ",
    "Bearers good",
    "Basic good",
    " Bearer good",
    "Bearer\tgood",
    "Bearer\u00a0good",
    "Bearer s\u00e9same",
    "Bearer \u4e2d\U0001f600",
    "Bearer \ud800",
]


@pytest.mark.parametrize("header", NO_BEARER, ids=ascii)
def test_what_is_no_bearer_token_is_refused_unread(header: str) -> None:
    for event in (token_event(header), request_event({"Authorization": [header]})):
        door = Door(never)
        assert statement(door.ask(event))["Effect"] == "Deny"
        assert door.told == [Told("Refused", {"decision": "deny", "reason": "no bearer token"})]


@pytest.mark.parametrize("token", ["x", " good", "good ", "good,Bearer other", "x" * 8193])
def test_what_follows_the_scheme_is_looked_at_as_it_is(token: str) -> None:
    seen: list[str] = []

    def check(found: str) -> Caller:
        seen.append(found)
        return ANN

    Door(check).ask(token_event(f"Bearer {token}"))
    assert seen == [token]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEARER"])
def test_the_scheme_s_case_says_nothing(scheme: str) -> None:
    assert Door(ann_or_nobody).ask(token_event(f"{scheme} good"))["principalId"] == "ann"


@given(TEXTS)
@example("\ud800")
def test_no_header_breaks_the_function(header: str) -> None:
    door = Door(ann_or_nobody)
    for text in (header, f"Bearer {header}x"):
        for event in (token_event(text), request_event({"Authorization": [text]})):
            assert door.ask(event)["principalId"] == ANONYMOUS
    assert {each.metric for each in door.told} == {"Refused"}


def test_who_may_is_told_by_name_and_nothing_else() -> None:
    door = Door(ann_or_nobody)
    door.ask(token_event("Bearer good"))
    assert door.told == [Told("Allowed", {"decision": "allow", "principal": "ann"})]


def test_a_refusal_is_told_with_its_reason() -> None:
    door = Door(ann_or_nobody)
    door.ask(token_event("Bearer bad"))
    assert door.told == [Told("Refused", {"decision": "deny", "reason": "unknown token"})]


def test_what_no_caller_is_to_blame_for_is_raised_and_told_as_an_error() -> None:
    door = Door(broken)
    with pytest.raises(SettingsError, match="cannot be had"):
        door.ask(token_event("Bearer good"))
    assert door.told == [
        Told(
            "SettingsErrors",
            {
                "level": "ERROR",
                "message": "authorizer settings",
                "reason": "the issuer's keys cannot be had",
            },
        )
    ]


def test_what_nobody_foresaw_is_raised_and_told_without_its_words() -> None:
    def check(token: str) -> Caller:
        raise LookupError(f"no {token}")

    door = Door(check)
    with pytest.raises(LookupError):
        door.ask(token_event("Bearer of-ann"))
    (told,) = door.told
    assert (told.metric, told.said["level"], told.said["reason"]) == (
        "SettingsErrors",
        "ERROR",
        "LookupError",
    )
    assert "of-ann" not in door.text


def test_a_line_says_when_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_750_000_000_123_456_789)
    door = Door(ann_or_nobody)
    door.ask(token_event("Bearer good"))
    assert json.loads(door.text)["_aws"]["Timestamp"] == 1_750_000_000_123


def test_through_the_proxy_a_decision_carries_the_client_s_address() -> None:
    door = Door(ann_or_nobody, PROXY)
    decision = door.ask(through())
    assert (decision["principalId"], decision["context"]) == ("ann", {"tenant": "blue", ADDRESS: CLIENT})
    assert door.told == [Told("Allowed", {"decision": "allow", "principal": "ann", ADDRESS: CLIENT})]


def test_through_the_proxy_a_refusal_carries_the_client_s_address() -> None:
    # The access log has it from there, and without it a guessing client would not be counted.
    door = Door(ann_or_nobody, PROXY)
    decision = door.ask(through(Authorization=["Bearer bad"]))
    assert statement(decision)["Effect"] == "Deny"
    assert decision["context"] == {ADDRESS: CLIENT}
    assert door.told == [
        Told("Refused", {"decision": "deny", "reason": "unknown token", ADDRESS: CLIENT}),
    ]


def test_no_claim_takes_the_place_of_the_client_s_address() -> None:
    def check(_token: str) -> Caller:
        return Caller("ann", {ADDRESS: "192.0.2.66"})

    assert Door(check, PROXY).ask(through())["context"] == {ADDRESS: CLIENT}


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET])
def test_each_secret_of_the_proxy_is_good_while_one_takes_the_other_s_place(secret: str) -> None:
    assert Door(ann_or_nobody, PROXY).ask(through(X_Origin_Secret=[secret]))["principalId"] == "ann"


@pytest.mark.parametrize("secret_header", ["x-origin-secret", "X-ORIGIN-SECRET", "x-Origin-secret"])
@pytest.mark.parametrize("address_header", ["x-client-ip", "X-CLIENT-IP"])
def test_the_proxy_s_headers_are_found_by_their_names_in_any_case(
    secret_header: str, address_header: str
) -> None:
    headers = {"authorization": ["Bearer good"], secret_header: [SECRET], address_header: [CLIENT]}
    assert Door(ann_or_nobody, PROXY).ask(request_event(headers))["context"][ADDRESS] == CLIENT


ROUND_IT: list[Sequence[str]] = [
    [],
    [""],
    ["wrong"],
    [SECRET.upper()],
    [SECRET[:-1]],
    [f"{SECRET} "],
    [f"{SECRET},{SECRET}"],
    [f"{SECRET}\u00e9"],
    [tokens.digest(SECRET)],
    [SECRET, SECRET],
    [SECRET, NEXT_SECRET],
    [SECRET, "wrong"],
    ["wrong", SECRET],
]


@pytest.mark.parametrize("values", ROUND_IT, ids=range(len(ROUND_IT)))
def test_whoever_goes_round_the_proxy_is_refused_and_its_address_is_not_believed(
    values: Sequence[str],
) -> None:
    forged = "192.0.2.66"
    door = Door(never, PROXY)
    decision = door.ask(through(X_Origin_Secret=values, X_Client_Ip=[forged]))
    assert decision["principalId"] == ANONYMOUS
    assert statement(decision)["Effect"] == "Deny"
    assert decision["context"] == {}
    assert door.told == [Told("Refused", {"decision": "deny", "reason": "not through the proxy"})]
    assert forged not in door.text


def test_two_secret_headers_that_differ_in_case_are_two() -> None:
    headers = {**THROUGH, "x-origin-secret": [SECRET]}
    assert statement(Door(never, PROXY).ask(request_event(headers)))["Effect"] == "Deny"


def test_without_headers_nobody_came_through_the_proxy() -> None:
    door = Door(never, PROXY)
    assert statement(door.ask(token_event("Bearer good")))["Effect"] == "Deny"
    assert [each.said["reason"] for each in door.told] == ["not through the proxy"]


@pytest.mark.parametrize("shown", [SECRET, NEXT_SECRET, "wrong"])
def test_every_secret_is_compared_in_constant_time(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    constant_time = hmac.compare_digest

    def recording(one: str, other: str) -> bool:
        compared.append((one, other))
        return constant_time(one, other)

    monkeypatch.setattr(hmac, "compare_digest", recording)
    Door(ann_or_nobody, PROXY).ask(through(X_Origin_Secret=[shown]))
    # A search that ends at the first match would tell by its length which one it is.
    assert compared == [(tokens.digest(shown), known) for known in PROXY["secrets"]]


@given(TEXTS)
@example("\ud800")
def test_no_secret_header_breaks_the_function(secret: str) -> None:
    door = Door(never, PROXY)
    assert door.ask(through(X_Origin_Secret=[secret]))["context"] == {}
    assert [each.metric for each in door.told] == ["Refused"]


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (CLIENT, CLIENT),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::1", "::1"),
    ],
)
def test_an_address_is_handed_on_as_everything_else_writes_it(value: str, address: str) -> None:
    assert Door(ann_or_nobody, PROXY).ask(through(X_Client_Ip=[value]))["context"][ADDRESS] == address


NO_ADDRESS: list[Sequence[str]] = [
    [],
    [""],
    ["-"],
    [CLIENT, CLIENT],
    [CLIENT, "192.0.2.66"],
    [f"{CLIENT}, 192.0.2.66"],
    [f"{CLIENT},{CLIENT}"],
    [f" {CLIENT}"],
    [f"{CLIENT} "],
    [f"{CLIENT}\n"],
    [f"{CLIENT}:443"],
    [f"{CLIENT}/32"],
    ["198.51.100.256"],
    ["198.51.100.07"],
    ["198.51.100"],
    ["3325256711"],
    ["[2001:db8::1]"],
    ["[2001:db8::1]:443"],
    ["2001:db8::1%eth0"],
    ["fe80::1%1"],
    ["::ffff:198.51.100.7"],
    ["::ffff:c633:6407"],
    ["unknown"],
    ['198.51.100.7","ip":"192.0.2.66'],
    ["\u0661\u0669\u0668.51.100.7"],
]


@pytest.mark.parametrize("values", NO_ADDRESS, ids=range(len(NO_ADDRESS)))
def test_a_proxy_that_tells_no_one_plain_address_is_set_up_wrongly(values: Sequence[str]) -> None:
    door = Door(never, PROXY)
    with pytest.raises(SettingsError, match="the proxy tells no"):
        door.ask(through(X_Client_Ip=values))
    (told,) = door.told
    assert (told.metric, told.said["level"]) == ("SettingsErrors", "ERROR")


def test_two_address_headers_that_differ_in_case_are_two() -> None:
    with pytest.raises(SettingsError, match="no single address"):
        Door(never, PROXY).ask(request_event({**THROUGH, "x-client-ip": [CLIENT]}))


@given(TEXTS)
def test_what_the_proxy_tells_is_an_address_or_an_error(value: str) -> None:
    door = Door(ann_or_nobody, PROXY)
    with pytest.raises(SettingsError):
        door.ask(through(X_Client_Ip=[f"x{value}"]))
    (told,) = door.told
    assert told.said["reason"] == "the proxy tells no single address"


@given(
    st.text(st.characters(codec="ascii", exclude_characters=" "), min_size=12),
    st.text(min_size=12),
    st.dictionaries(st.sampled_from(["tenant", "email"]), st.text(min_size=12)),
    st.booleans(),
)
def test_no_line_of_the_log_holds_a_token_a_secret_or_what_a_token_says(
    token: str, secret: str, context: dict[str, str], known: bool
) -> None:
    def check(found: str) -> Caller:
        if not known:
            raise RefusedError("unknown token")
        return Caller("ann", context)

    proxy = {**PROXY, "secrets": [tokens.digest(secret)]}
    door = Door(check, proxy)
    headers = {"Authorization": [f"Bearer {token}"], "X-Origin-Secret": [secret], "X-Client-Ip": [CLIENT]}
    door.ask(request_event(headers))
    door.ask(request_event({**headers, "X-Origin-Secret": [f"{secret}x"]}))
    with pytest.raises(SettingsError):
        door.ask(request_event({**headers, "X-Client-Ip": [secret]}))
    written = [value for each in door.told for value in each.said.values()]
    hidden = [token, secret, tokens.digest(token), tokens.digest(secret), *context.values()]
    assert len(door.told) == 3
    assert not [each for each in hidden if any(each in value for value in written)]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the settings of a function that is deployed."""
    monkeypatch.setattr(authorizing, "__file__", str(tmp_path / "authorizing.py"))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / authorizing.SETTINGS_FILE
    file.write_text(json.dumps({"proxy": None, "who": "z\u00fcri"}), encoding="utf-8")
    return file


def log() -> Log:
    return Log(Source.read(VARIABLES))


def by_name(settings: Settings, _log: Log) -> Check:
    """Make what lets everybody in under the name that the settings have."""
    return lambda _token: Caller(settings["who"])


def test_the_settings_are_those_beside_the_module(shipped: Path) -> None:
    assert authorizing.read_settings() == {"proxy": None, "who": "z\u00fcri"}


def unreadable(file: Path, how: str) -> None:
    """Make settings such that they cannot be read."""
    file.unlink()
    match how:
        case "a folder":
            file.mkdir()
        case "not JSON":
            file.write_text("{")
        case "not UTF-8":
            file.write_bytes(b'"\xff"')


@pytest.mark.parametrize("how", ["missing", "a folder", "not JSON", "not UTF-8"])
def test_settings_that_cannot_be_read_are_told_and_raised(
    how: str, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unreadable(shipped, how)
    with pytest.raises(SettingsError, match=r"^authorizer\.json cannot be read$"):
        authorizing.make(by_name, log())
    (told,) = read(capsys.readouterr().out)
    assert (told.metric, told.said["level"]) == ("SettingsErrors", "ERROR")


def test_settings_that_are_no_good_are_told_and_raised(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_settings: Settings, _log: Log) -> Check:
        raise SettingsError("no tokens are known")

    with pytest.raises(SettingsError, match="no tokens are known"):
        authorizing.make(refuse, log())
    (told,) = read(capsys.readouterr().out)
    assert (told.metric, told.said["reason"]) == ("SettingsErrors", "no tokens are known")


def test_settings_that_nobody_foresaw_are_told_without_what_they_hold(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped.write_text(json.dumps({"proxy": None, "whom": "ann"}))

    def look(settings: Settings, _log: Log) -> Check:
        raise LookupError(settings["whom"])

    with pytest.raises(LookupError):
        authorizing.make(look, log())
    (told,) = read(capsys.readouterr().out)
    assert (told.metric, told.said["reason"]) == ("SettingsErrors", "LookupError")


def test_a_proxy_in_the_settings_is_asked_for_its_secret(shipped: Path) -> None:
    shipped.write_text(json.dumps({"proxy": PROXY, "who": "ann"}))
    made = authorizing.make(by_name, log())
    with redirect_stdout(io.StringIO()):
        direct = made.answer(request_event({"Authorization": ["Bearer x"]}))
        assert statement(direct)["Effect"] == "Deny"
        assert made.answer(through())["context"] == {ADDRESS: CLIENT}


def test_a_function_is_made_ready_by_its_first_request(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Settings] = []

    def checking(settings: Settings, told: Log) -> Check:
        made.append(settings)
        return by_name(settings, told)

    handle = authorizing.handler(checking)
    assert made == []
    answers: list[Decision] = [handle(token_event(f"Bearer {number}"), None) for number in range(3)]
    assert [each["principalId"] for each in answers] == ["z\u00fcri"] * 3
    assert len(made) == 1
    assert [each.metric for each in read(capsys.readouterr().out)] == ["Allowed"] * 3


def test_a_function_that_was_not_made_ready_tries_again(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = shipped.read_bytes()
    shipped.unlink()
    handle = authorizing.handler(by_name)
    for _ in range(2):
        with pytest.raises(SettingsError):
            handle(token_event("Bearer x"), None)
    shipped.write_bytes(good)
    assert handle(token_event("Bearer x"), None)["principalId"] == "z\u00fcri"
    told = [each.metric for each in read(capsys.readouterr().out)]
    assert told == ["SettingsErrors", "SettingsErrors", "Allowed"]


def test_two_functions_share_nothing(shipped: Path) -> None:
    one = authorizing.handler(by_name)
    with redirect_stdout(io.StringIO()):
        one(token_event("Bearer x"), None)
        shipped.write_text(json.dumps({"who": "bob"}))
        other = authorizing.handler(by_name)
        assert other(token_event("Bearer x"), None)["principalId"] == "bob"
        assert one(token_event("Bearer x"), None)["principalId"] == "z\u00fcri"
