"""What a function takes, measured: python3 infra/local measure writes infra/cost/measured.json.

The release build is deployed into AWS's emulator as `make test-deploy` does, and customers use it, one at a time,
on an otherwise idle machine. A function's own log lines say how long it took, the kernel how much processor and
memory its process has used. From the two, infra/local/bill.py computes what it would take with the share of a
processor that Lambda gives it.
"""

import contextlib
import json
import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import customer
import deployment
from bill import TABLES
from console import Failure, say, step

ROUNDS = 60
# What elapsed_ms leaves out: it counts whole milliseconds.
CUT_OFF_MS = 0.5
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
# A function that was invoked less often is not measured: migrations, rotations.
FEWEST = ROUNDS // 2
HOW = f"release build in the emulator of AWS, stores on the same machine, {ROUNDS} customers one after the other"


@dataclass(frozen=True)
class Process:
    """What the kernel says of a function's process."""

    cpu_ms: float
    peak_mb: float


def measure() -> None:
    """Deploys, measures, and stops all of it."""
    deployment.on_data_plane(lambda deployed: Measurement(deployed).run())
    say("\ninfra/cost/measured.json is written; python3 infra/local cost --write takes it over.")


class Measurement:
    """A deployed stack that customers use while its processes are watched."""

    def __init__(self, deployed: deployment.Deployment):
        self.deployed, self.account = deployed, deployed.account

    def run(self) -> None:
        self.deployed.begin()
        api = self.deployed.api()
        with step("one customer, by whom everything is started"):
            self.go_through(api)
        first, before = self.processes(), self.invocations(0)
        began = time.time()
        with step(f"{ROUNDS} customers, who are measured"):
            for _ in range(ROUNDS):
                self.go_through(api)
        last, took = self.processes(), self.invocations(began)
        functions = {}
        for name, durations in sorted(took.items()):
            if len(durations) < FEWEST:
                continue
            if not first[name].keys() <= last.get(name, {}).keys():
                raise Failure(f"A process of {name} has ended; measure again on an idle machine.")
            cpu, start = processor(first[name], len(before[name]), last[name], len(durations))
            functions[name] = {
                "memory_mb": self.account.live(f"{deployment.NAME}-{name}")["MemorySize"],
                "invocations": len(durations),
                "duration_ms": round(sum(durations) / len(durations) + CUT_OFF_MS, 1),
                "cpu_ms": round(cpu, 1),
                "start_cpu_ms": round(start),
                "peak_mb": round(max(process.peak_mb for process in last[name].values())),
            }
        written = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "how": HOW,
            "functions": functions,
        }
        (TABLES / "measured.json").write_text(json.dumps(written, indent=2) + "\n")
        for name, figures in functions.items():
            if figures["peak_mb"] > figures["memory_mb"] / 2:
                raise Failure(f"{name} has used {figures['peak_mb']} of {figures['memory_mb']} MB: does it grow?")
            say(f"  {name:20} " + ", ".join(f"{value:g} {figure}" for figure, value in figures.items()))

    def go_through(self, api: customer.Api) -> None:
        """Every function once or more, and none in a way that waits for a limit in time to pass."""
        with open(self.deployed.plane.folder / "log" / "customers.log", "a") as log, contextlib.redirect_stdout(log):
            buyer = customer.Customer.register(api)
            api.expect(200, "GET", "/events")
            booking, other = buyer.book(2), buyer.book(1)
            buyer.get(f"/bookings/{booking['booking_id']}")
            buyer.get("/bookings")
            buyer.get(f"/payments/{booking['payment_id']}")
            api.expect(201, "POST", "/payments", {"user_id": buyer.user_id, "amount": 12.5}, buyer.token)
            bookings = [booking["booking_id"], other["booking_id"]]
            customer.deliver(buyer, self.deployed.plane, self.deployed.names(), bookings)
            customer.cancel(buyer, booking)
            self.account.invoke(f"{deployment.NAME}-sweep-bookings:live", {"source": "aws.scheduler", "detail-type": "Scheduled Event"})

    def processes(self) -> dict[str, dict[int, Process]]:
        """The functions' processes by function and process id."""
        found: dict[str, dict[int, Process]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            # Processes end while they are looked at, and some are not ours to look at.
            with contextlib.suppress(OSError):
                pairs = (folder / "environ").read_text(errors="replace").split("\0")
                environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
                name = environment.get("AWS_LAMBDA_FUNCTION_NAME", "").removeprefix(f"{deployment.NAME}-")
                if name and environment.get("AWS_ENDPOINT_URL", "").endswith(f":{self.account.port}"):
                    found.setdefault(name, {})[int(folder.name)] = read_process(folder)
        return found

    def invocations(self, since: float) -> dict[str, list[int]]:
        """How many milliseconds each invocation took that was answered, by function."""
        found: dict[str, list[int]] = {}
        for function in self.account.functions():
            name = function.removeprefix(f"{deployment.NAME}-")
            for line in self.account.log(f"/aws/lambda/{function}", since):
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event.get("message") in ("request completed", "invocation completed"):
                        found.setdefault(name, []).append(event["elapsed_ms"])
        return found


def processor(first: dict[int, Process], before: int, last: dict[int, Process], more: int) -> tuple[float, float]:
    """Milliseconds of processor time that an invocation takes, and the start of a process beside.

    First there were some processes with `before` invocations; in the end, with `more` of them, there may be more
    processes: two sums of starts and invocations, solved for one of each.
    """
    used, used_last = (sum(process.cpu_ms for process in processes.values()) for processes in (first, last))
    growth = len(last) / len(first)
    cpu = (used_last - growth * used) / (before + more - growth * before)
    return cpu, max(0.0, (used - before * cpu) / len(first))


def read_process(folder: Path) -> Process:
    # Behind the program's name, which may have spaces: user and system time are the 12th and 13th.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    # Both are cut off, by half a tick on average.
    return Process((int(fields[11]) + int(fields[12]) + 1) * TICK_MS, int(status["VmHWM"].split()[0]) / 1024)
