"""API Gateway's mapping templates: Velocity with ``$input``, ``$util``, ``$context``, ``$stageVariables``.

("API Gateway mapping template and access logging variable reference", API Gateway guide)
"""

import base64
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from . import engine

JSON_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\['([^']*)'\]")


class TemplateError(ValueError):
    """A template cannot be rendered here: it is wrong, or uses what this stand-in does not know."""


@dataclass(frozen=True)
class Request:
    """What a template can read of the request."""

    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rendered:
    """What a template came to."""

    text: str
    status: int | None
    """The status that it set in place of the response's own."""
    headers: Mapping[str, str]
    """The headers that it set."""


def render(
    template: str,
    request: Request,
    context: Mapping[str, Any],
    stage_variables: Mapping[str, str] | None = None,
) -> Rendered:
    """Render a mapping template.

    Raises:
        TemplateError: where API Gateway would answer 500, or where a template asks for what is not known
            here. A reference to nothing is no such place: it is left out, as API Gateway does, though
            Velocity's documentation has it printed as it stands. Write ``$!x``, on which all agree.
    """
    override: dict[str, Any] = {"status": None, "header": {}}
    scope = {
        "input": Input(request),
        "util": Util(),
        "context": {**context, "responseOverride": override},
        "stageVariables": dict(stage_variables or {}),
    }
    try:
        text = engine.merge(template, scope)
        status = int(override["status"]) if override["status"] is not None else None
    except Exception as error:
        raise TemplateError(f"{type(error).__name__}: {error}") from error
    headers = {name: engine.text_of(value) for name, value in override["header"].items() if value is not None}
    return Rendered(text, status, headers)


class Input:
    """``$input``."""

    def __init__(self, request: Request) -> None:
        """Read from a request."""
        self._request = request
        # API Gateway hands an empty body to templates as an empty object, whatever its type.
        self.body = request.body or "{}"

    def path(self, expression: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the object at a JSON path, or nothing."""
        return json_path(self.body, expression)

    def json(self, expression: str) -> str:
        """Return the JSON of what is at a JSON path; an absent value is an empty string."""
        found = json_path(self.body, expression)
        return _json_of(found if found is not None else "")

    def params(self, name: str | None = None) -> Any:  # noqa: ANN401 - a value, or the map of all
        """Return a parameter by name, looked for in path, query and headers, or the map of all."""
        request = self._request
        if name is None:
            return {
                "path": dict(request.path),
                "querystring": dict(request.query),
                "header": dict(request.headers),
            }
        lowered = {key.lower(): value for key, value in request.headers.items()}
        return request.path.get(name) or request.query.get(name) or lowered.get(name.lower()) or ""


class Util:
    """``$util``; the names are API Gateway's. Only text finds these methods: put anything else in quotes."""

    def urlEncode(self, text: str) -> str:  # noqa: N802
        """Encode for a form (Java's URLEncoder: a space is ``+``, half a surrogate pair is ``?``)."""
        encoded = urllib.parse.quote_plus(_checked(text), safe="*-._", errors="replace")
        return encoded.replace("~", "%7E")

    def urlDecode(self, text: str) -> str:  # noqa: N802
        """Decode what a form holds."""
        return urllib.parse.unquote_plus(_checked(text))

    def base64Encode(self, text: str) -> str:  # noqa: N802
        """Encode in base 64."""
        return base64.b64encode(_checked(text).encode(errors="replace")).decode()

    def base64Decode(self, text: str) -> str:  # noqa: N802
        """Decode from base 64."""
        return base64.b64decode(_checked(text), validate=True).decode(errors="replace")

    def escapeJavaScript(self, text: str) -> str:  # noqa: N802
        """Escape for a JavaScript string (single quotes too, as API Gateway does)."""
        # The one character that JSON escapes here and Java does not.
        escaped = "\x7f".join(json.dumps(part)[1:-1] for part in _checked(text).split("\x7f"))
        return _capital_escapes(escaped).replace("'", "\\'").replace("/", "\\/")

    def parseJson(self, text: str) -> Any:  # noqa: ANN401, N802
        """Return the object that a JSON text tells of."""
        return _parsed(_checked(text))


def json_path(text: str, expression: str) -> Any:  # noqa: ANN401 - any JSON
    """Return what is at a path of names and indexes; nothing where there is none or the text is no JSON."""
    if not expression.startswith("$"):
        raise TemplateError(f"not a JSON path: {expression}")
    try:
        found = _parsed(text)
    except (ValueError, RecursionError):
        return None
    position = 1
    while position < len(expression):
        step = JSON_STEP.match(expression, position)
        if step is None:
            raise TemplateError(f"this stand-in knows names and indexes only, not {expression}")
        position = step.end()
        name, index, quoted = step.groups()
        found = _step(found, int(index) if index else name or quoted)
    return found


def _step(found: Any, key: str | int) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(key, int):
        return found[key] if isinstance(found, list) and key < len(found) else None
    return found.get(key) if isinstance(found, dict) else None


def _parsed(text: str) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(text, parse_constant=_no_json)


def _no_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _json_of(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return JSON as Java's Jackson writes it."""
    return _capital_escapes(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _capital_escapes(text: str) -> str:
    r"""Return JSON with ``\u001F`` in place of ``\u001f``."""
    return re.sub(r"\\u(....)|\\.", lambda each: f"\\u{each[1].upper()}" if each[1] else each[0], text)


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise TemplateError(f"$util takes text only, not {text!r}")
    return text
