"""Front doors whose callers sign their requests, as IAM lets them."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import botocore.auth
import pytest
from botocore.credentials import Credentials

from components import policies
from local.callers import IamUser, signed
from local.stack import LocalAws
from local.surroundings import new_iam_user

from .admission import QUEUE, answers_to_all, front_door, line_of
from .doors import PAGE, Door, open_door
from .support import Reply, assert_refused

ROUTES = (
    {"path": "notes", "attributes": {"caller": "context.user_arn"}},
    {"path": "shops/{shop}/orders/{order}", "attributes": {"shop": "path.shop"}},
    {"path": "pairs/{first}/{second}"},
)
HOME, AWAY, BANNED = "198.51.100.7", "203.0.113.9", "198.51.100.66"
KIND = {"kind": "iam"}


@pytest.fixture(scope="module")
def plain(cloud: LocalAws) -> Door:
    """A front door without a policy of its own."""
    return open_door(cloud, front_door(*ROUTES), authorizer=KIND)


@pytest.fixture(scope="module")
def fenced(cloud: LocalAws) -> Door:
    """A front door for some networks."""
    networks = {"allow_cidrs": ["198.51.100.0/24"], "deny_cidrs": ["198.51.100.64/26"]}
    return open_door(cloud, front_door(*ROUTES, **networks), authorizer=KIND)


@pytest.fixture(scope="module")
def named(cloud: LocalAws) -> IamUser:
    """A user without a policy, whom a front door names."""
    return new_iam_user(cloud.aws, "named")


@pytest.fixture(scope="module")
def naming(cloud: LocalAws, named: IamUser) -> Door:
    """A front door that names a caller."""
    return open_door(cloud, front_door(*ROUTES), authorizer={**KIND, "callers": [named.arn]})


@pytest.fixture(params=["plain", "fenced", "naming"])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.getfixturevalue(request.param)
    return found


JSON_LINE = "Content-Type: application/json"


def permitted(door: Door) -> Credentials:
    """Return the key of one who may call."""
    assert door.stack.callers.permitted
    return door.stack.callers.permitted.credentials


def stranger(door: Door) -> IamUser:
    """Return one of the same account who may not."""
    assert door.stack.callers.stranger
    return door.stack.callers.stranger


def ask(door: Door, key: Credentials, path: str = "notes", address: str = HOME) -> Reply:
    """Send a signed request from an address."""
    shown = signed(key, "POST", f"{door.url}/{path}", b"{}")
    return door.send(path, b"{}", {**shown, **door.as_client(address)})


def test_who_may_call_is_let_in_and_known(door: Door) -> None:
    user = door.stack.callers.permitted
    assert user

    reply = ask(door, user.credentials)

    assert reply.status == 202
    arrived, line = door.arrived(QUEUE, reply), line_of(door, reply)
    assert (arrived["caller"], arrived["sourceIp"]) == (user.arn, HOME)
    uid = door.cloud.aws.client("iam").get_user(UserName=user.name)["User"]["UserId"]
    assert (arrived["principal"], line.principal, line.ip) == (uid, uid, HOME)


def test_a_role_s_session_is_let_in_and_known(plain: Door) -> None:
    role, session = assumed(plain, "night-shift")

    reply = ask(plain, session)

    assert reply.status == 202
    arrived = plain.arrived(QUEUE, reply)
    assert arrived["caller"].endswith(f":assumed-role/{role}/night-shift")
    assert arrived["principal"].startswith("AROA")
    assert arrived["principal"].endswith(":night-shift")
    assert line_of(plain, reply).principal == arrived["principal"]


def assumed(door: Door, name: str) -> tuple[str, Credentials]:
    """Return a role that may call, and a session of it."""
    role, account = f"caller-{uuid.uuid4().hex[:6]}", door.cloud.aws.account
    iam = door.cloud.aws.client("iam")
    trusted = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
    }
    arn = iam.create_role(
        RoleName=role, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    )["Role"]["Arn"]
    iam.put_role_policy(RoleName=role, PolicyName="calling", PolicyDocument=calling(door, "*"))
    given = door.cloud.aws.client("sts").assume_role(RoleArn=arn, RoleSessionName=name)["Credentials"]
    return role, Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def calling(door: Door, methods: str) -> str:
    """Return a policy that lets its owner call some methods of a front door."""
    api = door.made("front-door-api").outputs["executionArn"]
    return policies.policy(policies.Statement(["execute-api:Invoke"], [f"{api}/{methods}"]))


def allow(door: Door, user: IamUser, methods: str) -> None:
    """Let a user call some methods of a front door."""
    door.cloud.aws.client("iam").put_user_policy(
        UserName=user.name, PolicyName="calling", PolicyDocument=calling(door, methods)
    )


def test_a_stranger_of_the_same_account_is_refused(door: Door) -> None:
    who = stranger(door)

    reply = ask(door, who.credentials)

    assert_refused(reply, 403, "ACCESS_DENIED")
    door.assert_silent(reply)
    assert who.name not in reply.body.decode()
    uid = door.cloud.aws.client("iam").get_user(UserName=who.name)["User"]["UserId"]
    assert line_of(door, reply).principal == uid


@pytest.mark.parametrize(
    "path",
    [
        "shops/OPTIONS/orders/1",
        "pairs/GET/health",
        "pairs/OPTIONS/1",
        "shops/GET/orders/health",
        "pairs/POST/notes",
    ],
)
def test_no_path_looks_like_one_that_is_open_to_all(door: Door, path: str) -> None:
    assert_refused(ask(door, stranger(door).credentials, path), 403, "ACCESS_DENIED")
    assert ask(door, permitted(door), path).status == 202


def test_the_health_path_and_preflights_need_no_signature(door: Door) -> None:
    assert answers_to_all(door, "notes", door.as_client(HOME)) == (200, 204)


def test_a_page_may_sign(plain: Door) -> None:
    preflight = plain.send("notes", None, {"Origin": PAGE}, "OPTIONS")

    allowed = {each.strip().lower() for each in preflight.headers["access-control-allow-headers"].split(",")}
    assert {"authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"} <= allowed


def test_who_does_not_sign_is_asked_to(door: Door) -> None:
    reply = door.send("notes", headers=door.as_client(HOME))

    assert_refused(reply, 403, "MISSING_AUTHENTICATION_TOKEN")
    assert "not signed" in reply.answer["message"]
    assert line_of(door, reply).principal is None


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "MISSING_AUTHENTICATION_TOKEN"),
        ("junk", "DEFAULT_4XX"),
        ('"', "DEFAULT_4XX"),
        ("Bearer abc", "DEFAULT_4XX"),
        ("Basic YTpi", "DEFAULT_4XX"),
        ("AWS4-HMAC-SHA256", "DEFAULT_4XX"),
        ("AWS4-HMAC-SHA256 Credential=x", "DEFAULT_4XX"),
        ("AWS4-HMAC-SHA256 " + "a" * 8192, "DEFAULT_4XX"),
    ],
    ids=lambda value: value[:30],
)
def test_an_authorization_that_is_no_signature_is_refused(plain: Door, header: str, code: str) -> None:
    reply = plain.send("notes", headers={"Authorization": header})

    assert_refused(reply, 403, code)
    plain.assert_silent(reply)


@pytest.mark.parametrize("other", ["junk", "Bearer x.y.z", "AWS4-HMAC-SHA256 Credential=\xe9"])
@pytest.mark.parametrize("first", [True, False], ids=["before it", "after it"])
def test_another_authorization_beside_a_signature_lets_nobody_in(
    plain: Door, other: str, first: bool
) -> None:
    shown = signed(stranger(plain).credentials, "POST", f"{plain.url}/notes", b"{}")
    lines = [f"{name}: {value}" for name, value in shown.items() if name != "Host"]
    beside = [f"Authorization: {other}"]

    reply = plain.send_raw("notes", [JSON_LINE, *(beside + lines if first else lines + beside)])

    assert reply.status == 403
    plain.assert_silent(reply)


@pytest.mark.parametrize("key", ["AKIAIOSFODNN7EXAMPLE", "test", "000000000000"])
def test_a_key_of_nobody_who_may_call_is_refused(plain: Door, key: str) -> None:
    reply = ask(plain, Credentials(key, "test"))

    assert_refused(reply, 403, "DEFAULT_4XX")
    plain.assert_silent(reply)


def test_a_known_key_with_another_secret_is_refused(plain: Door) -> None:
    reply = ask(plain, Credentials(permitted(plain).access_key, "x" * 40))

    assert_refused(reply, 403, "INVALID_SIGNATURE")
    plain.assert_silent(reply)
    assert line_of(plain, reply).principal is None


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("pairs/a/b", b"{}", {}),
        ("notes?a=1", b"{}", {}),
        ("notes", b'{"more": 1}', {}),
        ("notes", b"", {}),
        ("notes", b"{}", {"X-Amz-Date": "20200101T000000Z"}),
    ],
    ids=["path", "query", "body", "no body", "date"],
)
def test_what_was_changed_after_it_was_signed_is_refused(
    plain: Door, path: str, body: bytes, headers: Mapping[str, str]
) -> None:
    shown = signed(permitted(plain), "POST", f"{plain.url}/notes", b"{}")
    assert plain.send("notes", b"{}", shown).status == 202

    reply = plain.send(path, body, {**shown, **headers})

    assert_refused(reply, 403, "INVALID_SIGNATURE")
    plain.assert_silent(reply)
    assert line_of(plain, reply).principal is None


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_signature_of_another_time_is_refused(
    plain: Door, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    then = datetime.now(UTC) + timedelta(minutes=minutes)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: then)

    reply = ask(plain, permitted(plain))

    assert_refused(reply, 403, "INVALID_SIGNATURE")
    plain.assert_silent(reply)


def test_a_policy_for_one_path_is_for_that_path_alone(plain: Door) -> None:
    user = new_iam_user(plain.cloud.aws, "narrow")
    allow(plain, user, "v1/POST/notes")

    assert ask(plain, user.credentials, "notes").status == 202
    assert_refused(ask(plain, user.credentials, "pairs/a/b"), 403, "ACCESS_DENIED")


def test_a_policy_for_another_front_door_is_none_for_this_one(plain: Door, fenced: Door) -> None:
    assert_refused(ask(plain, permitted(fenced)), 403, "ACCESS_DENIED")
    assert_refused(ask(fenced, permitted(plain)), 403, "ACCESS_DENIED")


def test_a_caller_that_is_named_needs_no_policy_of_its_own(naming: Door, plain: Door, named: IamUser) -> None:
    reply = ask(naming, named.credentials)

    assert reply.status == 202
    assert naming.arrived(QUEUE, reply)["caller"] == named.arn
    assert_refused(ask(plain, named.credentials), 403, "ACCESS_DENIED")


@pytest.mark.parametrize("address", [AWAY, BANNED, "127.0.0.1", "2001:db8::1"])
def test_from_another_network_nobody_is_let_in(fenced: Door, address: str) -> None:
    replies = [
        ask(fenced, permitted(fenced), address=address),
        ask(fenced, stranger(fenced).credentials, address=address),
        fenced.send("health", None, fenced.as_client(address), "GET"),
    ]

    for reply in replies:
        assert_refused(reply, 403, "ACCESS_DENIED")
        fenced.assert_silent(reply)
