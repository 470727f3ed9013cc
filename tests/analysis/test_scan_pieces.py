"""A scan opens every piece of a torch.distributed checkpoint, wherever `.metadata` says it lies."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import FileSystemWriter, SerializationFormat
from torch.distributed.checkpoint.metadata import MetadataIndex

from prunescope.analysis.scan import FileScan, scan
from prunescope.checkpoint import pickled_pieces
from prunescope.checkpoint.pickle_places import pickles_in
from tests.support.archives import torch_file
from tests.support.pickles import Reduced, called
from tests.support.scans import dangerous

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
STATE = {"w": torch.ones(4, 6), "v": torch.ones(3), "step": 7}


def saved(folder: Path, state: dict[str, Any], **options: Any) -> Path:
    dcp.save(state, storage_writer=FileSystemWriter(folder, **options), no_dist=True)
    return folder


def by_name(folder: Path) -> dict[str, FileScan]:
    return {Path(found.path).name: found for found in scan(folder).files}


def edit(folder: Path, change: Any) -> None:
    file = folder / ".metadata"
    metadata = pickle.loads(file.read_bytes())
    change(metadata.storage_data)
    file.write_bytes(pickle.dumps(metadata))


def test_what_torch_writes_is_safe_beside_its_list(tmp_path: Path) -> None:
    found = by_name(saved(tmp_path, STATE))

    assert set(found) == {".metadata", "__0_0.distcp"}
    pieces = found["__0_0.distcp"]
    # Two tensors and a number, each an archive of its own.
    assert (pieces.format, pieces.pickles, pieces.error) == ("torch distributed", 3, None)
    assert {str(f.found): f.called for f in pieces.findings} == {
        "collections.OrderedDict": 2,
        "torch.FloatStorage": 0,
        "torch._utils._rebuild_tensor_v2": 2,
    }
    assert found[".metadata"].error is None
    assert found[".metadata"].of("code")
    assert not dangerous(found[".metadata"])


@pytest.mark.parametrize("kind", SerializationFormat)
def test_an_object_saved_beside_the_tensors_is_found(
    tmp_path: Path, kind: SerializationFormat
) -> None:
    evil = STATE | {"loader": Reduced(os.system, "true")}
    saved(tmp_path, evil, serialization_format=kind)

    for found in (by_name(tmp_path)["__0_0.distcp"], *scan(tmp_path / "__0_0.distcp").files):
        assert dangerous(found) == {"posix.system"}
        assert found.error is None


def test_a_piece_may_lie_in_any_file(tmp_path: Path) -> None:
    saved(tmp_path, STATE)
    (tmp_path / "notes.txt").write_bytes(b"x" * 10 + torch_file(Reduced(os.system, "true")))
    length = (tmp_path / "notes.txt").stat().st_size - 10

    def elsewhere(places: Any) -> None:
        index = MetadataIndex("step")
        places[index] = replace(places[index], relative_path="notes.txt", offset=10, length=length)

    edit(tmp_path, elsewhere)
    assert dangerous(by_name(tmp_path)["notes.txt"]) == {"posix.system"}


def test_a_list_of_pieces_does_not_hide_the_file_they_lie_in(tmp_path: Path) -> None:
    saved(tmp_path, STATE)
    harmless = torch_file({"w": torch.ones(1)})
    (tmp_path / "pytorch_model.bin").write_bytes(called("os", "system") + harmless)
    start = len(called("os", "system"))
    # Its directory counts from the start of the file: an archive with something before it.
    whole = harmless + torch_file(Reduced(os.system, "true"))
    (tmp_path / "x.distcp").write_bytes(called("os", "popen") + whole)

    def listed(places: Any) -> None:
        places[MetadataIndex("a")] = replace(
            places[MetadataIndex("step")],
            relative_path="pytorch_model.bin", offset=start, length=len(harmless),
        )  # fmt: skip
        places[MetadataIndex("b")] = replace(
            places[MetadataIndex("step")],
            relative_path="x.distcp", offset=start - 1, length=len(harmless),
        )  # fmt: skip

    edit(tmp_path, listed)
    found = by_name(tmp_path)
    assert dangerous(found["pytorch_model.bin"]) == {"os.system"}
    assert dangerous(found["x.distcp"]) == {"os.popen"}


def test_a_file_that_many_lengths_are_listed_of_is_read_once(tmp_path: Path) -> None:
    saved(tmp_path, STATE, serialization_format=SerializationFormat.SAFETENSORS)
    folder = tmp_path / "more"
    shutil.copytree(tmp_path, folder)

    def longer(places: Any) -> None:
        index, place = next((i, p) for i, p in places.items() if i.fqn == "w")
        for n in range(50):
            places[replace(index, fqn=f"w{n}")] = replace(place, length=place.length + n)

    edit(folder, longer)
    with patch.object(pickled_pieces, "pickles_in", wraps=pickles_in) as once:
        scan(tmp_path / "__0_0.distcp")
    with patch.object(pickled_pieces, "pickles_in", wraps=pickles_in) as often:
        scan(folder / "__0_0.distcp")
    # The number that was saved too, and all tensors together.
    assert once.call_count == often.call_count == 2


LIES: dict[str, tuple[Any, str]] = {
    "a stretch twice": (lambda i: replace(i, offset=i.offset - 1), "overlaps another"),
    "past the end": (lambda i: replace(i, length=1 << 40), "truncated"),
    "compressed": (lambda i: replace(i, transform_descriptors=["zstd"]), "no .metadata beside"),
}


@pytest.mark.parametrize("lie", LIES)
def test_pieces_that_cannot_be_read_are_an_error(tmp_path: Path, lie: str) -> None:
    change, cause = LIES[lie]
    saved(tmp_path, STATE)

    def lying(places: Any) -> None:
        index = max(places, key=lambda i: places[i].offset)
        places[index] = change(places[index])

    edit(tmp_path, lying)
    assert cause in (by_name(tmp_path)["__0_0.distcp"].error or "")


def test_a_file_outside_the_folder_is_an_error(tmp_path: Path) -> None:
    saved(tmp_path, STATE)
    edit(tmp_path, lambda p: p.update(
        {MetadataIndex("x"): replace(p[MetadataIndex("step")], relative_path="../x")}
    ))  # fmt: skip
    assert [found.error for found in scan(tmp_path).files if found.error] == [
        "file name '../x' leads out of the folder"
    ]


def test_pieces_without_their_list_are_an_error(tmp_path: Path) -> None:
    saved(tmp_path, STATE)
    (tmp_path / ".metadata").unlink()
    cause = "no .metadata beside it says where its pieces lie"
    assert [found.error for found in scan(tmp_path).files] == [cause]

    (tmp_path / ".metadata").write_bytes(called("torch.distributed.checkpoint", "Metadata"))
    first, second = scan(tmp_path).files
    assert first.error == "says nowhere where its tensors are stored"
    assert second.error == f"{cause} (says nowhere where its tensors are stored)"


def test_lists_of_single_processes_are_read(tmp_path: Path) -> None:
    saved(tmp_path, STATE)
    (tmp_path / ".metadata").rename(tmp_path / "__0.metadata")
    assert by_name(tmp_path)["__0_0.distcp"].pickles == 3


def test_a_pickle_whose_first_bytes_look_like_safetensors_is_a_pickle(tmp_path: Path) -> None:
    # Protocol 2, and a string of 256 bytes whose second character is a brace: as a number, the
    # first eight bytes are shorter than the file, as the length of a header would be.
    content = b"\x80\x02X\x00\x01\x00\x00\x00{" + b" " * 254 + b"0" + called("os", "system")
    path = tmp_path / "pytorch_model.bin"
    with path.open("wb") as stream:
        stream.write(content)
        stream.truncate(1 << 34)

    (found,) = scan(path).files
    assert (found.format, dangerous(found)) == ("pickle", {"os.system"})
    # Honest headers whose length begins as a pickle does.
    for length in (0x0280, 0x158):
        header = b"{}".ljust(length)
        path.write_bytes(length.to_bytes(8, "little") + header)
        assert scan(path).files == (FileScan(str(path), "safetensors"),)
