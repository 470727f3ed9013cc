"""The opcodes that are written out in one loop do what `pickle_opcodes` says of them, no more."""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.checkpoint import pickle_lane, pickle_machine
from prunescope.checkpoint.pickle_machine import Pickled, examine
from prunescope.checkpoint.pickle_values import Call, Dict, Persistent

# The loop runs ahead where as many bytes follow; what lies behind STOP is not looked at.
BEHIND = b"N" * 400
LANE, ELSEWHERE = range(2)


def described(value: Any, seen: dict[int, int]) -> Any:
    """What `value` is made of, with a number where an object is met again."""
    if isinstance(value, (list, tuple, Dict, Call, Persistent)):
        if id(value) in seen:
            return ("again", seen[id(value)])
        seen[id(value)] = len(seen)
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [described(item, seen) for item in value])
    if isinstance(value, Dict):
        return ("dict", [described(item, seen) for item in value.flat])
    if isinstance(value, Call):
        parts = (value.function, value.arguments, value.state, value.items, value.flat)
        return ("call", [described(part, seen) for part in parts])
    if isinstance(value, Persistent):
        return ("persistent", described(value.key, seen))
    return repr(value)


def outcome(found: Pickled) -> tuple[Any, ...]:
    uses = [(str(name), use.named, use.called) for name, use in found.uses.items()]
    outside = [described(one, {}) for one in found.persistent]
    where = (found.length, found.opcodes, str(found.error))
    return (described(found.root, {}), uses, outside, *where)


def both_ways(data: bytes, monkeypatch: pytest.MonkeyPatch, limit: int = 1000) -> Pickled:
    """Examine `data` with the loop running ahead and without; they must not differ."""
    ahead = examine(data + BEHIND, 0, limit + len(BEHIND))
    with monkeypatch.context() as patch:
        patch.setattr(pickle_lane, "_STRETCH", 0)
        alone = examine(data + BEHIND, 0, limit + len(BEHIND))
    assert outcome(ahead) == outcome(alone)
    return ahead


class Thing:
    def __init__(self) -> None:
        self.tall, self.name, self.more = 70_000, "n", {"a": (1, 2, 3), "b": -1}


WHOLE = {
    "objects": [Thing(), Thing()],
    "ordered": OrderedDict(a=1, b=[2, 2.5, None], c=(True, False)),
    "numbers": (0, 255, 256, 65_536, -1, 2**31, 2**40, -(2**70)),
    "texts": ["", "ü", "x" * 255, "y" * 300, "\ud800"],
    "bytes": (b"", b"\x00\xff"),
    "nested": [[], (), {}, ((),), [[[1]]], {1: {2: 3}}],
    "long": list(range(300)),
}


def without_frames(data: bytes) -> bytes:
    starts = [at for opcode, _, at in pickletools.genops(data) if opcode.name == "FRAME" and at]
    for at in starts[::-1]:
        data = data[:at] + data[at + 9 :]
    return data


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(WHOLE, protocol)

    for form in (data, without_frames(data)):
        found = both_ways(form, monkeypatch, len(form))
        assert found.error is None
        assert found.length == len(form)
        assert found.opcodes == sum(1 for _ in pickletools.genops(form))


def test_the_loop_is_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    data = without_frames(pickle.dumps(WHOLE, 4))

    class Counted(dict[int, Any]):
        asked = 0

        def get(self, code: int, default: Any = None) -> Any:
            Counted.asked += 1
            return super().get(code, default)

    monkeypatch.setattr(pickle_lane, "OPCODES", Counted(pickle_lane.OPCODES))
    found = examine(data + BEHIND)

    assert found.opcodes > 400
    # Globals, long strings, bytes.
    assert Counted.asked < 40


HEAD = b"cm\nn\n\x940}\x940]\x940)\x940K\x07\x85\x940"
# Opcodes with arguments, many of them in the loop; and what they need below them.
PARTS = st.sampled_from(
    [
        *(
            bytes([code])
            for code in b"(()}]N0021bbRRuuettsadlo\x81\x81\x85\x86\x87\x88\x89\x94\x94"
        ),
        *(b"h" + bytes([n]) for n in range(8)),
        *(b"j" + bytes([n, 0, 0, 0]) for n in (0, 1, 2, 9)),
        *(b"q" + bytes([n]) for n in (0, 5, 7)),
        b"r\x06\0\0\0",
        b"r\x0a\0\0\0",
        *(b"K\x05", b"M\xff\xff", b"J\xff\xff\xff\xff", b"\x8a\x00", b"\x8a\x02\xff\x80"),
        *(b"G" + b"\x3f" * 8, b"\x8c\x01a", b"\x8c\x01\xff", b"X\x01\0\0\0b", b"Q", b"I1\n", b"."),
    ]
)


@settings(deadline=None, max_examples=1500)
@given(parts=st.lists(PARTS, max_size=40))
def test_any_opcodes(parts: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        both_ways(HEAD + b"".join(parts), monkeypatch)


@settings(deadline=None, max_examples=300)
@given(data=st.data(), protocol=st.sampled_from([2, 4]))
def test_damaged_pickles(data: st.DataObject, protocol: int) -> None:
    damaged = bytearray(without_frames(pickle.dumps(WHOLE, protocol)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    with pytest.MonkeyPatch.context() as monkeypatch:
        both_ways(bytes(damaged), monkeypatch, len(damaged))


def test_an_opcode_across_the_end_of_a_frame_is_refused_at_any_length() -> None:
    for length in (10, 256, 257, 258, 5000):
        inside = b"\x8c\x01a" * (length // 3) + b"N" * (length % 3)
        frame = b"\x80\x04\x95" + (length + 1).to_bytes(8, "little") + inside
        assert "across the end of its frame" in str(examine(frame + b"K\x01." + BEHIND).error)
        assert examine(frame + b"N." + BEHIND).error is None


def test_bounds_are_met_in_the_loop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for count in (300, 1000, 70_000):
        assert str(examine(b"N" * count + b"." + BEHIND, 0, count).error) == f"over {count} opcodes"
        assert examine(b"N" * count + b"." + BEHIND, 0, count + 1).error is None
    monkeypatch.setattr(pickle_machine, "MAX_MEMO", 3)
    for code in (b"\x94", b"q\x03"):
        cause = "memo index 3: over 3"
        assert cause in str(examine(b"N" + b"\x94" * 3 + code + b"." + BEHIND).error)


# What is repeated, and how many bytes CPython takes for one of it, at the least.
SIZES = {
    "list": (b"]", 56),
    "list of one": (b"]Na", 88),
    "dict of one": (b"}NNs", 112),
    "call": (b"h\x00)R", 64),
    "tuple": (b"N\x85", 48),
    "number": (b"M\xff\xff", 28),
    "long number": (b"\x8a\x40" + b"\x55" * 64, 92),
    "text": (b"\x8c\x02ab", 51),
    "wide text": ("X\x04\0\0\0😀".encode(), 80),
    "place on the stack": (b"N", 8),
}


@pytest.mark.parametrize("case", SIZES)
def test_memory_is_summed_up(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unit, size = SIZES[case]
    monkeypatch.setattr(pickle_machine, "MAX_MEMORY", 4 << 20)

    fits = (4 << 20) // size
    too_many = examine(b"cm\nn\n\x94" + unit * fits + b"." + BEHIND)
    few = examine(b"cm\nn\n\x94" + unit * (fits // 5) + b"." + BEHIND)

    assert str(too_many.error) == "objects of over 4 MiB together"
    assert few.error is None
