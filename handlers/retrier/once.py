"""Makes a call with an idempotency key only once: Powertools' idempotency, and waiting for who is at it."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyItemAlreadyExistsError,
    IdempotencyPersistenceLayerError,
    IdempotencyValidationError,
)
from botocore.config import Config

from .machines import identity, is_final
from .outcomes import Code, Json
from .replies import Refusal

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

BEING_MADE = (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyItemAlreadyExistsError,
)
"""What Powertools says where another run is at the call, or just was."""
PREFIX = "call"
"""Of every key: Powertools' own is the function's name, which changes when the function is replaced."""
SOON = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
POLL_SECONDS = 0.5
ROOM_MS = 2000
"""Time to answer in, at the end of an invocation."""


class _NotFinalError(Exception):
    """An outcome that is not kept: the same call may be made again."""


class Once:
    """Runs calls by their idempotency keys, and keeps their final outcomes."""

    _run: Callable[[Json], Json]
    _outcome: Json | None
    _context: "LambdaContext"

    def __init__(
        self, table: str, kept_seconds: int, run_seconds: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Say where outcomes are kept, and for how long.

        Args:
            table: where.
            kept_seconds: for how long.
            run_seconds: how long a run may take; none is begun with less time.
            sleep: waits.
        """
        self._sleep = sleep
        self._run_ms = run_seconds * 1000
        self._config = IdempotencyConfig(
            event_key_jmespath="key",
            payload_validation_jmespath="same",
            raise_on_no_idempotency_key=True,
            expires_after_seconds=kept_seconds,
            hash_function="sha256",
        )

        def run(*, call: Json) -> Json:
            if self._context.get_remaining_time_in_millis() < self._run_ms:
                raise Refusal(Code.IN_PROGRESS, "no time is left to make the call", POLL_SECONDS)
            self._outcome = self._run(call["call"])
            if not is_final(self._outcome):
                raise _NotFinalError
            return self._outcome

        self._kept: Callable[..., Json] = idempotent_function(
            run,
            data_keyword_argument="call",
            persistence_store=DynamoDBPersistenceLayer(table_name=table, boto_config=SOON),
            config=self._config,
            key_prefix=PREFIX,
        )

    def __call__(
        self, call: Json, caller: str, context: "LambdaContext", run: Callable[[Json], Json]
    ) -> tuple[Json, bool]:
        """Return a call's outcome, and whether it is that of a run before.

        Raises:
            Refusal: if the key is another call's, or the run that is at it does not end in time.
        """
        self._config.register_lambda_context(context)
        self._run, self._outcome, self._context = run, None, context
        told = {"key": [caller, call["idempotency_key"]], "same": identity(call), "call": call}
        while True:
            try:
                outcome = self._kept(call=told)
            except IdempotencyValidationError:
                raise Refusal(Code.REUSED, "this idempotency key belongs to another call") from None
            except BEING_MADE:
                self._wait(context)
            except _NotFinalError:
                return self._ran(), False
            except IdempotencyPersistenceLayerError as error:
                if self._outcome is None:
                    raise Refusal(Code.BUSY, "it is not known whether this call was made", 1) from error
                # It was made, and only keeping its outcome failed.
                return self._outcome, False
            else:
                return outcome, self._outcome is None

    def _ran(self) -> Json:
        assert self._outcome is not None  # noqa: S101 - it is what was not final
        return self._outcome

    def _wait(self, context: "LambdaContext") -> None:
        """Wait a little for who is making the same call."""
        if context.get_remaining_time_in_millis() < ROOM_MS:
            raise Refusal(Code.IN_PROGRESS, "the call of this idempotency key is being made", POLL_SECONDS)
        self._sleep(POLL_SECONDS)
