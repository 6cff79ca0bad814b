"""The checks of the templates, by AWS's own linters and checkov. None of them asks the network for anything."""

import json
import os
import subprocess
from pathlib import Path

from console import Failure, run, step
from tools import LOG, ROOT, environment

# cfn-lint is what `sam validate --lint` runs, so that both read a template by the same rules.
SAM = ["aws-sam-cli==1.170.0", "cfn-lint==1.58.0"]
# Of its own: it pins an older boto3 than SAM's.
CHECKOV = ["checkov==3.3.30"]

PLAIN = [ROOT / "template.yaml", *(ROOT / "infra" / f"{name}.yaml" for name in ("data", "operations", "rotation"))]
AREAS = sorted((ROOT / "infra" / "areas").glob("*.yaml"))
CHECKED = ROOT / "target" / "templates"

# SAM's transform, as CloudFormation makes it of a template. It needs uploaded code, so each CodeUri becomes an S3 URI of
# the same path.
TRANSFORM = """
import json, logging, sys
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

logging.disable(logging.WARNING)
source, target, values = sys.argv[1:]
template = yaml_parse(open(source).read())
values = {name: "0" for name in template["Parameters"]} | json.loads(values)
everywhere = template["Globals"]["Function"].pop("CodeUri", ".")
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = "s3://code/" + resource["Properties"].get("CodeUri", everywhere)
managed_policies = type("None", (), {"load": staticmethod(dict)})
json.dump(transform(template, values, managed_policies), open(target, "w"), indent=2)
"""

# Neither reports home, nor looks for newer versions. SAM asks no AWS for anything, but insists on a region.
QUIET = {
    **os.environ,
    "AWS_DEFAULT_REGION": "us-east-1",
    "SAM_CLI_TELEMETRY": "0",
    "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true",
}


def check() -> None:
    """All of them; what they find fails."""
    with step("cfn-lint"):
        command = [environment("sam", SAM) / "cfn-lint", "--non-zero-exit-code", "informational", *PLAIN, *AREAS]
        run(command, "cfn-lint", LOG, "Mend the templates.", env=QUIET, cwd=ROOT)
    with step("checkov"):
        checkov(environment("checkov", CHECKOV), [*PLAIN, *(transformed(area, CHECKED) for area in AREAS)])


def transformed(source: Path, folder: Path, values: dict[str, str] | None = None) -> Path:
    """A copy of a template without SAM's resources; `values` are those of parameters that SAM itself looks at."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{source.stem}.json"
    command = [environment("sam", SAM) / "python", "-c", TRANSFORM, source, target, json.dumps(values or {})]
    run(command, "SAM's transform", LOG, f"Mend {source}.", env=QUIET, cwd=ROOT)
    return target


def checkov(programs: Path, templates: list[Path]) -> None:
    """Runs checkov, and verifies that it read every template: it silently skips what it can't parse."""
    report = CHECKED / "checkov.json"
    command = [programs / "checkov", "--config-file", ROOT / "infra" / "checkov.yaml", "--output", "json"]
    # By short paths: it takes forty letters and slashes in a row for a secret, also in the path of what it reads.
    command += [word for template in templates for word in ("--file", template.relative_to(ROOT))]
    with open(report, "w") as output, open(LOG, "ab") as log:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=log, env=QUIET, cwd=ROOT, check=False)
    try:
        results = json.loads(report.read_text())["results"]
    except (ValueError, KeyError, TypeError):
        raise Failure(f"checkov told nothing that can be read (its log: {LOG}, its answer: {report}).") from None
    wrong = [f"{check['check_id']} {check['resource']}: {check['check_name']}" for check in results["failed_checks"]]
    read = {Path(check["file_path"]).name for check in results["passed_checks"]}
    wrong += [f"{template.name}: nothing in it was checked" for template in templates if template.name not in read]
    if wrong:
        listed = "\n".join(f"    {line}" for line in wrong)
        raise Failure(f"checkov found:\n{listed}\n  Mend it, or add an exception with its reason to infra/checkov.yaml.")
