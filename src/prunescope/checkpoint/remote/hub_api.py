"""What does a hub say of one model: its commit, its files, or why it says nothing?

API: https://huggingface.co/docs/hub/api, `GET /api/models/{id}/revision/{revision}?blobs=true`.
huggingface_hub knows the token and what an id may be; the requests are ours, because theirs have
neither a bound nor an end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote

from prunescope.checkpoint.jsonfile import parse_object
from prunescope.checkpoint.remote.files import NotThere, is_length
from prunescope.checkpoint.remote.replies import Reply, TransferError
from prunescope.checkpoint.remote.transport import Transport
from prunescope.checkpoint.remote.urls import Url
from prunescope.checkpoint.remote.web import refusal
from prunescope.errors import CheckpointError
from prunescope.extras import require

COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX_LISTING = 16 << 20
# A revision of a pull request has slashes; any other slash is written %2F, as in hf:// elsewhere.
_ADDRESS = re.compile(
    r"(?P<id>[^/@]+(?:/[^/@]+)?)(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?"
    r"(?:/(?P<path>.*))?"
)


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A model, a revision of it, and a file or folder in it (`""`: all of it)."""

    model: str
    revision: str
    path: str

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """What `org/model@revision/path`, with or without `hf://`, names.

        Raises:
            CheckpointError: nothing that a hub of models can have.
        """
        found = _ADDRESS.fullmatch(text.removeprefix("hf://").rstrip("/"))
        if not found or found["id"].partition("/")[0] in ("datasets", "spaces", "buckets"):
            raise CheckpointError(text, "is no hf://org/model[@revision][/file]")
        utils = require("huggingface_hub.utils", "remote")
        try:
            utils.validate_repo_id(found["id"])
        except ValueError:
            raise CheckpointError(text, "is no model id as a hub gives them") from None
        return cls(found["id"], unquote(found["revision"] or "main"), found["path"] or "")

    def __str__(self) -> str:
        return f"hf://{self.model}" + (f"@{self.revision}" if self.revision != "main" else "")


class Hub:
    """A hub, as far as one model is concerned."""

    def __init__(self, address: HubAddress, endpoint: str) -> None:
        """`endpoint` is the hub's address; the user's token goes there and nowhere else."""
        self.address = address
        try:
            self.url = Url.parse(endpoint)
        except ValueError as err:
            raise CheckpointError("HF_ENDPOINT", str(err)) from None
        token = _token()
        self.has_token = token is not None
        self.transport = Transport(self.url, f"Bearer {token}" if token else None)

    def at(self, path: str, query: str = "") -> Url:
        """The address of an already quoted `path` under the endpoint."""
        return replace(self.url, target=f"{self.url.target.rstrip('/')}/{path}{query}")

    def listing(self, cached: bool) -> tuple[str, dict[str, int | None]]:
        """The commit that the revision means, and the length of each of its files by path.

        Args:
            cached: whether something of the model is in the cache, should the hub not answer.

        Raises:
            CheckpointError: as `locate`.
        """
        place, revision = str(self.address), quote(self.address.revision, safe="")
        url = self.at(f"api/models/{self.address.model}/revision/{revision}", "?blobs=true")
        try:
            reply = self.transport.get(url, 0, _MAX_LISTING)
            if reply.status not in (200, 206):
                raise self.refusal(reply)
        except NotThere as err:
            raise CheckpointError(place, str(err)) from None
        except TransferError as err:
            hint = "; HF_HUB_OFFLINE=1 reads what is in the cache" if cached else ""
            raise CheckpointError(place, f"{err}{hint}") from None
        if reply.total is None or reply.total > len(reply.data):
            raise CheckpointError(place, f"its listing is over {_MAX_LISTING >> 20} MiB")
        answer = parse_object(reply.data, place, "the hub's listing")
        commit, siblings = answer.get("sha"), answer.get("siblings")
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise CheckpointError(place, "the hub's listing names no commit")
        return commit, dict(_sizes(siblings if isinstance(siblings, list) else []))

    def refusal(self, reply: Reply) -> TransferError:
        """What the user can do about an answer without what was asked for."""
        code, status, where = reply.headers.get("X-Error-Code"), reply.status, self.url.authority
        if reply.url.origin != self.url.origin:
            return TransferError(f"{reply.url.host}, where the hub keeps it, says HTTP {status}")
        page = f"{str(self.url).rstrip('/')}/{self.address.model}"
        if code == "RevisionNotFound":
            return NotThere(f"has no revision {self.address.revision!r}: check the name")
        if code == "EntryNotFound":
            return NotThere("no such file (HTTP 404)")
        if code == "GatedRepo":
            todo = "" if self.has_token else " and set HF_TOKEN"
            return NotThere(f"is gated (HTTP {status}): accept its licence at {page}{todo}")
        if status in (401, 403, 404) and self.has_token:
            return NotThere(
                f"no such model on {where}, or HF_TOKEN may not read it (HTTP {status}): check "
                f"the name, and its licence at {page}"
            )
        if status in (401, 403, 404):
            return NotThere(
                f"no such model on {where}, or one that is private or gated (HTTP {status}): "
                f"check the name, accept its licence at {page} and set HF_TOKEN"
            )
        return refusal(reply)


def _sizes(siblings: list[Any]) -> list[tuple[str, int | None]]:
    found = []
    for entry in siblings:
        if isinstance(entry, dict) and isinstance(entry.get("rfilename"), str):
            size = entry.get("size")
            found.append((entry["rfilename"], size if is_length(size) else None))
    return found


def _token() -> str | None:
    constants = require("huggingface_hub.constants", "remote")
    if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        return None
    token: str | None = require("huggingface_hub", "remote").get_token()
    if token is not None and not (token.isascii() and token.isprintable()):
        # The error of whoever puts it into a header would show it.
        raise CheckpointError("HF_TOKEN", "holds characters that no token has")
    return token
