"""API Gateway's parameter mappings: where a parameter of a request or of an answer takes its value from.

("Data mapping expressions" in "Parameter mapping examples for REST APIs in API Gateway", API Gateway guide)
"""

from collections.abc import Mapping
from typing import Any

from .velocity import Request

RESPONSE_HEADER = "integration.response.header."
METHOD_HEADER = "method.response.header."
PARTS = 4
"""Of a parameter's full name."""


class ConfigurationError(Exception):
    """The API is deployed in a way that API Gateway answers with a 500 of its own."""


def literal(source: str) -> str:
    """Return the text of a quoted mapping expression."""
    if not is_literal(source):
        raise ConfigurationError(f"this stand-in maps quoted text only, not {source}")
    return source[1:-1]


def is_literal(source: str) -> bool:
    """Whether a mapping expression is quoted text."""
    return len(source) > 1 and source[0] == source[-1] == "'"


def request_value(source: str, request: Request, context: Mapping[str, Any]) -> str | None:
    """Return what a mapping expression for an integration's request comes to; nothing where that is absent.

    Raises:
        ConfigurationError: if it is no expression that is known here.
    """
    if is_literal(source):
        return literal(source)
    if source.startswith("context."):
        return _context_value(source.removeprefix("context."), context)
    return parameter(source, request)


def parameter(name: str, request: Request) -> str | None:
    """Return a parameter of a request by what a method calls it: ``method.request.header.X-Tenant``.

    Raises:
        ConfigurationError: if that is no name of a parameter.
    """
    place, last = name_of(name)
    match place:
        case "header":
            return header(request.headers, last)
        case "querystring":
            return request.query.get(last)
        case "path":
            return request.path.get(last)
        case _:
            raise ConfigurationError(f"this stand-in does not know the mapping expression {name}")


def name_of(parameter: str) -> tuple[str, str]:
    """Return where in a request or a call a parameter is, and its own name there, which may have dots."""
    parts = parameter.split(".", 3)
    return (parts[2], parts[3]) if len(parts) == PARTS and parts[1] == "request" else ("", parameter)


def method_headers(mappings: Mapping[str, str], service: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer: quoted text, or a header of the service's answer, if it is there."""
    headers = {}
    for target, source in mappings.items():
        if not source.startswith(RESPONSE_HEADER):
            value: str | None = literal(source)
        else:
            value = header(service, source.removeprefix(RESPONSE_HEADER))
        if value is not None:
            headers[target.removeprefix(METHOD_HEADER)] = value
    return headers


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header by its name in whatever case."""
    return {key.lower(): value for key, value in headers.items()}.get(name.lower())


def _context_value(path: str, context: Mapping[str, Any]) -> str | None:
    found: Any = context
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return None if found is None else str(found)
