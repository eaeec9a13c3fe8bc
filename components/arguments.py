"""How components take their arguments: one conversion at the door, then every problem at once."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, TypeVar, cast

import pulumi

from sluice import tokens

TOKEN = re.compile(tokens.PREFIX + r"[A-Za-z0-9_-]+")
FUNCTION_ARN = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[\w-]+(:[\w$-]+)?", re.ASCII)
KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", re.ASCII)
TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w.-]+", re.ASCII)
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
"""Of what is listed in arguments: it becomes part of a child's name."""
NAME_ALLOWED = "lower-case letters, digits and -, at most 32"
HIDDEN = "(hidden)"
HOLDS_SECRETS = re.compile(r"(^|[.:])(proxy(?!\.address_header$)|environment)\b")
"""The arguments of which no message may show a value."""
LOG_RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
"""What CloudWatch Logs accepts (API reference, PutRetentionPolicy)."""


class Shared(TypedDict, total=False):
    """What every component takes."""

    kms_key_arn: pulumi.Input[str]
    log_retention_days: int
    alarm_topic_arn: pulumi.Input[str]


Args = TypeVar("Args", bound=Mapping[str, object])


@dataclass(frozen=True)
class Problem:
    """One wrong argument: where it is, what it holds, what is allowed, and what to do about it."""

    path: str
    value: object
    allowed: str
    remedy: str = ""

    def under(self, prefix: str) -> "Problem":
        """Return the same problem, named as part of something larger."""
        return replace(self, path=f"{prefix}{self.path}")

    def __str__(self) -> str:
        value = HIDDEN if HOLDS_SECRETS.search(self.path) and self.value is not None else shown(self.value)
        lines = [f"{self.path} = {value}", f"    allowed: {self.allowed}"]
        if self.remedy:
            first, *rest = self.remedy.splitlines()
            lines += [f"    do:      {first}", *(f"             {line}" for line in rest)]
        # A token in the place of its digest must not travel further, into a log of a deployment.
        return TOKEN.sub(f"{tokens.PREFIX}(hidden)", "\n".join(lines))


class InvalidArgsError(ValueError):
    """The arguments of a component contradict each other or are out of range; nothing was created."""

    def __init__(self, subject: str, problems: Sequence[Problem]) -> None:
        """Keep the problems for a caller that shows them in its own words."""
        self.problems = tuple(problems)
        count = "1 argument is" if len(problems) == 1 else f"{len(problems)} arguments are"
        super().__init__("\n\n".join([f"{subject}: {count} wrong.", *map(str, problems)]))


def admit(subject: str, args: Args, shape: type[Args], problems: Callable[[Args], list[Problem]]) -> Args:
    """Return ``args`` with whole numbers made ``int``, or raise.

    Component hosts send every number as a float and drop keys that they do not know, while Python callers
    may leave out required keys or give None for "not set"; all of these meet here.

    Raises:
        InvalidArgsError: with every problem found, before any resource exists.
    """
    if not isinstance(args, dict):
        raise InvalidArgsError(subject, [Problem("args", args, f"a dict, as {shape.__name__} describes it")])
    given = present(args)
    found = [*fitting(given, shape)]
    try:
        admitted = cast(Args, whole_numbers(given))
        found += problems(admitted)
    except RecursionError:
        found.append(Problem("args", "(not shown)", "values that are not nested for ever"))
    if found:
        raise InvalidArgsError(subject, found)
    return admitted


def present(args: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments that have a value: None is "not set"."""
    return {key: value for key, value in args.items() if value is not None}


def fitting(args: Mapping[str, object], shape: type) -> Iterable[Problem]:
    """Report the keys that a typed dict does not know, and those that it requires and are not there."""
    known: Mapping[str, object] = shape.__annotations__
    required = cast(frozenset[str], getattr(shape, "__required_keys__", frozenset()))
    for key in sorted(args.keys() - known.keys(), key=str):
        # One that is misspelt may hold a secret.
        value = "(not shown)" if isinstance(args[key], dict | list) else args[key]
        yield Problem(str(key), value, "no such argument", f"use one of: {', '.join(sorted(known))}")
    for key in sorted(required - args.keys()):
        yield Problem(key, None, "a value: it is required")


def each_of(
    args: Mapping[str, object],
    key: str,
    shape: type,
    problems: Callable[[dict[str, object]], Iterable[Problem]],
) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a list of maps of one shape, and what is wrong in each."""
    value = args.get(key, [])
    if not isinstance(value, list):
        yield Problem(key, value, f"a list of maps with {', '.join(shape.__annotations__)}")
        return
    for index, item in enumerate(value):
        yield from _fitting_map(item, f"{key}[{index}]", shape, problems)


def map_of(
    args: Mapping[str, object],
    key: str,
    shape: type,
    problems: Callable[[dict[str, object]], Iterable[Problem]],
) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a map of one shape, and what is wrong in it."""
    if args.get(key) is not None:
        yield from _fitting_map(args[key], key, shape, problems)


def _fitting_map(
    value: object, place: str, shape: type, problems: Callable[[dict[str, object]], Iterable[Problem]]
) -> Iterable[Problem]:
    if not isinstance(value, dict):
        yield Problem(place, value, f"a map with {', '.join(shape.__annotations__)}")
        return
    given = present(value)
    yield from (each.under(f"{place}.") for each in (*fitting(given, shape), *problems(given)))


def distinct(args: Mapping[str, object], key: str, member: str) -> Iterable[Problem]:
    """Report the maps in the list ``key`` that have the same ``member`` as one before."""
    seen: dict[object, int] = {}
    value = args.get(key)
    for index, item in enumerate(value if isinstance(value, list) else []):
        name = item.get(member) if isinstance(item, dict) else None
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            yield Problem(
                f"{key}[{index}].{member}", name, f"one of its own; {key}[{seen[name]}] has the same"
            )


def without(args: Mapping[str, object], keys: Iterable[str], reason: str) -> Iterable[Problem]:
    """Report each of ``keys`` that is there, though it can mean nothing."""
    for key in keys:
        if args.get(key) is not None:
            yield Problem(key, args[key], f"nothing: {reason}", "remove it")


def together(args: Mapping[str, object], *keys: str) -> Iterable[Problem]:
    """Report those of ``keys`` that are absent though another is there."""
    there = [key for key in keys if args.get(key) is not None]
    if there:
        for key in keys:
            if key not in there:
                yield Problem(key, None, f"a value: {there[0]} is given")


def whole_numbers(value: object) -> object:
    """Make every float that is a whole number an ``int``, at any depth of plain lists and mappings."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    return value


def shown(value: object) -> str:
    """Return a value as an error message shows it: in JSON's words, cut when long."""
    if value is None:
        return "(not set)"
    if isinstance(value, pulumi.Output):
        return "(an output)"
    try:
        text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    except RecursionError:
        return "(nested without end)"
    return text if len(text) <= 100 else f"{text[:97]}..."  # noqa: PLR2004 - a line's worth


def between(args: Mapping[str, object], key: str, low: int, high: int, unit: str) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a whole number from ``low`` to ``high``."""
    value = args.get(key)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        yield Problem(key, value, f"a whole number from {low} to {high} ({unit})")


def matching(
    args: Mapping[str, object], key: str, pattern: re.Pattern[str], allowed: str, remedy: str = ""
) -> Iterable[Problem]:
    """Report ``key`` unless it is absent, an output, or a string that matches ``pattern`` as a whole."""
    if not isinstance(args.get(key), pulumi.Output):
        yield from text(args, key, pattern, allowed, remedy)


def text(
    args: Mapping[str, object], key: str, pattern: re.Pattern[str], allowed: str, remedy: str = ""
) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a plain string, no output, that matches as a whole."""
    value = args.get(key)
    if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
        yield Problem(key, value, allowed, remedy)


def filled(args: Mapping[str, object], key: str, reason: str) -> Iterable[Problem]:
    """Report ``key`` where it is an empty list, which looks like a limit and is none."""
    if args.get(key) == []:
        yield Problem(key, [], f"at least one: {reason}", "remove it")


def one_of(args: Mapping[str, object], key: str, allowed: Iterable[object]) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or one of ``allowed``."""
    value, choices = args.get(key), list(allowed)
    if value is not None and (isinstance(value, bool) or value not in choices):
        yield Problem(key, value, f"one of {', '.join(map(str, choices))}")


def flag(args: Mapping[str, object], key: str) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a boolean."""
    if not isinstance(args.get(key, False), bool):
        yield Problem(key, args[key], "true or false")


def text_map(args: Mapping[str, object], key: str) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a map of strings (or outputs) by name."""
    value = args.get(key, {})
    if not isinstance(value, dict):
        yield Problem(key, value, "a map of names to strings")
        return
    for name, item in value.items():
        if not isinstance(item, str | pulumi.Output):
            yield Problem(f"{key}.{name}", item, "a string", "put it in quotes")


def matching_each(
    args: Mapping[str, object], key: str, pattern: re.Pattern[str], allowed: str
) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a list of outputs, and of strings that each match as a whole."""
    value = args.get(key, [])
    if not isinstance(value, list):
        yield Problem(key, value, f"a list of {allowed}")
        return
    for index, item in enumerate(value):
        yield from (
            replace(each, path=f"{key}[{index}]") for each in matching({key: item}, key, pattern, allowed)
        )
        if item is None:
            yield Problem(f"{key}[{index}]", item, allowed)


def texts(args: Mapping[str, object], key: str, pattern: re.Pattern[str], allowed: str) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a list of strings that each match ``pattern`` as a whole."""
    value = args.get(key, [])
    if not isinstance(value, list):
        yield Problem(key, value, f"a list of {allowed}")
        return
    for index, item in enumerate(value):
        if not isinstance(item, str) or not pattern.fullmatch(item):
            yield Problem(f"{key}[{index}]", item, allowed)


def counts(
    args: Mapping[str, object], key: str, high: int, names: re.Pattern[str], allowed: str
) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a map of numbers of requests by names that match as a whole."""
    value = args.get(key, {})
    if not isinstance(value, dict):
        yield Problem(key, value, f"a map to whole numbers (requests) of {allowed}")
        return
    for name, item in value.items():
        if not isinstance(name, str) or not names.fullmatch(name):
            yield Problem(key, name, allowed)
        else:
            yield from (each.under(f"{key}.") for each in between({name: item}, name, 1, high, "requests"))


def shared(args: Mapping[str, object]) -> Iterable[Problem]:
    """Report what is wrong with the three arguments that every component takes."""
    yield from matching(args, "kms_key_arn", KEY_ARN, "the ARN of a KMS key in the stack's Region")
    yield from one_of(args, "log_retention_days", LOG_RETENTION_DAYS)
    yield from matching(args, "alarm_topic_arn", TOPIC_ARN, "the ARN of an SNS topic in the stack's Region")
