"""The package as other programs get it, used from outside the repository."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def python(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python outside the repository with the package on its path."""
    return subprocess.run(
        [sys.executable, "-P", "-W", "ignore", *words],
        cwd=installed.parent,
        env={"PYTHONPATH": str(installed), "PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_components_are_imported_from_the_package(installed: Path) -> None:
    program = "from sluice import components; print(components.__file__, sorted(components.__all__))"
    done = python(installed, "-c", program)
    assert done.returncode == 0, done.stderr
    assert str(installed / "sluice" / "components") in done.stdout
    assert "FrontDoor" in done.stdout


def test_the_functions_archives_are_made_of_the_installed_files(installed: Path) -> None:
    program = """
from sluice.components import archives, authorizer, consumer
for modules in authorizer.MODULES.values():
    assets = archives.handler_archive(modules, ["tokens"]).assets
    print(*(asset.path for asset in assets.values()), sep="\\n")
print(authorizer.LAYER_LOCK, consumer.LAYER_LOCK, sep="\\n")
"""
    done = python(installed, "-c", program)
    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert all(path.is_relative_to(installed) and path.exists() for path in paths)
    assert {"jwt_authorizer.py", "jwt_authorizer.txt"} <= {path.name for path in paths}


def test_the_operators_command_is_in_the_package(installed: Path) -> None:
    done = python(installed, "-m", "sluice.cli", "token", "new", "mobile", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "mobile"


def test_the_package_holds_the_product_alone(installed: Path) -> None:
    top = {path.name.partition("-")[0] for path in installed.iterdir()}
    assert top == {"sluice"}, "neither the program nor the local run belongs to the package"


def test_importing_the_package_imports_nothing_else(installed: Path) -> None:
    program = "import sys; before = set(sys.modules); import sluice; print(*(set(sys.modules) - before))"
    done = python(installed, "-c", program)
    assert done.stdout.split() == ["sluice"], "every import is paid by every function and command"
