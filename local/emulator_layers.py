"""What functions and their layers hold, unpacked and compiled once, however many workers run it.

The emulator unpacks all of it for each worker that it starts, and each worker compiles it again. Here a
worker gets links to folders that all workers share: its links go when it goes, and the folders stay as long
as the emulator. Functions do not write there, as they cannot on AWS; but what Python compiles for one worker
it keeps for the others.

This runs inside the emulator, in place of its own unpacking.
"""

import hashlib
import os
import tempfile
import threading
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Self

SHARED = "ministack-unpacked-"
"""How the folder begins that holds all that is unpacked, among the emulator's other files."""


class Shelf:
    """A folder of unpacked archives, each under the hash of its content."""

    def __init__(self, folder: Path) -> None:
        """Say which folder; it exists."""
        self._folder = folder
        self._unpacking = threading.Lock()

    def unpacked(self, archive: Path) -> Path:
        """Return the folder that holds what is in an archive, unpacking it where none did yet.

        Raises:
            zipfile.BadZipFile: if it is no archive; nothing is kept of it.
        """
        with archive.open("rb") as content:
            found = self._folder / hashlib.file_digest(content, "sha256").hexdigest()
        with self._unpacking:
            if not found.exists():
                self._unpack(archive, found)
        return found

    def _unpack(self, archive: Path, found: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            draft = Path(scratch, "draft")
            draft.mkdir()
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(draft)
            draft.rename(found)


class SharedZip:
    """Stands for ``zipfile.ZipFile`` where the emulator unpacks for a worker."""

    def __init__(self, shelf: Shelf, archive: str) -> None:
        """Say which archive, and on which shelf it is unpacked."""
        self._shelf = shelf
        self._archive = Path(archive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close nothing: nothing is open."""

    def namelist(self) -> list[str]:
        """Return no names to check: unpacking leads nowhere out of the folder, and is done only once."""
        return []

    def extractall(self, path: str) -> None:
        """Put a link to what is unpacked in the place of an empty folder."""
        target = Path(path)
        target.rmdir()
        target.symlink_to(self._shelf.unpacked(self._archive), target_is_directory=True)


def install() -> None:
    """Put this in the place of the emulator's own, and let workers keep what they compile."""
    # All above is of use without the emulator, and tested without it.
    from ministack.core import lambda_runtime  # noqa: PLC0415

    shelf = Shelf(Path(tempfile.mkdtemp(prefix=SHARED)))
    lambda_runtime.zipfile = SimpleNamespace(ZipFile=partial(SharedZip, shelf), BadZipFile=zipfile.BadZipFile)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
