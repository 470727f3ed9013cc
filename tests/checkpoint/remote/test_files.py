"""Whatever is read of a remote file in whatever order is what the file holds there."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.checkpoint.remote import files
from prunescope.checkpoint.remote.files import CHUNK, NotThere, Piece, RemoteFile
from prunescope.checkpoint.remote.replies import TransferError
from prunescope.errors import CheckpointError


@dataclass
class Place:
    """Bytes with a log of what was asked of them."""

    content: bytes
    ranged: bool = True
    asked: list[tuple[int, int]] = field(default_factory=list)

    def fetch(self, offset: int, length: int, known: int) -> Piece:
        self.asked.append((offset, length))
        assert length > 0
        if self.ranged:
            return Piece(offset, self.content[offset:][:length], len(self.content))
        if offset > known:
            raise TransferError("no ranges")
        return Piece(0, self.content[: offset + length], len(self.content), ranged=False)


# A byte says where it is, so that one from another place is seen.
CONTENT = b"".join(n.to_bytes(4, "big") for n in range(100_000))


@given(
    st.integers(0, len(CONTENT)),
    st.lists(st.tuples(st.integers(0, 450_000), st.integers(-5, 200_000)), max_size=8),
    st.booleans(),
)
def test_any_reads_agree_with_the_content(
    size: int, reads: list[tuple[int, int]], listed: bool
) -> None:
    content = CONTENT[:size]
    place = Place(content)
    # Of a file that no listing knows to be empty, a server says so when asked.
    file = RemoteFile("a.bin", "x://a.bin", place.fetch, size if listed or not size else None)

    for offset, length in reads:
        assert file.read(offset, length) == content[offset : offset + max(0, length)]
    assert file.size == size


def test_a_header_read_in_small_steps_costs_few_requests() -> None:
    place = Place(bytes(40 << 20))
    file = RemoteFile("a.gguf", "x://a.gguf", place.fetch)

    for offset in range(0, 8 << 20, 1000):
        file.read(offset, 1000)

    assert len(place.asked) <= 10
    assert sum(length for _, length in place.asked) < 17 << 20


def test_without_ranges_the_start_is_streamed_again_in_doubling_steps() -> None:
    place = Place(bytes(40 << 20), ranged=False)
    file = RemoteFile("a.gguf", "x://a.gguf", place.fetch)

    for offset in range(0, 8 << 20, 1000):
        file.read(offset, 1000)

    assert len(place.asked) <= 9
    assert sum(offset + length for offset, length in place.asked) < 35 << 20
    with pytest.raises(CheckpointError, match=r"x://a\.gguf: no ranges"):
        file.read(39 << 20, 10)


def test_head_and_end_are_kept() -> None:
    place = Place(CONTENT)
    file = RemoteFile("a.bin", "x://a.bin", place.fetch)

    for _ in range(3):
        file.read(0, 512)
        file.read(len(CONTENT) - CHUNK, CHUNK)
        file.read(1000, 30)

    assert place.asked == [(0, CHUNK), (len(CONTENT) - CHUNK, CHUNK)]


def test_a_file_that_is_not_there_is_asked_for_once() -> None:
    asked = []

    def fetch(offset: int, length: int, known: int) -> Piece:
        asked.append(offset)
        raise NotThere("no such file")

    file = RemoteFile("config.json", "x://config.json", fetch)

    assert not file.exists()
    assert not file.exists()
    with pytest.raises(files.Absent, match=r"x://config\.json: no such file"):
        file.read(0, 1)
    assert len(asked) == 1
