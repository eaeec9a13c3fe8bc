"""What `Authorizer` takes, what is wrong with it, and what it means for a front door."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NotRequired, TypedDict, cast

import pulumi

from sluice import tokens
from sluice.tokens import Token

from . import arguments, guard, proxy
from .arguments import Problem
from .proxy import ProxyArgs

ALGORITHMS = ("RS256", "ES256", "EdDSA")
LEEWAY_SECONDS = 30
MOST_LEEWAY_SECONDS = 300
"""RFC 7519, section 4.1.4: "no more than a few minutes"."""
KEY_MAX_AGE_SECONDS = 3600
PRINCIPAL_CLAIM = "sub"
MOST_TOKENS = 1000
MOST_AUDIENCES = 20
ORIGIN = r"(https://[\w.-]+|http://(127\.0\.0\.1|localhost))(:\d{1,5})?"
ISSUER = re.compile(rf"{ORIGIN}(/[^\s?#]{{0,500}})?", re.ASCII)
"""Loopback is for an issuer beside a local run; nothing else could answer there."""
ISSUER_ALLOWED = "an https URL without a query, exactly as the issuer writes it into iss"
KEYS_URL = re.compile(rf"{ORIGIN}/[^\s#]{{0,500}}", re.ASCII)
AUDIENCE = re.compile(r"\S{1,256}")
VALUE = re.compile(r"[^\x00-\x1f]{1,256}")
CLAIM = re.compile(r"[^\s\x00-\x1f]{1,128}")
NOT_OURS = (
    "principalId", "clientIp", "claims", "error", "status", "latency", "requestId", "integrationLatency",
    "integrationStatus",
)  # fmt: skip
"""What ``$context.authorizer`` holds already, some of it API Gateway's ("Variables for access logging")."""
CONTEXT_NAME = re.compile(rf"(?!({'|'.join(NOT_OURS)})$)[A-Za-z_]\w{{0,63}}", re.ASCII)
JWT_PATTERN = r"^[Bb]earer [A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"
"""A token with a signature (RFC 7515, section 7.1), in the regular-expression dialect that API Gateway's
identity validation and Python share."""
MINT = "python3 -m sluice.cli token new NAME\nput what it prints into tokens"


class AuthorizerKind(StrEnum):
    """The ways to decide who may call."""

    NONE = "none"
    """Everybody may."""
    FUNCTION = "function"
    """A Lambda function of the user's decides."""
    TOKEN = "token"  # noqa: S105 - a kind, not a secret
    """The bearers of known tokens may; the function is ours."""
    JWT = "jwt"
    """The bearers of an issuer's signed tokens may; the function is ours."""
    COGNITO = "cognito"
    """The users of Cognito user pools may; API Gateway decides."""
    IAM = "iam"
    """Whom IAM lets may, by signed requests; API Gateway decides."""


OURS = (AuthorizerKind.TOKEN, AuthorizerKind.JWT)
"""The kinds whose function is ours."""
WITH_A_FUNCTION = (AuthorizerKind.FUNCTION, *OURS)


class TokenArgs(TypedDict):
    """A token that is known, by its digest."""

    name: str
    """Who holds it, which becomes the caller's principal; while one token takes another's place, both may
    have the same name."""
    sha256: str
    """The SHA-256 digest of the token, 64 hexadecimal digits, as ``python3 -m sluice.cli token new NAME``
    prints it."""
    expires: NotRequired[str]
    """When it ends, as ``2027-03-31T00:00:00Z`` (RFC 3339). Default: never."""


class AuthorizerArgs(TypedDict):
    """What `Authorizer` takes."""

    kind: AuthorizerKind
    """Who decides: ``none``, ``function``, ``token``, ``jwt``, ``cognito`` or ``iam``. There is no default,
    so that nothing is open by accident."""
    tokens: NotRequired[list[TokenArgs]]
    """For ``token``: the tokens whose bearers may call, 1 to 1,000. Default: none."""
    function_arn: NotRequired[pulumi.Input[str]]
    """For ``function``: the ARN of the function that decides. Default: none."""
    identity_sources: NotRequired[list[str]]
    """For ``function``: what its decision depends on, all of which must be there (a REQUEST authorizer):
    ``header.NAME``, ``query.NAME``, ``context.source_ip``, ``context.method``, ``context.route``. Default:
    the Authorization header alone (a TOKEN authorizer)."""
    issuer: NotRequired[pulumi.Input[str]]
    """For ``jwt``: who signs the tokens, as their ``iss`` says it; an https URL. Default: none."""
    jwks_uri: NotRequired[pulumi.Input[str]]
    """For ``jwt``: the URL of the issuer's keys. Default: what its OpenID configuration says."""
    audiences: NotRequired[list[pulumi.Input[str]]]
    """For ``jwt``: of which a token's ``aud`` (where there is none, its ``client_id``) names one, 1 to 20.
    Default: none."""
    scopes: NotRequired[list[str]]
    """For ``jwt`` and ``cognito``: of which a token needs one; of ``cognito`` it is then an access token, and
    an ID token without. Default: none."""
    algorithms: NotRequired[list[str]]
    """For ``jwt``: how tokens may be signed, of ``RS256``, ``ES256`` and ``EdDSA``. Default: all three."""
    leeway_seconds: NotRequired[int]
    """For ``jwt``: how far the issuer's clock may be off, in seconds, 0 to 300. Default: 30."""
    key_max_age_seconds: NotRequired[int]
    """For ``jwt``: how long a warm function goes on with the issuer's keys where they cannot be had anew, in
    seconds, 60 to 86,400; they are asked for after half of it, and when a token names an unknown one.
    Default: 3,600."""
    required_claims: NotRequired[dict[str, str]]
    """For ``jwt``: what some claims must say, word for word, by the claim: ``{"token_use": "access"}`` keeps
    ID tokens out. Default: none."""
    principal_claim: NotRequired[str]
    """For ``jwt``: the claim that becomes the caller's principal. Default: ``sub``."""
    claims: NotRequired[dict[str, str]]
    """For ``jwt``: claims to hand on, by the name under which routes read them as
    ``context.authorizer.NAME``. Default: none."""
    user_pool_arns: NotRequired[list[pulumi.Input[str]]]
    """For ``cognito``: the ARNs of the user pools. Default: none."""
    callers: NotRequired[list[pulumi.Input[str]]]
    """For ``iam``: the ARNs of roles, users and accounts that may call, besides those of this account with a
    policy of their own that allows it. Default: none."""
    cache_ttl_seconds: NotRequired[int]
    """For ``function``, ``token`` and ``jwt``: how long API Gateway keeps a decision, in seconds, 0 to 3600;
    a token that was revoked or that expired works that much longer. Default: 60."""
    proxy: NotRequired[ProxyArgs]
    """For ``token`` and ``jwt``: the CDN or proxy in front of the API, for the front door and its limiter
    too. Default: none, callers come directly."""
    architecture: NotRequired[str]
    """For ``jwt``: the processor of the function, ``x86_64`` or ``arm64``. Default: ``x86_64``."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """A customer key for the function's log and environment. Default: AWS's own."""
    log_retention_days: NotRequired[int]
    """How long the function's log is kept, in days. Default: 30."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """The SNS topic that the alarms tell; without it there are no alarms. Default: none."""


OF_KINDS: Mapping[str, Collection[AuthorizerKind]] = {
    "tokens": (AuthorizerKind.TOKEN,),
    "function_arn": (AuthorizerKind.FUNCTION,),
    "identity_sources": (AuthorizerKind.FUNCTION,),
    **dict.fromkeys(
        (
            "issuer", "jwks_uri", "audiences", "algorithms", "leeway_seconds", "key_max_age_seconds",
            "required_claims", "principal_claim", "claims", "architecture",
        ),
        (AuthorizerKind.JWT,),
    ),
    "scopes": (AuthorizerKind.JWT, AuthorizerKind.COGNITO),
    "user_pool_arns": (AuthorizerKind.COGNITO,),
    "callers": (AuthorizerKind.IAM,),
    "cache_ttl_seconds": WITH_A_FUNCTION,
    "proxy": OURS,
}  # fmt: skip
"""The arguments that only some kinds take."""
REQUIRED: Mapping[AuthorizerKind, Mapping[str, tuple[str, str]]] = {
    AuthorizerKind.TOKEN: {"tokens": ("at least one token's name and SHA-256 digest", MINT)},
    AuthorizerKind.FUNCTION: {"function_arn": ("the ARN of a Lambda function", "")},
    AuthorizerKind.JWT: {
        "issuer": (ISSUER_ALLOWED, ""),
        "audiences": ("at least one: else tokens for other services would do", ""),
    },
    AuthorizerKind.COGNITO: {"user_pool_arns": ("the ARN of at least one user pool", "")},
}
"""What each kind cannot do without: what is allowed, and what to do."""


class Authorization(TypedDict, total=False):
    """The arguments that an authorizer gives to a front door."""

    authorizer_function_arn: pulumi.Input[str]
    authorizer_identity_sources: list[str]
    authorizer_cache_ttl_seconds: int
    authorizer_token_pattern: str
    authorizer_user_pool_arns: list[pulumi.Input[str]]
    authorizer_scopes: list[str]
    iam_authorization: bool
    iam_callers: list[pulumi.Input[str]]
    log_principal: bool
    proxy: ProxyArgs


def authorization(args: AuthorizerArgs, function_arn: pulumi.Input[str]) -> Authorization:
    """Return what arguments without problems mean for a front door.

    Args:
        args: the authorizer's.
        function_arn: the function that decides, for the kinds with one.
    """
    kind = args["kind"]
    if kind == AuthorizerKind.NONE:
        return {}
    if kind == AuthorizerKind.IAM:
        signed: Authorization = {"iam_authorization": True, "log_principal": True}
        if args.get("callers"):
            signed["iam_callers"] = args["callers"]
        return signed
    if kind == AuthorizerKind.COGNITO:
        pools: Authorization = {
            "authorizer_user_pool_arns": args.get("user_pool_arns", []),
            "log_principal": True,
        }
        if args.get("scopes"):
            pools["authorizer_scopes"] = args["scopes"]
        return pools
    found: Authorization = {
        "authorizer_function_arn": function_arn,
        "authorizer_cache_ttl_seconds": args.get("cache_ttl_seconds", guard.CACHE_TTL_SECONDS),
    }
    if "proxy" in args:
        found["proxy"] = args["proxy"]
    if kind == AuthorizerKind.FUNCTION:
        if "identity_sources" in args:
            found["authorizer_identity_sources"] = args["identity_sources"]
        return found
    found["log_principal"] = True
    if "proxy" not in args:
        found["authorizer_token_pattern"] = JWT_PATTERN if kind == AuthorizerKind.JWT else tokens.BEARER
    return found


def known_tokens(args: AuthorizerArgs) -> list[Token]:
    """Return the tokens that arguments without problems name."""
    return [
        Token(each["name"], each["sha256"], _seconds(each["expires"]) if each.get("expires") else None)
        for each in args.get("tokens", [])
    ]


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def problems(args: AuthorizerArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    given = cast(Mapping[str, object], args)
    return [
        *arguments.one_of(given, "kind", AuthorizerKind),
        *_kind_problems(given),
        *_token_problems(given),
        *arguments.matching(given, "function_arn", arguments.FUNCTION_ARN, "the ARN of a Lambda function"),
        *guard.identity_problems(given, "identity_sources"),
        *_jwt_problems(given),
        *arguments.matching_each(given, "user_pool_arns", guard.USER_POOL_ARN, "the ARN of a user pool"),
        *arguments.texts(given, "scopes", guard.SCOPE, guard.SCOPE_ALLOWED),
        *arguments.matching_each(given, "callers", guard.CALLER_ARN, guard.CALLER_ALLOWED),
        *arguments.between(given, "cache_ttl_seconds", 0, guard.MAX_CACHE_TTL_SECONDS, "seconds"),
        *proxy.problems(given),
        *arguments.shared(given),
    ]


def _kind_problems(args: Mapping[str, object]) -> Iterable[Problem]:
    """Report what the kind needs and has not, and what it has and cannot use."""
    kind = args.get("kind")
    if kind not in list(AuthorizerKind):
        return
    kind = AuthorizerKind(str(kind))
    for key, (allowed, remedy) in REQUIRED.get(kind, {}).items():
        if args.get(key) in (None, [], {}):
            yield Problem(key, args.get(key), allowed, remedy)
    for key, kinds in OF_KINDS.items():
        if args.get(key) not in (None, [], {}) and kind not in kinds:
            named = " or ".join(repr(each.value) for each in kinds)
            yield Problem(key, args[key], f"nothing, unless kind is {named}", "remove it")


def _token_problems(args: Mapping[str, object]) -> list[Problem]:
    listed = args.get("tokens", [])
    found = [*arguments.each_of(args, "tokens", TokenArgs, _one_token_problems)]
    found += [] if found else arguments.distinct(args, "tokens", "sha256")
    if isinstance(listed, list) and len(listed) > MOST_TOKENS:
        found.append(Problem("tokens", f"{len(listed)} tokens", f"at most {MOST_TOKENS}"))
    return found


def _one_token_problems(token: Mapping[str, object]) -> Iterable[Problem]:
    yield from arguments.text(token, "name", tokens.NAME, tokens.NAME_ALLOWED)
    if tokens.PREFIX in str(token.get("sha256")):
        yield Problem("sha256", "(a token)", "a digest; a token is never stored", MINT)
    else:
        yield from arguments.text(
            token, "sha256", tokens.DIGEST, "64 lower-case hexadecimal digits: SHA-256", MINT
        )
    if "expires" in token and not _is_time(token["expires"]):
        yield Problem("expires", token["expires"], "a time with its zone, as '2027-03-31T00:00:00Z'")


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except (ValueError, OverflowError):
        return False


def _jwt_problems(args: Mapping[str, object]) -> Iterable[Problem]:
    yield from arguments.matching(args, "issuer", ISSUER, ISSUER_ALLOWED)
    yield from arguments.matching(args, "jwks_uri", KEYS_URL, "an https URL")
    yield from arguments.matching_each(args, "audiences", AUDIENCE, "an audience: a text without spaces")
    audiences = args.get("audiences", [])
    if isinstance(audiences, list) and len(audiences) > MOST_AUDIENCES:
        yield Problem("audiences", f"{len(audiences)} audiences", f"1 to {MOST_AUDIENCES}")
    yield from arguments.filled(args, "algorithms", "else no token could be signed")
    yield from arguments.texts(
        args, "algorithms", re.compile("|".join(ALGORITHMS)), f"one of {', '.join(ALGORITHMS)}"
    )
    yield from arguments.between(args, "leeway_seconds", 0, MOST_LEEWAY_SECONDS, "seconds")
    yield from arguments.between(args, "key_max_age_seconds", 60, 86_400, "seconds")
    yield from arguments.text(args, "principal_claim", CLAIM, "the name of a claim")
    yield from arguments.one_of(args, "architecture", ("x86_64", "arm64"))
    names = f"names of letters, digits and _, other than {', '.join(NOT_OURS)}"
    yield from _map_problems(args, "claims", (CONTEXT_NAME, names), (CLAIM, "the name of a claim"))
    yield from _map_problems(
        args, "required_claims", (CLAIM, "names of claims"), (VALUE, "a text of at most 256 characters")
    )


def _map_problems(
    args: Mapping[str, object],
    key: str,
    names: tuple[re.Pattern[str], str],
    values: tuple[re.Pattern[str], str],
) -> Iterable[Problem]:
    """Report ``key`` unless it is absent or a map whose names and values match, as wholes."""
    given = args.get(key, {})
    if not isinstance(given, dict):
        yield Problem(key, given, f"a map of {names[1]}")
        return
    for name, value in given.items():
        if not isinstance(name, str) or not names[0].fullmatch(name):
            yield Problem(key, name, names[1])
        elif not isinstance(value, str) or not values[0].fullmatch(value):
            yield Problem(f"{key}.{name}", value, values[1])
