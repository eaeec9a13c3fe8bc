"""The emulator as a process: what it is given, where it listens, and that it is gone afterwards."""

import json
import os
import socket
import urllib.request
from importlib.util import cache_from_source
from pathlib import Path
from urllib.parse import urlsplit

import pulumi
import pytest

from components import policies
from local import emulator as emulator_module
from local import stack
from local.emulator import Emulator, EmulatorError, free_port
from local.makers.compute import zipped
from local.say import Say
from local.stack import LocalAws, local_aws

from .support import alive_in, call, emulators_of, fresh, listening_addresses

LOOPBACK = "0100007F"
"""127.0.0.1 as the kernel writes it."""
QUIET = Say(quiet=True)


def group_of(emulator: Emulator) -> int:
    assert emulator._process is not None
    return emulator._process.pid


def refuses_connections(url: str) -> bool:
    where = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((str(where.hostname), int(where.port or 0))) != 0


def test_it_listens_on_loopback_alone_and_is_gone_at_the_end(tmp_path: Path) -> None:
    with Emulator(tmp_path, QUIET) as emulator:
        group = group_of(emulator)
        addresses = listening_addresses(group)

    assert {address.partition(":")[0] for address in addresses} == {LOOPBACK}
    assert alive_in(group) == []
    assert refuses_connections(emulator.endpoint)


def test_functions_that_it_ran_are_gone_with_it_when_the_block_fails(tmp_path: Path) -> None:
    others = emulators_of(os.getpid())
    groups: set[int] = set()
    urls: list[str] = []

    def fail() -> None:
        with local_aws(QUIET, folder=tmp_path) as local:
            urls.extend([local.aws.endpoint, local.edge.url])
            groups.update(emulators_of(os.getpid()) - others)
            assert call(fresh(local).outputs["url"]).status == 202
            assert len(alive_in(*groups)) > 1, "functions run in processes of their own"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert alive_in(*groups) == []
    assert [refuses_connections(url) for url in urls] == [True, True]


TELLING = """
import os
import layered

def tell(event, context):
    return [os.getpid(), *map(os.path.realpath, (__file__, layered.__file__))]
"""


def one_file(name: str, text: str) -> bytes:
    return zipped(pulumi.AssetArchive({name: pulumi.StringAsset(text)}))


def test_workers_of_a_function_share_what_one_of_them_unpacked_and_compiled(cloud: LocalAws) -> None:
    functions, name = cloud.aws.client("lambda"), "telling"
    role = cloud.aws.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=policies.trusts("lambda.amazonaws.com")
    )["Role"]
    layer = functions.publish_layer_version(
        LayerName="layered", Content={"ZipFile": one_file("python/layered.py", "")}
    )
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="index.tell",
        Role=role["Arn"],
        Code={"ZipFile": one_file("index.py", TELLING)},
        Layers=[layer["LayerVersionArn"]],
    )

    def told_by_a_new_worker(seconds: int) -> tuple[int, list[str]]:
        functions.update_function_configuration(FunctionName=name, Timeout=seconds)
        process, *files = json.load(functions.invoke(FunctionName=name)["Payload"])
        return process, files

    (one, files), (other, same) = (told_by_a_new_worker(each) for each in (20, 30))

    assert one != other
    assert files == same
    assert all(Path(cache_from_source(each)).is_file() for each in files)


def test_nothing_of_the_user_s_environment_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONFIG_FILE", "MY_SECRET"):
        monkeypatch.setenv(name, "canary-of-the-user")

    with Emulator(tmp_path, QUIET) as emulator:
        environment = Path(f"/proc/{group_of(emulator)}/environ").read_bytes().decode()

    assert "canary" not in environment
    assert "AWS_PROFILE" not in environment
    assert "AWS_SECRET_ACCESS_KEY=test" in environment.split("\0")


def test_it_works_beside_the_user_s_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "a-profile-of-the-user")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (tmp_path / "config").write_text("[profile a-profile-of-the-user]\nregion = eu-central-1\n")

    with local_aws(QUIET, folder=tmp_path / "cloud") as local:
        assert call(fresh(local).outputs["url"]).status == 202


def test_it_works_behind_a_proxy_that_is_set_for_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies of its first use
    monkeypatch.setattr(emulator_module, "START_SECONDS", 5.0)

    with local_aws(QUIET, folder=tmp_path) as local:
        assert call(fresh(local).outputs["url"]).status == 202


def test_one_that_does_not_start_is_told_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("print('line\\n' * 50, flush=True)\nraise SystemExit('out of cheese')\n")
    monkeypatch.setattr(emulator_module, "MAIN", broken)
    others = emulators_of(os.getpid())

    with pytest.raises(EmulatorError, match="out of cheese") as failed, Emulator(tmp_path, QUIET):
        pytest.fail("it runs")

    assert str(tmp_path / "emulator.log") in str(failed.value)
    assert str(failed.value).count("line") < 50, "the end of the log, not the whole"
    assert emulators_of(os.getpid()) == others


def test_one_that_never_gets_ready_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = tmp_path / "stuck.py"
    stuck.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(emulator_module, "MAIN", stuck)
    monkeypatch.setattr(emulator_module, "START_SECONDS", 0.1)
    others = emulators_of(os.getpid())

    with pytest.raises(EmulatorError, match="did not start"), Emulator(tmp_path, QUIET):
        pytest.fail("it runs")

    assert emulators_of(os.getpid()) == others


def test_one_that_ignores_the_signal_to_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator_module, "STOP_SECONDS", 0.2)
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text(
        "import http.server, os, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "class Ready(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "address = ('127.0.0.1', int(os.environ['GATEWAY_PORT']))\n"
        "http.server.HTTPServer(address, Ready).serve_forever()\n"
    )
    monkeypatch.setattr(emulator_module, "MAIN", stubborn)

    with Emulator(tmp_path, QUIET) as emulator:
        group = group_of(emulator)

    assert alive_in(group) == []


def test_an_edge_that_cannot_listen_ends_the_emulator_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = emulators_of(os.getpid())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(stack, "free_port", lambda: taken.getsockname()[1])

        with pytest.raises(OSError, match="in use"), local_aws(QUIET, folder=tmp_path):
            pytest.fail("it runs")

    assert emulators_of(os.getpid()) == others


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
