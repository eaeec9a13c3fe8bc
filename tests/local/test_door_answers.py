"""What callers read: headers for browsers, the shape of errors, and nothing that is not theirs to know."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest

from local.stack import LocalAws
from sluice import tokens

from .doors import OTHER_PAGE, PAGE, Door, assert_problem, open_door
from .support import Reply, assert_refused, bearer

MIB = 1024 * 1024
ALLOW_ORIGIN = "access-control-allow-origin"
EXPOSED = "access-control-expose-headers"
NOT_CARRIED = "\ufffe"
ELSEWHERE = "https://evil.example.org"


@pytest.fixture
def send(guarded: Door, shown: dict[str, str]) -> Callable[[str], Reply]:
    """Send to `guarded` one of the requests that are known by name."""
    asked: dict[str, Callable[[], Reply]] = {
        "accepted": lambda: guarded.send("notes", {"kind": "x"}, shown),
        "a body that does not fit": lambda: guarded.send("notes", {}, shown),
        "a missing parameter": lambda: guarded.send("asking", {}, shown),
        "no token": lambda: guarded.send("notes", {"kind": "x"}),
        "an unknown token": lambda: guarded.send("notes", {"kind": "x"}, bearer(tokens.mint())),
        "no such path": lambda: guarded.send("nothing"),
        "over 10 MB": lambda: guarded.send("batch", b"x" * (11 * MIB), shown),
        "another content type": lambda: guarded.send("batch", [1], {**shown, "Content-Type": "text/html"}),
        "too many requests": lambda: next(
            each for each in iter(lambda: guarded.send("rare", {}, shown), None) if each.status != 202
        ),
        "what SQS does not take": lambda: guarded.send(
            "notes", json.dumps({"kind": NOT_CARRIED}, ensure_ascii=False), shown
        ),
        "over the queue's limit": lambda: guarded.send("notes", {"kind": "x" * 300_000}, shown),
        "a part of a batch": lambda: guarded.send(
            "batch", json.dumps(["a", NOT_CARRIED], ensure_ascii=False), shown
        ),
        "a queue that is gone": lambda: guarded.send("gone", {}, shown),
        "a batch for a queue that is gone": lambda: guarded.send("gone-batch", [1], shown),
    }
    return lambda name: asked[name]()


BY_API_GATEWAY = [
    ("a body that does not fit", 400, "BAD_REQUEST_BODY"),
    ("a missing parameter", 400, "BAD_REQUEST_PARAMETERS"),
    ("no token", 401, "UNAUTHORIZED"),
    ("an unknown token", 403, "ACCESS_DENIED"),
    ("no such path", 403, "MISSING_AUTHENTICATION_TOKEN"),
    ("over 10 MB", 413, "REQUEST_TOO_LARGE"),
    ("another content type", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ("too many requests", 429, "THROTTLED"),
]
BY_SQS = [
    ("what SQS does not take", 400, "BAD_REQUEST_BODY"),
    ("over the queue's limit", 413, "REQUEST_TOO_LARGE"),
    ("a part of a batch", 400, "BATCH_INCOMPLETE"),
    ("a queue that is gone", 502, "QUEUE_UNAVAILABLE"),
    ("a batch for a queue that is gone", 502, "QUEUE_UNAVAILABLE"),
]


@pytest.mark.parametrize(("asked", "status", "code"), [*BY_API_GATEWAY, *BY_SQS])
def test_every_error_is_a_problem_that_a_page_can_read(
    guarded: Door, send: Callable[[str], Reply], asked: str, status: int, code: str
) -> None:
    reply = send(asked)

    assert_problem(reply, status, code)
    assert reply.answer["title"] == HTTPStatus(status).phrase
    assert reply.answer["detail"]
    assert reply.headers[ALLOW_ORIGIN] == "*"
    assert set(reply.headers[EXPOSED].split(",")) == {"x-amzn-RequestId", "Retry-After"}
    guarded.assert_silent(reply)


def test_an_accepted_message_is_no_problem_and_a_page_can_read_its_answer(
    send: Callable[[str], Reply],
) -> None:
    reply = send("accepted")

    assert (reply.status, reply.headers["content-type"]) == (202, "application/json")
    assert reply.headers[ALLOW_ORIGIN] == "*"
    assert reply.headers[EXPOSED]
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]


def test_what_was_throttled_says_when_to_come_again(send: Callable[[str], Reply]) -> None:
    assert send("too many requests").headers["retry-after"] == "1"


def test_who_shows_no_token_is_told_how(send: Callable[[str], Reply]) -> None:
    assert send("no token").headers["www-authenticate"] == "Bearer"
    assert "www-authenticate" not in send("an unknown token").headers


@dataclass(frozen=True)
class Refused:
    """A request that is refused, and how."""

    path: str
    status: int
    code: str
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


REFUSED = [
    Refused("nothing", 403, "MISSING_AUTHENTICATION_TOKEN"),
    Refused("plain", 415, "UNSUPPORTED_MEDIA_TYPE", headers={"Content-Type": "text/html"}),
    Refused("plain", 400, "BAD_REQUEST_BODY", b"a\x01b"),
    Refused("plain", 413, "REQUEST_TOO_LARGE", b"x" * 300_000),
    Refused("plain", 413, "REQUEST_TOO_LARGE", b"x" * (11 * MIB)),
    Refused("checked", 400, "BAD_REQUEST_BODY"),
    Refused("asking", 400, "BAD_REQUEST_PARAMETERS"),
    Refused("grouped", 400, "BAD_GROUP_ID"),
    Refused("strict/a", 400, "BAD_DEDUPLICATION_ID"),
    Refused("gone", 502, "QUEUE_UNAVAILABLE"),
    Refused("gone-batch", 502, "QUEUE_UNAVAILABLE", b"[1]"),
]


@pytest.mark.parametrize("asked", REFUSED, ids=lambda each: f"{each.path}-{each.status}-{len(each.body)}")
def test_every_error_names_its_request_and_nothing_of_ours(shop: Door, asked: Refused) -> None:
    reply = shop.send(asked.path, asked.body, asked.headers)

    assert_refused(reply, asked.status, asked.code)
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]
    assert reply.headers["content-type"] == "application/json"
    assert ALLOW_ORIGIN not in reply.headers, "no page may call here"
    shop.assert_silent(reply)


def test_a_role_that_may_not_send_is_answered_502(cloud: LocalAws) -> None:
    door = open_door(cloud, {"problem_json": True, "cors_origins": [PAGE], "routes": [{"path": "a"}]})
    given = door.made("front-door-role-policy").outputs
    cloud.aws.client("iam").delete_role_policy(RoleName=given["role"], PolicyName=given["name"])

    reply = door.send("a")

    assert_problem(reply, 502, "QUEUE_UNAVAILABLE")
    assert reply.headers[ALLOW_ORIGIN] == PAGE
    door.assert_silent(reply)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_success_has_the_status_that_was_set(shop: Door, status: int) -> None:
    path, body = ("plain" if status == 202 else f"with-{status}"), b'{"n": 1}'

    reply = shop.send(path, body)

    assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
    if status == 201:
        result = reply.answer["SendMessageResponse"]["SendMessageResult"]
        assert result["MD5OfMessageBody"] == hashlib.md5(body).hexdigest()
        assert shop.take_all("plain", [result["MessageId"]])
    else:
        assert set(reply.answer) == {"messageId", "requestId"}
        assert shop.take("plain", reply)["Body"] == '{"n": 1}'


def test_204_has_no_body_but_its_message_came(shop: Door) -> None:
    shop.receive("plain")

    reply = shop.send("with-204", {"for": "204"})

    assert (reply.status, reply.body) == (204, b"")
    (message,) = shop.receive("plain")
    assert message["MessageAttributes"]["requestId"]["StringValue"] == reply.headers["x-amzn-requestid"]


def test_a_refusal_has_its_own_status_whatever_that_of_success_is(shop: Door) -> None:
    for status in (200, 201, 204):
        reply = shop.send(f"with-{status}", b"\x01")
        assert_refused(reply, 400, "BAD_REQUEST_BODY")


@pytest.mark.parametrize("origin", [PAGE, OTHER_PAGE])
@pytest.mark.parametrize("path", ["notes", "gone", "secrets/1", "health"])
def test_a_preflight_of_a_known_page_is_answered_for_it(guarded: Door, path: str, origin: str) -> None:
    reply = guarded.send(path, None, asks(origin), "OPTIONS")

    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers[ALLOW_ORIGIN] == origin
    assert reply.headers["vary"] == "Origin"
    assert reply.headers["access-control-allow-headers"] == "Authorization,Content-Type"
    verb = "POST" if path in {"notes", "gone"} else "GET"
    assert reply.headers["access-control-allow-methods"] == verb
    assert reply.headers["access-control-max-age"] == "30"
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize(
    "origin",
    [
        ELSEWHERE,
        "null",
        "",
        "*",
        PAGE.replace("https", "http"),
        f"{PAGE}:8443",
        f"{PAGE}.evil.example.org",
        f"{PAGE}/",
        PAGE.upper(),
        f"{PAGE}, {OTHER_PAGE}",
        '" || true || "',
    ],
)
def test_a_preflight_of_another_page_is_answered_for_nobody(guarded: Door, origin: str) -> None:
    reply = guarded.send("notes", None, asks(origin), "OPTIONS")

    assert reply.status == 204
    assert ALLOW_ORIGIN not in reply.headers
    assert reply.headers["vary"] == "Origin"


def test_a_preflight_without_an_origin_is_answered_for_nobody(guarded: Door) -> None:
    reply = guarded.send(f"notes?origin={PAGE}", None, None, "OPTIONS")

    assert reply.status == 204
    assert ALLOW_ORIGIN not in reply.headers


def test_the_origin_is_found_in_whatever_case(guarded: Door) -> None:
    reply = guarded.send("notes", None, {"ORIGIN": PAGE}, "OPTIONS")

    assert reply.headers[ALLOW_ORIGIN] == PAGE


def test_a_preflight_needs_neither_token_nor_json(guarded: Door) -> None:
    target = guarded.send("notes", None, {**asks(PAGE), "Content-Type": "application/json"}, "OPTIONS")
    without = guarded.send_raw("notes", [f"Origin: {PAGE}"], b"", "OPTIONS")

    assert target.status == without.status == 204
    assert without.headers[ALLOW_ORIGIN] == PAGE


def test_one_origin_is_named_on_every_answer_and_may_have_credentials(cloud: LocalAws) -> None:
    door = open_door(
        cloud,
        {
            "routes": [{"path": "a"}, {"path": "a", "method": "PUT"}],
            "health_path": "health",
            "cors_origins": [PAGE],
            "cors_credentials": True,
        },
    )
    replies = [
        door.send("a", None, asks(ELSEWHERE), "OPTIONS"),
        door.send("a", None, asks(PAGE), "OPTIONS"),
        door.send("a"),
        door.send("a", b"\x01"),
        door.send("nothing"),
        door.send("health", None, method="GET"),
    ]

    assert [each.status for each in replies] == [204, 204, 202, 400, 403, 200]
    assert {each.headers[ALLOW_ORIGIN] for each in replies} == {PAGE}
    assert {each.headers["access-control-allow-credentials"] for each in replies} == {"true"}
    assert replies[0].headers["access-control-allow-methods"] == "POST,PUT"
    assert replies[0].headers["access-control-allow-headers"] == "Authorization,Content-Type,X-Api-Key"
    assert replies[0].headers["access-control-max-age"] == "600"


def test_where_every_page_may_call_each_is_told_so(cloud: LocalAws) -> None:
    door = open_door(cloud, {"routes": [{"path": "a"}], "cors_origins": ["*"]})

    replies = [door.send("a", None, asks(ELSEWHERE), "OPTIONS"), door.send("a"), door.send("nothing")]

    assert [each.status for each in replies] == [204, 202, 403]
    assert {each.headers[ALLOW_ORIGIN] for each in replies} == {"*"}
    assert not [each for each in replies if "access-control-allow-credentials" in each.headers]


def asks(origin: str) -> dict[str, str]:
    """Return the headers of a preflight."""
    return {"Origin": origin, "Access-Control-Request-Method": "POST"}
