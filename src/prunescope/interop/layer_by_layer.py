"""How is a network run a decoder layer at a time?

transformers' own forward pass is run with a stand-in for each layer. The stand-ins note what a
layer is called with (masks, position embeddings); afterwards each layer is called with just that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunescope.errors import CheckpointError, PrunescopeError
from prunescope.extras import require

if TYPE_CHECKING:
    import transformers
    from torch import Tensor, nn
else:
    torch = require("torch", "prune")
    nn = torch.nn
    Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Call:
    """What a layer is called with, beside its hidden states."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class LayerByLayer:
    """A causal language model of transformers and its decoder layers.

    Attributes:
        network: the model.
        layers: its decoder layers.
    """

    def __init__(self, network: transformers.PreTrainedModel, where: str) -> None:
        """Find the layers of `network`.

        Raises:
            CheckpointError: transformers keeps them otherwise; it names `where`.
        """
        layers = getattr(network.base_model, "layers", None)
        if not isinstance(layers, nn.ModuleList) or not len(layers):
            raise CheckpointError(where, "transformers keeps its layers in no list")
        self.network, self.layers = network, layers

    def enter(self, ids: Tensor) -> tuple[Tensor, list[Call]]:
        """The hidden states that enter the first layer, and what each layer is called with.

        Args:
            ids: [windows, length] tokens, on the device; the embedding's weights must be there.
        """
        entered: list[Tensor] = []
        calls: list[Call] = []

        def noting(_: int) -> Callable[..., Tensor]:
            def note(hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
                entered.append(hidden)
                calls.append(Call(args, kwargs))
                return hidden

            return note

        with self._instead(noting):
            self.network.base_model(input_ids=ids, use_cache=False)
        if len(calls) != len(self.layers):
            raise PrunescopeError(
                f"transformers calls {len(calls)} of {len(self.layers)} layers: "
                "this model's layers cannot be run one at a time"
            )
        return entered[0], calls

    def run(self, number: int, hidden: Tensor, call: Call) -> Tensor:
        """The hidden states that leave layer `number`, whose weights must be there."""
        output = self.layers[number](hidden, *call.args, **call.kwargs)
        result: Tensor = output[0] if isinstance(output, tuple) else output
        return result

    def leave(self, hidden: Tensor, last_tokens: int = 0) -> Tensor:
        """The logits of what leaves the last layer; the weights behind it must be there.

        Args:
            hidden: [windows, length, hidden] → [windows, length, vocabulary].
            last_tokens: how many of the last tokens have logits made; 0 for all.
        """
        last = len(self.layers) - 1

        def passing(number: int) -> Callable[..., Tensor]:
            return lambda given, *_, **__: hidden if number == last else given

        with self._instead(passing):
            kept = {"logits_to_keep": last_tokens} if last_tokens else {}
            output = self.network(inputs_embeds=hidden.detach(), use_cache=False, **kept)
            logits: Tensor = output.logits
        return logits

    @contextmanager
    def _instead(self, stand_in: Callable[[int], Callable[..., Tensor]]) -> Iterator[None]:
        # On the instance, since some models read attributes of their layers on the way.
        for number, layer in enumerate(self.layers):
            layer.forward = stand_in(number)
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.forward
