"""What a retrier is told, and what can be wrong with it."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import NotRequired, TypedDict, cast
from urllib.parse import urlsplit

import pulumi
from pulumi.runtime import config

from sluice.retrier import rules, targets
from sluice.retrier.rules import STARTING_SECONDS, Rules

from . import archives, arguments
from .arguments import Problem
from .consumer_args import Idempotency

QUEUED_CALLS = archives.HANDLERS / "queued_calls"
"""The code of a consumer whose messages are calls."""
EGRESS = "call"
"""The name of the only function that calls, where none is given."""
WORKFLOWS = ("express", "standard")
ACCESS = ("iam", "open", "none")
STATUSES = (408, 425, 429, 500, 502, 503, 504)
FAILURES = ("connection", "timeout", "lost")
REPEATED = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
"""The idempotent ones (RFC 9110, 9.2.2)."""
LOWEST_STATUS, HIGHEST_STATUS = 400, 599
ATTEMPTS = 5
MOST_ATTEMPTS = 20
DEADLINE_SECONDS = 60
LONGEST_EXPRESS_SECONDS = 270
"""An Express workflow ends after five minutes, whatever it does ("Step Functions quotas")."""
LONGEST_STANDARD_SECONDS = 6 * 60 * 60
"""A call that waits for a broken upstream takes some 50 events a minute of 25,000 (the same page)."""
TIMEOUT_SECONDS = 10
LONGEST_TIMEOUT_SECONDS = 120
BASE_SECONDS = 1
CAP_SECONDS = 30
LONGEST_WAIT_SECONDS = 3600
SHARED_PAUSE_SECONDS = 60
KEPT_SECONDS = 24 * 60 * 60
MOST_KEPT_SECONDS = 30 * 24 * 60 * 60
MOST_UPSTREAMS = 100
FASTEST_PACE = 300
"""Calls a second: each writes twice to one item, which takes 1,000 writes ("Burst and adaptive capacity")."""
MOST_EGRESSES = 10
MOST_SECRETS = 20
CIRCUIT = rules.Circuit(failure_percent=50, minimum_calls=10, window_seconds=30, open_seconds=30)
RESPONSE_HEADERS = (
    "cache-control", "content-disposition", "content-language", "content-type", "etag", "last-modified",
    "link", "location", "ratelimit", "ratelimit-*", "retry-after", "www-authenticate", "x-ratelimit-*",
    "x-request-id",
)  # fmt: skip
HEADER = re.compile(r"[a-z0-9-]{1,64}")
HEADERS = re.compile(r"[a-z0-9-]{1,64}\*?")
NEVER_BACK = (
    "connection", "content-encoding", "content-length", "keep-alive", "set-cookie", "trailer",
    "transfer-encoding", "upgrade", "sluice-",
)  # fmt: skip
"""What is between the upstream and us, sets cookies for the function's own domain, or says what we say."""
NOT_FOR_KEYS = (
    "accept-encoding", "authorization", "connection", "content-length", "content-type", "cookie", "expect",
    "host", "te", "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip
"""Headers that cannot carry an idempotency key: they are not sent as they are, or say something else."""
CIDR_ALLOWED = "a network, 10.0.0.0/8 or fd00::/8"
SUBNET_ID = re.compile(r"subnet-[0-9a-f]{8,17}")
GROUP_ID = re.compile(r"sg-[0-9a-f]{8,17}")
SECRET_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+", re.ASCII)
PRINCIPAL_ARN = re.compile(
    r"arn:aws[a-z-]*:(iam|sts)::\d{12}:(root|(role|user|assumed-role)/[\w+=,.@/-]+)", re.ASCII
)
JSON_KEY = re.compile(r"[\x20-\x7e]{1,128}")


class UpstreamArgs(TypedDict):
    """Somebody who may be called, and how often."""

    origin: str
    """Scheme, host and perhaps a port: ``https://api.example.com``; ``https://*.example.com`` stands for all
    names below. ``http://`` is without TLS."""
    calls: NotRequired[int]
    """How many calls all callers together may make in ``seconds``, 1 to 100,000, and at most 300 for each
    second; of a wildcard for each host. Default: no limit."""
    seconds: NotRequired[int]
    """The time for ``calls``, in seconds, 1 to 86,400. They are spread evenly over it and 50 ms more: the way
    to the upstream is not always as long. Default: 1."""
    burst: NotRequired[int]
    """How many calls may come at once after a quiet time, 1 to 10,000; a window of ``seconds`` can then
    see up to ``calls`` and ``burst`` together. Default: 1."""


class EgressArgs(TypedDict):
    """A function that calls, with an address of its own."""

    name: str
    """What the history calls it, and its children: lower-case letters, digits and -, at most 32."""
    function_arn: NotRequired[pulumi.Input[str]]
    """The call function of another retrier, in place of one made here; it counts its calls in that retrier's
    budgets. Default: one is made."""
    subnet_ids: NotRequired[list[pulumi.Input[str]]]
    """The private subnets that it is in, whose NAT gateway gives it its address. Default: none, Lambda's own
    network."""
    security_group_ids: NotRequired[list[pulumi.Input[str]]]
    """Its security groups; with ``subnet_ids``. Default: none."""


class CircuitArgs(TypedDict):
    """When an upstream is left alone for a while."""

    enabled: NotRequired[bool]
    """Whether it ever is. Default: true."""
    failure_percent: NotRequired[int]
    """At which share of calls without an answer, or with a 5xx, 1 to 100. Default: 50."""
    minimum_calls: NotRequired[int]
    """Of at least how many calls in a window, 1 to 10,000. Default: 10."""
    window_seconds: NotRequired[int]
    """How long calls are counted together, in seconds, 1 to 3,600. Default: 30."""
    open_seconds: NotRequired[int]
    """For how long, in seconds, 1 to 3,600; then one call finds out whether the upstream is well again.
    Default: 30."""


class SecretArgs(TypedDict):
    """A secret that calls may put into a header without knowing it."""

    name: str
    """What calls name it by: lower-case letters, digits and -, at most 32."""
    secret_arn: pulumi.Input[str]
    """Where it is in Secrets Manager."""
    origins: list[str]
    """To which of the upstreams it may be sent, as their ``origin`` says."""
    json_key: NotRequired[str]
    """Which value of a secret that is a JSON object. Default: the whole secret."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """The customer key that encrypts it. Default: AWS's own."""


class RetrierArgs(TypedDict):
    """What `Retrier` takes: whom it may call, and how hard it tries."""

    upstreams: list[UpstreamArgs]
    """Who may be called, 1 to 100; nobody else ever is."""
    private_networks: NotRequired[list[str]]
    """Networks that are not public, in which an upstream's address may be: CIDRs. Link-local addresses never
    may, loopback only on a local AWS. Default: none."""
    secrets: NotRequired[list[SecretArgs]]
    """Secrets for headers, at most 20. Default: none."""
    egress: NotRequired[list[EgressArgs]]
    """The functions that call, 1 to 10. What one address may not, for a while, another is asked to do.
    Default: one, ``call``, in Lambda's own network."""
    workflow: NotRequired[str]
    """``express``: callers wait for the outcome; or ``standard``: they get an id, and ask for it later.
    Default: ``express``."""
    access: NotRequired[str]
    """Who may call the function URL: ``iam``, who signs and is allowed; ``open``, **everybody**; or ``none``:
    there is no URL. Default: ``iam``."""
    caller_arns: NotRequired[list[pulumi.Input[str]]]
    """Roles, users or accounts whom the function itself lets call it, as another account needs. Default:
    nobody, callers' own policies decide."""
    statuses: NotRequired[list[int]]
    """Answers after which a call is tried again. Default: 408, 425, 429, 500, 502, 503, 504."""
    failures: NotRequired[list[str]]
    """Ways to have no answer after which a call is tried again: ``connection``, ``timeout``, ``lost`` (the
    function that called was ended). Default: all of them."""
    methods: NotRequired[list[str]]
    """Methods that are tried again without an idempotency key. Default: GET, HEAD, OPTIONS, PUT, DELETE."""
    attempts: NotRequired[int]
    """How often a call is tried at most, 1 to 20. Default: 5."""
    deadline_seconds: NotRequired[int]
    """When a call ends at the latest, with all waits, in seconds, 1 to 270; ``standard`` to 21,600.
    Default: 60."""
    timeout_seconds: NotRequired[int]
    """How long one attempt may take, in seconds, 1 to 120. Default: 10."""
    base_seconds: NotRequired[int]
    """The bound of the random wait before the second attempt, in seconds, 1 to 3,600; it doubles with each.
    Default: 1."""
    cap_seconds: NotRequired[int]
    """The highest bound of a random wait, in seconds, 1 to 3,600. What an upstream asks for is not bounded by
    it. Default: 30."""
    shared_pause_seconds: NotRequired[int]
    """For how long at most all callers wait where the upstream asks one of them to, in seconds, 0 to 86,400:
    a limit may be that caller's alone. Default: 60."""
    circuit: NotRequired[CircuitArgs]
    """When an upstream is left alone. Default: after half of at least 10 calls in 30 seconds failed, for 30
    seconds."""
    idempotency_header: NotRequired[str]
    """The header that carries a call's idempotency key, in lower case. Default: ``idempotency-key``."""
    kept_seconds: NotRequired[int]
    """For how long the outcome of a call with such a key is known, in seconds, 60 to 2,592,000; ``standard``
    knows it for 90 days. Default: 86,400."""
    response_headers: NotRequired[list[str]]
    """Headers of the upstream's that are handed back, in lower case; ``x-*`` stands for all that begin so.
    Default: those about content, caching, redirects, authentication and rate limits, and x-request-id."""
    reserved_concurrency: NotRequired[int]
    """How many runs of the orchestrator are set aside for it, and are its most, 1 to 10,000: so many callers
    can wait at once, and leave the account's other runs to those that call. Default: none."""
    memory_mb: NotRequired[int]
    """The memory of each function, in MB, 128 to 10,240. Default: 256."""
    architecture: NotRequired[str]
    """The functions' processor: ``x86_64`` or ``arm64``. Default: ``x86_64``."""
    tracing: NotRequired[bool]
    """Whether X-Ray traces the state machine and its functions. Default: false."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """A customer key for the state machine, the tables, the logs and the functions' environment. Default:
    AWS's own keys."""
    log_retention_days: NotRequired[int]
    """How long logs are kept, in days. Default: 30."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """The SNS topic that the alarms tell; without it there are no alarms. Default: none."""


Args = Mapping[str, object]


def problems(args: RetrierArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    given = cast(Args, args)
    return [
        *_upstream_problems(given),
        *_network_problems(given),
        *_secret_problems(given),
        *_egress_problems(given),
        *_access_problems(given),
        *_retry_problems(given),
        *arguments.map_of(given, "circuit", CircuitArgs, _circuit_problems),
        *_answer_problems(given),
        *_function_problems(given),
        *arguments.shared(given),
    ]


def _upstream_problems(args: Args) -> Iterable[Problem]:
    yield from arguments.each_of(args, "upstreams", UpstreamArgs, _one_upstream)
    yield from arguments.filled(args, "upstreams", "a retrier that may call anybody would be an open proxy")
    given = args.get("upstreams")
    if isinstance(given, list):
        if len(given) > MOST_UPSTREAMS:
            yield Problem("upstreams", f"{len(given)} upstreams", f"at most {MOST_UPSTREAMS}")
        yield from _hidden_upstreams(given)


def _hidden_upstreams(given: list[object]) -> Iterable[Problem]:
    """Report upstreams that are never meant, since the first that fits a URL is."""
    origins = [each.get("origin") for each in given if isinstance(each, dict)]
    known = [each for each in origins if isinstance(each, str) and targets.host_of(each) is not None]
    for index, origin in enumerate(known):
        for earlier in known[:index]:
            if targets.covers(earlier, origin):
                allowed = f"an origin that {earlier} before it does not stand for"
                yield Problem(f"upstreams[{index}].origin", origin, allowed, "put it first, or remove it")
                break


def _one_upstream(given: dict[str, object]) -> Iterable[Problem]:
    origin = given.get("origin")
    allowed = "an origin, https://api.example.com or https://*.example.com:8443, without a path"
    host = targets.host_of(origin) if isinstance(origin, str) else None
    # That it is missing is told of all keys that are required.
    if host is None and origin is not None:
        yield Problem("origin", origin, allowed)
    if host is not None and "*." in str(origin) and ("." not in host or not host[-1].isalpha()):
        yield Problem("origin", origin, "a wildcard below a name of your own, not below a whole top level")
    yield from arguments.between(given, "calls", 1, 100_000, "calls")
    yield from arguments.between(given, "seconds", 1, 86_400, "seconds")
    yield from arguments.between(given, "burst", 1, 10_000, "calls")
    if "calls" not in given:
        yield from arguments.without(given, ["seconds", "burst"], "calls is not given, so there is no limit")
    calls, seconds = given.get("calls", 0), given.get("seconds", 1)
    if isinstance(calls, int) and isinstance(seconds, int) and calls > FASTEST_PACE * max(1, seconds):
        allowed = f"at most {FASTEST_PACE} for each second: more than that one item of DynamoDB cannot count"
        yield Problem("calls", calls, allowed)


def _network_problems(args: Args) -> Iterable[Problem]:
    given = args.get("private_networks", [])
    if not isinstance(given, list):
        yield Problem("private_networks", given, f"a list of networks: {CIDR_ALLOWED}")
        return
    for index, each in enumerate(given):
        path = f"private_networks[{index}]"
        try:
            (network,) = targets.networks([each] if isinstance(each, str) and "/" in each else [])
        except ValueError:
            yield Problem(path, each, f"{CIDR_ALLOWED}, with no bits set behind its prefix")
            continue
        if targets.is_never_called(network):
            yield Problem(path, each, "a network that is not link-local: those are never called", "remove it")
        elif targets.is_loopback(network) and not on_local_aws():
            allowed = "a network without 127.0.0.0/8 and ::1: loopback is for a local AWS alone"
            yield Problem(path, each, allowed, "name the upstream's own network")


def on_local_aws() -> bool:
    """Whether the stack is deployed to an AWS on this machine, as its ``aws:endpoints`` say."""
    try:
        services = json.loads(config.get_config("aws:endpoints") or "[]")
        named = [(name, urlsplit(url).hostname) for each in services for name, url in each.items()]
    except (AttributeError, TypeError, ValueError):
        return False
    # Where Lambda is, functions run.
    here = all(host in {"127.0.0.1", "localhost", "::1"} for _, host in named)
    return here and "lambda" in dict(named)


def _secret_problems(args: Args) -> Iterable[Problem]:
    upstreams = args.get("upstreams")
    origins = (
        [each.get("origin") for each in upstreams if isinstance(each, dict)]
        if isinstance(upstreams, list)
        else []
    )

    def inside(given: dict[str, object]) -> Iterable[Problem]:
        yield from arguments.text(given, "name", arguments.NAME, arguments.NAME_ALLOWED)
        yield from arguments.matching(given, "secret_arn", SECRET_ARN, "the ARN of a secret")
        yield from arguments.text(
            given, "json_key", JSON_KEY, "the name of a value in the secret's JSON object"
        )
        yield from arguments.matching(given, "kms_key_arn", arguments.KEY_ARN, "the ARN of a KMS key")
        yield from arguments.filled(given, "origins", "a secret that may go nowhere is of no use")
        known = given.get("origins", [])
        if not isinstance(known, list):
            yield Problem("origins", known, "a list of origins of the upstreams")
            return
        for index, each in enumerate(known):
            if each not in origins:
                allowed = f"the origin of one of the upstreams: {', '.join(map(str, origins))}"
                yield Problem(f"origins[{index}]", each, allowed)

    yield from arguments.each_of(args, "secrets", SecretArgs, inside)
    yield from arguments.distinct(args, "secrets", "name")
    given = args.get("secrets")
    if isinstance(given, list) and len(given) > MOST_SECRETS:
        yield Problem("secrets", f"{len(given)} secrets", f"at most {MOST_SECRETS}")


def _egress_problems(args: Args) -> Iterable[Problem]:
    yield from arguments.each_of(args, "egress", EgressArgs, _one_egress)
    yield from arguments.distinct(args, "egress", "name")
    yield from arguments.filled(args, "egress", "somebody has to call")
    given = args.get("egress")
    if isinstance(given, list) and len(given) > MOST_EGRESSES:
        yield Problem("egress", f"{len(given)} functions", f"at most {MOST_EGRESSES}")


def _one_egress(given: dict[str, object]) -> Iterable[Problem]:
    yield from arguments.text(given, "name", arguments.NAME, arguments.NAME_ALLOWED)
    if given.get("name") in {"machine", "orchestrator", "start"}:
        yield Problem("name", given["name"], "a name that is not of a part of the retrier")
    yield from arguments.matching(given, "function_arn", arguments.FUNCTION_ARN, "the ARN of a function")
    yield from arguments.matching_each(given, "subnet_ids", SUBNET_ID, "the id of a subnet, subnet-0a1b2c3d")
    yield from arguments.matching_each(given, "security_group_ids", GROUP_ID, "the id of a security group")
    yield from arguments.together(given, "subnet_ids", "security_group_ids")
    for key in ("subnet_ids", "security_group_ids"):
        yield from arguments.filled(given, key, "a function in a network is in a subnet and a group")
    if "function_arn" in given:
        reason = "the function exists, and keeps its own network"
        yield from arguments.without(given, ["subnet_ids", "security_group_ids"], reason)


def _access_problems(args: Args) -> Iterable[Problem]:
    yield from arguments.one_of(args, "workflow", WORKFLOWS)
    yield from arguments.one_of(args, "access", ACCESS)
    yield from arguments.matching_each(
        args, "caller_arns", PRINCIPAL_ARN, "the ARN of a role, a user or an account"
    )
    if args.get("access", "iam") != "iam":
        yield from arguments.without(args, ["caller_arns"], "nobody signs: access is not iam")
    if args.get("access") == "none":
        yield from arguments.without(args, ["reserved_concurrency"], "there is no orchestrator")
    if args.get("access") == "none" or args.get("workflow") == "standard":
        reason = "outcomes are kept by the state machine, or by nobody"
        yield from arguments.without(args, ["kept_seconds"], reason)


def _retry_problems(args: Args) -> Iterable[Problem]:
    yield from _choices(
        args, "statuses", range(LOWEST_STATUS, HIGHEST_STATUS + 1), "statuses from 400 to 599"
    )
    yield from _choices(args, "failures", FAILURES, f"some of {', '.join(FAILURES)}")
    yield from _choices(args, "methods", rules.METHODS, f"some of {', '.join(rules.METHODS)}")
    yield from arguments.between(args, "attempts", 1, MOST_ATTEMPTS, "attempts")
    standard = args.get("workflow") == "standard"
    longest = LONGEST_STANDARD_SECONDS if standard else LONGEST_EXPRESS_SECONDS
    yield from arguments.between(args, "deadline_seconds", 1, longest, "seconds")
    yield from arguments.between(args, "timeout_seconds", 1, LONGEST_TIMEOUT_SECONDS, "seconds")
    yield from arguments.between(args, "base_seconds", 1, LONGEST_WAIT_SECONDS, "seconds")
    yield from arguments.between(args, "cap_seconds", 1, LONGEST_WAIT_SECONDS, "seconds")
    yield from arguments.between(args, "shared_pause_seconds", 0, 86_400, "seconds")
    yield from arguments.between(args, "kept_seconds", 60, MOST_KEPT_SECONDS, "seconds")
    base, cap = args.get("base_seconds", BASE_SECONDS), args.get("cap_seconds", CAP_SECONDS)
    if isinstance(base, int) and isinstance(cap, int) and cap < base <= LONGEST_WAIT_SECONDS:
        yield Problem("cap_seconds", cap, f"at least base_seconds, which is {base}")


def _choices(args: Args, key: str, known: Iterable[object], allowed: str) -> Iterable[Problem]:
    given, choices = args.get(key, []), list(known)
    if not isinstance(given, list):
        yield Problem(key, given, f"a list of {allowed}")
        return
    for index, each in enumerate(given):
        if isinstance(each, bool) or each not in choices:
            yield Problem(f"{key}[{index}]", each, allowed)


def _circuit_problems(given: dict[str, object]) -> Iterable[Problem]:
    yield from arguments.flag(given, "enabled")
    yield from arguments.between(given, "failure_percent", 1, 100, "percent")
    yield from arguments.between(given, "minimum_calls", 1, 10_000, "calls")
    yield from arguments.between(given, "window_seconds", 1, 3600, "seconds")
    yield from arguments.between(given, "open_seconds", 1, 3600, "seconds")


def _answer_problems(args: Args) -> Iterable[Problem]:
    yield from arguments.text(args, "idempotency_header", HEADER, "the name of a header in lower case")
    if args.get("idempotency_header") in NOT_FOR_KEYS:
        allowed = "a header that means nothing else"
        yield Problem("idempotency_header", args["idempotency_header"], allowed, "idempotency-key")
    yield from arguments.texts(
        args, "response_headers", HEADERS, "a header's name in lower case, or its beginning and *"
    )
    given = args.get("response_headers", [])
    for index, each in enumerate(given if isinstance(given, list) else []):
        hit = [name for name in NEVER_BACK if isinstance(each, str) and _stands_for(each, name)]
        if hit:
            allowed = f"a header that is the upstream's own, not {', '.join(sorted(hit))}"
            yield Problem(f"response_headers[{index}]", each, allowed)


def _stands_for(pattern: str, name: str) -> bool:
    """Whether a header's name, or its beginning and ``*``, means a name, or names that begin so."""
    if not pattern.endswith("*"):
        return pattern == name or (name.endswith("-") and pattern.startswith(name))
    return name.startswith(pattern[:-1]) or pattern.startswith(name)


def _function_problems(args: Args) -> Iterable[Problem]:
    yield from arguments.between(args, "memory_mb", 128, 10_240, "MB")
    yield from arguments.between(args, "reserved_concurrency", 1, 10_000, "runs at once")
    yield from arguments.one_of(args, "architecture", ("x86_64", "arm64"))
    yield from arguments.flag(args, "tracing")


def egresses(args: RetrierArgs) -> list[EgressArgs]:
    """Return the functions that call."""
    return args.get("egress") or [{"name": EGRESS}]


def rules_of(args: RetrierArgs) -> Rules:
    """Return what the functions are told."""
    return Rules(
        upstreams=tuple(
            rules.Upstream(
                each["origin"],
                rules.Pace(each["calls"], each.get("seconds", 1), each.get("burst", 1))
                if "calls" in each
                else None,
            )
            for each in args["upstreams"]
        ),
        private_networks=tuple(args.get("private_networks", [])),
        secrets=tuple(
            rules.Secret(each["name"], tuple(each["origins"]), each.get("json_key"))
            for each in args.get("secrets", [])
        ),
        statuses=tuple(args.get("statuses", STATUSES)),
        failures=tuple(args.get("failures", FAILURES)),
        methods=repeated(args),
        attempts=args.get("attempts", ATTEMPTS),
        deadline_seconds=deadline(args),
        timeout_seconds=args.get("timeout_seconds", TIMEOUT_SECONDS),
        base_seconds=args.get("base_seconds", BASE_SECONDS),
        cap_seconds=args.get("cap_seconds", CAP_SECONDS),
        shared_pause_seconds=args.get("shared_pause_seconds", SHARED_PAUSE_SECONDS),
        idempotency_header=args.get("idempotency_header", "idempotency-key"),
        response_headers=tuple(args.get("response_headers", RESPONSE_HEADERS)),
        circuit=_circuit(args.get("circuit", {}), args.get("timeout_seconds", TIMEOUT_SECONDS)),
    )


def deadline(args: RetrierArgs) -> int:
    """Return when a call ends at the latest, in seconds."""
    return args.get("deadline_seconds", DEADLINE_SECONDS)


def repeated(args: RetrierArgs) -> tuple[str, ...]:
    """Return which methods may be sent again without an idempotency key."""
    return tuple(args.get("methods", REPEATED))


def _circuit(given: CircuitArgs, timeout_seconds: int) -> rules.Circuit | None:
    if not given.get("enabled", True):
        return None
    return rules.Circuit(
        failure_percent=given.get("failure_percent", CIRCUIT.failure_percent),
        minimum_calls=given.get("minimum_calls", CIRCUIT.minimum_calls),
        window_seconds=given.get("window_seconds", CIRCUIT.window_seconds),
        open_seconds=given.get("open_seconds", CIRCUIT.open_seconds),
        probe_seconds=timeout_seconds + STARTING_SECONDS,
    )


NOT_FROM_A_QUEUE = Problem(
    "workflow",
    "standard",
    "express, where calls come from a queue: a message waits for its outcome, and comes again if it failed",
)


class CallsFromQueue(TypedDict):
    """The arguments of a consumer whose messages are calls, as far as they do not depend on resources."""

    code: str
    entry: str
    timeout_seconds: int
    batch_size: int
    poison_errors: list[str]
    idempotency: Idempotency


def calls_from_queue(args: RetrierArgs) -> CallsFromQueue:
    """Return what makes a consumer's messages calls: one at a time, each with the time that it may take."""
    return {
        "code": str(QUEUED_CALLS),
        "entry": "queued_calls:record_handler",
        "timeout_seconds": deadline(args) + 2 * STARTING_SECONDS,
        "batch_size": 1,
        "poison_errors": ["queued_calls.UnmakeableCallError", "queued_calls.RefusedError"],
        "idempotency": {
            "key": "powertools_json(body).idempotency_key || messageId",
            "payload": "powertools_json(body).[method, url, headers, body, body_base64]",
        },
    }
