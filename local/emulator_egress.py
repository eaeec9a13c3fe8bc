"""Addresses that functions in a VPC leave by: one for each set of subnets, and never that of another.

On AWS such a function leaves by the NAT gateway of its subnets. Here what it calls on loopback sees it come
from an address of loopback that is its own, 127.0.0.2 or a later one; the emulator itself it calls as all do.

This runs inside the emulator; one part of it inside the worker.
"""

import os
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from ipaddress import IPv4Address
from threading import Lock
from typing import Any

FIRST = IPv4Address("127.0.0.2")
IN_WORKER = '''\
def _leave_by(address, emulator):
    """Have every connection to loopback come from an address, but for those to the emulator's port."""
    import functools, socket

    def to_loopback(connection, target):
        return (
            connection.family == socket.AF_INET
            and isinstance(target, tuple)
            and (target[0] == "localhost" or str(target[0]).startswith("127."))
            and target[1] != emulator
            and connection.getsockname()[1] == 0
        )

    def leaving(connect):
        @functools.wraps(connect)
        def connected(connection, target):
            if to_loopback(connection, target):
                connection.bind((address, 0))
            return connect(connection, target)

        return connected

    socket.socket.connect = leaving(socket.socket.connect)
    socket.socket.connect_ex = leaving(socket.socket.connect_ex)


'''

Detect = Callable[[str], tuple[str, str]]


class Addresses:
    """Which address belongs to which subnets: first come, first served."""

    def __init__(self) -> None:
        """Start with none."""
        self._known: dict[frozenset[str], IPv4Address] = {}
        self._lock = Lock()

    def of(self, subnets: Collection[str]) -> str | None:
        """Return the address of a set of subnets; none for no subnets, which is no VPC."""
        if not subnets:
            return None
        with self._lock:
            return str(self._known.setdefault(frozenset(subnets), FIRST + len(self._known)))


_address: ContextVar[str | None] = ContextVar("address", default=None)
"""Of the worker that is being started."""


def noting_address(addresses: Addresses, spawn: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return what starts a worker, of which the address is known meanwhile."""

    def spawned(worker: Any) -> None:  # noqa: ANN401 - the emulator's own
        vpc: Mapping[str, Any] = worker.config.get("VpcConfig") or {}
        noted = _address.set(addresses.of(vpc.get("SubnetIds") or ()))
        try:
            spawn(worker)
        finally:
            _address.reset(noted)

    return spawned


def leaving_by_address(detect: Detect, emulator: int) -> Detect:
    """Return what finds the program and the script of a worker, which leaves by the address that is noted.

    Args:
        detect: finds both by a runtime.
        emulator: the port that is called as everybody calls it.
    """

    def detected(runtime: str) -> tuple[str, str]:
        program, script = detect(runtime)
        address = _address.get()
        if address is None or not runtime.startswith("python"):
            return program, script
        return program, f"{IN_WORKER}_leave_by({address!r}, {emulator})\n{script}"

    return detected


def install() -> None:
    """Put all this in the place of the emulator's own."""
    # All above is of use without the emulator, and tested without it.
    from ministack.core import lambda_runtime  # noqa: PLC0415

    # There is no other way in than the emulator's private names.
    lambda_runtime.Worker._spawn = noting_address(Addresses(), lambda_runtime.Worker._spawn)  # noqa: SLF001
    lambda_runtime._detect_runtime_binary = leaving_by_address(  # noqa: SLF001
        lambda_runtime._detect_runtime_binary,  # noqa: SLF001
        int(os.environ["GATEWAY_PORT"]),
    )
