"""Many calls at once: threads hide the network, and a failure does not keep the others from being done."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

WORKERS = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


def outcomes(
    do: Callable[[Item], Result], items: Iterable[Item], workers: int = WORKERS
) -> list[Result | Exception]:
    """Return what became of each item, in order: a result, or the exception that was raised instead."""

    def attempt(item: Item) -> Result | Exception:
        try:
            return do(item)
        except Exception as error:  # noqa: BLE001 - the caller tells of it, when the others are done
            return error

    listed = list(items)
    if min(workers, len(listed)) <= 1:
        return list(map(attempt, listed))
    with ThreadPoolExecutor(min(workers, len(listed))) as pool:
        return list(pool.map(attempt, listed))
