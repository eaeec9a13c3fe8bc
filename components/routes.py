"""What a front door serves, as arguments and as values: where a request goes and what becomes of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict, cast

from sluice import access_log
from sluice.sqs import MOST_ATTRIBUTES, MOST_ENTRIES

from . import arguments, json_schema, sources
from .arguments import Problem
from .sources import Kind, Source
from .templates import BUILT_IN, Answer, Message

JSON = "application/json"
PATH = "messages"
POST, GET = "POST", "GET"
VERBS = (POST, "PUT", "PATCH")
CONTENT_TYPES = (JSON,)
SUCCESS = 202
SUCCESSES = (200, 201, 202, 204)
LONGEST_DELAY_SECONDS = 900
MOST_REQUESTS = 100_000
MOST_ROUTES = 100
LONGEST_CACHE_TTL_SECONDS = 3600
CACHE_TTL_SECONDS = 0
BACKEND_TIMEOUT_MS = 29_000

LONGEST_PATH = access_log.LONGEST_ROUTE - 1
LITERAL = r"(?!\.{1,2}(/|$))[A-Za-z0-9._:-]+"
PARAMETER = r"\{[A-Za-z0-9._-]+\}"
SEGMENT = rf"({LITERAL}|{PARAMETER})"
PATH_PATTERN = re.compile(rf"(?=.{{1,{LONGEST_PATH}}}$){SEGMENT}(/{SEGMENT})*")
PATH_ALLOWED = (
    "segments of letters, digits and . _ : -, or {parameters}, with / between, "
    f"at most {LONGEST_PATH} characters in all"
)
LITERAL_ALLOWED = PATH_ALLOWED.replace(", or {parameters}", "")
LITERAL_PATH = re.compile(rf"(?=.{{1,{LONGEST_PATH}}}$){LITERAL}(/{LITERAL})*")
CONTENT_TYPE_PATTERN = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
CONTENT_TYPE_ALLOWED = "a list of media types in lower case, without parameters, at least one"
ATTRIBUTE_NAME = re.compile(
    r"(?!(?i:aws|amazon)\.)(?!.*\.\.)[A-Za-z0-9_-]([A-Za-z0-9_.-]{0,254}[A-Za-z0-9_-])?"
)
PARAMETER_NAME = sources.NAMES[Kind.QUERY]
BACKEND_URL = re.compile(
    r"(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:\d{1,5})?(/[\w.~%{}/-]*)?", re.ASCII
)
NOT_PASSED_ON = (
    "connection", "content-length", "expect", "host", "if-match", "if-modified-since", "if-none-match",
    "if-range", "if-unmodified-since", "range", "te", "trailer", "transfer-encoding", "upgrade", "via",
)  # fmt: skip
"""Headers that API Gateway keeps for itself, or whose answer (304, 206) could not be told or cached."""


ID = re.compile(r"[!-~]{1,128}")
"""What SQS takes as a group id or deduplication id ("SendMessage", API reference)."""
HEADER = "method.request.header."


class RouteArgs(TypedDict):
    """One path and method that puts what it is sent into a queue."""

    path: str
    """The path: one or more segments, ``{name}`` for a parameter, at most 53 characters in all, so that a
    line of the access log stays short."""
    method: NotRequired[str]
    """``POST``, ``PUT`` or ``PATCH``. Default: ``POST``."""
    queue: NotRequired[str]
    """Which of ``queues`` gets the messages, by name. Default: the first, or the only one."""
    content_types: NotRequired[list[str]]
    """The media types that are taken; any other is answered 415. Default: ``["application/json"]``."""
    schema: NotRequired[dict[str, Any]]
    """A JSON schema (draft 4) that a body must fit, whatever its content type; what does not is answered 400
    with the validator's message. Default: none."""
    required_headers: NotRequired[list[str]]
    """Headers without which a request is answered 400. Default: none."""
    required_query: NotRequired[list[str]]
    """Query parameters without which a request is answered 400. Default: none."""
    attributes: NotRequired[dict[str, str]]
    """Message attributes by name, each with where its value comes from: ``header.NAME``, ``path.NAME``,
    ``query.NAME``, ``body.NAME``, ``context.NAME`` or ``text.ANYTHING``. One whose value is absent is left
    out. Every message also carries ``requestId``, ``sourceIp`` and, with an authorizer, ``principal``; all
    together are at most 10. Default: none."""
    group_id: NotRequired[str]
    """Where the message group id comes from; a FIFO queue needs one, and another queue is fair between groups
    with it. Default: none."""
    deduplication_id: NotRequired[str]
    """Where the deduplication id comes from, for a FIFO queue without content-based deduplication.
    Default: none."""
    delay_seconds: NotRequired[int]
    """How long a message stays invisible at first, in seconds, 0 to 900; not for a FIFO queue. Default: the
    queue's own, 0."""
    trace_header: NotRequired[bool]
    """Whether the trace of a request goes on with the message (needs ``tracing``). Default: false."""
    batch: NotRequired[bool]
    """Whether the body is a JSON array of 1 to 10 messages, each of which becomes a message of its own; with
    ``schema`` each must fit it. Default: false."""
    answer: NotRequired[Answer]
    """What a caller reads when its message was accepted: ``summary`` is ``{"messageId", "requestId"}``,
    ``sqs`` is SQS's own answer. Default: ``summary``."""
    success_status: NotRequired[int]
    """The status of that answer, 200, 201, 202 or 204 (which has no body). Default: 202."""
    throttle_rate: NotRequired[int]
    """Requests per second that this route takes from everybody together, 1 to 100,000. Default: the
    stage's."""
    throttle_burst: NotRequired[int]
    """Requests that this route takes at once beyond its rate, 1 to 100,000. Default: the stage's."""


class ReadArgs(TypedDict):
    """One path that is read (GET) from an HTTP back end, with an optional cache between."""

    path: str
    """The path: one or more segments, ``{name}`` for a parameter, at most 53 characters in all."""
    url: str
    """The back end's URL, https and without a query; ``{name}`` stands for the path's parameter."""
    query: NotRequired[list[str]]
    """Query parameters that are passed on. Nothing else of the query is, so that whatever the back end sees
    is part of the cache's key. Default: none."""
    headers: NotRequired[list[str]]
    """Request headers that are passed on, and part of the cache's key. Default: none."""
    cache_ttl_seconds: NotRequired[int]
    """How long an answer is served from the stage's cache, in seconds, 0 to 3,600; 0 asks the back end each
    time. Default: 0."""
    timeout_ms: NotRequired[int]
    """How long the back end may take, in milliseconds, 50 to 29,000. Default: 29,000."""


@dataclass(frozen=True)
class Route:
    """One path and method whose requests become messages."""

    path: str
    verb: str
    queue: str | None
    """The queue's name; none where there is only one."""
    content_types: Sequence[str]
    message: Message
    answer: Answer
    success: int
    schema: Mapping[str, object] | None
    required: Sequence[str]
    """The parameters that must be there, as a method declares them."""
    throttle_rate: int | None = None
    throttle_burst: int | None = None

    @property
    def declared(self) -> Mapping[str, bool]:
        """Every parameter that is read, and whether it must be there."""
        read = {source.declared for source in self.message.sources if source.declared}
        path = {f"method.request.path.{each}" for each in parameters(self.path)}
        must = {*self.required, *path}
        return {each: each in must for each in sorted({*read, *must})}

    @property
    def headers(self) -> list[str]:
        """The request headers that it looks at."""
        return [each.removeprefix(HEADER) for each in self.declared if each.startswith(HEADER)]

    @property
    def body_schema(self) -> Mapping[str, object] | None:
        """The schema of a whole body: of a batch, an array of what may be in it."""
        return json_schema.list_of(self.schema, MOST_ENTRIES) if self.message.batch else self.schema


@dataclass(frozen=True)
class Read:
    """One path that an HTTP back end answers."""

    path: str
    url: str
    query: Sequence[str] = ()
    headers: Sequence[str] = ()
    cache_ttl_seconds: int = CACHE_TTL_SECONDS
    timeout_ms: int = BACKEND_TIMEOUT_MS

    @property
    def mapped(self) -> Mapping[str, str]:
        """What the back end gets, by where it goes: all of it, and so the whole of the cache's key."""
        parts = {
            "path": parameters(self.path),
            "querystring": self.query,
            "header": self.headers,
        }
        return {
            f"integration.request.{place}.{name}": f"method.request.{place}.{name}"
            for place, names in parts.items()
            for name in names
        }


def place(path: str) -> str:
    """Return a path without its parameters' names, which may change where they stand: ``orders/{}``."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def parameters(path: str) -> list[str]:
    """Return the names of a path's parameters."""
    return re.findall(r"\{([^}]+)\}", path)


def make(given: RouteArgs) -> Route:
    """Return the route that arguments without problems mean."""
    args = cast(RouteArgs, arguments.present(cast(Mapping[str, object], given)))
    headers = [f"{HEADER}{each}" for each in args.get("required_headers", [])]
    query = [f"method.request.querystring.{each}" for each in args.get("required_query", [])]
    return Route(
        path=args["path"],
        verb=args.get("method", POST),
        queue=args.get("queue"),
        content_types=args.get("content_types", list(CONTENT_TYPES)),
        message=Message(
            attributes={name: _source(text) for name, text in args.get("attributes", {}).items()},
            group_id=_source(args["group_id"]) if "group_id" in args else None,
            deduplication_id=_source(args["deduplication_id"]) if "deduplication_id" in args else None,
            delay_seconds=args.get("delay_seconds"),
            trace_header=args.get("trace_header", False),
            batch=args.get("batch", False),
        ),
        answer=args.get("answer", Answer.SUMMARY),
        success=args.get("success_status", SUCCESS),
        schema=args.get("schema"),
        required=[*headers, *query],
        throttle_rate=args.get("throttle_rate"),
        throttle_burst=args.get("throttle_burst"),
    )


def make_read(args: ReadArgs) -> Read:
    """Return the read that arguments without problems mean."""
    given = cast(ReadArgs, arguments.present(cast(Mapping[str, object], args)))
    return Read(
        path=given["path"],
        url=given["url"],
        query=given.get("query", []),
        headers=given.get("headers", []),
        cache_ttl_seconds=given.get("cache_ttl_seconds", CACHE_TTL_SECONDS),
        timeout_ms=given.get("timeout_ms", BACKEND_TIMEOUT_MS),
    )


def _source(text: str) -> Source:
    return cast(Source, sources.parse(text))


@dataclass(frozen=True)
class Surroundings:
    """What a route's arguments are checked against."""

    fifo: Mapping[str | None, bool | None]
    """The queues by name, the first of them the default, and whether each is FIFO; none where only AWS
    knows."""
    content_based: Mapping[str | None, bool]
    principal: bool
    """Whether an authorizer names one."""
    tracing: bool
    named_queues: bool = field(default=False)
    """Whether a route can choose among several."""


def problems(given: Mapping[str, object], around: Surroundings) -> list[Problem]:
    """Return everything that is wrong with one route."""
    return [
        *arguments.text(given, "path", PATH_PATTERN, PATH_ALLOWED),
        *_doubled_parameters(given.get("path")),
        *arguments.one_of(given, "method", VERBS),
        *_queue_problems(given, around),
        *content_type_problems(given.get("content_types", list(CONTENT_TYPES))),
        *(each.under("schema") for each in json_schema.problems(given.get("schema"))),
        *arguments.texts(given, "required_headers", sources.NAMES[Kind.HEADER], "the name of a header"),
        *arguments.texts(given, "required_query", PARAMETER_NAME, "the name of a query parameter"),
        *_attribute_problems(given, around),
        *_source_problem(given, "group_id"),
        *_source_problem(given, "deduplication_id"),
        *arguments.between(given, "delay_seconds", 0, LONGEST_DELAY_SECONDS, "seconds"),
        *arguments.flag(given, "trace_header"),
        *_trace_problems(given, around),
        *_fifo_problems(given, around),
        *arguments.flag(given, "batch"),
        *_batch_problems(given),
        *_body_problems(given),
        *arguments.one_of(given, "answer", Answer),
        *arguments.one_of(given, "success_status", SUCCESSES),
        *arguments.between(given, "throttle_rate", 1, MOST_REQUESTS, "requests per second"),
        *arguments.between(given, "throttle_burst", 1, MOST_REQUESTS, "requests"),
    ]


def read_problems(given: Mapping[str, object]) -> list[Problem]:
    """Return everything that is wrong with one read."""
    return [
        *arguments.text(given, "path", PATH_PATTERN, PATH_ALLOWED),
        *_doubled_parameters(given.get("path")),
        *arguments.text(given, "url", BACKEND_URL, "an https URL without a query"),
        *_url_parameter_problems(given),
        *arguments.texts(given, "query", PARAMETER_NAME, "the name of a query parameter"),
        *arguments.texts(given, "headers", sources.NAMES[Kind.HEADER], "the name of a header"),
        *_kept_headers(given.get("headers")),
        *arguments.between(given, "cache_ttl_seconds", 0, LONGEST_CACHE_TTL_SECONDS, "seconds"),
        *arguments.between(given, "timeout_ms", 50, BACKEND_TIMEOUT_MS, "milliseconds"),
    ]


def _kept_headers(headers: object) -> Iterable[Problem]:
    for index, each in enumerate(headers if isinstance(headers, list) else []):
        if isinstance(each, str) and each.lower() in NOT_PASSED_ON:
            yield Problem(f"headers[{index}]", each, "a header that API Gateway can pass on")


def content_type_problems(value: object) -> Iterable[Problem]:
    """Report a list of content types that is none."""
    if not isinstance(value, list) or not value:
        yield Problem("content_types", value, CONTENT_TYPE_ALLOWED)
        return
    for index, each in enumerate(value):
        if not isinstance(each, str) or not CONTENT_TYPE_PATTERN.fullmatch(each):
            yield Problem(f"content_types[{index}]", each, CONTENT_TYPE_ALLOWED)


def _doubled_parameters(path: object) -> Iterable[Problem]:
    names = parameters(path) if isinstance(path, str) else []
    if len(set(names)) < len(names):
        yield Problem("path", path, "each parameter once")


def _queue_problems(args: Mapping[str, object], around: Surroundings) -> Iterable[Problem]:
    queue = args.get("queue")
    if queue is None or (isinstance(queue, str) and queue in around.fifo):
        return
    named = f"one of {', '.join(map(str, around.fifo))}" if around.named_queues else "nothing, without queues"
    yield Problem("queue", queue, named)


def _attribute_problems(args: Mapping[str, object], around: Surroundings) -> Iterable[Problem]:
    given = args.get("attributes", {})
    if not isinstance(given, dict):
        yield Problem("attributes", given, "a map of names to where their values come from")
        return
    for name, text in given.items():
        if name in BUILT_IN:
            yield Problem(
                f"attributes.{name}", text, "another name: every message carries this one", "remove it"
            )
        elif not isinstance(name, str) or not ATTRIBUTE_NAME.fullmatch(name):
            yield Problem("attributes", name, "names of letters, digits and _ - . (SQS's rules)")
        else:
            yield from _wrong_source(args, f"attributes.{name}", text)
    own = len(BUILT_IN) if around.principal else len(BUILT_IN) - 1
    if len(given) + own > MOST_ATTRIBUTES:
        most = MOST_ATTRIBUTES - own
        yield Problem(
            "attributes",
            f"{len(given)} attributes",
            f"at most {most}: SQS takes {MOST_ATTRIBUTES}, {own} are ours",
        )


def _source_problem(args: Mapping[str, object], key: str) -> Iterable[Problem]:
    if key not in args:
        return
    yield from _wrong_source(args, key, args[key])
    source = sources.parse(args[key])
    if source and source.kind is Kind.TEXT and not ID.fullmatch(source.name):
        yield Problem(key, args[key], "text. and at most 128 letters, digits and punctuation, no space")


def _wrong_source(args: Mapping[str, object], place: str, text: object) -> Iterable[Problem]:
    source = sources.parse(text)
    if source is None:
        yield Problem(place, text, sources.ALLOWED)
    elif source.kind is Kind.PATH and source.name not in parameters(str(args.get("path"))):
        yield Problem(place, text, f"a parameter of the path {args.get('path')}")


def _trace_problems(args: Mapping[str, object], around: Surroundings) -> Iterable[Problem]:
    if args.get("trace_header") is True and not around.tracing:
        yield Problem(
            "trace_header", True, "false, unless tracing is on: there is no trace", "set tracing too"
        )


def _fifo_problems(args: Mapping[str, object], around: Surroundings) -> Iterable[Problem]:
    """Report what SQS would answer to each message of this route."""
    named = args.get("queue", next(iter(around.fifo), None))
    name = named if isinstance(named, str) else None
    fifo = around.fifo.get(name)
    if fifo is None:
        return
    if not fifo:
        if "deduplication_id" in args:
            yield Problem("deduplication_id", args["deduplication_id"], "nothing: the queue is not FIFO")
        return
    if "group_id" not in args:
        yield Problem(
            "group_id", None, f"where the message group id comes from, for a FIFO queue: {sources.ALLOWED}"
        )
    if "deduplication_id" not in args and not around.content_based.get(name):
        remedy = "or set content_based_deduplication for the queue"
        yield Problem(
            "deduplication_id", None, f"where it comes from, for a FIFO queue: {sources.ALLOWED}", remedy
        )
    if "delay_seconds" in args:
        yield Problem(
            "delay_seconds", args["delay_seconds"], "nothing: a FIFO queue delays all messages alike"
        )


def _batch_problems(args: Mapping[str, object]) -> Iterable[Problem]:
    if args.get("batch") is not True:
        return
    types = args.get("content_types", list(CONTENT_TYPES))
    if types != [JSON]:
        yield Problem("content_types", types, f'["{JSON}"]: a batch is a JSON array')
    for path, reference in json_schema.references(args.get("schema")):
        if not reference.startswith("#/definitions/"):
            yield Problem(f"schema{path}", reference, "#/definitions/NAME: the schema is of each message")


def _body_problems(args: Mapping[str, object]) -> Iterable[Problem]:
    """Report what is to be read of bodies that need not be JSON."""
    attributes = args.get("attributes")
    read = [*(attributes.values() if isinstance(attributes, dict) else [])]
    read += [args.get("group_id"), args.get("deduplication_id")]
    if not any(isinstance(each, str) and each.startswith(f"{Kind.BODY}.") for each in read):
        return
    types = args.get("content_types", list(CONTENT_TYPES))
    for index, each in enumerate(types if isinstance(types, list) else []):
        if isinstance(each, str) and each != JSON and not each.endswith("+json"):
            yield Problem(f"content_types[{index}]", each, f"{JSON} or ...+json: the route reads body.")


def _url_parameter_problems(args: Mapping[str, object]) -> Iterable[Problem]:
    path, url = args.get("path"), args.get("url")
    if not isinstance(path, str) or not isinstance(url, str):
        return
    for name in parameters(url):
        if name not in parameters(path):
            yield Problem("url", url, f"parameters of the path {path}, not {{{name}}}")
    for name in parameters(path):
        if name not in parameters(url):
            yield Problem("url", url, f"a place for the path's parameter {{{name}}}, which would be lost")


def doubles(names: Sequence[str]) -> Iterable[int]:
    """Find the paths and methods that were there before."""
    seen: set[str] = set()
    for index, each in enumerate(names):
        if each in seen:
            yield index
        seen.add(each)


def clashing_parameters(paths: Sequence[str]) -> Iterable[tuple[int, str]]:
    """Find the paths whose parameter has another name than an earlier path's at the same place.

    API Gateway takes one name there ("A sibling of this resource already has a variable path part").
    """
    names: dict[str, str] = {}
    for index, path in enumerate(paths):
        segments = path.split("/")
        for depth, segment in enumerate(segments):
            if not segment.startswith("{"):
                continue
            parent = "/".join(segments[:depth])
            if names.setdefault(parent, segment) != segment:
                yield index, names[parent]
