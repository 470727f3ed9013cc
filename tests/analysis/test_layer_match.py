"""Layers dropped and renumbered: the tables are by the original's numbers, by hand.

A layer of `tests.support.tiny`: q, o 32 × 24; k, v 16 × 24; gate, up 20 × 24; down 24 × 20; two
norms of 24: 768 + 768 + 2 · 384 + 3 · 480 + 48 = 3792 parameters.
"""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from prunescope.analysis.compare import compare
from prunescope.analysis.compare_result import Comparison
from prunescope.analysis.layer_match import Align
from prunescope.architecture import Role
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError, MissingExtra
from tests.support.sparse import LlamaShape, llama_shapes, write_model
from tests.support.tiny import edit_json, tiny_network
from tests.support.traces import State, state_of, with_state

LAYER = 3792
LEFT = [0, 1, 2, 3, 4, 6]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny_network(num_hidden_layers=8), tmp_path_factory.mktemp("match") / "original")


def saved(network: PreTrainedModel, folder: Path) -> Path:
    network.save_pretrained(folder)
    return folder


def kept(order: list[int], **changes: Any) -> PreTrainedModel:
    """The layers `order`, renumbered by transformers as it saves them."""
    network: Any = tiny_network(num_hidden_layers=8, **changes)
    network.model.layers = torch.nn.ModuleList([deepcopy(network.model.layers[n]) for n in order])
    network.config.num_hidden_layers = len(order)
    return network


def compared(before: Path, after: Path, align: Align = "auto") -> Comparison:
    return compare(open_checkpoint(before), open_checkpoint(after), align=align)


def removed(found: Comparison) -> dict[int, int]:
    """Layer → parameters that are gone, where some are."""
    counts = {layer.layer: layer.parameters.removed for layer in found.layers}
    return {number: n for number, n in counts.items() if n}


def positions(found: Comparison) -> list[int | None]:
    return [layer.position for layer in found.layers]


def thinned(state: State, layer: int) -> State:
    """Ten of the layer's 20 MLP channels are left."""
    stem = f"model.layers.{layer}.mlp."
    half = {f"{stem}{name}.weight": state[f"{stem}{name}.weight"][::2] for name in ("gate_proj",
            "up_proj")}  # fmt: skip
    return state | half | {f"{stem}down_proj.weight": state[f"{stem}down_proj.weight"][:, ::2]}


def test_dropped_layers_are_found_by_the_weights(original: Path, tmp_path: Path) -> None:
    found = compared(original, saved(kept(LEFT), tmp_path / "dropped"))
    assert found.matched.source == "weights"
    assert removed(found) == {5: LAYER, 7: LAYER}
    assert positions(found) == [0, 1, 2, 3, 4, None, 5, None]
    assert found.parameters.removed == 2 * LAYER
    q = next(v for v in found.verdicts() if v.role is Role.Q)
    assert (q.common, q.pruned, q.unpruned) == (0, (5, 7), tuple(LEFT))


def test_a_layer_cut_too_is_shown_at_its_own_number(original: Path, tmp_path: Path) -> None:
    dropped = saved(kept(LEFT), tmp_path / "dropped")
    # Layer 6 of the original is the sixth of the file.
    after = with_state(dropped, tmp_path / "cut", thinned(state_of(dropped), 5))
    assert removed(compared(original, after)) == {5: LAYER, 6: 3 * 10 * 24, 7: LAYER}
    # By number it would be layer 5 that lost channels, and 6 and 7 that are gone.
    wrong = compared(original, after, "numbers")
    assert removed(wrong) == {5: 3 * 10 * 24, 6: LAYER, 7: LAYER}


def test_the_record_is_believed_before_the_weights(original: Path, tmp_path: Path) -> None:
    after = saved(kept(LEFT), tmp_path / "dropped")
    record = {"schema": "prunescope.pruning/1", "parameters": {"original": 1, "pruned": 1},
              "layers": {}, "kept_layers": [0, 1, 2, 3, 6, 7]}  # fmt: skip
    (after / "pruning.json").write_text(json.dumps(record))
    found = compared(original, after)
    assert (found.matched.source, set(removed(found))) == ("pruning.json", {4, 5})


@pytest.mark.parametrize("layers", [[0, 1], [0, 1, 2, 3, 4, 9], [0, 0, 1, 2, 3, 4], "all", None])
def test_a_record_that_does_not_fit_is_not(original: Path, tmp_path: Path, layers: object) -> None:
    after = saved(kept(LEFT), tmp_path / "dropped")
    record = {"schema": "prunescope.pruning/1", "parameters": {"original": 1, "pruned": 1},
              "layers": {}, "kept_layers": layers}  # fmt: skip
    (after / "pruning.json").write_text(json.dumps(record))
    found = compared(original, after)
    assert (found.matched.source, set(removed(found))) == ("weights", {5, 7})


def test_layers_that_changed_places_are_found_where_asked_for(
    original: Path, tmp_path: Path
) -> None:
    moved = saved(kept([0, 1, 2, 3, 6, 5, 4, 7]), tmp_path / "moved")
    after = with_state(moved, tmp_path / "cut", thinned(state_of(moved), 4))
    # As many layers as there were: only headers are read.
    assert compared(original, after).matched.source == "numbers"
    found = compared(original, after, "weights")
    assert removed(found) == {6: 3 * 10 * 24}
    assert positions(found) == [0, 1, 2, 3, 6, 5, 4, 7]


def test_a_doubled_layer_has_no_table_of_its_own(original: Path, tmp_path: Path) -> None:
    after = saved(kept([0, 1, 2, 2, 3]), tmp_path / "doubled")
    assert compared(original, after).matched.source == "numbers"
    with pytest.raises(ArchitectureError, match="the same one of the original"):
        compared(original, after, "weights")


def test_hidden_columns_and_tokens_cut_with_layers(original: Path, tmp_path: Path) -> None:
    """18 of 24 hidden columns: q 32 × 18, … a layer keeps 3/4 of its 3792 parameters."""
    dropped = saved(kept(LEFT), tmp_path / "dropped")
    columns = torch.tensor([c for c in range(24) if c % 4])
    state = {}
    for name, tensor in state_of(dropped).items():
        axis = 0 if tensor.dim() == 1 or name.endswith(("o_proj.weight", "down_proj.weight")) else 1
        tensor = tensor.index_select(axis, columns)
        state[name] = tensor[:300] if name.endswith(("embed_tokens.weight", "head.weight")) else (
            tensor)  # fmt: skip
    after = with_state(dropped, tmp_path / "narrow", state)
    edit_json(after / "config.json", {"hidden_size": 18, "vocab_size": 300, "head_dim": 8})
    found = compared(original, after)
    assert found.matched.source == "weights"
    assert removed(found) == {n: LAYER // 4 if n in LEFT else LAYER for n in range(8)}
    shapes = {m.role: (m.original_shape, m.pruned_shape) for m in found.outside}
    assert shapes[Role.EMBEDDING] == ((320, 24), (300, 18))
    assert shapes[Role.HEAD] == ((320, 24), (300, 18))


def test_a_merged_adapter_does_not_hide_which_layers_are_left(
    original: Path, tmp_path: Path
) -> None:
    tuned = get_peft_model(
        kept(LEFT), LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"])
    )
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    found = compared(original, saved(tuned.merge_and_unload(), tmp_path / "merged"))
    assert found.matched.source == "weights"
    assert removed(found) == {5: LAYER, 7: LAYER}


def test_without_numpy_numbers_remain(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = saved(kept(LEFT), tmp_path / "dropped")
    for name in [n for n in sys.modules if n.startswith("prunescope.analysis.trace.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numpy", None)
    found = compared(original, after)
    assert (found.matched.source, set(removed(found))) == ("numbers", {6, 7})
    with pytest.raises(MissingExtra, match="weights"):
        compared(original, after, "weights")


def test_holes_tell_nothing(tmp_path: Path) -> None:
    shape = LlamaShape(4, 8, 12, 4, 2, 2, 10, tied=False)
    before = write_model(tmp_path / "a", shape, llama_shapes(shape))
    fewer = LlamaShape(3, 8, 12, 4, 2, 2, 10, tied=False)
    found = compared(before, write_model(tmp_path / "b", fewer, llama_shapes(fewer)))
    assert found.matched.source == "numbers"
