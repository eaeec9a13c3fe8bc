"""``sluice limiter`` as an operator runs it, on a stack that works."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.emulator import ROOT, free_port
from local.stack import LocalAws, LocalStack
from sluice.limiter.blocks import Block, _as_item
from sluice.limiter.sets import ALLOW, BLOCK

from .conftest import SHORT
from .support import (
    Values,
    Visitor,
    edit_by_hand,
    enforce,
    held,
    ip_sets,
    made,
    now,
    operator_of,
    wait_every,
)

HOUR_MS = 3_600_000
AWS_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")


@dataclass(frozen=True)
class Done:
    """What a run of the command came to."""

    code: int
    out: str
    err: str

    @property
    def printed(self) -> Values:
        """What it printed as JSON."""
        assert (self.code, self.err) == (0, "")
        found: Values = json.loads(self.out)
        return found

    @property
    def words(self) -> str:
        """What it said to a person."""
        assert (self.code, self.err) == (0, "")
        return self.out.strip()

    def assert_failed(self, *named: str) -> None:
        assert (self.code, self.out) == (1, "")
        assert self.err.startswith("sluice limiter ")
        assert "Traceback" not in self.err
        assert self.err.count("\n") == 1
        for each in named:
            assert each in self.err


def run(
    *words: str,
    given: str | None = None,
    variables: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Done:
    environment = {key: value for key, value in os.environ.items() if key not in AWS_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-m", "sluice.cli", "limiter", *words],
        cwd=folder,
        env={
            **environment,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONPATH": str(ROOT),
            **(variables or {}),
        },
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


Command = Callable[..., Done]


def file_of(cloud: LocalAws, stack: LocalStack, folder: Path, **changed: Any) -> str:
    """Write a stack's outputs to a file, some of them changed, and return its path."""
    where = {"endpoint_url": cloud.aws.endpoint, "region": cloud.aws.region}
    file = folder / "outputs.json"
    file.write_text(json.dumps({**stack.outputs, "local": where, **changed}))
    return str(file)


@pytest.fixture
def sluice(cloud: LocalAws, limited: LocalStack, tmp_path: Path) -> Command:
    """The command, for the stack that works."""
    outputs = file_of(cloud, limited, tmp_path)

    def ran(name: str, *words: str) -> Done:
        return run(name, "--outputs", outputs, *words)

    return ran


def set_for(cloud: LocalAws, stack: LocalStack, role: str) -> set[str]:
    """Return the IPv4 addresses of a stack's only set of a role."""
    (found,) = (each for each in ip_sets(cloud, stack) if (each.role, each.family) == (role, 4))
    return held(cloud, found)


def test_who_crosses_is_listed_with_its_reason_and_its_counts(
    cloud: LocalAws, limited: LocalStack, sluice: Command
) -> None:
    client = "192.0.2.130"
    one = Visitor.at(cloud, limited, client)
    one.send(SHORT)
    operator = operator_of(cloud, limited)
    assert wait_every(0.1, 10, lambda: operator.explain(client).block is not None)
    block = operator.blocks.get(client)
    assert block

    with ThreadPoolExecutor(2) as pool:
        listed, explained = pool.map(
            lambda words: sluice(*words), (("blocked", "--json"), ("explain", client, "--json"))
        )

    (found,) = (each for each in listed.printed["blocked"] if each["client"] == client)
    assert found.keys() == {"client", "window", "since", "until", "generation", "reason"}
    assert (found["window"], found["reason"], found["generation"]) == ("short", "", 0)
    assert found["since"] < found["until"]
    assert (listed.printed["paused"], listed.printed["unreadable"]) == (False, [])
    assert (listed.printed["count_only"], explained.printed["count_only"]) == (False, False)
    assert explained.printed["client"] == client
    long = explained.printed["windows"][1]
    assert (long["window"], long["count"], long["limit"], long["over"]) == ("long", SHORT, 200, False)
    assert sum(long["buckets"].values()) == SHORT
    times = [when for when, _ in one.answers]
    first, last = (operator.rules.windows[1].buckets.index(each) for each in (times[0] - 1000, times[-1]))
    assert len(long["buckets"]) <= last - first + 1
    assert sluice("explain", client).words.splitlines()[1].split() == ["window", "requests"]


def test_an_operator_s_block_holds_until_it_is_taken_back(
    cloud: LocalAws, limited: LocalStack, sluice: Command
) -> None:
    v4, v6 = Visitor.at(cloud, limited, "192.0.2.131"), Visitor.at(cloud, limited, "2001:db8:131::5")
    assert (v4.send(), v6.send()) == (202, 202)

    made_block = sluice("block", "192.0.2.131", "--for", "2h", "--reason", "[spam] \u00fc", "--json").printed
    said = sluice("block", "2001:db8:131::5", "--for", "1m").words

    assert v4.send_until(429, seconds=5.0)
    assert v6.send_until(429, seconds=5.0)
    assert (made_block["window"], made_block["change"], made_block["allowed_by"]) == (
        "operator",
        "started",
        None,
    )
    assert said.startswith("2001:db8:131::/64 is blocked until ")
    rows = sluice("blocked").words.splitlines()
    (row,) = (each.split() for each in rows if each.startswith("192.0.2.131"))
    assert (row[1], row[-2:]) == ("operator", ["[spam]", "\u00fc"])
    shorter = sluice("block", "192.0.2.131", "--for", "1m").words
    assert "was blocked already" in shorter
    assert "nothing was changed" in shorter
    assert sluice("explain", "192.0.2.131").words.startswith(
        "192.0.2.131 is blocked by operator ([spam] \u00fc)"
    )
    assert sluice("unblock", "192.0.2.131").words == "192.0.2.131 is free until it uses its limit again."
    assert sluice("unblock", "2001:db8:131::/64", "--json").printed == {"client": "2001:db8:131::/64"}
    assert v4.send_until(202, seconds=5.0)
    assert v6.send_until(202, seconds=5.0)


def test_who_is_unblocked_is_free_until_it_uses_its_limit_again(
    cloud: LocalAws, limited: LocalStack, sluice: Command
) -> None:
    """The longer window keeps it out for a minute; its first requests would still count there."""
    client = "192.0.2.3"
    one = Visitor.at(cloud, limited, client)
    operator = operator_of(cloud, limited)
    one.send(14)
    assert one.send_until(429, seconds=8.0)
    assert wait_every(0.1, 10, lambda: operator.explain(client).standings[1].count == one.statuses.count(202))

    assert sluice("unblock", client).words == f"{client} is free until it uses its limit again."

    assert one.send_until(202, seconds=5.0)
    assert [each.count for each in operator.explain(client).standings] in ([0, 0], [1, 1])
    assert {one.send() for _ in range(SHORT - 2)} == {202}, "as many again, less one"
    explained = sluice("explain", client, "--json").printed
    assert (explained["blocked"], explained["free_at"]) == (None, None)
    one.send()
    assert one.send_until(429, seconds=8.0), "and then it is blocked anew"
    found = operator.explain(client).block
    assert found
    assert found.generation == 1


def test_a_reset_forgets_what_a_client_did(cloud: LocalAws, limited: LocalStack, sluice: Command) -> None:
    client = "192.0.2.132"
    one = Visitor.at(cloud, limited, client)
    one.send(SHORT)
    assert one.send_until(429)

    assert sluice("reset", client).words == f"{client} is free, and its counts are forgotten."

    assert one.send_until(202, seconds=5.0)
    windows = sluice("explain", client, "--json").printed["windows"]
    assert all(each["count"] <= 1 and not each["over"] for each in windows)
    known = operator_of(cloud, limited).counters.read([client])[client]
    assert sum(known.counters.values()) <= 2, "no more than that request, in two windows"


def test_an_allowed_cidr_is_never_blocked_until_it_is_removed(
    cloud: LocalAws, limited: LocalStack, sluice: Command
) -> None:
    network, client = "203.0.113.64/26", "203.0.113.70"
    one = Visitor.at(cloud, limited, client)

    said = sluice("allow", network, "--reason", "a guest").words

    assert said == f"{network} is never counted and never blocked any more."
    assert wait_every(0.1, 10, lambda: network in set_for(cloud, limited, ALLOW))
    blocked = sluice("block", client, "--for", "1h").words
    assert blocked.endswith(f"But it is on the allow list, by {network}, and that wins.")
    assert wait_every(0.1, 10, lambda: f"{client}/32" in set_for(cloud, limited, BLOCK))
    one.send(5)
    assert one.statuses == [202] * 5
    assert sluice("explain", client).words.startswith(f"{client} is never blocked: {network} is on")
    listed = {each["network"]: each for each in sluice("allow", "--json").printed["allowed"]}
    assert listed["198.51.100.192/26"]["source"] == "settings"
    assert (listed[network]["source"], listed[network]["reason"]) == ("operator", "a guest")
    assert sluice("allow", network, "--remove").words == (
        f"{network} is counted again within 30 seconds, and blocked within a minute."
    )
    # Nothing but the next minute's run hears of what is deleted.
    enforce(cloud, limited)
    assert one.send_until(429, seconds=8.0)
    assert network not in {each["network"] for each in sluice("allow", "--json").printed["allowed"]}
    sluice("allow", network, "--remove").assert_failed(f"{network} is not on the allow list")
    operator_of(cloud, limited).unblock(client)


def test_while_it_is_paused_nothing_is_written_and_then_everything_is(
    cloud: LocalAws, limited: LocalStack, sluice: Command
) -> None:
    waiting, innocent = "192.0.2.133", "192.0.2.134"
    (blocking,) = (each for each in ip_sets(cloud, limited) if (each.role, each.family) == (BLOCK, 4))
    assert sluice("pause").words == "The IP sets stay as they are, until `sluice limiter resume`."
    try:
        operator_of(cloud, limited).block(waiting, HOUR_MS, "")
        edit_by_hand(cloud, blocking, lambda before: {*before, f"{innocent}/32"})
        measured = enforce(cloud, limited)

        assert (measured["RunsPaused"], measured["SetsWritten"]) == (True, 0)
        assert f"{innocent}/32" in held(cloud, blocking)
        assert f"{waiting}/32" not in held(cloud, blocking)
        assert Visitor.at(cloud, limited, innocent).send_until(429, seconds=3.0)
        assert sluice("blocked").words.startswith("Paused: ")
        assert sluice("blocked", "--json").printed["paused"] is True
    finally:
        resumed = sluice("resume", "--json")
    assert resumed.printed == {"paused": False}
    enforce(cloud, limited)
    assert wait_every(
        0.2,
        10,
        lambda: {f"{waiting}/32", f"{innocent}/32"} & held(cloud, blocking) == {f"{waiting}/32"},
    )
    operator_of(cloud, limited).unblock(waiting)


def test_outputs_from_standard_input_and_of_a_local_stack_are_the_same(
    cloud: LocalAws, limited: LocalStack, door: LocalStack, tmp_path: Path
) -> None:
    local = tmp_path / ".local"
    local.mkdir()
    for stack, name in ((door, "open"), (limited, "limits")):
        Path(file_of(cloud, stack, tmp_path)).rename(local / f"outputs.{name}.json")
    text = (local / "outputs.limits.json").read_text()

    listed = [
        run("allow", "--outputs", "-", "--json", given=text).printed,
        run("allow", "--stack", "limits", "--json", folder=tmp_path).printed,
    ]

    assert listed[0] == listed[1]
    assert [each["network"] for each in listed[0]["allowed"]] == ["198.51.100.192/26", "2001:db8:a::/48"]
    run("blocked", "--stack", "open", folder=tmp_path).assert_failed("the stack has no limiter")
    run("blocked", "--stack", "dev", folder=tmp_path).assert_failed("no local stack 'dev'")
    os.utime(local / "outputs.limits.json", (0, 0))
    run("blocked", "--local", folder=tmp_path).assert_failed("the stack has no limiter")


def test_an_address_without_a_prefix_is_not_allowed(
    cloud: LocalAws, limited: LocalStack, sluice: Command
) -> None:
    before = operator_of(cloud, limited).blocks.allowances()

    sluice("allow", "192.0.2.150").assert_failed("'192.0.2.150' is no CIDR: did you mean 192.0.2.150/32?")
    sluice("allow", "2001:db8::1", "--remove").assert_failed("did you mean 2001:db8::1/128?")
    assert operator_of(cloud, limited).blocks.allowances() == before


def test_where_a_stack_only_counts_it_is_told_with_who_is_blocked(
    cloud: LocalAws, counting: LocalStack, sluice: Command, tmp_path: Path
) -> None:
    client = "192.0.2.151"
    operator_of(cloud, counting).block(client, HOUR_MS, "")
    outputs = file_of(cloud, counting, tmp_path)

    first, *rows = run("blocked", "--outputs", outputs).words.splitlines()

    assert first == "Count only: nobody is refused. This is who would be."
    assert [row for row in rows if row.startswith(f"{client} ")]
    assert run("blocked", "--outputs", outputs, "--json").printed["count_only"] is True
    assert run("explain", client, "--outputs", outputs).words.splitlines()[0] == first
    operator_of(cloud, counting).unblock(client)


def as_role(cloud: LocalAws, stack: LocalStack, name: str) -> dict[str, str]:
    """Return the variables of an operator on AWS who may do what a role may."""
    role = made(stack, name).outputs["arn"]
    given = cloud.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return {
        "AWS_ENDPOINT_URL": cloud.aws.endpoint,
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def test_whatever_goes_wrong_is_one_line(cloud: LocalAws, limited: LocalStack, tmp_path: Path) -> None:
    files = {}
    outputs: dict[str, Values] = {
        "none": {"limiter": None},
        "gone": {"local": {"endpoint_url": f"http://127.0.0.1:{free_port()}", "region": "us-east-1"}},
        "on-aws": {"local": None},
        "other": {"limiter": {**limited.outputs["limiter"], "blocks": "somebody-else-s"}},
        "rules": {"limiter": {**limited.outputs["limiter"], "rules": "{}"}},
        "fine": {},
    }
    for name, changed in outputs.items():
        (tmp_path / name).mkdir()
        files[name] = file_of(cloud, limited, tmp_path / name, **changed)
    (tmp_path / "garbage").write_text("garbage")
    stranger = as_role(cloud, limited, "front-door-role")
    client = "192.0.2.140"
    item = _as_item(Block(client, "short", now(), now() + HOUR_MS))
    tables, table = cloud.aws.client("dynamodb"), limited.outputs["limiter"]["blocks"]
    tables.put_item(TableName=table, Item={**item, "until": {"S": "soon"}})
    nobody = {
        "AWS_CONFIG_FILE": str(tmp_path / "none.ini"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no"),
    }

    cases: dict[tuple[str, ...], tuple[Mapping[str, str], str]] = {
        ("blocked", "--outputs", files["none"]): ({}, "the stack has no limiter"),
        ("blocked", "--outputs", files["rules"]): ({}, "rules cannot be read"),
        ("blocked", "--outputs", str(tmp_path / "missing")): ({}, "cannot be read"),
        ("explain", client, "--outputs", files["gone"]): ({}, "Could not connect to the endpoint URL"),
        ("blocked", "--outputs", files["on-aws"]): (nobody, "Unable to locate credentials"),
        ("blocked", "--outputs", files["other"]): ({}, "AWS refused Query: "),
        ("blocked", "--outputs", files["on-aws"], "--json"): (stranger, "AWS refused Query: "),
        ("unblock", client, "--outputs", files["on-aws"]): (stranger, "AWS refused BatchGetItem: "),
        ("pause", "--outputs", files["on-aws"]): (stranger, "AWS refused PutItem: "),
        ("unblock", "nobody", "--outputs", files["fine"]): ({}, "'nobody' is no client"),
        ("block", client, "--for", "soon", "--outputs", files["fine"]): ({}, "--for soon"),
        ("explain", client, "--outputs", files["fine"]): ({}, "cannot be read: until: no whole number"),
    }
    with ThreadPoolExecutor(3) as pool:
        done = {
            words: pool.submit(run, *words, variables=variables) for words, (variables, _) in cases.items()
        }
        garbage = pool.submit(run, "blocked", "--outputs", str(tmp_path / "garbage"))

    for words, (_, said) in cases.items():
        done[words].result().assert_failed(f"sluice limiter {words[0]}: ", said)
    told = garbage.result()
    assert (told.code, told.out) == (1, "")
    assert "holds no outputs of a stack" in told.err
    listed = run("blocked", "--outputs", files["fine"])
    assert (listed.code, listed.err) == (0, "A record cannot be read: until: no whole number\n")
    assert run("unblock", client, "--outputs", files["fine"]).code == 0, "which mends the record"
    assert run("explain", client, "--outputs", files["fine"]).words.startswith(f"{client} is free.")
