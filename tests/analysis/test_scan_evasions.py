"""What evaded picklescan, fickling and modelscan is found: their files, written anew."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

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
