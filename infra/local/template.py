"""The checks of template.yaml."""

import os

from console import run, step
from tools import LOG, ROOT, environment

SAM = ["aws-sam-cli==1.170.0", "cfn-lint"]


def check() -> None:
    """`sam validate --lint`, which runs cfn-lint on the template after SAM's transform."""
    sam = environment("sam", SAM) / "sam"
    with step("sam validate --lint"):
        # It asks no AWS for anything, but insists on a region and on somewhere to write its settings.
        quiet = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
        command = [sam, "validate", "--lint", "--template", ROOT / "template.yaml"]
        run(command, "sam validate --lint", LOG, "Mend template.yaml.", env=quiet, cwd=ROOT)
