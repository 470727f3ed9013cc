"""Pipes, devices, sockets, folders and files that change are refused; none is waited for."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from prunescope.analysis.scan import scan
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.storage import LocalFile
from prunescope.errors import CheckpointError
from tests.checkpoint.test_folder import put, put_index

NAMES = ("model.safetensors", "pytorch_model.bin", "model.gguf", "config.json", ".metadata")


def a_socket(path: Path) -> None:
    # The system's addresses are shorter than a test's folder.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(before)


STRANGE: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": a_socket,
    "a link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to the terminal": lambda path: path.symlink_to("/dev/tty"),
    "a folder": Path.mkdir,
    "a link to a folder": lambda path: path.symlink_to("."),
    "a link to nothing": lambda path: path.symlink_to("gone"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_is_no_weight_file(tmp_path: Path, name: str, kind: str) -> None:
    STRANGE[kind](tmp_path / name)

    # As the folder that holds it, and as what the user named.
    for named in (tmp_path, tmp_path / name):
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(named)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_is_no_shard_and_not_scanned(tmp_path: Path, kind: str) -> None:
    STRANGE[kind](tmp_path / "s.safetensors")
    put_index(tmp_path / "model.safetensors.index.json", {"w": "s.safetensors"})

    with pytest.raises(CheckpointError, match=r"is missing|link that leaves|cannot be"):
        open_checkpoint(tmp_path)
    try:
        scans = scan(tmp_path / "s.safetensors").files
    except CheckpointError:
        return
    assert all(found.error for found in scans)


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a folder"])
def test_beside_a_model_they_are_passed_over(tmp_path: Path, kind: str) -> None:
    put(tmp_path / "model.safetensors", "w")
    STRANGE[kind](tmp_path / "config.json")

    assert list(open_checkpoint(tmp_path).tensors) == ["w"]


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/null", "/proc/self/mem", "/proc/kmsg", "/proc"]
)
def test_the_systems_own_files_are_no_models(path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"no {path} here")
    with pytest.raises(CheckpointError):
        open_checkpoint(path)


def test_a_file_whose_length_the_system_does_not_say_is_empty() -> None:
    # What the system makes up while it is read has length 0.
    with pytest.raises(CheckpointError, match="is an empty file"):
        open_checkpoint("/proc/self/cmdline")


class Shrinking(LocalFile):
    """A file of which the second half is gone once its size has been asked for."""

    @property
    def size(self) -> int:  # type: ignore[override]
        length = self.path.stat().st_size
        if "half" not in self.path.name:
            half = self.path.with_name("half")
            half.write_bytes(self.path.read_bytes()[: length // 2])
            object.__setattr__(self, "path", half)
            object.__setattr__(self, "length", length)
        return int(getattr(self, "length", length))


def legacy(path: Path) -> None:
    torch.save({"w" * 3000: torch.ones(3)}, path, _use_new_zipfile_serialization=False)


WRITERS: dict[str, Callable[[Path], object]] = {
    "safetensors": lambda path: path.write_bytes(save({"w" * 300: torch.ones(3)})),
    "torch zip": lambda path: torch.save({"w": torch.ones(300)}, path),
    "torch legacy": legacy,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_shrinks_while_it_is_read_is_truncated(tmp_path: Path, kind: str) -> None:
    from prunescope.checkpoint import formats

    path = tmp_path / "model.bin"
    WRITERS[kind](path)
    assert formats.read(LocalFile(path))[0] == kind

    with pytest.raises(CheckpointError, match=r"truncated|ends"):
        formats.read(Shrinking(path))


def test_a_json_file_that_shrinks_is_not_json(tmp_path: Path) -> None:
    from prunescope.checkpoint.jsonfile import read_object

    path = tmp_path / "config.json"
    path.write_text(json.dumps({"a": "b" * 100}))
    with pytest.raises(CheckpointError, match="not JSON"):
        read_object(Shrinking(path), "config.json")


@pytest.mark.parametrize("suffix", ["safetensors", "bin", "gguf"])
def test_a_folder_of_a_hundred_thousand_weight_files_is_refused(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"m-{n:05}-of-99999.{suffix}" for n in range(1, 100_000)]
    monkeypatch.setattr("prunescope.checkpoint.storage.LocalFolder.names", lambda _: names)
    monkeypatch.setattr("prunescope.checkpoint.storage.LocalFolder.has", lambda *_: True)

    with pytest.raises(CheckpointError, match="99999 weight files: over 5000"):
        open_checkpoint(tmp_path)


def test_a_model_among_a_hundred_thousand_other_files_is_found(tmp_path: Path) -> None:
    for n in range(100_000):
        os.close(os.open(tmp_path / f"{n}.txt", os.O_CREAT))
    put(tmp_path / "model.safetensors", "w")

    assert list(open_checkpoint(tmp_path).tensors) == ["w"]
