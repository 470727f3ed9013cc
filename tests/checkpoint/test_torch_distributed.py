"""The checkpoints that trainers write with torch.distributed open as the model in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed._shard.sharded_tensor.metadata import TensorProperties
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemWriter, SerializationFormat

from prunescope.analysis.compare import compare
from prunescope.analysis.size import measure
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.dtypes import TORCH_DTYPES
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.tensors import raw_bytes
from tests.support.tiny import tiny_folder, tiny_network

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
# As Hugging Face, and as torchtune, name them.
HF = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "lm_head.weight")
TUNE = ("tok_embeddings.weight", "layers.0.mlp.w3.weight", "output.weight")


def state(names: tuple[str, ...] = HF) -> dict[str, torch.Tensor]:
    return {name: torch.arange(6.0).reshape(2, 3) + i for i, name in enumerate(names)}


def moments(names: tuple[str, ...] = HF) -> dict[str, Any]:
    kept = {name: {"exp_avg": torch.zeros(2, 3), "step": torch.tensor(1.0)} for name in names}
    return {"state": kept, "param_groups": [{"lr": torch.tensor(0.1), "params": list(names)}]}


LAYOUTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a bare state dict": (state(), HF),
    "accelerate": ({"model": state()}, HF),
    "torch's recipe": ({"app": {"model": state(), "optim": moments()}}, HF),
    "model and optimizer": ({"model": state(), "optimizer": moments(), "step": 3}, HF),
    "Lightning": ({"state_dict": state(), "optimizer_0": moments(), "epoch": 1}, HF),
    "torchtune": (
        {
            "model": state(TUNE),
            "optimizer": moments(TUNE),
            "seed": torch.tensor(7),
            "epochs_run": 1,
            "dataloader": {"offset": torch.tensor([5])},
        },
        TUNE,
    ),
    "torchtitan": (
        state(TUNE)
        | {
            "optimizer": {f"state.{n}.exp_avg": torch.zeros(2, 3) for n in TUNE},
            "lr_scheduler": {"last": torch.tensor(1)},
            "train_state": {"step": torch.tensor(5)},
        },
        TUNE,
    ),
    "flat optimizer names": (state() | {"optim.exp_avg.w": torch.zeros(2, 3)}, HF),
    "DistributedDataParallel": ({"model": {f"module.{n}": t for n, t in state().items()}}, HF),
    "torch.compile": ({f"_orig_mod.{name}": tensor for name, tensor in state().items()}, HF),
}


def save(folder: Path, content: Any, **options: Any) -> Path:
    writer = FileSystemWriter(folder, sync_files=False, **options)
    dcp.save(content, storage_writer=writer, no_dist=True)
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_models_tensors_have_the_models_names(tmp_path: Path, layout: str) -> None:
    content, names = LAYOUTS[layout]

    checkpoint = open_checkpoint(save(tmp_path, content))

    assert tuple(checkpoint.tensors) == names
    with WeightMap() as weights:
        for name, tensor in state(names).items():
            assert bytes(weights.view(checkpoint.tensors[name])) == raw_bytes(tensor)


def test_a_nest_that_is_saved_unflattened_or_by_an_old_torch(tmp_path: Path) -> None:
    planner = DefaultSavePlanner(flatten_state_dict=False)
    dcp.save(state(), checkpoint_id=tmp_path, planner=planner, no_dist=True)
    metadata = pickle.loads((tmp_path / ".metadata").read_bytes())
    assert not metadata.planner_data
    for entry in metadata.state_dict_metadata.values():
        # Until torch 2.2 the properties were a class of another module.
        entry.properties = TensorProperties(dtype=entry.properties.dtype)
    (tmp_path / ".metadata").write_bytes(pickle.dumps(metadata))

    assert tuple(open_checkpoint(tmp_path).tensors) == HF


@pytest.mark.parametrize("name", TORCH_DTYPES)
def test_every_dtype_is_named_and_found(tmp_path: Path, name: str) -> None:
    tensor = torch.arange(1, 7).reshape(2, 3).to(getattr(torch, name))

    info = open_checkpoint(save(tmp_path, {"w": tensor})).tensors["w"]

    assert info.dtype == TORCH_DTYPES[name]
    with WeightMap() as weights:
        assert bytes(weights.view(info)) == raw_bytes(tensor)


@pytest.mark.parametrize(
    "options",
    [
        {"thread_count": 2},
        {"single_file_per_rank": False},
        {"serialization_format": SerializationFormat.SAFETENSORS},
        {"serialization_format": SerializationFormat.SAFETENSORS, "single_file_per_rank": False},
    ],
    ids=["two threads", "a file each", "safetensors", "safetensors, a file each"],
)
def test_every_way_of_writing_the_files(tmp_path: Path, options: dict[str, Any]) -> None:
    # Objects that are no tensors come before the tensors in a file.
    checkpoint = open_checkpoint(save(tmp_path, {"model": state(), "step": [1, 2]}, **options))

    with WeightMap() as weights:
        for name, tensor in state().items():
            assert bytes(weights.view(checkpoint.tensors[name])) == raw_bytes(tensor)


def test_strided_and_shared_tensors(tmp_path: Path) -> None:
    big = torch.arange(12.0).reshape(3, 4)
    saved = {"t": big.t(), "column": big[:, 1], "a": big, "b": big}

    tensors = open_checkpoint(save(tmp_path, saved)).tensors

    assert tensors["t"].shape == (4, 3)
    # torch.distributed writes each name's bytes, tied or not.
    assert tensors["b"].shared_with is None


def test_size_counts_the_models_bytes_and_not_the_optimizers(tmp_path: Path) -> None:
    network = nn.Linear(30, 40)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 30)).sum().backward()
    optimizer.step()
    save(tmp_path, {"model": network.state_dict(), "optimizer": optimizer.state_dict()})

    size = measure(open_checkpoint(tmp_path))

    assert size.parameters == 30 * 40 + 40
    assert size.weight_bytes == 4 * size.parameters
    assert [Path(name).name for name in size.weight_files] == ["__0_0.distcp"]


def test_it_is_compared_with_the_same_model_in_another_format(tmp_path: Path) -> None:
    original = tiny_folder(tmp_path / "hf", tiny_network())
    save(tmp_path / "dcp", {"model": tiny_network().state_dict()})

    result = compare(open_checkpoint(original), open_checkpoint(tmp_path / "dcp"))

    assert result.parameters.removed == 0
    assert len(result.layers) == 4


def test_the_metadata_file_stands_for_its_folder(tmp_path: Path) -> None:
    save(tmp_path, state())
    assert open_checkpoint(tmp_path / ".metadata").tensors.keys() == state().keys()
    with pytest.raises(CheckpointError, match="name its folder"):
        open_checkpoint(tmp_path / "__0_0.distcp")


def test_merged_weights_beside_it_are_the_model(tmp_path: Path) -> None:
    save(tmp_path, {"model": state(TUNE)})
    torch.save(state(), tmp_path / "pytorch_model.bin")

    checkpoint = open_checkpoint(tmp_path)

    assert checkpoint.format == "torch zip"
    assert tuple(checkpoint.tensors) == HF


def test_a_save_that_was_cut_short_is_named(tmp_path: Path) -> None:
    (save(tmp_path, state()) / ".metadata").unlink()
    with pytest.raises(CheckpointError, match=r"no \.metadata: was the save cut short"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ({"optimizer": moments()}, "only what training keeps"),
        ({"step": 3}, "no tensor"),
    ],
)
def test_a_checkpoint_without_a_model_is_named(tmp_path: Path, content: Any, cause: str) -> None:
    with pytest.raises(CheckpointError, match=cause):
        open_checkpoint(save(tmp_path, content))
