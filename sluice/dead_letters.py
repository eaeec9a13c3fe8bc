"""Why a message was dead-lettered: what the consumer writes beside it, and an operator reads."""

import json
from dataclasses import asdict, dataclass

ATTRIBUTE = "deadLetterReason"
"""The message attribute that says why; its value is a `Reason` as JSON."""
LONGEST_MESSAGE = 500
"""Characters of an error's words that are kept."""


@dataclass(frozen=True)
class Reason:
    """Why a consumer gave a message up."""

    error: str
    """The class of what was raised, as ``module.Class``; a built-in one without its module."""
    message: str
    """What it said, or the beginning of it."""
    message_id: str
    """The message's id in the queue that it came from: in the dead-letter queue it has another."""
    receives: int
    """How often the queue had handed it over."""

    def dumps(self) -> str:
        """Return the attribute's value: ASCII alone, since SQS refuses some characters."""
        return json.dumps({**asdict(self), "message": self.message[:LONGEST_MESSAGE]})

    @classmethod
    def loads(cls, text: str) -> "Reason":
        """Return the reason in an attribute's value.

        Raises:
            ValueError: if it holds none.
        """
        try:
            given = json.loads(text)
            return cls(
                str(given["error"]),
                str(given["message"]),
                str(given["message_id"]),
                int(given["receives"]),
            )
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"no reason of a dead letter: {text[:100]!r}") from error
