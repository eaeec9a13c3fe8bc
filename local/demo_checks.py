"""What the demo's parts share: one thing that was shown, and waiting for it."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .stack import LocalAws, LocalStack

PATIENCE_SECONDS = 30.0

Found = TypeVar("Found")


@dataclass(frozen=True)
class Check:
    """One thing that was shown, or not."""

    name: str
    ok: bool
    detail: dict[str, Any] = field(default_factory=dict)


def outcome(finding: Callable[[], Found]) -> Found | Check:
    """Return what a finding says; one that cannot be had does not hold, and does not stop the others."""
    try:
        return finding()
    except Exception as error:  # noqa: BLE001 - shown in the report
        return Check("a check that broke", ok=False, detail={"error": f"{type(error).__name__}: {error}"})


def wait_until(look: Callable[[], Found], enough: Callable[[Found], bool]) -> Found:
    """Look until it is enough, or patience ends; return what was seen last."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not enough(found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def recorded(local: LocalAws, stack: LocalStack) -> Counter[tuple[str, str]]:
    """Return what the recorder wrote: each message's id and body hash, as often as it was handled."""
    pages = (
        local.aws.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=stack.consumer["table"], ConsistentRead=True)
    )
    return Counter(
        {
            (item["id"]["S"], item["body_sha256"]["S"]): int(item["handled"]["N"])
            for page in pages
            for item in page["Items"]
            # But for the recorder's antidote.
            if "handled" in item
        }
    )
