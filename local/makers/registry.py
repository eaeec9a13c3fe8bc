"""The table of makers: one small function per resource type, which makes the real thing in the emulator."""

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.arguments import whole_numbers
from local.aws import Aws

Outputs = dict[str, Any]
SUFFIX_BYTES = 4


class UnknownTypeError(LookupError):
    """The program uses a resource type or a function that the local AWS has no maker for."""


class UnknownInputError(ValueError):
    """The program sets an input that a maker would pass over in silence."""


class Inputs(Mapping[str, Any]):
    """A resource's inputs, which remember what was read, so that nothing is passed over in silence."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Keep the inputs that have a value; Pulumi knows no whole numbers, and boto3 no others."""
        self._values = {key: whole_numbers(value) for key, value in values.items() if value is not None}
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - inputs of every type
        self._read.add(key)
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def pick(self, **names: str) -> dict[str, Any]:
        """Return the inputs that are set, under the names of an AWS call: ``Role="role"``."""
        return {name: self[key] for name, key in names.items() if self.get(key) is not None}

    def only_on_aws(self, *keys: str) -> None:
        """Pass over inputs that the emulator does not know and that change nothing here."""
        self._read.update(keys)

    def unread(self) -> list[str]:
        """Return the inputs that nobody asked for."""
        return sorted(self._values.keys() - self._read)

    def all(self) -> dict[str, Any]:
        """Return every input, for a resource's outputs; this is no reading."""
        return dict(self._values)


@dataclass
class Workshop:
    """What makers work with."""

    aws: Aws
    invoke_base: str
    """The URL under which the edge serves stages: ``<base>/<api>/<stage>``."""
    standins: dict[str, str] = field(default_factory=dict)
    """ARNs of functions that stand in for what the emulator lacks, by what they do."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while a stand-in is made: makers run in several threads."""


Maker = Callable[[Workshop, str, Inputs], tuple[str, Outputs]]
MAKERS: dict[str, Maker] = {}


def makes(resource_type: str) -> Callable[[Maker], Maker]:
    """Register the maker of a resource type."""

    def register(maker: Maker) -> Maker:
        MAKERS[resource_type] = maker
        return maker

    return register


def make(workshop: Workshop, resource_type: str, name: str, given: Mapping[str, Any]) -> tuple[str, Outputs]:
    """Make one resource and return its id and outputs.

    Raises:
        UnknownTypeError: if there is no maker of the type.
        UnknownInputError: if the maker does not know an input.
    """
    maker = MAKERS.get(resource_type)
    if maker is None:
        raise UnknownTypeError(f"the local AWS cannot make {resource_type}: add a maker in local/makers")
    inputs = Inputs(given)
    made_id, outputs = maker(workshop, name, inputs)
    if inputs.unread():
        raise UnknownInputError(
            f"the local AWS would ignore {', '.join(inputs.unread())} of {resource_type}: teach its maker"
        )
    return made_id, {**inputs.all(), **outputs}


def call(workshop: Workshop, function: str) -> Outputs:
    """Return the result of one of the provider's functions.

    Raises:
        UnknownTypeError: if it is not known here.
    """
    results: dict[str, Outputs] = {
        "aws:index/getRegion:getRegion": {"region": workshop.aws.region, "id": workshop.aws.region},
        "aws:index/getPartition:getPartition": {"partition": "aws", "id": "aws"},
        "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": workshop.aws.account},
    }
    if function not in results:
        raise UnknownTypeError(f"the local AWS does not know the function {function}: add it in local/makers")
    return results[function]


def auto_name(name: str) -> str:
    """Return a physical name, as Pulumi makes one where a program sets none."""
    return f"{name}-{secrets.token_hex(SUFFIX_BYTES)[:7]}"
