"""What a consumer is told, and what can be wrong with it."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, TypedDict, cast

import jmespath
import pulumi
from jmespath.exceptions import JMESPathError

from sluice.sqs import FIFO_SUFFIX

from . import archives, arguments, locks, user_code
from .arguments import Problem
from .door_queues import MOST_RECEIVES, QUEUE_ARN, QUEUE_URL, one_queue
from .message_queues import LONGEST_VISIBILITY_SECONDS

LAYER_LOCK = archives.HANDLERS / "layers" / "consumer.txt"
ENTRY = "consumer:record_handler"
TIMEOUT_SECONDS = 30
LONGEST_TIMEOUT_SECONDS = 900
BATCH_SIZE = 10
LARGEST_BATCH = 10_000
BATCH_WITHOUT_WINDOW = 10
"""A larger batch needs a batching window ("Lambda parameters for Amazon SQS event source mappings")."""
FIFO_BATCH = 10
"""The largest batch of a FIFO queue, which has no window either (the same page)."""
LONGEST_WINDOW_SECONDS = 300
VISIBILITY_FACTOR = 6
"""The queue's visibility timeout over the function's ("Using Lambda with Amazon SQS", Lambda guide)."""
RETRY_BASE_SECONDS = 2
RETRY_CAP_SECONDS = 300
FEWEST_POLLERS = 2
MOST_MINIMUM_POLLERS = 200
MOST_POLLERS = 2000
"""What every Region takes ("ProvisionedPollerConfig", Lambda API reference)."""
RUNS_OF_A_POLLER = 10
RUNS_OF_NO_LIMIT = 1000
"""How many runs pollers ask for ("Configuring scaling behavior for SQS event source mappings")."""
MINIMUM_POLLERS = 2
MAXIMUM_POLLERS = 200
MOST_FILTERS = 10
"""More than five need a raised quota ("Control which events Lambda sends to your function")."""
LONGEST_FILTER = 4096
COMPARISONS = {"prefix", "suffix", "anything-but", "exists", "numeric", "equals-ignore-case"}
REPEATS_SECONDS = 4 * 24 * 60 * 60
MOST_REPEATS_SECONDS = 366 * 24 * 60 * 60
MESSAGE_KEY = "messageId"
LONGEST_PATH = 200
"""Characters of a JMESPath: it is in the function's environment."""
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]+")
LARGEST_ENVIRONMENT = 3072
"""Bytes of what the user has set: Lambda takes 4 KB, and names, URLs and tables of ours need some."""
RESERVED_ENVIRONMENT = re.compile(r"(AWS|LAMBDA|SLUICE|POWERTOOLS)_.*|_.*")
TABLE_KEY_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,255}")
IMAGE_URI = re.compile(
    r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9._/-]+(:[\w.-]{1,128}(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})",
    re.ASCII,
)
POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]+", re.ASCII)
MOST_POLICIES = 10
"""Of one role ("IAM and AWS STS quotas")."""
ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
ERROR_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
LONGEST_ERROR_NAMES = 512
"""Characters of all names together: they are in the function's environment."""
POWERTOOLS_FUNCTIONS = {"powertools_json", "powertools_base64", "powertools_base64_gzip"}
JMESPATH_FUNCTIONS = POWERTOOLS_FUNCTIONS | set(jmespath.functions.Functions.FUNCTION_TABLE)


class Pollers(TypedDict):
    """Pollers that are kept for one queue alone, and paid for."""

    minimum: NotRequired[int]
    """How many there always are, 2 to 200. Default: 2."""
    maximum: NotRequired[int]
    """How many there can be, 2 to 2,000, each good for some 1 MB or 10 batches a second. Default: 200."""


class Idempotency(TypedDict):
    """How a message that comes again is known, and not handled twice."""

    key: NotRequired[str]
    """What makes two messages the same, as a JMESPath of the record (``powertools_json(body).orderId``); one
    without it is given up. Default: ``messageId``, the same each time that SQS delivers one message."""
    payload: NotRequired[str]
    """What must be equal besides, as a JMESPath; a message with a known key and another payload is given up.
    Default: nothing is compared."""
    expires_after_seconds: NotRequired[int]
    """How long a handled message is known, in seconds, 60 to 31,622,400 (a year).
    Default: 345,600 (4 days)."""


class QueueToDrain(TypedDict):
    """The arguments that a front door gives to a consumer."""

    queue_arn: pulumi.Input[str]
    queue_url: pulumi.Input[str]
    queue_visibility_timeout_seconds: NotRequired[int]
    queue_max_receive_count: NotRequired[int]
    queue_fifo: NotRequired[bool]
    dead_letter_queue_arn: NotRequired[pulumi.Input[str]]
    dead_letter_queue_url: NotRequired[pulumi.Input[str]]


class ConsumerArgs(TypedDict):
    """What `Consumer` takes: the queue, one of ``code``, ``image_uri`` and ``function_arn``, and the rest."""

    queue_arn: pulumi.Input[str]
    """The queue to drain."""
    queue_url: pulumi.Input[str]
    """The URL of that queue."""
    queue_visibility_timeout_seconds: int
    """The queue's visibility timeout, in seconds: at least 6 times ``timeout_seconds`` and
    ``batching_window_seconds``, or a slow batch is delivered twice."""
    queue_max_receive_count: NotRequired[int]
    """After how many receives the queue gives a message up, 1 to 1,000. With the dead-letter queue's ARN and
    URL the consumer does it at the last receive, and writes down why. Default: unknown, only SQS does."""
    queue_fifo: NotRequired[bool]
    """Whether the queue is FIFO. Default: what its ARN says; false where that is an output."""
    dead_letter_queue_arn: NotRequired[pulumi.Input[str]]
    """The queue where messages that are given up wait; with ``dead_letter_queue_url``. Default: unknown."""
    dead_letter_queue_url: NotRequired[pulumi.Input[str]]
    """The URL of that queue. Default: unknown."""
    code: NotRequired[str]
    """The folder of your code; what is in it goes to the root of the function's archive. Default: none."""
    entry: NotRequired[str]
    """The function that handles one record, as ``module:function``. It is called with a Powertools
    ``SQSRecord``; to return is success, to raise is failure. Default: ``consumer:record_handler``; for an
    image none, it handles batches itself."""
    requirements: NotRequired[str]
    """A lock file of the packages that your code needs, each with its exact version and hashes; they become
    a layer, built for the function's Python and processor. Default: none."""
    image_uri: NotRequired[pulumi.Input[str]]
    """A container image in ECR instead of ``code``, by tag or digest. With ``entry`` it must hold the
    packages ``sluice`` and ``aws-lambda-powertools``. Default: none."""
    function_arn: NotRequired[pulumi.Input[str]]
    """A function of yours instead of ``code``; it takes batches and answers with ``batchItemFailures``.
    Default: none."""
    function_role_name: NotRequired[pulumi.Input[str]]
    """The role of ``function_arn``, which is then let drain the queue. Default: it may already."""
    enabled: NotRequired[bool]
    """Whether the queue is drained; false lets messages wait in it, untouched. Default: true."""
    environment: NotRequired[dict[str, pulumi.Input[str]]]
    """Environment variables for your code. Default: none."""
    policy_arns: NotRequired[list[pulumi.Input[str]]]
    """Policies of yours for the function's role: what your code needs besides, at most 10. Default: none."""
    table: NotRequired[str]
    """The partition key (a string) of a DynamoDB table of the function's own. Its name is in
    ``SLUICE_TABLE``. Default: no table."""
    timeout_seconds: NotRequired[int]
    """How long the function may take for a batch, in seconds, 1 to 900; with ``function_arn`` what is set
    there. Default: 30."""
    memory_mb: NotRequired[int]
    """The function's memory, in MB, 128 to 10,240. Default: 256."""
    architecture: NotRequired[str]
    """The function's processor: ``x86_64`` or ``arm64``. Default: ``x86_64``."""
    batch_size: NotRequired[int]
    """How many messages the function gets at once, 1 to 10,000; of a FIFO queue 1 to 10. Default: 10."""
    batching_window_seconds: NotRequired[int]
    """How long to wait for a batch to fill, in seconds, 0 to 300; at least 1 for a batch over 10, and none
    for a FIFO queue. Default: 0."""
    maximum_concurrency: NotRequired[int]
    """How many batches are handled at once, 2 to 1,000; not with ``provisioned_pollers``.
    Default: no limit but the account's."""
    provisioned_pollers: NotRequired[Pollers]
    """Pollers kept for this queue alone, which follow a sudden load three times as fast and cost by the hour;
    not with ``maximum_concurrency``. Default: Lambda's shared ones."""
    reserved_concurrency: NotRequired[int]
    """How many runs of the function are set aside for it, and are its most, 1 to 10,000; at least
    ``maximum_concurrency``, which it needs beside it, or ten for each of ``provisioned_pollers.maximum``.
    Default: none, it shares the account's."""
    filters: NotRequired[list[dict[str, Any]]]
    """Which messages to handle: patterns like ``{"body": {"kind": ["order"]}}``, one of which must fit, at
    most 10 (over 5 by a raised quota). Lambda **deletes** what fits none, so no other consumer may drain
    this queue. Default: all messages."""
    retry_base_seconds: NotRequired[int]
    """How long a failed record waits before its second try, in seconds, 0 to 43,200; the wait doubles with
    each try, less a random part of up to a half. Default: 2."""
    retry_cap_seconds: NotRequired[int]
    """The longest wait before another try, in seconds, 0 to 43,200. Default: 300."""
    poison_errors: NotRequired[list[str]]
    """Exceptions after which no other try is made, as ``Class`` or ``module.Class``, subclasses with them:
    the message goes straight to the dead-letter queue. Default: none."""
    idempotency: NotRequired[Idempotency]
    """Whether a message that was handled is not handled again, by a DynamoDB table of its own.
    Default: it is handled again."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """A customer key: the queue's, and for the function's environment, its log and its tables. Default: AWS's
    own keys."""
    log_retention_days: NotRequired[int]
    """How long the function's log is kept, in days. Default: 30."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """The SNS topic that the alarms tell; without it there are no alarms. Default: none."""


SOURCES = ("code", "image_uri", "function_arn")
"""Where the function comes from: exactly one of these."""
OF_OUR_FUNCTION = (
    "entry", "requirements", "environment", "policy_arns", "table", "memory_mb", "architecture",
    "reserved_concurrency", "retry_base_seconds", "retry_cap_seconds", "poison_errors", "idempotency",
)  # fmt: skip
"""What a function that exists already is not told."""
OF_OUR_HANDLER = ("retry_base_seconds", "retry_cap_seconds", "poison_errors", "idempotency")
"""What our handler does, and an image's own does not."""
Args = Mapping[str, object]


def runs_our_handler(args: Args) -> bool:
    """Whether our handler calls the user's code record by record."""
    return "code" in args or ("image_uri" in args and "entry" in args)


def gives_up(args: Args) -> bool:
    """Whether the consumer knows where to put what it gives up."""
    return "dead_letter_queue_url" in args and runs_our_handler(args)


def problems(args: ConsumerArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    given = cast(Args, args)
    return [
        *_queue_problems(given),
        *_source_problems(given),
        *_function_problems(given),
        *_batch_problems(given),
        *_concurrency_problems(given),
        *_filter_problems(given),
        *_retry_problems(given),
        *_poison_problems(given),
        *_idempotency_problems(given),
        *arguments.shared(args),
    ]


def _queue_problems(args: Args) -> Iterable[Problem]:
    yield from arguments.between(
        args, "queue_visibility_timeout_seconds", 0, LONGEST_VISIBILITY_SECONDS, "seconds"
    )
    yield from arguments.between(args, "queue_max_receive_count", 1, MOST_RECEIVES, "receives")
    yield from arguments.flag(args, "queue_fifo")
    yield from arguments.matching(args, "dead_letter_queue_arn", QUEUE_ARN, "the ARN of a queue")
    yield from arguments.matching(args, "dead_letter_queue_url", QUEUE_URL, "the URL of that queue")
    yield from arguments.together(args, "dead_letter_queue_arn", "dead_letter_queue_url")
    yield from arguments.matching(args, "queue_arn", QUEUE_ARN, "the ARN of a queue")
    yield from arguments.matching(args, "queue_url", QUEUE_URL, "the URL of that queue")
    for prefix in ("", "dead_letter_"):
        keys = {key: args.get(f"{prefix}{key}") for key in ("queue_arn", "queue_url")}
        plain = {key: value for key, value in keys.items() if isinstance(value, str)}
        if QUEUE_ARN.fullmatch(plain.get("queue_arn", "")) and QUEUE_URL.fullmatch(
            plain.get("queue_url", "")
        ):
            yield from (each.under(prefix) for each in one_queue(plain))
    arn, dead_arn = args.get("queue_arn"), args.get("dead_letter_queue_arn")
    both = isinstance(arn, str) and isinstance(dead_arn, str)
    if both and str(arn).endswith(FIFO_SUFFIX) != str(dead_arn).endswith(FIFO_SUFFIX):
        yield Problem("dead_letter_queue_arn", dead_arn, "FIFO if the queue is, and only then")


def _source_problems(args: Args) -> Iterable[Problem]:
    given = [key for key in SOURCES if key in args]
    if len(given) != 1:
        value = " and ".join(given) or None
        yield Problem("code", value, "one of code, image_uri and function_arn: where the function comes from")
    yield from user_code.problems(args.get("code"), args.get("entry", ENTRY))
    yield from arguments.matching(args, "entry", user_code.ENTRY_PATTERN, "module:function")
    yield from locks.problems(args.get("requirements"), LAYER_LOCK)
    yield from arguments.matching(
        args, "image_uri", IMAGE_URI, "an image in ECR with its tag or digest: ACCOUNT.dkr.ecr.REGION..."
    )
    yield from arguments.matching(
        args, "function_arn", arguments.FUNCTION_ARN, "the ARN of a function in the queue's Region"
    )
    yield from arguments.matching(args, "function_role_name", ROLE_NAME, "the name of a role")
    if "function_arn" not in args:
        yield from arguments.without(args, ["function_role_name"], "there is no function_arn")
    if given == ["image_uri"]:
        yield from arguments.without(args, ["requirements"], "an image holds its packages")
        if "entry" not in args:
            yield from arguments.without(
                args, OF_OUR_HANDLER, "without entry the image handles batches itself"
            )
    if given == ["function_arn"]:
        yield from arguments.without(args, OF_OUR_FUNCTION, "the function exists, and keeps its own settings")


def _function_problems(args: Args) -> Iterable[Problem]:
    yield from _environment_problems(args)
    yield from arguments.matching_each(args, "policy_arns", POLICY_ARN, "the ARN of a policy")
    given = args.get("policy_arns")
    if isinstance(given, list) and len(given) > MOST_POLICIES:
        yield Problem("policy_arns", f"{len(given)} policies", f"at most {MOST_POLICIES}")
    yield from arguments.matching(args, "table", TABLE_KEY_PATTERN, "the name of a DynamoDB attribute")
    yield from arguments.between(args, "timeout_seconds", 1, LONGEST_TIMEOUT_SECONDS, "seconds")
    yield from _visibility_problems(args)
    yield from arguments.flag(args, "enabled")
    yield from arguments.between(args, "memory_mb", 128, 10_240, "MB")
    yield from arguments.one_of(args, "architecture", ("x86_64", "arm64"))


def _environment_problems(args: Args) -> Iterable[Problem]:
    yield from arguments.text_map(args, "environment")
    given = args.get("environment")
    if not isinstance(given, dict):
        return
    for name in map(str, given):
        if not ENVIRONMENT_NAME.fullmatch(name):
            yield Problem("environment", name, "names of at least two letters, digits and _, a letter first")
        elif RESERVED_ENVIRONMENT.fullmatch(name):
            allowed = "a name without AWS_, LAMBDA_, POWERTOOLS_, SLUICE_ or _ in front"
            yield Problem(f"environment.{name}", "(reserved)", allowed)
    size = sum(len(f"{name}{value}".encode()) for name, value in given.items() if isinstance(value, str))
    # Of what we add, these alone are as long as the user likes.
    ours = len(json.dumps([args.get(key) for key in ("entry", "poison_errors", "idempotency")], default=str))
    if size + ours > LARGEST_ENVIRONMENT:
        allowed = (
            f"at most {max(0, LARGEST_ENVIRONMENT - ours)} bytes in all, beside {ours} of other arguments"
        )
        yield Problem("environment", f"{size} bytes", allowed)


def _visibility_problems(args: Args) -> Iterable[Problem]:
    timeout = args.get("timeout_seconds", TIMEOUT_SECONDS)
    visibility = args.get("queue_visibility_timeout_seconds")
    window = args.get("batching_window_seconds", 0)
    if not isinstance(timeout, int) or not isinstance(visibility, int) or not isinstance(window, int):
        return
    least = VISIBILITY_FACTOR * timeout + window
    if visibility >= least:
        return
    raised = f"raise the queue's visibility_timeout_seconds to {least}"
    fitting = (visibility - window) // VISIBILITY_FACTOR
    less = f" less the batching window's {window}" if window else ""
    yield Problem(
        "timeout_seconds",
        timeout,
        f"at most a {VISIBILITY_FACTOR}th of the queue's visibility timeout, {visibility} seconds{less}",
        f"lower it to {fitting}, or {raised}" if fitting > 0 else raised,
    )


def is_fifo(args: Args) -> bool:
    """Whether the queue is known to be FIFO."""
    arn = args.get("queue_arn")
    return args.get("queue_fifo") is True or (isinstance(arn, str) and arn.endswith(FIFO_SUFFIX))


def _batch_problems(args: Args) -> Iterable[Problem]:
    yield from arguments.between(args, "batch_size", 1, LARGEST_BATCH, "messages")
    yield from arguments.between(args, "batching_window_seconds", 0, LONGEST_WINDOW_SECONDS, "seconds")
    size, window = args.get("batch_size", BATCH_SIZE), args.get("batching_window_seconds", 0)
    if not isinstance(size, int) or not isinstance(window, int):
        return
    if is_fifo(args):
        if size > FIFO_BATCH:
            yield Problem("batch_size", size, f"at most {FIFO_BATCH}: the queue is FIFO")
        if window:
            yield Problem("batching_window_seconds", window, "0: Lambda has no window for a FIFO queue")
    elif size > BATCH_WITHOUT_WINDOW and window == 0:
        yield Problem("batching_window_seconds", window, "at least 1, since batch_size is over 10")


def _concurrency_problems(args: Args) -> Iterable[Problem]:
    yield from arguments.between(args, "maximum_concurrency", 2, 1000, "batches at once")
    yield from arguments.between(args, "reserved_concurrency", 1, 10_000, "runs at once")
    yield from arguments.map_of(args, "provisioned_pollers", Pollers, _poller_problems)
    yield from _reserve_problems(args)
    if "maximum_concurrency" in args and "provisioned_pollers" in args:
        yield Problem(
            "maximum_concurrency",
            args["maximum_concurrency"],
            "nothing: it does not go with provisioned_pollers",
            "remove either",
        )


def _reserve_problems(args: Args) -> Iterable[Problem]:
    """Report fewer runs than pollers ask for: what Lambda refuses was received, and dies of that at last."""
    reserved, most, pollers = (
        args.get(key) for key in ("reserved_concurrency", "maximum_concurrency", "provisioned_pollers")
    )
    if not isinstance(reserved, int):
        return
    if isinstance(pollers, dict):
        asked = arguments.present(pollers).get("maximum", MAXIMUM_POLLERS)
        least = RUNS_OF_A_POLLER * asked if isinstance(asked, int) else 0
        allowed = f"at least {least}, {RUNS_OF_A_POLLER} for each poller"
    elif isinstance(most, int):
        least, allowed = most, f"at least maximum_concurrency, {most}"
    else:
        least, allowed = (
            RUNS_OF_NO_LIMIT,
            "nothing without maximum_concurrency: pollers ask for up to 1,000 runs",
        )
    if reserved < least:
        yield Problem("reserved_concurrency", reserved, f"{allowed}; what is refused is received in vain")


def _poller_problems(given: dict[str, object]) -> Iterable[Problem]:
    yield from arguments.between(given, "minimum", FEWEST_POLLERS, MOST_MINIMUM_POLLERS, "pollers")
    yield from arguments.between(given, "maximum", FEWEST_POLLERS, MOST_POLLERS, "pollers")
    low, high = given.get("minimum", MINIMUM_POLLERS), given.get("maximum", MAXIMUM_POLLERS)
    if isinstance(low, int) and isinstance(high, int) and high < low:
        yield Problem("maximum", high, f"at least minimum, which is {low}")


def _filter_problems(args: Args) -> Iterable[Problem]:
    given = args.get("filters", [])
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        yield Problem("filters", given, 'a list of patterns like {"body": {"kind": ["order"]}}')
        return
    yield from arguments.filled(args, "filters", "no filter lets everything through")
    if len(given) > MOST_FILTERS:
        yield Problem("filters", f"{len(given)} filters", f"at most {MOST_FILTERS}")
    for index, each in enumerate(given):
        yield from _pattern_problems(each, f"filters[{index}]")


def _pattern_problems(pattern: dict[str, object], path: str) -> Iterable[Problem]:
    # "Using event filtering with an Amazon SQS event source": on the body alone.
    for key in pattern.keys() - {"body"}:
        yield Problem(f"{path}.{key}", key, "body alone: Lambda filters SQS's messages by nothing else")
    if "body" not in pattern:
        yield Problem(path, pattern, 'a pattern of the body: {"body": {...}}')
    try:
        size = len(json.dumps(pattern, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        yield Problem(path, "(not shown)", "a pattern: maps of lists of texts, finite numbers, truth values")
        return
    if size > LONGEST_FILTER:
        yield Problem(path, f"{size} characters", f"at most {LONGEST_FILTER} as JSON")
    if "body" in pattern:
        yield from _leaf_problems(pattern["body"], f"{path}.body")


def _leaf_problems(value: object, path: str) -> Iterable[Problem]:
    """Report what is no pattern ("Control which events Lambda sends to your function": rule syntax)."""
    if isinstance(value, list) and path.endswith(".$or"):
        for index, inner in enumerate(value):
            yield from _leaf_problems(inner, f"{path}[{index}]")
    elif isinstance(value, list):
        for index, rule in enumerate(value):
            known = rule.keys() & COMPARISONS if isinstance(rule, dict) else [rule]
            if isinstance(rule, list) or len(known) != 1:
                allowed = f"a text, a number, true, false, null, or one of {', '.join(sorted(COMPARISONS))}"
                yield Problem(f"{path}[{index}]", rule, allowed)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaf_problems(inner, f"{path}.{key}")
    else:
        yield Problem(path, value, "a list of what may be there", f"write [{json.dumps(value)}]")
    if value in ([], {}):
        yield Problem(path, value, "what may be there: nothing fits an empty pattern")


def _retry_problems(args: Args) -> Iterable[Problem]:
    for key in ("retry_base_seconds", "retry_cap_seconds"):
        yield from arguments.between(args, key, 0, LONGEST_VISIBILITY_SECONDS, "seconds")
    base = args.get("retry_base_seconds", RETRY_BASE_SECONDS)
    cap = args.get("retry_cap_seconds", RETRY_CAP_SECONDS)
    if isinstance(base, int) and isinstance(cap, int) and cap < base <= LONGEST_VISIBILITY_SECONDS:
        yield Problem("retry_cap_seconds", cap, f"at least retry_base_seconds, which is {base}")


def _poison_problems(args: Args) -> Iterable[Problem]:
    given = args.get("poison_errors")
    yield from arguments.texts(args, "poison_errors", ERROR_NAME, "the name of an exception's class")
    yield from arguments.filled(args, "poison_errors", "it names what is not to be tried again")
    if not given or not isinstance(given, list):
        return
    size = len(",".join(map(str, given)))
    if size > LONGEST_ERROR_NAMES:
        yield Problem("poison_errors", f"{size} characters", f"at most {LONGEST_ERROR_NAMES} in all")
    if "dead_letter_queue_arn" not in args:
        allowed = "nothing: where would they go? dead_letter_queue_arn is not given"
        yield Problem("poison_errors", given, allowed, "give the dead-letter queue's ARN and URL")


def _idempotency_problems(args: Args) -> Iterable[Problem]:
    def inside(given: dict[str, object]) -> Iterable[Problem]:
        yield from _path_problems(given, "key")
        yield from _path_problems(given, "payload")
        yield from arguments.between(given, "expires_after_seconds", 60, MOST_REPEATS_SECONDS, "seconds")

    return arguments.map_of(args, "idempotency", Idempotency, inside)


def _path_problems(given: dict[str, object], key: str) -> Iterable[Problem]:
    value = given.get(key)
    if value is None:
        return
    allowed = "a JMESPath of the record, as powertools_json(body).orderId"
    try:
        # An empty one is none to JMESPath, and would stand for the whole record.
        parsed = jmespath.compile(value) if isinstance(value, str) and value else None
    except JMESPathError as error:
        yield Problem(key, value, f"{allowed}: {' '.join(str(error).split())}")
        return
    if parsed is None:
        yield Problem(key, value, allowed)
        return
    if len(str(value)) > LONGEST_PATH:
        yield Problem(key, value, f"at most {LONGEST_PATH} characters")
    for name in sorted(_called(parsed.parsed) - JMESPATH_FUNCTIONS):
        yield Problem(key, value, f"functions of JMESPath and Powertools; there is no {name}")


def _called(node: object) -> set[str]:
    """Return the names of the functions that an expression calls."""
    if isinstance(node, list):
        return set[str]().union(*map(_called, node))
    if not isinstance(node, dict):
        return set()
    own = {str(node["value"])} if node.get("type") == "function_expression" else set()
    return own | _called(node.get("children", []))
