import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.credentials import Credentials

from local import demo_checks, watch
from local.callers import Callers, IamUser, Proxy, Tenant
from local.client import Sent
from local.program import Deployment, StackFileError, stack_config
from local.say import Say
from local.stack import LocalStack

URL = "http://127.0.0.1:4566/abc/v1/messages"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with a project and two stacks."""
    declared = {
        "front_door": {"type": "object", "default": {}},
        "log_retention_days": {"type": "integer", "default": 30},
        "kms_key_arn": {"type": "string", "default": ""},
    }
    files = {
        "Pulumi.yaml": {"name": "sluice", "config": declared},
        "Pulumi.one.yaml": {
            "config": {"aws:region": "eu-west-1", "sluice:front_door": {"path": "a", "n": [1, True]}}
        },
        "Pulumi.two.yaml": {"config": {"sluice:log_retention_days": 7}},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(content))
    return tmp_path


def test_a_stacks_settings_are_texts_with_json_for_the_rest(project: Path) -> None:
    assert stack_config("one", project) == {
        "aws:region": "eu-west-1",
        "sluice:front_door": '{"n": [1, true], "path": "a"}',
        "sluice:log_retention_days": "30",
        "sluice:kms_key_arn": "",
    }


def test_a_stack_wins_over_the_projects_defaults(project: Path) -> None:
    config = stack_config("two", project)
    assert (config["sluice:log_retention_days"], config["sluice:front_door"]) == ("7", "{}")


@pytest.mark.parametrize("name", ["three", "", "../Pulumi", "a\0b", "x" * 5000], ids=range(5))
def test_an_unknown_stack_tells_which_there_are(name: str, project: Path) -> None:
    with pytest.raises(StackFileError, match=r"there are: one, two\.$"):
        stack_config(name, project)


@pytest.mark.parametrize("content", ["", "{}", "config:", "config: {}", "encryptionsalt: v1:abc"])
def test_a_stack_without_settings_has_the_projects_defaults(content: str, project: Path) -> None:
    (project / "Pulumi.two.yaml").write_text(content)
    assert stack_config("two", project) == {
        "sluice:front_door": "{}",
        "sluice:log_retention_days": "30",
        "sluice:kms_key_arn": "",
    }


HELD = "it must hold `config:` and under it keys with values"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"config: [a, b]", HELD),
        (b"config: text", HELD),
        (b"config: 5", HELD),
        (b"- config", HELD),
        (b"text", HELD),
        (b"config:\n  5: x\n", HELD),
        (b"config:\n  true: x\n", HELD),
        (b"config:\n  sluice:front_door: {}\n  5: x\n", HELD),
        (b"config: [a", "Pulumi.two.yaml"),
        (b"config:\n\ta: b", "Pulumi.two.yaml"),
        (b"config: {a: !unknown b}", "Pulumi.two.yaml"),
        (b"config: {a: '\xff'}", "utf-8"),
        (b"config: {a: 2024-01-01}", "Pulumi.two.yaml"),
        (b"config: {a: 2024-13-01}", "month"),
        (b"config: {a: &a [*a]}", "Pulumi.two.yaml"),
        (b"config:\n  a: {secure: AAAB}\n", "only Pulumi can read what is encrypted: a"),
        (b"config:\n  a: {b: [{secure: x}]}\n  c: {secure: y}\n  d: e\n", "what is encrypted: a, c"),
    ],
)
def test_a_stack_that_cannot_be_read_says_why(content: bytes, said: str, project: Path) -> None:
    file = project / "Pulumi.two.yaml"
    file.write_bytes(content)
    with pytest.raises(StackFileError) as refused:
        stack_config("two", project)
    assert str(refused.value).startswith(f"{file} cannot be read: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("value", ["secure", "{secure: no}", '{"insecure": "x"}'])
def test_what_only_resembles_something_encrypted_is_read(value: str, project: Path) -> None:
    (project / "Pulumi.two.yaml").write_text(yaml.safe_dump({"config": {"sluice:a": value}}))
    assert stack_config("two", project)["sluice:a"] == value


def deployed(callers: Callers, url: str = URL) -> LocalStack:
    outputs = {"url": url, "invoke_url": "http://127.0.0.1:4566/abc/v1"}
    return LocalStack(Deployment("one", outputs, [], 0.0), callers)


PROXY = Proxy("X-Client-Ip", "X-Origin-Secret", "s3cret")


@pytest.mark.parametrize(
    ("callers", "shown"),
    [
        (Callers(), []),
        (Callers("sluice_abc"), ["Authorization: Bearer sluice_abc"]),
        (Callers(tenant=Tenant("ann", "k")), ["X-Tenant: ann", "X-Tenant-Key: k"]),
        (
            Callers("sluice_abc", proxy=PROXY),
            ["X-Client-Ip: 192.0.2.1", "X-Origin-Secret: s3cret", "Authorization: Bearer sluice_abc"],
        ),
    ],
)
def test_a_command_line_is_ready_to_paste(callers: Callers, shown: list[str]) -> None:
    words = shlex.split(watch.curl(deployed(callers)))

    assert words[:3] == ["curl", "-i", URL]
    assert json.loads(words[words.index("-d") + 1]) == {"hello": "world"}
    headers = [words[index + 1] for index, word in enumerate(words) if word == "-H"]
    assert headers == ["Content-Type: application/json", *shown]


def test_a_command_line_is_signed_where_callers_have_to_sign() -> None:
    words = shlex.split(watch.curl(deployed(Callers(permitted=IamUser("ann", "arn", Credentials("k", "s"))))))

    assert words[words.index("--aws-sigv4") + 1] == "aws:amz:us-east-1:execute-api"
    assert words[words.index("--user") + 1] == "k:s"


def test_a_command_line_for_a_domain_goes_to_where_it_is_served() -> None:
    words = shlex.split(watch.curl(deployed(Callers(), "https://api.example.com/shop/messages")))

    assert words[:3] == ["curl", "-i", "http://127.0.0.1:4566/shop/messages"]
    assert "Host: api.example.com" in words


def logged(**more: Any) -> str:
    return json.dumps({"message": "handled", "message_id": "m-1", "request_id": "r-1", **more})


def without_clock(line: str | None) -> str:
    assert line is not None
    return re.sub(r"^\d\d:\d\d:\d\d  ", "", line)


def test_a_handled_message_is_told_with_its_callers_request() -> None:
    assert without_clock(watch.message_line(logged())) == "message  handled  m-1  request id r-1"


def test_a_failed_message_is_told_with_what_comes_next() -> None:
    failed = logged(message="failed", receives=2, exception_name="PoisonError", retry_in_seconds=3)
    assert without_clock(watch.message_line(failed)) == (
        "message  failed  m-1  request id r-1  receive 2, PoisonError, again in 3 s"
    )


def test_a_message_that_comes_no_more_is_told_with_its_end() -> None:
    given_up = logged(message="given up", receives=3, exception_name="PoisonError")
    assert without_clock(watch.message_line(given_up)) == (
        "message  given up  m-1  request id r-1  receive 3, PoisonError"
    )
    repeated = watch.message_line(logged(message="handled before"))
    assert without_clock(repeated) == "message  handled before  m-1  request id r-1"


@pytest.mark.parametrize(
    "text",
    [
        "ModuleNotFoundError: No module named 'thing'",
        "KeyError: 'SLUICE_ENTRY'",
        "botocore.exceptions.ClientError: An error occurred",
        "recorder.PoisonError",
        "SomeException: x",
        "Task timed out after 30.00 seconds",
    ],
)
def test_a_failure_of_the_function_as_a_whole_is_told(text: str) -> None:
    assert without_clock(watch.message_line(text)) == f"consumer  {text}"


def test_a_message_that_came_another_way_is_told_too() -> None:
    # The log leaves out what is not there.
    line = watch.message_line(json.dumps({"message": "handled", "message_id": "m-1"}))
    assert "m-1" in without_clock(line)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "START RequestId: 1",
        "5",
        "[]",
        "null",
        "{}",
        '{"message": "postponing failed"}',
        '{"message": {}}',
        '{"message": "handled"}',
        # What the user's own code logs may look like ours.
        '{"message": "failed", "message_id": "m-1"}',
        '{"message": "ValueError: x", "message_id": "m-1"}',
        "Traceback (most recent call last):",
        '  File "/var/task/consumer.py", line 1, in <module>',
        "    raise ValueError",
        "Errors: none",
        "no ValueError here",
        "REPORT RequestId: 1 Task timed out",
    ],
)
def test_any_other_line_tells_nothing(text: str) -> None:
    assert watch.message_line(text) is None


def test_a_request_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    context = {"status": "202", "httpMethod": "POST", "responseLatency": "7", "requestId": "r-1"}
    watch.tell_request(context)
    watch.tell_request({**context, "resourcePath": "/messages"})
    lines = [without_clock(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "request  202  POST -  7 ms  request id r-1",
        "request  202  POST /messages  7 ms  request id r-1",
    ]


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say = Say()
    say.line("Deploying")
    say.step("Queue q", 1.234)
    assert capsys.readouterr() == ("", "Deploying\n    1.23 s  Queue q\n")


def test_progress_can_be_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    say = Say(quiet=True)
    say.line("Deploying")
    say.step("Queue q", 1.0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("ok", [True, False])
def test_a_finding_that_can_be_had_is_what_it_is(ok: bool) -> None:
    check = demo_checks.Check("a", ok, {"sent": 1})
    assert demo_checks.outcome(lambda: check) is check


def test_a_finding_that_cannot_be_had_does_not_hold() -> None:
    found = demo_checks.outcome(lambda: demo_checks.Check("a", ok=bool(1 / 0)))
    assert not found.ok
    assert found.detail == {"error": "ZeroDivisionError: division by zero"}


def test_ctrl_c_ends_the_demo_all_the_same() -> None:
    def finding() -> demo_checks.Check:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo_checks.outcome(finding)


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 401, 413, 500, 502, 503])
def test_only_a_202_says_that_the_message_is_in_the_queue(status: int) -> None:
    assert Sent(b"x", 202, {}).accepted
    assert not Sent(b"x", status, {"messageId": "m-1"}).accepted


def test_a_message_is_known_by_its_id_and_the_hash_of_its_bytes() -> None:
    body = "\u00e9\r\n".encode()
    digest = hashlib.sha256(body).hexdigest()
    assert Sent(body, 202, {"messageId": "m-1", "requestId": "r-1"}).message == ("m-1", digest)
    assert Sent(body, 503, {"code": "QUEUE_UNAVAILABLE"}).message == ("", digest)
