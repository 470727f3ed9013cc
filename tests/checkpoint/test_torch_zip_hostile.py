"""A torch archive that is damaged or made to harm is refused with its cause."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.checkpoint import open_checkpoint, torch_zip
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.archives import archive_of, records, torch_file, with_pickle

VALID = torch_file({"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4).half()})
RECORDS = records(VALID)
PICKLE = next(data for name, data in RECORDS if name.endswith("/data.pkl"))
FIRST_ENTRY = VALID.index(b"PK\x01\x02")
# Where the second record begins: after the first, at the next local header.
SECOND = VALID.index(b"PK\x03\x04", 4)
END64 = VALID.rindex(b"PK\x06\x06")
LOCATOR = VALID.rindex(b"PK\x06\x07")
# torch always writes the 64-bit end record, the standard library only when it must.
NARROW = archive_of(RECORDS)
END = NARROW.rindex(b"PK\x05\x06")


def patched(content: bytes, at: int, form: str, value: int) -> bytes:
    """`content` with the little-endian number at `at` replaced."""
    new = struct.pack(form, value)
    return content[:at] + new + content[at + len(new) :]


def twice(content: bytes, at: int, form: str, count: int) -> bytes:
    """As `patched`, of the numbers of records on this disk and on all, which lie side by side."""
    return patched(patched(content, at, form, count), at + struct.calcsize(form), form, count)


def without(suffix: str) -> list[tuple[str, bytes]]:
    return [(name, data) for name, data in RECORDS if not name.endswith(suffix)]


# Offsets inside the structures are those of APPNOTE.TXT 4.3.12 and 4.3.14 to 4.3.16.
HOSTILE = {
    "first half only": (VALID[: len(VALID) // 2], "truncated: the zip archive has no end"),
    "zip of something else": (archive_of([("a.txt", b"hello")]), "not one torch.save wrote"),
    "two pickles": (archive_of([*RECORDS, ("x/data.pkl", PICKLE)]), "not one torch.save wrote"),
    "no pickle": (archive_of(without("/data.pkl")), "not one torch.save wrote"),
    "a record twice": (archive_of([*RECORDS, RECORDS[-1]]), "occurs twice"),
    "storage missing": (archive_of(without("/data/0")), "its storage '0' is missing"),
    "storage too small": (
        archive_of([*without("/data/0"), ("archive/data/0", bytes(23))]),
        "tensor 'w' needs 24 bytes of storage '0', which has 23",
    ),
    "compressed": (archive_of(RECORDS, zipfile.ZIP_DEFLATED), "is compressed"),
    "encrypted": (patched(VALID, FIRST_ENTRY + 8, "<H", 1), "is encrypted"),
    "sizes that differ": (patched(VALID, FIRST_ENTRY + 20, "<L", 1), "is compressed"),
    "record beyond the file": (patched(VALID, FIRST_ENTRY + 42, "<L", 1 << 30), "lies outside"),
    "a record over the next": (patched(VALID, FIRST_ENTRY + 42, "<L", SECOND - 1), "overlaps"),
    "name beyond the directory": (patched(VALID, FIRST_ENTRY + 28, "<H", 65535), "damaged"),
    "directory at byte 0": (patched(NARROW, END + 16, "<L", 0), "damaged zip directory"),
    "directory beyond the file": (patched(NARROW, END + 16, "<L", 1 << 30), "out of range"),
    "directory too long": (patched(NARROW, END + 12, "<L", 1 << 30), "out of range"),
    "an entry too many": (twice(NARROW, END + 8, "<H", 999), "truncated zip directory"),
    "an entry too few": (twice(NARROW, END + 8, "<H", 1), "bytes after its last"),
    "64-bit directory at byte 0": (patched(VALID, END64 + 48, "<Q", 0), "damaged"),
    "64-bit directory far away": (patched(VALID, END64 + 48, "<Q", 2**64 - 1), "out of range"),
    "64-bit directory too long": (patched(VALID, END64 + 40, "<Q", 2**64 - 1), "out of range"),
    "2^64 - 1 entries": (twice(VALID, END64 + 24, "<Q", 2**64 - 1), "records: over 160000"),
    "100,000 entries": (twice(VALID, END64 + 24, "<Q", 100_000), "truncated zip directory"),
    "64-bit end far away": (patched(VALID, LOCATOR + 8, "<Q", 2**64 - 1), "out of range"),
    "64-bit end elsewhere": (patched(VALID, LOCATOR + 8, "<Q", 0), "not where it should be"),
    "no tensor": (torch_file({"step": 1}), "no tensor at its top level"),
    "a list of tensors": (torch_file([torch.ones(1)]), "no tensor at its top level"),
    "data.pkl is cut": (with_pickle(PICKLE[:-1]), "data.pkl: the pickle ends without STOP"),
    "data.pkl is empty": (with_pickle(b""), "data.pkl: the pickle ends without STOP"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_broken_archive_is_refused_with_its_cause(tmp_path: Path, case: str) -> None:
    content, cause = HOSTILE[case]
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)

    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)

    assert cause in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_no_beginning_of_a_file_passes_for_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(VALID)
    assert len(open_checkpoint(path).tensors) == 2
    for length in range(len(VALID) - 1, -1, -1):
        os.truncate(path, length)
        with pytest.raises(CheckpointError):
            open_checkpoint(path)


def test_bounds_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(VALID)
    with monkeypatch.context() as patch:
        patch.setattr(torch_zip, "MAX_PICKLE", 10)
        with pytest.raises(CheckpointError, match=r"data\.pkl' has \d+ bytes: over"):
            open_checkpoint(path)
    monkeypatch.setattr(torch_zip, "MAX_DIRECTORY", 10)
    with pytest.raises(CheckpointError, match="zip directory is out of range or over"):
        open_checkpoint(path)


class Creates:
    """Unpickled by Python, this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "w")


def test_a_hostile_object_beside_the_tensors_is_not_made(tmp_path: Path) -> None:
    trap = tmp_path / "made by the pickle"
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(torch_file({"w": torch.ones(2), "x": Creates(trap)}))

    assert list(open_checkpoint(path).tensors) == ["w"]
    assert not trap.exists()

    # The trap does work where a pickle is trusted.
    torch.load(path, weights_only=False)["x"].close()
    assert trap.exists()


def test_wrappers_in_wrappers_are_refused_at_any_depth(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    for depth in (2, 20_000):
        wrappers = [b"_rebuild_parameter", b"_rebuild_parameter_with_state"] * (depth // 2)
        nested = b"".join(b"ctorch._utils\n" + name + b"\n" for name in wrappers)
        path.write_bytes(
            with_pickle(b"}X\x01\x00\x00\x00w" + nested + b"N" + b"\x85R" * depth + b"s.")
        )
        with pytest.raises(CheckpointError, match="'w'"):
            open_checkpoint(path)


def rebuild(storage: bytes, arguments: bytes) -> bytes:
    """A pickle of {"w": _rebuild_tensor_v2(storage, *arguments)}."""
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + arguments + b"tR"
    return b"}X\x01\x00\x00\x00w" + call + b"s."


STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
)
SOUND = b"K\x00K\x06\x85K\x01\x85"


@pytest.mark.parametrize(
    ("storage", "arguments"),
    [
        pytest.param(b"N", SOUND, id="no storage"),
        pytest.param(STORAGE.replace(b"Float", b"Flaot"), SOUND, id="unknown type"),
        pytest.param(STORAGE.replace(b"X\x01\x00\x00\x000", b"K\x00"), SOUND, id="numbered key"),
        pytest.param(STORAGE, b"J\xff\xff\xff\xffK\x06\x85K\x01\x85", id="negative offset"),
        pytest.param(STORAGE, b"K\x00J\xff\xff\xff\xff\x85K\x01\x85", id="negative shape"),
        pytest.param(STORAGE, b"K\x00K\x06\x85J\xff\xff\xff\xff\x85", id="negative stride"),
        pytest.param(STORAGE, b"K\x00K\x06K\x01\x86K\x01\x85", id="a stride too few"),
        pytest.param(STORAGE, b"K\x00\x88\x85K\x01\x85", id="true in the shape"),
        pytest.param(STORAGE, b"K\x00]K\x01\x85", id="shape is a list"),
        pytest.param(STORAGE, b"K\x00" + b"(" + b"K\x01" * 65 + b"t" * 2, id="65 axes"),
        pytest.param(STORAGE, b"\x8a\x09" + bytes(8) + b"\x01K\x06\x85K\x01\x85", id="2^64"),
        pytest.param(STORAGE, b"K\x01K\x06\x85K\x01\x85", id="one element too far"),
        pytest.param(STORAGE, b"K\x00K\x06\x85K\x02\x85", id="a stride too long"),
    ],
)
def test_a_malformed_tensor_is_named(tmp_path: Path, storage: bytes, arguments: bytes) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(with_pickle(rebuild(STORAGE, SOUND)))
    assert open_checkpoint(path).tensors["w"].shape == (6,)

    path.write_bytes(with_pickle(rebuild(storage, arguments)))
    with pytest.raises(CheckpointError, match=r"'w'|data\.pkl"):
        open_checkpoint(path)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torch") / "pytorch_model.bin"


def edits(length: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    places = st.integers(0, length - 1)
    return st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=5)


def edited(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    damaged = bytearray(content)
    for at, value in changes:
        damaged[at] = value
    return bytes(damaged)


def open_and_look_at_all(path: Path) -> None:
    """Reads a damaged file whole; anything but a CheckpointError fails the test."""
    try:
        checkpoint = open_checkpoint(path)
        with WeightMap() as weights:
            for tensor in checkpoint.tensors.values():
                assert len(weights.view(tensor)) == tensor.nbytes
    except CheckpointError:
        pass


@settings(deadline=None, max_examples=400)
@given(changes=edits(len(VALID)))
def test_any_damage_to_the_archive_is_harmless_or_a_checkpoint_error(
    scratch: Path, changes: list[tuple[int, int]]
) -> None:
    scratch.write_bytes(edited(VALID, changes))
    open_and_look_at_all(scratch)


@settings(deadline=None, max_examples=400)
@given(changes=edits(len(VALID) - FIRST_ENTRY))
def test_any_damage_to_the_directory_is_harmless_or_a_checkpoint_error(
    scratch: Path, changes: list[tuple[int, int]]
) -> None:
    scratch.write_bytes(VALID[:FIRST_ENTRY] + edited(VALID[FIRST_ENTRY:], changes))
    open_and_look_at_all(scratch)


@settings(deadline=None, max_examples=400)
@given(changes=edits(len(PICKLE)))
def test_any_damage_to_the_pickle_is_harmless_or_a_checkpoint_error(
    scratch: Path, changes: list[tuple[int, int]]
) -> None:
    others = [(name, data) for name, data in RECORDS if not name.endswith("/data.pkl")]
    scratch.write_bytes(archive_of([("archive/data.pkl", edited(PICKLE, changes)), *others]))
    open_and_look_at_all(scratch)
