from collections.abc import Iterator
from pathlib import Path

import pytest

from local.emulator import ROOT
from local.say import Say
from local.stack import LocalAws, LocalStack, local_aws

from .doors import behind, guarded, shop, shown  # noqa: F401 - fixtures
from .support import Visitor, enforce, fresh, operator_of, wait_every

SECONDS_MATTER = {"limited", "_soon_free"}
"""Who asks for one of these sees within how many seconds clients are blocked and free again."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what looks at the clock, so that it can have the machine to itself."""
    for item in items:
        if isinstance(item, pytest.Function) and SECONDS_MATTER.intersection(item.fixturenames):
            item.add_marker(pytest.mark.clock)


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


SHORT, LONG = 10, 200
"""The limits of ``limited``, in 8 and in 60 seconds."""


@pytest.fixture(scope="session")
def limited(cloud: LocalAws) -> LocalStack:
    """A stack that blocks for seconds, whose functions have started."""
    stack = fresh(
        cloud,
        "limits",
        limiter={
            "windows": [
                {"name": "short", "limit": SHORT, "length_seconds": 8},
                {"name": "long", "limit": LONG, "length_seconds": 60},
            ],
            "overrides": [{"network": "192.0.2.0/28", "limits": {"long": 14}}],
            "allow": ["198.51.100.192/26", "2001:db8:a::/48"],
            "uncounted_statuses": ["429", "5xx", "415"],
        },
    )
    first = "192.0.2.250"
    Visitor.at(cloud, stack, first).send()
    enforce(cloud, stack)
    operator = operator_of(cloud, stack)
    assert wait_every(0.1, 10, lambda: operator.explain(first).standings[-1].count == 1)
    return stack


@pytest.fixture(scope="session")
def counting(cloud: LocalAws) -> LocalStack:
    """A stack that only counts what it would block, and counts each request five times."""
    return fresh(
        cloud,
        "limits",
        limiter={
            "count_only": True,
            "weights": {"/messages": 5},
            "windows": [{"name": "short", "limit": 10, "length_seconds": 60}],
        },
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of its own, so that a run of the command leaves no files in the real one."""
    for entry in ROOT.iterdir():
        if entry.name not in {".git", ".local"}:
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path
