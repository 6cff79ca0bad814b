#!/usr/bin/env python3
"""Runs a function's program for `cargo lambda watch`, with the environment that the function has in the stack.

Cargo runs every program through its runner, which watch.env says is this: cargo lambda itself gives all functions
the same environment, where each has an account of its own. Functions invoke one another where this one was invoked.
"""

import json
import os
import sys
from pathlib import Path

program, arguments = sys.argv[1], sys.argv[1:]
resources = json.loads(Path(os.environ["ADMIT_FUNCTIONS"]).read_text())
by_name = {resource.lower(): variables for resource, variables in resources.items()}
environment = by_name[Path(program).name.replace("-", "")]
host = os.environ["AWS_LAMBDA_RUNTIME_API"].removeprefix("http://").partition("/")[0]
os.execve(program, arguments, {**os.environ, **environment, "AWS_ENDPOINT_URL_LAMBDA": f"http://{host}"})
