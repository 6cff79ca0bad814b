"""Tries the pages in a real browser, on a stack of its own.

    python3 tests/pages/run.py [--pictures | --running]

--pictures takes the README's pictures instead; --running takes the stack that runs.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "infra" / "local"))

import tools  # noqa: E402

tools.enter_environment()

import commands  # noqa: E402
import walkthrough  # noqa: E402
from components import Stack  # noqa: E402
from console import Failure, follow, run, say, step  # noqa: E402
from tools import ROOT  # noqa: E402


def test(flags: list[str]) -> None:
    if "--running" in flags:
        return try_out(commands.running())
    with commands.fresh(Stack(commands.STACKS / "pages", pooled=False)) as stack:
        stack.up(port=None, settings={"ADMIT_CLOCK_SECONDS": "2"})
        walkthrough.load_demo(stack.url)
        take_pictures(stack) if "--pictures" in flags else try_out(stack)


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
    tools.install_packages({"chromium": chromium() is not None, "npm": shutil.which("npm") is not None})
    found = {"ADMIT_API_URL": stack.url, "CHROMIUM": chromium(), "NODE_MODULES": str(packages())}
    return follow(["node", HERE / "shop.mjs"], cwd=stack.folder, env={**os.environ, **found, **settings})


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def packages() -> Path:
    """The folder with the packages that package-lock.json names."""
    files = [HERE / "package.json", HERE / "package-lock.json"]
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


if __name__ == "__main__":
    sys.exit(commands.main(lambda: test(sys.argv[1:])))
