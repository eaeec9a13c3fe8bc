import json
from contextlib import nullcontext
from dataclasses import replace

import pytest

from local import demo
from local.client import Sent
from local.demo import Check
from local.stack import LocalAws, LocalStack

from .support import call, fresh

CHECKS = [
    "oversize body is refused",
    "accepted and handled",
    "awkward bytes arrive byte for byte",
    "a poison message ends in the dead-letter queue",
    "a broken queue is answered honestly",
]


@pytest.fixture
def _on_the_shared_cloud(cloud: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "local_aws", lambda say: nullcontext(cloud))
    monkeypatch.setattr(demo, "MESSAGES", 20)


@pytest.mark.usefixtures("_on_the_shared_cloud")
def test_everything_holds_on_both_stacks_and_json_is_all_that_is_printed(
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


@pytest.mark.usefixtures("_on_the_shared_cloud")
@pytest.mark.parametrize("as_json", [True, False])
def test_one_check_that_fails_makes_the_run_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    def examine(local: LocalAws, stack: LocalStack) -> list[Check]:
        return [Check("it holds", ok=True), Check("it fails", ok=stack.deployment.stack == "dev")]

    monkeypatch.setattr(demo, "examine", examine)

    assert demo.run(as_json=as_json) == 1
    said = capsys.readouterr().out
    assert ('"ok": false' if as_json else "Something does not hold.") in said


def test_a_message_that_is_lost_does_not_pass_for_handled(
    cloud: LocalAws, dev: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.2)
    lost = Sent(b"{}", 202, {"messageId": "never sent"})

    _, ok, detail = demo.accepted_and_handled(cloud, dev, [lost])

    assert not ok
    assert detail["lost"] == 1


def test_a_message_that_changed_on_its_way_does_not_pass(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    (sent,) = demo.send(stack, [b"{}"])
    changed = replace(sent, body=b"{ }")
    demo.wait_until(lambda: demo.recorded(cloud, stack), bool)

    assert demo.byte_for_byte(cloud, stack, [sent])[1]
    assert not demo.byte_for_byte(cloud, stack, [changed])[1]


def test_a_stack_that_lets_everybody_in_does_not_pass_for_guarded(door: LocalStack) -> None:
    assert call(door.outputs["url"]).status == 202

    assert not demo.refusals(door)[1]


def test_waiting_ends_with_what_was_seen_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.0)

    assert demo.wait_until(lambda: "not enough", lambda found: found == "enough") == "not enough"
