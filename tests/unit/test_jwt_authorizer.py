import base64
import hashlib
import hmac
import inspect
import io
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from components.authorizer_args import JWT_PATTERN
from handlers import authorizing, jwt_authorizer, key_sets
from handlers.authorizing import ANONYMOUS, Caller, Decision, Log, RefusedError, SettingsError
from handlers.emf import Source
from handlers.jwt_authorizer import LONGEST_CLAIM, LONGEST_TOKEN, Rules
from handlers.key_sets import REFRESH_SECONDS, Keys
from local.issuer import Key

from .authorizer_events import VARIABLES, Door, Told, read, request_event, statement, token_event
from .issuing import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    KEYS_URL,
    MAX_AGE,
    NOW,
    Clock,
    Issuer,
    compact,
    encoded,
    key,
    mint,
    renamed,
    signature,
)

ALGORITHMS = ("RS256", "ES256", "EdDSA")
LEEWAY = 30
SETTINGS: Mapping[str, Any] = {
    "proxy": None,
    "issuer": ISSUER,
    "jwks_uri": KEYS_URL,
    "audiences": [AUDIENCE, "another-of-ours"],
    "scopes": [],
    "algorithms": list(ALGORITHMS),
    "leeway_seconds": LEEWAY,
    "key_max_age_seconds": MAX_AGE,
    "required_claims": {},
    "principal_claim": "sub",
    "claims": {},
}
UNSIGNED: Callable[[bytes], bytes] = lambda _: b""  # noqa: E731 - as the others that sign


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be `NOW` for who checks tokens."""

    class Fixed(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(NOW, tz)

    monkeypatch.setattr("jwt.api_jwt.datetime", Fixed)


def rules(**changes: Any) -> Rules:
    return jwt_authorizer.read_rules({**SETTINGS, **changes})


def known(*keys: Key | Mapping[str, Any]) -> Keys:
    return Issuer(*(keys or (key(),))).known()


def check(token: str, keys: Keys | None = None, **changes: Any) -> Caller:
    return jwt_authorizer.check(token, rules(**changes), keys or known())


def reason(token: str, keys: Keys | None = None, **changes: Any) -> str:
    """Return why a token is refused."""
    with pytest.raises(RefusedError) as refused:
        check(token, keys, **changes)
    return str(refused.value)


def outcome(token: str, keys: Keys | None = None, **changes: Any) -> Caller | str:
    """Return who is let in, or why nobody is."""
    try:
        return check(token, keys, **changes)
    except RefusedError as refused:
        return str(refused)


def principal(**claims: Any) -> str:
    return check(mint(claims=claims)).principal


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_the_issuer_lets_its_subject_in(algorithm: str) -> None:
    signing = key(algorithm, algorithm)
    assert check(mint(signing), known(signing)) == Caller("ann", {})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_by_another_key_is_none(algorithm: str) -> None:
    forger = renamed(key("forger", algorithm), "one")
    assert reason(mint(forger), known(key("one", algorithm))) == "signature"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_is_for_what_was_signed_alone(algorithm: str) -> None:
    signing = key("one", algorithm)
    header, claims, signed = mint(signing).split(".")
    other_header, other_claims, _ = mint(signing, {"sub": "eve"}, {"typ": "other"}).split(".")
    for forged in (f"{header}.{other_claims}.{signed}", f"{other_header}.{claims}.{signed}"):
        assert reason(forged, known(signing)) == "signature"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("sign", [UNSIGNED, lambda _: b"\0", lambda _: b"\0" * 64, lambda _: b"\0" * 256])
def test_what_is_no_signature_is_none(sign: Callable[[bytes], bytes], algorithm: str) -> None:
    signing = key("one", algorithm)
    header = json.dumps({"alg": algorithm, "kid": "one"})
    assert reason(compact(header, json.dumps(CLAIMS), sign), known(signing)) == "signature"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(st.data())
def test_a_token_with_any_character_changed_is_refused(algorithm: str, data: st.DataObject) -> None:
    signing = key("one", algorithm)
    token = mint(signing)
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters(codec="ascii").filter(lambda each: each != token[place]))
    assert reason(f"{token[:place]}{character}{token[place + 1 :]}", known(signing))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(st.integers(0), st.integers(0, 7))
def test_a_token_with_any_bit_changed_is_refused(algorithm: str, place: int, bit: int) -> None:
    signing = key("one", algorithm)
    parts = [base64.urlsafe_b64decode(f"{each}==") for each in mint(signing).split(".")]
    whole = bytearray(b"".join(parts))
    whole[place % len(whole)] ^= 1 << bit
    changed, start = [], 0
    for part in parts:
        changed.append(encoded(bytes(whole[start : start + len(part)])))
        start += len(part)
    assert reason(".".join(changed), known(signing))


@pytest.mark.parametrize(
    ("claims", "without", "told"),
    [
        ({"exp": NOW - LEEWAY}, "", "expired"),
        ({"exp": NOW - LEEWAY + 1}, "", None),
        ({"exp": NOW + 10**9}, "", None),
        ({"exp": 0}, "", "expired"),
        ({"exp": -1}, "", "expired"),
        ({"exp": None}, "", "a claim is missing"),
        ({}, "exp", "a claim is missing"),
        ({"nbf": NOW + LEEWAY}, "", None),
        ({"nbf": NOW + LEEWAY + 1}, "", "not yet valid"),
        ({"iat": NOW + LEEWAY}, "", None),
        ({"iat": NOW + LEEWAY + 1}, "", "not yet valid"),
        ({}, "iat", None),
    ],
)
def test_a_token_is_good_in_its_time_and_as_much_around_it_as_the_issuer_s_clock_may_be_off(
    claims: Mapping[str, Any], without: str, told: str | None
) -> None:
    token = mint(claims=claims, without=without)
    if told is None:
        assert check(token).principal == "ann"
    else:
        assert reason(token) == told


@pytest.mark.parametrize("leeway", [0, 300])
def test_the_leeway_is_the_one_that_was_set(leeway: int) -> None:
    for claim, seconds, told in (
        ("exp", -leeway, "expired"),
        ("nbf", leeway + 1, "not yet valid"),
        ("iat", leeway + 1, "not yet valid"),
    ):
        assert reason(mint(claims={claim: NOW + seconds}), leeway_seconds=leeway) == told
    good = {"exp": NOW - leeway + 1, "nbf": NOW + leeway, "iat": NOW + leeway}
    assert check(mint(claims=good), leeway_seconds=leeway).principal == "ann"


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ['"soon"', '"2099-01-01"', "[]", "{}", "NaN", "1e999", "[2e9]", '""'])
def test_a_time_that_is_none_is_no_time(claim: str, value: str) -> None:
    claims = json.dumps({**CLAIMS, claim: "HERE"}).replace('"HERE"', value)
    token = compact('{"alg":"RS256","kid":"one"}', claims, signature(key()))
    assert reason(token) == "malformed"


@pytest.mark.parametrize(
    "issuer",
    [
        f"{ISSUER}/",
        ISSUER.upper(),
        ISSUER[:-1],
        f" {ISSUER}",
        "https://evil.example.com",
        "",
        [ISSUER],
        5,
        {},
    ],
)
def test_a_token_of_another_issuer_is_refused(issuer: object) -> None:
    assert reason(mint(claims={"iss": issuer})) == "another issuer"


def test_a_token_that_names_no_issuer_is_refused() -> None:
    assert reason(mint(without="iss")) == "a claim is missing"
    assert reason(mint(claims={"iss": None})) == "a claim is missing"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": AUDIENCE},
        {"aud": "another-of-ours"},
        {"aud": [AUDIENCE]},
        {"aud": ["a-stranger", AUDIENCE]},
        {"aud": [5, None, {}, AUDIENCE]},
        {"aud": AUDIENCE, "client_id": "a-stranger"},
    ],
    ids=str,
)
def test_a_token_for_us_among_others_is_for_us(claims: Mapping[str, Any]) -> None:
    assert check(mint(claims=claims)).principal == "ann"


@pytest.mark.parametrize(
    "audience",
    [
        "a-stranger",
        AUDIENCE.upper(),
        f"{AUDIENCE}/",
        AUDIENCE[:-1],
        f"{AUDIENCE} a-stranger",
        f"{AUDIENCE},a-stranger",
        "",
        [],
        [""],
        ["a-stranger"],
        [[AUDIENCE]],
        {AUDIENCE: True},
        None,
        5,
        True,
    ],
    ids=str,
)
def test_a_token_for_others_is_refused_whatever_client_it_names(audience: object) -> None:
    assert reason(mint(claims={"aud": audience})) == "another audience"
    assert reason(mint(claims={"aud": audience, "client_id": AUDIENCE})) == "another audience"


def test_where_a_token_has_no_audience_its_client_counts() -> None:
    assert check(mint(claims={"client_id": AUDIENCE}, without="aud")).principal == "ann"
    assert reason(mint(claims={"client_id": "a-stranger"}, without="aud")) == "another audience"
    assert reason(mint(without="aud")) == "another audience"


NONE_ALGORITHMS: list[object] = [
    "none",
    "None",
    "NONE",
    "nOnE",
    " none",
    "none ",
    "none\0",
    "",
    None,
    ["none"],
    {},
    0,
    False,
]


@pytest.mark.parametrize("algorithm", NONE_ALGORITHMS, ids=ascii)
def test_a_token_that_nobody_signed_is_refused_however_it_says_so(algorithm: object) -> None:
    header = json.dumps({"typ": "JWT", "alg": algorithm, "kid": "one"})
    for sign in (UNSIGNED, signature(key())):
        assert reason(compact(header, json.dumps(CLAIMS), sign)) == "algorithm"


def test_a_token_that_names_no_algorithm_is_refused() -> None:
    token = compact('{"typ":"JWT","kid":"one"}', json.dumps(CLAIMS), signature(key()))
    assert reason(token) == "algorithm"


PUBLIC: Any = key().private.public_key()
SHARED_SECRETS: Mapping[str, bytes] = {
    "the key's PEM": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "its PEM without the last line's end": PUBLIC.public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    ).rstrip(),
    "its PEM as PKCS 1": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    "its DER": PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "its JWK": json.dumps(key().public()).encode(),
    "its JWK without spaces": json.dumps(key().public(), separators=(",", ":")).encode(),
    "its modulus": base64.urlsafe_b64decode(f"{key().public()['n']}=="),
    "its modulus as text": key().public()["n"].encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("secret", SHARED_SECRETS.values(), ids=SHARED_SECRETS)
@pytest.mark.parametrize("named", ["HS256", "HS384", "HS512", "RS256"])
def test_what_everybody_knows_of_a_key_is_no_secret_to_sign_with(named: str, secret: bytes) -> None:
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(named, hashlib.sha256)

    def sign(content: bytes) -> bytes:
        return hmac.new(secret, content, digest).digest()

    token = compact(json.dumps({"alg": named, "kid": "one"}), json.dumps(CLAIMS), sign)
    assert reason(token) == ("signature" if named == "RS256" else "algorithm")


def test_a_secret_that_an_issuer_publishes_is_no_key() -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    told = {"kty": "oct", "k": encoded(secret), "kid": "shared", "alg": "HS256", "use": "sig"}

    def sign(content: bytes) -> bytes:
        return hmac.new(secret, content, hashlib.sha256).digest()

    for algorithm, why in (("HS256", "algorithm"), ("RS256", "unknown key")):
        token = compact(json.dumps({"alg": algorithm, "kid": "shared"}), json.dumps(CLAIMS), sign)
        assert reason(token, known(key(), told)) == why


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS512"])
def test_a_token_signed_in_another_way_by_the_right_key_is_refused(algorithm: str) -> None:
    token = compact(
        json.dumps({"alg": algorithm, "kid": "one"}), json.dumps(CLAIMS), signature(key(), algorithm)
    )
    assert reason(token) == "algorithm"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_that_is_not_ours_is_refused_though_the_issuer_uses_it(algorithm: str) -> None:
    signing = key("one", algorithm)
    others = [each for each in ALGORITHMS if each != algorithm]
    assert check(mint(signing), known(signing), algorithms=[algorithm]).principal == "ann"
    assert reason(mint(signing), known(signing), algorithms=others) == "algorithm"


@pytest.mark.parametrize("signed_by", ALGORITHMS)
@pytest.mark.parametrize("named", ALGORITHMS)
def test_a_token_that_names_a_key_of_another_algorithm_is_refused(signed_by: str, named: str) -> None:
    if signed_by == named:
        return
    signing = key(signed_by, signed_by)
    every = known(*(key(each, each) for each in ALGORITHMS))
    assert reason(mint(signing, header={"kid": named}), every) == "unknown key"
    assert reason(mint(signing, header={"alg": named}), every) == "unknown key"
    assert reason(mint(signing, header={"alg": named, "kid": named}), every) == "signature"


WEAK = Key("one", "RS256", rsa.generate_private_key(public_exponent=65537, key_size=1024))
OTHER_CURVE = Key("one", "ES256", ec.generate_private_key(ec.SECP256K1()))


@pytest.mark.parametrize(
    ("signing", "told"),
    [
        (key(), {**key().public(), "use": "enc"}),
        (key(), {**key().public(), "alg": "RS512"}),
        (key(), {**key().public(), "alg": "HS256"}),
        (WEAK, WEAK.public()),
        (OTHER_CURVE, OTHER_CURVE.public()),
    ],
    ids=["of another use", "of another algorithm", "of a symmetric algorithm", "weak", "on another curve"],
)
def test_a_key_that_is_not_for_signatures_of_ours_signs_nothing(
    signing: Key, told: Mapping[str, Any]
) -> None:
    assert reason(mint(signing), known(told, key("spare"))) == "unknown key"


def test_a_key_that_says_nothing_of_its_use_is_good() -> None:
    told = {name: value for name, value in key().public().items() if name not in ("use", "alg")}
    assert check(mint(), known(told)).principal == "ann"


CRITICAL: list[object] = [["exp"], ["b64"], ["typ"], [], None, "exp", {"exp": 1}, [5]]


@pytest.mark.parametrize("critical", CRITICAL, ids=str)
@pytest.mark.parametrize("also", [{}, {"b64": True}, {"exp": 1}], ids=str)
def test_what_has_to_be_understood_is_not(critical: object, also: Mapping[str, object]) -> None:
    assert reason(mint(header={"crit": critical, **also})) in {"critical header", "malformed"}


@pytest.mark.parametrize("critical", [{}, {"crit": ["b64"]}], ids=str)
def test_claims_that_are_not_encoded_are_refused(critical: Mapping[str, object]) -> None:
    header = json.dumps({"alg": "RS256", "kid": "one", "b64": False, **critical})
    content = f"{encoded(header)}.{json.dumps(CLAIMS)}"
    for claims in (json.dumps(CLAIMS), ""):
        token = f"{encoded(header)}.{claims}.{encoded(signature(key())(content.encode()))}"
        assert reason(token) in {"critical header", "malformed"}


FORGER = key("forger")
POINTERS: Mapping[str, object] = {
    "jku": "https://evil.example.com/keys",
    "x5u": "https://evil.example.com/chain.pem",
    "jwk": FORGER.public(),
    "x5c": [encoded(PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))],
    "x5t": "AAAA",
}


@pytest.mark.parametrize("name", POINTERS)
def test_no_token_says_where_its_key_is(name: str) -> None:
    pointing = {name: POINTERS[name]}
    issuer = Issuer(key())
    assert check(mint(header=pointing), issuer.known()).principal == "ann"
    for forged in (renamed(FORGER, "one"), FORGER):
        token = mint(forged, header=pointing)
        assert reason(token, issuer.known()) in {"signature", "unknown key"}
    assert set(issuer.asked) == {KEYS_URL}


@pytest.mark.parametrize(
    "key_id", [None, 5, [], ["one"], {}, True, "", "ONE", "../one", "one' OR '1'='1"], ids=str
)
def test_a_token_that_names_no_key_of_the_issuer_is_refused(key_id: object) -> None:
    assert reason(mint(header={"kid": key_id})) in {"unknown key", "malformed"}


def without_a_kid(signing: Key) -> str:
    return compact(json.dumps({"alg": signing.algorithm}), json.dumps(CLAIMS), signature(signing))


def test_a_token_may_name_no_key_where_there_is_only_one() -> None:
    assert check(without_a_kid(key()), known(key(), key("three", "ES256"))).principal == "ann"
    assert reason(without_a_kid(key()), known(key(), key("two"))) == "unknown key"
    assert reason(without_a_kid(FORGER)) == "signature"


def test_of_two_keys_with_one_id_the_second_signs_nothing() -> None:
    same = known(key("one"), renamed(key("two"), "one"))
    assert check(mint(key("one")), same).principal == "ann"
    assert reason(mint(renamed(key("two"), "one")), same) == "signature"


def test_a_new_key_is_found_and_the_old_one_is_good_no_more() -> None:
    issuer = Issuer(key("one"))
    keys = issuer.known()
    assert check(mint(key("one")), keys).principal == "ann"
    issuer.publish(key("two"))
    issuer.clock.now += REFRESH_SECONDS
    assert check(mint(key("two")), keys).principal == "ann"
    assert reason(mint(key("one")), keys) == "unknown key"
    assert len(issuer.asked) == 2


def test_a_storm_of_tokens_with_unknown_keys_asks_the_issuer_once() -> None:
    issuer = Issuer(key())
    keys = issuer.known()
    check(mint(), keys)
    issuer.clock.now += REFRESH_SECONDS
    for number in range(100):
        assert reason(mint(header={"kid": str(number)}), keys) == "unknown key"
    assert len(issuer.asked) == 2
    assert check(mint(), keys).principal == "ann"


def test_what_can_be_refused_at_once_asks_nobody() -> None:
    issuer = Issuer(key())
    keys = issuer.known()
    for token in ("", "a.b.c", mint(header={"alg": "none"}), mint(header={"crit": ["exp"]}), "x" * 8193):
        assert reason(token, keys)
    assert issuer.asked == []


@pytest.mark.parametrize("trouble", ["down", "another's configuration", "no keys"])
def test_where_the_keys_cannot_be_had_no_caller_is_to_blame(trouble: str) -> None:
    issuer = Issuer(*([] if trouble == "no keys" else [key()]))
    issuer.down = trouble == "down"
    if trouble == "another's configuration":
        issuer.configuration = {"issuer": "https://evil.example.com", "jwks_uri": KEYS_URL}
    with pytest.raises(SettingsError):
        check(mint(), issuer.known(jwks_uri=None))


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "read"},
        {"scope": "write"},
        {"scope": "openid read profile"},
        {"scope": ["openid", "read"]},
        {"scp": ["openid", "read"]},
        {"scp": "openid read"},
    ],
    ids=str,
)
def test_one_of_the_scopes_is_enough(claims: Mapping[str, object]) -> None:
    assert check(mint(claims=claims), scopes=["read", "write"]).principal == "ann"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"scope": ""},
        {"scope": "openid"},
        {"scope": "reader"},
        {"scope": "READ"},
        {"scope": "read,write"},
        {"scope": None},
        {"scope": 5},
        {"scope": {"read": True}},
        {"scope": ["read write"]},
        {"scope": [["read"]]},
        {"scp": []},
        {"scope": "openid", "scp": ["read"]},
        {"scopes": "read"},
    ],
    ids=str,
)
def test_without_one_of_the_scopes_a_token_is_refused(claims: Mapping[str, object]) -> None:
    assert reason(mint(claims=claims), scopes=["read", "write"]) == "scope"
    assert check(mint(claims=claims), scopes=[]).principal == "ann"


def test_some_claims_have_to_say_one_thing_word_for_word() -> None:
    wanted = {"token_use": "access", "tenant": "blue"}
    assert check(mint(claims=wanted), required_claims=wanted).principal == "ann"
    for changes in ({"token_use": "id"}, {"token_use": "ACCESS"}, {"tenant": ["blue"]}, {"tenant": None}):
        assert reason(mint(claims={**wanted, **changes}), required_claims=wanted) == "a required claim"
    assert reason(mint(claims={"tenant": "blue"}), required_claims=wanted) == "a required claim"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("blue", "blue"),
        ("Z\u00fcrich \u4e2d\u6587 \U0001f600", "Z\u00fcrich \u4e2d\u6587 \U0001f600"),
        ("a\tb\nc", "a\tb\nc"),
        ('say "hush"', 'say "hush"'),
        (["a", "b"], "a b"),
        (["a"], "a"),
        (5, "5"),
        (1.5, "1.5"),
        (0, "0"),
        (True, "true"),
        (False, "false"),
        ({"a": {"b": [1, None]}}, '{"a":{"b":[1,null]}}'),
        (["a", 1], '["a",1]'),
        ([["a"]], '[["a"]]'),
        ("x" * LONGEST_CLAIM, "x" * LONGEST_CLAIM),
    ],
    ids=ascii,
)
def test_a_claim_is_handed_on_as_text(value: object, text: str) -> None:
    token = mint(claims={"https://example.com/tenant": value})
    assert check(token, claims={"tenant": "https://example.com/tenant"}).context == {"tenant": text}


@pytest.mark.parametrize("value", [None, "", []], ids=str)
def test_a_claim_that_says_nothing_is_left_out(value: object) -> None:
    assert check(mint(claims={"tenant": value}), claims={"tenant": "tenant", "more": "m"}).context == {}


@pytest.mark.parametrize(
    "value",
    [
        "x" * (LONGEST_CLAIM + 1),
        ["x" * 600, "y" * 600],
        {"a": "x" * LONGEST_CLAIM},
        "a\0b",
        "a\x1bb",
        "a\x0bb",
        "a\ufffeb",
        "a\ud800b",
        ["a", "\x07"],
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_claim_that_no_message_may_hold_is_refused(value: object) -> None:
    token = mint(claims={"tenant": value})
    assert reason(token, claims={"tenant": "tenant"}) == "a claim that cannot be passed on"
    assert check(token).context == {}, "what is not asked for is not looked at"


@pytest.mark.parametrize("levels", [100, 900, 2_000])
def test_a_claim_that_is_nested_deeply_breaks_nothing(levels: int) -> None:
    claims = json.dumps({**CLAIMS, "deep": "HERE"}).replace('"HERE"', "[" * levels + "]" * levels)
    token = compact('{"alg":"EdDSA","kid":"one"}', claims, signature(key("one", "EdDSA")))
    assert len(token) < LONGEST_TOKEN
    found = outcome(token, known(key("one", "EdDSA")), claims={"deep": "deep"})
    text = "[" * levels + "]" * levels
    short = Caller("ann", {"deep": text})
    assert found in (
        [short] if len(text) <= LONGEST_CLAIM else ["malformed", "a claim that cannot be passed on"]
    )


@pytest.mark.parametrize(
    "name",
    ["ann", "a", "0", "auth0|5f7c8ec7c33c6c004bbafe82", "ann+test@example.com", "A:b/c=d~e._-", "x" * 64],
)
def test_a_plain_subject_is_the_principal(name: str) -> None:
    assert principal(sub=name) == name


STRANGE_NAMES = [
    'x","ip":"192.0.2.66',
    "a\\b",
    "a b",
    "a\nb",
    "a\0b",
    "Z\u00fcrich",
    "\u0430nn",
    "a\ud800b",
    "a\ud801b",
    "x" * 65,
    "x" * 5_000,
    "-",
    "--",
    ".",
    "|a",
    f"sha256:{'0' * 32}",
    "sha256:",
    "ann\n",
    " ann",
    "$context.identity.sourceIp",
    "<script>",
]


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=lambda name: ascii(name)[:40])
def test_any_other_subject_becomes_a_digest_that_breaks_no_line(name: str) -> None:
    found = principal(sub=name)
    assert re.fullmatch(r"sha256:[0-9a-f]{32}", found)
    assert principal(sub=name) == found, "the same each time"


def test_two_subjects_are_never_one_principal() -> None:
    names = [*STRANGE_NAMES, *(principal(sub=each) for each in STRANGE_NAMES), "ann", "Ann", "ann ", "-ann"]
    assert len({principal(sub=each) for each in names}) == len(set(names))


@given(st.text(st.characters(exclude_categories=()), min_size=1))
@example(ANONYMOUS)
def test_no_subject_is_nobody_or_breaks_a_line(name: str) -> None:
    found = jwt_authorizer.principal_of({"sub": name}, "sub")
    assert re.fullmatch(r"[A-Za-z0-9._:@|+=~/-]{1,64}", found)
    assert found != ANONYMOUS


@pytest.mark.parametrize("name", ["", None, 5, True, [], ["ann"], {"a": "b"}], ids=str)
def test_a_token_about_nobody_is_refused(name: object) -> None:
    assert reason(mint(claims={"client": name}), principal_claim="client") == "no principal"
    assert reason(mint(claims={"sub": name})) in {"no principal", "malformed"}


def test_a_token_without_a_subject_is_refused() -> None:
    assert reason(mint(without="sub")) == "no principal"


def test_the_principal_is_the_claim_that_was_asked_for() -> None:
    token = mint(claims={"client_id": "worker"}, without="sub")
    assert check(token, principal_claim="client_id").principal == "worker"
    assert reason(mint(), principal_claim="client_id") == "no principal"


def of_length(length: int) -> str:
    """Return a good token of exactly so many characters."""
    signing = key("one", "EdDSA")
    for header in ("", "h", "hh", "hhh"):
        shortest = len(mint(signing, {"pad": ""}, {"h": header}))
        for pad in range((length - shortest) * 3 // 4 - 8, length):
            token = mint(signing, {"pad": "p" * pad}, {"h": header})
            if len(token) == length:
                return token
            if len(token) > length:
                break
    raise AssertionError("no padding fits")


def test_a_token_may_be_so_long_and_no_longer() -> None:
    keys = known(key("one", "EdDSA"))
    assert check(of_length(LONGEST_TOKEN), keys).principal == "ann"
    assert reason(of_length(LONGEST_TOKEN + 1), keys) == "too long"
    assert reason("x" * LONGEST_TOKEN, keys) == "malformed"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "s\u00e9same",
        "\U0001f600.\u4e2d.x",
        f"{mint()}.",
        f".{mint()}",
        f"{mint()}.{mint()}",
        f"{mint()} ",
        f" {mint()}",
        mint().replace(".", ".."),
        mint().replace(".", " "),
        mint().replace("_", "/").replace("-", "+") + "!",
        f"Bearer {mint()}",
        encoded("{}"),
        f"{encoded('[]')}.{encoded('{}')}.{encoded('x')}",
        f"{encoded('null')}.{encoded('{}')}.{encoded('x')}",
        ".".join(map(encoded, (b"\xff", b"{}", b"x"))),
        json.dumps({"payload": encoded(json.dumps(CLAIMS)), "signatures": []}),
    ],
    ids=range(24),
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert reason(token) == "malformed"


@pytest.mark.parametrize("claims", ["", "[]", "null", "5", '"ann"', "{", '{"a":1}{"b":2}'])
def test_claims_that_are_no_object_are_refused_though_the_issuer_signed_them(claims: str) -> None:
    assert reason(compact('{"alg":"RS256","kid":"one"}', claims, signature(key()))) == "malformed"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_header_or_claims_that_are_nested_without_end_are_refused(opening: str) -> None:
    deep = opening * 900
    for nested in (deep, f'{{"alg":"RS256","kid":"one","x":{deep}'):
        assert reason(compact(nested, json.dumps(CLAIMS), signature(key()))) == "malformed"
        assert reason(compact('{"alg":"RS256","kid":"one"}', nested, signature(key()))) == "malformed"
    closed = "[" * 2_000 + "]" * 2_000
    header = f'{{"alg":"RS256","kid":"one","x":{closed}}}'
    claims = json.dumps(CLAIMS).removesuffix("}") + f',"x":{closed}}}'
    for token in (
        compact(header, json.dumps(CLAIMS), signature(key())),
        compact('{"alg":"RS256","kid":"one"}', claims, signature(key())),
    ):
        # A newer interpreter may well read it.
        assert outcome(token) in (Caller("ann", {}), "malformed")


@given(st.text())
@example("")
@example("..")
def test_no_text_is_anything_but_refused(token: str) -> None:
    assert reason(token)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda each: st.lists(each, max_size=2) | st.dictionaries(st.text(max_size=3), each, max_size=2),
    max_leaves=4,
)
HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x5c", "cty", "zip", "enc"]),
    VALUES | st.sampled_from([*ALGORITHMS, "HS256", "none", "one"]),
    max_size=3,
)
ANY_CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "scp", "client_id", "tenant"]),
    VALUES,
    max_size=3,
)


@given(HEADERS, ANY_CLAIMS)
def test_no_token_of_the_issuer_is_anything_but_refused_or_let_in(
    header: dict[str, object], claims: dict[str, object]
) -> None:
    door = Door(lambda token: check(token, claims={"tenant": "tenant"}, scopes=["read"]))
    decision = door.ask(token_event(f"Bearer {mint(claims=claims, header=header)}"))
    assert {each.metric for each in door.told} <= {"Allowed", "Refused"}
    json.dumps(decision).encode()


@given(
    st.sampled_from([{}, {"sub": "eve"}, {"exp": 1}, {"aud": "x"}, {"iss": "y"}, {"scope": "none-of-ours"}]),
    st.sampled_from([{}, {"alg": "none"}, {"kid": "an-unknown-key"}, {"crit": ["x"]}]),
    st.dictionaries(st.sampled_from(["email", "tenant", "secret"]), st.text(min_size=12, max_size=40)),
)
def test_no_line_of_the_log_holds_a_token_or_what_it_says_but_its_subject(
    claims: dict[str, object], header: dict[str, object], private: dict[str, str]
) -> None:
    token = mint(claims={**claims, **private}, header=header)
    door = Door(lambda found: check(found, scopes=["read"], claims={"tenant": "tenant"}))
    with_scope = Door(lambda found: check(found, claims={"tenant": "tenant"}))
    for each in (door, with_scope):
        each.ask(token_event(f"Bearer {token}"))
        (told,) = each.told
        said = json.dumps(told.said, ensure_ascii=False)
        assert not [part for part in (*token.split("."), *private.values()) if part in said]
        assert "an-unknown-key" not in said
        assert "none-of-ours" not in said


def test_why_a_token_is_refused_is_told_to_the_log_and_not_to_the_caller() -> None:
    door = Door(check)
    decision: Decision = door.ask(token_event(f"Bearer {mint(claims={'exp': 1})}"))
    assert (decision["principalId"], decision["context"]) == (ANONYMOUS, {})
    assert statement(decision)["Effect"] == "Deny"
    assert door.told == [Told("Refused", {"decision": "deny", "reason": "expired"})]


def test_who_may_is_told_by_their_principal_and_not_by_their_claims() -> None:
    door = Door(lambda token: check(token, claims={"tenant": "tenant"}))
    decision = door.ask(token_event(f"Bearer {mint(claims={'tenant': 'blue'})}"))
    assert (decision["principalId"], decision["context"]) == ("ann", {"tenant": "blue"})
    assert door.told == [Told("Allowed", {"decision": "allow", "principal": "ann"})]


def test_an_issuer_that_cannot_be_reached_is_told_as_an_error_and_not_as_a_refusal() -> None:
    issuer = Issuer(key())
    issuer.down = True
    keys = issuer.known()
    door = Door(lambda token: check(token, keys))
    for _ in range(2):
        with pytest.raises(SettingsError):
            door.ask(token_event(f"Bearer {mint()}"))
    assert [(each.metric, each.said["level"]) for each in door.told] == [("SettingsErrors", "ERROR")] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"audiences": []},
        {"audiences": [""]},
        {"audiences": [AUDIENCE, ""]},
        {"audiences": None},
        {"issuer": ""},
        {"issuer": None},
        {"issuer": "http://issuer.example.com"},
        {"issuer": "issuer.example.com"},
        {"issuer": "file:///etc"},
        {"issuer": "http://localhost.example.com"},
        {"issuer": "http://127.0.0.1.example.com"},
        {"algorithms": []},
        {"algorithms": ["HS256"]},
        {"algorithms": ["RS256", "none"]},
        {"algorithms": ["rs256"]},
    ],
    ids=str,
)
def test_settings_that_would_let_in_nobody_or_anybody_are_no_good(changes: Mapping[str, Any]) -> None:
    with pytest.raises(SettingsError):
        jwt_authorizer.read_rules({**SETTINGS, **changes})


@pytest.mark.parametrize("issuer", [ISSUER, "http://127.0.0.1:8080", "http://localhost/issuer"])
def test_an_issuer_is_somewhere_on_https_or_on_loopback(issuer: str) -> None:
    assert rules(issuer=issuer).issuer == issuer


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the settings of a function that is deployed."""
    monkeypatch.setattr(authorizing, "__file__", str(tmp_path / "authorizing.py"))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / authorizing.SETTINGS_FILE
    file.write_text(json.dumps(SETTINGS))
    return file


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Issuer:
    """Return an issuer that answers what the function asks of the network."""
    issuer = Issuer(key())
    monkeypatch.setattr(key_sets, "read_json", issuer.fetch)
    return issuer


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("event", [token_event, lambda header: request_event({"authorization": [header]})])
def test_a_function_decides_by_what_was_shipped(
    event: Callable[[str], Any], network: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = authorizing.handler(jwt_authorizer.checking)
    good, bad = (handle(event(f"Bearer {each}"), None) for each in (mint(), mint(without="sub")))
    assert (good["principalId"], bad["principalId"]) == ("ann", ANONYMOUS)
    assert [each.metric for each in read(capsys.readouterr().out)] == ["Allowed", "Refused"]
    assert network.asked == [KEYS_URL], "it is warm"


def test_a_function_asks_the_issuer_where_its_keys_are_unless_it_is_told(
    shipped: Path, network: Issuer
) -> None:
    shipped.write_text(json.dumps({**SETTINGS, "jwks_uri": None}))
    with redirect_stdout(io.StringIO()):
        authorizing.handler(jwt_authorizer.checking)(token_event(f"Bearer {mint()}"), None)
    assert network.asked == [f"{ISSUER}/.well-known/openid-configuration", KEYS_URL]


@pytest.mark.parametrize("changes", [{"audiences": []}, {"issuer": ""}, {"algorithms": ["none"]}], ids=str)
def test_a_function_with_settings_that_are_no_good_fails_loudly(
    changes: Mapping[str, Any], shipped: Path, network: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped.write_text(json.dumps({**SETTINGS, **changes}))
    with pytest.raises(SettingsError):
        authorizing.handler(jwt_authorizer.checking)(token_event(f"Bearer {mint()}"), None)
    (told,) = read(capsys.readouterr().out)
    assert (told.metric, told.said["level"]) == ("SettingsErrors", "ERROR")
    assert network.asked == []


def test_while_known_keys_are_good_callers_get_in_and_operators_are_told(
    network: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = Clock()
    lets_in = jwt_authorizer.checking(SETTINGS, Log(Source.read(VARIABLES)), seconds)
    assert lets_in(mint()).principal == "ann"
    network.down = True
    seconds.now += MAX_AGE / 2
    assert lets_in(mint()).principal == "ann"
    (told,) = read(capsys.readouterr().out)
    assert (told.metric, told.said["level"]) == ("SettingsErrors", "ERROR")
    assert "it is down" in told.said["reason"]
    seconds.now += MAX_AGE / 2
    with pytest.raises(SettingsError):
        lets_in(mint())


def test_the_age_of_keys_goes_by_the_time_of_day() -> None:
    # Other clocks may stand still while a function is frozen, and a key would be good for ever.
    assert inspect.signature(jwt_authorizer.checking).parameters["clock"].default is time.time


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_api_gateway_lets_through_is_every_signed_token(algorithm: str) -> None:
    token = mint(key("one", algorithm))
    assert re.fullmatch(JWT_PATTERN, f"Bearer {token}")
    unsigned = compact('{"alg":"none"}', "{}", UNSIGNED)
    for header in (f"Bearer {unsigned}", "Bearer a.b", f"Bearer {token} ", f"Basic {token}", "Bearer a.b=.c"):
        assert not re.fullmatch(JWT_PATTERN, header)
