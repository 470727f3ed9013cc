"""On another device scores, perplexity and kept sets are those of the CPU, but for rounding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import prunescope
from prunescope.cli.eval import subcommand as eval_command
from prunescope.evaluation.memory import free_memory, peak_memory
from prunescope.evaluation.perplexity import cut_windows, perplexity
from prunescope.evaluation.sliding import sliding_windows, text_perplexity
from prunescope.evaluation.streamed import streamed_model
from prunescope.pruning import batches
from tests.support.commands import called
from tests.support.prune_command import RANGES, base_model, call
from tests.support.pruning import described, prune_tiny
from tests.support.pruning import plan as block_plan
from tests.support.streams import FAMILIES, difference, family, plan, scores_of, stored
from tests.support.tiny import tiny_folder

MEASURES = (
    ("taylor", "vectorize"),
    ("taylor", "param_first"),
    ("taylor", "param_second"),
    ("taylor", "param_mix"),
    ("wanda", "param_first"),
    ("flap", "param_first"),
    ("l1", "param_first"),
    ("l2", "param_first"),
)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_scores_are_those_of_the_cpu(tmp_path: Path, device: str, model_type: str) -> None:
    checkpoint = stored(tmp_path, family(model_type))
    for importance, form in MEASURES:
        here = scores_of(checkpoint, plan(importance, form))
        there = scores_of(checkpoint, plan(importance, form), device=device)
        if here.loss is not None:
            assert there.loss == pytest.approx(here.loss, rel=1e-5)
            assert there.influence == pytest.approx(here.influence, rel=1e-4, abs=1e-6)
        assert set(there.rows) == set(here.rows)
        for key, row in here.rows.items():
            assert there.rows[key].device.type == "cpu"
            assert difference(there.rows[key], row) < 1e-4, (importance, form, key)


def test_perplexity_is_that_of_the_cpu(tmp_path: Path, device: str) -> None:
    pruned = prune_tiny(described(tiny_folder(tmp_path / "m")), block_plan())
    pruned.save(tmp_path / "out")
    tokens = [(7 * n * n + 3 * n) % 320 for n in range(400)]
    windows = cut_windows(tokens, 50)
    here = perplexity(prunescope.load(tmp_path / "out"), windows)
    there = perplexity(prunescope.load(tmp_path / "out").to(device), windows)
    assert there.value == pytest.approx(here.value, rel=1e-5)
    sliding = sliding_windows(tokens, 64, 32)
    values = []
    for name in ("cpu", device):
        scorer = streamed_model(described(tmp_path / "out"), name, lambda: None)
        values.append(text_perplexity(sliding, scorer).value)
    assert values[1] == pytest.approx(values[0], rel=1e-5)


@pytest.mark.parametrize("importance", ["taylor", "wanda"])
def test_one_layer_at_a_time_lives_there(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch, importance: str
) -> None:
    # Else the last layers stay for as long as there is room.
    monkeypatch.setattr(batches, "_ROOM_ON_ACCELERATORS", 1 << 16)
    peaks = []
    for layers in (2, 4, 8):
        network = family("llama", num_hidden_layers=layers, hidden_size=64, intermediate_size=512)
        checkpoint = stored(tmp_path / str(layers), network)
        with peak_memory(device) as peak:
            scores_of(checkpoint, plan(importance), device=device)
        peaks.append(peak.extra)
    weights = sum(p.numel() * p.element_size() for p in network.base_model.layers[0].parameters())
    assert peaks == pytest.approx([peaks[0]] * 3, rel=0.01)
    # Its weights, their gradients, and what autograd keeps of them.
    assert weights <= peaks[0] < 4 * weights


def test_memory_is_that_of_the_device(device: str) -> None:
    free = free_memory(device)
    assert free
    with peak_memory(device) as peak:
        held = torch.zeros(1 << 22, dtype=torch.uint8).to(device)
        left = free_memory(device)
        del held
    assert peak.extra == 1 << 22
    assert left is not None
    assert free - left >= 1 << 22


@pytest.mark.parametrize(
    "options",
    [
        ("--pruner_type", "taylor", *RANGES),
        ("--pruner_type", "wanda", "--iterative_steps", "2", *RANGES),
        ("--pruner_type", "taylor", "--global_pruning", "--gqa", "query", *RANGES),
        ("--pruner_type", "taylor", "--target_sparsity", "0.1", *RANGES),
        ("--channel_wise", "--pruner_type", "taylor"),
        ("--layer_wise", "--layer", "4", "--depth_by", "influence"),
    ],
    ids=lambda options: options[1] if options[0] == "--pruner_type" else options[0],
)
def test_what_is_kept_is_that_of_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, options: tuple[str, ...]
) -> None:
    base_model(tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    ratio = () if {"--target_sparsity", "--layer_wise"} & {*options} else ("--pruning_ratio", "0.5")
    states = []
    for name in ("cpu", device):
        save = ("--save_model", "--save_ckpt_log_name", name, "--save_format", "hf")
        examples = ("--num_examples", "3")
        assert call("--base_model", "m", *options, *ratio, *examples, *save, "--device", name) == 0
        states.append(load_file(tmp_path / "prune_log" / name / "model.safetensors"))
    here, there = states
    assert set(there) == set(here)
    for name, tensor in here.items():
        assert torch.equal(there[name], tensor), name


def test_eval_measures_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], device: str
) -> None:
    model = tiny_folder(tmp_path / "m")
    prune_tiny(described(model), block_plan()).save(tmp_path / "out")
    (tmp_path / "text").write_text("Some words to predict, and then some more. " * 9, "utf-8")
    figures = []
    capsys.readouterr()  # of transformers, which wrote the model
    for name in ("cpu", device):
        code, out, err = called(
            eval_command, capsys, str(tmp_path / "out"), "--original", str(model),
            "--text", str(tmp_path / "text"), "--window", "64", "--stride", "64",
            "--speed", "--repeats", "1", "--context", "8", "--new-tokens", "3", "--generate",
            "--device", name, "--json",
        )  # fmt: skip
        assert (code, err) == (0, "")
        figures.append(json.loads(out))
    here, there = ([each["perplexity"]["value"] for each in found["models"]] for found in figures)
    assert there == pytest.approx(here, rel=1e-5)
    written = [[each["generations"] for each in found["models"]] for found in figures]
    assert written[0] == written[1]
    assert figures[1]["device"] == device
