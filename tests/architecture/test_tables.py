"""A table is small, read only when it is asked for, and says nothing of what it does not have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.architecture import load_family
from prunescope.architecture.labels import parts, solve
from prunescope.architecture.tables import (
    ENGINES,
    family_for,
    family_names,
    has_table,
    known_types,
    variants,
)
from tests.support.scripts import environment

TABLES = [(name, n) for name in family_names() for n in (None, *range(variants(name)))]


@pytest.mark.parametrize(("name", "variant"), TABLES, ids=str)
def test_labels_and_spaces_are_the_same_set(name: str, variant: int | None) -> None:
    family = load_family(name, variant)
    tables = [family.model, *(stack.layer for stack in family.stacks)]
    used = {
        space
        for table in tables
        for role in table.values()
        for label in role.axes
        for space in parts(label)
    }
    assert used == set(family.spaces)
    for space in family.spaces.values():
        assert space.default is None or space.default in family.spaces
    for spec in family.groups.values():
        roles = {role.role for role in family.layer.values()}
        assert spec.root in roles
    assert set(family.engines) <= set(ENGINES)


@pytest.mark.parametrize("name", family_names())
def test_kinds_and_flags_name_tensors_of_the_layers(name: str) -> None:
    family = load_family(name)
    for stack in family.stacks:
        starts = [s for answers in stack.kinds.values() for of in answers.values() for s in of]
        assert all(any(key.startswith(start) for key in stack.layer) for start in starts)
    optional = set().union(*(stack.optional for stack in family.stacks))
    assert set().union(*family.flags.values()) <= optional


def test_one_type_may_be_built_as_another() -> None:
    assert family_for("mistral", {}) is load_family("llama")
    assert "mistral" in known_types()
    assert "mistral" not in family_names()


@pytest.mark.parametrize("model_type", ["llama/../llama", "Llama", "", "l" * 65, "..", 7, None])
def test_no_other_file_is_a_table(model_type: object) -> None:
    assert not has_table(model_type)


def test_an_entry_of_another_table_can_be_left_out_or_made_optional() -> None:
    llama, qwen = load_family("llama"), load_family("qwen2")
    assert "self_attn.q_proj.bias" in llama.optional
    assert "self_attn.q_proj.bias" in qwen.layer.keys() - qwen.optional
    assert "mlp.up_proj.bias" not in qwen.layer
    assert qwen.spaces == llama.spaces


def test_only_the_table_that_is_named_is_read(tmp_path: Path) -> None:
    script = (
        "from prunescope.architecture import tables\n"
        "tables.family_for('qwen2', {})\n"
        "print(tables._read.cache_info().currsize)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True,
        encoding="utf-8", check=True,
    )  # fmt: skip
    # qwen2's own, and llama's, which it extends.
    assert done.stdout == "2\n"


@given(st.integers(1, 99), st.integers(1, 99))
def test_a_fused_axis_tells_the_space_that_no_other_axis_does(heads: int, kv_heads: int) -> None:
    label, length = "heads+kv_heads+kv_heads", heads + 2 * kv_heads
    assert solve(label, length, {"heads": heads}) == ("kv_heads", kv_heads)
    assert solve(label, length, {"kv_heads": kv_heads}) == ("heads", heads)
    assert solve(label, length, {"heads": heads, "kv_heads": kv_heads}) == ("kv_heads", kv_heads)
    assert solve(label, length, {}) is None
    assert solve("heads|heads|heads", 3 * heads, {}) == ("heads", heads)
    # A row too many fits nothing.
    assert solve("heads|heads|heads", 3 * heads + 1, {"heads": heads}) == ("heads", heads + 1)
    assert solve("_", length, {}) is None
