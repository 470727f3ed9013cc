"""Views of one storage take the bytes of the storage, however they overlap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prunescope.analysis.breakdown import breakdown, by_component
from prunescope.analysis.cost import cost
from prunescope.analysis.size import measure
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint
from tests.support.tiny import tiny_network


@pytest.mark.parametrize(
    ("views", "elements"),
    [
        # Columns of a matrix, each from the first row to the last.
        (lambda w: (w[:, :3], w[:, 3:]), 48),
        # The whole beside its parts; in the file's order last.
        (lambda w: (w[:2], w[2:], w), 48),
        # Rows 0..3 and 2..5, and one inside both.
        (lambda w: (w[0:4], w[2:6], w[2:4]), 36),
        # Apart, with a row between them.
        (lambda w: (w[0:2], w[3:4]), 18),
        # The same bytes: tied.
        (lambda w: (w, w), 48),
    ],
)
def test_the_union_of_what_is_stored_counts(
    tmp_path: Path, views: Callable[[Tensor], tuple[Tensor, ...]], elements: int
) -> None:
    path, old = tmp_path / "m.bin", tmp_path / "old.bin"
    whole = torch.arange(48, dtype=torch.bfloat16).reshape(8, 6)
    state = {f"t{n}": view for n, view in enumerate(views(whole))}
    state["apart"] = torch.ones(5)
    torch.save(state, path)
    torch.save(state, old, _use_new_zipfile_serialization=False)

    for file in (path, old):
        found = open_checkpoint(file)
        assert found.nbytes == 2 * elements + 4 * 5
        assert measure(found).tensor_bytes == found.nbytes


def test_a_model_whose_gate_and_up_are_columns_of_one_matrix(tmp_path: Path) -> None:
    network = tiny_network()
    state = network.state_dict()
    for layer in range(network.config.num_hidden_layers):
        names = [f"model.layers.{layer}.mlp.{kind}_proj.weight" for kind in ("gate", "up")]
        both = torch.cat([state[name] for name in names], dim=1)
        state |= dict(zip(names, both.chunk(2, dim=1), strict=True))
    torch.save(state, tmp_path / "pytorch_model.bin")
    network.config.save_pretrained(tmp_path)

    model = describe(open_checkpoint(tmp_path))

    stored = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in state.values()}
    assert model.checkpoint.nbytes == sum(stored.values())
    assert sum(part.nbytes.original for part in breakdown(model, model)) == sum(stored.values())
    own = sum(t.nbytes for n, t in state.items() if ".mlp." in n)
    assert by_component(breakdown(model, model))["mlp"].original == own
    priced = cost(model.checkpoint)
    assert priced.read_bytes == sum(stored.values()) - state["model.embed_tokens.weight"].nbytes
