"""Pickles as an attacker writes them: opcode by opcode, or by an object's `__reduce__`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x06\x85K\x01\x85tR"
)


class Reduced:
    """Unpickles into whatever call it is given."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def text(value: str) -> bytes:
    """The opcode that pushes a string."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def called(module: str, name: str, argument: str = "true") -> bytes:
    """A pickle that calls a global by its name with one string."""
    return f"c{module}\n{name}\n".encode() + text(argument) + b"\x85R."


def named_on_stack(module: str, name: str) -> bytes:
    """The opcodes of protocol 4 that push a global."""
    return b"\x80\x04" + text(module) + text(name) + b"\x93"


def module_of(parameters: bytes = b"}", children: bytes = b"}", more: bytes = b"") -> bytes:
    """The opcodes of a pickled `nn.Module` with these dicts as its parameters and modules."""
    state = b"}(" + text("_parameters") + parameters + text("_modules") + children + more + b"u"
    return b"ctorch.nn.modules.module\nModule\n)\x81" + state + b"b"
