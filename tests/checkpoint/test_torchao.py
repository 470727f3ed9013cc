"""torchao's weights are read from pickles and from safetensors, without torchao and unexecuted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from prunescope.checkpoint import Checkpoint, open_checkpoint, torch_pickle
from prunescope.errors import CheckpointError
from prunescope.interop.convert import convert
from tests.support import torchao
from tests.support.archives import with_pickle
from tests.support.pickles import TENSOR, text

F8 = torch.float8_e4m3fn

# What makes it → its encoding, and the bytes of 96 · 256 = 24576 weights with all beside them.
PICKLED: dict[str, tuple[Callable[[pytest.MonkeyPatch], Any], str, int]] = {
    "int8": (torchao.int8, "torchao-INT8", 24576 + 96 * 4 + 96),
    "float8": (torchao.float8, "torchao-FP8", 24576 + 96 * 4),
    "intx": (torchao.intx, "torchao-INT4", 24576 + 768 * 2 + 768),
    "int4 on a CPU": (torchao.int4_on_cpu, "torchao-INT4", 12288 + 1536 * 2),
    "int4 on a GPU": (torchao.tiled_int4, "torchao-INT4", 96 * 1024 // 2 + 6144 * 2),
    "dynamic int8": (torchao.dynamic_int8, "torchao-INT8", 24576 + 96 * 2),
}


@pytest.mark.parametrize("case", PICKLED)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickled_weight_has_the_shape_that_it_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, zipped: bool
) -> None:
    make, dtype, nbytes = PICKLED[case]
    state = {"m.q_proj.weight": make(monkeypatch), "m.q_proj.bias": torch.zeros(96)}
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)

    found = open_checkpoint(path)

    weight = found.tensors["m.q_proj.weight"]
    assert (weight.shape, weight.dtype, weight.nbytes) == ((96, 256), dtype, nbytes)
    assert found.parameters == 96 * 256 + 96
    assert found.nbytes == nbytes + 96 * 4
    assert {part.name.rpartition(".")[0] for part in weight.parts} == {"m.q_proj"}
    assert sum(part.nbytes for part in weight.parts) == nbytes


def test_tied_ones_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torchao.int8(monkeypatch)
    torch.save({"embed.weight": weight, "head.weight": weight}, tmp_path / "m.bin")

    found = open_checkpoint(tmp_path / "m.bin")

    assert found.shared == {"head.weight": "embed.weight"}
    assert found.parameters == 96 * 256


def test_a_whole_module_may_hold_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = torch.nn.Linear(2, 3)
    module._parameters["weight"] = torchao.float8(monkeypatch)
    torch.save(module, tmp_path / "m.pt")

    found = open_checkpoint(tmp_path / "m.pt").tensors

    assert {name: tensor.shape for name, tensor in found.items()} == {
        "weight": (96, 256),
        "bias": (3,),
    }


def test_objects_are_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"w.weight": torchao.int8(monkeypatch)}, tmp_path / "pytorch_model.bin")

    cause = r"its weights are objects \(torchao.quantization.Int8Tensor\)"
    with pytest.raises(CheckpointError, match=cause):
        convert(tmp_path / "pytorch_model.bin", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def pickled(folder: Path, value: bytes) -> Checkpoint:
    path = folder / "pytorch_model.bin"
    path.write_bytes(with_pickle(b"}" + text("w") + value + b"s."))
    return open_checkpoint(path)


def wrapper(kind: str, shape: bytes, attributes: bytes) -> bytes:
    """The call by which torch makes a wrapper subclass, protocol 0 and up."""
    name = f"ctorchao.quantization\n{kind}\n".encode()
    function = b"ctorch._utils\n_rebuild_wrapper_subclass\n"
    made_of = b"(" + name + b"ctorch\nbfloat16\n" + shape + b"t"
    return (
        b"ctorch._tensor\n_rebuild_from_type_v2\n("
        + function
        + name
        + made_of
        + b"}("
        + attributes
        + b"utR"
    )


def test_the_smallest_sound_one_is_read(tmp_path: Path) -> None:
    # The tensor of the other tests has six float32.
    found = pickled(tmp_path, wrapper("Int8Tensor", b"(K\x02K\x03t", text("qdata") + TENSOR))

    assert found.tensors["w"].shape == (2, 3)
    assert [part.name for part in found.tensors["w"].parts] == ["_w_qdata"]


NESTED = wrapper("Int8Tensor", b"(K\x06t", text("qdata") + TENSOR)
HOSTILE = {
    "of no tensor": (wrapper("Int8Tensor", b"(K\x06t", text("qdata") + b"N"), "of no parts"),
    "of two objects": (
        wrapper("Int8Tensor", b"(K\x06t", text("a") + NESTED + text("b") + NESTED),
        "of no parts known here",
    ),
    "of nine tensors": (
        wrapper("X", b"(K\x06t", b"".join(text(c) + TENSOR for c in "abcdefghi")),
        "of no parts known here",
    ),
    "of more weights than bits": (
        wrapper("Int8Tensor", b"(K\xc1t", text("qdata") + TENSOR),
        r"a torchao\.quantization\.Int8Tensor of shape \[193\] in 24 bytes",
    ),
    "of a huge shape": (
        wrapper(
            "Int8Tensor", b"(" + b"\x8a\x08" + b"\xff" * 7 + b"\x7f" + b"t", text("q") + TENSOR
        ),
        "in 24 bytes",
    ),
    "of no weights": (wrapper("Int8Tensor", b"(K\x00t", text("q") + TENSOR), "of shape .0. in 24"),
    "of a negative shape": (
        wrapper("Int8Tensor", b"(J\xff\xff\xff\xfft", text("q") + TENSOR),
        "whose data is in parts: save plain tensors",
    ),
    "of a text for a shape": (
        wrapper("Int8Tensor", text("x"), text("q") + TENSOR),
        "whose data is in parts",
    ),
    "of attributes without names": (
        wrapper("Int8Tensor", b"(K\x06t", text("a\nb") + TENSOR),
        "of no parts known here",
    ),
    "of a long name": (
        wrapper("Int8Tensor", b"(K\x06t", text("a" * 65) + TENSOR),
        "of no parts known here",
    ),
    "of many attributes": (
        wrapper("X", b"(K\x06t", b"".join(text(f"a{n}") + b"N" for n in range(25))),
        "of no parts known here",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_no_weight_is_made_of_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    value, cause = HOSTILE[case]
    with pytest.raises(CheckpointError, match=cause) as caught:
        pickled(tmp_path, value)
    assert "'w'" in str(caught.value)
    assert str(caught.value).isprintable()


def test_objects_in_objects_have_an_end(tmp_path: Path) -> None:
    deep = NESTED
    for _ in range(3):
        deep = wrapper("Int8Tensor", b"(K\x06t", text("inner") + deep)
    assert pickled(tmp_path, deep).tensors["w"].shape == (6,)

    with pytest.raises(CheckpointError, match="of no parts known here"):
        pickled(tmp_path, wrapper("Int8Tensor", b"(K\x06t", text("inner") + deep))


def test_parts_count_among_the_tensors_that_a_file_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {f"m{n}.weight": torchao.int8(monkeypatch) for n in range(3)}
    torch.save(state, tmp_path / "m.bin")
    # Three parts each.
    monkeypatch.setattr(torch_pickle, "MAX_TENSORS", 9)
    assert len(open_checkpoint(tmp_path / "m.bin").tensors) == 3

    monkeypatch.setattr(torch_pickle, "MAX_TENSORS", 8)
    with pytest.raises(CheckpointError, match="over 8 tensors"):
        open_checkpoint(tmp_path / "m.bin")


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape).to(dtype)


INT4 = {"block_size": [1, 32], "shape": [96, 256]}
# Class, what it notes, qdata, the other parts, its encoding.
FLAT: dict[str, tuple[str, dict[str, Any], torch.Tensor, dict[str, torch.Tensor], str]] = {
    "int8": (
        "Int8Tensor",
        {"block_size": [1, 256]},
        zeros(96, 256, dtype=torch.int8),
        {"scale": zeros(96, 1), "zero_point": zeros(96, 1, dtype=torch.int8)},
        "torchao-INT8",
    ),
    "float8": (
        "Float8Tensor",
        {"block_size": [1, 256]},
        zeros(96, 256, dtype=F8),
        {"scale": zeros(96, 1)},
        "torchao-FP8",
    ),
    "intx": (
        "IntxUnpackedToInt8Tensor",
        {"target_dtype": {"_type": "torch.dtype", "_data": "int4"}},
        zeros(96, 256, dtype=torch.int8),
        {"scale": zeros(96, 8), "zero_point": zeros(96, 8, dtype=torch.int8)},
        "torchao-INT4",
    ),
    "int4": (
        "Int4Tensor",
        INT4,
        zeros(96, 128, dtype=torch.int8),
        {"scale": zeros(8, 96), "zero_point": zeros(8, 96)},
        "torchao-INT4",
    ),
    "int4 in words": (
        "Int4PlainInt32Tensor",
        INT4,
        zeros(96, 32, dtype=torch.int32),
        {"scale": zeros(8, 96), "zero_point": zeros(8, 96, dtype=torch.int8)},
        "torchao-INT4",
    ),
    "int4 in tiles": (
        "Int4TilePackedTo4dTensor",
        INT4,
        zeros(12, 8, 32, 4, dtype=torch.int32),
        {"scale_and_zero": zeros(32, 96, 2, dtype=torch.bfloat16)},
        "torchao-INT4",
    ),
    "nvfp4": (
        "NVFP4Tensor",
        {"block_size": 16},
        zeros(96, 128, dtype=torch.uint8),
        {"scale": zeros(32, 64, dtype=F8), "per_tensor_scale": zeros()},
        "torchao-NVFP4",
    ),
    "mxfp8": (
        "MXTensor",
        {"block_size": 32},
        zeros(96, 256, dtype=F8),
        {"scale": zeros(96, 8, dtype=torch.uint8)},
        "torchao-MXFP8",
    ),
    "mxfp4": (
        "MXTensor",
        {"block_size": 32},
        zeros(96, 128, dtype=torch.uint8),
        {"scale": zeros(96, 8, dtype=torch.uint8)},
        "torchao-MXFP4",
    ),
}


def flat(folder: Path, kind: str, said: Any, parts: dict[str, torch.Tensor]) -> Path:
    """What `flatten_tensor_state_dict` of torchao 0.18 makes of a Linear's weight and bias."""
    state = {f"m.q_proj._weight_{name}": tensor for name, tensor in parts.items()}
    note = {"_type": kind, "_data": said, "_tensor_data_names": list(parts)}
    notes = {
        "m.q_proj.weight": json.dumps(note),
        "m.q_proj.bias": json.dumps({"_type": "Tensor"}),
        "tensor_names": json.dumps(["m.q_proj.weight", "m.q_proj.bias"]),
    }
    save_file(state | {"m.q_proj.bias": zeros(96)}, folder / "model.safetensors", notes)
    return folder


@pytest.mark.parametrize("case", FLAT)
def test_in_safetensors_its_tensors_lie_apart(tmp_path: Path, case: str) -> None:
    kind, said, data, others, dtype = FLAT[case]
    parts = {"qdata": data} | others

    found = open_checkpoint(flat(tmp_path, kind, said, parts))

    assert sorted(found.tensors) == ["m.q_proj.bias", "m.q_proj.weight"]
    weight = found.tensors["m.q_proj.weight"]
    assert (weight.shape, weight.dtype) == ((96, 256), dtype)
    assert weight.nbytes == sum(tensor.nbytes for tensor in parts.values())
    assert found.parameters == 96 * 256 + 96


def test_experts_are_weights_by_another_name(tmp_path: Path) -> None:
    note = {"_type": "Int4Tensor", "_data": {"shape": [3, 8, 64]}, "_tensor_data_names": []}
    state = {
        "mlp.experts._gate_up_proj_qdata": zeros(3, 8, 32, dtype=torch.int8),
        "mlp.experts._gate_up_proj_scale": zeros(3, 2, 8),
    }
    notes = {"mlp.experts.gate_up_proj": json.dumps(note)}
    save_file(state, tmp_path / "model.safetensors", notes)

    found = open_checkpoint(tmp_path).tensors

    assert found["mlp.experts.gate_up_proj"].shape == (3, 8, 64)
    assert len(found) == 1


def test_they_are_converted_as_they_lie(tmp_path: Path) -> None:
    kind, said, data, others, _ = FLAT["int4"]
    (tmp_path / "in").mkdir()
    source = flat(tmp_path / "in", kind, said, {"qdata": data} | others)

    convert(source, tmp_path / "out")

    copied = open_checkpoint(tmp_path / "out").tensors
    assert copied["m.q_proj.weight"].shape == (96, 256)


TILES = zeros(12, 8, 32, 4, dtype=torch.int32)


@pytest.mark.parametrize(
    ("kind", "said", "data", "cause"),
    [
        ("Int4Tensor", {"shape": [96, 250]}, zeros(96, 128, dtype=torch.int8), "fits no weight of"),
        ("Int4Tensor", {"shape": "\x1b\n"}, zeros(96, 128, dtype=torch.int8), "fits no weight of"),
        ("Int8Tensor", {}, zeros(9, dtype=torch.int8), r"has a qdata of shape \[9\]"),
        ("Int4TilePackedTo4dTensor", {}, TILES, "of shape None"),
        ("Int4TilePackedTo4dTensor", {"shape": [96, -1]}, TILES, r"of shape \[96, -1\]"),
        ("Int4TilePackedTo4dTensor", {"shape": [True, 9]}, TILES, r"of shape \[True, 9\]"),
        ("Int4TilePackedTo4dTensor", {"shape": [96, 1100]}, TILES, "fits no torchao-INT4"),
        ("Int4TilePackedTo4dTensor", {"shape": [96, 256]}, TILES[0], "has a qdata of shape"),
    ],
)
def test_notes_that_do_not_fit_are_refused(
    tmp_path: Path, kind: str, said: dict[str, Any], data: torch.Tensor, cause: str
) -> None:
    with pytest.raises(CheckpointError, match=cause) as caught:
        open_checkpoint(flat(tmp_path, kind, said, {"qdata": data}))
    assert str(caught.value).isprintable()


def test_a_note_that_is_not_json_is_refused(tmp_path: Path) -> None:
    state = {"m._weight_qdata": zeros(2, 2, dtype=torch.int8)}
    save_file(state, tmp_path / "model.safetensors", {"m.weight": "{"})

    with pytest.raises(CheckpointError, match=r"note 'm\.weight' is not JSON"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "notes",
    [
        {},
        {"m.weight": json.dumps({"_type": "SomethingNew", "_data": {}})},
        {"m.weight": json.dumps({"_type": ["x"], "_data": {}})},
        {"m.weight": json.dumps({"_type": "Int8Tensor"})},
        {"m.weight": " " * (1 << 16) + "{}"},
    ],
)
def test_what_no_note_tells_is_left_as_it_is(tmp_path: Path, notes: dict[str, str]) -> None:
    state = {"m._weight_qdata": zeros(2, 2, dtype=torch.int8), "m._weight_scale": zeros(2)}
    save_file(state, tmp_path / "model.safetensors", notes)

    assert sorted(open_checkpoint(tmp_path).tensors) == sorted(state)
