"""Which files does a model of a hub have, and which of them are in the local cache already?

huggingface_hub reads the address, asks the hub and finds what is in the cache; its environment
variables are the user's controls: HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from prunescope.checkpoint.folder import find_weights
from prunescope.checkpoint.remote.files import Listed, NotThere, RemoteFile
from prunescope.checkpoint.remote.hub_api import Hub
from prunescope.checkpoint.remote.replies import Reply, TransferError
from prunescope.checkpoint.remote.urls import Url
from prunescope.checkpoint.remote.web import WebSource
from prunescope.checkpoint.storage import File, Folder, LocalFolder, check_name
from prunescope.errors import CheckpointError
from prunescope.extras import require


def locate(text: str) -> tuple[Folder, str | None]:
    """The folder at `org/model[@revision][/path]`, or that of the file there and the file's name.

    Args:
        text: with or without `hf://`.

    Raises:
        CheckpointError: unknown, forbidden or unreachable; or offline and not in the cache.
        MissingExtra: huggingface_hub is not installed.
    """
    constants = require("huggingface_hub.constants", "remote")
    parse = require("huggingface_hub.utils", "remote").parse_hf_uri
    try:
        uri = parse("hf://" + text.removeprefix("hf://").rstrip("/"))
    except ValueError:
        uri = None
    if uri is None or uri.type != "model":
        raise CheckpointError(text, "is no hf://org/model[@revision][/file]")
    model, revision, path = uri.id, uri.revision or "main", uri.path_in_repo
    place = f"hf://{model}" + (f"@{revision}" if revision != "main" else "")
    check_name(place, revision)
    check_name(place, path)
    cached = _cached(model, revision)
    if constants.HF_HUB_OFFLINE:
        wanted = cached / path if cached else None
        if wanted is None or not wanted.exists():
            raise CheckpointError(
                f"{place}/{path}".rstrip("/"),
                f"is not in the hub's cache ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE is "
                "set: download it first",
            )
        if wanted.is_file():
            return LocalFolder(wanted.parent), wanted.name
        return LocalFolder(wanted), None
    hub = Hub(place, model, revision, constants.ENDPOINT)
    try:
        commit, sizes = hub.listing()
    except TransferError as err:
        hint = "; HF_HUB_OFFLINE=1 reads what is in the cache" if cached else ""
        cause = str(err) if isinstance(err, NotThere) else f"{err}{hint}"
        raise CheckpointError(place, cause) from None
    folder, slash, name = path.rpartition("/") if path in sizes else (path, "/", "")
    prefix = folder + slash if folder else ""
    inside = {
        file.removeprefix(prefix): size for file, size in sizes.items() if file.startswith(prefix)
    }
    if not inside and prefix:
        raise CheckpointError(place, f"has no file or folder {path!r}")
    return HubFolder(hub, commit, prefix, inside), name or None


def _cached(model: str, revision: str) -> Path | None:
    """Where the cache has what has been downloaded of a model, whole or not."""
    cache = Path(require("huggingface_hub.constants", "remote").HF_HUB_CACHE)
    # https://huggingface.co/docs/huggingface_hub/guides/manage-cache. Where nothing is, whoever
    # looks closer takes longer to import than the model to open.
    if not (cache / "--".join(("models", *model.split("/")))).is_dir():
        return None
    hub = require("huggingface_hub", "remote")
    try:
        # With no pattern it asks for no file, and so misses none.
        return Path(hub.snapshot_download(
            model, revision=revision, local_files_only=True, allow_patterns=[],
        ))  # fmt: skip
    except (OSError, ValueError):
        return None


class HubFolder(Listed):
    """A model's files at one commit; those in the cache are read from there."""

    def __init__(self, hub: Hub, commit: str, prefix: str, sizes: dict[str, int | None]) -> None:
        """`prefix` is the folder in the model, with a slash at its end, or empty."""
        super().__init__("/".join(filter(None, (hub.place, prefix.rstrip("/")))), sizes)
        self._hub = hub
        self._commit = commit
        self._prefix = prefix
        self._snapshot = _cached(hub.model, commit)

    @property
    def local(self) -> Path | None:
        """The cache's folder, where it has all the weights; None otherwise."""
        try:
            whole = all(file.local for file in find_weights(self)[0].values())
        except CheckpointError:
            return None
        return self._snapshot / self._prefix if self._snapshot and whole else None

    def close(self) -> None:
        """Let go of idle connections."""
        self._hub.transport.close()

    @property
    def traffic(self) -> tuple[int, int]:
        """Requests sent and bytes received so far, the listing's included."""
        return self._hub.transport.requests, self._hub.transport.received

    def _make(self, name: str) -> File:
        if not self.has(name):
            raise CheckpointError(f"{self}/{name}", "no such file")
        size, path = self._sizes[name], PurePosixPath(self._prefix + name)
        cached = self._snapshot / path if self._snapshot else None
        # The cache gives a file its name only once it is whole.
        if self._snapshot and cached and cached.is_file() and cached.stat().st_size == size:
            return LocalFolder(self._snapshot).file(str(path))
        source = _HubSource(self._hub, self._hub.at(str(path), self._commit))
        return RemoteFile(path.name, f"{self}/{name}", source.fetch, size)


class _HubSource(WebSource):
    def __init__(self, hub: Hub, url: Url) -> None:
        super().__init__(hub.transport, url)
        self._hub, self._origin = hub, url.origin

    def explain(self, reply: Reply) -> TransferError:
        if reply.url.origin != self._origin:
            return TransferError(
                f"{reply.url.host}, where the hub keeps it, says HTTP {reply.status}"
            )
        return self._hub.refusal(reply.status, reply.headers)
