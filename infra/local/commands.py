"""The local stack: everything that Admit needs, as private processes of this checkout.

usage: python3 infra/local COMMAND

  up            install what is missing, start what is not running, book a ticket
  down          stop everything; the data stays
  status        show what runs, and where
  logs          print the logs of functions and components in readable form
  clean-data    delete the data of the stopped stack
  test [ARGS]   run cargo test against a fresh stack; without ARGS, run all lanes in parallel, each on its own stack,
                then compare the functions' rights with the calls they made
  lane NAME     run one lane of the tests: tests, faults-1, faults-2, recovery, or pooled (through a pooler)
  steps [ARGS]  run the tests that need only PostgreSQL
  bench         measure a stack of release builds, and write the tables of docs/PERFORMANCE.md
  queries       regenerate .sqlx, which queries are checked against; --check only compares
  functions     regenerate what is derived from functions.toml; --check only compares
  mutants       reintroduce known bugs one by one, and report which check catches each
                (FOLDER [NAME …] for your own patches; --check only verifies that the patches apply)
  invoke NAME   invoke a function of the running stack with events/NAME.json
  test-pages    test the pages in a browser against a fresh stack; --pictures takes the README's screenshots
  fuzz EXAMPLES send the running API valid and invalid requests, generated from its OpenAPI description
  redrive       put dead letters and quarantined messages back
  cost BOOKINGS print a month's cost on AWS; --write updates docs/COST.md, --check compares with it
  template      lint the templates with cfn-lint and checkov, and check the runbook against them
  test-deploy   deploy template.yaml into AWS's emulator, use it, update it and delete it
  deploy STAGE  deploy to AWS with the stage's settings in samconfig.toml
  destroy STAGE delete a stage, keeping a final snapshot of each database
  start NAME    start one component of a running stack; SETTING=VALUE arguments override its settings
  stop NAME     stop one component; --kill ends it without a chance to clean up

ADMIT_POOLED=1 puts a pooler in front of PostgreSQL, in the role that RDS Proxy has on AWS; for up and test.
ADMIT_DOCKER=1 runs the stores in containers. ADMIT_RELEASE=0 makes up build debug programs, which is faster.
"""

import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

import cost
import derive
import deploy
import deployment
import functions
import fuzz
import logs
import mutants
import pages
import queries
import rights
import runbook
import template
import tools
import walkthrough
from components import EVERY_TEST, Stack
from console import Failure, end_commands, say, side_by_side
from tools import ROOT

STACKS = ROOT / "target" / "stacks"


def main(arguments: list[str]) -> int:
    # A signal must stop what this command started, as Ctrl-C does. Some shells turn Ctrl-C off: turn it on again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command, rest = (arguments or ["help"])[0], arguments[1:]
    try:
        pooled = wants_pooler() if command == "up" else None
        stack = Stack(STACKS / os.environ.get("ADMIT_STACK", "local"), pooled)
        match command:
            case "up":
                # Build for release by default, so that users and load tests get what is deployed.
                os.environ.setdefault("ADMIT_RELEASE", "1")
                up(stack)
            case "down":
                down(stack)
            case "status":
                stack.print_status()
            case "logs":
                logs.show(stack.folder / "log", follow=sys.stdout.isatty())
            case "clean-data":
                clean(stack)
            case "test":
                return test(rest)
            case "lane":
                return test_lane(*rest)
            case "steps":
                return steps(rest)
            case "bench":
                return bench()
            case "queries":
                queries.prepare(Stack(STACKS / "queries"), check="--check" in rest)
            case "functions":
                derive.derive(check="--check" in rest)
            case "mutants":
                return mutate(rest)
            case "invoke":
                invoke(stack, *rest)
            case "test-pages":
                return test_pages(pictures="--pictures" in rest)
            case "fuzz":
                fuzz.run(stack, *map(int, rest))
            case "redrive":
                redrive(stack)
            case "cost":
                return cost.main(rest)
            case "template":
                template.check()
                runbook.check()
            case "test-deploy":
                with exclusive(deployment.DataPlane()):
                    deployment.test_deploy()
            case "deploy":
                deploy.deploy(*rest)
            case "destroy":
                deploy.destroy(*rest)
            case "start":
                stack.start_again(rest[0], dict(word.split("=", 1) for word in rest[1:]))
            case "stop":
                stack.stop_one(rest[0], kill="--kill" in rest)
            case _:
                print(__doc__)
                return 0 if command == "help" else 2
    except Failure as failure:
        say(f"\n✗ {failure}", to=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        say(f"\n✗ AWS said: {error}", to=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("\n✗ Interrupted. What this command had started is stopped; run it again to go on.", to=sys.stderr)
        return 130
    finally:
        end_commands()
    return 0


def exclusive(stack: Stack):
    """Holds the stack, so that two commands don't start or stop it at once."""
    stack.folder.mkdir(parents=True, exist_ok=True)
    lock = open(stack.folder / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failure("Another make is starting or stopping this stack; wait until it has ended.") from None
    return lock


def up(stack: Stack) -> None:
    with exclusive(stack):
        stack.up(port=wanted_port())
        walkthrough.book(stack.url)
        stack.print_where()


def wanted_port() -> int:
    text = os.environ.get("PORT") or "9000"
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise Failure(f"PORT must be a number from 1 to 65535, not {text!r}.")
    return int(text)


def wants_pooler() -> bool:
    return os.environ.get("ADMIT_POOLED") == "1"


def down(stack: Stack) -> None:
    with exclusive(stack):
        say("Stopped." if stack.down() else "Nothing was running.")


def clean(stack: Stack) -> None:
    with exclusive(stack):
        if stack.running():
            raise Failure("The stack is running: make down, then make clean-data.")
        stack.forget()
        say("The data is gone; the next make up starts afresh.")


def test(arguments: list[str]) -> int:
    """Runs cargo test against a new stack, which ends with it; without arguments every lane at once."""
    if arguments or wants_pooler():
        return test_on(Stack(STACKS / "test", wants_pooler()), [arguments])
    lanes = [name for name, lane in LANES.items() if not (lane.pooled and tools.has_docker())]
    if lanes != list(LANES):
        say("There is no container with the pooler: the tests through it are left out.")
    check_lanes()
    # Once, before the lanes would do it side by side.
    Stack(STACKS / "test").build_tests()
    began = time.monotonic()
    statuses = side_by_side({name: [sys.executable, "infra/local", "lane", name] for name in lanes}, cwd=ROOT)
    if failed := [name for name, status in statuses.items() if status != 0]:
        raise Failure(f"Tests failed: their lines begin with {' or '.join(failed)}.")
    rights.compare([STACKS / f"test-{name}" for name in lanes])
    say(f"  Everything passed, in {(time.monotonic() - began) / 60:.0f} minutes.")
    return 0


def test_lane(name: str) -> int:
    """Runs the tests of one lane on a stack of its own."""
    lane = LANES[name]
    os.environ.update(lane.settings)
    return test_on(Stack(STACKS / f"test-{name}", lane.pooled), lane.runs, lane.then)


def try_interfaces(stack: Stack) -> None:
    """Tries the API by its description, and the pages in a browser."""
    fuzz.run(stack, examples=40)
    pages.try_out(stack)


@dataclass(frozen=True)
class Lane:
    """Tests that run on one stack, one after the other."""

    # The arguments of each `cargo test`.
    runs: list[list[str]]
    settings: dict[str, str] = field(default_factory=dict)
    pooled: bool = False
    # What comes after them, on the same stack.
    then: Callable[[Stack], None] | None = None


def targets(*names: str) -> list[str]:
    """The arguments that select test targets.

    They always name all packages: with another selection cargo would rebuild the dependencies.
    """
    return [*EVERY_TEST, *(word for name in names for word in ("--test", name))]


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
    "pooled": Lane([targets("api", "rotation")], pooled=True, then=try_interfaces),
}


def check_lanes() -> None:
    """Each test target has a lane."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    known = {word for lane in LANES.values() for run in lane.runs for word in run}
    for target in [target for package in found["packages"] for target in package["targets"]]:
        if "test" in target["kind"] and target["name"] not in known:
            raise Failure(f"No lane of infra/local/commands.py runs the tests {target['name']}.")


def test_pages(pictures: bool) -> int:
    """Tries the pages in a browser, or takes pictures of them, on a new stack, which ends with it."""
    stack = Stack(STACKS / "pages", pooled=False)
    with exclusive(stack):
        stack.down()
        stack.forget()
        try:
            stack.up(port=None, settings={"ADMIT_CLOCK_SECONDS": "2"})
            walkthrough.load_demo(stack.url)
            pages.take_pictures(stack) if pictures else pages.try_out(stack)
            return 0
        finally:
            stack.down()


def test_on(stack: Stack, runs: list[list[str]], and_then=None) -> int:
    """Runs tests on a new stack, then `and_then` on that stack. Stops at the first failure."""
    with exclusive(stack):
        stack.down()
        stack.forget()
        # The functions' logs are checked, so they must be of this run only.
        shutil.rmtree(stack.folder / "log", ignore_errors=True)
        # Short times, so that what the sweep mends is mended while a test waits.
        quick = {
            "ADMIT_CORS": functions.cors("https://shop.example"),
            "ADMIT_CLOCK_SECONDS": "2",
            "ADMIT_SETTLE_DELAY_SECONDS": "1",
            "ADMIT_SWEEP_AFTER_SECONDS": "4",
        }
        try:
            stack.up(port=None, settings=quick)
            walkthrough.load_demo(stack.url)
            say("\nRunning the tests")
            status = next((status for run in runs if (status := stack.run_tests(run)) != 0), 0)
            if status == 0 and and_then:
                and_then(stack)
            return status
        finally:
            stack.down()


def bench() -> int:
    """Measures a new stack of release builds, which ends with it."""
    os.environ["ADMIT_RELEASE"] = "1"
    # Each client of the crowd opens a socket, and the API opens one for each client.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    stack = Stack(STACKS / "bench", pooled=False)
    with exclusive(stack):
        stack.down()
        stack.forget()
        try:
            stack.up(port=None)
            return stack.run_bench()
        finally:
            stack.down()


def steps(arguments: list[str]) -> int:
    """Runs the tests of single steps on a PostgreSQL server of their own."""
    stack = Stack(STACKS / "steps")
    with exclusive(stack):
        stack.down()
        stack.forget()
        try:
            return stack.run_steps(arguments)
        finally:
            stack.down()


def mutate(arguments: list[str]) -> int:
    """Tries mutants; non-zero where one was not caught."""
    if arguments == ["--check"]:
        mutants.applies()
        return 0
    folder = Path(arguments[0]) if arguments else mutants.MUTANTS
    return 1 if mutants.run(folder, arguments[1:]) else 0


def invoke(stack: Stack, sample: str) -> None:
    """Invokes a function as the demo user, with a sample event whose name starts with the function's."""
    event = ROOT / "events" / f"{sample}.json"
    name = max((name for name in derive.functions() if sample.startswith(name)), key=len, default=None)
    if name is None or not event.exists():
        samples = ", ".join(sorted(path.stem for path in event.parent.glob("*.json")))
        raise Failure(f"There is no sample event {sample!r}. FUNCTION can be: {samples}.")
    if "event-sources" not in stack.running():
        raise Failure("The stack is not running: make up, then make invoke.")
    say(json.dumps(stack.invoke(name, json.loads(walkthrough.as_demo_user(event.read_text(), stack.url))), indent=2))


def redrive(stack: Stack) -> None:
    """Has the functions put back what died: the broker's and SQS's dead letters, and the quarantine."""
    if "event-sources" not in stack.running():
        raise Failure("The stack is not running: make up, then make redrive.")
    letters = stack.invoke("redrive", {"redrive": 1000})
    quarantine = stack.invoke("redrive-quarantine", {"redrive": 1000})
    say(
        f"  {letters['announcements']} announcements and {letters['settlements']} settle messages put back;\n"
        f"  {quarantine['stored']} messages of the quarantine delivered, {quarantine['quarantined']} still unreadable."
    )
