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
from tests.support.pickles import Reduced, called
from tests.support.scans import dangerous, scanned
from tests.support.tiny import tiny_network, tiny_tokenizer


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
    "torch 0.1": (b"sys_info" + bytes(249) + b"ustar" + bytes(250), "is a tar file"),
    "a .nemo file": (b"model_config.yaml" + bytes(240) + b"ustar" + bytes(250), "unpack it"),
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
        assert scan(named).files == (FileScan(str(path), "safetensors"),)


def test_a_folder_is_scanned_file_by_file(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    (tmp_path / ".metadata").write_bytes(
        called("torch.distributed.checkpoint.metadata", "Metadata")
    )
    (tmp_path / "training_args.bin").write_bytes(called("os", "system"))
    (tmp_path / "broken.pt").write_bytes(b"\x80\x02")
    (tmp_path / "notes.txt").write_bytes(called("os", "system"))

    found = scan(tmp_path).files

    assert [Path(f.path).name for f in found] == [
        ".metadata",
        "broken.pt",
        "pytorch_model.bin",
        "training_args.bin",
    ]
    assert [dangerous(f) for f in found] == [set(), set(), set(), {"os.system"}]
    assert [f.error is None for f in found] == [False, False, True, True]


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
