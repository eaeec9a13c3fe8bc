"""`Authorizer`: who may call the front door."""

import json
from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi

from sluice import tokens

from . import archives, arguments, functions
from .arguments import Problem
from .monitoring import PERCENTILES, Alarm, Panel, create_alarms, lambda_metric

LOG_RETENTION_DAYS = 30
CACHE_TTL_SECONDS = 60
MAX_CACHE_TTL_SECONDS = 3600
"""API Gateway's own limit ("CreateAuthorizer", API reference)."""
TIMEOUT_SECONDS = 5
MEMORY_MB = 256
MINT = """python3 -m sluice.cli token new client
pulumi config set --path 'sluice:authorizer.tokens.client' SHA256"""
"""The two commands that make a token known, the second with what the first prints; in another program the
digest goes into ``tokens``."""


class AuthorizerKind(StrEnum):
    """The ways to decide who may call."""

    NONE = "none"
    """Everybody may."""
    FUNCTION = "function"
    """A Lambda function of the user's decides, from the Authorization header."""
    TOKEN = "token"  # noqa: S105 - a kind, not a secret
    """The bearers of known tokens may; the function is ours."""


class AuthorizerArgs(TypedDict):
    """What `Authorizer` takes."""

    kind: AuthorizerKind
    """Who decides: ``none``, ``function`` or ``token``. There is no default, so that nothing is open by
    accident."""
    tokens: NotRequired[dict[str, str]]
    """For ``token``: the SHA-256 digest (64 hexadecimal digits) of each token, by the token's name, which
    becomes the caller's principal. Make them with ``python3 -m sluice.cli token new NAME``. Default: none."""
    function_arn: NotRequired[pulumi.Input[str]]
    """For ``function``: the ARN of the function that decides. Default: none."""
    cache_ttl_seconds: NotRequired[int]
    """How long API Gateway keeps a decision, in seconds, 0 to 3600; a revoked token works that much longer.
    Default: 60."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """A customer key for the function's log. Default: CloudWatch's own."""
    log_retention_days: NotRequired[int]
    """How long the function's log is kept, in days. Default: 30."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """The SNS topic that the alarms tell; without it there are no alarms. Default: none."""


class Authorization(TypedDict, total=False):
    """The arguments that an authorizer gives to a front door."""

    authorizer_function_arn: pulumi.Input[str]
    authorizer_cache_ttl_seconds: int
    authorizer_token_pattern: str
    log_principal: bool


def problems(args: AuthorizerArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    kind = args.get("kind")
    found = [*arguments.one_of(args, "kind", AuthorizerKind)]
    found += arguments.between(args, "cache_ttl_seconds", 0, MAX_CACHE_TTL_SECONDS, "seconds")
    found += arguments.matching(args, "function_arn", arguments.FUNCTION_ARN, "the ARN of a Lambda function")
    if kind == AuthorizerKind.FUNCTION and "function_arn" not in args:
        found.append(Problem("function_arn", None, "the ARN of a Lambda function, for kind 'function'"))
    found += _token_problems(kind, args.get("tokens", {}))
    for key, owner in (("tokens", AuthorizerKind.TOKEN), ("function_arn", AuthorizerKind.FUNCTION)):
        if args.get(key) and kind in [each for each in AuthorizerKind if each != owner]:
            found.append(Problem(key, args.get(key), f"nothing, unless kind is {owner.value!r}", "remove it"))
    return [*found, *arguments.shared(args)]


def _function_name(arn: str) -> str:
    """Return the name of the function that an ARN, of it or of an alias of it, is about."""
    return arn.partition(":function:")[2].partition(":")[0]


def _token_problems(kind: str | None, known: object) -> list[Problem]:
    if not isinstance(known, dict):
        return [Problem("tokens", known, "a map of names to SHA-256 digests", MINT)]
    found = []
    if kind == AuthorizerKind.TOKEN and not known:
        found.append(Problem("tokens", {}, "at least one name with a SHA-256 digest", MINT))
    for name, digest in known.items():
        if not tokens.NAME.fullmatch(str(name)):
            found.append(Problem("tokens", name, f"names of {tokens.NAME_ALLOWED}"))
        elif tokens.PREFIX in str(digest):
            found.append(Problem(f"tokens.{name}", "(a token)", "a digest; a token is never stored", MINT))
        elif not isinstance(digest, str) or not tokens.DIGEST.fullmatch(digest):
            found.append(Problem(f"tokens.{name}", digest, "64 lower-case hexadecimal digits: SHA-256", MINT))
        elif list(known.values()).count(digest) > 1:
            found.append(Problem(f"tokens.{name}", digest, "a digest that no other name has", MINT))
    return found


class AuthorizerNames(TypedDict):
    """What metrics are found by."""

    function: pulumi.Input[str]
    """The name of the function that decides."""


def alarms(names: AuthorizerNames) -> list[Alarm]:
    """Return the alarms of an authorizer with a function of ours."""
    return [
        Alarm(
            "errors-alarm",
            "The authorizer fails, so callers get a 500 whatever their token.",
            lambda_metric(names["function"], "Errors"),
            threshold=1,
        )
    ]


def panels(names: AuthorizerNames) -> list[Panel]:
    """Return the dashboard's graphs of an authorizer with a function."""
    function = names["function"]
    return [
        Panel(
            "Authorizer: decisions",
            [lambda_metric(function, "Invocations"), lambda_metric(function, "Errors")],
        ),
        Panel("Authorizer: time (ms)", [lambda_metric(function, "Duration", each) for each in PERCENTILES]),
    ]


class Authorizer(pulumi.ComponentResource):
    """Decides who may call a front door, by one of several kinds.

    It makes at most a function; the front door attaches it: pass ``front_door_args()`` (in Python) or the
    outputs (elsewhere) on to `FrontDoor`.

    Children, for kind ``token``: ``<name>-logs``, ``<name>-role``, ``<name>-policy``, ``<name>-function``
    and, with a topic, ``<name>-errors-alarm``.
    """

    function_arn: pulumi.Output[str | None]
    """The ARN of the function that decides; none for kind ``none``."""
    function_name: pulumi.Output[str | None]
    """The name of the function that is ours; none for the other kinds."""
    log_group_name: pulumi.Output[str | None]
    """The log group of the function that is ours; none for the other kinds."""

    def __init__(self, name: str, args: AuthorizerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make what the kind needs.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
        """
        super().__init__("sluice:index:Authorizer", name, None, opts)
        self._args = arguments.admit(f"Authorizer {name!r}", args, AuthorizerArgs, problems)
        self.function_arn = pulumi.Output.from_input(self._args.get("function_arn"))
        self.function_name = pulumi.Output.from_input(None)
        self.log_group_name = pulumi.Output.from_input(None)
        if self._args["kind"] == AuthorizerKind.TOKEN:
            self._create_token_function(name)
        self.register_outputs(
            {
                "function_arn": self.function_arn,
                "function_name": self.function_name,
                "log_group_name": self.log_group_name,
            }
        )

    def _create_token_function(self, name: str) -> None:
        args = self._args
        digests = json.dumps(args.get("tokens", {}), sort_keys=True)
        unit = functions.create_function(
            name,
            functions.FunctionSpec(
                archive=archives.handler_archive(
                    modules=["token_authorizer"],
                    shared=["tokens"],
                    generated={"sluice/handlers/token_digests.json": digests},
                ),
                handler="sluice.handlers.token_authorizer.handler",
                timeout_seconds=TIMEOUT_SECONDS,
                memory_mb=MEMORY_MB,
                log_retention_days=args.get("log_retention_days", LOG_RETENTION_DAYS),
                kms_key_arn=args.get("kms_key_arn"),
            ),
            statements=[],
            parent=self,
        )
        self.function_arn = unit.function.arn
        self.function_name = unit.function.name
        self.log_group_name = unit.log_group.name
        if "alarm_topic_arn" in args:
            create_alarms(name, alarms({"function": unit.function.name}), args["alarm_topic_arn"], self)

    def names(self) -> AuthorizerNames | None:
        """Return what a dashboard needs to find this authorizer's metrics; none where no function decides."""
        if self._args["kind"] == AuthorizerKind.NONE:
            return None
        return {"function": self.function_arn.apply(lambda arn: _function_name(arn or ""))}

    def front_door_args(self) -> Authorization:
        """Return what a `FrontDoor` needs to be guarded by this authorizer."""
        kind = self._args["kind"]
        if kind == AuthorizerKind.NONE:
            return {}
        function_arn: pulumi.Output[str] = self.function_arn.apply(lambda arn: arn or "")
        attached: Authorization = {
            "authorizer_function_arn": function_arn,
            "authorizer_cache_ttl_seconds": self._args.get("cache_ttl_seconds", CACHE_TTL_SECONDS),
        }
        if kind == AuthorizerKind.TOKEN:
            attached["authorizer_token_pattern"] = tokens.BEARER
            attached["log_principal"] = True
        return attached
