"""The API's resource policy: which addresses, or which VPC endpoints, may call it at all.

Only an explicit Deny stops a caller whom an authorizer lets in ("How API Gateway resource policies affect
authorization workflow"), so a list of those who may is written as a Deny of all others.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from .arguments import Problem, filled, texts
from .policies import Statement, policy

CIDR = re.compile(r"[0-9a-fA-F.:]+(/\d{1,3})?")
LARGEST = 8192
"""Bytes; API Gateway's own limit ("Quotas for configuring and running a REST API")."""
ENDPOINT = re.compile(r"vpce-[0-9a-f]{8,17}")
EXECUTION_ARN = "arn:aws-us-gov:execute-api:ap-southeast-1:123456789012:a1b2c3d4e5"
"""As long as one can be, for what the policy takes."""


@dataclass(frozen=True)
class Access:
    """Who may call, by where from."""

    allow: Sequence[str] = ()
    deny: Sequence[str] = ()
    endpoints: Sequence[str] = ()
    """The VPC endpoints of a private API."""

    def document(self, execution_arn: str) -> str:
        """Return the policy for an API."""
        everything = [f"{execution_arn}/*"]
        # Behind a VPC endpoint aws:SourceIp is not there ("AWS condition keys that can be used ...").
        address = "aws:VpcSourceIp" if self.endpoints else "aws:SourceIp"
        denials = {
            ("NotIpAddress", address): self.allow,
            ("IpAddress", address): self.deny,
            ("StringNotEquals", "aws:SourceVpce"): self.endpoints,
        }
        return policy(
            Statement(["execute-api:Invoke"], everything, principal="*"),
            *(
                Statement(
                    ["execute-api:Invoke"],
                    everything,
                    effect="Deny",
                    principal="*",
                    condition={operator: {key: list(values)}},
                )
                for (operator, key), values in denials.items()
                if values
            ),
        )


def of(args: Mapping[str, object]) -> Access | None:
    """Return what a front door's arguments mean; none where everybody may call from anywhere."""
    access = Access(
        cast(list[str], args.get("allow_cidrs", [])),
        cast(list[str], args.get("deny_cidrs", [])),
        cast(list[str], args.get("vpc_endpoint_ids", [])),
    )
    return access if access != Access([], [], []) else None


def problems(args: Mapping[str, object]) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    found = [
        *_cidr_problems(args, "allow_cidrs"),
        *_cidr_problems(args, "deny_cidrs"),
        *filled(args, "allow_cidrs", "else everybody may call"),
        *filled(args, "vpc_endpoint_ids", "else the API is public"),
        *texts(args, "vpc_endpoint_ids", ENDPOINT, "the id of a VPC endpoint, vpce-..."),
    ]
    access = None if found else of(args)
    size = len(access.document(EXECUTION_ARN)) if access else 0
    if size > LARGEST:
        remedy = "use larger networks, or a limiter's web ACL"
        key = "allow_cidrs" if "allow_cidrs" in args else "deny_cidrs"
        found.append(Problem(key, f"{size} bytes of policy", f"at most {LARGEST} bytes", remedy))
    return found


def _cidr_problems(args: Mapping[str, object], key: str) -> Iterable[Problem]:
    value = args.get(key, [])
    if not isinstance(value, list):
        yield Problem(key, value, "a list of CIDRs")
        return
    for index, each in enumerate(value):
        if not isinstance(each, str) or not CIDR.fullmatch(each) or not _is_network(each):
            allowed = "a CIDR such as 203.0.113.0/24 or 2001:db8::/32, without bits behind its prefix"
            yield Problem(f"{key}[{index}]", each, allowed)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
