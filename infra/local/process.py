"""Processes that outlive the command that started them, and end when they are told to."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from console import Failure, tail


class Process:
    """One component's process, known by its number and the moment it started: numbers come again."""

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
                process = subprocess.Popen(
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
        record = {"pid": process.pid, "started": _started(process.pid), "note": note or {}}
        self.record.write_text(json.dumps(record))

    def pid(self) -> int | None:
        """The process's number while it lives."""
        record = self._read()
        if not record or _started(record["pid"]) != record["started"] or record["started"] is None:
            return None
        return record["pid"]

    def note(self) -> dict:
        """What was noted of the living process at its start."""
        record = self._read()
        return record["note"] if record and self.pid() else {}

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
        record = self._read()
        if not record:
            return False
        pid = self.pid()
        family = _family(record["pid"]) if pid else _session(record["pid"])
        if pid:
            _signal(pid, signal.SIGKILL if kill else self.stop_signal)
            _wait([pid], 0 if kill else seconds)
        rest = [member for member in family if _alive(member)]
        for member in rest:
            _signal(member[0], signal.SIGKILL)
        _wait([member[0] for member in rest], 5)
        self.record.unlink(missing_ok=True)
        return bool(family)

    def _last(self) -> str:
        lines = [line for line in tail(self.log, 5) if line.strip()]
        return f"It said last: {lines[-1].strip()} " if lines else ""

    def _read(self) -> dict | None:
        try:
            return json.loads(self.record.read_text())
        except (OSError, ValueError):
            return None


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a living process started, in ticks since the machine did."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else fields[19]


def _alive(member: tuple[int, str]) -> bool:
    pid, started = member
    return _started(pid) == started


def _family(pid: int) -> list[tuple[int, str]]:
    """A process, its session and all their descendants: children may have sessions of their own."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) and fields[0] not in "ZX":
            parents[int(entry.name)] = (int(fields[1]), int(fields[3]), fields[19])
    family = {pid}
    while True:
        more = {p for p, (parent, session, _) in parents.items() if parent in family or session == pid} - family
        if not more:
            return [(p, parents[p][2]) for p in family if p in parents]
        family |= more


def _session(pid: int) -> list[tuple[int, str]]:
    """What is left of the session that a dead process led."""
    return [member for member in _family(pid) if member[0] != pid]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _wait(pids: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(_started(pid) for pid in pids) and time.monotonic() < deadline:
        for pid in pids:
            # Ours are reaped here; those of an earlier command belong to init.
            try:
                os.waitpid(pid, os.WNOHANG)
            except (ChildProcessError, PermissionError):
                pass
        time.sleep(0.05)
