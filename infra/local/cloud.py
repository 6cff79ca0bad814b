"""An account of AWS's emulator that is deployed into: its process, and what is asked of its APIs.

Rights are enforced in it: a function's calls are signed by its role, and those that its policies don't allow
are refused. What is asked here is asked by the account's owner.
"""

import json
import os
import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import tools
from console import Failure

# What transforms AWS::Serverless in the emulator, as CloudFormation does by itself.
PACKAGES = [tools.AWS_PACKAGES[0], "aws-sam-translator==1.115.0"]
REGION = "us-east-1"
NUMBER = "000000000000"
# The owner's key: the emulator takes for it what its own environment says.
OWNER = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
VERSIONS = {"cloudformation": "2010-05-15", "monitoring": "2010-08-01", "iam": "2010-05-08", "sns": "2010-03-31"}


def start(process, port: int, data: Path, settings: dict[str, str]) -> None:
    """Starts the emulator, which hands its own environment on to the functions' processes."""
    data.mkdir(parents=True, exist_ok=True)
    environment = {
        **environment_without_aws(),
        **OWNER,
        **settings,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        "AUTH": "true",
        "TMPDIR": str(data),
        "S3_DATA_DIR": str(data / "s3"),
        # These would listen at ports of their own.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    program = tools.environment("cloud", PACKAGES) / "ministack"
    process.start([program], environment, cwd=data)
    process.wait_until(lambda: Account(port).answers(), 60)


def environment_without_aws() -> dict[str, str]:
    """This process's environment, without the account that its user works with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    local = "127.0.0.1,localhost"
    return kept | {"NO_PROXY": local, "no_proxy": local}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Account:
    """The emulator at a port, as its owner asks it."""

    port: int

    def settings(self) -> dict[str, str]:
        """What the AWS CLIs need to come here."""
        return OWNER | {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    # ---- Asking

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float = 60) -> Answer:
        """One request, whatever is answered."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        except (OSError, HTTPException) as error:
            raise Failure(f"{method} {path} got no answer from AWS's emulator: {error!r}.") from None
        finally:
            connection.close()

    def ask(self, service: str, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """A request of the owner's; fails where it is refused."""
        scope = f"Credential={OWNER['AWS_ACCESS_KEY_ID']}/20260101/{REGION}/{service}/aws4_request"
        signed = {
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        answer = self.send(method, path, body, signed)
        if answer.status >= 300:
            raise Failure(f"AWS's emulator answered {answer.status} to {service}: {answer.body.decode()[:300]}")
        return answer

    def rest(self, service: str, method: str, path: str, body: dict | None = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        return self.ask(service, method, path, data, Content_Type="application/json").json()

    def call(self, service: str, target: str, body: dict | None = None) -> dict:
        """An operation of an API that is named by a header."""
        data = json.dumps(body or {}).encode()
        headers = {"Content_Type": "application/x-amz-json-1.1", "X_Amz_Target": target}
        return self.ask(service, "POST", "/", data, **headers).json()

    def query(self, service: str, action: str, **form: str) -> ElementTree.Element:
        """An operation of an API that takes forms and answers XML, here without its namespace."""
        fields = urllib.parse.urlencode({"Action": action, "Version": VERSIONS[service], **form}).encode()
        answer = self.ask(service, "POST", "/", fields, Content_Type="application/x-www-form-urlencoded")
        root = ElementTree.fromstring(answer.body)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    def answers(self) -> bool:
        try:
            return self.send("GET", "/_ministack/health", None, {}, seconds=2).status == 200
        except Failure:
            return False

    # ---- What there is

    def stack_status(self, name: str) -> str | None:
        """A stack's status; None where there is no such stack."""
        return self.stacks().get(name)

    def stacks(self) -> dict[str, str]:
        found = self.query("cloudformation", "ListStacks").iter("member")
        named = {member.findtext("StackName", ""): member.findtext("StackStatus", "") for member in found}
        return {name: status for name, status in named.items() if name and status != "DELETE_COMPLETE"}

    def outputs(self, stack: str) -> dict[str, str]:
        found = self.query("cloudformation", "DescribeStacks", StackName=stack).iter("member")
        named = {member.findtext("OutputKey", ""): member.findtext("OutputValue", "") for member in found}
        return {name: value for name, value in named.items() if name}

    def resources(self, stack: str) -> dict[str, tuple[str, str]]:
        """A stack's resources: type and physical name by logical name."""
        found = self.query("cloudformation", "ListStackResources", StackName=stack).iter("member")
        return {
            member.findtext("LogicalResourceId", ""): (
                member.findtext("ResourceType", ""),
                member.findtext("PhysicalResourceId", ""),
            )
            for member in found
        }

    def processed_template(self, stack: str) -> dict:
        """A stack's template after SAM's transform."""
        answer = self.query("cloudformation", "GetTemplate", StackName=stack, TemplateStage="Processed")
        return json.loads(answer.findtext(".//TemplateBody", "{}"))

    def secret(self, name: str) -> str:
        """A secret's ARN."""
        return self.call("secretsmanager", "secretsmanager.DescribeSecret", {"SecretId": name})["ARN"]

    def functions(self) -> list[str]:
        found = self.rest("lambda", "GET", "/2015-03-31/functions/")["Functions"]
        return [function["FunctionName"] for function in found]

    def mappings(self) -> list[dict]:
        return self.rest("lambda", "GET", "/2015-03-31/event-source-mappings/")["EventSourceMappings"]

    def mapping(self, uuid: str) -> dict:
        return self.rest("lambda", "GET", f"/2015-03-31/event-source-mappings/{uuid}")

    def live(self, function: str) -> dict:
        """The configuration of the version that a function's alias points to."""
        return self.rest("lambda", "GET", f"/2015-03-31/functions/{function}/configuration?Qualifier=live")

    def invoke(self, function: str, event: dict) -> dict:
        """Invokes a function, by name or ARN; its answer."""
        path = f"/2015-03-31/functions/{urllib.parse.quote(function, safe='')}/invocations"
        answer = self.ask("lambda", "POST", path, json.dumps(event).encode(), Content_Type="application/json")
        if any(name.lower() == "x-amz-function-error" for name in answer.headers):
            raise Failure(f"{function} failed: {answer.body.decode()[:500]}")
        return answer.json()

    def log(self, group: str, since: float) -> list[str]:
        """The lines of a log group from a time on, in seconds."""
        wanted = {"logGroupName": group, "startTime": int(since * 1000)}
        lines: list[str] = []
        while True:
            page = self.call("logs", "Logs_20140328.FilterLogEvents", wanted)
            lines += [event["message"] for event in page["events"]]
            if not page.get("nextToken"):
                return lines
            wanted["nextToken"] = page["nextToken"]

    def inventory(self) -> dict[str, set[str]]:
        """All that a deployment makes, by kind."""
        queues = self.call("sqs", "AmazonSQS.ListQueues").get("QueueUrls", [])
        groups = self.call("logs", "Logs_20140328.DescribeLogGroups")["logGroups"]
        keys = [key["KeyId"] for key in self.call("kms", "TrentService.ListKeys")["Keys"]]
        secrets = self.call("secretsmanager", "secretsmanager.ListSecrets")["SecretList"]
        described = [self.call("kms", "TrentService.DescribeKey", {"KeyId": key})["KeyMetadata"] for key in keys]
        return {
            "stacks": set(self.stacks()),
            "functions": set(self.functions()),
            "event source mappings": {mapping["UUID"] for mapping in self.mappings()},
            "APIs": {api["apiId"] for api in self.rest("apigateway", "GET", "/v2/apis")["items"]},
            "queues": {url.rpartition("/")[2] for url in queues},
            "log groups": {group["logGroupName"] for group in groups},
            "schedules": {entry["Name"] for entry in self.rest("scheduler", "GET", "/schedules")["Schedules"]},
            "alarms": self._named("monitoring", "DescribeAlarms", "AlarmName"),
            "dashboards": self._named("monitoring", "ListDashboards", "DashboardName"),
            "roles": self._named("iam", "ListRoles", "RoleName"),
            "policies": self._named("iam", "ListPolicies", "PolicyName", Scope="Local"),
            "topics": self._named("sns", "ListTopics", "TopicArn"),
            "keys": {key["KeyId"] for key in described if key.get("KeyState") != "PendingDeletion"},
            "secrets": {secret["Name"] for secret in secrets},
        }

    def _named(self, service: str, action: str, name: str, **form: str) -> set[str]:
        return {element.text or "" for element in self.query(service, action, **form).iter(name)}
