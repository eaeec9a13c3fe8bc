from pathlib import Path
from typing import Any

import pytest

from components import archives, consumer_args, user_code

ENTRY = "work:handle"
GOOD = "def handle(record): ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of code with nothing wrong in it."""
    made = tmp_path / "code"
    made.mkdir()
    (made / "work.py").write_text(GOOD)
    return made


def found(code: object, entry: object = ENTRY) -> list[tuple[str, object]]:
    """Return where the problems are and what they show, each with something that is allowed."""
    problems = user_code.problems(code, entry)
    assert all(each.allowed for each in problems)
    return [(each.path, each.value) for each in problems]


def allowed(code: Path, entry: object = ENTRY) -> str:
    (problem,) = user_code.problems(str(code), entry)
    return problem.allowed


def test_good_code_has_no_problem(folder: Path) -> None:
    assert found(str(folder)) == []


def test_code_that_is_not_set_is_missed_elsewhere() -> None:
    assert found(None) == []


@pytest.mark.parametrize(
    "code", ["", "nowhere", "work.py", "x" * 5000, "a\0b", 5, True, ["work"], Path("code")]
)
def test_what_is_no_folder_is_refused(code: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert found(code) == [("code", code)]
    (problem,) = user_code.problems(code, ENTRY)
    assert problem.remedy == "check the path: it is taken from the program's folder"


def test_a_programs_own_folder_is_refused(folder: Path) -> None:
    (folder / "Pulumi.yaml").touch()
    (problem,) = user_code.problems(str(folder), ENTRY)
    assert (problem.path, problem.value) == ("code", str(folder))
    assert "program's own folder" in problem.remedy


@pytest.mark.parametrize("hidden", [None, ".env", "old.pyc", "__pycache__/work.py", ".git/work.py"])
def test_a_folder_with_nothing_to_ship_is_empty(hidden: str | None, tmp_path: Path) -> None:
    if hidden:
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_text(GOOD)
    assert found(str(tmp_path)) == [("code", str(tmp_path))]
    assert "empty" in allowed(tmp_path)


def test_a_link_that_leads_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets.txt").touch()
    (folder / "data").mkdir()
    (folder / "data" / "out.txt").symlink_to(tmp_path / "secrets.txt")
    assert found(str(folder)) == [("code", "data/out.txt")]
    assert "leads out" in allowed(folder)


def test_every_link_that_leads_out_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    for name in ("a", "b"):
        (folder / name).symlink_to("../other")
    assert found(str(folder)) == [("code", "a"), ("code", "b")]


def test_a_folder_beside_with_the_same_beginning_is_outside(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "code-other").mkdir()
    (tmp_path / "code-other" / "x").touch()
    (folder / "x").symlink_to("../code-other/x")
    assert found(str(folder)) == [("code", "x")]


def test_a_link_within_the_folder_is_code(folder: Path) -> None:
    (folder / "also.py").symlink_to("work.py")
    assert found(str(folder), "also:handle") == []


def test_a_folder_may_be_reached_by_a_link(folder: Path, tmp_path: Path) -> None:
    (folder / "also.py").symlink_to("work.py")
    (tmp_path / "link").symlink_to(folder)
    assert found(str(tmp_path / "link")) == []


def test_a_dead_link_is_no_code(folder: Path) -> None:
    (folder / "dead.py").symlink_to("nowhere")
    (folder / "loop.py").symlink_to("loop.py")
    assert found(str(folder)) == []
    assert found(str(folder), "dead:handle") == [("entry", "dead:handle")]


@pytest.mark.parametrize(("most", "refused"), [(3, False), (2, True)])
def test_a_folder_has_a_most_of_files(
    most: int, refused: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_code, "MOST_FILES", most)
    for name in ("a", "b", ".hidden"):
        (folder / name).touch()
    assert found(str(folder)) == [("code", str(folder))] * refused
    if refused:
        assert f"{most} files" in allowed(folder)


@pytest.mark.parametrize(("largest", "refused"), [(100, False), (99, True)])
def test_a_folder_has_a_largest_size(
    largest: int, refused: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_code, "LARGEST_FOLDER", largest)
    (folder / "data").write_bytes(b"x" * (100 - len(GOOD)))
    (folder / ".hidden").write_bytes(b"x" * 100)
    assert found(str(folder)) == [("code", str(folder))] * refused


def test_the_limits_are_those_of_lambda(folder: Path) -> None:
    assert user_code.LARGEST_FOLDER == 250 * 1024 * 1024
    with (folder / "data").open("wb") as sparse:
        sparse.truncate(user_code.LARGEST_FOLDER)
    assert "250 MB" in allowed(folder)


def test_a_folder_that_is_no_good_is_not_searched_for_the_entry(tmp_path: Path) -> None:
    assert found(str(tmp_path), "nowhere:at_all") == [("code", str(tmp_path))]


@pytest.mark.parametrize(
    "entry", ["other:handle", "work.deeper:handle", "Work:handle", "data:handle", "code.work:handle"]
)
def test_a_module_that_is_not_there_is_refused(entry: str, folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "work.py").write_text(GOOD)
    assert found(str(folder), entry) == [("entry", entry)]
    assert str(folder) in allowed(folder, entry)


@pytest.mark.parametrize(
    "file", ["pkg/__init__.py", "pkg/deep/__init__.py", "pkg/deep/work.py", "pkg/work.py"]
)
def test_an_entry_may_lie_in_a_package(file: str, folder: Path) -> None:
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text(GOOD)
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert found(str(folder), f"{module}:handle") == []
    assert found(str(folder), f"{module}:other") == [("entry", f"{module}:other")]


@pytest.mark.parametrize("entry", [None, 5, "", "work", "work:", ":handle", ["work:handle"]], ids=repr)
def test_the_form_of_an_entry_is_checked_elsewhere(entry: object, folder: Path) -> None:
    assert found(str(folder), entry) == []


@pytest.mark.parametrize("module", [".", "..", "/", "../work", "x" * 5000, "a\0b"], ids=range(6))
def test_no_entry_breaks_the_check_or_is_told_twice(module: str, folder: Path) -> None:
    args: Any = {"code": str(folder), "entry": f"{module}:handle"}
    assert [each.path for each in consumer_args.problems(args)] == ["entry"]


@pytest.mark.parametrize(
    "source",
    [b"def handle(:\n", b"x = '\xff'\n", b"a\0b\n", b"# coding: nonsense\n", b"\tx\n y\n", b"print 1\n"],
)
def test_a_module_that_python_cannot_read_is_refused(source: bytes, folder: Path) -> None:
    (folder / "work.py").write_bytes(source)
    assert found(str(folder)) == [("entry", ENTRY)]
    assert "a module that Python can read: " in allowed(folder)


def test_a_module_is_read_and_never_run(folder: Path) -> None:
    (folder / "work.py").write_text(f"raise SystemExit('run')\n{GOOD}")
    assert found(str(folder)) == []


@pytest.mark.parametrize(
    "source",
    [
        "class handle: ...",
        "handle = print",
        "handle: object = print",
        "first, (handle, *rest) = make()",
        "first = handle = print",
        "(handle := print)",
        "import handle",
        "import other as handle",
        "import handle.deeper",
        "from .other import handle",
        "from other import do as handle",
        "try:\n    from fast import handle\nexcept ImportError:\n    handle = None",
        "if True:\n    def handle(record): ...",
        "with a() as handle: ...",
        "for handle in []: ...",
        "# coding: latin-1\n# \u00e9\ndef handle(record): ...",
    ],
)
def test_a_name_may_be_bound_in_any_way(source: str, folder: Path) -> None:
    (folder / "work.py").write_bytes(source.encode("latin-1"))
    assert found(str(folder)) == []


def test_a_name_may_come_with_all_of_another_module(folder: Path) -> None:
    # What is in there cannot be seen from here.
    (folder / "work.py").write_text("from deeper.work import *\n")
    assert found(str(folder)) == []


@pytest.mark.parametrize(
    "source",
    [
        "",
        "def Handle(record): ...",
        "handle",
        "handle()",
        "other.handle = 5",
        "import other.handle",
        "import handle as other",
        "from handle import other",
        "'handle'",
        "# def handle(record): ...",
        "def other(handle): ...",
        "del handle",
    ],
)
def test_a_name_that_the_module_does_not_bind_is_refused(source: str, folder: Path) -> None:
    (folder / "work.py").write_text(source)
    assert found(str(folder)) == [("entry", ENTRY)]
    assert str(folder / "work.py") in allowed(folder)


def test_an_entry_is_looked_for_in_what_is_shipped(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text(GOOD)
    (folder / "pkg").symlink_to(tmp_path / "pkg")
    assert "pkg/__init__.py" not in dict(archives.code_files(folder)), "links to folders are not followed"
    assert found(str(folder), "pkg:handle") == [("entry", "pkg:handle")]


@pytest.mark.parametrize(
    "source",
    [
        "async def handle(record): ...",
        "def handle(record):\n    yield record",
        "def handle(record):\n    for each in record:\n        x = yield from each",
        "async def handle(record):\n    yield record",
        "def handle(record): ...\nasync def handle(record): ...",
    ],
)
def test_what_would_do_nothing_when_it_is_called_is_refused(source: str, folder: Path) -> None:
    (folder / "work.py").write_text(source)
    (problem,) = user_code.problems(str(folder), "work:handle")
    assert problem.path == "entry"
    assert problem.allowed.startswith("a plain function")


@pytest.mark.parametrize(
    "source",
    [
        "def handle(record):\n    def inner():\n        yield 1\n    return list(inner())",
        "import asyncio\ndef handle(record):\n    async def inner(): ...\n    asyncio.run(inner())",
        "def handle(record):\n    return [each for each in record]",
        "async def handle(record): ...\ndef handle(record): ...",
        "def run(function): ...\n@run\nasync def handle(record): ...",
        "class Some:\n    async def handle(self): ...\ndef handle(record): ...",
    ],
)
def test_what_only_uses_such_functions_is_taken(source: str, folder: Path) -> None:
    (folder / "work.py").write_text(source)
    assert user_code.problems(str(folder), "work:handle") == []
