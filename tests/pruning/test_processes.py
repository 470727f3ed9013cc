"""Two processes that share the windows end with the scores of one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from prunescope.checkpoint import open_checkpoint
from prunescope.pruning.processes import ALONE, Processes, joined, local_device, told_rank
from prunescope.pruning.scoring import Computing, forget_progress
from prunescope.pruning.streaming import share
from tests.support.streams import difference, family, plan, scores_of, stored

MEASURES = (("taylor", "param_first"), ("taylor", "param_mix"), ("wanda", ""), ("flap", ""))


def work(rank: int, folder: str, port: int) -> None:
    """What each process does: as under torchrun."""
    torch.set_num_threads(1)
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2,
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # fmt: skip
    os.environ |= {key: str(value) for key, value in told.items()}
    assert told_rank() == rank
    checkpoint = open_checkpoint(f"{folder}/model")
    with joined("cpu") as processes:
        assert (processes.rank, processes.count) == (rank, 2)
        assert processes.least(5 + rank) == 5
        for number, (importance, form) in enumerate(MEASURES):
            kept = Path(folder) / f"work-{number}" if not number else None
            scores = scores_of(
                checkpoint, plan(importance, form or "param_first"), processes=processes, work=kept
            )
            torch.save(scores, f"{folder}/{number}-{rank}.pt")


def test_scores_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    # Three windows: one process has two of them. Experts may get tokens in one process only.
    checkpoint = stored(tmp_path / "model", family("mixtral"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(work, args=(str(tmp_path), port), nprocs=2)
    for number, (importance, form) in enumerate(MEASURES):
        alone = scores_of(checkpoint, plan(importance, form or "param_first"))
        for rank in (0, 1):
            shared = torch.load(tmp_path / f"{number}-{rank}.pt", weights_only=False)
            assert shared.loss == pytest.approx(alone.loss, rel=1e-6)
            assert shared.influence == pytest.approx(alone.influence, rel=1e-5)
            assert set(shared.rows) == set(alone.rows)
            for key, row in alone.rows.items():
                assert difference(shared.rows[key], row) < 1e-5, (importance, form, key)
    assert sorted(e.name for e in tmp_path.glob("work-0*")) == ["work-0-0", "work-0-1"]


def test_windows_are_dealt_out_one_by_one() -> None:
    dealt = [share([(1, 2), (3, 4), (5, 6)], Processes(rank, 4)).tolist() for rank in range(4)]
    assert dealt == [[[1, 2]], [[3, 4]], [[5, 6]], []]


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "3")
    assert told_rank() == 0
    assert local_device("cpu") == "cpu"
    with joined("cpu") as processes:
        assert processes is ALONE


def test_each_process_forgets_its_own_progress(tmp_path: Path) -> None:
    for name in ("work-0", "work-1", "work.2-0", "work.2-1"):
        (tmp_path / name).mkdir()
    forget_progress(Computing(work=tmp_path / "work", processes=Processes(1, 2)))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["work-0", "work.2-0"]
