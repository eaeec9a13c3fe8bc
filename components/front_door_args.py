"""What `FrontDoor` takes, what is wrong with it, and the routes that it means."""

import re
from collections.abc import Mapping
from typing import NotRequired, TypedDict, cast

import pulumi

from . import (
    arguments,
    cors,
    custom_domain,
    door_queues,
    front_door_metrics,
    guard,
    resource_policy,
    routes,
    stage,
    usage_plans,
)
from .arguments import Problem
from .door_queues import QueueArgs
from .proxy import ProxyArgs
from .routes import ReadArgs, Route, RouteArgs, Surroundings
from .templates import Answer
from .usage_plans import UsagePlanArgs

CACHE_SIZES = ("0.5", "1.6", "6.1", "13.5", "28.4", "58.2", "118", "237")
"""GB ("CreateStage", API Gateway API reference)."""
EXECUTION_LOGS = (stage.OFF, "ERROR", "INFO")
LONGEST_AGE_SECONDS = 14 * door_queues.DAY
STAGE_PATTERN = re.compile(r"[A-Za-z0-9_]{1,128}")
API_ID = re.compile(r"[a-z0-9]{8,12}")
RESOURCE_ID = re.compile(r"[a-z0-9]{6,12}")
API_NAME = re.compile(r"\S(.{0,254}\S)?")
REDEPLOY = re.compile(r"[^\x00-\x1f]{0,256}")
RESERVED = ("ping", "sping")
OF_ONE_ROUTE = ("path", "content_types", "answer")
OF_ONE_QUEUE = tuple(key for key in QueueArgs.__annotations__ if key != "name")
OF_AN_API = (
    "disable_execute_api_endpoint", "vpc_endpoint_ids", "allow_cidrs", "deny_cidrs", "iam_callers", "proxy",
    "problem_json", "truststore_uri",
)  # fmt: skip
"""What belongs to the owner of an API; mutual TLS without disabling its other name would keep nobody out."""
EXISTING_API = ("api_id", "api_name", "root_resource_id")


class FrontDoorArgs(TypedDict):
    """What `FrontDoor` takes. Everything has a default: ``FrontDoor("door", {})`` works, open to all."""

    path: NotRequired[str]
    """The path that takes POSTs, where there is one route: one or more segments, at most 53 characters, so
    that a line of the access log stays short. Default: ``messages``."""
    content_types: NotRequired[list[str]]
    """The media types that the one route takes; any other is answered 415.
    Default: ``["application/json"]``."""
    answer: NotRequired[Answer]
    """What a caller of the one route reads when its message was accepted, with status 202: ``summary`` is
    ``{"messageId", "requestId"}``, ``sqs`` is SQS's own answer. Default: ``summary``."""
    routes: NotRequired[list[RouteArgs]]
    """Several routes, or one with more to say, in place of ``path``, ``content_types`` and ``answer``.
    Default: the one route of these."""
    reads: NotRequired[list[ReadArgs]]
    """Paths that are read (GET) from HTTP back ends. Default: none."""
    health_path: NotRequired[str]
    """A path whose GET is answered 200 by the API itself, to everybody; one that says another content type
    than JSON is 415, as everywhere. Default: none."""
    queue_arn: NotRequired[pulumi.Input[str]]
    """The ARN of a queue that exists; with ``queue_url``, and without any setting of a queue. Default: a
    queue is made."""
    queue_url: NotRequired[pulumi.Input[str]]
    """The URL of a queue that exists. Default: a queue is made."""
    max_message_size: NotRequired[int]
    """The largest message, in bytes with its attributes, 1,024 to 1,048,576; a larger one is answered 413.
    Default: 262,144."""
    visibility_timeout_seconds: NotRequired[int]
    """How long a received message stays hidden, in seconds, 0 to 43,200; at least 6 times the consumer's
    timeout. Default: 180."""
    message_retention_seconds: NotRequired[int]
    """How long the queue keeps a message, in seconds, 60 to 1,209,600. Default: 345,600 (4 days)."""
    max_receive_count: NotRequired[int]
    """After how many receives a message goes to the dead-letter queue, 1 to 1,000. Default: 5."""
    fifo: NotRequired[bool]
    """Whether messages of one group stay in order and come once; the routes then need ``group_id``.
    Default: false."""
    content_based_deduplication: NotRequired[bool]
    """For a FIFO queue: whether equal bodies within 5 minutes are one message. Default: false."""
    high_throughput: NotRequired[bool]
    """For a FIFO queue: whether order and deduplication hold per group only, which allows many more messages
    a second. Default: false."""
    queues: NotRequired[list[QueueArgs]]
    """Several queues, in place of the settings of one; a route that names none uses the first. Default: the
    one queue of these."""
    problem_json: NotRequired[bool]
    """Whether errors are ``application/problem+json`` (RFC 9457). Default: false, they are
    ``{"code", "message", "requestId"}``."""
    cors_origins: NotRequired[list[str]]
    """The origins whose pages may call from a browser, 1 to 20, or ``["*"]``. Default: none."""
    cors_headers: NotRequired[list[str]]
    """Request headers that such pages may send.
    Default: ``["Authorization", "Content-Type", "X-Api-Key"]``."""
    cors_credentials: NotRequired[bool]
    """Whether such pages may send cookies and the like; then there is exactly one origin. Default: false."""
    cors_max_age_seconds: NotRequired[int]
    """How long a browser may remember that, in seconds, 0 to 86,400. Default: 600."""
    api_id: NotRequired[pulumi.Input[str]]
    """The id of a REST API that exists, which gets the routes and a stage of its own; its gateway responses,
    resource policy and endpoint stay its owner's. With ``api_name`` and ``root_resource_id``. Default: an API
    is made."""
    api_name: NotRequired[pulumi.Input[str]]
    """That API's name, by which its metrics are found. Default: an API is made."""
    root_resource_id: NotRequired[pulumi.Input[str]]
    """The resource of that API under which the paths begin. Default: an API is made."""
    stage_name: NotRequired[str]
    """The stage, which is the first segment of the URL. Default: ``v1``."""
    throttle_rate: NotRequired[int]
    """Requests per second that the stage takes from everybody together, for each method, 1 to 100,000; more
    are answered 429. Default: 1,000."""
    throttle_burst: NotRequired[int]
    """Requests that the stage takes at once beyond its rate, 1 to 100,000. Default: 500."""
    usage_plans: NotRequired[list[UsagePlanArgs]]
    """Plans with API keys; with one, every route and read needs a key in ``x-api-key``. Default: none."""
    allow_cidrs: NotRequired[list[str]]
    """The networks that may call, IPv4 and IPv6; all others are answered 403. Default: all may."""
    deny_cidrs: NotRequired[list[str]]
    """Networks that may not call. Default: none."""
    disable_execute_api_endpoint: NotRequired[bool]
    """Whether AWS's own name of the API leads nowhere, so that only ``domain_name`` does. Default: false, but
    true with ``truststore_uri`` and with ``proxy``."""
    vpc_endpoint_ids: NotRequired[list[str]]
    """VPC endpoints (of execute-api) through which alone the API is reached. Default: none, it is public."""
    domain_name: NotRequired[str]
    """A domain of one's own, such as ``api.example.com``. Default: none."""
    certificate_arn: NotRequired[pulumi.Input[str]]
    """The ARN of its certificate, in the stack's Region. Default: one is made and validated in
    ``hosted_zone_id``."""
    hosted_zone_id: NotRequired[pulumi.Input[str]]
    """The public Route 53 zone that gets the domain's records. Default: none, DNS is yours."""
    base_path: NotRequired[str]
    """The first segment of the domain's URLs that lead here. Default: none, all do."""
    truststore_uri: NotRequired[str]
    """Mutual TLS: where the certificates are whose holders may call, ``s3://BUCKET/KEY``. Default: none."""
    truststore_version: NotRequired[str]
    """The version of that object. Default: the newest when it was set."""
    ownership_certificate_arn: NotRequired[pulumi.Input[str]]
    """Mutual TLS with an imported or private certificate: the ARN of a public one that shows whose domain it
    is. Default: none."""
    cache_size_gb: NotRequired[str]
    """The size of the stage's cache, which is there where a read has ``cache_ttl_seconds``, in GB: ``0.5``,
    ``1.6``, ``6.1``, ``13.5``, ``28.4``, ``58.2``, ``118`` or ``237``. Default: ``0.5``."""
    tracing: NotRequired[bool]
    """Whether X-Ray traces requests. Default: false."""
    redeploy: NotRequired[str]
    """Any text; a change of it deploys the API once more, which is needed after something was removed: Pulumi
    deletes last, so the deployment of that update still holds it. Default: empty."""
    execution_log: NotRequired[str]
    """What API Gateway writes about how it handled requests, never with bodies: ``OFF``, ``ERROR`` or
    ``INFO``. Default: ``OFF``."""
    manage_account_logging: NotRequired[bool]
    """Whether to set the role by which API Gateway writes logs. There is one for the account and Region, so
    exactly one program may manage it; it is kept when this one is destroyed. Default: false, the account has
    one already."""
    authorizer_function_arn: NotRequired[pulumi.Input[str]]
    """The function that decides who may call. Default: none, everybody may."""
    authorizer_identity_sources: NotRequired[list[str]]
    """What of a request that function's decision depends on (a REQUEST authorizer), all of which must be
    there, in place of the Authorization header: ``header.NAME``, ``query.NAME``, ``context.source_ip``,
    ``context.method``, ``context.route``. Default: the Authorization header alone (a TOKEN authorizer)."""
    authorizer_cache_ttl_seconds: NotRequired[int]
    """How long a decision is kept, in seconds, 0 to 3,600. Default: 60."""
    authorizer_token_pattern: NotRequired[str]
    """A regular expression for the Authorization header; what does not match is answered 401 without asking
    the function. Default: none."""
    authorizer_user_pool_arns: NotRequired[list[pulumi.Input[str]]]
    """The Cognito user pools whose users may call, with a token in the Authorization header.
    Default: none."""
    authorizer_scopes: NotRequired[list[str]]
    """The scopes of which such a token needs one; then it is an access token. Default: none, and it is an ID
    token."""
    iam_authorization: NotRequired[bool]
    """Whether callers sign their requests (SigV4), and IAM decides. Default: false."""
    iam_callers: NotRequired[list[pulumi.Input[str]]]
    """The ARNs of roles, users and accounts that may then call, besides those of this account with a policy
    of their own that allows ``execute-api:Invoke``; of another account both are needed. Default: none."""
    log_principal: NotRequired[bool]
    """Whether the access log names who called. Only for an authorizer whose principals hold no quotes: others
    could forge lines. Default: false."""
    proxy: NotRequired[ProxyArgs]
    """The CDN or proxy in front, which tells the client's address; then there is no way past it. Needs
    ``domain_name`` and an ``authorizer_function_arn`` whose function refuses who does not show the secret,
    and gives the address as ``clientIp`` in its context, checked to be one: as kinds ``token`` and ``jwt`` of
    an `Authorizer` do. Default: none, callers come directly."""
    error_rate_alarm_percent: NotRequired[int]
    """From which share of 5xx answers in 5 minutes on the alarm fires, in percent, 1 to 100. Default: 1."""
    latency_alarm_ms: NotRequired[int]
    """From which p99 of the time to answer on (for 15 minutes) the alarm fires, in milliseconds, 1 to 30,000.
    Default: 1,000."""
    throttled_alarm_percent: NotRequired[int]
    """From which share of throttled requests on (for 15 minutes) the alarm fires, in percent, 1 to 100.
    Default: 5."""
    oldest_message_alarm_seconds: NotRequired[int]
    """From which age of a queue's oldest message on the alarm fires, in seconds, 60 to 1,209,600.
    Default: 900."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """A customer key for the queues (also those that exist) and the logs. Its policy must let CloudWatch Logs
    use it. Default: SQS's and CloudWatch's own."""
    log_retention_days: NotRequired[int]
    """How long the logs are kept, in days. Default: 30."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """The SNS topic that the alarms tell; without it there are no alarms. Default: none."""


def problems(args: FrontDoorArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    given = cast(Mapping[str, object], args)
    return [
        *_route_problems(given),
        *_queue_problems(given),
        *arguments.flag(given, "problem_json"),
        *cors.problems(given),
        *_api_problems(given),
        *arguments.text(given, "stage_name", STAGE_PATTERN, "1 to 128 letters, digits and _"),
        *arguments.between(given, "throttle_rate", 1, routes.MOST_REQUESTS, "requests per second"),
        *arguments.between(given, "throttle_burst", 1, routes.MOST_REQUESTS, "requests"),
        *usage_plans.problems(given),
        *resource_policy.problems(given),
        *custom_domain.problems(given),
        *_entry_problems(given),
        *arguments.one_of(given, "cache_size_gb", CACHE_SIZES),
        *arguments.flag(given, "tracing"),
        *arguments.text(given, "redeploy", REDEPLOY, "a text of at most 256 characters"),
        *arguments.one_of(given, "execution_log", EXECUTION_LOGS),
        *arguments.flag(given, "manage_account_logging"),
        *guard.problems(given),
        *arguments.between(given, "error_rate_alarm_percent", 1, 100, "percent"),
        *arguments.between(given, "latency_alarm_ms", 1, front_door_metrics.MOST_LATENCY_MS, "milliseconds"),
        *arguments.between(given, "throttled_alarm_percent", 1, 100, "percent"),
        *arguments.between(given, "oldest_message_alarm_seconds", 60, LONGEST_AGE_SECONDS, "seconds"),
        *arguments.shared(given),
    ]


def _route_problems(args: Mapping[str, object]) -> list[Problem]:
    found = [
        *arguments.text(args, "path", routes.LITERAL_PATH, routes.LITERAL_ALLOWED),
        *routes.content_type_problems(args.get("content_types", list(routes.CONTENT_TYPES))),
        *arguments.one_of(args, "answer", Answer),
        *arguments.each_of(args, "reads", ReadArgs, routes.read_problems),
        *arguments.text(args, "health_path", routes.LITERAL_PATH, routes.LITERAL_ALLOWED),
    ]
    around = _surroundings(args)
    if "routes" in args:
        found += arguments.without(args, OF_ONE_ROUTE, "each of routes says its own")
        found += arguments.each_of(args, "routes", RouteArgs, lambda each: routes.problems(each, around))
        listed = args["routes"]
        if isinstance(listed, list) and not 1 <= len(listed) <= routes.MOST_ROUTES:
            found.append(Problem("routes", f"{len(listed)} routes", f"1 to {routes.MOST_ROUTES} routes"))
    elif next(iter(around.fifo.values()), None):
        remedy = "write routes: with path and group_id"
        found.append(Problem("routes", None, "at least one: a FIFO queue needs a group_id", remedy))
    return found or _clashes(args)


def _surroundings(args: Mapping[str, object]) -> Surroundings:
    several = args.get("queues")
    listed = several if isinstance(several, list) else [args]
    known = {_text_or_none(each.get("name")): each for each in listed if isinstance(each, dict)}
    return Surroundings(
        fifo={name: door_queues.is_fifo(each) for name, each in known.items()},
        content_based={name: each.get("content_based_deduplication") is True for name, each in known.items()},
        principal=any(args.get(each) for each in guard.DECIDERS),
        tracing=args.get("tracing") is True,
        named_queues=isinstance(several, list),
    )


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _served(args: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Return where each path and method that is served is said, and both."""
    one = "routes" not in args
    found = [
        ("path" if one else f"routes[{index}].path", each.verb, each.path)
        for index, each in enumerate(routes_of(args))
    ]
    for index, each in enumerate(cast(list[ReadArgs], args.get("reads", []))):
        found.append((f"reads[{index}].path", routes.GET, each["path"]))
    if "health_path" in args:
        found.append(("health_path", routes.GET, cast(str, args["health_path"])))
    return found


def _clashes(args: Mapping[str, object]) -> list[Problem]:
    """Report what cannot be told apart by path and method, or is API Gateway's own."""
    served = _served(args)
    paths = [path for _, _, path in served]
    found = [
        Problem(served[at][0], paths[at], "a path and method of its own")
        for at in routes.doubles([f"{verb}/{path}" for _, verb, path in served])
    ]
    found += [
        Problem(served[at][0], paths[at], f"the name that an earlier path has at this place: {other}")
        for at, other in routes.clashing_parameters(paths)
    ]
    # API Gateway's own, as "Amazon API Gateway important notes" tells.
    if "domain_name" in args:
        allowed = "another path: under a domain API Gateway answers this one itself"
        found += [Problem(where, path, allowed) for where, _, path in served if path in RESERVED]
    return found


def _queue_problems(args: Mapping[str, object]) -> list[Problem]:
    if "queues" not in args:
        return door_queues.problems(args)
    listed = args["queues"]
    found = [
        *arguments.without(args, OF_ONE_QUEUE, "each of queues says its own"),
        *arguments.each_of(args, "queues", QueueArgs, _named_queue_problems),
        *arguments.distinct(args, "queues", "name"),
    ]
    if isinstance(listed, list) and not listed:
        found.append(Problem("queues", listed, "at least one queue"))
    return found


def _named_queue_problems(queue: Mapping[str, object]) -> list[Problem]:
    return [
        *arguments.text(queue, "name", arguments.NAME, arguments.NAME_ALLOWED),
        *door_queues.problems(queue),
    ]


def _api_problems(args: Mapping[str, object]) -> list[Problem]:
    found = [
        *arguments.matching(args, "api_id", API_ID, "the id of a REST API"),
        *arguments.matching(args, "api_name", API_NAME, "the name of that API"),
        *arguments.matching(args, "root_resource_id", RESOURCE_ID, "the id of one of its resources"),
        *arguments.together(args, *EXISTING_API),
    ]
    if "api_id" in args:
        found += arguments.without(args, OF_AN_API, "the API exists, and is its owner's")
    return found


def _entry_problems(args: Mapping[str, object]) -> list[Problem]:
    """Report ways in that contradict each other, or that leave none."""
    found = [*arguments.flag(args, "disable_execute_api_endpoint")]
    private, domain = "vpc_endpoint_ids" in args, "domain_name" in args
    if private:
        found += arguments.without(args, ("domain_name", "proxy"), "a private API has no public domain")
    disabled = args.get("disable_execute_api_endpoint")
    if disabled is True and not domain:
        allowed = "false, without domain_name: nobody could call"
        found.append(Problem("disable_execute_api_endpoint", True, allowed))
    if disabled is False and "truststore_uri" in args:
        allowed = "true, with truststore_uri: the other name asks for no certificate"
        found.append(Problem("disable_execute_api_endpoint", False, allowed, "remove it"))
    return found


def routes_of(args: Mapping[str, object]) -> list[Route]:
    """Return the routes that arguments without problems mean."""
    if "routes" in args:
        return [routes.make(each) for each in cast(list[RouteArgs], args["routes"])]
    own = {key: args[key] for key in OF_ONE_ROUTE if key in args}
    return [routes.make(cast(RouteArgs, {"path": routes.PATH, **own}))]
