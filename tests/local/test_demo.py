import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from local import demo, demo_limits, program
from local import stack as local_stack
from local.client import Sent
from local.demo import Check, Report
from local.demo_limits import VISITORS, Visit
from local.program import Config
from local.stack import LocalAws, LocalStack

from .support import call, forbid, fresh

CHECKS = [
    "oversize body is refused",
    "accepted and handled",
    "awkward bytes arrive byte for byte",
    "a poison message ends in the dead-letter queue",
    "a broken queue is answered honestly",
]
LIMITS_CHECKS = [
    "limits: who asks too often gets 429 within 3 s",
    "limits: free again within 5 s of room",
    "limits: nobody else notices",
]


@pytest.fixture
def _on_the_shared_cloud(cloud: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "local_aws", lambda say: nullcontext(cloud))
    monkeypatch.setattr(demo, "MESSAGES", 20)


def visits_that_hold() -> list[Visit]:
    return [
        Visit(
            each.name, each.client, each.busy, 60, 60, crossed=3.0, first_429=4.0, room_at=23.0, released=24.5
        )
        if each.busy
        else Visit(each.name, each.client, each.busy, 30, 30)
        for each in VISITORS
    ]


@pytest.fixture
def _soon_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clients be free again after fewer seconds than in the demo."""

    def sooner(name: str) -> Config:
        config = program.stack_config(name)
        limiter = json.loads(config.get("sluice:limiter", "{}"))
        if name == demo.LIMITS:
            limiter["windows"][0]["length_seconds"] = 10
        return {**config, "sluice:limiter": json.dumps(limiter)}

    monkeypatch.setattr(local_stack, "stack_config", sooner)


@pytest.mark.usefixtures("_on_the_shared_cloud", "_soon_free")
def test_everything_holds_on_all_stacks_and_json_is_all_that_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = demo.run(as_json=True)

    report = json.loads(capsys.readouterr().out)
    assert [check for check in report["checks"] if not check["ok"]] == []
    assert (code, report["ok"]) == (0, True)
    names = [check["name"] for check in report["checks"]]
    for stack in demo.STACKS:
        for check in CHECKS:
            assert [name for name in names if name.startswith(f"{stack}: ") and check in name], check
    assert "dev: callers without a known token are refused" in names
    assert names[-len(LIMITS_CHECKS) :] == LIMITS_CHECKS
    busy = {each["client"]: each["refused"] > 0 for each in report["clients"]}
    assert busy == {each.client: each.busy for each in VISITORS}
    assert {each["others"] for each in report["clients"]} == {0}


@pytest.mark.usefixtures("_on_the_shared_cloud")
@pytest.mark.parametrize("as_json", [True, False])
def test_one_check_that_fails_makes_the_run_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    def examine(local: LocalAws, stack: LocalStack) -> list[Check]:
        return [Check("it holds", ok=True), Check("it fails", ok=stack.deployment.stack == "dev")]

    monkeypatch.setattr(demo, "examine", examine)
    monkeypatch.setattr(demo, "visit", lambda local, stack: visits_that_hold())

    assert demo.run(as_json=as_json) == 1
    said = capsys.readouterr().out
    if as_json:
        checks = json.loads(said)["checks"]
        assert [check["name"] for check in checks if not check["ok"]] == ["it fails"]
    else:
        assert "Something does not hold." in said
        assert "198.51.100.7, too often" in said


@pytest.mark.usefixtures("_on_the_shared_cloud")
def test_where_the_clients_cannot_come_the_run_fails_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def visit(local: LocalAws, stack: LocalStack) -> list[Visit]:
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(demo, "STACKS", ("open",))
    monkeypatch.setattr(demo, "examine", lambda local, stack: [Check("it holds", ok=True)])
    monkeypatch.setattr(demo, "visit", visit)

    assert demo.run(as_json=True) == 1

    report = json.loads(capsys.readouterr().out)
    assert [check["ok"] for check in report["checks"]] == [True, False]
    assert report["checks"][-1]["detail"] == {"error": "ConnectionError: nobody answers"}
    assert report["clients"] == []


def test_a_message_that_is_lost_does_not_pass_for_handled(
    cloud: LocalAws, dev: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.2)
    lost = Sent(b"{}", 202, {"messageId": "never sent"})

    check = demo.accepted_and_handled(cloud, dev, [lost])

    assert not check.ok
    assert check.detail["lost"] == 1


def test_a_message_that_changed_on_its_way_does_not_pass(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    (sent,) = demo.send(stack, [b"{}"])
    changed = replace(sent, body=b"{ }")
    demo.wait_until(lambda: demo.recorded(cloud, stack), bool)

    assert demo.byte_for_byte(cloud, stack, [sent]).ok
    assert not demo.byte_for_byte(cloud, stack, [changed]).ok


def test_a_stack_that_lets_everybody_in_does_not_pass_for_guarded(door: LocalStack) -> None:
    assert call(door.outputs["url"]).status == 202

    assert not demo.refusals(door).ok


DEPLOY = LocalAws.up


def up_without_the_role_s_policy(cloud: LocalAws, name: str) -> LocalStack:
    stack = DEPLOY(cloud, name)
    forbid(cloud, stack, "front-door-role-policy", "sqs:SendMessage")
    return stack


@pytest.fixture
def _where_nothing_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalAws, "up", up_without_the_role_s_policy)
    monkeypatch.setattr(demo, "MESSAGES", 3)
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(demo_limits, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(demo_limits, "AFTERWARDS_SECONDS", 0.0)


@pytest.mark.usefixtures("_where_nothing_is_accepted")
def test_where_nothing_is_accepted_each_check_that_needs_it_fails_and_the_others_are_made(
    cloud: LocalAws,
) -> None:
    checks = demo.examine(cloud, cloud.up("dev"))

    held = {check.name: check.ok for check in checks}
    assert held == {
        "dev: callers without a known token are refused": True,
        "dev: an oversize body is refused": False,
        "dev: accepted and handled": False,
        "dev: awkward bytes arrive byte for byte": False,
        "dev: a poison message ends in the dead-letter queue": False,
        "dev: a broken queue is answered honestly": True,
    }
    (poison,) = (check for check in checks if "poison" in check.name)
    assert poison.detail == {"the poison was answered": 502}
    json.dumps([check.detail for check in checks])


@pytest.mark.usefixtures("_on_the_shared_cloud", "_where_nothing_is_accepted")
def test_where_nothing_is_accepted_the_report_is_one_json_object_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STACKS", ("open",))

    assert demo.run(as_json=True) == 1

    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    assert len(report["checks"]) == len(CHECKS) + len(LIMITS_CHECKS)
    assert not any(check["ok"] for check in report["checks"][-len(LIMITS_CHECKS) :])


@pytest.mark.usefixtures("_on_the_shared_cloud")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import pulumi_aws as aws\naws.sns.Topic('some-topic')\n", "some-topic"),
        ("import pulumi\nraise pulumi.RunError('the settings are wrong')\n", "the settings are wrong"),
    ],
    ids=["a resource", "the program"],
)
def test_a_deployment_that_fails_is_a_check_that_fails(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    why: str,
) -> None:
    failing = tmp_path / "__main__.py"
    failing.write_text(text)
    monkeypatch.setattr(program, "PROGRAM", failing)

    assert demo.run(as_json=True) == 1

    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["seconds"]["deploy"]) == (False, 0)
    (check,) = report["checks"]
    assert (check["name"], check["ok"]) == ("deploy", False)
    assert why in check["detail"]["error"]


@pytest.mark.parametrize("error", ["it is wrong", "not in [a-z]", "no [/such/file]", "[red]"])
def test_an_error_is_shown_in_its_own_words(capsys: pytest.CaptureFixture[str], error: str) -> None:
    failed = Check("deploy", ok=False, detail={"error": error})

    demo.show(Report(ok=False, seconds={"deploy": 0.0, "total": 0.1}, checks=[failed], clients=[]))

    said = capsys.readouterr().out
    assert f"error {error}" in said
    assert "Something does not hold." in said


def test_a_check_that_breaks_does_not_hold_and_says_why() -> None:
    def broken() -> Check:
        raise KeyError("messageId")

    check = demo.outcome(broken)

    assert not check.ok
    assert check.detail == {"error": "KeyError: 'messageId'"}


def test_waiting_ends_with_what_was_seen_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.0)

    assert demo.wait_until(lambda: "not enough", lambda found: found == "enough") == "not enough"
