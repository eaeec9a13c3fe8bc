"""The jars of a Java program: copied by Maven once, from a pom.xml, into the user's cache."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

JAVA = 17
"""The oldest Java that runs our programs, each of them a single source file."""
INSTALL_SECONDS = 150.0


@dataclass(frozen=True)
class Jars:
    """What one program needs besides Java."""

    name: str
    """The program, as messages call it."""
    pom: Path
    error: type[Exception]
    """What is raised where they cannot be had; its message says why."""

    @property
    def folder(self) -> Path:
        """Where they are: outside the checkout, and elsewhere once the pom names others."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        digest = hashlib.sha256(self.pom.read_bytes()).hexdigest()
        return cache / "sluice" / f"{self.name.lower().replace(' ', '-')}-{digest[:12]}"

    def cannot_be_had(self) -> bool:
        """Whether to skip the tests that need them, for want of a JDK or Maven.

        Never so where the variable CI is set: there ``ensure`` fails, and says what is missing.
        """
        return not os.environ.get("CI") and self._missing() is not None

    def ensure(self) -> Path:
        """Return the folder with all of them, letting Maven fetch them the first time."""
        missing = self._missing()
        if missing:
            raise self.error(f"{self.name} needs {missing}.")
        jars = self.folder
        jars.parent.mkdir(parents=True, exist_ok=True)
        with jars.with_name(f"{jars.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not jars.exists():
                partial = jars.with_name(f"{jars.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                # Maven holds the lock too: it may outlive this process.
                self._fetch(partial, lock.fileno())
                partial.rename(jars)
        return jars

    def _missing(self) -> str | None:
        """Return what this machine lacks, if anything."""
        if java_version() < JAVA:
            return f"a JDK {JAVA} or later (java, with its compiler) on the PATH"
        if not self.folder.exists() and not shutil.which("mvn"):
            return "Maven (mvn) on the PATH, the first time"
        return None

    def _fetch(self, folder: Path, lock: int) -> None:
        """Let Maven copy everything into a folder; a download whose checksum differs is an error."""
        done = subprocess.run(
            [
                "mvn",
                "--batch-mode",
                "--quiet",
                "--strict-checksums",
                f"--file={self.pom}",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={folder}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            pass_fds=(lock,),
            timeout=INSTALL_SECONDS,
        )
        if done.returncode:
            raise self.error(f"{self.name} cannot be fetched (mvn):\n{done.stdout.strip()}")


def java_version() -> int:
    """Return the version of the JDK, which is 0 where there is none or it cannot run source files."""
    java = shutil.which("java")
    if java is None:
        return 0
    done = subprocess.run(
        [java, "--describe-module", "jdk.compiler"], capture_output=True, text=True, check=False
    )
    found = re.match(r"jdk\.compiler@(\d+)", done.stdout)
    return int(found[1]) if found else 0
