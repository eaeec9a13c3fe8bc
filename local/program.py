"""Runs the Pulumi program in this process: the same ``__main__.py``, with makers in place of the engine."""

import asyncio
import json
import runpy
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime import mocks, rpc, settings, stack

from .emulator import ROOT
from .makers import Workshop, call, make

PROJECT = "sluice"
MAKERS_AT_ONCE = 8
PROGRAM = ROOT / "__main__.py"

Config = dict[str, Any]


class DeployError(RuntimeError):
    """A resource could not be made; the message names it and says why."""


class StackFileError(ValueError):
    """A stack has no settings file, or one that cannot be read."""


@dataclass(frozen=True)
class Made:
    """One resource that was made."""

    type: str
    name: str
    id: str
    outputs: Mapping[str, Any]
    seconds: float


@dataclass
class Deployment:
    """What a run of the program came to."""

    stack: str
    outputs: dict[str, Any]
    resources: list[Made]
    seconds: float


def unwrapped(value: Any) -> Any:  # noqa: ANN401 - any input
    """Return an input without the mark that something in it is secret: AWS itself is told in clear."""
    return rpc.unwrap_rpc_secret(value) if rpc.is_rpc_secret(value) else value


@dataclass
class Engine(mocks.Mocks):
    """Stands in for Pulumi's engine: each resource that the program registers is made by its maker."""

    workshop: Workshop
    on_made: Callable[[Made], None]
    made: list[Made] = field(default_factory=list)
    failures: list[DeployError] = field(default_factory=list)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Make one resource; component resources are only names."""
        if not args.custom:
            return "", {}
        started = time.monotonic()
        try:
            inputs = {key: unwrapped(value) for key, value in args.inputs.items()}
            made_id, outputs = make(self.workshop, args.typ, args.name, inputs)
        except Exception as error:
            raise self._failed(DeployError(f"{args.typ} {args.name!r}: {error}")) from error
        made = Made(args.typ, args.name, made_id, outputs, time.monotonic() - started)
        self.made.append(made)
        self.on_made(made)
        return made_id, outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """Answer one of the provider's functions."""
        try:
            return call(self.workshop, args.token), []
        except Exception as error:
            raise self._failed(DeployError(f"{args.token}: {error}")) from error

    def _failed(self, failure: DeployError) -> DeployError:
        """Keep a failure, since the program sees only what becomes of it."""
        self.failures.append(failure)
        return failure


def deploy(
    stack_name: str, config: Config, workshop: Workshop, on_made: Callable[[Made], None]
) -> Deployment:
    """Run the program for a stack and return what it exported.

    Raises:
        DeployError: if a resource cannot be made.
        pulumi.RunError: if the program refuses its settings.
    """
    started = time.monotonic()
    engine = Engine(workshop, on_made)
    with _makers_threads() as threads:
        outputs = asyncio.run(_run(engine, stack_name, config, threads))
    return Deployment(stack_name, outputs, engine.made, time.monotonic() - started)


def stack_config(stack_name: str, folder: Path = ROOT) -> Config:
    """Return a stack's raw config map as Pulumi hands it over: strings, with JSON for what is nested.

    Raises:
        StackFileError: if the stack has no settings file, or one that cannot be read here.
    """
    file = folder / f"Pulumi.{stack_name}.yaml"
    known = sorted(each.name[len("Pulumi.") : -len(".yaml")] for each in folder.glob("Pulumi.*.yaml"))
    if stack_name not in known:
        raise StackFileError(f"There is no stack {stack_name!r}; there are: {', '.join(known)}.")
    project = yaml.safe_load((folder / "Pulumi.yaml").read_text())
    defaults = {f"{PROJECT}:{key}": entry["default"] for key, entry in project["config"].items()}
    try:
        return {key: _raw(value) for key, value in {**defaults, **_given(file)}.items()}
    except (yaml.YAMLError, OSError, ValueError, TypeError, RecursionError) as error:
        raise StackFileError(f"{file} cannot be read: {error}") from error


def _given(file: Path) -> Config:
    """Return the map under ``config`` of a stack's settings file."""
    held = yaml.safe_load(file.read_text()) or {}
    config = held.get("config") or {} if isinstance(held, dict) else held
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise TypeError("it must hold `config:` and under it keys with values")
    encrypted = [key for key, value in config.items() if _encrypted(value)]
    if encrypted:
        raise TypeError(f"only Pulumi can read what is encrypted: {', '.join(encrypted)}")
    return config


def _encrypted(value: object) -> bool:
    """Whether a value is, or holds, what ``pulumi config set --secret`` wrote."""
    if isinstance(value, dict):
        return list(value) == ["secure"] or any(map(_encrypted, value.values()))
    return isinstance(value, list) and any(map(_encrypted, value))


def _raw(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def _makers_threads() -> Iterator[ThreadPoolExecutor]:
    """Lend each maker's thread an event loop, which the mock monitor would else make and never close."""
    lent: list[asyncio.AbstractEventLoop] = []

    def lend() -> None:
        lent.append(asyncio.new_event_loop())
        asyncio.set_event_loop(lent[-1])

    try:
        with ThreadPoolExecutor(MAKERS_AT_ONCE, "maker", lend) as threads:
            yield threads
    finally:
        for loop in lent:
            loop.close()


async def _run(
    engine: Engine, stack_name: str, config: Config, threads: ThreadPoolExecutor
) -> dict[str, Any]:
    """Run the program under mocks, several times in one process and after failures if need be."""
    asyncio.get_running_loop().set_default_executor(threads)
    # What fails comes back from the run; the tasks that it leaves behind need not tell of it again.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    # What an earlier program left unfinished would be waited for.
    settings.SETTINGS.outputs.clear()
    settings.set_root_resource(None)  # type: ignore[arg-type]  # its own way to say "no root"
    mocks.set_mocks(engine, project=PROJECT, stack=stack_name, preview=False)
    pulumi.runtime.set_all_config(config)
    try:
        await stack.run_pulumi_func(_whole_program)
        root = settings.get_root_resource()
        exported = root.outputs if isinstance(root, stack.Stack) else {}
        return {key: await pulumi.Output.from_input(value).future() for key, value in exported.items()}
    except Exception:
        if engine.failures:
            raise engine.failures[0] from None
        raise
    finally:
        await _cancel_the_rest()
        settings.set_root_resource(None)  # type: ignore[arg-type]  # its own way to say "no root"


async def _whole_program() -> None:
    _program()
    await at_rest()


async def at_rest() -> None:
    """Wait for all that is under way at once: Pulumi looks through all of it whenever a part is done."""
    while settings.SETTINGS.outputs:
        await stack.wait_for_rpcs(await_all_outstanding_tasks=False)
        await asyncio.gather(*settings.SETTINGS.outputs)


def _program() -> None:
    """Run ``__main__.py`` as Pulumi does: its folder first on the path."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    runpy.run_path(str(PROGRAM), run_name="__main__")


async def _cancel_the_rest() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
