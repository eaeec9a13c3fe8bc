"""The access log, as the front door writes it and as its reader reads it."""

from collections import Counter
from dataclasses import dataclass

import pytest

from local.stack import TOKEN_NAME, LocalAws
from sluice import access_log, tokens
from sluice.access_log import Line

from .support import Reply, access_lines, bearer, call, forbid, fresh, log_texts

MARKS = ("inquery", "inagent", "inpath", "inheader")


@dataclass(frozen=True)
class Logged:
    """What was answered and what was logged of it, by what was asked for."""

    replies: dict[str, Reply]
    lines: list[Line]
    texts: list[str]

    def line(self, asked: str) -> Line:
        wanted = self.replies[asked].headers["x-amzn-requestid"]
        return next(each for each in self.lines if each.request_id == wanted)


@pytest.fixture(scope="module")
def logged(cloud: LocalAws) -> Logged:
    stack = fresh(cloud, "dev")
    url, good = stack.outputs["url"], bearer(stack.token)
    hostile = {
        **good,
        "User-Agent": 'inagent","ip":"203.0.113.9',
        "X-Forwarded-For": '203.0.113.9","inheader":"',
        "X-Request-Id": "inheader",
    }
    replies = {
        "accepted": call(url, headers=good),
        "empty": call(url, body=b"", headers=good),
        "not a message": call(url, body=b"a\x01b", headers=good),
        "no token": call(url),
        "unknown token": call(url, headers=bearer(tokens.mint())),
        "wrong type": call(url, headers={**good, "Content-Type": "text/plain"}),
        "too large": call(url, body=b"x" * (11 * 1024 * 1024), headers=good),
        "wrong method": call(url, "GET", None, good),
        "hostile": call(f"{url}?inquery=%22,%22ip%22:%22203.0.113.9", headers=hostile),
        "hostile path": call(f'{url}/inpath%22,%22ip%22:%22203.0.113.9"', headers=hostile),
    }
    forbid(cloud, stack, "front-door-role-policy", "sqs:SendMessage")
    replies["denied by the queue"] = call(url, headers=good)
    lines = access_lines(cloud, stack, len(replies))
    return Logged(replies, lines, log_texts(cloud, stack.outputs["access_log"]))


def test_each_request_is_logged_once_under_the_id_that_its_caller_got(logged: Logged) -> None:
    told = Counter(reply.headers["x-amzn-requestid"] for reply in logged.replies.values())

    assert Counter(line.request_id for line in logged.lines) == told


@pytest.mark.parametrize(
    ("asked", "status", "backend", "principal"),
    [
        ("accepted", 202, 200, TOKEN_NAME),
        ("empty", 202, 200, TOKEN_NAME),
        ("not a message", 400, 400, TOKEN_NAME),
        ("denied by the queue", 502, 403, TOKEN_NAME),
        ("hostile", 202, 200, TOKEN_NAME),
        ("no token", 401, None, None),
        ("unknown token", 403, None, None),
        ("wrong type", 415, None, TOKEN_NAME),
        ("too large", 413, None, None),
    ],
)
def test_a_line_tells_what_became_of_the_request(
    logged: Logged, asked: str, status: int, backend: int | None, principal: str | None
) -> None:
    line = logged.line(asked)

    assert (line.method, line.route) == ("POST", "/messages")
    assert (line.status, line.backend, line.principal) == (status, backend, principal)
    assert line.status == logged.replies[asked].status
    assert line.ip == "127.0.0.1"
    assert line.waf == "WAF_ALLOW"
    assert line.latency is not None


def test_a_path_that_is_not_ours_is_logged_without_its_text(logged: Logged) -> None:
    line = logged.line("hostile path")

    assert (line.route, line.status, line.backend) == (access_log.ABSENT, 403, None)


def test_another_method_is_logged_as_it_was_asked_for(logged: Logged) -> None:
    line = logged.line("wrong method")

    assert (line.method, line.route, line.status) == ("GET", "/messages", 403)


def test_lines_stay_within_their_size(logged: Logged) -> None:
    assert max(len(text.encode()) for text in logged.texts) <= access_log.MAX_BYTES


def test_nothing_that_a_client_writes_is_in_a_line(logged: Logged) -> None:
    assert logged.texts
    for text in logged.texts:
        for mark in (*MARKS, "203.0.113.9", "?"):
            assert mark not in text


def test_lines_are_in_the_order_and_time_of_their_requests(logged: Logged) -> None:
    times = [logged.line(asked).time for asked in logged.replies]

    assert times == sorted(times)


def test_without_an_authorizer_of_ours_no_principal_is_logged(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    call(stack.outputs["url"], headers={"Authorization": 'Bearer x","principal":"admin'})

    assert [line.principal for line in access_lines(cloud, stack, 1)] == [None]
