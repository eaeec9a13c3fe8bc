"""What SQS reads of a request, on all engines: what was sent, and nothing that the caller slipped in."""

import json
import urllib.parse
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from local.standin.velocity import Request
from sluice.sqs import MOST_ENTRIES

from . import agreeing, hostile
from .generated import NOT_SENT, TEMPLATES, Sending, Sent, of_each

SINGLE = {name: each for name, each in TEMPLATES.items() if not each[0].batch}
BATCH = {name: each for name, each in TEMPLATES.items() if each[0].batch}
ENTRIES = hostile.bodies(
    st.lists(hostile.objects | hostile.values.filter(lambda each: each is not None), max_size=MOST_ENTRIES)
)


def form(template: str, request: Request, context: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the form that SQS reads."""
    text = agreeing.render(template, request, context).text
    return urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=True)


@given(request=hostile.requests(), context=hostile.contexts())
@of_each(SINGLE)
def test_what_was_sent_is_what_the_queue_gets(
    sending: Sending, request: Request, context: dict[str, Any]
) -> None:
    message, caller, template = sending
    found = form(template, request, context)
    assert sorted(found) == sorted(Sent(request, context, caller).form(message).items())


@settings(max_examples=50)
@given(request=hostile.requests(ENTRIES), context=hostile.contexts())
@of_each(BATCH)
def test_each_entry_of_a_batch_is_what_the_queue_gets(
    sending: Sending, request: Request, context: dict[str, Any]
) -> None:
    message, caller, template = sending
    found = form(template, request, context)
    assert sorted(found) == sorted(Sent(request, context, caller).form(message).items())


@given(request=hostile.requests(), context=hostile.contexts())
@of_each(NOT_SENT)
def test_what_is_no_message_hands_on_nothing_of_a_body(
    not_sent: tuple[bool, str], request: Request, context: dict[str, Any]
) -> None:
    nothing_behind, template = not_sent
    made = agreeing.render(template, request, context)
    assert (made.status, dict(made.headers)) == (None, {})
    if nothing_behind:
        # API Gateway wants to be told with what it shall answer.
        assert json.loads(made.text)["statusCode"] in {200, 204}
    else:
        assert made.text == ""
