import json

import pytest
from botocore.credentials import Credentials

from local.standin import sqs_wire
from local.standin.signed import Answer, Caller

NAMESPACE = 'xmlns="http://queue.amazonaws.com/doc/2012-11-05/"'
SENT = f"""<?xml version="1.0"?>
<SendMessageResponse {NAMESPACE}>
  <SendMessageResult><MD5OfMessageBody>abc</MD5OfMessageBody><MessageId>m-1</MessageId></SendMessageResult>
  <ResponseMetadata><RequestId>s-1</RequestId></ResponseMetadata>
</SendMessageResponse>"""
REFUSED = f"""<ErrorResponse {NAMESPACE}>
  <Error>
    <Type>Sender</Type><Code>InvalidMessageContents</Code><Message>bad &amp; worse</Message><Detail/>
  </Error>
  <RequestId>s-1</RequestId>
</ErrorResponse>"""
TAKEN = (
    "<SendMessageBatchResultEntry><Id>{0}</Id><MessageId>m-{0}</MessageId>"
    "<MD5OfMessageBody>abc</MD5OfMessageBody></SendMessageBatchResultEntry>"
)
FAILED = (
    "<BatchResultErrorEntry><Id>{0}</Id><Code>MissingParameter</Code><Message>&lt;none&gt;</Message>"
    "<SenderFault>{1}</SenderFault></BatchResultErrorEntry>"
)


def batch(*entries: str) -> str:
    return (
        f"<SendMessageBatchResponse {NAMESPACE}><SendMessageBatchResult>{''.join(entries)}"
        "</SendMessageBatchResult><ResponseMetadata><RequestId>s-1</RequestId></ResponseMetadata>"
        "</SendMessageBatchResponse>"
    )


def test_an_answer_in_xml_becomes_the_json_of_the_same_names() -> None:
    assert json.loads(sqs_wire.as_json(SENT)) == {
        "SendMessageResponse": {
            "SendMessageResult": {"MD5OfMessageBody": "abc", "MessageId": "m-1"},
            "ResponseMetadata": {"RequestId": "s-1"},
        }
    }


def test_an_error_in_xml_loses_its_outer_name() -> None:
    assert json.loads(sqs_wire.as_json(REFUSED)) == {
        "Error": {
            "Type": "Sender",
            "Code": "InvalidMessageContents",
            "Message": "bad & worse",
            "Detail": None,
        },
        "RequestId": "s-1",
    }


def test_a_batch_is_answered_with_two_lists() -> None:
    answer = json.loads(sqs_wire.as_json(batch(TAKEN.format(0), FAILED.format(1, "true"), TAKEN.format(2))))
    assert answer == {
        "SendMessageBatchResponse": {
            "SendMessageBatchResult": {
                "Successful": [
                    {"Id": "0", "MessageId": "m-0", "MD5OfMessageBody": "abc"},
                    {"Id": "2", "MessageId": "m-2", "MD5OfMessageBody": "abc"},
                ],
                "Failed": [{"Id": "1", "Code": "MissingParameter", "Message": "<none>", "SenderFault": True}],
            },
            "ResponseMetadata": {"RequestId": "s-1"},
        }
    }


@pytest.mark.parametrize(
    ("entries", "taken", "failed"),
    [
        ([TAKEN.format(0)], 1, 0),
        ([FAILED.format(0, "false")], 0, 1),
        ([], 0, 0),
    ],
)
def test_a_list_is_a_list_whatever_is_in_it(entries: list[str], taken: int, failed: int) -> None:
    result = json.loads(sqs_wire.as_json(batch(*entries)))["SendMessageBatchResponse"][
        "SendMessageBatchResult"
    ]
    assert (len(result["Successful"]), len(result["Failed"])) == (taken, failed)
    assert [each["SenderFault"] for each in result["Failed"]] == [False] * failed


@pytest.mark.parametrize("text", ['{"a": 1}', "", "plain", " [1]"])
def test_what_is_no_xml_stays_as_it_is(text: str) -> None:
    assert sqs_wire.as_json(text) == text


@pytest.mark.parametrize(
    ("accept", "is_json"), [("application/json", True), ("application/xml", False), (None, False)]
)
def test_sqs_answers_in_json_where_that_is_asked_for(
    accept: str | None, is_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(caller: Caller, method: str, url: str, body: str) -> Answer:
        assert (caller.service, caller.region, method, url, body) == ("sqs", "eu-west-1", "POST", "u", "a=b")
        return Answer(200, SENT)

    monkeypatch.setattr(sqs_wire, "call", call)
    headers = {"accept": accept} if accept else {}
    answer = sqs_wire.post("u", "a=b", headers, Credentials("k", "s"), "eu-west-1")
    assert (answer.status, answer.body.startswith("{")) == (200, is_json)
