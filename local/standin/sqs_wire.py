"""SQS as API Gateway sees it: the form over HTTP, in the form that SQS answers, refusing what SQS refuses."""

import json
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from botocore.credentials import Credentials

from .signed import Answer, Caller, call

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


def post(url: str, body: str, headers: Mapping[str, str], credentials: Credentials, region: str) -> Answer:
    """Send a signed form to SQS and return its answer, as JSON where JSON was asked for."""
    refusal = _refused_by_sqs(body)
    if refusal:
        return refusal
    answer = call(Caller(credentials, "sqs", region, headers), "POST", url, body)
    accept = {name.lower(): value for name, value in headers.items()}.get("accept", "")
    return Answer(answer.status, as_json(answer.body)) if accept == "application/json" else answer


def _refused_by_sqs(body: str) -> Answer | None:
    """Return what SQS answers to an empty attribute value, which the emulator lets pass."""
    form = urllib.parse.parse_qs(body, keep_blank_values=True)
    for key, values in form.items():
        if key.startswith("MessageAttribute.") and key.endswith(".Value.StringValue") and values == [""]:
            name = form.get(key.replace(".Value.StringValue", ".Name"), ["?"])[0]
            return _error(
                "InvalidParameterValue",
                f"Message (user) attribute '{name}' must contain a non-empty value of type 'String'.",
            )
    return None


def _error(code: str, message: str) -> Answer:
    body = {"Error": {"Code": code, "Message": message, "Type": "Sender"}, "RequestId": "local"}
    return Answer(400, json.dumps(body))


def as_json(text: str) -> str:
    """Return SQS's XML as the JSON that it answers with when asked for JSON."""
    if not text.lstrip().startswith("<"):
        return text
    root = ET.fromstring(text)  # noqa: S314 - the emulator's own answer
    name = root.tag.removeprefix(NAMESPACE)
    if name == "ErrorResponse":
        return json.dumps(_children(root))
    return json.dumps({name: _children(root)})


def _children(element: ET.Element) -> dict[str, object]:
    return {
        child.tag.removeprefix(NAMESPACE): _children(child) if len(child) else child.text for child in element
    }
