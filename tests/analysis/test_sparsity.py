"""Every figure is what plain torch finds in the same tensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from prunescope.analysis import sparsity as module
from prunescope.analysis.sparsity import sparsity
from prunescope.analysis.sparsity_result import Sparsity
from prunescope.architecture import Role
from prunescope.checkpoint import open_checkpoint
from tests.support.tiny import tiny_folder
from tests.support.zeros import DOWN, NORM, PREFIX, by_torch, pruned, saved

FLOATS = [
    torch.float64, torch.float32, torch.bfloat16, torch.float16,
    torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip
INTEGERS = [
    torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64,
    torch.uint64,
]  # fmt: skip
SHAPES = [(1, 1), (5, 3), (16, 16), (33, 12), (40, 64), (31, 100), (97, 1), (1, 77)]


def of(path: Path, name: str = DOWN) -> Sparsity:
    found = sparsity(open_checkpoint(path), values=True)
    # Counting zeros alone goes another way, to the same figures.
    alone = sparsity(open_checkpoint(path))
    assert [replace(t.found, values=None) for t in found.tensors] == [
        t.found for t in alone.tensors
    ]
    return next(t.found for t in found.tensors if t.tensor.name == name)


def check(found: Sparsity, weight: torch.Tensor, tolerance: float = 1e-6) -> None:
    expected = by_torch(weight)
    spread = max(expected["std"], abs(expected["mean"]), 1e-300)
    for name in ("zeros", "two_four", "four_eight", "blocks16", "blocks32", "rows", "columns"):
        share = getattr(found, name)
        assert (share and (share.count, share.total)) == (expected.get(name) or None), name
    for name in ("minimum", "maximum", "absmax", "nonfinite"):
        assert getattr(found.values, name) == expected[name], name
    for name in ("mean", "std"):
        assert getattr(found.values, name) == pytest.approx(
            expected[name], rel=tolerance, abs=tolerance * spread
        ), name


def random(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    # Whatever the width, negative numbers where there are any.
    low = -100 if dtype.is_signed else 0
    return torch.randint(low, 101, shape, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_lone_negative_zero_is_found(tmp_path: Path, dtype: torch.dtype) -> None:
    weight = torch.ones(32, 64).to(dtype)
    weight[17, 5] = -0.0
    weight[17, 6] = 0.0
    alone = sparsity(open_checkpoint(saved(tmp_path, {DOWN: weight})))
    (found,) = (t.found for t in alone.tensors)
    # Two of columns 4 to 7.
    assert (found.zeros.count, found.two_four and found.two_four.count) == (2, 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_each_dtype_in_odd_shapes(
    tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    weight = random(shape, torch.float32) * 30
    weight[torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.6] = 0
    weight = (weight if dtype.is_floating_point else weight.abs().clamp(max=90)).to(dtype)
    check(of(saved(tmp_path, {DOWN: weight})), weight)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_without_a_zero(tmp_path: Path, dtype: torch.dtype) -> None:
    weight = (random((65, 40), torch.float32).abs() * 20 + 1).to(dtype)
    found = of(saved(tmp_path, {DOWN: weight}))
    check(found, weight)
    assert found.zeros.count == 0


@pytest.mark.parametrize(("zeros", "group"), [(2, 4), (4, 8), (1, 4), (3, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_semi_structured_pruning_is_seen(
    tmp_path: Path, dtype: torch.dtype, zeros: int, group: int
) -> None:
    weight = pruned(random((96, 64), dtype), zeros, group)
    assert weight[weight == 0].signbit().any()

    found = of(saved(tmp_path, {DOWN: weight}))

    check(found, weight)
    if 2 * zeros == group:
        share = found.two_four if group == 4 else found.four_eight
        assert share is not None
        assert share.ratio == 1


def test_structured_zeros_are_rows_columns_and_blocks(tmp_path: Path) -> None:
    weight = random((128, 96), torch.bfloat16)
    weight[32:64, 64:96] = 0
    weight[5] = 0
    weight[:, [0, 17, 95]] = -0.0
    found = of(saved(tmp_path, {DOWN: weight}))
    check(found, weight)
    assert found.rows is not None
    assert found.columns is not None
    assert found.blocks32 is not None
    assert (found.rows.count, found.columns.count, found.blocks32.count) == (1, 3, 1)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 70), columns=st.integers(1, 70), share=st.floats(0, 1),
    dtype=st.sampled_from(FLOATS), seed=st.integers(0, 9999),
    piece=st.sampled_from([2048, 2200, 4096]), strip=st.sampled_from([32, 64]),
)  # fmt: skip
def test_however_it_is_cut_into_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, columns: int, share: float,
    dtype: torch.dtype, seed: int, piece: int, strip: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "_PIECE", piece)
    monkeypatch.setattr(module, "_BAND_BYTES", 4 * piece)
    monkeypatch.setattr(module, "_RELEASE_BYTES", 1000)
    monkeypatch.setattr("prunescope.analysis.zero_patterns.STRIP", strip)
    weight = random((rows, columns), dtype, seed)
    mask = torch.rand((rows, columns), generator=torch.Generator().manual_seed(seed)) < share
    weight = torch.where(mask, torch.zeros((), dtype=dtype), weight)
    check(of(saved(tmp_path, {DOWN: weight})), weight)


@pytest.mark.parametrize("transposed", [True, False])
def test_strided_and_tied_tensors_of_a_torch_file(tmp_path: Path, transposed: bool) -> None:
    base = random((48, 80), torch.bfloat16)
    base[base.abs() < 0.4] = 0
    weight = base.T if transposed else base[:, ::2]
    embedding = random((7, 48), torch.float32)
    state = {DOWN: weight, "model.embed_tokens.weight": embedding, "lm_head.weight": embedding}
    torch.save(state, tmp_path / "pytorch_model.bin")

    found = sparsity(open_checkpoint(tmp_path / "pytorch_model.bin"), values=True)

    assert [t.tensor.name for t in found.tensors] == [DOWN, "model.embed_tokens.weight"]
    check(found.tensors[0].found, weight)
    assert found.tensors[0].role.axes == ("hidden", "channels")


def test_nan_and_infinity_are_counted_and_left_out(tmp_path: Path) -> None:
    for dtype in FLOATS:
        weight = random((40, 24), dtype)
        weight[3, 4] = float("nan")
        weight[7, 7] = 0
        if dtype != torch.float8_e4m3fn:
            weight[0, :2] = torch.tensor([float("inf"), float("-inf")])
        found = of(saved(tmp_path, {DOWN: weight}))
        check(found, weight)
        assert found.values.nonfinite == (1 if dtype == torch.float8_e4m3fn else 3)
    weight[:] = float("nan")
    found = of(saved(tmp_path, {DOWN: weight}))
    assert (found.values.count, found.values.nonfinite) == (0, 960)


def test_a_whole_models_figures_add_up(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, dtype=torch.bfloat16, attention_bias=True)
    found = sparsity(open_checkpoint(folder), values=True)

    parts = load_file(folder / "model.safetensors").items()
    every = torch.cat([t.flatten() for _, t in parts])
    total = found.total
    assert total.zeros.total == every.numel()
    assert total.values.mean == pytest.approx(float(every.double().mean()), abs=1e-7)
    assert total.values.std == pytest.approx(float(every.double().std(correction=0)), rel=1e-6)
    q = found.by_role()[Role.Q]
    rows = torch.cat([t.flatten() for n, t in parts if ".q_proj." in n]).double()
    assert q.values.std == pytest.approx(float(rows.std(correction=0)), rel=1e-6)
    # Four layers of 32 rows; the biases have none.
    assert q.rows is not None
    assert q.rows.total == 128
    assert found.by_module()[0, Role.Q].zeros.total == 32 * 24 + 32


def test_a_norms_spread_does_not_drown_in_its_mean(tmp_path: Path) -> None:
    norm = (1000 + 0.01 * random((50_000,), torch.float64)).float()
    found = of(saved(tmp_path, {NORM: norm, DOWN: torch.ones(2, 2)}), NORM)
    check(found, norm)
    assert found.two_four is found.rows is None


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-20, 1e20, 1e38])
def test_squares_beyond_float32(tmp_path: Path, scale: float) -> None:
    weight = (random((64, 64), torch.float64).clamp(-3, 3) * scale).float()
    check(of(saved(tmp_path, {DOWN: weight})), weight)


def test_empty_tensors_have_nothing(tmp_path: Path) -> None:
    state = {DOWN: torch.zeros(0, 8), PREFIX + "mlp.up_proj.weight": torch.zeros(8, 0)}
    found = sparsity(open_checkpoint(saved(tmp_path, state)), values=True)
    assert [t.found.zeros.ratio for t in found.tensors] == [0, 0]
    assert found.total.values.count == 0
