"""A `.metadata` that lies is refused in one line, and none is ever executed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import FileSystemWriter, SerializationFormat
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
)

from prunescope.checkpoint import open_checkpoint
from prunescope.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
FIRST = MetadataIndex("w", [0, 0])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    dcp.save({"w": torch.ones(4, 6), "v": torch.ones(3)}, checkpoint_id=tmp_path, no_dist=True)
    return tmp_path


def chunk(start: list[int], sizes: list[int]) -> ChunkStorageMetadata:
    return ChunkStorageMetadata(torch.Size(start), torch.Size(sizes))


def place(metadata: Metadata, **changes: Any) -> None:
    metadata.storage_data[FIRST] = replace(metadata.storage_data[FIRST], **changes)


def chunks(metadata: Metadata, *boxes: ChunkStorageMetadata) -> None:
    """Cut `w` otherwise, each piece at the place of the first."""
    metadata.state_dict_metadata["w"].chunks = list(boxes)
    info = metadata.storage_data.pop(FIRST)
    for box in boxes:
        metadata.storage_data[MetadataIndex("w", box.offsets)] = info


def of_size(metadata: Metadata, *sizes: int) -> None:
    metadata.state_dict_metadata["w"].size = torch.Size(sizes)


def another_dtype(metadata: Metadata) -> None:
    metadata.state_dict_metadata["w"].properties = TensorProperties(dtype=torch.int32)


LIES: dict[str, tuple[Callable[[Metadata], Any], str]] = {
    "a file outside": (lambda m: place(m, relative_path="../other"), "leads out of the folder"),
    "an absolute path": (lambda m: place(m, relative_path="/etc/passwd"), "leads out of"),
    "a missing file": (lambda m: place(m, relative_path="__9_0.distcp"), "is missing"),
    "a path that is none": (lambda m: place(m, relative_path=7), "has no place in a file"),
    "beyond the end": (lambda m: place(m, offset=1 << 40), "truncated"),
    "a length beyond the end": (lambda m: place(m, length=1 << 40), "truncated"),
    "a negative offset": (lambda m: place(m, offset=-1), "has no place in a file"),
    "true for an offset": (lambda m: place(m, offset=True), "has no place in a file"),
    "the middle of a piece": (lambda m: place(m, offset=5, length=90), "truncated: header"),
    "too short a piece": (lambda m: place(m, length=60), "end of directory"),
    "compressed": (lambda m: place(m, transform_descriptors=["stream.zstd"]), "compressed"),
    "stored nowhere": (lambda m: m.storage_data.pop(FIRST), "stored nowhere"),
    "no pieces": (lambda m: chunks(m), "has no pieces"),
    "a larger whole": (lambda m: of_size(m, 5, 6), "hole or overlap"),
    "a smaller whole": (lambda m: of_size(m, 3, 6), "lies outside"),
    "a whole of other axes": (lambda m: of_size(m, 24), "other axes"),
    "a size that is none": (lambda m: of_size(m, 4, -6), "lacks its size"),
    "a smaller piece": (
        lambda m: (of_size(m, 2, 6), chunks(m, chunk([0, 0], [2, 6]))),
        r"F32 \[4, 6\].*F32 \[2, 6\]",
    ),
    "another dtype": (another_dtype, r"is F32 \[4, 6\], .*says I32"),
    "a dtype that is none": (
        lambda m: setattr(m.state_dict_metadata["w"].properties, "dtype", "float32"),
        "of no dtype",
    ),
    "chunks that are none": (
        lambda m: setattr(m.state_dict_metadata["w"], "chunks", [3]),
        "malformed chunk",
    ),
    "an index that is none": (lambda m: m.storage_data.update({3: 4}), "an entry that is none"),
    "no storage": (lambda m: setattr(m, "storage_data", None), "nowhere where its tensors"),
    "no tensors": (lambda m: m.state_dict_metadata.clear(), "lists no model"),
}


@pytest.mark.parametrize("lie", LIES)
def test_metadata_that_does_not_hold_is_refused(saved: Path, lie: str) -> None:
    change, cause = LIES[lie]
    file = saved / ".metadata"
    metadata = pickle.loads(file.read_bytes())
    change(metadata)
    file.write_bytes(pickle.dumps(metadata))

    with pytest.raises(CheckpointError, match=cause) as caught:
        open_checkpoint(saved)
    assert "\n" not in str(caught.value)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "ends without STOP"),
        (b"PK\x03\x04", "text line without an end"),
        (pickle.dumps({"state_dict_metadata": {}}), "is no metadata"),
        (pickle.dumps(Metadata({}))[:-5], "pickle"),
    ],
    ids=["empty", "a zip", "another pickle", "cut"],
)
def test_another_file_is_refused(saved: Path, content: bytes, cause: str) -> None:
    (saved / ".metadata").write_bytes(content)
    with pytest.raises(CheckpointError, match=cause):
        open_checkpoint(saved)


def test_nothing_in_it_is_called(saved: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "called",))

    file = saved / ".metadata"
    metadata = pickle.loads(file.read_bytes())
    metadata.planner_data = {"w": Evil()}
    metadata.storage_meta = Evil()
    file.write_bytes(pickle.dumps(metadata))

    assert set(open_checkpoint(saved).tensors) == {"w", "v"}
    assert not (tmp_path / "called").exists()


def test_keys_that_do_not_add_up_to_the_name_are_not_believed(saved: Path) -> None:
    file = saved / ".metadata"
    metadata = pickle.loads(file.read_bytes())
    # Believed, both tensors would have one name.
    metadata.planner_data = {"w": ("model", "x"), "v": ("model", "x")}
    file.write_bytes(pickle.dumps(metadata))

    assert set(open_checkpoint(saved).tensors) == {"w", "v"}


def test_a_link_out_of_the_folder_is_refused(saved: Path, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "file"
    (saved / "__0_0.distcp").rename(elsewhere)
    (saved / "__0_0.distcp").symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match="link that leaves"):
        open_checkpoint(saved)


def test_a_safetensors_piece_that_is_another_is_refused(tmp_path: Path) -> None:
    writer = FileSystemWriter(tmp_path, serialization_format=SerializationFormat.SAFETENSORS)
    dcp.save({"w": torch.ones(4, 6)}, storage_writer=writer, no_dist=True)
    file = tmp_path / ".metadata"
    metadata = pickle.loads(file.read_bytes())
    of_size(metadata, 4, 6)
    # Two pieces of one tensor in one file: safetensors holds but the last of them.
    chunks(metadata, chunk([0, 0], [4, 6]), chunk([4, 0], [4, 6]))
    of_size(metadata, 8, 6)
    file.write_bytes(pickle.dumps(metadata))

    with pytest.raises(CheckpointError, match=r"piece at \[4, 0\] is missing"):
        open_checkpoint(tmp_path)
