"""API Gateway's request validation: required parameters first, then the body against its media type's model.

("Request validation for REST APIs in API Gateway", API Gateway guide)
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import mappings
from .velocity import Request

DEFAULT_TYPE = "application/json"
LONGEST_REASON = 1024
"""What fits into the header that carries it to the edge."""
ANY_TYPE = "$default"
"""Names the model of all other media types ("RequestModels", AWS::ApiGateway::Method)."""
NUMBERS = ["integer", "number"]
NOT_JSON = "[instance is not valid JSON]"


class RefusalError(Exception):
    """A request that API Gateway refuses before its integration: which gateway response it gets."""

    def __init__(self, fault: str, message: str, reason: str = "") -> None:
        """Keep what the gateway response tells.

        Args:
            fault: the type of the gateway response.
            message: its ``$context.error.message``.
            reason: its ``$context.error.validationErrorString``.
        """
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.reason = reason


@dataclass(frozen=True)
class Checks:
    """What a method's validator checks."""

    parameters: Sequence[str] = ()
    """The parameters that must be there, as a method names them: ``method.request.header.X-Tenant``."""
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The body's schema by media type; a body of any other type is not looked at."""


READS_JSON = re.compile(r"\$!?\{?input\.(path|json)\(")
UNREADABLE = "Could not parse request body into json"


def check_readable(request: Request, template: str) -> None:
    """Let a body pass that a template can read: one of which it looks up paths has to be JSON.

    Raises:
        RefusalError: if it cannot be read.
    """
    if not READS_JSON.search(template) or not request.body:
        return
    try:
        json.loads(request.body)
    except (ValueError, RecursionError):
        raise RefusalError("BAD_REQUEST_BODY", UNREADABLE) from None


def check(request: Request, checks: Checks) -> None:
    """Let a valid request pass.

    Raises:
        RefusalError: if it is not valid.
    """
    if missing := [each for each in checks.parameters if not _has(request, each)]:
        names = ", ".join(mappings.name_of(each)[1] for each in missing)
        raise RefusalError("BAD_REQUEST_PARAMETERS", f"Missing required request parameters: [{names}]")
    schema = checks.schemas.get(media_type(request), checks.schemas.get(ANY_TYPE))
    if schema is not None and (reason := reason_against(request.body, schema)):
        raise RefusalError("BAD_REQUEST_BODY", "Invalid request body", reason)


def media_type(request: Request) -> str:
    """Return a request's media type, without its parameters; without any it counts as JSON."""
    given = mappings.header(request.headers, "content-type") or DEFAULT_TYPE
    return given.partition(";")[0].strip().lower()


def _has(request: Request, parameter: str) -> bool:
    """Whether a parameter is there and not blank."""
    return bool((mappings.parameter(parameter, request) or "").strip())


def reason_against(body: str, schema: Mapping[str, Any]) -> str:
    """Return why a body does not fit a schema, as API Gateway words it; an empty text if it does."""
    # Its import takes longer than a request, and most methods have no model.
    from jsonschema import Draft4Validator  # noqa: PLC0415

    try:
        instance = json.loads(body)
    except (ValueError, RecursionError):
        return NOT_JSON
    errors = sorted(Draft4Validator(schema).iter_errors(instance), key=lambda each: each.json_path)
    # In order, and each once.
    reasons = dict.fromkeys(
        reason_of(
            str(each.validator), Violation(each.instance, each.validator_value, each.schema, each.message)
        )
        for each in errors
    )
    return f"[{', '.join(reasons)}]"[:LONGEST_REASON] if reasons else ""


class Violation(NamedTuple):
    """One keyword of a schema that a value does not fit."""

    found: Any
    wanted: Any
    """What the keyword says."""
    schema: Any
    """The schema that the keyword is in."""
    message: str
    """The library's own words."""


def reason_of(keyword: str, violation: Violation) -> str:
    """Return one violation in the words of API Gateway's validator, where they are known."""
    worded = WORDINGS.get(keyword)
    return worded(violation) if worded else violation.message


def _required(violation: Violation) -> str:
    missing = [name for name in violation.wanted if name not in violation.found]
    return f"object has missing required properties ({_names(missing)})"


def _type(violation: Violation) -> str:
    wanted = violation.wanted if isinstance(violation.wanted, list) else [violation.wanted]
    allowed = {name for each in wanted for name in (NUMBERS if each == "number" else [each])}
    return (
        f"instance type ({_type_name(violation.found)}) does not match any allowed primitive type "
        f"(allowed: {_names(allowed)})"
    )


def _type_name(instance: object) -> str:
    names: dict[type, str] = {
        dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number",
    }  # fmt: skip
    return names.get(type(instance), "null")


def _additional(violation: Violation) -> str:
    # The library names them in its message only, in Python's own notation.
    known, patterns = (violation.schema.get(key) or {} for key in ("properties", "patternProperties"))
    extra = [
        name
        for name in violation.found
        if name not in known and not any(re.search(pattern, name) for pattern in patterns)
    ]
    return f"object instance has properties which are not allowed by the schema: {_names(extra)}"


def _enum(violation: Violation) -> str:
    possible = _json(violation.wanted)
    return f"instance value ({_json(violation.found)}) not found in enum (possible values: {possible})"


def _pattern(violation: Violation) -> str:
    wanted, found = _json(violation.wanted), _json(violation.found)
    return f"ECMA 262 regex {wanted} does not match input string {found}"


def _too_short(violation: Violation) -> str:
    found, least = len(violation.found), violation.wanted
    return f"string {_json(violation.found)} is too short (length: {found}, required minimum: {least})"


def _too_long(violation: Violation) -> str:
    found, most = len(violation.found), violation.wanted
    return f"string {_json(violation.found)} is too long (length: {found}, maximum allowed: {most})"


def _too_low(violation: Violation) -> str:
    if _exclusive(violation, "exclusiveMinimum"):
        return f"numeric instance is not strictly greater than the required minimum {violation.wanted}"
    least, found = _json(violation.wanted), _json(violation.found)
    return f"numeric instance is lower than the required minimum (minimum: {least}, found: {found})"


def _too_high(violation: Violation) -> str:
    if _exclusive(violation, "exclusiveMaximum"):
        return f"numeric instance is not strictly lower than the required maximum {violation.wanted}"
    most, found = _json(violation.wanted), _json(violation.found)
    return f"numeric instance is greater than the required maximum (maximum: {most}, found: {found})"


def _exclusive(violation: Violation, keyword: str) -> bool:
    """Whether a bound itself is out of bounds (a flag beside it in draft 4)."""
    return isinstance(violation.schema, Mapping) and bool(violation.schema.get(keyword))


def _too_few(violation: Violation) -> str:
    found, least = len(violation.found), violation.wanted
    return f"array is too short: must have at least {least} elements but instance has {found} elements"


def _too_many(violation: Violation) -> str:
    found, most = len(violation.found), violation.wanted
    return f"array is too long: must have at most {most} elements but instance has {found} elements"


def _repeated(_violation: Violation) -> str:
    return "array must not contain duplicate elements"


def _names(names: Sequence[str] | set[str]) -> str:
    return _json(sorted(names))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


WORDINGS: dict[str, Callable[[Violation], str]] = {
    "required": _required,
    "type": _type,
    "additionalProperties": _additional,
    "enum": _enum,
    "pattern": _pattern,
    "minLength": _too_short,
    "maxLength": _too_long,
    "minimum": _too_low,
    "maximum": _too_high,
    "minItems": _too_few,
    "maxItems": _too_many,
    "uniqueItems": _repeated,
}
"""By keyword; of any other keyword the words are not API Gateway's."""
