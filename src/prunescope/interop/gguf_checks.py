"""May this model be written for llama.cpp, and as which of its architectures?"""

from __future__ import annotations

from prunescope.analysis.axes import Layout
from prunescope.analysis.llama_cpp_config import objection
from prunescope.analysis.llama_cpp_fit import fit, unwanted
from prunescope.architecture import Role, load_family
from prunescope.architecture.tables import family_names
from prunescope.architecture.tensor_names import ANY, numbered
from prunescope.errors import ArchitectureError, CheckpointError, printable
from prunescope.interop.agreement import check_sizes


def architecture_of(found: Layout) -> tuple[str, bool]:
    """The architecture that is written, and whether layers differ.

    Raises:
        ArchitectureError, CheckpointError: no architecture computes what the model does, or it is
            not whole.
    """
    model = found.model
    config, where = model.checkpoint.config, model.checkpoint.path
    fitting, told = fit(found), model.family.llama_cpp
    if fitting is None or told is None or not config.get("model_type"):
        known = [name for name in family_names() if _is_written(name)]
        shown = printable(repr(config.get("model_type")), 40)
        raise ArchitectureError(
            f"{where}: GGUF export knows the families {', '.join(known)}, not model_type {shown}: "
            "use llama.cpp's convert_hf_to_gguf.py, where layers differ in shape on what --uniform "
            "has padded"
        )
    if fitting.strange:
        raise ArchitectureError(
            f"{where}: layer {fitting.strange[0]} has no experts, and llama.cpp's {fitting.usual} "
            "has them in all"
        )
    if fitting.is_partly_rotated:
        raise ArchitectureError(
            f"{where}: llama.cpp's {fitting.usual} rotates all rows of a head, and config.json's "
            "partial_rotary_factor a part"
        )
    cause = objection(found, fitting)
    if cause is not None:
        raise ArchitectureError(f"{where}: {cause}")
    check_sizes(model)
    _check_whole(found)
    if fitting.architecture is None and fitting.is_uneven:
        raise ArchitectureError(
            f"{where}: layers differ, and llama.cpp's {fitting.usual} takes one shape for all: "
            "convert to hf with --uniform first, and the result to gguf"
        )
    if fitting.architecture is None:
        raise ArchitectureError(
            f"{where}: llama.cpp's {fitting.usual} takes heads that fill the hidden size alone, "
            "which these do not: prune channels instead"
        )
    return fitting.architecture, fitting.is_uneven


def _is_written(name: str) -> bool:
    told = load_family(name).llama_cpp
    return told is not None and bool(told.architectures)


def _check_whole(found: Layout) -> None:
    model = found.model
    where, others = model.checkpoint.path, unwanted(model.family)
    wanted = {name for name in model.family.layer if name not in model.family.optional}
    for layer in model.layers:
        have = {t.name for module in model.layers[layer].values() for t in module.tensors}
        for name in sorted(name for name in wanted if not name.startswith(others)):
            experts = range(found.units(layer, "experts") or 1) if ANY in name else (None,)
            for expert in experts:
                full = f"{model.family.layer_prefix}{layer}.{numbered(name, expert)}"
                if full not in have:
                    raise CheckpointError(where, f"tensor {full!r} is missing")
    for role in (Role.EMBEDDING, Role.FINAL_NORM):
        if role not in model.outside:
            raise CheckpointError(where, f"has no {role.title.lower()}")
    if Role.HEAD not in model.outside and model.config.get("tie_word_embeddings") is False:
        raise CheckpointError(where, "has no output head, and config.json ties none")
