"""The target is written as a whole or not at all, and nobody's files are lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from prunescope.checkpoint import open_checkpoint
from prunescope.errors import PrunescopeError
from prunescope.interop import copied as module
from prunescope.interop.convert import convert
from prunescope.interop.shards import parse_size, split
from tests.support.tiny import tiny_folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "some.bin"
    torch.save({"w": torch.arange(8.0), "v": torch.ones(8)}, path)
    return path


def test_parents_are_made_and_an_empty_folder_is_filled(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "a" / "b")
    (tmp_path / "empty").mkdir()
    convert(source, tmp_path / "empty")
    assert open_checkpoint(tmp_path / "a" / "b").tensors.keys() == {"w", "v"}
    assert open_checkpoint(tmp_path / "empty").parameters == 16


def test_an_earlier_conversion_is_replaced_as_a_whole(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert len(convert(source, out, shard_bytes=32).files) == 2
    (out / "NOTES.md").write_text("mine")

    convert(source, out)

    # No shard and no index of before, which would be read with the new file.
    assert sorted(file.name for file in out.iterdir()) == ["NOTES.md", "model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "README.md"])
def test_what_others_made_is_refused_and_kept(source: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("theirs")
    with pytest.raises(PrunescopeError, match="holds other files; --overwrite"):
        convert(source, out)
    assert [file.read_text() for file in out.iterdir()] == ["theirs"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "more.safetensors", "__0_0.distcp"])
def test_weights_that_others_put_into_our_folder_are_not_lost(
    source: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    convert(source, out)
    (out / name).write_bytes(b"theirs")
    with pytest.raises(PrunescopeError, match="--overwrite"):
        convert(source, out)
    assert (out / name).read_bytes() == b"theirs"


def test_overwrite_replaces_the_model_and_spares_the_rest(source: Path, tmp_path: Path) -> None:
    other = tiny_folder(tmp_path / "other")
    for name in ("pytorch_model.bin", "model.safetensors.index.json", ".metadata", "0.distcp"):
        (other / name).write_text("old")
    (other / "logs").mkdir()
    (other / "logs" / "events").write_text("theirs")
    (other / "README.md").write_text("theirs")

    convert(source, other, overwrite=True)

    assert sorted(entry.name for entry in other.iterdir()) == [
        "README.md",
        "logs",
        "model.safetensors",
    ]
    assert (other / "logs" / "events").read_text() == "theirs"
    assert open_checkpoint(other).tensors.keys() == {"w", "v"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_source_is_never_the_target(source: Path, tmp_path: Path, overwrite: bool) -> None:
    folder = tiny_folder(tmp_path / "model")
    (tmp_path / "link").symlink_to(folder)
    before = {file: file.read_bytes() for file in folder.iterdir()}
    for target, cause in [
        (folder, "holds the source"),
        (folder / ".", "holds the source"),
        (tmp_path / "link", "holds the source"),
        (tmp_path, "holds the source"),
        (folder / "inside" / "deep", "lies inside the source"),
    ]:
        with pytest.raises(PrunescopeError, match=cause):
            convert(folder, target, overwrite=overwrite)
    for file in (folder / "model.safetensors", source):
        with pytest.raises(PrunescopeError, match="holds the source"):
            convert(file, file.parent, overwrite=overwrite)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_a_file_may_lie_beside_its_target(source: Path) -> None:
    convert(source, source.parent / "out")
    assert source.is_file()


def test_a_file_is_no_target(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PrunescopeError, match=r"is a file|cannot be written"):
            convert(source, target, overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_run_that_stops_leaves_everything_as_it_was(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    convert(source, tmp_path / "old")
    before = (tmp_path / "old" / "model.safetensors").read_bytes()

    def stop(path: Path, *_: Any) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(module, "write_safetensors", stop)
    for target in ("old", "new"):
        with pytest.raises((KeyboardInterrupt, PrunescopeError)):
            convert(source, tmp_path / target)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["old", "some.bin"]
    assert (tmp_path / "old" / "model.safetensors").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(PrunescopeError, match="cannot be written"):
        convert(source, tmp_path / "closed" / "out")


@pytest.mark.parametrize(
    ("text", "size"),
    [("5GB", 5 * 10**9), ("200mb", 2 * 10**8), ("1.5 KB", 1500), ("77", 77), ("2TB", 2 * 10**12)],
)
def test_sizes_are_decimal_as_in_transformers(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "5GiB", "0", "0.1B", "1e9", "٣GB", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no size|less than a byte"):
        parse_size(text)


def test_tensors_are_split_in_order(tmp_path: Path) -> None:
    torch.save({n: torch.ones(int(n[1:])) for n in ("a6", "b6", "c2", "d9", "e1")}, tmp_path / "w")
    tensors = open_checkpoint(tmp_path / "w").tensors
    # Floats of 4 bytes: at most 8 of them a file, and 9 are too many for any.
    assert list(split(tensors, "model", 32).values()) == [["a6"], ["b6", "c2"], ["d9"], ["e1"]]
    assert split(tensors, "model", 96) == {"model.safetensors": list(tensors)}
