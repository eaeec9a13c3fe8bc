"""Clients: who is counted. An IPv4 address, or the prefix of an IPv6 address that one customer has."""

import functools
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

V4, V6 = 4, 6
FAMILIES = (V4, V6)
IPV6_PREFIX = 64
"""What one customer is given at least (RFC 6177)."""
KNOWN_ADDRESSES = 65_536

Address = IPv4Address | IPv6Address


class NoClientError(ValueError):
    """A text that is no client; the message says what a client is."""


@dataclass(frozen=True)
class Identity:
    """Which addresses are one client."""

    ipv6_prefix: int = IPV6_PREFIX
    """Bits of an IPv6 address that tell clients apart."""
    ipv6_site_prefix: int | None = None
    """Bits of a shorter prefix that is counted as a client of its own, besides."""

    def clients(self, address: str) -> tuple[str, ...]:
        """Return the clients that an address counts for: one, or two for IPv6 with a site prefix.

        Raises:
            ValueError: if it is no address.
        """
        return _clients(address, self.ipv6_prefix, self.ipv6_site_prefix)

    def site(self, client: str) -> str | None:
        """Return the shorter prefix that an IPv6 client is counted under as well, if there is one."""
        if (
            self.ipv6_site_prefix is None
            or family(client) == V4
            or client.endswith(f"/{self.ipv6_site_prefix}")
        ):
            return None
        return _prefix(IPv6Address(client.partition("/")[0]), self.ipv6_site_prefix)

    def named(self, text: str) -> str:
        """Return the client that an operator means, by an address or by a prefix as it is listed.

        Raises:
            NoClientError: if it is neither.
        """
        try:
            if "/" not in text:
                return self.clients(text)[0]
            network = ipaddress.ip_network(canonical(text))
        except ValueError as error:
            raise NoClientError(f"{text!r} is no client: {self._allowed()}") from error
        if network.version == V4 and network.prefixlen == network.max_prefixlen:
            return str(network.network_address)
        if network.version == V6 and network.prefixlen in (self.ipv6_prefix, self.ipv6_site_prefix):
            return str(network)
        raise NoClientError(f"{text!r} is no client: {self._allowed()}")

    def _allowed(self) -> str:
        prefixes = " or ".join(f"/{each}" for each in (self.ipv6_prefix, self.ipv6_site_prefix) if each)
        return f"a client is an IPv4 address, an IPv6 address, or an IPv6 prefix of {prefixes}"


@functools.lru_cache(KNOWN_ADDRESSES)
def _clients(address: str, prefix: int, site_prefix: int | None) -> tuple[str, ...]:
    parsed = parse(address)
    if isinstance(parsed, IPv4Address):
        return (str(parsed),)
    prefixes = (prefix,) if site_prefix is None else (prefix, site_prefix)
    return tuple(_prefix(parsed, bits) for bits in prefixes)


def _prefix(address: IPv6Address, bits: int) -> str:
    return str(ipaddress.IPv6Network((int(address), bits), strict=False))


def parse(address: str) -> Address:
    """Return an address; an IPv4 address in IPv6 clothes (``::ffff:203.0.113.7``) is an IPv4 address.

    Raises:
        ValueError: if it is no address, or one that means something on one host alone (``fe80::1%eth0``).
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None:
            raise ValueError("an address with a scope")
        return parsed.ipv4_mapped or parsed
    return parsed


def family(client: str) -> int:
    """Return 4 or 6."""
    return V6 if ":" in client else V4


def cidr(client: str) -> str:
    """Return a client as an IP set takes it: always with a prefix length."""
    if "/" in client:
        return client
    return f"{client}/{128 if family(client) == V6 else 32}"


def canonical(network: str) -> str:
    """Return a CIDR in the one way to write it: WAF gives IPv6 back in full length.

    Raises:
        ValueError: if it is no CIDR, has bits beyond its prefix, or means everybody, which WAF does not take.
    """
    parsed = ipaddress.ip_network(network)
    if parsed.prefixlen == 0 or "%" in network:
        raise ValueError("a prefix of 0 bits, or a scope")
    return str(parsed)


class Networks:
    """Many CIDRs, and whether an address is in one of them."""

    def __init__(self, cidrs: Iterable[str] = ()) -> None:
        """Take CIDRs of both families.

        Raises:
            ValueError: if one is no CIDR.
        """
        self._held: dict[int, dict[int, set[int]]] = {V4: {}, V6: {}}
        for each in cidrs:
            network = ipaddress.ip_network(each)
            shift = network.max_prefixlen - network.prefixlen
            held = self._held[network.version].setdefault(shift, set())
            held.add(int(network.network_address) >> shift)

    def __contains__(self, address: Address) -> bool:
        number = int(address)
        return any(number >> shift in held for shift, held in self._held[address.version].items())

    def __bool__(self) -> bool:
        return any(self._held.values())
