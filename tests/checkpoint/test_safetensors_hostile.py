"""A safetensors file that breaks the format is refused with its cause, and breaks nothing."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.tensors import raw_bytes


def file_of(header: object, data: bytes = b"") -> bytes:
    """A file with this header, given as an object or as the bytes themselves."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def entry(shape: object, begin: object, end: object, dtype: object = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def one(**fields: object) -> bytes:
    """A file of eight bytes of data with one sound tensor, some of whose fields are replaced."""
    return file_of({"w": entry([8], 0, 8) | fields}, bytes(8))


HOSTILE = {
    "no bytes at all": (b"", "is an empty file"),
    "seven bytes": (bytes(7), "truncated"),
    "header beyond the file": (b"\xff\x00\x00\x00\x00\x00\x00\x00{}", "truncated: header of 255"),
    "header over 100 MB": ((100_000_001).to_bytes(8, "little") + b"{", "over 100 MB"),
    "header of 2^64 - 1 bytes": (b"\xff" * 8 + b"{", "over 100 MB"),
    "header of no bytes": (bytes(8), "does not start with '{'"),
    "header is a list": (file_of([]), "does not start with '{'"),
    "header is cut": (file_of(b'{"w": {"dtype"'), "not JSON"),
    "header is followed by more": (file_of(b"{} {}"), "not JSON"),
    "header is not UTF-8": (file_of(b'{"\xff\xfe": 1}'), "not UTF-8 (byte 2)"),
    "header nests deeply": (file_of(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "deep"),
    "lists nest deeply": (file_of(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "deep"),
    "two million lists": (file_of(b'{"a":[' + b"[]," * 2_000_000 + b"1]}"), "more entries"),
    "a key twice": (
        file_of(b'{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{}}'),
        "has the key 'w' twice",
    ),
    "NaN": (file_of(b'{"w": NaN}'), "NaN"),
    "an integer of 5000 digits": (
        file_of(b'{"w":{"dtype":"U8","shape":[1%s],"data_offsets":[0,8]}}' % (b"0" * 5000)),
        "safetensors header",
    ),
    "metadata is a list": (file_of({"__metadata__": [1]}), "__metadata__"),
    "metadata holds a number": (file_of({"__metadata__": {"a": 1}}), "__metadata__"),
    "no tensor": (file_of({}), "holds no tensor"),
    "tensor is a number": (file_of({"w": 1}), "lacks dtype, shape or data_offsets"),
    "no dtype": (file_of({"w": {"shape": [1], "data_offsets": [0, 1]}}, b"x"), "lacks dtype"),
    "one offset": (one(data_offsets=[0]), "lacks dtype, shape or data_offsets"),
    "three offsets": (one(data_offsets=[0, 1, 2]), "lacks dtype, shape or data_offsets"),
    "unknown dtype": (one(dtype="F7"), "unknown dtype 'F7'"),
    "dtype is a list": (one(dtype=["U8"]), "unknown dtype"),
    "float in the shape": (one(shape=[8.0]), "invalid shape"),
    "true in the shape": (one(shape=[8, True]), "invalid shape"),
    "negative in the shape": (one(shape=[-8, -1]), "invalid shape"),
    "shape is a number": (one(shape=8), "invalid shape"),
    "float offset": (one(data_offsets=[0.0, 8]), "invalid data_offsets"),
    "true as offset": (one(data_offsets=[False, 8]), "invalid data_offsets"),
    "negative offset": (one(data_offsets=[-8, 0]), "invalid data_offsets"),
    "offsets the wrong way round": (one(data_offsets=[8, 0]), "invalid data_offsets"),
    "shape needs more bytes": (one(shape=[9]), "8 bytes stored, dtype U8 and shape [9] need 9"),
    "dtype needs more bytes": (one(dtype="F64"), "need 64"),
    "half a byte": (one(dtype="F4", shape=[15]), "need None"),
    # 2^32 · 2^32 · 8 is 0 in 64 bits, and 2^61 eights are 2^64.
    "shape overflows": (one(shape=[2**32, 2**32]), "overflows"),
    "shape overflows before a zero": (one(shape=[2**62, 2**62, 0]), "overflows"),
    "beyond the file": (file_of({"w": entry([9], 0, 9)}, bytes(8)), "truncated inside tensor"),
    "bytes after the last tensor": (file_of({"w": entry([7], 0, 7)}, bytes(8)), "1 bytes after"),
    "hole at the start": (file_of({"w": entry([7], 1, 8)}, bytes(8)), "hole"),
    "hole between": (
        file_of({"a": entry([3], 0, 3), "b": entry([4], 4, 8)}, bytes(8)),
        "hole of bytes before tensor 'b'",
    ),
    "overlap": (file_of({"a": entry([5], 0, 5), "b": entry([4], 4, 8)}, bytes(8)), "overlaps"),
    "the same bytes twice": (
        file_of({"a": entry([8], 0, 8), "b": entry([8], 0, 8)}, bytes(8)),
        "overlaps",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_broken_file_is_refused_with_its_cause(tmp_path: Path, case: str) -> None:
    content, cause = HOSTILE[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)

    message = str(caught.value)
    assert cause in message
    # One line that starts with the file, whatever the stranger put into it.
    assert "\n" not in message
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 500


def test_control_characters_in_a_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_of({"\x1b[2J\n\u202e": 1}))

    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)

    assert str(caught.value).isprintable()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safetensors") / "model.safetensors"


VALID = save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(5).bfloat16()}, {"k": "v"})


@settings(deadline=None, max_examples=400)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=4
    ),
    keep=st.integers(0, len(VALID)) | st.just(len(VALID)),
)
def test_any_damage_is_either_harmless_or_a_checkpoint_error(
    scratch: Path, edits: list[tuple[int, int]], keep: int
) -> None:
    damaged = bytearray(VALID)
    for at, value in edits:
        damaged[at] = value
    scratch.write_bytes(damaged[:keep])
    try:
        checkpoint = open_checkpoint(scratch)
    except CheckpointError:
        return
    with WeightMap() as weights:
        for tensor in checkpoint.tensors.values():
            assert len(weights.view(tensor)) == tensor.nbytes


SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__")


@settings(deadline=None, max_examples=60)
@given(
    shapes=st.dictionaries(NAMES, SHAPES, min_size=1, max_size=6),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.uint8, torch.int64]),
)
@example(shapes={'q"\\\n层': (2,)}, dtype=torch.float32)
def test_whatever_the_library_writes_is_read_back(
    scratch: Path, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype
) -> None:
    tensors = {n: torch.arange(prod(s)).reshape(s).to(dtype) for n, s in shapes.items()}
    scratch.write_bytes(save(tensors))

    read = open_checkpoint(scratch)

    assert {n: t.shape for n, t in read.tensors.items()} == shapes
    with WeightMap() as weights:
        for name, tensor in tensors.items():
            assert bytes(weights.view(read.tensors[name])) == raw_bytes(tensor)
