"""Models that differ in more than width: outliers, missing layers, ties, swaps, two families."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.analysis.compare_result import Comparison, RoleVerdict
from prunescope.analysis.counts import Counts
from prunescope.architecture import Role
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from tests.support.sparse import (
    LlamaShape,
    Shapes,
    llama_shapes,
    write_safetensors,
    write_torch_zip,
)

# Small enough to reckon with: q, o 8 × 8, k, v 4 × 8, gate, up, down 12 × 8, norms of 8.
SMALL = LlamaShape(6, 8, 12, 4, 2, 2, 10, tied=False)
TIED = LlamaShape(6, 8, 12, 4, 2, 2, 10, tied=True)
LAYER = 2 * 64 + 2 * 32 + 3 * 96 + 2 * 8
Q3 = "model.layers.3.self_attn.q_proj.weight"


def compared(tmp_path: Path, original: Shapes, pruned: Shapes) -> Comparison:
    write_safetensors(tmp_path / "a.safetensors", original)
    write_safetensors(tmp_path / "b.safetensors", pruned)
    return compare(
        open_checkpoint(tmp_path / "a.safetensors"), open_checkpoint(tmp_path / "b.safetensors")
    )


def verdict(comparison: Comparison, role: Role) -> RoleVerdict:
    return next(v for v in comparison.verdicts() if v.role is role)


def test_a_layer_that_lost_more_is_named(tmp_path: Path) -> None:
    pruned = llama_shapes(SMALL, range(1, 5), q_rows=2) | {Q3: (4, 8)}

    found = verdict(compared(tmp_path, llama_shapes(SMALL), pruned), Role.Q)

    # 6 of 8 rows in layers 1, 2 and 4; 4 of 8 in layer 3.
    assert found.common == 6 / 8
    assert found.outliers == ((3, 4 / 8),)
    assert found.pruned == (1, 2, 3, 4)
    assert found.unpruned == (0, 5)


def test_of_two_equally_frequent_shares_the_lowest_layers_is_the_common_one(
    tmp_path: Path,
) -> None:
    pruned = llama_shapes(SMALL, range(2, 4), q_rows=2) | {Q3: (4, 8)}

    found = verdict(compared(tmp_path, llama_shapes(SMALL), pruned), Role.Q)

    assert found.common == 6 / 8
    assert found.outliers == ((3, 4 / 8),)


def test_a_spread_is_given_once_no_share_is_that_of_most_layers(tmp_path: Path) -> None:
    pruned = llama_shapes(SMALL, range(1, 5), q_rows=2) | {Q3: (4, 8)}
    pruned["model.layers.2.self_attn.q_proj.weight"] = (5, 8)

    # 6 of 8 rows in layers 1 and 4, which are half of the four; then in layer 1 alone.
    halves = verdict(compared(tmp_path, llama_shapes(SMALL), pruned), Role.Q)
    pruned["model.layers.4.self_attn.q_proj.weight"] = (3, 8)
    apart = verdict(compared(tmp_path, llama_shapes(SMALL), pruned), Role.Q)

    assert (halves.common, halves.spread) == (6 / 8, None)
    assert (apart.common, apart.spread) == (6 / 8, (3 / 8, 6 / 8))


def test_shares_that_print_alike_are_alike(tmp_path: Path) -> None:
    wide = LlamaShape(2, 8, 1_000_000, 4, 2, 2, 10, tied=False)
    pruned = llama_shapes(wide, range(2), channels=250_000)
    pruned["model.layers.1.mlp.up_proj.weight"] = (750_001, 8)

    found = verdict(compared(tmp_path, llama_shapes(wide), pruned), Role.UP)

    assert found.common == 0.75
    assert found.outliers == ()


def test_one_pruned_layer_is_consistent_with_itself(tmp_path: Path) -> None:
    pruned = llama_shapes(SMALL) | {Q3: (4, 8)}

    comparison = compared(tmp_path, llama_shapes(SMALL), pruned)

    assert verdict(comparison, Role.Q).pruned == (3,)
    assert verdict(comparison, Role.K).common is None


def test_a_layer_the_pruned_model_lacks_is_wholly_removed(tmp_path: Path) -> None:
    pruned = {n: s for n, s in llama_shapes(SMALL).items() if not n.startswith("model.layers.5.")}

    comparison = compared(tmp_path, llama_shapes(SMALL), pruned)

    assert [layer.parameters for layer in comparison.layers] == [
        *[Counts(LAYER, LAYER)] * 5,
        Counts(LAYER, 0),
    ]
    assert comparison.parameters.removed == LAYER
    gone = {m.role: m for m in comparison.layers[5].modules}[Role.Q]
    assert (gone.original_shape, gone.pruned_shape) == ((8, 8), None)
    assert verdict(comparison, Role.Q).common == 0


def test_a_layer_the_original_lacks_is_refused(tmp_path: Path) -> None:
    original = {n: s for n, s in llama_shapes(SMALL).items() if not n.startswith("model.layers.5.")}

    with pytest.raises(ArchitectureError, match="layer 5 is 8 × 8, in the original absent"):
        compared(tmp_path, original, llama_shapes(SMALL))


def test_swapped_models_are_refused_with_the_place_that_grew(tmp_path: Path) -> None:
    pruned = llama_shapes(SMALL, range(2, 4), channels=3)

    with pytest.raises(ArchitectureError) as caught:
        compared(tmp_path, pruned, llama_shapes(SMALL))

    assert str(caught.value).startswith(str(tmp_path / "b.safetensors"))
    assert (
        "MLP Gate Projection of layer 2 is 12 × 8, in the original 9 × 8: "
        "not pruned from it (are the two swapped?)"
    ) in str(caught.value)


def test_another_width_with_fewer_parameters_is_no_pruning(tmp_path: Path) -> None:
    # 4 × 12 is smaller than 8 × 8 in sum and in rows, not in columns.
    with pytest.raises(ArchitectureError, match="4 × 12, in the original 8 × 8"):
        compared(tmp_path, llama_shapes(SMALL), llama_shapes(SMALL) | {Q3: (4, 12)})


def write(path: Path, shapes: Shapes, config: dict[str, object]) -> Path:
    path.mkdir()
    write_safetensors(path / "model.safetensors", shapes)
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_two_families_are_refused(tmp_path: Path) -> None:
    shapes = llama_shapes(SMALL)
    a = open_checkpoint(write(tmp_path / "a", shapes, {"model_type": "llama"}))
    b = open_checkpoint(write(tmp_path / "b", shapes, {"model_type": "mistral"}))

    with pytest.raises(ArchitectureError, match="model_type 'mistral', the original's is 'llama'"):
        compare(a, b)


def test_a_lone_file_belongs_to_any_model_type_of_its_family(tmp_path: Path) -> None:
    a = write(tmp_path / "a", llama_shapes(SMALL), {"model_type": "mistral"})
    write_safetensors(tmp_path / "b.safetensors", llama_shapes(SMALL))

    comparison = compare(open_checkpoint(a), open_checkpoint(tmp_path / "b.safetensors"))

    assert comparison.parameters.sparsity == 0


def tied_torch(path: Path, pruned: range = range(0)) -> Path:
    """A state dict whose head is its embedding, as `torch.save(model.state_dict())` leaves it."""
    import torch

    shapes = llama_shapes(TIED, pruned, channels=3 * bool(pruned))
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    torch.save(state, path)
    return path


def test_a_tied_head_is_neither_counted_twice_nor_called_growth(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", llama_shapes(TIED))
    original = open_checkpoint(tmp_path / "a.safetensors")
    pruned = open_checkpoint(tied_torch(tmp_path / "b.bin", range(2, 4)))

    comparison = compare(original, pruned)

    # Six layers, an embedding of 10 × 8 and a norm of 8; 3 · 3 · 8 fewer in each of two layers.
    assert comparison.parameters == Counts(6 * LAYER + 88, 6 * LAYER + 88 - 2 * 72)
    head = next(m for m in comparison.outside if m.role is Role.HEAD)
    assert head.parameters == Counts(0, 0)
    assert pruned.shared == {"lm_head.weight": "model.embed_tokens.weight"}


def test_the_head_may_be_stored_in_the_original_alone(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "b.safetensors", llama_shapes(TIED, range(2, 4), channels=3))
    pruned = open_checkpoint(tmp_path / "b.safetensors")

    comparison = compare(open_checkpoint(tied_torch(tmp_path / "a.bin")), pruned)

    assert comparison.parameters.removed == 2 * 72


def test_an_untied_head_that_the_pruned_model_lost_counts_as_removed(tmp_path: Path) -> None:
    comparison = compared(tmp_path, llama_shapes(SMALL), llama_shapes(TIED))

    assert comparison.parameters.removed == 10 * 8


def test_formats_may_differ_between_the_two(tmp_path: Path) -> None:
    write_torch_zip(tmp_path / "a.bin", llama_shapes(SMALL))
    write_safetensors(tmp_path / "b.safetensors", llama_shapes(SMALL, range(1, 2), q_rows=2))

    comparison = compare(
        open_checkpoint(tmp_path / "a.bin"), open_checkpoint(tmp_path / "b.safetensors")
    )

    # Two rows of q and two columns of o, of 8 each.
    assert comparison.parameters.removed == 2 * 2 * 8


@pytest.mark.parametrize(
    ("counts", "removed", "retention", "sparsity"),
    [
        (Counts(8, 6), 2, 0.75, 0.25),
        (Counts(3, 3), 0, 1, 0),
        (Counts(5, 0), 5, 0, 1),
        (Counts(0, 0), 0, 1, 0),
        # 1 − 1/3 is not 2/3 in floating point; the removed over the original is.
        (Counts(3, 1), 2, 1 / 3, 2 / 3),
    ],
)
def test_rates_are_quotients_of_integers(
    counts: Counts, removed: int, retention: float, sparsity: float
) -> None:
    assert (counts.removed, counts.retention, counts.sparsity) == (removed, retention, sparsity)
    assert counts.is_pruned == (removed != 0)
