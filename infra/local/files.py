"""Files with secrets in them."""

import os
import pwd
from pathlib import Path


def own(path: Path, user: str | None) -> None:
    """Gives a file to a user, where it is not this one."""
    if user:
        owner = pwd.getpwnam(user)
        os.chown(path, owner.pw_uid, owner.pw_gid)


def write_private(path: Path, content: str | bytes, user: str | None = None) -> Path:
    """Writes a file that only its owner reads, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    own(new, user)
    os.replace(new, path)
    return path
