"""What each function is told by its environment, in a stack of this machine: see functions.toml."""

import json
import os
import re
from pathlib import Path

import yaml

import certificates
import derive
import vault
from tools import ROOT

# Settings of the local stack that every function is given, beside what the template gives it.
LOCAL = re.compile(r"ADMIT_(CA_FILE|LOG|HURRY|FAULTS|\w+_SECONDS)|AWS_\w+")
# Those of them that the event sources alone are told.
SOURCES_ONLY = {"ADMIT_CLOCK_SECONDS"}
SETTLE_QUEUE = "settle-bookings"
DEAD_LETTERS = "settle-bookings-dead-letters"


def queue_url(stack, queue: str) -> str:
    return f"{stack.aws_url}/000000000000/{queue}"


def environments(stack, settings: dict[str, str], public_key: str) -> dict[str, dict[str, str]]:
    """Each function's environment: its variables in the template, then the local settings of all functions.

    A setting replaces the template's variable of that name, but only in functions that have the variable.
    """
    secrets = vault.names()
    parameters = {
        "Application": "local",
        "DatabaseHost": f"127.0.0.1:{stack.state['ports']['pooler']}" if stack.pooled else "",
        "SettleQueue": queue_url(stack, SETTLE_QUEUE),
        "SettleDeadLetterQueue": queue_url(stack, DEAD_LETTERS),
        "TokenPublicKey": public_key,
    }
    # As derive.IN_TEMPLATE has them for AWS.
    local = {
        "secret": lambda account: secrets[account],
        "secrets": lambda _: ",".join(secrets[account] for account in derive.ROTATED),
        "parameter": lambda name: parameters[name],
        "function": lambda name: name,
    }
    for_all = {name: value for name, value in settings.items() if LOCAL.fullmatch(name) and name not in SOURCES_ONLY}
    result = {}
    for name, function in derive.functions().items():
        given = {variable: local[kind](what) for variable, kind, what in derive.environment(function)}
        replaced = {variable: settings[variable] for variable in given if variable in settings}
        result[derive.logical(name)] = given | replaced | for_all
    return result


def cors(origins: str) -> str:
    """The CORS configuration of template.yaml with these comma-separated origins, as JSON; empty without origins."""
    _, configuration, _ = template()["Resources"]["Api"]["Properties"]["CorsConfiguration"]["Fn::If"]
    return json.dumps(configuration | {"AllowOrigins": origins.split(",")}) if origins else ""


def local_settings(stack) -> dict[str, str]:
    """What every function is told of this machine, by the env file."""
    return {
        "ADMIT_CA_FILE": str(certificates.authority(stack)),
        # Calls to AWS are for tests/rights.py.
        "ADMIT_LOG": os.environ.get("ADMIT_LOG") or "info,lapin=error,stores::aws=debug",
        "ADMIT_HURRY": "1",
        "ADMIT_INVOCATIONS_AT_ONCE": "1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": stack.aws_url,
        "AWS_ENDPOINT_URL_LAMBDA": stack.url,
    }


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML with any tag."""


def _tagged(loader: Loader, tag: str, node: yaml.Node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


Loader.add_multi_constructor("!", _tagged)


def template(path: Path = ROOT / "template.yaml") -> dict:
    """A CloudFormation template, its short tags as the functions that they stand for."""
    return yaml.load(path.read_text(), Loader)
