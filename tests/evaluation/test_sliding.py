"""A text's perplexity is that of transformers' guide, and each token is scored once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

import prunescope
from prunescope.architecture import describe
from prunescope.errors import PrunescopeError
from prunescope.evaluation.run import Sliding, fitted
from prunescope.evaluation.sliding import Window, sliding_windows, text_perplexity, whole_model
from prunescope.evaluation.streamed import streamed, streamed_model
from tests.support.families import family_folder
from tests.support.pruning import described, plan, prune_tiny
from tests.support.streams import family, stored
from tests.support.tiny import tiny_folder, tiny_network

TOKENS = [(7 * n * n + 3 * n) % 320 for n in range(230)]


def by_the_guide(folder: Path, length: int, stride: int) -> float:
    """https://huggingface.co/docs/transformers/perplexity, with transformers' own loading."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([TOKENS])
    total, count, before = 0.0, 0, 0
    for begin in range(0, len(TOKENS), stride):
        end = min(begin + length, len(TOKENS))
        labels = ids[:, begin:end].clone()
        labels[:, : -(end - before)] = -100
        with torch.no_grad():
            loss = model(ids[:, begin:end], labels=labels).loss
        valid = (labels[:, 1:] != -100).sum().item()
        total, count, before = total + loss.item() * valid, count + valid, end
        if end == len(TOKENS):
            break
    return math.exp(total / count)


@pytest.mark.parametrize(("length", "stride"), [(64, 64), (64, 32), (50, 7), (230, 100), (500, 1)])
def test_it_is_that_of_transformers_guide(tmp_path: Path, length: int, stride: int) -> None:
    tiny_folder(tmp_path)
    windows = sliding_windows(TOKENS, length, stride)
    found = text_perplexity(windows, whole_model(prunescope.load(tmp_path), lambda: None))
    assert found.value == pytest.approx(by_the_guide(tmp_path, length, stride), rel=1e-4)
    assert found.windows == len(windows)
    assert found.tokens_per_second == found.scored / found.seconds > 0


@given(
    count=st.integers(1, 300),
    length=st.integers(2, 60),
    stride=st.integers(1, 60),
    bos=st.sampled_from([None, 999]),
)
def test_every_token_is_scored_once_with_as_many_before_it_as_promised(
    count: int, length: int, stride: int, bos: int | None
) -> None:
    text, room = list(range(count)), length - (bos is not None)
    if stride > room or (count < 2 and bos is None):
        with pytest.raises(PrunescopeError):
            sliding_windows(text, length, stride, bos)
        return
    windows = sliding_windows(text, length, stride, bos)
    scored = [token for w in windows for token in w.tokens[w.context :]]
    if stride < room or bos is not None:
        assert scored == text[bos is None :]
    else:
        # Without an overlap nothing stands before a window's first token.
        assert scored == [token for token in text if token % room]
    for window in windows:
        assert len(window.tokens) <= length
        assert window.context >= 1
        assert bos is None or window.tokens[0] == bos
    assert all(w.context >= room - stride for w in windows[1:])


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ((TOKENS, 1, 1), "a window of 1 tokens predicts nothing: take at least 2"),
        ((TOKENS, 8, 9), "a stride of 9 passes over tokens: a window holds 8"),
        ((TOKENS, 8, 8, 0), "a stride of 8 passes over tokens: a window holds 7"),
        (([5], 8, 8), "the text has 1 tokens: too few to predict one"),
        (([], 8, 4, 0), "the text has 0 tokens: too few to predict one"),
    ],
)
def test_windows_that_cannot_be_cut_are_one_line(arguments: Any, cause: str) -> None:
    with pytest.raises(PrunescopeError) as caught:
        sliding_windows(*arguments)
    assert str(caught.value) == cause


@pytest.mark.parametrize("name", ["gpt2", "mpt", "opt", "llama"])
def test_a_window_is_no_longer_than_the_positions(name: str, tmp_path: Path) -> None:
    model = described(family_folder(name, tmp_path))
    positions = 2048 if name == "mpt" else 64
    assert fitted(Sliding(5000, 5000), [model]) == Sliding(positions, positions)
    assert fitted(Sliding(5000, 5000, has_bos=True), [model]).stride == positions - 1
    assert fitted(Sliding(10, 5), [model]) == Sliding(10, 5)


# --- a layer at a time -------------------------------------------------------------------


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"tie_word_embeddings": True},
        {"family": "mistral", "sliding_window": 5},
        {"dtype": torch.bfloat16},
    ],
)
def test_a_streamed_model_scores_as_the_whole_one(tmp_path: Path, network: dict[str, Any]) -> None:
    tiny_folder(tmp_path, tiny_network(**network))
    windows = sliding_windows(TOKENS, 64, 40)
    ticks: list[None] = []
    found = list(streamed_model(described(tmp_path), "cpu", lambda: ticks.append(None))(windows))
    assert found == list(whole_model(prunescope.load(tmp_path), lambda: None)(windows))
    assert len(ticks) == 4 * len(windows)


def test_a_pruned_model_whose_layers_differ_can_be_streamed(tmp_path: Path) -> None:
    prune_tiny(described(tiny_folder(tmp_path / "m")), plan()).save(tmp_path / "out")
    windows = sliding_windows(TOKENS, 64, 64)
    streamed = text_perplexity(
        windows, streamed_model(described(tmp_path / "out"), "cpu", lambda: None)
    )
    whole = text_perplexity(windows, whole_model(prunescope.load(tmp_path / "out"), lambda: None))
    assert streamed.value == whole.value


@pytest.mark.parametrize("model_type", ["llama", "phi3", "gemma2", "mixtral"])
def test_what_a_search_tries_is_scored_as_the_model_saved(tmp_path: Path, model_type: str) -> None:
    """Its weights are slices, made when a layer is run, and given up when it is done."""
    pruned = prune_tiny(describe(stored(tmp_path / "m", family(model_type))), plan())
    pruned.save(tmp_path / "out")
    windows = sliding_windows(TOKENS, 64, 64)
    network = pruned.layered("cpu")
    found = list(streamed(network, windows))
    assert found == list(whole_model(prunescope.load(tmp_path / "out"), lambda: None)(windows))
    for layer in network.layers[1:3]:
        assert any(0 in p.stride() for p in layer.parameters())


@pytest.mark.parametrize("is_tied", [False, True])
def test_an_embedding_that_is_cut_is_scored_as_the_model_saved(
    tmp_path: Path, is_tied: bool
) -> None:
    folder = tiny_folder(tmp_path / "m", tiny_network(tie_word_embeddings=is_tied))
    pruned = prune_tiny(described(folder), plan(structure="channel"))
    pruned.save(tmp_path / "out")
    windows = sliding_windows(TOKENS, 64, 64)
    found = list(streamed(pruned.layered("cpu"), windows))
    assert found == list(whole_model(prunescope.load(tmp_path / "out"), lambda: None)(windows))


def test_windows_say_what_they_score() -> None:
    assert sliding_windows([1, 2, 3, 4, 5], 4, 2) == [
        Window((1, 2, 3, 4), 1),
        Window((3, 4, 5), 2),
    ]
    assert sliding_windows([1, 2, 3], 3, 2, 9) == [Window((9, 1, 2), 1), Window((9, 3), 1)]
