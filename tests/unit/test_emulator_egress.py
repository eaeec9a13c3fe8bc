"""The addresses that functions in a VPC leave by on the local AWS."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from threading import Thread
from types import SimpleNamespace

import pytest

from local.emulator_egress import Addresses, leaving_by_address, noting_address

CLIENTS = {
    "blocking": "socket.create_connection(('127.0.0.1', port)).close()",
    "by name": "socket.socket().connect(('localhost', port))",
    "without waiting": "socket.socket().connect_ex(('127.0.0.1', port))",
    "asyncio": "asyncio.run(asyncio.open_connection('127.0.0.1', port))",
    "bound": "s = socket.socket(); s.bind(('127.0.0.9', 0)); s.connect(('127.0.0.1', port))",
}


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    """Two sockets of loopback that listen."""
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    for each in made:
        each.settimeout(10)
    yield made
    for each in made:
        each.close()


def port(listener: socket.socket) -> int:
    found: int = listener.getsockname()[1]
    return found


def caller(listener: socket.socket) -> Callable[[], str]:
    """Accept one connection meanwhile, and return what tells where it came from."""
    found: list[str] = []

    def accept() -> None:
        connection, (address, _) = listener.accept()
        connection.close()
        found.append(address)

    accepting = Thread(target=accept)
    accepting.start()

    def told() -> str:
        accepting.join(10)
        return found[0]

    return told


def script_of(
    vpc: dict[str, list[str]] | None, emulator: int, script: str, runtime: str = "python3.13"
) -> str:
    """Return the script that the worker of a function gets."""
    found: list[str] = []
    detect = leaving_by_address(lambda _: ("python", script), emulator)
    spawn = noting_address(Addresses(), lambda _: found.append(detect(runtime)[1]))
    spawn(SimpleNamespace(config={"VpcConfig": vpc}))
    return found[0]


def run(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


@pytest.mark.parametrize("way", CLIENTS)
def test_a_function_in_a_vpc_leaves_by_its_own_address_and_calls_the_emulator_as_all_do(
    way: str, listeners: list[socket.socket]
) -> None:
    emulator, other = map(port, listeners)
    seen = list(map(caller, listeners))
    client = f"import asyncio, socket\nfor port in {[emulator, other]!r}:\n    {CLIENTS[way]}\n"

    run(script_of({"SubnetIds": ["subnet-1"]}, emulator, client))

    expected = ["127.0.0.9", "127.0.0.9"] if way == "bound" else ["127.0.0.1", "127.0.0.2"]
    assert [told() for told in seen] == expected


def test_what_is_not_loopback_is_called_as_ever() -> None:
    script = (
        "import socket, json\n"
        "tried = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "tried.connect_ex(('192.0.2.1', 9))\n"
        "assert not tried.getsockname()[0].startswith('127.0.0.2')\n"
        "pair = socket.socketpair()\n"
        "try:\n    socket.socket(socket.AF_UNIX).connect('/nowhere')\nexcept FileNotFoundError:\n    pass\n"
    )

    run(script_of({"SubnetIds": ["subnet-1"]}, 1, script))


@pytest.mark.parametrize("vpc", [None, {}, {"SubnetIds": [], "SecurityGroupIds": []}])
def test_a_function_in_no_vpc_has_the_emulator_s_own_script(vpc: dict[str, list[str]] | None) -> None:
    assert script_of(vpc, 1, "as it was") == "as it was"


def test_a_runtime_of_another_language_has_the_emulator_s_own_script() -> None:
    assert script_of({"SubnetIds": ["subnet-1"]}, 1, "as it was", "nodejs22.x") == "as it was"


def test_an_address_is_noted_for_one_worker_only() -> None:
    detect = leaving_by_address(lambda _: ("python", "script"), 1)
    spawn = noting_address(Addresses(), lambda _: None)
    spawn(SimpleNamespace(config={"VpcConfig": {"SubnetIds": ["subnet-1"]}}))

    assert detect("python3.13") == ("python", "script")


def test_each_set_of_subnets_has_an_address_in_the_order_in_which_they_come() -> None:
    addresses = Addresses()

    assert addresses.of(["a", "b"]) == "127.0.0.2"
    assert addresses.of(["c"]) == "127.0.0.3"
    assert addresses.of(["b", "a"]) == "127.0.0.2"
    assert addresses.of([]) is None
