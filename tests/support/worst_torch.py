"""Files that cost a reader most: zip archives, pickles and distributed checkpoints."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from tests.support.pickles import TENSOR, module_of, text
from tests.support.worst import ASTRAL, MIB, of_bytes


def archive(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A zip archive with 64-bit records; the standard library takes a minute for a million."""
    content, directory, count = bytearray(), bytearray(), 0
    for name, data in records:
        sizes = struct.pack("<2L", len(data), len(data))
        directory += struct.pack("<4s6HL", b"PK\1\2", 45, 45, 0, 0, 0, 0, 0) + sizes
        directory += struct.pack("<5H2L", len(name), 0, 0, 0, 0, 0, len(content)) + name
        content += struct.pack("<4s5HL", b"PK\3\4", 45, 0, 0, 0, 0, 0) + sizes
        content += struct.pack("<2H", len(name), 0) + name + data
        count += 1
    start, end = len(content), len(content) + len(directory)
    wide = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), start
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    masked = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    return bytes(content + directory) + wide + locator + masked


PICKLE = b"}" + text("w") + TENSOR + b"s."


def torch_zip(pickled: bytes = PICKLE, more: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    return archive([(b"m/data.pkl", pickled), (b"m/data/0", bytes(24)), *more])


def named_by(pattern: str, count: int, value: bytes, head: bytes = b"") -> bytes:
    """A pickled state dict of `count` names, all of one `value` from the memo."""
    names = b"".join(text(pattern % n) + b"h\x05" for n in range(count))
    return head + value + b"q\x050}(" + names + b"u."


def big_module() -> bytes:
    """A module with a state of 300,000 entries, under 50,000 names of another one's."""
    big = module_of(more=b"K\1K\1" * 300_000) + b"q\x050"
    children = b"}(" + b"".join(text(f"{n:x}") + b"h\x05" for n in range(50_000)) + b"u"
    return big + module_of(children=children) + b"."


def long_key() -> bytes:
    """A storage key of a megabyte, the same for 100,000 tensors."""
    head, _, tail = TENSOR.partition(text("0"))
    value = text("k" * 900_000) + b"q\x060"
    one = head + b"h\x06" + tail
    return (
        value
        + named_by("%x", 1, one)[:-2]
        + b"".join(text(f"n{n:x}") + one for n in range(40_000))
        + b"u."
    )


ARCHIVES = {
    "500,000 records": of_bytes(
        "model.bin", lambda: torch_zip(more=((b"%x" % n, b"") for n in range(500_000)))
    ),
    "records up to the bound": of_bytes(
        "model.bin", lambda: torch_zip(more=((b"%x" % n, b"") for n in range(159_000)))
    ),
    "records of long names": of_bytes(
        "model.bin",
        lambda: torch_zip(more=((b"%x" % n + ASTRAL.ljust(60_000, b"a"), b"") for n in range(500))),
    ),
    "140,000 names": of_bytes("model.bin", lambda: torch_zip(named_by("%x", 140_000, TENSOR))),
    "a wrapper 140,000 times": of_bytes(
        "model.bin", lambda: torch_zip(named_by("module." * 140_000 + "%x", 30, TENSOR))
    ),
    "one module under 50,000 names": of_bytes("model.bin", lambda: torch_zip(big_module())),
    "a long storage key": of_bytes("model.bin", lambda: torch_zip(long_key())),
}


def long_pickles(folder: Path) -> Path:
    """Pickles of a string of 60 MiB, one behind the other, with holes for the strings."""
    path = folder / "model.pkl"
    with path.open("wb") as stream:
        for _ in range(300):
            stream.write(b"\x80\x02X" + struct.pack("<I", 60 * MIB))
            stream.seek(60 * MIB, 1)
            stream.write(b".")
    return path


PICKLES = {
    "integers in text": of_bytes("a.pkl", b"(lp0\n" + b"I08\na" * 500_000 + b"."),
    "10,000 globals": of_bytes(
        "a.pkl", lambda: b"".join(b"cm%d\n%s\n" % (n, b"y" * 600) for n in range(11_000)) + b"."
    ),
    "globals of half a million parts": of_bytes(
        "a.pkl", lambda: b"".join(b"cm\n%sx%d\n" % (b"a." * 500_000, n) for n in range(8)) + b"."
    ),
    "pickles of 60 MiB": long_pickles,
    "a zip of 100,000 pickles": of_bytes(
        "a.zip", lambda: archive((b"%x.pkl" % n, b"\x80\x02N.") for n in range(100_000))
    ),
}


def pieces(folder: Path, count: int, chunks: int) -> Path:
    """A distributed checkpoint of `count` tensors, each with one piece that is listed `chunks`
    times, all of them torch's own."""
    import torch
    from torch.distributed.checkpoint import metadata as dcp
    from torch.distributed.checkpoint.filesystem import _StorageInfo

    stream = BytesIO()
    torch.save(torch.ones(1), stream)
    piece = stream.getvalue()
    one, start = torch.Size([1]), torch.Size([0])
    whole = dcp.TensorStorageMetadata(
        dcp.TensorProperties(torch.float32), one, [dcp.ChunkStorageMetadata(start, one)] * chunks
    )
    stored = {
        dcp.MetadataIndex(f"w{n}", start): _StorageInfo("pieces", n * len(piece), len(piece))
        for n in range(count)
    }
    saved = dcp.Metadata({f"w{n}": whole for n in range(count)}, storage_data=stored)
    (folder / ".metadata").write_bytes(pickle.dumps(saved))
    (folder / "pieces").write_bytes(piece * count)
    return folder


def noted_pieces(folder: Path) -> Path:
    """2,000 pieces in a safetensors file with a note of 50,000 more."""
    pieces(folder, 2000, 1)
    tensor = {"dtype": "F32", "shape": [1]}
    note = json.dumps({f"w{n}": {"saved_offsets": [0]} for n in range(50_000)})
    header: dict[str, object] = {
        f"w{n}": tensor | {"data_offsets": [4 * n, 4 * n + 4]} for n in range(2000)
    }
    header["__metadata__"] = {"DCP_SHARDING_INFO": note}
    raw = json.dumps(header).encode()
    (folder / "pieces").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(8000))
    saved = pickle.loads((folder / ".metadata").read_bytes())
    stored = {index: replace(info, offset=0) for index, info in saved.storage_data.items()}
    (folder / ".metadata").write_bytes(pickle.dumps(replace(saved, storage_data=stored)))
    return folder


DISTRIBUTED = {
    "20,000 pieces": lambda folder: pieces(folder, 20_000, 1),
    "a piece 100,000 times": lambda folder: pieces(folder, 1, 100_000),
    "20 pieces 900 times": lambda folder: pieces(folder, 20, 900),
    "a long note of pieces": noted_pieces,
}
