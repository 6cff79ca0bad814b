"""Whether each function has exactly the rights in template.yaml that it used in a run of all tests.

The functions log every call to AWS: `calls AWS`, with the caller, the service and the operation, but not
the resource. So a right is compared by its action; by its resource only what needs no run: a function may
read the secrets that its environment names, and no others. What AWS itself does in a function's name
is not compared: Lambda logs, traces and connects, and the pollers of SQS and Amazon MQ read.
"""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import functions
import vault
from console import Failure, say
from tools import ROOT

READ_SECRET = "secretsmanager:GetSecretValue"
CHANGE_SECRET = "secretsmanager:UpdateSecretVersionStage"
# What Lambda does in a function's name.
LAMBDAS_OWN = (
    "logs:*",
    "xray:*",
    "ec2:*NetworkInterface*",
    "ec2:*PrivateIpAddresses",
    "ec2:DescribeVpcs",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
)
POLLERS = {
    "SQS": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"),
    "MQ": ("mq:DescribeBroker", READ_SECRET),
}
# Operations of the SDK that a right of another name allows.
ALLOWED_BY = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}


@dataclass(frozen=True)
class Right:
    action: str
    resource: str


def compare(stack) -> None:
    """Fails where a function lacks a right that it used, or has one that it didn't."""
    template, used, lines = read_template(), calls(stack.folder / "log" / "event-sources.log"), []
    granted = rights(template)
    for name, allowed in sorted(granted.items()):
        called = used.pop(functions.package(name), set())
        lines += [f"{name} {what}" for what in differences(template, name, allowed, called)]
    lines += [f"{function} calls AWS, and template.yaml has no such function" for function in sorted(used)]
    if lines:
        listed = "".join(f"\n    {line}" for line in lines)
        raise Failure(f"The rights in template.yaml are not those that the tests' run needed:{listed}")
    say(f"\n  {len(granted)} functions have the rights that they used, and no others.")


def differences(template: functions.Template, name: str, allowed: set[Right], called: set[str]) -> list[str]:
    """What is missing and what is spare of a function's rights."""
    lines = [
        f"called {call}, and may not"
        for call in sorted(called)
        if not any(fnmatchcase(call, right.action) for right in allowed)
    ]
    sources = polled(template, name)
    for right in sorted(allowed - sources, key=str):
        own = any(fnmatchcase(right.action, pattern) for pattern in LAMBDAS_OWN)
        if not own and not any(fnmatchcase(call, right.action) for call in called):
            lines.append(f"may {right.action} on {right.resource}, and never did")
    changed = {right.resource for right in allowed if right.action == CHANGE_SECRET}
    readable = {right.resource for right in allowed - sources if right.action == READ_SECRET} - changed
    named = set(re.findall(r"\$\{\w+Secret\}", " ".join(template.variables(name).values())))
    lines += [f"may read {secret}, which its environment does not name" for secret in sorted(readable - named)]
    lines += [f"has {secret} in its environment, and may not read it" for secret in sorted(named - readable)]
    return lines


def read_template() -> functions.Template:
    """The template as with a data plane that is brought along; names of resources instead of values."""
    secrets = {f"{logical}Secret": f"${{{logical}Secret}}" for logical in vault.names()}
    return functions.read(DataPlane="existing", BrokerArn="${BrokerArn}", DatabaseHost="", **secrets)


def calls(log: Path) -> dict[str, set[str]]:
    """The actions that each function called."""
    used: dict[str, set[str]] = {}
    with open(log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            # A killed function may leave half a line, or begin one behind another's.
            if '"calls AWS"' not in line or (event := parsed(line)) is None or not event.get("caller"):
                continue
            service = event["service"].lower().replace(" ", "")
            action = f"{service}:{event['operation']}"
            used.setdefault(event["caller"], set()).add(ALLOWED_BY.get(action, action))
    if not used:
        raise Failure(f"{log.name} has no call to AWS: the functions don't log them, or ran with another ADMIT_LOG.")
    return used


def parsed(line: str) -> dict | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and event.get("message") == "calls AWS" else None


def rights(template: functions.Template) -> dict[str, set[Right]]:
    """The functions' rights: of the roles that they name, in the template or in one nested in it."""
    nested: dict[str, functions.Template] = {}
    result = {}
    for name, properties in template.functions().items():
        if "Policies" in properties or "Role" not in properties:
            raise Failure(f"{name} has no role of its own, which infra/local/rights.py could read.")
        role, place = str(template.resolve(properties["Role"])), template
        if found := re.fullmatch(r"\$\{(\w+)\.Outputs\.(\w+)\}", role):
            stack, output = found.groups()
            place = nested.setdefault(stack, nested_template(template, stack))
            role = str(place.resolve(place.outputs[output]["Value"]))
        result[name] = of_role(place, role)
    return result


def nested_template(template: functions.Template, name: str) -> functions.Template:
    properties = template.resolve(template.resources[name]["Properties"])
    return functions.read(ROOT / properties["TemplateURL"], **properties.get("Parameters", {}))


def of_role(template: functions.Template, role: str) -> set[Right]:
    made = template.resolve(made_by(template, role))
    documents = [policy["PolicyDocument"] for policy in made.get("Policies", [])]
    for policy in made.get("ManagedPolicyArns", []):
        documents.append(template.resolve(made_by(template, policy))["PolicyDocument"])
    return {
        Right(action, str(resource))
        for document in documents
        for statement in as_list(document["Statement"])
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def made_by(template: functions.Template, reference: str) -> dict:
    """The properties of the resource that ${NAME} or ${NAME.Arn} is of."""
    found = re.fullmatch(r"\$\{(\w+)(\.Arn)?\}", reference)
    if not found or found[1] not in template.resources:
        raise Failure(f"No template makes {reference}: infra/local/rights.py can't tell what it allows.")
    return template.resources[found[1]]["Properties"]


def polled(template: functions.Template, name: str) -> set[Right]:
    """What the pollers of a function's event sources do in its name, where they alone do."""
    result = set()
    for event in template.resolve(template.functions()[name].get("Events", {})).values():
        source = event["Properties"]
        secrets = [access["URI"] for access in source.get("SourceAccessConfigurations", [])]
        resources = [source.get("Queue"), source.get("Broker"), *secrets]
        result |= {Right(action, str(on)) for action in POLLERS.get(event["Type"], ()) for on in resources if on}
    return result


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]
