import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from handlers.ip_sets import MOST_TRIES, Content, StaleTokenError, WafIpSets
from sluice.limiter import sets
from sluice.limiter.sets import ALLOW, BLOCK, SetName

V4 = SetName(BLOCK, 4, "block-4", "id-4")
V6 = SetName(BLOCK, 6, "block-6", "id-6")
OPEN = SetName(ALLOW, 4, "allow-4", "id-a")


def refusal(code: str, status: int = 400, operation: str = "UpdateIPSet") -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, operation)


TEMPORARY: list[Exception] = [
    refusal("ThrottlingException"),
    refusal("WAFInternalErrorException", 500),
    refusal("WAFUnavailableEntityException"),
    refusal("InternalFailure", 500),
    refusal("ServiceUnavailable", 503),
    refusal("Unheard", 502),
    EndpointConnectionError(endpoint_url="https://wafv2"),
    ConnectTimeoutError(endpoint_url="https://wafv2"),
    ReadTimeoutError(endpoint_url="https://wafv2"),
    HTTPClientError(error="broken pipe"),
]
FINAL: list[Exception] = [
    refusal("AccessDeniedException"),
    refusal("WAFNonexistentItemException"),
    refusal("WAFInvalidParameterException"),
    refusal("WAFLimitsExceededException"),
]


class Waf:
    """One IP set as WAF's client shows it, with failures before each answer, and a clock that sleeps move."""

    def __init__(self, addresses: Sequence[str] = (), token: str = "t-1") -> None:
        self.addresses = list(addresses)
        self.token = token
        self.failures: list[Exception] = []
        self.asked: list[dict[str, Any]] = []
        self.time = 1_000.0
        self.slept: list[float] = []
        self.written_at: list[float] = []
        self.read_at: list[float] = []
        self.takes = 0.0

    def get_ip_set(self, **given: Any) -> dict[str, Any]:
        self.read_at.append(self.time)
        self._answer(given)
        return {"IPSet": {"Addresses": self.addresses}, "LockToken": self.token}

    def update_ip_set(self, **given: Any) -> dict[str, Any]:
        self.written_at.append(self.time)
        self._answer(given)
        if given["LockToken"] != self.token:
            raise refusal("WAFOptimisticLockException")
        self.addresses, self.token = given["Addresses"], f"{self.token}+"
        return {"NextLockToken": self.token}

    def _answer(self, given: dict[str, Any]) -> None:
        self.asked.append(given)
        self.time += self.takes
        if self.failures:
            raise self.failures.pop(0)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def ip_sets(waf: Waf, *names: SetName) -> WafIpSets:
    client: Any = waf
    return WafIpSets(client, names or (V4, V6), sleep=waf.sleep, monotonic=lambda: waf.time)


USES: list[Callable[[WafIpSets], object]] = [
    lambda sets: sets.write(V4, [], "t-1"),
    lambda sets: sets.read(V4),
]


def test_a_set_is_read_by_its_name_and_id() -> None:
    waf = Waf(["192.0.2.7/32"])
    content = ip_sets(waf).read(V4)
    assert content == Content(frozenset({"192.0.2.7/32"}), "t-1")
    assert waf.asked == [{"Name": "block-4", "Scope": "REGIONAL", "Id": "id-4"}]
    assert waf.slept == []


def test_a_set_is_written_with_the_token_that_it_was_read_with() -> None:
    waf = Waf()
    ip_sets(waf).write(V4, {"198.51.100.1/32", "192.0.2.7/32"}, "t-1")
    assert waf.asked == [
        {
            "Name": "block-4",
            "Scope": "REGIONAL",
            "Id": "id-4",
            "Addresses": ["192.0.2.7/32", "198.51.100.1/32"],
            "LockToken": "t-1",
        }
    ]
    assert waf.slept == []


def test_what_was_written_compares_equal_however_waf_writes_it() -> None:
    wanted = {"2001:db8:1:2::/64", "2001:db8::1/128", "2001:db8:7::/48"}
    exploded = [ipaddress.ip_network(each).exploded for each in wanted]
    assert ip_sets(Waf(exploded)).read(V6).addresses == wanted
    assert ip_sets(Waf([each.upper() for each in exploded])).read(V6).addresses == wanted


@pytest.mark.parametrize("odd", ["192.0.2.7/24", "192.0.2.300/32", "all of them", "", "0.0.0.0/0", "::/0"])
def test_a_strange_entry_is_kept_as_it_is_so_that_it_differs(odd: str) -> None:
    content = ip_sets(Waf(["192.0.2.7/32", odd])).read(V4)
    assert content.addresses == {"192.0.2.7/32", odd}


def test_a_token_that_is_stale_is_told_at_once() -> None:
    waf = Waf(token="t-2")
    with pytest.raises(StaleTokenError, match="block-4"):
        ip_sets(waf).write(V4, [], "t-1")
    assert len(waf.asked) == 1, "to try again with it would be in vain"


@pytest.mark.parametrize("failure", TEMPORARY, ids=repr)
def test_what_may_pass_is_tried_again(failure: Exception) -> None:
    waf = Waf()
    waf.failures = [failure] * (MOST_TRIES - 1)
    ip_sets(waf).write(V4, ["192.0.2.7/32"], "t-1")
    assert waf.addresses == ["192.0.2.7/32"]
    waf.failures = [failure] * (MOST_TRIES - 1)
    assert ip_sets(waf).read(V4).addresses == {"192.0.2.7/32"}


@pytest.mark.parametrize("failure", TEMPORARY, ids=repr)
def test_what_does_not_pass_is_given_up(failure: Exception) -> None:
    for use in USES:
        waf = Waf()
        waf.failures = [failure] * MOST_TRIES
        with pytest.raises(type(failure)):
            use(ip_sets(waf))
        assert len(waf.asked) == MOST_TRIES
        assert sum(waf.slept) < 30, "an invocation's time is short"


@pytest.mark.parametrize("failure", FINAL, ids=repr)
def test_what_cannot_pass_is_told_at_once(failure: Exception) -> None:
    for use in USES:
        waf = Waf()
        waf.failures = [failure]
        with pytest.raises(ClientError) as refused:
            use(ip_sets(waf))
        assert refused.value is failure
        assert (len(waf.asked), waf.slept) == (1, [])


def test_waits_between_tries_double() -> None:
    waf = Waf()
    waf.failures = [TEMPORARY[0]] * (MOST_TRIES - 1)
    ip_sets(waf).read(V4)
    assert [each for each in waf.slept if each] == [0.25, 0.5, 1, 2, 4]


@pytest.mark.parametrize("takes", [0.0, 0.3, 0.999, 5.0])
def test_no_two_writes_begin_within_a_second_whichever_set_they_are_of(takes: float) -> None:
    waf = Waf()
    waf.takes = takes
    writing = ip_sets(waf)
    for each in [V4, V6, OPEN, V4]:
        writing.write(each, [], waf.token)
    gaps = [later - earlier for earlier, later in zip(waf.written_at, waf.written_at[1:], strict=False)]
    assert all(gap >= 1 for gap in gaps)
    assert sum(waf.slept) == pytest.approx(3 * max(0, 1 - takes)), "and not a moment longer"


def test_a_write_that_was_refused_is_paced_as_well() -> None:
    waf = Waf()
    waf.failures = [TEMPORARY[0], TEMPORARY[1]]
    writing = ip_sets(waf)
    writing.write(V4, [], "t-1")
    with pytest.raises(StaleTokenError):
        writing.write(V6, [], "t-1")
    gaps = [later - earlier for earlier, later in zip(waf.written_at, waf.written_at[1:], strict=False)]
    assert len(gaps) == 3
    assert all(gap >= 1 for gap in gaps)


def read_at(waf: Waf, reads: int) -> list[float]:
    """Return when each of many reads was asked for."""
    reading = ip_sets(waf)
    for _ in range(reads):
        reading.read(V4)
    return waf.read_at


@pytest.mark.parametrize("takes", [0.0, 0.05, 0.21, 3.0])
def test_no_more_than_five_reads_begin_within_a_second(takes: float) -> None:
    waf = Waf()
    waf.takes = takes
    begun = read_at(waf, 40)
    sixths = [later - earlier for earlier, later in zip(begun, begun[5:], strict=False)]
    assert min(sixths) >= 1
    assert sum(waf.slept) == pytest.approx(7 * max(0, 1 - 5 * takes)), "and not a moment longer"


def test_a_few_reads_wait_for_nothing() -> None:
    waf = Waf()
    assert read_at(waf, 5) == [waf.time] * 5
    assert waf.slept == []


def test_a_read_that_was_refused_is_paced_as_well() -> None:
    waf = Waf()
    waf.failures = [TEMPORARY[0]] * 2
    begun = read_at(waf, 8)
    assert len(begun) == 10
    assert min(later - earlier for earlier, later in zip(begun, begun[5:], strict=False)) >= 1


def test_a_write_does_not_wait_for_reads() -> None:
    waf = Waf()
    reading = ip_sets(waf)
    for _ in range(5):
        reading.read(V4)
    reading.write(V4, [], "t-1")
    assert waf.slept == []


def test_sets_are_the_same_after_they_were_written_into_a_variable_and_read() -> None:
    assert sets.loads(sets.dumps([V4, V6, OPEN])) == [V4, V6, OPEN]
    assert " " not in sets.dumps([V4, V6]), "a function's variables have 4 KB together"
