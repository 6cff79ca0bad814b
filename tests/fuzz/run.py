"""Sends the running API what its description allows and what it forbids, by a fuzzer that reads /openapi.json.

    python3 tests/fuzz/run.py EXAMPLES
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "infra" / "local"))

import tools  # noqa: E402

tools.enter_environment()

import commands  # noqa: E402
import walkthrough  # noqa: E402
from console import Failure, follow, say  # noqa: E402

PACKAGE = "schemathesis==4.32.5"


def run(examples: int) -> None:
    """Fuzzes the running stack, with so many examples of each route; what the fuzzer finds fails."""
    stack = commands.running()
    program = tools.environment("schemathesis", [PACKAGE]) / "schemathesis"
    say("\nFuzzing the API by its description")
    walkthrough.load_demo(stack.url)
    user = walkthrough.call(stack.url, "POST", "/login", walkthrough.USER)[1]["user_id"]
    command = [program, "--config-file", HERE / "schemathesis.toml", "run"]
    # One worker: in threads, Python 3.11's parser of source code fails now and then, which the fuzzer uses.
    command += [f"{stack.url}/openapi.json", "--max-examples", str(examples), "--workers", "1"]
    environment = {**os.environ, "FUZZ_USER_ID": str(user), "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")}
    # Run in the stack's folder: the notes that the fuzzer leaves are of no use to the next run.
    if follow(command, cwd=stack.folder, env=environment) != 0:
        raise Failure("The API does not do what /openapi.json says.")


if __name__ == "__main__":
    sys.exit(commands.main(lambda: run(int(sys.argv[1]))))
