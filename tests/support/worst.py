"""Files that cost a reader most, up to its bounds or beyond: safetensors, indexes and GGUF."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

from tests.support.ggufs import file_of, key, tensor
from tests.support.ggufs import text as gguf_text

Writer = Callable[[Path], Path]
MIB = 1 << 20
ASTRAL = "😀".encode()


def of_bytes(name: str, content: bytes | Callable[[], bytes]) -> Writer:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content() if callable(content) else content)
        return path

    return write


def safetensors(header: Callable[[], bytes]) -> Writer:
    return of_bytes(
        "model.safetensors", lambda: (raw := header()) and len(raw).to_bytes(8, "little") + raw
    )


def joined(pattern: bytes, count: int) -> bytes:
    """`pattern` with each number below `count`, in hexadecimal, with commas between."""
    return b",".join(pattern.replace(b"%x", b"%x" % n) for n in range(count))


def hundred_megabytes(start: bytes) -> Writer:
    """A safetensors header as long as may be, which is one name."""
    return safetensors(lambda: (b'{"' + start).ljust(99_999_998, b"a") + b'":')


EMPTY = b'"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
HEADERS = {
    "one name": hundred_megabytes(b""),
    "one name of wide characters": hundred_megabytes(ASTRAL),
    "escapes": safetensors(lambda: b'{"' + b"\\ud83d\\ude00" * 8_000_000 + b'":1}'),
    "two million notes": safetensors(
        lambda: b'{"__metadata__":{' + joined(b'"%x":"%x"', 2_000_000) + b"}}"
    ),
    "notes up to the bound": safetensors(
        lambda: b'{"__metadata__":{' + joined(b'"%x":"%x"', 680_000) + b"}}"
    ),
    "wide text up to the bound": safetensors(
        lambda: b'{"a":["' + ASTRAL + b"a" * 23_000_000 + b'"]}'
    ),
    "tensors up to the bound": safetensors(lambda: b"{" + joined(EMPTY, 158_000) + b"}"),
}


def sharded(folder: Path) -> Path:
    """An index of 354,000 tensors in three shards, with a large config beside."""
    listed = []
    for shard in range(3):
        name = f"{shard}.safetensors"
        header = b"{" + joined(EMPTY.replace(b"%x", b"s%d.%%x" % shard), 118_000) + b"}"
        (folder / name).write_bytes(len(header).to_bytes(8, "little") + header)
        listed.append(joined(b'"s%d.%%x":"%s"' % (shard, name.encode()), 118_000))
    path = folder / "model.safetensors.index.json"
    path.write_bytes(b'{"weight_map":{' + b",".join(listed) + b"}}")
    (folder / "config.json").write_bytes(b"{" + joined(b'"%x":"%x"', 150_000) + b"}")
    return path


def index(pairs: Callable[[], bytes], name: str = "model.safetensors.index.json") -> Writer:
    return of_bytes(name, lambda: b'{"weight_map":{' + pairs() + b"}}")


INDEXES = {
    "a million entries": index(lambda: joined(b'"%x":"s.safetensors"', 1_000_000)),
    "400,000 shards": index(lambda: joined(b'"%x":"%x/s"', 400_000)),
    "shards 2,000 folders deep": index(lambda: joined(b'"%x":"' + b"a/" * 2000 + b'%x"', 4000)),
    "one wide name": index(lambda: b'"' + ASTRAL + b"a" * 66_000_000 + b'":"s"'),
    "three shards of 118,000 tensors": sharded,
}


def keys(kind: int, value: bytes, count: int) -> Writer:
    def content() -> bytes:
        return file_of(b"".join(key(str(n), kind, value) for n in range(count)), count)

    return of_bytes("model.gguf", content)


def number_array(length: int) -> bytes:
    return struct.pack("<IQ", 0, length) + bytes(length)


GGUF = {
    "100,000 keys": keys(0, b"\0", 100_000),
    "long texts": keys(8, gguf_text("😀" + "a" * 100_000), 2000),
    "a text of 16 MiB": keys(8, struct.pack("<Q", 16 * MIB) + ASTRAL.ljust(16 * MIB, b"a"), 6),
    "arrays": keys(9, number_array(4096), 20_000),
    "four million tokens": keys(9, struct.pack("<IQ", 8, 4_000_000) + bytes(32_000_000), 1),
    "100,000 tensors": of_bytes(
        "model.gguf",
        lambda: file_of(
            tensors=b"".join(tensor(str(n), (0, 1, 1, 1)) for n in range(100_000)), count=100_000
        ),
    ),
}


def deepseek(folder: Path) -> Path:
    """An honest model of DeepSeek-V3's shape: 91,000 tensors in 163 shards, holes for data."""
    tensors, shards, size = 91_000, 163, 2 * 2048 * 7168
    weight_map = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        header, end = {}, 0
        for n in range(shard * tensors // shards, (shard + 1) * tensors // shards):
            weight = f"model.layers.{n // 1500}.mlp.experts.{n % 1500}.gate_proj.weight"
            offsets = [end, end := end + size]
            header[weight] = {"dtype": "BF16", "shape": [2048, 7168], "data_offsets": offsets}
            weight_map[weight] = name
        raw = json.dumps(header).encode()
        with (folder / name).open("wb") as stream:
            stream.write(len(raw).to_bytes(8, "little") + raw)
            stream.truncate(8 + len(raw) + end)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return folder
