"""Starts the emulator, inside the emulator's own environment, and ends it when its parent is gone.

The emulator's address stands for AWS's TLS endpoints, so every call counts as having come over TLS; one that
says ``x-forwarded-proto: http`` is what AWS sees of a client without TLS. And the edge is no client: an API
is called by whom it names.
"""

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import emulator_alarms  # type: ignore[import-not-found]  # siblings: this file is run by its path
import emulator_arrival  # type: ignore[import-not-found]
import emulator_callers  # type: ignore[import-not-found]
import emulator_egress  # type: ignore[import-not-found]
import emulator_errors  # type: ignore[import-not-found]
import emulator_gateway  # type: ignore[import-not-found]
import emulator_iam  # type: ignore[import-not-found]
import emulator_layers  # type: ignore[import-not-found]
import emulator_logs  # type: ignore[import-not-found]
import emulator_measuring  # type: ignore[import-not-found]
import emulator_moves  # type: ignore[import-not-found]
import emulator_sqs  # type: ignore[import-not-found]
import emulator_urls  # type: ignore[import-not-found]
import emulator_waf  # type: ignore[import-not-found]
import emulator_workflows  # type: ignore[import-not-found]
import ministack.app

Scope = MutableMapping[str, Any]
Channel = Callable[..., Awaitable[Any]]
PROTOCOL = b"x-forwarded-proto"

emulator = ministack.app.app


async def serve(scope: Scope, receive: Channel, send: Channel) -> None:
    """Serve one call as AWS sees it."""
    if scope["type"] == "http":
        emulator_arrival.note(scope)
        emulator_measuring.note_loop()
        if PROTOCOL not in dict(scope["headers"]):
            scope["headers"] = [*scope["headers"], (PROTOCOL, b"https")]
    await emulator(scope, receive, send)


def end_with_parent() -> None:
    """End the whole group when the parent closes our standard input, however the parent ended."""
    sys.stdin.read()
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    emulator_alarms.install()
    emulator_waf.install()
    emulator_iam.install()
    emulator_layers.install()
    emulator_logs.install()
    emulator_sqs.install()
    emulator_moves.install()
    emulator_gateway.install()
    emulator_callers.install()
    emulator_errors.install()
    emulator_egress.install()
    emulator_workflows.install()
    emulator_urls.install()
    ministack.app.app = serve
    ministack.app.main()
