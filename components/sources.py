"""Where a value comes from in a request: a text such as ``header.X-Tenant``, and the VTL that reads it.

The text follows the parameter mapping of HTTP APIs ("Transform API requests and responses for HTTP APIs in
API Gateway"), less its punctuation.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote_plus

from sluice import access_log

CLAIMS = "claims."
VALUE = "$value"
"""The template variable that holds what was read; empty where there is nothing."""
HEADERS = (
    "#set($headers = {})#foreach($each in $input.params().header.keySet())"
    "#set($none = $headers.put($each.toLowerCase(), $input.params().header.get($each)))#end"
)
"""Makes ``$headers``, by names in lower case. ``$input.params(name)`` would also look into path and query, so
that a caller could write a value that is said to be a header."""

CONTEXT = {
    "api_key_id": "$!context.identity.apiKeyId",
    "domain": "$!context.domainName",
    "method": "$!context.httpMethod",
    "request_id": "$!context.requestId",
    "route": "$!context.resourcePath",
    "stage": "$!context.stage",
    "time": "$!context.requestTimeEpoch",
    "trace_id": "$!context.xrayTraceId",
    "user_agent": "$!context.identity.userAgent",
    "user_arn": "$!context.identity.userArn",
}
"""What API Gateway itself knows of a request, by our names; ``time`` is in milliseconds since 1970, and
``user_arn`` is who signed it."""
PRINCIPAL = "principal"
ADDRESS = "source_ip"
OF_THE_CALLER = (PRINCIPAL, ADDRESS)
"""What depends on how callers are let in, and through what they come."""


@dataclass(frozen=True)
class Caller:
    """The variables that say who calls, and from where: the same for messages and for the access log."""

    principal: str = access_log.PRINCIPAL
    address: str = access_log.ADDRESS

    def named(self, name: str) -> str:
        """Return the variable for one of `OF_THE_CALLER`, as a template reads it."""
        return f"$!{(self.address if name == ADDRESS else self.principal).removeprefix('$')}"


DIRECT = Caller()


class Kind(StrEnum):
    """The parts of a request that a value can come from."""

    HEADER = "header"
    PATH = "path"
    QUERY = "query"
    BODY = "body"
    CONTEXT = "context"
    TEXT = "text"


PARAMETER = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""The names that a mapping expression of API Gateway takes, less ``$``."""
NAMES = {
    Kind.HEADER: PARAMETER,
    Kind.PATH: re.compile(r"[A-Za-z0-9._-]{1,53}"),
    Kind.QUERY: PARAMETER,
    Kind.BODY: re.compile(r"[A-Za-z_][\w-]*(\[\d{1,4}\])*(\.[A-Za-z_][\w-]*(\[\d{1,4}\])*)*", re.ASCII),
    Kind.CONTEXT: re.compile(
        rf"{'|'.join([*CONTEXT, *OF_THE_CALLER])}"
        r"|authorizer\.[A-Za-z_]\w{0,63}|claims\.[A-Za-z_][\w:]{0,63}",
        re.ASCII,
    ),
    Kind.TEXT: re.compile(r"[\x20-\x7e]{1,256}"),
}
ALLOWED = (
    "header.NAME, path.NAME, query.NAME, body.NAME (with . and [0] to reach further in), text.ANYTHING, "
    "context.authorizer.NAME, context.claims.NAME (Cognito's), or context. and one of "
    f"{', '.join(sorted([*CONTEXT, *OF_THE_CALLER]))}"
)


IDENTITIES = {
    "source_ip": "context.identity.sourceIp",
    "method": "context.httpMethod",
    "route": "context.resourcePath",
}
"""What of a request's context an authorizer's decision may depend on, by our names ("Use API Gateway Lambda
authorizers")."""
WRITTEN_BY_CALLERS = (Kind.HEADER, Kind.PATH, Kind.QUERY, Kind.BODY)


@dataclass(frozen=True)
class Source:
    """One place in a request."""

    kind: Kind
    name: str

    @property
    def fixed(self) -> str | None:
        """The value as a form holds it, where it is the same for every request."""
        return quote_plus(self.name) if self.kind is Kind.TEXT else None

    @property
    def theirs(self) -> bool:
        """Whether the caller decides what it holds, and is at fault where that is no good."""
        return self.kind in WRITTEN_BY_CALLERS or (self.kind, self.name) == (Kind.CONTEXT, "user_agent")

    @property
    def declared(self) -> str | None:
        """What a method calls this parameter; nothing for what is no parameter."""
        places = {Kind.HEADER: "header", Kind.PATH: "path", Kind.QUERY: "querystring"}
        return f"method.request.{places[self.kind]}.{self.name}" if self.kind in places else None

    @property
    def identity(self) -> str | None:
        """What an authorizer calls this identity source; nothing for what cannot be one."""
        if self.declared and self.kind is not Kind.PATH:
            return self.declared
        return IDENTITIES.get(self.name) if self.kind is Kind.CONTEXT else None

    def reading(self, root: str = "$", caller: Caller = DIRECT) -> str:
        """Return the VTL that puts the value into `VALUE`.

        Args:
            root: the JSON path of the message in the body, as text in a VTL string.
            caller: the variables that say who calls.
        """
        match self.kind:
            case Kind.HEADER:
                return _set(f"$!headers.get('{self.name.lower()}')")
            case Kind.PATH:
                return _set(f"$!input.params().path.get('{self.name}')")
            case Kind.QUERY:
                return _set(f"$!input.params().querystring.get('{self.name}')")
            case Kind.BODY:
                return _set_from_body(f"{root}.{self.name}")
            case Kind.CONTEXT:
                return _set(_variable(self.name, caller))
            case Kind.TEXT:
                return _set(self.name)


def parse(text: object) -> Source | None:
    """Return the source that a text names; nothing where it names none."""
    if not isinstance(text, str):
        return None
    kind, _, name = text.partition(".")
    if kind not in list(Kind) or not NAMES[Kind(kind)].fullmatch(name):
        return None
    return Source(Kind(kind), name)


def _variable(name: str, caller: Caller) -> str:
    """Return the variable that holds a part of the context."""
    if name in OF_THE_CALLER:
        return caller.named(name)
    if name.startswith(CLAIMS):
        return f"$!context.authorizer.claims['{name.removeprefix(CLAIMS)}']"
    return CONTEXT.get(name) or f"$!context.{name}"


def _set(value: str) -> str:
    # In quotes: an absent value becomes an empty text, a number or a truth value becomes its digits or word.
    return f'#set($value = "{value}")'


def _set_from_body(path: str) -> str:
    """Return the VTL for a JSON value: a string as it is, anything else as JSON, null as nothing."""
    return (
        f'#set($at = "{path}")#set($value = "$!input.path($at)")'
        '#if($value != "")#set($json = $input.json($at))'
        "#if($json.startsWith('\"'))#else#set($value = $json)#end#end"
    )
