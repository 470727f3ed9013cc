"""Which folder and which file does a path, an address or a hub's model id name?"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from prunescope.checkpoint.storage import Folder, LocalFolder
from prunescope.errors import CheckpointError, MissingExtra

# `org/model` or `org/model@revision`, as opposed to the path of a file.
_HUB_ID = re.compile(r"(\w[\w.-]*)/(?![^@]*\.(?:safetensors|bin|pth?|json|gguf)$)\w[\w.-]*(@\S+)?")


def locate(path: str | Path) -> tuple[Folder, str | None]:
    """The folder that `path` is, or that it lies in; and the file's name, where it is a file.

    Raises:
        CheckpointError: there is nothing of that name.
        MissingExtra: a remote place that needs a package that is not installed.
    """
    if path == "":
        raise CheckpointError("''", "no path is given: is a variable empty?")
    if isinstance(path, str) and "://" in path:
        if not path.startswith("file://"):
            from prunescope.checkpoint import remote

            return remote.locate(path)
        path = unquote(path.removeprefix("file://"))
    local = Path(path)
    try:
        if local.is_dir():
            return LocalFolder(local), None
        if local.exists():
            return LocalFolder(local.parent), local.name
    except OSError as err:
        raise CheckpointError(path, f"cannot be read ({err.strerror})") from None
    found = _HUB_ID.fullmatch(path) if isinstance(path, str) else None
    if found is None or Path(found[1]).exists():
        # Of `--original_model=~/model` no shell expands the ~.
        hint = ": ~ stands for itself here, write $HOME" if str(path).startswith("~") else ""
        raise CheckpointError(path, f"no such file or directory{hint}")
    return _on_hub(str(path))


def shown(path: str | Path) -> str:
    """`path` as it may be printed: without the secrets that an address may have."""
    if "://" not in str(path):
        return str(path)
    from prunescope.checkpoint.remote.urls import shown as without_secrets

    return without_secrets(str(path))


def _on_hub(name: str) -> tuple[Folder, str | None]:
    try:
        from prunescope.checkpoint.remote import hub

        return hub.locate(name)
    except CheckpointError as err:
        cause = f"no such file or directory; as a hub's model: {err.cause}"
        raise CheckpointError(name, cause) from None
    except MissingExtra as err:
        cause = f"no such file or directory; to look for it on a hub: {err}"
        raise CheckpointError(name, cause) from None
