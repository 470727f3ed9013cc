"""An output head that is tied to its embedding counts once, where the pieces' own sums tell."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemWriter, SerializationFormat
from torch.distributed.checkpoint.metadata import MetadataIndex
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.fsdp import fully_shard

from prunescope.checkpoint import open_checkpoint
from prunescope.interop.convert import convert
from tests.support.distributed import run_processes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
ROWS, COLUMNS = 11, 6
EMBEDDING = torch.arange(ROWS * COLUMNS, dtype=torch.float32).reshape(ROWS, COLUMNS)
TIED = {"model.embed_tokens.weight": EMBEDDING, "lm_head.weight": EMBEDDING}


def saved(folder: Path, state: dict[str, Any], **options: Any) -> Path:
    dcp.save(state, storage_writer=FileSystemWriter(folder, **options), no_dist=True)
    return folder


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(ROWS, COLUMNS)
        self.layer = nn.Linear(COLUMNS, COLUMNS, bias=False)
        self.output = nn.Linear(COLUMNS, ROWS, bias=False)
        self.output.weight = self.tok_embeddings.weight


def save_fsdp(rank: int, folder: str) -> None:
    """A tied model, as torch's own recipe for FSDP2 saves it: under both names."""
    torch.manual_seed(1)
    network = fully_shard(Tied())
    assert network.output.weight is network.tok_embeddings.weight
    dist.barrier()
    dcp.save({"model": get_model_state_dict(network)}, checkpoint_id=folder)


def test_a_tied_head_counts_once(tmp_path: Path) -> None:
    found = open_checkpoint(saved(tmp_path, {"model": TIED, "step": 1}))

    assert found.shared == {"lm_head.weight": "model.embed_tokens.weight"}
    assert found.parameters == ROWS * COLUMNS


def test_a_head_that_several_processes_hold_counts_once(tmp_path: Path) -> None:
    found = open_checkpoint(run_processes(save_fsdp, tmp_path))

    assert set(found.tensors) == {"tok_embeddings.weight", "layer.weight", "output.weight"}
    assert found.tensors["output.weight"].parts
    assert len(found.shared) == 1
    assert {*found.shared, *found.shared.values()} == {"tok_embeddings.weight", "output.weight"}
    assert found.parameters == ROWS * COLUMNS + COLUMNS * COLUMNS


def test_one_bit_makes_two(tmp_path: Path) -> None:
    other = EMBEDDING.clone()
    other[-1, -1] += 1
    found = open_checkpoint(saved(tmp_path, TIED | {"lm_head.weight": other}))

    assert found.shared == {}
    assert found.parameters == 2 * ROWS * COLUMNS


def test_equal_values_that_are_no_head_are_two(tmp_path: Path) -> None:
    names = ("experts.0.up.weight", "experts.1.up.weight", "layers.0.output.weight", "a", "b")
    found = open_checkpoint(saved(tmp_path, dict.fromkeys(names, EMBEDDING)))

    assert found.shared == {}
    assert found.parameters == 5 * ROWS * COLUMNS


def test_files_without_sums_tell_nothing(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        saved(tmp_path / "no sums", TIED)
    finally:
        torch.serialization.set_crc32_options(True)
    # That torch's writer refuses to write one tensor twice, so that a copy is needed.
    copied = {name: tensor.clone() for name, tensor in TIED.items()}
    saved(tmp_path / "st", copied, serialization_format=SerializationFormat.SAFETENSORS)

    for folder in tmp_path.iterdir():
        assert open_checkpoint(folder).parameters == 2 * ROWS * COLUMNS


def test_two_names_of_one_place_are_one(tmp_path: Path) -> None:
    saved(tmp_path, {"a": EMBEDDING, "b": EMBEDDING})
    file = tmp_path / ".metadata"
    metadata = pickle.loads(file.read_bytes())
    places = {index.fqn: index for index in metadata.storage_data}
    metadata.storage_data[places["b"]] = replace(metadata.storage_data[places["a"]])
    assert isinstance(places["b"], MetadataIndex)
    file.write_bytes(pickle.dumps(metadata))

    assert open_checkpoint(tmp_path).shared == {"b": "a"}


def test_a_conversion_writes_what_config_says_is_tied_once(tmp_path: Path) -> None:
    source = saved(tmp_path / "source", TIED)
    doubled = convert(source, tmp_path / "doubled")
    (source / "config.json").write_text('{"model_type": "llama", "tie_word_embeddings": true}')
    once = convert(source, tmp_path / "once")

    assert (doubled.tensors, once.tensors) == (2, 1)
    assert doubled.written.doubled == once.written.retied
