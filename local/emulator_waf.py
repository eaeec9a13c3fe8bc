"""IP sets as AWS keeps them: lock tokens, limits and a rate of calls, which the emulator's own lack.

This runs inside the emulator, in place of its own functions for these calls, so that whoever calls is
authorized before, and the account and the region are known.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

import ipaddress
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ministack.services import waf

UPDATES_PER_SECOND = 1.0
MOST_ADDRESSES = 10_000
VERSIONS = {"IPV4": 4, "IPV6": 6}
LOCKED = (
    "AWS WAF couldn’t save your changes because someone changed the resource after you started to edit it. "  # noqa: RUF001 - AWS's own words
    "Reapply your changes."
)
TOO_MANY = "AWS WAF couldn’t perform the operation because you exceeded your resource limit."  # noqa: RUF001 - AWS's own words
IN_USE = (
    "AWS WAF couldn’t perform the operation because your resource is being used by another resource or it’s "  # noqa: RUF001 - AWS's own words
    "associated with another resource."
)

Data = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[Data], Answer]


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """A call that AWS refuses, with the code and the words that it answers."""

    def __init__(self, code: str, message: str) -> None:
        """Keep what the caller gets."""
        super().__init__(message)
        self.code = code
        self.message = message


class TokenBucket:
    """A bucket that holds one token and gets a new one at a rate."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with the token in it."""
        self._seconds = 1 / per_second
        self._clock = clock
        self._full_at = clock()

    def take(self) -> bool:
        """Take the token, if it is there."""
        now = self._clock()
        if now < self._full_at:
            return False
        self._full_at = now + self._seconds
        return True


def check_addresses(addresses: list[str], version: str) -> None:
    """Refuse addresses that an IP set of this version cannot hold.

    Raises:
        Refusal: with AWS's code.
    """
    if len(addresses) > MOST_ADDRESSES:
        raise Refusal("WAFLimitsExceededException", TOO_MANY)
    seen = set()
    for address in addresses:
        network = _network(address, version)
        if network in seen:
            raise _invalid(address)
        seen.add(network)


def _network(address: str, version: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    _, slash, length = address.partition("/")
    if not slash or not length.isdecimal() or int(length) == 0:
        raise _invalid(address)
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError as error:
        raise _invalid(address) from error
    if network.version != VERSIONS[version]:
        raise _invalid(address)
    return network


def _invalid(address: str) -> Refusal:
    return Refusal(
        "WAFInvalidParameterException",
        "Error reason: The parameter contains formatting that is not valid., field: IP_ADDRESS, "
        f"parameter: {address}",
    )


class IpSets:
    """The emulator's functions for IP sets, each with what AWS checks before it."""

    def __init__(self) -> None:
        """Keep the emulator's own functions, which do the work once a call has passed."""
        self._create: Handler = waf._create_ip_set
        self._update: Handler = waf._update_ip_set
        self._delete: Handler = waf._delete_ip_set
        self._bucket = TokenBucket(UPDATES_PER_SECOND)
        self._lock = threading.Lock()

    def create(self, data: Data) -> Answer:
        """Answer CreateIPSet."""
        return self._checked(data, self._create, self._check_create)

    def update(self, data: Data) -> Answer:
        """Answer UpdateIPSet."""
        return self._checked(data, self._update, self._check_update)

    def delete(self, data: Data) -> Answer:
        """Answer DeleteIPSet."""
        return self._checked(data, self._delete, self._check_delete)

    def _checked(self, data: Data, do: Handler, check: Callable[[Data], None]) -> Answer:
        """Check and do as one, whoever else calls meanwhile."""
        with self._lock:
            try:
                check(data)
            except Refusal as refusal:
                return _answer(refusal)
            return do(data)

    def _check_create(self, data: Data) -> None:
        check_addresses(data.get("Addresses", []), data.get("IPAddressVersion", "IPV4"))

    def _check_update(self, data: Data) -> None:
        if not self._bucket.take():
            raise Refusal("ThrottlingException", "Rate exceeded")
        ip_set = _ip_set(data)
        if ip_set is None:
            return
        check_addresses(data.get("Addresses", []), ip_set["IPAddressVersion"])
        _check_token(data, ip_set)

    def _check_delete(self, data: Data) -> None:
        ip_set = _ip_set(data)
        if ip_set is None:
            return
        _check_token(data, ip_set)
        if any(f'"{ip_set["ARN"]}"' in json.dumps(rules) for rules in _all_rules(data)):
            raise Refusal("WAFAssociatedItemException", IN_USE)


def _ip_set(data: Data) -> Data | None:
    """Return the IP set that a call names; where there is none, the emulator's own function says so."""
    found: Data | None = waf._resource_from_scope(
        waf._ip_sets, data.get("Id", ""), data.get("Scope", "REGIONAL")
    )
    return found


def _check_token(data: Data, ip_set: Data) -> None:
    if data.get("LockToken") != ip_set["LockToken"]:
        raise Refusal("WAFOptimisticLockException", LOCKED)


def _all_rules(data: Data) -> Iterator[list[Data]]:
    for store in (waf._web_acls, waf._rule_groups):
        for each in waf._values_for_scope(store, data.get("Scope", "REGIONAL")):
            yield each["Rules"]


def _answer(refusal: Refusal) -> Answer:
    answer: Answer = waf._waf_err(refusal.code, refusal.message)
    return answer


def keeping_bodies(store: Any, call: Handler) -> Handler:  # noqa: ANN401 - the emulator's own dict
    """Return a call that also keeps the bodies of custom responses, which the emulator forgets."""

    def kept(data: Data) -> Answer:
        answer = call(data)
        uid = data.get("Id") or json.loads(answer[2]).get("Summary", {}).get("Id", "")
        found = waf._resource_from_scope(store, uid, data.get("Scope", "REGIONAL"))
        if answer[0] == 200 and found is not None:  # noqa: PLR2004 - a status
            found["CustomResponseBodies"] = data.get("CustomResponseBodies", {})
        return answer

    return kept


def install() -> None:
    """Put all this in the place of the emulator's own."""
    ip_sets = IpSets()
    waf._create_ip_set = ip_sets.create
    waf._update_ip_set = ip_sets.update
    waf._delete_ip_set = ip_sets.delete
    for name, store in (("web_acl", waf._web_acls), ("rule_group", waf._rule_groups)):
        for verb in ("create", "update"):
            call = f"_{verb}_{name}"
            setattr(waf, call, keeping_bodies(store, getattr(waf, call)))
