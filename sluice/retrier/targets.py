"""Where a call may go: judged by its URL first, and by the very address that is connected to at last."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urljoin, urlsplit

from .rules import Upstream

ORIGIN = re.compile(
    r"https?://(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?"
)
"""Scheme, host in lower case and perhaps a port; no path."""
AUTHORITY = re.compile(
    r"((?=.{1,253}(:|$))[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
    r"|\[[0-9a-f:.]+\])(:\d{0,5})?",
    re.IGNORECASE,
)
"""What is between ``//`` and the path: a name as DNS has them (RFC 1035, 2.3.4) or an address, and a port.
All else two readers could read as two hosts."""
PORTS = {"http": 80, "https": 443}
LONGEST_URL = 8192
VISIBLE = re.compile(r"[\x21-\x7e]+")
METADATA = ip_network("fd00:ec2::/32")
"""Of the instance metadata service and its like by IPv6 ("Access instance metadata", Amazon EC2 guide)."""
LINK_LOCAL = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"))
SITE_LOCAL = ip_network("fec0::/10")
"""Private addresses of old (RFC 3879), which Python takes for public ones."""
TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"), ip_network("::ffff:0:0:0/96"))
"""RFC 6052, RFC 8215 and RFC 2765: the last 32 bits are an IPv4 address."""
COMPATIBLE = ip_network("::/96")
"""IPv4-compatible addresses (RFC 4291, 2.5.5.1), which some systems still take for IPv4."""
IPV4_BITS = 0xFFFF_FFFF

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class ForbiddenTargetError(Exception):
    """A call would go where this retrier may not call; the message says why."""


@dataclass(frozen=True)
class Target:
    """A URL to which a call may go, as far as its address allows it."""

    url: str
    scheme: str
    host: str
    port: int
    upstream: Upstream

    @property
    def origin(self) -> str:
        """Scheme, host and port, the port always written."""
        return origin_of(self.scheme, self.host, self.port)


def judge(url: str, upstreams: Sequence[Upstream]) -> Target:
    """Return where a URL leads.

    Raises:
        ForbiddenTargetError: if it is no plain URL, or leads to nobody who may be called.
    """
    if not VISIBLE.fullmatch(url) or "\\" in url or len(url) > LONGEST_URL:
        raise ForbiddenTargetError(
            f"the URL must be visible ASCII without a backslash, at most {LONGEST_URL} characters"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ForbiddenTargetError("the URL cannot be read") from None
    host = parts.hostname or ""
    if parts.scheme not in PORTS or not host:
        raise ForbiddenTargetError("the URL must begin with https:// (or http://) and a host")
    if "@" in parts.netloc:
        raise ForbiddenTargetError("the URL holds a user or a password before its host")
    if not AUTHORITY.fullmatch(parts.netloc):
        raise ForbiddenTargetError("the URL's host is no name and no address")
    if port == 0:
        raise ForbiddenTargetError("the URL's port is 0")
    port = port or PORTS[parts.scheme]
    for upstream in upstreams:
        if fits(upstream.origin, parts.scheme, host, port):
            return Target(url.partition("#")[0], parts.scheme, host, port, upstream)
    raise ForbiddenTargetError(f"{origin_of(parts.scheme, host, port)} is not among the upstreams")


def host_of(origin: str) -> str | None:
    """Return the host of an origin that may be allowed, without ``*.``; nothing where it is no origin."""
    try:
        named = urlsplit(origin.replace("*.", "", 1))
        known = ORIGIN.fullmatch(origin) and named.port != 0
    except ValueError:
        return None
    return named.hostname if known else None


def fits(origin: str, scheme: str, host: str, port: int) -> bool:
    """Whether an origin that is allowed is the one of a URL, or stands for it."""
    allowed = urlsplit(origin.replace("*.", "", 1))
    known = allowed.hostname or ""
    same = host.endswith(f".{known}") if "*." in origin else host == known
    return same and scheme == allowed.scheme and port == (allowed.port or PORTS[allowed.scheme])


def covers(earlier: str, origin: str) -> bool:
    """Whether one origin that is allowed stands for all that another does."""
    named = urlsplit(origin.replace("*.", "below.", 1))
    return fits(earlier, named.scheme, named.hostname or "", named.port or PORTS[named.scheme])


def origin_of(scheme: str, host: str, port: int) -> str:
    """Return an origin as text."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def redirected(target: Target, location: str, upstreams: Sequence[Upstream]) -> Target:
    """Return where a redirect leads.

    Raises:
        ForbiddenTargetError: if a call may not go there, or would lose TLS on the way.
    """
    try:
        url = urljoin(target.url, location)
    except ValueError:
        raise ForbiddenTargetError("a redirect's URL cannot be read") from None
    try:
        found = judge(url, upstreams)
    except ForbiddenTargetError as error:
        raise ForbiddenTargetError(f"a redirect leads where it may not: {error}") from None
    if target.scheme == "https" and found.scheme == "http":
        raise ForbiddenTargetError("a redirect leads from https to http")
    return found


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return networks as values."""
    return tuple(ip_network(each) for each in texts)


def may_connect(address: str, private: Sequence[Network]) -> bool:
    """Whether a connection to an address is allowed: to a public one, or to one in ``private``.

    Link-local addresses and those of metadata services never are, nor any that means no single host.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = embedded(found)
    return _is_allowed(found, private, outer=inner is not None) and (
        inner is None or _is_allowed(inner, private, outer=False)
    )


def _is_allowed(address: Address, private: Sequence[Network], *, outer: bool) -> bool:
    if address.is_multicast or address.is_unspecified or _is_in(address, (*LINK_LOCAL, METADATA)):
        return False
    # One that only wraps another is as good as that one.
    public = address.is_global and not _is_in(address, (SITE_LOCAL,))
    return outer or public or _is_in(address, private)


def _is_in(address: Address, networks_: Iterable[Network]) -> bool:
    return any(address.version == each.version and address in each for each in networks_)


def embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for or leads to; none where it does neither."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.teredo:
        return address.teredo[1]
    own = int(address) in {0, 1}
    if _is_in(address, TRANSLATED) or (_is_in(address, (COMPATIBLE,)) and not own):
        return IPv4Address(int(address) & IPV4_BITS)
    return None


def is_never_called(network: Network) -> bool:
    """Whether all of a network is link-local or belongs to metadata services."""
    ends = (network[0], network[-1])
    return any(all(_is_in(each, (never,)) for each in ends) for never in (*LINK_LOCAL, METADATA))


def is_loopback(network: Network) -> bool:
    """Whether a network holds an address of the machine itself."""
    loopback = [ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("::ffff:127.0.0.0/104")]
    return any(network.version == each.version and network.overlaps(each) for each in loopback)
