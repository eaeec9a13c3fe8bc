import asyncio
from collections.abc import Iterator
from contextlib import closing

import pulumi
import pytest


@pytest.fixture
def output() -> Iterator[pulumi.Output[str]]:
    with closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        given = pulumi.Output.from_input("secret")
        loop.run_until_complete(given.future())
        yield given
    asyncio.set_event_loop(None)
