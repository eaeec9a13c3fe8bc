from pathlib import Path

import pytest

from components import locks
from components.consumer_args import LAYER_LOCK

HASH = f"--hash=sha256:{'0' * 64}"


def lock(folder: Path, text: str) -> str:
    file = folder / "requirements.txt"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(
    "text",
    [
        f"iniconfig==2.1.0 {HASH}\n",
        f"iniconfig==2.1.0 \\\n    {HASH} \\\n    {HASH}\n    # via -r requirements.in\n",
        f"# made by hand\n\nrich[jupyter]==14.0.0 {HASH}  # why\n",
        f"jmespath==1.1.0 {HASH}\n",
    ],
    ids=["one", "continued", "by hand", "ours, of the same version"],
)
def test_a_lock_pins_every_package_by_its_hashes(tmp_path: Path, text: str) -> None:
    assert locks.problems(lock(tmp_path, text), LAYER_LOCK) == []


def test_a_lock_that_a_function_s_layer_is_made_of_is_one() -> None:
    assert locks.problems(str(LAYER_LOCK), LAYER_LOCK) == []
    assert set(locks.versions(LAYER_LOCK)) == {"aws-lambda-powertools", "jmespath", "typing-extensions"}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f"iniconfig>=2 {HASH}", "iniconfig>=2"),
        ("iniconfig==2.1.0", "iniconfig==2.1.0"),
        (f"iniconfig {HASH}", "iniconfig"),
        ("iniconfig==2.1.0 --hash=md5:0", "iniconfig==2.1.0"),
        (f"iniconfig==2.* {HASH}", "iniconfig==2.*"),
        (f'iniconfig==2.1.0 ; python_version < "3.9" {HASH}', 'iniconfig==2.1.0 ; python_version < "3.9"'),
        ("./folder", "./folder"),
        (f"iniconfig @ https://example.com/a.whl {HASH}", "iniconfig @ https://example.com/a.whl"),
    ],
)
def test_what_is_not_pinned_is_named_with_how_to_pin_it(tmp_path: Path, line: str, shown: str) -> None:
    given = lock(tmp_path, f"rich==14.0.0 {HASH}\n{line}\n")
    (problem,) = locks.problems(given, LAYER_LOCK)
    assert (problem.path, problem.value) == ("requirements", shown)
    assert "--generate-hashes" in problem.remedy


@pytest.mark.parametrize("name", ["aws-lambda-powertools", "AWS_Lambda.Powertools"])
def test_a_package_that_is_there_in_another_version_is_refused(tmp_path: Path, name: str) -> None:
    (problem,) = locks.problems(lock(tmp_path, f"{name}==2.0.0 {HASH}\n"), LAYER_LOCK)
    assert problem.value == "aws-lambda-powertools==2.0.0"
    ours = locks.versions(LAYER_LOCK)["aws-lambda-powertools"]
    assert problem.allowed == f"aws-lambda-powertools=={ours}, which the function has already"
    assert "--no-emit-package aws-lambda-powertools" in problem.remedy


def test_what_is_no_lock_is_said_in_a_word(tmp_path: Path) -> None:
    binary = tmp_path / "packages.zip"
    binary.write_bytes(b"\xff\xfe\x00")
    told = {
        given: locks.problems(given, LAYER_LOCK)[0].allowed.partition(locks.A_LOCK)[2]
        for given in (str(tmp_path / "none.txt"), str(tmp_path), str(binary), lock(tmp_path, "# nothing\n"))
    }
    assert list(told.values()) == [
        ": No such file or directory",
        ": Is a directory",
        ": it is no text",
        "; there is none in it",
    ]


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("-r other.txt", "-r"),
        ("-e .", "-e"),
        ("--find-links https://me:hush@example.com/files", "--find-links"),
        ("--find-links=https://me:hush@example.com/files", "--find-links"),
    ],
)
def test_an_option_is_refused_without_what_it_says(tmp_path: Path, line: str, option: str) -> None:
    (problem,) = locks.problems(lock(tmp_path, f"{line}\nrich==14.0.0 {HASH}\n"), LAYER_LOCK)
    assert problem.value == option
    assert "hush" not in str(problem)
