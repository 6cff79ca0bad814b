"""What follows from functions.toml, written where people read it: between two comments of each file.

A part begins behind a line "… derived from functions.toml: NAME" and ends before the line "… end of what is derived".
"""

import re
import tomllib
from collections.abc import Callable, Iterable

from console import Failure, say
from tools import ROOT

TABLE = ROOT / "functions.toml"
# What a function is given to reach a store, by the account that it logs in with.
DATABASE = ("Register", "Login", "Organizer", "Desk", "Reader", "Office")
DOCUMENTS = ("Payments", "Notifications")
# Those who own the stores. Their passwords stay; those of all others rotate.
OWNERS = ("DatabaseOwner", "DocumentsOwner", "BrokerOwner")
ROTATED = (*DATABASE, *DOCUMENTS, "Broker")
QUEUES = {"settle": "Settle", "settle-dead-letters": "SettleDeadLetter"}
RATES = {"1 minute": "rate(1 minute)", "1 hour": "rate(1 hour)"}
KEYS = {
    "area", "routes", "queue", "schedule", "accounts", "token", "invokes", "sends", "takes", "measures", "bounded",
    "timeout", "memory", "others", "versions",
}  # fmt: skip
# The values that a field may have, or each of its list.
VALUES = {
    "accounts": {*OWNERS, *ROTATED}, "queue": {"settle", "announcements"}, "schedule": set(RATES),
    "token": {"public", "private", "made"}, "others": {"reads", "rotates"}, "sends": set(QUEUES), "takes": set(QUEUES),
}  # fmt: skip
# What a role's statements stand below.
STATEMENTS = """\
      Policies:
        - PolicyName: calls
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
"""
# An alarm watches ten metrics at most, and one of them is the sum.
MOST_WATCHED = 9


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


def logical(name: str) -> str:
    """The name of a function's resource: create-booking is CreateBooking."""
    return "".join(word.capitalize() for word in name.split("-"))


# ---- template.yaml


def resources(table: dict[str, dict]) -> Iterable[str]:
    for name, function in table.items():
        yield from resource(name, function)


def resource(name: str, function: dict) -> Iterable[str]:
    yield f"  {logical(name)}:"
    yield "    Type: AWS::Serverless::Function"
    if function.get("token") not in ("public", "made"):
        # Whoever checks tokens waits for the migration anyway, for its public key; and the migration needs a function.
        yield "    DependsOn: Migration"
    yield "    Metadata:"
    yield "      BuildMethod: rust-cargolambda"
    yield "      BuildProperties:"
    yield f"        Binary: {name}"
    yield "    Properties:"
    yield f'      FunctionName: !Sub "${{AWS::StackName}}-{name}"'
    yield f"      Role: !GetAtt Roles.Outputs.{logical(name)}"
    yield f'      LoggingConfig: {{ LogGroup: !Sub "/aws/lambda/${{AWS::StackName}}-{name}" }}'
    if memory := function.get("memory"):
        yield f"      MemorySize: {memory}"
    if timeout := function.get("timeout"):
        yield f"      Timeout: {timeout}"
    if bound := function.get("bounded"):
        yield f"      ReservedConcurrentExecutions: !If [Has{bound}, !Ref {bound}, !Ref AWS::NoValue]"
    if function.get("versions", True):
        yield "      AutoPublishAlias: live"
        yield "      AutoPublishCodeSha256: !Ref Release"
    else:
        yield "      DeploymentPreference: { Enabled: false }"
        yield "      EventInvokeConfig: { MaximumRetryAttempts: 0 } # what fails is to be seen"
    if given := list(environment(function)):
        yield "      Environment:"
        yield "        Variables:"
        yield from (f"          {variable}: {IN_TEMPLATE[kind](what)}" for variable, kind, what in given)
    if "schedule" in function:
        yield "      EventInvokeConfig: { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60 } # the next is the repeat"
    if events := list(triggers(name, function)):
        yield "      Events:"
        yield from (f"        {line}" for line in events)
    yield ""


def environment(function: dict) -> Iterable[tuple[str, str, str]]:
    """A function's variables: the name of each, the kind of its value, and which of that kind."""
    for account in function.get("accounts", []):
        if account in OWNERS:
            yield f"ADMIT_{account.removesuffix('Owner').upper()}_OWNER_SECRET", "secret", account
            continue
        store = "DATABASE" if account in DATABASE else "DOCUMENTS" if account in DOCUMENTS else "BROKER"
        yield f"ADMIT_{store}_SECRET", "secret", account
        if store == "DATABASE":
            yield "ADMIT_DATABASE_HOST", "host", "DatabaseHost"
    for queue in {**dict.fromkeys(function.get("sends", [])), **dict.fromkeys(function.get("takes", []))}:
        name = queue.upper().replace("-LETTERS", "-LETTER").replace("-", "_")
        yield f"ADMIT_{name}_QUEUE_URL", "queue", QUEUES[queue]
    for called in function.get("invokes", []):
        yield f"ADMIT_{called.split('-')[0].upper()}_FUNCTION", "function", called
    match function.get("token"):
        case "public":
            yield "ADMIT_TOKEN_PUBLIC_KEY", "token key", "TokenPublicKey"
        case "private" | "made":
            yield "ADMIT_TOKEN_KEY_SECRET", "secret", "TokenKey"
    if function.get("others") == "reads":
        yield "ADMIT_ROLE_SECRETS", "secrets", "of roles"
    if function.get("measures"):
        yield "ADMIT_STACK", "stack", "StackName"


def secret(account: str) -> str:
    return f"!If [Creates, !GetAtt Data.Outputs.{account}Secret, !Ref {account}Secret]"


def secrets_of_roles(_: str) -> str:
    return "\n".join(['!Join [",", [', *(f"            {secret(account)}," for account in ROTATED), "            ]]"])


# How the template says the values of variables, by kind; functions.py has what they are in a local stack.
IN_TEMPLATE: dict[str, Callable[[str], str]] = {
    "secret": secret,
    "secrets": secrets_of_roles,
    "host": lambda what: f"!If [Proxied, !GetAtt Data.Outputs.{what}, !Ref {what}]",
    "queue": lambda what: f"!Ref {what}Queue",
    "function": lambda what: f"!Ref {logical(what)}.Alias",
    "token key": lambda what: f"!GetAtt Migration.{what}",
    "stack": lambda what: f"!Ref AWS::{what}",
}


def triggers(name: str, function: dict) -> Iterable[str]:
    for number, route in enumerate(function.get("routes", [])):
        for method in methods(route):
            event = f"Http{number or ''}{'Head' if method == 'HEAD' else ''}"
            properties = f'ApiId: !Ref Api, Path: "{path(route)}", Method: {method}'
            yield f"{event}: {{ Type: HttpApi, Properties: {{ {properties} }} }}"
    match function.get("queue"):
        case "settle":
            yield from """\
Queue:
  Type: SQS
  Properties:
    Queue: !GetAtt SettleQueue.Arn
    BatchSize: 10
    FunctionResponseTypes: [ReportBatchItemFailures]
    # A flood of what is uncertain leaves the stores, and a small account's functions, to the customers.
    ScalingConfig: { MaximumConcurrency: !If [HasConcurrentCharges, 10, 2] }""".splitlines()
        case "announcements":
            yield from f"""\
Announcements:
  Type: MQ
  Properties:
    Broker: !If [Creates, !GetAtt Data.Outputs.BrokerArn, !Ref BrokerArn]
    Queues: [admit.notifications]
    BatchSize: 10000
    MaximumBatchingWindowInSeconds: 1
    SourceAccessConfigurations:
      - Type: BASIC_AUTH
        URI: {secret("Broker")}
      - Type: VIRTUAL_HOST
        URI: /""".splitlines()
    if every := function.get("schedule"):
        yield from f"""\
Schedule:
  Type: ScheduleV2
  Properties:
    Name: !Sub "${{AWS::StackName}}-{name}"
    ScheduleExpression: {RATES[every]}
    Input: '{{"source": "aws.scheduler", "detail-type": "Scheduled Event"}}'
    RoleArn: !GetAtt Roles.Outputs.{logical(name)}Schedule
    RetryPolicy: {{ MaximumRetryAttempts: 0 }}""".splitlines()


def methods(route: str) -> list[str]:
    method = route.split()[0]
    return ["GET", "HEAD"] if method == "GET" else [method]


def path(route: str) -> str:
    return route.split()[1]


def watched(table: dict[str, dict]) -> dict[str, list[str]]:
    """The alarms that roll a deployment back, and the functions that each watches."""
    areas: dict[str, list[str]] = {}
    for name, function in table.items():
        if function.get("versions", True):
            areas.setdefault(function["area"], []).append(name)
    alarms = {}
    for area, names in areas.items():
        for number, start in enumerate(range(0, len(names), MOST_WATCHED), 1):
            alarms[f"{logical(area)}Errors{number if number > 1 else ''}"] = names[start : start + MOST_WATCHED]
    return alarms


def alarms(table: dict[str, dict]) -> Iterable[str]:
    for alarm, names in watched(table).items():
        area = table[names[0]]["area"]
        yield f"""\
  {alarm}:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: !Sub A function of the area {area} fails. Rolls a deployment back. ${{Runbook}}#deployment-errors
      ComparisonOperator: GreaterThanOrEqualToThreshold
      Threshold: 3
      EvaluationPeriods: 1
      TreatMissingData: notBreaching
      Metrics:
        - Id: errors
          Label: errors a minute
          Expression: SUM(METRICS())"""
        for name in names:
            yield f"""\
        - Id: {name.replace("-", "_")}
          ReturnData: false
          MetricStat: {{ Stat: Sum, Period: 60, Metric: {{ Namespace: AWS/Lambda, MetricName: Errors, Dimensions: [
            {{ Name: FunctionName, Value: !Sub "${{AWS::StackName}}-{name}" }},
            {{ Name: Resource, Value: !Sub "${{AWS::StackName}}-{name}:live" }} ] }} }}"""
        yield ""


def alarm_names(table: dict[str, dict]) -> Iterable[str]:
    yield from (f"        - !Ref {alarm}" for alarm in watched(table))


# ---- infra/roles.yaml


def roles(table: dict[str, dict]) -> Iterable[str]:
    for name, function in table.items():
        yield from role(name, function)
    for name in scheduled(table):
        yield from schedule_role(name)


def role(name: str, function: dict) -> Iterable[str]:
    yield f"""\
  {logical(name)}Logs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub "/aws/lambda/${{Application}}-{name}"
      RetentionInDays: !Ref LogRetentionDays

  {logical(name)}Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: [{{ Effect: Allow, Principal: {{ Service: lambda.amazonaws.com }}, Action: sts:AssumeRole }}]
      ManagedPolicyArns: [!Ref Runtime]
{STATEMENTS}              - Effect: Allow
                Action: [logs:CreateLogStream, logs:PutLogEvents]
                Resource: !GetAtt {logical(name)}Logs.Arn"""
    for actions, resources in [*rights(function), *rights_of_poller(function)]:
        yield "              - Effect: Allow"
        yield f"                Action: {several(actions)}"
        yield f"                Resource: {several(resources)}"
    yield ""


def rights(function: dict) -> Iterable[tuple[list[str], list[str]]]:
    """What a function itself may do beside writing its log: actions and resources."""
    secrets = [*function.get("accounts", []), *(["TokenKey"] if function.get("token") in ("private", "made") else [])]
    others = [f"!Ref {account}Secret" for account in ROTATED]
    if secrets:
        yield ["secretsmanager:GetSecretValue"], [f"!Ref {name}Secret" for name in secrets]
    if function.get("token") == "made":
        yield ["secretsmanager:PutSecretValue"], ["!Ref TokenKeySecret"]
    match function.get("others"):
        case "reads":
            yield ["secretsmanager:GetSecretValue"], others
        case "rotates":
            operations = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
            yield [f"secretsmanager:{operation}" for operation in operations], others
            yield ["secretsmanager:GetRandomPassword"], ['"*"']
    if sends := function.get("sends"):
        yield ["sqs:SendMessage"], [f"!Ref {QUEUES[queue]}QueueArn" for queue in sends]
    if takes := function.get("takes"):
        yield ["sqs:ReceiveMessage", "sqs:DeleteMessage"], [f"!Ref {QUEUES[queue]}QueueArn" for queue in takes]
    if invokes := function.get("invokes"):
        yield ["lambda:InvokeFunction"], [f'!Sub "${{Functions}}-{called}:live"' for called in invokes]


def rights_of_poller(function: dict) -> Iterable[tuple[list[str], list[str]]]:
    """What Lambda's poller of a function's queue does in the function's name."""
    match function.get("queue"):
        case "announcements":
            yield ["secretsmanager:GetSecretValue"], ["!Ref BrokerSecret"]
            yield ["mq:DescribeBroker"], ["!Ref BrokerArn"]
            yield ["ec2:DescribeVpcs", "ec2:DescribeSecurityGroups"], ['"*"']
        case "settle":
            yield ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], ["!Ref SettleQueueArn"]


def several(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"


def schedule_role(name: str) -> Iterable[str]:
    yield f"""\
  {logical(name)}ScheduleRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: {{ Service: scheduler.amazonaws.com }}
            Action: sts:AssumeRole
            Condition: {{ StringEquals: {{ aws:SourceAccount: !Ref AWS::AccountId }} }}
{STATEMENTS}              - Effect: Allow
                Action: lambda:InvokeFunction
                Resource: !Sub "${{Functions}}-{name}:live"
"""


def scheduled(table: dict[str, dict]) -> list[str]:
    return [name for name, function in table.items() if "schedule" in function]


def role_outputs(table: dict[str, dict]) -> Iterable[str]:
    for name in table:
        yield f"  {logical(name)}:"
        yield f"    Value: !GetAtt {logical(name)}Role.Arn"
    for name in scheduled(table):
        yield f"  {logical(name)}Schedule:"
        yield f"    Value: !GetAtt {logical(name)}ScheduleRole.Arn"


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


PARTS: dict[str, dict[str, Callable[[dict[str, dict]], Iterable[str]]]] = {
    "template.yaml": {"functions": resources, "alarms": alarms, "names of alarms": alarm_names},
    "infra/roles.yaml": {"roles": roles, "outputs": role_outputs},
    "Cargo.toml": {"local routes": router},
    "shared/runtime/src/functions.rs": {"timeouts": timeouts},
}


def derive(check: bool) -> None:
    """Writes every part, or says which is stale."""
    table = functions()
    for file, parts in PARTS.items():
        place = ROOT / file
        text = place.read_text()
        for name, part in parts.items():
            text = replaced(text, name, "\n".join(part(table)).strip("\n"), file)
        if text == place.read_text():
            continue
        if check:
            raise Failure(f"{file} is not what follows from functions.toml: run make functions.")
        place.write_text(text)
        say(f"  wrote {file}")


def replaced(text: str, name: str, part: str, file: str) -> str:
    whole = re.compile(
        rf"^(?P<begin>[^\n]*derived from functions\.toml: {re.escape(name)}\n).*?^(?P<end>[^\n]*end of what is derived\n)",
        re.MULTILINE | re.DOTALL,
    )
    if not whole.search(text):
        raise Failure(f"{file} has no place for what is derived: {name}.")
    return whole.sub(lambda found: f"{found['begin']}{part}\n{found['end']}", text, count=1)
