"""What evaded picklescan, fickling and modelscan is found: their files, written anew."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import pytest

from tests.support.archives import archive_of
from tests.support.pickles import Reduced, called, named_on_stack, text
from tests.support.scans import dangerous, scanned

STRING = text("true")
SYSTEM = called("os", "system")[:-1]
WAYS_TO_CALL = {
    "REDUCE": called("os", "system"),
    "NEWOBJ": b"cos\nsystem\n" + STRING + b"\x85\x81.",
    "NEWOBJ_EX": b"cos\nsystem\n" + STRING + b"\x85}\x92.",
    "OBJ": b"(cos\nsystem\n" + STRING + b"o.",
    "OBJ, then popped": b"(cos\nsystem\n" + STRING + b"o0N.",
    "INST": b"(" + STRING + b"ios\nsystem\n.",
    "STACK_GLOBAL": named_on_stack("os", "system") + STRING + b"\x85R.",
    "from the memo": b"cos\nsystem\nq\x050Nh\x05" + STRING + b"\x85R.",
    # modelscan's malicious14 and a capture-the-flag: names out of order, and bytes after STOP.
    "names from the memo": (
        b"Vos\np2\n0Vsystem\np3\n0Vtorch\np0\n0VLongStorage\np1\n0g2\ng3\n\x93(Vtrue\ntR.\n\n\t\t"
    ),
    # A gap in the memo must not move what MEMOIZE numbers.
    "names by MEMOIZE": b"\x80\x04Np7\n0Vos\n\x940Vsystem\n\x940h\x01h\x02\x93(Vtrue\ntR.",
    "BUILD of a module": b"ctorch\nos\n}Vx\nNsb.",
}


@pytest.mark.parametrize("case", WAYS_TO_CALL)
def test_every_way_to_a_dangerous_global_is_found(tmp_path: Path, case: str) -> None:
    found = scanned(tmp_path, WAYS_TO_CALL[case])

    assert dangerous(found) in ({"os.system"}, {"torch.os"})
    assert found.error is None
    assert found.of("dangerous")[0].called == (case != "BUILD of a module")


# picklescan's and fickling's files, written anew.
EVASIONS = {
    "the sour pickles of 2011": (
        b"c__builtin__\nglobals\n(tRp100\n0c__builtin__\ncompile\n(S'x=1'\nS''\nS'exec'\ntRp101\n"
        b"0c__builtin__\neval\n(g101\ng100\ntRp102\n0c__builtin__\ngetattr\n(c__builtin__\ndict\n"
        b"S'get'\ntRp103\n0c__builtin__\napply\n(g103\n(g100\nS'x'\nltRp104\n0g104\n.",
        {f"__builtin__.{n}" for n in ("globals", "compile", "eval", "getattr", "apply")},
    ),
    "a second pickle behind the first": (
        pickle.dumps(["a"]) + pickle.dumps(Reduced(os.system, "true"), 4),
        {f"{os.name}.system"},
    ),
    # Whoever reads a file in pieces must read on in the second one too.
    "a long pickle behind a long one": (
        b"\x80\x02"
        + text("a" * (300 << 10))
        + b".\x80\x02"
        + text("b" * (2 << 20))
        + b"0"
        + called("os", "system"),
        {"os.system"},
    ),
    "torch's magic number computed": (
        b"\x80\x02c__builtin__\neval\nX\x16\x00\x00\x000x1950A86A20F9469CFC6C\x85R."
        + pickle.dumps(1001, 2)
        + called("posix", "system"),
        {"__builtin__.eval", "posix.system"},
    ),
    "a name from a memo entry that is a number": (
        SYSTEM + b"K*\x940h\x00Vsystem\n\x93.",
        {"os.system"},
    ),
    "a name from a memo entry that is not there": (
        SYSTEM + b"h\xf0Vos\n\x93.",
        {"os.system"},
    ),
    "bytes that are no opcodes later on": (
        SYSTEM + b"\xff\xff",
        {"os.system"},
    ),
    "cut before STOP": (SYSTEM, {"os.system"}),
    "a dict that is its own key": (SYSTEM + b"}q\x00h\x00Ns.", {"os.system"}),
    # picklescan's sys_module_override_sploit.
    "a module's name from an attribute that the pickle sets": (
        b"\x80\x04Vtorch._utils\n\x94Vx\n\x940Vtorch\nV_utils\n\x93\x940h\x02}h\x01Vbuiltins\nsb0"
        b"h\x00h\x01\x93Veval\n\x93Vexec('x')\n\x85R.",
        {"?.computed while loading"},
    ),
    "a missing MARK": (SYSTEM + b"\x80\x04t.", {"os.system"}),
    "names computed by calls": (
        b"\x80\x04coperator\nitemgetter\nq\x000cbuiltins\ngetattr\n(Vx\nVjoin\ntRq\x010h\x00"
        b"(K\x01tR(Vos\ntRh\x01(VyztR\x93.".replace(b"Vyz", b"Vyz\n"),
        {"operator.itemgetter", "builtins.getattr", "?.computed while loading"},
    ),
    "an item of a list set by its index": (b"]NaK\x00Ns0" + called("os", "system"), {"os.system"}),
    "a pickle in a pickle": (
        b"cpickle\nloads\nB\x04\x00\x00\x00xxxx\x85R0N.",
        {"pickle.loads"},
    ),
    "a function handed to torch to call": (
        b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN(" + STRING + b"t}tR.",
        {"os.system"},
    ),
    "a method of a harmless class": (
        b"\x80\x04cpathlib\nos.system\n" + STRING + b"\x85R.",
        {"pathlib.os.system"},
    ),
}


@pytest.mark.parametrize("case", EVASIONS)
def test_what_evaded_other_scanners_is_found(tmp_path: Path, case: str) -> None:
    content, expected = EVASIONS[case]
    assert dangerous(scanned(tmp_path, content)) == expected


def framed(body: bytes, length: int) -> bytes:
    return b"\x80\x05\x95" + struct.pack("<Q", length) + body


HIDDEN = b"cos\nsystem\nVtrue\n\x85R"
# fickling's, after https://github.com/python/cpython/issues/154848: CPython reads these otherwise
# than as one opcode behind the other, and in the first one finds the call.
FRAMES = {
    "a call in a string beyond its frame": (
        b"\x80\x05NV"
        + b"a" * (8192 * 16 - 17)
        + b"\n0(\x95"
        + struct.pack("<Q", 2)
        + b"B\x07\x01\x00\x00\x00\x00"
        + (HIDDEN + b"(").ljust(256 + 5, b"N")
        + b"1."
    ),
    "bytes": framed(b"B\x14\x00\x00\x00" + b"A" * 20 + b".", 5),
    "text": framed(b"\x8c\x14" + b"A" * 20 + b".", 3),
    "a global's module": framed(b"cmacos\nsystem\n.", 4),
    "a global's name": framed(b"cos\nsystem\n.", 7),
    "a line": framed(b"Vhello world\n.", 5),
    "a number": framed(b"J\x07\x00\x00\x00.", 2),
    "a frame in a frame": framed(b"N" + framed(b"N.", 2)[2:], 30),
}


@pytest.mark.parametrize("case", FRAMES)
def test_an_opcode_across_the_end_of_its_frame_is_not_read_as_if_it_were_sound(
    tmp_path: Path, case: str
) -> None:
    # Also where it lies behind a harmless one.
    for before in (b"", b"\x80\x04N."):
        found = scanned(tmp_path, before + FRAMES[case])
        assert "not every Python reads alike" in (found.error or "")


@pytest.mark.parametrize("value", [b"x" * 100_000, [1, b"y" * 100_000, 2], list(range(200_000))])
@pytest.mark.parametrize("protocol", [4, 5])
def test_frames_as_pickle_writes_them_are_sound(
    tmp_path: Path, value: object, protocol: int
) -> None:
    found = scanned(tmp_path, pickle.dumps(value, protocol) * 3)
    assert (found.pickles, found.error) == (3, None)


def test_a_pickle_under_another_name_in_an_archive_is_found(tmp_path: Path) -> None:
    hidden = pickle.dumps(Reduced(os.system, "true"), 4)
    # A storage's first bytes may be anything.
    archive = archive_of([("data.txt", hidden), ("m/data/0", hidden), ("text", b"\x80\x04no")])

    found = scanned(tmp_path, archive)

    assert dangerous(found) == {f"{os.name}.system"}
    assert (found.pickles, found.error) == (1, None)
