"""What SQS calls things and how much it takes, for all who send messages on ("Amazon SQS message quotas")."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

FIFO_SUFFIX = ".fifo"
"""What the names, the ARNs and the URLs of FIFO queues end with."""
MOST_ATTRIBUTES = 10
"""Of one message."""
MOST_ENTRIES = 10
"""Of one batch call."""
TRACE: Final = "AWSTraceHeader"
"""The one system attribute that a sender may set."""

Each = TypeVar("Each")


def in_batches(items: Sequence[Each]) -> Iterator[Sequence[Each]]:
    """Yield the parts that batch calls take, in order."""
    for start in range(0, len(items), MOST_ENTRIES):
        yield items[start : start + MOST_ENTRIES]
