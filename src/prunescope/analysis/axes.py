"""How long is each space of a model, and do the axes that lie in it agree?

The one home of "axes of a space agree": verification reports what disagrees here, and loading
(`prunescope.interop.agreement`) refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from prunescope.architecture import Model, Space
from prunescope.architecture.labels import parts, solve
from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.gguf_config import KINDS, PER_LAYER

# A layer's number, None for the whole model's; and the name of a space, with the expert's number
# where each has its own: `expert_channels[3]`.
Place: TypeAlias = "tuple[int | None, str]"


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of one tensor.

    Attributes:
        layer: the tensor's; None outside the layers.
        key: the tensor's name in its family's table: `self_attn.q_proj.weight`.
        length: rows or columns; of an axis that lies in several spaces, those of one: what is
            left where the others are as long as other tensors tell.
        is_fused: whether it lies in several.
    """

    tensor: TensorInfo
    layer: int | None
    key: str
    length: int
    is_fused: bool = False


@dataclass(frozen=True)
class Layout:
    """A model's axes by the space they lie in.

    Attributes:
        axes: place → its axes, in the order of the file, those in several spaces last.
        unit_rows: space → rows that one of its units has; a space of which nothing tells is not
            in it.
    """

    model: Model
    axes: Mapping[Place, tuple[Axis, ...]]
    unit_rows: Mapping[str, int]

    def space(self, name: str) -> Space:
        """The space of a place's name."""
        return self.model.family.spaces[_plain(name)]

    def of_space(self, layer: int, space: str) -> list[Place]:
        """The places of a layer's space: one, or one for each expert."""
        return self._by_space.get((layer, space), [])

    @cached_property
    def _by_space(self) -> dict[Place, list[Place]]:
        found: dict[Place, list[Place]] = {}
        for layer, name in self.axes:
            found.setdefault((layer, _plain(name)), []).append((layer, name))
        return found

    def rows(self, layer: int | None, space: str) -> int | None:
        """Length of a space: of its first axis, where they differ; None where it has none.

        Of what each expert has for itself, the first expert's.
        """
        found = self.axes.get((layer, space))
        if found is None and layer is not None:
            places = self.of_space(layer, space)
            found = self.axes[places[0]] if places else None
        return found[0].length if found else None

    def alone(self, layer: int | None, space: str, expert: int | None = None) -> int | None:
        """Length of a space by an axis that lies in no other; None where there is none."""
        axes = self.axes.get(_place(self.model, layer, space, expert), ())
        return next((axis.length for axis in axes if not axis.is_fused), None)

    def units(self, layer: int | None, space: str) -> int | None:
        """The same in whole units; None where rows are left over, axes differ, or nothing tells.

        What is wrong with a space itself is one finding; nothing else is to be blamed for it.
        """
        rows, each = self.rows(layer, space), self.unit_rows.get(_plain(space))
        if rows is None or not each or rows % each or not self.agrees((layer, space)):
            return None
        return rows // each

    def agrees(self, place: Place) -> bool:
        """Whether all axes of a space have one length: where each expert has its own, of all."""
        layer, space = place
        places = [place] if place in self.axes or layer is None else self.of_space(layer, space)
        return len({axis.length for each in places for axis in self.axes[each]}) == 1


def layout(model: Model, original: Model | None = None) -> Layout:
    """The axes of `model`.

    Args:
        original: the model it was pruned from, whose config tells the rows of a unit, where there
            is one: pruning leaves them as they are, and may leave a config that does not fit.
    """
    found: dict[Place, list[Axis]] = {}
    fused: list[tuple[Axis, str, int | None]] = []
    for name, role in model.roles.items():
        if name not in model.places:
            continue
        tensor = model.checkpoint.tensors[name]
        layer, key, expert = model.places[name]
        for length, label in zip(tensor.shape, role.axes, strict=False):
            axis = Axis(tensor, layer, key, length)
            if len(parts(label)) > 1:
                fused.append((axis, label, expert))
            elif parts(label):
                found.setdefault(_place(model, layer, label, expert), []).append(axis)
    rows: dict[str, int] = {}
    spaces, groups = model.family.spaces, model.family.groups
    cut = {spaces[space].config for group in groups.values() for space in group.spaces}
    for name, known in spaces.items():
        # Of DeepSeek's shared experts a unit is as wide as an expert, which pruning narrows.
        for source in (model, original) if known.unit in cut else (original, model):
            count = _unit_rows(source, known) if source else None
            if count:
                rows.setdefault(name, count)
    for axis, label, expert in fused:
        places = {space: _place(model, axis.layer, space, expert) for space in parts(label)}
        lengths = {s: found[place][0].length for s, place in places.items() if place in found}
        told = solve(label, axis.length, lengths)
        if told is not None:
            found.setdefault(places[told[0]], []).append(
                replace(axis, length=told[1], is_fused=True)
            )
    return Layout(model, {place: tuple(axes) for place, axes in found.items()}, rows)


def _place(model: Model, layer: int | None, space: str, expert: int | None) -> Place:
    known = model.family.spaces[space]
    name = f"{space}[{expert}]" if known.per_expert and expert is not None else space
    return (layer if known.per_layer else None), name


def _plain(name: str) -> str:
    return name.partition("[")[0]


def _unit_rows(model: Model, space: Space) -> int | None:
    if space.unit is None:
        return 1
    if space.unit == "head_dim":
        return model.head_dim
    counts = [whole(model.config, key) for key in space.unit.split("+")]
    return None if None in counts else sum(count or 0 for count in counts)


def stated(model: Model, space: Space, layer: int | None) -> int | None:
    """How many units of `space` config.json says there are; None where it does not say."""
    for key in (space.config, *space.aliases):
        count = stated_of(model, key, layer)
        if count is not None:
            return count
    if space.default is not None:
        return stated(model, model.family.spaces[space.default], layer)
    return None


def stated_of(model: Model, key: str, layer: int | None) -> int | None:
    """The whole number config.json states under `key`, of one layer or of all."""
    count = whole(_own(model, layer), key)
    return whole(model.config, key) if count is None else count


def stated_kinds(model: Model, layer: int) -> Mapping[str, object]:
    """Question of the family's `kinds` → the answer that config.json gives for a layer."""
    kinds = _own(model, layer).get(KINDS)
    return kinds if isinstance(kinds, dict) else {}


def _own(model: Model, layer: int | None) -> Mapping[str, object]:
    sparse = model.config.get(PER_LAYER)
    own = sparse.get(str(layer)) if isinstance(sparse, dict) else None
    return own if isinstance(own, dict) else {}


def whole(config: Mapping[str, object], key: str) -> int | None:
    """`config[key]` where it is a whole number of at least one."""
    value = config.get(key)
    return value if type(value) is int and value > 0 else None
