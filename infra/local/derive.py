"""Generates files from functions.toml: a template for each area, and parts of other files.

A part starts after the line "… derived from functions.toml: NAME" and ends before "… end of what is derived".
"""

import re
import tomllib
from collections.abc import Callable, Iterable

import jinja2

from console import Failure, say
from tools import ROOT

TABLE = ROOT / "functions.toml"
AREA = ROOT / "infra" / "area.yaml.jinja"
AREAS = ROOT / "infra" / "areas"
# What a function is given to reach a store, by the account that it logs in with.
DATABASE = ("Register", "Login", "Organizer", "Desk", "Reader", "Office")
DOCUMENTS = ("Payments", "Notifications")
# Those who own the stores. Their passwords stay; those of all others rotate.
OWNERS = ("DatabaseOwner", "DocumentsOwner", "BrokerOwner")
ROTATED = (*DATABASE, *DOCUMENTS, "Broker")
QUEUES = {"settle": "SettleQueue", "settle-dead-letters": "SettleDeadLetterQueue"}
KEYS = {
    "area", "routes", "queue", "schedule", "accounts", "token", "invokes", "sends", "takes", "measures", "bounded",
    "timeout", "memory", "others", "versions",
}  # fmt: skip
# The values that a field may have, or each of its list.
VALUES = {
    "accounts": {*OWNERS, *ROTATED}, "queue": {"settle", "announcements"}, "schedule": {"1 minute", "1 hour"},
    "token": {"public", "private", "made"}, "others": {"reads", "rotates"}, "sends": set(QUEUES), "takes": set(QUEUES),
    "bounded": {"ConcurrentBookings", "ConcurrentCharges"},
}  # fmt: skip
# An alarm watches ten metrics at most, and one of them is the sum.
MAX_WATCHED = 9
# The functions that an operator is told of, with what the template says of each.
OPERATED = {"migrate": "!Ref Migrate", "redrive": "!Ref Redrive.Alias", "redrive-quarantine": "!Ref RedriveQuarantine.Alias"}


def functions() -> dict[str, dict]:
    """The table."""
    table = tomllib.loads(TABLE.read_text())
    for name, function in table.items():
        if unknown := set(function) - KEYS:
            raise Failure(f"functions.toml: {name} has an unknown field {', '.join(sorted(unknown))}.")
        for field, known in VALUES.items():
            given = function.get(field, [])
            if wrong := {given} - known if isinstance(given, str) else set(given) - known:
                raise Failure(f"functions.toml: {field} of {name} can't be {', '.join(sorted(wrong))}.")
        if not (ROOT / "functions" / function["area"] / "src" / "bin" / f"{name}.rs").is_file():
            raise Failure(f"functions.toml: {name} has no functions/{function['area']}/src/bin/{name}.rs.")
    return table


def areas(table: dict[str, dict]) -> dict[str, dict[str, dict]]:
    """The functions of each area."""
    found: dict[str, dict[str, dict]] = {}
    for name, function in table.items():
        found.setdefault(function["area"], {})[name] = function
    return found


def logical(name: str) -> str:
    """The name of a function's resource: create-booking is CreateBooking."""
    return "".join(word.capitalize() for word in name.split("-"))


def has_versions(function: dict) -> bool:
    return function.get("versions", True)


def methods(route: str) -> list[str]:
    method = route.split()[0]
    return ["GET", "HEAD"] if method == "GET" else [method]


def path(route: str) -> str:
    return route.split()[1]


def route_name(method: str, route: str) -> str:
    """The name of a route's resource. It follows from the route alone: a resource that took the key of another, which is
    deleted later, would be refused."""
    return "".join(word.capitalize() for word in re.findall(r"[a-z0-9]+", f"route {method} {path(route)}".lower()))


# ---- What a function is told and may do


def environment(function: dict) -> Iterable[tuple[str, str, str]]:
    """A function's variables: the name of each, the kind of its value, and which of that kind."""
    for account in function.get("accounts", []):
        if account in OWNERS:
            yield f"ADMIT_{account.removesuffix('Owner').upper()}_OWNER_SECRET", "secret", account
            continue
        store = "DATABASE" if account in DATABASE else "DOCUMENTS" if account in DOCUMENTS else "BROKER"
        yield f"ADMIT_{store}_SECRET", "secret", account
        if store == "DATABASE":
            yield "ADMIT_DATABASE_HOST", "parameter", "DatabaseHost"
    for queue in {**dict.fromkeys(function.get("sends", [])), **dict.fromkeys(function.get("takes", []))}:
        name = queue.upper().replace("-LETTERS", "-LETTER").replace("-", "_")
        yield f"ADMIT_{name}_QUEUE_URL", "parameter", QUEUES[queue]
    for called in function.get("invokes", []):
        yield f"ADMIT_{called.split('-')[0].upper()}_FUNCTION", "function", called
    match function.get("token"):
        case "public":
            yield "ADMIT_TOKEN_PUBLIC_KEY", "parameter", "TokenPublicKey"
        case "private" | "made":
            yield "ADMIT_TOKEN_KEY_SECRET", "secret", "TokenKey"
    if function.get("others") == "reads":
        yield "ADMIT_ROLE_SECRETS", "secrets", "of roles"
    if function.get("measures"):
        yield "ADMIT_STACK", "parameter", "Application"


def arn(function: str) -> str:
    """The ARN of a function's alias, by its name: so no stack waits for another's functions."""
    return f"arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:${{Application}}-{function}:live"


# How an area's template says the values of variables, by kind; functions.py has what they are in a local stack.
IN_TEMPLATE: dict[str, Callable[[str], str]] = {
    "secret": lambda account: f"!Ref {account}Secret",
    "secrets": lambda _: f'!Join [",", {several([f"!Ref {account}Secret" for account in ROTATED])}]',
    "parameter": lambda name: f"!Ref {name}",
    "function": lambda name: f'!Sub "{arn(name)}"',
}


def rights(function: dict) -> list[tuple[list[str], list[str]]]:
    """What a function itself may do beside writing its log: actions and resources."""
    secrets = [*function.get("accounts", []), *(["TokenKey"] if function.get("token") in ("private", "made") else [])]
    others = [f"!Ref {account}Secret" for account in ROTATED]
    found = []
    if secrets:
        found.append((["secretsmanager:GetSecretValue"], [f"!Ref {name}Secret" for name in secrets]))
    if function.get("token") == "made":
        found.append((["secretsmanager:PutSecretValue"], ["!Ref TokenKeySecret"]))
    match function.get("others"):
        case "reads":
            found.append((["secretsmanager:GetSecretValue"], others))
        case "rotates":
            operations = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
            found.append(([f"secretsmanager:{operation}" for operation in operations], others))
            found.append((["secretsmanager:GetRandomPassword"], ['"*"']))
    if sends := function.get("sends"):
        found.append((["sqs:SendMessage"], [f"!Ref {QUEUES[queue]}Arn" for queue in sends]))
    if takes := function.get("takes"):
        found.append((["sqs:ReceiveMessage", "sqs:DeleteMessage"], [f"!Ref {QUEUES[queue]}Arn" for queue in takes]))
    if invokes := function.get("invokes"):
        found.append((["lambda:InvokeFunction"], [f'!Sub "{arn(called)}"' for called in invokes]))
    return found


def rights_of_poller(function: dict) -> list[tuple[list[str], list[str]]]:
    """What Lambda's poller of a function's queue does in the function's name."""
    match function.get("queue"):
        case "announcements":
            return [
                (["secretsmanager:GetSecretValue"], ["!Ref BrokerSecret"]),
                (["mq:DescribeBroker"], ["!Ref BrokerArn"]),
                (["ec2:DescribeVpcs", "ec2:DescribeSecurityGroups"], ['"*"']),
            ]
        case "settle":
            actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
            return [(actions, ["!Ref SettleQueueArn"])]
    return []


def several(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"


# ---- The areas' templates, and their stacks in template.yaml


def watched(area: str, functions: dict[str, dict]) -> dict[str, list[str]]:
    """The alarms that roll an area's deployment back, and the functions that each watches."""
    names = [name for name, function in functions.items() if has_versions(function)]
    return {
        f"{logical(area)}Errors{number if number > 1 else ''}": names[start : start + MAX_WATCHED]
        for number, start in enumerate(range(0, len(names), MAX_WATCHED), 1)
    }


def created_or_given(name: str, created: str = "Creates") -> str:
    return f"!If [{created}, !GetAtt Data.Outputs.{name}, !Ref {name}]"


# What the stack of an area may be told, and how template.yaml says it.
PARAMETERS = {
    **{name: f"!Ref {name}" for name in ("Release", "Architecture", "GradualDeployment", "Deployment", "LogRetentionDays")},
    "Application": "!Ref AWS::StackName",
    "Runbook": "!Ref Runbook",
    "Runtime": "!Ref Runtime",
    "SubnetIds": created_or_given("SubnetIds"),
    "SecurityGroupIds": created_or_given("SecurityGroupIds"),
    "ApiId": "!Ref Api",
    "DatabaseHost": created_or_given("DatabaseHost", "Proxied"),
    "BrokerArn": created_or_given("BrokerArn"),
    "TokenPublicKey": "!GetAtt Migration.TokenPublicKey",
    **{name: f"!Ref {name}" for name in ("ConcurrentBookings", "ConcurrentCharges", *QUEUES.values())},
    **{f"{queue}Arn": f"!GetAtt {queue}.Arn" for queue in QUEUES.values()},
    **{f"{account}Secret": created_or_given(f"{account}Secret") for account in (*OWNERS, *ROTATED, "TokenKey")},
}
NUMBERS = {"LogRetentionDays", "ConcurrentBookings", "ConcurrentCharges"}


def area_template(area: str, functions: dict[str, dict]) -> str:
    """An area's template, with the parameters that it uses."""
    template = jinja2.Environment(undefined=jinja2.ChainableUndefined, keep_trailing_newline=True).from_string(AREA.read_text())
    bounds = sorted({function["bounded"] for function in functions.values() if "bounded" in function})
    # The pollers of the settle queue are as many as a small account can spare.
    if any(function.get("queue") == "settle" for function in functions.values()):
        bounds = sorted({*bounds, "ConcurrentCharges"})
    outputs = {logical(name): OPERATED[name] for name in functions if name in OPERATED}
    if "rotate-secret" in functions:
        outputs |= {f"{logical(name)}Arn": f"!GetAtt {logical(name)}.Arn" for name in ("migrate", "rotate-secret")}

    def written(parameters: Iterable[str]) -> str:
        return template.render(
            area=area, functions=functions, parameters=parameters, numbers=NUMBERS, bounds=bounds, outputs=outputs,
            alarms=watched(area, functions), logical_name=logical, has_versions=has_versions, methods=methods, path=path,
            route_name=route_name,
            environment=environment, in_template=IN_TEMPLATE, rights=rights, rights_of_poller=rights_of_poller,
            several=several, arn=arn,
        )  # fmt: skip

    return written(used(written([])))


def used(text: str) -> list[str]:
    """The parameters that a template refers to."""
    found = set(re.findall(r"!Ref (\w+)|\$\{(\w+)\}", text))
    return [name for name in PARAMETERS if any(name in pair for pair in found)]


def stacks(table: dict[str, dict]) -> Iterable[str]:
    """The areas' nested stacks. The others wait for the migration's, so that a failed migration ends the deployment."""
    for area, functions in areas(table).items():
        parameters = used(area_template(area, functions))
        yield f"  {logical(area)}:"
        yield "    Type: AWS::CloudFormation::Stack"
        # A stack that uses the token key depends on the migration already, and the one with `migrate` must not.
        if "TokenPublicKey" not in parameters and "migrate" not in functions:
            yield "    DependsOn: Migration"
        yield "    Properties:"
        yield f"      TemplateURL: infra/areas/{area}.yaml"
        yield "      Parameters:"
        yield from (f"        {name}: {PARAMETERS[name]}" for name in parameters)
        yield ""


# ---- Cargo.toml and Rust


def router(table: dict[str, dict]) -> Iterable[str]:
    by_path: dict[str, list[str]] = {}
    for name, function in table.items():
        for route in function.get("routes", []):
            for method in methods(route):
                target = f'{{ function = "{name}", method = "{method}" }}'
                by_path.setdefault(path(route), []).append(target)
    yield "[workspace.metadata.lambda.watch.router]"
    for where, targets in by_path.items():
        yield f'"{where}" = [{", ".join(targets)}]'


def timeouts(table: dict[str, dict]) -> Iterable[str]:
    yield "pub const ALL: &[Function] = &["
    for name, function in sorted(table.items()):
        yield f'    function("{name}", {function.get("timeout", 15)}),'
    yield "];"


PARTS: dict[str, tuple[str, Callable[[dict[str, dict]], Iterable[str]]]] = {
    "template.yaml": ("areas", stacks),
    "Cargo.toml": ("local routes", router),
    "shared/runtime/src/functions.rs": ("timeouts", timeouts),
}


def derive(check: bool) -> None:
    """Writes every part, or says which is stale."""
    table = functions()
    wanted = {AREAS / f"{area}.yaml": area_template(area, found) for area, found in areas(table).items()}
    for file, (name, part) in PARTS.items():
        wanted[ROOT / file] = replaced((ROOT / file).read_text(), name, "\n".join(part(table)).strip("\n"), file)
    stale = [place for place, text in wanted.items() if not place.exists() or place.read_text() != text]
    stale += [place for place in AREAS.glob("*.yaml") if place not in wanted]
    if stale and check:
        names = ", ".join(str(place.relative_to(ROOT)) for place in stale)
        raise Failure(f"{names}: not what follows from functions.toml. Run make functions.")
    for place in stale:
        place.parent.mkdir(exist_ok=True)
        place.write_text(wanted[place]) if place in wanted else place.unlink()
        say(f"  wrote {place.relative_to(ROOT)}")


def replaced(text: str, name: str, part: str, file: str) -> str:
    whole = re.compile(
        rf"^(?P<begin>[^\n]*derived from functions\.toml: {re.escape(name)}\n).*?^(?P<end>[^\n]*end of what is derived\n)",
        re.MULTILINE | re.DOTALL,
    )
    if not whole.search(text):
        raise Failure(f"{file} has no place for what is derived: {name}.")
    return whole.sub(lambda found: f"{found['begin']}{part}\n{found['end']}", text, count=1)
