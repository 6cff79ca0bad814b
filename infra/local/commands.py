"""The commands of the local stack. `make` lists those for people; programs use these as well:

  install [pooler]  install what a stack runs on
  build             build the functions
  start NAME        start one component of a running stack; SETTING=VALUE arguments override its settings
  stop NAME         stop one component; --kill ends it without a chance to clean up

ADMIT_POOLED=1 puts a pooler in front of PostgreSQL, in the role that RDS Proxy has on AWS.
ADMIT_DOCKER=1 runs the stores in containers. ADMIT_RELEASE=0 makes up build debug programs, which is faster.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

import derive
import deploy
import logs
import queries
import runbook
import template
import walkthrough
from components import Stack, build, install
from console import Failure, say
from tools import ROOT

STACKS = ROOT / "target" / "stacks"


def main(command: Callable[[], int | None]) -> int:
    """Runs a command; returns its exit status. A signal stops what it started, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    # Some shells turn Ctrl-C off: turn it on again.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return command() or 0
    except Failure as failure:
        say(f"\n✗ {failure}", to=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        say(f"\n✗ AWS said: {error}", to=sys.stderr)
    except KeyboardInterrupt:
        say("\n✗ Interrupted. What this command had started is stopped; run it again to go on.", to=sys.stderr)
        return 130
    return 1


def named(words: list[str]) -> int | None:
    """Runs the command of this name, with its arguments."""
    if not words or words[0] not in COMMANDS:
        say(f"{__doc__}\nAll: {', '.join(COMMANDS)}")
        return 2
    return COMMANDS[words[0]](*words[1:])


def local(pooled: bool | None = None) -> Stack:
    """The stack that the commands are about."""
    return Stack(STACKS / os.environ.get("ADMIT_STACK", "local"), pooled)


def running() -> Stack:
    """The same, if it runs."""
    stack = local()
    if "event-sources" not in stack.running():
        raise Failure("The stack is not running: make up, then repeat.")
    return stack


@contextmanager
def exclusive(stack: Stack) -> Iterator[Stack]:
    """Locks the stack, so that two commands cannot start or stop it at the same time."""
    stack.folder.mkdir(parents=True, exist_ok=True)
    with open(stack.folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("Another make is starting or stopping this stack; wait until it has ended.") from None
        yield stack


@contextmanager
def fresh(stack: Stack) -> Iterator[Stack]:
    """A stack without data and logs, which ends with the block."""
    with exclusive(stack):
        stack.down()
        stack.forget()
        shutil.rmtree(stack.folder / "log", ignore_errors=True)
        try:
            yield stack
        finally:
            # Also when Ctrl-C is pressed again.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            stack.down()


def up() -> None:
    # Build for release by default, so that users and load tests get what is deployed.
    os.environ.setdefault("ADMIT_RELEASE", "1")
    port = os.environ.get("PORT") or "9000"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise Failure(f"PORT must be a number from 1 to 65535, not {port!r}.")
    with exclusive(local(wants_pooler())) as stack:
        stack.up(port=int(port))
        walkthrough.book(stack.url)
        stack.print_where()


def wants_pooler() -> bool:
    return os.environ.get("ADMIT_POOLED") == "1"


def down() -> None:
    with exclusive(local()) as stack:
        say("Stopped." if stack.down() else "Nothing was running.")


def clean() -> None:
    with exclusive(local()) as stack:
        if stack.running():
            raise Failure("The stack is running: make down, then make clean-data.")
        stack.forget()
        say("The data is gone; the next make up starts afresh.")


def prepare_queries(*flags: str) -> None:
    with fresh(Stack(STACKS / "queries")) as stack:
        queries.prepare(stack, "--check" in flags)


def check_templates() -> None:
    template.check()
    runbook.check()


def invoke(sample: str) -> None:
    """Invokes a function as the demo user, with a sample event whose name starts with the function's."""
    event = ROOT / "events" / f"{sample}.json"
    name = max((name for name in derive.functions() if sample.startswith(name)), key=len, default=None)
    if name is None or not event.exists():
        samples = ", ".join(sorted(path.stem for path in event.parent.glob("*.json")))
        raise Failure(f"There is no sample event {sample!r}. FUNCTION can be: {samples}.")
    stack = running()
    say(json.dumps(stack.invoke(name, json.loads(walkthrough.as_demo_user(event.read_text(), stack.url))), indent=2))


def redrive() -> None:
    """Invokes the functions that put back dead letters and quarantined messages."""
    stack = running()
    letters = stack.invoke("redrive", {"redrive": 1000})
    quarantine = stack.invoke("redrive-quarantine", {"redrive": 1000})
    say(f"  {letters['announcements']} announcements and {letters['settlements']} settle messages put back;")
    say(f"  {quarantine['stored']} messages of the quarantine delivered, {quarantine['quarantined']} still unreadable.")


COMMANDS = {
    "up": up,
    "down": down,
    "status": lambda: local().print_status(),
    "logs": lambda: logs.show(local().folder / "log"),
    "clean-data": clean,
    "install": install,
    "build": build,
    "queries": prepare_queries,
    "functions": lambda *flags: derive.derive(check="--check" in flags),
    "invoke": invoke,
    "redrive": redrive,
    "template": check_templates,
    "deploy": deploy.deploy,
    "destroy": deploy.destroy,
    "start": lambda name, *words: local().start_again(name, dict(word.split("=", 1) for word in words)),
    "stop": lambda name, *flags: local().stop_one(name, kill="--kill" in flags),
}
