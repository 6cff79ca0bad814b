"""A stack in an AWS account: what is asked of it, and how it is deleted."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import boto3
from botocore.exceptions import ClientError, NoCredentialsError, WaiterError

from console import Failure

# A deletion is tried so often where something is still in use.
ATTEMPTS = 3
# DocumentDB, Amazon MQ and Lambda's network interfaces take their time.
WAITING = {"Delay": 15, "MaxAttempts": 480}


def account() -> str:
    """The number of the account that AWS's usual settings name."""
    try:
        return boto3.client("sts").get_caller_identity()["Account"]
    except NoCredentialsError as error:
        raise Failure(f"AWS said: {error}. Log in first: aws sso login, AWS_PROFILE=…, or aws configure.") from None


@dataclass(frozen=True)
class Deployed:
    """A stack, by its name, or its id once it is deleted."""

    name: str

    def described(self) -> dict | None:
        """None where there is no such stack."""
        try:
            return boto3.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise

    def outputs(self) -> dict[str, str]:
        return {entry["OutputKey"]: entry["OutputValue"] for entry in (self.described() or {}).get("Outputs", [])}

    def resources(self) -> Iterator[tuple[str, str]]:
        """What the stack and its nested stacks have: types and physical names."""
        pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        for resource in pages.search("StackResourceSummaries[]"):
            kind, physical = resource["ResourceType"], resource.get("PhysicalResourceId")
            if not physical or resource["ResourceStatus"] == "DELETE_COMPLETE":
                continue
            if kind == "AWS::CloudFormation::Stack":
                yield from Deployed(physical).resources()
            else:
                yield kind, physical

    def unreserved(self, reserving: Iterable[str]) -> int:
        """The account's unreserved concurrency, plus what these functions of the stack have reserved."""
        functions = boto3.client("lambda")
        free = functions.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
        for function in reserving:
            with contextlib.suppress(functions.exceptions.ResourceNotFoundException):
                reserved = functions.get_function_concurrency(FunctionName=f"{self.name}-{function}")
                free += reserved.get("ReservedConcurrentExecutions", 0)
        return free

    def unprotect(self) -> None:
        """Turns off the stores' deletion protection, whatever state the stack is in.

        This does not use the parameter DeletionProtection: a stack whose first deployment failed can't be updated.
        """
        unprotected = {"DeletionProtection": False, "ApplyImmediately": True}
        for kind, physical in self.resources():
            if kind == "AWS::RDS::DBInstance":
                boto3.client("rds").modify_db_instance(DBInstanceIdentifier=physical, **unprotected)
            elif kind == "AWS::DocDB::DBCluster":
                boto3.client("docdb").modify_db_cluster(DBClusterIdentifier=physical, **unprotected)

    def failures(self) -> list[str]:
        """Why the last deletion of the stack, or of one that is nested in it, has failed, the newest first."""
        found = []
        for event in boto3.client("cloudformation").describe_stack_events(StackName=self.name)["StackEvents"]:
            kind, physical = event["ResourceType"], event.get("PhysicalResourceId")
            if physical == self.name and event["ResourceStatus"] == "DELETE_IN_PROGRESS":
                break
            if event["ResourceStatus"] == "DELETE_FAILED":
                found.append(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}")
                if kind == "AWS::CloudFormation::Stack" and physical != self.name:
                    found += Deployed(physical).failures()
        return found

    def release_interfaces(self, networks: list[str]) -> None:
        """Deletes detached network interfaces that Lambda left behind because the roles it needed were already gone."""
        ec2 = boto3.client("ec2")
        wanted = {"vpc-id": networks, "status": ["available"], "description": ["AWS Lambda VPC ENI*"]}
        filters = [{"Name": name, "Values": values} for name, values in wanted.items()]
        for interface in ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"] if networks else []:
            # Lambda may be about it at this moment; what stays is found by the next attempt.
            with contextlib.suppress(ClientError):
                ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])

    def delete(self, uploads: str) -> None:
        """Deletes the stack, and its uploads: the objects below this prefix in sam's bucket."""
        cloudformation, stack = boto3.client("cloudformation"), Deployed(self.described()["StackId"])
        networks = [physical for kind, physical in stack.resources() if kind == "AWS::EC2::VPC"]
        for attempt in range(1, ATTEMPTS + 1):
            cloudformation.delete_stack(StackName=stack.name)
            try:
                cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack.name, WaiterConfig=WAITING)
                break
            except WaiterError as error:
                reasons = stack.failures()
                # A group or a subnet "has a dependent object", or "has dependencies".
                if attempt == ATTEMPTS or not any("depend" in reason for reason in reasons):
                    raise Failure(f"AWS said: {'; '.join(reasons[:5]) or error}.") from None
                self.release_interfaces(networks)
        bucket = Deployed("aws-sam-cli-managed-default").outputs().get("SourceBucket")
        if bucket:
            boto3.resource("s3").Bucket(bucket).object_versions.filter(Prefix=f"{uploads}/").delete()
