"""Runs give the bytes of a contiguous copy, whatever the strides and pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunescope.checkpoint import TensorInfo, open_checkpoint
from prunescope.checkpoint import runs as module
from prunescope.checkpoint.runs import runs
from prunescope.checkpoint.storage import LocalFile
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.tensors import raw_bytes

DTYPES = [torch.uint8, torch.bfloat16, torch.float32, torch.float64, torch.complex128]


def gathered(info: TensorInfo, size: int) -> bytes:
    found = bytearray(b"\xaa" * size)
    written = 0
    with WeightMap() as weights:
        for offset, data in runs(weights, info):
            assert len(data) <= module.MAX_RUN
            found[offset : offset + len(data)] = data
            written += len(data)
    assert written == size
    return bytes(found)


@st.composite
def views(draw: st.DrawFn) -> torch.Tensor:
    """Any view that indexing, permuting and expanding make."""
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    count = int(torch.tensor(shape).prod()) if shape else 1
    tensor = torch.arange(count).reshape(shape).to(draw(st.sampled_from(DTYPES)))
    for axis in range(tensor.dim()):
        start, step = draw(st.integers(0, 2)), draw(st.integers(1, 3))
        tensor = tensor[(slice(None),) * axis + (slice(start, None, step),)]
    tensor = tensor.permute(draw(st.permutations(range(tensor.dim()))))
    if draw(st.booleans()):
        tensor = tensor.expand(draw(st.integers(1, 3)), *tensor.shape)
    return tensor


@given(views())
def test_strided_tensors_come_out_contiguous(
    tmp_path_factory: pytest.TempPathFactory, tensor: torch.Tensor
) -> None:
    path = tmp_path_factory.mktemp("view") / "w.bin"
    torch.save({"w": tensor}, path)

    info = open_checkpoint(path).tensors["w"]

    assert gathered(info, tensor.numel() * tensor.itemsize) == raw_bytes(tensor)


@given(
    st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=3),
    st.sampled_from(DTYPES),
    st.booleans(),
)
def test_pieces_come_to_their_places(
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[list[int]],
    dtype: torch.dtype,
    strided: bool,
) -> None:
    """Every axis is cut into the lengths given; each piece is a tensor of the same file."""
    shape = tuple(map(sum, cuts))
    whole = torch.arange(int(torch.tensor(shape).prod())).reshape(shape).to(dtype)
    boxes = [((), ())]
    for lengths in cuts:
        starts = [sum(lengths[:i]) for i in range(len(lengths))]
        boxes = [
            ((*a, s), (*n, length))
            for a, n in boxes
            for s, length in zip(starts, lengths, strict=True)
        ]
    saved = {}
    for number, (start, sizes) in enumerate(boxes):
        place = tuple(slice(a, a + n) for a, n in zip(start, sizes, strict=True))
        saved[str(number)] = whole[place] if strided else whole[place].clone()
    path = tmp_path_factory.mktemp("pieces") / "w.bin"
    torch.save(saved, path)
    found = open_checkpoint(path).tensors
    parts = tuple(
        TensorInfo(
            "w", t.shape, t.dtype, t.file, t.offset, t.nbytes, t.record, t.strides, start=start
        )
        for t, (start, _) in zip(found.values(), boxes, strict=True)
    )
    info = TensorInfo("w", shape, parts[0].dtype, parts[0].file, 0, 0, parts=parts)

    assert gathered(info, whole.numel() * whole.itemsize) == raw_bytes(whole)


def test_long_rows_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RUN", 7)
    tensor = torch.arange(40.0).reshape(5, 8)
    torch.save({"w": tensor, "t": tensor.t()}, tmp_path / "w.bin")

    tensors = open_checkpoint(tmp_path / "w.bin").tensors

    assert gathered(tensors["w"], 160) == raw_bytes(tensor)
    assert gathered(tensors["t"], 160) == raw_bytes(tensor.t())


def test_packed_parts_are_no_pieces() -> None:
    file = LocalFile(Path("packed"))
    part = TensorInfo("w.qweight", (2,), "I32", file, 0, 8)
    packed = TensorInfo("w", (16,), "GPTQ-4bit", file, 0, 8, parts=(part,))
    with WeightMap() as weights, pytest.raises(CheckpointError, match="is packed"):
        list(runs(weights, packed))


def test_released_views_stay_valid(tmp_path: Path) -> None:
    tensor = torch.arange(4096.0)
    torch.save({"w": tensor}, tmp_path / "w.bin")
    info = open_checkpoint(tmp_path / "w.bin").tensors["w"]
    with WeightMap() as weights:
        view = weights.view(info)
        before = bytes(view)
        weights.release()
        assert bytes(view) == before == raw_bytes(tensor)
