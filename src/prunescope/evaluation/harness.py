"""How does a model do at tasks? Asked by lm-evaluation-harness, through its own Python API.

https://github.com/EleutherAI/lm-evaluation-harness; a task is one of its names, or a YAML file of
its kind (docs/task_guide.md there).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.errors import PrunescopeError, first_line, printable
from prunescope.extras import require

if TYPE_CHECKING:
    import transformers

_FILES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One metric of one task.

    Attributes:
        task: its name; of a file, as the file has it.
        metric: the harness's name of it, as `acc` or `acc_norm`, with its filter if not `none`.
        value: what came out.
        error: standard error as the harness estimates it; None where it does not.
    """

    task: str
    metric: str
    value: float
    error: float | None


class Harness:
    """The harness with its tasks, made first so that what is missing shows at once."""

    def __init__(
        self, tasks: Sequence[str], limit: int | None = None, is_quiet: bool = True
    ) -> None:
        """
        Args:
            tasks: names or YAML files.
            limit: examples of each task, the first; all by default.
            is_quiet: without the harness's own progress bars.

        Raises:
            PrunescopeError: a task is unknown, or its file cannot be read.
            MissingExtra: lm_eval is not installed.
        """
        self._lm_eval = require("lm_eval", "tasks")
        _quieten()
        self._limit, self._is_quiet = limit, is_quiet
        self._manager = require("lm_eval.tasks", "tasks").TaskManager()
        self._tasks = [self._task(name) for name in tasks]

    def _task(self, name: str) -> str | dict[str, Any]:
        path = Path(name)
        if path.suffix not in _FILES:
            if name not in self._manager.all_tasks:
                raise PrunescopeError(f"task {name!r} is unknown to lm-evaluation-harness")
            return name
        try:
            # Its own reader would run what a stranger's file says (`!function`).
            found = require("yaml", "tasks").safe_load(path.read_text("utf-8"))
        except Exception as err:  # yaml's errors, and those of reading
            raise PrunescopeError(f"{name}: is no readable task ({first_line(err)})") from None
        if not isinstance(found, dict) or not isinstance(found.get("task"), str):
            raise PrunescopeError(f"{name}: is no task: it has no name in `task`")
        return found

    def scores(
        self,
        network: transformers.PreTrainedModel,
        tokenizer: transformers.PreTrainedTokenizerBase,
        batch: int,
    ) -> list[TaskScore]:
        """All metrics of all tasks, `batch` requests at a time.

        Raises:
            PrunescopeError: a task's data cannot be had, as without a network, or fails.
        """
        models = require("lm_eval.models.huggingface", "tasks")
        try:
            with _silence(self._is_quiet):
                found = self._lm_eval.simple_evaluate(
                    model=models.HFLM(pretrained=network, tokenizer=tokenizer, batch_size=batch),
                    tasks=self._tasks,
                    limit=self._limit,
                    task_manager=self._manager,
                    bootstrap_iters=1000,
                    log_samples=False,
                )
        except Exception as err:  # of the hub, the data, the task and the model
            raise PrunescopeError(f"the tasks cannot be run: {first_line(err)}") from None
        return [
            score
            for task, results in found["results"].items()
            for score in _scores(printable(str(task)), results)
        ]


def _scores(task: str, results: dict[str, Any]) -> list[TaskScore]:
    scores = []
    for key, value in results.items():
        metric, _, chosen = key.partition(",")
        if not chosen or metric.endswith("_stderr") or not isinstance(value, (int, float)):
            continue
        error = results.get(f"{metric}_stderr,{chosen}")
        name = metric if chosen == "none" else f"{metric} ({chosen})"
        known = isinstance(error, float) and error == error
        scores.append(TaskScore(task, printable(name), float(value), error if known else None))
    return scores


def _quieten() -> None:
    for name in ("lm_eval", "lm-eval", "datasets", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def _silence(is_wanted: bool) -> Iterator[None]:
    """Nothing on standard error: its bars have no switch, and it runs git, which complains."""
    if not is_wanted:
        yield
        return
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
