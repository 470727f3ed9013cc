"""What does a pickle describe? An interpreter that builds inert descriptions and calls nothing.

Every opcode of protocols 0 to 5 (https://docs.python.org/3/library/pickletools.html) is
interpreted onto a stack of plain values and of the inert classes below. A global is its name; a
call is a `Call` that remembers what would have been called. No name is imported, no attribute is
looked up, no object found in the file is hashed or compared.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

MAX_OPCODES = 8_000_000
MAX_MEMO = 4_000_000
MAX_INTEGER_BYTES = 4096
MAX_STRING = 16 << 20


class PickleError(ValueError):
    """The bytes are not a pickle this machine accepts; the message names the cause or bound."""


@dataclass(frozen=True, slots=True)
class Global:
    """The name of something importable, not imported."""

    module: str
    name: str


# eq=False: identity only, so that nothing from the file is ever compared or hashed.
@dataclass(eq=False, slots=True)
class Dict:
    """A dict as the pairs stored, in order."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)

    def by_name(self) -> dict[str, Any]:
        """The entries whose key is a string; the last of equal keys wins, as in Python."""
        return {key: value for key, value in self.pairs if isinstance(key, str)}


@dataclass(eq=False, slots=True)
class Call:
    """An object the pickle would have made by calling `function`, with what was done to it."""

    function: Any
    arguments: Any
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(frozen=True, eq=False, slots=True)
class Persistent:
    """An object that lives outside the pickle; torch's storages are these."""

    key: Any


@dataclass(eq=False, slots=True)
class _Mark:
    pass


@dataclass(frozen=True, slots=True)
class Pickled:
    """What a pickle describes: the root object, every global it names, and its length."""

    root: Any
    globals: tuple[Global, ...]
    length: int


def interpret(data: bytes | memoryview, start: int = 0) -> Pickled:
    """Interpret the pickle at `data[start:]` up to its STOP.

    Raises:
        PickleError: malformed, or past one of this module's bounds.
    """
    machine = _Machine(data, start)
    try:
        root = machine.run()
    except IndexError:
        raise PickleError("the pickle takes more from its stack than it put there") from None
    except UnicodeDecodeError:
        raise PickleError("a string that cannot be decoded") from None
    return Pickled(root, tuple(machine.globals), machine.position)


class _Machine:
    def __init__(self, data: bytes | memoryview, start: int) -> None:
        self.data = memoryview(data)
        self.position = start
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        # A dict for its order and its uniqueness: Global is ours, so hashing it is safe.
        self.globals: dict[Global, None] = {}

    def run(self) -> Any:
        data, table = self.data, _OPCODES
        for _ in range(MAX_OPCODES):
            if self.position >= len(data):
                raise PickleError("the pickle ends without STOP")
            code = data[self.position]
            self.position += 1
            if code == 0x2E:  # STOP
                return self.stack.pop()
            operation = table.get(code)
            if operation is None:
                raise PickleError(f"unknown opcode 0x{code:02x} at byte {self.position - 1}")
            operation(self)
        raise PickleError(f"over {MAX_OPCODES} opcodes")

    def take(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self.data):
            raise PickleError("the pickle ends inside an opcode's argument")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def number(self, form: str) -> Any:
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return value

    def line(self) -> str:
        # A window, so that a file without newlines is not scanned again at each opcode.
        window = bytes(self.data[self.position : self.position + MAX_INTEGER_BYTES * 4])
        end = window.find(b"\n")
        if end < 0:
            raise PickleError(f"a text line without an end in {len(window)} bytes")
        self.position += end + 1
        return window[:end].decode("latin-1")

    def text(self, length: int) -> str:
        if length > MAX_STRING:
            raise PickleError(f"a string of {length} bytes: over {MAX_STRING >> 20} MiB")
        return str(self.take(length), "utf-8", "surrogatepass")

    def blob(self, length: int) -> bytes:
        if length > MAX_STRING:
            raise PickleError(f"a byte string of {length} bytes: over {MAX_STRING >> 20} MiB")
        return bytes(self.take(length))

    def integer(self, length: int) -> int:
        if not 0 <= length <= MAX_INTEGER_BYTES:
            raise PickleError(f"an integer of {length} bytes: over {MAX_INTEGER_BYTES}")
        return int.from_bytes(self.take(length), "little", signed=True)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def to_mark(self) -> list[Any]:
        stack = self.stack
        for index in range(len(stack) - 1, -1, -1):
            if type(stack[index]) is _Mark:
                values = stack[index + 1 :]
                del stack[index:]
                return values
        raise PickleError("an opcode needs a MARK that is not there")

    def remember(self, index: int) -> None:
        if len(self.memo) >= MAX_MEMO:
            raise PickleError(f"over {MAX_MEMO} memo entries")
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        try:
            self.stack.append(self.memo[index])
        except KeyError:
            raise PickleError(f"memo entry {index} is used before it is set") from None

    def named(self, module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("a global whose name is not a string")
        found = Global(module, name)
        self.globals[found] = None
        return found


def _decimal(text: str) -> int:
    if len(text) > MAX_INTEGER_BYTES:
        raise PickleError(f"an integer of {len(text)} digits: over {MAX_INTEGER_BYTES}")
    try:
        return int(text)
    except ValueError:
        raise PickleError(f"{text[:20]!r} is not an integer") from None


def _int_line(m: _Machine) -> None:
    text = m.line()
    m.push(text == "01" if text in ("00", "01") else _decimal(text))


def _float_line(m: _Machine) -> None:
    text = m.line()
    try:
        m.push(float(text))
    except ValueError:
        raise PickleError(f"{text[:20]!r} is not a float") from None


def _quoted_line(m: _Machine) -> None:
    text = m.line()
    if len(text) < 2 or text[0] not in "'\"" or text[-1] != text[0]:
        raise PickleError(f"{text[:20]!r} is not a quoted string")
    try:
        # What pickle itself decodes Python 2's string literals with.
        value, _ = codecs.escape_decode(text[1:-1].encode("latin-1"))
    except ValueError:
        raise PickleError(f"{text[:20]!r} has an escape that is none") from None
    m.push(value.decode("latin-1"))


def _extend(m: _Machine, values: list[Any]) -> None:
    target = m.stack[-1]
    if isinstance(target, list):
        target.extend(values)
    elif isinstance(target, Call):
        target.items.extend(values)
    else:
        raise PickleError("APPENDS to something that is not a list")


def _set_pairs(m: _Machine, values: list[Any]) -> None:
    if len(values) % 2:
        raise PickleError("SETITEMS with a key that has no value")
    target = m.stack[-1]
    if not isinstance(target, (Dict, Call)):
        raise PickleError("SETITEMS on something that is not a dict")
    target.pairs.extend(zip(values[::2], values[1::2], strict=True))


def _popped(m: _Machine, count: int) -> list[Any]:
    if count > len(m.stack):
        raise PickleError("the pickle takes more from its stack than it put there")
    values = m.stack[len(m.stack) - count :]
    del m.stack[len(m.stack) - count :]
    return values


def _call(m: _Machine) -> None:
    function, arguments = _popped(m, 2)
    m.push(Call(function, arguments))


def _call_with_keywords(m: _Machine) -> None:
    function, arguments, keywords = _popped(m, 3)
    m.push(Call(function, arguments, state=keywords))


def _call_from_mark(m: _Machine) -> None:
    values = m.to_mark()
    if not values:
        raise PickleError("OBJ without a class")
    m.push(Call(values[0], tuple(values[1:])))


def _instance(m: _Machine) -> None:
    function = m.named(m.line(), m.line())
    m.push(Call(function, tuple(m.to_mark())))


def _build(m: _Machine) -> None:
    (state,) = _popped(m, 1)
    target = m.stack[-1]
    if isinstance(target, Call):
        target.state = state
    else:
        raise PickleError("BUILD on something that was not made by a call")


def _stack_global(m: _Machine) -> None:
    module, name = _popped(m, 2)
    m.push(m.named(module, name))


def _dict_from_mark(m: _Machine) -> None:
    values = m.to_mark()
    m.push(Dict())
    _set_pairs(m, values)


def _pop(m: _Machine) -> None:
    m.stack.pop()


def _out_of_band(_: _Machine) -> None:
    raise PickleError("out-of-band buffers do not occur in a checkpoint")


def _extension(width: int) -> Callable[[_Machine], None]:
    def operation(m: _Machine) -> None:
        code = int.from_bytes(m.take(width), "little")
        m.push(m.named("copyreg", f"extension {code}"))

    return operation


_Operation: TypeAlias = Callable[[_Machine], Any]
_OPCODES: dict[int, _Operation] = {
    ord("("): lambda m: m.push(_Mark()),
    ord("0"): _pop,
    ord("1"): lambda m: m.to_mark(),
    ord("2"): lambda m: m.push(m.stack[-1]),
    ord("F"): _float_line,
    ord("I"): _int_line,
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("L"): lambda m: m.push(_decimal(m.line().removesuffix("L"))),
    ord("M"): lambda m: m.push(m.number("<H")),
    ord("N"): lambda m: m.push(None),
    ord("P"): lambda m: m.push(Persistent(m.line())),
    ord("Q"): lambda m: m.push(Persistent(m.stack.pop())),
    ord("R"): _call,
    ord("S"): _quoted_line,
    ord("T"): lambda m: m.push(m.blob(m.number("<I")).decode("latin-1")),
    ord("U"): lambda m: m.push(m.blob(m.number("<B")).decode("latin-1")),
    ord("V"): lambda m: m.push(m.line().encode("latin-1").decode("raw-unicode-escape")),
    ord("X"): lambda m: m.push(m.text(m.number("<I"))),
    ord("a"): lambda m: _extend(m, _popped(m, 1)),
    ord("b"): _build,
    ord("c"): lambda m: m.push(m.named(m.line(), m.line())),
    ord("d"): _dict_from_mark,
    ord("}"): lambda m: m.push(Dict()),
    ord("e"): lambda m: _extend(m, m.to_mark()),
    ord("g"): lambda m: m.recall(_decimal(m.line())),
    ord("h"): lambda m: m.recall(m.number("<B")),
    ord("i"): _instance,
    ord("j"): lambda m: m.recall(m.number("<I")),
    ord("l"): lambda m: m.push(m.to_mark()),
    ord("]"): lambda m: m.push([]),
    ord("o"): _call_from_mark,
    ord("p"): lambda m: m.remember(_decimal(m.line())),
    ord("q"): lambda m: m.remember(m.number("<B")),
    ord("r"): lambda m: m.remember(m.number("<I")),
    ord("s"): lambda m: _set_pairs(m, _popped(m, 2)),
    ord("t"): lambda m: m.push(tuple(m.to_mark())),
    ord(")"): lambda m: m.push(()),
    ord("u"): lambda m: _set_pairs(m, m.to_mark()),
    ord("G"): lambda m: m.push(m.number(">d")),
    ord("B"): lambda m: m.push(m.blob(m.number("<I"))),
    ord("C"): lambda m: m.push(m.blob(m.number("<B"))),
    0x80: lambda m: m.take(1),
    0x81: _call,
    0x82: _extension(1),
    0x83: _extension(2),
    0x84: _extension(4),
    0x85: lambda m: m.push(tuple(_popped(m, 1))),
    0x86: lambda m: m.push(tuple(_popped(m, 2))),
    0x87: lambda m: m.push(tuple(_popped(m, 3))),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    0x8A: lambda m: m.push(m.integer(m.number("<B"))),
    0x8B: lambda m: m.push(m.integer(m.number("<i"))),
    0x8C: lambda m: m.push(m.text(m.number("<B"))),
    0x8D: lambda m: m.push(m.text(m.number("<Q"))),
    0x8E: lambda m: m.push(m.blob(m.number("<Q"))),
    0x8F: lambda m: m.push([]),
    0x90: lambda m: _extend(m, m.to_mark()),
    0x91: lambda m: m.push(m.to_mark()),
    0x92: _call_with_keywords,
    0x93: _stack_global,
    0x94: lambda m: m.remember(len(m.memo)),
    0x95: lambda m: m.take(8),
    0x96: lambda m: m.push(m.blob(m.number("<Q"))),
    0x97: _out_of_band,
    0x98: _out_of_band,
}
