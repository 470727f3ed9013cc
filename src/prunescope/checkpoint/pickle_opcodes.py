"""What does each opcode of a pickle do to the machine's stack?

Reference: https://docs.python.org/3/library/pickletools.html and `Lib/pickle.py` of CPython. Where
CPython would go on, so does this: a pickle that stopped us early could hide what comes later.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, Any, TypeAlias

from prunescope.checkpoint.pickle_values import (
    COMPUTED,
    Bound,
    Call,
    Dict,
    Global,
    Persistent,
    PickleError,
    Skipped,
)

if TYPE_CHECKING:
    from prunescope.checkpoint.pickle_machine import Machine

MAX_DIGITS = 4096
_INT8, _INT16, _INT32 = Struct("<B"), Struct("<H"), Struct("<i")
_LENGTH32, _LENGTH64, _FLOAT = Struct("<I"), Struct("<Q"), Struct(">d")
MARK = object()


def _to_mark(m: Machine) -> list[Any]:
    stack = m.stack
    for index in range(len(stack) - 1, -1, -1):
        if stack[index] is MARK:
            values = stack[index + 1 :]
            del stack[index:]
            return values
    raise PickleError("an opcode needs a MARK that is not there")


def _popped(m: Machine, count: int) -> list[Any]:
    if count > len(m.stack):
        raise PickleError("the pickle takes more from its stack than it put there")
    values = m.stack[-count:]
    del m.stack[-count:]
    return values


def _decimal(line: bytes) -> int:
    return _parsed(line, (10,))


def _literal(line: bytes) -> int:
    # As C's strtol: also 0x10, and 010 for 8. Most are plain, and no exception is waited for.
    digits = line.strip().lstrip(b"+-")
    if digits.isdigit():
        is_octal = digits[:1] == b"0" and not digits.strip(b"01234567")
        return _parsed(line, (8 if is_octal else 10,))
    return _parsed(line, (0, 8, 10))


def _parsed(line: bytes, bases: Iterable[int]) -> int:
    if len(line) > MAX_DIGITS:
        raise Bound(f"an integer of {len(line)} digits: over {MAX_DIGITS}")
    for base in bases:
        with suppress(ValueError):
            return int(line, base)
    raise PickleError(f"{_shown(line)} is not an integer")


def _shown(line: bytes) -> str:
    return repr(line[:20].decode("latin-1"))


def _int_line(m: Machine) -> None:
    line = m.line()
    m.stack.append(line == b"01" if line in (b"00", b"01") else _literal(line))


def _float_line(m: Machine) -> None:
    line = m.line()
    if len(line) > MAX_DIGITS:
        raise Bound(f"a float of {len(line)} digits: over {MAX_DIGITS}")
    try:
        m.stack.append(float(line))
    except ValueError:
        raise PickleError(f"{_shown(line)} is not a float") from None


def _quoted_line(m: Machine) -> None:
    line = m.line()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise PickleError(f"{_shown(line)} is not a quoted string")
    try:
        # What pickle itself decodes Python 2's string literals with.
        value, _ = codecs.escape_decode(line[1:-1])
    except ValueError:
        raise PickleError(f"{_shown(line)} has an escape that is none") from None
    m.stack.append(m.kept(value.decode("latin-1")))


def _push_old_string(m: Machine, length: int) -> None:
    value = m.blob(length)
    m.stack.append(value if isinstance(value, Skipped) else m.kept(value.decode("latin-1")))


def _extend(m: Machine, values: list[Any]) -> None:
    target = m.stack[-1]
    if isinstance(target, (list, Call)):
        target.extend(values)
    elif values and not isinstance(target, (Global, Persistent)):
        raise PickleError("APPENDS to something that is not a list")


def _set_pairs(m: Machine, values: list[Any]) -> None:
    if len(values) % 2:
        raise PickleError("SETITEMS with a key that has no value")
    target = m.stack[-1]
    if isinstance(target, (Dict, Call)):
        target.add(values)
    # CPython's C unpickler also sets items of lists, by their index, and none of anything.
    elif (
        values
        and not isinstance(target, (Global, Persistent))
        and not (isinstance(target, list) and all(isinstance(key, int) for key in values[::2]))
    ):
        raise PickleError("SETITEMS on something that is not a dict")


def _build(m: Machine) -> None:
    (state,) = _popped(m, 1)
    target = m.stack[-1]
    if isinstance(target, Call):
        target.state = state
    elif not isinstance(target, (Global, Persistent)) and state is not None:
        raise PickleError("BUILD on something that was not made by a call")


def _call_from_mark(m: Machine) -> None:
    values = _to_mark(m)
    if not values:
        raise PickleError("OBJ without a class")
    m.push_call(values[0], tuple(values[1:]))


def _global_line(m: Machine) -> Global:
    return m.named(m.line(), m.line())


def _instance(m: Machine) -> None:
    function = _global_line(m)
    m.push_call(function, tuple(_to_mark(m)))


def _stack_global(m: Machine) -> None:
    module, name = _popped(m, 2)
    if isinstance(module, str) and isinstance(name, str):
        m.stack.append(m.named(module, name))
    elif all(isinstance(part, (str, Call, Persistent, Global)) for part in (module, name)):
        # A global may be a string that the pickle itself put into a module.
        m.stack.append(m.named(COMPUTED.module, COMPUTED.name))
    else:
        raise PickleError("a global whose name is not a string")


def _dict_from_mark(m: Machine) -> None:
    values = _to_mark(m)
    m.stack.append(Dict())
    _set_pairs(m, values)


def _read_only(m: Machine) -> None:
    if not isinstance(m.stack[-1], (bytes, Skipped)):
        _out_of_band(m)


def _out_of_band(_: Machine) -> None:
    raise PickleError("out-of-band buffers do not occur in a checkpoint")


def _extension(width: int) -> Callable[[Machine], None]:
    def operation(m: Machine) -> None:
        code = int.from_bytes(m.take(width), "little")
        m.stack.append(m.named("copyreg", f"extension {code}"))

    return operation


Operation: TypeAlias = Callable[["Machine"], Any]
OPCODES: dict[int, Operation] = {
    ord("("): lambda m: m.stack.append(MARK),
    ord("0"): lambda m: m.stack.pop(),
    ord("1"): _to_mark,
    ord("2"): lambda m: m.stack.append(m.stack[-1]),
    ord("F"): _float_line,
    ord("I"): _int_line,
    ord("J"): lambda m: m.stack.append(m.number(_INT32)),
    ord("K"): lambda m: m.stack.append(m.number(_INT8)),
    ord("L"): lambda m: m.stack.append(_literal(m.line().removesuffix(b"L"))),
    ord("M"): lambda m: m.stack.append(m.number(_INT16)),
    ord("N"): lambda m: m.stack.append(None),
    ord("P"): lambda m: m.push_persistent(m.kept(m.line().decode("latin-1"))),
    ord("Q"): lambda m: m.push_persistent(m.stack.pop()),
    ord("R"): lambda m: m.push_call(*_popped(m, 2)),
    ord("S"): _quoted_line,
    ord("T"): lambda m: _push_old_string(m, m.number(_LENGTH32)),
    ord("U"): lambda m: _push_old_string(m, m.number(_INT8)),
    ord("V"): lambda m: m.stack.append(m.kept(m.line().decode("raw-unicode-escape"))),
    ord("X"): lambda m: m.stack.append(m.text(m.number(_LENGTH32))),
    ord("a"): lambda m: _extend(m, _popped(m, 1)),
    ord("b"): _build,
    ord("c"): lambda m: m.stack.append(_global_line(m)),
    ord("d"): _dict_from_mark,
    ord("}"): lambda m: m.stack.append(Dict()),
    ord("e"): lambda m: _extend(m, _to_mark(m)),
    ord("g"): lambda m: m.recall(_decimal(m.line())),
    ord("h"): lambda m: m.recall(m.number(_INT8)),
    ord("i"): _instance,
    ord("j"): lambda m: m.recall(m.number(_LENGTH32)),
    ord("l"): lambda m: m.stack.append(_to_mark(m)),
    ord("]"): lambda m: m.stack.append([]),
    ord("o"): _call_from_mark,
    ord("p"): lambda m: m.remember(_decimal(m.line())),
    ord("q"): lambda m: m.remember(m.number(_INT8)),
    ord("r"): lambda m: m.remember(m.number(_LENGTH32)),
    ord("s"): lambda m: _set_pairs(m, _popped(m, 2)),
    ord("t"): lambda m: m.stack.append(tuple(_to_mark(m))),
    ord(")"): lambda m: m.stack.append(()),
    ord("u"): lambda m: _set_pairs(m, _to_mark(m)),
    ord("G"): lambda m: m.stack.append(m.number(_FLOAT)),
    ord("B"): lambda m: m.stack.append(m.blob(m.number(_LENGTH32))),
    ord("C"): lambda m: m.stack.append(m.blob(m.number(_INT8))),
    0x80: lambda m: m.take(1),
    0x81: lambda m: m.push_call(*_popped(m, 2)),
    0x82: _extension(1),
    0x83: _extension(2),
    0x84: _extension(4),
    0x85: lambda m: m.stack.append(tuple(_popped(m, 1))),
    0x86: lambda m: m.stack.append(tuple(_popped(m, 2))),
    0x87: lambda m: m.stack.append(tuple(_popped(m, 3))),
    0x88: lambda m: m.stack.append(True),
    0x89: lambda m: m.stack.append(False),
    0x8A: lambda m: m.stack.append(m.integer(m.number(_INT8))),
    0x8B: lambda m: m.stack.append(m.integer(m.number(_INT32))),
    0x8C: lambda m: m.stack.append(m.text(m.number(_INT8))),
    0x8D: lambda m: m.stack.append(m.text(m.number(_LENGTH64))),
    0x8E: lambda m: m.stack.append(m.blob(m.number(_LENGTH64))),
    0x8F: lambda m: m.stack.append([]),
    0x90: lambda m: _extend(m, _to_mark(m)),
    0x91: lambda m: m.stack.append(_to_mark(m)),
    0x92: lambda m: m.push_call(*_popped(m, 3)),
    0x93: _stack_global,
    0x94: lambda m: m.remember(m.memoized),
    0x95: lambda m: m.open_frame(m.number(_LENGTH64)),
    0x96: lambda m: m.stack.append(m.blob(m.number(_LENGTH64))),
    0x97: _out_of_band,
    0x98: _read_only,
}
