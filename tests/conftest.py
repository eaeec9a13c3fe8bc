"""What holds for all tests, in one process or in several."""

import gc
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# The same examples everywhere, and never a look at the clock.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")

TESTS = Path(__file__).parent
TOGETHER = "storage"
"""What stays in one process as a whole, for the Java and the emulator that it shares."""
LONG = (
    *("storage", "package", "unit/test_limiter_machine"),
    *("local/test_limiter", "local/test_demo", "local/test_command", "local/test_refusing"),
    *("local/test_retrier", "local/test_rig_workflows"),
)
"""What comes first, so that no process is left with it at the end."""
UNCOVERED = (
    *("storage", "package/test_benchmarks", "unit/test_retrier_targets", "unit/test_retrier_upstream"),
    *("unit/test_velocity", "unit/test_request_template", "unit/test_answer_templates", "unit/test_standin"),
)
"""What is twice as fast when nobody keeps book, and costs the coverage some three points."""
TRACERS = pytest.StashKey[tuple[Any, Any]]()
"""What keeps book of the lines that run, in this thread and in new ones."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out whole files to processes, and those that share more all at once."""

    def _split_scope(self, nodeid: str) -> str:
        """Return what a test stays together with."""
        file = nodeid.partition("::")[0].removeprefix(f"{TESTS.name}/")
        return TOGETHER if file.startswith(TOGETHER) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Hand out files in the order in which they come."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


# First, before marks choose.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first, and mark those of which coverage need not know."""
    items.sort(key=lambda item: not is_among(item, LONG))
    for item in items:
        if is_among(item, UNCOVERED):
            item.add_marker(pytest.mark.uncovered)


def is_among(item: pytest.Item, places: tuple[str, ...]) -> bool:
    return item.path.relative_to(TESTS).as_posix().startswith(places)


def trace(here: Any, elsewhere: Any) -> None:
    sys.settrace(here)
    threading.settrace(elsewhere)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Keep book of tests alone: what pytest does between them would take half as long again."""
    tracers = session.config.stash[TRACERS] = sys.gettrace(), threading.gettrace()
    trace(None, None)
    try:
        return (yield)
    finally:
        trace(*tracers)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Keep book of a test, unless it is uncovered: pytest-cov's ``no_cover`` holds in one process alone."""
    if pyfuncitem.get_closest_marker("uncovered"):
        return (yield)
    trace(*pyfuncitem.config.stash[TRACERS])
    try:
        return (yield)
    finally:
        trace(None, None)


def pytest_collection_finish() -> None:
    """Collect garbage less often, and never again look at what was imported: it was a tenth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
