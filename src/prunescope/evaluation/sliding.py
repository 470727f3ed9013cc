"""How well does a model predict a whole text, each token after as many others as fit?

A window of `length` tokens slides over the text in strides; a token is scored in the first window
that holds it, so every token but the first is scored once, and from the second window on with at
least `length - stride` tokens before it. The same definition as that of transformers' guide
(https://huggingface.co/docs/transformers/perplexity).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from prunescope.errors import PrunescopeError
from prunescope.evaluation.perplexity import exp_of_mean, surprise

if TYPE_CHECKING:
    import transformers

# Nats of each window, in order.
Scorer = Callable[["Sequence[Window]"], Iterator[float]]


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens that a model sees together; all but the first `context`, at least 1, are scored."""

    tokens: tuple[int, ...]
    context: int

    @property
    def scored(self) -> int:
        """How many tokens are scored."""
        return len(self.tokens) - self.context


@dataclass(frozen=True, slots=True)
class TextPerplexity:
    """The perplexity of a text.

    Attributes:
        value: exp of the mean negative log-likelihood of the scored tokens.
        scored: how many those are.
        windows: in how many windows they lie.
        seconds: how long that took.
    """

    value: float
    scored: int
    windows: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Scored tokens a second."""
        return self.scored / self.seconds


def sliding_windows(
    tokens: Sequence[int], length: int, stride: int, bos: int | None = None
) -> list[Window]:
    """Windows over all of `tokens`.

    Args:
        length: most tokens of a window, `bos` included.
        stride: by how much the next window begins later, at most what a window holds.
        bos: a token put before each window; then the text's first token is scored too.

    Raises:
        PrunescopeError: no token would be scored, or some would be passed over.
    """
    first = () if bos is None else (bos,)
    room = length - len(first)
    if room < 1 or length < 2:
        raise PrunescopeError(f"a window of {length} tokens predicts nothing: take at least 2")
    if not 0 < stride <= room:
        raise PrunescopeError(f"a stride of {stride} passes over tokens: a window holds {room}")
    if len(tokens) + len(first) < 2:
        raise PrunescopeError(f"the text has {len(tokens)} tokens: too few to predict one")
    windows, scored = [], 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + room, len(tokens))
        known = max(1, len(first) + scored - begin)
        window = Window((*first, *tokens[begin:end]), known)
        if window.scored > 0:
            windows.append(window)
        scored = end
        if end == len(tokens):
            break
    return windows


def text_perplexity(windows: Sequence[Window], scorer: Scorer) -> TextPerplexity:
    """The perplexity over `windows`, and how long `scorer` took."""
    start = perf_counter()
    total = sum(scorer(windows))
    seconds = perf_counter() - start
    scored = sum(window.scored for window in windows)
    return TextPerplexity(exp_of_mean(total, scored), scored, len(windows), seconds)


def whole_model(model: transformers.PreTrainedModel, tick: Callable[[], None]) -> Scorer:
    """Score with a model in memory, a window at a time; `tick` is called after each."""

    def score(windows: Sequence[Window]) -> Iterator[float]:
        for window in windows:
            yield surprise(model, window.tokens, window.context)
            tick()

    return score
