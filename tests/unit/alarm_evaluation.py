"""When an alarm fires, computed from its definition as CloudWatch does it, without CloudWatch."""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence

from components.monitoring import Alarm, Comparison, Formula, Missing

Value = float | None
"""A metric in one period; none where nothing was published."""
Data = Mapping[str, Sequence[Value]]
"""Values by the metric's name, one for each period, the newest last."""

BREACHES: Mapping[Comparison, Callable[[float, float], bool]] = {
    Comparison.AT_LEAST: operator.ge,
    Comparison.BELOW: operator.lt,
}
ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
COMPARISONS: Mapping[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.GtE: operator.ge,
    ast.Gt: operator.gt,
    ast.LtE: operator.le,
    ast.Lt: operator.lt,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def fires(alarm: Alarm, data: Data) -> bool:
    """Return whether an alarm's last periods are all bad; one that nothing is known of counts as it says."""
    periods = [{name: values[index] for name, values in data.items()} for index in range(-alarm.periods, 0)]
    return all(_is_bad(alarm, period) for period in periods)


def value(formula: Formula, period: Mapping[str, Value]) -> Value:
    """Return what a formula comes to in one period, by the values of its metrics by their names."""
    known = {name: period.get(metric.name) for name, metric in formula.metrics.items()}
    return _evaluated(ast.parse(formula.expression, mode="eval").body, known)


def names_in(expression: str) -> set[str]:
    """Return which metrics an expression speaks of."""
    tree = ast.parse(expression, mode="eval")
    called = {id(each.func) for each in ast.walk(tree) if isinstance(each, ast.Call)}
    return {each.id for each in ast.walk(tree) if isinstance(each, ast.Name) and id(each) not in called}


def _is_bad(alarm: Alarm, period: Mapping[str, Value]) -> bool:
    seen = value(alarm.metric, period) if isinstance(alarm.metric, Formula) else period[alarm.metric.name]
    if seen is None:
        return alarm.missing is Missing.BAD
    return BREACHES[alarm.comparison](seen, alarm.threshold)


def _evaluated(node: ast.expr, known: Mapping[str, Value]) -> Value:
    """Return what an expression comes to; where something is missing, so is what is made of it."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return known[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _computed(ARITHMETIC[type(op)], _evaluated(left, known), _evaluated(right, known))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _computed(COMPARISONS[type(op)], _evaluated(left, known), _evaluated(right, known))
        case ast.Call(func=ast.Name(id="FILL"), args=[metric, default]):
            found = _evaluated(metric, known)
            return _evaluated(default, known) if found is None else found
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise]):
            held = _evaluated(condition, known)
            return None if held is None else _evaluated(then if held else otherwise, known)
    raise ValueError(f"not carried here: {ast.unparse(node)}")


def _computed(do: Callable[[float, float], float], left: Value, right: Value) -> Value:
    if left is None or right is None or (do is operator.truediv and right == 0):
        return None
    return float(do(left, right))
