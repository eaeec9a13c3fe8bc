"""Authorizers on the local AWS, of an API that is made without the program: who is asked what, who passes."""

import base64
import io
import json
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from components import policies
from local.aws import Aws
from local.callers import IamUser, PoolUser, signed
from local.makers import make
from local.makers.compute import LocalSetupError
from local.stack import LocalAws
from local.surroundings import UserPool, new_iam_user

from .support import Reply, Values, call, exchange, wait_every

FUNCTION = """
import json
import uuid

def handler(event, context):
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    token = event.get("authorizationToken") or headers.get("authorization", "")
    if token == "unauthorized":
        raise Exception("Unauthorized")
    if token == "broken":
        raise ValueError("broken")
    stage = "/".join(event["methodArn"].split("/")[:2])
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{stage}/*"}
    if token == "deny":
        statement["Effect"] = "Deny"
    if token == "this method":
        statement["Resource"] = event["methodArn"]
    if token == "another action":
        statement["Action"] = "execute-api:ManageConnections"
    if token == "home":
        statement["Condition"] = {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}
    context = {"run": str(uuid.uuid4()), "event": json.dumps(event), "number": 7, "good": True}
    if token == "nested":
        context["nested"] = ["a"]
    return {
        "principalId": f"who says {token}",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }
"""
SHOWN = {
    "run": "$!context.authorizer.run",
    "event": "#if($context.authorizer.event)$util.base64Encode($context.authorizer.event)#end",
    "principal": "$!context.authorizer.principalId",
    "number": "$!context.authorizer.number",
    "good": "$!context.authorizer.good",
    "sub": "$!context.authorizer.claims.sub",
    "user": "$!context.authorizer.claims['cognito:username']",
    "caller": "$!context.identity.caller",
    "caller_arn": "$!context.identity.userArn",
    "account": "$!context.identity.accountId",
    "key": "$!context.identity.accessKey",
    "request": "$context.requestId",
}
"""What the API answers with."""
LOGGED = {
    "request": "$context.requestId",
    "status": "$context.status",
    "error": "$context.error.responseType",
    "principal": "$context.authorizer.principalId",
    "run": "$context.authorizer.run",
    "sub": "$context.authorizer.claims.sub",
    "caller_arn": "$context.identity.userArn",
    "ip": "$context.identity.sourceIp",
}
SOURCES = "method.request.header.Authorization,context.identity.sourceIp,context.httpMethod"
STAGE = "v1"
POOLS = "COGNITO_USER_POOLS"
HOME, AWAY = "198.51.100.7", "203.0.113.9"


@dataclass(frozen=True)
class Guarded:
    """An API with a method for each way to be authorized."""

    cloud: LocalAws
    api: str
    log: str

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"{self.cloud.edge.url}/{self.api}/{STAGE}/{path}"

    def ask(
        self, path: str, token: str | None = None, method: str = "GET", address: str = HOME, **headers: str
    ) -> Reply:
        """Send a request from an address."""
        shown = {} if token is None else {"Authorization": token}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**self.cloud.edge.as_client(address), **shown, **given}
        return call(self.url(path), method, None if method == "GET" else b"{}", sent)

    def logged(self, reply: Reply) -> Values:
        """Wait for the access log line of an answer."""
        found: list[Values] = []

        def written() -> bool:
            events = self.cloud.aws.client("logs").filter_log_events(logGroupName=self.log)["events"]
            lines = [json.loads(each["message"]) for each in events]
            found.extend(each for each in lines if each["request"] == reply.headers["x-amzn-requestid"])
            return bool(found)

        assert wait_every(0.05, 10, written)
        return found[0]


def event_in(reply: Reply) -> Values:
    """Return what the function was told, out of an answer."""
    event: Values = json.loads(base64.b64decode(reply.answer["event"]))
    return event


def archive(text: str) -> bytes:
    """Return the archive of a function of one module."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as written:
        written.writestr("deciding.py", text)
    return target.getvalue()


@dataclass
class Builder:
    """Makes an API by the makers of resources."""

    cloud: LocalAws

    def make(self, kind: str, **inputs: Any) -> str:
        """Make one resource and return its id."""
        made, _ = make(self.cloud.workshop, f"aws:{kind}", f"rig-{uuid.uuid4().hex[:6]}", inputs)
        return made

    def function(self) -> str:
        """Make the function and return its invocation URI."""
        name = f"rig-{uuid.uuid4().hex[:6]}"
        role = self.cloud.aws.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=policies.trusts("lambda.amazonaws.com")
        )["Role"]["Arn"]
        arn = self.cloud.aws.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="deciding.handler",
            Role=role,
            Code={"ZipFile": archive(FUNCTION)},
        )["FunctionArn"]
        return f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"

    def api(self) -> tuple[str, str]:
        """Make an API and return its id and that of its root."""
        made, outputs = make(
            self.cloud.workshop,
            "aws:apigateway/restApi:RestApi",
            "rig",
            {"endpointConfiguration": {"types": "REGIONAL"}},
        )
        return made, outputs["rootResourceId"]

    def permit(self, uri: str, api: str, authorizer: str) -> None:
        """Let an authorizer of an API invoke its function."""
        self.make(
            "lambda/permission:Permission",
            function=uri.split("/functions/")[1].removesuffix("/invocations"),
            action="lambda:InvokeFunction",
            principal="apigateway.amazonaws.com",
            sourceArn=f"arn:aws:execute-api:us-east-1:{self.cloud.aws.account}:{api}/authorizers/{authorizer}",
        )

    def method(self, api: str, resource: str, verb: str, **authorization: Any) -> None:
        """Make a method that answers with what it knows of the caller."""
        where = {"restApi": api, "resourceId": resource, "httpMethod": verb}
        self.make("apigateway/method:Method", **where, **authorization)
        self.make(
            "apigateway/integration:Integration",
            **where,
            type="MOCK",
            requestTemplates={"application/json": '{"statusCode": 200}'},
        )
        self.make("apigateway/methodResponse:MethodResponse", **where, statusCode="200")
        self.make(
            "apigateway/integrationResponse:IntegrationResponse",
            **where,
            statusCode="200",
            responseTemplates={"application/json": json.dumps(SHOWN)},
        )

    def serve(self, api: str, log: str) -> None:
        """Serve the API on a stage that logs."""
        deployment = self.make("apigateway/deployment:Deployment", restApi=api)
        self.cloud.aws.client("logs").create_log_group(logGroupName=log)
        self.cloud.aws.client("apigateway").create_stage(
            restApiId=api, stageName=STAGE, deploymentId=deployment
        )
        where = f"arn:aws:logs:us-east-1:{self.cloud.aws.account}:log-group:{log}"
        self.cloud.aws.client("apigateway").update_stage(
            restApiId=api,
            stageName=STAGE,
            patchOperations=[
                {"op": "replace", "path": "/accessLogSettings/destinationArn", "value": where},
                {"op": "replace", "path": "/accessLogSettings/format", "value": json.dumps(LOGGED)},
            ],
        )


@dataclass(frozen=True)
class Members:
    """Those whom the API lets in without a function."""

    pool: UserPool
    user: PoolUser
    iam: Mapping[str, IamUser]
    """By what their policies say."""


SCOPES = ["orders/write", "orders/read"]
PERMITTED = "GET/iam/*"


@pytest.fixture(scope="module")
def members(cloud: LocalAws) -> Members:
    pool = UserPool.new(cloud.aws)
    return Members(
        pool,
        pool.sign_up("ann"),
        {name: new_iam_user(cloud.aws, name) for name in ("permitted", "unknown", "denied")},
    )


@pytest.fixture(scope="module")
def guarded(cloud: LocalAws, members: Members) -> Guarded:
    build = Builder(cloud)
    uri = build.function()
    api, root = build.api()

    def serve(name: str, **authorization: Any) -> None:
        above = build.make("apigateway/resource:Resource", restApi=api, parentId=root, pathPart=name)
        resource = build.make("apigateway/resource:Resource", restApi=api, parentId=above, pathPart="{id}")
        for verb in ("GET", "POST"):
            build.method(api, resource, verb, **authorization)

    kinds: dict[str, Values] = {
        "token": {"type": "TOKEN", "identityValidationExpression": "[a-z ]+"},
        "request": {"type": "REQUEST", "identitySource": SOURCES},
        "uncached": {
            "type": "REQUEST",
            "identitySource": "method.request.querystring.who, context.path,context.resourcePath",
            "authorizerResultTtlInSeconds": 0,
        },
        "anybody": {"type": "REQUEST", "identitySource": "", "authorizerResultTtlInSeconds": 0},
        "forbidden": {"type": "TOKEN"},
    }
    for name, given in kinds.items():
        authorizer = build.make("apigateway/authorizer:Authorizer", restApi=api, authorizerUri=uri, **given)
        if name != "forbidden":
            build.permit(uri, api, authorizer)
        serve(name, authorization="CUSTOM", authorizerId=authorizer)
    users = build.make(
        "apigateway/authorizer:Authorizer", restApi=api, type=POOLS, providerArns=[members.pool.arn]
    )
    serve("users", authorization=POOLS, authorizerId=users)
    serve("scoped", authorization=POOLS, authorizerId=users, authorizationScopes=SCOPES[:1])
    serve("iam", authorization="AWS_IAM")
    serve("open", authorization="NONE")
    method = f"arn:aws:execute-api:us-east-1:{cloud.aws.account}:{api}/{STAGE}/{PERMITTED}"
    permit(cloud.aws, members.iam["permitted"], "Allow", method)
    permit(cloud.aws, members.iam["denied"], "Allow", "*")
    permit(cloud.aws, members.iam["denied"], "Deny", method)
    log = f"rig-{api}"
    build.serve(api, log)
    return Guarded(cloud, api, log)


def permit(aws: Aws, user: IamUser, effect: str, arn: str) -> None:
    """Say in a user's policy whether it may invoke a method."""
    statement = policies.Statement(["execute-api:Invoke"], [arn], effect)
    aws.client("iam").put_user_policy(
        UserName=user.name, PolicyName=effect, PolicyDocument=policies.policy(statement)
    )


def assert_refused(reply: Reply, status: int, error: str, said: str = "") -> None:
    """Fail unless API Gateway refused a request in its own words."""
    assert (reply.status, reply.headers["x-amzn-errortype"]) == (status, error)
    assert said in str(reply.answer.get("message", reply.answer.get("Message")))


@pytest.mark.parametrize("path", ["token/1", "request/1", "uncached/1?who=me", "anybody/1"])
def test_who_is_allowed_gets_to_the_integration_which_knows_what_the_function_said(
    guarded: Guarded, path: str
) -> None:
    reply = guarded.ask(path, "allow")

    assert reply.status == 200
    told = {name: reply.answer[name] for name in ("principal", "number", "good")}
    assert told == {"principal": "who says allow", "number": "7", "good": "true"}
    assert not [name for name in reply.headers if name.startswith("x-edge-")]


def test_a_token_authorizer_is_told_of_the_token_alone(guarded: Guarded) -> None:
    assert event_in(guarded.ask("token/1", "allow")) == {
        "type": "TOKEN",
        "methodArn": f"arn:aws:execute-api:us-east-1:000000000000:{guarded.api}/{STAGE}/GET/token/1",
        "authorizationToken": "allow",
    }


def answer_to(guarded: Guarded, path: str, *lines: str) -> Reply:
    """Send exactly these header lines, and return the answer."""
    url = urlsplit(guarded.url(path))
    target = f"{url.path}?{url.query}" if url.query else url.path
    given = exchange(guarded.url(path), [f"GET {target} HTTP/1.1", *lines])
    head, _, body = given.partition(b"\r\n\r\n")
    return Reply(int(head.split()[1]), {}, body)


def test_a_request_authorizer_is_told_of_the_request_as_the_client_sent_it(guarded: Guarded) -> None:
    as_client = (f"{name}: {value}" for name, value in guarded.cloud.edge.as_client(HOME).items())
    reply = answer_to(
        guarded,
        "uncached/7?who=me&who=you&a=%41",
        "authorizATION: allow",
        "X-Given: 1",
        "X-GIVEN: 2",
        "X-Forwarded-For: 192.0.2.66",
        "X-Edge-Arrival: {}",
        "User-Agent: tests",
        *as_client,
    )

    event = event_in(reply)
    context = event.pop("requestContext")
    host = urlsplit(guarded.url("")).netloc
    several = {
        "authorizATION": ["allow"],
        "Host": [host],
        "User-Agent": ["tests"],
        "X-Forwarded-For": [f"192.0.2.66, {HOME}"],
        "X-Forwarded-Port": ["443"],
        "X-Forwarded-Proto": ["https"],
        "X-Given": ["1", "2"],
    }
    assert event == {
        "type": "REQUEST",
        "methodArn": f"arn:aws:execute-api:us-east-1:000000000000:{guarded.api}/{STAGE}/GET/uncached/7",
        "resource": "/uncached/{id}",
        "path": "/uncached/7",
        "httpMethod": "GET",
        "headers": {name: values[-1] for name, values in several.items()},
        "multiValueHeaders": several,
        "queryStringParameters": {"who": "you", "a": "A"},
        "multiValueQueryStringParameters": {"who": ["me", "you"], "a": ["A"]},
        "pathParameters": {"id": "7"},
        "stageVariables": {},
    }
    assert context["identity"] == {"sourceIp": HOME, "userAgent": "tests"}
    assert context["requestId"] == reply.answer["request"]
    assert (context["path"], context["resourcePath"]) == (f"/{STAGE}/uncached/7", "/uncached/{id}")
    assert (context["apiId"], context["stage"], context["httpMethod"]) == (guarded.api, STAGE, "GET")


def test_of_a_repeated_header_the_last_value_is_the_token(guarded: Guarded) -> None:
    reply = answer_to(guarded, "token/1", "Authorization: deny", "Authorization: allow")

    assert event_in(reply)["authorizationToken"] == "allow"


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("token/1", None),
        ("token/1", ""),
        ("token/1", "NOT IN THIS FORM"),
        ("request/1", None),
        ("request/1", ""),
        ("uncached/1", "allow"),
        ("uncached/1?who=", "allow"),
    ],
)
def test_without_an_identity_source_the_function_is_not_even_asked(
    guarded: Guarded, path: str, token: str | None
) -> None:
    reply = guarded.ask(path, token)

    assert_refused(reply, 401, "UnauthorizedException", "Unauthorized")
    line = guarded.logged(reply)
    assert (line["error"], line["run"], line["principal"]) == ("UNAUTHORIZED", "-", "-")


def run_of(reply: Reply) -> str:
    """Return which run of the function an answer comes from."""
    assert reply.status == 200
    run: str = reply.answer["run"]
    return run


def test_a_decision_is_kept_for_all_identity_sources_together(guarded: Guarded) -> None:
    first = run_of(guarded.ask("request/1", "allow"))

    assert run_of(guarded.ask("request/2", "allow")) == first
    others = [
        guarded.ask("request/1", "allowed"),
        guarded.ask("request/1", "allow", address=AWAY),
        guarded.ask("request/1", "allow", "POST"),
    ]
    assert len({first, *map(run_of, others)}) == 4


def test_a_decision_is_kept_for_no_time_where_that_is_wished(guarded: Guarded) -> None:
    runs = {run_of(guarded.ask("uncached/1?who=me", "allow")) for _ in range(2)}

    assert len(runs) == 2


def test_a_kept_policy_is_asked_again_about_each_method(guarded: Guarded) -> None:
    first = guarded.ask("token/1", "this method")
    again = guarded.ask("token/1", "this method")
    others = [guarded.ask("token/2", "this method"), guarded.ask("token/1", "this method", "POST")]

    assert run_of(first) == run_of(again)
    for other in others:
        assert_refused(other, 403, "AccessDeniedException", "not authorized")
        assert guarded.logged(other)["run"] == run_of(first), "the function was not asked again"


@pytest.mark.parametrize(
    ("token", "address", "said"),
    [
        ("deny", HOME, "with an explicit deny"),
        ("another action", HOME, "not authorized to access this resource"),
        ("home", AWAY, "not authorized to access this resource"),
    ],
)
def test_who_is_denied_is_logged_with_the_context_that_the_function_gave(
    guarded: Guarded, token: str, address: str, said: str
) -> None:
    reply = guarded.ask("token/1", token, address=address)

    assert_refused(reply, 403, "AccessDeniedException", said)
    assert not [name for name in reply.headers if name.startswith("x-edge-")]
    line = guarded.logged(reply)
    assert (line["status"], line["error"], line["ip"]) == ("403", "ACCESS_DENIED", address)
    assert line["principal"] == f"who says {token}"
    assert line["run"] != "-"


def test_a_policy_may_depend_on_where_the_request_comes_from(guarded: Guarded) -> None:
    assert guarded.ask("token/1", "home", address=HOME).status == 200


@pytest.mark.parametrize(
    ("path", "token", "status", "error"),
    [
        ("token/1", "unauthorized", 401, "UNAUTHORIZED"),
        ("token/1", "broken", 500, "AUTHORIZER_FAILURE"),
        ("token/1", "nested", 500, "API_CONFIGURATION_ERROR"),
        ("forbidden/1", "allow", 500, "API_CONFIGURATION_ERROR"),
    ],
)
def test_a_function_that_decides_nothing_lets_nobody_in(
    guarded: Guarded, path: str, token: str, status: int, error: str
) -> None:
    reply = guarded.ask(path, token)

    assert reply.status == status
    assert guarded.logged(reply)["error"] == error


def test_no_client_can_say_who_it_is_in_the_edge_s_own_headers(guarded: Guarded) -> None:
    learned = json.dumps({"authorizer": {"principalId": "mallory"}, "identity": {"userArn": "mallory"}})
    mallory = dict.fromkeys(("X_Edge_Learned", "X_Edge_Context", "X_Edge_Arrival", "X_Edge_Domain"), learned)
    reply = guarded.ask("open/1", **mallory, X_Edge_Cached="1")

    assert reply.answer["request"] == reply.headers["x-amzn-requestid"]
    assert "mallory" not in reply.body.decode()
    assert "mallory" not in json.dumps(guarded.logged(reply))


def test_a_user_s_claims_reach_the_integration_and_the_log(guarded: Guarded, members: Members) -> None:
    for token in (members.user.id_token, f"Bearer {members.user.id_token}"):
        reply = guarded.ask("users/1", token)

        assert reply.status == 200
        assert (reply.answer["sub"], reply.answer["user"]) == (members.user.sub, "ann")
        assert guarded.logged(reply)["sub"] == members.user.sub


def test_only_an_id_token_of_the_pool_lets_in_where_there_are_no_scopes(
    guarded: Guarded, members: Members
) -> None:
    stranger = UserPool.new(guarded.cloud.aws).sign_up("ann")
    forged = f"{members.user.id_token[:-20]}{'A' * 20}"

    for token in (members.user.access_token, stranger.id_token, forged, "x.y.z", "x", "", None):
        assert_refused(guarded.ask("users/1", token), 401, "UnauthorizedException")


def test_only_an_access_token_with_one_of_the_scopes_lets_in_where_there_are_scopes(
    guarded: Guarded, members: Members
) -> None:
    both, other = members.pool.scoped_tokens([SCOPES, SCOPES[1:]])

    assert guarded.ask("scoped/1", both).status == 200
    for token in (other, members.user.access_token, members.user.id_token):
        assert_refused(guarded.ask("scoped/1", token), 401, "UnauthorizedException")


def signed_ask(
    guarded: Guarded,
    credentials: Credentials,
    path: str = "iam/1",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send a signed request."""
    url, body = guarded.url(path), None if method == "GET" else b"{}"
    return call(url, method, body, signed(credentials, method, url, body, headers))


@pytest.mark.parametrize("path", ["iam/1", "iam/with%20space", "iam/a%2Bb", "iam/1?b=2&a=1&a=0&c=%20x"])
def test_who_signs_what_its_policy_allows_is_let_in_and_known(
    guarded: Guarded, members: Members, path: str
) -> None:
    user = members.iam["permitted"]
    reply = signed_ask(guarded, user.credentials, path, headers={"X-Signed": "too"})

    assert reply.status == 200
    assert (reply.answer["caller_arn"], reply.answer["key"]) == (user.arn, user.credentials.access_key)
    assert reply.answer["account"] == guarded.cloud.aws.account
    assert reply.answer["caller"].startswith("AIDA")
    assert guarded.logged(reply)["caller_arn"] == user.arn


def test_a_role_s_session_is_let_in_as_the_role_is(guarded: Guarded) -> None:
    name = f"rig-{uuid.uuid4().hex[:6]}"
    iam, account = guarded.cloud.aws.client("iam"), guarded.cloud.aws.account
    trusted = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
    }
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    )["Role"]["Arn"]
    allowed = policies.Statement(["execute-api:Invoke"], [f"arn:aws:execute-api:*:*:{guarded.api}/*/GET/*"])
    iam.put_role_policy(RoleName=name, PolicyName="calling", PolicyDocument=policies.policy(allowed))
    given = guarded.cloud.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="night")["Credentials"]
    key = (given["AccessKeyId"], given["SecretAccessKey"])
    session = Credentials(*key, given["SessionToken"])

    reply = signed_ask(guarded, session)

    assert reply.status == 200
    assert reply.answer["caller_arn"].endswith(f":assumed-role/{name}/night")
    assert_refused(signed_ask(guarded, session, method="POST"), 403, "AccessDeniedException")
    assert_refused(signed_ask(guarded, Credentials(*key)), 403, "UnrecognizedClientException")


@pytest.mark.parametrize(
    ("who", "method", "said"),
    [
        ("unknown", "GET", "because no identity-based policy allows the execute-api:Invoke action"),
        ("permitted", "POST", "because no identity-based policy allows the execute-api:Invoke action"),
        ("denied", "GET", "with an explicit deny in an identity-based policy"),
    ],
)
def test_who_signs_what_no_policy_allows_is_refused_and_known(
    guarded: Guarded, members: Members, who: str, method: str, said: str
) -> None:
    user = members.iam[who]
    reply = signed_ask(guarded, user.credentials, method=method)

    where = f"arn:aws:execute-api:us-east-1:********0000:{guarded.api}/{STAGE}/{method}/iam/1"
    told = f"User: {user.arn} is not authorized to perform: execute-api:Invoke on resource: {where} {said}"
    assert_refused(reply, 403, "AccessDeniedException", told)
    line = guarded.logged(reply)
    assert (line["error"], line["caller_arn"]) == ("ACCESS_DENIED", user.arn)


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (None, "InvalidSignatureException"),
        ("AKIAIOSFODNN7EXAMPLE", "UnrecognizedClientException"),
        ("test", "UnrecognizedClientException"),
        ("000000000000", "UnrecognizedClientException"),
        ("123456789012", "UnrecognizedClientException"),
    ],
)
def test_a_key_that_is_unknown_or_not_one_s_own_lets_nobody_in(
    guarded: Guarded, members: Members, key: str | None, error: str
) -> None:
    known = members.iam["permitted"].credentials.access_key

    reply = signed_ask(guarded, Credentials(key or known, "test"))

    assert_refused(reply, 403, error)
    assert guarded.logged(reply)["caller_arn"] == "-"


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("iam/2", b"{}", {}),
        ("iam/1?a=1", b"{}", {}),
        ("iam/1", b'{"a": 1}', {}),
        ("iam/1", b"{}", {"X-Signed": "another"}),
        ("iam/1", b"{}", {"Host": "another.example.com"}),
    ],
    ids=["path", "query", "body", "header", "host"],
)
def test_what_was_changed_after_it_was_signed_is_refused(
    guarded: Guarded, members: Members, path: str, body: bytes, headers: Mapping[str, str]
) -> None:
    user = members.iam["denied"]
    shown = signed(user.credentials, "POST", guarded.url("iam/1"), b"{}", {"X-Signed": "so"})

    assert call(guarded.url("iam/1"), "POST", b"{}", shown).status == 200
    changed = call(guarded.url(path), "POST", body, {**shown, **headers})
    assert_refused(changed, 403, "InvalidSignatureException", "does not match the signature you provided")


def authenticated(signer: SigV4Auth, url: str, when: datetime) -> dict[str, str]:
    """Return the headers of a request that is signed at a time."""
    request = AWSRequest("GET", url, headers={"Host": urlsplit(url).netloc})
    request.context["timestamp"] = request.headers["X-Amz-Date"] = when.strftime("%Y%m%dT%H%M%SZ")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    names = signer.signed_headers(signer.headers_to_sign(request))
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, "
        f"Signature={signer.signature(text, request)}"
    )
    return dict(request.headers.items())


@pytest.mark.parametrize(
    ("scope", "minutes", "said"),
    [
        (("execute-api", "us-east-1"), 0, None),
        (("execute-api", "us-east-1"), -20, "Signature expired"),
        (("execute-api", "us-east-1"), 20, "Signature not yet current"),
        (("sqs", "us-east-1"), 0, "scoped to correct service: 'execute-api'"),
        (("execute-api", "eu-west-1"), 0, "scoped to a valid region, not 'eu-west-1'"),
    ],
)
def test_a_signature_of_another_time_or_for_something_else_is_refused(
    guarded: Guarded, members: Members, scope: tuple[str, str], minutes: int, said: str | None
) -> None:
    url, when = guarded.url("iam/1"), datetime.now(UTC) + timedelta(minutes=minutes)
    signer = SigV4Auth(members.iam["permitted"].credentials, *scope)

    reply = call(url, "GET", None, authenticated(signer, url, when))

    if said is None:
        assert reply.status == 200
    else:
        assert_refused(reply, 403, "InvalidSignatureException", said)


def test_a_signature_may_be_in_the_query_for_a_while(guarded: Guarded, members: Members) -> None:
    user = members.iam["permitted"]
    request = AWSRequest("GET", guarded.url("iam/1?a=1"))
    SigV4QueryAuth(user.credentials, "execute-api", "us-east-1", expires=60).add_auth(request)

    url = str(request.url)
    reply = call(url, "GET", None)

    assert (reply.status, reply.answer["caller_arn"]) == (200, user.arn)
    changed = call(url.replace("a=1", "a=2"), "GET", None)
    assert_refused(changed, 403, "InvalidSignatureException")


def test_who_does_not_sign_is_asked_to(guarded: Guarded) -> None:
    assert_refused(
        guarded.ask("iam/1"), 403, "MissingAuthenticationTokenException", "Missing Authentication Token"
    )
    for halfway in ("Bearer abc", "AWS4-HMAC-SHA256 Credential=x"):
        assert_refused(guarded.ask("iam/1", halfway), 403, "IncompleteSignatureException")


def test_the_api_s_policy_lets_a_signed_caller_in_or_keeps_it_out(guarded: Guarded, members: Members) -> None:
    everything = f"arn:aws:execute-api:us-east-1:{guarded.cloud.aws.account}:{guarded.api}/*"

    def ask_with(effect: str, who: str) -> Reply:
        principal = {"AWS": members.iam[who].arn}
        statement = policies.Statement(["execute-api:Invoke"], [everything], effect, principal)
        set_policy(guarded, policies.policy(statement))
        return signed_ask(guarded, members.iam[who].credentials)

    try:
        assert ask_with("Allow", "unknown").status == 200
        kept_out = ask_with("Deny", "permitted")
        assert_refused(kept_out, 403, "AccessDeniedException", "explicit deny in a resource-based policy")
        assert ask_with("Allow", "denied").status == 403, "a Deny in either counts"
    finally:
        set_policy(guarded, "")


def set_policy(guarded: Guarded, policy: str) -> None:
    """Set the API's resource policy."""
    guarded.cloud.aws.client("apigateway").update_rest_api(
        restApiId=guarded.api, patchOperations=[{"op": "replace", "path": "/policy", "value": policy}]
    )


URI = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn/invocations"
NO_POOL = "arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_Missing01"
REQUEST: Values = {"type": "REQUEST", "authorizerUri": URI}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "OTHER"}, "is of type TOKEN, REQUEST, COGNITO_USER_POOLS"),
        ({"type": "TOKEN"}, "needs the invocation URI"),
        ({"type": "TOKEN", "authorizerUri": "arn:aws:lambda:x"}, "needs the invocation URI"),
        ({"authorizerUri": URI, "identitySource": SOURCES}, "one header is needed"),
        ({"authorizerUri": URI, "identitySource": "method.request.querystring.a"}, "one header is needed"),
        ({"authorizerUri": URI, "identityValidationExpression": "("}, "Invalid identity validation"),
        ({"authorizerUri": URI, "authorizerResultTtlInSeconds": 3601}, "at most 3600 seconds"),
        ({"authorizerUri": URI, "authorizerResultTtlInSeconds": -1}, "at most 3600 seconds"),
        ({"authorizerUri": URI, "providerArns": [NO_POOL]}, "has user pools"),
        ({**REQUEST, "identitySource": ""}, "required when caching is enabled"),
        ({**REQUEST, "identitySource": "context.stage"}, "context.stage"),
        ({**REQUEST, "identitySource": "method.request.path.id"}, "method.request.path.id"),
        ({**REQUEST, "identityValidationExpression": "a"}, "of type TOKEN"),
        ({"type": POOLS}, "needs the ARN of a user pool"),
        ({"type": POOLS, "providerArns": [NO_POOL]}, "Invalid Cognito user pool ARN"),
        ({"type": POOLS, "authorizerUri": URI}, "asks no function"),
    ],
)
def test_an_authorizer_that_api_gateway_would_refuse_is_refused(
    guarded: Guarded, given: Values, said: str
) -> None:
    inputs = {"restApi": guarded.api, **given}

    with pytest.raises(LocalSetupError, match=said):
        make(guarded.cloud.workshop, "aws:apigateway/authorizer:Authorizer", "a", inputs)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"authorization": "CUSTOM"}, "requires a valid authorizer"),
        ({"authorization": "CUSTOM", "authorizerId": "missing"}, "requires a valid authorizer"),
        ({"authorization": "CUSTOM", "authorizerId": POOLS}, "requires a valid authorizer"),
        ({"authorization": POOLS, "authorizerId": "TOKEN"}, "requires a valid authorizer"),
        ({"authorization": "AWS_IAM", "authorizerId": "TOKEN"}, "has no authorizer"),
        ({"authorization": "AWS_IAM", "authorizationScopes": ["a/b"]}, "has scopes"),
        ({"authorization": "NONE", "authorizationScopes": ["a/b"]}, "has scopes"),
    ],
)
def test_a_method_whose_authorizer_does_not_fit_is_refused(
    guarded: Guarded, given: Values, said: str
) -> None:
    gateway = guarded.cloud.aws.client("apigateway")
    ids = {each["type"]: each["id"] for each in gateway.get_authorizers(restApiId=guarded.api)["items"]}
    root = gateway.get_resources(restApiId=guarded.api)["items"][0]["id"]
    inputs: Values = {"restApi": guarded.api, "resourceId": root, "httpMethod": "GET", **given}
    if "authorizerId" in given:
        # By its type, where there is one.
        inputs["authorizerId"] = ids.get(given["authorizerId"], given["authorizerId"])

    with pytest.raises(LocalSetupError, match=said):
        make(guarded.cloud.workshop, "aws:apigateway/method:Method", "m", inputs)
