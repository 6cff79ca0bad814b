"""Terminal output, and running commands."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path


class Failure(Exception):
    """An error for the user: it says what failed and what to do."""


def say(text: str = "", to=None) -> None:
    print(text, file=to or sys.stdout, flush=True)


@contextmanager
def step(doing: str, expect: str = ""):
    """Prints a step when it starts, and its duration when it ends."""
    say(f"  … {doing}{f' ({expect})' if expect else ''}")
    started = time.monotonic()
    yield
    say(f"  ✓ {doing}: {time.monotonic() - started:.1f} s")


def run(command: list, doing: str, log: Path, advice: str, **options) -> None:
    """Runs a command with its output in `log`; if it fails, prints the log's last lines."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        output.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        try:
            status = follow(command, stdout=output, stderr=subprocess.STDOUT, **options)
        except OSError as error:
            raise Failure(f"{doing} failed: {error}. {advice}") from None
    if status != 0:
        say("\n" + "\n".join(f"    {line}" for line in tail(log, 12)), to=sys.stderr)
        raise Failure(f"{doing} failed (its log: {log}). {advice}")


def follow(command: list, **options) -> int:
    """Runs a command and shows its output as it comes; returns its exit status.

    If this program is interrupted, the command gets SIGTERM and a minute to clean up. In any case, whatever is left
    of its process group at the end is killed.
    """
    # Not in a session of its own: sudo asks whether somebody at this terminal has given a password.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=os.setpgrp, **options)
    try:
        return process.wait()
    except BaseException:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
        raise
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def side_by_side(commands: dict[str, list], **options) -> dict[str, int]:
    """Runs commands at once, each line behind its command's name; returns their exit statuses.

    They end with this program.
    """
    options |= {"stdin": subprocess.DEVNULL, "start_new_session": True}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    running = {name: subprocess.Popen(command, **output, **options) for name, command in commands.items()}
    shown = [
        subprocess.Popen(["sed", "-u", f"s/^/{name:8} | /"], **options | {"stdin": process.stdout})
        for name, process in running.items()
    ]
    try:
        return {name: process.wait() for name, process in running.items()}
    finally:
        for process in running.values():
            process.terminate()
        for process in [*running.values(), *shown]:
            process.wait()


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a file."""
    try:
        return log.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
