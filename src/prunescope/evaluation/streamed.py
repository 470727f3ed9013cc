"""How is a model scored that does not fit into memory? A layer at a time, from the mapped file.

All windows go through one layer before the next one is fetched, so each weight is read once, and
what is held is a layer, the embeddings and the windows' hidden states. What happens around the
layers (embedding, masks, positions, final norm, output head) is left to transformers' own model,
whose layers are put aside: once to see what they are given, once to hand their result on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.evaluation.perplexity import surprise
from prunescope.evaluation.sliding import Scorer, Window
from prunescope.extras import require
from prunescope.interop.hf import as_stored, mapped
from prunescope.interop.torch_tensors import computing_dtype

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")


class _Caught(Exception):
    """The last layer was reached: nothing after it is to be computed yet."""


class _Stand(torch.nn.Module):
    """Stands for a layer: notes what it is given, or gives what it was told to."""

    def __init__(self, layer: torch.nn.Module, is_last: bool) -> None:
        super().__init__()
        # Some families choose a layer's mask by it.
        self.attention_type = getattr(layer, "attention_type", None)
        self.is_last = is_last
        self.given: dict[str, Any] = {}
        self.hidden: torch.Tensor | None = None
        self.result: torch.Tensor | None = None

    def forward(self, hidden: torch.Tensor, **given: Any) -> torch.Tensor:
        if self.result is not None:
            return self.result
        self.hidden, self.given = hidden, given
        if self.is_last:
            raise _Caught
        return hidden


def streamed_model(model: Model, device: str, tick: Callable[[], None]) -> Scorer:
    """Score with the layers of `model` one after the other on `device`, in their stored type.

    `tick` is called for each window in each layer. Scoring raises CheckpointError as
    `prunescope.load` does.
    """

    def score(windows: Sequence[Window]) -> Iterator[float]:
        with WeightMap() as weights, torch.no_grad():
            network = as_stored(model, mapped(model, weights))
            layers = network.model.layers
            stands = [_Stand(layer, layer is layers[-1]) for layer in layers]
            network.model.layers = torch.nn.ModuleList(stands)
            dtype = computing_dtype(model.checkpoint)
            network.to(device)
            for parameter in network.parameters():
                # Not the buffers: rotary frequencies stay in float32.
                parameter.data = parameter.data.to(dtype)
            hidden, given = _before_layers(network, stands, windows)
            for number, layer in enumerate(layers):
                state = {n: p.to(device, dtype) for n, p in layer.named_parameters()}
                for place, window in enumerate(windows):
                    options = given[len(window.tokens)][number]
                    hidden[place] = torch.func.functional_call(
                        layer, state, (hidden[place],), options
                    )
                    tick()
                weights.release()
            for result, window in zip(hidden, windows, strict=True):
                for stand in stands:
                    stand.result = result
                yield surprise(network, window.tokens, window.context)

    return score


def _before_layers(
    network: transformers.PreTrainedModel, stands: Sequence[_Stand], windows: Sequence[Window]
) -> tuple[list[torch.Tensor], dict[int, list[dict[str, Any]]]]:
    """What goes into the first layer, by window; what else each layer is given, by length."""
    hidden: list[torch.Tensor] = []
    given: dict[int, list[dict[str, Any]]] = {}
    for window in windows:
        ids = torch.tensor([list(window.tokens)], device=network.device)
        with suppress(_Caught):
            network(input_ids=ids, use_cache=False)
        if stands[0].hidden is not None:
            hidden.append(stands[0].hidden)
        # Windows of one length have the same masks and positions.
        given.setdefault(len(window.tokens), [stand.given for stand in stands])
    return hidden, given
