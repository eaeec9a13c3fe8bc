"""The emulator as a process: its own environment, loopback only, a free port, and nothing left behind."""

import hashlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

from .say import Say

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements" / "emulator.txt"
ENVIRONMENT = ROOT / ".venv-emulator"
MAIN = Path(__file__).with_name("emulator_main.py")
REGION = "us-east-1"
ACCESS_KEY = "test"
"""The emulator's root user; its secret is not checked."""
START_SECONDS = 30.0
STOP_SECONDS = 5.0
FILES = "emulator-"
"""What the folders of running emulators are called, with the process id of their parent behind."""


class EmulatorError(RuntimeError):
    """The emulator cannot be installed, started or stopped; the message says what it said."""


class Emulator:
    """A local AWS, running between ``with`` and its end."""

    def __init__(self, folder: Path, say: Say) -> None:
        """Choose where it keeps its files and its log; nothing runs yet."""
        self.log = folder / "emulator.log"
        self._folder = folder
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._files: Path | None = None
        self.endpoint = ""
        """Its URL, once it runs."""

    def __enter__(self) -> Self:
        python = ensure_environment(self._say)
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self._folder.mkdir(parents=True, exist_ok=True)
        sweep(self._folder)
        self._files = Path(tempfile.mkdtemp(prefix=f"{FILES}{os.getpid()}-", dir=self._folder))
        started = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [python, MAIN],
                cwd=self._folder,
                env=self._variables(port, self._files),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._await_health(self._process, port)
        except BaseException:
            self.stop()
            raise
        self._say.step("local AWS", time.monotonic() - started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the emulator and every function that it runs, and wait until they are gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        # Functions outlive the emulator, and so may the emulator itself.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            process.stdin.close()
        if self._files:
            shutil.rmtree(self._files)

    def _variables(self, port: int, files: Path) -> dict[str, str]:
        """Return the whole environment that the emulator and its functions get: nothing of the user's AWS."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(files),
            "TMPDIR": str(files),
            "STATE_DIR": str(files / "state"),
            "S3_DATA_DIR": str(files / "s3"),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "AUTH": "true",
            "MINISTACK_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _await_health(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if ready(port):
                return
            time.sleep(0.02)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
        raise EmulatorError(f"The local AWS did not start. The end of {self.log}:\n{tail}")


def ensure_environment(say: Say) -> Path:
    """Return the emulator's Python, installing its environment where the lock file has changed."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "lock.sha256"
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    started = time.monotonic()
    _uv("venv", "--clear", "--python", sys.executable, str(ENVIRONMENT))
    # Compiled once: else each start of the emulator would do it again.
    _uv("pip", "install", "--compile-bytecode", "--python", str(python), "--require-hashes", "-r", str(LOCK))
    stamp.write_text(wanted)
    say.step("environment of the local AWS", time.monotonic() - started)
    return python


def sweep(folder: Path) -> None:
    """Remove the files of emulators whose parent was killed before it could."""
    for files in folder.glob(f"{FILES}*"):
        parent = int(files.name.removeprefix(FILES).partition("-")[0])
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            shutil.rmtree(files, ignore_errors=True)


def ready(port: int) -> bool:
    """Whether an emulator answers on a port of loopback, asked past any proxy of the user's."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/_ministack/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """Return a port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _uv(*words: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "uv", "--quiet", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EmulatorError(f"The local AWS cannot be installed (uv {words[0]}):\n{done.stderr.strip()}")
