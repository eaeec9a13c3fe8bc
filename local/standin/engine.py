"""A Velocity engine: airspeed, with the methods, truth and printing of Java's objects in place of Python's.

Velocity prints the call of a method that it does not know; here that is an error, since no template means it.
"""

import functools
import importlib.util
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

MOST_ROUNDS = 1000
"""Of one ``#foreach`` ("Quotas for configuring and running a REST API", API Gateway guide)."""
# A letter that follows makes another word of it: ``#{end}x`` is right, and ``#endx`` ends nothing.
END = re.compile(r"#(?:end(?!\w)|\{end\})(.*)", re.DOTALL | re.ASCII)
ELSE = re.compile(r"#(?:else(?!\w)|\{else\})(.*)", re.DOTALL | re.ASCII)


@dataclass(frozen=True)
class Entry:
    """One entry of a map."""

    key: object
    value: object

    def __str__(self) -> str:
        return f"{text_of(self.key)}={text_of(self.value)}"

    def getKey(self) -> object:  # noqa: N802 - Java's name
        """Return the key."""
        return self.key

    def getValue(self) -> object:  # noqa: N802 - Java's name
        """Return the value."""
        return self.value


def merge(template: str, scope: Mapping[str, object]) -> str:
    """Render a template; whatever is wrong with it is one exception or another."""
    text: str = _parsed(template).merge(scope)
    return text


def text_of(value: object) -> str:
    """Return a value as Java prints it; decimals under 0.001 or from 10 million on are not promised."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(str(Entry(key, each)) for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


@functools.lru_cache(maxsize=256)
def _parsed(template: str) -> Any:  # noqa: ANN401 - airspeed has no types
    parsed = _airspeed().Template(template)
    parsed.ensure_compiled()
    return parsed


@functools.cache
def _airspeed() -> Any:  # noqa: ANN401 - airspeed has no types
    """Return a copy of airspeed of our own, in which Java's ways are put."""
    found = importlib.util.find_spec("airspeed.operators")
    if found is None or found.loader is None:
        raise ImportError("airspeed")
    copy: Any = importlib.util.module_from_spec(found)
    found.loader.exec_module(copy)
    copy.End.END = END
    copy.ElseBlock.START = ELSE
    copy.value_to_string = text_of
    copy.boolean_value = _true
    copy.NameOrCall.calculate = _member
    copy.Condition.calculate = _condition
    copy.UnaryOperatorValue.calculate = _negation
    copy.ForeachDirective.evaluate_raw = _for_each
    copy.BinaryOperator.OPERATORS |= {"==": _equal, "eq": _equal, "!=": _unequal, "ne": _unequal}
    return copy


# The five that follow are methods of airspeed's elements, which have no types.


def _member(element: Any, owner: Any, loader: Any, scope: Any) -> Any:  # noqa: ANN401
    """Return a property, or what a method returns; nothing where there is no owner."""
    if element.parameters is not None:
        return _call(owner, element.name, element.parameters.calculate(scope, loader))
    found = _property(owner, element.name)
    if element.index is not None:
        return _item(found, element.index.calculate(scope, loader))
    return found


def _condition(element: Any, scope: Any, loader: Any) -> bool:  # noqa: ANN401
    return _true(element.expression.calculate(scope, loader))


def _negation(element: Any, scope: Any, loader: Any) -> bool:  # noqa: ANN401
    return not _true(element.value.calculate(scope, loader))


def _for_each(element: Any, stream: Any, scope: Any, loader: Any) -> None:  # noqa: ANN401
    """Evaluate the block for each item: what is set outlives the loop, the loop's own names do not."""
    items = _items(element.value.calculate(scope, loader))
    names = (element.loop_var_name, "foreach")
    outer = {name: scope[name] for name in names if name in scope}
    for index, item in enumerate(islice(items, MOST_ROUNDS)):
        scope[element.loop_var_name] = item
        scope["foreach"] = {"index": index, "count": index + 1, "hasNext": index + 1 < len(items)}
        element.block.evaluate(stream, scope, loader)
    for name in names:
        scope.pop(name, None)
    scope.update(outer)


def _true(value: object) -> bool:
    """Whether a condition holds: an empty text and zero are something, as in Velocity 1."""
    return value is not None and value is not False


def _equal(one: object, other: object) -> bool:
    """Compare as Velocity does: values of two types by what they print."""
    if one is None or other is None:
        return one is other
    if type(one) is not type(other) and not {type(one), type(other)} <= {int, float}:
        return text_of(one) == text_of(other)
    return one == other


def _unequal(one: object, other: object) -> bool:
    return not _equal(one, other)


def _property(owner: Any, name: str) -> object:  # noqa: ANN401 - any value of a template
    if isinstance(owner, Mapping):
        try:
            return owner[name]
        except KeyError:
            return None
    return None if _methods(owner) else getattr(owner, name, None)


def _item(owner: Any, index: object) -> object:  # noqa: ANN401 - any value of a template
    if isinstance(owner, Mapping):
        return owner.get(index)
    return None if owner is None else owner[index]


def _call(owner: object, name: str, arguments: Sequence[object]) -> object:
    if owner is None:
        return None
    if name == "toString":
        return text_of(owner)
    methods = _methods(owner)
    if methods:
        return methods[name](owner, *arguments)
    return getattr(owner, name)(*arguments)


def _methods(owner: object) -> Mapping[str, Callable[..., object]] | None:
    """Return the methods of a value; nothing for an object, whose methods are its own."""
    return next((table for kind, table in METHODS.items() if isinstance(owner, kind)), None)


def _items(value: object) -> Sequence[object]:
    """Return what a loop goes through: of a map its values, of what is neither map nor list nothing."""
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list | range) else ()


def _utf_16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def _length(text: str) -> int:
    """Return the length that Java counts: code units, not characters."""
    return len(_utf_16(text)) // 2


def _index_of(text: str, part: str) -> int:
    found = text.find(part)
    return found if found < 0 else _length(text[:found])


def _substring(text: str, start: int, end: int | None = None) -> str:
    units = _utf_16(text)
    stop = len(units) // 2 if end is None else end
    if not 0 <= start <= stop <= len(units) // 2:
        raise IndexError(f"from {start} to {stop}, of {len(units) // 2}")
    return units[2 * start : 2 * stop].decode("utf-16-le", "surrogatepass")


def _equals_ignoring_case(text: str, other: str) -> bool:
    return len(text) == len(other) and all(
        one == two or one.lower() == two.lower() or one.upper() == two.upper()
        for one, two in zip(text, other, strict=True)
    )


def _matches(text: str, pattern: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None


def _replace_all(text: str, pattern: str, replacement: str) -> str:
    r"""Replace what fits a pattern; in the replacement ``$1`` is a group, and ``\x`` is ``x``."""

    def replaced(match: re.Match[str]) -> str:
        return re.sub(r"\\(.)|\$(\d)", lambda each: each[1] or match[int(each[2])] or "", replacement)

    return re.sub(pattern, replaced, text, flags=re.ASCII)


def _put(into: dict[object, object], key: object, value: object) -> object:
    before = into.get(key)
    into[key] = value
    return before


def _add(into: list[object], value: object) -> bool:
    into.append(value)
    return True


def _entries(of: Mapping[object, object]) -> Iterable[Entry]:
    return [Entry(key, value) for key, value in of.items()]


def _empty(value: Sequence[object] | Mapping[object, object]) -> bool:
    return not value


METHODS: Mapping[type, Mapping[str, Callable[..., object]]] = {
    str: {
        "contains": operator.contains,
        "endsWith": str.endswith,
        "equals": operator.eq,
        "equalsIgnoreCase": _equals_ignoring_case,
        "indexOf": _index_of,
        "isEmpty": _empty,
        "length": _length,
        "matches": _matches,
        "replaceAll": _replace_all,
        "startsWith": str.startswith,
        "substring": _substring,
        "toLowerCase": str.lower,
        "toUpperCase": str.upper,
        "trim": lambda text: text.strip("".join(map(chr, range(ord(" ") + 1)))),
    },
    list: {
        "add": _add,
        "contains": operator.contains,
        "get": operator.getitem,
        "isEmpty": _empty,
        "size": len,
    },
    dict: {
        "containsKey": operator.contains,
        "entrySet": _entries,
        "get": dict.get,
        "isEmpty": _empty,
        "keySet": list,
        "put": _put,
        "size": len,
        "values": lambda of: list(of.values()),
    },
    int: {},
    float: {},
}
"""What a template can call, by Java's names.

Patterns are Python's, in ASCII: use what both languages read alike, and no ``.``, since lines end elsewhere.
"""
