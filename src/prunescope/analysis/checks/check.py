"""What is a check? A name, a verdict, and what was found, as data that a report puts in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["pass", "warn", "fail", "skip"]
Group: TypeAlias = Literal["plan", "coherence", "weights", "loading"]
# Where what is expected comes from.
Source: TypeAlias = Literal["options", "pruning.json", "inferred"]
_WORST: tuple[Verdict, ...] = ("fail", "warn", "skip", "pass")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes:
        verdict: what it means: `pass` for a mere remark.
        code: what it is; the report has a sentence for each.
        values: what that sentence is filled with.
        layers: where, ascending; empty where it concerns no layer.
    """

    verdict: Verdict
    code: str
    values: Mapping[str, str | int | float] = field(default_factory=dict)
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Attributes:
        name: the question, as one word.
        verdict: the worst of its findings; `pass` without any.
        source: where what is expected comes from; None where nothing is.
    """

    group: Group
    name: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    source: Source | None = None


def finding(
    verdict: Verdict, code: str, layer: int | None = None, **values: str | int | float
) -> Finding:
    """A finding about one layer, or about none."""
    return Finding(verdict, code, values, () if layer is None else (layer,))


def judged(
    group: Group, name: str, findings: Iterable[Finding], source: Source | None = None
) -> Check:
    """A check with the worst verdict of its findings; equal ones of many layers become one."""
    merged: dict[tuple[object, ...], Finding] = {}
    layers: dict[tuple[object, ...], set[int]] = {}
    for one in findings:
        key = (one.verdict, one.code, *one.values.items())
        merged.setdefault(key, one)
        layers.setdefault(key, set()).update(one.layers)
    every = tuple(replace(one, layers=tuple(sorted(layers[key]))) for key, one in merged.items())
    found = {one.verdict for one in every}
    verdict: Verdict = next((v for v in _WORST if v in found), "pass")
    return Check(group, name, verdict, every, source)
