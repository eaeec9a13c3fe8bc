"""A CDN or proxy in front of the API: how the client's address gets through it, and nothing past it.

The first address of X-Forwarded-For is what the client wrote, and the last may be the proxy's own; so the
proxy overwrites a header of its own with the one address of the client, and shows by a secret that a request
came through it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict, cast

import pulumi

from sluice import tokens

from . import arguments
from .arguments import InvalidArgsError, Problem

SECRET_HEADER = "X-Origin-Secret"  # noqa: S105 - a name
MOST_SECRETS = 2
SECRET = re.compile(r"[\x21-\x7e]{32,200}")
"""200 bytes are the most that WAF compares ("ByteMatchStatement", WAF API reference)."""
ALLOWED = "32 to 200 printable characters without spaces, better random ones"
HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
NOT_THE_PROXYS_OWN = re.compile(
    r"accept.*|authorization|cloudfront-viewer-address|connection|content-.*|cookie|forwarded|host|origin"
    r"|referer|te|trailer|transfer-encoding|upgrade|user-agent|via|x-amz.*|x-api-key|x-forwarded-.*"
)
"""What clients, browsers and AWS write, or holds more than an address."""
REMEDY = """pulumi config set --secret --path 'sluice:proxy.secrets[0]' "$(openssl rand -hex 32)\""""


class ProxyArgs(TypedDict):
    """A CDN or proxy in front of the API."""

    address_header: str
    """The header in which it sends the client's address, and nothing else: it must overwrite what a client
    wrote there, as Cloudflare does with ``CF-Connecting-IP``."""
    secrets: list[pulumi.Input[str]]
    """What it sends in ``secret_header``: 32 to 200 printable characters without spaces; two while one takes
    the other's place. They are kept as secrets."""
    secret_header: NotRequired[str]
    """The header that shows that a request came through the proxy. Default: ``X-Origin-Secret``."""


@dataclass(frozen=True)
class Proxy:
    """A proxy, as arguments without problems mean it."""

    address_header: str
    secret_header: str
    secrets: Sequence[pulumi.Output[str]]

    @property
    def headers(self) -> list[str]:
        """The headers that a decision about a request depends on, besides the caller's own."""
        return [self.address_header, self.secret_header]

    def settings(self) -> pulumi.Output[dict[str, object]]:
        """Return what an authorizer's function knows of it: of the secrets only digests."""
        digests = [pulumi.Output.unsecret(each.apply(tokens.digest)) for each in self.secrets]
        return pulumi.Output.all(*digests).apply(
            lambda known: {
                "address_header": self.address_header.lower(),
                "secret_header": self.secret_header.lower(),
                "secrets": known,
            }
        )


def of(args: Mapping[str, object]) -> Proxy | None:
    """Return the proxy that a component's arguments name; none where callers come directly."""
    given = cast("ProxyArgs | None", args.get("proxy"))
    if given is None:
        return None
    return Proxy(
        given["address_header"],
        given.get("secret_header") or SECRET_HEADER,
        [pulumi.Output.secret(each).apply(_checked) for each in given["secrets"]],
    )


def _checked(secret: str) -> str:
    """Return a secret that only now is known."""
    if not SECRET.fullmatch(secret):
        raise InvalidArgsError("proxy", [Problem("proxy.secrets", secret, ALLOWED, REMEDY)])
    return secret


def problems(args: Mapping[str, object]) -> list[Problem]:
    """Return everything that is wrong with a component's ``proxy``; no problem shows a secret."""
    given = args.get("proxy")
    if given is None:
        return []
    if not isinstance(given, dict):
        return [Problem("proxy", given, f"a map with {', '.join(ProxyArgs.__annotations__)}")]
    return [each.under("proxy.") for each in problems_of(given)]


def problems_of(given: Mapping[str, object]) -> list[Problem]:
    """Return everything that is wrong with a proxy itself; no problem shows a secret."""
    proxy = arguments.present(given)
    found = [
        *arguments.fitting(proxy, ProxyArgs),
        *_header_problems(proxy, "address_header"),
        *_header_problems(proxy, "secret_header"),
        *(_secret_problems(proxy["secrets"]) if "secrets" in proxy else []),
    ]
    headers = [str(proxy.get(key, SECRET_HEADER)).lower() for key in ("address_header", "secret_header")]
    if "address_header" in proxy and len(set(headers)) < len(headers):
        found.append(Problem("address_header", proxy.get("address_header"), "another than secret_header"))
    return found


def _header_problems(proxy: Mapping[str, object], key: str) -> Iterable[Problem]:
    allowed = "a header of the proxy's own, which it always overwrites: CF-Connecting-IP, True-Client-IP, ..."
    yield from arguments.text(proxy, key, HEADER, allowed)
    if NOT_THE_PROXYS_OWN.fullmatch(str(proxy.get(key)).lower()):
        yield Problem(key, proxy[key], allowed)


def _secret_problems(secrets: object) -> Iterable[Problem]:
    if not isinstance(secrets, list) or not 1 <= len(secrets) <= MOST_SECRETS:
        yield Problem("secrets", secrets, f"a list of 1 to {MOST_SECRETS} secrets", REMEDY)
        return
    for index, each in enumerate(secrets):
        if not isinstance(each, pulumi.Output) and not (isinstance(each, str) and SECRET.fullmatch(each)):
            yield Problem(f"secrets[{index}]", each, ALLOWED, REMEDY)
        elif isinstance(each, str) and each in secrets[:index]:
            yield Problem(f"secrets[{index}]", each, "another than the first", REMEDY)
