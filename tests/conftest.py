"""What holds for all tests, in one process or in several."""

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
ANYWHERE = {"unit", "component"}
"""Where each test can run in any process; those of other folders share what they started."""
UNCOVERED = {"velocity", "component/test_front_door", "component/test_limiter", "component/test_consumer"}
"""What reaches no line that others do not reach, and is twice as fast when nobody keeps book."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let ``--dist loadgroup`` keep tests together that would each start a Java, an emulator or a build."""
    for item in items:
        path = item.path.relative_to(TESTS)
        folder = path.parts[0]
        if any(path.as_posix().startswith(each) for each in UNCOVERED):
            item.add_marker(pytest.mark.no_cover)
        if folder not in ANYWHERE:
            item.add_marker(pytest.mark.xdist_group(folder))


def pytest_collection_finish() -> None:
    """Collect garbage less often, and never again look at what was imported: it was a tenth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
