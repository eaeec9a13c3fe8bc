import json
import urllib.parse

import pytest
from botocore.credentials import Credentials

from components.templates import Answer as Form
from components.templates import accepted, failures, refused, send_message
from local.standin import sqs_wire
from local.standin.velocity import Request

from .rendering import answer, form

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


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
def test_the_templates_read_what_the_wire_carries(namespace: str) -> None:
    sent = sqs_wire.as_json(SENT.replace(NAMESPACE, namespace))
    assert answer(accepted(Form.SUMMARY), sent)[1]["messageId"] == "m-1"
    error = sqs_wire.as_json(REFUSED.replace(NAMESPACE, namespace))
    assert answer(refused(failures(1024)), error)[0].status == 400


@pytest.mark.parametrize("text", ['{"a": 1}', "", "plain", " [1]"])
def test_what_is_no_xml_stays_as_it_is(text: str) -> None:
    assert sqs_wire.as_json(text) == text


def test_an_empty_attribute_is_refused_as_sqs_refuses_it() -> None:
    sent = {**form(send_message(), Request("body"), "ann"), "MessageAttribute.3.Value.StringValue": ""}
    refusal = sqs_wire._refused_by_sqs(urllib.parse.urlencode(sent))
    assert refusal is not None
    assert refusal.status == 400
    error = json.loads(refusal.body)["Error"]
    assert error["Code"] == "InvalidParameterValue"
    assert "'principal'" in error["Message"]


def test_a_refused_message_never_gets_to_the_queue() -> None:
    nowhere = sqs_wire.post(
        "http://queue.invalid/",
        "Action=SendMessage&MessageAttribute.1.Value.StringValue=",
        {},
        Credentials("k", "s"),
        "us-east-1",
    )
    assert (nowhere.status, "'?'" in nowhere.body) == (400, True)


@pytest.mark.parametrize("principal", [None, "", "ann"])
def test_what_the_template_makes_is_never_refused(principal: str | None) -> None:
    made = urllib.parse.urlencode(form(send_message(), Request(""), principal))
    assert sqs_wire._refused_by_sqs(made) is None
