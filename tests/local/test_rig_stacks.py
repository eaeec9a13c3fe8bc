"""What a local run makes around a stack, for each kind of authorizer: it lets callers in, and nobody else."""

import shlex
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest

from local import watch
from local.stack import LocalAws, LocalStack
from local.surroundings import UserPool

from .support import Reply, call, fresh, wait_every

KINDS = ["function", "jwt", "cognito", "iam", "proxy"]
BODY = b'{"hello": "world"}'


@pytest.fixture(scope="module", params=KINDS)
def stack(request: pytest.FixtureRequest, cloud: LocalAws) -> LocalStack:
    return fresh(cloud, request.param)


def send(stack: LocalStack, headers: dict[str, str]) -> Reply:
    """Send a message to where the edge serves the stack."""
    url = urlsplit(stack.outputs["url"])
    if url.scheme == "https":
        headers = {**headers, "Host": url.netloc}
        url = url._replace(scheme="http", netloc=urlsplit(stack.outputs["invoke_url"]).netloc)
    return call(url.geturl(), "POST", BODY, headers)


def test_what_was_made_for_its_callers_lets_them_in_and_nothing_else_does(stack: LocalStack) -> None:
    shown = stack.callers.headers("POST", stack.outputs["url"], BODY)
    # The edge has to look a domain up first.
    assert wait_every(
        0.1, 5, lambda: send(stack, {**shown, "Content-Type": "application/json"}).status == 202
    )

    assert send(stack, {"Content-Type": "application/json"}).status in {401, 403}
    if stranger := stack.callers.stranger:
        strange = stranger.sign("POST", stack.outputs["url"], BODY)
        assert send(stack, strange).status == 403


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_command_line_that_is_told_sends_a_message(stack: LocalStack) -> None:
    line = shlex.split(watch.curl(stack))

    def accepted() -> bool:
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        return done.stdout.startswith("HTTP/1.1 202 ")

    assert wait_every(0.1, 5, accepted)


def test_user_pools_and_functions_that_are_there_stay(cloud: LocalAws) -> None:
    pool = UserPool.new(cloud.aws)
    for section in (
        {"sluice:authorizer": f'{{"kind": "cognito", "user_pool_arns": ["{pool.arn}"]}}'},
        {"sluice:authorizer": '{"kind": "function", "function_arn": "local-integrations"}'},
    ):
        cloud.aws.client("lambda").get_function(FunctionName="local-integrations")
        config, callers = cloud.surroundings.prepare(section)

        assert config == section
        assert (callers.token, callers.user, callers.tenant) == (None, None, None)


def test_a_token_has_the_scopes_that_a_user_pool_s_method_asks_for(cloud: LocalAws) -> None:
    stack = fresh(cloud, "cognito", authorizer={"scopes": ["orders/write"]})

    assert send(stack, stack.callers.shown).status == 202
    user = stack.callers.user
    assert user
    for token in (user.id_token, user.access_token):
        assert send(stack, {"Authorization": f"Bearer {token}"}).status == 401
