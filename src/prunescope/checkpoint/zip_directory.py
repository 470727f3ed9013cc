"""Which records does a zip archive hold, and where? The central directory, read with distrust.

Format: PKWARE APPNOTE 6.3 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), §4.3 and
§4.5.3 (zip64). `torch.save` stores every record uncompressed; a compressed one is refused, so an
archive cannot unpack to more than its own size. What a record's local header says of it is not
looked at: torch's reader does not either (caffe2/serialize/inline_container.cc, on miniz).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from prunescope.checkpoint.storage import File
from prunescope.errors import CheckpointError

MAX_DIRECTORY = 32 << 20
# A record a tensor: more than a pickle within its own bounds can name.
MAX_RECORDS = 160_000
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MASKED = 0xFFFFFFFF
# Encrypted in one of three ways, or a patch of another file: APPNOTE 4.4.4.
_UNREADABLE = 0x2061
# MS-DOS's attribute of a folder: torch reads nothing of such a record, and no error is seen.
_FOLDER = 0x10


@dataclass(frozen=True, slots=True)
class ZipRecord:
    """One stored record.

    Attributes:
        name: as the archive spells it.
        size: its length in bytes.
        header: the offset of its local header.
        crc: the CRC-32 of its bytes as its writer states it; 0 where it made none.
    """

    name: str
    size: int
    header: int
    crc: int


def read_directory(file: File, limit: int | None = None) -> dict[str, ZipRecord]:
    """The records of the archive by name, in lower case: torch finds them in any.

    Args:
        limit: bytes that the directory may have; MAX_DIRECTORY by default.

    Raises:
        CheckpointError: truncated, a record twice, compressed, encrypted, out of range, or over
            another.
    """
    start, length, count = _locate(file)
    limit = MAX_DIRECTORY if limit is None else limit
    if length > limit or start + length > file.size:
        raise CheckpointError(file, f"zip directory is out of range or over {limit >> 10} KiB")
    if count > MAX_RECORDS:
        raise CheckpointError(file, f"zip archive of {count} records: over {MAX_RECORDS}")
    directory = file.read_exactly(start, length, "the zip directory")
    records: dict[str, ZipRecord] = {}
    position = 0
    for _ in range(count):
        record, position = _entry(directory, position, file)
        if record.name.lower() in records:
            raise CheckpointError(file, f"zip record {record.name!r} occurs twice")
        if record.header + _LOCAL.size + record.size > start:
            raise CheckpointError(file, f"zip record {record.name!r} lies outside the file")
        records[record.name.lower()] = record
    if position != len(directory):
        raise CheckpointError(file, "zip directory has bytes after its last record")
    _check_apart(records.values(), file)
    return records


def _check_apart(records: Iterable[ZipRecord], file: File) -> None:
    # Bytes that two records claim would be weights twice.
    end, last = 0, ""
    for record in sorted(records, key=lambda r: r.header):
        if record.header < end:
            raise CheckpointError(file, f"zip record {record.name!r} overlaps {last!r}")
        end, last = record.header + _LOCAL.size + record.size, record.name


def data_start(file: File, header: int) -> int:
    """Where the bytes of the record whose local header lies at `header` begin."""
    raw = file.read(header, _LOCAL.size)
    if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
        raise CheckpointError(file, f"no zip record at byte {header}")
    *_, name_length, extra_length = _LOCAL.unpack(raw)
    return header + _LOCAL.size + int(name_length) + int(extra_length)


def read_record(file: File, record: ZipRecord, limit: int) -> bytes:
    """The bytes of one record, at most `limit` of them."""
    if record.size > limit:
        raise CheckpointError(
            file, f"zip record {record.name!r} has {record.size} bytes: over {limit >> 10} KiB"
        )
    start = data_start(file, record.header)
    return file.read_exactly(start, record.size, f"zip record {record.name!r}")


def _locate(file: File) -> tuple[int, int, int]:
    """Start, length and number of entries of the central directory."""
    size = file.size
    tail_start = max(0, size - 0xFFFF - _END.size)
    tail = file.read(tail_start, size - tail_start)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise CheckpointError(file, "truncated: the zip archive has no end of directory")
    _, disk, first_disk, here, count, length, start, _ = _END.unpack_from(tail, at)
    locator_at = at - _END64_LOCATOR.size
    if locator_at < 0 or tail[locator_at : locator_at + 4] != b"PK\x06\x07":
        _check_whole(file, disk, first_disk, here, count)
        return start, length, count
    _, _, end64, disks = _END64_LOCATOR.unpack_from(tail, locator_at)
    if end64 + _END64.size > size:
        raise CheckpointError(file, "zip64 directory is out of range")
    raw = file.read_exactly(end64, _END64.size, "the zip64 directory")
    if raw[:4] != b"PK\x06\x06":
        raise CheckpointError(file, "zip64 directory is not where it should be")
    *_, disk, first_disk, here, count, length, start = _END64.unpack(raw)
    _check_whole(file, max(disk, disks - 1), first_disk, here, count)
    return start, length, count


def _check_whole(file: File, disk: int, first_disk: int, here: int, count: int) -> None:
    if disk or first_disk or here != count:
        raise CheckpointError(file, "is a part of a zip archive that was split")


def _entry(directory: bytes, at: int, file: File) -> tuple[ZipRecord, int]:
    if at + _ENTRY.size > len(directory):
        raise CheckpointError(file, "truncated zip directory")
    fields = _ENTRY.unpack_from(directory, at)
    magic, flags, method = fields[0], fields[3], fields[4]
    crc, packed, unpacked, name_length, extra_length, comment_length = fields[7:13]
    attributes, header = fields[15:]
    name_at = at + _ENTRY.size
    extra_at = name_at + name_length
    end = extra_at + extra_length + comment_length
    if magic != b"PK\x01\x02" or end > len(directory):
        raise CheckpointError(file, "damaged zip directory")
    name = directory[name_at:extra_at].decode("utf-8", "replace")
    wide = _zip64(directory[extra_at : extra_at + extra_length])
    # The zip64 field lists only the values that are masked, in this order.
    if unpacked == _MASKED and wide:
        unpacked = wide.pop(0)
    if packed == _MASKED and wide:
        packed = wide.pop(0)
    if header == _MASKED and wide:
        header = wide.pop(0)
    if fields[13]:
        raise CheckpointError(file, f"zip record {name!r} is on another disk")
    if attributes & _FOLDER and unpacked:
        raise CheckpointError(file, f"zip record {name!r} is a folder with bytes of its own")
    if flags & _UNREADABLE:
        raise CheckpointError(file, f"zip record {name!r} is encrypted or a patch")
    if method != 0 or packed != unpacked:
        cause = "is compressed, as torch.save never does (TorchScript does: save its state dict)"
        raise CheckpointError(file, f"zip record {name!r} {cause}")
    return ZipRecord(name, int(unpacked), int(header), int(crc)), end


def _zip64(extra: bytes) -> list[int]:
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == 1:
            body = extra[at + 4 : at + 4 + length]
            return [v for (v,) in struct.iter_unpack("<Q", body[: len(body) // 8 * 8])]
        at += 4 + length
    return []
