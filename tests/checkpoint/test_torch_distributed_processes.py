"""What two processes save together is read as the one state they share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunescope.checkpoint import TensorInfo, open_checkpoint
from prunescope.checkpoint.runs import runs
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.distributed import (
    run_processes,
    save_dtensors,
    save_fsdp,
    small_network,
    whole_state,
)
from tests.support.tensors import raw_bytes


@pytest.fixture(scope="module")
def dtensors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_processes(save_dtensors, tmp_path_factory.mktemp("dtensors"))


@pytest.fixture(scope="module")
def fsdp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_processes(save_fsdp, tmp_path_factory.mktemp("fsdp"))


def whole_bytes(info: TensorInfo) -> bytes:
    found = bytearray(info.nbytes)
    with WeightMap() as weights:
        for offset, data in runs(weights, info):
            found[offset : offset + len(data)] = data
    return bytes(found)


@pytest.mark.parametrize("serialised", ["torch", "safetensors"])
def test_every_tensor_is_whole_whatever_its_placement(dtensors: Path, serialised: str) -> None:
    expected = whole_state()

    checkpoint = open_checkpoint(dtensors / serialised)

    assert checkpoint.format == "torch distributed"
    assert checkpoint.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        info = checkpoint.tensors[name]
        assert info.shape == tuple(tensor.shape)
        assert info.nbytes == tensor.nbytes
        assert whole_bytes(info) == raw_bytes(tensor)
    assert checkpoint.parameters == sum(t.numel() for t in expected.values())


@pytest.mark.parametrize("serialised", ["torch", "safetensors"])
def test_pieces_say_where_they_begin_and_which_file_they_are_in(
    dtensors: Path, serialised: str
) -> None:
    tensors = open_checkpoint(dtensors / serialised).tensors

    # torch.chunk gives the first process the larger share.
    rows, columns = tensors["rows.weight"], tensors["columns.weight"]
    assert [(p.start, p.shape) for p in rows.parts] == [((0, 0), (3, 7)), ((3, 0), (2, 7))]
    assert [(p.start, p.shape) for p in columns.parts] == [((0, 0), (5, 4)), ((0, 4), (5, 3))]
    assert [p.file.name for p in rows.parts] == ["__0_0.distcp", "__1_0.distcp"]
    # One piece that is all of it needs no parts.
    assert not any(tensors[name].parts for name in ("one_row.weight", "replicated.weight"))


def test_a_tensor_in_pieces_cannot_be_viewed_at_once(dtensors: Path) -> None:
    info = open_checkpoint(dtensors / "torch").tensors["rows.weight"]
    with WeightMap() as weights, pytest.raises(CheckpointError, match="prunescope convert"):
        weights.view(info)


def test_fsdp_states_are_named_as_the_model_names_them(fsdp: Path) -> None:
    expected = small_network().state_dict()

    checkpoint = open_checkpoint(fsdp)

    assert list(checkpoint.tensors) == list(expected)
    for name, tensor in expected.items():
        assert whole_bytes(checkpoint.tensors[name]) == raw_bytes(tensor)
    # AdamW's two moments per parameter are in the same files, and no part of the model.
    assert checkpoint.mixed
    assert checkpoint.parameters == sum(p.numel() for p in small_network().parameters())


def test_a_file_that_lost_its_end_is_named(dtensors: Path, tmp_path: Path) -> None:
    for file in (dtensors / "torch").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    torch_file = tmp_path / "__1_0.distcp"
    torch_file.write_bytes(torch_file.read_bytes()[:-10])

    with pytest.raises(CheckpointError, match=r"__1_0\.distcp: truncated"):
        open_checkpoint(tmp_path)


def test_without_the_second_processs_file_nothing_is_read(dtensors: Path, tmp_path: Path) -> None:
    for name in (".metadata", "__0_0.distcp"):
        (tmp_path / name).write_bytes((dtensors / "torch" / name).read_bytes())

    with pytest.raises(CheckpointError, match=r"\.metadata: file '__1_0\.distcp' is missing"):
        open_checkpoint(tmp_path)


def test_torch_reads_the_same_values(dtensors: Path, tmp_path: Path) -> None:
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    dcp_to_torch_save(dtensors / "torch", tmp_path / "whole.bin")
    theirs = torch.load(tmp_path / "whole.bin", weights_only=True)["model"]

    for name, info in open_checkpoint(dtensors / "torch").tensors.items():
        assert whole_bytes(info) == raw_bytes(theirs[name])
