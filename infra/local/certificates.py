"""The certificates by which the local stores are known: an authority, and one certificate for all of them."""

import os
import shutil
import ssl
from pathlib import Path

import tools
from console import run
from files import write_private

PROGRAM = Path(__file__).parent / "programs" / "make_certificates.py"
NAMES = ("authority.pem", "server.pem", "server.key")


def folder(stack) -> Path:
    return stack.folder / "data" / "certificates"


def authority(stack) -> Path:
    """Whom the stack's clients trust."""
    return folder(stack) / "authority.pem"


def ensure(stack) -> None:
    """Makes them, once for as long as the stack's data lives."""
    there = folder(stack)
    if there.exists():
        return
    # Whole or not at all.
    new = there.with_name("certificates.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    command = [tools.aws() / "python", PROGRAM, new]
    run(command, "making certificates", stack.folder / "log" / "certificates.log", "See the log.")
    os.rename(new, there)


def hand_to(stack, data: Path, user: str | None) -> None:
    """Copies them into a server's data, readable for the user that it runs as."""
    for name in NAMES:
        write_private(data / name, (folder(stack) / name).read_bytes(), user)


def context(stack) -> ssl.SSLContext:
    """For clients in Python: nothing is trusted but the stack's authority."""
    return ssl.create_default_context(cafile=str(authority(stack)))
