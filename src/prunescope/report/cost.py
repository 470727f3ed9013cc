"""How do costs read? One table, original beside pruned, then what bounds the speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from prunescope.analysis.cost_result import Cost
from prunescope.analysis.devices import Device
from prunescope.errors import printable
from prunescope.report.console import Justify, Screen
from prunescope.report.messages import Messages
from prunescope.report.sizes import GIB

# A message's key, the figure, and how it is written.
Row: TypeAlias = tuple[str, Callable[[Cost], float], str]
_ROWS: tuple[Row, ...] = (
    ("cost_parameters", lambda c: c.model.parameters, ",.0f"),
    ("cost_weights", lambda c: c.weight_bytes / GIB, ".2f"),
    ("cost_kv_token", lambda c: c.kv_bytes_per_token, ",.0f"),
    ("cost_kv", lambda c: c.kv_bytes / GIB, ".2f"),
    ("cost_memory", lambda c: c.memory / GIB, ".2f"),
    ("cost_prefill_flops", lambda c: c.prefill.flops_per_token / 1e9, "#,.4g"),
    ("cost_decode_flops", lambda c: c.decode.flops_per_token / 1e9, "#,.4g"),
    ("cost_prefill_intensity", lambda c: c.prefill.intensity, ",.1f"),
    ("cost_decode_intensity", lambda c: c.decode.intensity, ",.2f"),
)


def print_costs(
    costs: Sequence[Cost], device: Device | None, screen: Screen, say: Messages
) -> None:
    """One model's costs, or an original's and a pruned one's with their ratio."""
    workload = costs[0].workload
    kv = workload.kv_dtype
    screen.section(say("cost_title", context=workload.context, batch=workload.batch, kv=kv))
    rows = [[say(key), *cells] for key, cells in cost_figures(costs, device)]
    models = ["cost_model"] if len(costs) == 1 else ["cost_original", "cost_pruned", "cost_ratio"]
    right: list[Justify] = ["right"] * len(models)
    screen.table([say(key) for key in ("cost_figure", *models)], rows, ["left", *right])
    screen.line()
    if device is not None:
        _device(costs, device, screen, say)
    screen.line(say("cost_unit"), "dim")


def cost_figures(costs: Sequence[Cost], device: Device | None) -> list[tuple[str, list[str]]]:
    """Each figure: the key of its title, then it of each model, and of two their ratio."""
    return [(row[0], _cells(row, costs)) for row in (*_ROWS, *_speeds(device))]


def _speeds(device: Device | None) -> tuple[Row, ...]:
    if device is None:
        return ()
    return (
        ("cost_prefill_speed", lambda c: c.prefill.tokens_per_second(device), ",.0f"),
        ("cost_decode_speed", lambda c: c.decode.tokens_per_second(device), ",.1f"),
    )


def _cells(row: Row, costs: Sequence[Cost]) -> list[str]:
    _, figure, form = row
    figures = [figure(cost) for cost in costs]
    cells = [format(value, form) for value in figures]
    if len(figures) == 2:
        cells.append(f"{figures[1] / figures[0]:.4f}" if figures[0] else "-")
    return cells


def _device(costs: Sequence[Cost], device: Device, screen: Screen, say: Messages) -> None:
    gbs, tflops = device.bandwidth / 1e9, device.flops / 1e12
    title = device.title or say("cost_custom_device")
    screen.line(say("cost_device", title=title, gbs=gbs, tflops=tflops))
    names = {"compute": say("cost_bound_compute"), "memory": say("cost_bound_memory")}
    for cost in costs:
        path = printable(cost.model.checkpoint.path)
        prefill, decode = (names[step.bound(device)] for step in (cost.prefill, cost.decode))
        screen.line(say("cost_bounds", path=path, prefill=prefill, decode=decode))
        if device.memory is not None and cost.memory > device.memory:
            need, have = cost.memory / GIB, device.memory / GIB
            screen.line(say("cost_too_large", path=path, need=need, have=have), "yellow")
