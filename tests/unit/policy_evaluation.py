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


def lets_in(document: str, caller: Caller, principal: str = "anybody") -> bool:
    """Return whether a policy lets a caller in: something has to allow it, and nothing may deny it."""
    found = [
        each["Effect"]
        for each in json.loads(document)["Statement"]
        if _is_about(each["Principal"], principal) and _holds(each.get("Condition", {}), caller)
    ]
    return "Allow" in found and "Deny" not in found


def _is_about(named: str | Mapping[str, str], principal: str) -> bool:
    return named == "*" or (not isinstance(named, str) and principal in named.values())


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
