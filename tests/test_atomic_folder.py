"""A folder is written whole or not at all, and what others keep in it stays."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from prunescope.atomic import replacing_folder
from prunescope.errors import PrunescopeError
from tests.support.trees import tree


def is_ours(entry: Path) -> bool:
    return entry.name == "ours"


def fill(path: Path, text: str = "new") -> None:
    with replacing_folder(path, is_ours) as temporary:
        (temporary / "ours").write_text(text)


def fill_half(path: Path, error: BaseException) -> None:
    with replacing_folder(path, is_ours) as temporary:
        (temporary / "ours").write_text("half")
        raise error


def test_a_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with replacing_folder(path, is_ours) as temporary:
        assert temporary.parent == path.parent
        assert list(temporary.iterdir()) == []
        (temporary / "ours").write_text("new")
        assert not path.exists()
    assert tree(tmp_path) == {"a": None, "a/b": None, "a/b/ours": "new"}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """An earlier output, in which somebody keeps a log and more."""
    folder = tmp_path / "out"
    (folder / "more" / "deep").mkdir(parents=True)
    for name in ("ours", "log", "both", "more/deep/note"):
        (folder / name).write_text("old")
    (folder / "link").symlink_to("log")
    (folder / "more" / "nowhere").symlink_to("gone")
    return folder


def test_a_folder_is_replaced_and_what_is_not_ours_is_carried_over(earlier: Path) -> None:
    os.utime(earlier / "log", ns=(1, 2_000_000_000))
    with replacing_folder(earlier, is_ours) as temporary:
        # Another output than last time's, and a file of a name that is not called ours.
        (temporary / "both").write_text("new")
        assert (earlier / "ours").read_text() == "old"
    assert not (earlier / "ours").exists()
    assert (earlier / "both").read_text() == "new"
    assert (earlier / "log").read_text() == "old"
    assert (earlier / "log").stat().st_mtime_ns == 2_000_000_000
    assert (earlier / "more" / "deep" / "note").read_text() == "old"
    assert (earlier / "link").readlink() == Path("log")
    assert (earlier / "more" / "nowhere").readlink() == Path("gone")
    assert [path.name for path in earlier.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_stays_as_it_was_when_writing_fails(
    earlier: Path, error: type[BaseException]
) -> None:
    (earlier / "more" / "nowhere").unlink()
    before = tree(earlier.parent)
    with pytest.raises(error):
        fill_half(earlier, error())
    assert tree(earlier.parent) == before


def test_a_full_disk_is_one_line_and_leaves_a_folder_as_it_was(earlier: Path) -> None:
    (earlier / "more" / "nowhere").unlink()
    before = tree(earlier.parent)
    with pytest.raises(PrunescopeError) as caught:
        fill_half(earlier, OSError(28, "No space left on device"))
    assert str(caught.value) == f"{earlier}: cannot be written (No space left on device)"
    assert tree(earlier.parent) == before


def test_what_cannot_be_carried_over_is_not_lost(earlier: Path) -> None:
    # A pipe has no content to copy.
    os.mkfifo(earlier / "pipe")
    with pytest.raises(PrunescopeError) as caught:
        fill(earlier)
    assert "\n" not in str(caught.value)
    assert (earlier / "pipe").is_fifo()
    assert (earlier / "ours").read_text() == "old"
    assert [path.name for path in earlier.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o755), (0o077, 0o700)])
def test_permissions_are_those_of_any_new_folder(tmp_path: Path, mask: int, expected: int) -> None:
    before = os.umask(mask)
    try:
        fill(tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == expected


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_where_nothing_may_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PrunescopeError, match=r"cannot be written \(Permission denied\)"):
        fill(tmp_path / "out")


def test_a_link_to_a_folder_is_followed(tmp_path: Path, earlier: Path) -> None:
    (tmp_path / "link").symlink_to("out")
    fill(tmp_path / "link")
    assert (tmp_path / "link").readlink() == Path("out")
    assert (earlier / "ours").read_text() == "new"
    assert (earlier / "log").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("file", "is a file, a folder is to be written here"),
        ("file/out", "cannot be written (File exists)"),
        ("file/below/out", "cannot be written (Not a directory)"),
    ],
)
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path, path: str, cause: str) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(PrunescopeError) as caught:
        fill(tmp_path / path)
    assert str(caught.value) == f"{tmp_path / path}: {cause}"
    assert tree(tmp_path) == {"file": "old"}


# --- the moment between the two renames ---------------------------------------------------


def test_a_run_that_was_killed_between_the_renames_is_recovered_from(tmp_path: Path) -> None:
    # Power is lost when the old folder has been put aside and the new one is not there yet.
    aside = tmp_path / ".out.old"
    aside.mkdir()
    (aside / "ours").write_text("old")
    (aside / "log").write_text("old")
    with (
        pytest.raises(ValueError, match="fails again"),
        replacing_folder(tmp_path / "out", is_ours),
    ):
        raise ValueError("fails again")
    assert tree(tmp_path) == {"out": None, "out/log": "old", "out/ours": "old"}
    (tmp_path / "out").rename(aside)
    fill(tmp_path / "out")
    assert tree(tmp_path) == {"out": None, "out/log": "old", "out/ours": "new"}


def test_a_run_that_was_killed_after_the_renames_left_a_folder_that_is_cleared(
    tmp_path: Path,
) -> None:
    for name in (".out.old", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ours").write_text(name)
    fill(tmp_path / "out")
    assert tree(tmp_path) == {"out": None, "out/ours": "new"}


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_rename_that_fails_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    fill(tmp_path / "out", "old")
    rename = Path.rename

    def fails_for_the_new_one(self: Path, target: Path) -> Path:
        if target == tmp_path / "out" and self.name != ".out.old":
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_for_the_new_one)
    with pytest.raises((PrunescopeError, KeyboardInterrupt)):
        fill(tmp_path / "out")
    assert tree(tmp_path) == {"out": None, "out/ours": "old"}
