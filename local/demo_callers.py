"""The demo of the authorizers: for each kind who is let in and who is not, and clients behind a proxy."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

from .callers import IamUser, Proxy, Tenant
from .client import JSON, Reply, ask
from .demo_checks import Check, outcome, wait_until
from .issuer import Issuer
from .program import Config, stack_config
from .stack import LocalAws, LocalStack

STACKS = ("jwt", "cognito", "iam", "function")
PROXY = "proxy"
"""The stack behind a proxy, with a window that is short enough to be seen."""
LIMIT = 10
WINDOW = {"name": "short", "limit": LIMIT, "length_seconds": 60}
LIMITER = "sluice:limiter"
BUSY, OTHER = "198.51.100.7", "198.51.100.8"
"""Two clients behind the proxy."""
BODY = "{}"
ACCEPTED, UNAUTHORIZED, FORBIDDEN = 202, 401, 403

Headers = Mapping[str, str]


def overrides(name: str) -> Config:
    """Return what the demo changes of a stack's settings."""
    if name != PROXY:
        return {}
    limiter = json.loads(stack_config(name)[LIMITER])
    return {LIMITER: json.dumps({**limiter, "windows": [WINDOW], "allow_short_windows": True})}


def examine(local: LocalAws, stack: LocalStack) -> list[Check]:
    """Show of one stack who may call it."""
    name = stack.deployment.stack
    findings: dict[str, Sequence[Callable[[], Check]]] = {
        "jwt": [lambda: let_in(stack, jwt_callers(stack))],
        "cognito": [lambda: let_in(stack, cognito_callers(stack))],
        "iam": [lambda: let_in(stack, iam_callers(stack))],
        "function": [lambda: let_in(stack, function_callers(stack))],
        PROXY: [lambda: told_apart(local, stack), lambda: no_way_round(local, stack)],
    }
    return [replace(each, name=f"{name}: {each.name}") for each in map(outcome, findings[name])]


def let_in(stack: LocalStack, callers: Mapping[str, tuple[Headers, int]]) -> Check:
    """Check that each caller gets the status that it should, the accepted one an id as well."""
    replies = {name: post(stack.outputs["url"], headers) for name, (headers, _) in callers.items()}
    expected = {name: status for name, (_, status) in callers.items()}
    statuses = {name: reply.status for name, reply in replies.items()}
    shaped = all(
        ("messageId" if each.status == ACCEPTED else "code") in each.json for each in replies.values()
    )
    return Check("who may call is let in, and nobody else", statuses == expected and shaped, statuses)


def post(url: str, headers: Headers) -> Reply:
    """Send one message."""
    return ask("POST", url, BODY, {"Content-Type": JSON, **headers})


def bearer(token: str) -> Headers:
    """Return the header of a bearer token."""
    return {"Authorization": f"Bearer {token}"}


def jwt_callers(stack: LocalStack) -> dict[str, tuple[Headers, int]]:
    """Return callers with tokens of an issuer, good and bad."""
    issuer = cast(Issuer, stack.callers.issuer)
    good = cast(str, stack.callers.token)
    scope = "orders.write"
    past = int(time.time()) - 3600
    return {
        "good": (bearer(good), ACCEPTED),
        "expired": (bearer(issuer.mint(scope=scope, exp=past)), FORBIDDEN),
        "for another": (bearer(issuer.mint(scope=scope, aud="another")), FORBIDDEN),
        "without scope": (bearer(issuer.mint()), FORBIDDEN),
        "forged": (bearer(tampered(good)), FORBIDDEN),
        "unsigned": (bearer(good.rpartition(".")[0] + "."), UNAUTHORIZED),
    }


def tampered(token: str) -> str:
    """Return a token whose signature is another."""
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{signature[::-1]}"


def cognito_callers(stack: LocalStack) -> dict[str, tuple[Headers, int]]:
    """Return callers with tokens of a user pool, good and bad."""
    good = cast(str, stack.callers.token)
    return {
        "good": (bearer(good), ACCEPTED),
        "forged": (bearer(tampered(good)), UNAUTHORIZED),
        "none": ({}, UNAUTHORIZED),
    }


def iam_callers(stack: LocalStack) -> dict[str, tuple[Headers, int]]:
    """Return callers with keys of IAM's: one that may call, one that may not, and one without."""
    url = stack.outputs["url"]
    permitted, stranger = cast(IamUser, stack.callers.permitted), cast(IamUser, stack.callers.stranger)

    def sign(user: IamUser) -> Headers:
        return user.sign("POST", url, BODY.encode(), {"Content-Type": JSON})

    return {
        "permitted": (sign(permitted), ACCEPTED),
        "stranger": (sign(stranger), FORBIDDEN),
        "unsigned": ({}, FORBIDDEN),
    }


def function_callers(stack: LocalStack) -> dict[str, tuple[Headers, int]]:
    """Return callers as the example of a function tells them apart."""
    tenant = cast(Tenant, stack.callers.tenant)
    return {
        "tenant": (tenant.headers(), ACCEPTED),
        "another key": (replace(tenant, key="guessed").headers(), FORBIDDEN),
        "none": ({}, UNAUTHORIZED),
    }


class Door:
    """The front door behind a proxy, by its domain."""

    def __init__(self, local: LocalAws, stack: LocalStack) -> None:
        """Look up where the domain leads."""
        where = urlsplit(stack.outputs["url"])
        self._url = f"{local.edge.url}{where.path}"
        self._host = {"Host": where.netloc}
        self._token = bearer(cast(str, stack.callers.token))
        self._proxy = cast(Proxy, stack.callers.proxy)

    def through(self, client: str) -> Reply:
        """Send a client's message through the proxy."""
        return post(self._url, {**self._host, **self._token, **self._proxy.headers(client)})

    def past(self, client: str) -> Reply:
        """Send a message past the proxy, as if it came from a client."""
        return post(self._url, {**self._host, **self._token, self._proxy.address_header: client})


def told_apart(local: LocalAws, stack: LocalStack) -> Check:
    """Check that of two clients behind one proxy the one that asks too often is stopped, and it alone."""
    door = Door(local, stack)
    accepted = sum(door.through(BUSY).status == ACCEPTED for _ in range(LIMIT))
    stopped = wait_until(lambda: door.through(BUSY), lambda reply: reply.status != ACCEPTED)
    other = door.through(OTHER)
    ok = accepted == LIMIT and stopped.status == HTTPStatus.TOO_MANY_REQUESTS and other.status == ACCEPTED
    detail = {"accepted": accepted, BUSY: stopped.status, OTHER: other.status}
    return Check("clients behind one proxy are counted one by one", ok, detail)


def no_way_round(local: LocalAws, stack: LocalStack) -> Check:
    """Check that who forges an address is refused, harms nobody, and finds no other way in."""
    door = Door(local, stack)
    forged = {door.past(OTHER).status for _ in range(2 * LIMIT)}
    other = door.through(OTHER)
    headers = {**bearer(cast(str, stack.callers.token)), **cast(Proxy, stack.callers.proxy).headers(OTHER)}
    direct = post(f"{stack.outputs['invoke_url']}/messages", headers)
    ok = forged == {FORBIDDEN} and other.status == ACCEPTED and direct.status == FORBIDDEN
    detail = {"forged": max(forged), OTHER: other.status, "execute-api": direct.status}
    return Check("a forged address does nothing, and there is no way round the proxy", ok, detail)
