"""Where parts of a zip archive contradict each other, torch decides: the same bytes, or none."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.archives import archive_of, records, torch_file

STATE = {"w": torch.arange(6.0), "v": torch.arange(3.0).half()}
VALID = torch_file(STATE)
RECORDS = records(VALID)
OTHER = struct.pack("<6f", *range(10, 16))
# The standard library's archive has no 64-bit end record and no padding.
NARROW = archive_of(RECORDS)
STORAGE = "archive/data/0"
# Offsets inside the structures are those of APPNOTE.TXT 4.3.7, 4.3.12 and 4.3.14 to 4.3.16.
DIRECTORY, END = NARROW.index(b"PK\x01\x02"), NARROW.rindex(b"PK\x05\x06")
LOCAL = NARROW.index(STORAGE.encode()) - 30
ENTRY = NARROW.index(STORAGE.encode(), DIRECTORY) - 46
WIDE_END, LOCATOR = VALID.rindex(b"PK\x06\x06"), VALID.rindex(b"PK\x06\x07")


def patched(content: bytes, at: int, form: str, *values: int) -> bytes:
    new = struct.pack(form, *values)
    return content[:at] + new + content[at + len(new) :]


def renamed(old: str, new: str, data: bytes | None = None) -> bytes:
    return archive_of(
        [(n.replace(old, new), data or d) if old in n else (n, d) for n, d in RECORDS]
    )


def with_comment(comment: bytes) -> bytes:
    return NARROW[: END + 20] + struct.pack("<H", len(comment)) + comment


def second_archive() -> bytes:
    """In a comment: another record of the weights, and a directory and an end that name it."""
    start = END + 22
    local = NARROW[LOCAL : LOCAL + 30] + STORAGE.encode() + OTHER
    directory = patched(NARROW[DIRECTORY:END], ENTRY - DIRECTORY + 42, "<L", start)
    end = patched(NARROW[END : END + 22], 16, "<L", start + len(local))
    return with_comment(local + directory + end)


SAME = {
    "as torch wrote it": VALID,
    "without 64-bit records": NARROW,
    "a local header that says deflated": patched(NARROW, LOCAL + 8, "<H", 8),
    "a local header of other sizes": patched(NARROW, LOCAL + 18, "<2L", 3, 3),
    "a local header of another name": patched(NARROW, LOCAL + 43, "<B", ord("1")),
    "a local header of another checksum": patched(NARROW, LOCAL + 14, "<L", 5),
    "a local header that says encrypted": patched(NARROW, LOCAL + 6, "<H", 1),
    "data descriptors": patched(patched(NARROW, LOCAL + 6, "<H", 8), ENTRY + 8, "<H", 8),
    "a local header of a longer extra field": patched(NARROW, LOCAL + 28, "<H", 8),
    "a local header of a longer name": patched(NARROW, LOCAL + 26, "<H", 22),
    "a directory of another checksum": patched(NARROW, ENTRY + 16, "<L", 5),
    "a comment": with_comment(b"of the author"),
    "bytes behind the end": NARROW + bytes(50),
    "a second archive in the comment": second_archive(),
    "names in other case": renamed("/data", "/DATA"),
    "a 32-bit end that says otherwise": patched(VALID, LOCATOR + 20 + 8, "<2H2L", 1, 1, 7, 7),
}
REFUSED = {
    "big-endian by a name in other case": (renamed("byteorder", "BYTEORDER", b"big"), "big-endian"),
    "weights twice, in other case": (
        archive_of([*RECORDS, ("archive/DATA/0", OTHER)]),
        "'archive/DATA/0' occurs twice",
    ),
    "the pickle twice, in other case": (
        archive_of([("archive/DATA.PKL", RECORDS[0][1]), *RECORDS]),
        "'archive/data.pkl' occurs twice",
    ),
    "weights twice": (archive_of([*RECORDS, (STORAGE, OTHER)]), "occurs twice"),
    "something before the archive": (b"junk" + VALID, "in no format"),
    "a record before the archive": (bytes(NARROW[:60]) + NARROW, "damaged zip directory"),
    "far behind the end": (NARROW + bytes(70_000), "no end of directory"),
    "the last of several disks": (patched(NARROW, END + 4, "<H", 1), "archive that was split"),
    "a directory of several disks": (patched(NARROW, END + 6, "<H", 1), "archive that was split"),
    "records on other disks": (patched(NARROW, END + 8, "<H", 1), "archive that was split"),
    "a record on another disk": (patched(NARROW, ENTRY + 34, "<H", 3), "is on another disk"),
    "two disks, 64-bit": (patched(VALID, LOCATOR + 16, "<L", 2), "archive that was split"),
    "the second disk, 64-bit": (patched(VALID, WIDE_END + 16, "<L", 1), "archive that was split"),
    "fewer here, 64-bit": (patched(VALID, WIDE_END + 24, "<Q", 1), "archive that was split"),
    "strong encryption": (patched(NARROW, ENTRY + 8, "<H", 0x40), "is encrypted or a patch"),
    "a masked directory": (patched(NARROW, ENTRY + 8, "<H", 0x2000), "is encrypted or a patch"),
    "a patch": (patched(NARROW, ENTRY + 8, "<H", 0x20), "is encrypted or a patch"),
    "a folder": (patched(NARROW, ENTRY + 38, "<L", 0x10), "is a folder with bytes of its own"),
    "no local header": (patched(NARROW, LOCAL, "<L", 0), "no zip record"),
    "a record that is short": (patched(NARROW, ENTRY + 20, "<2L", 20, 20), "needs 24 bytes"),
    "a 64-bit size that is not there": (
        patched(NARROW, ENTRY + 24, "<L", 0xFFFFFFFF),
        "compressed",
    ),
}


def by_torch(content: bytes) -> dict[str, bytes] | None:
    try:
        state = torch.load(BytesIO(content), weights_only=True)
        return {n: t.view(torch.uint8).numpy().tobytes() for n, t in state.items()}
    except Exception:
        return None


def by_us(path: Path, content: bytes) -> dict[str, bytes]:
    path.write_bytes(content)
    with WeightMap() as weights:
        return {n: bytes(weights.view(t)) for n, t in open_checkpoint(path).tensors.items()}


@pytest.mark.parametrize("case", SAME)
def test_the_bytes_are_those_that_torch_loads(tmp_path: Path, case: str) -> None:
    expected = by_torch(SAME[case])

    assert expected is not None
    assert by_us(tmp_path / "model.bin", SAME[case]) == expected


def test_torch_does_load_the_second_archive_and_the_shifted_weights() -> None:
    # Else the cases above would say nothing.
    assert (by_torch(second_archive()) or {})["w"] == OTHER
    shifted = by_torch(SAME["a local header of a longer name"]) or {}
    assert shifted["w"] != by_torch(VALID)["w"]  # type: ignore[index]


@pytest.mark.parametrize("case", REFUSED)
def test_an_archive_that_torch_reads_otherwise_or_not_is_refused(tmp_path: Path, case: str) -> None:
    content, cause = REFUSED[case]
    with pytest.raises(CheckpointError) as caught:
        by_us(tmp_path / "model.bin", content)
    assert cause in str(caught.value)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zip") / "model.bin"


PLACES = [*range(LOCAL, LOCAL + 44), *range(DIRECTORY, len(NARROW))]
EDITS = st.lists(st.tuples(st.sampled_from(PLACES), st.integers(0, 255)), min_size=1, max_size=3)


@settings(deadline=None, max_examples=500)
@given(edits=EDITS, wide=st.booleans())
@example(edits=[(ENTRY + 42, 0)], wide=False)
def test_damaged_headers_never_give_other_bytes_than_torch_loads(
    scratch: Path, edits: list[tuple[int, int]], wide: bool
) -> None:
    damaged = bytearray(VALID if wide else NARROW)
    for at, value in edits:
        # From the end on: there both archives have their directories.
        damaged[at - len(NARROW)] = value
    expected = by_torch(bytes(damaged))
    try:
        found = by_us(scratch, bytes(damaged))
    except CheckpointError:
        return
    assert expected in (None, found)
