"""What callers read of SQS's answers, on all engines: JSON of ours, honest, and nothing that SQS said."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from local.standin.velocity import Rendered, Request

from . import agreeing, hostile
from .generated import (
    ACCEPTED,
    ANSWERS,
    BATCH_ANSWERS,
    KNOWN,
    ORIGINS,
    PREFLIGHT,
    REPEATING,
    REPEATING_BATCHES,
    SPELLINGS,
    Spelling,
    of_each,
)

ACCOUNT = "123456789012"
SECRET = f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders"
SQS_REQUEST_ID = "27daac76-34dd-47df-bd01-1f6e873584a0"
CODES = sorted({code for failure in KNOWN for code in failure.errors} | {"AccessDenied", "OverLimit"})
SAYINGS = sorted({failure.saying for failure in KNOWN})
THEIRS = sorted(
    {code for failure in KNOWN if failure.theirs and not failure.saying for code in failure.errors}
)

said = st.builds(
    lambda start, saying, rest: f"{start}{saying} {SECRET}{rest}",
    hostile.texts,
    st.sampled_from(SAYINGS),
    hostile.texts,
)
codes = st.sampled_from(CODES) | hostile.texts.map(lambda text: f"{text}{ACCOUNT}")
message_ids = st.uuids().map(str)
errors = st.fixed_dictionaries(
    {}, optional={"Code": st.none() | codes, "Message": st.none() | said, "Type": st.just("Sender")}
)
refusals = st.fixed_dictionaries({"Error": errors, "RequestId": st.just(SQS_REQUEST_ID)})
results = st.fixed_dictionaries(
    {"MD5OfMessageBody": st.just("fafb00f5732ab283681e124bf8747ed1")},
    optional={"MessageId": st.none() | st.just("") | message_ids},
)
acceptances = st.fixed_dictionaries(
    {}, optional={"SendMessageResult": results, "ResponseMetadata": st.just({"RequestId": SQS_REQUEST_ID})}
).map(lambda told: {"SendMessageResponse": told})
sqs_answers = hostile.bodies(refusals | acceptances | hostile.values) | said | hostile.texts
entries = st.lists(
    st.tuples(st.just(None) | codes, said, message_ids, st.booleans()),
    max_size=10,
)


NAMELESS: list[dict[str, Any]] = [
    {},
    {"Id": "7"},
    {"Id": "7", "MessageId": ""},
    {"Id": "7", "MessageId": None},
    {"MessageId": "5fea7756"},
    {"Id": "", "MessageId": "5fea7756"},
]
"""Entries of a batch that SQS took, and did not say which or as what."""


def batch_answer(
    told: list[tuple[str | None, str, str, bool]],
    left_out: bool = False,
    spelling: Spelling = SPELLINGS[0],
    nameless: Sequence[dict[str, Any]] = (),
) -> str:
    """Return SQS's answer to a batch: each entry has the code with which it was refused, or none."""
    good, bad = [], []
    for index, (code, message, message_id, with_message) in enumerate(told):
        if code is None:
            good.append({"Id": str(index), "MessageId": message_id, "MD5OfMessageBody": "0"})
        else:
            why = {"Message": message} if with_message else {}
            bad.append({"Id": str(index), "Code": code, "SenderFault": True, **why})
    result = {spelling.successful: [*good, *nameless], spelling.failed: bad}
    if left_out:
        result = {name: entries for name, entries in result.items() if entries}
    return json.dumps({"SendMessageBatchResponse": {"SendMessageBatchResult": result}})


def answer(template: str, body: str, context: dict[str, Any]) -> tuple[Rendered, Any]:
    """Return what a template makes of SQS's answer, and the JSON in it; nothing of no text."""
    made = agreeing.render(template, Request(body), context)
    return made, json.loads(made.text) if made.text else None


@given(body=sqs_answers, context=hostile.contexts())
@of_each(ANSWERS)
def test_every_answer_is_json_of_ours_without_a_word_of_sqs(
    template: str, body: str, context: dict[str, Any]
) -> None:
    made, told = answer(template, body, context)
    if told is not None:
        assert told["requestId"] == context["requestId"]
        assert set(told) <= {"messageId", "code", "message", "requestId", "title", "status", "detail"}
    for secret in (ACCOUNT, "arn:", SQS_REQUEST_ID, "Sender"):
        assert secret not in made.text


@given(body=hostile.bodies(acceptances), context=hostile.contexts())
@of_each(ACCEPTED | REPEATING)
def test_no_answer_is_a_success_unless_sqs_named_a_message(
    template: str, body: str, context: dict[str, Any]
) -> None:
    made, told = answer(template, body, context)
    named = json.loads(body)["SendMessageResponse"].get("SendMessageResult", {}).get("MessageId")
    if named:
        assert (made.status, dict(made.headers)) == (None, {})
        assert told is None or named in made.text
    else:
        assert (made.status, told["code"]) == (502, "QUEUE_UNAVAILABLE")


@given(told=entries, left_out=st.booleans(), spelling=st.sampled_from(SPELLINGS), context=hostile.contexts())
@of_each(BATCH_ANSWERS)
def test_each_entry_of_a_batch_is_told_of_and_no_word_of_sqs(
    template: str,
    told: list[tuple[str | None, str, str, bool]],
    left_out: bool,
    spelling: Spelling,
    context: dict[str, Any],
) -> None:
    made, found = answer(template, batch_answer(told, left_out, spelling), context)
    refused = {index for index, (code, *_) in enumerate(told) if code is not None}
    accepted = {index: message_id for index, (code, _, message_id, _) in enumerate(told) if code is None}
    if not told:
        assert (made.status, found["code"]) == (502, "QUEUE_UNAVAILABLE")
    elif found is None:
        assert not refused
        assert made.status is None
    else:
        by_index = {entry["index"]: entry for entry in found["entries"]}
        assert len(by_index) == len(found["entries"]) == len(told)
        assert {index for index, entry in by_index.items() if "code" in entry} == refused
        assert {i: entry["messageId"] for i, entry in by_index.items() if i not in refused} == accepted
        assert (made.status is None) == (not refused)
    for secret in (ACCOUNT, "arn:", "Sender"):
        assert secret not in made.text


@given(told=entries.filter(bool), context=hostile.contexts())
@of_each(BATCH_ANSWERS | REPEATING_BATCHES)
def test_a_batch_is_the_callers_fault_only_if_every_refusal_is(
    template: str, told: list[tuple[str | None, str, str, bool]], context: dict[str, Any]
) -> None:
    # What says nothing in SQS's message is known by its code alone.
    told = [(code, "", message_id, True) for code, _, message_id, _ in told]
    made, _ = answer(template, batch_answer(told), context)
    refused = [code for code, *_ in told if code is not None]
    theirs = all(code in THEIRS for code in refused)
    assert made.status == (None if not refused else 400 if theirs else 502)


@given(
    told=entries,
    nameless=st.lists(st.sampled_from(NAMELESS), min_size=1, max_size=2),
    spelling=st.sampled_from(SPELLINGS),
    context=hostile.contexts(),
)
@of_each(BATCH_ANSWERS | REPEATING_BATCHES)
def test_a_batch_with_an_entry_that_sqs_names_by_halves_is_no_success(
    template: str,
    told: list[tuple[str | None, str, str, bool]],
    nameless: list[dict[str, Any]],
    spelling: Spelling,
    context: dict[str, Any],
) -> None:
    made, found = answer(template, batch_answer(told, False, spelling, nameless), context)
    assert (made.status, found["code"]) == (502, "BATCH_INCOMPLETE")
    assert len(found["entries"]) == len(told)


@given(body=sqs_answers, context=hostile.contexts())
@of_each(BATCH_ANSWERS | REPEATING_BATCHES)
def test_what_is_no_answer_to_a_batch_is_no_success(
    template: str, body: str, context: dict[str, Any]
) -> None:
    made, told = answer(template, body, context)
    assert (made.status, told["code"]) == (502, "QUEUE_UNAVAILABLE")


@given(
    request=hostile.requests(),
    name=st.sampled_from(["Origin", "origin", "ORIGIN"]),
    origin=st.sampled_from(ORIGINS) | hostile.texts,
    context=hostile.contexts(),
)
def test_a_preflight_names_an_origin_that_is_known_and_no_other(
    request: Request, name: str, origin: str, context: dict[str, Any]
) -> None:
    headers = {key: value for key, value in request.headers.items() if key.lower() != "origin"}
    for sent in ({name: origin}, {}):
        asked = replace(request, headers=headers | sent, query={**request.query, "origin": ORIGINS[0]})
        made = agreeing.render(PREFLIGHT, asked, context)
        known = {"Access-Control-Allow-Origin": origin} if sent and origin in ORIGINS else {}
        assert (made.text, made.status, dict(made.headers)) == ("", None, known)
