"""A file is written whole or not at all, and nothing but the output is left behind."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from prunescope.atomic import replacing
from prunescope.errors import PrunescopeError
from tests.support.trees import tree


def write(path: Path, text: str = "new") -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_is_written_and_replaced(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "table.csv"
    if exists:
        path.write_text("old")
    with replacing(path) as temporary:
        # Beside its place, with its ending, which matplotlib goes by.
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".csv"
        assert temporary.name.startswith(".")
        temporary.write_text("new")
        assert path.exists() is exists
    assert tree(tmp_path) == {"table.csv": "new"}


def test_no_name_at_all_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `--output "$CSV"` where there is no such variable.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PrunescopeError) as caught:
        write(Path())
    assert str(caught.value) == ".: cannot be written (Is a directory)"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_stays_as_it_was_when_writing_fails(
    tmp_path: Path, error: type[BaseException]
) -> None:
    (tmp_path / "table.csv").write_text("old")
    with pytest.raises(error):
        write_half(tmp_path / "table.csv", error())
    assert tree(tmp_path) == {"table.csv": "old"}


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with pytest.raises(PrunescopeError) as caught:
        write_half(path, OSError(28, "No space left on device"))
    assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("none/table.csv", "No such file or directory"),
        ("file/table.csv", "Not a directory"),
        ("folder", "Is a directory"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, path: str, cause: str) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PrunescopeError) as caught:
        write(tmp_path / path)
    assert str(caught.value) == f"{tmp_path / path}: cannot be written ({cause})"
    assert tree(tmp_path) == {"file": "old", "folder": None}


def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As anyone but root is told; renaming over a file asks the folder alone.
    path = tmp_path / "table.csv"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(PrunescopeError) as caught:
        write(path)

    assert str(caught.value) == f"{path}: cannot be written (is read-only)"
    assert tree(tmp_path) == {"table.csv": "old"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_where_nothing_may_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PrunescopeError, match=r"cannot be written \(Permission denied\)"):
        write(tmp_path / "table.csv")


@pytest.mark.parametrize("target", ["real/there", "real/not yet"])
def test_a_link_to_a_file_is_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "there").write_text("old")
    (tmp_path / "link").symlink_to(target)
    write(tmp_path / "link")
    assert (tmp_path / "link").readlink() == Path(target)
    assert (tmp_path / target).read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: int, expected: int) -> None:
    (tmp_path / "table.csv").write_text("old")
    (tmp_path / "table.csv").chmod(0o640)
    before = os.umask(mask)
    try:
        write(tmp_path / "table.csv")
    finally:
        after = os.umask(before)
    assert stat.S_IMODE((tmp_path / "table.csv").stat().st_mode) == expected
    # Asked for, which can only be done by setting it, and put back.
    assert after == mask


def test_what_is_no_ordinary_file_is_written_to_as_it_is(tmp_path: Path) -> None:
    # As `--output /dev/stdout | column -t` would be.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe, "a row\n")
    reader.join(timeout=10)
    assert read == ["a row\n"]
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
    write(Path(os.devnull))
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
