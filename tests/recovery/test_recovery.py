"""A recovery learns its text, and leaves a model as it was in all but its values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import prunescope
from prunescope.analysis.record import read_record
from prunescope.analysis.verify import verify
from prunescope.data.sources import Documents
from prunescope.errors import PlanError, PrunescopeError
from prunescope.evaluation.sliding import sliding_windows, text_perplexity, whole_model
from prunescope.recovery.blocks import Blocks, blocks_of
from prunescope.recovery.plan import RecoveryPlan
from prunescope.recovery.run import recover
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder, tiny_network

TEXT = Documents("made up", ("the quick brown fox jumps over the lazy dog. " * 60,), "\n\n")
SHORT = RecoveryPlan(
    epochs=4, learning_rate=1e-2, batch=8, micro_batch=4, cutoff=32, warmup=0, save_every=2
)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose layers differ in shape."""
    folder = tmp_path_factory.mktemp("pruned")
    prune_tiny(described(tiny_folder(folder / "m")), plan()).save(folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def blocks(pruned: Path) -> Blocks:
    return blocks_of(described(pruned), TEXT, SHORT.cutoff)


def perplexity(folder: Path, blocks: Blocks) -> float:
    tokens = [token for block in blocks.blocks for token in block]
    windows = sliding_windows(tokens, 64, 64)
    return text_perplexity(windows, whole_model(prunescope.load(folder), lambda: None)).value


@contextmanager
def stopping(steps: int, at: int) -> Iterator[Callable[[], None]]:
    """Progress of a user who interrupts."""
    left = [at]

    def tick() -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    yield tick


def test_it_makes_the_text_likelier_and_keeps_the_layout(
    pruned: Path, blocks: Blocks, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = recover(described(pruned), SHORT, blocks, tmp_path / "new")
    assert capfd.readouterr().out == ""
    assert found.last < found.first
    assert perplexity(tmp_path / "new", blocks) < perplexity(pruned, blocks)
    before = torch.load(pruned / "pytorch_model.bin", weights_only=True)
    after = torch.load(tmp_path / "new" / "pytorch_model.bin", weights_only=True)
    assert [(n, t.shape, t.dtype) for n, t in after.items()] == [
        (n, t.shape, t.dtype) for n, t in before.items()
    ]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "_proj." in name}
    assert {p.name for p in pruned.iterdir()} == {p.name for p in (tmp_path / "new").iterdir()}
    assert (pruned / "config.json").read_bytes() == (tmp_path / "new/config.json").read_bytes()


def test_the_record_says_so_and_the_checks_still_pass(
    pruned: Path, blocks: Blocks, tmp_path: Path
) -> None:
    wanted = replace(SHORT, max_steps=1)
    recover(described(pruned), wanted, blocks, tmp_path / "new")
    old, new = (prunescope.open_checkpoint(each) for each in (pruned, tmp_path / "new"))
    assert read_record(new) == read_record(old)
    record = json.loads((tmp_path / "new" / "pruning.json").read_text("utf-8"))
    note = record.pop("recovery")
    assert record == json.loads((pruned / "pruning.json").read_text("utf-8"))
    assert (note["steps"], note["text"]["sha256"]) == (1, blocks.digest)
    assert note["plan"]["targets"] == list(wanted.targets)
    assert not verify(new, prunescope.open_checkpoint(pruned.parent / "m")).failed
    assert prunescope.compare(old, new).parameters.removed == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shards_of_safetensors_stay_such(tmp_path: Path, dtype: torch.dtype) -> None:
    network = tiny_network(dtype=dtype, tie_word_embeddings=True)
    folder = tiny_folder(tmp_path / "m", network)
    network.save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink()
    model = described(folder)
    recover(model, replace(SHORT, max_steps=2), blocks_of(model, TEXT, 32), tmp_path / "new")
    names = {p.name for p in folder.iterdir()}
    assert len([name for name in names if name.endswith(".safetensors")]) > 1
    assert {p.name for p in (tmp_path / "new").iterdir()} == names
    for name in names:
        if name.endswith(".safetensors"):
            old, new = load_file(folder / name), load_file(tmp_path / "new" / name)
            assert {n: (t.shape, t.dtype) for n, t in old.items()} == {
                n: (t.shape, t.dtype) for n, t in new.items()
            }
    prunescope.load(tmp_path / "new")


def test_a_resumed_run_is_the_uninterrupted_one(
    pruned: Path, blocks: Blocks, tmp_path: Path
) -> None:
    whole = recover(described(pruned), SHORT, blocks, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        recover(
            described(pruned), SHORT, blocks, tmp_path / "cut", progress=lambda n: stopping(n, 4)
        )
    assert not (tmp_path / "cut" / "config.json").exists()
    with pytest.raises(PrunescopeError, match="holds an unfinished run: go on with --resume"):
        recover(described(pruned), SHORT, blocks, tmp_path / "cut")
    other = replace(SHORT, learning_rate=1e-3)
    with pytest.raises(PlanError, match="the run to be resumed has another learning_rate"):
        recover(described(pruned), other, blocks, tmp_path / "cut", is_resumed=True)
    # Of the same shapes, as a model of another training has them.
    stranger = prune_tiny(described(tiny_folder(tmp_path / "m", seed=1)), plan())
    stranger.save(tmp_path / "stranger")
    with pytest.raises(PlanError, match="the run to be resumed has another model"):
        recover(described(tmp_path / "stranger"), SHORT, blocks, tmp_path / "cut", is_resumed=True)
    told: list[int] = []

    def progress(steps: int) -> Any:
        told.append(steps)
        return stopping(steps, -1)

    resumed = recover(
        described(pruned), SHORT, blocks, tmp_path / "cut", is_resumed=True, progress=progress
    )
    assert resumed == whole
    # The checkpoint before the interruption was that of step 2.
    assert told == [whole.steps - 2]
    states = [
        torch.load(tmp_path / name / "pytorch_model.bin", weights_only=True)
        for name in ("whole", "cut")
    ]
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], msg=name)
    assert not (tmp_path / "cut" / "recovery").exists()


def test_with_a_teacher_it_comes_nearer_to_the_teachers_guesses(
    pruned: Path, blocks: Blocks, tmp_path: Path
) -> None:
    original = pruned.parent / "m"
    taught = replace(SHORT, share=1.0, temperature=1.0)
    recover(described(pruned), taught, blocks, tmp_path / "new", teacher=described(original))
    ids = torch.tensor(blocks.blocks[:4])
    guesses = [
        prunescope.load(each)(ids).logits.log_softmax(-1)
        for each in (original, pruned, tmp_path / "new")
    ]
    before, after = (
        torch.nn.functional.kl_div(each, guesses[0], reduction="sum", log_target=True).item()
        for each in guesses[1:]
    )
    assert after < before


def test_a_teacher_of_another_vocabulary_is_refused(
    pruned: Path, blocks: Blocks, tmp_path: Path
) -> None:
    other = described(tiny_folder(tmp_path / "other", tiny_network(vocab_size=321)))
    with pytest.raises(PlanError, match="the teacher knows 321 tokens, the model 320"):
        recover(described(pruned), SHORT, blocks, tmp_path / "new", teacher=other)


def test_a_loss_that_is_no_number_ends_it(pruned: Path, blocks: Blocks, tmp_path: Path) -> None:
    wild = replace(SHORT, learning_rate=1e30)
    with pytest.raises(PrunescopeError, match=r"^step \d: the loss is nan: lower --learning-rate"):
        recover(described(pruned), wild, blocks, tmp_path / "new")


def test_where_it_cannot_write_is_known_first(pruned: Path, blocks: Blocks, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (pruned, pruned.parent, pruned / "inside", tmp_path / "file"):
        with pytest.raises(PrunescopeError, match=r"choose another|is a file"):
            recover(described(pruned), SHORT, blocks, output)
    with pytest.raises(PrunescopeError, match="has no checkpoint to resume from"):
        recover(described(pruned), SHORT, blocks, tmp_path / "new", is_resumed=True)
