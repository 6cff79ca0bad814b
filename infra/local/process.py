"""Background processes that outlive the command that started them, until they are stopped."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from console import Failure, tail

# Setting the system clock shifts the start times that processes report.
TOLERANCE_S = 5


class Process:
    """One component's process, identified by its PID and its start time, as PIDs are reused."""

    def __init__(self, name: str, folder: Path, stop_signal: int = signal.SIGTERM):
        self.name, self.stop_signal = name, stop_signal
        self.log = folder / "log" / f"{name}.log"
        self.record = folder / "run" / f"{name}.json"

    def start(self, command: list, environment: dict[str, str], **options) -> None:
        """Starts the command in a session of its own, with its output in the log."""
        for path in (self.log, self.record):
            path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            try:
                started = psutil.Popen(
                    [str(word) for word in command], env=environment, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=subprocess.STDOUT, start_new_session=True, **options,
                )  # fmt: skip
            except OSError as error:
                raise Failure(f"{self.name} can't be started: {error}.") from None
        self.record.write_text(json.dumps({"pid": started.pid, "started": started.create_time()}))

    def pid(self) -> int | None:
        """The PID, if the process lives."""
        process = self._process()
        with suppress(psutil.NoSuchProcess):
            return process.pid if process and process.status() != psutil.STATUS_ZOMBIE else None

    def wait_until(self, ready, seconds: float) -> None:
        """Waits until `ready()` is true, as long as the process lives."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid() is None or time.monotonic() > deadline:
                last = "".join(tail(self.log, 1)).strip()
                raise Failure(f"{self.name} died, or was not ready in {seconds:.0f} s (its log: {self.log}). {last}")
            time.sleep(0.1)

    def stop(self, kill: bool = False, seconds: float = 15) -> bool:
        """Ends the process and all it started; whether there was any."""
        process, leader = self._process(), self._read().get("pid")
        if leader is None:
            return False
        # A leader that is gone leaves members of its session. While there are any, no other program gets its number.
        is_reused = not process and psutil.pid_exists(leader)
        family = {member for member in psutil.process_iter() if not is_reused and _session(member) == leader}
        for member in list(family):
            with suppress(psutil.NoSuchProcess):
                # Children may lead sessions of their own.
                family.update(member.children(recursive=True))
        if process:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL if kill else self.stop_signal)
            psutil.wait_procs([process], 1 if kill else seconds)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, 5)
        self.record.unlink(missing_ok=True)
        return bool(family)

    def _process(self) -> psutil.Process | None:
        record = self._read()
        with suppress(psutil.NoSuchProcess, KeyError):
            process = psutil.Process(record["pid"])
            if abs(process.create_time() - record["started"]) < TOLERANCE_S:
                return process
        return None

    def _read(self) -> dict:
        with suppress(OSError, ValueError):
            return json.loads(self.record.read_text())
        return {}


def _session(process: psutil.Process) -> int | None:
    with suppress(ProcessLookupError):
        return os.getsid(process.pid)
