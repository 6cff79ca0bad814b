"""The emulated account that `make test-deploy` deploys into, as its owner asks it.

The account enforces rights: a function signs its calls as its role, and the emulator refuses calls that the role's
policies don't allow. The calls made from this module are signed by the account's owner.
"""

import os
from dataclasses import dataclass

from cloud import OWNER, REGION, client, invoke

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
