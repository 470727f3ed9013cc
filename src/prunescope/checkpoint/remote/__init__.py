"""Which place does an address name? A hub's model, a web server's file or an fsspec store.

Nothing here is imported for a path on this machine.
"""

from __future__ import annotations

from prunescope.checkpoint.storage import Folder


def locate(address: str) -> tuple[Folder, str | None]:
    """The folder at `address`, or that of the file at it and the file's name.

    Args:
        address: with its `scheme://`.

    Raises:
        CheckpointError: nothing can be read there.
        MissingExtra: what reaches that place is not installed.
    """
    scheme = address.partition("://")[0].lower()
    if scheme == "hf":
        from prunescope.checkpoint.remote import hub

        return hub.locate("hf" + address[2:])
    if scheme in ("http", "https"):
        from prunescope.checkpoint.remote import web

        return web.locate(address)
    from prunescope.checkpoint.remote import stores

    return stores.locate(address)
