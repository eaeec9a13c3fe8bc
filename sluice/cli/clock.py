"""Times as an operator reads them."""

from datetime import UTC, datetime


def local_time(when: str) -> str:
    """Return an ISO 8601 time on the operator's own clock, to the second."""
    return datetime.fromisoformat(when).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def utc(milliseconds: int) -> str:
    """Return a time in milliseconds since 1970 as programs read it, in ISO 8601."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
