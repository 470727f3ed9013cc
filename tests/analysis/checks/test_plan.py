"""Was the plan obeyed? By options, by pruning.json, or by what most layers suggest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from prunescope.analysis.expectation import Wanted
from prunescope.errors import CheckpointError, PlanError
from tests.support.pruning import State, described, plan, prune_tiny
from tests.support.tiny import tiny_folder
from tests.support.verify import check, codes, failed, pruned_pair, spoilt, verified, without_record


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Half of layers 1 and 2 went: 30,552 → 26,808 parameters, a share of 0.12254…"""
    return pruned_pair(tmp_path_factory.mktemp("pair"))


def channels(layer: int, count: int) -> Any:
    """An edit that leaves layer `layer` this many channels."""
    mlp = f"model.layers.{layer}.mlp."
    return lambda state: {
        f"{mlp}gate_proj.weight": torch.ones(count, 24),
        f"{mlp}up_proj.weight": torch.ones(count, 24),
        f"{mlp}down_proj.weight": torch.ones(24, count),
    }


def test_the_plan_that_was_given_is_obeyed(pair: tuple[Path, Path]) -> None:
    wanted = Wanted((1, 3), sparsity=0.1225, ratio=0.5, tolerance=0.0001)
    found = verified(pair[1], pair[0], wanted)
    assert failed(found) == set()
    plan = ("untouched", "target", "sparsity")
    assert [check(found, name).source for name in plan] == ["options"] * 3
    assert check(found, "untouched").findings[0].layers == (0, 3)


def test_who_says_what_is_expected_is_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    found = verified(pair[1], pair[0])
    assert check(found, "untouched").source == "pruning.json"
    found = verified(without_record(spoilt(pair[1], tmp_path / "x")), pair[0])
    assert check(found, "untouched").source == "inferred"
    assert check(found, "record").verdict == "skip"


@pytest.mark.parametrize(
    ("wanted", "name", "code", "layers"),
    [
        (Wanted((2, 3)), "untouched", "touched", (1,)),
        (Wanted((1, 4)), "target", "not_cut", (3,)),
        (Wanted(sparsity=0.13), "sparsity", "sparsity_wanted", ()),
        (Wanted(sparsity=0.1), "sparsity", "sparsity_wanted", ()),
        (Wanted(ratio=0.4), "target", "share", (1, 2)),
    ],
)
def test_a_plan_that_was_not_obeyed_fails(
    pair: tuple[Path, Path], wanted: Wanted, name: str, code: str, layers: tuple[int, ...]
) -> None:
    found = verified(pair[1], pair[0], wanted)
    assert failed(found) == {name}
    assert codes(found, name) == {code}
    assert {one.layers for one in check(found, name).findings if one.verdict == "fail"} == {layers}


def test_a_ratio_is_met_by_the_nearest_whole_number_of_units(pair: tuple[Path, Path]) -> None:
    # Of two KV heads one went: the nearest to 0.6 × 2; ten of twenty channels are not 0.6 × 20.
    found = check(verified(pair[1], pair[0], Wanted(ratio=0.6)), "target")
    assert [(one.values["space"], one.verdict) for one in found.findings] == [
        ("kv_heads", "pass"),
        ("channels", "fail"),
    ]


def test_a_layer_cut_that_should_not_be_fails(pair: tuple[Path, Path], tmp_path: Path) -> None:
    folder = spoilt(pair[1], tmp_path / "x", channels(3, 15))
    for wanted, source in ((Wanted((1, 3)), "options"), (None, "pruning.json")):
        found = verified(folder, pair[0], wanted)
        assert codes(found, "untouched") == {"touched"}
        assert check(found, "untouched").source == source
        assert codes(found, "record") >= {"unrecorded", "recorded_parameters"}


def test_an_outlier_among_pruned_layers_is_noted_where_nothing_is_expected(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = without_record(spoilt(pair[1], tmp_path / "x", channels(2, 7)))
    found = verified(folder, pair[0])
    assert failed(found) == {"config"}
    (odd,) = [one for one in check(found, "target").findings if one.code == "outlier"]
    assert odd.layers == (2,)
    assert odd.values == {"space": "channels", "old": 20, "new": 7, "common": 10}


def test_layers_that_a_plan_cuts_to_widths_of_their_own_are_at_target(tmp_path: Path) -> None:
    ratios = {1: {"attention": 0.5, "mlp": 0.25}, 2: {"mlp": 0.5}}
    base = described(tiny_folder(tmp_path / "m"))
    prune_tiny(base, plan(layer_ratios=ratios)).save(tmp_path / "p")
    found = verified(tmp_path / "p", tmp_path / "m")
    assert failed(found) == set()
    target = check(found, "target")
    assert target.verdict == "pass"
    # Of 20 channels 15 and 10; one layer alone lost a KV head.
    assert [(one.code, one.layers, one.values) for one in target.findings] == [
        ("cut_alike", (1,), {"space": "kv_heads", "old": 2, "new": 1}),
        ("as_recorded", (1, 2), {"space": "channels", "least": 10, "most": 15}),
    ]
    # Seven are not what pruning.json has, and without it nobody knows which of the two is right.
    folder = spoilt(tmp_path / "p", tmp_path / "x", channels(2, 7))
    found = verified(folder, tmp_path / "m")
    assert "record" in failed(found)
    assert codes(found, "target", "warn") == {"outlier"}
    folder = without_record(spoilt(tmp_path / "p", tmp_path / "y"))
    assert codes(verified(folder, tmp_path / "m"), "target", "warn") == {"outlier"}


def test_widths_of_which_none_is_that_of_most_are_given_as_a_range(tmp_path: Path) -> None:
    """As a knapsack leaves them: one layer's width says nothing of the others."""
    ratios = {1: {"mlp": 0.25}, 2: {"mlp": 0.5}, 3: {"mlp": 0.1}}
    base = described(tiny_folder(tmp_path / "m"))
    prune_tiny(base, plan(mlp=(1, 4), layer_ratios=ratios)).save(tmp_path / "p")
    folder = without_record(tmp_path / "p")
    found = verified(folder, tmp_path / "m")
    assert failed(found) == set()
    noted = [one for one in check(found, "target").findings if one.verdict == "warn"]
    # Of 20 channels 15, 10 and 18.
    assert [(one.code, one.layers, one.values) for one in noted] == [
        ("cut_unlike", (1, 2, 3), {"space": "channels", "least": 10, "most": 18})
    ]


def cut_hidden(state: State) -> dict[str, torch.Tensor]:
    """The hidden dimension 24 → 23 everywhere."""
    return {
        name: tensor[..., :23] if tensor.shape[-1] == 24 else tensor[:23]
        for name, tensor in state.items()
        if 24 in tensor.shape
    }


def test_dimensions_that_should_stay_are_watched(pair: tuple[Path, Path], tmp_path: Path) -> None:
    size = {"hidden_size": 23}
    found = verified(spoilt(pair[1], tmp_path / "x", cut_hidden, size), pair[0])
    assert codes(found, "directions") == {"kept_cut"}
    assert failed(found) == {"directions", "record"}
    words = ("model.embed_tokens.weight", "lm_head.weight")
    for rows, code in ((300, "kept_cut"), (321, "grown")):
        edit = lambda state, rows=rows: {name: torch.ones(rows, 24) for name in words}  # noqa: E731
        folder = spoilt(pair[1], tmp_path / str(rows), edit, {"vocab_size": rows})
        found = check(verified(folder, pair[0]), "directions")
        assert {(one.code, one.values["tensor"]) for one in found.findings} == {
            (code, name) for name in words
        }


def test_a_dimension_cut_alike_throughout_is_noted_where_no_plan_says_otherwise(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """As by Minitron, or where a vocabulary was pruned."""
    size = {"hidden_size": 23}
    folder = without_record(spoilt(pair[1], tmp_path / "x", cut_hidden, size))
    found = verified(folder, pair[0])
    assert failed(found) == set()
    noted = [(one.code, one.values) for one in check(found, "directions").findings]
    assert noted == [("cut_throughout", {"space": "hidden", "old": 24, "new": 23})]
    # Layers 1 and 2 were to be pruned, and nothing else.
    assert failed(verified(folder, pair[0], Wanted((1, 3)))) == {"directions"}
    # One tensor that kept its width: then it was no plan.
    wide = {"model.norm.weight": torch.ones(24)}
    torn = without_record(
        spoilt(pair[1], tmp_path / "y", lambda state: cut_hidden(state) | wide, size)
    )
    assert codes(verified(torn, pair[0]), "directions") == {"kept_cut"}


def test_layers_that_went_or_came_are_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    last = "model.layers.3."
    edit = lambda state: dict.fromkeys(n for n in state if n.startswith(last))  # noqa: E731
    short = spoilt(pair[1], tmp_path / "x", edit, {"num_hidden_layers": 3})
    assert codes(verified(short, pair[0], Wanted((1, 3))), "depth") == {"layers_gone"}
    assert codes(verified(without_record(short), pair[0]), "depth", "warn") == {"layers_gone"}
    assert codes(verified(pair[1], short), "depth") == {"layers_come"}


def without_attention(layer: int) -> Any:
    """An edit that leaves layer `layer` its MLP alone."""
    parts = [f"self_attn.{x}_proj.weight" for x in "qkvo"] + ["input_layernorm.weight"]
    return lambda state: {f"model.layers.{layer}.{part}": None for part in parts}


def test_a_layer_whose_attention_went_is_not_as_in_the_original(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = without_record(spoilt(pair[1], tmp_path / "x", without_attention(3)))
    found = check(verified(folder, pair[0]), "untouched")
    assert (found.verdict, found.findings[0].layers) == ("pass", (0,))
    # As someone says it was not to be touched, it fails.
    found = check(verified(folder, pair[0], Wanted((1, 3))), "untouched")
    assert [(one.code, one.layers, one.values) for one in found.findings] == [
        ("group_gone", (3,), {"group": "attention"}),
        ("untouched_layers", (0,), {"n": 1}),
    ]
    assert check(verified(folder, pair[0], Wanted((1, 4))), "untouched").verdict == "pass"


def test_a_layer_with_a_bias_more_is_not_as_in_the_original(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    edit = lambda state: {"model.layers.3.mlp.down_proj.bias": torch.zeros(24)}  # noqa: E731
    found = verified(spoilt(pair[1], tmp_path / "x", edit), pair[0])
    assert check(found, "untouched").findings[0].layers == (0,)
    assert failed(found) == {"tensors", "record", "config"}


def without_first_layer(state: State) -> dict[str, torch.Tensor | None]:
    """Layers 1, 2, 3 become 0, 1, 2."""
    changed: dict[str, torch.Tensor | None] = {}
    for name in state:
        parts = name.split(".")
        if parts[1] == "layers":
            following = ".".join([*parts[:2], str(int(parts[2]) + 1), *parts[3:]])
            changed[name] = state.get(following)
    return changed


def test_a_range_names_the_originals_layers_where_some_are_gone(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    short = spoilt(
        pair[1], tmp_path / "x", without_first_layer, {"num_hidden_layers": 3},
        lambda value: value.update(kept_layers=[1, 2, 3]),
    )  # fmt: skip

    found = verified(short, pair[0], Wanted((1, 3)))
    assert {check(found, name).verdict for name in ("untouched", "target")} == {"pass"}
    # The original's last layer, whatever the file calls it; what is past it is nobody's.
    assert codes(verified(short, pair[0], Wanted((1, 4))), "target") == {"not_cut"}
    with pytest.raises(PlanError, match=r"past the original's layers, 0\.\.3"):
        verified(short, pair[0], Wanted((1, 5)))


def test_layers_that_moved_up_without_a_record_are_told_by_their_weights(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    edits = (without_first_layer, {"num_hidden_layers": 3})
    short = without_record(spoilt(pair[1], tmp_path / "x", *edits))
    found = verified(short, pair[0])
    (gone,) = check(found, "depth").findings
    assert (gone.verdict, gone.code, gone.layers) == ("warn", "layers_matched", (0,))
    assert gone.values == {"old": 4, "new": 3}
    # Of what are now 0, 1 and 2 the pruned ones are 0 and 1: 2 KV heads → 1, 20 channels → 10.
    assert {one.layers for one in check(found, "target").findings} == {(0, 1)}
    assert check(found, "untouched").findings[0].layers == (2,)
    # per_layer_config still has the old numbers.
    assert failed(found) == {"config"}

    found = verified(short, pair[0], Wanted((1, 3)))
    assert {check(found, name).verdict for name in ("untouched", "target")} == {"pass"}
    assert failed(found) == {"depth", "config"}
    assert codes(verified(short, pair[0], Wanted((0, 2))), "untouched") == {"touched"}
    # A record of before the layer went still says which were pruned.
    kept = spoilt(pair[1], tmp_path / "y", *edits)
    assert failed(verified(kept, pair[0])) == {"depth", "record", "config"}


def swap_heads(value: Any) -> None:
    value["layers"]["1"]["attention"]["kept"]["heads"] = [0, 3]


def drop_channel(value: Any) -> None:
    del value["layers"]["1"]["mlp"]["kept"]["channels"][0]


def reverse(value: Any) -> None:
    value["layers"]["2"]["mlp"]["kept"]["channels"].reverse()


RECORDS: dict[str, tuple[Any, set[str]]] = {
    "heads of two KV heads": (swap_heads, {"record_unpaired"}),
    "a channel fewer": (drop_channel, {"off_record", "record_differs"}),
    "indices in no order": (reverse, {"record_disordered"}),
    "indices beyond the original": (
        lambda value: value["layers"]["2"]["mlp"]["kept"]["channels"].__setitem__(-1, 20),
        {"record_disordered"},
    ),
    "another number of units": (
        lambda value: value["layers"]["2"]["mlp"].update(units=30), {"record_differs"},
    ),
    "parameters": (lambda value: value["parameters"].update(pruned=1), {"recorded_parameters"}),
    "another original": (
        lambda value: value["parameters"].update(original=1), {"recorded_original"},
    ),
    "a group unknown": (
        lambda value: value["layers"]["2"].update(x=value["layers"]["2"]["mlp"]),
        {"recorded_nowhere"},
    ),
    "a layer unknown": (
        lambda value: value["layers"].update({"7": value["layers"]["2"]}), {"recorded_nowhere"},
    ),
    "a layer left out": (lambda value: value["layers"].pop("2"), {"unrecorded"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", RECORDS)
def test_a_record_that_the_weights_contradict_fails(
    pair: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    edit, expected = RECORDS[fault]
    found = verified(spoilt(pair[1], tmp_path / "x", record=edit), pair[0])
    assert codes(found, "record") == expected
    assert failed(found) - {"untouched"} == {"record"}


@pytest.mark.parametrize(
    ("edit", "cause"),
    [
        (lambda value: value.update(schema="prunescope.pruning/9"), "this version knows"),
        (lambda value: value.update(layers=[]), "no parameters and layers"),
        (lambda value: value["parameters"].update(pruned=-1), "no whole numbers"),
        (lambda value: value["layers"].update(x={}), "'x' is no layer's number"),
        (lambda value: value["layers"].update({"1": 1}), "layer 1 has no groups"),
        (lambda value: value["layers"]["1"].update(mlp={"units": 1}), "mlp of layer 1 is not"),
        (lambda value: value["layers"]["1"]["mlp"].update(kept={"channels": [True]}), "mlp of"),
    ],
)
def test_a_record_that_cannot_be_read_is_an_error(
    pair: tuple[Path, Path], tmp_path: Path, edit: Any, cause: str
) -> None:
    folder = spoilt(pair[1], tmp_path / "x", record=edit)
    with pytest.raises(CheckpointError, match=rf"pruning\.json: .*{cause}"):
        verified(folder, pair[0])


def test_another_tools_notes_are_no_record(pair: tuple[Path, Path], tmp_path: Path) -> None:
    folder = spoilt(pair[1], tmp_path / "x", record=lambda value: value.pop("schema"))
    assert check(verified(folder, pair[0]), "record").verdict == "skip"


@pytest.mark.parametrize(
    "wanted",
    [{"layers": (3, 3)}, {"layers": (4, 3)}, {"layers": (1, 5)}, {"sparsity": 1.0},
     {"sparsity": float("nan")}, {"ratio": -0.1}, {"tolerance": 1.0}],
)  # fmt: skip
def test_what_cannot_be_expected_is_an_error(
    pair: tuple[Path, Path], wanted: dict[str, Any]
) -> None:
    with pytest.raises(PlanError):
        verified(pair[1], pair[0], Wanted(**wanted))


def test_what_is_expected_needs_an_original(pair: tuple[Path, Path]) -> None:
    with pytest.raises(PlanError, match="name it"):
        verified(pair[1], None, Wanted(sparsity=0.1))
