"""Asks AWS about a stack, or has it prepared to be deleted, by boto3. Prints JSON.

usage: stack.py identity
       stack.py concurrency STACK FUNCTION …
                                  how many functions may run at once that nobody has reserved, but the stack's
       stack.py outputs STACK
       stack.py status STACK      null where there is no such stack
       stack.py unprotect STACK   has its databases deletable; prints which had not been
       stack.py delete STACK      deletes it, and what sam uploaded for it
"""

import contextlib
import json
import sys
from collections.abc import Iterator

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

# A deletion is tried so often where something is still in use.
ATTEMPTS = 3
# DocumentDB, Amazon MQ and Lambda's network interfaces take their time.
WAITING = {"Delay": 15, "MaxAttempts": 480}


def described(name: str) -> dict | None:
    try:
        return boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def resources(name: str) -> Iterator[tuple[str, str]]:
    """What a stack and its nested stacks have: types and physical names."""
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    for resource in [resource for page in pages for resource in page["StackResourceSummaries"]]:
        kind, physical = resource["ResourceType"], resource.get("PhysicalResourceId")
        if not physical or resource["ResourceStatus"] == "DELETE_COMPLETE":
            continue
        if kind == "AWS::CloudFormation::Stack":
            yield from resources(physical)
        else:
            yield kind, physical


def concurrency(name: str, *reserving: str) -> int:
    functions = boto3.client("lambda")
    free = functions.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    for function in reserving:
        try:
            reserved = functions.get_function_concurrency(FunctionName=f"{name}-{function}")
        except functions.exceptions.ResourceNotFoundException:
            continue
        free += reserved.get("ReservedConcurrentExecutions", 0)
    return free


def unprotect(name: str) -> list[str]:
    """Has a stack's stores deletable, in whatever state the stack is; which had not been.

    Not by the parameter DeletionProtection: a stack whose first deployment failed can't be updated.
    """
    rds, docdb, found = boto3.client("rds"), boto3.client("docdb"), []
    for kind, physical in resources(name):
        if kind == "AWS::RDS::DBInstance":
            [store] = rds.describe_db_instances(DBInstanceIdentifier=physical)["DBInstances"]
            if store["DeletionProtection"]:
                rds.modify_db_instance(DBInstanceIdentifier=physical, DeletionProtection=False, ApplyImmediately=True)
                found.append(physical)
        elif kind == "AWS::DocDB::DBCluster":
            [store] = docdb.describe_db_clusters(DBClusterIdentifier=physical)["DBClusters"]
            if store["DeletionProtection"]:
                docdb.modify_db_cluster(DBClusterIdentifier=physical, DeletionProtection=False, ApplyImmediately=True)
                found.append(physical)
    return found


def failures(stack: str) -> list[str]:
    """Why the last deletion of a stack, or of one that is nested in it, has failed, the newest first."""
    cloudformation = boto3.client("cloudformation")
    found = []
    for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
        kind, physical = event["ResourceType"], event.get("PhysicalResourceId")
        if physical == stack and event["ResourceStatus"] == "DELETE_IN_PROGRESS":
            break
        if event["ResourceStatus"] == "DELETE_FAILED":
            found.append(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}")
            if kind == "AWS::CloudFormation::Stack" and physical != stack:
                found += failures(physical)
    return found


def release_interfaces(networks: list[str]) -> None:
    """Deletes network interfaces that Lambda has left, detached, as the roles to delete them with were gone."""
    ec2 = boto3.client("ec2")
    wanted = {"vpc-id": networks, "status": ["available"], "description": ["AWS Lambda VPC ENI*"]}
    filters = [{"Name": name, "Values": values} for name, values in wanted.items()]
    for interface in ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"] if networks else []:
        # Lambda may be about it at this moment; what stays is found by the next attempt.
        with contextlib.suppress(ClientError):
            ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])


def delete(name: str) -> None:
    cloudformation = boto3.client("cloudformation")
    stack = described(name)["StackId"]
    networks = [physical for kind, physical in resources(stack) if kind == "AWS::EC2::VPC"]
    for attempt in range(1, ATTEMPTS + 1):
        cloudformation.delete_stack(StackName=stack)
        try:
            cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=WAITING)
            break
        except WaiterError as error:
            reasons = failures(stack)
            # A group or a subnet "has a dependent object", or "has dependencies".
            if attempt == ATTEMPTS or not any("depend" in reason for reason in reasons):
                sys.exit("; ".join(reasons[:5]) or str(error))
            release_interfaces(networks)
    uploaded = described("aws-sam-cli-managed-default")
    for output in uploaded["Outputs"] if uploaded else []:
        if output["OutputKey"] == "SourceBucket":
            bucket = boto3.resource("s3").Bucket(output["OutputValue"])
            bucket.object_versions.filter(Prefix=f"{name}/").delete()


def main(command: str, *names: str):
    match command:
        case "identity":
            return boto3.client("sts").get_caller_identity()["Account"]
        case "concurrency":
            return concurrency(*names)
        case "outputs":
            return {entry["OutputKey"]: entry["OutputValue"] for entry in described(*names).get("Outputs", [])}
        case "status":
            stack = described(*names)
            return stack and stack["StackStatus"]
        case "unprotect":
            return unprotect(*names)
        case "delete":
            return delete(*names)


if __name__ == "__main__":
    try:
        json.dump(main(*sys.argv[1:]), sys.stdout)
    except (BotoCoreError, ClientError) as error:
        sys.exit(str(error))
