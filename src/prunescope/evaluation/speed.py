"""How fast does a model run here? Models take turns, so that a busy machine slows all alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from prunescope.errors import PrunescopeError, first_line
from prunescope.evaluation.memory import peak_memory
from prunescope.extras import require

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")
    transformers = require("transformers", "prune")

_OLD_CACHE = "past_key_values"


@dataclass(frozen=True, slots=True)
class Load:
    """What each run does.

    Attributes:
        batch: sequences at a time.
        context: tokens of each prompt.
        new_tokens: written after each, at least 2: the first belongs to the prompt's pass.
        repeats: runs of each model that count; one before them does not.
    """

    batch: int = 1
    context: int = 512
    new_tokens: int = 32
    repeats: int = 5

    def __post_init__(self) -> None:
        if min(self.batch, self.context, self.repeats) < 1 or self.new_tokens < 2:
            raise ValueError(f"{self} is no work")


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured of one model.

    Attributes:
        first: seconds until the first token of all sequences is known, by run.
        rest: seconds for the `new_tokens - 1` others, by run.
        weights: bytes of its parameters.
        extra: most bytes that a run held beyond them; None where the system does not say.
    """

    load: Load
    first: tuple[float, ...]
    rest: tuple[float, ...]
    weights: int
    extra: int | None

    @property
    def prefill(self) -> tuple[float, ...]:
        """Prompt tokens a second, all sequences together, by run."""
        return tuple(self.load.batch * self.load.context / seconds for seconds in self.first)

    @property
    def decode(self) -> tuple[float, ...]:
        """Tokens written a second, all sequences together, by run."""
        written = self.load.batch * (self.load.new_tokens - 1)
        return tuple(written / seconds for seconds in self.rest)

    @property
    def time_to_first(self) -> float:
        """Median seconds to the first token."""
        return median(self.first)

    @property
    def memory(self) -> int | None:
        """Bytes at the peak: weights and what a run adds."""
        return None if self.extra is None else self.weights + self.extra


def measure(
    networks: Sequence[transformers.PreTrainedModel], load: Load, tick: Callable[[], None]
) -> list[Speed]:
    """Run `networks` in turn: one run each to warm up, then `load.repeats` rounds.

    Prompts are the same seeded random tokens for all; decoding is greedy and does not end early.
    `tick` is called after each of the `len(networks) * (1 + load.repeats)` runs.

    Raises:
        PrunescopeError: a device has too little memory.
    """
    words = min(network.config.vocab_size for network in networks)
    prompts = torch.randint(
        words, (load.batch, load.context), generator=torch.Generator().manual_seed(0)
    )
    runs: list[list[tuple[float, float]]] = [[] for _ in networks]
    extra: list[int | None] = [None for _ in networks]
    for _ in range(1 + load.repeats):
        for number, network in enumerate(networks):
            with peak_memory(str(network.device)) as peak:
                try:
                    runs[number].append(_run(network, prompts.to(network.device), load))
                except RuntimeError as err:  # torch's out of memory, of every device
                    raise PrunescopeError(f"cannot be run: {first_line(err)}") from None
            if peak.extra is not None:
                extra[number] = max(extra[number] or 0, peak.extra)
            tick()
    return [
        Speed(
            load,
            tuple(first for first, _ in done[1:]),
            tuple(rest for _, rest in done[1:]),
            sum(p.numel() * p.element_size() for p in network.parameters()),
            extra[number],
        )
        for number, (network, done) in enumerate(zip(networks, runs, strict=True))
    ]


def _run(
    network: transformers.PreTrainedModel, prompts: torch.Tensor, load: Load
) -> tuple[float, float]:
    # Renamed in transformers 5.2x, and warned about since.
    name = "cache" if "cache" in inspect.signature(network.forward).parameters else _OLD_CACHE
    options = {name: transformers.DynamicCache(config=network.config), "use_cache": True}
    with torch.inference_mode():
        start = _now(prompts)
        tokens = network(input_ids=prompts, logits_to_keep=1, **options).logits[:, -1:].argmax(-1)
        first = _now(tokens)
        for _ in range(load.new_tokens - 1):
            tokens = network(input_ids=tokens, **options).logits[:, -1:].argmax(-1)
        return first - start, _now(tokens) - first


def _now(tokens: torch.Tensor) -> float:
    """The time at which `tokens` can be read here: devices like CUDA only take orders."""
    tokens.cpu()
    return perf_counter()
