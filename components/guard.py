"""What stands before an API's methods: the function, the user pools or IAM that decide who may call."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import pulumi
import pulumi_aws as aws

from sluice.access_log import PRINCIPAL

from . import api_definition, arguments, proxy, sources
from .answers import Asks
from .arguments import Problem
from .sources import Caller, Kind

CACHE_TTL_SECONDS = 60
MAX_CACHE_TTL_SECONDS = 3600
"""API Gateway's own limit ("CreateAuthorizer", API reference)."""
BEHIND_A_PROXY = "$context.authorizer.clientIp"
AUTHORIZATION = "header.Authorization"
BY_HEADER = "method.request.header.Authorization"
SIGNED_HEADERS = ("Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token")
"""What a signed request carries ("Create a signed AWS API request", IAM User Guide)."""
USER_POOL_ARN = re.compile(r"arn:aws[a-z-]*:cognito-idp:[a-z0-9-]+:\d{12}:userpool/[\w-]{1,55}", re.ASCII)
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")
"""(RFC 6749, section 3.3)"""
SCOPE_ALLOWED = "a scope: printable characters without spaces and quotes"
CALLER_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(root|(user|role)/[\w+=,.@/-]{1,576})", re.ASCII)
CALLER_ALLOWED = "the ARN of a role, a user, or an account's root"
IDENTITY_ALLOWED = "header.NAME, query.NAME, or context. and one of " + ", ".join(sorted(sources.IDENTITIES))
OF_A_FUNCTION = ("authorizer_cache_ttl_seconds", "authorizer_token_pattern", "authorizer_identity_sources")
DECIDERS = ("authorizer_function_arn", "authorizer_user_pool_arns", "iam_authorization")
"""The arguments of which one at most says who decides."""


class Authorization(StrEnum):
    """How API Gateway lets callers in ("PutMethod", API reference)."""

    FUNCTION = "CUSTOM"
    USER_POOLS = "COGNITO_USER_POOLS"
    IAM = "AWS_IAM"


@dataclass(frozen=True)
class Guard:
    """What decides who may call the methods that are guarded."""

    authorization: Authorization
    function_arn: pulumi.Input[str] | None = None
    user_pool_arns: Sequence[pulumi.Input[str]] = ()
    identity_sources: Sequence[str] = ()
    """What a decision depends on, by API Gateway's names; none for the Authorization header alone."""
    cache_ttl_seconds: int = CACHE_TTL_SECONDS
    token_pattern: str | None = None
    scopes: Sequence[str] = ()

    @property
    def headers(self) -> list[str]:
        """The headers by which a caller shows who it is."""
        if self.authorization is Authorization.IAM:
            return list(SIGNED_HEADERS)
        named = [each.partition("method.request.header.")[2] for each in self.identity_sources or [BY_HEADER]]
        return [each for each in named if each]

    @property
    def asks(self) -> Asks:
        """What a caller is told that is missing."""
        if self.authorization is Authorization.IAM:
            return Asks.SIGNATURE
        return Asks.TOKEN if "authorization" in map(str.lower, self.headers) else Asks.PARTS

    @property
    def wiring(self) -> pulumi.Output[list[object]]:
        """Everything of it that a deployment takes a picture of."""
        return pulumi.Output.all(
            self.authorization.value,
            self.function_arn,
            list(self.user_pool_arns),
            list(self.identity_sources),
            self.cache_ttl_seconds,
            self.token_pattern,
            list(self.scopes),
        )

    def create(
        self, name: str, api_id: pulumi.Input[str], opts: pulumi.ResourceOptions
    ) -> aws.apigateway.Authorizer | None:
        """Make the child ``<name>-authorizer``; IAM has none."""
        if self.function_arn is not None:
            return self._create_for_function(name, api_id, self.function_arn, opts)
        if not self.user_pool_arns:
            return None
        return aws.apigateway.Authorizer(
            f"{name}-authorizer",
            rest_api=api_id,
            type=Authorization.USER_POOLS,
            provider_arns=list(self.user_pool_arns),
            identity_source=BY_HEADER,
            opts=_opts(opts),
        )

    def _create_for_function(
        self,
        name: str,
        api_id: pulumi.Input[str],
        function_arn: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> aws.apigateway.Authorizer:
        return aws.apigateway.Authorizer(
            f"{name}-authorizer",
            rest_api=api_id,
            type="REQUEST" if self.identity_sources else "TOKEN",
            authorizer_uri=pulumi.Output.from_input(function_arn).apply(api_definition.invocation_uri),
            authorizer_result_ttl_in_seconds=self.cache_ttl_seconds,
            identity_source=",".join(self.identity_sources) or BY_HEADER,
            identity_validation_expression=self.token_pattern,
            opts=_opts(opts),
        )


def _opts(opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    # Of another type it is another one: what the old one had, and the new one may not have, would stay.
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(replace_on_changes=["type"]))


def of(args: Mapping[str, object]) -> Guard | None:
    """Return what a front door's arguments mean; none where everybody may call."""
    scopes = cast(list[str], args.get("authorizer_scopes", []))
    if "authorizer_user_pool_arns" in args:
        pools = cast("list[pulumi.Input[str]]", args["authorizer_user_pool_arns"])
        return Guard(Authorization.USER_POOLS, user_pool_arns=pools, scopes=scopes)
    if args.get("iam_authorization"):
        return Guard(Authorization.IAM)
    if "authorizer_function_arn" not in args:
        return None
    return Guard(
        Authorization.FUNCTION,
        function_arn=cast("pulumi.Input[str]", args["authorizer_function_arn"]),
        identity_sources=_identity_sources(args),
        cache_ttl_seconds=cast(int, args.get("authorizer_cache_ttl_seconds", CACHE_TTL_SECONDS)),
        token_pattern=cast("str | None", args.get("authorizer_token_pattern")),
    )


def _identity_sources(args: Mapping[str, object]) -> list[str]:
    """Return everything that a decision depends on.

    Behind a proxy that is the client's address too, which the decision carries on: kept without it, everybody
    with the same token would get the first one's.
    """
    front = proxy.of(args)
    named = cast(list[str], args.get("authorizer_identity_sources", [AUTHORIZATION] if front else []))
    named = [*named, *(f"header.{each}" for each in (front.headers if front else []))]
    found = [source for source in map(sources.parse, named) if source]
    # Two spellings of a header are one, of a parameter two.
    once = {each.name.lower() if each.kind is Kind.HEADER else each: each for each in found}
    return [each.identity or "" for each in once.values()]


def caller(args: Mapping[str, object]) -> Caller:
    """Return the variables that say who calls, and from where."""
    principal = PRINCIPAL
    if "authorizer_user_pool_arns" in args:
        principal = "$context.authorizer.claims.sub"
    elif args.get("iam_authorization"):
        principal = "$context.identity.caller"
    return Caller(principal, BEHIND_A_PROXY) if "proxy" in args else Caller(principal)


def problems(args: Mapping[str, object]) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    found = [
        *arguments.matching(
            args, "authorizer_function_arn", arguments.FUNCTION_ARN, "the ARN of a Lambda function"
        ),
        *identity_problems(args, "authorizer_identity_sources"),
        *arguments.between(args, "authorizer_cache_ttl_seconds", 0, MAX_CACHE_TTL_SECONDS, "seconds"),
        *_pattern_problems(args.get("authorizer_token_pattern")),
        *arguments.matching_each(args, "authorizer_user_pool_arns", USER_POOL_ARN, "the ARN of a user pool"),
        *arguments.filled(args, "authorizer_user_pool_arns", "nobody could call"),
        *arguments.texts(args, "authorizer_scopes", SCOPE, SCOPE_ALLOWED),
        *arguments.flag(args, "iam_authorization"),
        *arguments.matching_each(args, "iam_callers", CALLER_ARN, CALLER_ALLOWED),
        *arguments.flag(args, "log_principal"),
        *proxy.problems(args),
    ]
    return found or [*_contradictions(args)]


def identity_problems(args: Mapping[str, object], key: str) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a list of identity sources, at least one."""
    yield from arguments.filled(args, key, "a decision would depend on nothing")
    value = args.get(key, [])
    if not isinstance(value, list):
        yield Problem(key, value, f"a list of {IDENTITY_ALLOWED}")
        return
    for index, each in enumerate(value):
        source = sources.parse(each)
        if source is None or source.identity is None:
            yield Problem(f"{key}[{index}]", each, IDENTITY_ALLOWED)


def _contradictions(args: Mapping[str, object]) -> Iterable[Problem]:
    """Report what would leave the door open, or says two things at once."""
    given = [key for key in DECIDERS if args.get(key)]
    if len(given) > 1:
        yield from arguments.without(args, given[1:], f"{given[0]} says who decides")
    if "authorizer_function_arn" not in args:
        yield from arguments.without(args, OF_A_FUNCTION, "there is no authorizer_function_arn")
    if "authorizer_user_pool_arns" not in args:
        yield from arguments.without(args, ["authorizer_scopes"], "there is no authorizer_user_pool_arns")
    if args.get("iam_authorization") is not True:
        yield from arguments.without(args, ["iam_callers"], "iam_authorization is not on")
    if not given and args.get("log_principal") is True:
        yield from arguments.without(args, ["log_principal"], "nobody decides who may call")
    if "authorizer_token_pattern" in args and ("authorizer_identity_sources" in args or "proxy" in args):
        reason = "it is for the Authorization header alone, and a decision depends on more"
        yield from arguments.without(args, ["authorizer_token_pattern"], reason)
    yield from _proxy_contradictions(args)


def _proxy_contradictions(args: Mapping[str, object]) -> Iterable[Problem]:
    if "proxy" not in args:
        return
    if "authorizer_function_arn" not in args:
        yield Problem(
            "proxy",
            args["proxy"],
            "nothing, without authorizer_function_arn: only a function can check the proxy's secret and hand "
            "on the client's address",
            "use an Authorizer of kind token or jwt",
        )
    if not {"domain_name", "vpc_endpoint_ids"} & args.keys():
        allowed = "a domain, with proxy: AWS's own name of the API is closed, or callers could go round it"
        yield Problem("domain_name", None, allowed)
    for index, each in enumerate(cast(list[str], args.get("authorizer_identity_sources", []))):
        if each == f"context.{sources.ADDRESS}":
            allowed = "a header or parameter: with proxy this is the proxy's address"
            yield Problem(f"authorizer_identity_sources[{index}]", each, allowed, "remove it")
    if args.get("disable_execute_api_endpoint") is False:
        allowed = "true, with proxy: callers could go round it"
        yield Problem("disable_execute_api_endpoint", False, allowed, "remove it")


def _pattern_problems(pattern: object) -> list[Problem]:
    try:
        if pattern is None or (isinstance(pattern, str) and re.compile(pattern)):
            return []
    except (re.error, OverflowError, RecursionError):
        pass
    return [Problem("authorizer_token_pattern", pattern, "a regular expression")]
