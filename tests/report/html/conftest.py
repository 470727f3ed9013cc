"""Reports of small models, made once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prunescope.cli.report import subcommand
from prunescope.cli.run import run
from tests.support.browser import chromium
from tests.support.sparse import LlamaShape, llama_shapes, write_model

# A layer: 2 · 64 + 2 · 32 + 3 · 96 + 2 · 8 = 496 parameters; 3 channels are 72 of them.
SMALL = LlamaShape(12, 8, 12, 4, 2, 2, 10, tied=False)


def report(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        run(subcommand, "en", [*map(str, arguments), "--quiet"])
    assert int(ended.value.code or 0) == code


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve layers, of which 3 to 8 lost three of twelve channels."""
    folder = tmp_path_factory.mktemp("single")
    write_model(folder / "original", SMALL, llama_shapes(SMALL))
    write_model(folder / "pruned", SMALL, llama_shapes(SMALL, range(3, 9), channels=3))
    report(folder / "original", folder / "pruned", "-o", folder / "report.html",
           "--expect-sparsity", 0.07)  # fmt: skip
    return folder / "report.html"


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pruned models with pruning.json, and what was measured of all three."""
    # Here, for it imports torch.
    from tests.support import traces

    folder = tmp_path_factory.mktemp("several")
    before = traces.original(folder / "original")
    names = {"original": 10.0, "half": 40.0, "most": 400.0}
    traces.pruned(before, folder / "half")
    traces.pruned(before, folder / "most", ratio=0.75)
    models = [{"path": str(folder / n), "perplexity": {"value": p}} for n, p in names.items()]
    (folder / "eval.json").write_text(json.dumps({"schema": "prunescope.eval/1", "models": models}))
    report(before, folder / "half", folder / "most", "-o", folder / "report.html",
           "--eval", folder / "eval.json", "--trace", "--sha256", "--weights")  # fmt: skip
    return folder / "report.html"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found
