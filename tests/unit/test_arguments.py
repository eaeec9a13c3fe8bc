import re
from collections.abc import Callable
from typing import Any, NotRequired, TypedDict

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import arguments
from components.arguments import InvalidArgsError, Problem
from sluice import tokens

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(LEAVES, lambda each: st.lists(each) | st.dictionaries(st.text(), each))


class Shape(TypedDict):
    needed: str
    count: NotRequired[int]
    names: NotRequired[list[str]]


def check(args: Shape) -> list[Problem]:
    return [*arguments.between(args, "count", 1, 3, "pieces")]


def admit(args: Any, problems: Callable[[Shape], list[Problem]] = check) -> Any:
    return arguments.admit("Thing 'x'", args, Shape, problems)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@given(VALUES)
def test_whole_numbers_become_int_at_any_depth_and_nothing_else_changes(value: Any) -> None:
    converted = arguments.whole_numbers(value)
    # 3.0 == 3, so this says only that the shape and the values are kept.
    assert converted == value
    for before, after in zip(leaves(value), leaves(converted), strict=True):
        if isinstance(before, float) and before.is_integer():
            assert type(after) is int
        else:
            assert type(after) is type(before)


def test_whole_numbers_keep_an_output_as_it_is() -> None:
    class Opaque:
        pass

    opaque = Opaque()
    assert arguments.whole_numbers({"a": [opaque]}) == {"a": [opaque]}


@pytest.mark.parametrize("value", [1, 2, 3])
def test_a_number_in_range_is_no_problem(value: int) -> None:
    assert not [*arguments.between({"n": value}, "n", 1, 3, "pieces")]


def test_an_absent_argument_is_no_problem() -> None:
    absent: dict[str, object] = {}
    assert not [
        *arguments.between(absent, "n", 1, 3, "pieces"),
        *arguments.matching(absent, "n", re.compile("a"), "a"),
        *arguments.one_of(absent, "n", [1]),
        *arguments.text(absent, "n", re.compile("a"), "a"),
        *arguments.filled(absent, "n", "because"),
        *arguments.flag(absent, "n"),
        *arguments.text_map(absent, "n"),
        *arguments.matching_each(absent, "n", re.compile("a"), "a"),
        *arguments.shared(absent),
    ]


@pytest.mark.parametrize("value", [0, 4, -1, 1.5, True, "2", [2]])
def test_a_number_out_of_range_or_of_another_type_is_a_problem(value: object) -> None:
    assert [*arguments.between({"n": value}, "n", 1, 3, "pieces")] == [
        Problem("n", value, "a whole number from 1 to 3 (pieces)")
    ]


def test_a_text_that_matches_or_is_not_known_yet_is_no_problem(output: pulumi.Output[str]) -> None:
    for value in ("abc", output):
        assert not [*arguments.matching({"t": value}, "t", re.compile("abc"), "abc")]


@pytest.mark.parametrize("value", ["", "abcd", "xabc", "abc\n", 5, True, ["abc"]])
def test_a_text_that_does_not_match_as_a_whole_is_a_problem(value: object) -> None:
    assert [*arguments.matching({"t": value}, "t", re.compile("abc"), "abc", "fix")] == [
        Problem("t", value, "abc", "fix")
    ]


@pytest.mark.parametrize("value", ["", "abcd", "xabc", "abc\n", 5, True, False, ["abc"], {}])
def test_a_plain_text_matches_as_a_whole(value: object) -> None:
    assert not [*arguments.text({"t": "abc"}, "t", re.compile("abc"), "abc")]
    assert [*arguments.text({"t": value}, "t", re.compile("abc"), "abc")] == [Problem("t", value, "abc")]


def test_what_has_to_be_known_at_once_is_no_output(output: pulumi.Output[str]) -> None:
    (problem,) = arguments.text({"t": output}, "t", re.compile(".*"), "a text")
    assert (problem.path, problem.value, problem.allowed) == ("t", output, "a text")
    assert "(an output)" in str(problem)


@pytest.mark.parametrize("value", [None, ["a"], "", 0, False, {}])
def test_a_list_with_something_in_it_is_no_problem(value: object) -> None:
    assert not [*arguments.filled({"l": value}, "l", "else everybody may call")]


def test_an_empty_list_looks_like_a_limit_and_is_none() -> None:
    assert [*arguments.filled({"l": []}, "l", "else everybody may call")] == [
        Problem("l", [], "at least one: else everybody may call", "remove it")
    ]


ARNS = {
    arguments.FUNCTION_ARN: [
        "arn:aws:lambda:us-east-1:123456789012:function:guard",
        "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f",
        "arn:aws-cn:lambda:cn-north-1:123456789012:function:my_guard-2:live",
        "arn:aws:lambda:us-east-1:123456789012:function:guard:7",
        "arn:aws:lambda:us-east-1:123456789012:function:guard:$LATEST",
    ],
    arguments.KEY_ARN: [
        "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws-us-gov:kms:us-gov-east-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab",
    ],
    arguments.TOPIC_ARN: [
        "arn:aws:sns:us-east-1:123456789012:topic",
        "arn:aws-cn:sns:cn-north-1:123456789012:My_topic-2",
        "arn:aws:sns:us-east-1:123456789012:orders.fifo",
    ],
}
NO_ARNS = {
    arguments.FUNCTION_ARN: [
        "arn:aws:lambda:us-east-1:123456789012:guard",
        "arn:aws:lambda:us-east-1:123456789012:function:",
        "arn:aws:lambda:us-east-1:123456789012:function:guard:",
        "arn:aws:lambda:us-east-1:123456789012:function:guard:live:2",
        "arn:aws:lambda:us-east-1:123456789012:layer:guard:1",
        "arn:aws:lambda:us-east-1:12345678901:function:guard",
        "arn:aws:lambda::123456789012:function:guard",
        "arn:aws:lambda:us-east-1:123456789012:function:gu\u00e4rd",
        "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/guard/invocations",
        "guard",
    ],
    arguments.KEY_ARN: [
        "arn:aws:kms:us-east-1:123456789012:alias/mine",
        "arn:aws:kms:us-east-1:123456789012:key/",
        "arn:aws:kms:us-east-1:123456789012:key/a/b",
        "arn:aws:kms:us-east-1:1234567890123:key/abc",
        "alias/mine",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
    ],
    arguments.TOPIC_ARN: [
        "arn:aws:sns:us-east-1:123456789012:",
        "arn:aws:sns:us-east-1:123456789012:topic:0f5e2b0c-subscription",
        "arn:aws:sns:us-east-1::topic",
        "arn:aws:sns:us-east-1:123456789012:a topic",
        "arn:aws:sqs:us-east-1:123456789012:topic",
        "topic",
    ],
}


def service(part: re.Pattern[str] | str) -> str:
    """Return how a test shows an example: its text, or the service that a pattern is for."""
    return part if isinstance(part, str) else part.pattern.split(":")[2]


def each_of(examples: dict[re.Pattern[str], list[str]]) -> list[tuple[re.Pattern[str], str]]:
    return [(pattern, text) for pattern, texts in examples.items() for text in texts]


@pytest.mark.parametrize(("pattern", "arn"), each_of(ARNS), ids=service)
def test_an_arn_of_any_partition_is_one(pattern: re.Pattern[str], arn: str) -> None:
    assert pattern.fullmatch(arn)
    assert not pattern.fullmatch(f"{arn}\n")


@pytest.mark.parametrize(("pattern", "arn"), each_of(ARNS), ids=service)
def test_an_arn_of_another_service_is_not_taken(pattern: re.Pattern[str], arn: str) -> None:
    assert [each for each in ARNS if each.fullmatch(arn)] == [pattern]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        *each_of(NO_ARNS),
        *[(pattern, text) for pattern in ARNS for text in ("", "arn", "arn:aws:kms", "arn:aws:s3:::bucket")],
        *[(pattern, texts[0].replace("arn:aws:", "arn:gcp:")) for pattern, texts in ARNS.items()],
        *[(pattern, f" {texts[0]}") for pattern, texts in ARNS.items()],
    ],
    ids=service,
)
def test_what_is_no_arn_is_not_taken_for_one(pattern: re.Pattern[str], text: str) -> None:
    assert not pattern.fullmatch(text)


def test_a_choice_is_one_of_those_that_there_are() -> None:
    assert not [*arguments.one_of({"c": 1}, "c", (1, 2))]
    assert [*arguments.one_of({"c": 3}, "c", iter((1, 2)))] == [Problem("c", 3, "one of 1, 2")]


@pytest.mark.parametrize("value", [True, False])
def test_true_is_not_one_and_false_is_not_zero_where_there_is_a_choice(value: bool) -> None:
    assert [*arguments.one_of({"c": value}, "c", (0, 1))] == [Problem("c", value, "one of 0, 1")]


@pytest.mark.parametrize("value", [[], {}, [1], 1.5])
def test_what_can_be_no_choice_is_none(value: object) -> None:
    assert [each.value for each in arguments.one_of({"c": value}, "c", (1, 2))] == [value]


@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_true_or_false(value: bool) -> None:
    assert not [*arguments.flag({"f": value}, "f")]


@pytest.mark.parametrize("value", ["true", 1, 0])
def test_a_flag_is_nothing_else(value: object) -> None:
    assert [*arguments.flag({"f": value}, "f")] == [Problem("f", value, "true or false")]


def test_a_map_of_texts_may_hold_outputs(output: pulumi.Output[str]) -> None:
    assert not [*arguments.text_map({"m": {"a": "x", "b": output}}, "m")]


def test_every_value_of_a_map_that_is_no_text_is_a_problem() -> None:
    found = [*arguments.text_map({"m": {"a": 1, "b": "x", "c": None}}, "m")]
    assert [each.path for each in found] == ["m.a", "m.c"]
    assert all(each.remedy for each in found)


@pytest.mark.parametrize("value", [[], "a=b", 5])
def test_a_map_of_texts_is_nothing_else(value: object) -> None:
    assert [each.path for each in arguments.text_map({"m": value}, "m")] == ["m"]


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("kms_key_arn", "arn:aws:kms:us-east-1:123456789012:key/abc", "alias/mine"),
        ("log_retention_days", 30, 31),
        ("alarm_topic_arn", "arn:aws:sns:us-east-1:123456789012:t", "t"),
    ],
)
def test_what_every_component_takes_is_checked(key: str, good: object, bad: object) -> None:
    assert not [*arguments.shared({key: good})]
    assert [each.path for each in arguments.shared({key: bad})] == [key]


def test_a_list_of_texts_is_checked_one_by_one() -> None:
    pattern = re.compile("a+")
    assert not [*arguments.texts({}, "t", pattern, "letters a")]
    assert not [*arguments.texts({"t": ["a", "aa"]}, "t", pattern, "letters a")]
    assert [*arguments.texts({"t": ["a", "b", 5, None, "a\n"]}, "t", pattern, "letters a")] == [
        Problem(f"t[{index}]", value, "letters a")
        for index, value in ((1, "b"), (2, 5), (3, None), (4, "a\n"))
    ]
    assert [*arguments.texts({"t": "a"}, "t", pattern, "letters a")] == [
        Problem("t", "a", "a list of letters a")
    ]


def test_each_text_of_a_list_matches_or_is_not_known_yet(output: pulumi.Output[str]) -> None:
    pattern = re.compile("a+")
    assert not [*arguments.matching_each({"t": []}, "t", pattern, "letters a")]
    assert not [*arguments.matching_each({"t": ["a", output, "aa"]}, "t", pattern, "letters a")]


def test_each_text_of_a_list_that_does_not_match_as_a_whole_is_named_by_its_place(
    output: pulumi.Output[str],
) -> None:
    values = ["b", output, "a", 5, None, "a\n", ["a"], ""]
    found = [*arguments.matching_each({"t": values}, "t", re.compile("a+"), "letters a")]
    assert found == [Problem(f"t[{index}]", values[index], "letters a") for index in (0, 3, 4, 5, 6, 7)]


@pytest.mark.parametrize("value", ["a", 5, {"a": "a"}, True, ("a",)])
def test_a_list_of_texts_or_outputs_is_nothing_else(value: object) -> None:
    assert [*arguments.matching_each({"t": value}, "t", re.compile("a+"), "letters a")] == [
        Problem("t", value, "a list of letters a")
    ]


def test_a_list_that_is_an_output_itself_is_none(output: pulumi.Output[str]) -> None:
    (problem,) = arguments.matching_each({"t": output}, "t", re.compile("a+"), "letters a")
    assert (problem.path, problem.allowed) == ("t", "a list of letters a")


def test_counts_are_whole_numbers_by_names_that_match() -> None:
    pattern = re.compile("[a-z]+")
    assert not [*arguments.counts({"c": {"a": 1, "b": 9}}, "c", 9, pattern, "names")]
    found = [*arguments.counts({"c": {"a": 0, "B": 1, "c": 10, 5: 1}}, "c", 9, pattern, "names")]
    assert [(each.path, each.value) for each in found] == [("c.a", 0), ("c", "B"), ("c.c", 10), ("c", 5)]
    assert [each.path for each in arguments.counts({"c": [1]}, "c", 9, pattern, "names")] == ["c"]


class Part(TypedDict):
    name: str
    size: NotRequired[int]


def parts(value: object) -> list[str]:
    """Return what is wrong with a list of parts."""

    def check(part: dict[str, object]) -> list[Problem]:
        return [*arguments.between(part, "size", 1, 3, "pieces")]

    return [each.path for each in arguments.each_of({"parts": value}, "parts", Part, check)]


@pytest.mark.parametrize(
    "value", [[], [{"name": "a"}], [{"name": "a", "size": 3}, {"name": "b", "size": None}]]
)
def test_a_list_of_maps_of_one_shape_is_no_problem(value: object) -> None:
    assert not parts(value)


def test_an_absent_list_of_maps_is_no_problem() -> None:
    assert not [*arguments.each_of({}, "parts", Part, lambda _: [Problem("x", 1, "y")])]


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ({"name": "a"}, ["parts"]),
        ("a", ["parts"]),
        (["a", {"name": "b"}, None], ["parts[0]", "parts[2]"]),
        ([{"name": "a"}, {}], ["parts[1].name"]),
        ([{"name": None}], ["parts[0].name"]),
        ([{"name": "a", "size": 4}], ["parts[0].size"]),
        ([{"size": 0, "sise": 1}], ["parts[0].sise", "parts[0].name", "parts[0].size"]),
    ],
)
def test_each_problem_of_each_map_is_named_by_its_place(value: object, paths: list[str]) -> None:
    assert parts(value) == paths


def test_what_is_checked_of_a_map_is_what_has_a_value() -> None:
    seen: list[dict[str, object]] = []

    def check(part: dict[str, object]) -> list[Problem]:
        seen.append(part)
        return []

    assert not [*arguments.each_of({"parts": [{"name": "a", "size": None}]}, "parts", Part, check)]
    assert seen == [{"name": "a"}]


def test_a_map_fits_a_shape_that_knows_all_of_it_and_misses_nothing() -> None:
    assert not [*arguments.fitting({"name": "a"}, Part)]
    assert not [*arguments.fitting({"name": 5, "size": "large"}, Part)], "values are checked elsewhere"
    assert [*arguments.fitting({"size": 1, "sise": 2, "colour": None}, Part)] == [
        Problem("colour", None, "no such argument", "use one of: name, size"),
        Problem("sise", 2, "no such argument", "use one of: name, size"),
        Problem("name", None, "a value: it is required"),
    ]


def test_of_a_shape_that_requires_nothing_nothing_is_missing() -> None:
    assert not [*arguments.fitting({}, arguments.Shared)]


def test_a_key_that_is_no_text_is_told_as_one() -> None:
    assert [each.path for each in arguments.fitting({"name": "a", 5: 1, None: 2}, Part)] == ["5", "None"]  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ([], []),
        ([{"name": "a"}, {"name": "b"}], []),
        ([{"name": "a"}, {"name": "b"}, {"name": "a"}, {"name": "a"}], ["parts[2].name", "parts[3].name"]),
        ([{}, {}, {"name": None}, {"name": None}, {"name": 5}, {"name": 5}], []),
        (["a", "a"], []),
        ({"name": "a"}, []),
        (None, []),
    ],
)
def test_two_maps_with_one_name_are_a_problem(value: object, paths: list[str]) -> None:
    found = [*arguments.distinct({"parts": value}, "parts", "name")]
    assert [each.path for each in found] == paths
    assert all("parts[0]" in each.allowed for each in found)


def test_what_can_mean_nothing_is_to_be_removed() -> None:
    args = {"a": 1, "b": None, "c": False}
    assert [*arguments.without(args, ("a", "b", "c", "d"), "because")] == [
        Problem("a", 1, "nothing: because", "remove it"),
        Problem("c", False, "nothing: because", "remove it"),
    ]


@pytest.mark.parametrize(
    ("args", "missing"),
    [({}, []), ({"a": 1, "b": 2, "c": 0}, []), ({"b": 1}, ["a", "c"]), ({"a": None, "c": 1}, ["a", "b"])],
)
def test_what_belongs_together_is_given_together(args: dict[str, object], missing: list[str]) -> None:
    assert [each.path for each in arguments.together(args, "a", "b", "c")] == missing


def test_good_arguments_are_admitted_with_whole_numbers_as_int() -> None:
    admitted = admit({"needed": "x", "count": 2.0})
    assert admitted == {"needed": "x", "count": 2}
    assert type(admitted["count"]) is int


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InvalidArgsError) as refused:
        admit({"count": 9.0, "cuont": 1, "zzz": 2})
    assert [each.path for each in refused.value.problems] == ["cuont", "zzz", "needed", "count"]
    told = str(refused.value)
    assert told.startswith("Thing 'x': 4 arguments are wrong.\n\n")
    for problem in refused.value.problems:
        assert str(problem) in told
    assert "use one of: count, names, needed" in told


def test_one_problem_is_told_in_the_singular() -> None:
    with pytest.raises(InvalidArgsError, match=r"^Thing 'x': 1 argument is wrong"):
        admit({})


def test_a_required_argument_that_is_none_is_missing() -> None:
    with pytest.raises(InvalidArgsError) as refused:
        admit({"needed": None})
    assert refused.value.problems == (Problem("needed", None, "a value: it is required"),)


@pytest.mark.parametrize("args", [None, [], ["needed"], "needed", 5])
def test_arguments_that_are_no_dict_are_refused(args: object) -> None:
    with pytest.raises(InvalidArgsError, match=r"^Thing 'x': 1 argument is wrong") as refused:
        admit(args)
    assert refused.value.problems == (Problem("args", args, "a dict, as Shape describes it"),)


def endless() -> dict[str, Any]:
    """Return arguments that hold themselves."""
    args: dict[str, Any] = {"needed": "x"}
    args["names"] = [args]
    return args


def nested(levels: int) -> dict[str, Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return {"needed": "x", "names": value}


NOT_NESTED_FOR_EVER = Problem("args", "(not shown)", "values that are not nested for ever")


@pytest.mark.parametrize("args", [endless(), nested(20_000)], ids=["endless", "deep"])
def test_arguments_that_have_no_end_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgsError) as refused:
        admit(args)
    assert refused.value.problems == (NOT_NESTED_FOR_EVER,)


def test_arguments_whose_check_finds_no_end_are_refused_with_what_was_found() -> None:
    def without_end(_args: Shape) -> list[Problem]:
        raise RecursionError

    with pytest.raises(InvalidArgsError) as refused:
        admit({"cuont": 1}, without_end)
    assert [each.path for each in refused.value.problems] == ["cuont", "needed", "args"]


def test_a_problem_says_what_is_there_what_may_be_and_what_to_do() -> None:
    assert str(Problem("a.b", 5, "a string", "put it in quotes\nand again")) == (
        "a.b = 5\n    allowed: a string\n    do:      put it in quotes\n             and again"
    )


def test_a_problem_without_a_remedy_ends_with_what_is_allowed() -> None:
    assert str(Problem("a", None, "required")) == "a = (not set)\n    allowed: required"


def test_a_problem_can_be_named_as_part_of_something_larger() -> None:
    assert Problem("a", 1, "x", "y").under("front_door.") == Problem("front_door.a", 1, "x", "y")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(not set)"),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        ("a", "'a'"),
        ("x" * 98, repr("x" * 98)),
        ("x" * 99, "'" + "x" * 96 + "..."),
    ],
)
def test_a_value_is_shown_in_one_line(value: object, shown: str) -> None:
    assert arguments.shown(value) == shown
    assert len(shown) <= 100


def test_an_argument_that_is_none_is_not_set() -> None:
    assert admit({"needed": "x", "count": None, "other": None}) == {"needed": "x"}


def test_a_problem_hides_every_token_that_it_would_show() -> None:
    token = tokens.mint()
    told = str(Problem(f"tokens.{token}", [token], f"not {token}", f"drop {token}"))
    assert token.removeprefix(tokens.PREFIX) not in told
    assert told.count(f"{tokens.PREFIX}(hidden)") == 4


@pytest.mark.parametrize(
    "path",
    [
        "proxy",
        "proxy.secrets",
        "proxy.secrets[1]",
        "proxy.secret",
        "proxy.secret_header",
        "proxy.address_header.more",
        "front_door.proxy.secrets[0]",
        "sluice:proxy.secrets",
        "sluice:proxy",
        "environment.PASSWORD",
        "consumer.environment.PASSWORD",
        "sluice:consumer.environment.PASSWORD",
    ],
)
def test_a_problem_of_what_holds_secrets_shows_no_value(path: str) -> None:
    for value in ("hush", ["hush"], {"secrets": ["hush"]}):
        told = str(Problem(path, value, "another"))
        assert "hush" not in told
        assert told.startswith(f"{path} = {arguments.HIDDEN}\n")
    assert str(Problem(path, None, "a value")).startswith(f"{path} = (not set)\n"), "that is no secret"


@pytest.mark.parametrize(
    "path",
    [
        "proxy.address_header",
        "sluice:proxy.address_header",
        "proxy_name",
        "http_proxy",
        "environments",
        "a.b",
    ],
)
def test_a_problem_of_anything_else_shows_its_value(path: str) -> None:
    assert str(Problem(path, "shown", "another")).startswith(f"{path} = 'shown'\n")


def test_an_output_is_not_looked_into(output: pulumi.Output[str]) -> None:
    assert arguments.shown(output) == "(an output)"
