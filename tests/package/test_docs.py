"""The pages say what the components say."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import settings
from components import (
    AuthorizerArgs,
    CircuitArgs,
    ConsumerArgs,
    EgressArgs,
    FrontDoorArgs,
    Idempotency,
    ProxyArgs,
    RetrierArgs,
    SecretArgs,
    TokenArgs,
    UpstreamArgs,
)

ROOT = Path(__file__).parent.parent.parent


def test_the_tables_are_as_the_docstrings_say() -> None:
    done = subprocess.run(
        [sys.executable, "docs/reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_names_every_setting_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = {line.split("`")[1] for line in readme.splitlines() if line.startswith("| `sluice:")}
    assert rows == {
        f"sluice:{key}"
        for key in (*(each.key for each in settings.SECTIONS), "consumer", "consumers", *settings.SHARED)
    }


def test_the_readme_gives_a_reason_for_every_direct_dependency() -> None:
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("| dependency | why |")[2].partition("\n\n")[0]
    named = {
        name.strip()
        for row in table.splitlines()
        if " | " in row and "---" not in row
        for name in row.split(" | ")[0].strip("| ").split(",")
    }
    wanted = set()
    for file in [*(ROOT / "requirements").glob("*.in"), *(ROOT / "handlers/layers").glob("*.in")]:
        lines = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
        wanted |= {
            line.partition("[")[0].partition("==")[0] for line in lines if line and not line.startswith("-")
        }
    assert named == wanted


def test_what_the_package_needs_is_what_pulumi_up_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = (ROOT / "requirements/runtime.in").read_text().splitlines()
    assert {each.partition(">=")[0] for each in project["dependencies"]} == {
        line for line in runtime if line and not line.startswith("#")
    }


def test_every_test_that_the_features_page_names_is_there() -> None:
    page = (ROOT / "docs/features.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    known = {
        found[1]
        for file in (ROOT / "tests").rglob("test_*.py")
        for found in re.finditer(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)
    }
    assert len(named) > 50
    assert named <= known


EVERYWHERE = {"kms_key_arn", "log_retention_days", "alarm_topic_arn"}
"""Taken by every component."""


def features() -> set[str]:
    """Return what the features page names as code, path by path and part by part."""
    page = (ROOT / "docs/features.md").read_text()
    parts = {part for each in re.findall(r"`([\w.\[\]]+)`", page) for part in each.split(".")}
    return parts | {each.removesuffix("[]") for each in parts}


def test_every_argument_of_the_front_door_is_on_the_features_page() -> None:
    # Of a queue: where they are told of is the front door's own page.
    elsewhere = {"stage_name", "max_message_size", "visibility_timeout_seconds", "message_retention_seconds"}
    assert set(FrontDoorArgs.__annotations__) - elsewhere - EVERYWHERE <= features()


def test_every_argument_of_the_authorizer_is_on_the_features_page() -> None:
    given = {*AuthorizerArgs.__annotations__, *ProxyArgs.__annotations__, *TokenArgs.__annotations__}
    assert given - {"name", "sha256"} - EVERYWHERE <= features()


def test_every_argument_of_the_consumer_is_on_the_features_page() -> None:
    given = {*ConsumerArgs.__annotations__, *Idempotency.__annotations__}
    assert given - EVERYWHERE <= features()


def test_every_argument_of_the_retrier_is_on_the_features_page() -> None:
    shapes = (RetrierArgs, UpstreamArgs, EgressArgs, SecretArgs, CircuitArgs)
    given = {key for shape in shapes for key in shape.__annotations__}
    assert given - EVERYWHERE <= features()


def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
            file = (page.parent / target) if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(file), f"{page.name}: {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
