"""Torch archives with something wrong: rebuilt record by record with the standard library."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterable
from io import BytesIO

import torch

Record = tuple[str, bytes]


def torch_file(state: object) -> bytes:
    """What `torch.save` writes."""
    stream = BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def records(content: bytes) -> list[Record]:
    """Names and bytes of an archive's records."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def archive_of(entries: Iterable[Record], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of these records, a name twice included."""
    stream = BytesIO()
    with warnings.catch_warnings():
        # zipfile warns of the duplicates that a test asks for.
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for name, data in entries:
                archive.writestr(name, data)
    return stream.getvalue()


def with_pickle(data: bytes) -> bytes:
    """An archive as torch lays it out, with this `data.pkl` and a storage of 24 bytes."""
    return archive_of([("m/data.pkl", data), ("m/data/0", bytes(range(24)))])
