"""Quantised models, as the libraries write them, have the shapes of what they were made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers.integrations.bitnet import pack_weights
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.quantised import (
    agree,
    awq,
    by_bitsandbytes,
    by_compressed_tensors,
    by_finegrained_fp8,
    by_hand,
    gptq,
    mlx,
    original,
)
from tests.support.tiny import edit_json


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return original(tmp_path_factory.mktemp("source") / "original")


BNB = {
    "nf4": ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bnb-NF4"),
    "fp4": ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "bnb-FP4"),
    "double": (
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
        "bnb-NF4",
    ),
    "stored as bf16": (
        {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_quant_storage": torch.bfloat16,
        },
        "bnb-NF4",
    ),
    "int8": ({"load_in_8bit": True}, "bnb-INT8"),
}


@pytest.mark.parametrize("case", BNB)
def test_bitsandbytes(source: Path, tmp_path: Path, case: str) -> None:
    settings, dtype = BNB[case]

    found = agree(source, by_bitsandbytes(source, tmp_path / "q", **settings), dtype)

    weight = found.tensors["model.layers.0.self_attn.q_proj.weight"]
    assert weight.name in {part.name for part in weight.parts}


PRESETS = {
    "W4A16": "packed-INT4",
    "W4A16_ASYM": "packed-INT4",
    "W3A16": "packed-INT3",
    "W8A16": "packed-INT8",
    "W8A8": "INT8",
    "FP8": "FP8",
    "FP8_DYNAMIC": "FP8",
    "NVFP4": "NVFP4",
    "MXFP4": "MXFP4",
    "MXFP6A16": "MXFP6",
    "MXFP8": "FP8",
}


@pytest.mark.parametrize("preset", PRESETS)
def test_compressed_tensors(source: Path, tmp_path: Path, preset: str) -> None:
    pytest.importorskip("compressed_tensors")

    agree(source, by_compressed_tensors(source, tmp_path / "q", preset), PRESETS[preset])


@pytest.mark.parametrize("block", [(32, 32), (48, 128), None])
def test_finegrained_fp8(source: Path, tmp_path: Path, block: tuple[int, int] | None) -> None:
    agree(source, by_finegrained_fp8(source, tmp_path / "q", block), "FP8")


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("config", [{}, {"group_size": 32}, {"group_size": -1}])
def test_gptq(source: Path, tmp_path: Path, bits: int, config: dict[str, Any]) -> None:
    group = max(config.get("group_size", 32), 0) or 128
    settings = {"quant_method": "gptq", "bits": bits} | config if config else {}
    folder = by_hand(source, tmp_path / "q", gptq(bits, group, bool(config)), settings)

    found = agree(source, folder, f"GPTQ-{bits}bit")

    down = found.tensors["model.layers.1.mlp.down_proj.weight"]
    parts = {part.name.rpartition(".")[2]: part.shape for part in down.parts}
    # [64, 128]: `bits` words of 32 elements down each of 64 columns.
    assert parts["qweight"] == (128 * bits // 32, 64)
    assert parts["scales"] == (128 // group, 64)


@pytest.mark.parametrize("config", [{}, {"bits": 4, "group_size": 32}])
def test_awq(source: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    folder = by_hand(source, tmp_path / "q", awq(32), config)

    down = agree(source, folder, "AWQ-4bit").tensors["model.layers.1.mlp.down_proj.weight"]

    # 64 · 128 / 2 bytes of weights; four groups of 64 half scales and 64 / 2 bytes of zeros.
    assert down.nbytes == 64 * 128 // 2 + 4 * 64 * 2 + 4 * 64 // 2


# By the mode, bits and group size that config.json says, as mlx_lm.convert writes them.
MLX: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "4 bits": ((4, 64), {"group_size": 64, "bits": 4, "mode": "affine"}, "MLX-4bit"),
    "older": ((8, 32), {"group_size": 32, "bits": 8}, "MLX-8bit"),
    "3 bits": ((3, 32), {"group_size": 32, "bits": 3, "mode": "affine"}, "MLX-3bit"),
    "mxfp4": ((4, 32, torch.uint8), {"group_size": 32, "bits": 4, "mode": "mxfp4"}, "MXFP4"),
    "nvfp4": ((4, 16, torch.uint8), {"group_size": None, "bits": 4, "mode": "nvfp4"}, "NVFP4"),
}


@pytest.mark.parametrize("case", MLX)
@pytest.mark.parametrize("key", ["quantization", "quantization_config"])
def test_mlx(source: Path, tmp_path: Path, case: str, key: str) -> None:
    how, config, dtype = MLX[case]
    folder = by_hand(source, tmp_path / "q", mlx(*how), config)
    edit_json(folder / "config.json", {"quantization_config": None} | {key: config})

    down = agree(source, folder, dtype).tensors["model.layers.1.mlp.down_proj.weight"]

    stored = {part.name.rpartition(".")[2]: part.shape for part in down.parts}
    bits, group = how[:2]
    assert stored["weight"] == (64, 128 * bits // 32)
    assert stored["scales"] == (64, 128 // group)
    assert ("biases" in stored) == dtype.startswith("MLX")


def test_mlx_quantises_modules_each_in_its_way(source: Path, tmp_path: Path) -> None:
    config = {"group_size": 64, "bits": 4, "mode": "affine"}
    folder = by_hand(source, tmp_path / "q", mlx(2, 32), config)
    stems = [n.removesuffix(".weight") for n in open_checkpoint(source).tensors if "_proj." in n]
    own = {"group_size": 32, "bits": 2, "mode": "affine"}
    edit_json(folder / "config.json", {"quantization_config": config | dict.fromkeys(stems, own)})

    agree(source, folder, "MLX-2bit")


def test_bitnet(source: Path, tmp_path: Path) -> None:
    def pack(weight: torch.Tensor) -> dict[str, torch.Tensor]:
        # transformers' own packing; it changes what it is given.
        values = torch.randint(-1, 2, weight.shape).to(torch.int8)
        return {"weight": pack_weights(values), "weight_scale": torch.ones(1, dtype=torch.bfloat16)}

    agree(source, by_hand(source, tmp_path / "q", pack, {"quant_method": "bitnet"}), "BitNet-2bit")


def test_the_experts_of_gpt_oss(tmp_path: Path) -> None:
    shapes = {"gate_up_proj": (3, 24, 64), "down_proj": (3, 64, 32)}
    stem = "model.layers.0.mlp.experts."
    state: dict[str, torch.Tensor] = {stem + "gate_up_proj_bias": torch.zeros(3, 24)}
    for name, (experts, out, columns) in shapes.items():
        blocks = torch.randint(256, (experts, out, columns // 32, 16), dtype=torch.uint8)
        scales = torch.full(blocks.shape[:-1], 127, dtype=torch.uint8)
        state |= {f"{stem}{name}_blocks": blocks, f"{stem}{name}_scales": scales}
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "mxfp4"}}')

    found = open_checkpoint(tmp_path)

    # What transformers makes of them.
    for name in shapes:
        whole = convert_moe_packed_tensors(
            state[f"{stem}{name}_blocks"], state[f"{stem}{name}_scales"]
        )
        weight = found.tensors[stem + name]
        assert (weight.shape, weight.dtype) == (tuple(whole.shape), "MXFP4")
    assert found.parameters == 3 * 24 * 64 + 3 * 64 * 32 + 3 * 24
    assert found.nbytes == sum(tensor.nbytes for tensor in state.values())


def test_the_bytes_of_a_quantised_weight_are_those_of_its_parts(
    source: Path, tmp_path: Path
) -> None:
    found = open_checkpoint(by_hand(source, tmp_path / "q", gptq(4, 32), {}))
    weight = found.tensors["model.layers.0.mlp.up_proj.weight"]

    with WeightMap() as weights:
        with pytest.raises(CheckpointError, match=r"stored in parts \(GPTQ-4bit\)"):
            weights.view(weight)
        assert sum(len(weights.view(part)) for part in weight.parts) == weight.nbytes


def test_torch_files_are_seen_through_too(tmp_path: Path) -> None:
    parts = gptq(4, 32)(torch.ones(64, 128))
    torch.save({f"x.{name}": tensor for name, tensor in parts.items()}, tmp_path / "m.bin")

    assert open_checkpoint(tmp_path / "m.bin").tensors["x.weight"].shape == (64, 128)


def test_shards_may_part_a_module(source: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    parts = gptq(4, 32)(torch.ones(64, 128))
    for name, tensor in parts.items():
        save_file({f"x.{name}": tensor.contiguous()}, tmp_path / f"{name}.safetensors")

    weight = open_checkpoint(tmp_path).tensors["x.weight"]

    assert weight.shape == (64, 128)
    assert {part.file.name for part in weight.parts} == {f"{n}.safetensors" for n in parts}
