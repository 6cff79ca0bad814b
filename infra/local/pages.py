"""The pages in a real browser: see tests/pages."""

import hashlib
import os
import shutil
from pathlib import Path

import tools
from console import Failure, follow, run, say, step
from tools import ROOT

FOLDER = ROOT / "tests" / "pages"


def try_out(stack) -> None:
    """Tries the pages of a running stack; a test that fails fails."""
    say("\nTrying the pages in Chromium")
    if browse(stack, {}) != 0:
        raise Failure("The pages do not do what tests/pages/shop.mjs expects.")


def take_pictures(stack) -> None:
    """Writes the README's pictures."""
    if browse(stack, {"SHOTS": str(ROOT / "docs")}) != 0:
        raise Failure("No pictures were taken.")
    say("  wrote docs/shop-event.png and docs/shop-hold.png")


def browse(stack, settings: dict[str, str]) -> int:
    tools.install_packages({name: shutil.which(name) is not None for name in ("chromium", "npm")})
    found = {"ADMIT_API_URL": stack.url, "CHROMIUM": shutil.which("chromium"), "NODE_MODULES": str(packages())}
    return follow(["node", FOLDER / "shop.mjs"], cwd=stack.folder, env={**os.environ, **found, **settings})


def packages() -> Path:
    """The folder with the packages that package-lock.json names."""
    files = [FOLDER / "package.json", FOLDER / "package-lock.json"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]
    folder = tools.TOOLS / f"pages-{digest}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in files:
            shutil.copy(path, folder)
        with step("installing playwright-core and axe", "half a minute"):
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            run(command, "npm ci", tools.LOG, "Look whether the npm registry can be reached, then repeat.", cwd=folder)
        (folder / "complete").touch()
    return folder
