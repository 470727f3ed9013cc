"""Is every tensor there that should be, none that should not, each in the dtype of its kind?"""

from __future__ import annotations

from collections.abc import Iterator

from prunescope.analysis.checks.check import Check, Finding, Verdict, finding, judged
from prunescope.architecture import Model, Role
from prunescope.checkpoint.dtypes import TORCH_DTYPES


def content_checks(after: Model, before: Model | None) -> tuple[Check, ...]:
    """The set of tensors and their dtypes, against the original's where there is one."""
    return (
        judged("coherence", "tensors", _tensors(after, before)),
        judged("coherence", "tied", _tied(after, before)),
        judged("coherence", "dtypes", _dtypes(after, before)),
    )


def _keys(model: Model, layer: int | None) -> set[str]:
    modules = model.outside if layer is None else model.layers.get(layer, {})
    found = (
        model.family.place(tensor.name)
        for module in modules.values()
        if module.role is not Role.BUFFER
        for tensor in module.tensors
    )
    return {place[1] for place in found if place is not None}


def _tensors(after: Model, before: Model | None) -> Iterator[Finding]:
    for tensor in after.strangers:
        shape = " × ".join(map(str, tensor.shape))
        yield finding("fail", "stranger", tensor=tensor.name, shape=shape)
    missing = set(range(max(after.layers) + 1)) - set(after.layers)
    if missing:
        yield Finding("fail", "layers_missing", layers=tuple(sorted(missing)))
    family = after.family
    needed = {key for key in family.layer if key not in family.optional}
    # What some layers have, all should have, unless the original is the judge.
    common = needed.union(*(_keys(after, layer) for layer in after.layers))
    heads = {key for key, role in family.model.items() if role.role is Role.HEAD}
    for layer in (None, *after.layers):
        found = _keys(after, layer)
        is_known = before is not None and (layer is None or layer in before.layers)
        wanted = _keys(before, layer) if before is not None and is_known else common
        if layer is None:
            # Whether a head is stored is a matter of ties.
            wanted = (wanted if is_known else set(family.model)) - heads
            found -= heads
        for key in sorted(wanted - found):
            yield finding("fail", "missing", layer, tensor=key)
        for key in sorted(found - wanted):
            yield finding("fail", "extra", layer, tensor=key)


def _tied(after: Model, before: Model | None) -> Iterator[Finding]:
    head, embedding = after.outside.get(Role.HEAD), after.outside.get(Role.EMBEDDING)
    config = after.checkpoint.config or (before.checkpoint.config if before else {})
    if embedding is None or not config:
        yield finding("skip", "no_embedding" if config else "no_config")
        return
    is_tied = config.get("tie_word_embeddings") is True
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
                place = after.family.place(tensor.name)
                if place is not None and module.role is not Role.BUFFER:
                    found = kinds.setdefault(place[1], {})
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
