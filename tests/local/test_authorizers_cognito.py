"""Front doors for the users of Cognito user pools: whose token lets in, and what is known of who came."""

import base64
import hmac
import json
import secrets
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from local.callers import PoolUser
from local.stack import LocalAws
from local.surroundings import UserPool

from .admission import QUEUE, answers_to_all, front_door, line_of
from .doors import Door, open_door
from .support import Reply, assert_refused, bearer, log_texts, wait_every

ROUTE = {
    "path": "notes",
    "attributes": {
        "user": "context.claims.cognito:username",
        "subject": "context.claims.sub",
        "mail": "context.claims.email",
    },
}
WRITE, READ, ADMIN = "orders/write", "orders/read", "orders/admin"


@dataclass(frozen=True)
class Pools:
    """Two user pools, each with a user, and a pool of somebody else's."""

    first: UserPool
    second: UserPool
    ann: PoolUser
    bob: PoolUser
    stranger: PoolUser


@pytest.fixture(scope="module")
def pools(cloud: LocalAws) -> Pools:
    first, second, other = (UserPool.new(cloud.aws) for _ in range(3))
    return Pools(first, second, first.sign_up("ann"), second.sign_up("bob"), other.sign_up("ann"))


def kind(pools: Pools, **more: object) -> dict[str, object]:
    """Return the settings of an authorizer for the users of both pools."""
    return {"kind": "cognito", "user_pool_arns": [pools.first.arn, pools.second.arn], **more}


@pytest.fixture(scope="module")
def door(cloud: LocalAws, pools: Pools) -> Door:
    """A front door for users."""
    return open_door(cloud, front_door(ROUTE), authorizer=kind(pools))


@pytest.fixture(scope="module")
def scoped(cloud: LocalAws, pools: Pools) -> Door:
    """A front door for services with one of two scopes."""
    return open_door(cloud, front_door(ROUTE), authorizer=kind(pools, scopes=[WRITE, ADMIN]))


def ask(door: Door, token: str, scheme: str = "Bearer ") -> Reply:
    """Send a message with a token."""
    return door.send("notes", headers={"Authorization": f"{scheme}{token}"})


def assert_unauthorized(door: Door, reply: Reply) -> None:
    """Fail unless a caller is asked for another token, and neither it nor the log learns more."""
    assert_refused(reply, 401, "UNAUTHORIZED")
    assert reply.headers["www-authenticate"] == "Bearer"
    door.assert_silent(reply)
    line = line_of(door, reply)
    assert (line.status, line.backend, line.principal) == (401, None, None)


@pytest.mark.parametrize("scheme", ["Bearer ", ""])
@pytest.mark.parametrize("who", ["ann", "bob"])
def test_a_user_of_each_pool_is_let_in_and_known(door: Door, pools: Pools, who: str, scheme: str) -> None:
    user: PoolUser = getattr(pools, who)

    reply = ask(door, user.id_token, scheme)

    assert reply.status == 202
    assert door.arrived(QUEUE, reply) == {
        "requestId": reply.answer["requestId"],
        "sourceIp": "127.0.0.1",
        "principal": user.sub,
        "user": who,
        "subject": user.sub,
    }
    assert line_of(door, reply).principal == user.sub


def tampered(token: str, **claims: object) -> str:
    """Return a token with its signature, and other claims than those that were signed."""
    head, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(f"{body}=="))
    changed = base64.urlsafe_b64encode(json.dumps({**said, **claims}).encode()).decode().rstrip("=")
    return f"{head}.{changed}.{signature}"


def signed_by_another(token: str) -> str:
    """Return a token's claims under its key's id, signed with a secret."""
    given = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, secrets.token_hex(32), "HS256", {"kid": given["kid"]})


def unsigned(token: str) -> str:
    """Return a token's claims without a signature."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, "", "none", {"kid": jwt.get_unverified_header(token)["kid"]})


FORGERIES: dict[str, Callable[[str], str]] = {
    "another user's claims": lambda token: tampered(token, sub="somebody else"),
    "a longer life": lambda token: tampered(token, exp=9_999_999_999),
    "another signature": lambda token: f"{token[:-20]}{'A' * 20}",
    "signed with a secret": signed_by_another,
    "not signed": unsigned,
    "no signature": lambda token: token.rpartition(".")[0],
    "garbage": lambda _token: "x.y.z",
    "nothing": lambda _token: "",
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_token_is_refused(door: Door, pools: Pools, how: str) -> None:
    assert_unauthorized(door, ask(door, FORGERIES[how](pools.ann.id_token)))


def public_key(cloud: LocalAws, pool: UserPool) -> jwt.PyJWK:
    """Return the key that everybody may know, as the pool tells it."""
    uid = pool.arn.rpartition("/")[2]
    with urllib.request.urlopen(f"{cloud.aws.endpoint}/{uid}/.well-known/jwks.json") as answer:
        return jwt.PyJWKSet.from_dict(json.load(answer)).keys[0]


def hashed(token: str, secret: bytes) -> str:
    """Return a token's claims under its key's id, with a hash in place of a signature."""
    head = {"alg": "HS256", "typ": "JWT", "kid": jwt.get_unverified_header(token)["kid"]}
    first = base64.urlsafe_b64encode(json.dumps(head).encode()).decode().rstrip("=")
    said = f"{first}.{token.split('.')[1]}"
    last = base64.urlsafe_b64encode(hmac.digest(secret, said.encode(), "sha256")).decode().rstrip("=")
    return f"{said}.{last}"


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_the_public_key_is_no_secret_to_sign_with(
    cloud: LocalAws, door: Door, pools: Pools, encoding: Encoding
) -> None:
    known = public_key(cloud, pools.first).key
    told = known.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)

    assert_unauthorized(door, ask(door, hashed(pools.ann.id_token, told)))


@pytest.mark.parametrize("named", [True, False], ids=["a known key id", "an unknown key id"])
def test_a_key_of_somebody_else_is_refused(door: Door, pools: Pools, named: bool) -> None:
    token = pools.ann.id_token
    claims = jwt.decode(token, options={"verify_signature": False})
    uid = jwt.get_unverified_header(token)["kid"] if named else "stranger"
    forged = jwt.encode(claims, generate_private_key(65537, 2048), "RS256", {"kid": uid})

    assert_unauthorized(door, ask(door, forged))


@pytest.mark.parametrize(
    "lines",
    [
        [b"Authorization: Bearer TOKEN", b"Authorization: Bearer x.y.z"],
        [b"Authorization: Bearer TOKENTOKEN"],
        [b"Authorization: Bearer TOKEN\xe9"],
        [b"Authorization: Bearer " + b"a" * 8192],
        [b"Authorization:"],
    ],
    ids=["twice", "doubled", "not ASCII", "8 KB", "empty"],
)
def test_a_header_that_holds_no_one_token_is_refused(door: Door, pools: Pools, lines: list[bytes]) -> None:
    token = pools.ann.id_token.encode()
    given = [each.replace(b"TOKEN", token).decode("latin-1") for each in lines]

    assert_unauthorized(door, door.send_raw("notes", ["Content-Type: application/json", *given]))


def test_an_access_token_is_refused_where_no_scope_is_asked_for(door: Door, pools: Pools) -> None:
    assert_unauthorized(door, ask(door, pools.ann.access_token))


def test_a_user_of_another_pool_is_refused(door: Door, pools: Pools) -> None:
    assert_unauthorized(door, ask(door, pools.stranger.id_token))


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"X-Authorization": "Bearer x"}])
def test_who_shows_nothing_is_refused(door: Door, headers: dict[str, str]) -> None:
    assert_unauthorized(door, door.send("notes", headers=headers))


def sign_in(pool: UserPool, name: str, seconds: int) -> str:
    """Return an ID token of a new user, which lasts so long."""
    cognito, password = pool.aws.client("cognito-idp"), f"Aa1!{secrets.token_urlsafe()}"
    client = cognito.create_user_pool_client(
        UserPoolId=pool.uid,
        ClientName="brief",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"],
        IdTokenValidity=seconds,
        TokenValidityUnits={"IdToken": "seconds"},
    )["UserPoolClient"]["ClientId"]
    cognito.admin_create_user(UserPoolId=pool.uid, Username=name)
    cognito.admin_set_user_password(UserPoolId=pool.uid, Username=name, Password=password, Permanent=True)
    return cognito.initiate_auth(
        ClientId=client,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": name, "PASSWORD": password},
    )["AuthenticationResult"]["IdToken"]


def test_a_token_lets_in_until_it_expires(door: Door, pools: Pools) -> None:
    token = sign_in(pools.first, "brief", 2)
    replies = [ask(door, token)]

    def expired() -> bool:
        replies.append(ask(door, token))
        return replies[-1].status != 202

    assert wait_every(0.1, 10, expired), "API Gateway keeps no decision about it"
    assert replies[0].status == 202
    assert_unauthorized(door, replies[-1])


def test_a_user_s_name_of_any_characters_arrives_as_it_is_and_breaks_no_line(
    door: Door, pools: Pools
) -> None:
    name = 'eve","ip":"203.0.113.9&Action=DeleteQueue$util\'#set($x=1)é'

    reply = ask(door, sign_in(pools.first, name, 300))

    assert reply.status == 202
    arrived = door.arrived(QUEUE, reply)
    assert (arrived["user"], arrived["principal"]) == (name, arrived["subject"])
    line = line_of(door, reply)
    assert (line.principal, line.ip) == (arrived["subject"], "127.0.0.1")
    assert not [each for each in log_texts(door.cloud, door.stack.outputs["access_log"]) if "eve" in each]


def test_with_scopes_a_token_with_one_of_them_lets_in(scoped: Door, pools: Pools) -> None:
    granted = pools.first.scoped_tokens([[WRITE], [ADMIN, READ], [READ]])

    replies = [ask(scoped, each) for each in granted]

    assert [each.status for each in replies] == [202, 202, 401]
    arrived = scoped.arrived(QUEUE, replies[0])
    client = jwt.decode(granted[0], options={"verify_signature": False})["sub"]
    assert (arrived["principal"], line_of(scoped, replies[0]).principal) == (client, client)
    assert_unauthorized(scoped, replies[-1])


@pytest.mark.parametrize("of", ["id_token", "access_token"])
def test_with_scopes_a_user_s_token_without_them_is_refused(scoped: Door, pools: Pools, of: str) -> None:
    assert_unauthorized(scoped, ask(scoped, getattr(pools.ann, of)))


def test_the_health_path_and_preflights_are_open_to_all(door: Door, scoped: Door) -> None:
    assert answers_to_all(door, "notes") == answers_to_all(scoped, "notes") == (200, 204)
    assert answers_to_all(door, "notes", bearer("x")) == (200, 204)
