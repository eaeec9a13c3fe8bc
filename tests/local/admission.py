"""What the tests of who is let in want of a front door, and see of it."""

from collections.abc import Mapping

from local.demo_checks import wait_until
from sluice import access_log
from sluice.access_log import Line

from .doors import PAGE, Door
from .support import Reply, Values, log_texts

QUEUE = "kept"
OPEN_PATHS: Values = {"health_path": "health", "cors_origins": [PAGE]}
"""What a front door answers to everybody."""


def front_door(*routes: Values, **more: object) -> Values:
    """Return the settings of a front door whose messages stay in a queue."""
    # The consumer drains the first.
    queues = [{"name": "drained"}, {"name": QUEUE}]
    return {
        "queues": queues,
        "routes": [{**each, "queue": QUEUE} for each in routes],
        **OPEN_PATHS,
        **more,
    }


def line_of(door: Door, reply: Reply) -> Line:
    """Wait for the access log line of an answer."""
    group, uid = door.stack.outputs["access_log"], reply.headers["x-amzn-requestid"]

    def lines() -> list[Line]:
        return [
            each for each in map(access_log.parse, log_texts(door.cloud, group)) if each.request_id == uid
        ]

    (found,) = wait_until(lines, bool)
    return found


def answers_to_all(door: Door, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Return the statuses of the health path and of a browser's preflight for a path."""
    health = door.send("health", None, headers, "GET")
    preflight = door.send(path, None, {"Origin": PAGE, **(headers or {})}, "OPTIONS")
    return health.status, preflight.status
