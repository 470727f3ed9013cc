"""A pickle that is malformed or too large ends in a PickleError that says why."""

from __future__ import annotations

import pickle
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.checkpoint import pickle_machine, pickle_reader
from prunescope.checkpoint.pickle_machine import MAX_MEMO, Pickled, interpret
from prunescope.checkpoint.pickle_opcodes import OPCODES as KNOWN
from prunescope.checkpoint.pickle_reader import MAX_LINE, MAX_STRING
from prunescope.checkpoint.pickle_values import PickleError, Skipped

TAKES_MORE = "takes more from its stack than it put there"
LONG = MAX_STRING + 1

MALFORMED = {
    "empty": (b"", "ends without STOP"),
    "no stop": (b"N", "ends without STOP"),
    "unknown opcode": (b"N\xff.", "unknown opcode 0xff at byte 1"),
    "stop on an empty stack": (b".", TAKES_MORE),
    "pop on an empty stack": (b"0.", TAKES_MORE),
    "dup on an empty stack": (b"2.", TAKES_MORE),
    "reduce without a function": (b")R.", TAKES_MORE),
    "newobj_ex without keywords": (b"N)\x92.", TAKES_MORE),
    "tuple of three from two": (b"NN\x87.", TAKES_MORE),
    "persistent id of nothing": (b"Q.", TAKES_MORE),
    "append to nothing": (b"Na.", TAKES_MORE),
    "setitem on nothing": (b"NNs.", TAKES_MORE),
    "appends to nothing": (b"(Ne.", TAKES_MORE),
    "build on nothing": (b"Nb.", TAKES_MORE),
    "stack_global without names": (b"N\x93.", TAKES_MORE),
    "put on an empty stack": (b"q\x00.", TAKES_MORE),
    "memoize on an empty stack": (b"\x94.", TAKES_MORE),
    "tuple without mark": (b"Nt.", "needs a MARK"),
    "list without mark": (b"l.", "needs a MARK"),
    "dict without mark": (b"d.", "needs a MARK"),
    "setitems without mark": (b"}u.", "needs a MARK"),
    "inst without mark": (b"ios\nsystem\n.", "needs a MARK"),
    "pop_mark without mark": (b"1.", "needs a MARK"),
    "obj without a class": (b"(o.", "OBJ without a class"),
    "memo before it is set": (b"h\x05.", "memo entry 5 is used before it is set"),
    "long memo before it is set": (b"j\x05\x00\x00\x00.", "memo entry 5 is used"),
    "text memo before it is set": (b"g5\n.", "memo entry 5 is used"),
    "text memo that is no number": (b"gx\n.", "'x' is not an integer"),
    "append to a dict": (b"}Na.", "not a list"),
    "setitem on a list": (b"]NNs.", "not a dict"),
    "a key without a value": (b"(Nd.", "a key that has no value"),
    "build on a string": (b"U\x01a}U\x01bNsb.", "not made by a call"),
    "global with numbered names": (b"K\x01K\x02\x93.", "name is not a string"),
    "int of letters": (b"Iabc\n.", "'abc' is not an integer"),
    "long of nothing": (b"LL\n.", "'' is not an integer"),
    "float of letters": (b"Fabc\n.", "'abc' is not a float"),
    "string without quotes": (b"Sabc\n.", "not a quoted string"),
    "string of one quote": (b"S'\n.", "not a quoted string"),
    "string with half an escape": (b"S'\\x4'\n.", "an escape that is none"),
    "unicode with half an escape": (b"V\\u4e\n.", "cannot be decoded"),
    "string that is not UTF-8": (b"X\x01\x00\x00\x00\xff.", "cannot be decoded"),
    "line without end": (b"I1234", "a text line without an end"),
    "argument cut": (b"J\x01\x00", "ends inside an opcode's argument"),
    "string cut": (b"X\x05\x00\x00\x00abc", "ends inside an opcode's argument"),
    "negative length": (b"\x8b\xff\xff\xff\xff.", "an integer of -1 bytes"),
    "out-of-band buffer": (b"\x97.", "out-of-band"),
    "read-only buffer": (b"N\x98.", "out-of-band"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_pickle_says_what_is_wrong(case: str) -> None:
    data, cause = MALFORMED[case]
    with pytest.raises(PickleError) as caught:
        interpret(data)
    assert cause in str(caught.value)


# Each claims more than the bound and holds nothing: refused before memory is asked for.
TOO_LONG = {
    "unicode": (b"X" + struct.pack("<I", LONG), "ends inside an opcode's argument"),
    "unicode8": (b"\x8d" + struct.pack("<Q", 2**64 - 1), "ends inside an opcode's argument"),
    "bytes": (b"B" + struct.pack("<I", LONG), "ends inside an opcode's argument"),
    "bytes8": (b"\x8e" + struct.pack("<Q", 2**63), "ends inside an opcode's argument"),
    "bytearray8": (b"\x96" + struct.pack("<Q", 2**63), "ends inside an opcode's argument"),
    "string": (b"T" + struct.pack("<I", LONG), "ends inside an opcode's argument"),
    "long": (b"\x8b" + struct.pack("<i", 4097), "an integer of 4097 bytes: over 4096"),
    "int of digits": (b"I" + b"1" * 4097 + b"\n.", "an integer of 4097 digits: over 4096"),
    "long of digits": (b"L" + b"1" * 4097 + b"L\n.", "an integer of 4097 digits: over 4096"),
    "float of digits": (b"F" + b"1" * 4097 + b"\n.", "a float of 4097 digits: over 4096"),
    "line": (b"c" + b"a" * LONG + b"\nb\n.", f"a text line without an end in {MAX_LINE} bytes"),
    "memo": (b"Nr" + struct.pack("<I", MAX_MEMO), f"memo index {MAX_MEMO}: over {MAX_MEMO}"),
    "negative memo": (b"Np-1\n.", "memo index -1"),
}


@pytest.mark.parametrize("case", TOO_LONG)
def test_a_bound_is_named_when_it_is_passed(case: str) -> None:
    data, cause = TOO_LONG[case]
    with pytest.raises(PickleError) as caught:
        interpret(data)
    assert cause in str(caught.value)


def test_the_bound_itself_is_allowed() -> None:
    assert interpret(b"\x8b" + struct.pack("<i", 4096) + bytes(4096) + b".").root == 0
    assert interpret(b"I" + b"9" * 4096 + b"\n.").root == int("9" * 4096)
    text = b"a" * MAX_STRING
    assert len(interpret(b"X" + struct.pack("<I", MAX_STRING) + text + b".").root) == MAX_STRING


@pytest.mark.parametrize("opcode", [b"X", b"B", b"T"])
def test_a_string_too_long_to_be_a_name_is_passed_over(opcode: bytes) -> None:
    # A tokenizer in a pickle is such a string, and no reason to refuse the model beside it.
    root = interpret(opcode + struct.pack("<I", LONG) + b"a" * LONG + b"K\x07\x86.").root

    assert isinstance(root[0], Skipped)
    assert root[0].length == LONG
    assert root[1] == 7


def test_strings_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_reader, "MAX_STRINGS", 1 << 20)
    half = b"X" + struct.pack("<I", 1 << 19) + b"a" * (1 << 19)
    assert interpret(half + b".").root
    # Four bytes a character in memory, once one of them needs as many.
    wide = "😀".encode() + b"a" * ((1 << 19) - 4)
    for text in (half + half, b"X" + struct.pack("<I", 1 << 19) + wide):
        with pytest.raises(PickleError, match="strings of over 1 MiB together"):
            interpret(text + b".")


def test_different_globals_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_machine, "MAX_GLOBALS", 2)
    assert interpret(b"ca\nb\nca\nc\nca\nb\n.").root
    with pytest.raises(PickleError, match="over 2 different globals"):
        interpret(b"ca\nb\nca\nc\nca\nd\n.")


def test_opcodes_and_memo_entries_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_machine, "MAX_OPCODES", 5)
    assert interpret(b"NNNN.").root is None
    with pytest.raises(PickleError, match="over 5 opcodes"):
        interpret(b"NNNNN.")
    monkeypatch.undo()
    monkeypatch.setattr(pickle_machine, "MAX_MEMO", 3)
    assert interpret(b"N\x94\x94\x94.").root is None
    with pytest.raises(PickleError, match="memo index 3: over 3"):
        interpret(b"N\x94\x94\x94\x94.")


def test_nesting_is_bounded_by_memory_and_not_by_the_stack() -> None:
    depth = 200_000
    root = interpret(b"]" * depth + b"a" * (depth - 1) + b".").root
    levels = 1
    while root:
        (root,) = root
        levels += 1
    assert levels == depth


def test_a_list_may_hold_itself() -> None:
    root = interpret(b"]q\x00h\x00a.").root
    assert root[0] is root


@settings(deadline=None, max_examples=500)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_described_or_refused(data: bytes) -> None:
    described_or_refused(data)


WHOLE = pickle.dumps({"a": [1, 2.5, "x" * 20], "b": (None, b"\x00\xff"), 3: {"c": 2**80}}, 4)
OPCODES = st.sampled_from(sorted(KNOWN)) | st.integers(0, 255)


@settings(deadline=None, max_examples=500)
@given(
    edits=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), OPCODES), min_size=1, max_size=6),
    protocol=st.sampled_from([0, 2, 4]),
)
def test_a_damaged_pickle_is_described_or_refused(
    edits: list[tuple[int, int]], protocol: int
) -> None:
    damaged = bytearray(pickle.dumps(pickle.loads(WHOLE), protocol))
    for at, value in edits:
        damaged[at % len(damaged)] = value
    described_or_refused(bytes(damaged))


def described_or_refused(data: bytes) -> None:
    """Anything but a PickleError, or a description of more than there is, fails the test."""
    try:
        described = interpret(data)
    except PickleError:
        return
    assert isinstance(described, Pickled)
    assert 0 < described.length <= len(data)
