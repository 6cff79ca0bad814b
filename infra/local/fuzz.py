"""A fuzzer that reads the API's description, and sends what it allows and what it forbids: see tests/fuzz."""

import os

import tools
import walkthrough
from console import Failure, follow, say
from tools import ROOT

PACKAGE = "schemathesis==4.32.5"


def run(stack, examples: int) -> None:
    """Fuzzes a running stack, with so many examples of each route; what the fuzzer finds fails."""
    folder = ROOT / "tests" / "fuzz"
    program = tools.environment("schemathesis", [PACKAGE]) / "schemathesis"
    say("\nFuzzing the API by its description")
    walkthrough.load_demo(stack.url)
    user = walkthrough.call(stack.url, "POST", "/login", walkthrough.USER)[1]["user_id"]
    command = [program, "--config-file", folder / "schemathesis.toml", "run"]
    # One worker: in threads, Python 3.11's parser of source code fails now and then, which the fuzzer uses.
    command += [f"{stack.url}/openapi.json", "--max-examples", str(examples), "--workers", "1"]
    environment = {**os.environ, "FUZZ_USER_ID": str(user), "SCHEMATHESIS_HOOKS": str(folder / "hooks.py")}
    # Run in the stack's folder: the notes that the fuzzer leaves are of no use to the next run.
    if follow(command, cwd=stack.folder, env=environment) != 0:
        raise Failure("The API does not do what /openapi.json says.")
