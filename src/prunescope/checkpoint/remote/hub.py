"""Which files does a model of a hub have, and which of them are in the local cache already?

Files: `GET /{id}/resolve/{commit}/{file}`. Cache: `models--{org}--{name}/` with `refs/{revision}`
and `snapshots/{commit}/` (https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
The user's controls are huggingface_hub's environment variables: HF_TOKEN, HF_HOME, HF_HUB_CACHE,
HF_ENDPOINT, HF_HUB_OFFLINE.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import quote

from prunescope.checkpoint.folder import find_weights
from prunescope.checkpoint.remote.files import Listed, RemoteFile
from prunescope.checkpoint.remote.hub_api import COMMIT, Hub, HubAddress
from prunescope.checkpoint.remote.replies import Reply, TransferError
from prunescope.checkpoint.remote.urls import Url
from prunescope.checkpoint.remote.web import WebSource
from prunescope.checkpoint.storage import File, Folder, LocalFolder, check_name
from prunescope.errors import CheckpointError
from prunescope.extras import require


def locate(text: str) -> tuple[Folder, str | None]:
    """The folder at an address of a hub, or that of the file at it and the file's name.

    Raises:
        CheckpointError: unknown, forbidden or unreachable; or offline and not in the cache.
        MissingExtra: huggingface_hub is not installed.
    """
    constants = require("huggingface_hub.constants", "remote")
    address = HubAddress.parse(text)
    cache = Path(constants.HF_HUB_CACHE) / f"models--{address.model.replace('/', '--')}"
    if constants.HF_HUB_OFFLINE:
        return _offline(address, cache)
    hub = Hub(address, constants.ENDPOINT)
    commit, sizes = hub.listing(cache.is_dir())
    name = address.path if address.path in sizes else None
    prefix = "" if not address.path else address.path.rstrip("/") + "/"
    if name is not None:
        prefix, name = name[: name.rfind("/") + 1], name.rpartition("/")[2]
    inside = {
        path.removeprefix(prefix): size for path, size in sizes.items() if path.startswith(prefix)
    }
    if not inside and prefix:
        raise CheckpointError(address, f"has no file or folder {address.path!r}")
    return HubFolder(hub, commit, prefix, inside, cache / "snapshots" / commit), name


def _offline(address: HubAddress, cache: Path) -> tuple[LocalFolder, str | None]:
    folder = LocalFolder(cache)
    check_name(folder, address.revision)
    check_name(folder, address.path)
    try:
        commit = (cache / "refs" / address.revision).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        commit = address.revision
    snapshot = cache / "snapshots" / commit
    wanted = snapshot / address.path
    if not COMMIT.fullmatch(commit) or not wanted.exists():
        raise CheckpointError(
            f"{address}/{address.path}".rstrip("/"),
            f"is not in the hub's cache ({cache}), and HF_HUB_OFFLINE is set: download it first",
        )
    return (LocalFolder(wanted.parent), wanted.name) if wanted.is_file() else (
        LocalFolder(wanted), None
    )  # fmt: skip


class HubFolder(Listed):
    """A model's files at one commit; those in the cache are read from there."""

    def __init__(
        self,
        hub: Hub,
        commit: str,
        prefix: str,
        sizes: dict[str, int | None],
        snapshot: Path,
    ) -> None:
        """`prefix` is the folder in the model, with a slash at its end, or empty."""
        super().__init__("/".join(filter(None, (str(hub.address), prefix.rstrip("/")))), sizes)
        self._hub = hub
        self._commit = commit
        self._prefix = prefix
        self._snapshot = snapshot

    @property
    def local(self) -> Path | None:
        """The cache's folder, where it has all the weights; None otherwise."""
        try:
            whole = all(file.local for file in find_weights(self)[0].values())
        except CheckpointError:
            return None
        return self._snapshot / self._prefix if whole else None

    def close(self) -> None:
        """Let go of idle connections."""
        self._hub.transport.close()

    @property
    def traffic(self) -> tuple[int, int]:
        """Requests sent and bytes received so far."""
        return self._hub.transport.requests, self._hub.transport.received

    def _make(self, name: str) -> File:
        if not self.has(name):
            raise CheckpointError(f"{self}/{name}", "no such file")
        size, path = self._sizes[name], PurePosixPath(self._prefix + name)
        cached = self._snapshot / path
        # The cache gives a file its name only once it is whole.
        if cached.is_file() and cached.stat().st_size == size:
            return LocalFolder(self._snapshot).file(str(path))
        url = self._hub.at(f"{self._hub.address.model}/resolve/{self._commit}/{quote(str(path))}")
        source = _HubSource(self._hub, url)
        return RemoteFile(path.name, f"{self}/{name}", source.fetch, size)


class _HubSource(WebSource):
    def __init__(self, hub: Hub, url: Url) -> None:
        super().__init__(hub.transport, url)
        self._hub = hub

    def explain(self, reply: Reply) -> TransferError:
        return self._hub.refusal(reply)
