"""Is every tensor there that should be, none that should not, each in the dtype of its kind?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from prunescope.analysis.axes import stated, stated_kinds
from prunescope.analysis.checks.check import Check, Finding, Verdict, finding, judged
from prunescope.architecture import Model, Role
from prunescope.architecture.family import TASK_HEADS, Stack
from prunescope.architecture.tensor_names import ANY, numbered
from prunescope.checkpoint.dtypes import TORCH_DTYPES

# Of a layer; and of all of them together, ten times what the largest public models have.
_MAX_EXPERTS = 4096
_MAX_EXPECTED = 1 << 18


def content_checks(after: Model, before: Model | None) -> tuple[Check, ...]:
    """The set of tensors and their dtypes, against the original's where there is one."""
    return (
        judged("coherence", "tensors", _tensors(after, before)),
        judged("coherence", "tied", _tied(after, before)),
        judged("coherence", "dtypes", _dtypes(after, before)),
    )


def _keys(model: Model, layer: int | None) -> set[str]:
    modules = model.outside if layer is None else model.layers.get(layer, {})
    return {
        model.places[tensor.name].key
        for module in modules.values()
        if module.role is not Role.BUFFER
        for tensor in module.tensors
        if tensor.name in model.places
    }


def _tensors(after: Model, before: Model | None) -> Iterator[Finding]:
    for tensor in after.strangers:
        shape = " × ".join(map(str, tensor.shape))
        yield finding("fail", "stranger", tensor=tensor.name, shape=shape)
    missing = set(range(max(after.layers) + 1)) - set(after.layers)
    if missing:
        yield Finding("fail", "layers_missing", layers=tuple(sorted(missing)))
    yield from _outside(after, before)
    for index in range(len(after.family.stacks)):
        numbers = [layer for layer in after.layers if after.stack_of(layer) == index]
        # What some layers have, all should have, unless the original is the judge.
        common = _needed(after, index).union(*(_keys(after, layer) for layer in numbers))
        for layer in numbers:
            found, told = _keys(after, layer), stated_kinds(after, layer)
            wanted = common
            if before is not None and layer in before.layers:
                # Of what the original has, what config.json says is left; and what replaces it.
                wanted = _keys(before, layer) | (_needed(after, index) if told else set())
            if told or wanted is common:
                wanted = _of_its_kind(after.family.stacks[index], wanted, found, told)
            yield from _differences(layer, wanted, found)


def _outside(after: Model, before: Model | None) -> Iterator[Finding]:
    family = after.family
    # Whether a head is stored is a matter of ties.
    heads = {key for key, role in family.model.items() if role.role is Role.HEAD}
    wanted = set(family.model) - family.optional_model if before is None else _keys(before, None)
    found = _keys(after, None)
    if before is None:
        wanted |= found & (family.optional_model | TASK_HEADS.keys())
    yield from _differences(None, wanted - heads, found - heads)


def _differences(layer: int | None, wanted: set[str], found: set[str]) -> Iterator[Finding]:
    for key in sorted(wanted - found):
        yield finding("fail", "missing", layer, tensor=key)
    for key in sorted(found - wanted):
        yield finding("fail", "extra", layer, tensor=key)


def _needed(model: Model, index: int) -> set[str]:
    """What every layer of a stack has, each expert by itself."""
    stack = model.family.stacks[index]
    experts = model.family.spaces.get("experts")
    count = stated(model, experts, None) if experts is not None else None
    needed = {key for key in stack.layer if key not in stack.optional}
    single = {key for key in needed if ANY not in key}
    # A config may claim more than there can be.
    numbers = range(min(count or 0, _MAX_EXPERTS, _MAX_EXPECTED // len(model.layers)))
    return single | {numbered(key, n) for key in needed - single for n in numbers}


def _of_its_kind(
    stack: Stack, keys: set[str], found: set[str], told: Mapping[str, object]
) -> set[str]:
    """Those of `keys` that a layer should have: of the kinds it is `told` to be, else of those
    that its tensors `found` are."""
    wanted = set(keys)
    for question, answers in stack.kinds.items():
        starts = Counter(start for each in answers.values() for start in each)
        if question in told:
            given = [each for answer, each in answers.items() if answer == told[question]]
        else:
            own = {each: tuple(s for s in each if starts[s] == 1) for each in answers.values()}
            given = [each for each in own if any(key.startswith(own[each]) for key in found)]
            if not given and () not in own:
                continue
        others = tuple(start for start in starts if not any(start in each for each in given))
        wanted = {key for key in wanted if not key.startswith(others)}
    return wanted


def _tied(after: Model, before: Model | None) -> Iterator[Finding]:
    head, embedding = after.outside.get(Role.HEAD), after.outside.get(Role.EMBEDDING)
    config = after.checkpoint.config or (before.checkpoint.config if before else {})
    if embedding is None or not config:
        yield finding("skip", "no_embedding" if config else "no_config")
        return
    is_tied = config.get("tie_word_embeddings", after.family.tied) is True
    if head is None and Role.CLASSIFIER in after.outside:
        # A model that judges texts has no need of one.
        return
    if head is None:
        verdict: Verdict = "pass" if is_tied else "fail"
        yield finding(verdict, "head_tied" if is_tied else "head_missing")
    elif is_tied and all(t.shared_with is None for t in (*head.tensors, *embedding.tensors)):
        yield finding("warn", "head_twice")


def _dtypes(after: Model, before: Model | None) -> Iterator[Finding]:
    kinds: dict[str, dict[str, list[int]]] = {}
    for layer, modules in after.layers.items():
        for module in modules.values():
            for tensor in module.tensors:
                place = after.places.get(tensor.name)
                if place is not None and module.role is not Role.BUFFER:
                    found = kinds.setdefault(place.key, {})
                    found.setdefault(tensor.dtype, []).append(layer)
    # A GGUF gives some layers more bits on purpose.
    if after.checkpoint.format != "GGUF":
        for key, dtypes in kinds.items():
            common = max(dtypes, key=lambda dtype: len(dtypes[dtype]))
            for dtype, layers in dtypes.items():
                if dtype != common:
                    values = {"tensor": key, "dtype": dtype, "common": common}
                    yield Finding("warn", "dtype_odd", values, tuple(layers))
    now = next(iter(after.checkpoint.dtypes))
    then = next(iter(before.checkpoint.dtypes)) if before is not None else now
    if now != then:
        yield finding("pass", "cast", old=then, new=now)
    config = after.checkpoint.config
    stated = config.get("dtype", config.get("torch_dtype"))
    expected = TORCH_DTYPES.get(stated) if isinstance(stated, str) else None
    if expected is not None and now in TORCH_DTYPES.values() and expected != now:
        yield finding("warn", "dtype_stated", stated=str(stated), dtype=now)
