"""Parts of a quantised weight that do not fit together are refused, with the module's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from prunescope.checkpoint import open_checkpoint
from prunescope.errors import CheckpointError
from tests.support.quantised import awq, gptq, mlx

Parts = dict[str, torch.Tensor]
GPTQ = gptq(4, 32)(torch.ones(64, 128))
AWQ = awq(32)(torch.ones(64, 128))
MLX = mlx(4, 32)(torch.ones(64, 128))
I32, U8, F8 = torch.int32, torch.uint8, torch.float8_e4m3fn


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


def state(**fields: object) -> torch.Tensor:
    text = json.dumps({"quant_type": "nf4", "blocksize": 64, "shape": [8, 64]} | fields)
    return torch.tensor(list(text.encode()), dtype=U8)


NF4 = "weight.quant_state.bitsandbytes__nf4"
BNB4 = {"weight": zeros(256, 1, dtype=U8), "weight.absmax": zeros(8), NF4: state()}
BNB8 = {"weight": zeros(8, 64, dtype=torch.int8), "SCB": zeros(8)}
PACKED = {
    "weight_packed": zeros(8, 8, dtype=I32),
    "weight_scale": zeros(8, 2),
    "weight_shape": torch.tensor([8, 64]),
}
FP8 = {"weight": zeros(8, 64, dtype=F8), "weight_scale_inv": zeros(1, 2)}
NVFP4 = {"weight_packed": zeros(8, 32, dtype=U8), "weight_scale": zeros(8, 4, dtype=F8)}


def write(folder: Path, parts: Parts, config: dict[str, object] | None = None) -> Path:
    tensors = {f"m.q_proj.{name}": t.contiguous() for name, t in parts.items()}
    save_file(tensors, folder / "model.safetensors")
    text = json.dumps({"quantization_config": config} if config else {})
    (folder / "config.json").write_text(text)
    return folder


@pytest.mark.parametrize("parts", [GPTQ, AWQ, BNB4, BNB8, PACKED, FP8, NVFP4])
def test_unchanged_they_fit(tmp_path: Path, parts: Parts) -> None:
    found = open_checkpoint(write(tmp_path, parts))

    assert list(found.tensors) == ["m.q_proj.weight"]
    assert found.tensors["m.q_proj.weight"].shape in ((64, 128), (8, 64))


OSS = {"x_blocks": zeros(2, 3, 1, 16, dtype=U8), "x_scales": zeros(2, 3, 1, dtype=U8)}
HOSTILE = {
    "gpt-oss with short blocks": (OSS, {"x_blocks": zeros(2, 3, 1, 8, dtype=U8)}, "fits no"),
    "gpt-oss with fewer scales": (OSS, {"x_scales": zeros(2, 2, 1, dtype=U8)}, "fits no"),
    "GPTQ without scales": (GPTQ, {"scales": None}, "has no scales"),
    "GPTQ with scales of a row": (GPTQ, {"scales": zeros(64)}, r"has a scales of shape \[64\]"),
    "GPTQ with other zeros": (GPTQ, {"qzeros": zeros(4, 9, dtype=I32)}, "of 4.5 bits"),
    "GPTQ with fewer zeros": (GPTQ, {"qzeros": zeros(3, 8, dtype=I32)}, "qzeros.*fits no"),
    "GPTQ with another index": (GPTQ, {"g_idx": zeros(64, dtype=I32)}, "g_idx.*fits no"),
    "GPTQ of no width": (GPTQ, {"qzeros": None}, "of 0 bits"),
    "GPTQ with more groups than columns": (
        GPTQ,
        {"scales": zeros(500, 64), "qzeros": zeros(500, 8, dtype=I32)},
        r"qweight \[16, 64\] and scales \[500, 64\]",
    ),
    "GPTQ beside its weight": (GPTQ, {"weight": zeros(64, 128)}, "has its weight unquantised too"),
    "AWQ with other scales": (AWQ, {"scales": zeros(4, 60)}, "and scales .4, 60. of 4.26667 bits"),
    "AWQ with other zeros": (AWQ, {"qzeros": zeros(2, 8, dtype=I32)}, "qzeros.*fits no"),
    "NF4 without a weight": (BNB4, {"weight": None}, "has no weight"),
    "NF4 with fewer bytes": (BNB4, {"weight": zeros(255, 1, dtype=U8)}, "'m.q_proj.weight' of sha"),
    "NF4 with fewer scales": (BNB4, {"weight.absmax": zeros(7)}, "absmax.*fits no"),
    "NF4 that is FP4": (BNB4, {NF4: state(quant_type="fp4")}, "type 'fp4', not nf4"),
    "NF4 in blocks of nothing": (BNB4, {NF4: state(blocksize=0)}, "blocks of 0"),
    "NF4 of another shape": (BNB4, {NF4: state(shape=[8, 65])}, "of shape .256, 1."),
    "NF4 of a negative shape": (BNB4, {NF4: state(shape=[-8, -64])}, "without a shape"),
    "NF4 of a true shape": (BNB4, {NF4: state(shape=[True, 512])}, "without a shape"),
    "NF4 of a huge shape": (BNB4, {NF4: state(shape=[1 << 60] * 9)}, "without a shape"),
    "NF4 without JSON": (BNB4, {NF4: zeros(9, dtype=U8)}, "quant_state of 'm.q_proj' is not JSON"),
    "NF4 with a book": (BNB4, {NF4: zeros(5000, dtype=U8)}, "no list of at most 4096 bytes"),
    "INT8 with fewer scales": (BNB8, {"SCB": zeros(7)}, "SCB.*fits no"),
    "INT8 of floats": (BNB8, {"weight": zeros(8, 64)}, "type F32, not I8"),
    "packed without scales": (PACKED, {"weight_scale": None}, "has no weight_scale"),
    "packed of another shape": (
        PACKED,
        {"weight_shape": torch.tensor([8, 200])},
        r"weight_packed.*fits no weight of \[8, 200\]",
    ),
    "packed of a negative shape": (PACKED, {"weight_shape": torch.tensor([8, -64])}, "fits no"),
    "packed of three sizes": (
        PACKED,
        {"weight_shape": torch.tensor([8, 64, 1], dtype=I32)},
        "weight_shape of type I32 and shape .3.",
    ),
    "packed of a book": (PACKED, {"weight_shape": torch.ones(99).long()}, "at most 16 bytes"),
    "packed with too many scales": (PACKED, {"weight_scale": zeros(9, 2)}, "weight_scale.*fits no"),
    "4 bits of more elements than a float counts": (
        BNB4,
        {NF4: state(shape=[2**31 - 1] * 99)},
        "weight' of shape .256, 1., which fits no",
    ),
    "FP8 with too many scales": (FP8, {"weight_scale_inv": zeros(9, 2)}, "scale_inv.*fits no"),
    "FP8 with no scales": (
        FP8,
        {"weight_scale_inv": zeros(0, 2)},
        r"scale_inv.*fits no FP8 weight of \[8, 64\]$",
    ),
    "FP8 with scales of four axes": (FP8, {"weight_scale_inv": zeros(1, 1, 1, 1)}, "fits no"),
    "NVFP4 with other scales": (NVFP4, {"weight_scale": zeros(8, 3, dtype=F8)}, "do not fit tog"),
    "NVFP4 of three axes": (NVFP4, {"weight_packed": zeros(2, 4, 32, dtype=U8)}, "of shape"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    parts, changes, cause = HOSTILE[case]
    left = {name: t for name, t in (parts | changes).items() if t is not None}
    with pytest.raises(CheckpointError, match=cause) as caught:
        open_checkpoint(write(tmp_path, left))
    assert str(caught.value).startswith(str(tmp_path / "model.safetensors"))
    assert "m.q_proj" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("parts", "config", "cause"),
    [
        (GPTQ, {"bits": 8}, "has 4 bits, quantization_config says 8"),
        (AWQ, {"w_bit": 8}, "has 4 bits, quantization_config says 8"),
        (GPTQ, {"bits": 4, "group_size": 64}, "scales.*fits no.*in groups of 64"),
        (FP8, {"weight_block_size": [8, 8]}, r"fits no.*in blocks of \[8, 8\]"),
        (FP8, {"weight_block_size": [0, "x"]}, "fits no"),
        (MLX, {"group_size": 64, "bits": 4}, "has 2 bits, config.json says 4"),
        (MLX, {"group_size": 96}, "fits no"),
        (MLX, {"group_size": 0}, "has groups of 0 in mode 'affine'"),
        (MLX, {"group_size": 1 << 40}, "has groups of 1099511627776"),
        (MLX, {"group_size": [32]}, r"has groups of \[32\]"),
        (MLX, {"group_size": 32, "mode": "\n\x1b"}, "in mode '"),
        (MLX | {"biases": zeros(64, 3)}, {"group_size": 32}, "biases.*fits no"),
        (MLX | {"scales": zeros(64)}, {"group_size": 32}, r"has a scales of shape \[64\]"),
        (MLX | {"scales": zeros(8, 4)}, {"group_size": 32}, "fits no"),
    ],
)
def test_a_config_that_says_otherwise_is_refused(
    tmp_path: Path, parts: Parts, config: dict[str, object], cause: str
) -> None:
    with pytest.raises(CheckpointError, match=cause):
        open_checkpoint(write(tmp_path, parts, config))


def test_modules_may_depart_from_the_config_where_it_says_so(tmp_path: Path) -> None:
    config = {"bits": 8, "group_size": 128, "dynamic": {"m.q_proj": {"bits": 4, "group_size": 32}}}

    assert open_checkpoint(write(tmp_path, GPTQ, config)).dtypes == {"GPTQ-4bit": 64 * 128}


def test_bits_come_from_the_config_where_no_zeros_tell(tmp_path: Path) -> None:
    parts = {name: t for name, t in GPTQ.items() if name != "qzeros"}

    assert open_checkpoint(write(tmp_path, parts, {"bits": 4})).dtypes == {"GPTQ-4bit": 64 * 128}


@pytest.mark.parametrize(
    "parts",
    [
        {"weight_scale": zeros(4)},
        {"weight": zeros(4, 4), "weight_scale": zeros(4)},
        {"weight": zeros(4, 4), "input_scale": zeros(1)},
        {"weight": zeros(4, 4), "scales": zeros(4, 1)},
        # MLX's, but nothing says in what groups.
        MLX,
        {"weight_blocks": zeros(2, 3, 1, 16), "weight_scales": zeros(2, 3, 1)},
        {"weight_blocks": zeros(2, 3, 1, 16, dtype=U8)},
    ],
)
def test_scales_of_something_else_are_left_alone(tmp_path: Path, parts: Parts) -> None:
    found = open_checkpoint(write(tmp_path, parts))

    assert sorted(found.tensors) == [f"m.q_proj.{name}" for name in sorted(parts)]
