"""What is measured of a model, and of its original beside it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prunescope.analysis.cost import cost
from prunescope.analysis.devices import Device
from prunescope.analysis.workload import Workload
from prunescope.architecture import Model
from prunescope.data.sources import Documents
from prunescope.errors import PrunescopeError
from prunescope.evaluation.generation import generate
from prunescope.evaluation.memory import free_memory
from prunescope.evaluation.sliding import (
    TextPerplexity,
    Window,
    sliding_windows,
    text_perplexity,
    whole_model,
)
from prunescope.evaluation.speed import Load, Speed, measure
from prunescope.evaluation.streamed import streamed_model
from prunescope.interop.companions import home
from prunescope.interop.hf import load
from prunescope.interop.tokenizer import load_tokenizer, token_ids
from prunescope.steps import Progress, silent

if TYPE_CHECKING:
    import transformers

    from prunescope.evaluation.harness import Harness, TaskScore

# What configs call the number of positions: most, GPT-2's and GPT-J's, and MPT's.
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
# Of the weights, for activations and logits.
_ROOM = 1.2


@dataclass(frozen=True, slots=True)
class Sliding:
    """How a text is cut: see `evaluation.sliding`.

    Attributes:
        length: tokens of a window.
        most: tokens of the text, from its start; all where None.
        has_bos: whether each window begins with the tokenizer's begin-of-text token.
    """

    length: int = 1024
    stride: int = 512
    most: int | None = None
    has_bos: bool = False


@dataclass(frozen=True, slots=True)
class Roofline:
    """Tokens per second that a device's peaks allow, of all sequences (`analysis.cost_result`)."""

    prefill: float
    decode: float


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one model; None or empty what was not asked for.

    Attributes:
        texts: the prompts, each with its greedy continuation.
        is_streamed: whether perplexity was measured layer by layer.
    """

    path: str
    parameters: int
    perplexity: TextPerplexity | None = None
    is_streamed: bool = False
    texts: tuple[str, ...] = ()
    scores: tuple[TaskScore, ...] = ()
    speed: Speed | None = None
    roofline: Roofline | None = None


@dataclass(frozen=True)
class Asked:
    """What is to be measured, and how; what is None or empty is left out.

    Attributes:
        is_streamed: measure perplexity layer by layer; None does so where memory is short.
        new_tokens: of each generation.
        batch: task requests at a time.
        peaks: a device to hold speed against.
    """

    documents: Documents | None
    sliding: Sliding
    is_streamed: bool | None
    prompts: tuple[str, ...]
    new_tokens: int
    harness: Harness | None
    batch: int
    load: Load | None
    peaks: Device | None


def fitted(sliding: Sliding, models: Sequence[Model]) -> Sliding:
    """`sliding` with windows that all of `models` have the positions for."""
    stated = (model.checkpoint.config.get(key) for model in models for key in _POSITIONS)
    length = min([sliding.length, *(n for n in stated if isinstance(n, int) and n > 1)])
    return replace(sliding, length=length, stride=min(sliding.stride, length - sliding.has_bos))


def windows_of(model: Model, documents: Documents, sliding: Sliding) -> list[Window]:
    """The windows of a text, as `model`'s own tokenizer cuts it.

    Without `has_bos` the tokens are those that the tokenizer gives for the whole text, with what
    it puts before it by itself; with it, a begin-of-text token stands before each window.

    Raises:
        PrunescopeError: no tokenizer, no such token, or windows that predict nothing.
    """
    tokens = token_ids(model, documents.whole)
    bos = None
    if sliding.has_bos:
        bos = load_tokenizer(home(model)).bos_token_id
        if bos is None:
            raise PrunescopeError(f"{model.checkpoint.path}: its tokenizer has no begin-of-text")
        tokens = tokens[1:] if tokens[:1] == [bos] else tokens
    return sliding_windows(tokens[: sliding.most], sliding.length, sliding.stride, bos)


def evaluate(
    models: Sequence[Model],
    asked: Asked,
    device: str,
    windows: Sequence[Sequence[Window]],
    progress: Progress = silent,
    running: Progress = silent,
) -> list[Evaluation]:
    """Measure each of `models` on `device`: one after the other, speed in turns.

    Args:
        windows: `windows_of` each model; empty without perplexity.
        progress, running: of perplexity's windows, and of speed's runs.

    Raises:
        PrunescopeError: a model cannot be loaded or run.
    """
    measured = [
        _alone(model, asked, device, windows[number] if windows else (), progress)
        for number, model in enumerate(models)
    ]
    if asked.load is None:
        return measured
    networks = [load(model.checkpoint.path, device) for model in models]
    with running(len(networks) * (1 + asked.load.repeats)) as tick:
        speeds = measure(networks, asked.load, tick)
    return [
        _with_speed(one, model, speed, asked.peaks)
        for one, model, speed in zip(measured, models, speeds, strict=True)
    ]


def _alone(
    model: Model, asked: Asked, device: str, windows: Sequence[Window], progress: Progress
) -> Evaluation:
    streamed = asked.is_streamed
    if streamed is None:
        free = free_memory(device)
        streamed = free is not None and model.checkpoint.nbytes * _ROOM > free
    network = None
    if (windows and not streamed) or asked.prompts or asked.harness:
        network = load(model.checkpoint.path, device)
    perplexity = None
    if windows:
        with progress(len(windows) * (len(model.layers) if streamed else 1)) as tick:
            if streamed or network is None:
                scorer = streamed_model(model, device, tick)
            else:
                scorer = whole_model(network, tick)
            perplexity = text_perplexity(windows, scorer)
    texts: tuple[str, ...] = ()
    scores: tuple[TaskScore, ...] = ()
    if network is not None and (asked.prompts or asked.harness):
        tokenizer = load_tokenizer(home(model))
        texts = tuple(
            _continued(network, tokenizer, prompt, asked.new_tokens) for prompt in asked.prompts
        )
        if asked.harness:
            scores = tuple(asked.harness.scores(network, tokenizer, asked.batch))
    checkpoint = model.checkpoint
    return Evaluation(
        checkpoint.path,
        checkpoint.parameters,
        perplexity,
        bool(windows) and streamed,
        texts,
        scores,
    )


def _continued(
    network: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    prompt: str,
    new_tokens: int,
) -> str:
    length = len(tokenizer(prompt)["input_ids"]) + new_tokens
    return generate(network, tokenizer, [prompt], length, temperature=0, top_p=1, seed=0)[0]


def _with_speed(one: Evaluation, model: Model, speed: Speed, peaks: Device | None) -> Evaluation:
    roofline = None
    if peaks is not None:
        prompt = Workload(speed.load.context, speed.load.batch, _kv_dtype(model))
        # The cache grows while tokens are written: its mean length.
        middle = Workload(
            speed.load.context + speed.load.new_tokens // 2, prompt.batch, prompt.kv_dtype
        )
        roofline = Roofline(
            cost(model.checkpoint, prompt).prefill.tokens_per_second(peaks),
            cost(model.checkpoint, middle).decode.tokens_per_second(peaks),
        )
    return replace(one, speed=speed, roofline=roofline)


def _kv_dtype(model: Model) -> str:
    """A cache has the type that the model computes in; float64's has no name in `KV_BITS`."""
    return {"F32": "f32", "F16": "f16"}.get(next(iter(model.checkpoint.dtypes)), "bf16")
