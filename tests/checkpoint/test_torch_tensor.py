"""Every kind of tensor that torch pickles is read, or named in the error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.archives import archive_of, records, torch_file, with_pickle
from tests.support.pickles import TENSOR, text
from tests.support.tensors import raw_bytes


class Marked(torch.Tensor):
    """A subclass with data of its own kind: plain strided memory."""


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def zipped(request: pytest.FixtureRequest) -> bool:
    """Which of torch's formats to write."""
    return bool(request.param)


def saved(folder: Path, state: object, zipped: bool = True) -> Checkpoint:
    path = folder / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    return open_checkpoint(path)


def test_subclasses_and_parameters_are_their_memory(tmp_path: Path, zipped: bool) -> None:
    plain = torch.arange(6.0).reshape(2, 3)
    noted = plain.clone()
    noted.note = "an attribute of its own"  # type: ignore[attr-defined]
    state = {
        "subclass": plain.clone().as_subclass(Marked),
        "parameter": nn.Parameter(plain.clone()),
        "buffer": nn.Buffer(plain.clone()),
        "noted": noted,
        "parameter of a subclass": nn.Parameter(plain.clone().as_subclass(Marked)),
    }

    checkpoint = saved(tmp_path, state, zipped)

    assert list(checkpoint.tensors) == list(state)
    with WeightMap() as weights:
        for name, tensor in checkpoint.tensors.items():
            assert tensor.shape == (2, 3)
            assert bytes(weights.view(tensor)) == raw_bytes(plain), name


ODD: dict[str, tuple[Callable[[], torch.Tensor], str]] = {
    "meta": (lambda: torch.ones(2, device="meta"), "is a meta tensor: it was saved without data"),
    "sparse": (lambda: torch.eye(3).to_sparse(), "is sparse: save it dense"),
    "conjugated": (lambda: torch.ones(3, dtype=torch.cfloat).conj(), "is conjugated or negated"),
    "negated": (lambda: torch.ones(3, dtype=torch.cfloat).conj().imag, "is conjugated or negated"),
    "sparse rows": (lambda: torch.eye(3).to_sparse_csr(), "is sparse: save it dense"),
    "quantized": (
        lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "is quantized by torch",
    ),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "is a nested tensor",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ODD)
def test_what_has_no_plain_data_is_named(tmp_path: Path, zipped: bool, case: str) -> None:
    make, cause = ODD[case]
    with pytest.raises(CheckpointError, match=r"tensor 'odd' \(_rebuild_\w+\)") as caught:
        saved(tmp_path, {"w": torch.ones(2), "odd": make()}, zipped)
    assert cause in str(caught.value)


def hostile(folder: Path, value: bytes) -> Checkpoint:
    path = folder / "pytorch_model.bin"
    path.write_bytes(with_pickle(b"}" + text("w") + value + b"s."))
    return open_checkpoint(path)


def device_tensor(data: bytes, dtype: str, function: str = "from_cpu_tensor") -> bytes:
    name = f"ctorch._utils\n_rebuild_device_tensor_{function}\n".encode()
    return name + b"(" + data + f"ctorch\n{dtype}\n".encode() + text("xla:0") + b"\x89tR"


def test_a_tensor_from_another_device_is_its_copy_from_the_cpu(tmp_path: Path) -> None:
    assert hostile(tmp_path, device_tensor(TENSOR, "float32")).tensors["w"].shape == (6,)
    # Loaded, it would have another dtype than its bytes.
    with pytest.raises(CheckpointError, match=r"'w' \(_rebuild_device_tensor_from_cpu_tensor\)"):
        hostile(tmp_path, device_tensor(TENSOR, "float16"))
    with pytest.raises(CheckpointError, match="numpy array in the pickle"):
        hostile(tmp_path, device_tensor(b"N", "float32", "from_numpy"))


def test_a_tensor_in_parts_is_named_by_its_class(tmp_path: Path) -> None:
    function = b"ctorch._utils\n_rebuild_wrapper_subclass\n"
    kind = b"ctorch.distributed.tensor\nDTensor\n"
    call = b"ctorch._tensor\n_rebuild_from_type_v2\n(" + function + kind + b"(" + kind + b"tNtR"
    with pytest.raises(CheckpointError, match=r"is a torch\.distributed\.tensor\.DTensor, whose"):
        hostile(tmp_path, call)


@pytest.mark.parametrize(
    "arguments",
    [
        b")",
        b"N",
        b"(NNt",
        b"(NNNt",
        b"(ctorch._utils\n_rebuild_tensor_v2\nN)t",
        b"(cos\nsystem\nN)t",
    ],
)
def test_a_malformed_wrapper_is_refused(tmp_path: Path, arguments: bytes) -> None:
    with pytest.raises(CheckpointError, match="tensor 'w'"):
        hostile(tmp_path, b"ctorch._tensor\n_rebuild_from_type_v2\n" + arguments + b"R")


def test_a_big_endian_archive_is_refused(tmp_path: Path) -> None:
    entries = [
        (name, b"big" if name.endswith("/byteorder") else data)
        for name, data in records(torch_file({"w": torch.ones(1)}))
    ]
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(archive_of(entries))
    with pytest.raises(CheckpointError, match="big-endian"):
        open_checkpoint(path)
