"""Asks AWS about a stack, or has it prepared to be deleted, by boto3. Prints JSON.

usage: stack.py identity
       stack.py concurrency       how many functions the account may run at once
       stack.py outputs STACK
       stack.py status STACK      null where there is no such stack
       stack.py unprotect STACK   has its databases deletable; prints which had not been
       stack.py delete STACK      deletes it, and what sam uploaded for it
"""

import json
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError


def described(name: str) -> dict | None:
    try:
        return boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def unprotect(name: str) -> list[str]:
    """Has a stack's and its nested stacks' stores deletable, in whatever state the stack is; which had not been.

    Not by the parameter DeletionProtection: a stack whose first deployment failed can't be updated.
    """
    rds, docdb, found = boto3.client("rds"), boto3.client("docdb"), []
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    for resource in [resource for page in pages for resource in page["StackResourceSummaries"]]:
        kind, physical = resource["ResourceType"], resource.get("PhysicalResourceId")
        if not physical or resource["ResourceStatus"] == "DELETE_COMPLETE":
            continue
        if kind == "AWS::CloudFormation::Stack":
            found += unprotect(physical)
        elif kind == "AWS::RDS::DBInstance":
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


def delete(name: str) -> None:
    cloudformation = boto3.client("cloudformation")
    stack = described(name)["StackId"]
    cloudformation.delete_stack(StackName=stack)
    try:
        # DocumentDB and Amazon MQ take their time.
        waiting = {"Delay": 15, "MaxAttempts": 240}
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=waiting)
    except WaiterError as error:
        events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        reasons = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            for event in events
            if event["ResourceStatus"] == "DELETE_FAILED"
        ]
        sys.exit("; ".join(reasons[:5]) or str(error))
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
            return boto3.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
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
