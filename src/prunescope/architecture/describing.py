"""Which layers and modules does this checkpoint have? A family's table applied to its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunescope.architecture.family import Family, TensorRole
from prunescope.architecture.generic import generic_family, own_role
from prunescope.architecture.model import Model, Module, Place
from prunescope.architecture.recognition import recognise, respelled, says_type, spelling
from prunescope.architecture.roles import Role
from prunescope.architecture.tensor_names import numbered
from prunescope.architecture.unstacked import file_names, unstacked
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.checkpoint.adapter import refuse_adapter
from prunescope.checkpoint.numbered import refuse_shard
from prunescope.errors import ArchitectureError, printable


def describe(checkpoint: Checkpoint, strict: bool = True, family: Family | None = None) -> Model:
    """Name every tensor of `checkpoint`.

    Args:
        strict: refuse a tensor the family has no place for; else it is one of `strangers`.
        family: its family; as it is recognised by default.

    Raises:
        ArchitectureError: an adapter, no layers, or a tensor the family has no place for (if
            `strict`).
    """
    refuse_adapter(checkpoint.path, checkpoint.adapter)
    family = recognise(checkpoint) if family is None else family
    checkpoint = unstacked(checkpoint, family)
    strip, add = spelling(family, checkpoint.tensors)
    found = []
    strangers: list[TensorInfo] = []
    taken = set()
    for name, tensor in checkpoint.tensors.items():
        at = family.locate(respelled(name, strip, add))
        if at is None and (strip or add):
            at = family.locate(name)
        number, role = None, None
        if at is not None:
            number, role = at.number, family.role(at)
        elif (buffer := family.buffer(name)) is not None:
            number, role = buffer
        elif strip:
            # A language model's neighbours: a vision tower, a projector.
            role = own_role(name)
        is_doubled = at is not None and at in taken
        if role is None or is_doubled or len(tensor.shape) != len(role.axes or tensor.shape):
            if not strict:
                strangers.append(tensor)
                continue
            raise ArchitectureError(
                f"{checkpoint.path}: tensor {printable(name)!r} of shape {list(tensor.shape)} "
                f"has no place in family {family.name}{_advice(family, tensor)}"
            )
        taken.add(at)
        found.append((tensor, at, number, role))
    depths = [0] * len(family.stacks)
    for _, at, _, _ in found:
        if at is not None and at.stack is not None and at.number is not None:
            depths[at.stack] = max(depths[at.stack], at.number + 1)
    first = tuple(sum(depths[:index]) for index in range(len(depths)))
    return _assembled(checkpoint, family, found, first, tuple(strangers))


def _advice(family: Family, tensor: TensorInfo) -> str:
    """What to do about a tensor that `family` has no place for."""
    if file_names(family, tensor.name):
        is_pieces = bool(tensor.parts) and tensor.parts[0].start is not None
        what = "run prunescope convert first" if is_pieces else "save the model by save_pretrained"
        return f": experts stacked as transformers has them in memory: {what}"
    # https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.remove.html
    if tensor.name.endswith(("_orig", "_mask")):
        return ": torch.nn.utils.prune's, call prune.remove before saving"
    # A whole PeftModel; adapters alone are told by their own names.
    if tensor.name.startswith("base_model.model."):
        return ": PEFT's, call merge_and_unload before saving"
    return "; prunescope verify lists all such tensors"


def _assembled(
    checkpoint: Checkpoint,
    family: Family,
    found: list[Any],
    first: tuple[int, ...],
    strangers: tuple[TensorInfo, ...],
) -> Model:
    layers: dict[int, dict[Role, list[tuple[TensorInfo, int | None]]]] = {}
    outside: dict[Role, list[tuple[TensorInfo, int | None]]] = {}
    roles: dict[str, TensorRole] = {}
    places: dict[str, Place] = {}
    for tensor, at, number, role in found:
        expert = at.expert if at is not None else None
        layer = number
        if at is not None:
            layer = None if at.stack is None else first[at.stack] + number
            places[tensor.name] = Place(layer, numbered(at.key, expert), expert)
        modules = outside if layer is None else layers.setdefault(layer, {})
        modules.setdefault(role.role, []).append((tensor, expert))
        roles[tensor.name] = role
    if not layers and not family.is_generic:
        raise ArchitectureError(f"{checkpoint.path}: no layers among {len(roles)} tensors")
    return Model(
        checkpoint,
        family,
        {n: _modules(n, layers[n]) for n in sorted(layers)},
        _modules(None, outside),
        roles,
        places,
        first,
        strangers,
    )


def _modules(
    layer: int | None, found: Mapping[Role, list[tuple[TensorInfo, int | None]]]
) -> dict[Role, Module]:
    modules = {}
    for role, entries in found.items():
        tensors, experts = zip(*entries, strict=True)
        known = experts if any(expert is not None for expert in experts) else ()
        modules[role] = Module(layer, role, tensors, known)
    return modules


def describe_both(
    original: Checkpoint, pruned: Checkpoint, strict: bool = True
) -> tuple[Model, Model]:
    """Name the tensors of two models in one way.

    Where only one of them says of what type it is, the other is taken to be of it too.

    Raises:
        ArchitectureError: as `describe`; one shard of several, or models of two families.
    """
    for checkpoint in (original, pruned):
        refuse_shard(checkpoint.path, [file.name for file in checkpoint.files])
    families = [recognise(checkpoint) for checkpoint in (original, pruned)]
    if says_type(original) != says_type(pruned):
        families = [families[0] if says_type(original) else families[1]] * 2
    if any(family.is_generic for family in families):
        families = [generic_family(checkpoint.tensors) for checkpoint in (original, pruned)]
    before, after = (
        describe(checkpoint, strict, family)
        for checkpoint, family in zip((original, pruned), families, strict=True)
    )
    if before.family.name != after.family.name:
        raise ArchitectureError(
            f"{pruned.path}: a {after.family.name} model, the original is {before.family.name}"
        )
    return before, after
