"""Apache Velocity as a process: mapping templates on the engine that API Gateway documents.

API Gateway does not say which version it has, so there are two: a template must come to the same on both.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from local.standin.velocity import Rendered, Request, TemplateError
from tests.maven import Jars

PROGRAM = Path(__file__).with_name("Renderer.java")
FLAGS = (
    # A short life is mostly start: compile lightly, and write no files about it.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Xmx512m",
    # Upper and lower case are those of no country.
    "-Duser.language=en",
)


class ApacheVelocityError(RuntimeError):
    """Apache Velocity cannot be fetched or started."""


class ApacheVelocity:
    """One version of it, whose process starts with the first rendering.

    It ends with `stop`, or with this process, however that ends.
    """

    def __init__(self, version: str) -> None:
        """Take the version for which there is a pom."""
        self.jars = Jars(
            f"Apache Velocity {version}",
            Path(__file__).with_name(f"pom-{version}.xml"),
            ApacheVelocityError,
        )
        self._process: subprocess.Popen[bytes] | None = None

    def render(
        self,
        template: str,
        request: Request,
        context: Mapping[str, Any],
        stage_variables: Mapping[str, str] | None = None,
    ) -> Rendered:
        """Render a mapping template.

        Raises:
            TemplateError: where it cannot be parsed, or a method fails.
        """
        asked = {
            "template": template,
            "body": request.body,
            "headers": dict(request.headers),
            "query": dict(request.query),
            "path": dict(request.path),
            "context": dict(context),
            "stageVariables": dict(stage_variables or {}),
        }
        answer = self._ask(json.dumps(asked).encode())
        if "error" in answer:
            raise TemplateError(answer["error"])
        return Rendered(answer["text"], answer["status"], answer["headers"])

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process:
            for pipe in _pipes(self._process):
                with suppress(BrokenPipeError):
                    pipe.close()
            self._process.wait()
        self._process = None

    def _ask(self, question: bytes) -> dict[str, Any]:
        self._process = self._process or self._start()
        questions, answers = _pipes(self._process)
        with suppress(BrokenPipeError):
            questions.write(question + b"\n")
            questions.flush()
        line = answers.readline()
        if not line:
            raise ApacheVelocityError(f"{self.jars.name} ended with {self._process.wait()}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["java", *FLAGS, "-cp", f"{self.jars.ensure()}/*", PROGRAM],
            env={"PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise ApacheVelocityError("Apache Velocity was started without pipes.")
    return process.stdin, process.stdout


OLD = ApacheVelocity("1.7")
NEW = ApacheVelocity("2.4.1")
VERSIONS = (OLD, NEW)
render = NEW.render
"""What the newest version makes of a template."""
