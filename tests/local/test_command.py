"""``python -m local`` as a person runs it."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local import __main__ as command
from local import demo, watch
from local.client import post
from local.demo_checks import wait_until
from local.emulator import EmulatorError
from local.say import Say
from local.stack import LocalAws, LocalStack

from .support import Reply, alive_in, call, emulators_of, fresh
from .test_emulator import refuses_connections

UP = (sys.executable, "-m", "local", "up", "--stack")


@dataclass(frozen=True)
class Running:
    """A stack that ``python -m local up`` keeps."""

    process: subprocess.Popen[str]
    folder: Path
    group: int
    said: list[str]
    """What it said before anything happened."""

    def lines_until(self, enough: Callable[[str], bool]) -> list[str]:
        """Read what it says, up to the line that is enough."""
        lines = []
        assert self.process.stdout
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if enough(lines[-1]):
                return lines
        raise AssertionError(f"it ended after saying {lines}: {(self.folder / 'stderr').read_text()}")

    @property
    def curl(self) -> str:
        return next(line for line in self.said if line.startswith("curl "))

    @property
    def url(self) -> str:
        return next(line for line in self.said if line.startswith("URL: ")).removeprefix("URL: ")


@contextmanager
def running(folder: Path, stack: str) -> Iterator[Running]:
    with (
        (folder / "stderr").open("w") as stderr,
        subprocess.Popen(
            [*UP, stack], cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        try:
            started = Running(process, folder, 0, [])
            said = started.lines_until(lambda line: line == watch.HEADING)
            (group,) = emulators_of(process.pid)
            yield Running(process, folder, group, said)
        finally:
            process.kill()


def send(line: str) -> tuple[int, dict[str, Any]]:
    """Run a curl line, or do what it says where there is no curl."""
    if shutil.which("curl"):
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        return int(head.split()[1]), json.loads(body)
    reply = as_curl(line)
    return reply.status, reply.answer


def as_curl(line: str) -> Reply:
    words = shlex.split(line)
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    return call(words[2], "POST", words[words.index("-d") + 1].encode(), headers)


def test_up_tells_how_to_send_a_message_and_what_becomes_of_it_until_ctrl_c(checkout: Path) -> None:
    with running(checkout, "dev") as up:
        status, answer = send(up.curl)
        told = up.lines_until(lambda line: "  message  " in line)
        code = end(up, signal.SIGINT)

    request = next(line for line in told if "  request  " in line)
    assert status == 202
    assert "  202  POST /messages  " in request
    assert request.endswith(f"request id {answer['requestId']}")
    assert re.fullmatch(
        rf"\d\d:\d\d:\d\d  message  handled  {answer['messageId']}  request id {answer['requestId']}",
        told[-1],
    )
    assert code == 0


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_nothing_is_left_running_however_it_ends(checkout: Path, sign: signal.Signals, code: int) -> None:
    with running(checkout, "open") as up:
        assert send(up.curl)[0] == 202
        assert len(alive_in(up.group)) > 1, "the emulator and the functions that it runs"
        assert end(up, sign) == code


def end(up: Running, sign: signal.Signals) -> int:
    """End it by a signal and return its exit code, once nothing of it is left."""
    (outputs,) = (up.folder / ".local").glob("outputs.*.json")
    queue_url = json.loads(outputs.read_text())["queue_url"]

    up.process.send_signal(sign)
    code = up.process.wait()

    assert wait_until(lambda: alive_in(up.group), lambda found: not found) == []
    # A process that was killed counts as dead while its threads still hold the port.
    assert [wait_until(partial(refuses_connections, url), bool) for url in (up.url, queue_url)] == [
        True,
        True,
    ]
    assert "Traceback" not in (up.folder / "stderr").read_text()
    return code


def test_an_unknown_stack_ends_with_one_message(checkout: Path) -> None:
    done = subprocess.run([*UP, "prod"], cwd=checkout, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "There is no stack 'prod'; there are: "
        "cognito, dev, full, function, iam, jwt, limits, open, proxy, retrier.\n"
    )
    assert not (checkout / ".local").exists(), "an emulator makes its folder first of all"


def test_wrong_settings_end_with_all_of_them_and_what_to_do(checkout: Path) -> None:
    (checkout / "Pulumi.wrong.yaml").write_text(
        "config:\n"
        "  sluice:authorizer: {kind: password}\n"
        "  sluice:front_door: {throttle_rate: -1, path: with spaces}\n"
        "  sluice:consumer: {entry: recorder}\n"
    )

    done = subprocess.run([*UP, "wrong"], cwd=checkout, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for key in (
        "authorizer.kind",
        "front_door.throttle_rate",
        "front_door.path",
        "consumer.code",
        "consumer.entry",
    ):
        assert f"sluice:{key}" in done.stderr, key
    assert done.stderr.count("Nothing was deployed: 5 settings are wrong.") == 1


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """Put the handler back that the command sets."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_own_signals")
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(EmulatorError("it did not start"), 1, "it did not start\n"), (KeyboardInterrupt(), 130, "")],
)
def test_what_a_person_can_change_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(stack: str) -> int:
        raise error

    monkeypatch.setattr(watch, "up", fail)

    assert command.main(["up"]) == code
    assert capsys.readouterr().err == said


@pytest.mark.usefixtures("_own_signals")
def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*, as_json: bool) -> int:
        raise KeyError("a bug")

    monkeypatch.setattr(demo, "run", fail)

    with pytest.raises(KeyError):
        command.main(["demo"])


@pytest.mark.usefixtures("_own_signals")
def test_up_deploys_the_dev_stack_unless_told_otherwise(
    cloud: LocalAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(local: LocalAws, log_group: str) -> Iterator[str]:
        yield "a line"
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(watch, "local_aws", lambda say, on_request: nullcontext(cloud))
    monkeypatch.setattr(watch, "handled_lines", interrupted)

    assert command.main(["up"]) == 0
    said = capsys.readouterr().out
    assert "Authorization: Bearer sluice_" in said, "dev wants a token"
    assert said.endswith(f"{watch.HEADING}\na line\n\nStopping.\n")


def test_the_curl_line_shows_a_token_only_where_one_is_wanted(dev: LocalStack, door: LocalStack) -> None:
    assert f"Authorization: Bearer {dev.token}" in shlex.split(watch.curl(dev))
    assert "Authorization" not in watch.curl(door)
    assert as_curl(watch.curl(dev)).status == 202


def test_a_request_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    watch.tell_request({"status": "403", "httpMethod": "POST", "responseLatency": "3", "requestId": "r-1"})

    said = capsys.readouterr().out
    assert re.fullmatch(r"\d\d:\d\d:\d\d  request  403  POST -  3 ms  request id r-1\n", said)


def test_each_message_is_told_once(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    lines = watch.handled_lines(cloud, stack.consumer["log"])

    for _ in range(2):
        sent = post(stack.outputs["url"], b"{}")
        assert sent.answer["messageId"] in next(lines)


def test_a_consumer_that_cannot_start_is_told_with_its_reason(cloud: LocalAws, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "def record_handler(record):\n    pass\n\n\nraise RuntimeError('cannot start')\n"
    )
    stack = fresh(cloud, consumer={"code": str(tmp_path), "entry": "broken:record_handler"})
    lines = watch.handled_lines(cloud, stack.consumer["log"])

    assert post(stack.outputs["url"], b"{}").status == 202

    told = next(line for line in lines if "  consumer  " in line)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  consumer  .*RuntimeError: cannot start", told)


@pytest.mark.parametrize(
    "text", ["START RequestId: 1", "[]", '"handled"', '{"message": "postponing failed"}']
)
def test_other_lines_of_the_consumer_are_passed_over(text: str) -> None:
    assert watch.message_line(text) is None


def test_a_failed_message_is_told_with_what_comes_next() -> None:
    text = json.dumps(
        {
            "message": "failed",
            "message_id": "m-1",
            "request_id": "r-1",
            "receives": 2,
            "exception_name": "PoisonError",
            "retry_in_seconds": 4,
        }
    )

    line = watch.message_line(text)

    assert line
    assert line.endswith("failed  m-1  request id r-1  receive 2, PoisonError, again in 4 s")


def test_progress_is_told_on_standard_error_unless_it_is_to_be_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Say().step("something", 1.5)
    Say(quiet=True).step("nothing", 1.5)

    assert capsys.readouterr() == ("", "    1.50 s  something\n")
