"""WAF's IP sets as the enforcer sees them: addresses and a token, written at most once a second."""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from sluice.limiter.clients import canonical
from sluice.limiter.sets import SetName

if TYPE_CHECKING:
    from mypy_boto3_wafv2 import WAFV2Client
    from mypy_boto3_wafv2.type_defs import GetIPSetResponseTypeDef

SCOPE: Final = "REGIONAL"
READS_PER_SECOND = 5
WRITE_SECONDS = 1.0
"""Five reads and one write a second for an account and Region, which cannot be raised ("AWS WAF quotas")."""
MOST_TRIES = 6
PATIENCE_SECONDS = 0.25
"""The first wait after a refusal; it doubles."""
TEMPORARY = {
    "ThrottlingException",
    "WAFInternalErrorException",
    "WAFUnavailableEntityException",
    "InternalFailure",
    "ServiceUnavailable",
}
STALE = "WAFOptimisticLockException"

Answer = TypeVar("Answer")


class StaleTokenError(RuntimeError):
    """Somebody else wrote to the set since it was read: everything is to be read again."""


@dataclass(frozen=True)
class Content:
    """What a set held when it was read."""

    addresses: frozenset[str]
    """CIDRs, each written in the one canonical way."""
    token: str


class IpSets(Protocol):
    """Where the sets are."""

    @property
    def names(self) -> Sequence[SetName]:
        """All sets."""

    def read(self, each: SetName) -> Content:
        """Return what a set holds now."""

    def write(self, each: SetName, addresses: Collection[str], token: str) -> None:
        """Replace what a set holds, if nobody has since the token was read."""


class WafIpSets:
    """The sets in AWS WAF."""

    def __init__(
        self,
        client: "WAFV2Client",
        names: Sequence[SetName],
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use these sets, by a client that repeats nothing by itself."""
        self.names = names
        self._client = client
        self._sleep = sleep
        self._monotonic = monotonic
        self._read: deque[float] = deque(maxlen=READS_PER_SECOND)
        self._written: float | None = None

    def read(self, each: SetName) -> Content:
        """Return what a set holds now.

        Raises:
            ClientError: if WAF refuses, again and again where that could pass.
        """

        def get() -> "GetIPSetResponseTypeDef":
            self._pace_reads()
            return self._client.get_ip_set(Name=each.name, Scope=SCOPE, Id=each.id)

        answer = self._patiently(get)
        return Content(frozenset(map(_seen, answer["IPSet"]["Addresses"])), answer["LockToken"])

    def write(self, each: SetName, addresses: Collection[str], token: str) -> None:
        """Replace what a set holds, if nobody has since the token was read.

        Raises:
            StaleTokenError: if somebody has.
            ClientError: if WAF refuses for another reason, again and again where that could pass.
        """
        wanted = sorted(addresses)

        def update() -> None:
            self._pace()
            self._client.update_ip_set(
                Name=each.name, Scope=SCOPE, Id=each.id, Addresses=wanted, LockToken=token
            )

        try:
            self._patiently(update)
        except ClientError as error:
            if error.response["Error"]["Code"] == STALE:
                raise StaleTokenError(each.name) from error
            raise

    def _pace_reads(self) -> None:
        """Wait until a second has passed since the read that was five before this one."""
        if len(self._read) == READS_PER_SECOND:
            self._sleep(max(0.0, self._read[0] + 1 - self._monotonic()))
        self._read.append(self._monotonic())

    def _pace(self) -> None:
        """Wait until a second has passed since the last write, successful or not."""
        if self._written is not None:
            self._sleep(max(0.0, self._written + WRITE_SECONDS - self._monotonic()))
        self._written = self._monotonic()

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        """Return what a call does, repeating it for as long as its failure may pass."""
        for attempt in range(MOST_TRIES - 1):
            try:
                return call()
            except (ClientError, HTTPClientError, NoConnectionError) as error:
                if not _may_pass(error):
                    raise
            self._sleep(PATIENCE_SECONDS * 2**attempt)
        return call()


def _may_pass(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return True
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error.response["Error"]["Code"] in TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _seen(address: str) -> str:
    """Return an address of a set in the one way to write it, or as it is: then it is none of ours."""
    try:
        return canonical(address)
    except ValueError:
        return address
