"""What the local AWS unpacks for its functions: once for all workers, and not gone with one of them."""

import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from local.emulator_layers import SharedZip, Shelf

MODULE = "python/work.py"
WORKERS = 8


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """An empty shelf."""
    (tmp_path / "shelf").mkdir()
    return Shelf(tmp_path / "shelf")


def packed(path: Path, text: str, name: str = MODULE) -> Path:
    """Make an archive of one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        # Of one age, so that the same text gives the same bytes.
        archive.writestr(zipfile.ZipInfo(name), text)
    return path


def worker(folder: Path, shelf: Shelf, text: str) -> Path:
    """Unpack as the emulator does for a worker, into a folder of the worker's, and return where."""
    archive, target = packed(folder / "code.zip", text), folder / "code"
    target.mkdir()
    with SharedZip(shelf, str(archive)) as opened:
        for name in opened.namelist():
            assert (target / name).is_relative_to(target)
        opened.extractall(str(target))
    return target


def kept(tmp_path: Path) -> list[Path]:
    """Return what lies on the shelf."""
    return list((tmp_path / "shelf").iterdir())


def test_a_worker_finds_what_is_in_the_archive(tmp_path: Path, shelf: Shelf) -> None:
    code = worker(tmp_path / "worker", shelf, "answer = 42\n")

    assert [each.relative_to(code) for each in code.rglob("*.py")] == [Path(MODULE)]
    assert (code / MODULE).read_text() == "answer = 42\n"


def test_workers_of_the_same_content_share_one_folder(tmp_path: Path, shelf: Shelf) -> None:
    one, other = (worker(tmp_path / name, shelf, "same") for name in ("one", "other"))

    assert one.resolve() == other.resolve()
    assert kept(tmp_path) == [one.resolve()]


def test_what_one_worker_compiled_the_next_one_finds(tmp_path: Path, shelf: Shelf) -> None:
    compiled = worker(tmp_path / "one", shelf, "same") / "python" / "work.pyc"
    compiled.write_bytes(b"compiled")

    next_one = worker(tmp_path / "other", shelf, "same")

    assert (next_one / "python" / "work.pyc").read_bytes() == b"compiled"


def test_other_content_has_a_folder_of_its_own(tmp_path: Path, shelf: Shelf) -> None:
    old, new = (worker(tmp_path / text, shelf, text) for text in ("old", "new"))

    assert [(each / MODULE).read_text() for each in (old, new)] == ["old", "new"]


def test_a_worker_that_goes_leaves_the_others_what_they_use(tmp_path: Path, shelf: Shelf) -> None:
    gone, stays = (worker(tmp_path / name, shelf, "same") for name in ("gone", "stays"))

    shutil.rmtree(gone.parent)

    assert (stays / MODULE).read_text() == "same"
    assert (worker(tmp_path / "later", shelf, "same") / MODULE).read_text() == "same"


def test_workers_that_start_at_once_all_find_everything(tmp_path: Path, shelf: Shelf) -> None:
    together = Barrier(WORKERS)

    def start(number: int) -> str:
        together.wait()
        return (worker(tmp_path / str(number), shelf, "same") / MODULE).read_text()

    with ThreadPoolExecutor(WORKERS) as pool:
        assert list(pool.map(start, range(WORKERS))) == ["same"] * WORKERS
    assert len(kept(tmp_path)) == 1


def test_nothing_is_unpacked_outside_the_shelf(tmp_path: Path, shelf: Shelf) -> None:
    found = shelf.unpacked(packed(tmp_path / "evil.zip", "escaped", "../../escaped.py"))

    assert [each.resolve() for each in tmp_path.rglob("escaped.py")] == [found / "escaped.py"]


def test_what_is_no_archive_is_refused_and_leaves_nothing(tmp_path: Path, shelf: Shelf) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(packed(tmp_path / "whole.zip", "text").read_bytes()[:-10])

    with pytest.raises(zipfile.BadZipFile):
        shelf.unpacked(broken)

    assert kept(tmp_path) == []


def test_an_archive_with_a_broken_file_leaves_nothing_half_unpacked(tmp_path: Path, shelf: Shelf) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(packed(tmp_path / "whole.zip", "text").read_bytes().replace(b"text", b"tixt"))

    for _ in range(2):
        with pytest.raises(zipfile.BadZipFile):
            shelf.unpacked(broken)
    assert kept(tmp_path) == []
