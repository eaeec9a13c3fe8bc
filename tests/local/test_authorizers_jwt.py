"""Callers with an issuer's signed tokens: which are taken, and what becomes of it where the issuer fails."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import permutations
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

from local.client import JSON
from local.issuer import DISCOVERY, JWKS, MAKE, SUBJECT, Issuer
from local.stack import LocalAws, LocalStack

from .deciding import Watch, assert_denied, assert_not_asked, logged_principals, start_anew
from .doors import Door, attributes_of
from .support import Reply, assert_refused, bearer, call, fresh, log_texts, wait_every

KEPT_SECONDS = 3
"""How long a decision is kept."""
RETRY_SECONDS = 5
"""After how long a function that could not get keys asks for them again."""
SCOPE = "orders.write"
"""What the stack asks for."""
TENANT = "https://example.com/tenant"
"""The claim that the stack hands on."""
KIB = 1024
LONGEST_TOKEN = 8 * KIB
"""What a token may take, of the 10 KB of all headers."""
STORM = 50


@pytest.fixture(scope="module")
def door(cloud: LocalAws) -> Door:
    """The stack for an issuer's tokens; what it accepts stays in a queue."""
    stack = fresh(
        cloud,
        "jwt",
        authorizer={"cache_ttl_seconds": KEPT_SECONDS},
        front_door={
            "queues": [{"name": "drained"}, {"name": "kept"}],
            "routes": [
                {"path": "notes", "queue": "kept", "attributes": {"tenant": "context.authorizer.tenant"}}
            ],
        },
    )
    for algorithm in MAKE:
        # Its keys are made when they are first used, and told of to who asks after that.
        minted(issuer_of(stack), algorithm)
    return Door(cloud, stack)


@pytest.fixture
def issuer(door: Door) -> Iterator[Issuer]:
    """The door's issuer, which answers as it should again afterwards."""
    found = issuer_of(door.stack)
    yield found
    found.recover()


def issuer_of(stack: LocalStack) -> Issuer:
    """Return the issuer whose tokens a stack takes."""
    assert stack.callers.issuer
    return stack.callers.issuer


def minted(issuer: Issuer, algorithm: str = "ES256", *, key: str | None = None, **claims: Any) -> str:
    """Return a token that no other test has, and that is good unless its claims say otherwise."""
    return issuer.mint(algorithm, key=key, **{"scope": SCOPE, "jti": uuid.uuid4().hex, **claims})


def send(door: Door, token: str) -> Reply:
    """Send a request that shows a token."""
    return door.send("notes", headers=bearer(token))


def arrived(door: Door, *replies: Reply) -> list[dict[str, str]]:
    """Return the attributes of the messages that answers name."""
    messages = door.take_all("kept", [each.answer["messageId"] for each in replies])
    return [attributes_of(each) for each in messages]


@pytest.mark.parametrize("algorithm", MAKE)
def test_who_has_a_token_of_the_issuer_is_let_in_and_known(
    door: Door, issuer: Issuer, algorithm: str
) -> None:
    watch = Watch.over(door)

    reply = send(door, minted(issuer, algorithm, **{TENANT: "acme"}))

    assert reply.status == 202
    (told,) = arrived(door, reply)
    assert (told["principal"], told["tenant"]) == (SUBJECT, "acme")
    assert logged_principals(door, reply) == [SUBJECT]
    (line,) = watch.lines(1)
    assert (line["decision"], line["principal"], line["Allowed"]) == ("allow", SUBJECT, 1)


Forge = Callable[[Issuer], str]
Sign = Callable[[bytes], bytes]
"""Returns the signature of what is signed."""


def encoded(data: bytes) -> str:
    """Return bytes as a part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    """Return the bytes that a part of a token stands for."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def compact(header: bytes, payload: bytes, sign: Sign) -> str:
    """Return a token of any parts."""
    signed = f"{encoded(header)}.{encoded(payload)}"
    return f"{signed}.{encoded(sign(signed.encode()))}"


def altered(
    token: str, sign: Sign | None = None, claims: Mapping[str, Any] | None = None, **header: Any
) -> str:
    """Return a token with another signature, claims or words in its header; its own where none are given."""
    given, payload, signature = map(decoded, token.split("."))
    words = {name: each for name, each in {**json.loads(given), **header}.items() if each is not None}
    return compact(
        json.dumps(words).encode(),
        json.dumps({**json.loads(payload), **(claims or {})}).encode(),
        sign or (lambda _: signature),
    )


STRANGER = ec.generate_private_key(ec.SECP256R1())


def by_a_stranger(signed: bytes) -> bytes:
    """Sign with a key that the issuer does not have."""
    r, s = decode_dss_signature(STRANGER.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def by_no_key(_signed: bytes) -> bytes:
    """Sign with anything, since a token without a signature does not even have the form of one."""
    return b"signature"


def with_the_public_key(issuer: Issuer) -> list[Sign]:
    """Return who signs with what everybody knows, as if it was a shared secret."""
    uid = jwt.get_unverified_header(minted(issuer, "RS256"))["kid"]
    (described,) = [each for each in keys_of(issuer) if each["kid"] == uid]
    key = jwt.PyJWK(described).key
    secrets = [
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(described).encode(),
        decoded(described["n"]),
    ]
    return [partial(hmac.digest, each, digest="sha256") for each in secrets]


def keys_of(issuer: Issuer) -> list[dict[str, Any]]:
    """Return what everybody may know of an issuer's keys."""
    found: list[dict[str, Any]] = call(issuer.jwks_uri, "GET", None).answer["keys"]
    return found


def later(seconds: int) -> int:
    """Return a time as claims have it."""
    return int(time.time()) + seconds


NESTED = b"[" * (9 * KIB // 2)
"""What makes 6 KB of a token."""
REFUSED: Mapping[str, tuple[str, Forge]] = {
    "expired": ("expired", lambda issuer: minted(issuer, exp=later(-60))),
    "not yet valid": ("not yet valid", lambda issuer: minted(issuer, nbf=later(600))),
    "of the future": ("not yet valid", lambda issuer: minted(issuer, iat=later(600))),
    "for ever": ("a claim is missing", lambda issuer: minted(issuer, exp=None)),
    "another audience": ("another audience", lambda issuer: minted(issuer, aud="invoices")),
    "other audiences": ("another audience", lambda issuer: minted(issuer, aud=["orders2", "Orders", ""])),
    "no audience": ("another audience", lambda issuer: minted(issuer, aud=None)),
    "another issuer": ("another issuer", lambda issuer: minted(issuer, iss="https://login.example.com")),
    "nearly the issuer": ("another issuer", lambda issuer: minted(issuer, iss=f"{issuer.url}/")),
    "no issuer": ("a claim is missing", lambda issuer: minted(issuer, iss=None)),
    "no scope": ("scope", lambda issuer: minted(issuer, scope=None)),
    "other scopes": ("scope", lambda issuer: minted(issuer, scope="orders.read orders.writer")),
    "about nobody": ("no principal", lambda issuer: minted(issuer, sub="")),
    "a stranger's signature": ("signature", lambda issuer: altered(minted(issuer), by_a_stranger)),
    "other claims": ("signature", lambda issuer: altered(minted(issuer), claims={"sub": "admin"})),
    "a stranger's key in its header": (
        "signature",
        lambda issuer: altered(
            minted(issuer),
            by_a_stranger,
            jwk=json.loads(ECAlgorithm.to_jwk(STRANGER.public_key())),
            jku="http://127.0.0.1:1/jwks.json",
        ),
    ),
    "alg none": ("algorithm", lambda issuer: altered(minted(issuer), by_no_key, alg="none")),
    "alg nOnE": ("algorithm", lambda issuer: altered(minted(issuer), by_no_key, alg="nOnE")),
    "no alg": ("algorithm", lambda issuer: altered(minted(issuer), by_no_key, alg=None)),
    "another alg": ("algorithm", lambda issuer: altered(minted(issuer), alg="ES384")),
    "a key of another kind": ("unknown key", lambda issuer: altered(minted(issuer), alg="RS256")),
    "an unknown key": ("unknown key", lambda issuer: altered(minted(issuer), by_a_stranger, kid="stranger")),
    "critical words": ("malformed", lambda issuer: altered(minted(issuer), crit=["exp"])),
    "nested claims": ("signature", lambda issuer: nested(minted(issuer), in_header=False)),
    "a nested header": ("malformed", lambda issuer: nested(minted(issuer), in_header=True)),
    "no JSON": ("malformed", lambda _: compact(b"a", b"b", by_no_key)),
    "too long": ("too long", lambda issuer: of_length(issuer, LONGEST_TOKEN + 4)),
}
"""Tokens that let nobody in, each with what the log says of it."""


def nested(token: str, *, in_header: bool) -> str:
    """Return a token of 6 KB that no parser gets to the ground of."""
    header, payload, _ = map(decoded, token.split("."))
    return compact(NESTED, payload, by_no_key) if in_header else compact(header, NESTED, by_no_key)


def of_length(issuer: Issuer, wanted: int) -> str:
    """Return a token of so many characters, or of one or two fewer."""
    missing = wanted - len(minted(issuer, padding=""))
    return minted(issuer, padding="x" * (missing * 3 // 4))


@pytest.mark.parametrize(("reason", "forge"), REFUSED.values(), ids=REFUSED)
def test_another_token_is_refused_and_only_the_log_says_why(
    door: Door, issuer: Issuer, reason: str, forge: Forge
) -> None:
    watch, token = Watch.over(door), forge(issuer)

    assert_denied(send(door, token), reason)

    (line,) = watch.lines(1)
    assert (line["decision"], line["reason"], line["Refused"]) == ("deny", reason, 1)
    assert "SettingsErrors" not in line
    parts = [each for each in token.split(".") if len(each) > 8]
    assert not [each for each in parts if each in "".join(log_texts(door.cloud, watch.group))]


@pytest.mark.parametrize("place", range(4), ids=["PEM", "DER", "JWK", "modulus"])
@pytest.mark.parametrize(("algorithm", "reason"), [("HS256", "algorithm"), ("RS256", "signature")])
def test_the_public_key_is_no_shared_secret(
    door: Door, issuer: Issuer, algorithm: str, reason: str, place: int
) -> None:
    watch, sign = Watch.over(door), with_the_public_key(issuer)[place]

    assert_denied(send(door, altered(minted(issuer, "RS256"), sign, alg=algorithm)), reason)

    assert watch.reasons == [reason]


def unsigned(token: str) -> str:
    """Return a token that says it needs no signature, and has none."""
    return altered(token, lambda _: b"", alg="none")


NO_TOKENS: Mapping[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "the scheme alone": lambda _: "Bearer",
    "no scheme": lambda token: token,
    "another scheme": lambda token: f"Basic {token}",
    "alg none": lambda token: f"Bearer {unsigned(token)}",
    "alg none in two parts": lambda token: f"Bearer {unsigned(token).removesuffix('.')}",
    "five parts": lambda token: f"Bearer {token}.a.b",
    "Latin-1": lambda token: f"Bearer {token}\u00e9",
    "two in one header": lambda token: f"Bearer {token}, Bearer {token}",
    "8 KB": lambda _: f"Bearer {'x' * 8 * KIB}",
}


@pytest.mark.parametrize("show", NO_TOKENS.values(), ids=NO_TOKENS)
def test_what_is_no_signed_token_asks_nobody(door: Door, issuer: Issuer, show: Callable[[str], str]) -> None:
    watch = Watch.over(door)

    reply = door.send("notes", headers={"Authorization": show(minted(issuer))})

    assert_not_asked(watch, reply)
    assert reply.headers["www-authenticate"] == "Bearer"


def test_a_token_of_8_kb_is_taken(door: Door, issuer: Issuer) -> None:
    token = of_length(issuer, LONGEST_TOKEN)
    assert len(token) > LONGEST_TOKEN - 3

    assert door.send("notes", headers={"Authorization": f"bearer {token}"}).status == 202


def test_two_authorization_headers_let_nobody_in_as_somebody_else(door: Door, issuer: Issuer) -> None:
    shown = {
        "ann": minted(issuer, sub="ann"),
        "ben": minted(issuer, "EdDSA", sub="ben"),
        "forged": altered(minted(issuer, sub="cat"), by_a_stranger),
        "none": "none",
    }
    pairs = list(permutations(shown, 2))

    def ask(*names: str) -> Reply:
        lines = [f"Authorization: Bearer {shown[each]}" for each in names]
        return door.send_raw("notes", [*lines, f"Content-Type: {JSON}"])

    both, alone = [ask(*each) for each in pairs], [ask(each) for each in shown]

    assert {each.status for each in both} <= {202, 401, 403}
    for pair, reply, principal in zip(pairs, both, logged_principals(door, *both), strict=True):
        assert principal in ({*pair} & {"ann", "ben"} if reply.status == 202 else {None}), pair
    assert [each.status for each in alone] == [202, 202, 403, 401], "what is kept is nobody else's"
    assert logged_principals(door, *alone) == ["ann", "ben", None, None]
    accepted = [each for each in (*both, *alone) if each.status == 202]
    told = [each["principal"] for each in arrived(door, *accepted)]
    assert told == logged_principals(door, *accepted)


def test_claims_go_on_as_they_are(door: Door, issuer: Issuer) -> None:
    claims: list[tuple[Any, str | None]] = [
        (None, None),
        (7, "7"),
        (["a", "b c"], "a b c"),
        ({"a": [1]}, '{"a":[1]}'),
        ("Zürich \U0001f6b2", "Zürich \U0001f6b2"),
        (
            "a\"b'&Action=DeleteQueue%26\\ $x #set($y = 1)\n",
            "a\"b'&Action=DeleteQueue%26\\ $x #set($y = 1)\n",
        ),
    ]

    replies = [send(door, minted(issuer, **{TENANT: given})) for given, _ in claims]

    assert [each.status for each in replies] == [202] * len(claims)
    assert [each.get("tenant") for each in arrived(door, *replies)] == [wanted for _, wanted in claims]


SUBJECTS = ['a"b', 'ann","ip":"192.0.2.1', "a\nb", "a\\", "Zürich", "-", "x" * 65, f"sha256:{'0' * 32}"]


def test_no_subject_can_write_into_the_log_or_take_another_s_name(door: Door, issuer: Issuer) -> None:
    replies = [send(door, minted(issuer, sub=each)) for each in SUBJECTS]

    assert [each.status for each in replies] == [202] * len(SUBJECTS)
    wanted = [f"sha256:{hashlib.sha256(each.encode()).hexdigest()[:32]}" for each in SUBJECTS]
    assert logged_principals(door, *replies) == wanted
    assert [each["principal"] for each in arrived(door, *replies)] == wanted


def test_a_storm_of_unknown_keys_asks_the_issuer_once(door: Door, issuer: Issuer) -> None:
    start_anew(door)
    before, token = issuer.requests.copy(), minted(issuer)

    replies = [send(door, altered(token, by_a_stranger, kid=f"storm-{each}")) for each in range(STORM)]

    assert [each.status for each in replies] == [403] * STORM
    assert issuer.requests - before == {DISCOVERY: 1, JWKS: 1}
    assert send(door, token).status == 202, "others are not disturbed"
    assert issuer.requests - before == {DISCOVERY: 1, JWKS: 1}


def test_a_new_key_is_known_to_a_function_that_starts_and_one_that_was_retired_is_not(
    door: Door, issuer: Issuer
) -> None:
    old = issuer.add_key("ES256")
    start_anew(door)
    kept = minted(issuer, key=old)
    assert send(door, kept).status == 202

    new = issuer.add_key("ES256")
    issuer.retire(old)
    start_anew(door)
    watch = Watch.over(door)

    assert send(door, kept).status == 202, "its decision is kept"
    assert_denied(send(door, minted(issuer, key=old)), "key")
    assert send(door, minted(issuer, key=new)).status == 202
    assert wait_every(0.1, KEPT_SECONDS + 5, lambda: send(door, kept).status == 403)
    assert [each.get("reason") for each in watch.lines(3)] == ["unknown key", None, "unknown key"]


TROUBLE: Mapping[str, tuple[Callable[[Issuer], None], str]] = {
    "answers garbage": (
        lambda issuer: issuer.answer_with(200, b"<html>Sign in</html>"),
        "127.0.0.1 answered with no JSON object",
    ),
    "hangs": (lambda issuer: issuer.hang(), "127.0.0.1 cannot be reached (TimeoutError)"),
    "fails": (lambda issuer: issuer.answer_with(503), "127.0.0.1 answered 503"),
}
"""What an issuer does, and what the log says of it."""


@pytest.mark.parametrize(("trouble", "reason"), TROUBLE.values(), ids=TROUBLE)
def test_an_issuer_in_trouble_is_no_caller_s_fault(
    door: Door, issuer: Issuer, trouble: Callable[[Issuer], None], reason: str
) -> None:
    start_anew(door)
    watch, token = Watch.over(door), minted(issuer)
    trouble(issuer)

    reply = send(door, token)

    assert_unable(reply)
    (line,) = watch.lines(1)
    assert (line["level"], line["SettingsErrors"]) == ("ERROR", 1)
    assert line["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "SettingsErrors", "Unit": "Count"}]
    assert reason in line["reason"]
    assert not {"Refused", "decision"} & line.keys()
    assert logged_principals(door, reply) == [None]


def assert_unable(reply: Reply) -> None:
    """Fail unless an answer says that nobody can be let in, and not why."""
    assert_refused(reply, 500, "AUTHORIZER_FAILURE")
    assert reply.answer["message"] == "The authorizer does not work."
    assert "127.0.0.1" not in f"{reply.body.decode()} {dict(reply.headers)}"


def test_who_could_not_be_let_in_is_as_soon_as_the_issuer_is_back(door: Door, issuer: Issuer) -> None:
    start_anew(door)
    good, bad = minted(issuer), altered(minted(issuer), by_a_stranger)
    issuer.answer_with(503)
    for each in (good, bad):
        assert_unable(send(door, each))

    issuer.recover()

    assert wait_every(0.2, RETRY_SECONDS + 5, lambda: send(door, good).status == 202)
    assert_denied(send(door, bad))


def test_callers_do_not_notice_an_issuer_that_fails_while_its_keys_are_known(
    door: Door, issuer: Issuer
) -> None:
    assert send(door, minted(issuer)).status == 202
    issuer.answer_with(503)
    watch = Watch.over(door)

    assert [send(door, minted(issuer, each)).status for each in MAKE] == [202] * len(MAKE)

    assert [each["decision"] for each in watch.lines(3)] == ["allow"] * len(MAKE)
