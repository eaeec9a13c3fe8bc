"""Handles a message once, however often it comes: Powertools' idempotency, on a table of its own."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyKeyError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from botocore.config import Config

PREFIX = "message"
"""Of every key: Powertools' own is the function's name, which changes when the function is replaced."""


@dataclass(frozen=True)
class Sameness:
    """What makes two messages the same."""

    key: str
    payload: str
    expires_after_seconds: int

    @classmethod
    def loads(cls, text: str) -> "Sameness":
        """Return what the function's environment says."""
        return cls(**json.loads(text))


class Attempts(DynamoDBPersistenceLayer):
    """Powertools' table, which also tells of attempts that never came to an end.

    One that is killed leaves its record in progress. The next takes that over, and DynamoDB returns it.
    """

    def __init__(self, table: str, config: "Config", on_interrupted: Callable[[], None]) -> None:
        super().__init__(table_name=table, boto_config=config)
        self._on_interrupted = on_interrupted
        events = self.client.meta.events
        events.register("before-parameter-build.dynamodb.PutItem", _ask_for_the_old)
        events.register("after-call.dynamodb.PutItem", self._look_at_the_old)

    def _get_hashed_idempotency_key(self, data: dict[str, Any]) -> str | None:
        with unfit("key"):
            return super()._get_hashed_idempotency_key(data)

    def _get_hashed_payload(self, data: dict[str, Any]) -> str:
        with unfit("payload"):
            return super()._get_hashed_payload(data)

    def _look_at_the_old(self, parsed: dict[str, Any], **_: object) -> None:
        if parsed.get("Attributes", {}).get(self.status_attr, {}).get("S") == "INPROGRESS":
            self._on_interrupted()


@contextmanager
def unfit(what: str) -> Iterator[None]:
    """Say of a record in which nothing can be looked up that it has no key, and nothing of what it holds."""
    try:
        yield
    except IdempotencyKeyError:
        raise
    except Exception as error:  # noqa: BLE001 - what is in a body breaks JSON, base64, gzip and JMESPath alike
        raise IdempotencyKeyError(f"the {what} cannot be looked up ({type(error).__name__})") from None


def _ask_for_the_old(params: dict[str, Any], **_: object) -> None:
    params["ReturnValues"] = "ALL_OLD"


class Once:
    """Calls a record handler unless the record was handled before."""

    def __init__(
        self,
        handle: "Callable[[SQSRecord], object]",
        table: str,
        config: "Config",
        sameness: Sameness,
        on_interrupted: Callable[[], None],
    ) -> None:
        self._config = IdempotencyConfig(
            event_key_jmespath=sameness.key,
            payload_validation_jmespath=sameness.payload,
            raise_on_no_idempotency_key=True,
            expires_after_seconds=sameness.expires_after_seconds,
            hash_function="sha256",
        )
        self._ran = False

        def run(*, record: "SQSRecord") -> None:
            self._ran = True
            # What it returns is of no use, and may be nothing that a table can keep.
            handle(record)

        self._run: Callable[..., None] = idempotent_function(
            run,
            data_keyword_argument="record",
            persistence_store=Attempts(table, config, on_interrupted),
            config=self._config,
            key_prefix=PREFIX,
        )

    def begin(self, context: "LambdaContext") -> None:
        """Take the time that is left for how long an attempt can be in progress."""
        self._config.register_lambda_context(context)

    def __call__(self, record: "SQSRecord") -> bool:
        """Handle a record, and return whether that was to be done.

        Raises:
            IdempotencyAlreadyInProgressError: if another attempt is at work on it.
            IdempotencyKeyError: if the record has no key.
            IdempotencyValidationError: if it has a known key and another payload.
        """
        self._ran = False
        self._run(record=record)
        return self._ran
