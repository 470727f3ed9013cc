"""A model hub on loopback: the API paths that huggingface_hub asks for, and a content network.

Paths and headers as documented (https://huggingface.co/docs/hub/api) and as huggingface_hub's own
client needs them: weights are "LFS" files, which `resolve` redirects to another origin.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.support.web import FolderHandler, Site, serve

TOKEN = "hf_" + "s3cret" * 5


@dataclass
class Model:
    """A model's files at one commit, and who may read them."""

    folder: Path
    commit: str = "c" * 40
    gated: bool = False
    private: bool = False
    revisions: tuple[str, ...] = ("main",)

    def files(self) -> list[str]:
        found = (p for p in self.folder.rglob("*") if p.is_file())
        return sorted(str(p.relative_to(self.folder)) for p in found)


@dataclass
class Hub:
    """Both servers' logs, the models by id, and how they are served.

    Attributes:
        signature: the query that the content network asks for.
        round_trip: seconds before an answer.
        datasets: data sets by id, as models are.
    """

    site: Site
    cdn: Site
    signature: str = "X-Signature=s1gned"
    round_trip: float = 0.0
    models: dict[str, Model] = field(default_factory=dict)
    datasets: dict[str, Model] = field(default_factory=dict)

    def part_hosts(self) -> None:
        """Gives the content network a host name of its own.

        Before 2.2 huggingface_hub tells two servers apart by that alone, not by the port.
        """
        self.cdn.url = self.cdn.url.replace("127.0.0.1", "localhost")


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


class HubHandler(FolderHandler):
    """`/api/models/…` and `/{id}/resolve/…`; of data sets, `/api/datasets/…` and `/datasets/…`."""

    hub: Hub

    def answer(self, name: str) -> None:
        time.sleep(self.hub.round_trip)
        # A revision may hold a quoted slash: split first, unquote then.
        parts = self.path.partition("?")[0].lstrip("/").split("/")
        if parts[:2] == ["api", "datasets"] or parts[0] == "datasets":
            self.answer_of_data(parts)
        elif parts[:2] == ["api", "models"]:
            model = self.allowed("/".join(parts[2:4]), gated=False)
            if model is None:
                return
            what, revision = ([*parts[4:], "revision", "main"])[:2]
            if not self.has(model, unquote(revision)):
                return
            if what == "tree":
                self.send_json([self.tree_entry(model, name) for name in model.files()])
            else:
                self.send_info("/".join(parts[2:4]), model)
        elif len(parts) > 3 and parts[2] == "resolve":
            model = self.allowed("/".join(parts[:2]), gated=True)
            if model and self.has(model, unquote(parts[3])):
                self.resolve(model, unquote("/".join(parts[4:])))
        else:
            self.send_text(404, "")

    def answer_of_data(self, parts: list[str]) -> None:
        is_api = parts.pop(0) == "api"
        data_id, rest = "/".join(parts[is_api : is_api + 2]), parts[is_api + 2 :]
        data = self.hub.datasets.get(data_id)
        what, revision, *inside = rest or ["revision", "main"]
        if data is None:
            self.send_text(404, "", X_Error_Code="RepoNotFound")
        elif not self.has(data, unquote(revision)):
            return
        elif not is_api:
            self.resolve(data, unquote("/".join(inside)))
        elif what == "tree":
            self.send_tree(data, unquote("/".join(inside)))
        else:
            self.send_info(data_id, data)

    def send_tree(self, data: Model, inside: str) -> None:
        folder = data.folder / inside
        if not folder.is_dir():
            self.send_text(404, "", X_Error_Code="EntryNotFound")
            return
        deep = "recursive=true" in self.path.lower()
        entries = []
        for path in sorted(folder.rglob("*") if deep else folder.iterdir()):
            name = str(path.relative_to(data.folder))
            folder_entry = {"type": "directory", "path": name, "size": 0, "oid": "0" * 40}
            entries.append(self.tree_entry(data, name) if path.is_file() else folder_entry)
        self.send_json(entries)

    def allowed(self, model_id: str, gated: bool) -> Model | None:
        model = self.hub.models.get(model_id)
        token = self.headers.get("Authorization")
        if token not in (None, f"Bearer {TOKEN}"):
            message = "Invalid credentials in Authorization header"
            self.send_text(401, "", X_Error_Message=message)
        elif model is None or (model.private and token is None):
            # As the hub does: strangers are not told which models exist.
            self.send_text(404 if token else 401, "", X_Error_Code="RepoNotFound")
        elif gated and model.gated:
            self.send_text(403 if token else 401, "", X_Error_Code="GatedRepo")
        else:
            return model
        return None

    def has(self, model: Model, revision: str) -> bool:
        if revision in (*model.revisions, model.commit):
            return True
        self.send_text(404, "", X_Error_Code="RevisionNotFound")
        return False

    def send_info(self, model_id: str, model: Model) -> None:
        siblings = []
        for name in model.files():
            entry: dict[str, Any] = {"rfilename": name}
            if "blobs=true" in self.path.lower():
                entry["size"] = (model.folder / name).stat().st_size
            siblings.append(entry)
        self.send_json({"id": model_id, "sha": model.commit, "siblings": siblings})

    def tree_entry(self, model: Model, name: str) -> dict[str, Any]:
        size = (model.folder / name).stat().st_size
        entry: dict[str, Any] = {"type": "file", "path": name, "size": size, "oid": etag(name)[:40]}
        if is_large(name):
            entry["lfs"] = {"oid": etag(name), "size": size, "pointerSize": 130}
        return entry

    def resolve(self, model: Model, name: str) -> None:
        file = model.folder / name
        if not file.is_file():
            self.send_text(404, "", X_Error_Code="EntryNotFound", X_Repo_Commit=model.commit)
            return
        headers = {"X-Repo-Commit": model.commit, "ETag": f'"{etag(name)[:40]}"'}
        if is_large(name):
            size = str(file.stat().st_size)
            headers |= {"X-Linked-Size": size, "X-Linked-ETag": f'"{etag(name)}"'}
            place = quote(str(file.relative_to(self.root)))
            headers["Location"] = f"{self.hub.cdn.url}/{place}?{self.hub.signature}"
            self.send_text(302, "Found", **headers)
        else:
            self.send_file(file, **headers)

    def send_json(self, value: Any) -> None:
        self.send_text(200, json.dumps(value), **{"Content-Type": "application/json"})


class CdnHandler(FolderHandler):
    """Serves what is signed, and refuses whoever sends it a token, as S3 does."""

    hub: Hub

    def answer(self, name: str) -> None:
        time.sleep(self.hub.round_trip)
        if "Authorization" in self.headers:
            self.send_text(400, "only one auth mechanism allowed")
        elif self.path.partition("?")[2] != self.hub.signature:
            self.send_text(403, "signature expired")
        else:
            super().answer(name)


def etag(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@contextmanager
def serve_hub(root: Path) -> Iterator[Hub]:
    """A hub whose models lie in folders under `root`."""
    with ExitStack() as stack:
        hub = Hub(Site(""), Site(""))
        hub.cdn = stack.enter_context(serve(CdnHandler, root, hub=hub))
        hub.site = stack.enter_context(serve(HubHandler, root, hub=hub))
        yield hub
