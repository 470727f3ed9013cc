"""Which options has the pruner?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prunescope.cli.given import FiniteRange
from prunescope.cli.prune_scoring import scoring_options
from prunescope.interop.formats import FORMATS, Format
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.pruning.plan import Importance

_F = TypeVar("_F", bound=Callable[..., Any])
_GROUPING = ("sum", "mean", "max", "prod", "first")
_ALLOCATIONS = ("auto", "uniform", "global", "knapsack")


def options(
    say: Messages, form: Format, importance: Importance, length: int, allocation: str
) -> Callable[[_F], _F]:
    """Decorate a command with the pruner's options.

    Args:
        form: what it saves by default.
        importance: how it scores by default.
        length: on windows of as many tokens by default.
        allocation: how layers share by default what goes.
    """
    option = partial(click.option, show_default=True)
    whole = click.IntRange(min=1)
    file = click.Path(path_type=Path)
    every = [
        option("--base_model", required=True, type=click.Path(), help=say("help_base_model")),
        option("--save_ckpt_log_name", default="llama_prune", help=say("help_save_name")),
        option("--pruning_ratio", default=0.5, help=say("help_pruning_ratio")),
        *scoring_options(say, importance, length),
        option("--grouping_strategy", default="sum", type=click.Choice(_GROUPING),
               help=say("help_grouping")),
        option("--block_wise", is_flag=True, help=say("help_block_wise")),
        option("--channel_wise", is_flag=True, help=say("help_channel_wise")),
        option("--layer_wise", is_flag=True, help=say("help_layer_wise")),
        option("--layer", default=12, help=say("help_layer")),
        option("--depth_by", default="first", type=click.Choice(["first", "influence"]),
               help=say("help_depth_by")),
        option("--block_attention_layer_start", default=3, help=say("help_attention_start")),
        option("--block_attention_layer_end", type=int, show_default=say("help_layer_end"),
               help=say("help_attention_end")),
        option("--block_mlp_layer_start", default=3, help=say("help_mlp_start")),
        option("--block_mlp_layer_end", type=int, show_default=say("help_layer_end"),
               help=say("help_mlp_end")),
        option("--gqa", default="group", type=click.Choice(["group", "query", "naive"]),
               help=say("help_gqa")),
        option("--layer_ratios", help=say("help_layer_ratios")),
        option("--round_to", default=1, type=whole, help=say("help_round_to")),
        option("--target_sparsity", type=float, help=say("help_target_sparsity")),
        option("--target_params", help=say("help_target_params")),
        option("--target_memory", help=say("help_target_memory")),
        option("--batch", default=1, type=whole, help=say("help_prune_batch")),
        option("--context", default=4096, type=whole, help=say("help_prune_context")),
        option("--iterative_steps", default=1, type=whole, help=say("help_iterative_steps")),
        option("--global_pruning", is_flag=True, help=say("help_global")),
        option("--allocation", default=allocation, type=click.Choice(_ALLOCATIONS),
               help=say("help_allocation")),
        option("--layer_floor", default=0.1, help=say("help_layer_floor")),
        option("--search", is_flag=True, help=say("help_search")),
        option("--search_tokens", default=2048, type=whole, help=say("help_search_tokens")),
        option("--search_csv", type=file, help=say("help_search_csv")),
        option("--plot", type=file, help=say("help_search_plot")),
        option("--plan", type=file, help=say("help_plan")),
        option("--max_seq_len", default=128, type=click.IntRange(min=2),
               help=say("help_max_seq_len")),
        option("--eval_device", help=say("help_eval_device")),
        option("--test_before_train", is_flag=True, help=say("help_test_before")),
        option("--test_after_train", is_flag=True, help=say("help_test_after")),
        option("--temperature", default=1.0, type=FiniteRange(min=0),
               help=say("help_temperature")),
        option("--top_p", default=0.95, type=FiniteRange(0, 1, min_open=True),
               help=say("help_top_p")),
        option("--seed", default=42, type=click.IntRange(0, 2**64 - 1), help=say("help_seed")),
        option("--save_model", is_flag=True, help=say("help_save_model")),
        option("--save_format", default=form, type=click.Choice(FORMATS), help=say("help_format")),
        option("--uniform", is_flag=True, help=say("help_uniform")),
        option("--quiet", is_flag=True, help=say("help_quiet")),
    ]  # fmt: skip

    def decorate(function: _F) -> _F:
        for decorator in reversed(every):
            function = decorator(function)
        return function

    return decorate
