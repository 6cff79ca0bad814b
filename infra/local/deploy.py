"""Deploys template.yaml into an AWS account, and takes it away again.

A stage is an environment of samconfig.toml, and a stack of its own.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import boto3

import deployed
import derive
import tools
from components import build_environment
from console import Failure, run, say, step
from template import SAM
from tools import ROOT

CONFIG = ROOT / "samconfig.toml"
# What Lambda calls this machine's processor.
MACHINE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def sam() -> Path:
    """The folder with sam's program."""
    return tools.environment("sam", SAM)


def sam_environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """What sam needs to build and deploy: cargo lambda, and zig, by which it links for Lambda's machines."""
    # A panic aborts: the tables for unwinding would be a fifteenth of a package, and nothing would read them.
    flags = f"{os.environ.get('RUSTFLAGS', '')} -C force-unwind-tables=no".strip()
    environment = build_environment(base) | {"SAM_CLI_TELEMETRY": "0", "RUSTFLAGS": flags}
    if not (shutil.which("cargo-lambda") and shutil.which("zig")):
        folder = tools.environment("cargo-lambda-zig", [tools.CARGO_LAMBDA])
        environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    return environment


def build(source: Path, folder: Path, log: Path, environment: dict[str, str], parameters: list[str]) -> Path:
    """Builds the functions of a template for Lambda; the template with what was built."""
    command = [sam() / "sam", "build", "--template-file", source, "--build-dir", folder]
    command += ["--parameter-overrides", *parameters] if parameters else []
    with step("sam build", "the first time half an hour"):
        run(command, "sam build", log, "Mend what it says, then repeat.", cwd=ROOT, env=environment)
    return folder / "template.yaml"


def arm_target() -> None:
    """The template's functions run on Graviton: Rust's library for it has to be there."""
    if MACHINE == "arm64" or not shutil.which("rustup"):
        return
    command = ["rustup", "target", "add", "aarch64-unknown-linux-gnu"]
    with step("Rust's library for arm64"):
        run(command, "rustup target add", tools.LOG, "Look whether Rust's servers can be reached.", cwd=ROOT)


def stage(name: str) -> tuple[str, dict]:
    """A stage's stack, and how it is deployed. Every later call to AWS goes to its region."""
    try:
        settings = tomllib.loads(CONFIG.read_text())[name]
        stack, deploying = settings["global"]["parameters"]["stack_name"], settings["deploy"]["parameters"]
    except KeyError:
        raise Failure(f"samconfig.toml has no stage {name}. Copy a stage there, with a stack_name of its own.") from None
    # boto3 alone does not read AWS_REGION.
    boto3.setup_default_session(region_name=deploying.get("region") or os.environ.get("AWS_REGION"))
    if not boto3.DEFAULT_SESSION.region_name:
        raise Failure("There is no region: set AWS_REGION, or region in the stage's deploy.parameters in samconfig.toml.")
    return stack, deploying


def deploy(name: str) -> None:
    """Builds, and makes or updates the stage's stack."""
    stack, deploying = stage(name)
    region = boto3.DEFAULT_SESSION.region_name
    say(f"\nDeploying {stack} into account {deployed.account()}, {region}")
    arm_target()
    environment = sam_environment()
    given = deploying.get("parameter_overrides", [])
    values = dict(pair.split("=", 1) for pair in (shlex.split(given) if isinstance(given, str) else given))
    # Lambda keeps 100 unreserved, and a new account has ten in all: it has none to reserve.
    bounds = {name: function["bounded"] for name, function in derive.functions().items() if "bounded" in function}
    bound = 50 if deployed.Deployed(stack).unreserved(bounds) >= 100 + 50 * len(bounds) else 0
    say(f"  Reserved where the stage doesn't say: {bound} invocations of each function that books or charges.")
    values = dict.fromkeys(bounds.values(), bound) | values
    # A unique release of ten digits. Resources that every deployment replaces have it in their names.
    parameters = [f"{name}={value}" for name, value in (values | {"Release": int(time.time())}).items()]
    folder = tools.target() / "deploy"
    built = build(ROOT / "template.yaml", folder, folder.with_suffix(".log"), environment, parameters)
    say("  sam deploy (the first time half an hour, while AWS makes the stores)\n")
    command = [
        sam() / "sam", "deploy", "--template-file", built, "--config-file", CONFIG, "--config-env", name,
        "--region", region, "--parameter-overrides", *parameters,
    ]  # fmt: skip
    # At the terminal: it may ask whether the changes are wanted.
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise Failure(
            "sam deploy failed. Its events, above, say what failed first; CloudFormation has put back what there was. "
            f"If there was nothing, make destroy STAGE={name} before you repeat."
        )
    say("\nNext: confirm the subscription that AWS has mailed (without AlarmEmail in samconfig.toml, alarms reach nobody);")
    say("try the Url above as README.md shows; read docs/RUNBOOK.md.")
    say(f"make deploy STAGE={name} updates it, make destroy STAGE={name} takes it away.")


def destroy(name: str) -> None:
    """Deletes the stage's stack, once its name has been typed."""
    name, deploying = stage(name)
    account, region, stack = deployed.account(), boto3.DEFAULT_SESSION.region_name, deployed.Deployed(name)
    if stack.described() is None:
        raise Failure(f"Account {account} has no stack {name} in {region}. Nothing was deleted.")
    say(f"\nThis deletes {name} in account {account}, {region}: API, functions, queues, logs and stores.")
    say("PostgreSQL and DocumentDB leave a final snapshot each, which costs until you delete it. What waits in")
    say("RabbitMQ and SQS is lost.")
    if not sys.stdin.isatty() or input("  To go on, type the stack's name: ").strip() != name:
        raise Failure("The name was not typed at a terminal. Nothing was deleted.")
    with step("turning deletion protection off"):
        stack.unprotect()
    # Not by sam delete, which can't be tried without an account: see tests/deploy.
    with step("deleting", "half an hour to two hours"):
        stack.delete(deploying.get("s3_prefix", name))
    say(f"\n  {name} is gone. What is left of its data:")
    for what in ("rds describe-db-snapshots", "docdb describe-db-cluster-snapshots"):
        say(f"  aws {what} --snapshot-type manual --region {region}")
