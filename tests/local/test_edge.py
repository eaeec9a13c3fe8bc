import gzip
import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from local.client import JSON
from local.stack import LocalAws, LocalStack

from .support import Reply, assert_refused, call, exchange, fresh, made


def test_an_integration_that_cannot_work_is_answered_500_in_our_shape(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    cloud.aws.client("apigateway").delete_integration_response(
        restApiId=made(stack, "front-door-api").id,
        resourceId=made(stack, "front-door-path-messages").id,
        httpMethod="POST",
        statusCode="202",
    )

    assert_refused(call(stack.outputs["url"]), 500, "API_CONFIGURATION_ERROR")


def assert_nothing_there(reply: Reply) -> None:
    """Fail unless an answer is API Gateway's own where nothing is deployed."""
    assert reply.status == 403
    assert reply.headers["content-type"].startswith("application/json")
    assert set(reply.answer) == {"message"}


@pytest.mark.parametrize("stage", ["v2", "V1"])
def test_an_unknown_stage_is_refused(door: LocalStack, stage: str) -> None:
    assert_nothing_there(call(door.outputs["url"].replace("/v1/", f"/{stage}/")))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/x", "/x/y", "/_ministack/reset", "//_ministack/reset"])
def test_where_no_stage_is_named_all_is_refused(door: LocalStack, method: str, path: str) -> None:
    assert_nothing_there(call(origin(door) + path, method))


def origin(stack: LocalStack) -> str:
    where = urlsplit(stack.outputs["url"])
    return f"{where.scheme}://{where.netloc}"


@pytest.mark.parametrize("climb", ["..", "%2e%2e", "%2E.", ".%2e", "..%2f..", "%252e%252e", "..%5c.."])
@pytest.mark.parametrize(("method", "command"), [("GET", "ready"), ("POST", "reset")])
def test_no_path_leads_out_of_a_stage_to_the_emulator_s_own(
    cloud: LocalAws, door: LocalStack, method: str, command: str, climb: str
) -> None:
    stage = door.outputs["url"].removesuffix("/messages")

    reply = call(f"{stage}{f'/{climb}' * 4}/_ministack/{command}", method)

    assert_refused(reply, 403, "MISSING_AUTHENTICATION_TOKEN")
    assert_deployed(cloud, door)


@pytest.mark.parametrize("path", ["/..", "/a/..", "/%2e%2e/%2e%2e", "/a/../../..", "/a/b/../../../.."])
@pytest.mark.parametrize(("method", "command"), [("GET", "ready"), ("POST", "reset")])
def test_no_path_leads_there_without_a_stage(
    cloud: LocalAws, door: LocalStack, path: str, method: str, command: str
) -> None:
    assert_nothing_there(call(f"{origin(door)}{path}/_ministack/{command}", method))
    assert_deployed(cloud, door)


def assert_deployed(cloud: LocalAws, stack: LocalStack) -> None:
    sqs = cloud.aws.client("sqs")
    for queue in ("queue_url", "dead_letter_queue_url"):
        assert sqs.get_queue_attributes(QueueUrl=stack.outputs[queue], AttributeNames=["QueueArn"])
    assert call(stack.outputs["url"]).status == 202


def test_dots_in_a_query_are_no_path(door: LocalStack) -> None:
    assert call(f"{door.outputs['url']}?from=/../..").status == 202


def test_a_target_with_its_host_is_the_same_as_without(door: LocalStack) -> None:
    url = door.outputs["url"]
    head = [f"POST {url} HTTP/1.1", f"Content-Type: {JSON}", "Content-Length: 2"]

    assert exchange(url, head, b"{}").startswith(b"HTTP/1.1 202 ")


@pytest.fixture
def _log_on_standard_error(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Write what is logged where it goes outside tests."""
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)


BODY = b'{"a": 1}'


@pytest.mark.parametrize("text", [BODY, b"x" * (20 * 1024 * 1024)], ids=["small", "over the limit"])
def test_a_compressed_body_is_not_decompressed(door: LocalStack, text: bytes) -> None:
    reply = call(door.outputs["url"], body=gzip.compress(text), headers={"Content-Encoding": "gzip"})

    assert_refused(reply, 400, "BAD_REQUEST_BODY")


@pytest.mark.parametrize(
    ("length", "parts"),
    [
        ("Transfer-Encoding: chunked", [b"zz\r\n{}\r\n0\r\n\r\n"]),
        ("Transfer-Encoding: chunked\r\nExpect: 100-continue", [b"", b"2\r\n{}\r\nzz\r\n"]),
        ("Transfer-Encoding: chunked", [b"2\r\n{"]),
        ("Content-Length: 100", [BODY]),
        ("Content-Length: 100\r\nExpect: 100-continue", [b"", BODY]),
    ],
    ids=["no chunk", "no chunk while it is read", "half a chunk", "too short", "too short while it is read"],
)
@pytest.mark.usefixtures("_log_on_standard_error")
def test_a_body_that_breaks_off_is_not_accepted_and_nobody_is_disturbed(
    door: LocalStack, capfd: pytest.CaptureFixture[str], length: str, parts: list[bytes]
) -> None:
    url = door.outputs["url"]
    head = [f"POST {urlsplit(url).path} HTTP/1.1", f"Content-Type: {JSON}", length]

    received = exchange(url, head, *parts, hang_up=True)

    assert received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")[:12] in {
        b"",
        b"HTTP/1.0 400",
        b"HTTP/1.1 400",
    }
    assert call(url).status == 202
    assert capfd.readouterr() == ("", "")
