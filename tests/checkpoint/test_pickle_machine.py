"""The pickle machine describes what Python's unpickler would make, and makes none of it."""

from __future__ import annotations

import pickle
import pickletools
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.checkpoint.pickle_machine import interpret
from prunescope.checkpoint.pickle_values import Call, Dict, Global, Persistent, PickleError


def plain(value: Any) -> Any:
    """A description of plain data turned into the data, so that it can be compared."""
    if isinstance(value, Dict):
        return {plain(key): plain(item) for key, item in value.pairs}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, Call):
        # Protocols 0 to 2 know no bytes: they write a call that would encode a string.
        if value.function == Global("_codecs", "encode"):
            text, encoding = value.arguments
            return text.encode(encoding)
        assert value.function == Global("__builtin__", "bytes")
        assert value.arguments == ()
        return b""
    return value


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
DATA = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("protocol", range(6))
@settings(deadline=None, max_examples=150)
@given(value=DATA)
def test_plain_data_is_what_python_unpickles(protocol: int, value: Any) -> None:
    data = pickle.dumps(value, protocol)

    described = interpret(data)

    # repr as well: 1, 1.0 and True are equal to Python.
    assert repr(plain(described.root)) == repr(pickle.loads(data)) == repr(value)
    assert described.length == len(data)


def test_a_value_met_again_comes_from_the_memo() -> None:
    row = [1]
    for protocol in range(6):
        root = interpret(pickle.dumps([row, row], protocol)).root
        assert root[0] is root[1]


# What Python's pickler no longer writes but its unpickler still reads, opcode by opcode.
OLD_AND_RARE = [
    b"S'a\\x41\\n\\''\n.",
    b'S"quoted"\n.',
    b"U\x03abc.",
    b"T\x03\x00\x00\x00abc.",
    b"Va\\u4e2d\\u005c\n.",
    b"I42\n.",
    b"I-7\n.",
    b"I01\n.",
    b"I00\n.",
    b"L42L\n.",
    b"L-42\n.",
    b"F-1.5e3\n.",
    b"G?\xf8\x00\x00\x00\x00\x00\x00.",
    b"J\xfe\xff\xff\xff.",
    b"M\xff\xff.",
    b"\x8a\x00.",
    b"\x8a\x02\x00\x80.",
    b"\x8b\x02\x00\x00\x00\xff\x00.",
    b"B\x02\x00\x00\x00\x00\xff.",
    b"\x8e\x02\x00\x00\x00\x00\x00\x00\x00\x00\xff.",
    b"\x8d\x03\x00\x00\x00\x00\x00\x00\x00abc.",
    b"(lp0\nI1\na.",
    b"(dp5\nS'a'\nI1\nsg5\n0.",
    b"(I1\nI2\nt.",
    b"K\x012\x86.",
    b"K\x01K\x020.",
    b"K\x05(K\x01K\x021.",
    b"K\x01r\x00\x00\x01\x000j\x00\x00\x01\x00.",
    b"](K\x01K\x02e.",
    b"(K\x01K\x02l.",
    b"(K\x01K\x02K\x03K\x04d.",
    b"}(K\x01K\x02u.",
    b"K\x01K\x02K\x03\x87.",
    b"\x88\x89\x86.",
    b"I0x10\n.",
    b"I010\n.",
    b"L0x10L\n.",
    # What CPython does nothing for, it does for any object.
    b"U\x01aNb.",
    b"}(e.",
    b"K\x01(u.",
    b"]Na(K\x00Nu.",
    b"C\x01a\x98.",
    # MEMOIZE numbers by the entries there are, gaps left out.
    b"K\x05p7\n0K\x06\x940h\x01.",
]


@pytest.mark.parametrize("data", OLD_AND_RARE)
def test_rare_opcodes_mean_what_they_mean_to_python(data: bytes) -> None:
    assert repr(plain(interpret(data).root)) == repr(pickle.loads(data, encoding="latin-1"))


def test_sets_are_described_as_the_list_of_their_elements() -> None:
    assert interpret(pickle.dumps(frozenset([3]), 4)).root == [3]
    assert interpret(pickle.dumps({3}, 4)).root == [3]


def test_an_ordered_dict_is_a_call_that_keeps_its_pairs() -> None:
    root = interpret(pickle.dumps(OrderedDict(b=1, a=2), 2)).root

    assert isinstance(root, Call)
    assert root.function == Global("collections", "OrderedDict")
    assert list(root.pairs) == [("b", 1), ("a", 2)]


def test_the_last_of_equal_keys_wins_as_in_python() -> None:
    data = b"}(U\x01aK\x01U\x01bK\x02U\x01aK\x03u."

    assert interpret(data).root.by_name() == pickle.loads(data) == {"a": 3, "b": 2}


def test_persistent_ids_are_kept() -> None:
    root = interpret(b"K\x07QPname\n\x86.").root

    assert [type(part) for part in root] == [Persistent, Persistent]
    assert [part.key for part in root] == [7, "name"]


def test_every_opcode_of_the_standard_library_is_known_and_no_other() -> None:
    known = {ord(opcode.code) for opcode in pickletools.opcodes}
    assert {code for code in range(256) if not is_unknown(code)} == known


def is_unknown(code: int) -> bool:
    try:
        interpret(bytes([code]) + b"\n" * 20)
    except PickleError as err:
        return str(err) == f"unknown opcode 0x{code:02x} at byte 0"
    return False


class Reduced:
    """Unpickles into whatever call it is given."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pickle_is_called(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    data = pickle.dumps(Reduced(open, str(trap), "w"), protocol)

    described = interpret(data)

    assert not trap.exists()
    assert isinstance(described.root, Call)
    assert described.root.arguments == (str(trap), "w")
    assert [g.name for g in described.globals] == ["open"]
    pickle.loads(data).close()
    assert trap.exists()


@pytest.mark.parametrize("form", [b"cprunescope_trap\nx\n.", b"(iprunescope_trap\nx\n."])
def test_nothing_a_pickle_names_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: bytes
) -> None:
    (tmp_path / "prunescope_trap.py").write_text("class x: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    assert interpret(form).globals == (Global("prunescope_trap", "x"),)

    assert set(sys.modules) == before
    # The trap does work where a pickle is trusted.
    pickle.loads(form)
    assert sys.modules.pop("prunescope_trap")


def test_every_way_to_call_is_only_described() -> None:
    system = b"cos\nsystem\n"
    argument = b"X\x04\x00\x00\x00true"
    forms = [
        system + argument + b"\x85R.",
        system + argument + b"\x85\x81.",
        system + argument + b"\x85}\x92.",
        b"(" + system + argument + b"o.",
        b"(" + argument + b"ios\nsystem\n.",
        b"\x8c\x02os\x8c\x06system\x93" + argument + b"\x85R.",
        system + argument + b"\x85RNb.",
    ]
    for form in forms:
        root = interpret(form).root
        assert (root.function, root.arguments) == (Global("os", "system"), ("true",)), form


def test_the_copyreg_registry_is_not_consulted() -> None:
    described = [interpret(data).root for data in (b"\x82\x07.", b"\x83\x07\x00.")]

    assert described == [Global("copyreg", "extension 7")] * 2
