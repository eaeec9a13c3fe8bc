from collections.abc import Iterator
from pathlib import Path

import pytest

from local.emulator import ROOT
from local.say import Say
from local.stack import LocalAws, LocalStack, local_aws

from .support import fresh


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with local_aws(Say(quiet=True), folder=tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(scope="session")
def dev(cloud: LocalAws) -> LocalStack:
    return fresh(cloud, "dev")


@pytest.fixture(scope="session")
def door(cloud: LocalAws) -> LocalStack:
    """A stack that is open to everybody."""
    return fresh(cloud)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of its own, so that a run of the command leaves no files in the real one."""
    for entry in ROOT.iterdir():
        if entry.name not in {".git", ".local"}:
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path
