"""Doors that a function guards: what it logs, and how it is shipped anew."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from components import policies
from components.authorizer import SETTINGS_FILE
from local.demo_checks import wait_until
from local.stack import LocalAws
from local.surroundings import unique

from .doors import Door
from .support import Reply, Values, access_lines, assert_refused, call, log_texts

REFUSED_HEADERS = {
    "content-length",
    "content-type",
    "date",
    "server",
    "x-amzn-errortype",
    "x-amzn-requestid",
}
"""All that an answer to a refused caller has."""


@dataclass(frozen=True)
class Watch:
    """What a function logs from a moment on."""

    cloud: LocalAws
    group: str
    before: int
    """How many lines there were."""

    @classmethod
    def over(cls, door: Door, group: str | None = None) -> "Watch":
        """Begin to look at a log: the one of the door's function, unless it is another's."""
        name = group or str(door.stack.outputs["authorizer_log"])
        return cls(door.cloud, name, len(json_lines(door.cloud, name)))

    def lines(self, count: int) -> list[Values]:
        """Wait for so many lines, and return all that came; a run's are there before its answer is."""
        return wait_until(
            lambda: json_lines(self.cloud, self.group)[self.before :], lambda found: len(found) >= count
        )

    @property
    def reasons(self) -> list[str]:
        """Why callers were refused, or nobody could be let in."""
        return [each["reason"] for each in self.lines(1)]


def json_lines(cloud: LocalAws, group: str) -> list[Values]:
    """Return what a function itself wrote into its log, which Lambda writes into as well."""
    return [json.loads(each) for each in log_texts(cloud, group) if each.startswith("{")]


def assert_denied(reply: Reply, *reasons: str) -> None:
    """Fail unless a caller was refused and learned nothing of why."""
    assert_refused(reply, 403, "ACCESS_DENIED")
    assert reply.answer["message"] == "This caller is not allowed to do that."
    assert reply.headers.keys() == REFUSED_HEADERS
    for reason in reasons:
        assert reason not in f"{reply.body.decode()} {dict(reply.headers)}".lower()


def assert_not_asked(watch: Watch, reply: Reply) -> None:
    """Fail unless a request lacked what shows who sends it, so that the function was not even asked."""
    assert_refused(reply, 401, "UNAUTHORIZED")
    assert not watch.lines(0)


def logged_principals(door: Door, *replies: Reply) -> list[str | None]:
    """Wait for the access log lines of answers, and return who called; every line is to be whole."""
    ids = [each.headers["x-amzn-requestid"] for each in replies]
    lines = wait_until(
        lambda: {each.request_id: each for each in access_lines(door.cloud, door.stack, len(ids))},
        lambda found: set(ids) <= found.keys(),
    )
    return [lines[each].principal for each in ids]


@contextmanager
def shipped(door: Door, **changed: object) -> Iterator[None]:
    """Ship a door's function with some of its settings changed, as a deployment does, for a while."""
    before = archive_of(door)
    ship(door, with_settings(before, changed))
    try:
        yield
    finally:
        ship(door, before)


def start_anew(door: Door) -> None:
    """Let a door's function start again, knowing nothing, as every new environment of it does."""
    ship(door, archive_of(door))


def archive_of(door: Door) -> bytes:
    """Return what a door's function was made from."""
    found = door.cloud.aws.client("lambda").get_function(
        FunctionName=door.stack.outputs["authorizer_function"]
    )
    return call(found["Code"]["Location"], "GET", None).body


def ship(door: Door, archive: bytes) -> None:
    """Give a door's function other code; none of its environments outlives that."""
    name = door.stack.outputs["authorizer_function"]
    door.cloud.aws.client("lambda").update_function_code(FunctionName=name, ZipFile=archive)


def with_settings(archive: bytes, changed: Mapping[str, object]) -> bytes:
    """Return the archive of a function of ours with other settings."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as before, zipfile.ZipFile(target, "w") as after:
        for each in before.infolist():
            content = before.read(each)
            if each.filename == SETTINGS_FILE:
                content = json.dumps({**json.loads(content), **changed}).encode()
            after.writestr(each, content)
    return target.getvalue()


def create_function(
    cloud: LocalAws, archive: bytes, handler: str, variables: Mapping[str, str]
) -> tuple[str, str]:
    """Make a function that stands outside the program, and return its ARN and the name of its log."""
    name = unique("deciding")
    log = f"/aws/lambda/{name}"
    # Else there is none before the first run.
    cloud.aws.client("logs").create_log_group(logGroupName=log)
    role = cloud.aws.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=policies.trusts("lambda.amazonaws.com")
    )["Role"]["Arn"]
    arn = cloud.aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler=handler,
        Role=role,
        Code={"ZipFile": archive},
        Environment={"Variables": dict(variables)},
    )["FunctionArn"]
    return arn, log
