"""Callers with tokens of ours: who is let in, as whom, for how long, and what is told to whom."""

import json
import time
from collections.abc import Mapping
from itertools import permutations

import pytest

from local.client import JSON
from local.stack import LocalAws
from sluice import tokens

from .deciding import Watch, assert_denied, assert_not_asked, logged_principals, shipped
from .doors import Door, attributes_of, open_door
from .support import Reply, bearer, wait_every

KEPT_SECONDS = 4
"""How long a decision is kept."""
KIB = 1024
HEADERS_BYTES = 10_240
"""What API Gateway takes."""
KNOWN = {name: tokens.mint() for name in ("old", "new", "batch", "lasting", "once", "former")}


def known(name: str, token: str, **more: object) -> dict[str, object]:
    """Return what settings hold of a token."""
    return {"name": name, "sha256": tokens.digest(token), **more}


@pytest.fixture(scope="module")
def door(cloud: LocalAws) -> Door:
    """A door of two routes and two methods; a caller has two tokens while one replaces the other."""
    return open_door(
        cloud,
        {
            "queues": [{"name": "drained"}, {"name": "kept"}],
            "routes": [
                {"path": "notes", "queue": "kept", "attributes": {"who": "context.principal"}},
                {"path": "notes", "queue": "kept", "method": "PUT"},
                {"path": "others/{id}", "queue": "kept"},
            ],
        },
        authorizer={
            "kind": "token",
            "cache_ttl_seconds": KEPT_SECONDS,
            "tokens": [
                known("mobile", KNOWN["old"]),
                known("mobile", KNOWN["new"]),
                known("batch", KNOWN["batch"]),
                known("lasting", KNOWN["lasting"], expires="2999-01-01T00:00:00+01:00"),
                known("once", KNOWN["once"]),
                known("former", KNOWN["former"], expires="2020-01-01T00:00:00Z"),
            ],
        },
    )


def send(door: Door, token: str | None) -> Reply:
    """Send a request that shows a token."""
    return door.send("notes", headers=bearer(token))


@pytest.mark.parametrize(
    ("token", "name"), [("old", "mobile"), ("new", "mobile"), ("batch", "batch"), ("lasting", "lasting")]
)
def test_who_has_a_token_is_let_in_and_known_by_its_name(door: Door, token: str, name: str) -> None:
    reply = send(door, KNOWN[token])

    assert reply.status == 202
    arrived = door.arrived("kept", reply)
    assert (arrived["principal"], arrived["who"]) == (name, name)
    assert logged_principals(door, reply) == [name]


def test_the_scheme_s_case_says_nothing(door: Door) -> None:
    reply = door.send("notes", headers={"authorization": f"bearer {KNOWN['batch']}"})

    assert reply.status == 202
    assert door.arrived("kept", reply)["principal"] == "batch"


def test_an_unknown_token_is_refused_and_only_the_log_says_why(door: Door) -> None:
    watch, token = Watch.over(door), tokens.mint()

    reply = send(door, token)

    assert_denied(reply, "unknown")
    (line,) = watch.lines(1)
    assert (line["decision"], line["reason"], line["Refused"]) == ("deny", "unknown token", 1)
    assert not [each for each in (token, tokens.digest(token)) if each in json.dumps(line)]
    assert logged_principals(door, reply) == [None]


def test_a_token_that_has_expired_is_refused_and_the_log_says_whose_it_was(door: Door) -> None:
    watch = Watch.over(door)

    assert_denied(send(door, KNOWN["former"]), "expired", "former")

    assert watch.reasons == ["expired token of former"]


def test_a_refusal_is_kept_so_guessing_again_asks_nobody(door: Door) -> None:
    watch, guess = Watch.over(door), tokens.mint()

    for _ in range(4):
        assert_denied(send(door, guess))
    assert_denied(send(door, tokens.mint()))

    assert watch.reasons == ["unknown token"] * 2, "one for each token"


PLACES = (("POST", "notes"), ("PUT", "notes"), ("POST", "others/1"), ("POST", "others/2"))


def test_a_decision_serves_every_method_and_route(door: Door) -> None:
    for token, status, decision in ((KNOWN["once"], 202, "allow"), (tokens.mint(), 403, "deny")):
        watch = Watch.over(door)

        replies = [door.send(path, headers=bearer(token), method=verb) for verb, path in PLACES]

        assert [each.status for each in replies] == [status] * len(PLACES)
        assert [each["decision"] for each in watch.lines(1)] == [decision]
        if status == 202:
            assert {door.arrived("kept", each)["principal"] for each in replies} == {"once"}


NO_TOKENS: Mapping[str, Mapping[str, str]] = {
    "nothing": {},
    "empty": {"Authorization": ""},
    "the scheme alone": {"Authorization": "Bearer"},
    "the scheme and a space": {"Authorization": "Bearer "},
    "another scheme": {"Authorization": f"Basic {KNOWN['batch']}"},
    "no scheme": {"Authorization": KNOWN["batch"]},
    "two spaces": {"Authorization": f"Bearer  {KNOWN['batch']}"},
    "one character more": {"Authorization": f"Bearer {KNOWN['batch']}x"},
    "two in one header": {"Authorization": f"Bearer {KNOWN['batch']}, Bearer {KNOWN['batch']}"},
    "Latin-1": {"Authorization": f"Bearer {KNOWN['batch'][:-1]}\u00e9"},
    "UTF-8": {"Authorization": f"Bearer {KNOWN['batch'][:-1]}\u00c3\u00a9"},
    "no UTF-8": {"Authorization": f"Bearer {tokens.PREFIX}{chr(0xFF) * 43}"},
    "8 KB": {"Authorization": f"Bearer {'x' * 8 * KIB}"},
    "8 KB that begin well": {"Authorization": f"Bearer {tokens.PREFIX}{'x' * 8 * KIB}"},
    "another header": {"X-Authorization": f"Bearer {KNOWN['batch']}"},
    "a header for proxies": {"Proxy-Authorization": f"Bearer {KNOWN['batch']}"},
}


@pytest.mark.parametrize("headers", NO_TOKENS.values(), ids=NO_TOKENS)
def test_what_is_no_token_asks_nobody(door: Door, headers: Mapping[str, str]) -> None:
    watch = Watch.over(door)

    reply = door.send("notes", headers=headers)

    assert_not_asked(watch, reply)
    assert reply.headers["www-authenticate"] == "Bearer"


def test_a_token_of_more_than_all_headers_may_have_is_the_caller_s_fault_and_asks_nobody(door: Door) -> None:
    watch = Watch.over(door)

    reply = send(door, "x" * HEADERS_BYTES)

    assert 400 <= reply.status < 500
    assert not watch.lines(0)


SHOWN: Mapping[str, str] = {
    "batch": f"Bearer {KNOWN['batch']}",
    "lasting": f"Bearer {KNOWN['lasting']}",
    "a guess": f"Bearer {tokens.mint()}",
    "nothing": "Bearer",
}
"""What may be shown, by who shows it."""


def test_two_authorization_headers_let_nobody_in_as_somebody_else(door: Door) -> None:
    pairs = list(permutations(SHOWN, 2))

    both = [door.send_raw("notes", [*shown_by(*each), f"Content-Type: {JSON}"]) for each in pairs]
    alone = [door.send_raw("notes", [*shown_by(each), f"Content-Type: {JSON}"]) for each in SHOWN]

    assert {each.status for each in both} <= {202, 401, 403}
    for pair, reply, principal in zip(pairs, both, logged_principals(door, *both), strict=True):
        assert principal in ({*pair} & KNOWN.keys() if reply.status == 202 else {None}), pair
    assert [each.status for each in alone] == [202, 202, 403, 401], "what is kept is nobody else's"
    assert logged_principals(door, *alone) == ["batch", "lasting", None, None]
    accepted = [each for each in (*both, *alone) if each.status == 202]
    messages = door.take_all("kept", [each.answer["messageId"] for each in accepted])
    told = [attributes_of(each)["principal"] for each in messages]
    assert told == logged_principals(door, *accepted)


def shown_by(*names: str) -> list[str]:
    """Return the header lines with which callers show what they have."""
    return [f"Authorization: {SHOWN[each]}" for each in names]


def test_a_token_is_replaced_without_a_pause_and_the_old_one_ends_when_its_decision_does(door: Door) -> None:
    old, new = KNOWN["old"], KNOWN["new"]
    assert [send(door, each).status for each in (old, new)] == [202, 202]

    with shipped(door, tokens=[known("mobile", new)]):
        assert send(door, old).status == 202, "its decision is kept"
        taken = []

        def refused() -> bool:
            taken.append(send(door, new).status)
            return send(door, old).status == 403

        assert wait_every(0.1, KEPT_SECONDS + 5, refused)
        assert set(taken) == {202}


def test_a_token_works_until_it_expires_and_no_longer_than_a_decision_is_kept(door: Door) -> None:
    token, watch = tokens.mint(), Watch.over(door)
    expires = int(time.time()) + 5

    with shipped(door, tokens=[known("brief", token, expires=expires)]):
        assert send(door, token).status == 202
        left = expires - time.time() + KEPT_SECONDS + 2
        assert wait_every(0.1, left, lambda: send(door, token).status == 403)
        ended = time.time()

    assert expires <= ended
    *allowed, last = watch.lines(2)
    assert {each["principal"] for each in allowed} == {"brief"}
    assert last["reason"] == "expired token of brief"
    assert expires * 1000 <= last["_aws"]["Timestamp"] <= ended * 1000
