"""The API's resource policy: which addresses, or which VPC endpoints, may call it at all.

Only an explicit Deny stops a caller whom an authorizer lets in ("How API Gateway resource policies affect
authorization workflow"), so a list of those who may is written as a Deny of all others. With IAM it is the
other way round: in one account an Allow here suffices, so only the callers that are named get one.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pulumi

from .api_definition import STAGE_NAME
from .arguments import Problem, filled, texts
from .policies import Statement, policy

CIDR = re.compile(r"[0-9a-fA-F.:]+(/\d{1,3})?")
LARGEST = 8192
"""Bytes; API Gateway's own limit ("Quotas for configuring and running a REST API")."""
ENDPOINT = re.compile(r"vpce-[0-9a-f]{8,17}")
EXECUTION_ARN = "arn:aws-us-gov:execute-api:ap-southeast-1:123456789012:a1b2c3d4e5"
LONGEST_UNGUARDED = ("OPTIONS/*", f"GET/{'x' * 53}")
"""Both as long as one can be, for what the policy takes."""


@dataclass(frozen=True)
class Access:
    """Who may call, by where from."""

    allow: Sequence[str] = ()
    deny: Sequence[str] = ()
    endpoints: Sequence[str] = ()
    """The VPC endpoints of a private API."""
    signed: bool = False
    """Whether callers are let in by IAM."""
    callers: Sequence[pulumi.Input[str]] = ()
    """The principals of IAM that may call without a policy of their own."""
    stage: str = STAGE_NAME

    def policy(self, execution_arn: pulumi.Input[str], unguarded: Sequence[str] = ()) -> pulumi.Output[str]:
        """Return the policy for an API, once everything in it is known.

        Args:
            execution_arn: the API's.
            unguarded: the methods that need no signature, as ``GET/health``.
        """
        return pulumi.Output.all(execution_arn, *self.callers).apply(
            lambda known: self.document(known[0], known[1:], unguarded)
        )

    def document(self, execution_arn: str, callers: Sequence[str] = (), unguarded: Sequence[str] = ()) -> str:
        """Return the policy for an API, with the callers that are known by now."""
        everything = [f"{execution_arn}/*"]
        # Behind a VPC endpoint aws:SourceIp is not there ("AWS condition keys that can be used ...").
        address = "aws:VpcSourceIp" if self.endpoints else "aws:SourceIp"
        denials = {
            ("NotIpAddress", address): self.allow,
            ("IpAddress", address): self.deny,
            ("StringNotEquals", "aws:SourceVpce"): self.endpoints,
        }
        return policy(
            *self._allowances(execution_arn, callers, unguarded),
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

    def _allowances(
        self, execution_arn: str, callers: Sequence[str], unguarded: Sequence[str]
    ) -> Iterable[Statement]:
        if not self.signed:
            yield Statement(["execute-api:Invoke"], [f"{execution_arn}/*"], principal="*")
            return
        if callers:
            named = {"AWS": sorted(callers)}
            yield Statement(["execute-api:Invoke"], [f"{execution_arn}/*"], principal=named)
        if unguarded:
            # With the stage by name: an asterisk goes over slashes, and what follows may be a caller's words.
            methods = [f"{execution_arn}/{self.stage}/{each}" for each in unguarded]
            yield Statement(["execute-api:Invoke"], methods, principal="*")


def of(args: Mapping[str, object]) -> Access | None:
    """Return what a front door's arguments mean; none where everybody may call from anywhere."""
    access = Access(
        cast(list[str], args.get("allow_cidrs", [])),
        cast(list[str], args.get("deny_cidrs", [])),
        cast(list[str], args.get("vpc_endpoint_ids", [])),
        signed=bool(args.get("iam_authorization")),
        callers=cast("list[pulumi.Input[str]]", args.get("iam_callers", [])),
        stage=cast(str, args.get("stage_name", STAGE_NAME)),
    )
    return access if access.allow or access.deny or access.endpoints or access.callers else None


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
    size = len(access.document(EXECUTION_ARN, _known(access.callers), LONGEST_UNGUARDED)) if access else 0
    if size > LARGEST:
        remedy = "use larger networks, or a limiter's web ACL; roles with a policy of their own need no place"
        key = next(each for each in ("allow_cidrs", "deny_cidrs", "iam_callers") if args.get(each))
        found.append(Problem(key, f"{size} bytes of policy", f"at most {LARGEST} bytes", remedy))
    return found


def _known(callers: Sequence[pulumi.Input[str]]) -> list[str]:
    return [each for each in callers if isinstance(each, str)]


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
