"""What pruning kept is found from the weights alone, whatever happened to them afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import prunescope
from prunescope.errors import CheckpointError
from tests.support.formats import WRITERS
from tests.support.tiny import BIASES, edit_json
from tests.support.traces import (
    State,
    cut,
    kept,
    original,
    pruned,
    recorded,
    state_of,
    traced,
    with_state,
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("pair")
    before = original(base / "before")
    return before, pruned(before, base / "after")


@pytest.mark.parametrize("importance", ["random", "taylor", "l2"])
@pytest.mark.parametrize("changes", [{}, BIASES, {"tie_word_embeddings": True}])
def test_the_units_kept_are_those_of_pruning_json(
    tmp_path: Path, importance: str, changes: dict[str, bool]
) -> None:
    before = original(tmp_path / "before", **changes)
    after = pruned(before, tmp_path / "after", importance)

    found = traced(before, after)

    assert kept(found) == recorded(after)
    assert sorted(recorded(after)) == [1, 2]
    assert found.ok
    assert (found.removed, found.reordered, found.head_dim) == ((), False, 8)
    assert all(member.identical and member.drift == 0 for member in found.members)
    assert all(not s.ambiguous for layer in found.layers for s in layer.spaces.values())
    # Every stored tensor of the pruned model was compared, once for each.
    names = sorted(member.tensor for member in found.members)
    stored = set(state_of(after)) - (
        {"lm_head.weight"} if "tie_word_embeddings" in changes else set()
    )
    assert names == sorted(stored)


def test_the_unpruned_model_is_whole_and_unchanged(pair: tuple[Path, Path]) -> None:
    found = traced(pair[0], pair[0])
    assert found.ok
    assert kept(found) == {}
    assert all(member.identical for member in found.members)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_after_a_cast_the_drift_is_that_of_rounding(
    pair: tuple[Path, Path], tmp_path: Path, dtype: torch.dtype
) -> None:
    before, after = pair
    state = state_of(after)
    cast = {name: tensor.to(dtype) for name, tensor in state.items()}
    found = traced(before, with_state(after, tmp_path / "cast", cast))

    assert found.ok
    assert kept(found) == recorded(after)
    for member in found.members:
        was, now = state[member.tensor].double(), cast[member.tensor].double()
        assert not member.identical
        assert member.drift == pytest.approx(float((now - was).norm() / was.norm()), rel=1e-4)
    if dtype == torch.float64:
        assert {member.drift for member in found.members} == {0.0}


def test_after_some_steps_of_training(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = pair
    network = prunescope.load(after).requires_grad_(True)
    tokens = torch.arange(1, 257).reshape(4, 64)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        network(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
    tuned = {name: tensor.detach() for name, tensor in network.state_dict().items()}

    found = traced(before, with_state(after, tmp_path / "tuned", tuned))

    assert found.ok
    assert kept(found) == recorded(after)
    old = state_of(after)
    for member in found.members:
        was, now = old[member.tensor].double(), tuned[member.tensor].double()
        assert member.drift == pytest.approx(float((now - was).norm() / was.norm()), rel=1e-3)
    assert max(member.drift for member in found.members) > 1e-3


def test_channels_moved_and_trained_since(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before, _ = pair
    state = state_of(before)
    order = [1, 0, *range(2, 50), 95, *range(50, 95)]
    for name, axis in (("gate_proj", 0), ("up_proj", 0), ("down_proj", 1)):
        weight = f"model.layers.0.mlp.{name}.weight"
        cut(state, weight, axis, order)
        state[weight] += 0.01 * torch.randn(state[weight].shape)
    found = traced(before, with_state(before, tmp_path / "moved", state))
    assert found.ok
    assert found.layers[0].spaces["channels"].kept == tuple(order)
    assert not found.layers[0].spaces["channels"].in_order


def test_one_changed_weight_is_seen(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = pair
    state = state_of(after)
    name = "model.layers.2.mlp.down_proj.weight"
    state[name][63, 47] *= -1
    found = traced(before, with_state(after, tmp_path / "edited", state))

    assert found.ok
    assert kept(found) == recorded(after)
    assert [member.tensor for member in found.members if not member.identical] == [name]


def by_row(weight: torch.Tensor) -> State:
    scale = weight.abs().amax(1, keepdim=True) / 127
    return {"weight": (weight / scale).round().to(torch.int8), "weight_scale": scale}


def by_tensor(weight: torch.Tensor) -> State:
    scale = weight.abs().max() / 448
    return {"weight": (weight / scale).to(torch.float8_e4m3fn), "weight_scale": scale}


def by_block(weight: torch.Tensor) -> State:
    padded = torch.nn.functional.pad(weight, (0, -weight.shape[1] % 32, 0, -weight.shape[0] % 32))
    blocks = padded.unflatten(1, (-1, 32)).unflatten(0, (-1, 32))
    scale = blocks.abs().amax((1, 3)) / 57344
    every = scale.repeat_interleave(32, 0).repeat_interleave(32, 1)
    every = every[: weight.shape[0], : weight.shape[1]]
    return {"weight": (weight / every).to(torch.float8_e5m2), "weight_scale_inv": scale}


def by_llm_int8(weight: torch.Tensor) -> State:
    largest = weight.abs().amax(1)
    return {"weight": (weight * 127 / largest[:, None]).round().to(torch.int8), "SCB": largest}


@pytest.mark.parametrize(
    ("pack", "rounding"),
    [(by_row, 0.01), (by_tensor, 0.04), (by_block, 0.09), (by_llm_int8, 0.01)],
)
def test_after_quantisation_the_drift_is_that_of_rounding(
    pair: tuple[Path, Path], tmp_path: Path, pack: object, rounding: float
) -> None:
    before, after = pair
    state: State = {}
    for name, tensor in state_of(after).items():
        if name.endswith("_proj.weight"):
            stem = name.removesuffix("weight")
            state |= {stem + part: t for part, t in pack(tensor).items()}  # type: ignore[operator]
        else:
            state[name] = tensor
    folder = with_state(after, tmp_path / "quantised", state)
    if pack is by_block:
        # As transformers' FP8 checkpoints say it.
        settings = {"weight_block_size": [32, 32]}
        edit_json(folder / "config.json", {"quantization_config": settings})
    found = traced(before, folder)

    assert found.ok
    assert kept(found) == recorded(after)
    drift = [member.drift for member in found.members if "_proj" in member.tensor]
    assert len(drift) == 4 * 7
    assert all(rounding / 4 < value < rounding for value in drift)


@pytest.mark.parametrize("part", ["weight_zero_point", "weight_zp", "weight_g_idx"])
def test_what_zero_points_or_an_order_of_groups_move_is_not_compared(
    pair: tuple[Path, Path], tmp_path: Path, part: str
) -> None:
    before, after = pair
    state = state_of(after)
    name = "model.layers.0.mlp.down_proj.weight"
    state |= {f"{name.removesuffix('weight')}{key}": t for key, t in by_row(state[name]).items()}
    state[name.removesuffix("weight") + part] = torch.full((state[name].shape[0], 1), 3).char()
    folder = with_state(after, tmp_path / "quantised", state)

    with pytest.raises(CheckpointError, match=f"INT8 with .*{part}.* cannot be compared"):
        traced(before, folder)


@pytest.mark.parametrize(
    "name", [n for n in WRITERS if n not in ("GGUF", "FP8", "torch distributed")]
)
def test_every_torch_format_on_either_side(
    pair: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    places = []
    for source in pair:
        folder = tmp_path / source.name
        folder.mkdir()
        places.append(WRITERS[name](prunescope.load(source), folder))
        config = (source / "config.json").read_text("utf-8")
        (folder / "config.json").write_text(config, "utf-8")
    for before, after in ((pair[0], places[1]), (places[0], pair[1])):
        found = traced(before, after)
        assert found.ok
        assert kept(found) == recorded(pair[1])
        assert all(member.identical for member in found.members)


def test_without_a_config_heads_are_told_by_rows(pair: tuple[Path, Path], tmp_path: Path) -> None:
    files = []
    for source in pair:
        files.append(tmp_path / f"{source.name}.safetensors")
        save_file({n: t.clone() for n, t in state_of(source).items()}, files[-1])
    found = traced(*files)

    assert found.ok
    assert found.head_dim is None
    assert all(layer.pairing is None for layer in found.layers)
    rows = found.layers[1].spaces["kv_heads"].kept
    kv_heads = recorded(pair[1])[1]["kv_heads"]
    assert rows == tuple(head * 8 + row for head in kv_heads for row in range(8))
