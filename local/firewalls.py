"""The web ACLs of stages, read from the emulator and kept ready to decide."""

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from . import waf
from .aws import Aws

if TYPE_CHECKING:
    from mypy_boto3_wafv2.type_defs import GetIPSetResponseTypeDef, RuleGroupTypeDef

SCOPE: Literal["REGIONAL"] = "REGIONAL"


class Firewalls:
    """Web ACLs with their IP sets, whose addresses are read again on their own."""

    def __init__(self, aws: Aws) -> None:
        """Know nothing yet."""
        self._aws = aws
        self._sets: dict[str, waf.AddressSet] = {}
        self._tokens: dict[str, str] = {}
        """The lock token with which each set was read, by ARN: it changes with the set."""
        self._rates: dict[str, waf.Rates] = {}
        self._lock = threading.Lock()

    def of(self, stage_arn: str) -> waf.WebAcl | None:
        """Return the web ACL of a stage, if one is associated.

        Raises:
            UnsupportedError: if the ACL uses what is not carried here.
        """
        client = self._aws.client("wafv2")
        try:
            described = client.get_web_acl_for_resource(ResourceArn=stage_arn)["WebACL"]
        except client.exceptions.WAFNonexistentItemException:
            return None
        groups = {arn: self.group(arn) for arn in waf.references(waf.GROUP, described)}
        wanted = waf.references(waf.IP_SET, [described, *groups.values()])
        if wanted - self._sets.keys():
            with self._lock:
                self._tokens |= dict.fromkeys(wanted - self._tokens.keys(), "")
            self.refresh()
        rates = self._rates.setdefault(described["ARN"], waf.Rates())
        return waf.parse(described, groups, self._sets, rates)

    def refresh(self) -> None:
        """Read again the addresses of the sets that have changed."""
        with self._lock:
            if not self._tokens:
                return
            for each in self._aws.client("wafv2").list_ip_sets(Scope=SCOPE)["IPSets"]:
                arn = each["ARN"]
                if arn in self._tokens and self._tokens[arn] != each["LockToken"]:
                    self._read(arn)

    def group(self, arn: str) -> "RuleGroupTypeDef":
        """Return a group of rules as the API describes it."""
        name, uid = arn.split("/")[-2:]
        return self._aws.client("wafv2").get_rule_group(Name=name, Scope=SCOPE, Id=uid)["RuleGroup"]

    def ip_set(self, arn: str) -> "GetIPSetResponseTypeDef":
        """Return an IP set with its lock token as the API describes it."""
        name, uid = arn.split("/")[-2:]
        return self._aws.client("wafv2").get_ip_set(Name=name, Scope=SCOPE, Id=uid)

    def _read(self, arn: str) -> None:
        # One that is deleted since it was listed is no longer referred to.
        with suppress(self._aws.client("wafv2").exceptions.WAFNonexistentItemException):
            found = self.ip_set(arn)
            self._sets[arn] = waf.AddressSet(found["IPSet"]["Addresses"])
            self._tokens[arn] = found["LockToken"]
