"""`torch.save` files are read as `torch.load` reads them, without torch."""

from __future__ import annotations

import json
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from prunescope.checkpoint import Checkpoint, TensorInfo, open_checkpoint
from prunescope.checkpoint.dtypes import TORCH_DTYPES
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.sparse import LLAMA_3_8B, llama_shapes, write_torch_zip
from tests.support.tensors import raw_bytes


def saved(folder: Path, state: object) -> Checkpoint:
    path = folder / "pytorch_model.bin"
    torch.save(state, path)
    return open_checkpoint(path)


def rebuilt(info: TensorInfo, dtype: torch.dtype) -> torch.Tensor:
    """The tensor that the header describes, from nothing but the bytes it points at."""
    with WeightMap() as weights:
        flat = torch.frombuffer(bytearray(weights.view(info)), dtype=dtype)
    if info.strides is None:
        return flat.reshape(info.shape)
    return flat.as_strided(info.shape, info.strides)


@pytest.mark.parametrize("name", TORCH_DTYPES)
def test_every_dtype_is_named_and_found(tmp_path: Path, name: str) -> None:
    dtype = getattr(torch, name)
    tensor = torch.arange(1, 7).reshape(2, 3).to(dtype)

    info = saved(tmp_path, {"w": tensor}).tensors["w"]

    assert info.dtype == TORCH_DTYPES[name]
    assert info.shape == (2, 3)
    assert info.nbytes == 6 * dtype.itemsize
    with WeightMap() as weights:
        assert bytes(weights.view(info)) == raw_bytes(tensor)


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_tensors_keep_the_order_of_the_state_dict(tmp_path: Path, kind: type) -> None:
    names = ["z", "a", "m.weight", "层"]

    checkpoint = saved(tmp_path, kind((name, torch.ones(2)) for name in names))

    assert list(checkpoint.tensors) == names
    assert checkpoint.format == "torch zip"


def test_the_state_dict_of_a_module_with_buffers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    state = module.state_dict()

    read = saved(tmp_path, state).tensors

    assert {n: t.shape for n, t in read.items()} == {n: tuple(t.shape) for n, t in state.items()}
    for name, tensor in state.items():
        assert torch.equal(rebuilt(read[name], tensor.dtype).reshape(tensor.shape), tensor)


def test_parameters_are_tensors_whatever_torch_wraps_them_in(tmp_path: Path) -> None:
    plain = nn.Parameter(torch.arange(4.0))
    marked = nn.Parameter(torch.arange(6.0).reshape(2, 3))
    # An attribute of its own makes torch write another wrapper.
    marked.note = "kept"  # type: ignore[attr-defined]

    read = saved(tmp_path, {"plain": plain, "marked": marked}).tensors

    assert torch.equal(rebuilt(read["plain"], torch.float32), plain.detach())
    assert torch.equal(rebuilt(read["marked"], torch.float32), marked.detach())


def test_views_have_the_offset_and_strides_torch_gave_them(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.int32).reshape(4, 6)
    views = {
        "rows": base[2:],
        "columns": base[:, 1:3],
        "transposed": base.T,
        "steps": base[::2, ::3],
        "row of a wider matrix": base[1:2, :4],
        "expanded": base[0, :1].expand(5),
        "element": base[3, 5],
    }

    read = saved(tmp_path, views).tensors

    for name, view in views.items():
        assert read[name].shape == tuple(view.shape), name
        assert torch.equal(rebuilt(read[name], torch.int32).reshape(view.shape), view), name
    # The third row of four starts after two rows of six integers of four bytes.
    assert read["rows"].offset == 2 * 6 * 4
    assert read["rows"].strides is None
    # Its rows are six apart, but there is one: nothing is stepped over.
    assert read["row of a wider matrix"].strides is None
    assert read["transposed"].strides == (1, 6)
    # From element 0 to element 2·6 + 3 of the storage.
    assert read["steps"].nbytes == 16 * 4


def test_a_tied_tensor_counts_once_and_names_the_owner_of_its_bytes(tmp_path: Path) -> None:
    embedding = torch.ones(5, 2)
    state = {"embed": embedding, "norm": torch.ones(2), "head": embedding}

    checkpoint = saved(tmp_path, state)

    assert checkpoint.shared == {"head": "embed"}
    assert checkpoint.parameters == 5 * 2 + 2
    assert checkpoint.dtypes == {"F32": 12}


def test_neighbours_in_one_storage_are_not_tied(tmp_path: Path) -> None:
    fused = torch.ones(6, 2)

    checkpoint = saved(tmp_path, {"q": fused[:3], "k": fused[3:]})

    assert checkpoint.shared == {}
    assert checkpoint.parameters == 12


def test_empty_tensors_have_no_bytes_and_no_owner(tmp_path: Path) -> None:
    empty = torch.empty(0, 3)

    checkpoint = saved(tmp_path, {"a": empty, "b": empty, "c": torch.empty(2, 0).T})

    assert checkpoint.parameters == 0
    assert [t.nbytes for t in checkpoint.tensors.values()] == [0, 0, 0]
    assert checkpoint.shared == {}


def test_entries_that_are_no_tensors_are_passed_over(tmp_path: Path) -> None:
    beside = {"step": 3, "name": "x", "none": None, "list": [torch.ones(1)], 7: torch.ones(9)}

    checkpoint = saved(tmp_path, beside | {"w": torch.ones(2), "nested": {"v": torch.ones(1)}})

    assert list(checkpoint.tensors) == ["w"]


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.eye(3).to_sparse(), "_rebuild_sparse_tensor"),
        (torch.ones(2, device="meta"), "_rebuild_meta_tensor_no_storage"),
    ],
)
def test_a_tensor_that_cannot_be_counted_is_named_not_left_out(
    tmp_path: Path, tensor: torch.Tensor, kind: str
) -> None:
    with pytest.raises(CheckpointError, match=f"'odd' \\({kind}\\)"):
        saved(tmp_path, {"w": torch.ones(2), "odd": tensor})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_named_for_what_it_is(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(3, 3), torch.zeros(1, 3)).save(str(tmp_path / "script.pt"))

    with pytest.raises(CheckpointError, match=r"TorchScript does: save its state dict"):
        open_checkpoint(tmp_path / "script.pt")


def test_the_older_pickle_protocols_of_torch_save(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    for protocol in (2, 3, 4, 5):
        torch.save({"w": torch.arange(3)}, path, pickle_protocol=protocol)
        (info,) = open_checkpoint(path).tensors.values()
        assert torch.equal(rebuilt(info, torch.int64), torch.arange(3))


def test_shards_make_one_checkpoint(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2, 3)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"b": torch.ones(4)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    weight_map = {
        "a": "pytorch_model-00001-of-00002.bin",
        "b": "pytorch_model-00002-of-00002.bin",
    }
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))

    for named in (tmp_path, index):
        checkpoint = open_checkpoint(named)
        assert {n: t.file.name for n, t in checkpoint.tensors.items()} == weight_map
        assert checkpoint.parameters == 6 + 4


def test_zip64_records_lie_where_the_standard_library_finds_them(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    write_torch_zip(path, llama_shapes(LLAMA_3_8B))

    checkpoint = open_checkpoint(path)

    with zipfile.ZipFile(path) as archive:
        sizes = {i.header_offset: i.file_size for i in archive.infolist()}
    assert len(checkpoint.tensors) == 291
    for tensor in checkpoint.tensors.values():
        assert tensor.offset == 0
        assert sizes[tensor.record] == tensor.nbytes  # type: ignore[index]
    # 16 GB of bf16: most records start beyond what 32 bits can say.
    assert sum((t.record or 0) > 1 << 32 for t in checkpoint.tensors.values()) > 200
    assert checkpoint.parameters == 8_030_261_248
