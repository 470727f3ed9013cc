"""What takes the room? Parameters and bytes of each component of a network, by dtype.

A component is found by a module's role, so that a new family needs no list here: attention in all
its forms, feed-forward blocks with their experts and routers, what faces the vocabulary, norms and
other vectors, and the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prunescope.analysis.counts import Counts
from prunescope.architecture import Model, Module, Role
from prunescope.architecture.roles import ATTENTION, MLP, NORMS

Component = Literal["embedding", "attention", "mlp", "norms", "head", "other"]
# In the order of a forward pass.
COMPONENTS: tuple[Component, ...] = ("embedding", "attention", "mlp", "norms", "head", "other")
_ROLES: dict[Role, Component] = {
    Role.EMBEDDING: "embedding",
    Role.HEAD: "head",
    Role.BUFFER: "other",
    # A number for each head: no norm, though it has one axis.
    Role.SINKS: "attention",
    **dict.fromkeys(NORMS, "norms"),
}
_MATRICES: dict[Role, Component] = {
    **dict.fromkeys(ATTENTION, "attention"),
    **dict.fromkeys(MLP, "mlp"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One component's tensors of one dtype, before and after.

    Attributes:
        dtype: as `TensorInfo.dtype`.
        parameters, nbytes: stored ones, tied bytes once.
    """

    component: Component
    dtype: str
    parameters: Counts
    nbytes: Counts


def breakdown(original: Model, pruned: Model) -> tuple[Part, ...]:
    """Every stored tensor of both models, by component, then dtype.

    The bytes add up to `Checkpoint.nbytes`.
    """
    before, after = _sums(original), _sums(pruned)
    keys = sorted(before.keys() | after.keys(), key=lambda key: (COMPONENTS.index(key[0]), key[1]))
    found = []
    for key in keys:
        (old, old_bytes), (new, new_bytes) = before.get(key, (0, 0)), after.get(key, (0, 0))
        found.append(Part(*key, Counts(old, new), Counts(old_bytes, new_bytes)))
    return tuple(found)


def by_component(parts: tuple[Part, ...]) -> dict[Component, Counts]:
    """Bytes of each component that there is, all dtypes together."""
    found: dict[Component, Counts] = {}
    for part in parts:
        have = found.get(part.component, Counts(0, 0))
        added = part.nbytes
        found[part.component] = Counts(have.original + added.original, have.pruned + added.pruned)
    return found


def _sums(model: Model) -> dict[tuple[Component, str], tuple[int, int]]:
    sums: dict[tuple[Component, str], tuple[int, int]] = {}
    own = model.checkpoint.own_bytes
    for module in _modules(model):
        component = _component(model, module)
        for tensor in module.tensors:
            if tensor.shared_with is None:
                count, nbytes = sums.get((component, tensor.dtype), (0, 0))
                counted = count + tensor.parameters, nbytes + own[tensor.name]
                sums[component, tensor.dtype] = counted
    return sums


def _modules(model: Model) -> Iterator[Module]:
    for layer in model.layers.values():
        yield from layer.values()
    yield from model.outside.values()


def _component(model: Model, module: Module) -> Component:
    if module.role in _ROLES:
        return _ROLES[module.role]
    if all(len(model.roles[tensor.name].axes) == 1 for tensor in module.tensors):
        return "norms"
    return _MATRICES.get(module.role, "other")
