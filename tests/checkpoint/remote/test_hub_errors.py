"""What a hub refuses is said in one line that tells what to do, and never shows a secret."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import huggingface_hub.constants
import pytest
from huggingface_hub import snapshot_download

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.remote import hub_api
from prunescope.errors import CheckpointError
from tests.checkpoint.remote.conftest import set_endpoint
from tests.support.hub import TOKEN, Hub, HubHandler
from tests.support.web import serve


def refused(name: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(name)
    message = str(caught.value)
    assert message.isprintable()
    assert TOKEN not in message
    return message


def with_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def without_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None: ...


def wrong_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")


def gated(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.models["org/small"].gated = True


def gated_with_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    gated(hub, monkeypatch)
    with_token(hub, monkeypatch)


Setting = Callable[[Hub, pytest.MonkeyPatch], None]
CASES: dict[str, tuple[Setting, str, str]] = {
    "unknown": (without_token, "org/none", "no such model on {host}, or one that is private or "
                "gated (HTTP 401): check the name, accept its licence at {url}/org/none and set "
                "HF_TOKEN"),
    "unknown, with token": (with_token, "org/none", "no such model on {host}, or HF_TOKEN may not "
                            "read it (HTTP 404): check the name, and its licence at "
                            "{url}/org/none"),
    "wrong token": (wrong_token, "org/small", "no such model on {host}, or HF_TOKEN may not read "
                    "it (HTTP 401): check the name, and its licence at {url}/org/small"),
    "unknown revision": (without_token, "org/small@v9", "has no revision 'v9': check the name"),
    "unknown file": (without_token, "org/small/none.bin", "has no file or folder 'none.bin'"),
    "gated": (gated, "org/small", "is gated (HTTP 401): accept its licence at {url}/org/small "
              "and set HF_TOKEN"),
    "gated, with token": (gated_with_token, "org/small", "is gated (HTTP 403): accept its licence "
                          "at {url}/org/small"),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "name", "cause"), CASES.values(), ids=CASES)
def test_a_refusal_says_what_to_do(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, setting: Setting, name: str, cause: str
) -> None:
    setting(hub, monkeypatch)
    expected = cause.format(host=hub.site.url.removeprefix("http://"), url=hub.site.url)

    message = refused(f"hf://{name}")

    assert message.startswith("hf://org/")
    assert message.endswith(f": {expected}")


def test_a_bare_id_that_is_nowhere_is_first_of_all_no_path(hub: Hub) -> None:
    message = refused("org/none")

    assert message.startswith("org/none: no such file or directory; as a hub's model: no such")


def test_a_hub_that_is_not_there_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    set_endpoint(monkeypatch, "http://127.0.0.1:9")
    message = refused("hf://org/small")
    assert message == "hf://org/small: 127.0.0.1:9 refuses connections"

    with monkeypatch.context() as patch:
        set_endpoint(patch, hub.site.url)
        hub.part_hosts()
        snapshot_download("org/small")
    assert refused("hf://org/small") == f"{message}; HF_HUB_OFFLINE=1 reads what is in the cache"


def test_a_file_that_the_content_network_refuses_is_named(hub: Hub) -> None:
    class Never(str):
        def __ne__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__

    hub.signature = Never("X-Signature=s3cret")

    message = refused("org/small")

    cdn = hub.cdn.url.removeprefix("http://")
    assert message.startswith(f"hf://org/small/model.safetensors: {cdn}, where the hub keeps")
    assert message.endswith("HTTP 403")
    assert "s3cret" not in message


ANSWERS: dict[str, tuple[str, str]] = {
    "html": ("<html>", "is no listing"),
    "list": ("[]", "is no listing"),
    "number": ("1", "is no listing"),
    "deep": ("[" * 100_000, "is no listing"),
    "no id": ("{}", "names no commit"),
    "no commit": ('{"id": "", "siblings": []}', "names no commit"),
    "a path for a commit": ('{"id": "", "sha": "../../etc", "siblings": []}', "names no commit"),
    "no files": (f'{{"id": "", "sha": "{"0" * 40}"}}', "no weights here"),
    "files that are no files": (
        f'{{"id": "", "sha": "{"0" * 40}", "siblings": [1, {{}}]}}',
        "is no listing",
    ),
    "names that are no names": (
        f'{{"id": "", "sha": "{"0" * 40}", "siblings": [{{"rfilename": [1]}}]}}',
        "no weights",
    ),
    "a name that leads out": (
        f'{{"id": "", "sha": "{"0" * 40}", "siblings": [{{"rfilename": "a\\\\..\\\\x.bin"}}]}}',
        "leads out of the folder",
    ),
}


@pytest.mark.parametrize(("text", "cause"), ANSWERS.values(), ids=ANSWERS)
def test_a_listing_from_a_stranger_is_checked(
    root: Path, monkeypatch: pytest.MonkeyPatch, text: str, cause: str
) -> None:
    class Strange(HubHandler):
        def answer(self, name: str) -> None:
            self.send_text(200, text)

    with serve(Strange, root) as site:
        set_endpoint(monkeypatch, site.url)
        assert cause in refused("hf://org/small")


def test_a_listing_that_drips_is_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dripping(HubHandler):
        def answer(self, name: str) -> None:
            self.start(200, {"Content-Length": "60000"})
            self.drip(bytes(600), 0.05)

    monkeypatch.setenv("PRUNESCOPE_TIMEOUT", "1")
    with serve(Dripping, root) as site:
        set_endpoint(monkeypatch, site.url)
        assert "has not answered within 1 s" in refused("hf://org/small")


@pytest.mark.parametrize("says_so", [True, False])
def test_a_listing_without_end_is_left(
    root: Path, monkeypatch: pytest.MonkeyPatch, says_so: bool
) -> None:
    monkeypatch.setattr(hub_api, "MAX_LISTING", 1 << 20)

    class Endless(HubHandler):
        def answer(self, name: str) -> None:
            self.start(200, {"Content-Length": str(1 << 40)} if says_so else {})
            with suppress(OSError):
                for _ in range(1 << 12):
                    self.send(b" " * (64 << 10))

    with serve(Endless, root) as site:
        set_endpoint(monkeypatch, site.url)
        assert "sends over 1 MiB for an answer" in refused("hf://org/small")
        # What the connection holds, and no more, was sent after it was left.
        assert site.sent < 32 << 20


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_token_does_not_follow_a_redirect(
    root: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    class Moved(HubHandler):
        def answer(self, name: str) -> None:
            self.send_text(status, "", Location=hub.site.url + self.path)

    with_token(hub, monkeypatch)
    with serve(Moved, root) as site:
        set_endpoint(monkeypatch, site.url)
        open_checkpoint("hf://org/small")

    assert all(one.headers["Authorization"] == f"Bearer {TOKEN}" for one in site.asked)
    assert all("Authorization" not in one.headers for one in hub.site.asked + hub.cdn.asked)


def test_a_token_that_no_header_can_hold_is_not_shown(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}\x01密")

    assert refused("hf://org/small").startswith("HF_TOKEN: holds characters that no token has")


@pytest.mark.parametrize(
    "name",
    ["hf://", "hf://a..b/c", "hf://datasets/org/data", "hf://org/small.git", "hf://@main",
     "hf://-a/b"],
)  # fmt: skip
def test_what_is_no_id_is_refused_without_a_request(hub: Hub, name: str) -> None:
    assert "is no " in refused(name)
    assert hub.site.asked == []


def test_a_wrong_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "hub.example")

    assert refused("hf://org/small").startswith("HF_ENDPOINT: leads to no://")
