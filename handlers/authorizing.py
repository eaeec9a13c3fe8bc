"""What the built-in authorizers share: API Gateway's event in, a decision that is safe to cache out.

Standard library only, since every request without a cached decision waits for it. A caller learns nothing of
why it was refused; the log does.
"""

import hmac
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NotRequired, TypedDict

from sluice import tokens

from . import emf
from .emf import Unit

SETTINGS_FILE = "authorizer.json"
"""Beside this module in the archive. A function's environment would be too small (4 KB hold about 30
digests)."""
ANONYMOUS = "-"
"""The principal of a caller that is nobody: none can have this name."""
ADDRESS = "clientIp"
"""What the context calls the client's address behind a proxy."""
SCHEME = "bearer"
"""In lower case: a scheme's case says nothing (RFC 9110, section 11.1)."""

Settings = Mapping[str, Any]
"""What the archive carries, as `SETTINGS_FILE` says it."""


class Request(TypedDict):
    """What of API Gateway's event is read here ("Input to an API Gateway Lambda authorizer")."""

    methodArn: str
    authorizationToken: NotRequired[str]
    """Of a TOKEN authorizer: the Authorization header."""
    multiValueHeaders: NotRequired[dict[str, list[str]]]
    """Of a REQUEST authorizer."""


class Decision(TypedDict):
    """What an authorizer answers ("Output from an API Gateway Lambda authorizer")."""

    principalId: str
    policyDocument: dict[str, object]
    context: dict[str, str]


class Caller(NamedTuple):
    """Somebody who may call."""

    principal: str
    context: Mapping[str, str] = {}
    """What else integrations and the log may read of them."""


class RefusedError(Exception):
    """Why a caller may not call, in words for the log that repeat nothing of what was sent."""


class SettingsError(Exception):
    """What is wrong with the authorizer itself, or with what it needs: no caller is to blame."""


Check = Callable[[str], Caller]
"""Tells whose a bearer token is.

Raises:
    RefusedError: if it is nobody's who may call.
    SettingsError: if that cannot be told.
"""


def read_settings() -> Settings:
    """Return what was shipped with the function.

    Raises:
        SettingsError: if it cannot be read.
    """
    try:
        # Importing pathlib would take longer than reading.
        with open(os.path.join(os.path.dirname(__file__), SETTINGS_FILE), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123
            found: Settings = json.load(file)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{SETTINGS_FILE} cannot be read") from error
    return found


class Log:
    """What an authorizer tells its operators, each line with its metric."""

    def __init__(self, source: emf.Source) -> None:
        """Say where the metrics come from."""
        self._source = source

    def decided(self, metric: str, said: Mapping[str, str]) -> None:
        """Tell of a decision."""
        self._write(metric, said)

    def settings(self, reason: str) -> None:
        """Tell what no caller is to blame for."""
        self._write("SettingsErrors", {"level": "ERROR", "message": "authorizer settings", "reason": reason})

    def _write(self, metric: str, said: Mapping[str, str]) -> None:
        print(self._source.line(now(), {metric: (1, Unit.COUNT)}, said))  # noqa: T201


Checking = Callable[[Settings, Log], Check]
"""Makes what checks tokens out of the settings; raises `SettingsError` where they are no good."""


def handler(checking: Checking) -> Callable[[Request, object], Decision]:
    """Return the entry of a function, which the first request makes ready."""
    ready: list[Authorizer] = []

    def handle(event: Request, _context: object) -> Decision:
        """Answer API Gateway, and log the decision (never the token)."""
        if not ready:
            ready.append(make(checking, Log(emf.Source.read(os.environ))))
        return ready[0].answer(event)

    return handle


def make(checking: Checking, log: Log) -> "Authorizer":
    """Return the authorizer that was shipped.

    Raises:
        SettingsError: if what was shipped is no good; the log tells of it.
    """
    try:
        settings = read_settings()
        return Authorizer(settings.get("proxy"), checking(settings, log), log)
    except Exception as error:
        log.settings(reason_of(error))
        raise


class Authorizer:
    """One warm function: everything that outlives a request."""

    def __init__(self, proxy: Settings | None, check: Check, log: Log) -> None:
        """Take what is known of a proxy in front, what checks tokens, and the log."""
        self._proxy = proxy
        self._check = check
        self._log = log

    def answer(self, event: Request) -> Decision:
        """Return the decision, and log it.

        A refusal is an answer, not an exception: it is cached too, and a guessing client does not look like a
        broken function.

        Raises:
            SettingsError: if nobody can be let in, which API Gateway answers with 500 and does not cache.
            Exception: likewise, if something happens that nobody foresaw.
        """
        context: dict[str, str] = {}
        try:
            if self._proxy:
                context[ADDRESS] = client_address(headers_of(event), self._proxy)
            caller = self._check(bearer(event))
        except RefusedError as refusal:
            self._log.decided("Refused", {"decision": "deny", "reason": str(refusal), **context})
            return decision(event, "Deny", Caller(ANONYMOUS, context))
        except Exception as error:
            self._log.settings(reason_of(error))
            raise
        self._log.decided("Allowed", {"decision": "allow", "principal": caller.principal, **context})
        return decision(event, "Allow", Caller(caller.principal, {**caller.context, **context}))


def reason_of(error: Exception) -> str:
    """Return why nobody can be let in; of what nobody foresaw only its kind, which repeats nothing."""
    return str(error) if isinstance(error, SettingsError) else type(error).__name__


def now() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def decision(event: Request, effect: str, caller: Caller) -> Decision:
    """Return a decision about the whole stage.

    It is cached under the identity sources alone and then serves every method, so it names the stage and not
    the method asked for.
    """
    return {
        "principalId": caller.principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": effect,
                    "Resource": f"{stage_arn(event['methodArn'])}/*",
                }
            ],
        },
        "context": {**caller.context},
    }


def stage_arn(method_arn: str) -> str:
    """Return the ARN of the stage that a method's ARN belongs to."""
    return "/".join(method_arn.split("/", 2)[:2])


def headers_of(event: Request) -> Mapping[str, Sequence[str]]:
    """Return every value of each header, by its name in lower case; of a TOKEN authorizer's event none."""
    found: dict[str, list[str]] = {}
    for name, values in (event.get("multiValueHeaders") or {}).items():
        found.setdefault(name.lower(), []).extend(values)
    return found


def bearer(event: Request) -> str:
    """Return the bearer token of a request (RFC 6750, section 2.1).

    Raises:
        RefusedError: if there is not exactly one.
    """
    values = (
        [event["authorizationToken"]]
        if "authorizationToken" in event
        else headers_of(event).get("authorization", [])
    )
    if len(values) != 1:
        raise RefusedError("no Authorization header" if not values else "several Authorization headers")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != SCHEME or not token or not token.isascii():
        raise RefusedError("no bearer token")
    return token


def client_address(headers: Mapping[str, Sequence[str]], proxy: Settings) -> str:
    """Return the client's address, which the proxy in front of the API tells.

    Args:
        headers: the request's.
        proxy: ``address_header`` and ``secret_header`` in lower case, and the digests of the ``secrets``.

    Raises:
        RefusedError: if the request did not come through the proxy.
        SettingsError: if it did, and the proxy tells no address.
    """
    shown = headers.get(proxy["secret_header"], [])
    digests = [tokens.digest(each) for each in shown]
    matches = [hmac.compare_digest(each, known) for each in digests for known in proxy["secrets"]]
    if len(shown) != 1 or not any(matches):
        raise RefusedError("not through the proxy")
    return plain_address(headers.get(proxy["address_header"], []))


def plain_address(values: Sequence[str]) -> str:
    """Return the one address that a header holds, as everything else writes it.

    Raises:
        SettingsError: if there is not exactly one.
    """
    import ipaddress  # noqa: PLC0415 - only behind a proxy

    try:
        (text,) = values
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise SettingsError("the proxy tells no single address") from error
    # WAF reads the same header and would not take these for the address that is meant.
    if "%" in text or (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped):
        raise SettingsError("the proxy tells no plain address")
    return str(address)
