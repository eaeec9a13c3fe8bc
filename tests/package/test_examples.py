"""The programs that README and docs show, run as they stand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from tests.component.recording import Plan, plan_of

ROOT = Path(__file__).parent.parent.parent
PAGES = tuple(
    f"docs/{each}.md"
    for each in (
        "front-door",
        "authorizer",
        "limiter",
        "proxy",
        "consumer",
        "dashboard",
        "encryption-key",
        "alarm-topic",
    )
)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# (\S+\.py)\n")
HANDLER = "def record_handler(record: object) -> None: ...\n"
CONFIG = {"shop:origin_secret": "0123456789abcdef" * 4}
"""What the programs read of their stack's config."""


def blocks(page: str) -> Iterator[str]:
    for found in BLOCK.finditer((ROOT / page).read_text()):
        # Here the package is not installed: its components are the folder's.
        yield found[1].replace("from sluice.components import", "from components import")


@pytest.fixture(autouse=True)
def program_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("worker").mkdir()
    for name in ("consumer.py", "orders.py"):
        Path("worker", name).write_text(HANDLER)


def run(*pages: str) -> tuple[Plan, dict[str, Any]]:
    names: dict[str, Any] = {}

    def program() -> None:
        for page in pages:
            for block in blocks(page):
                file = NAMED.match(block)
                if file:
                    Path(file[1]).write_text(block)
                else:
                    exec(compile(block, page, "exec"), names)

    return plan_of(program, config=CONFIG), names


def test_the_readmes_program_makes_a_guarded_door_and_a_worker() -> None:
    plan, _ = run("README.md")
    types = {each.type for each in plan.registrations}
    assert {f"sluice:index:{name}" for name in ("Authorizer", "FrontDoor", "Consumer")} <= types
    assert list(plan.exports) == ["url"]


def test_the_programs_of_the_pages_run_one_after_the_other() -> None:
    plan, _ = run(*PAGES)
    assert "aws:cloudwatch/dashboard:Dashboard" in {each.type for each in plan.registrations}


def test_the_transform_that_is_shown_changes_the_api_alone() -> None:
    _, names = run("docs/front-door.md")

    def changed(type_: str, name: str) -> Any:
        return names["with_compression"](
            pulumi.ResourceTransformArgs(
                custom=True, type_=type_, name=name, props={"a": 1}, opts=pulumi.ResourceOptions()
            )
        )

    api = "aws:apigateway/restApi:RestApi"
    assert changed(api, "door-api").props == {"a": 1, "minimumCompressionSize": "1024"}
    assert changed(api, "other-api") is None
    assert changed("aws:sqs/queue:Queue", "door-queue") is None
