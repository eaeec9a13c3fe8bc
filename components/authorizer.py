"""`Authorizer`: who may call the front door."""

from typing import TypedDict

import pulumi

from . import archives, arguments, functions, proxy
from .authorizer_args import (
    ALGORITHMS,
    KEY_MAX_AGE_SECONDS,
    LEEWAY_SECONDS,
    OURS,
    PRINCIPAL_CLAIM,
    Authorization,
    AuthorizerArgs,
    AuthorizerKind,
    authorization,
    known_tokens,
    problems,
)
from .monitoring import METRIC_NAMESPACE, PERCENTILES, Alarm, Panel, create_alarms, lambda_metric, own_metric

LOG_RETENTION_DAYS = 30
TIMEOUT_SECONDS = 5
JWT_TIMEOUT_SECONDS = 10
"""An issuer is asked for three seconds at most."""
MEMORY_MB = 256
JWT_MEMORY_MB = 512
"""The CPU comes with the memory, and a cold start imports a library of cryptography."""
LAYER_LOCK = archives.HANDLERS / "layers" / "jwt_authorizer.txt"
SETTINGS_FILE = "sluice/handlers/authorizer.json"
MODULES = {
    AuthorizerKind.TOKEN: ["authorizing", "emf", "token_authorizer"],
    AuthorizerKind.JWT: ["authorizing", "emf", "jwt_authorizer", "key_sets"],
}


class AuthorizerNames(TypedDict):
    """What metrics are found by."""

    function: pulumi.Input[str]
    """The name of the function that decides."""
    ours: bool
    """Whether that function is ours, and tells what it decided."""


def alarms(names: AuthorizerNames) -> list[Alarm]:
    """Return the alarms of an authorizer with a function of ours."""
    function = names["function"]
    return [
        Alarm(
            "errors-alarm",
            "The authorizer fails, so callers get a 500 whatever their token.",
            lambda_metric(function, "Errors"),
            threshold=1,
        ),
        Alarm(
            "settings-alarm",
            "The authorizer's own settings are wrong, or its issuer cannot be reached: its log says which.",
            own_metric(function, "SettingsErrors"),
            threshold=1,
        ),
        Alarm(
            "throttles-alarm",
            "Lambda refuses to run the authorizer, so callers get a 500: its concurrency is used up.",
            lambda_metric(function, "Throttles"),
            threshold=1,
        ),
    ]


def panels(names: AuthorizerNames) -> list[Panel]:
    """Return the dashboard's graphs of an authorizer with a function."""
    function = names["function"]
    decided = [own_metric(function, each) for each in ("Allowed", "Refused", "SettingsErrors")]
    return [
        *([Panel("Authorizer: decisions", decided)] if names["ours"] else []),
        Panel("Authorizer: runs", [lambda_metric(function, each) for each in ("Invocations", "Errors")]),
        Panel("Authorizer: time (ms)", [lambda_metric(function, "Duration", each) for each in PERCENTILES]),
    ]


class Authorizer(pulumi.ComponentResource):
    """Decides who may call a front door, by one of several kinds.

    It makes at most a function; the front door attaches it: pass ``front_door_args()`` (in Python) on to
    `FrontDoor`, or elsewhere the output and by hand what that gives.

    Children, for kinds ``token`` and ``jwt``: ``<name>-logs``, ``<name>-role``, ``<name>-policy``,
    ``<name>-function``, for ``jwt`` ``<name>-layer``, and, with a topic, ``<name>-errors-alarm``,
    ``<name>-settings-alarm`` and ``<name>-throttles-alarm``.
    """

    function_arn: pulumi.Output[str | None]
    """The ARN of the function that decides; none for the kinds without one."""
    function_name: pulumi.Output[str | None]
    """The name of the function that is ours; none for the other kinds."""
    log_group_name: pulumi.Output[str | None]
    """The log group of the function that is ours; none for the other kinds."""

    def __init__(self, name: str, args: AuthorizerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make what the kind needs.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
            LayerBuildError: if the packages that kind ``jwt`` needs cannot be had.
        """
        super().__init__("sluice:index:Authorizer", name, None, opts)
        self._name = name
        self._args = arguments.admit(f"Authorizer {name!r}", args, AuthorizerArgs, problems)
        self.function_arn = pulumi.Output.from_input(self._args.get("function_arn"))
        self.function_name = pulumi.Output.from_input(None)
        self.log_group_name = pulumi.Output.from_input(None)
        if self._args["kind"] in OURS:
            self._create_function(AuthorizerKind(self._args["kind"]))
        self.register_outputs({key: getattr(self, key) for key in Authorizer.__annotations__})

    def names(self) -> AuthorizerNames | None:
        """Return what a dashboard needs to find this authorizer's metrics; none where no function decides."""
        if self._args["kind"] not in (*OURS, AuthorizerKind.FUNCTION):
            return None
        return {
            "function": self.function_arn.apply(lambda arn: _function_name(arn or "")),
            "ours": self._args["kind"] in OURS,
        }

    def front_door_args(self) -> Authorization:
        """Return what a `FrontDoor` needs to be guarded by this authorizer."""
        return authorization(self._args, self.function_arn.apply(lambda arn: arn or ""))

    def _create_function(self, kind: AuthorizerKind) -> None:
        args = self._args
        checked_by_jwt = kind == AuthorizerKind.JWT
        target = archives.Target(architecture=args.get("architecture", "x86_64"))
        unit = functions.create_function(
            self._name,
            functions.FunctionSpec(
                package=functions.Zipped(
                    pulumi.Output.json_dumps(self._settings(kind), sort_keys=True).apply(
                        lambda text: archives.handler_archive(
                            modules=MODULES[kind], shared=["tokens"], generated={SETTINGS_FILE: text}
                        )
                    ),
                    f"sluice.handlers.{kind.value}_authorizer.handler",
                    layers=[functions.create_layer(self._name, LAYER_LOCK, target, self).arn]
                    if checked_by_jwt
                    else [],
                ),
                timeout_seconds=JWT_TIMEOUT_SECONDS if checked_by_jwt else TIMEOUT_SECONDS,
                memory_mb=JWT_MEMORY_MB if checked_by_jwt else MEMORY_MB,
                log_retention_days=args.get("log_retention_days", LOG_RETENTION_DAYS),
                kms_key_arn=args.get("kms_key_arn"),
                target=target,
                environment={"SLUICE_METRIC_NAMESPACE": METRIC_NAMESPACE},
                # There is a run for each new decision, and its own line says what it was.
                system_log_level="WARN",
            ),
            statements=[],
            parent=self,
        )
        self.function_arn = unit.function.arn
        self.function_name = unit.function.name
        self.log_group_name = unit.log_group.name
        if "alarm_topic_arn" in args:
            told = alarms({"function": unit.function.name, "ours": True})
            create_alarms(self._name, told, args["alarm_topic_arn"], self)

    def _settings(self, kind: AuthorizerKind) -> dict[str, object]:
        """Return what the function finds in its archive."""
        args = self._args
        front = proxy.of({**args})
        found: dict[str, object] = {"proxy": front.settings() if front else None}
        if kind == AuthorizerKind.TOKEN:
            return found | {"tokens": [each._asdict() for each in known_tokens(args)]}
        return found | {
            "issuer": args.get("issuer"),
            "jwks_uri": args.get("jwks_uri"),
            "audiences": args.get("audiences"),
            "scopes": args.get("scopes", []),
            "algorithms": args.get("algorithms", list(ALGORITHMS)),
            "leeway_seconds": args.get("leeway_seconds", LEEWAY_SECONDS),
            "key_max_age_seconds": args.get("key_max_age_seconds", KEY_MAX_AGE_SECONDS),
            "required_claims": args.get("required_claims", {}),
            "principal_claim": args.get("principal_claim", PRINCIPAL_CLAIM),
            "claims": args.get("claims", {}),
        }


def _function_name(arn: str) -> str:
    """Return the name of the function that an ARN, of it or of an alias of it, is about."""
    return arn.partition(":function:")[2].partition(":")[0]
