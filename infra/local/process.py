"""Processes that outlive the command that started them, and end when they are told to."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

from console import Failure, tail

# A clock that is set moves the moments at which processes seem to have started.
TOLERANCE_S = 5


class Process:
    """One component's process, identified by its PID and its start time, as PIDs are reused."""

    def __init__(self, name: str, folder: Path, stop_signal: int = signal.SIGTERM):
        self.name = name
        self.log = folder / "log" / f"{name}.log"
        self.record = folder / "run" / f"{name}.json"
        self.stop_signal = stop_signal

    def start(self, command: list, environment: dict[str, str], note: dict | None = None, **options) -> None:
        """Starts the command in a session of its own, with its output in the log."""
        for path in (self.log, self.record):
            path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            try:
                started = psutil.Popen(
                    [str(word) for word in command],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    **options,
                )
            except OSError as error:
                raise Failure(f"{self.name} can't be started: {error}.") from None
        record = {"pid": started.pid, "started": started.create_time(), "note": note or {}}
        self.record.write_text(json.dumps(record))

    def pid(self) -> int | None:
        """The process's number while it lives."""
        process = self._process()
        return process and process.pid

    def note(self) -> dict:
        """What was noted of the living process at its start."""
        return self._read()["note"] if self._process() else {}

    def wait_until(self, ready, seconds: float, advice: str = "") -> None:
        """Waits until `ready()` is true, as long as the process lives."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid() is None:
                raise Failure(f"{self.name} died at its start (its log: {self.log}). {self._last()}{advice}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} was not ready in {seconds:.0f} s (its log: {self.log}). {advice}")
            time.sleep(0.1)

    def stop(self, kill: bool = False, seconds: float = 15) -> bool:
        """Ends the process and all it started; whether there was any."""
        record, process = self._read(), self._process()
        if not record:
            return False
        rest = _family(record["pid"], process)
        if process:
            process.send_signal(signal.SIGKILL if kill else self.stop_signal)
            psutil.wait_procs([process], 1 if kill else seconds)
        living = [member for member in rest if member.is_running()]
        for member in living:
            _kill(member)
        psutil.wait_procs(living, 5)
        self.record.unlink(missing_ok=True)
        return bool(rest)

    def _process(self) -> psutil.Process | None:
        record = self._read()
        if not record:
            return None
        try:
            process = psutil.Process(record["pid"])
            is_it = abs(process.create_time() - record["started"]) < TOLERANCE_S
            return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def _last(self) -> str:
        lines = [line for line in tail(self.log, 5) if line.strip()]
        return f"It said last: {lines[-1].strip()} " if lines else ""

    def _read(self) -> dict | None:
        try:
            return json.loads(self.record.read_text())
        except (OSError, ValueError):
            return None


def _family(pid: int, process: psutil.Process | None) -> set[psutil.Process]:
    """A process, the session that it leads or led, and all their descendants: children may lead sessions of their own."""
    family = {member for member in psutil.process_iter() if member.pid != pid and _session(member) == pid}
    if process:
        family.add(process)
    for member in list(family):
        try:
            family.update(member.children(recursive=True))
        except psutil.NoSuchProcess:
            family.discard(member)
    return family


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        pass
