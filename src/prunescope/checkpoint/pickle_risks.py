"""What may happen when a pickle's loader imports or calls this global?

Three classes:

- *safe*: what torch's own weights-only unpickler allows, and the functions by which numpy
  rebuilds arrays and scalars;
- *dangerous*: what runs commands or code, opens files or connections, or reaches such a thing by
  its name. Of the standard library that is every module not listed as harmless: lists of harmful
  ones have been got around again and again (picklescan's and fickling's advisories);
- *code*: everything else. Loading it imports a module and may run its code: that of a model's
  classes in a whole pickled model.
"""

from __future__ import annotations

import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from typing import Literal

from prunescope.checkpoint.pickle_names import (
    DANGEROUS,
    HARMLESS_BUILTINS,
    HARMLESS_NAMES,
    HARMLESS_STDLIB,
    LEADING,
    OTHER_STDLIB,
    SAFE,
)
from prunescope.checkpoint.pickle_values import COMPUTED, Global

Risk = Literal["dangerous", "code", "safe"]

_BUILTINS = "builtins"
# A name may have half a million parts.
_DEEPEST = max(path.count(".") for path in DANGEROUS) + 1
# TorchScript's lists of numbers; C++ reads them.
_SCRIPT_LISTS = "torch.jit._pickle"
# Found wherever a model is loaded.
_EVERYWHERE = frozenset({"torch", "numpy", "pandas"})


def risk_of(found: Global) -> Risk:
    """The class of the global; of its names in Python 2 and 3, the worse."""
    if found == COMPUTED:
        return "dangerous"
    if str(found) in SAFE:
        return "safe"
    spellings = {(found.module, found.name), _in_python_3(found.module, found.name)}
    if any(_is_dangerous(module, name) for module, name in spellings):
        return "dangerous"
    return "safe" if any(f"{module}.{name}" in SAFE for module, name in spellings) else "code"


def _in_python_3(module: str, name: str) -> tuple[str, str]:
    # As the unpickler itself does for protocols 0 to 2.
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name


def _is_dangerous(module: str, name: str) -> bool:
    first, rest = module.partition(".")[0], name.split(".")
    # Since protocol 4 a name may lead on through attributes, into whatever they are.
    if (len(rest) > 1 and any(map(_leads_on, rest))) or rest[-1].strip("_") in LEADING:
        return True
    if first == _BUILTINS:
        return rest[0] not in HARMLESS_BUILTINS and not _is_exception(rest[0])
    if module != _SCRIPT_LISTS and any(path in DANGEROUS for path in _paths(module, name)):
        return True
    if first in sys.stdlib_module_names or first in OTHER_STDLIB:
        # A private function, or a method taken as one (`Path.unlink`), reaches further.
        is_public_class = len(rest) == 1 and not name.startswith("_")
        is_harmless = first in HARMLESS_STDLIB and is_public_class
        return not is_harmless and (module, name) not in HARMLESS_NAMES
    return first in _EVERYWHERE and len(rest) > 1 and rest[-1].strip("_")[:1].islower()


def _leads_on(part: str) -> bool:
    is_dunder = part.startswith("__") and part.endswith("__")
    return is_dunder or part in LEADING or part in {"eval", "exec", "builtins"}


def _is_exception(name: str) -> bool:
    return name.endswith(("Error", "Exception", "Warning", "Iteration"))


def _paths(module: str, name: str) -> Iterator[str]:
    """`a`, `a.b`, … of `a.b` and its `name`, as far as `DANGEROUS` goes."""
    parts = f"{module}.{name}".split(".", _DEEPEST)[:_DEEPEST]
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))
