"""The family tables know llama.cpp's tensors by the names that llama.cpp's own library has."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from prunescope.architecture import Role, describe, load_family
from prunescope.architecture.tables import family_names
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from prunescope.interop.demo_source import find_gguf
from tests.support.ggufs import tiny_weights, write_gguf
from tests.support.sparse import SMOLLM2, llama_shapes, write_model

FAMILIES = [name for name in family_names() if load_family(name).gguf is not None]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_tensor_of_a_family_has_the_librarys_name(name: str) -> None:
    family = load_family(name)
    assert family.gguf is not None
    architectures = {text: code for code, text in gguf.MODEL_ARCH_NAMES.items()}
    named = gguf.get_tensor_name_map(architectures[family.gguf.architectures[0]], 8)
    ours = [n for n, role in family.model.items() if role.role is not Role.BUFFER]
    ours += [
        f"{family.layer_prefix}7.{n}"
        for n, role in family.layer.items()
        if role.role is not Role.BUFFER
    ]
    for tensor in list(ours):
        stem, _, kind = tensor.rpartition(".")
        if named.get_name(stem) is None:
            # A head that llama.cpp always ties.
            assert family.tied
            assert family.model[tensor].role is Role.HEAD
            ours.remove(tensor)
            continue
        theirs = f"{named.get_name(stem)}.{kind}"
        assert family.from_gguf(theirs) == tensor
        assert family.find(theirs) == family.find(tensor)
    assert len(family.gguf.model) + len(family.gguf.layer) == len(ours)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_llama_cpp_alone_has_is_a_buffer(name: str) -> None:
    family = load_family(name)

    for tensor in ("rope_freqs.weight", "rope_factors_long.weight", "blk.3.attn_rot_embd.weight"):
        found = family.find(tensor)
        assert found is not None
        assert (found[0], found[1].role) == (3 if "blk." in tensor else None, Role.BUFFER)
        assert family.from_gguf(tensor) is None


def test_a_real_model_has_the_roles_of_its_hugging_face_twin(tmp_path: Path) -> None:
    theirs = describe(open_checkpoint(find_gguf(tmp_path)))
    ours = describe(open_checkpoint(write_model(tmp_path / "hf", SMOLLM2, llama_shapes(SMOLLM2))))

    assert theirs.family is ours.family
    assert (theirs.parameters, theirs.head_dim) == (134_515_008, 64)
    for layer, modules in ours.layers.items():
        assert {r: m.shape for r, m in theirs.layers[layer].items()} == {
            r: m.shape for r, m in modules.items()
        }
    assert {r: m.shape for r, m in theirs.outside.items()} == {
        r: m.shape for r, m in ours.outside.items()
    }


@pytest.mark.parametrize("name", ["blk.0.ffn_gate_exps.weight", "blk.01.attn_q.weight", "blk.x.a"])
def test_a_tensor_without_a_place_is_named(tmp_path: Path, name: str) -> None:
    path = write_gguf(tmp_path / "t.gguf", tiny_weights()[0] | {name: np.ones((2, 32), "f4")})

    with pytest.raises(ArchitectureError, match=f"'{name}' of shape .2, 32. has no place"):
        describe(open_checkpoint(path))


def test_an_architecture_of_no_family_is_read_by_its_names(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "t.gguf", tiny_weights()[0], "rwkv7")

    model = describe(open_checkpoint(path))

    assert model.family.is_generic
    assert model.layers[0][Role.own("attn_q")].tensors[0].name == "blk.0.attn_q.weight"
