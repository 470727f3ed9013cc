"""A GGUF file that breaks the format is refused with its cause, and breaks nothing."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.checkpoint import cursor, open_checkpoint
from prunescope.checkpoint import gguf as reader
from prunescope.checkpoint.storage import LocalFile
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.ggufs import array, file_of, finish, key, tensor, text, tiny_weights, write_gguf

HUGE = 1 << 60


def two(first: tuple[int, int], second: tuple[int, int], data: int) -> bytes:
    """Two tensors given as (float32 elements, offset), in `data` bytes."""
    tensors = b"".join(
        tensor(name, (n,), offset=at) for name, (n, at) in (("t", first), ("u", second))
    )
    return file_of(tensors=tensors, count=2, data=bytes(data))


HOSTILE = {
    "not GGUF": (b"PK\x03\x04" + b"\0" * 40, "is not a GGUF file"),
    "four bytes": (b"GGUF", "truncated inside the GGUF header"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is a big-endian GGUF"),
    "version 1": (file_of(version=1), "version 1: only 2 and 3 are read"),
    "version 0": (file_of(version=0), "version 0: only 2 and 3 are read"),
    "2^60 keys": (file_of(key_count=HUGE), "more entries"),
    "2^60 tensors": (file_of(count=HUGE), "more entries"),
    "2^60 texts": (file_of(array("a", 8, HUGE), 1), "more entries"),
    "2^60 numbers": (file_of(array("a", 0, HUGE), 1), "truncated"),
    "2^61 numbers of 8 bytes": (file_of(array("a", 10, 2 * HUGE), 1), "truncated"),
    "an array longer than the file": (file_of(array("a", 10, 1_000_000), 1), "truncated"),
    "texts longer than the file": (file_of(array("a", 8, 3, text("x")), 1), "truncated"),
    "an array of arrays": (file_of(array("a", 9, 1), 1), "'a' has unknown type 9"),
    "an unknown type": (file_of(key("a", 99, b""), 1), "unknown type 99"),
    "an array of an unknown type": (file_of(array("a", 13, 1), 1), "unknown type 13"),
    "a key over the end": (file_of(struct.pack("<Q", HUGE), 1), "truncated"),
    "a text over the end": (file_of(key("a", 8, struct.pack("<Q", 500)), 1), "truncated"),
    "a token over the end": (file_of(array("a", 8, 1, struct.pack("<Q", HUGE)), 1), "truncated"),
    "a text of 2^64 - 1 bytes": (file_of(key("a", 8, b"\xff" * 8), 1), "truncated"),
    "a key twice": (file_of(key("a", 0, b"\1") * 2, 2), "'a' occurs twice"),
    "an array twice": (file_of(array("a", 0, 1, b"\1") * 2, 2), "'a' occurs twice"),
    "no UTF-8": (file_of(struct.pack("<Q", 1) + b"\xff", 1), "not UTF-8"),
    "a control character": (file_of(key("\x1b[2J", 99, b""), 1), r"\\x1b\[2J"),
    "no alignment": (
        file_of(key("general.alignment", 4, bytes(4)), 1),
        "alignment 0 is not a power of two",
    ),
    "an alignment of text": (
        file_of(key("general.alignment", 8, text("x")), 1),
        "alignment 'x' is not a power of two",
    ),
    "an alignment that is a truth": (
        file_of(key("general.alignment", 7, b"\1"), 1),
        "alignment True is not a power of two",
    ),
    "a tensor twice": (file_of(tensors=tensor("t", (1,)) * 2, count=2), "'t' occurs twice"),
    "a tensor without axes": (file_of(tensors=tensor("t", ()), count=1), "'t' has 0 axes"),
    "a tensor of nine axes": (file_of(tensors=tensor("t", (1,) * 9), count=1), "'t' has 9 axes"),
    "2^32 - 1 axes": (file_of(tensors=text("t") + b"\xff" * 4, count=1), "4294967295 axes"),
    "a shape that overflows": (
        file_of(tensors=tensor("t", (1 << 32, 1 << 32)), count=1),
        "'t': shape overflows 63 bits",
    ),
    "more than the file holds": (
        file_of(tensors=tensor("t", (1 << 40,)), count=1),
        "truncated inside tensor 't'",
    ),
    "an offset outside": (
        file_of(tensors=tensor("t", (1,), offset=HUGE), count=1),
        "truncated inside tensor 't'",
    ),
    "an offset of 2^64 - 32": (
        file_of(tensors=tensor("t", (1,), offset=(1 << 64) - 32), count=1),
        "truncated inside tensor 't'",
    ),
    "a misaligned offset": (two((8, 0), (8, 40), 80), "offset 40 is no multiple of 32"),
    "an overlap": (two((16, 0), (8, 32), 64), "'u' overlaps another"),
    "the same place": (two((8, 0), (8, 0), 32), "overlaps another"),
    "a hole": (two((8, 0), (8, 64), 96), "hole of bytes before tensor 'u'"),
    "a hole before the first": (two((8, 32), (8, 64), 96), "hole of bytes before tensor 't'"),
    "bytes left over": (two((8, 0), (8, 32), 96), "32 bytes after the last tensor"),
    "an unknown ggml type": (file_of(tensors=tensor("t", (1,), 999), count=1), "ggml type 999"),
    "a withdrawn ggml type": (file_of(tensors=tensor("t", (32,), 31), count=1), "ggml type 31"),
    "half a block": (file_of(tensors=tensor("t", (33,), 3), count=1), "blocks of 32"),
    "no tensor": (file_of(), "holds no tensor"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    content, cause = HOSTILE[case]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=cause) as caught:
        reader.read(LocalFile(path)) if case == "not GGUF" else open_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()


def test_an_empty_array_of_no_layers_says_nothing(tmp_path: Path) -> None:
    keys = (
        key("general.architecture", 8, text("llama"))
        + key("llama.block_count", 4, bytes(4))
        + array("llama.feed_forward_length", 4, 0)
    )
    path = tmp_path / "none.gguf"
    path.write_bytes(file_of(keys, 3, tensor("t", (8,)), 1, bytes(32)))

    # Neither count is one that a model can have; the head is tied where there is none.
    assert open_checkpoint(path).config == {"model_type": "llama", "tie_word_embeddings": True}


def test_a_text_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(file_of(key("a", 8, struct.pack("<Q", 20 << 20)), 1))
    with path.open("r+b") as stream:
        stream.truncate(30 << 20)
    with pytest.raises(CheckpointError, match="text of 20971520 bytes at byte"):
        open_checkpoint(path)


def test_tokens_beyond_the_bound_are_refused_over_all_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursor, "MAX_SKIPPED", 5)
    path = tmp_path / "hostile.gguf"
    path.write_bytes(file_of(array("a", 8, 3, text("") * 3) + array("b", 8, 3, text("") * 3), 2))
    with pytest.raises(CheckpointError, match="more entries than any model needs"):
        open_checkpoint(path)


def test_every_truncation_is_an_error_of_one_line(tmp_path: Path) -> None:
    tiny = write_gguf(tmp_path / "tiny.gguf", tiny_weights()[0])
    whole = tiny.read_bytes()
    header_end = min(info.offset for info in open_checkpoint(tiny).tensors.values())
    short = tmp_path / "short.gguf"
    for length in [*range(4, header_end, 7), header_end, len(whole) // 2, len(whole) - 40]:
        short.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated inside") as caught:
            open_checkpoint(short)
        assert str(caught.value).isprintable()


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "valid.gguf"

    def more(writer: gguf.GGUFWriter) -> None:
        writer.add_token_list(["a", "b", "c"])
        writer.add_head_count([4, 2])

    stored = dict(list(tiny_weights()[0].items())[1:4])
    return write_gguf(path, stored, extra=more, kind=gguf.GGMLQuantizationType.Q8_0).read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf") / "model.gguf"


@settings(deadline=None, max_examples=400)
@given(
    edits=st.lists(st.tuples(st.integers(4, 900), st.integers(0, 255)), min_size=1, max_size=4),
    keep=st.integers(4, 2000) | st.none(),
)
def test_any_damage_is_either_harmless_or_a_checkpoint_error(
    scratch: Path, valid: bytes, edits: list[tuple[int, int]], keep: int | None
) -> None:
    damaged = bytearray(valid)
    for at, value in edits:
        damaged[at] = value
    scratch.write_bytes(damaged[:keep])
    try:
        checkpoint = open_checkpoint(scratch)
    except CheckpointError:
        return
    with WeightMap() as weights:
        for found in checkpoint.tensors.values():
            assert len(weights.view(found)) == found.nbytes


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@settings(deadline=None, max_examples=60)
@given(
    shapes=st.dictionaries(NAMES, SHAPES, min_size=1, max_size=6),
    notes=st.dictionaries(NAMES, st.text(st.characters(codec="utf-8"), max_size=9), max_size=3),
    dtype=st.sampled_from([np.float32, np.float16, np.int8, np.int64]),
)
def test_whatever_the_library_writes_is_read_back(
    scratch: Path, shapes: dict[str, tuple[int, ...]], notes: dict[str, str], dtype: type
) -> None:
    arrays = {name: np.arange(prod(s)).reshape(s).astype(dtype) for name, s in shapes.items()}
    writer = gguf.GGUFWriter(scratch, "llama")
    for name, value in notes.items():
        writer.add_string(f"note.{name}", value)
    for name, values in arrays.items():
        writer.add_tensor(name, values)
    finish(writer)

    read = open_checkpoint(scratch)

    assert {name: t.shape for name, t in read.tensors.items()} == shapes
    expected = {f"note.{n}": v for n, v in notes.items() if v}
    assert {k: v for k, v in read.metadata.items() if v and k.startswith("note.")} == expected
    with WeightMap() as weights:
        for name, values in arrays.items():
            assert bytes(weights.view(read.tensors[name])) == values.tobytes()
