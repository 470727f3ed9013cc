"""safetensors files are read as the library that defines the format reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.storage import LocalFile
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.tensors import raw_bytes

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.uint16,
    torch.int32,
    torch.uint32,
    torch.int64,
    torch.uint64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e8m0fnu,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtype_and_shape_are_those_the_library_reports(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(1, 7).reshape(2, 3).to(dtype)
    path = tmp_path / "model.safetensors"
    save_file({"w": tensor}, path)

    read = open_checkpoint(path).tensors["w"]

    with safe_open(path, framework="pt") as file:
        assert read.dtype == file.get_slice("w").get_dtype()
        assert list(read.shape) == file.get_slice("w").get_shape()
    with WeightMap() as weights:
        assert bytes(weights.view(read)) == raw_bytes(tensor)


def test_every_tensor_lies_where_its_offset_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "odd": torch.randint(0, 255, (7,), dtype=torch.uint8),
        "a.weight": torch.randn(5, 3),
        "b.weight": torch.randn(2, 2, 2, dtype=torch.float64),
        "c.weight": torch.randn(4).bfloat16(),
    }
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    whole = path.read_bytes()

    read = open_checkpoint(path).tensors

    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        begin = read[name].offset
        assert read[name].shape == tuple(tensor.shape)
        assert whole[begin : begin + read[name].nbytes] == raw_bytes(tensor)
        assert read[name].nbytes == tensor.numel() * tensor.element_size()


def test_metadata_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.zeros(1)}, path, metadata={"format": "pt", "作者": "某人"})

    assert open_checkpoint(path).metadata == {"format": "pt", "作者": "某人"}


def test_parameters_are_elements_and_dtypes_say_how_many_of_each(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.zeros(3, 4), "x": torch.zeros(5).half(), "s": torch.tensor(1.0)}, path)

    checkpoint = open_checkpoint(path)

    # 3 × 4 and a scalar in float32, 5 in float16.
    assert checkpoint.parameters == 12 + 1 + 5
    assert checkpoint.dtypes == {"F32": 13, "F16": 5}
    assert checkpoint.format == "safetensors"
    assert checkpoint.files == (LocalFile(path),)


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.dat"
    path.write_bytes(save({"w": torch.ones(2)}))

    assert open_checkpoint(path).format == "safetensors"


def test_a_header_of_exactly_the_file_is_a_file_of_empty_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.empty(0)}, path)

    checkpoint = open_checkpoint(path)

    assert checkpoint.parameters == 0
    assert list(checkpoint.tensors) == ["w"]


@pytest.mark.parametrize("length", [0, -1])
def test_a_file_cut_after_it_was_opened_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(4)}, path)
    info = open_checkpoint(path).tensors["w"]
    path.write_bytes(path.read_bytes()[:length])

    with WeightMap() as weights, pytest.raises(CheckpointError, match=r"model\.safetensors: "):
        weights.view(info)


def test_views_outlive_the_map_they_came_from(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.arange(4, dtype=torch.uint8)}, path)
    with WeightMap() as weights:
        view = weights.view(open_checkpoint(path).tensors["w"])

    assert bytes(view) == b"\0\1\2\3"
    assert view.readonly


def test_wrappers_around_a_model_are_taken_off_its_names(tmp_path: Path) -> None:
    # What accelerate and safetensors.torch.save_model write of a compiled model.
    names = ["lm_head.weight", "model.layers.0.w", "model.norm.weight"]
    wrapped = {f"_orig_mod.{name}": torch.ones(2) for name in names}
    save_file(wrapped, tmp_path / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path)
    assert list(checkpoint.tensors) == names
    assert [tensor.name for tensor in checkpoint.tensors.values()] == names
    assert checkpoint.metadata == {"prunescope.wrappers": "_orig_mod."}
