"""What is deployed of a stage, read from the emulator's own API."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import waf
from .access_lines import ABSENT
from .aws import Aws
from .domains import Target
from .firewalls import Firewalls
from .fresh import Fresh
from .gateway_responses import GatewayResponses

EVERYTHING = "*/*"
"""Where a stage's settings stand that no method has of its own."""


@dataclass(frozen=True)
class Caching:
    """How the answers of one method are kept."""

    ttl_seconds: int
    namespace: str
    key_parameters: tuple[str, ...]
    """Mapping expressions, as ``method.request.path.id``: only these tell requests apart."""
    needs_authorization: bool = True
    """Whether only a signed caller may have an answer read anew."""
    unauthorized: str = "SUCCEED_WITH_RESPONSE_HEADER"
    """What happens to others who ask for that."""


@dataclass(frozen=True)
class StageSettings:
    """What is deployed of one stage."""

    log_group: str | None
    log_format: str
    routes: tuple[str, ...]
    gateway_responses: GatewayResponses
    web_acl: waf.WebAcl | None = None
    api_name: str = ""
    caching: Mapping[str, Caching] = field(default_factory=dict)
    """By resource path, of the GET methods that have it."""
    measured: frozenset[str] = frozenset()
    """The methods with metrics of their own, as ``/orders/{id}/POST``."""
    endpoint_disabled: bool = False
    """Whether it is reached by custom domains only."""


NOTHING_DEPLOYED = StageSettings(None, "", (), {})


class Stages:
    """Stages' settings, none older than a second."""

    def __init__(self, aws: Aws, firewalls: Firewalls) -> None:
        """Know nothing yet."""
        self._aws = aws
        self._firewalls = firewalls
        self._known: dict[Target, Fresh[StageSettings | None]] = {}

    async def of(self, target: Target) -> StageSettings | None:
        """Return what is deployed of a stage; nothing where there is no such stage.

        Raises:
            UnsupportedError: if its web ACL uses what is not carried here.
        """
        fresh = self._known.setdefault(target, Fresh(partial(self._read, target)))
        settings = await fresh.get()
        if settings is None:
            self._known.pop(target, None)
        return settings

    def _read(self, target: Target) -> StageSettings | None:
        api, name = target.api, target.stage
        gateway = self._aws.client("apigateway")
        try:
            stage = gateway.get_stage(restApiId=api, stageName=name)
            described = gateway.get_rest_api(restApiId=api)
            resources = gateway.get_resources(restApiId=api, limit=500, embed=["methods"])["items"]
            responses = gateway.get_gateway_responses(restApiId=api, limit=500)["items"]
        except gateway.exceptions.NotFoundException:
            return None
        log = stage.get("accessLogSettings", {})
        return StageSettings(
            log_group=log.get("destinationArn", "").partition(":log-group:")[2] or None,
            log_format=log.get("format", ""),
            routes=tuple(each["path"] for each in resources),
            gateway_responses={each["responseType"]: each for each in responses},
            web_acl=self._firewalls.of(stage_arn(self._aws.region, api, name)),
            api_name=described.get("name", ""),
            caching=caching_of(stage, resources),
            measured=measured_of(stage, resources),
            endpoint_disabled=described.get("disableExecuteApiEndpoint", False),
        )


def stage_arn(region: str, api: str, stage: str) -> str:
    """Return the ARN of a stage, as web ACLs are associated with it."""
    return f"arn:aws:apigateway:{region}::/restapis/{api}/stages/{stage}"


def caching_of(stage: Mapping[str, Any], resources: Iterable[Mapping[str, Any]]) -> dict[str, Caching]:
    """Return how the answers of each resource's GET method are kept, where they are."""
    if not stage.get("cacheClusterEnabled"):
        return {}
    found = {}
    for resource in resources:
        integration = methods_of(resource).get("GET", {}).get("methodIntegration")
        settings = method_settings(stage, resource["path"], "GET")
        if integration and settings.get("cachingEnabled"):
            found[resource["path"]] = Caching(
                ttl_seconds=settings["cacheTtlInSeconds"],
                namespace=integration.get("cacheNamespace") or resource["id"],
                key_parameters=tuple(integration.get("cacheKeyParameters") or ()),
                needs_authorization=settings["requireAuthorizationForCacheControl"],
                unauthorized=settings["unauthorizedCacheControlHeaderStrategy"],
            )
    return found


def measured_of(stage: Mapping[str, Any], resources: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the methods that have metrics of their own."""
    return frozenset(
        method_key(resource["path"], method)
        for resource in resources
        for method in methods_of(resource)
        if method_settings(stage, resource["path"], method).get("metricsEnabled")
    )


def methods_of(resource: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the methods of a resource as the API describes it."""
    methods: Mapping[str, Mapping[str, Any]] = resource.get("resourceMethods") or {}
    return methods


def method_settings(stage: Mapping[str, Any], path: str, method: str) -> Mapping[str, Any]:
    """Return the settings of one method: its own, or those of all."""
    known = {
        key.replace("~1", "/").lstrip("/"): value
        for key, value in (stage.get("methodSettings") or {}).items()
    }
    found: Mapping[str, Any] = known.get(method_key(path, method).lstrip("/"), known.get(EVERYTHING, {}))
    return found


def method_key(path: str, method: str) -> str:
    """Return how a method is called."""
    return f"{path.rstrip('/')}/{method}"


def route(routes: Iterable[str], path: str) -> str:
    """Return the resource that a request's path belongs to; a literal segment goes before a parameter."""
    wanted = segments(path)
    fitting = [each for each in routes if fits(segments(each), wanted)]
    return min(fitting, key=openness, default=ABSENT)


def path_parameters(resource_path: str, path: str) -> dict[str, str]:
    """Return the values that a request's path has for the parameters of its resource."""
    return {
        part.strip("{}"): word
        for part, word in zip(segments(resource_path), segments(path), strict=True)
        if is_parameter(part)
    }


def segments(path: str) -> list[str]:
    """Return what stands between the slashes of a path."""
    return [each for each in path.split("/") if each]


def fits(parts: list[str], wanted: list[str]) -> bool:
    """Whether a path's segments are those of a resource."""
    return len(parts) == len(wanted) and all(
        part == word or is_parameter(part) for part, word in zip(parts, wanted, strict=True)
    )


def openness(resource_path: str) -> list[bool]:
    """Return which segments of a resource path are parameters, so that the more literal one comes first."""
    return [is_parameter(part) for part in segments(resource_path)]


def is_parameter(part: str) -> bool:
    """Whether a segment stands for any word."""
    return part.startswith("{")
