"""What `torch.save` was given is found under the keys people use, in both of torch's formats."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.torch_pickle import KEYS
from prunescope.errors import CheckpointError
from tests.support.archives import with_pickle
from tests.support.pickles import TENSOR, text
from tests.support.tiny import tiny_network


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def zipped(request: pytest.FixtureRequest) -> bool:
    """Which of torch's formats to write."""
    return bool(request.param)


def saved(folder: Path, value: object, zipped: bool = True) -> Checkpoint:
    path = folder / "pytorch_model.bin"
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return open_checkpoint(path)


@pytest.mark.parametrize("key", KEYS)
def test_a_model_is_found_under_its_key(tmp_path: Path, zipped: bool, key: str) -> None:
    training = {"optimizer": {"state": {0: {"exp_avg": torch.ones(9)}}}, "epoch": 3}

    checkpoint = saved(tmp_path, training | {key: {"w": torch.ones(2)}}, zipped)

    assert {n: t.shape for n, t in checkpoint.tensors.items()} == {"w": (2,)}
    assert checkpoint.metadata == {"prunescope.key": key}
    assert checkpoint.parameters == 2


def test_the_first_key_in_order_wins_over_the_order_in_the_file(tmp_path: Path) -> None:
    everything = {key: {key: torch.ones(1)} for key in reversed(KEYS)}
    for key in KEYS:
        assert list(saved(tmp_path, everything).tensors) == [key]
        # A key that holds no tensor is none.
        everything[key] = {"decay": 0.999}


@pytest.mark.parametrize("keys", [("model", "state_dict"), ("state_dict", "model", "module")])
def test_a_model_is_found_three_deep(tmp_path: Path, zipped: bool, keys: tuple[str, ...]) -> None:
    value: Any = OrderedDict(w=torch.ones(2))
    for key in reversed(keys):
        value = {key: value, "optimizer": {"m": torch.ones(3)}}

    checkpoint = saved(tmp_path, value, zipped)

    assert list(checkpoint.tensors) == ["w"]
    assert checkpoint.metadata["prunescope.key"] == ".".join(keys)
    with pytest.raises(CheckpointError, match="no tensor at its top level, nor under any of"):
        saved(tmp_path, {"model": {"model": {"model": {"model": {"w": torch.ones(2)}}}}})


def test_a_model_under_a_key_wins_over_tensors_beside_it(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, {"step": torch.tensor(7), "state_dict": {"w": torch.ones(2)}})
    assert list(checkpoint.tensors) == ["w"]
    # A tensor that is called like a key is a tensor.
    assert list(saved(tmp_path, {"weights": torch.ones(2), "b": torch.ones(1)}).tensors) == [
        "weights",
        "b",
    ]


def test_a_moving_average_is_used_where_there_is_nothing_else(tmp_path: Path) -> None:
    average = {"model": None, "ema": {"w": torch.ones(2)}}
    assert saved(tmp_path, average).metadata == {"prunescope.key": "ema"}


def test_numpy_arrays_are_no_tensors_of_the_model(tmp_path: Path, zipped: bool) -> None:
    state = {"w": torch.ones(2), "steps": numpy.ones(5), "loss": numpy.float64(1)}
    assert list(saved(tmp_path, state, zipped).tensors) == ["w"]


def test_wrappers_around_a_model_are_taken_off_its_names(tmp_path: Path, zipped: bool) -> None:
    network = tiny_network(num_hidden_layers=1)
    names = list(network.state_dict())

    class Lightning(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = network

    wrapped = {
        "module.": nn.DataParallel(network),
        "module. module.": nn.DataParallel(nn.DataParallel(network)),
        "_orig_mod.": torch.compile(network),
        "model.": Lightning(),
        "_orig_mod. module.": torch.compile(nn.DataParallel(network)),
        "_orig_mod. module. model.": nn.DataParallel(torch.compile(Lightning())),
    }
    for wrappers, module in wrapped.items():
        checkpoint = saved(tmp_path, {"state_dict": module.state_dict()}, zipped)
        assert list(checkpoint.tensors) == names, wrappers
        found = checkpoint.metadata["prunescope.wrappers"]
        assert set(found.split()) == set(wrappers.split())


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        # FSDP and activation checkpointing wrap layers inside the model.
        ("model._fsdp_wrapped_module.layers.0._checkpoint_wrapped_module.w", "model.layers.0.w"),
        ("_forward_module.module.w", "w"),
        ("model.lm_head.weight", "lm_head.weight"),
        # What a Hugging Face model calls its own.
        ("model.layers.0.w", "model.layers.0.w"),
        ("modules.w", "modules.w"),
        ("_orig_mod", "_orig_mod"),
        ("module.", "module."),
    ],
)
def test_a_name_without_its_wrappers(tmp_path: Path, stored: str, expected: str) -> None:
    assert list(saved(tmp_path, {stored: torch.ones(1)}).tensors) == [expected]


def test_a_prefix_that_not_every_name_has_is_part_of_the_names(tmp_path: Path) -> None:
    for names in (["module.w", "head.w"], ["model.model.w", "loss.w"]):
        assert list(saved(tmp_path, {n: torch.ones(1) for n in names}).tensors) == names


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    state = {"a._orig_mod.w": torch.ones(1), "a.w": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"'a\._orig_mod\.w' and 'a\.w' are both 'a\.w'"):
        saved(tmp_path, state)


def test_models_under_keys_of_their_own_are_named(tmp_path: Path, zipped: bool) -> None:
    state = {"w": torch.ones(1)}
    several = {"step": 3, "student": state, "teacher": {"state_dict": state}, "args": {"lr": 0.1}}
    with pytest.raises(CheckpointError, match=r"; save by itself .* 'student' or 'teacher'$"):
        saved(tmp_path, several, zipped)
    with pytest.raises(CheckpointError, match=r"params_ema, ema$"):
        saved(tmp_path, {"step": 3, "args": {"lr": 0.1}}, zipped)


def test_one_dict_under_every_key_is_looked_at_once(tmp_path: Path) -> None:
    # Thirteen keys, three deep, a million entries: 2,197 walks over them would take an hour, and
    # two thousand keys of another name as long.
    path = tmp_path / "pytorch_model.bin"
    below = b"}q\x00(" + b"K\x01N" * 300_000 + b"u0"
    for index in (1, 2, 3):
        pairs = b"".join(text(key) + b"h" + bytes([index - 1]) for key in KEYS)
        below += b"}q" + bytes([index]) + b"(" + pairs + b"u0"
    others = b"".join(text(f"own{n}") + b"h\x02" for n in range(2000))
    path.write_bytes(with_pickle(below + b"h\x03(" + others + b"u."))
    with pytest.raises(CheckpointError, match="holds no state dict"):
        open_checkpoint(path)


def test_one_tensor_under_too_many_names_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.checkpoint.torch_pickle.MAX_TENSORS", 3)
    path = tmp_path / "pytorch_model.bin"
    pairs = b"".join(text(str(n)) + b"h\x00" for n in range(4))
    path.write_bytes(with_pickle(TENSOR + b"q\x000}(" + pairs + b"u."))
    with pytest.raises(CheckpointError, match="over 3 tensors"):
        open_checkpoint(path)
