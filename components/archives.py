"""What is shipped to Lambda: archives from an explicit list of files, and layers from a hash-locked list."""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi

import sluice

SHARED = Path(sluice.__file__).parent
HANDLERS = Path(__file__).parent.parent / "handlers"
LAYER_LOCK = "layer.lock"
"""Where a layer carries the list that it was built from."""
FORMAT = "1"
"""Part of a layer's cache key: raise it when the way of building changes."""
MIB = 1024 * 1024
LARGEST_UNZIPPED = 250 * MIB
"""What Lambda takes unzipped, with layers ("Lambda quotas")."""
LARGEST_ZIPPED = 50 * MIB
"""What Lambda takes in a call, of one archive (the same page)."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The modification time of every file in a layer, the earliest that a zip can hold."""


class LayerBuildError(pulumi.RunError):
    """A layer's packages cannot be installed, or are too large. Pulumi prints the message alone."""


@dataclass(frozen=True)
class Target:
    """The machine that a layer is built for."""

    python: str = "3.13"
    architecture: str = "x86_64"

    @classmethod
    def host(cls) -> "Target":
        """Return this machine, for a function that runs on it."""
        arm = platform.machine().lower() in {"arm64", "aarch64"}
        return cls(f"{sys.version_info.major}.{sys.version_info.minor}", "arm64" if arm else "x86_64")

    @property
    def runtime(self) -> str:
        """Lambda's name of the interpreter."""
        return f"python{self.python}"

    @property
    def platforms(self) -> list[str]:
        """The wheel platforms that run there: Lambda's Python 3.12 and later are on glibc 2.34."""
        machine = {"x86_64": "x86_64", "arm64": "aarch64"}[self.architecture]
        return [f"manylinux_2_28_{machine}", f"manylinux_2_17_{machine}", f"manylinux2014_{machine}"]


def handler_archive(
    modules: Sequence[str],
    shared: Sequence[str],
    generated: Mapping[str, str] | None = None,
    code: Path | None = None,
    files: Mapping[str, Path] | None = None,
) -> pulumi.AssetArchive:
    """Return the archive of one function: our modules under ``sluice/``, and the user's code beside them.

    Args:
        modules: modules of ``handlers/`` to ship, besides the package itself.
        shared: modules of ``sluice/`` to ship, besides the package itself: ``tokens``, ``limiter/rules``.
        generated: text files by their path in the archive.
        code: a folder of the user's, shipped at the archive's root.
        files: other files by their path in the archive.
    """
    ours = {f"sluice/handlers/{name}.py": HANDLERS / f"{name}.py" for name in ("__init__", *modules)}
    ours |= {f"sluice/{name}.py": SHARED / f"{name}.py" for name in ("__init__", *shared)}
    ours |= files or {}
    theirs = dict(code_files(code)) if code else {}
    assets: dict[str, pulumi.Asset | pulumi.Archive] = {
        path: pulumi.FileAsset(str(file)) for path, file in sorted((theirs | ours).items())
    }
    for path, text in (generated or {}).items():
        assets[path] = pulumi.StringAsset(text)
    return pulumi.AssetArchive(assets)


def code_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield what of a folder is code to ship, with its path inside: no caches and nothing hidden.

    Links to folders are not followed.
    """
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each != "__pycache__")
        for name in sorted(names):
            file = Path(root, name)
            if not name.startswith(".") and file.suffix != ".pyc" and file.is_file():
                yield file.relative_to(folder).as_posix(), file


def layer(lock: Path, target: Target) -> Path:
    """Return the zip of a layer that holds the packages of a lock file, building it where it is not cached.

    Raises:
        LayerBuildError: if the packages cannot be installed for the target.
    """
    key = hashlib.sha256(b"\0".join([lock.read_bytes(), repr(target).encode(), FORMAT.encode()]))
    built = _cache() / f"layer-{key.hexdigest()[:24]}.zip"
    try:
        if not built.exists():
            _build(lock, target, built)
    except OSError as error:
        raise LayerBuildError(f"The layer of {lock} cannot be kept in {built.parent}: {error}") from error
    return built


def check_size(code: Path, layers: Sequence[Path]) -> None:
    """Let pass what Lambda takes: a folder of code with its layers.

    Raises:
        LayerBuildError: if it is too large.
    """
    remedy = "Leave packages out, or put all of it into a container image: image_uri."
    for each in layers:
        if (size := each.stat().st_size) > LARGEST_ZIPPED:
            raise LayerBuildError(
                f"A layer has {size // MIB} MB zipped; Lambda takes {LARGEST_ZIPPED // MIB}. {remedy}"
            )
    unzipped = sum(file.stat().st_size for _, file in code_files(code))
    for each in layers:
        with zipfile.ZipFile(each) as archive:
            unzipped += sum(entry.file_size for entry in archive.infolist())
    if unzipped > LARGEST_UNZIPPED:
        raise LayerBuildError(
            f"{code} and its packages have {unzipped // MIB} MB unzipped; Lambda takes "
            f"{LARGEST_UNZIPPED // MIB}. {remedy}"
        )


def _build(lock: Path, target: Target, built: Path) -> None:
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as scratch:
        packages = Path(scratch, "python")
        _install(lock, target, packages)
        draft = Path(scratch, "layer.zip")
        _zip(draft, packages, lock)
        draft.replace(built)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice"


def _install(lock: Path, target: Target, folder: Path) -> None:
    platforms = [word for each in target.platforms for word in ("--platform", each)]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
        "--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation", "cp",
        "--python-version", target.python, *platforms, "--target", str(folder), "--requirement", str(lock),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise LayerBuildError(
            f"The packages of {lock} cannot be installed for {target.runtime} on {target.architecture}. "
            f"pip is needed in this Python's environment, and the package index must be reachable.\n{said}"
        )


def _zip(draft: Path, packages: Path, lock: Path) -> None:
    """Write the layer so that the same lock always gives the same bytes."""
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(packages.rglob("*")):
            inside = file.relative_to(packages)
            # Scripts and RECORD hold the path of the interpreter that ran pip.
            if file.is_file() and inside.parts[0] != "bin" and file.name != "RECORD":
                archive.writestr(_entry(f"python/{inside.as_posix()}"), file.read_bytes())
        archive.writestr(_entry(LAYER_LOCK), lock.read_bytes())


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
