"""Lambda authorizers as API Gateway asks them: who is asked about what, what is kept, and what it leads to.

The emulator knows no identity sources of the request's context, tells of the headers in lower case and
joined, and forgets the authorizer's context where its policy denies.

("Use API Gateway Lambda authorizers", API Gateway guide; CreateAuthorizer, API reference)

This runs inside the emulator.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import emulator_arrival  # type: ignore[import-not-found]  # a sibling: this runs by its path
from ministack.core import iam_evaluator
from ministack.core.arn import execute_api_arn
from ministack.services import apigateway_v1 as gateway
from ministack.services import lambda_svc

if TYPE_CHECKING:
    from local.emulator_arrival import Arrival

INVOKE = "execute-api:Invoke"
INVOKER = "apigateway.amazonaws.com"
HEADER = "method.request.header."
QUERY = "method.request.querystring."
VARIABLE = "stageVariables."
CONTEXT = "context."

Data = dict[str, Any]
Result = tuple[Any, Data | None]
"""What is wrong, or else the authorizer's context."""
Authorize = Callable[..., Awaitable[Result]]


class RefusalError(Exception):
    """A request does not pass: the emulator's own error says what the caller gets."""

    def __init__(self, kind: str, message: str | None) -> None:
        """Name the gateway response."""
        super().__init__(kind)
        self.error = gateway._gw_error(kind, message)


def unauthorized() -> RefusalError:
    """Return what becomes of a request that lacks what tells who sent it, or whose sender is unknown."""
    return RefusalError("UNAUTHORIZED", "Unauthorized")


def misconfigured() -> RefusalError:
    """Return what becomes of a request whose authorizer cannot be asked, or answers what none may answer."""
    return RefusalError("AUTHORIZER_CONFIGURATION_ERROR", "Internal server error")


class Call(NamedTuple):
    """What the emulator authorizes; its own signature."""

    api: str
    stage_name: str
    method: Data
    verb: str
    path: str
    resource: Data
    headers: Data
    body: bytes
    query: Mapping[str, list[str]]
    parameters: Data
    stage: Data
    account: str
    region: str

    @property
    def arn(self) -> str:
        """The ARN of the method that is called."""
        arn: str = execute_api_arn(self.region, self.account, self.api, self.stage_name, self.verb, self.path)
        return arn

    @property
    def kind(self) -> str:
        """The method's authorization type."""
        return str(self.method.get("authorizationType") or "NONE").upper()


class Decision(NamedTuple):
    """What an authorizer answered; this is what is kept."""

    policy: Data
    context: Data


def with_lambda_authorizers(authorize: Authorize) -> Authorize:
    """Return what authorizes a request, asking Lambda authorizers as API Gateway does."""

    async def authorized(*given: Any) -> Result:  # noqa: ANN401 - the emulator's own signature
        call = Call(*given)
        arrival = emulator_arrival.current()
        if call.kind != "CUSTOM" or arrival is None:
            return await authorize(*given)
        try:
            return None, await decide(call, arrival)
        except RefusalError as refusal:
            return refusal.error, None

    return authorized


async def decide(call: Call, arrival: "Arrival") -> Data:
    """Return an authorizer's context, if its policy allows the method that is called.

    Raises:
        RefusalError: if it does not, or if there is no decision.
    """
    uid = call.method.get("authorizerId")
    authorizer = gateway._authorizers_v1.get(call.api, {}).get(uid)
    if not authorizer:
        raise misconfigured()
    identity = identity_of(authorizer, call, arrival)
    ttl = gateway._authorizer_ttl(authorizer)
    key = (call.account, call.region, call.api, uid, call.stage_name, identity)
    decision = kept(key) if ttl else None
    if decision is None:
        decision = await ask(authorizer, event_of(authorizer, identity, call, arrival), call)
        if ttl:
            gateway._cache_authorizer_result(key, time.time() + ttl, *decision)
    arrival.learned["authorizer"] = decision.context
    # Also one that was kept: it is about this method that it may say something else.
    verdict = verdict_of(decision.policy, call)
    if verdict != "Allow":
        raise RefusalError("ACCESS_DENIED", gateway._deny_error(verdict == "Deny").message)
    return decision.context


def kept(key: tuple[Any, ...]) -> Decision | None:
    """Return a decision that is still good."""
    until, *decision = gateway._authorizer_cache.get(key, (0.0, {}, {}))
    return Decision(*decision) if until > time.time() else None


def identity_of(authorizer: Data, call: Call, arrival: "Arrival") -> tuple[str, ...]:
    """Return the values of the identity sources, for which a decision is kept.

    Raises:
        RefusalError: if one of them is missing or empty, or not in the form that a token has.
    """
    named = authorizer.get("identitySource") or ""
    sources = [each.strip() for each in named.split(",") if each.strip()]
    identity = tuple(value_of(each, call, arrival) for each in sources)
    if not all(identity):
        raise unauthorized()
    pattern = authorizer.get("identityValidationExpression")
    if authorizer["type"] == "TOKEN" and pattern and not re.fullmatch(pattern, identity[0]):
        raise unauthorized()
    return identity


def value_of(source: str, call: Call, arrival: "Arrival") -> str:
    """Return the value of an identity source; of several of one name the last one, as a function sees it."""
    if source.startswith(HEADER):
        return last(arrival.values(source.removeprefix(HEADER)))
    if source.startswith(QUERY):
        return last(call.query.get(source.removeprefix(QUERY), []))
    if source.startswith(VARIABLE):
        return str((call.stage.get("variables") or {}).get(source.removeprefix(VARIABLE), ""))
    known = {
        "context.identity.sourceIp": arrival.source_ip,
        "context.httpMethod": call.verb,
        "context.resourcePath": call.resource["path"],
        "context.path": arrival.context["path"],
    }
    if source not in known:
        raise misconfigured()
    return str(known[source])


def last(values: list[str]) -> str:
    """Return the last value, or nothing."""
    return values[-1] if values else ""


def event_of(authorizer: Data, identity: tuple[str, ...], call: Call, arrival: "Arrival") -> Data:
    """Return what the function is told ("Input to an API Gateway Lambda authorizer")."""
    if authorizer["type"] == "TOKEN":
        return {"type": "TOKEN", "methodArn": call.arn, "authorizationToken": identity[0]}
    return {
        "type": "REQUEST",
        "methodArn": call.arn,
        "resource": call.resource["path"],
        "path": arrival.path,
        "httpMethod": call.verb,
        "headers": {name: values[-1] for name, values in arrival.headers.items()},
        "multiValueHeaders": arrival.headers,
        "queryStringParameters": {name: values[-1] for name, values in call.query.items()},
        "multiValueQueryStringParameters": {name: list(values) for name, values in call.query.items()},
        "pathParameters": call.parameters or {},
        "stageVariables": call.stage.get("variables") or {},
        "requestContext": {
            **arrival.context,
            "accountId": call.account,
            "apiId": call.api,
            "stage": call.stage_name,
            "httpMethod": call.verb,
            "resourceId": call.resource["id"],
            "resourcePath": call.resource["path"],
        },
    }


async def ask(authorizer: Data, event: Data, call: Call) -> Decision:
    """Return the decision of an authorizer's function.

    Raises:
        RefusalError: if it fails, or answers what is no decision.
    """
    check_permission(authorizer, call)
    answer = await gateway._invoke_authorizer_lambda(authorizer, event, call.account, call.region)
    if answer is None:
        raise misconfigured()
    said = answer.get("body")
    if not answer.get("error"):
        return decision_of(said)
    if message_of(said) == "Unauthorized":
        raise unauthorized()
    raise RefusalError("AUTHORIZER_FAILURE", None)


def message_of(failure: object) -> str:
    """Return the words with which a function failed."""
    return str(failure.get("errorMessage", "") if isinstance(failure, dict) else failure)


def check_permission(authorizer: Data, call: Call) -> None:
    """Let an authorizer pass whose function API Gateway may invoke.

    Raises:
        RefusalError: if it may not.
    """
    function = gateway._extract_lambda_ref_from_integration_uri(authorizer.get("authorizerUri", ""))
    source = f"arn:aws:execute-api:{call.region}:{call.account}:{call.api}/authorizers/{authorizer['id']}"
    context = iam_evaluator.EvalContext(
        INVOKER,
        "Service",
        call.account,
        "lambda:InvokeFunction",
        function,
        call.region,
        service_context={"aws:sourcearn": source, "aws:sourceaccount": call.account},
    )
    policy, _ = lambda_svc.function_policy_for_arn(function) or ({}, "")
    if iam_evaluator.evaluate_resource_policy(policy, context, service=INVOKER).decision != "Allow":
        raise misconfigured()


def decision_of(said: Any) -> Decision:  # noqa: ANN401 - any JSON
    """Return a decision out of a function's answer.

    Raises:
        RefusalError: if it is none.
    """
    try:
        answer = json.loads(said) if isinstance(said, str | bytes) else said
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("policyDocument"), dict):
        raise misconfigured()
    context = answer.get("context") or {}
    if not isinstance(context, dict) or any(isinstance(each, dict | list) for each in context.values()):
        raise misconfigured()
    texts = gateway._stringify_context(context)
    principal = answer.get("principalId")
    named = {} if principal is None or principal == "" else {"principalId": str(principal)}
    return Decision(answer["policyDocument"], {**texts, **named})


def verdict_of(policy: Data, call: Call) -> str:
    """Return what an authorizer's policy says of a method: Allow, Deny, or ImplicitDeny."""
    context = iam_evaluator.EvalContext("*", "Anonymous", "", INVOKE, call.arn, call.region)
    verdict: str = iam_evaluator.evaluate(context, [iam_evaluator.parse_policy_document(policy)]).decision
    return verdict
