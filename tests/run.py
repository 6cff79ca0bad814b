"""Runs the tests and the measurements, each on a fresh stack, which ends with them.

    python3 tests/run.py test [ARGS]   cargo test; without ARGS all lanes in parallel, each on its own stack, then the
                                       functions' rights are compared with the calls they made
    python3 tests/run.py lane NAME     one lane
    python3 tests/run.py steps [ARGS]  the tests that need only PostgreSQL
    python3 tests/run.py bench         measures release builds, and writes the tables of docs/PERFORMANCE.md

ADMIT_POOLED=1 puts a pooler in front of PostgreSQL.
"""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "infra" / "local"))

import tools  # noqa: E402

tools.enter_environment()

import certificates  # noqa: E402
import commands  # noqa: E402
import functions  # noqa: E402
import rights  # noqa: E402
import vault  # noqa: E402
import walkthrough  # noqa: E402
from commands import STACKS, fresh, wants_pooler  # noqa: E402
from components import Stack, build_environment, install_and_build  # noqa: E402
from console import Failure, follow, say, side_by_side  # noqa: E402
from tools import ROOT  # noqa: E402

# Excludes the functions' packages: their binaries have no tests, and linking each of them takes minutes.
EVERY_TEST = [
    "--workspace",
    *(word for area in sorted((ROOT / "functions").iterdir()) for word in ("--exclude", area.name)),
]


@dataclass(frozen=True)
class Lane:
    """Tests that run on one stack, one after the other."""

    # The arguments of each `cargo test`.
    runs: list[list[str]]
    settings: dict[str, str] = field(default_factory=dict)
    pooled: bool = False
    # The commands that come after them, on the same stack.
    then: tuple[list[str], ...] = ()


def targets(*names: str) -> list[str]:
    """The arguments that select test targets.

    They always name all packages: with another selection cargo would rebuild the dependencies.
    """
    return [*EVERY_TEST, *(word for name in names for word in ("--test", name))]


# The API tried by its description, and the pages in a browser.
BY_INTERFACE = (["python3", "tests/fuzz/run.py", "40"], ["python3", "tests/pages/run.py", "--running"])
MATRIX = "no_fault_at_any_boundary"
# The lanes that `make test` runs in parallel. Most tests wait until the stack has recovered from what they broke, so
# two processors are enough for all lanes. Tests that need a processor to themselves run late.
LANES = {
    "tests": Lane([[*targets("holds", "protocol", "layers", "api", "growth", "outages", "rotation"), "--lib", "--bins"]]),
    "faults-1": Lane([[*targets("faults"), "--", MATRIX], targets("chaos")], {"ADMIT_FAULTS_SHARE": "1/2"}),
    "faults-2": Lane(
        [[*targets("faults"), "--", MATRIX], [*targets("faults"), "--", "--skip", MATRIX, "--skip", "recovery::"]],
        {"ADMIT_FAULTS_SHARE": "2/2"},
    ),
    "recovery": Lane([[*targets("faults"), "--", "recovery::"]]),
    "pooled": Lane([targets("api", "rotation")], pooled=True, then=BY_INTERFACE),
}


def test(*arguments: str) -> int:
    """Runs cargo test with these arguments on one stack; without any, every lane at once."""
    if arguments or wants_pooler():
        return test_on(Stack(STACKS / "test", wants_pooler()), [list(arguments or EVERY_TEST)])
    lanes = [name for name, wanted in LANES.items() if not (wanted.pooled and tools.has_docker())]
    if lanes != list(LANES):
        say("There is no container with the pooler: the tests through it are left out.")
    check_lanes()
    # Once, before the lanes would do it side by side.
    install_and_build(pooled="pooled" in lanes)
    if follow(["cargo", "test", "--locked", "--no-run", *EVERY_TEST], cwd=ROOT, env=build_environment()) != 0:
        raise Failure("The tests can't be built. Mend what the compiler says, then repeat.")
    began = time.monotonic()
    statuses = side_by_side({name: [sys.executable, __file__, "lane", name] for name in lanes}, cwd=ROOT)
    if failed := [name for name, status in statuses.items() if status != 0]:
        raise Failure(f"Tests failed: their lines begin with {' or '.join(failed)}.")
    rights.compare([STACKS / f"test-{name}" for name in lanes])
    say(f"  Everything passed, in {(time.monotonic() - began) / 60:.0f} minutes.")
    return 0


def check_lanes() -> None:
    """Each test target has a lane."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    known = {word for wanted in LANES.values() for run in wanted.runs for word in run}
    for target in [target for package in found["packages"] for target in package["targets"]]:
        if "test" in target["kind"] and target["name"] not in known:
            raise Failure(f"No lane of tests/run.py runs the tests {target['name']}.")


def lane(name: str) -> int:
    """Runs the tests of one lane on a stack of its own."""
    wanted = LANES[name]
    os.environ.update(wanted.settings)
    return test_on(Stack(STACKS / f"test-{name}", wanted.pooled), wanted.runs, wanted.then)


def test_on(stack: Stack, runs: list[list[str]], then: tuple[list[str], ...] = ()) -> int:
    """Runs tests on a new stack, then other commands on that stack. Stops at the first failure."""
    # Short times, so that what the sweep mends is mended while a test waits.
    quick = {
        "ADMIT_CORS": functions.cors("https://shop.example"),
        "ADMIT_CLOCK_SECONDS": "2",
        "ADMIT_SETTLE_DELAY_SECONDS": "1",
        "ADMIT_SWEEP_AFTER_SECONDS": "4",
    }
    with fresh(stack):
        stack.up(port=None, settings=quick)
        walkthrough.load_demo(stack.url)
        say("\nRunning the tests")
        environment = environment_for_tests(stack)
        for command in [*(["cargo", "test", "--locked", *run] for run in runs), *then]:
            if (status := follow(command, cwd=ROOT, env=environment)) != 0:
                return status
    return 0


def environment_for_tests(stack: Stack) -> dict[str, str]:
    """The environment of the tests, which ask the document store as its owner."""
    owner = {"ADMIT_DOCUMENTS_SECRET": vault.names()["DocumentsOwner"], "ADMIT_STACK": stack.folder.name}
    return build_environment(stack.environment()) | owner | postgres_for_steps(stack)


def postgres_for_steps(stack: Stack) -> dict[str, str]:
    """Where the tests of single steps make databases of their own."""
    owner = vault.account(stack, "DatabaseOwner") | {"password": stack.state["secrets"]["DatabaseOwner"]}
    return {"ADMIT_TEST_POSTGRES": json.dumps(owner)}


def steps(*arguments: str) -> int:
    """Runs the tests of single steps on a PostgreSQL server of their own."""
    with fresh(Stack(STACKS / "steps")) as stack:
        stack.start_postgres_alone()
        authority = {"ADMIT_CA_FILE": str(certificates.authority(stack))}
        environment = build_environment() | authority | postgres_for_steps(stack)
        return follow(["cargo", "test", "--locked", "-p", "domain", *arguments], cwd=ROOT, env=environment)


def bench() -> int:
    """Measures a stack of release builds."""
    os.environ["ADMIT_RELEASE"] = "1"
    # Each client of the crowd opens a socket, and the API opens one for each client.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with fresh(Stack(STACKS / "bench", pooled=False)) as stack:
        stack.up(port=None)
        # The accounts of the functions that book.
        names = {"DATABASE": "Office", "DOCUMENTS": "Payments", "BROKER": "Broker"}
        environment = environment_for_tests(stack) | {
            **{f"ADMIT_{store}_SECRET": vault.names()[name] for store, name in names.items()},
            "ADMIT_PGBENCH": str(tools.postgres_folder() / "pgbench"),
            # With the bench's own among them: one is the function that does nothing.
            "ADMIT_PROGRAMS": str(tools.programs()),
        }
        status = follow(["cargo", "build", "--locked", "--release", "-p", "bench", "--bins"], cwd=ROOT, env=environment)
        # Set for the program only: if cargo saw CARGO_MANIFEST_DIR change, it would rebuild ring and its dependents.
        environment["CARGO_MANIFEST_DIR"] = str(ROOT / "tests" / "bench")
        return status or follow([tools.programs() / "bench"], cwd=ROOT, env=environment)


def named(words: list[str]) -> int:
    """Runs the command of this name, with its arguments."""
    known = {"test": test, "lane": lane, "steps": steps, "bench": bench}
    if not words or words[0] not in known:
        say(__doc__)
        return 2
    return known[words[0]](*words[1:])


if __name__ == "__main__":
    sys.exit(commands.main(lambda: named(sys.argv[1:])))
