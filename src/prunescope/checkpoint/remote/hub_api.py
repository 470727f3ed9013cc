"""What does a hub say of one model: its commit, its files, or why it says nothing?

huggingface_hub knows the token and how things are addressed. The listing is asked for here: its
own client would read it to its end, however long. The question and what is read of the answer:
https://huggingface.co/docs/hub/api#get-apimodelsrepoid-or-apimodelsrepoidrevisionrevision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from prunescope import __version__
from prunescope.checkpoint.jsonfile import MAX_JSON_FILE, parse_object
from prunescope.checkpoint.remote.files import NotThere, is_length
from prunescope.checkpoint.remote.replies import TransferError
from prunescope.checkpoint.remote.transport import Transport, failure
from prunescope.checkpoint.remote.urls import Url
from prunescope.checkpoint.remote.waiting import timeout, within
from prunescope.checkpoint.remote.web import refusal
from prunescope.errors import CheckpointError
from prunescope.extras import require

T = TypeVar("T")

_COMMIT = re.compile(r"[0-9a-f]{40}")
# As much as a file of JSON may have.
MAX_LISTING = MAX_JSON_FILE
# What is raised where an answer lacks what is looked for.
_MALFORMED = (AttributeError, LookupError, TypeError)


class Hub:
    """A hub, as far as one model is concerned.

    Attributes:
        place: what errors about the model name.
        model: its id.
        transport: fetches its files; the user's token goes to the hub's own origin alone.
    """

    def __init__(self, place: str, model: str, revision: str, endpoint: str) -> None:
        """`endpoint` is the hub's address.

        Raises:
            CheckpointError: the user's address or token of the hub cannot be used.
            MissingExtra: huggingface_hub or requests is not installed.
        """
        self.place, self.model, self._revision = place, model, revision
        self._hub = require("huggingface_hub", "remote")
        self._errors = require("huggingface_hub.errors", "remote")
        self._has_token = False
        try:
            self._url = Url.parse(endpoint)
        except ValueError as err:
            raise CheckpointError("HF_ENDPOINT", str(err)) from None
        build = require("huggingface_hub.utils", "remote").build_hf_headers
        try:
            # A token may have to be renewed first, by a request.
            headers = self._ask(
                partial(build, library_name="prunescope", library_version=__version__)
            )
        except TransferError as err:
            raise CheckpointError("HF_TOKEN", str(err)) from None
        token = headers.get("authorization", "")
        if not (token.isascii() and token.isprintable()):
            # The error of whoever puts it into a header would show it.
            raise CheckpointError("HF_TOKEN", "holds characters that no token has")
        self._has_token = bool(token)
        path = f"api/models/{model}/revision/{quote(revision, safe='')}?blobs=true"
        self._listing = Url.parse(f"{endpoint.rstrip('/')}/{path}")
        self.transport = Transport(self._url, headers)

    def at(self, path: str, commit: str) -> Url:
        """The address of the file `path` of the model."""
        return Url.parse(self._hub.hf_hub_url(self.model, path, revision=commit))

    def listing(self) -> tuple[str, dict[str, int | None]]:
        """The commit that the revision means, and the length of each file by path.

        Raises:
            TransferError: unknown, forbidden or unreachable, or no listing.
        """
        reply = self.transport.get_whole(self._listing, MAX_LISTING)
        if reply.status != 200:
            raise self.refusal(reply.status, reply.headers)
        try:
            info = parse_object(reply.data, self.place, "the listing")
            files = {
                str(file["rfilename"]): file.get("size") for file in info.get("siblings") or []
            }
        except CheckpointError as err:
            raise TransferError(f"the hub's answer is no listing of a model: {err.cause}") from None
        except _MALFORMED:
            raise TransferError("the hub's answer is no listing of a model") from None
        commit = info.get("sha")
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise TransferError("the hub's listing names no commit")
        return commit, {name: size if is_length(size) else None for name, size in files.items()}

    def refusal(self, status: int, headers: Mapping[str, str]) -> TransferError:
        """What the user can do about an answer without what was asked for."""
        code, where = headers.get("X-Error-Code"), self._url.host
        page = f"{str(self._url).rstrip('/')}/{self.model}"
        if code == "RevisionNotFound":
            return NotThere(f"has no revision {self._revision!r}: check the name")
        if code == "EntryNotFound":
            return NotThere("no such file (HTTP 404)")
        if code == "GatedRepo":
            todo = "" if self._has_token else " and set HF_TOKEN"
            return NotThere(f"is gated (HTTP {status}): accept its licence at {page}{todo}")
        if status in (401, 403, 404) and self._has_token:
            return NotThere(
                f"no such model on {where}, or HF_TOKEN may not read it (HTTP {status}): check "
                f"the name, and its licence at {page}"
            )
        if status in (401, 403, 404):
            return NotThere(
                f"no such model on {where}, or one that is private or gated (HTTP {status}): "
                f"check the name, accept its licence at {page} and set HF_TOKEN"
            )
        return refusal(status)

    def _ask(self, call: Callable[[], T]) -> Any:
        seconds = timeout()
        try:
            return within(seconds, call)
        except self._errors.HfHubHTTPError as err:
            raise self.refusal(err.response.status_code, err.response.headers) from None
        except Exception as err:  # its client's errors are those of the HTTP library of the day
            raise TransferError(failure(err, self._url, seconds)) from None
