"""Methods whose libraries need a GPU or are not installed here: laid out by hand as they write.

What `tests/support/quantised_layouts.py` makes has the names, types and shapes that these versions
of the libraries gave for the same weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from prunescope.checkpoint import open_checkpoint
from prunescope.errors import CheckpointError
from tests.support import quantised_layouts as made
from tests.support.quantised import Pack, agree, by_hand, gptq, original

F8 = torch.float8_e4m3fn
W = torch.ones(64, 128)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return original(tmp_path_factory.mktemp("source") / "original")


# Pack, quantization_config, dtype, bytes of down_proj [64, 128]: data, then scales and all else.
METHODS: dict[str, tuple[Pack, dict[str, Any], str, int]] = {
    "HQQ": (made.hqq(4, 64), {"quant_method": "hqq"}, "HQQ-4bit", 4096 + 2 * 128 * 2 + 24 + 26),
    "HQQ of 8 bits": (made.hqq(8, None), {}, "HQQ-8bit", 8192 + 2 * 64 * 2 + 24 + 26),
    # 256 groups of 32 are 26 rows of ten in int32.
    "HQQ of 3 bits": (made.hqq(3, 32), {}, "HQQ-3bit", 26 * 32 * 4 + 2 * 256 * 2 + 24 + 26),
    "HQQ down the columns": (made.hqq(2, 64, 0), {}, "HQQ-2bit", 2048 + 2 * 128 * 2 + 24 + 26),
    "HQQ as floats": (made.hqq(4, 64, 1, True), {}, "HQQ-4bit", 4096 + 2 * 128 * 2 + 24 + 26),
    "quanto": (made.quanto(torch.int8), {}, "quanto-INT8", 8192 + 64 * 2 + 4),
    "quanto of floats": (made.quanto(F8), {}, "quanto-FP8", 8192 + 64 * 2 + 4),
    "EETQ": (made.eetq, {"quant_method": "eetq"}, "EETQ-INT8", 8192 + 64 * 2),
    "FBGEMM": (made.fbgemm_fp8, {"quant_method": "fbgemm_fp8"}, "FP8", 8192 + 64 * 4 + 4),
    "AQLM": (made.aqlm(1, 16, 1, 8), {}, "AQLM-2bit", 64 * 16 * 2 + (8 << 16) * 2 + 64 * 2),
    "AQLM of two": (made.aqlm(2, 8, 1, 8), {}, "AQLM-2bit", 64 * 16 * 2 + 4096 * 2 + 64 * 2),
    "AQLM of blocks": (made.aqlm(2, 8, 2, 4), {}, "AQLM-2bit", 32 * 32 * 2 + 4096 * 2 + 32 * 2),
    "HIGGS": (made.higgs(4, 32), {}, "HIGGS-4bit", 4096 + 64 * 4 * 2 + 16 * 2 + 512 * 2),
    "HIGGS of 2 bits": (made.higgs(2, 64), {}, "HIGGS-2bit", 2048 + 64 * 2 * 2 + 4 * 2 + 32 * 2),
    # 32 tiles of 16 words of 64 bits.
    "SpQR": (made.spqr(True), {}, "SpQR-3bit", 4096 + 65 * 4 + 160 + 64 * 4),
    "SpQR by tiles": (made.spqr(False), {}, "SpQR-3bit", 4096 + 5 * 4 + 160 + 64 * 4),
    "FP-Quant": (made.fp_quant(32), {}, "MXFP4", 4096 + 64 * 4 + 8 + 2 * 4096),
    "FP-Quant in NVFP4": (made.fp_quant(16), {}, "NVFP4", 4096 + 64 * 8 + 8 + 2 * 4096),
    "AWQ for one row": (
        made.awq_gemv,
        {"bits": 4, "group_size": 32, "version": "gemv"},
        "AWQ-4bit",
        4096 + 64 * 4 * 4 + 64 * 32 * 2,
    ),
    "AutoRound": (
        gptq(4, 32, False),
        {
            "quant_method": "auto-round",
            "packing_format": "auto_round:auto_gptq",
            "bits": 8,
            "group_size": 128,
            "extra_config": {".*_proj": {"bits": 4, "group_size": 32}},
        },
        "GPTQ-4bit",
        4096 + 4 * 64 * 2 + 4 * 64 // 2,
    ),
    "Quark": (
        made.quark_int4,
        {"quant_method": "quark"},
        "Quark-INT4",
        4096 + 4 * 64 * 2 + 4 * 64 // 2,
    ),
    "Quark in MXFP4": (made.quark_mxfp4, {"quant_method": "quark"}, "MXFP4", 4096 + 64 * 4),
    "Metal": (
        made.metal,
        {"quant_method": "metal", "bits": 4, "group_size": 64},
        "MLX-4bit",
        4096 + 2 * 64 * 2 * 4,
    ),
    "Gemma": (made.gemma(4), {"quant_method": "gemma"}, "Gemma-INT4", 4096 + 64 * 4 + 8),
    "Gemma in 2 bits": (
        made.gemma(2),
        {"quant_method": "gemma", "num_bits": 2},
        "Gemma-INT2",
        2048 + 64 * 4 + 8,
    ),
}


@pytest.mark.parametrize("case", METHODS)
def test_weights_have_the_shapes_that_they_stand_for(
    source: Path, tmp_path: Path, case: str
) -> None:
    pack, config, dtype, nbytes = METHODS[case]

    found = agree(source, by_hand(source, tmp_path / "q", pack, config), dtype)

    # HQQ's scalars: shape 16 bytes, nbits and axis 4 each; five flags, and 7 + 14 characters.
    assert found.tensors["model.layers.1.mlp.down_proj.weight"].nbytes == nbytes


@pytest.mark.parametrize("rows_stated", [True, False])
def test_vptq(source: Path, tmp_path: Path, rows_stated: bool) -> None:
    # 16 bits for six weights; rows fill whole vectors, unless config.json says how many there are.
    shapes = {
        name.removesuffix(".weight"): t.shape
        for name, t in open_checkpoint(source).tensors.items()
        if name.endswith("_proj.weight")
    }
    config = made.vptq_config(shapes, rows_stated)
    folder = by_hand(source, tmp_path / "q", made.vptq, config)

    if rows_stated:
        agree(source, folder, "VPTQ-2.67bit")
    down = open_checkpoint(folder).tensors["model.layers.1.mlp.down_proj.weight"]
    assert down.shape == (64 if rows_stated else 66, 128)
    assert down.nbytes == 4112 * 6 * 2 + 11 * 64 * 4 + 3 * 128 * 2


@pytest.mark.parametrize("bits", [2, 4])
def test_quanto_states_elements_and_not_always_rows(
    source: Path, tmp_path: Path, bits: int
) -> None:
    folder = by_hand(source, tmp_path / "q", made.quanto_packed(bits, 32), {})

    found, expected = open_checkpoint(folder), open_checkpoint(source)

    down = found.tensors["model.layers.1.mlp.down_proj.weight"]
    assert (down.shape, down.dtype) == ((64 * 128 // 32, 32), f"quanto-INT{bits}")
    assert down.nbytes == 64 * 128 * bits // 8 + 2 * 256 * 2
    assert found.parameters == expected.parameters


def test_groups_of_whole_rows_and_a_bias_do_tell(source: Path, tmp_path: Path) -> None:
    def pack(weight: torch.Tensor) -> dict[str, torch.Tensor]:
        return made.quanto_packed(4, 32)(weight) | {"bias": torch.zeros(weight.shape[0])}

    found = open_checkpoint(by_hand(source, tmp_path / "q", pack, {}))
    whole = open_checkpoint(by_hand(source, tmp_path / "w", made.quanto_packed(4, 64), {}))

    name = "model.layers.1.self_attn.q_proj"
    shape = open_checkpoint(source).tensors[f"{name}.weight"].shape
    assert found.tensors[f"{name}.weight"].shape == shape
    assert whole.tensors[f"{name}.weight"].shape == shape


def test_what_a_torch_file_says_of_a_shape_is_read(tmp_path: Path) -> None:
    torch.save({f"x.{n}": t for n, t in made.hqq(3, 32)(W).items()}, tmp_path / "m.bin")

    assert open_checkpoint(tmp_path / "m.bin").tensors["x.weight"].shape == (64, 128)


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape).to(dtype)


@pytest.mark.parametrize(
    ("weight", "scale", "name"),
    [
        ((3, 8, 48), (3, 1, 48), "scale"),
        ((3, 24, 8), (3, 8, 1), "scale"),
        ((3, 256, 128), (3, 2, 1), "scale_inv"),
    ],
)
def test_experts_in_8_bits_lie_stacked(
    tmp_path: Path, weight: tuple[int, ...], scale: tuple[int, ...], name: str
) -> None:
    stem = "model.layers.0.feed_forward.experts.down_proj"
    state = {stem: zeros(*weight, dtype=F8), f"{stem}_{name}": zeros(*scale)}
    save_file(state, tmp_path / "model.safetensors")

    found = open_checkpoint(tmp_path).tensors

    assert list(found) == [stem]
    assert (found[stem].shape, found[stem].dtype) == (weight, "FP8")


@pytest.mark.parametrize(
    ("data", "scale", "other", "shape", "dtype"),
    [
        # ModelOpt's Llama 4: packed along `in`, 16 of which share a scale.
        (
            zeros(3, 32, 48, dtype=torch.uint8),
            zeros(3, 4, 48, dtype=F8),
            zeros(3),
            (64, 48),
            "NVFP4",
        ),
        (
            zeros(3, 32, 48, dtype=torch.uint8),
            zeros(3, 32, 6, dtype=F8),
            zeros(),
            (32, 96),
            "NVFP4",
        ),
        (
            zeros(3, 32, 48, dtype=torch.uint8),
            zeros(3, 2, 48, dtype=torch.uint8),
            zeros(),
            (64, 48),
            "MXFP4",
        ),
        (zeros(3, 32, 48, dtype=F8), zeros(), zeros(), (32, 48), "FP8"),
        (zeros(3, 32, 48, dtype=F8), zeros(3), zeros(), (32, 48), "FP8"),
    ],
)
def test_stacked_experts_have_scales_beside_them(
    tmp_path: Path,
    data: torch.Tensor,
    scale: torch.Tensor,
    other: torch.Tensor,
    shape: tuple[int, int],
    dtype: str,
) -> None:
    stem = "model.layers.0.feed_forward.experts.gate_up_proj"
    state = {stem: data, f"{stem}_weight_scale": scale, f"{stem}_weight_scale_2": other}
    save_file(state | {f"{stem}_input_scale": zeros()}, tmp_path / "model.safetensors")

    found = open_checkpoint(tmp_path).tensors

    assert list(found) == [stem]
    assert (found[stem].shape, found[stem].dtype) == ((3, *shape), dtype)
    assert found[stem].nbytes == sum(t.nbytes for t in (*state.values(), zeros()))


def refusal(folder: Path, parts: dict[str, Any], config: dict[str, Any]) -> str:
    state = {f"m.q_proj.{name}": t.contiguous() for name, t in parts.items() if t is not None}
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"quantization_config": config}))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'model.safetensors'}: ")
    assert "m.q_proj" in message
    assert message.isprintable()
    return message


VPTQ = made.vptq_config({"m.q_proj": (64, 128)}, True)
LAYER = VPTQ["config_for_layers"]["m.q_proj"]


def vptq_saying(**changes: object) -> dict[str, Any]:
    return {"config_for_layers": {"m.q_proj": LAYER | changes}}


HOSTILE: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "HQQ of another shape": (
        made.hqq(4, 64)(W),
        {"shape": torch.tensor([64, 130])},
        {},
        "fits no HQQ-4bit",
    ),
    "HQQ of 5 bits": (made.hqq(4, 64)(W), {"nbits": torch.tensor(5).int()}, {}, "fits no"),
    "HQQ of a negative shape": (
        made.hqq(4, 64)(W),
        {"shape": torch.tensor([-64, -128])},
        {},
        "shape of [-64, -128]",
    ),
    "HQQ of a huge shape": (
        made.hqq(4, 64)(W),
        {"shape": torch.tensor([1 << 62, 1 << 62])},
        {},
        "has a shape of",
    ),
    "HQQ of three sizes": (
        made.hqq(4, 64)(W),
        {"shape": torch.ones(3, dtype=torch.int32)},
        {},
        "has a shape of type I32 and shape [3]",
    ),
    "HQQ of 3 bits too short": (
        made.hqq(3, 32)(W),
        {"W_q": zeros(25, 32, dtype=torch.int32)},
        {},
        "fits no HQQ-3bit",
    ),
    "HQQ without a scale": (made.hqq(4, 64)(W), {"scale": None}, {}, "has no scale"),
    "HQQ with other scales": (made.hqq(4, 64)(W), {"scale": zeros(3, 1)}, {}, "'m.q_proj.scale'"),
    "quanto without a scale": (
        made.quanto(torch.int8)(W),
        {"weight._scale": None},
        {},
        "has no weight._scale",
    ),
    "quanto of floats of 32 bits": (
        made.quanto(torch.int8)(W),
        {"weight._data": W},
        {},
        "_data' of shape [64, 128], which fits no",
    ),
    "quanto packed otherwise": (
        made.quanto_packed(4, 32)(W),
        {"weight._data._data": zeros(3, 32, dtype=torch.uint8)},
        {},
        "fits no quanto-INT0",
    ),
    "quanto with a bias that divides nothing": (
        made.quanto_packed(4, 32)(W),
        {"bias": zeros(63)},
        {},
        "_scale' of shape [256, 1], which fits no",
    ),
    "quanto with other shifts": (
        made.quanto_packed(4, 32)(W),
        {"weight._shift": zeros(255, 1)},
        {},
        "_shift' of shape",
    ),
    "EETQ with other scales": (made.eetq(W), {"weight_scales": zeros(128)}, {}, "fits no EETQ"),
    "AQLM with codes of one": (
        made.aqlm(2, 8, 1, 8)(W),
        {"codes": zeros(64, 16, 1, dtype=torch.int8)},
        {},
        "codes' of shape [64, 16, 1], which fits no AQLM",
    ),
    "AQLM with other scales": (
        made.aqlm(2, 8, 1, 8)(W),
        {"scales": zeros(63, 1, 1, 1)},
        {},
        "fits no AQLM",
    ),
    "AQLM of flat codebooks": (
        made.aqlm(2, 8, 1, 8)(W),
        {"codebooks": zeros(2, 256)},
        {},
        "has a codebooks of shape [2, 256]",
    ),
    "VPTQ of other rows": (made.vptq(W), {}, vptq_saying(out_features=60), "indices' of shape"),
    "VPTQ of other columns": (made.vptq(W), {}, vptq_saying(group_size=64), "indices' of shape"),
    "VPTQ with outliers elsewhere": (made.vptq(W), {}, vptq_saying(outlier_size=2), "perm' of"),
    "VPTQ of no length": (
        made.vptq(W),
        {},
        vptq_saying(vector_lens=[-1, 0]),
        "has vectors of 0",
    ),
    "VPTQ of words": (made.vptq(W), {}, vptq_saying(group_size="x"), "has vectors of 6"),
    "VPTQ of other centroids": (
        made.vptq(W),
        {"centroids.weight": zeros(1, 100)},
        VPTQ,
        "fits no vectors of 6",
    ),
    "HIGGS of a table of 12": (made.higgs(4, 32)(W), {"tables": zeros(12)}, {}, "tables' of sh"),
    "HIGGS of 3 bits in 4": (made.higgs(4, 32)(W), {"tables": zeros(8)}, {}, "weight' of shape"),
    "HIGGS with other scales": (made.higgs(4, 32)(W), {"scales": zeros(64, 3)}, {}, "scales' of"),
    "SpQR of fewer tiles": (
        made.spqr(True)(W),
        {"dense_weights": zeros(496, dtype=torch.int64)},
        {},
        "do not fit together",
    ),
    "FP-Quant in groups of 8": (
        made.fp_quant(32)(W),
        {"scales": zeros(64, 16, dtype=torch.uint8)},
        {},
        "of type U8 and scales [64, 16]",
    ),
    "AWQ for one row, without zeros": (
        made.awq_gemv(W),
        {"qzeros": None},
        {"version": "gemv"},
        "has no qzeros",
    ),
    "AWQ for one row, with other scales": (
        made.awq_gemv(W),
        {"scales": zeros(64, 31)},
        {"version": "gemv"},
        "scales' of shape [64, 31]",
    ),
    "EETQ and FBGEMM": (
        made.eetq(W),
        {"weight_scale": zeros(128, 1)},
        {},
        "is quantised in two ways",
    ),
    "VPTQ and GPTQ": (made.vptq(W) | gptq(4, 32)(W), {}, VPTQ, "is quantised in two ways"),
    "Quark with other zeros": (
        made.quark_int4(W),
        {"weight_zero_point": zeros(3, 8, dtype=torch.int32)},
        {"quant_method": "quark"},
        "zero_point' of shape [3, 8]",
    ),
    "GPTQ without zeros, of a number of bits past any float": (
        gptq(4, 32, False)(W),
        {"qzeros": None},
        {"bits": 10**400},
        "of 0 bits",
    ),
    "GPTQ in groups past any float": (
        gptq(4, 32, False)(W),
        {},
        {"bits": 4, "group_size": 10**400},
        "fits no GPTQ-4bit weight of [64, 128] in groups of 1000",
    ),
    "MLX in a mode that is a list": (
        made.metal(W),
        {},
        {"mode": [], "group_size": 64},
        "has groups of 64 in mode []",
    ),
    "Gemma with other scales": (
        made.gemma(4)(W),
        {"weight_scale": zeros(64, 2)},
        {"quant_method": "gemma"},
        "fits no Gemma-INT4",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    parts, changes, config, cause = HOSTILE[case]

    assert cause in refusal(tmp_path, parts | changes, config)


@pytest.mark.parametrize(
    ("parts", "config"),
    [
        # Attention that somebody wrote by hand, a codec's, and a table of positions.
        ({"W_q": W, "W_k": zeros(64, 128)}, {}),
        ({"codebooks": zeros(4, 16, 8)}, {}),
        ({"tables": zeros(16), "weight": W}, {}),
        ({"centroids.weight": W}, {}),
        ({"dense_weights": zeros(9), "row_offsets": zeros(3)}, {}),
        ({"weight": W, "weight_scales": zeros(64)}, {}),
        ({"k_scale": zeros(1), "v_scale": zeros(1)}, {}),
        ({"x": zeros(2, 4, 8, dtype=torch.uint8), "x_weight_scale": zeros(2, 4, 8)}, {}),
        # Nothing says how many rows VPTQ's, SpQR's and Quark's stand for.
        (made.vptq(W), {"quant_method": "vptq"}),
        (made.spqr(True)(W) | {"in_perm": zeros(0, dtype=torch.int32)}, {}),
        (made.quark_int4(W) | {"weight_scale": zeros(1)}, {"quant_method": "quark"}),
        # Only a program could say which modules its author's patterns are for.
        (made.gemma(4)(W), {"quant_method": "gemma", "module_quant_configs": {"(a*)*b": {}}}),
        # A number of bits that is none of torch's: it made a shape of fractions.
        (made.gemma(4)(W), {"quant_method": "gemma", "num_bits": 4.0}),
    ],
)
def test_what_is_another_thing_or_not_known_is_left_as_it_is(
    tmp_path: Path, parts: dict[str, torch.Tensor], config: dict[str, Any]
) -> None:
    state = {f"m.q_proj.{name}": t.contiguous() for name, t in parts.items()}
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": config}))

    found = open_checkpoint(tmp_path)

    assert sorted(found.tensors) == sorted(state)
    assert found.nbytes == sum(t.nbytes for t in parts.values())
