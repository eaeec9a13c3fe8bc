"""A whole local AWS with stacks deployed on it."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice import tokens

from .aws import Aws
from .edge import Edge, OnRequest
from .emulator import ROOT, Emulator, free_port
from .makers import Workshop
from .program import Config, Deployment, Made, deploy, stack_config
from .say import Say

FOLDER = ROOT / ".local"
"""Where a local run keeps its files; git ignores it."""
AUTHORIZER_KEY = "sluice:authorizer"
FRONT_DOOR_KEY = "sluice:front_door"
TOKEN_NAME = "local"  # noqa: S105 - a name


@dataclass(frozen=True)
class LocalStack:
    """One stack that is deployed."""

    deployment: Deployment
    token: str | None
    """A token that works, where the stack wants one; minted for this run."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What the program exported."""
        return self.deployment.outputs


@dataclass(frozen=True)
class LocalAws:
    """A local AWS that runs."""

    aws: Aws
    edge: Edge
    folder: Path
    say: Say
    workshop: Workshop

    def up(self, name: str, overrides: Config | None = None) -> LocalStack:
        """Deploy a stack, as ``pulumi up`` would, and write its outputs for the operator's command.

        The file also says, under ``local``, where this AWS is.
        """
        config, token = with_token({**stack_config(name), **(overrides or {})})
        config = with_zone(config, self.aws)
        self.say.line(f"Deploying stack {name} to the local AWS")
        deployment = deploy(name, config, self.workshop, self._tell)
        self.say.line(f"{len(deployment.resources)} resources in {deployment.seconds:.2f} s")
        target = self.folder / f"outputs.{name}.json"
        where = {"endpoint_url": self.aws.endpoint, "region": self.aws.region}
        target.write_text(json.dumps({**deployment.outputs, "local": where}, indent=2))
        return LocalStack(deployment, token)

    def _tell(self, made: Made) -> None:
        self.say.step(f"{made.type.rpartition(':')[2]} {made.name}", made.seconds)


@contextmanager
def local_aws(say: Say, folder: Path = FOLDER, on_request: OnRequest | None = None) -> Iterator[LocalAws]:
    """Run a local AWS; whatever happens inside, nothing is left running."""
    folder.mkdir(parents=True, exist_ok=True)
    with Emulator(folder, say) as emulator:
        aws = Aws(emulator.endpoint)
        with Edge(aws, free_port(), folder / "edge.log", on_request) as edge:
            yield LocalAws(aws, edge, folder, say, Workshop(aws, edge.url))


def with_zone(config: Config, aws: Aws) -> Config:
    """Return a config whose hosted zone exists: it stands outside the program, as domains do."""
    try:
        given = json.loads(config.get(FRONT_DOOR_KEY, "{}"))
    except ValueError:
        return config
    if not isinstance(given, dict) or not {"domain_name", "hosted_zone_id"} <= given.keys():
        return config
    route53 = aws.client("route53")
    known = {each["Id"].rpartition("/")[2] for each in route53.list_hosted_zones()["HostedZones"]}
    if given["hosted_zone_id"] in known:
        return config
    parent = str(given["domain_name"]).partition(".")[2]
    zone = route53.create_hosted_zone(Name=parent, CallerReference=str(uuid.uuid4()))["HostedZone"]
    given["hosted_zone_id"] = zone["Id"].rpartition("/")[2]
    return {**config, FRONT_DOOR_KEY: json.dumps(given)}


def with_token(config: Config) -> tuple[Config, str | None]:
    """Return a config in which a freshly minted token is known, and the token, where the stack wants one.

    A token is never committed, so a local run mints its own; one that is set stays known as well.
    """
    section = config.get(AUTHORIZER_KEY, "{}")
    try:
        given = json.loads(section)
    except ValueError:
        return config, None
    if not isinstance(given, dict) or given.get("kind") != "token":
        return config, None
    known = given.get("tokens", {})
    if not isinstance(known, dict):
        return config, None
    token = tokens.mint()
    given["tokens"] = {**known, TOKEN_NAME: tokens.digest(token)}
    return {**config, AUTHORIZER_KEY: json.dumps(given)}, token
