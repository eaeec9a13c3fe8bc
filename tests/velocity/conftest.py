"""One process of each Velocity serves all tests."""

from collections.abc import Iterator

import pytest

from .apache_velocity import VERSIONS


@pytest.fixture(scope="session", autouse=True)
def _processes() -> Iterator[None]:
    """Skip all of this where there is no Java; in CI, let it fail."""
    if any(each.jars.cannot_be_had() for each in VERSIONS):
        pytest.skip("Apache Velocity needs a JDK and Maven.")
    yield
    for each in VERSIONS:
        each.stop()
