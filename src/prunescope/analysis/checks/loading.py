"""Which engines load this model as it is, and what stands in the way of the others?

transformers: what `AutoModelForCausalLM.from_pretrained` of 5.24 does, which the tests hold against
it. It refuses layers whose shapes differ, but for those that code in the folder builds, and loads
with random values whatever it does not find.
vLLM: its own Llama (`vllm/model_executor/models/llama.py`) builds every layer from one config; its
transformers backend (`vllm/model_executor/models/transformers/base.py`) builds with the folder's
code, and takes each layer's heads from `per_layer_config` (0.32, which the tests run).
llama.cpp: architecture `llama` makes all layers of the first one's counts (`src/models/llama.cpp`),
`deci` of arrays, one count a layer (`src/models/deci.cpp`); what others take, and what none of them
computes, `llama_cpp_fit` and `llama_cpp_config` know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prunescope.analysis.axes import Layout, stated_kinds, stated_of, whole
from prunescope.analysis.checks.check import Check, Finding, finding, judged
from prunescope.analysis.checks.config import PICKLED
from prunescope.analysis.checks.llama_cpp import llama_cpp_findings
from prunescope.architecture.block_configs import NEMOTRON
from prunescope.architecture.head_counts import takes_heads
from prunescope.architecture.tables import form_of
from prunescope.architecture.unstacked import STACKED
from prunescope.checkpoint.wrapper_names import WRAPPERS

# What transformers looks for in a folder (transformers/utils/__init__.py, WEIGHTS_NAME …).
_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Checks after which an engine computes something else, if it loads at all.
_NEEDED = ("axes", "units", "grouping", "tensors", "config", "tied")


def loading_checks(after: Layout, checks: Sequence[Check]) -> tuple[Check, ...]:
    """One check for each engine, after `checks` of the same model."""
    failed = [c.name for c in checks if c.verdict == "fail" and c.name in _NEEDED]
    broken = [finding("warn", "checks_failed", checks=", ".join(failed))] if failed else []
    # Who builds `block_configs` builds each layer for itself.
    is_nemotron = after.model.config.get("model_type") == NEMOTRON
    uneven = [] if is_nemotron else _uneven(after)
    built = [] if is_nemotron else _by_layer(after, uneven)
    linear = list(_linear(after, "feed-forward"))
    return (
        _engine(
            "transformers",
            [
                *_built(after, "transformers"),
                *_transformers(after),
                *_hugging_face(after, built),
                *broken,
            ],
        ),
        _engine(
            "vllm",
            [
                *_built(after, "vllm"),
                *_vllm(after),
                *_stacked(after),
                *_hugging_face(after, built),
                *broken,
            ],
        ),
        _engine(
            "llama.cpp",
            _built(after, "llama.cpp")
            or [
                *_unbroken(_names(after) or llama_cpp_findings(after, uneven, linear), broken),
                *_stacked(after),
                *broken,
                *linear,
            ],
        ),
    )


def _unbroken(findings: Iterable[Finding], broken: list[Finding]) -> list[Finding]:
    """`findings` without a word that all is well, where it is not."""
    return [one for one in findings if not broken or one.verdict != "pass"]


def _engine(name: str, findings: list[Finding]) -> Check:
    return judged("loading", name, findings or [finding("pass", "loads")])


def _built(after: Layout, engine: str) -> list[Finding]:
    """Whether the engine has the architecture at all: as the family's table says."""
    family, named = after.model.family, after.model.checkpoint.config.get("model_type")
    if engine in family.engines:
        return []
    # A Llama in another form: it is the form that is not built.
    is_form = form_of(named) == family.name
    return [finding("warn", "not_built", family=str(named) if is_form else family.name)]


def _uneven(after: Layout) -> list[Finding]:
    """The spaces that have not one length in all layers, as at most one finding."""
    found = []
    by_space: dict[str, set[int]] = {}
    for (layer, name), axes in after.axes.items():
        if layer is not None:
            lengths = by_space.setdefault(after.space(name).name, set())
            lengths.update(axis.length for axis in axes)
    for name in after.model.family.spaces:
        if len(by_space.get(name, ())) > 1:
            found.append(f"{name} {', '.join(map(str, sorted(by_space[name])))}")
    return [finding("warn", "layers_differ", lengths="; ".join(found))] if found else []


def _by_layer(after: Layout, uneven: list[Finding]) -> list[Finding]:
    """What stands against building all layers from the one config of the model, if anything."""
    code = _code(after)
    if uneven:
        return uneven if code is None else [finding("warn", "needs_code", file=code)]
    config, hidden = after.model.config, after.rows(None, "hidden")
    apart: dict[str, tuple[str, int, int]] = {}
    for layer, name in after.axes:
        space = after.space(name)
        stated, found = whole(config, space.config), after.units(layer, name)
        # That config.json is wrong of a layer is another check's finding.
        is_told = layer is not None and stated_of(after.model, space.config, layer) == found
        if is_told and stated and found and stated != found:
            apart.setdefault(space.name, (space.config, found, stated))
    if code is not None and hidden and "heads" in apart:
        heads = apart["heads"][1]
        return [finding("warn", "heads_need_code", heads=heads, hidden=hidden, file=code)]
    return [
        finding("warn", "by_layer", key=key, found=found, stated=stated)
        for key, found, stated in apart.values()
    ]


def _code(after: Layout, auto_class: str = "AutoModelForCausalLM") -> str | None:
    """The file in the folder that has what stock classes have not; None without one."""
    checkpoint = after.model.checkpoint
    auto_map = checkpoint.config.get("auto_map")
    name = auto_map.get(auto_class) if isinstance(auto_map, dict) else None
    if not isinstance(name, str) or not checkpoint.owns_home:
        return None
    file = f"{name.partition('.')[0]}.py"
    # A name of another place, as `owner/model--module.Class`, is nothing that lies here.
    return file if file[:-3].isidentifier() and checkpoint.home.has(file) else None


def _hugging_face(after: Layout, uneven: list[Finding]) -> Iterator[Finding]:
    """What transformers' configs and Llama modelling, which both engines use, ask for."""
    checkpoint = after.model.checkpoint
    yield from uneven
    if checkpoint.format == "GGUF":
        # Its config is its own, and makes no claim to be LlamaConfig's.
        return
    yield from _names(after)
    if not checkpoint.owns_home or not checkpoint.config:
        yield finding("warn", "needs_config")
    config = after.model.config
    if config.get("model_type") and not takes_heads(config):
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        yield finding("warn", "heads_refused", heads=heads, hidden=hidden)
    if PICKLED in checkpoint.metadata:
        yield finding("warn", "pickled_module", cls=checkpoint.metadata[PICKLED])
    elif checkpoint.metadata.get("prunescope.key"):
        yield finding("warn", "nested", key=checkpoint.metadata["prunescope.key"])
    if checkpoint.metadata.get(WRAPPERS):
        wrappers = checkpoint.metadata[WRAPPERS]
        yield finding("warn", "wrapped", wrappers=wrappers)
    if checkpoint.format == "torch distributed":
        yield finding("warn", "distributed")
    if any(t.parts and t.parts[0].start is None for t in checkpoint.tensors.values()):
        yield finding("skip", "quantised", dtype=next(iter(checkpoint.dtypes)))


def _names(after: Layout) -> list[Finding]:
    project = after.model.project
    return [] if project is None else [finding("warn", "other_names", project=project)]


def _transformers(after: Layout) -> Iterator[Finding]:
    checkpoint = after.model.checkpoint
    if checkpoint.format == "GGUF":
        yield finding("warn", "gguf_file")
    elif checkpoint.format != "torch distributed" and not any(map(checkpoint.home.has, _FILES)):
        names = ", ".join(file.name for file in checkpoint.files[:3])
        yield finding("warn", "file_names", names=names, wanted=", ".join(_FILES))


def _vllm(after: Layout) -> Iterator[Finding]:
    if after.model.checkpoint.format == "GGUF":
        yield finding("skip", "gguf_vllm")
    else:
        # DeciLMForCausalLM is vLLM's own, a config class for it is nobody's but the folder's.
        code = _code(after, "AutoConfig")
        if code is not None and after.model.config.get("model_type") == NEMOTRON:
            yield finding("warn", "config_needs_code", file=code)
        yield from _linear(after, "attention", "feed-forward")


def _linear(after: Layout, *parts: str) -> Iterator[Finding]:
    """Linear layers in the place of what the engine builds and no other."""
    for layer in after.model.layers:
        kinds = stated_kinds(after.model, layer)
        if "linear" in (kinds.get(part) for part in parts):
            yield finding("warn", "linear_layer", layer)


def _stacked(after: Layout) -> Iterator[Finding]:
    """Only transformers itself looks for experts under the names that it has in memory."""
    if STACKED in after.model.checkpoint.metadata:
        yield finding("warn", "stacked")
