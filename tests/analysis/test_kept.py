"""Which units are left, from the weights, from pruning.json, or as far as shapes tell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.analysis.kept import Kept, KeptUnits, kept_units
from prunescope.analysis.overview import Question, overview
from prunescope.analysis.record import read_record
from prunescope.analysis.workload import Workload
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint
from tests.support import traces
from tests.support.tiny import tiny_folder
from tests.support.traces import state_of, with_state
from tests.support.verify import without_record


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("kept")
    before = traces.original(folder / "before")
    return before, traces.pruned(before, folder / "after")


def found(before: Path, after: Path, by_weights: bool = False) -> Kept:
    old, new = open_checkpoint(before), open_checkpoint(after)
    trace = traces.traced(before, after) if by_weights else None
    return kept_units(describe(old), describe(new), read_record(new), trace)


def cut(kept: Kept) -> dict[int, dict[str, tuple[int, ...]]]:
    layers: dict[int, dict[str, tuple[int, ...]]] = {}
    for unit in kept.units:
        if unit.left < unit.original and unit.kept is not None:
            layers.setdefault(unit.layer, {})[unit.space] = tuple(unit.kept)
    return layers


def test_the_weights_and_the_record_tell_the_same(pair: tuple[Path, Path]) -> None:
    recorded, traced = found(*pair), found(*pair, by_weights=True)

    assert (recorded.source, traced.source) == ("pruning.json", "trace")
    assert cut(recorded) == cut(traced) == traces.recorded(pair[1])
    assert recorded.units == traced.units


def test_a_layer_that_was_left_alone_keeps_all(pair: tuple[Path, Path]) -> None:
    whole = [unit for unit in found(*pair).units if unit.layer == 0]

    # Eight heads share four KV heads; 96 channels.
    assert {unit.space: list(unit.kept or ()) for unit in whole} == {
        "heads": list(range(8)),
        "kv_heads": list(range(4)),
        "channels": list(range(96)),
    }


def test_without_either_only_counts_are_known(pair: tuple[Path, Path], tmp_path: Path) -> None:
    alone = without_record(Path(shutil.copytree(pair[1], tmp_path / "alone")))
    kept = found(pair[0], alone)

    assert kept.source is None
    (channels,) = (u for u in kept.units if (u.layer, u.space) == (1, "channels"))
    assert channels == KeptUnits(1, "channels", 96, 48, None)
    assert channels.shares(4) is None


@pytest.mark.parametrize("units", [[0], [0, 1, 2, 3, 4], [0, 99], [1, 1]])
def test_a_record_that_does_not_fit_the_shapes_is_not_believed(
    pair: tuple[Path, Path], tmp_path: Path, units: list[int]
) -> None:
    liar = Path(shutil.copytree(pair[1], tmp_path / "liar"))
    record = json.loads((liar / "pruning.json").read_text("utf-8"))
    record["layers"]["1"]["attention"]["kept"]["kv_heads"] = units
    (liar / "pruning.json").write_text(json.dumps(record), "utf-8")

    (heads,) = (u for u in found(pair[0], liar).units if (u.layer, u.space) == (1, "kv_heads"))
    assert heads == KeptUnits(1, "kv_heads", 4, 2, None)


def test_shares_are_of_equal_stretches() -> None:
    few = KeptUnits(0, "heads", 4, 2, (0, 3))
    # 0-3, 4-6 and 7-9 of ten units.
    many = KeptUnits(0, "channels", 10, 5, (0, 1, 5, 8, 9))
    assert few.shares(64) == (1, 0, 0, 1)
    assert many.shares(3) == (2 / 4, 1 / 3, 2 / 3)


def test_a_layer_that_is_gone_keeps_nothing() -> None:
    assert KeptUnits(0, "heads", 4, 0, range(0)).shares(64) == (0, 0, 0, 0)


def test_a_space_of_a_trillion_units_takes_no_time_when_whole() -> None:
    assert KeptUnits(0, "channels", 10**12, 10**12, range(10**12)).shares(2) == (1, 1)


@given(st.integers(1, 200), st.integers(1, 64), st.data())
def test_shares_add_up_to_what_is_kept(total: int, most: int, data: st.DataObject) -> None:
    kept = sorted(data.draw(st.sets(st.integers(0, total - 1), max_size=total)))
    shares = KeptUnits(0, "channels", total, len(kept), kept).shares(most)

    assert shares is not None
    bins = len(shares)
    sizes = [sum(unit * bins // total == b for unit in range(total)) for b in range(bins)]
    assert round(sum(s * n for s, n in zip(shares, sizes, strict=True))) == len(kept)
    assert all(0 <= share <= 1 for share in shares)


def test_layers_that_moved_up_are_told_by_the_comparison(tmp_path: Path) -> None:
    before = tiny_folder(tmp_path / "before")
    state, left = state_of(before), [0, 3]
    kept = {
        name.replace(f".{layer}.", f".{number}."): tensor
        for number, layer in enumerate(left)
        for name, tensor in state.items()
        if f".layers.{layer}." in name
    }
    kept |= {name: tensor for name, tensor in state.items() if ".layers." not in name}
    after = with_state(before, tmp_path / "after", kept)
    record = {"schema": "prunescope.pruning/1", "parameters": {"original": 1, "pruned": 1},
              "layers": {}, "kept_layers": left}  # fmt: skip
    (after / "pruning.json").write_text(json.dumps(record))

    (model,) = overview(
        open_checkpoint(before), [open_checkpoint(after)], Question(Workload())
    ).models

    assert {u.layer: u.left == u.original for u in model.kept.units} == {
        0: True, 1: False, 2: False, 3: True,
    }  # fmt: skip
