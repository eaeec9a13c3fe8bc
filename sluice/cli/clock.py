"""Times as an operator reads them."""

from datetime import datetime


def local_time(when: str) -> str:
    """Return an ISO 8601 time on the operator's own clock, to the second."""
    return datetime.fromisoformat(when).astimezone().strftime("%Y-%m-%d %H:%M:%S")
