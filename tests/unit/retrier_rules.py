from typing import Any

from sluice.retrier.rules import Rules, Secret, Upstream

ALLOWED = "https://api.example.com"


def upstreams(*origins: str) -> tuple[Upstream, ...]:
    return tuple(Upstream(each, None) for each in origins)


def rules(*origins: str, **changes: Any) -> Rules:
    """Return the rules of a retrier that may call some origins, otherwise as it is by default."""
    given: dict[str, Any] = {
        "upstreams": upstreams(*(origins or (ALLOWED,))),
        "private_networks": (),
        "secrets": (),
        "statuses": (408, 425, 429, 500, 502, 503, 504),
        "failures": ("connection", "timeout", "lost"),
        "methods": ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"),
        "attempts": 5,
        "deadline_seconds": 60,
        "timeout_seconds": 20,
        "base_seconds": 1,
        "cap_seconds": 20,
        "shared_pause_seconds": 3600,
        "idempotency_header": "idempotency-key",
        "response_headers": ("content-type", "x-*"),
        "circuit": None,
    }
    return Rules(**{**given, **changes})


def secret(name: str, *origins: str, json_key: str | None = None) -> Secret:
    return Secret(name, origins or (ALLOWED,), json_key)
