import re
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws import Aws
from local.makers import registry
from local.makers.compute import LocalSetupError
from local.makers.registry import Inputs, Outputs, UnknownInputError, UnknownTypeError, Workshop

WORKSHOP = Workshop(Aws("http://127.0.0.1:1"), "http://127.0.0.1:2")
THING = "aws:test/thing:Thing"


@pytest.fixture(autouse=True)
def _thing() -> Iterator[None]:
    @registry.makes(THING)
    def thing(_workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
        inputs.only_on_aws("tags")
        return f"id-{name}", {"size": inputs["size"] + 1, "arn": "arn:thing"}

    yield
    del registry.MAKERS[THING]


def make(**given: Any) -> tuple[str, Outputs]:
    return registry.make(WORKSHOP, THING, "x", given)


def test_a_resource_is_made_by_the_maker_of_its_type() -> None:
    made = make(size=1.0, tags={"a": "b"}, absent=None)
    assert made == ("id-x", {"size": 2, "arn": "arn:thing", "tags": {"a": "b"}}), "outputs win over inputs"


def test_an_input_that_a_maker_would_pass_over_is_an_error() -> None:
    with pytest.raises(UnknownInputError, match=f"would ignore colour, name of {THING}"):
        make(size=1, name="n", colour="red")


def test_a_type_without_a_maker_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownTypeError, match="aws:test/other:Other"):
        registry.make(WORKSHOP, "aws:test/other:Other", "x", {})


@pytest.mark.parametrize(
    ("function", "result"),
    [
        ("aws:index/getRegion:getRegion", {"region": "us-east-1", "id": "us-east-1"}),
        ("aws:index/getPartition:getPartition", {"partition": "aws", "id": "aws"}),
        ("aws:index/getCallerIdentity:getCallerIdentity", {"accountId": "000000000000"}),
    ],
)
def test_the_providers_functions_tell_where_we_are(function: str, result: Outputs) -> None:
    assert registry.call(WORKSHOP, function) == result


def test_an_unknown_function_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownTypeError, match="aws:index/getAmi:getAmi"):
        registry.call(WORKSHOP, "aws:index/getAmi:getAmi")


def test_inputs_remember_what_was_read() -> None:
    inputs = Inputs({"a": 1, "b": 2, "c": 3, "d": None, "e": 5})
    assert inputs.unread() == ["a", "b", "c", "e"]
    assert inputs["a"] == 1
    assert inputs.pick(B="b", D="d", Z="z") == {"B": 2}
    inputs.only_on_aws("c")
    assert inputs.unread() == ["e"]


def test_to_look_at_all_inputs_is_no_reading() -> None:
    inputs = Inputs({"a": 1, "b": None})
    assert inputs.all() == {"a": 1}
    assert (list(inputs), len(inputs)) == (["a"], 1)
    assert inputs.unread() == ["a"]


def test_an_input_that_is_not_there_is_missed_as_in_a_map() -> None:
    with pytest.raises(KeyError):
        Inputs({"a": None})["a"]


def test_a_whole_float_is_read_as_an_integer_and_a_flag_as_a_flag() -> None:
    inputs = Inputs({"size": 3.0, "nested": {"list": [1.0, 1.5]}, "flag": True})
    assert inputs.all() == {"size": 3, "nested": {"list": [1, 1.5]}, "flag": True}
    assert isinstance(inputs["size"], int), "boto3 refuses a float where a whole number is wanted"
    assert inputs["flag"] is True


def test_physical_names_differ_and_begin_with_the_logical_one() -> None:
    names = {registry.auto_name("front-door-queue") for _ in range(20)}
    assert len(names) == 20
    assert all(re.fullmatch(r"front-door-queue-[0-9a-f]{7}", name) for name in names)


DEAD_LETTERS = '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead%s", "maxReceiveCount": 3}'
WHERE = {"restApi": "a", "resourceId": "r", "httpMethod": "POST"}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("aws:sqs/queue:Queue", {"name": "q", "fifoQueue": True}, "ends in .fifo"),
    ("aws:sqs/queue:Queue", {"name": "q.fifo"}, "ends in .fifo"),
    ("aws:sqs/queue:Queue", {"fifoQueue": True, "redrivePolicy": DEAD_LETTERS % ""}, "same type of queue"),
    ("aws:sqs/queue:Queue", {"redrivePolicy": DEAD_LETTERS % ".fifo"}, "same type of queue"),
    ("aws:apigateway/restApiPolicy:RestApiPolicy", {"restApiId": "a", "policy": "x" * 8193}, "8192 bytes"),
    ("aws:apigateway/model:Model", {"name": "My-Model", "schema": "{}"}, "alphanumeric"),
    ("aws:apigateway/model:Model", {"name": "M", "schema": "{"}, "no schema of draft 4"),
    ("aws:apigateway/model:Model", {"name": "M", "schema": '{"type": "thing"}'}, "no schema of draft 4"),
    ("aws:apigateway/integration:Integration", {**WHERE, "type": "HTTP_PROXY"}, "not HTTP_PROXY"),
    (
        "aws:apigateway/methodSettings:MethodSettings",
        {"restApi": "a", "stageName": "v1", "methodPath": "*/*", "settings": {"colour": "red"}},
        "would ignore the method's settings colour",
    ),
]


@pytest.mark.parametrize(("resource_type", "given", "reason"), REFUSED)
def test_what_aws_would_refuse_is_refused_before_it_is_made(
    resource_type: str, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LocalSetupError, match=reason):
        registry.make(WORKSHOP, resource_type, "x", given)
