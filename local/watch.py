"""``python -m local up``: a stack to play with, and one line for each thing that happens."""

import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from .callers import SERVICE, IamUser
from .emulator import REGION
from .program import stack_config
from .say import Say
from .stack import LocalAws, LocalStack, local_aws

POLL_SECONDS = 0.3
FAILURE = re.compile(r"([\w.]+(Error|Exception)\b|Task timed out)")
"""How the last line of a function's traceback begins: the function failed as a whole."""
TOLD = {
    "handled": {"message_id"},
    "handled before": {"message_id"},
    "failed": {"message_id", "receives", "exception_name", "retry_in_seconds"},
    "given up": {"message_id", "receives", "exception_name"},
}
"""What the consumer's log says of a message, by the text of the line."""
HEADING = "Ctrl-C ends it. What happens:"


def up(stack: str) -> int:
    """Deploy a stack and tell what happens on it until Ctrl-C."""
    stack_config(stack)  # before anything is started for a stack that is not there
    with local_aws(Say(), on_request=tell_request) as local:
        deployed = local.up(stack)
        commands = [curl(deployed), *filter(None, [curl_of_a_call(deployed)])]
        print("\n\n".join([f"\nURL: {deployed.outputs['url']}", *commands, HEADING]), flush=True)
        try:
            for line in handled_lines(local, deployed.consumer["log"]):
                print(line, flush=True)
        except KeyboardInterrupt:
            print("\nStopping.", flush=True)
    return 0


def curl(deployed: LocalStack) -> str:
    """Return a command line that sends a message as somebody who may, ready to paste."""
    url, callers = urlsplit(deployed.outputs["url"]), deployed.callers
    headers = {"Content-Type": "application/json"}
    if url.scheme == "https":
        # No DNS leads to the edge, which finds a domain by the Host header.
        headers["Host"] = url.netloc
        url = url._replace(scheme="http", netloc=urlsplit(deployed.outputs["invoke_url"]).netloc)
    headers |= callers.shown
    words = ["curl", "-i", url.geturl()]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    if user := callers.permitted:
        words += signing(user, SERVICE)
    return shlex.join([*words, "-d", '{"hello": "world"}'])


def curl_of_a_call(deployed: LocalStack) -> str | None:
    """Return a command line that has a retrier call the upstream beside it, where there are both."""
    user, behind = deployed.callers.calling, deployed.callers.upstream
    if user is None or behind is None:
        return None
    call = json.dumps({"url": f"{behind.url}/limited/2"})
    words = ["curl", "-i", deployed.outputs["retrier"]["url"], "-H", "Content-Type: application/json"]
    return shlex.join([*words, *signing(user, "lambda"), "-d", call])


def signing(user: IamUser, service: str) -> list[str]:
    """Return the words by which curl signs a request."""
    key = f"{user.credentials.access_key}:{user.credentials.secret_key}"
    return ["--aws-sigv4", f"aws:amz:{REGION}:{service}", "--user", key]


def tell_request(context: Mapping[str, str]) -> None:
    """Print one line for a request that the front door answered."""
    print(
        f"{clock()}  request  {context['status']}  {context['httpMethod']} {context.get('resourcePath', '-')}"
        f"  {context['responseLatency']} ms  request id {context['requestId']}",
        flush=True,
    )


def handled_lines(local: LocalAws, log_group: str) -> Iterator[str]:
    """Yield a line for each message that the consumer handled or failed, and for each failure of its own."""
    logs = local.aws.client("logs")
    since, seen = 0, set[str]()
    while True:
        events = logs.filter_log_events(logGroupName=log_group, startTime=since)["events"]
        fresh = [event for event in events if event["message"] not in seen]
        # Only what shares the newest millisecond can come again.
        since = max([since, *(event["timestamp"] for event in events)])
        seen = {event["message"] for event in events if event["timestamp"] >= since}
        yield from filter(None, (message_line(event["message"]) for event in fresh))
        time.sleep(POLL_SECONDS)


def message_line(text: str) -> str | None:
    """Return what a line of the consumer's log says of a message or of a failure, if it does."""
    try:
        said: dict[str, Any] = json.loads(text)
    except ValueError:
        return f"{clock()}  consumer  {text}" if FAILURE.match(text) else None
    if not isinstance(said, dict):
        return None
    needed = TOLD.get(str(said.get("message")))
    if needed is None or not needed <= said.keys():
        return None
    request = said.get("request_id", "-")
    line = f"{clock()}  message  {said['message']}  {said['message_id']}  request id {request}"
    if "receives" not in needed:
        return line
    line += f"  receive {said['receives']}, {said['exception_name']}"
    return f"{line}, again in {said['retry_in_seconds']} s" if "retry_in_seconds" in needed else line


def clock() -> str:
    """Return the time of day."""
    return datetime.now().astimezone().strftime("%H:%M:%S")
