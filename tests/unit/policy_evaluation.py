"""Who gets in by a policy, computed from its document as IAM does it, without IAM.

("Policy evaluation logic" and "IAM JSON policy elements: Condition operators", IAM guide)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network

Values = Sequence[str]
Caller = Mapping[str, str]
"""What is known of one call, by condition key."""


def _in_network(value: str, networks: Values) -> bool:
    address = ip_address(value)
    return any(address in ip_network(each) for each in networks)


def _same(value: str, values: Values) -> bool:
    return value in values


def _like(value: str, patterns: Values) -> bool:
    return any(fnmatchcase(value, each) for each in patterns)


OPERATORS: Mapping[str, Callable[[str, Values], bool]] = {
    "IpAddress": _in_network,
    "StringEquals": _same,
    "Bool": _same,
    "ArnLike": _like,
}
NEGATED = {"NotIpAddress": "IpAddress", "StringNotEquals": "StringEquals"}
"""What holds where the other does not; so also where the key is absent."""


def lets_in(document: str, caller: Caller, principal: str = "anybody", resource: str = "") -> bool:
    """Return whether a policy lets a caller in: something has to allow it, and nothing may deny it."""
    return effects(document, caller, principal, resource) == {"Allow"}


def effects(document: str, caller: Caller, principal: str = "anybody", resource: str = "") -> set[str]:
    """Return what a policy says of one call: ``Allow``, ``Deny``, both or nothing.

    Args:
        document: the policy.
        caller: what is known of the call.
        principal: who calls, as a policy names it.
        resource: what is asked for; without it each statement is about it.
    """
    return {
        each["Effect"]
        for each in json.loads(document)["Statement"]
        if _is_about(each["Principal"], principal)
        and (not resource or _like(resource, each["Resource"]))
        and _holds(each.get("Condition", {}), caller)
    }


def _is_about(named: str | Mapping[str, str | Values], principal: str) -> bool:
    if isinstance(named, str):
        return named == "*"
    lists = [[each] if isinstance(each, str) else each for each in named.values()]
    return any(principal in each for each in lists)


def _holds(conditions: Mapping[str, Mapping[str, str | Values]], caller: Caller) -> bool:
    return all(
        _one_holds(operator, caller.get(key), [values] if isinstance(values, str) else values)
        for operator, keys in conditions.items()
        for key, values in keys.items()
    )


def _one_holds(operator: str, value: str | None, values: Values) -> bool:
    if operator in NEGATED:
        return not _one_holds(NEGATED[operator], value, values)
    return value is not None and OPERATORS[operator](value, values)
