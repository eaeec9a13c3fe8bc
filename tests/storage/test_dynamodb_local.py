"""DynamoDB Local as a process, and that it understands the expressions for which it is started."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.demo_checks import wait_until
from tests.local.support import alive_in, emulators_of, listening_addresses

from . import dynamodb_local as module
from .dynamodb_local import DynamoDBLocalError, dynamodb_local, ensure_jars, java_missing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LOOPBACK = "0100007F"
"""127.0.0.1 as the kernel writes it."""
TABLE = "tokens"
ADD = "SET x=:x ADD n1 :n, b :ts"
HAS_ROOM = "NOT contains(b,:t) AND NOT contains(c,:t) AND (attribute_not_exists(b) OR size(b) < :k)"
ROTATE = "SET c=b, b=:ts, x=:x ADD n1 :n"
IS_FULL = "NOT contains(b,:t) AND NOT contains(c,:t) AND size(b) >= :k"
FULL = 2


def client_of(access_key: str, url: str) -> "DynamoDBClient":
    session = boto3.Session(access_key, "anything", region_name="us-east-1")
    config = Config(proxies={}, retries={"total_max_attempts": 1})
    return session.client("dynamodb", endpoint_url=url, config=config)


@pytest.fixture
def client(dynamodb_local_url: str) -> Iterator["DynamoDBClient"]:
    client = client_of("anybody", dynamodb_local_url)
    client.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield client
    client.delete_table(TableName=TABLE)
    client.close()


def update(
    client: "DynamoDBClient", token: bytes, expression: str = ADD, condition: str = HAS_ROOM, at: int = 7
) -> dict[str, Any]:
    """Return the new item."""
    answer = client.update_item(
        TableName=TABLE,
        Key={"k": {"S": "key"}},
        UpdateExpression=expression,
        ConditionExpression=condition,
        ExpressionAttributeValues={
            ":x": {"N": str(at)},
            ":n": {"N": "1"},
            ":ts": {"BS": [token]},
            ":t": {"B": token},
            ":k": {"N": str(FULL)},
        },
        ReturnValues="ALL_NEW",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    return dict(answer["Attributes"])


def refused(
    client: "DynamoDBClient", token: bytes, expression: str = ADD, condition: str = HAS_ROOM
) -> dict[str, Any] | None:
    """Return the item that stood in the way."""
    with pytest.raises(ClientError) as caught:
        update(client, token, expression, condition)
    response: dict[str, Any] = dict(caught.value.response)
    assert response["Error"]["Code"] == "ConditionalCheckFailedException"
    return response.get("Item")


def item(n1: int, b: set[bytes], c: set[bytes] | None = None, x: int = 7) -> dict[str, Any]:
    sets = {"b": b, "c": c} if c else {"b": b}
    return {
        "k": {"S": "key"},
        "x": {"N": str(x)},
        "n1": {"N": str(n1)},
        **{name: {"BS": sorted(values)} for name, values in sets.items()},
    }


def in_order(found: dict[str, Any] | None) -> dict[str, Any]:
    """Return an item with its sets sorted."""
    return {
        name: {"BS": sorted(value["BS"])} if "BS" in value else value for name, value in (found or {}).items()
    }


def test_the_first_token_makes_the_item_and_the_next_joins_it(client: "DynamoDBClient") -> None:
    assert in_order(update(client, b"one")) == item(1, {b"one"})
    assert in_order(update(client, b"two", at=9)) == item(2, {b"one", b"two"}, x=9)


def test_a_repeat_is_refused_with_the_old_item(client: "DynamoDBClient") -> None:
    made = update(client, b"one")

    assert refused(client, b"one") == made
    assert client.get_item(TableName=TABLE, Key={"k": {"S": "key"}})["Item"] == made


def test_the_add_is_refused_when_full_and_the_rotation_before_that(client: "DynamoDBClient") -> None:
    assert refused(client, b"one", ROTATE, IS_FULL) is None, "there is no item"
    update(client, b"one")
    assert in_order(refused(client, b"two", ROTATE, IS_FULL)) == item(1, {b"one"})
    update(client, b"two")
    assert in_order(refused(client, b"three")) == item(2, {b"one", b"two"})


def test_a_rotation_moves_the_full_set_and_drops_the_one_before(client: "DynamoDBClient") -> None:
    for token in (b"one", b"two"):
        update(client, token)

    assert in_order(update(client, b"three", ROTATE, IS_FULL)) == item(3, {b"three"}, {b"one", b"two"})
    assert in_order(refused(client, b"one")) == item(3, {b"three"}, {b"one", b"two"}), "it is in c"
    update(client, b"four")
    assert in_order(refused(client, b"two", ROTATE, IS_FULL)) == item(
        4, {b"three", b"four"}, {b"one", b"two"}
    )
    assert in_order(update(client, b"five", ROTATE, IS_FULL)) == item(5, {b"five"}, {b"three", b"four"})
    assert in_order(update(client, b"one")) == item(6, {b"five", b"one"}, {b"three", b"four"}), "forgotten"


def test_other_access_keys_have_other_tables(client: "DynamoDBClient", dynamodb_local_url: str) -> None:
    other = client_of("somebody", dynamodb_local_url)

    assert client.list_tables()["TableNames"] == [TABLE]
    assert other.list_tables()["TableNames"] == []
    other.close()


@pytest.mark.usefixtures("needs_java")
def test_it_listens_on_loopback_alone_and_is_gone_at_the_end() -> None:
    others = emulators_of(os.getpid())
    with dynamodb_local() as url:
        port = int(urlsplit(url).port or 0)
        (group,) = emulators_of(os.getpid()) - others
        addresses = listening_addresses(group)

    assert addresses == [f"{LOOPBACK}:{port:04X}"]
    assert alive_in(group) == []


@pytest.mark.usefixtures("needs_java")
def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    words = "from tests.storage.dynamodb_local import *\nwith dynamodb_local(): print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", words],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        (group,) = emulators_of(parent.pid)
        parent.send_signal(signal.SIGKILL)

    assert wait_until(lambda: alive_in(group), lambda alive: not alive) == []


@pytest.mark.usefixtures("needs_java")
def test_a_port_that_is_taken_is_told_with_the_words_of_java(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(module, "free_port", lambda: port)
        monkeypatch.setattr(module, "_answers", lambda port: False)
        with (
            pytest.raises(DynamoDBLocalError, match=r"(?s)ended with 1.*Address already in use"),
            dynamodb_local(),
        ):
            pass


@pytest.mark.usefixtures("needs_java")
def test_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    others = emulators_of(os.getpid())
    monkeypatch.setattr(module, "START_SECONDS", 0.01)
    with pytest.raises(DynamoDBLocalError, match="did not answer in time"), dynamodb_local():
        pass
    assert emulators_of(os.getpid()) == others


class TestInstalling:
    """With a Maven and a Java of the test's own."""

    @pytest.fixture
    def programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "sh").symlink_to(str(shutil.which("sh")))
        (folder / "mkdir").symlink_to(str(shutil.which("mkdir")))
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("CI", raising=False)
        return folder

    def program(self, path: Path, body: str) -> None:
        path.write_text(f"#!/usr/bin/env sh\n{body}\n")
        path.chmod(0o755)

    def java(self, folder: Path, version: int = 17) -> None:
        self.program(folder / "java", f"echo jdk.compiler@{version}.0.1")

    def maven(self, folder: Path, status: int = 0) -> None:
        self.program(
            folder / "mvn",
            'echo "$*" >> "${0%/*}/asked"\nfor word; do case $word in -DoutputDirectory=*) '
            f'mkdir "${{word#*=}}"; : > "${{word#*=}}/a.jar";; esac; done\necho so it says\nexit {status}',
        )

    @pytest.mark.parametrize("version", [None, 11])
    def test_without_a_java_that_runs_it_tests_are_skipped(self, programs: Path, version: int | None) -> None:
        if version:
            self.java(programs, version)
        self.maven(programs)
        assert java_missing()
        with pytest.raises(DynamoDBLocalError, match="needs a JDK 17"):
            ensure_jars()

    def test_without_maven_tests_are_skipped_but_not_in_ci(
        self, programs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.java(programs)
        assert java_missing()
        monkeypatch.setenv("CI", "true")
        assert not java_missing()
        with pytest.raises(DynamoDBLocalError, match="needs Maven"), dynamodb_local():
            pass

    def test_it_is_fetched_once_with_checksums(self, programs: Path) -> None:
        self.java(programs)
        self.maven(programs)
        assert [file.name for file in ensure_jars().iterdir()] == ["a.jar"]
        (programs / "mvn").unlink()
        ensure_jars()
        assert not java_missing()
        assert (programs / "asked").read_text().count("--strict-checksums") == 1

    def test_a_broken_download_is_not_taken_as_done(self, programs: Path) -> None:
        self.java(programs)
        self.maven(programs, status=1)
        for _ in range(2):
            with pytest.raises(DynamoDBLocalError, match=r"(?s)cannot be fetched.*so it says"):
                ensure_jars()
        self.maven(programs)
        assert [file.name for file in ensure_jars().iterdir()] == ["a.jar"]
