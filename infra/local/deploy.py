"""Deploys template.yaml into an AWS account, and takes it away again.

A stage is an environment of samconfig.toml, and a stack of its own.
"""

import os
import platform
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import boto3

import deployed
import derive
import tools
from components import build_environment
from console import Failure, follow, run, say, step, tail
from template import SAM
from tools import ROOT

CONFIG = ROOT / "samconfig.toml"
LARGEST_PACKAGE = 5_000_000
# What Lambda calls this machine's processor.
MACHINE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


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
    command = [sam() / "sam", "build", "--template-file", source, "--build-dir", folder]
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


# ---- Stages


@dataclass(frozen=True)
class Stage:
    """A stack of its own, as an environment of samconfig.toml has it."""

    name: str
    stack: str
    region: str
    # Of template.yaml, by name.
    parameters: dict[str, str]

    def overrides(self, **more: object) -> list[str]:
        return [f"{name}={value}" for name, value in (self.parameters | more).items()]


def stage(name: str) -> Stage:
    stages = tomllib.loads(CONFIG.read_text())
    found = stages.get(name)
    if not isinstance(found, dict) or "deploy" not in found:
        raise Failure(f"samconfig.toml has no stage {name}. Copy a stage there, with a stack_name of its own, and repeat.")
    settings = found["deploy"]["parameters"]
    # boto3 alone does not read AWS_REGION.
    region = settings.get("region") or os.environ.get("AWS_REGION") or boto3.Session().region_name
    if not region:
        raise Failure("There is no region: set AWS_REGION, or region among the stage's deploy.parameters in samconfig.toml.")
    parameters = dict(pair.partition("=")[::2] for pair in settings.get("parameter_overrides", []))
    return Stage(name, found["global"]["parameters"]["stack_name"], region, parameters)


# ---- Commands


def deploy(name: str) -> None:
    """Builds, and makes or updates the stage's stack."""
    where = stage(name)
    say(f"\nDeploying {revision()} as {where.stack} into account {deployed.account(where.region)}, {where.region}")
    arm_target()
    environment = sam_environment()
    # A unique release of ten digits. Resources that every deployment replaces have it in their names.
    parameters = where.overrides(Release=int(time.time()), **unreserved(where))
    folder = tools.target() / "deploy"
    built = build(ROOT / "template.yaml", folder, folder.with_suffix(".log"), environment, parameters)
    say("  sam deploy (the first time half an hour, while AWS makes the stores)\n")
    command = [
        sam() / "sam", "deploy", "--template-file", built, "--config-file", CONFIG, "--config-env", name,
        "--region", where.region, "--parameter-overrides", *parameters,
    ]  # fmt: skip
    # At the terminal: it may ask whether the changes are wanted.
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise Failure(
            "sam deploy failed. Its events, above, say what failed first; CloudFormation has put back what there was. "
            f"If there was nothing, make destroy STAGE={name} before you repeat."
        )
    print_next(where, deployed.Deployed(where.stack, where.region).outputs())


def unreserved(where: Stage) -> dict[str, int]:
    """Parameters that reserve no concurrency, if the account has too little to reserve from, as new accounts have."""
    # Each of the functions reserves what its parameter says, 50 where nothing is given.
    bounds = {name: function["bounded"] for name, function in derive.functions().items() if "bounded" in function}
    free = deployed.Deployed(where.stack, where.region).unreserved(bounds)
    wanted = sum(int(where.parameters.get(bound, 50)) for bound in bounds.values())
    # Lambda keeps 100 for the functions without a reservation.
    if wanted == 0 or free - wanted >= 100:
        return {}
    say(f"  The account has {free} functions at once to reserve from, and {wanted + 100} are wanted: none are reserved.")
    say("  Ask for more at Service Quotas, L-B99A9384, before an on-sale.")
    return dict.fromkeys(bounds.values(), 0)


def print_next(where: Stage, outputs: dict[str, str]) -> None:
    say(f"\n  API         {outputs['Url']}")
    say(f"  its docs    {outputs.get('DocsUrl', '')}")
    say(f"  dashboard   {outputs.get('DashboardUrl', '')}")
    say("\nNext")
    if where.parameters.get("AlarmEmail"):
        say("  1. Confirm the subscription that AWS has mailed: until then no alarm reaches you.")
    else:
        say("  1. Alarms reach nobody: put AlarmEmail=… among the stage's parameter_overrides in samconfig.toml, and deploy again.")
    say("  2. Try it: register, log in and book, as README.md shows, with API set to the address above.")
    say("  3. Read docs/RUNBOOK.md: what each alarm means, restoring from a backup, an on-sale to come.")
    say(f"\n  make deploy STAGE={where.name} updates it, make destroy STAGE={where.name} takes it away.")


def destroy(name: str) -> None:
    """Deletes the stage's stack, once its name has been typed."""
    where = stage(name)
    account, stack = deployed.account(where.region), deployed.Deployed(where.stack, where.region)
    if stack.described() is None:
        raise Failure(f"Account {account} has no stack {where.stack} in {where.region}. Nothing was deleted.")
    say(f"\nThis deletes {where.stack} in account {account}, {where.region}: API, functions, queues, logs and stores.")
    say("PostgreSQL and DocumentDB leave a final snapshot each, which costs until you delete it. What waits in")
    say("RabbitMQ and SQS is lost.")
    if not sys.stdin.isatty():
        raise Failure("That is asked at a terminal only. Nothing was deleted.")
    if input("  To go on, type the stack's name: ").strip() != where.stack:
        raise Failure("That is not its name. Nothing was deleted.")
    with step("turning deletion protection off"):
        stack.unprotect()
    # Not by sam delete, which can't be tried without an account: see deployment.py.
    with step("deleting", "half an hour to two hours"):
        stack.delete()
    say(f"\n  {where.stack} is gone. What is left of its data:")
    for what in ("rds describe-db-snapshots", "docdb describe-db-cluster-snapshots"):
        say(f"  aws {what} --snapshot-type manual --region {where.region}")
