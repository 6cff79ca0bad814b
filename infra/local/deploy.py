"""Deploys template.yaml into an AWS account, and takes it away again.

A stage is a stack of its own. samconfig.toml says how a stage is deployed; what differs from account to
account is asked once, and kept in .deploy/STAGE.toml: edit it to change any of template.yaml's parameters.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import deployed
import derive
import tools
from components import build_environment
from console import Failure, follow, run, say, step, tail
from template import SAM
from tools import ROOT

ANSWERS = ROOT / ".deploy"
CONFIG = ROOT / "samconfig.toml"
LARGEST_PACKAGE = 5_000_000
# What Lambda calls this machine's processor.
MACHINE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
# The stages of samconfig.toml that have data planes of docs/COST.md.
LIKE = {"small": "default", "available": "production"}


# ---- sam


def sam() -> Path:
    """The folder with sam's program."""
    return tools.environment("sam", SAM)


def sam_environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """What sam needs to build and deploy: cargo lambda, and zig, by which it links for Lambda's machines."""
    environment = build_environment(base) | {"SAM_CLI_TELEMETRY": "0"}
    if not (shutil.which("cargo-lambda") and shutil.which("zig")):
        folder = tools.environment("cargo-lambda-zig", [tools.CARGO_LAMBDA])
        environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    return environment


def run_sam(command: list, log: Path, environment: dict[str, str], folder: Path = ROOT) -> int:
    """Runs sam with its output in a log; its exit status. What it starts, such as cargo, ends with this program."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        return follow(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)


def failed(doing: str, log: Path) -> Failure:
    last = "\n".join(f"    {line}" for line in tail(log, 15))
    return Failure(f"{doing} failed (its log: {log}):\n{last}")


def build(source: Path, folder: Path, log: Path, environment: dict[str, str], parameters: list[str]) -> Path:
    """Builds the functions of a template for Lambda; the template with what was built."""
    command = [sam() / "sam", "build", "--template-file", source, "--build-dir", folder, "--base-dir", ROOT]
    command += ["--parameter-overrides", *parameters] if parameters else []
    with step("sam build", "the first time half an hour"):
        if run_sam(command, log, environment) != 0:
            raise failed("sam build", log)
    return folder / "template.yaml"


def arm_target() -> None:
    """The template's functions run on Graviton: Rust's library for it has to be there."""
    if MACHINE == "arm64" or not shutil.which("rustup"):
        return
    command = ["rustup", "target", "add", "aarch64-unknown-linux-gnu"]
    with step("Rust's library for arm64"):
        run(command, "rustup target add", tools.LOG, "Look whether Rust's servers can be reached.", cwd=ROOT)


def revision() -> str:
    """What is deployed."""
    changed = ", with changes" if git("status", "--porcelain") else ""
    return f"{git('rev-parse', '--short', 'HEAD') or 'an unknown revision'}{changed}"


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


# ---- Settings


@dataclass(frozen=True)
class Stage:
    """Where and how a stage is deployed."""

    name: str
    # The one in samconfig.toml whose settings it has.
    like: str
    stack: str
    region: str
    # Of template.yaml, beside samconfig.toml's.
    parameters: list[str]

    def overrides(self, *more: str) -> list[str]:
        """All parameters that aren't left at their defaults; the last of a name holds."""
        common = configured()[self.like]["deploy"]["parameters"].get("parameter_overrides", [])
        named = dict(pair.partition("=")[::2] for pair in [*common, *self.parameters, *more])
        return [f"{name}={value}" for name, value in named.items()]


def configured() -> dict:
    """The stages in samconfig.toml."""
    found = tomllib.loads(CONFIG.read_text())
    return {name: settings for name, settings in found.items() if isinstance(settings, dict) and "deploy" in settings}


def path_of(stage: str) -> Path:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", stage):
        raise Failure(f"STAGE is a word of small letters, digits and dashes, not {stage!r}.")
    return ANSWERS / f"{stage}.toml"


def read_stage(name: str) -> Stage:
    """A stage as it was asked for."""
    path = path_of(name)
    try:
        stage = Stage(name=name, **tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise Failure(f"{path.relative_to(ROOT)} can't be read: {error}. Mend it, or delete it to be asked.") from None
    if stage.like not in configured():
        raise Failure(f"{path.relative_to(ROOT)} wants to be like {stage.like}, which samconfig.toml has not.")
    return stage


def ask_stage(name: str) -> Stage:
    """Asks what can't be guessed, and keeps it."""
    path, stages = path_of(name), configured()
    example = 'like = "default", stack = "admit", region = "eu-central-1", parameters = ["AlarmEmail=…"]'
    if not sys.stdin.isatty():
        raise Failure(f"No terminal to ask at. Write {path.relative_to(ROOT)}, a line each: {example}")
    say(f"\nStage {name} is new. What is answered here is kept in {path.relative_to(ROOT)}.")
    region = ask("AWS region", os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "eu-central-1")
    like, stack = name, f"admit-{name}"
    if name in stages:
        stack = stages[name].get("global", {}).get("parameters", {}).get("stack_name", stack)
    else:
        say("  Its stores: small (one of each) or available (a zone may fail)? What they cost a month: docs/COST.md")
        size = ask("Size of the data plane", "small")
        if size not in LIKE:
            raise Failure(f"There is no size {size}; there are {' and '.join(LIKE)}.")
        like = LIKE[size]
    stack = ask("Name of the stack", stack)
    email = ask("E-mail for alarms, empty for none", "")
    link = ask("Address of the runbook, for links in alarms", runbook())
    parameters = [f"AlarmEmail={email}"] if email else []
    stage = Stage(name, like, stack, region, [*parameters, f"Runbook={link}"])
    path.parent.mkdir(exist_ok=True)
    lines = [f"{key} = {json.dumps(getattr(stage, key))}" for key in ("like", "stack", "region", "parameters")]
    path.write_text("\n".join([f"# How `make deploy STAGE={name}` deploys, beside samconfig.toml.", *lines, ""]))
    return stage


def ask(what: str, default: str) -> str:
    return input(f"  {what}{f' [{default}]' if default else ''}: ").strip() or default


# ---- Commands


def deploy(name: str) -> None:
    """Builds, and makes or updates the stage's stack."""
    path = path_of(name)
    # Before the questions: without an account they are of no use.
    account = deployed.account("us-east-1")
    stage, what = read_stage(name) if path.exists() else ask_stage(name), revision()
    say(f"\nDeploying {what} as {stage.stack} into account {account}, {stage.region}")
    arm_target()
    environment = sam_environment()
    # Ten digits, never the same: part of the names of what every deployment makes anew.
    release = int(time.time())
    folder = tools.target() / "deploy"
    parameters = stage.overrides(f"Release={release}", *unreserved(stage))
    built = build(ROOT / "template.yaml", folder, folder.with_suffix(".log"), environment, parameters)
    say("  sam deploy (the first time half an hour, while AWS makes the stores)\n")
    command = [
        sam() / "sam", "deploy", "--template-file", built, "--config-file", CONFIG, "--config-env", stage.like,
        "--stack-name", stage.stack, "--s3-prefix", stage.stack, "--region", stage.region,
        "--parameter-overrides", *parameters,
    ]  # fmt: skip
    # At the terminal: it may ask whether the changes are wanted.
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise Failure(
            "sam deploy failed. Its events, above, say what failed first; CloudFormation has put back what there was. "
            f"If there was nothing, make destroy STAGE={name} before you repeat."
        )
    print_next(stage, deployed.Deployed(stage.stack, stage.region).outputs())


def unreserved(stage: Stage) -> list[str]:
    """The parameters that reserve nothing, if the account has too little concurrency to reserve from, as a new one has."""
    given = dict(pair.partition("=")[::2] for pair in stage.overrides())
    # Each of the functions reserves what its parameter says, 50 where nothing is given.
    bounds = {name: function["bounded"] for name, function in derive.functions().items() if "bounded" in function}
    free = deployed.Deployed(stage.stack, stage.region).unreserved(bounds)
    wanted = sum(int(given.get(bound, 50)) for bound in bounds.values())
    # Lambda keeps 100 for the functions without a reservation.
    if wanted == 0 or free - wanted >= 100:
        return []
    none = ["ConcurrentBookings=0", "ConcurrentCharges=0"]
    say(f"  The account has {free} functions at once to reserve from: none are reserved ({' '.join(none)}).")
    say("  Ask for more at Service Quotas, L-B99A9384, before an on-sale.")
    return none


def runbook() -> str:
    """Where the runbook can be read, for the links in alarms: at the host of this checkout's origin, if that is one."""
    origin = git("remote", "get-url", "origin").removesuffix(".git")
    path = "docs/RUNBOOK.md"
    return f"{origin}/blob/HEAD/{path}" if re.fullmatch(r"https://[^@]+", origin) else path


def print_next(stage: Stage, outputs: dict[str, str]) -> None:
    say(f"\n  API         {outputs['Url']}")
    say(f"  its docs    {outputs.get('DocsUrl', '')}")
    say(f"  dashboard   {outputs.get('DashboardUrl', '')}")
    say("\nNext")
    if any(pair.startswith("AlarmEmail=") and pair != "AlarmEmail=" for pair in stage.overrides()):
        say("  1. Confirm the subscription that AWS has mailed: until then no alarm reaches you.")
    else:
        path = path_of(stage.name).relative_to(ROOT)
        say(f"  1. Alarms reach nobody: put AlarmEmail=… into {path}, and deploy again.")
    say("  2. Try it: register, log in and book, as README.md shows, with API set to the address above.")
    say("  3. Read docs/RUNBOOK.md: what each alarm means, restoring from a backup, an on-sale to come.")
    say(f"\n  make deploy STAGE={stage.name} updates it, make destroy STAGE={stage.name} takes it away.")


def destroy(name: str) -> None:
    """Deletes the stage's stack, once its name has been typed."""
    path = path_of(name)
    if not path.exists():
        raise Failure(f"{path.relative_to(ROOT)} is missing, which says where stage {name} is. Nothing was deleted.")
    stage = read_stage(name)
    account, stack = deployed.account(stage.region), deployed.Deployed(stage.stack, stage.region)
    if stack.described() is None:
        raise Failure(f"Account {account} has no stack {stage.stack} in {stage.region}. Nothing was deleted.")
    say(f"\nThis deletes {stage.stack} in account {account}, {stage.region}: API, functions, queues, logs and stores.")
    say("PostgreSQL and DocumentDB leave a final snapshot each, which costs until you delete it. What waits in")
    say("RabbitMQ and SQS is lost.")
    if not sys.stdin.isatty():
        raise Failure("That is asked at a terminal only. Nothing was deleted.")
    if ask("To go on, type the stack's name", "") != stage.stack:
        raise Failure("That is not its name. Nothing was deleted.")
    with step("turning deletion protection off"):
        stack.unprotect()
    # Not by sam delete, which can't be tried without an account: see deployment.py.
    with step("deleting", "half an hour to two hours"):
        stack.delete()
    say(f"\n  {stage.stack} is gone. What is left of its data:")
    for what in ("rds describe-db-snapshots", "docdb describe-db-cluster-snapshots"):
        say(f"  aws {what} --snapshot-type manual --region {stage.region}")
