"""Zero heads and channels make layers alike, and change nothing that a model computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunescope.architecture import Model
from prunescope.interop.assembling import assemble
from prunescope.interop.deci import _ffn_mult
from prunescope.interop.padding import common_lengths, padded
from tests.support.tiny import SHAPE, tiny_model, tiny_network
from tests.support.uneven import TOKENS

# Per layer: query heads, KV heads, channels. Two, three and one query heads share a KV head.
UNEVEN = [(4, 2, 20), (3, 1, 7), (2, 2, 1), (1, 1, 19)]
BIASES = {"attention_bias": True, "mlp_bias": True}


def lengths(layers: list[tuple[int, int, int]]) -> dict[tuple[int, str], int]:
    return {
        (number, space): length
        for number, layer in enumerate(layers)
        for space, length in zip(("heads", "kv_heads", "channels"), layer, strict=True)
    }


def uneven_state(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Random tensors of the shapes above, by their names in transformers."""
    state = dict(tiny_network(**config).state_dict())
    generator = torch.Generator().manual_seed(3)
    for number, (heads, kv_heads, channels) in enumerate(UNEVEN):
        sizes = {
            "q_proj": (heads * 8, 24), "k_proj": (kv_heads * 8, 24), "v_proj": (kv_heads * 8, 24),
            "o_proj": (24, heads * 8), "gate_proj": (channels, 24), "up_proj": (channels, 24),
            "down_proj": (24, channels),
        }  # fmt: skip
        for name in [name for name in state if f"layers.{number}." in name]:
            module, kind = name.split(".")[-2:]
            if module in sizes:
                shape = sizes[module] if kind == "weight" else sizes[module][:1]
                state[name] = 0.3 * torch.randn(shape, generator=generator)
    return state


@pytest.mark.parametrize("changes", [{}, BIASES], ids=["plain", "biases"])
def test_logits_are_those_of_the_model_without_zeros(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = tiny_model(tmp_path, **changes)
    before, found = uneven_state(changes), lengths(UNEVEN)
    target = common_lengths(model, found)
    # Two KV heads and three query heads each: six, which divide 24 as well.
    assert {target[0, space] for space in ("heads", "kv_heads")} == {6, 2}
    assert {target[n, "channels"] for n in range(4)} == {20}
    after, padding = padded(model, before, found, target)
    added = sum(after[name].numel() - before[name].numel() for name in before)
    assert (padding.parameters, padding.nbytes) == (added, 4 * added)
    config = model.checkpoint.config
    stock = config | {"num_attention_heads": 6, "num_key_value_heads": 2}
    with torch.no_grad():
        ours = assemble(config, before, "uneven")(TOKENS).logits
        theirs = assemble(stock, after, "padded")(TOKENS).logits
    torch.testing.assert_close(theirs, ours)


def test_what_fits_already_is_not_copied(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    state = dict(tiny_network().state_dict())
    found = lengths([(4, 2, 20)] * 4)
    after, padding = padded(model, state, found, common_lengths(model, found))
    assert all(after[name] is state[name] for name in state)
    assert (padding.parameters, padding.nbytes) == (0, 0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


layer = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 40)).map(
    lambda drawn: (drawn[0] * drawn[1], drawn[0], drawn[2])
)


@given(layers=st.lists(layer, min_size=4, max_size=4))
def test_the_common_shape_holds_every_layer_and_suits_transformers(
    tiny: Model, layers: list[tuple[int, int, int]]
) -> None:
    target = common_lengths(tiny, lengths(layers))
    heads, kv_heads, channels = (target[0, s] for s in ("heads", "kv_heads", "channels"))
    assert channels == max(each[2] for each in layers)
    assert SHAPE["hidden_size"] % heads == heads % kv_heads == 0
    # Each KV head of each layer finds a place, and as many query heads as it has.
    assert kv_heads >= max(each[1] for each in layers)
    assert heads // kv_heads >= max(each[0] // each[1] for each in layers)


@given(channels=st.integers(1, 800).map(lambda n: 256 * n), hidden=st.integers(8, 20_000))
def test_the_engines_formula_gives_the_channels_that_were_meant(channels: int, hidden: int) -> None:
    made = int(2 * _ffn_mult(channels, hidden) * hidden / 3)
    assert -(-made // 256) * 256 == channels
