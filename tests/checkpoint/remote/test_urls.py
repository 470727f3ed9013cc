"""A URL is taken apart as the standard says, and nothing secret of it is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.remote.urls import Url, shown, without_secrets
from prunescope.errors import CheckpointError
from tests.support.web import FolderHandler, serve


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://host/a/b.bin", "https://host/a/b.bin"),
        ("https://user:p@ss@host:8443/b?sig=x#y", "https://host:8443/b"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("hf://org/model@main", "hf://org/model@main"),
        ("/a/local@path?x", "/a/local@path?x"),
    ],
)
def test_what_is_shown(text: str, safe: str) -> None:
    assert shown(text) == safe


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/x", "http://h:81/x"),
        ("x?y=1", "http://h:81/a/x"),
        ("//other/x", "http://other/x"),
        ("https://other:443/x", "https://other:443/x"),
        ("http://[::1]:8/x", "http://[::1]:8/x"),
        ("../../x", "http://h:81/x"),
    ],
)
def test_where_a_redirect_leads(location: str, leads_to: str) -> None:
    here = Url.parse("http://u:p@h:81/a/b")

    there = here.joined(location)

    assert str(there) == leads_to
    # Same scheme, host and port: only there do the credentials go.
    assert (there.login is not None) == leads_to.startswith("http://h:81/")


@given(st.text())
def test_any_text_is_a_url_or_refused_in_one_line(text: str) -> None:
    for candidate in (text, f"http://{text}", f"https://h/{text}"):
        try:
            said = Url.parse(candidate).text
            assert said.isascii()
            assert " " not in said
        except ValueError as err:
            said = str(err)
        assert said.isprintable()


def test_a_librarys_message_loses_the_secrets() -> None:
    address = "s3://key:s3cret@bucket/a?X-Sig=abc"

    message = without_secrets("no access with key:s3cret (s3cret), X-Sig=abc, to bucket", address)

    assert message == "no access with … (…), …, to bucket"


def test_requests_go_through_the_users_proxy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Proxy(FolderHandler):
        def answer(self, name: str) -> None:
            super().answer(name.removeprefix("http://models.example/"))

    with serve(Proxy, root) as site:
        address = site.url.replace("//", "//me:p4ss@")
        monkeypatch.setenv("http_proxy", address)
        opened = open_checkpoint("http://models.example/small/model.safetensors")
        assert opened.config["model_type"] == "llama"
        # base64 of "me:p4ss"
        assert {one.headers["Proxy-Authorization"] for one in site.asked} == {"Basic bWU6cDRzcw=="}

        monkeypatch.setenv("https_proxy", address)
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint("https://models.example/small/model.safetensors")
        # That server knows no CONNECT.
        assert "Tunnel connection failed: 501" in str(caught.value)
        assert "p4ss" not in str(caught.value)


@pytest.mark.parametrize(
    "proxy", ["socks5://me:p4ss@127.0.0.1:9", "http://me:p4ss@[::1", "ftp://me:p4ss@127.0.0.1:9"]
)
def test_a_proxy_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)

    with pytest.raises(CheckpointError, match="cannot be fetched") as caught:
        open_checkpoint("http://models.example/small/model.safetensors")

    assert "p4ss" not in str(caught.value)


def test_a_password_in_netrc_is_not_sent(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password p4ss\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    with serve(FolderHandler, root) as site:
        open_checkpoint(f"{site.url}/small/model.safetensors")

    assert all("Authorization" not in one.headers for one in site.asked)
