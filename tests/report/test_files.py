"""A result file is whole or not there: what stood before outlives every failure."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from prunescope.atomic import replacing
from prunescope.errors import PrunescopeError


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def umask() -> Iterator[int]:
    """A umask of its own, so that the test does not depend on the machine's."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_the_file_is_in_place_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    with replacing(path) as temporary:
        temporary.write_text("new")
        # Beside its place, so that the rename stays within one file system; same suffix.
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".csv"
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failing_block_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fails() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fails()

    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_a_failing_block_leaves_no_new_file(tmp_path: Path) -> None:
    def fails() -> None:
        with replacing(tmp_path / "table.csv"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()

    assert names(tmp_path) == []


def test_permissions_are_what_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    with replacing(tmp_path / "table.csv") as temporary:
        temporary.write_text("x")

    assert stat.S_IMODE((tmp_path / "table.csv").stat().st_mode) == 0o640 == 0o666 & ~umask
    # Reading the umask means setting it for a moment.
    assert os.umask(umask) == umask


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "table.csv"

    with pytest.raises(PrunescopeError) as caught, replacing(path):
        raise AssertionError("the block is not reached")

    assert str(caught.value) == f"{path}: cannot be written (No such file or directory)"


def test_a_folder_in_the_files_place_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.mkdir()

    with pytest.raises(PrunescopeError) as caught, replacing(path) as temporary:
        temporary.write_text("x")

    assert str(caught.value) == f"{path}: cannot be written (Is a directory)"
    assert names(tmp_path) == ["table.csv"]


def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fails() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(PrunescopeError) as caught:
        fails()

    assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]
