"""Clients of AWS's emulator, and the emulated account that `make test-deploy` deploys into.

The account enforces rights: a function signs its calls as its role, and the emulator refuses calls that the role's
policies don't allow. The calls made from this module are signed by the account's owner.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from console import Failure

EMULATOR = [sys.executable, Path(__file__).with_name("emulator.py")]
REGION = "us-east-1"
NUMBER = "000000000000"
# The owner's access key. The emulator accepts the key in its own environment as the owner's.
OWNER = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
# What a deployment makes, by kind: where it is listed, and its names there.
MADE = {
    "functions": ("lambda", "list_functions", "Functions[].FunctionName"),
    "event source mappings": ("lambda", "list_event_source_mappings", "EventSourceMappings[].UUID"),
    "APIs": ("apigatewayv2", "get_apis", "Items[].ApiId"),
    "queues": ("sqs", "list_queues", "QueueUrls[]"),
    "log groups": ("logs", "describe_log_groups", "logGroups[].logGroupName"),
    "schedules": ("scheduler", "list_schedules", "Schedules[].Name"),
    "alarms": ("cloudwatch", "describe_alarms", "MetricAlarms[].AlarmName"),
    "dashboards": ("cloudwatch", "list_dashboards", "DashboardEntries[].DashboardName"),
    "roles": ("iam", "list_roles", "Roles[].RoleName"),
    "topics": ("sns", "list_topics", "Topics[].TopicArn"),
    "secrets": ("secretsmanager", "list_secrets", "SecretList[].Name"),
}


def client(service: str, url: str, seconds: float = 60):
    """A client of one API of the emulator, or of the event sources, which answer Lambda's."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=OWNER["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=OWNER["AWS_SECRET_ACCESS_KEY"],
        # Don't retry: a failure must be visible.
        config=Config(read_timeout=seconds, retries={"total_max_attempts": 1}, proxies={}),
    )


def invoke(functions, name: str, event: dict) -> dict:
    """Invokes a function, by name or ARN; its answer."""
    try:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(event))
    except (BotoCoreError, ClientError) as error:
        raise Failure(f"{name} can't be invoked: {error}. See make logs.") from None
    said = answer["Payload"].read().decode()
    if "FunctionError" in answer:
        raise Failure(f"{name} failed: {said[:500]}. See make logs.")
    return json.loads(said)


def start(process, port: int, data: Path, settings: dict[str, str]) -> None:
    """Starts the emulator as an account to deploy into. The functions' processes inherit its environment."""
    environment = {
        **environment_without_aws(),
        **OWNER,
        **settings,
        **places(port, data),
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "MINISTACK_HOST": "localhost",
        "AUTH": "true",
        "S3_DATA_DIR": str(data / "s3"),
    }
    process.start(EMULATOR, environment, cwd=data)


def start_queues_and_secrets(process, port: int, data: Path) -> None:
    """Starts the emulator as a part of a local stack."""
    environment = {
        **os.environ,
        **places(port, data),
        "MINISTACK_HOST": "127.0.0.1",
        "SERVICES": "sqs,secretsmanager",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data / "state"),
    }
    process.start(EMULATOR, environment, cwd=data)


def places(port: int, data: Path) -> dict[str, str]:
    """Where the emulator listens, and where it writes."""
    # The last two would listen at ports of their own.
    return {
        "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "TMPDIR": str(data),
        "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0",
    }  # fmt: skip


def environment_without_aws() -> dict[str, str]:
    """This process's environment, without the account that its user works with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    local = "127.0.0.1,localhost"
    return kept | {"NO_PROXY": local, "no_proxy": local}


@dataclass(frozen=True)
class Account:
    """The emulator at a port, as its owner asks it."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, str]:
        """What the AWS CLIs need to come here."""
        return OWNER | {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str):
        return client(service, self.url)

    def listed(self, service: str, operation: str, what: str, **of) -> list:
        """What an operation lists, on all its pages."""
        pages = self.client(service).get_paginator(operation).paginate(**of)
        return [found for found in pages.search(what) if found is not None]

    def stacks(self) -> dict[str, str]:
        """The status of each stack that there is."""
        found = self.listed("cloudformation", "list_stacks", "StackSummaries[].[StackName, StackStatus]")
        return {name: status for name, status in found if status != "DELETE_COMPLETE"}

    def outputs(self, stack: str) -> dict[str, str]:
        found = self.listed("cloudformation", "describe_stacks", "Stacks[].Outputs[].[OutputKey, OutputValue]", StackName=stack)
        return dict(found)

    def resources(self, stack: str) -> dict[str, tuple[str, str]]:
        """A stack's resources: type and physical name by logical name."""
        what = "StackResourceSummaries[].[LogicalResourceId, ResourceType, PhysicalResourceId]"
        found = self.listed("cloudformation", "list_stack_resources", what, StackName=stack)
        return {logical: (kind, physical) for logical, kind, physical in found}

    def live(self, function: str) -> dict:
        """The configuration of the version that a function's alias points to."""
        return self.client("lambda").get_function_configuration(FunctionName=function, Qualifier="live")

    def invoke(self, function: str, event: dict) -> dict:
        return invoke(self.client("lambda"), function, event)

    def inventory(self) -> dict[str, set[str]]:
        """All that a deployment makes, by kind."""
        keys = self.client("kms")
        described = [keys.describe_key(KeyId=key)["KeyMetadata"] for key in self.listed("kms", "list_keys", "Keys[].KeyId")]
        return {kind: set(self.listed(*where)) for kind, where in MADE.items()} | {
            "stacks": set(self.stacks()),
            "policies": set(self.listed("iam", "list_policies", "Policies[].PolicyName", Scope="Local")),
            "keys": {key["KeyId"] for key in described if key.get("KeyState") != "PendingDeletion"},
        }
