"""What a person reads: steps with their times, and one clear line where something fails."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

_printing = threading.Lock()
# The commands that run now, also those of other threads, and whether they shall end.
_commands: set[subprocess.Popen] = set()
_ending = threading.Event()


class Failure(Exception):
    """Something that a person has to mend: what failed, and what to do."""


def say(text: str = "", to=None) -> None:
    with _printing:
        print(text, file=to or sys.stdout, flush=True)


@contextmanager
def step(doing: str, expect: str = ""):
    """Says what is done while it is done, and how long it took."""
    say(f"  … {doing}{f' ({expect})' if expect else ''}")
    started = time.monotonic()
    yield
    say(f"  ✓ {doing}: {time.monotonic() - started:.1f} s")


def run(command: list, doing: str, log: Path, advice: str, **options) -> None:
    """Runs a command with its output in `log`; where it fails, says so with its last lines."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        output.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **options
            )
        except OSError as error:
            raise Failure(f"{doing} failed: {error}. {advice}") from None
        _commands.add(process)
        if _ending.is_set():
            process.terminate()
        status = process.wait()
        _commands.discard(process)
    if status != 0 and not _ending.is_set():
        last = "\n".join(f"    {line}" for line in tail(log, 12))
        say(f"\n{last}", to=sys.stderr)
    if status != 0:
        raise Failure(f"{doing} failed (its log: {log}). {advice}")


def follow(command: list, **options) -> int:
    """Runs a command and shows its output as it comes; returns its exit status.

    If this program is interrupted, the command gets SIGTERM and a minute to clean up. In any case, whatever is left
    of its process group at the end is killed.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            pass
        raise
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def side_by_side(commands: dict[str, list], **options) -> dict[str, int]:
    """Runs commands at once, each line behind its command's name; their exit statuses. They end with this program."""
    running = {
        name: subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True, **options,
        )
        for name, command in commands.items()
    }  # fmt: skip

    def show(name: str, output) -> None:
        for line in output:
            say(f"{name:8} | {line.rstrip()}")

    showing = [threading.Thread(target=show, args=(name, process.stdout)) for name, process in running.items()]
    for thread in showing:
        thread.start()
    try:
        return {name: process.wait() for name, process in running.items()}
    finally:
        living = [process for process in running.values() if process.poll() is None]
        for process in living:
            process.terminate()
        for process in living:
            process.wait()
        for thread in showing:
            thread.join()


def end_commands() -> None:
    """Ends the commands that still run, of every thread."""
    _ending.set()
    for process in list(_commands):
        process.terminate()
    for process in list(_commands):
        process.wait()


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a file."""
    try:
        return log.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
