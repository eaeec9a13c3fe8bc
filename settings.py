"""The stack's settings: Pulumi's raw config map in, the components' arguments out, every problem at once.

The sections ``front_door``, ``authorizer``, ``limiter``, ``consumer``, ``retrier``, ``encryption_key`` and
``alarm_topic`` hold arguments of the components of these names; ``proxy`` holds what front door, authorizer
and limiter take together, and ``consumers`` stands for ``consumer`` where there are several.
Their keys and types are read off the components' own ``Args``, so nothing is said twice.
"""

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import GenericAlias
from typing import Any, NotRequired, cast, get_args, get_origin, is_typeddict

import pulumi
from pulumi.runtime import config
from pydantic import TypeAdapter, ValidationError

from components import (
    alarm_topic,
    arguments,
    authorizer_args,
    consumer_args,
    door_queues,
    encryption_key,
    front_door_args,
    limiter,
    proxy,
    retrier_args,
)
from components.alarm_topic import AlarmTopicArgs
from components.arguments import HIDDEN, Problem, Shared
from components.authorizer_args import Authorization, AuthorizerArgs, AuthorizerKind
from components.consumer_args import ConsumerArgs, QueueToDrain
from components.encryption_key import EncryptionKeyArgs
from components.front_door_args import FrontDoorArgs
from components.limiter import LimiterArgs
from components.proxy import ProxyArgs
from components.retrier_args import RetrierArgs

HERE = Path(__file__).parent
NAMESPACE = "sluice"
SHARED = ("kms_key_arn", "log_retention_days", "alarm_topic_arn")
"""What every component takes, set once beside the sections."""

TEXT_INPUT: Any = pulumi.Input[str]  # type: ignore[misc]
ENABLED = "enabled"
Values = dict[str, Any]
"""Settings by name, each of the type that the component's ``Args`` say."""


@dataclass(frozen=True)
class Section:
    """One key of the stack's config that holds the arguments of one component."""

    key: str
    shape: type
    """The component's ``Args``."""
    problems: Callable[[Any], list[Problem]]
    wired: Collection[str]
    """The arguments that come from other components and cannot be set."""
    stand_ins: Mapping[str, object] = field(default_factory=dict)
    """What those that are not there yet are taken for, while the others are checked."""
    derived: Collection[str] = ()
    """The arguments that follow from other sections where they are not set."""
    optional: bool = False
    """Whether the component is there only where its section says ``enabled``."""
    switched: bool = True
    """Whether an optional one needs that; else it is enough that its section is there."""
    also: Mapping[str, Any] = field(default_factory=dict)
    """What can be set beside the arguments, with its type."""
    needs: Collection[str] = ()
    """What of that must be set."""

    @property
    def types(self) -> dict[str, Any]:
        """The type of each argument that can be set."""
        hints = _settable(self.shape)
        switch = {ENABLED: bool} if self.optional and self.switched else {}
        own = {key: hint for key, hint in hints.items() if key not in (*self.wired, *SHARED)}
        return {**switch, **self.also, **own}

    @property
    def required(self) -> set[str]:
        """The arguments that must be set."""
        own = set(self.shape.__required_keys__) - {*self.wired, *self.derived}  # type: ignore[attr-defined]
        return own.union(self.needs)

    def is_absent(self, given: Mapping[str, object]) -> bool:
        """Whether the stack does without it, and nothing of it is to be checked."""
        return self.optional and not self.switched and not given

    def is_wanted(self, values: Values) -> bool:
        """Whether the component is to be made; takes the switch out of its arguments."""
        return not self.optional or bool(values.pop(ENABLED, False) if self.switched else values)


FRONT_DOOR = Section(
    "front_door",
    FrontDoorArgs,
    front_door_args.problems,
    wired=tuple(Authorization.__annotations__),
)
AUTHORIZER = Section("authorizer", AuthorizerArgs, authorizer_args.problems, wired=("proxy",))
PROXY = Section("proxy", ProxyArgs, proxy.problems_of, wired=(), optional=True, switched=False)
LIMITER = Section(
    "limiter",
    LimiterArgs,
    limiter.problems,
    wired=("access_log_name", "access_log_arn", "stage_arn", "api_name", "stage_name", "proxy"),
    stand_ins={
        "access_log_name": "log",
        "access_log_arn": "arn:aws:logs:us-east-1:123456789012:log-group:log",
        "stage_arn": "arn:aws:apigateway:us-east-1::/restapis/a/stages/v1",
        "api_name": "api",
        "stage_name": "v1",
    },
    optional=True,
)
CONSUMER = Section(
    "consumer",
    ConsumerArgs,
    consumer_args.problems,
    wired=("queue_arn", "queue_url"),
    derived=tuple(key for key in QueueToDrain.__annotations__ if key not in {"queue_arn", "queue_url"}),
    also={"queue": str, "calls": bool},
)
CONSUMERS = "consumers"
"""The key of several consumers, in the place of ``consumer``."""
RETRIER = Section("retrier", RetrierArgs, retrier_args.problems, wired=(), optional=True, switched=False)
ENCRYPTION_KEY = Section(
    "encryption_key", EncryptionKeyArgs, encryption_key.problems, wired=(), optional=True
)
ALARM_TOPIC = Section("alarm_topic", AlarmTopicArgs, alarm_topic.problems, wired=(), optional=True)
OF_A_GIVEN_QUEUE = "the visibility timeout of the queue that front_door.queue_arn names, in seconds"
REQUIRED = {
    "kind": f"one of {', '.join(AuthorizerKind)}",
    "name": f"a name: {arguments.NAME_ALLOWED}",
    "address_header": "the header in which the proxy sends the client's address",
    "secrets": "what the proxy shows, set with --secret",
    "upstreams": "who may be called, with at least an origin each",
}
"""What is allowed where a setting is required and missing."""
SECTIONS = (FRONT_DOOR, AUTHORIZER, PROXY, LIMITER, RETRIER, ENCRYPTION_KEY, ALARM_TOPIC)
"""All but those of the consumers, of which there may be several."""
DEAD_LETTERS = {
    "dead_letter_queue_arn": "arn:aws:sqs:us-east-1:123456789012:dead-letters",
    "dead_letter_queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters",
}
"""What a dead-letter queue that is to be made is taken for, while a consumer is checked."""
OF_OTHER_CODE = (
    *consumer_args.SOURCES, "entry", "requirements", "function_role_name", "environment", "policy_arns",
    "table", "poison_errors",
)  # fmt: skip
"""What a consumer that makes calls is not told: its code is ours."""
A_FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:decides"
"""What the authorizer's function is taken for, while the front door is checked."""


@dataclass(frozen=True)
class Drain:
    """What one consumer drains."""

    name: str | None
    """What tells it from others; none for the only one."""
    queue: str | None
    """What routes call its queue; none for the first."""
    door_queue: Mapping[str, object] | None
    """The front door's arguments of that queue; none if it has no such queue."""

    @classmethod
    def of(cls, door: Values, name: str | None, queue: str | None) -> "Drain":
        """Return what is meant by a name and a queue."""
        return cls(name, queue, door_queues.named(door, queue))

    def is_of_the_queue_of(self, other: "Drain") -> bool:
        """Whether both drain one queue, also one that exists and has two names here."""
        if self.door_queue is None or other.door_queue is None:
            return False
        arns = [each.door_queue.get("queue_arn") for each in (self, other) if each.door_queue]
        return self.door_queue is other.door_queue or (arns[0] is not None and arns[0] == arns[1])

    @property
    def component(self) -> str:
        """The component's name."""
        return CONSUMER.key if self.name is None else f"{CONSUMER.key}-{self.name}"

    @property
    def made(self) -> bool:
        """Whether the queue is made here."""
        return self.door_queue is not None and "queue_max_receive_count" in door_queues.to_drain(
            self.door_queue
        )


@dataclass(frozen=True)
class Worker:
    """One consumer that the stack has."""

    name: str
    """Of the component."""
    queue: str | None
    """What routes call the queue that it drains; none for the first."""
    makes_calls: bool
    """Whether its messages are calls for the retrier."""
    args: ConsumerArgs
    """Less what the front door gives."""


@dataclass(frozen=True)
class Settings:
    """The arguments that the stack gives to each component; none to one that it does without."""

    shared: Shared
    """What all of them take."""
    front_door: FrontDoorArgs
    authorizer: AuthorizerArgs
    """With the proxy in front of all, which it hands on."""
    limiter: LimiterArgs | None
    """Less what the front door gives: its access log and its stage."""
    retrier: RetrierArgs | None
    consumers: list[Worker]
    encryption_key: EncryptionKeyArgs | None
    alarm_topic: AlarmTopicArgs | None

    def key_policy_needs(self) -> pulumi.Output[str] | None:
        """Return what the policy of a key that is given must hold; none where none is given."""
        given = "kms_key_arn" in self.shared and self.encryption_key is None
        return encryption_key.statements_for_a_given_key() if given else None


class SettingsError(pulumi.RunError):
    """The stack's settings are wrong. Pulumi prints the message alone and exits with 1."""

    def __init__(self, problems: list[Problem]) -> None:
        """Tell all problems in one message."""
        self.problems = tuple(problems)
        count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        super().__init__("\n\n".join([f"Nothing was deployed: {count} wrong.", *map(str, problems)]))


def stack_settings() -> Settings:
    """Return the settings of the stack that is being deployed.

    Raises:
        SettingsError: with every problem of the settings and of all components' arguments.
    """
    raw = {**config.get_config_env(), **config.CONFIG.get()}
    marked = {key for key in raw if config.is_config_secret(key)}
    return load(raw, secret=marked.union(config.get_config_secret_keys_env()))


def load(raw: Mapping[str, Any], secret: Collection[str] = ()) -> Settings:
    """Return the settings in a raw config map: strings by ``namespace:key``, with JSON for what is nested.

    Args:
        raw: the config of all namespaces.
        secret: the keys that hold a secret. Pulumi marks a whole section for one secret in it, so the
            variables of a secret ``consumer`` become secret outputs, which no state holds in plain text.
    """
    mine = {
        key.removeprefix(f"{NAMESPACE}:"): value
        for key, value in raw.items()
        if key.startswith(f"{NAMESPACE}:")
    }
    workers, found = _workers(mine)
    shared, wrong = _shared(mine, workers)
    found += wrong
    values, wrong = _sections(mine, (*SECTIONS, *workers))
    found += wrong
    found += _doubly_given(values, shared)
    drains, wrong = _drained(values, workers)
    found += wrong
    found += _contradictions(values, drains, {each.path for each in found})
    if found:
        raise SettingsError([_named(each, secret) for each in found])
    wanted: dict[str, Any] = {
        each.key: values[each.key] if each.is_wanted(values[each.key]) else None for each in SECTIONS
    }
    if front := wanted.pop(PROXY.key):
        wanted[AUTHORIZER.key][PROXY.key] = front
    for each in workers:
        if f"{NAMESPACE}:{_top(each.key)}" in secret:
            _keep_secret(values[each.key])
    consumers = [
        Worker(
            drains[each.key].component,
            drains[each.key].queue,
            values[each.key].pop("calls", False),
            cast(ConsumerArgs, values[each.key]),
        )
        for each in workers
    ]
    return Settings(shared=cast(Shared, shared), consumers=consumers, **wanted)


def _workers(mine: dict[str, Any]) -> tuple[list[Section], list[Problem]]:
    """Return a section for each consumer, and put what is set of it under that section's key."""
    text = mine.pop(CONSUMERS, [])
    given = _read(text)
    if given in ([], ""):
        return [CONSUMER], []
    if _read(mine.pop(CONSUMER.key, {})):
        allowed = f"nothing beside {NAMESPACE}:{CONSUMERS}, which stands for all of them"
        return [], [Problem(CONSUMER.key, "(not shown)", allowed, "remove either")]
    if not isinstance(given, list):
        remedy = f"pulumi config set --path '{NAMESPACE}:{CONSUMERS}[0].KEY' VALUE"
        return [], [Problem(CONSUMERS, text, f"a list of maps of: name, {', '.join(CONSUMER.types)}", remedy)]
    several = [
        replace(CONSUMER, key=f"{CONSUMERS}[{index}]", also={**CONSUMER.also, "name": str}, needs=("name",))
        for index in range(len(given))
    ]
    mine |= {section.key: each for section, each in zip(several, given, strict=True)}
    return several, []


def _drained(
    values: Mapping[str, Values], workers: Collection[Section]
) -> tuple[dict[str, Drain], list[Problem]]:
    """Return what each consumer drains, and give it what follows from that queue."""
    door = values[FRONT_DOOR.key]
    drains: dict[str, Drain] = {}
    found: list[Problem] = []
    for section in workers:
        args = values[section.key]
        for key in ("code", "requirements"):
            if key in args:
                args[key] = str(HERE / args[key])
        drain = Drain.of(door, args.pop("name", None), args.pop("queue", None))
        wrong = [*_queue_problems(args, drain, door)]
        if args.get("calls"):
            wrong += _make_calls(args, values[RETRIER.key])
        for other, before in drains.items():
            wrong += _clashes(drain, before, other, filtered="filters" in {**args, **values[other]})
        drains[section.key] = drain
        found += [each.under(f"{section.key}.") for each in wrong]
        args |= door_queues.to_drain(drain.door_queue) if drain.door_queue is not None else {}
    return drains, found


def _make_calls(args: Values, retrier: Values) -> list[Problem]:
    """Let a consumer make calls of its messages, and return what is wrong with that."""
    found = [*arguments.without(args, OF_OTHER_CODE, "with calls the messages go to the retrier")]
    own: Values = {**retrier_args.calls_from_queue(cast(RetrierArgs, retrier))}
    each = own["timeout_seconds"]
    refused = _no_calls(retrier)
    if refused:
        # Else a time that follows from nothing would be told of as well.
        own.pop("timeout_seconds")
    sameness = {**own["idempotency"], **args.get("idempotency", {})}
    args |= {**own, **args, "idempotency": sameness}
    if refused:
        return [*found, refused]
    size, seconds = args["batch_size"], args["timeout_seconds"]
    if seconds < each * size:
        allowed = f"at least {each * size}: {each} for each call of a batch"
        found.append(Problem("timeout_seconds", seconds, allowed))
    return found


def _no_calls(retrier: Values) -> Problem | None:
    """Return why no message can become a call."""
    place = f"{NAMESPACE}:{RETRIER.key}"
    if not retrier:
        return Problem("calls", True, f"false: there is no retrier, whose upstreams are in {place}")
    if retrier.get("workflow") == "standard":
        return Problem("calls", True, f"false: {place}.workflow is standard", "make it express")
    return None


def _queue_problems(args: Values, drain: Drain, door: Values) -> Iterable[Problem]:
    """Report a name or a queue that cannot be, and what a consumer is told in vain or not told of it."""
    yield from arguments.text({"name": drain.name}, "name", arguments.NAME, arguments.NAME_ALLOWED)
    if drain.door_queue is None:
        if drain.queue is None:
            return  # the front door's queues are wrong, which is told there
        names = [str(each.get("name")) for each in door.get("queues", []) if isinstance(each, dict)]
        yield Problem(
            "queue", drain.queue, f"a queue of the front door: {', '.join(names) or door_queues.ONLY}"
        )
    elif drain.made:
        yield from arguments.without(args, CONSUMER.derived, "it follows from the front door's queue")
    elif "queue_visibility_timeout_seconds" not in args:
        yield Problem("queue_visibility_timeout_seconds", None, OF_A_GIVEN_QUEUE)


def _clashes(drain: Drain, before: Drain, other: str, *, filtered: bool) -> Iterable[Problem]:
    """Report what two consumers cannot share."""
    if drain.name is not None and drain.name == before.name:
        yield Problem("name", drain.name, f"one of its own; {other} has the same")
    ends = [f"-{each}" for each in ("idempotency", "requirements")]
    names = {str(drain.name), str(before.name)}
    if any(f"{each}{end}" in names for each in names for end in ends):
        yield Problem("name", drain.name, f"one that is not of a part of {other}, nor {other} of its parts")
    if filtered and drain.is_of_the_queue_of(before):
        allowed = f"a queue of its own: {other} drains this one too, and a filter deletes what fits none"
        yield Problem("queue", drain.queue, allowed, "give each a queue, and routes that lead there")


def _keep_secret(args: Values) -> None:
    args["environment"] = {
        name: pulumi.Output.secret(value) for name, value in args.get("environment", {}).items()
    }


def _sections(
    mine: Mapping[str, Any], sections: Collection[Section]
) -> tuple[dict[str, Values], list[Problem]]:
    """Return each section's arguments that have the right type, and what is wrong with the others."""
    values: dict[str, Values] = {}
    found = []
    for section in sections:
        given, unreadable = _object(section, mine.get(section.key, {}))
        values[section.key], wrong = _validated(section.types, given)
        missed = set[str]() if section.is_absent(given) else section.required - given.keys()
        missing = [Problem(key, None, REQUIRED[key]) for key in sorted(missed)]
        found += [each.under(f"{section.key}.") for each in (*unreadable, *wrong, *missing)]
    return values, found


def _contradictions(
    values: Mapping[str, Values], drains: Mapping[str, Drain], known: Collection[str]
) -> list[Problem]:
    """Return what the components say of their arguments, less what is known to be wrong already."""
    stand_ins = _stand_ins(values)
    stand_ins |= {key: DEAD_LETTERS for key, drain in drains.items() if drain.made}
    workers = [replace(CONSUMER, key=key) for key in drains]
    said = [
        _placed(problem, section)
        for section in (*SECTIONS, *workers)
        if not section.is_absent(values[section.key])
        for problem in section.problems({**stand_ins.get(section.key, {}), **values[section.key]})
    ]
    # What was left out for its type is not to be missed as well.
    return [each for each in said if not any(_is_within(path, each.path) for path in known)]


def _is_within(path: str, whole: str) -> bool:
    return path == whole or path.startswith((f"{whole}.", f"{whole}["))


def _stand_ins(values: Mapping[str, Values]) -> dict[str, Values]:
    """Return what the arguments that come from other components are taken for."""
    front = values[PROXY.key]
    through: Values = {PROXY.key: front} if front and not PROXY.problems(front) else {}
    decides = {**values[AUTHORIZER.key], **through}
    guarded: Values = {"authorizer_function_arn": A_FUNCTION, **through} if through else {}
    if "kind" in decides and not AUTHORIZER.problems(decides):
        guarded = {**authorizer_args.authorization(cast(AuthorizerArgs, decides), A_FUNCTION)}
    return {
        AUTHORIZER.key: through,
        FRONT_DOOR.key: guarded,
        LIMITER.key: {**LIMITER.stand_ins, **through},
    }


def _placed(problem: Problem, section: Section) -> Problem:
    """Return a problem of a section under its key; the proxy is set once for all who take it."""
    of_the_proxy = section is not PROXY and problem.path.partition(".")[0] == PROXY.key
    return problem if of_the_proxy else problem.under(f"{section.key}.")


def _shared(mine: Mapping[str, Any], workers: Collection[Section]) -> tuple[Values, list[Problem]]:
    """Return the settings that all components share, and what is wrong beside the sections."""
    types = {key: hint for key, hint in _settable(FrontDoorArgs).items() if key in SHARED}
    sections = [*(section.key for section in SECTIONS), CONSUMER.key, CONSUMERS]
    elsewhere = {*sections, *(section.key for section in workers)}
    given = {key: value for key, value in mine.items() if key not in elsewhere and value != ""}
    values, found = _validated(types, given, also=sections)
    return values, found + front_door_args.problems(cast(FrontDoorArgs, values))


def _doubly_given(values: Mapping[str, Values], shared: Values) -> list[Problem]:
    """Report what is both given and to be made."""
    made = {ENCRYPTION_KEY.key: "kms_key_arn", ALARM_TOPIC.key: "alarm_topic_arn"}
    return [
        Problem(
            f"{section}.{ENABLED}", True, f"false, with {NAMESPACE}:{key}: that one is used", "remove either"
        )
        for section, key in made.items()
        if key in shared and values[section].get(ENABLED)
    ]


def _object(section: Section, text: object) -> tuple[Values, list[Problem]]:
    """Return what a section's key holds, which Pulumi hands over as JSON."""
    given = _read(text)
    if isinstance(given, dict):
        return given, []
    remedy = f"pulumi config set --path '{NAMESPACE}:{section.key}.KEY' VALUE"
    return {}, [Problem("", text, f"a map of: {', '.join(section.types)}", remedy)]


def _read(text: object) -> object:
    """Return what JSON says; what is none, or was read already, as it is."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text


def _top(path: str) -> str:
    """Return the key of the config that holds something."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _validated(
    types: Mapping[str, Any], given: Mapping[str, Any], also: Collection[str] = ()
) -> tuple[Values, list[Problem]]:
    """Return the values that have the right type, and the problems of the others."""
    values: Values = {}
    found = []
    for key, value in given.items():
        if key not in types:
            found.append(_unknown(key, value, [*types, *also]))
            continue
        try:
            values[key] = TypeAdapter(types[key]).validate_python(value)
        except ValidationError as error:
            found += [
                Problem(f"{key}{_place(each['loc'])}", each["input"], _allowed(each["msg"]))
                for each in error.errors()
            ]
    return values, found


def _place(location: Collection[str | int]) -> str:
    """Return where inside a value something is, as Pulumi's config paths write it."""
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in location)


def _allowed(message: str) -> str:
    """Return what pydantic would take, without its "Input should be"."""
    return message.removeprefix("Input should be ")


def _unknown(key: str, value: object, known: list[str]) -> Problem:
    if key in SHARED:
        return Problem(key, value, f"nothing here: {NAMESPACE}:{key} holds for all", "move it")
    shown_value = "(not shown)" if isinstance(value, dict | list) else value
    close = difflib.get_close_matches(key, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"use one of: {', '.join(known)}"
    return Problem(key, shown_value, "no such setting", remedy)


def _named(problem: Problem, secret: Collection[str]) -> Problem:
    """Return a problem under its config key, without a secret, and with something to do about it."""
    path = f"{NAMESPACE}:{problem.path.rstrip('.')}"
    hidden = f"{NAMESPACE}:{_top(problem.path)}" in secret or path in secret
    return replace(
        problem,
        path=path,
        value=HIDDEN if hidden else problem.value,
        remedy=problem.remedy
        or (proxy.REMEDY if ".secrets" in path else f"pulumi config set --path '{path}' VALUE"),
    )


def _settable(shape: type) -> dict[str, Any]:
    """Return the type of each argument as a setting: ``NotRequired[Input[str]]`` is ``str``."""
    return {key: _plain(hint) for key, hint in shape.__annotations__.items()}


def _plain(hint: Any) -> Any:  # noqa: ANN401 - a type as typing describes it
    parts = get_args(hint)
    if get_origin(hint) is NotRequired:
        return _plain(parts[0])
    if is_typeddict(hint):
        # What is in it is the component's to check: pydantic would pass over keys that it does not know.
        return dict[str, Any]
    if get_origin(hint) in (dict, list):
        return GenericAlias(get_origin(hint), tuple(map(_plain, parts)))
    if hint == TEXT_INPUT:
        return str
    return hint
