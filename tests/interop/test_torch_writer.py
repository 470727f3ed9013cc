"""A torch file written a tensor at a time is the file that torch.save writes, to every reader."""

from __future__ import annotations

import weakref
import zipfile
from pathlib import Path

import pytest
import torch

from prunescope.checkpoint import open_checkpoint
from prunescope.interop.lazy_state import LazyState, Outline, in_memory
from prunescope.interop.torch_writer import write_torch
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tensors import raw_bytes
from tests.support.tiny import tiny_folder

DTYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8,
    torch.bool, torch.float8_e4m3fn, torch.complex64,
)  # fmt: skip


def sample(dtype: torch.dtype) -> torch.Tensor:
    words = torch.arange(48, dtype=torch.uint8) % 2
    return words.view(dtype).clone() if dtype is torch.bool else words.view(dtype).reshape(2, -1)


STATE = {
    **{str(dtype): sample(dtype) for dtype in DTYPES},
    "scalar": torch.tensor(1.5),
    "empty": torch.empty(0, 3),
    "transposed": torch.arange(6.0).view(2, 3).t(),
}
STATE["shared"] = STATE["torch.float32"]


def test_it_is_read_as_what_was_written(tmp_path: Path) -> None:
    write_torch(tmp_path / "pytorch_model.bin", in_memory(STATE))
    found = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    assert list(found) == list(STATE)
    for name, tensor in STATE.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert raw_bytes(found[name].contiguous()) == raw_bytes(tensor.contiguous()), name
    assert found["shared"].data_ptr() == found["torch.float32"].data_ptr()
    checkpoint = open_checkpoint(tmp_path / "pytorch_model.bin")
    assert checkpoint.shared == {"shared": "torch.float32"}


def test_records_and_checksums_are_those_that_torch_writes(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "a" / "m.bin", tmp_path / "b" / "m.bin"
    for path in (ours, theirs):
        path.parent.mkdir()
    write_torch(ours, in_memory(STATE))
    torch.save(dict(STATE), theirs)
    with zipfile.ZipFile(ours) as a, zipfile.ZipFile(theirs) as b:
        # Every record is read, and its checksum compared.
        assert a.testzip() is None
        mine, torchs = ({i.filename: i.CRC for i in z.infolist() if "/data/" in i.filename}
                        for z in (a, b))  # fmt: skip
        # torch stores the transposed one by its own strides; all others are alike.
        assert {n for n in mine if mine[n] != torchs[n]} == {"m/data/11"}


def test_one_tensor_at_a_time_is_made(tmp_path: Path) -> None:
    made: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def make(name: str) -> torch.Tensor:
        nonlocal most
        tensor = torch.full((64, 64), float(name))
        made.append(weakref.ref(tensor))
        most = max(most, sum(ref() is not None for ref in made))
        return tensor

    released: list[int] = []
    outlines = {str(n): Outline((64, 64), torch.float32) for n in range(20)}
    outlines["again"] = Outline((64, 64), torch.float32, "3")
    state = LazyState(outlines, make, lambda: released.append(1))
    write_torch(tmp_path / "m.bin", state)
    # The last one is let go when the next stands in its place.
    assert most <= 2
    assert (len(made), len(released)) == (20, 20)
    found = torch.load(tmp_path / "m.bin", weights_only=True)
    assert all((found[name] == float("3" if name == "again" else name)).all() for name in outlines)


def test_a_pruned_model_makes_its_slices_when_asked(tmp_path: Path) -> None:
    pruned = prune_tiny(described(tiny_folder(tmp_path / "m")), plan())
    name = "model.layers.1.mlp.up_proj.weight"
    first = pruned.state[name]
    assert pruned.state[name] is first
    pointer = weakref.ref(first)
    del first
    assert pointer() is None
    assert pruned.state.parameters == pruned.parameters.pruned
    with pytest.raises(KeyError):
        pruned.state["gone"]
