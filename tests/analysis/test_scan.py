"""A scan lists what loading a file's pickles would import and call; cases of public scanners."""

from __future__ import annotations

import os
import pickle
import sys
from collections import OrderedDict
from io import BytesIO
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file

from prunescope.analysis.scan import FileScan, Finding, scan
from prunescope.checkpoint import pickle_machine
from prunescope.checkpoint.pickle_values import Global
from prunescope.errors import CheckpointError
from tests.support.archives import archive_of, records, torch_file
from tests.support.pickles import Reduced, called, named_on_stack, text
from tests.support.tiny import tiny_network, tiny_tokenizer


def scanned(folder: Path, content: bytes, name: str = "pytorch_model.bin") -> FileScan:
    path = folder / name
    path.write_bytes(content)
    (found,) = scan(path)
    assert found.path == str(path)
    return found


def dangerous(found: FileScan) -> set[str]:
    return {str(f.found) for f in found.of("dangerous")}


def legacy(value: object) -> bytes:
    stream = BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


@pytest.mark.parametrize("write", [torch_file, legacy])
def test_a_state_dict_is_safe(tmp_path: Path, write: object) -> None:
    state = OrderedDict(w=torch.ones(2), b=torch.ones(3).half(), n=numpy.float64(1))

    found = scanned(tmp_path, write(state))  # type: ignore[operator]

    assert found.error is None
    assert found.pickles == (1 if write is torch_file else 5)
    assert {f.risk for f in found.findings} == {"safe"}
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    assert Finding(rebuild, "safe", named=1, called=2) in found.findings
    assert Finding(Global("torch", "HalfStorage"), "safe", named=1, called=0) in found.findings


@pytest.mark.parametrize("write", [torch_file, legacy])
def test_a_whole_model_is_code(tmp_path: Path, write: object) -> None:
    value = {"model": tiny_network(), "tokenizer": tiny_tokenizer()}

    found = scanned(tmp_path, write(value))  # type: ignore[operator]

    assert found.of("dangerous") == ()
    counts = {str(f.found): f.called for f in found.of("code")}
    # Four layers of seven, and the head.
    assert counts["torch.nn.modules.linear.Linear"] == 4 * 7 + 1
    assert counts["transformers.models.llama.modeling_llama.LlamaForCausalLM"] == 1


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_found_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    found = scanned(tmp_path, pickle.dumps(Reduced(os.system, "true"), protocol))

    assert found.format == "pickle"
    assert [(f.found.name, f.risk, f.called) for f in found.findings] == [
        ("system", "dangerous", 1)
    ]


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


def test_what_comes_after_an_error_is_not_passed_off_as_safe(tmp_path: Path) -> None:
    found = scanned(tmp_path, b"\x80\x02Vx\n}K\x01Nsb" + called("os", "system"))
    assert found.findings == ()
    assert found.error == "the pickle at byte 0: BUILD on something that was not made by a call"


def test_every_pickle_of_an_archive_is_read(tmp_path: Path) -> None:
    entries = records(torch_file({"w": torch.ones(1)}))
    more = ("archive/extra/DATA.PKL", called("os", "system"))

    found = scanned(tmp_path, archive_of([*entries, more]))

    assert found.pickles == 2
    assert dangerous(found) == {"os.system"}
    broken = scanned(tmp_path, archive_of([*entries, ("a/x.pkl", b"N"), more]))
    assert dangerous(broken) == {"os.system"}
    assert broken.error == "a/x.pkl: the pickle ends without STOP"


UNREADABLE = {
    "empty": (b"", "is an empty file"),
    "half an archive": (torch_file({"w": torch.ones(1)})[:300], "truncated"),
    "a compressed archive": (archive_of([("a/data.pkl", b"N." * 99)], 8), "is compressed"),
    "a NumPy array": (b"\x93NUMPY\x01\x00", "is a NumPy array, which may hold a pickle"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "torch 0.1": (bytes(257) + b"ustar" + bytes(250), "is a tar file"),
    "a pickle cut short": (b"\x80\x02}", "the pickle at byte 0: the pickle ends without STOP"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_says_so(tmp_path: Path, case: str) -> None:
    content, cause = UNREADABLE[case]
    found = scanned(tmp_path, content)
    assert cause in (found.error or "")
    assert found.findings == ()


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" + bytes(99), b"cnot \xff a pickle\n\n", b"Some text.\n"]
)
def test_other_files_hold_no_pickle(tmp_path: Path, content: bytes) -> None:
    assert scanned(tmp_path, content) == FileScan(str(tmp_path / "pytorch_model.bin"), None)


def test_a_safetensors_file_holds_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(1)}, path)
    for named in (path, tmp_path):
        assert scan(named) == (FileScan(str(path), "safetensors"),)


def test_a_folder_is_scanned_file_by_file(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    (tmp_path / ".metadata").write_bytes(
        called("torch.distributed.checkpoint.metadata", "Metadata")
    )
    (tmp_path / "training_args.bin").write_bytes(called("os", "system"))
    (tmp_path / "broken.pt").write_bytes(b"\x80\x02")
    (tmp_path / "notes.txt").write_bytes(called("os", "system"))

    found = scan(tmp_path)

    assert [Path(f.path).name for f in found] == [
        ".metadata",
        "broken.pt",
        "pytorch_model.bin",
        "training_args.bin",
    ]
    assert [dangerous(f) for f in found] == [set(), set(), set(), {"os.system"}]
    assert [f.error is None for f in found] == [True, False, True, True]


def test_there_must_be_something_to_scan(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        scan(tmp_path / "none.bin")
    with pytest.raises(CheckpointError, match=r"nothing here to scan: no \.bin"):
        scan(tmp_path)


def test_nothing_is_made_and_nothing_imported(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    before = set(sys.modules)
    assert scanned(tmp_path, pickle.dumps(Reduced(open, str(trap), "w"), 4)).of("dangerous")
    assert scanned(tmp_path, called("antigravity", "x")).of("dangerous")
    assert not trap.exists()
    assert set(sys.modules) == before


def test_a_bound_is_an_error_and_not_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickle_machine, "MAX_OPCODES", 5)
    for start in (b"\x80\x02", b"", b"N."):
        found = scanned(tmp_path, start + b"NNNNNN" + called("os", "system"))
        assert " opcodes" in (found.error or "")
    archive = archive_of([("a/1.pkl", b"NN."), ("a/2.pkl", b"NNN." + called("os", "system"))])
    assert scanned(tmp_path, archive).error == "a/2.pkl: over 2 opcodes"
