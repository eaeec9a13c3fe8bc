"""A whole local AWS with stacks deployed on it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .aws import Aws
from .callers import Callers
from .edge import Edge, OnRequest
from .emulator import ROOT, Emulator, free_port
from .makers import Workshop
from .program import Config, Deployment, Made, deploy, stack_config
from .say import Say
from .surroundings import AUTHORIZER_KEY, FRONT_DOOR_KEY, TOKEN_NAME, Surroundings, with_token

__all__ = [
    "AUTHORIZER_KEY",
    "FRONT_DOOR_KEY",
    "TOKEN_NAME",
    "LocalAws",
    "LocalStack",
    "local_aws",
    "with_token",
]

FOLDER = ROOT / ".local"
"""Where a local run keeps its files; git ignores it."""


@dataclass(frozen=True)
class LocalStack:
    """One stack that is deployed."""

    deployment: Deployment
    callers: Callers
    """What lets callers in; made for this run."""

    @property
    def token(self) -> str | None:
        """A token that works, where the stack wants one."""
        return self.callers.token

    @property
    def consumer(self) -> Mapping[str, Any]:
        """What the program exported of its only consumer."""
        found: Mapping[str, Any] = self.outputs["consumers"]["consumer"]
        return found

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
    surroundings: Surroundings

    def up(self, name: str, overrides: Config | None = None) -> LocalStack:
        """Deploy a stack, as ``pulumi up`` would, and write its outputs for the operator's command.

        The file also says, under ``local``, where this AWS is.
        """
        # As a stack says it that Pulumi's engine deploys to an AWS on this machine.
        here = {"aws:endpoints": json.dumps([{"dynamodb": self.aws.endpoint, "lambda": self.aws.endpoint}])}
        config, callers = self.surroundings.prepare({**stack_config(name), **here, **(overrides or {})})
        self.say.line(f"Deploying stack {name} to the local AWS")
        deployment = deploy(name, config, self.workshop, self._tell)
        self.surroundings.permit(callers, deployment)
        self.say.line(f"{len(deployment.resources)} resources in {deployment.seconds:.2f} s")
        target = self.folder / f"outputs.{name}.json"
        where = {"endpoint_url": self.aws.endpoint, "region": self.aws.region}
        target.write_text(json.dumps({**deployment.outputs, "local": where}, indent=2))
        return LocalStack(deployment, callers)

    def _tell(self, made: Made) -> None:
        self.say.step(f"{made.type.rpartition(':')[2]} {made.name}", made.seconds)


@contextmanager
def local_aws(say: Say, folder: Path = FOLDER, on_request: OnRequest | None = None) -> Iterator[LocalAws]:
    """Run a local AWS; whatever happens inside, nothing is left running."""
    folder.mkdir(parents=True, exist_ok=True)
    with Emulator(folder, say) as emulator:
        aws = Aws(emulator.endpoint)
        with ExitStack() as ending, Edge(aws, free_port(), folder / "edge.log", on_request) as edge:
            yield LocalAws(aws, edge, folder, say, Workshop(aws, edge.url), Surroundings(aws, ending))
