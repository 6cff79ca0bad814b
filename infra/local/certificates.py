"""The certificates by which the local stores are known: an authority, and one certificate for all of them."""

import os
import shutil
import ssl
from pathlib import Path

import trustme

from files import write_private


def folder(stack) -> Path:
    return stack.folder / "data" / "certificates"


def authority(stack) -> Path:
    """Whom the stack's clients trust."""
    return folder(stack) / "authority.pem"


def ensure(stack) -> None:
    """Creates the certificates once; they live as long as the stack's data. The authority's key is not kept."""
    there = folder(stack)
    if there.exists():
        return
    # Whole or not at all.
    new = there.with_name("certificates.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    made = trustme.CA(organization_name="Admit's local authority")
    server = made.issue_cert("localhost", "127.0.0.1", common_name="localhost")
    made.cert_pem.write_to_path(new / "authority.pem")
    server.cert_chain_pems[0].write_to_path(new / "server.pem")
    write_private(new / "server.key", server.private_key_pem.bytes())
    os.rename(new, there)


def hand_to(stack, data: Path, user: str | None) -> None:
    """Copies them into a server's data, readable for the user that it runs as."""
    for name in ("authority.pem", "server.pem", "server.key"):
        write_private(data / name, (folder(stack) / name).read_bytes(), user)


def context(stack) -> ssl.SSLContext:
    """For clients in Python: nothing is trusted but the stack's authority."""
    return ssl.create_default_context(cafile=str(authority(stack)))
