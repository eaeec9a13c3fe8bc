import json
import subprocess
import sys
from pathlib import Path

import pytest

from sluice import cli, tokens

ROOT = Path(cli.__file__).parent.parent.parent


def test_a_new_token_is_shown_once_with_the_command_that_makes_it_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["token", "new", "ann"]) == 0
    lines = capsys.readouterr().out.splitlines()
    token, digest = (line.split()[1] for line in lines[:2])
    assert tokens.owner(token, {"ann": digest}) == "ann"
    assert lines[-1] == f"pulumi config set --path 'sluice:authorizer.tokens.ann' {digest}"
    assert sum(token in line for line in lines) == 1


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
    [[], ["token"], ["token", "new"], ["nothing"], ["token", "new", "a", "b"], ["token", "new", "-a"]],
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
