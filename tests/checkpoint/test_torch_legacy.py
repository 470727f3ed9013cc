"""Files of torch < 1.6 are read as `torch.load` reads them; damaged ones are refused."""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.checkpoint import Checkpoint, open_checkpoint, pickle_stream
from prunescope.checkpoint.dtypes import TORCH_DTYPES
from prunescope.checkpoint.storage import LocalFile
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.pickles import text
from tests.support.tensors import raw_bytes
from tests.support.tiny import tiny_network


def legacy(value: object, protocol: int = 2) -> bytes:
    """What torch < 1.6 would have written, by torch itself."""
    stream = BytesIO()
    torch.save(value, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def opened(folder: Path, content: bytes) -> Checkpoint:
    path = folder / "pytorch_model.bin"
    path.write_bytes(content)
    return open_checkpoint(path)


def check_equal(checkpoint: Checkpoint, state: dict[str, torch.Tensor]) -> None:
    assert list(checkpoint.tensors) == list(state)
    with WeightMap() as weights:
        for name, info in checkpoint.tensors.items():
            flat = torch.frombuffer(bytearray(weights.view(info)), dtype=state[name].dtype)
            strides = info.strides or torch.empty(info.shape).stride()
            assert torch.equal(flat.as_strided(info.shape, strides), state[name]), name


def test_every_dtype_has_torchs_own_bytes(tmp_path: Path) -> None:
    state = {
        name: torch.arange(1, 7).reshape(2, 3).to(getattr(torch, name)) for name in TORCH_DTYPES
    }
    checkpoint = opened(tmp_path, legacy(state))

    assert checkpoint.format == "torch legacy"
    with WeightMap() as weights:
        for name, info in checkpoint.tensors.items():
            assert info.dtype == TORCH_DTYPES[name]
            assert bytes(weights.view(info)) == raw_bytes(state[name]), name


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_views_share_their_storage(tmp_path: Path, protocol: int) -> None:
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    state = OrderedDict(
        z=torch.arange(3.0), base=base, rows=base[2:], turned=base.T, steps=base[::2, ::3]
    )
    checkpoint = opened(tmp_path, legacy(state, protocol))

    check_equal(checkpoint, state)
    assert checkpoint.tensors["rows"].offset == checkpoint.tensors["base"].offset + 2 * 6 * 8


def test_tied_tensors_count_once(tmp_path: Path) -> None:
    embedding = torch.ones(5, 2)
    checkpoint = opened(tmp_path, legacy({"embed": embedding, "b": torch.ones(3), "x": embedding}))
    assert checkpoint.shared == {"x": "embed"}
    assert checkpoint.parameters == 13


def test_only_the_head_of_a_large_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {f"layer.{n}": torch.zeros(64 << 10) for n in range(200)}
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(legacy(state))
    read, taken = LocalFile.read, []

    def counted(file: LocalFile, offset: int, length: int) -> bytes:
        data = read(file, offset, length)
        taken.append(len(data))
        return data

    monkeypatch.setattr(LocalFile, "read", counted)
    assert open_checkpoint(path).parameters == 200 << 16
    # 50 MB of zeros: at most a window of each storage of a quarter of a megabyte.
    assert sum(taken) < path.stat().st_size / 3


def test_a_head_read_in_pieces_is_that_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny_network(num_hidden_layers=1)
    content = legacy({"model": network})
    whole = opened(tmp_path, content)
    # Every piece ends inside another opcode.
    monkeypatch.setattr(pickle_stream, "_FIRST_PIECE", 50)
    monkeypatch.setattr(pickle_stream, "_GROWTH", 1.07)
    monkeypatch.setattr(LocalFile, "read", whole_lengths(LocalFile.read))
    assert opened(tmp_path, content) == whole


def whole_lengths(read: Callable[..., bytes]) -> Callable[..., bytes]:
    return lambda file, offset, length: read(file, offset, int(length))


def parts(content: bytes) -> list[bytes]:
    """The five pickles, and the storages, as the standard library finds their ends."""
    stream, ends = BytesIO(content), [0]
    for _ in range(5):
        for _ in pickletools.genops(stream):
            pass
        ends.append(stream.tell())
    return [content[a:b] for a, b in zip(ends, [*ends[1:], None], strict=True)]


VALID = legacy({"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4).half()})
HEAD, VERSION, MACHINE, OBJECT, KEYS, DATA = parts(VALID)


def storage(view: bytes) -> bytes:
    """A pickled state dict with one tensor of two elements in a storage of six."""
    key = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("7") + text("cpu") + b"K\x06"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + key + view + b"tQK\x01K\x02\x85K\x01\x85\x89"
    call += b"ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}" + text("w") + call + b"s."


def viewing(view: bytes) -> bytes:
    data = (6).to_bytes(8, "little") + raw_bytes(torch.arange(6.0))
    return HEAD + VERSION + MACHINE + storage(view) + pickle.dumps(["7"], 2) + data


def test_storages_that_are_views_of_others_are_found(tmp_path: Path) -> None:
    view = b"(" + text("8") + b"K\x02K\x03t"
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(viewing(view))
    # Element 1 of a view that begins at element 2.
    expected = torch.load(path, weights_only=False)["w"]
    assert expected.tolist() == [3.0, 4.0]
    check_equal(open_checkpoint(path), {"w": expected})
    with pytest.raises(CheckpointError, match="a view beyond storage '7'"):
        opened(tmp_path, viewing(b"(" + text("8") + b"K\x04K\x03t"))
    with pytest.raises(CheckpointError, match="needs 12 bytes of storage '7', which has 8"):
        opened(tmp_path, viewing(b"(" + text("8") + b"K\x02K\x02t"))


HOSTILE = {
    "another version": (HEAD + pickle.dumps(1002, 2) + MACHINE, "protocol version other than 1001"),
    "big-endian": (
        HEAD + VERSION + pickle.dumps({"little_endian": False}, 2) + OBJECT + KEYS + DATA,
        "big-endian machine",
    ),
    "no machine": (HEAD + VERSION + pickle.dumps([], 2) + OBJECT + KEYS, "big-endian machine"),
    "another magic": (
        HEAD[:2] + b"C\x0d" + HEAD[2:] + b"." + VERSION + MACHINE + OBJECT + KEYS,
        "wrong magic number",
    ),
    "cut in the object": ((HEAD + VERSION + MACHINE + OBJECT)[:-5], "the object: the pickle ends"),
    "no keys": (HEAD + VERSION + MACHINE + OBJECT, "the list of storages: the pickle ends"),
    "keys of another kind": (HEAD + VERSION + MACHINE + OBJECT + b"N.", "list of storages is none"),
    "an unknown key": (
        HEAD + VERSION + MACHINE + OBJECT + pickle.dumps(["?"], 2) + DATA,
        "storage '?' is listed, but not once",
    ),
    "a key that is no string": (
        HEAD + VERSION + MACHINE + OBJECT + pickle.dumps([1], 2) + DATA,
        "storage 1 is listed",
    ),
    "a storage missing": (
        HEAD + VERSION + MACHINE + OBJECT + pickle.dumps([], 2),
        "tensor 'w': its storage",
    ),
    "another size": (
        HEAD + VERSION + MACHINE + OBJECT + KEYS + b"\x07" + DATA[1:],
        "has 7 elements, the object says",
    ),
    "a negative size": (
        HEAD + VERSION + MACHINE + OBJECT + KEYS + b"\xff" * 8 + DATA[8:],
        "has -1 elements",
    ),
    "cut in the last storage": (VALID[:-1], "truncated inside storage"),
    "cut before the storages": (HEAD + VERSION + MACHINE + OBJECT + KEYS, "truncated before"),
    "a storage of another type": (
        VALID.replace(b"FloatStorage", b"FlaotStorage"),
        "is of a type this reader does not know",
    ),
    "no model": (legacy({"step": 1}), "holds no state dict"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_broken_file_is_refused_with_its_cause(tmp_path: Path, case: str) -> None:
    content, cause = HOSTILE[case]
    with pytest.raises(CheckpointError) as caught:
        opened(tmp_path, content)
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_says_what_it_is(tmp_path: Path) -> None:
    # The first member that torch 0.1 put into its tar files.
    tar = b"sys_info" + bytes(249) + b"ustar" + bytes(300)
    for content, cause in ((tar, "torch 0.1 wrote"), (pickle.dumps([1], 4), "bare pickle")):
        with pytest.raises(CheckpointError, match=cause):
            opened(tmp_path, content)


@settings(deadline=None, max_examples=300)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=5
    ),
    length=st.integers(0, len(VALID)),
)
def test_any_damage_is_harmless_or_a_checkpoint_error(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(VALID)
    for at, value in edits:
        damaged[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    for content in (damaged, damaged[:length]):
        path.write_bytes(content)
        try:
            checkpoint = open_checkpoint(path)
            with WeightMap() as weights:
                for tensor in checkpoint.tensors.values():
                    assert len(weights.view(tensor)) == tensor.nbytes
        except CheckpointError:
            pass
