"""DynamoDB Local as a process: fetched once, in memory, on loopback alone, and nothing left behind."""

import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from local.emulator import free_port
from tests.maven import Jars

LAUNCHER = Path(__file__).with_name("Launcher.java")
START_SECONDS = 30.0
FLAGS = (
    # A short life is mostly start: compile lightly, and write no files about it.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Xmx1g",
    "-Djava.net.preferIPv4Stack=true",
)
LIST_TABLES = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "DynamoDB_20120810.ListTables",
    # It reads whose tables are meant, and checks no signature.
    "Authorization": "AWS4-HMAC-SHA256 Credential=start/20000101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
}


class DynamoDBLocalError(RuntimeError):
    """DynamoDB Local cannot be fetched or started; the message says what it said."""


JARS = Jars("DynamoDB Local", Path(__file__).with_name("pom.xml"), DynamoDBLocalError)


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """Run an empty DynamoDB Local, and yield its URL.

    Tables belong to the access key and the region with which they were made.
    """
    jars = ensure_jars()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="dynamodb-local-") as name:
        folder = Path(name)
        process = _start(jars, port, folder)
        try:
            _await_answer(process, port, folder)
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)


def java_missing() -> bool:
    """Whether to skip the tests that need it, for want of a JDK or Maven; never so in CI."""
    return JARS.cannot_be_had()


def ensure_jars() -> Path:
    """Return the folder with its jars and native libraries."""
    return JARS.ensure()


def _start(jars: Path, port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start it in a session of its own; it ends with its standard input, and so with this process."""
    with _log(folder).open("wb") as log:
        return subprocess.Popen(
            [
                "java",
                *FLAGS,
                f"-Djava.io.tmpdir={folder}",
                f"-Duser.home={folder}",
                f"-Dsqlite4java.library.path={jars}",
                "-cp",
                f"{jars}/*",
                LAUNCHER,
                str(port),
            ],
            cwd=folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "DDB_LOCAL_TELEMETRY": "0"},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


def _await_answer(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    started = time.monotonic()
    while time.monotonic() - started < START_SECONDS and process.poll() is None:
        if _answers(port):
            return
        time.sleep(0.02)
    how = "did not answer in time" if process.poll() is None else f"ended with {process.returncode}"
    said = _log(folder).read_text(errors="replace").strip()
    raise DynamoDBLocalError(f"DynamoDB Local {how}. It said:\n{said}")


def _answers(port: int) -> bool:
    """Whether it lists its tables, for which its native library has been loaded; asked past any proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/", b"{}", LIST_TABLES)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _log(folder: Path) -> Path:
    return folder / "java.log"
