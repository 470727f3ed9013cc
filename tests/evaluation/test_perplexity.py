"""Perplexity is exp of transformers' own loss, over windows that do not overlap."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

import prunescope
from prunescope.errors import PrunescopeError
from prunescope.evaluation.perplexity import MAX_TOKENS, Perplexity, cut_windows, perplexity
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder, tiny_network

TOKENS = [(7 * n * n + 3 * n) % 320 for n in range(400)]


class Saying:
    """A model that has the same logits for every token of every text."""

    device = torch.device("cpu")

    def __init__(self, *logits: float) -> None:
        self.logits = torch.tensor(logits)

    def __call__(self, input_ids: torch.Tensor, **options: Any) -> Any:
        return SimpleNamespace(logits=self.logits.expand(*input_ids.shape, -1))


# --- the figure ---------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 16, 100])
def test_it_is_exp_of_transformers_own_loss(tmp_path: Path, length: int) -> None:
    tiny_folder(tmp_path)
    windows = cut_windows(TOKENS, length)[:8]
    network = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        losses = [
            network(input_ids=ids, labels=ids).loss.item()
            for ids in (torch.tensor([window]) for window in windows)
        ]
    found = perplexity(prunescope.load(tmp_path), windows)
    assert found.value == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-6)
    assert (found.windows, found.length) == (len(windows), length)


def test_a_pruned_models_is_that_of_the_model_saved(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "m")
    pruned = prune_tiny(described(tmp_path / "m"), plan())
    pruned.save(tmp_path / "out")
    windows = cut_windows(TOKENS, 50)
    in_memory = perplexity(pruned.network("cpu"), windows)
    assert perplexity(prunescope.load(tmp_path / "out"), windows) == in_memory
    assert in_memory.value != perplexity(prunescope.load(tmp_path / "m"), windows).value


def test_a_model_that_knows_nothing_is_as_perplexed_as_it_has_tokens() -> None:
    found = perplexity(Saying(0.0, 0.0, 0.0, 0.0, 0.0), [[1, 2, 3], [4, 0, 1]])
    assert found.value == pytest.approx(5, rel=1e-6)


def test_the_first_token_of_a_window_is_not_predicted() -> None:
    # Token 0 has probability 3/4, token 1 has 1/4; each window predicts two tokens.
    model = Saying(math.log(3), 0.0)
    expected = (4 / 3 * 4 / 3 * 4 / 3 * 4) ** (1 / 4)
    assert perplexity(model, [[1, 0, 0], [1, 0, 1]]).value == pytest.approx(expected, rel=1e-6)


def test_every_token_predicted_weighs_the_same() -> None:
    # One token in the first window, three in the second.
    model = Saying(math.log(3), 0.0)
    expected = (4 * 4 / 3 * 4 / 3 * 4 / 3) ** (1 / 4)
    assert perplexity(model, [[0, 1], [0, 0, 0, 0]]).value == pytest.approx(expected, rel=1e-6)


def test_windows_are_counted_off() -> None:
    ticks: list[None] = []
    perplexity(Saying(0.0, 0.0), [[0, 1]] * 3, lambda: ticks.append(None))
    assert len(ticks) == 3


def test_a_half_precision_models_loss_is_computed_in_full(tmp_path: Path) -> None:
    tiny_folder(tmp_path, tiny_network(dtype=torch.bfloat16))
    network = prunescope.load(tmp_path)
    windows = cut_windows(TOKENS, 50)
    total = 0.0
    with torch.no_grad():
        for window in windows:
            ids = torch.tensor([window])
            logits = network(input_ids=ids).logits[0].double()
            total -= logits.log_softmax(-1)[range(49), window[1:]].sum().item()
    expected = math.exp(total / (49 * len(windows)))
    assert perplexity(network, windows).value == pytest.approx(expected, rel=1e-6)


# --- numbers that are none ----------------------------------------------------------------


def test_nan_stays_nan() -> None:
    found = perplexity(Saying(math.nan, 0.0), [[0, 1, 0]])
    assert math.isnan(found.value)
    assert (found.windows, found.length) == (1, 3)


@pytest.mark.parametrize("logits", [(1000.0, 0.0), (0.0, -math.inf)])
def test_what_overflows_is_infinite(logits: tuple[float, float]) -> None:
    # Token 1 hardly ever comes, or never: exp(1000) is more than a float holds.
    assert perplexity(Saying(*logits), [[0, 1]]).value == math.inf


def test_it_is_large_before_it_is_infinite() -> None:
    assert perplexity(Saying(600.0, 0.0), [[0, 1]]).value == pytest.approx(math.exp(600), rel=1e-6)


# --- windows ------------------------------------------------------------------------------


@given(tokens=st.integers(2, 500), length=st.integers(2, 100))
def test_windows_are_the_text_from_its_start(tokens: int, length: int) -> None:
    text = list(range(tokens))
    if tokens < length:
        with pytest.raises(PrunescopeError):
            cut_windows(text, length)
        return
    windows = cut_windows(text, length)
    assert {len(window) for window in windows} == {length}
    joined = [token for window in windows for token in window]
    # No token twice, none left out but a rest shorter than a window.
    assert joined == text[: len(joined)]
    assert tokens - len(joined) < length


@pytest.mark.parametrize(
    ("length", "windows"), [(128, 80), (1000, 10), (10_240, 1), (10_241, 1), (20_000, 1)]
)
def test_a_long_text_is_measured_on_10240_tokens_or_one_window(length: int, windows: int) -> None:
    assert MAX_TOKENS == 10_240
    assert len(cut_windows(range(30_000), length)) == windows
    assert len(cut_windows(range(30_000), length, 30_000)) == 30_000 // length


def test_windows_that_cannot_be_cut_are_one_line() -> None:
    with pytest.raises(PrunescopeError) as caught:
        cut_windows(TOKENS, 401)
    assert str(caught.value) == "the text has 400 tokens, a window needs 401"
    with pytest.raises(PrunescopeError) as caught:
        cut_windows(TOKENS, 1)
    assert str(caught.value) == "a window of 1 tokens predicts nothing: take at least 2"


def test_windows_of_any_sequence_can_be_measured() -> None:
    assert perplexity(Saying(0.0, 0.0), ((0, 1), range(2))) == Perplexity(
        pytest.approx(2, rel=1e-6), 2, 2
    )
