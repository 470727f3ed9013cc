"""How is a network run whose weights are not in memory? Those of a layer come when it is run.

transformers' own network is assembled over the memory map, or over shapes where its weights are
slices of what is mapped; each stage's parameters are put there, on the device and in the computing
type, for as long as they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prunescope.extras import require
from prunescope.interop.assembling import network_of
from prunescope.interop.layer_by_layer import LayerByLayer
from prunescope.interop.lazy_state import LazyState
from prunescope.interop.packed import Index, Place, places, stacked_shape

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = require("torch", "prune")
    nn = torch.nn
    Tensor = torch.Tensor

# Stages beside the layers' numbers: what comes before the first layer, and after the last.
ENTRY, EXIT = -1, -2


class LayeredNetwork(LayerByLayer):
    """A causal language model of transformers whose weights stay in their files.

    Attributes:
        network: the model; its parameters lie over the memory map, or have no memory.
        tensors: what is known of those that are stored.
        places: stored tensor → its parameter, and where it lies in it.
        is_tied: whether the output head is the token embedding.
    """

    def __init__(
        self,
        state: LazyState,
        config: Mapping[str, Any],
        where: str,
        device: str,
        dtype: torch.dtype,
    ) -> None:
        """Assemble the network without reading a weight.

        Args:
            state: its names are those of transformers' files. Tensors of layers are made when a
                stage needs them, and released when it is done; so are those that it copies.
            config: of the model.
            where: the model, for a message.
            device, dtype: where and in what it computes.

        Raises:
            CheckpointError: as `assemble`, `places` and `LayerByLayer`.
        """
        self.state, self.device, self.dtype = state, device, dtype
        self.tensors = state.outlines
        self.places = places(self.tensors, config, where)
        # Parameter → what it is made of each time.
        self._parts: dict[str, list[tuple[str, Index]]] = {}
        parameters: dict[str, Tensor] = {}
        for name, place in self.places.items():
            if place.index or name in state.copied:
                self._parts.setdefault(place.parameter, []).append((name, place.index))
            else:
                parameters[place.parameter] = state[name]
        for parameter, parts in self._parts.items():
            parameters[parameter] = torch.zeros((), dtype=dtype).expand(self._shape(parts))
        network = network_of(config, parameters, where)
        state.release()
        super().__init__(network, where)
        for module in self.network.modules():
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer.to(device))
        self._parameters: dict[str, nn.Parameter] = dict(
            self.network.named_parameters(remove_duplicate=False)
        )
        self._names = {id(p): name for name, p in self._parameters.items()}
        # Of a tied head the file may have the embedding's name, and `_names` the other.
        self._parts = {self._canonical(name): parts for name, parts in self._parts.items()}
        self._stage_of = {
            id(p): number for number, layer in enumerate(self.layers) for p in layer.parameters()
        }
        head = self.network.get_output_embeddings()
        self._embedding = self.network.get_input_embeddings()
        self.is_tied = head is not None and head.weight is self._embedding.weight

    def holds(self, name: str) -> bool:
        """Whether the stored tensor `name` is a parameter of the network, not a buffer."""
        return self.places[name].parameter in self._parameters

    @property
    def is_mapped(self) -> bool:
        """Whether weights are computed with where they lie in the mapped file, without a copy."""
        stored = {p.dtype for layer in self.layers for p in layer.parameters()}
        on_cpu = torch.device(self.device).type == "cpu"
        return on_cpu and stored == {self.dtype} and not self._parts

    def bytes_of(self, number: int) -> int:
        """Bytes of a layer's weights in the computing type."""
        count = sum(parameter.numel() for parameter in self.layers[number].parameters())
        return int(count * self.dtype.itemsize)

    def stage(self, name: str) -> int:
        """The layer that the stored tensor `name` lies in; ENTRY for the embedding, else EXIT."""
        parameter = self._parameters[self.places[name].parameter]
        if parameter is self._embedding.weight:
            return ENTRY
        return self._stage_of.get(id(parameter), EXIT)

    def owner(self, name: str) -> nn.Module:
        """The module whose parameter the stored tensor `name` is."""
        path = self.places[name].parameter.rpartition(".")[0]
        module: nn.Module = self.network.get_submodule(path)
        return module

    def compute_experts_one_by_one(self) -> None:
        """Let each expert be computed by torch's `linear`, where it can be watched."""
        if any(place.index for place in self.places.values()):
            self.network.set_experts_implementation("eager")

    @contextmanager
    def present(self, stages: Collection[int], wanted: Collection[str] = ()) -> Iterator[Present]:
        """The weights of `stages` on the device, in the computing type, until the block ends.

        Args:
            wanted: stored tensors that gradients are asked of.
        """
        learned = {id(self._parameters[self.places[name].parameter]) for name in wanted}
        made: dict[int, nn.Parameter] = {}
        before: list[tuple[nn.Module, str, nn.Parameter]] = []
        for module in self._modules(stages):
            for name, parameter in module.named_parameters(recurse=False):
                key = id(parameter)
                if key not in made:
                    values = self._values(parameter)
                    made[key] = nn.Parameter(values, requires_grad=key in learned)
                before.append((module, name, parameter))
                setattr(module, name, made[key])
        try:
            by_name = {self._names[key]: parameter for key, parameter in made.items()}
            yield Present(self.places, by_name, self._canonical)
        finally:
            for module, name, parameter in before:
                setattr(module, name, parameter)
            self.state.release()

    def _canonical(self, parameter: str) -> str:
        """The name a parameter has in `_names`: tied ones have two."""
        return self._names[id(self._parameters[parameter])]

    def _modules(self, stages: Collection[int]) -> Iterator[nn.Module]:
        for stage in stages:
            if stage >= 0:
                yield from self.layers[stage].modules()
        outside = {ENTRY, EXIT}.intersection(stages)
        if not outside:
            return
        inside = {id(module) for layer in self.layers for module in layer.modules()}
        head = self.network.get_output_embeddings()
        unneeded = {id(head)} if outside == {ENTRY} else {id(self._embedding)}
        for module in self.network.modules():
            if id(module) in inside or (len(outside) == 1 and id(module) in unneeded):
                continue
            yield module

    def _values(self, parameter: nn.Parameter) -> Tensor:
        parts = self._parts.get(self._names[id(parameter)])
        if parts is None:
            values = parameter.detach().to(self.device, self.dtype)
        elif not parts[0][1]:
            values = self.state[parts[0][0]].to(self.device, self.dtype)
        else:
            values = torch.empty(parameter.shape, dtype=self.dtype, device=self.device)
            for name, index in parts:
                values[index].copy_(self.state[name])
        if values.data_ptr() != parameter.data_ptr():
            # What has been copied is not read again: not the pages and the copy at once.
            self.state.release()
        return values

    def _shape(self, parts: list[tuple[str, Index]]) -> tuple[int, ...]:
        name, index = parts[0]
        if not index:
            return self.tensors[name].shape
        return stacked_shape((self.tensors[name], index) for name, index in parts)


class Present:
    """Stored tensors and their gradients, as views of the parameters that are there now."""

    def __init__(
        self,
        places: Mapping[str, Place],
        parameters: Mapping[str, nn.Parameter],
        canonical: Callable[[str], str],
    ) -> None:
        self._places, self._parameters, self._canonical = places, parameters, canonical

    def weight(self, name: str) -> Tensor:
        """The stored tensor `name`, on the device."""
        return self._parameter(name).detach()[self._places[name].index]

    def gradient(self, name: str) -> Tensor:
        """Its gradient; zeros where none has come."""
        parameter = self._parameter(name)
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        return gradient[self._places[name].index]

    def forget(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def _parameter(self, name: str) -> nn.Parameter:
        return self._parameters[self._canonical(self._places[name].parameter)]
