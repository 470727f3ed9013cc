"""What pruning removed, from shapes alone: Llama-3-8B and TinyLlama against hand arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.analysis.compare_result import Comparison
from prunescope.architecture import PROJECTIONS, Role
from prunescope.checkpoint import open_checkpoint
from tests.support.sparse import (
    LLAMA_3_8B,
    TINYLLAMA,
    LlamaShape,
    Shapes,
    llama_shapes,
    write_safetensors,
    write_sharded,
    write_torch_zip,
)

Write = Callable[[Path, Shapes], Path]


def single_safetensors(folder: Path, shapes: Shapes) -> Path:
    write_safetensors(folder / "model.safetensors", shapes)
    return folder


def sharded_safetensors(folder: Path, shapes: Shapes) -> Path:
    write_sharded(folder, shapes, 4, write_safetensors, "safetensors")
    return folder


def single_torch(folder: Path, shapes: Shapes) -> Path:
    write_torch_zip(folder / "pytorch_model.bin", shapes)
    return folder / "pytorch_model.bin"


def sharded_torch(folder: Path, shapes: Shapes) -> Path:
    write_sharded(folder, shapes, 3, write_torch_zip, "bin")
    return folder / "pytorch_model.bin.index.json"


FORMS = [single_safetensors, sharded_safetensors, single_torch, sharded_torch]

# 25 % of Llama-3-8B in layers 3..29, whole GQA groups: 2 of 8 KV heads of 128 rows with their
# 2 · 4 query heads, and 3584 of 14336 channels.
GROUPS = llama_shapes(LLAMA_3_8B, range(3, 30), q_rows=1024, kv_rows=256, channels=3584)
# The mission's own run: 256 rows fewer in each of q, k, v and o.
MISSION = llama_shapes(LLAMA_3_8B, range(3, 30), q_rows=256, kv_rows=256, channels=3584)
# 25 % of TinyLlama in layers 4..17: 1 of 4 KV heads of 64 rows with 8 query heads, 1408 of 5632.
TINY = llama_shapes(TINYLLAMA, range(4, 18), q_rows=512, kv_rows=64, channels=1408)


def comparison(tmp_path: Path, original: Shapes, pruned: Shapes, write: Write) -> Comparison:
    places = tmp_path / "original", tmp_path / "pruned"
    for place in places:
        place.mkdir()
    paths = [write(place, s) for place, s in zip(places, (original, pruned), strict=True)]
    return compare(*map(open_checkpoint, paths))


@pytest.mark.parametrize("write", FORMS)
@pytest.mark.parametrize(
    ("model", "pruned", "before", "after", "layer_loss", "layers"),
    [
        # k and v lose 256 rows of 4096, q and o 1024, gate, up and down 3584:
        # (2·256 + 2·1024 + 3·3584) · 4096 = 54,525,952 in each of 27 layers.
        (LLAMA_3_8B, GROUPS, 8_030_261_248, 6_558_060_544, 54_525_952, range(3, 30)),
        # (4·256 + 3·3584) · 4096 = 48,234,496 in each of 27 layers.
        (LLAMA_3_8B, MISSION, 8_030_261_248, 6_727_929_856, 48_234_496, range(3, 30)),
        # (2·64 + 2·512 + 3·1408) · 2048 = 11,010,048 in each of 14 layers.
        (TINYLLAMA, TINY, 1_100_048_384, 945_907_712, 11_010_048, range(4, 18)),
    ],
    ids=["Llama-3-8B by groups", "Llama-3-8B as the mission", "TinyLlama"],
)
def test_totals_of_every_storage_form(
    tmp_path: Path,
    write: Write,
    model: LlamaShape,
    pruned: Shapes,
    before: int,
    after: int,
    layer_loss: int,
    layers: range,
) -> None:
    assert before - after == len(layers) * layer_loss

    found = comparison(tmp_path, llama_shapes(model), pruned, write)

    assert found.parameters.original == before
    assert found.parameters.pruned == after
    assert found.parameters.removed == before - after
    removed = {layer.layer: layer.parameters.removed for layer in found.layers}
    assert removed == {n: layer_loss * (n in layers) for n in range(model.layers)}


def test_a_layer_of_llama_3_8b_has_218_112_000_parameters(tmp_path: Path) -> None:
    found = comparison(tmp_path, llama_shapes(LLAMA_3_8B), GROUPS, single_safetensors)

    # q, o 4096 × 4096; k, v 1024 × 4096; gate, up, down 14336 × 4096; two norms of 4096.
    a_layer = 2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14336 * 4096 + 2 * 4096
    assert a_layer == 218_112_000
    assert {layer.parameters.original for layer in found.layers} == {a_layer}
    # Embedding and head of 128256 × 4096, one norm.
    outside = sum(m.parameters.original for m in found.outside)
    assert outside == 2 * 128256 * 4096 + 4096
    assert 32 * a_layer + outside == 8_030_261_248
    assert len(found.original.checkpoint.tensors) == 291


def test_rates_of_the_mission_run(tmp_path: Path) -> None:
    counts = comparison(tmp_path, llama_shapes(LLAMA_3_8B), MISSION, single_safetensors).parameters

    # The mission's own output: 83.78 % and 16.22 %, 1,302,331,392 fewer.
    assert counts.removed == 1_302_331_392
    assert f"{counts.retention:.4f} {100 * counts.retention:.2f}" == "0.8378 83.78"
    assert f"{counts.sparsity:.4f} {100 * counts.sparsity:.2f}" == "0.1622 16.22"


def test_shapes_of_each_module_of_a_pruned_layer(tmp_path: Path) -> None:
    found = comparison(tmp_path, llama_shapes(LLAMA_3_8B), GROUPS, single_safetensors)

    layer = {m.role: m for m in found.layers[3].modules}
    assert {role: (layer[role].original_shape, layer[role].pruned_shape) for role in layer} == {
        Role.Q: ((4096, 4096), (3072, 4096)),
        Role.K: ((1024, 4096), (768, 4096)),
        Role.V: ((1024, 4096), (768, 4096)),
        Role.O: ((4096, 4096), (4096, 3072)),
        Role.GATE: ((14336, 4096), (10752, 4096)),
        Role.UP: ((14336, 4096), (10752, 4096)),
        Role.DOWN: ((4096, 14336), (4096, 10752)),
        Role.INPUT_NORM: ((4096,), (4096,)),
        Role.POST_NORM: ((4096,), (4096,)),
    }
    # A quarter of every projection, nothing of the norms.
    assert {layer[role].parameters.sparsity for role in PROJECTIONS} == {0.25}
    assert layer[Role.INPUT_NORM].parameters.sparsity == 0


def test_a_model_compared_with_itself_lost_exactly_nothing(tmp_path: Path) -> None:
    shapes = llama_shapes(TINYLLAMA)

    found = comparison(tmp_path, shapes, shapes, single_safetensors)

    assert found.parameters.sparsity == 0
    assert found.parameters.retention == 1
    assert not any(layer.parameters.is_pruned for layer in found.layers)
    for verdict in found.verdicts():
        assert (verdict.common, verdict.pruned) == (None, ())
        assert verdict.unpruned == tuple(range(22))


def test_every_projection_agrees_in_all_pruned_layers(tmp_path: Path) -> None:
    found = comparison(tmp_path, llama_shapes(TINYLLAMA), TINY, single_safetensors)

    verdicts = found.verdicts()

    assert tuple(v.role for v in verdicts) == PROJECTIONS
    for verdict in verdicts:
        assert verdict.common == 0.75
        assert verdict.pruned == tuple(range(4, 18))
        assert verdict.unpruned == (0, 1, 2, 3, 18, 19, 20, 21)
        assert verdict.outliers == ()
