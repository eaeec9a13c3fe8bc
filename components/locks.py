"""The user's lock file of packages: what is wrong with it, before pip is asked."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .arguments import Problem

PINNED = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)(\[[\w.,\s-]*\])?\s*==\s*(?P<version>[^\s;*]+)(\s+--hash=\S+)+", re.ASCII
)
WEAK = re.compile(r"--hash=(?!sha(256|384|512):[0-9a-f]{64,})")
OPTION = re.compile(r"-[-\w]+")
A_LOCK = "a file of packages, each with its exact version and its hashes"
HOW_TO_LOCK = "uv pip compile --generate-hashes --python-version 3.13 requirements.in -o requirements.txt"


def problems(path: object, ours: Path) -> list[Problem]:
    """Return what is wrong with a lock file.

    Args:
        path: where it is; nothing where none is given.
        ours: the lock of the packages that the function has anyway. Python would find one of two versions
            of a package, or some of the files of each.
    """
    if path is None:
        return []
    try:
        lines = list(_requirements(Path(str(path)).read_text("utf-8")))
    except (OSError, ValueError) as error:
        reason = "it is no text" if isinstance(error, ValueError) else error.strerror
        return [Problem("requirements", path, f"{A_LOCK}: {reason}", HOW_TO_LOCK)]
    if not lines:
        return [Problem("requirements", path, f"{A_LOCK}; there is none in it", "remove the argument")]
    return [*_loose(lines), *_clashes(lines, versions(ours))]


def versions(lock: Path) -> dict[str, str]:
    """Return the version of each package in a lock file, by its name as indexes write it."""
    return dict(_pinned(_requirements(lock.read_text("utf-8"))))


def _requirements(text: str) -> Iterator[str]:
    """Yield what a lock asks for, each on one line."""
    for line in text.replace("\\\n", " ").splitlines():
        asked = re.sub(r"(^|\s)#.*", "", line).strip()
        if asked:
            yield asked


def _pinned(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if found := PINNED.match(line):
            yield re.sub(r"[-_.]+", "-", found["name"]).lower(), found["version"]


def _loose(lines: Iterable[str]) -> Iterator[Problem]:
    for line in lines:
        asked = line.partition(" --hash")[0]
        if option := OPTION.match(line):
            # What comes behind it may be a password, and another file would not be looked at for changes.
            allowed = "packages alone; tell pip itself where they come from (PIP_INDEX_URL)"
            yield Problem("requirements", option[0], allowed, "remove it from the file")
        elif ";" in asked:
            allowed = "the packages of the function's Python alone, without conditions"
            yield Problem("requirements", asked, allowed, HOW_TO_LOCK)
        elif not PINNED.fullmatch(line) or WEAK.search(line):
            yield Problem("requirements", asked, "an exact version (==) with its hashes", HOW_TO_LOCK)


def _clashes(lines: Iterable[str], ours: dict[str, str]) -> Iterator[Problem]:
    for name, version in _pinned(lines):
        if ours.get(name, version) != version:
            yield Problem(
                "requirements",
                f"{name}=={version}",
                f"{name}=={ours[name]}, which the function has already",
                f"lock that version, or leave it out: uv pip compile ... --no-emit-package {name}",
            )
