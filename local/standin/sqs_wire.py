"""SQS as API Gateway sees it: the form over HTTP, and the answer in the form that SQS gives it."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from botocore.credentials import Credentials

from .signed import Answer, Caller, call

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"
BATCH_RESULT = "SendMessageBatchResult"
BATCH_LISTS = {"SendMessageBatchResultEntry": "Successful", "BatchResultErrorEntry": "Failed"}
"""What SQS calls the entries of a batch's answer in JSON, by their names in XML."""
TRUTHS = {"true": True, "false": False}


def post(url: str, body: str, headers: Mapping[str, str], credentials: Credentials, region: str) -> Answer:
    """Send a signed form to SQS and return its answer, as JSON where JSON was asked for."""
    answer = call(Caller(credentials, "sqs", region, headers), "POST", url, body)
    accept = {name.lower(): value for name, value in headers.items()}.get("accept", "")
    return Answer(answer.status, as_json(answer.body)) if accept == "application/json" else answer


def as_json(text: str) -> str:
    """Return SQS's XML as the JSON that it answers with when asked for JSON."""
    if not text.lstrip().startswith("<"):
        return text
    root = ET.fromstring(text)  # noqa: S314 - the emulator's own answer
    name = _name(root)
    if name == "ErrorResponse":
        return json.dumps(_children(root))
    return json.dumps({name: _children(root)})


def _children(element: ET.Element) -> dict[str, object]:
    return {_name(child): _value(child) for child in element}


def _value(element: ET.Element) -> object:
    if _name(element) == BATCH_RESULT:
        return _batch_result(element)
    return _children(element) if len(element) else element.text


def _batch_result(result: ET.Element) -> dict[str, list[dict[str, object]]]:
    """Return what became of a batch's entries: two lists, whatever is in them."""
    lists: dict[str, list[dict[str, object]]] = {name: [] for name in BATCH_LISTS.values()}
    for entry in result:
        told = _children(entry)
        if "SenderFault" in told:
            told["SenderFault"] = TRUTHS[str(told["SenderFault"])]
        lists[BATCH_LISTS[_name(entry)]].append(told)
    return lists


def _name(element: ET.Element) -> str:
    return element.tag.removeprefix(NAMESPACE)
