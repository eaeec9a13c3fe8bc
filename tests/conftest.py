"""What holds for all tests, in one process or in several."""

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples everywhere, and never a look at the clock.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

TESTS = Path(__file__).parent
ANYWHERE = {"unit", "component"}
"""Where each test can run in any process; those of other folders share what they started."""
LIMITED = {"test_limiter.py", "test_limiter_cli.py", "test_command.py"}
"""Tests on the local AWS that mostly wait: the others run beside them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let ``--dist loadgroup`` keep tests together that would each start a Java, an emulator or a build."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder == "velocity":
            # Other tests reach the same lines, and these render thousands of templates.
            item.add_marker(pytest.mark.no_cover)
        if folder not in ANYWHERE:
            group = f"{folder} limits" if item.path.name in LIMITED else folder
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish() -> None:
    """Collect garbage less often, and never again look at what was imported: it was a tenth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
