"""Where a request goes: by its path, or by the custom domain that it names as its host."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from .aws import Aws

NO_BASE_PATH = "(none)"
"""What API Gateway calls the base path of a mapping that has none."""

Mappings = Mapping[str, "Target"]
"""Stages by base path."""


@dataclass(frozen=True)
class Target:
    """A stage."""

    api: str
    stage: str


@dataclass(frozen=True)
class Place:
    """Where one request goes."""

    target: Target
    path: str
    """The rest of the path, as it came, within the stage."""
    query: str
    """What follows the path, as it came, with its question mark."""
    domain: str | None = None
    """The custom domain by which it came."""
    base_path: str = ""
    """What of the path was the domain's mapping, with its slash."""

    @property
    def inside(self) -> str:
        """Path and query as the emulator is asked for them."""
        return f"/{quote(self.target.api)}/{quote(self.target.stage)}{self.path}{self.query}"

    @property
    def shown(self) -> str:
        """The path as ``$context.path`` shows it."""
        return f"{self.base_path if self.domain else f'/{self.target.stage}'}{self.path}"

    @property
    def decoded(self) -> str:
        """The path as resources see it."""
        return unquote(self.path)


def read_domains(aws: Aws) -> dict[str, dict[str, Target]]:
    """Return the custom domains with their mappings."""
    gateway = aws.client("apigateway")
    found = {}
    for each in gateway.get_domain_names(limit=500).get("items", []):
        mappings = gateway.get_base_path_mappings(domainName=each["domainName"], limit=500).get("items", [])
        found[each["domainName"].lower()] = {
            base_path(mapping.get("basePath", "")): Target(mapping["restApiId"], mapping.get("stage", ""))
            for mapping in mappings
        }
    return found


def base_path(told: str) -> str:
    """Return a base path as it is compared."""
    return "" if told == NO_BASE_PATH else told.strip("/")


def locate(domains: Mapping[str, Mappings], host: str, target: str) -> Place | None:
    """Return where a request goes; nothing where no stage is named.

    Args:
        domains: the custom domains.
        host: the request's.
        target: its path and query, as they came.
    """
    path, mark, query = target.partition("?")
    domain = host.partition(":")[0].lower()
    if domain in domains:
        return _by_mapping(domains[domain], path, mark + query, domain)
    segments = path.split("/", 3)
    if len(segments) < 3 or not segments[1] or not segments[2]:  # noqa: PLR2004 - the API and its stage
        return None
    rest = "".join(segments[3:])
    return Place(Target(unquote(segments[1]), unquote(segments[2])), f"/{rest}", mark + query)


def _by_mapping(mappings: Mappings, path: str, query: str, domain: str) -> Place | None:
    """Return the place behind the longest base path that the path begins with."""
    for base in _longest_first(mappings):
        prefix = f"/{base}" if base else ""
        rest = path.removeprefix(prefix)
        if path.startswith(prefix) and (not rest or rest.startswith("/")):
            return Place(mappings[base], rest or "/", query, domain, prefix)
    return None


def _longest_first(bases: Iterable[str]) -> list[str]:
    return sorted(bases, key=len, reverse=True)
