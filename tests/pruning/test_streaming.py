"""Streamed scores against plain autograd over the whole network, in float32, for every family."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.interop import layered
from prunescope.interop.layer_by_layer import Call
from prunescope.interop.layered import LayeredNetwork
from prunescope.interop.torch_tensors import stored_state
from prunescope.pruning import batches, streaming
from tests.support.pruning import plan as block_plan
from tests.support.pruning import prune_tiny
from tests.support.streams import (
    CALIBRATION,
    FAMILIES,
    difference,
    family,
    learned,
    plan,
    scores_of,
    stored,
)
from tests.support.tiny import tiny_model

# w, g and E[g²] of one row or column → its score.
FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "vectorize": lambda w, g, h: (w * g).sum().abs(),
    "param_first": lambda w, g, h: (w * g).abs().sum(),
    "param_second": lambda w, g, h: (w * h * w).abs().sum(),
    "param_mix": lambda w, g, h: (w * g - 0.5 * w * h * w).abs().sum(),
}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_taylor_form_is_that_of_a_full_backward_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_type: str
) -> None:
    network = family(model_type)
    checkpoint, plain = stored(tmp_path, network), learned(network)
    for form, each in FORMS.items():
        if form == "param_first":
            # `vectorize` had room to hold every layer's graph, from here each is computed again.
            monkeypatch.setitem(batches._HELD_ROOM, "cpu", 0)
        scores = scores_of(checkpoint, plan("taylor", form))
        assert scores.loss == pytest.approx(plain.loss, rel=1e-6)
        assert len(scores.rows) == sum(len(t.shape) for t in checkpoint.tensors.values())
        for (name, axis), row in scores.rows.items():
            parts = (plain.weight[name], plain.gradient[name], plain.squares[name])
            slices = zip(*(part.unbind(axis) for part in parts), strict=True)
            expected = torch.stack([each(*one) for one in slices])
            assert row.dtype == torch.float32
            assert difference(row, expected) < 1e-5, (form, name, axis)


def test_block_influence_is_one_minus_the_mean_cosine_of_a_layers_two_sides(
    tmp_path: Path,
) -> None:
    network = family("llama")
    checkpoint = stored(tmp_path, network)
    ids = torch.tensor(CALIBRATION.windows)
    sides: dict[int, list[Tensor]] = {}
    for number, layer in enumerate(network.model.layers):

        def note(module: Any, given: Any, output: Tensor, number: int = number) -> None:
            sides[number] = [given[0], output]

        layer.register_forward_hook(note)
    with torch.no_grad():
        network(ids)
    scores = scores_of(checkpoint, plan("taylor"), {})
    assert list(scores.influence) == [0, 1, 2, 3]
    for number, (x, y) in sides.items():
        cosines = (x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1))
        assert scores.influence[number] == pytest.approx(1 - cosines.mean().item(), abs=1e-6)


@pytest.mark.parametrize("form", ["param_first", "param_mix"])
def test_the_size_of_batches_and_of_pieces_of_the_loss_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    checkpoint = stored(tmp_path, family("gemma2"))
    whole = scores_of(checkpoint, plan("taylor", form))
    monkeypatch.setitem(batches._ROOM, "cpu", 1)
    # Logits of five tokens at a time, of a window of sixteen.
    monkeypatch.setitem(batches._LOGITS_ROOM, "cpu", 5 * 320 * batches._BYTES_A_LOGIT)
    cut = scores_of(checkpoint, plan("taylor", form))
    assert cut.loss == pytest.approx(whole.loss, rel=1e-6)
    for key, row in whole.rows.items():
        assert difference(cut.rows[key], row) < 1e-5, key


def test_what_is_held_of_the_last_layers_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = stored(tmp_path, family("llama"))
    again: list[int] = []
    run = LayeredNetwork.run

    def spy(self: LayeredNetwork, number: int, *given: Any) -> Tensor:
        again.append(number)
        return run(self, number, *given)

    monkeypatch.setattr(LayeredNetwork, "run", spy)
    found = []
    # Room for nothing, for two layers, and for all four.
    for layers in (0, 2, 4):
        again.clear()
        monkeypatch.setattr(streaming, "layers_held", lambda *_, held=layers: held)
        found.append(scores_of(checkpoint, plan("taylor")))
        # Layer 0 is also run to see how much fits.
        assert again == [0, 0, 1, 2, 3, *range(3 - layers, -1, -1)]
    for other in found[1:]:
        assert other.loss == found[0].loss
        assert all(torch.equal(row, other.rows[key]) for key, row in found[0].rows.items())


def test_layers_of_unequal_shape_are_scored_as_they_are(tmp_path: Path) -> None:
    pruned = prune_tiny(tiny_model(tmp_path / "base"), block_plan("l2"))
    pruned.save(tmp_path / "pruned")
    plain = learned(pruned.network("cpu").requires_grad_(True))
    scores = scores_of(open_checkpoint(tmp_path / "pruned"), plan("taylor"))
    assert scores.loss == pytest.approx(plain.loss, rel=1e-6)
    for (name, axis), row in scores.rows.items():
        salience = (plain.weight[name] * plain.gradient[name]).abs()
        expected = torch.stack([part.sum() for part in salience.unbind(axis)])
        assert difference(row, expected) < 1e-5


def test_the_pass_goes_no_deeper_than_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = stored(tmp_path, family("llama"))
    seen: list[tuple[set[int], bool]] = []
    present = LayeredNetwork.present

    def spy(self: LayeredNetwork, stages: set[int], wanted: Any = ()) -> Any:
        seen.append((set(stages), bool(wanted)))
        return present(self, stages, wanted)

    monkeypatch.setattr(layered.LayeredNetwork, "present", spy)
    monkeypatch.setitem(batches._HELD_ROOM, "cpu", 0)
    axes = {"model.layers.2.mlp.up_proj.weight": {0}}
    scores = scores_of(checkpoint, plan("taylor"), axes)
    assert list(scores.rows) == [("model.layers.2.mlp.up_proj.weight", 0)]
    # In, one layer to see how much fits, four layers, out, and back through 3 to 2: never two.
    assert [stages for stages, _ in seen] == [
        {layered.ENTRY}, {0}, {0}, {1}, {2}, {3}, {layered.EXIT}, {3}, {2}
    ]  # fmt: skip
    assert [wanted for _, wanted in seen] == [False] * 8 + [True]


def layered_network(checkpoint: Checkpoint, weights: WeightMap) -> LayeredNetwork:
    state = stored_state(checkpoint, weights)
    return LayeredNetwork(state, checkpoint.config, checkpoint.path, "cpu", torch.float64)


def test_weights_are_in_place_only_while_they_are_needed(tmp_path: Path) -> None:
    checkpoint = stored(tmp_path, family("mixtral"))
    with WeightMap() as weights:
        network = layered_network(checkpoint, weights)
        layer = network.layers[1]
        before = list(layer.parameters())
        with network.present({1}) as present:
            assert all(p.dtype == torch.float64 for p in layer.parameters())
            assert present.weight("model.layers.1.self_attn.q_proj.weight").dtype == torch.float64
            assert all(p.dtype == torch.float32 for p in network.layers[2].self_attn.parameters())
        assert all(a is b for a, b in zip(before, layer.parameters(), strict=True))
        # Experts have no memory of their own in between.
        assert layer.mlp.experts.gate_up_proj.stride() == (0, 0, 0)


def test_masks_do_not_grow_in_number_with_the_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gemma 2 has two of [length, length] for each batch; second-order forms a batch a window."""
    held: dict[int, int] = {}
    forward = streaming.Pass._forward

    def weighing(self: streaming.Pass, number: int) -> None:
        told = [given for calls in self._calls for call in calls for given in call.kwargs.values()]
        masks = (mask for mask in told if isinstance(mask, Tensor) and mask.dim() == 4)
        held.update((mask.data_ptr(), mask.numel()) for mask in masks)
        forward(self, number)

    monkeypatch.setattr(streaming.Pass, "_forward", weighing)
    scores_of(stored(tmp_path, family("gemma2")), plan("taylor", "param_second"))
    length = CALIBRATION.record.length
    assert CALIBRATION.record.windows > 1
    assert sum(held.values()) == 2 * length * length


def test_what_a_layer_keeps_is_given_back_once_it_is_known(tmp_path: Path) -> None:
    checkpoint = stored(tmp_path, family("llama"))
    with WeightMap() as weights:
        network = layered_network(checkpoint, weights)
        with network.present({layered.ENTRY}), torch.no_grad():
            hidden, calls = network.enter(torch.arange(8)[None])
        copies: list[weakref.ref[Tensor]] = []
        run = network.run

        def noting(number: int, given: Tensor, call: Call) -> Tensor:
            copies.extend(weakref.ref(p) for p in network.layers[number].parameters())
            return run(number, given, call)

        network.run = noting
        assert batches.bytes_kept(network, hidden, calls) > hidden.nbytes
        gc.collect()
        assert copies
        assert all(copy() is None for copy in copies)
