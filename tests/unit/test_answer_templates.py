import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.answers import (
    BAD_BATCH,
    BROKEN,
    INCOMPLETE,
    PROBLEM_JSON,
    RETRY_AFTER_SECONDS,
    UNAVAILABLE,
    Failure,
    Shape,
    failures,
)
from components.templates import Answer, accepted, accepted_batch, refused
from local.standin.velocity import Rendered, Request, render

from ..velocity import hostile
from ..velocity.generated import SPELLINGS, Spelling
from .rendering import REQUEST_ID, answer, context

MESSAGE_ID = "5fea7756-0ea4-451a-a703-a558b933e274"
ACCOUNT = "123456789012"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders"
LARGEST = 4096
KNOWN = failures(LARGEST)
MAPPED = failures(LARGEST, grouped=True, deduplicated=True, mapped=True)
SENT = {
    "SendMessageResponse": {
        "ResponseMetadata": {"RequestId": "27daac76-34dd-47df-bd01-1f6e873584a0"},
        "SendMessageResult": {
            "MD5OfMessageBody": "fafb00f5732ab283681e124bf8747ed1",
            "MessageId": MESSAGE_ID,
        },
    }
}
NO_RESULT: dict[str, Any] = {"SendMessageResponse": {"SendMessageResult": {}}}
NO_MESSAGE = [
    "",
    "OK",
    "<SendMessageResponse/>",
    "{}",
    "[]",
    json.dumps(NO_RESULT),
    json.dumps(SENT).replace(MESSAGE_ID, ""),
    json.dumps(SENT).replace(f'"{MESSAGE_ID}"', "null"),
]

shapes = pytest.mark.parametrize("shape", Shape)
KINDS = list(itertools.product(Answer, Shape, (False, True)))
"""What an answer tells, in which shape, and whether one of success is empty."""


def error(code: str, message: str = f"Told about {QUEUE} of {ACCOUNT}.") -> str:
    return json.dumps({"Error": {"Code": code, "Message": message, "Type": "Sender"}, "RequestId": "sqs"})


def is_an_error(told: dict[str, Any], shape: Shape, status: int) -> bool:
    """Whether all members of an error are there, and no other."""
    members = {
        Shape.PLAIN: ["code", "message", "requestId"],
        Shape.PROBLEM: ["title", "status", "detail", "code", "requestId"],
    }[shape]
    right = told["requestId"] == REQUEST_ID and told.get("status", status) == status
    return right and [each for each in told if each != "entries"] == members


def content_type(shape: Shape) -> dict[str, str]:
    """Return the header with which a template says that it tells of an error."""
    return {"Content-Type": PROBLEM_JSON} if shape is Shape.PROBLEM else {}


@shapes
def test_an_accepted_message_is_told_by_its_ids(shape: Shape) -> None:
    made, told = answer(accepted(Answer.SUMMARY, shape), json.dumps(SENT))
    assert told == {"messageId": MESSAGE_ID, "requestId": REQUEST_ID}
    assert (made.status, dict(made.headers)) == (None, {})


@shapes
def test_an_accepted_message_may_be_told_in_the_words_of_sqs(shape: Shape) -> None:
    made, told = answer(accepted(Answer.SQS, shape), json.dumps(SENT))
    assert told == SENT
    assert (made.status, dict(made.headers)) == (None, {})


@shapes
@pytest.mark.parametrize("form", Answer)
def test_an_answer_without_a_body_has_none(form: Answer, shape: Shape) -> None:
    made = render(accepted(form, shape, empty=True), Request(json.dumps(SENT)), context())
    assert made == Rendered("", None, {})


@pytest.mark.parametrize("body", NO_MESSAGE)
def test_no_answer_is_a_success_unless_sqs_named_a_message(body: str) -> None:
    for form, shape, empty in KINDS:
        kind = f"{form}, {shape}, {'empty' if empty else 'not empty'}"
        made, told = answer(accepted(form, shape, empty=empty), body)
        assert (made.status, dict(made.headers)) == (502, content_type(shape)), kind
        assert is_an_error(told, shape, 502), kind
        assert told["code"] == UNAVAILABLE.code, kind


TOO_LONG = f"One or more parameters are invalid. Reason: Message must be shorter than {LARGEST} bytes."
THEIRS = [
    (error("InvalidMessageContents"), 400, "BAD_REQUEST_BODY"),
    (error("InvalidParameterValue", TOO_LONG), 413, "REQUEST_TOO_LARGE"),
    (error("BatchRequestTooLong"), 413, "REQUEST_TOO_LARGE"),
    (error("AWS.SimpleQueueService.BatchRequestTooLong"), 413, "REQUEST_TOO_LARGE"),
    (error("TooManyEntriesInBatchRequest"), 400, "BAD_REQUEST_BODY"),
    (error("AWS.SimpleQueueService.TooManyEntriesInBatchRequest"), 400, "BAD_REQUEST_BODY"),
    (error("EmptyBatchRequest"), 400, "BAD_REQUEST_BODY"),
    (error("AWS.SimpleQueueService.EmptyBatchRequest"), 400, "BAD_REQUEST_BODY"),
]


@shapes
@pytest.mark.parametrize(("body", "status", "code"), THEIRS)
def test_what_the_caller_did_is_told_as_a_4xx(body: str, status: int, code: str, shape: Shape) -> None:
    made, told = answer(refused(KNOWN, shape), body)
    assert (made.status, told["code"]) == (status, code)
    assert is_an_error(told, shape, status)
    assert dict(made.headers) == content_type(shape)


def test_a_caller_is_told_how_large_a_message_may_be() -> None:
    _, told = answer(refused(KNOWN, Shape.PLAIN), error("InvalidParameterValue", TOO_LONG))
    assert str(LARGEST) in told["message"]


MAPPED_ERRORS = [
    ("MissingParameter", "The request must contain the parameter MessageGroupId.", "BAD_GROUP_ID", "grouped"),
    (
        "InvalidParameterValue",
        "Value a b for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include ...",
        "BAD_GROUP_ID",
        "grouped",
    ),
    (
        "InvalidParameterValue",
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId ...",
        "BAD_DEDUPLICATION_ID",
        "deduplicated",
    ),
    (
        "InvalidParameterValue",
        "Message (user) attribute 'tenant' must contain a non-empty value of type 'String'.",
        "BAD_ATTRIBUTE",
        "mapped",
    ),
]


@shapes
@pytest.mark.parametrize(("sqs_code", "text", "code", "given"), MAPPED_ERRORS)
def test_a_bad_value_is_the_callers_fault_only_where_the_caller_gives_it(
    sqs_code: str, text: str, code: str, given: str, shape: Shape
) -> None:
    body = error(sqs_code, text)
    made, told = answer(refused(failures(LARGEST, **{given: True}), shape), body)
    assert (made.status, told["code"]) == (400, code)
    assert is_an_error(told, shape, 400)
    others = {name: True for name in ("grouped", "deduplicated", "mapped") if name != given}
    made, told = answer(refused(failures(LARGEST, **others), shape), body)
    assert (made.status, told["code"]) == (None, UNAVAILABLE.code)


@shapes
@pytest.mark.parametrize(
    "code", ["RequestThrottled", "ThrottlingException", "KmsThrottled", "KMS.ThrottlingException"]
)
def test_a_throttled_queue_asks_to_come_back(code: str, shape: Shape) -> None:
    made, told = answer(refused(KNOWN, shape), error(code))
    assert (made.status, told["code"]) == (503, "QUEUE_THROTTLED")
    assert dict(made.headers) == {"Retry-After": str(RETRY_AFTER_SECONDS), **content_type(shape)}
    assert is_an_error(told, shape, 503)


OURS = [
    error("InvalidParameterValue", "Value for parameter MessageAttribute.1.Name is invalid."),
    error("MissingParameter", "The request must contain the parameter QueueUrl."),
    # An empty body reaches the template as {}, so this is never the caller's doing.
    error("MissingParameter", "The request must contain the parameter MessageBody."),
    error("AWS.SimpleQueueService.NonExistentQueue"),
    error("AccessDenied"),
    error("KMS.DisabledException"),
    error("OverLimit"),
    error("invalidmessagecontents"),
    error("SomethingNew"),
    error("SomethingNew", TOO_LONG),
    error(""),
    json.dumps({"Error": {"Code": "InvalidParameterValue"}}),
    json.dumps({"Error": {"Code": "MissingParameter", "Message": None}}),
    json.dumps({"Error": {"Message": "MessageBody"}}),
    json.dumps({"message": "Forbidden"}),
    "{}",
    "",
    "<html>Bad Request</html>",
]


@shapes
@pytest.mark.parametrize("body", OURS)
def test_everything_else_is_our_fault(body: str, shape: Shape) -> None:
    made, told = answer(refused(KNOWN, shape), body)
    # No override: the integration response's own status is 502, and its headers say what it is.
    assert (made.status, dict(made.headers)) == (None, {})
    assert is_an_error(told, shape, 502)
    assert told["code"] == UNAVAILABLE.code


@shapes
@pytest.mark.parametrize("body", [*OURS, *(body for body, _, _ in THEIRS), error("RequestThrottled")])
def test_no_refusal_repeats_what_sqs_said(body: str, shape: Shape) -> None:
    made, _ = answer(refused(KNOWN, shape), body)
    for secret in ("arn:", ACCOUNT, "orders", "Reason", "parameter", "Sender", '"sqs"'):
        assert secret not in made.text


codes = st.sampled_from(sorted({code for each in MAPPED for code in each.errors})) | hostile.texts
sayings = st.sampled_from(sorted({each.saying for each in MAPPED}))
said = st.builds(lambda before, saying: f"{before}{saying} in {QUEUE}", hostile.texts, sayings)
errors = st.fixed_dictionaries(
    {}, optional={"Code": codes | hostile.values, "Message": said | hostile.values}
)
ANSWERS = errors.map(lambda told: {"Error": told, "RequestId": "sqs"}) | hostile.values


@shapes
@given(body=hostile.bodies(ANSWERS) | hostile.texts)
def test_whatever_sqs_refuses_with_the_answer_is_one_of_ours(shape: Shape, body: str) -> None:
    made, told = answer(refused(MAPPED, shape), body)
    known = [*MAPPED, UNAVAILABLE]
    assert (made.status or 502, told["code"]) in {(each.status, each.code) for each in known}
    assert (told.get("detail") or told["message"]) in {each.message for each in known}
    assert is_an_error(told, shape, made.status or 502)


@shapes
@given(body=hostile.bodies(ANSWERS) | hostile.texts, form=st.sampled_from(Answer), empty=st.booleans())
def test_whatever_else_is_said_with_a_200_is_no_success(
    shape: Shape, body: str, form: Answer, empty: bool
) -> None:
    for template in (
        accepted(form, shape, empty=empty),
        accepted_batch(form, shape, MAPPED, empty=empty),
    ):
        made, told = answer(template, body)
        assert made.status == 502
        assert is_an_error(told, shape, 502)


# Batches.

NOT_KNOWN = "AccessDenied"
Entry = tuple[str | None, str]
"""What became of one message: the code with which it was refused, or none, and SQS's text about it."""


spellings = pytest.mark.parametrize(
    "spelling", SPELLINGS, ids=lambda each: f"{each.successful}-{each.failed}"
)


def batch(*entries: Entry, spelling: Spelling = SPELLINGS[0]) -> str:
    """Return SQS's answer to a batch."""
    good = [
        {"Id": str(index), "MessageId": f"{MESSAGE_ID}-{index}", "MD5OfMessageBody": "0"}
        for index, (code, _) in enumerate(entries)
        if code is None
    ]
    bad = [
        {"Id": str(index), "Code": code, "Message": text, "SenderFault": True}
        for index, (code, text) in enumerate(entries)
        if code is not None
    ]
    result = {spelling.failed: bad, spelling.successful: good}
    return json.dumps({"SendMessageBatchResponse": {"SendMessageBatchResult": result}})


def whose(failure: Failure) -> Entry:
    """Return a refusal that means a failure."""
    return failure.errors[0], f"{failure.saying} in {QUEUE}"


TAKEN: Entry = (None, "")
GRAVE: Entry = (NOT_KNOWN, f"Told about {QUEUE}.")
THEIR_FAULTS = [whose(each) for each in MAPPED if each.theirs]
OUR_FAULTS = [GRAVE, *(whose(each) for each in MAPPED if not each.theirs)]


def in_batch(form: Answer, shape: Shape, body: str) -> tuple[Rendered, dict[str, Any]]:
    return answer(accepted_batch(form, shape, MAPPED), body)


@shapes
@spellings
@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_batch_that_was_accepted_is_told_entry_by_entry(
    count: int, spelling: Spelling, shape: Shape
) -> None:
    made, told = in_batch(Answer.SUMMARY, shape, batch(*[TAKEN] * count, spelling=spelling))
    assert (made.status, dict(made.headers)) == (None, {})
    assert told == {
        "entries": [{"index": index, "messageId": f"{MESSAGE_ID}-{index}"} for index in range(count)],
        "requestId": REQUEST_ID,
    }


@shapes
def test_a_batch_that_was_accepted_may_be_told_in_the_words_of_sqs_or_without_any(shape: Shape) -> None:
    body = batch(TAKEN, TAKEN)
    made, told = in_batch(Answer.SQS, shape, body)
    assert (made.status, told) == (None, json.loads(body))
    empty = accepted_batch(Answer.SQS, shape, MAPPED, empty=True)
    assert render(empty, Request(body), context()) == Rendered("", None, {})


@pytest.mark.parametrize(
    ("entries", "failure"),
    [
        *(([TAKEN, each], BAD_BATCH) for each in THEIR_FAULTS),
        *(([each], BAD_BATCH) for each in THEIR_FAULTS),
        (THEIR_FAULTS, BAD_BATCH),
        *(([TAKEN, each], INCOMPLETE) for each in OUR_FAULTS),
        *(([each, *THEIR_FAULTS], INCOMPLETE) for each in OUR_FAULTS),
        *(([*THEIR_FAULTS, each], INCOMPLETE) for each in OUR_FAULTS),
        ([GRAVE] * 10, INCOMPLETE),
    ],
)
def test_a_batch_of_which_a_part_was_refused_is_no_success(entries: list[Entry], failure: Failure) -> None:
    for form, shape, empty in KINDS:
        kind = f"{form}, {shape}, {'empty' if empty else 'not empty'}"
        made, told = answer(accepted_batch(form, shape, MAPPED, empty=empty), batch(*entries))
        assert (made.status, told["code"]) == (failure.status, failure.code), kind
        assert is_an_error(told, shape, failure.status), kind
        assert dict(made.headers) == content_type(shape), kind
        assert sorted(each["index"] for each in told["entries"]) == list(range(len(entries))), kind
        for each in told["entries"]:
            assert ("messageId" in each) == (entries[each["index"]][0] is None) == ("code" not in each), kind
        for secret in ("arn:", ACCOUNT, "orders", NOT_KNOWN, "Sender"):
            assert secret not in made.text, kind


@spellings
@pytest.mark.parametrize("form", Answer)
@pytest.mark.parametrize(("refusal", "failure"), [(THEIR_FAULTS[0], BAD_BATCH), (GRAVE, INCOMPLETE)])
def test_a_refusal_is_found_under_whatever_name_the_lists_have(
    refusal: Entry, failure: Failure, form: Answer, spelling: Spelling
) -> None:
    body = batch(TAKEN, refusal, TAKEN, spelling=spelling)
    made, told = in_batch(form, Shape.PLAIN, body)
    assert (made.status, told["code"]) == (failure.status, failure.code)
    assert [each["index"] for each in told["entries"]] == [0, 2, 1]


@pytest.mark.parametrize("failure", MAPPED, ids=lambda each: f"{each.code}-{each.saying}")
def test_each_refused_entry_says_what_was_wrong_with_it(failure: Failure) -> None:
    _, told = in_batch(Answer.SUMMARY, Shape.PLAIN, batch(TAKEN, whose(failure), GRAVE))
    assert told["entries"] == [
        {"index": 0, "messageId": f"{MESSAGE_ID}-0"},
        {"index": 1, "code": failure.code, "message": failure.message},
        {"index": 2, "code": UNAVAILABLE.code, "message": UNAVAILABLE.message},
    ]


@pytest.mark.parametrize(
    "body",
    [
        *NO_MESSAGE,
        json.dumps(SENT),
        batch(),
        batch(TAKEN).replace("Successful", "Other"),
        batch(TAKEN).replace("SendMessageBatchResult", "Other"),
        json.dumps({"SendMessageBatchResponse": {"SendMessageBatchResult": {"Failed": None}}}),
    ],
)
def test_a_batch_of_which_sqs_said_nothing_is_no_success(body: str) -> None:
    for form, shape in itertools.product(Answer, Shape):
        made, told = in_batch(form, shape, body)
        wanted = (502, UNAVAILABLE.code, False)
        assert (made.status, told["code"], "entries" in told) == wanted, f"{form}, {shape}"
        assert is_an_error(told, shape, 502), f"{form}, {shape}"


NAMELESS = [
    ('"Id": "1"', '"Other": "1"'),
    ('"Id": "1"', '"Id": ""'),
    ('"Id": "1"', '"Id": null'),
    (f'"MessageId": "{MESSAGE_ID}-1"', '"Other": "x"'),
    (f'"MessageId": "{MESSAGE_ID}-1"', '"MessageId": ""'),
    (f'"MessageId": "{MESSAGE_ID}-1"', '"MessageId": null'),
]


@pytest.mark.parametrize(("named", "nameless"), NAMELESS)
def test_an_entry_that_sqs_names_by_halves_is_not_taken_for_accepted(named: str, nameless: str) -> None:
    whole, alone = batch(TAKEN, TAKEN, whose(MAPPED[0])), batch(TAKEN, TAKEN)
    assert (whole.count(named), alone.count(named)) == (1, 1)
    for form, shape, empty in KINDS:
        kind = f"{form}, {shape}, {'empty' if empty else 'not empty'}"
        template = accepted_batch(form, shape, MAPPED, empty=empty)
        # The other fault is the caller's, this one is not.
        for told_of, indexes in ((whole, [0, 2]), (alone, [0])):
            made, told = answer(template, told_of.replace(named, nameless))
            assert (made.status, told["code"]) == (502, INCOMPLETE.code), kind
            assert [each["index"] for each in told["entries"]] == indexes, kind


@shapes
def test_a_refusal_without_its_entry_s_number_is_no_success_either(shape: Shape) -> None:
    made, told = in_batch(Answer.SUMMARY, shape, batch(GRAVE).replace('"Id"', '"Other"'))
    assert (made.status, told["code"], told["entries"]) == (502, INCOMPLETE.code, [])


outcomes = st.lists(st.tuples(st.none() | codes, said), min_size=1, max_size=10)


@shapes
@given(
    entries=outcomes, form=st.sampled_from(Answer), empty=st.booleans(), spelling=st.sampled_from(SPELLINGS)
)
def test_whatever_sqs_says_of_an_entry_the_answer_is_ours(
    shape: Shape, entries: list[Entry], form: Answer, empty: bool, spelling: Spelling
) -> None:
    template = accepted_batch(form, shape, MAPPED, empty=empty)
    made, told = answer(template, batch(*entries, spelling=spelling))
    taken = {index for index, (code, _) in enumerate(entries) if code is None}
    assert (made.status is None) == (len(taken) == len(entries))
    if made.status is None:
        return
    assert made.status in {400, 502}
    assert {each["index"] for each in told["entries"] if "messageId" in each} == taken
    known = {(each.code, each.message) for each in [*MAPPED, UNAVAILABLE]}
    assert {(each["code"], each["message"]) for each in told["entries"] if "code" in each} <= known
    assert is_an_error(told, shape, made.status)


@shapes
def test_a_broken_queue_is_told_in_the_same_shape(shape: Shape) -> None:
    _, told = answer(shape.body(BROKEN), error("InternalError"))
    assert is_an_error(told, shape, 503)


TEMPLATES = [
    *(accepted(form, shape, empty=empty) for form in Answer for shape in Shape for empty in (False, True)),
    *(accepted_batch(form, shape, MAPPED) for form in Answer for shape in Shape),
    *(refused(MAPPED, shape) for shape in Shape),
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_answer_reads_nothing_of_a_request_that_its_caller_wrote(template: str) -> None:
    read = set(re.findall(r"\$!?\{?context\.([\w.]+)", template))
    assert {each for each in read if not each.startswith("responseOverride.")} == {"requestId"}
    assert "$input.params" not in template
