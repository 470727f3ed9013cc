"""What `import prunescope` offers: every analysis as a function, every result as a table."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import prunescope
from prunescope.analysis.sparsity import sparsity
from prunescope.errors import MissingExtra
from prunescope.report.sparsity_files import write_sparsity_csv
from prunescope.report.table_csv import write_csv
from tests.support.scripts import environment
from tests.support.verify import pruned_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return tuple(map(prunescope.open_checkpoint, pruned_pair(tmp_path_factory.mktemp("public"))))  # type: ignore[return-value]


def test_every_name_offered_is_there() -> None:
    assert all(callable(getattr(prunescope, name)) for name in prunescope.__all__)
    with pytest.raises(AttributeError, match="no attribute 'shrink'"):
        _ = prunescope.shrink


def test_nothing_is_imported_before_it_is_used() -> None:
    code = "import sys, prunescope; print(any(m.startswith('prunescope.') for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_comparison_is_the_csv(pair: tuple[Any, Any], tmp_path: Path) -> None:
    found = prunescope.compare(*pair)
    write_csv(found, tmp_path / "table.csv")
    frame = found.to_dataframe()
    written = pd.read_csv(tmp_path / "table.csv")
    assert list(frame.columns) == list(written.columns)
    pd.testing.assert_frame_equal(frame, written, check_dtype=False, atol=1e-6)
    # The mission's own queries.
    assert set(frame[frame["稀疏度"] == 0.0]["层编号"]) == {0, 3}
    assert len(frame[frame["层编号"] == 1]) == 7


def test_zeros_are_the_csv(pair: tuple[Any, Any], tmp_path: Path) -> None:
    found = sparsity(pair[1])
    write_sparsity_csv(found, tmp_path / "zeros.csv")
    frame = found.to_dataframe()
    written = pd.read_csv(tmp_path / "zeros.csv")
    assert list(frame.columns) == list(written.columns)
    assert list(frame["tensor"]) == [t.tensor.name for t in found.tensors]
    # Embedding, final norm and head lie in no layer.
    assert frame["layer"].isna().sum() == 3
    assert frame["weights"].sum() == pair[1].parameters
    with (tmp_path / "zeros.csv").open(encoding="utf-8") as stream:
        assert next(csv.DictReader(stream))["layer"] == ""


def test_a_size_is_a_row(pair: tuple[Any, Any]) -> None:
    frame = prunescope.size(pair[1]).to_dataframe()
    assert list(frame["parameters"]) == [pair[1].parameters]
    assert list(frame["path"]) == [pair[1].path]


def test_a_verification_is_a_row_a_check(pair: tuple[Any, Any]) -> None:
    found = prunescope.verify(pair[1], pair[0])
    frame = found.to_dataframe()
    assert list(frame["name"]) == [check.name for check in found.checks]
    assert set(frame["verdict"]) <= {"pass", "warn", "skip"}


def test_a_trace_is_a_row_a_space(pair: tuple[Any, Any]) -> None:
    frame = prunescope.trace(*pair).to_dataframe()
    # Heads, KV heads and channels of four layers, and the vocabulary.
    assert len(frame) == 4 * 3 + 1
    assert frame["layer"].isna().sum() == 1
    channels = frame[(frame["layer"] == 1) & (frame["space"] == "channels")]
    assert len(channels["kept"].iloc[0]) == 10


def test_costs_are_a_row(pair: tuple[Any, Any]) -> None:
    found = prunescope.cost(pair[1])
    frame = found.to_dataframe()
    assert frame["decode_flops"].iloc[0] == found.decode.flops
    assert (found.workload.context, found.workload.batch) == (4096, 1)


def test_a_scan_is_a_row_a_global(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.bin")
    frame = prunescope.scan(tmp_path / "w.bin").to_dataframe()
    assert "_rebuild_tensor_v2" in set(frame["name"])
    assert set(frame["risk"]) == {"safe"}


def test_a_scan_that_finds_nothing_has_the_columns_all_the_same(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.bin")
    save_file({"w": torch.ones(2)}, tmp_path / "w.safetensors")
    some, none = (prunescope.scan(tmp_path / f"w.{end}") for end in ("bin", "safetensors"))
    assert list(none.to_dataframe().columns) == list(some.to_dataframe().columns)
    assert none.to_dataframe().empty


def test_pandas_is_asked_for_when_it_is_needed(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    found = prunescope.compare(*pair)
    with pytest.raises(MissingExtra, match=r"prunescope\[dataframe\]"):
        found.to_dataframe()


def test_a_notebook_shows_layers_and_the_whole(pair: tuple[Any, Any]) -> None:
    found = prunescope.compare(*pair)
    html = found._repr_html_()
    assert html.count("<tr>") == 1 + 4 + 1
    last = html.rpartition("<tr>")[2]
    assert f"<td>{found.parameters.pruned:,}</td>" in last


def test_a_hostile_name_stays_text_in_a_notebook(tmp_path: Path) -> None:
    """A notebook runs whatever script stands in its output."""
    paths = pruned_pair(tmp_path / "<script>alert(1)<" / "\x1b[31m&")
    html = prunescope.compare(*map(prunescope.open_checkpoint, paths))._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;" in html
    assert "\x1b" not in html
    assert "\\x1b[31m&amp;" in html
