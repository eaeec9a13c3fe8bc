"""``sluice limiter`` without AWS: what is understood, where the stack is looked for, and what is shown."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from sluice import cli
from sluice.cli import limiter, limiter_views, target
from sluice.cli.clock import local_time
from sluice.limiter import rules
from sluice.limiter.blocks import Allowance, Block, Change, Snapshot, UnreadableRecordError
from sluice.limiter.clients import Identity
from sluice.limiter.dynamodb import ContentionError
from sluice.limiter.operator import Explanation, FullError, Operator, StillWorkingError
from sluice.limiter.rules import Rules, Standing
from sluice.limiter.windows import Rolling, Window

ROOT = Path(cli.__file__).parent.parent.parent
NOW = 1_795_000_000_000
MINUTE = 60_000
RULES = Rules(windows=(Window("short", 10, Rolling(20_000)),), allow=("203.0.113.0/24",))
OUTPUTS = {
    "limiter": {
        "counters": "counters-1",
        "blocks": "blocks-1",
        "rules": rules.dumps(RULES),
        "region": "eu-west-1",
    }
}
COMMANDS = {
    "blocked": [],
    "explain": ["192.0.2.1"],
    "block": ["192.0.2.1", "--for", "1h"],
    "unblock": ["192.0.2.1"],
    "reset": ["192.0.2.1"],
    "allow": ["192.0.2.0/24"],
    "pause": [],
    "resume": [],
}
"""Every command, and what it cannot do without."""
Words = list[str]


@pytest.fixture(autouse=True)
def _somewhere_east(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the operator's clock be two hours ahead."""
    monkeypatch.setenv("TZ", "XYZ-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class FakeBlocks:
    """The table of the blocks, as far as the command itself looks at it."""

    def __init__(self) -> None:
        self.allowed: list[Allowance] = []

    def allowances(self) -> list[Allowance]:
        return self.allowed


class FakeOperator(Operator):
    """An operator whose answers are given, and who keeps what was asked."""

    def __init__(self) -> None:
        nothing: Any = None
        blocks: Any = FakeBlocks()
        super().__init__(RULES, nothing, blocks, lambda: NOW)
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "answer", {})

    asked: list[tuple[object, ...]]
    answer: dict[str, Any]

    def _say(self, name: str, *given: object) -> Any:
        self.asked.append((name, *given))
        found = self.answer.get(name)
        if isinstance(found, Exception):
            raise found
        return found

    def blocked(self) -> Snapshot:
        found: Snapshot = self._say("blocked") or Snapshot()
        return found

    def explain(self, client: str) -> Explanation:
        given: Mapping[str, Explanation] = self._say("explain", client) or {}
        return given.get(client) or Explanation(client, (), None, None, None)

    def block(self, client: str, milliseconds: int, reason: str) -> tuple[Block, Change]:
        given = Block(client, "operator", NOW, NOW + milliseconds, 0, reason)
        return self._say("block", client, milliseconds, reason) or (given, Change.STARTED)

    def unblock(self, client: str) -> None:
        self._say("unblock", client)

    def reset(self, client: str) -> None:
        self._say("reset", client)

    def allow(self, network: str, reason: str) -> Allowance:
        self._say("allow", network, reason)
        return Allowance(network, NOW, reason)

    def disallow(self, network: str) -> bool:
        return bool(self._say("disallow", network))

    def pause(self) -> None:
        self._say("pause")

    def resume(self) -> None:
        self._say("resume")

    def allowed_by(self, client: str) -> str | None:
        found: str | None = self.answer.get("allowed_by")
        return found


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> FakeOperator:
    made = FakeOperator()
    monkeypatch.setattr(limiter, "_operator", lambda outputs: made)
    return made


@pytest.fixture
def outputs(tmp_path: Path) -> str:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(OUTPUTS))
    return str(file)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(outputs: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command, and return its code and what it said on standard output and on standard error."""

    def ran(*words: str) -> tuple[int, str, str]:
        code = cli.main(["limiter", words[0], "--outputs", outputs, *words[1:]])
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran


def as_json(said: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = said
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def told(said: tuple[int, str, str]) -> list[str]:
    code, out, err = said
    assert (code, err) == (0, "")
    return [line.rstrip() for line in out.splitlines()]


def assert_failed(said: tuple[int, str, str], *named: str) -> None:
    code, out, err = said
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith("sluice limiter ")
    for each in named:
        assert each in err


# What is understood


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_wants_to_know_which_stack(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["limiter", command, *COMMANDS[command]])
    assert ended.value.code == 2
    assert "one of the arguments --outputs --local --stack is required" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["limiter"],
        ["limiter", "forbid"],
        ["limiter", "explain", "--local"],
        ["limiter", "block", "192.0.2.1", "--local"],
        ["limiter", "blocked", "--local", "limits"],
        ["limiter", "blocked", "--local", "--outputs", "-"],
        ["limiter", "blocked", "--local", "--stack", "limits"],
        ["limiter", "blocked", "--stack"],
        ["limiter", "blocked", "--stack", "limits", "--outputs", "-"],
        ["limiter", "blocked", "192.0.2.1", "--outputs", "-"],
    ],
)
def test_what_is_not_understood_exits_with_2(words: Words, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert "usage: sluice" in capsys.readouterr().err


def test_every_command_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["limiter", "--help"])
    said = capsys.readouterr().out
    for command in COMMANDS:
        assert f"    {command} " in said


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1s", 1000),
        ("30s", 30_000),
        ("15m", 900_000),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
        ("366d", 31_622_400_000),
    ],
)
def test_a_duration_is_a_number_with_its_unit(
    operator: FakeOperator, run: Run, text: str, milliseconds: int
) -> None:
    assert run("block", "192.0.2.1", "--for", text)[0] == 0
    assert operator.asked == [("block", "192.0.2.1", milliseconds, "")]


@pytest.mark.parametrize(
    "text",
    ["", "0s", "-1h", "1", "h", "1.5h", "1 h", "1H", "01h", "1h30m", "367d", "999999999d", "\u0661h", "1w"],
)
def test_what_is_no_duration_is_refused(operator: FakeOperator, run: Run, text: str) -> None:
    assert_failed(run("block", "192.0.2.1", f"--for={text}"), f"--for {text}: ", "at most 366d")
    assert operator.asked == []


@pytest.mark.parametrize("command", ["explain", "block", "unblock", "reset"])
@pytest.mark.parametrize(
    "client",
    ["", "nobody", "198.51.100.0/24", "2001:db8::/48", "2001:db8::1/64", "198.51.100.7/33", "fe80::1%eth0"],
)
def test_what_is_no_client_is_refused_with_what_is_one(
    operator: FakeOperator, run: Run, command: str, client: str
) -> None:
    more = COMMANDS[command][1:]
    assert_failed(run(command, client, *more), f"{command}: {client!r} is no client", "an IPv6 prefix of /64")
    assert operator.asked == []


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7/32", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:DB8:0:0:5::1", "2001:db8::/64"),
        ("2001:0db8:0:0::/64", "2001:db8::/64"),
    ],
)
def test_a_client_may_be_named_in_several_ways(
    operator: FakeOperator, run: Run, text: str, client: str
) -> None:
    assert as_json(run("unblock", text, "--json")) == {"client": client}
    assert operator.asked == [("unblock", client)]


@pytest.mark.parametrize("reason", ["x" * 257, "two\nlines", "a\x1b[2Jb", "\u202e"])
@pytest.mark.parametrize("words", [["block", "192.0.2.1", "--for", "1h"], ["allow", "192.0.2.0/24"]])
def test_a_reason_is_one_line_of_text(operator: FakeOperator, run: Run, words: Words, reason: str) -> None:
    assert_failed(run(*words, "--reason", reason), "--reason: at most 256 characters, on one line")
    assert operator.asked == []


@pytest.mark.parametrize(
    "network", ["", "0.0.0.0/0", "::/0", "everybody", "198.51.100.7/24", "198.51.100.0/33"]
)
def test_what_is_no_cidr_cannot_be_allowed(operator: FakeOperator, run: Run, network: str) -> None:
    assert_failed(run("allow", network), f"{network!r} is no CIDR to allow", "not everybody")
    assert operator.asked == []


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("198.51.100.7", "198.51.100.7/32"),
        ("2001:DB8::7", "2001:db8::7/128"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--remove"]])
def test_an_address_without_a_prefix_is_not_taken_for_a_cidr(
    operator: FakeOperator, run: Run, address: str, meant: str, more: Words
) -> None:
    assert_failed(run("allow", address, *more), f"{address!r} is no CIDR: did you mean {meant}?")
    assert operator.asked == []


@pytest.mark.parametrize("words", [["--remove"], ["--reason", "a guest"]])
def test_what_is_to_be_done_with_a_cidr_needs_one(operator: FakeOperator, run: Run, words: Words) -> None:
    assert_failed(run("allow", *words), "--remove and --reason need a CIDR")


def test_what_is_not_on_the_list_cannot_be_removed(operator: FakeOperator, run: Run) -> None:
    assert_failed(run("allow", "192.0.2.0/24", "--remove"), "192.0.2.0/24 is not on the allow list")


def test_what_the_settings_allow_is_to_be_removed_there(operator: FakeOperator, run: Run) -> None:
    assert_failed(run("allow", "203.0.113.0/24", "--remove"), "the stack's settings", "remove it there")


# Where the stack is looked for


@pytest.mark.parametrize("text", ["", "garbage", "[]", '"text"', "null", "5", "{", "\ufeff{}"], ids=repr)
def test_a_file_that_holds_no_outputs_is_told_how_to_make_it(run: Run, outputs: str, text: str) -> None:
    Path(outputs).write_text(text, "utf-8")

    code, out, err = run("blocked")

    assert (code, out) == (1, "")
    assert f"{outputs} holds no outputs of a stack" in err
    assert "pulumi stack output --json > outputs.json" in err


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for file in (tmp_path / "missing", tmp_path, binary):
        assert cli.main(["limiter", "blocked", "--outputs", str(file)]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"sluice limiter blocked: {file} cannot be read: ")
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"limiter": None},
        {"limiter": "a text"},
        {"limiter": []},
        {"limiter": {**OUTPUTS["limiter"], "blocks": None}},
        {"limiter": {key: value for key, value in OUTPUTS["limiter"].items() if key != "region"}},
    ],
)
def test_a_stack_without_a_limiter_is_told_so(run: Run, outputs: str, given: dict[str, Any]) -> None:
    Path(outputs).write_text(json.dumps(given))

    assert_failed(run("blocked"), "the stack has no limiter")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"windows": 5}'])
def test_rules_of_another_version_are_told_so(run: Run, outputs: str, text: str) -> None:
    Path(outputs).write_text(json.dumps({"limiter": {**OUTPUTS["limiter"], "rules": text}}))

    assert_failed(run("blocked"), "rules cannot be read: was it deployed by another version?")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which local stacks wrote their outputs, the last of them ``open``."""
    monkeypatch.chdir(tmp_path)
    local = tmp_path / ".local"
    local.mkdir()
    for age, name in enumerate(["open", "limits", "dev"]):
        file = local / f"outputs.{name}.json"
        file.write_text(json.dumps({"stack": name}))
        os.utime(file, (1000 - age, 1000 - age))
    return local


def found(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    target.add_options(parser)
    return target.outputs(parser.parse_args(words))


@pytest.mark.usefixtures("folder")
def test_without_a_name_the_local_stack_that_wrote_last_is_meant() -> None:
    assert found("--local") == {"stack": "open"}


@pytest.mark.usefixtures("folder")
def test_a_local_stack_can_be_named() -> None:
    assert found("--stack", "limits") == {"stack": "limits"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["prod", "../x", "*"])
def test_a_local_stack_that_does_not_run_is_told_where_it_was_looked_for(name: str) -> None:
    with pytest.raises(target.TargetError, match=r"no local stack .* run this where `make demo` runs"):
        found("--stack", name)


def test_where_no_local_stack_runs_one_is_to_be_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(target.TargetError, match=r"no local stack wrote .* run one first"):
        found("--local")


def test_outputs_can_come_from_standard_input() -> None:
    for text, said in ((json.dumps({}), "the stack has no limiter"), ("garbage", "standard input holds no")):
        done = subprocess.run(
            [sys.executable, "-m", "sluice.cli", "limiter", "blocked", "--outputs", "-"],
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def clients_made(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how the client of a stack's tables is made."""
    made: list[dict[str, Any]] = []

    class Session:
        def __init__(self, **words: Any) -> None:
            self.words = words

        def client(self, service: str, **words: Any) -> object:
            made.append({"service": service, **self.words, **words})
            return object()

    monkeypatch.setattr(boto3, "Session", Session)
    limiter._operator(given)
    return made


def test_a_stack_on_aws_is_asked_in_its_region_with_the_operator_s_own_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (made,) = clients_made(monkeypatch, OUTPUTS)

    assert {key: value for key, value in made.items() if value is not None} == {
        "service": "dynamodb",
        "region_name": "eu-west-1",
    }


def test_a_local_stack_is_asked_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    local = {"endpoint_url": "http://127.0.0.1:1", "region": "us-east-1"}

    (made,) = clients_made(monkeypatch, {**OUTPUTS, "local": local})

    assert made["endpoint_url"] == "http://127.0.0.1:1"
    assert made["aws_access_key_id"] == "test"


@pytest.mark.parametrize(
    ("more", "count_only"), [({"mode": "count"}, True), ({"mode": "block"}, False), ({}, False)]
)
def test_whether_a_stack_only_counts_is_read_from_its_outputs(more: dict[str, str], count_only: bool) -> None:
    made = limiter._operator({"limiter": {**OUTPUTS["limiter"], **more}})

    assert made.count_only is count_only


# What is shown


def block(client: str = "192.0.2.1", window: str = "short", reason: str = "", ends: int = MINUTE) -> Block:
    return Block(client, window, NOW - MINUTE, NOW + ends, 2, reason)


SINCE, UNTIL = "2026-11-18T11:05:40.000+00:00", "2026-11-18T11:07:40.000+00:00"
SHOWN_SINCE, SHOWN_UNTIL = "2026-11-18 13:05:40", "2026-11-18 13:07:40"


def test_times_are_shown_on_the_operator_s_own_clock() -> None:
    assert (local_time(SINCE), local_time(UNTIL)) == (SHOWN_SINCE, SHOWN_UNTIL)


def test_who_is_blocked_is_a_table_for_people(operator: FakeOperator, run: Run) -> None:
    operator.answer["blocked"] = Snapshot(
        blocks=(block(), block("2001:db8::/64", "operator", "[red]no[/red]")), allowances=(), paused=False
    )

    header, first, second = told(run("blocked"))

    assert header.split() == ["client", "window", "since", "until", "reason"]
    assert first.split() == ["192.0.2.1", "short", *SHOWN_SINCE.split(), *SHOWN_UNTIL.split()]
    assert second.split() == [
        "2001:db8::/64",
        "operator",
        *SHOWN_SINCE.split(),
        *SHOWN_UNTIL.split(),
        "[red]no[/red]",
    ]


def test_who_is_blocked_is_one_object_for_programs(operator: FakeOperator, run: Run) -> None:
    operator.answer["blocked"] = Snapshot(
        blocks=(block(reason="why"),), paused=True, unreadable=("until: no",)
    )

    assert as_json(run("blocked", "--json")) == {
        "blocked": [
            {
                "client": "192.0.2.1",
                "window": "short",
                "since": SINCE,
                "until": UNTIL,
                "generation": 2,
                "reason": "why",
            }
        ],
        "count_only": False,
        "paused": True,
        "unreadable": ["until: no"],
    }


def test_where_nobody_is_blocked_it_says_so(operator: FakeOperator, run: Run) -> None:
    assert told(run("blocked")) == ["Nobody is blocked."]


def test_a_pause_and_what_cannot_be_read_are_told_of(operator: FakeOperator, run: Run) -> None:
    operator.answer["blocked"] = Snapshot(paused=True, unreadable=("until: no whole number",))

    code, out, err = run("blocked")

    assert code == 0
    assert out.splitlines()[0] == "Paused: the IP sets stay as they are, whatever is listed here."
    assert err == "A record cannot be read: until: no whole number\n"


COUNT_ONLY = "Count only: nobody is refused. This is who would be."


@pytest.fixture
def _count_only(operator: FakeOperator) -> None:
    object.__setattr__(operator, "count_only", True)


@pytest.mark.usefixtures("_count_only")
def test_where_nobody_is_refused_it_is_told_beside_who_is_blocked(operator: FakeOperator, run: Run) -> None:
    assert told(run("blocked")) == [COUNT_ONLY, "Nobody is blocked."]
    assert as_json(run("blocked", "--json"))["count_only"] is True

    operator.answer["blocked"] = Snapshot(blocks=(block(),), paused=True)

    paused, count_only, header, row = told(run("blocked"))
    assert paused.startswith("Paused: ")
    assert count_only == COUNT_ONLY
    assert header.split()[0] == "client"
    assert row.split()[0] == "192.0.2.1"


@pytest.mark.usefixtures("_count_only")
def test_where_nobody_is_refused_it_is_told_once_beside_how_a_client_stands(
    operator: FakeOperator, run: Run
) -> None:
    object.__setattr__(operator, "rules", SITE_RULES)
    operator.answer["explain"] = {
        "192.0.2.1": Explanation("192.0.2.1", STANDINGS, block(), None, NOW + MINUTE)
    }

    first, second, *_ = told(run("explain", "192.0.2.1"))

    assert (first, second) == (COUNT_ONLY, f"192.0.2.1 is blocked by short until {SHOWN_UNTIL}.")
    assert as_json(run("explain", "192.0.2.1", "--json"))["count_only"] is True
    assert told(run("explain", "2001:db8:1:2::1")).count(COUNT_ONLY) == 1, "not for its site once more"


SITE_RULES = replace(RULES, identity=Identity(ipv6_prefix=64, ipv6_site_prefix=48))
STANDINGS = (
    Standing("short", 12, 10, {NOW - 20_000: 5, NOW: 7}, NOW + MINUTE),
    Standing("long", 12, 100, {NOW - 60_000: 12}, NOW),
)
COUNTS = [
    ["short", "12", "of", "10", "room", "at", *SHOWN_UNTIL.split()],
    ["5", "from", "2026-11-18", "13:06:20"],
    ["7", "from", "2026-11-18", "13:06:40"],
    ["long", "12", "of", "100", "room", "now"],
    ["12", "from", "2026-11-18", "13:05:40"],
]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Explanation("192.0.2.1", STANDINGS, None, None, None), "192.0.2.1 is free."),
        (
            Explanation("192.0.2.1", STANDINGS, block(), None, NOW + MINUTE),
            f"192.0.2.1 is blocked by short until {SHOWN_UNTIL}.",
        ),
        (
            Explanation("192.0.2.1", STANDINGS, block(window="operator", reason="spam"), None, NOW + MINUTE),
            f"192.0.2.1 is blocked by operator (spam) until {SHOWN_UNTIL}.",
        ),
        (
            Explanation("192.0.2.1", STANDINGS, None, None, NOW + MINUTE),
            f"192.0.2.1 is over a limit and about to be blocked, until {SHOWN_UNTIL}.",
        ),
        (
            Explanation("192.0.2.1", STANDINGS, block(), "192.0.2.0/24", None),
            "192.0.2.1 is never blocked: 192.0.2.0/24 is on the allow list.",
        ),
    ],
    ids=["free", "blocked", "by an operator", "about to be blocked", "allowed"],
)
def test_how_a_client_stands_is_told_in_words_and_counts(
    operator: FakeOperator, run: Run, found: Explanation, words: str
) -> None:
    operator.answer["explain"] = {found.client: found}

    first, header, *rows = told(run("explain", "192.0.2.1"))

    assert first == words
    assert header.split() == ["window", "requests"]
    assert [row.split() for row in rows] == COUNTS


def test_how_a_client_stands_is_one_object_for_programs(operator: FakeOperator, run: Run) -> None:
    client = "192.0.2.1"
    operator.answer["explain"] = {
        client: Explanation(client, STANDINGS[:1], block(), None, NOW + MINUTE),
    }

    assert as_json(run("explain", "192.0.2.1", "--json")) == {
        "client": "192.0.2.1",
        "blocked": {
            "client": "192.0.2.1",
            "window": "short",
            "since": SINCE,
            "until": UNTIL,
            "generation": 2,
            "reason": "",
        },
        "allowed_by": None,
        "free_at": UNTIL,
        "windows": [
            {
                "window": "short",
                "count": 12,
                "limit": 10,
                "over": True,
                "room_at": UNTIL,
                "buckets": {"2026-11-18T11:06:20.000+00:00": 5, "2026-11-18T11:06:40.000+00:00": 7},
            }
        ],
        "count_only": False,
        "site": None,
    }


PREFIX, SITE = "2001:db8:1:2::/64", "2001:db8:1::/48"


@pytest.fixture
def _with_sites(operator: FakeOperator) -> None:
    """Count a shorter prefix as well, which is blocked."""
    object.__setattr__(operator, "rules", SITE_RULES)
    operator.answer["explain"] = {SITE: Explanation(SITE, STANDINGS, block(SITE), None, NOW + MINUTE)}


@pytest.mark.usefixtures("_with_sites")
@pytest.mark.parametrize("text", ["2001:db8:1:2::1", PREFIX])
def test_a_client_s_site_is_explained_with_it(operator: FakeOperator, run: Run, text: str) -> None:
    first, header, empty, second, *_ = told(run("explain", text))

    assert first == f"{PREFIX} is free."
    assert (header.split(), empty) == (["window", "requests"], "")
    assert second == f"{SITE} is blocked by short until {SHOWN_UNTIL}."
    printed = as_json(run("explain", text, "--json"))
    assert (printed["client"], printed["blocked"], printed["free_at"]) == (PREFIX, None, None)
    site = printed["site"]
    assert (site["client"], site["blocked"]["window"], site["free_at"]) == (SITE, "short", UNTIL)
    assert [each["count"] for each in site["windows"]] == [12, 12]


@pytest.mark.usefixtures("_with_sites")
@pytest.mark.parametrize("client", ["192.0.2.1", SITE])
def test_what_has_no_site_is_explained_alone(operator: FakeOperator, run: Run, client: str) -> None:
    assert as_json(run("explain", client, "--json"))["site"] is None


@pytest.mark.usefixtures("_with_sites")
@pytest.mark.parametrize("command", ["unblock", "reset"])
def test_who_is_freed_is_told_when_its_site_keeps_it_out(
    operator: FakeOperator, run: Run, command: str
) -> None:
    but = f"But its site {SITE} is blocked, which has to be unblocked by itself."

    (said,) = told(run(command, PREFIX))
    assert said.startswith(f"{PREFIX} is free")
    assert said.endswith(but)
    assert but not in told(run(command, SITE))[0]
    assert but not in told(run(command, "192.0.2.1"))[0]
    operator.answer["explain"] = {}
    assert but not in told(run(command, PREFIX))[0], "the site is free"


@pytest.mark.parametrize(
    ("change", "window", "words"),
    [
        (Change.STARTED, "operator", f"192.0.2.1 is blocked until {SHOWN_UNTIL}."),
        (Change.EXTENDED, "operator", f"192.0.2.1 was blocked already, and is now until {SHOWN_UNTIL}."),
        (
            Change.NOTHING,
            "month",
            f"192.0.2.1 was blocked already, until {SHOWN_UNTIL} (month); nothing was changed.",
        ),
    ],
)
def test_a_block_says_what_it_changed(
    operator: FakeOperator, run: Run, change: Change, window: str, words: str
) -> None:
    operator.answer["block"] = (block(window=window), change)

    assert told(run("block", "192.0.2.1", "--for", "1m")) == [words]
    operator.answer["allowed_by"] = "192.0.2.0/24"
    (said,) = told(run("block", "192.0.2.1", "--for", "1m"))
    assert said == f"{words} But it is on the allow list, by 192.0.2.0/24, and that wins."
    printed = as_json(run("block", "192.0.2.1", "--for", "1m", "--json"))
    assert (printed["change"], printed["until"], printed["allowed_by"]) == (
        change.value,
        UNTIL,
        "192.0.2.0/24",
    )
    assert "words" not in printed


def test_what_was_done_is_told(operator: FakeOperator, run: Run) -> None:
    operator.answer["disallow"] = True
    said = {
        "unblock": "192.0.2.1 is free until it uses its limit again.",
        "reset": "192.0.2.1 is free, and its counts are forgotten.",
        "allow": "192.0.2.0/24 is never counted and never blocked any more.",
        "pause": "The IP sets stay as they are, until `sluice limiter resume`.",
        "resume": "The IP sets are written again, within a minute.",
    }

    assert {command: told(run(command, *COMMANDS[command])) for command in said} == {
        command: [words] for command, words in said.items()
    }
    assert told(run("allow", "192.0.2.0/24", "--remove")) == [
        "192.0.2.0/24 is counted again within 30 seconds, and blocked within a minute."
    ]
    assert as_json(run("pause", "--json")) == {"paused": True}
    assert as_json(run("resume", "--json")) == {"paused": False}
    assert as_json(run("reset", "192.0.2.1", "--json")) == {"client": "192.0.2.1"}


def test_the_allow_list_is_the_settings_and_the_operator_s(operator: FakeOperator, run: Run) -> None:
    blocks: Any = operator.blocks
    blocks.allowed = [Allowance("192.0.2.0/24", NOW - MINUTE, "a guest")]

    assert as_json(run("allow", "--json")) == {
        "allowed": [
            {"network": "203.0.113.0/24", "source": "settings", "since": None, "reason": ""},
            {"network": "192.0.2.0/24", "source": "operator", "since": SINCE, "reason": "a guest"},
        ]
    }
    header, first, second = told(run("allow"))
    assert header.split() == ["network", "from", "since", "reason"]
    assert first.split() == ["203.0.113.0/24", "settings"]
    assert second.split() == ["192.0.2.0/24", "operator", *SHOWN_SINCE.split(), "a", "guest"]


def test_an_empty_allow_list_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    limiter_views.allowed({"allowed": [], "words": ""})

    assert capsys.readouterr().out == "Nobody is on the allow list.\n"


def test_a_full_allow_list_is_one_line(operator: FakeOperator, run: Run) -> None:
    operator.answer["allow"] = FullError("the allow list is full: 10000 CIDRs of IPv4")

    assert_failed(run("allow", "192.0.2.0/24"), "limiter allow: the allow list is full: 10000 CIDRs of IPv4")


def refused(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Query")


@pytest.mark.parametrize(
    "failure",
    [
        (refused("AccessDeniedException", "not you"), "AWS refused Query: not you"),
        (refused("ExpiredToken", ""), "AWS refused Query: ExpiredToken"),
        (
            EndpointConnectionError(endpoint_url="http://x"),
            "Is the stack there, and are there credentials for it?",
        ),
        (StillWorkingError("an enforcer is still at work after 30 s"), "still at work after 30 s"),
        (ContentionError("counters could not be read"), "counters could not be read"),
        (UnreadableRecordError("until: no whole number"), "cannot be read: until: no whole number"),
    ],
    ids=lambda failure: type(failure[0]).__name__,
)
@pytest.mark.parametrize("command", ["blocked", "explain", "block", "unblock", "reset", "pause", "resume"])
def test_what_goes_wrong_is_one_line(
    operator: FakeOperator, run: Run, failure: tuple[Exception, str], command: str
) -> None:
    operator.answer[command], said = failure

    for options in ([], ["--json"]):
        assert_failed(run(command, *COMMANDS[command], *options), f"limiter {command}: ", said)
