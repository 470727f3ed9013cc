"""Of a checkpoint of very many pieces few are looked at, and the others once they are asked for."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
from torch.distributed.checkpoint.filesystem import (
    FileSystemWriter,
    SerializationFormat,
    _StorageInfo,
)
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from prunescope.checkpoint import (
    distributed_metadata,
    distributed_pieces,
    open_checkpoint,
    torch_distributed,
)
from prunescope.checkpoint.torch_zip import read_tensor
from prunescope.errors import CheckpointError
from prunescope.interop.convert import convert

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
RANKS = 4
EMBEDDING = torch.arange(48.0).reshape(8, 6)
STATE = {
    "model.embed_tokens.weight": EMBEDDING,
    **{f"model.layers.{n}.mlp.up_proj.weight": torch.full((8, 6), n / 2) for n in range(3)},
    "model.norm.weight": torch.arange(8).to(torch.bfloat16),
    "lm_head.weight": EMBEDDING.clone(),
}


def sharded(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    """`state` as RANKS processes save it, each an equal share of the rows."""
    files = [bytearray() for _ in range(RANKS)]
    tensors, stored = {}, {}
    for name, whole in state.items():
        chunks = []
        for rank, rows in enumerate(whole.chunk(RANKS)):
            start = torch.Size([rank * len(rows), *[0] * (whole.dim() - 1)])
            stream = BytesIO()
            torch.save(rows.clone(), stream)
            chunks.append(ChunkStorageMetadata(start, rows.shape))
            place = _StorageInfo(f"__{rank}_0.distcp", len(files[rank]), stream.tell())
            stored[MetadataIndex(name, start, rank)] = place
            files[rank] += stream.getvalue()
        properties = TensorProperties.create_from_tensor(whole)
        tensors[name] = TensorStorageMetadata(properties, whole.shape, chunks)
    for rank, content in enumerate(files):
        (folder / f"__{rank}_0.distcp").write_bytes(content)
    (folder / ".metadata").write_bytes(pickle.dumps(Metadata(tensors, storage_data=stored)))
    return folder


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "saved"
    folder.mkdir()
    return sharded(folder, STATE)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tensors whose archives were read, one for each; all lie over the bound."""
    names: list[str] = []

    def counted(file: Any, name: str) -> Any:
        names.append(name)
        return read_tensor(file, name)

    monkeypatch.setattr(distributed_pieces.torch_zip, "read_tensor", counted)
    monkeypatch.setattr(torch_distributed, "MAX_LOOKED_AT", len(STATE) * RANKS - 1)
    return names


def test_what_is_not_looked_at_is_as_if_it_were(saved: Path, looked_at: list[str]) -> None:
    late = open_checkpoint(saved)
    few = len(looked_at)
    torch_distributed.MAX_LOOKED_AT += 1
    early = open_checkpoint(saved)

    # The embedding and the head, which may be tied, and one of each other tensor.
    assert few == 2 * RANKS + (len(STATE) - 2)
    assert len(looked_at) - few == len(STATE) * RANKS
    assert late.shared == early.shared == {"lm_head.weight": "model.embed_tokens.weight"}
    assert (late.nbytes, late.dtypes) == (early.nbytes, early.dtypes)
    assert late.nbytes == 4 * 48 * 4 + 8 * 2
    assert list(late.tensors) == list(early.tensors) == list(STATE)
    for name, tensor in late.tensors.items():
        assert (tensor.shape, tensor.dtype) == (STATE[name].shape, early.tensors[name].dtype)
        assert len(tensor.parts) == RANKS
        assert tuple(tensor.parts) == tuple(early.tensors[name].parts)


def test_a_bound_holds_for_those_looked_at(
    saved: Path, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_distributed, "_OF_MORE", 3)

    found = open_checkpoint(saved)

    # Too few for the head and the embedding.
    assert len(looked_at) == 3
    assert found.shared == {}
    assert found.parameters == 5 * 48 + 8


@pytest.mark.usefixtures("looked_at")
def test_they_are_converted_to_what_was_saved(saved: Path, tmp_path: Path) -> None:
    convert(saved, tmp_path / "out")

    found = load_file(tmp_path / "out" / "model.safetensors")
    assert set(found) == set(STATE)
    for name, tensor in found.items():
        assert torch.equal(tensor, STATE[name])
        assert tensor.dtype == STATE[name].dtype


@pytest.mark.usefixtures("looked_at")
def test_one_that_is_not_as_it_is_listed_is_refused_once_it_is_asked_for(
    saved: Path, tmp_path: Path
) -> None:
    metadata = pickle.loads((saved / ".metadata").read_bytes())
    name = "model.layers.1.mlp.up_proj.weight"
    mine, norm = MetadataIndex(name, [2, 0]), MetadataIndex("model.norm.weight", [2])
    metadata.storage_data[mine] = metadata.storage_data[norm]
    (saved / ".metadata").write_bytes(pickle.dumps(metadata))

    found = open_checkpoint(saved).tensors[name]
    assert found.parts[0].start == (0, 0)
    with pytest.raises(CheckpointError, match=r"a piece is BF16 \[2\], .* says F32 \[2, 6\]"):
        tuple(found.parts)
    with pytest.raises(CheckpointError, match="a piece is BF16"):
        convert(saved, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("looked_at")
def test_files_are_all_there_and_whole(saved: Path) -> None:
    last = saved / f"__{RANKS - 1}_0.distcp"
    content = last.read_bytes()
    last.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        open_checkpoint(saved)
    last.unlink()
    with pytest.raises(CheckpointError, match=r"'__3_0\.distcp' is missing"):
        open_checkpoint(saved)


def test_safetensors_pieces_that_lie_in_one_file_are_not_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {f"layers.{n}.weight": torch.full((2, 2), float(n)) for n in range(3)}
    writer = FileSystemWriter(tmp_path, serialization_format=SerializationFormat.SAFETENSORS)
    dcp.save(dict(state), storage_writer=writer, no_dist=True)
    monkeypatch.setattr(torch_distributed, "MAX_LOOKED_AT", 2)
    # Two of three are looked at.
    monkeypatch.setattr(torch_distributed, "_OF_MORE", 2)

    found = open_checkpoint(tmp_path)

    assert found.shared == {}
    assert found.parameters == 12
    offsets = {tensor.parts[0].offset for tensor in found.tensors.values()}
    assert len(offsets) == 3


def test_the_bounds_of_a_list_are_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(STATE) * RANKS
    for bound, value, cause in (
        ("MAX_PIECES", count, f"lists over {count - 1} pieces"),
        ("MAX_ENTRIES", count, f"lists over {count - 1} entries"),
        ("MAX_OPCODES", 2200, "over 1000 opcodes"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(distributed_metadata, bound, value)
            assert len(open_checkpoint(saved).tensors) == len(STATE)
            patch.setattr(
                distributed_metadata, bound, 1000 if bound == "MAX_OPCODES" else value - 1
            )
            with pytest.raises(CheckpointError, match=cause):
                open_checkpoint(saved)
