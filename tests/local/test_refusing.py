from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from local import demo_checks
from local.client import JSON, post, post_all
from local.demo_checks import wait_until
from local.stack import LocalAws, LocalStack
from sluice import tokens

from .support import assert_refused, bearer, call, exchange, fresh, log_texts, made

KIB = 1024


@pytest.mark.parametrize(
    "header", ["secret", "Basic dXNlcjpwYXNz", "Bearer ", f"Bearer {tokens.PREFIX}short"]
)
def test_a_malformed_authorization_is_answered_401(dev: LocalStack, header: str) -> None:
    reply = call(dev.outputs["url"], headers={"Authorization": header})

    assert_refused(reply, 401, "UNAUTHORIZED")
    assert reply.headers["www-authenticate"] == "Bearer"


def test_no_authorization_is_answered_401(dev: LocalStack) -> None:
    reply = call(dev.outputs["url"])

    assert_refused(reply, 401, "UNAUTHORIZED")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]


def test_the_scheme_may_be_in_lower_case(dev: LocalStack) -> None:
    """Its case says nothing: RFC 9110, section 11.1."""
    assert call(dev.outputs["url"], headers={"Authorization": f"bearer {dev.token}"}).status == 202


@pytest.mark.parametrize(
    "form",
    ["{}", "Bearer {}x", "Bearer  {}", "Bearer\t{}", "Bearer{}", "Bearer {},", "Basic {}", "x Bearer {}"],
)
def test_a_good_token_in_another_form_is_answered_401(dev: LocalStack, form: str) -> None:
    shown = {"Authorization": form.format(dev.token)}

    assert_refused(call(dev.outputs["url"], headers=shown), 401, "UNAUTHORIZED")


def test_an_unknown_token_is_answered_403_without_saying_what_was_asked_for(dev: LocalStack) -> None:
    reply = call(dev.outputs["url"], headers=bearer(tokens.mint()))

    assert_refused(reply, 403, "ACCESS_DENIED")
    assert b"arn:" not in reply.body
    assert "www-authenticate" not in reply.headers, "another token would be needed, not another form"


def test_a_denial_is_kept_so_a_repeated_guess_costs_nothing(cloud: LocalAws) -> None:
    stack = fresh(cloud, "dev")
    guesses = [tokens.mint(), tokens.mint()]

    for token in (guesses[0], guesses[0], guesses[0], guesses[1]):
        assert_refused(post(stack.outputs["url"], b"{}", token), 403, "ACCESS_DENIED")

    denials = wait_until(lambda: decisions(cloud, stack), lambda found: len(found) >= 2)
    assert len(denials) == 2, "the function is asked once for each token"
    assert not [line for line in denials for token in guesses if token in line]


def decisions(cloud: LocalAws, stack: LocalStack) -> list[str]:
    return [line for line in log_texts(cloud, stack.outputs["authorizer_log"]) if '"decision"' in line]


@pytest.fixture(scope="module")
def two_methods(cloud: LocalAws) -> LocalStack:
    """A guarded stack whose path takes PUT as well, answered 204 with a body that it may not have."""
    stack = fresh(cloud, "dev")
    gateway = cloud.aws.client("apigateway")
    api, path = made(stack, "front-door-api").id, made(stack, "front-door-path-messages").id
    gateway.put_method(
        restApiId=api,
        resourceId=path,
        httpMethod="PUT",
        authorizationType="CUSTOM",
        authorizerId=made(stack, "front-door-authorizer").id,
    )
    gateway.put_integration(
        restApiId=api,
        resourceId=path,
        httpMethod="PUT",
        type="MOCK",
        requestTemplates={JSON: '{"statusCode": 204}'},
    )
    gateway.put_method_response(restApiId=api, resourceId=path, httpMethod="PUT", statusCode="204")
    gateway.put_integration_response(
        restApiId=api,
        resourceId=path,
        httpMethod="PUT",
        statusCode="204",
        responseTemplates={JSON: '{"some": "body"}'},
    )
    gateway.create_deployment(restApiId=api, stageName="v1")
    return stack


def test_a_decision_that_is_kept_serves_the_other_methods_too(two_methods: LocalStack) -> None:
    url, good, bad = two_methods.outputs["url"], bearer(two_methods.token), bearer(tokens.mint())

    assert [call(url, method, headers=good).status for method in ("POST", "PUT", "POST")] == [202, 204, 202]
    assert [call(url, method, headers=bad).status for method in ("POST", "PUT", "POST")] == [403, 403, 403]


def test_204_has_no_body(two_methods: LocalStack) -> None:
    url = two_methods.outputs["url"]
    head = [
        f"PUT {urlsplit(url).path} HTTP/1.1",
        f"Authorization: Bearer {two_methods.token}",
        f"Content-Type: {JSON}",
        "Content-Length: 2",
    ]

    received = exchange(url, head, b"{}")

    assert received.startswith(b"HTTP/1.1 204 ")
    assert received.endswith(b"\r\n\r\n"), "a byte after the head would begin the next answer"


@pytest.mark.parametrize("body", [b"a\x01b", "\ufffe".encode()], ids=["control character", "noncharacter"])
def test_a_body_that_no_message_can_carry_is_answered_400(door: LocalStack, body: bytes) -> None:
    sent = post(door.outputs["url"], body)

    assert_refused(sent, 400, "BAD_REQUEST_BODY")
    assert sent.answer["message"] == "The request holds characters that a queue message cannot carry."


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"]
)
def test_another_content_type_is_answered_415(door: LocalStack, content_type: str) -> None:
    sent = post(door.outputs["url"], b"{}", headers={"Content-Type": content_type})

    assert_refused(sent, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_each_content_type_that_is_set_is_taken_and_no_other(cloud: LocalAws) -> None:
    stack = fresh(cloud, front_door={"content_types": ["text/plain", "text/csv"]})

    statuses = [
        post(stack.outputs["url"], b"a,b", headers={"Content-Type": each}).status
        for each in ("text/plain", "text/csv; header=present", JSON)
    ]

    assert statuses == [202, 202, 415]


@pytest.mark.parametrize("suffix", ["x", "/more", "/../other"])
def test_an_unknown_path_is_refused_in_our_shape(door: LocalStack, suffix: str) -> None:
    assert_refused(call(door.outputs["url"] + suffix), 403, "MISSING_AUTHENTICATION_TOKEN")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_refused_in_our_shape(door: LocalStack, method: str) -> None:
    assert_refused(call(door.outputs["url"], method, None), 403, "MISSING_AUTHENTICATION_TOKEN")


def test_head_is_refused_without_a_body(door: LocalStack) -> None:
    reply = call(door.outputs["url"], "HEAD", None)

    assert (reply.status, reply.body) == (403, b"")


@pytest.mark.parametrize("size", [256 * KIB + 1, 11 * KIB * KIB], ids=["the queue's", "API Gateway's"])
def test_a_body_over_a_limit_is_answered_413(door: LocalStack, size: int) -> None:
    assert_refused(call(door.outputs["url"], body=b"x" * size), 413, "REQUEST_TOO_LARGE")


def test_the_limit_is_the_one_that_was_set_and_is_named(cloud: LocalAws) -> None:
    stack = fresh(cloud, front_door={"max_message_size": KIB})

    over, under = post_all(stack.outputs["url"], [b"x" * (KIB + 1), b"x" * (KIB // 2)], None)

    assert_refused(over, 413, "REQUEST_TOO_LARGE")
    assert "1024 bytes" in over.answer["message"]
    assert under.status == 202


def test_what_is_over_the_rate_is_answered_429_and_the_rest_is_handled(cloud: LocalAws) -> None:
    stack = fresh(cloud, front_door={"throttle_rate": 1, "throttle_burst": 1})

    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: call(stack.outputs["url"]), range(20)))

    statuses = Counter(each.status for each in replies)
    assert set(statuses) == {202, 429}, statuses
    for reply in replies:
        if reply.status == 429:
            assert_refused(reply, 429, "THROTTLED")
            assert reply.headers["retry-after"] == "1"
    handled = wait_until(
        lambda: demo_checks.recorded(cloud, stack), lambda found: found.total() >= statuses[202]
    )
    accepted = {each.answer["messageId"] for each in replies if each.status == 202}
    assert {message_id for message_id, _ in handled} == accepted
