"""`prunescope cost`: what does a model cost to run, and what does pruning save?"""

from __future__ import annotations

import click

from prunescope.analysis.devices import Device, devices
from prunescope.analysis.workload import BATCH, CONTEXT, KV_BITS, KV_DTYPE, Workload
from prunescope.cli.given import FiniteRange
from prunescope.cli.help_text import DEMO, PRUNED, help_text
from prunescope.cli.output import Output, output_options
from prunescope.cli.run import language_option
from prunescope.report.messages import Messages


def subcommand(say: Messages) -> click.Command:
    """`prunescope cost ORIGINAL [PRUNED]`."""
    example = f"prunescope cost {DEMO} {PRUNED} \\\n      --device h200 --batch 8"
    positive = FiniteRange(min=0, min_open=True)

    @click.command("cost", help=help_text(say, "help_cost", example))
    @click.argument("original", type=click.Path())
    @click.argument("pruned", required=False, type=click.Path())
    @click.option("--context", default=CONTEXT, show_default=True, type=click.IntRange(min=1),
                  help=say("help_context"))  # fmt: skip
    @click.option("--batch", default=BATCH, show_default=True, type=click.IntRange(min=1),
                  help=say("help_batch"))  # fmt: skip
    @click.option("--kv-dtype", default=KV_DTYPE, show_default=True,
                  type=click.Choice(list(KV_BITS)), help=say("help_kv_dtype"))  # fmt: skip
    @click.option("--device", type=click.Choice(list(devices())), metavar="NAME",
                  help=say("help_cost_device", names=", ".join(devices())))  # fmt: skip
    @click.option("--bandwidth", type=positive, help=say("help_bandwidth"))
    @click.option("--flops", type=positive, help=say("help_flops"))
    @output_options(say)
    @language_option(say)
    def command(
        original: str, pruned: str | None, context: int, batch: int, kv_dtype: str,
        device: str | None, bandwidth: float | None, flops: float | None, output: Output,
    ) -> None:  # fmt: skip
        chosen = _device(device, bandwidth, flops)
        paths = [path for path in (original, pruned) if path]
        _cost(say, paths, (context, batch, kv_dtype), chosen, output)

    return command


def _device(name: str | None, bandwidth: float | None, flops: float | None) -> Device | None:
    known = devices()[name] if name else None
    if bandwidth is None and flops is None:
        return known
    if known is None and (bandwidth is None or flops is None):
        raise click.UsageError("--bandwidth and --flops belong together, or to a --device")
    return Device(
        known.title if known else None,
        known.bandwidth if known and bandwidth is None else (bandwidth or 0) * 1e9,
        known.flops if known and flops is None else (flops or 0) * 1e12,
        known.memory if known else None,
        known.source if known else None,
    )


def _cost(
    say: Messages,
    paths: list[str],
    asked: tuple[int, int, str],
    device: Device | None,
    output: Output,
) -> None:
    from prunescope.analysis.cost import cost
    from prunescope.checkpoint import open_checkpoint

    context, batch, kv_dtype = asked
    workload = Workload(context, batch, kv_dtype)
    costs = [cost(open_checkpoint(path), workload) for path in paths]
    if output.medium == "json":
        from prunescope.report.cost_json import costs_json

        output.data(costs_json(costs, device))
        return
    from prunescope.report.cost import print_costs

    print_costs(costs, device, output.screen(), say)
