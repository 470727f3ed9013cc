"""What a recovery is made of: its plan, its blocks and its losses."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
import torch

from prunescope.data.sources import Documents
from prunescope.errors import PlanError, PrunescopeError
from prunescope.recovery.blocks import blocks_of
from prunescope.recovery.losses import teacher_loss, text_loss
from prunescope.recovery.plan import RecoveryPlan, micro_batch_of
from tests.support.tiny import tiny_model, tiny_tokenizer


def test_the_defaults_are_those_llm_pruner_documents() -> None:
    """Its README's command: --lora_r 8 --num_epochs 2 --learning_rate 1e-4 --batch_size 64; the
    rest are the defaults of post_training.py."""
    plan = RecoveryPlan()
    assert (plan.rank, plan.alpha, plan.dropout) == (8, 16, 0.05)
    assert (plan.epochs, plan.learning_rate, plan.batch, plan.micro_batch) == (2, 1e-4, 64, 4)
    assert (plan.cutoff, plan.warmup) == (256, 100)
    assert plan.targets == (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip


def test_a_micro_batch_that_nobody_gave_divides_the_batch() -> None:
    batches = {1: 1, 2: 2, 3: 3, 4: 4, 5: 1, 6: 3, 7: 1, 10: 2, 12: 4, 64: 4}
    assert {batch: micro_batch_of(batch) for batch in batches} == batches
    assert RecoveryPlan().micro_batch == micro_batch_of(RecoveryPlan().batch)


def test_steps_are_whole_batches_and_the_rest() -> None:
    plan = RecoveryPlan(epochs=3, batch=8)
    assert [plan.steps(n) for n in (1, 8, 9, 16)] == [3, 3, 6, 6]
    assert RecoveryPlan(epochs=3, batch=8, max_steps=4).steps(16) == 4
    assert RecoveryPlan(epochs=3, batch=8, max_steps=40).steps(16) == 6
    assert [plan.warmup_steps(n) for n in (5, 50, 2000)] == [0, 5, 100]


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"batch": 6}, "a batch of 6 is no whole number of micro batches of 4"),
        ({"targets": ("q_proj", "x")}, "targets 'q_proj,x' are not among q_proj,k_proj"),
        ({"targets": ()}, "targets '' are not among"),
    ],
)
def test_a_plan_that_makes_no_sense_is_one_line(options: dict[str, object], cause: str) -> None:
    with pytest.raises(PlanError) as caught:
        RecoveryPlan(**options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(cause)


def test_blocks_are_the_documents_with_their_ends(tmp_path: Path) -> None:
    model, cut = tiny_model(tmp_path), tiny_tokenizer()
    texts = ("Water boils.", "Once upon a time.")
    stream = [t for text in texts for t in [*cut(text).input_ids, cut.eos_token_id]]
    found = blocks_of(model, Documents("a", texts, "\n\n"), 4)
    assert [t for block in found.blocks for t in block] == stream[: len(stream) // 4 * 4]
    packed = b"".join(struct.pack("<q", t) for block in found.blocks for t in block)
    assert found.digest == hashlib.sha256(packed).hexdigest()


def test_an_empty_document_of_a_data_set_teaches_no_end_of_text(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    full, lesser = (
        blocks_of(model, Documents("made up", texts, "\n\n"), 2)
        for texts in (("", "one two", "\n", "three"), ("one two", "three"))
    )
    assert full.blocks == lesser.blocks


def test_too_short_a_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError) as caught:
        blocks_of(tiny_model(tmp_path), Documents("a.txt", ("a",), "\n\n"), 8)
    assert str(caught.value) == "a.txt: the text has 2 tokens, a block needs 8"


def test_a_token_without_an_embedding_is_one_line(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, vocab_size=100)
    with pytest.raises(PrunescopeError, match=r"the tokenizer gives token .*, 100 are embedded"):
        blocks_of(model, Documents("a.txt", ("Once upon a time.",), "\n\n"), 2)


def test_the_losses_are_those_of_their_formulas() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.randn(2, 2, 5, 7, dtype=torch.float64)
    ids = torch.randint(7, (2, 5))
    surprise = divergence = 0.0
    for b in range(2):
        for t in range(4):
            surprise -= ours[b, t].log_softmax(-1)[ids[b, t + 1]].item()
            p, q = ((x[b, t] / 3).softmax(-1) for x in (theirs, ours))
            divergence += (p * (p / q).log()).sum().item()
    assert text_loss(ours, ids).item() == pytest.approx(surprise / 8, rel=1e-5)
    assert teacher_loss(ours, theirs, 3.0).item() == pytest.approx(9 * divergence / 8, rel=1e-5)
    assert teacher_loss(ours, ours, 3.0).item() == pytest.approx(0, abs=1e-6)
