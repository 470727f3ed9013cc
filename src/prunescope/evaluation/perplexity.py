"""How well does a model predict a text?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunescope.errors import PrunescopeError
from prunescope.extras import require

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")

MAX_TOKENS = 10_240


@dataclass(frozen=True, slots=True)
class Perplexity:
    """exp of the mean negative log-likelihood, and the windows it was measured on."""

    value: float
    windows: int
    length: int


def cut_windows(tokens: Sequence[int], length: int) -> list[list[int]]:
    """The first whole windows of `length` tokens, at most 10,240 tokens together.

    Raises:
        PrunescopeError: the text is shorter than one window, or a window has no token to predict.
    """
    if length < 2:
        raise PrunescopeError(f"a window of {length} tokens predicts nothing: take at least 2")
    count = min(len(tokens) // length, max(1, MAX_TOKENS // length))
    if not count:
        raise PrunescopeError(f"the text has {len(tokens)} tokens, a window needs {length}")
    return [list(tokens[n * length : (n + 1) * length]) for n in range(count)]


def perplexity(
    model: transformers.PreTrainedModel,
    windows: Sequence[Sequence[int]],
    tick: Callable[[], None] = lambda: None,
) -> Perplexity:
    """exp(−Σ log p(token | its predecessors in the window) / number of tokens predicted).

    Windows do not overlap and the first token of each is not predicted: LLM-Pruner's evaluation
    (https://github.com/horseee/LLM-Pruner, LLMPruner/evaluator/ppl.py). Infinite where it
    overflows, NaN where the model gives NaN.
    """
    total, predicted = 0.0, 0
    for window in windows:
        total += surprise(model, window)
        predicted += len(window) - 1
        tick()
    return Perplexity(exp_of_mean(total, predicted), len(windows), len(windows[0]))


def surprise(model: transformers.PreTrainedModel, tokens: Sequence[int], context: int = 1) -> float:
    """−Σ log p(token | its predecessors) in nats, of all but the first `context` tokens."""
    ids = torch.tensor([list(tokens)], device=model.device)
    # A vocabulary is wide: logits that nobody scores are not made.
    kept = {"logits_to_keep": len(tokens) - context + 1} if context > 1 else {}
    with torch.no_grad():
        return surprise_of(model(input_ids=ids, use_cache=False, **kept).logits, tokens, context)


def surprise_of(logits: torch.Tensor, tokens: Sequence[int], context: int) -> float:
    """The same from `logits`, [1, length, vocabulary]: of all tokens, or of the last ones alone."""
    wanted = torch.tensor(list(tokens[context:]), device=logits.device)
    predicted = logits[0, -len(wanted) - 1 : -1].float()
    losses = torch.nn.functional.cross_entropy(predicted, wanted, reduction="none")
    # Metal has no float64.
    return float(losses.cpu().double().sum())


def exp_of_mean(total: float, count: int) -> float:
    """Perplexity from `total` nats over `count` tokens: infinite where it overflows, NaN of NaN."""
    mean = total / count
    return math.nan if mean != mean else math.exp(mean) if mean < 700 else math.inf
