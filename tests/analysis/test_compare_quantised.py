"""A quantised Hugging Face model compares with its original by what its weights stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.analysis.size import SizeComparison, measure
from prunescope.architecture import Role
from prunescope.checkpoint import open_checkpoint
from tests.support.quantised import awq, by_bitsandbytes, by_hand, gptq, original


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return original(tmp_path_factory.mktemp("source") / "original")


def test_quantised_it_has_lost_bytes_and_no_weights(source: Path, tmp_path: Path) -> None:
    folder = by_hand(source, tmp_path / "q", gptq(4, 32), {"bits": 4, "quant_method": "gptq"})
    a, b = open_checkpoint(source), open_checkpoint(folder)

    found, sizes = compare(a, b), SizeComparison(measure(a), measure(b))

    assert found.parameters.retention == 1
    assert {m.parameters.retention for layer in found.layers for m in layer.modules} == {1.0}
    assert not any(v.pruned for v in found.verdicts())
    assert sizes.weight_bytes.removed == sum(
        sign * (path / "model.safetensors").stat().st_size
        for sign, path in ((1, source), (-1, folder))
    )
    assert sizes.weight_bytes.removed > 0
    assert sizes.original.bits_per_weight == 16
    # A layer: 2 · 64·64 + 2 · 32·64 + 3 · 128·64 = 36,864 weights in two layers.
    weights = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64)
    # Half a byte each, and for 32 of them a scale of two bytes and a zero point of half a byte.
    packed = weights // 2 + weights // 32 * 5 // 2
    # Of each layer seven indices of int32 into the groups: six of 64 columns and one of 128.
    packed += 2 * (6 * 64 + 128) * 4
    assert sizes.pruned.tensor_bytes == packed + 2 * (a.parameters - weights)


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes"])
def test_pruned_and_quantised_it_has_lost_both(source: Path, tmp_path: Path, method: str) -> None:
    smaller = original(tmp_path / "pruned", intermediate_size=96)
    folder = tmp_path / "q"
    if method == "bitsandbytes":
        by_bitsandbytes(smaller, folder, load_in_4bit=True)
    else:
        by_hand(smaller, folder, gptq(4, 32) if method == "gptq" else awq(32), {})

    found = compare(open_checkpoint(source), open_checkpoint(folder))

    # A quarter of the channels of two layers, each a row of two and a column of one matrix.
    assert found.parameters.removed == 2 * 3 * 32 * 64
    common = {v.role: v.common for v in found.verdicts()}
    assert common == {
        **dict.fromkeys((Role.Q, Role.K, Role.V, Role.O)),
        **dict.fromkeys((Role.GATE, Role.UP, Role.DOWN), 0.75),
    }
