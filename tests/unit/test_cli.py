import json
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import authorizer_args
from components.authorizer_args import AuthorizerKind, TokenArgs
from sluice import cli, tokens
from sluice.cli import token as command

ROOT = Path(cli.__file__).parent.parent.parent
NOW = datetime(2027, 1, 31, 12, 30, 15, 250_000, UTC)


def settings(lines: list[str]) -> dict[str, str]:
    """Return what commands for Pulumi set, by the path."""
    words = [shlex.split(line) for line in lines if line.startswith("pulumi ")]
    assert all(each[:4] == ["pulumi", "config", "set", "--path"] for each in words)
    return {path: value for *_, path, value in words}


@pytest.mark.parametrize("options", [[], ["--index", "0"], ["--index", "17"]])
def test_a_new_token_is_shown_once_with_the_commands_that_make_it_known(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["token", "new", "ann", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = dict(line.split() for line in lines[: lines.index("")])
    assert shown.keys() == {"token:", "name:", "sha256:"}
    assert shown["name:"] == "ann"
    assert shown["sha256:"] == tokens.digest(shown["token:"])
    place = f"sluice:authorizer.tokens[{options[-1] if options else 0}]"
    assert settings(lines) == {f"{place}.name": "ann", f"{place}.sha256": shown["sha256:"]}
    assert sum(shown["token:"] in line for line in lines) == 1


def test_a_new_token_that_ends_says_when(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["token", "new", "ann", "--expires", "2099-03-31T02:00:00+02:00"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "expires: 2099-03-31T00:00:00Z" in lines
    assert settings(lines)["sluice:authorizer.tokens[0].expires"] == "2099-03-31T00:00:00Z"


@pytest.mark.parametrize("options", [[], ["--expires", "90d"]])
def test_what_is_made_known_is_what_an_authorizer_takes(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["token", "new", "ann", "--json", *options]) == 0
    made = json.loads(capsys.readouterr().out)
    token = made.pop("token")
    known: list[TokenArgs] = [made]
    args: authorizer_args.AuthorizerArgs = {"kind": AuthorizerKind.TOKEN, "tokens": known}
    assert authorizer_args.problems(args) == []
    (found,) = authorizer_args.known_tokens(args)
    assert tokens.find(token, [found]) is found
    days = found.expires and round((found.expires - datetime.now(UTC).timestamp()) / 86_400)
    assert days == (90 if options else None)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("1d", "2027-02-01T12:30:15Z"),
        ("90d", "2027-05-01T12:30:15Z"),
        ("9999d", "2054-06-17T12:30:15Z"),
        ("2027-03-31T00:00:00Z", "2027-03-31T00:00:00Z"),
        ("2027-03-31 00:00+00:00", "2027-03-31T00:00:00Z"),
        ("2027-03-31T23:30:00-01:00", "2027-04-01T00:30:00Z"),
        ("2027-01-31T12:30:16Z", "2027-01-31T12:30:16Z"),
    ],
)
def test_an_end_is_told_in_days_or_as_a_time(text: str, ends: str) -> None:
    assert command.expiry(text, NOW) == ends


@pytest.mark.parametrize(
    "text",
    [
        "",
        "never",
        "90",
        "d",
        "0d",
        "01d",
        "-1d",
        "1.5d",
        "90 d",
        "90D",
        "10000d",
        "\u0661d",
        "2w",
        "2027-03-31",
        "2027-03-31T00:00:00",
        "2027-02-30T00:00:00Z",
        "31.03.2027",
        "1800000000",
        "9999-12-31T23:59:59-23:59",
    ],
    ids=ascii,
)
def test_what_is_no_time_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(
        ValueError, match="is no time: give a number of days, as 90d, or a time with its zone"
    ):
        command.expiry(text, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2027-01-31T12:30:15.250000Z",
        "2027-01-31T12:30:15Z",
        "2027-01-31T13:30:15+01:00",
        "2020-01-01T00:00:00Z",
        "0001-01-01T00:00Z",
    ],
)
def test_a_token_cannot_have_ended_already(text: str) -> None:
    with pytest.raises(ValueError, match="is past: give a time to come"):
        command.expiry(text, NOW)


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=300_000)), st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_an_end_is_the_same_moment_wherever_it_was_written(ahead: timedelta, minutes: int) -> None:
    ends = (NOW + ahead).astimezone(timezone(timedelta(minutes=minutes)))
    found = datetime.fromisoformat(command.expiry(ends.isoformat(), NOW))
    assert timedelta(0) <= ends - found < timedelta(seconds=1)


@pytest.mark.parametrize("when", ["soon", "2020-01-01T00:00:00Z"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_bad_end_is_refused_in_words_and_makes_no_token(
    when: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["token", "new", "ann", "--expires", when, *options]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert when in told.err
    assert "Traceback" not in told.err


def test_a_new_token_can_be_had_as_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["token", "new", "ann", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made) == {"name", "token", "sha256"}
    assert made["name"] == "ann"
    assert made["sha256"] == tokens.digest(made["token"])


def test_each_run_makes_another_token(capsys: pytest.CaptureFixture[str]) -> None:
    made = set()
    for _ in range(3):
        cli.main(["token", "new", "ann", "--json"])
        made.add(json.loads(capsys.readouterr().out)["token"])
    assert len(made) == 3


@pytest.mark.parametrize("name", ["", "Ann", "a b", "a" * 65, "a'b", "a\nb"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_bad_name_is_refused_in_words(
    name: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["token", "new", name, *options]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert repr(name) in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["token"],
        ["token", "new"],
        ["nothing"],
        ["token", "new", "a", "b"],
        ["token", "new", "-a"],
        ["token", "new", "a", "--expires"],
        ["token", "new", "a", "--index", "first"],
    ],
)
def test_a_command_that_is_not_understood_exits_with_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert "usage: sluice" in capsys.readouterr().err


def test_the_command_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sluice.cli", "token", "new", "Bad Name"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
