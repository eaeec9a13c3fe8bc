import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from local.fresh import Fresh


class Source:
    def __init__(self) -> None:
        self.reads = 0
        self.fails = False
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def read(self) -> int:
        self.reads += 1
        assert self.may_go_on.wait(10)
        if self.fails:
            raise OSError("cannot be read")
        return self.reads


def run(work: Callable[[Source, Fresh[int]], Coroutine[Any, Any, None]], seconds: float = 60.0) -> None:
    source = Source()
    asyncio.run(work(source, Fresh(source.read, seconds)))


def test_nothing_is_read_again_before_its_time() -> None:
    async def work(source: Source, fresh: Fresh[int]) -> None:
        assert [await fresh.get() for _ in range(3)] == [1, 1, 1]

    run(work)


def test_what_is_too_old_is_read_again() -> None:
    async def work(source: Source, fresh: Fresh[int]) -> None:
        assert [await fresh.get() for _ in range(3)] == [1, 2, 3]

    run(work, seconds=0.0)


def test_all_who_ask_meanwhile_share_one_reading() -> None:
    async def work(source: Source, fresh: Fresh[int]) -> None:
        source.may_go_on.clear()
        waiting = [asyncio.create_task(fresh.get()) for _ in range(5)]
        await asyncio.sleep(0.01)
        source.may_go_on.set()
        assert await asyncio.gather(*waiting) == [1] * 5

    run(work)


def test_one_who_stops_waiting_does_not_stop_the_others() -> None:
    async def work(source: Source, fresh: Fresh[int]) -> None:
        source.may_go_on.clear()
        first, second = asyncio.create_task(fresh.get()), asyncio.create_task(fresh.get())
        await asyncio.sleep(0.01)
        first.cancel()
        source.may_go_on.set()
        assert await second == 1

    run(work)


def test_what_could_not_be_read_is_read_again_at_once() -> None:
    async def work(source: Source, fresh: Fresh[int]) -> None:
        source.fails = True
        with pytest.raises(OSError, match="cannot be read"):
            await fresh.get()
        source.fails = False
        assert await fresh.get() == 2

    run(work)
