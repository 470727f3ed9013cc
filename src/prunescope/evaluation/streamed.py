"""How is a model scored that does not fit into memory? A layer at a time, from the mapped file.

All windows go through one layer before the next one is fetched, so each weight is read once, and
what is held is a layer, the embeddings and the windows' hidden states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.evaluation.perplexity import surprise_of
from prunescope.evaluation.sliding import Scorer, Window
from prunescope.extras import require
from prunescope.interop.agreement import check_sizes
from prunescope.interop.layer_by_layer import Call
from prunescope.interop.layered import ENTRY, EXIT, LayeredNetwork
from prunescope.interop.torch_tensors import computing_dtype, stored_state

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")


def streamed_model(model: Model, device: str, tick: Callable[[], None]) -> Scorer:
    """Score with the layers of `model` one after the other on `device`, in their stored type.

    `tick` is called for each window in each layer. Scoring raises CheckpointError as
    `prunescope.load` does.
    """

    def score(windows: Sequence[Window]) -> Iterator[float]:
        check_sizes(model)
        checkpoint = model.checkpoint
        with WeightMap() as weights:
            network = LayeredNetwork(
                stored_state(checkpoint, weights),
                checkpoint.config,
                checkpoint.path,
                device,
                computing_dtype(checkpoint),
            )
            yield from streamed(network, windows, tick)

    return score


def streamed(
    network: LayeredNetwork, windows: Sequence[Window], tick: Callable[[], None] = lambda: None
) -> Iterator[float]:
    """The nats of each of `windows`, whose layers come one after the other.

    Args:
        tick: called for each window in each layer.
    """
    with torch.no_grad():
        hidden: list[torch.Tensor] = []
        # Windows of one length have the same masks and positions.
        calls: dict[int, list[Call]] = {}
        with network.present({ENTRY}):
            for window in windows:
                ids = torch.tensor([list(window.tokens)], device=network.device)
                entered, given = network.enter(ids)
                hidden.append(entered)
                calls.setdefault(len(window.tokens), given)
        for number in range(len(network.layers)):
            with network.present({number}):
                for place, window in enumerate(windows):
                    call = calls[len(window.tokens)][number]
                    hidden[place] = network.run(number, hidden[place], call)
                    tick()
        with network.present({EXIT}):
            for left, window in zip(hidden, windows, strict=True):
                logits = network.leave(left, window.scored + 1)
                yield surprise_of(logits, window.tokens, window.context)
