"""What template.yaml gives each function, resolved for a stack of this machine.

The template is read as its own parameters' choice `DataPlane=existing` makes it: the local stack is a
data plane that is brought along. What can't be resolved fails, so that the template says nothing that
holds only here.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import certificates
import tools
import vault
from console import Failure
from tools import ROOT

PROGRAM = Path(__file__).parent / "programs" / "read_template.py"
FUNCTION = "AWS::Serverless::Function"
# A value that CloudFormation leaves out: AWS::NoValue.
NOTHING = object()
# Settings of the local stack that every function is given, beside what the template gives it.
LOCAL = re.compile(r"ADMIT_(CA_FILE|LOG|HURRY|FAULTS|\w+_SECONDS)|AWS_\w+")
# Those of them that the event sources alone are told.
SOURCES_ONLY = {"ADMIT_CLOCK_SECONDS"}


@dataclass
class Template:
    """A template with the values of its parameters and of what its resources are."""

    resources: dict
    parameters: dict = field(default_factory=dict)
    conditions: dict = field(default_factory=dict)
    mappings: dict = field(default_factory=dict)
    globals: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    # What Ref and Fn::GetAtt of a resource are, by NAME or NAME.ATTRIBUTE. Without it they stay as they are.
    known: dict | None = None

    def resolve(self, value):
        """A value without CloudFormation's functions; NOTHING where it is left out."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return self._function(name, argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NOTHING}

    def _function(self, name: str, argument):
        match name:
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                return self._reference(".".join(argument))
            case "Fn::Sub":
                return self._substitute(argument)
            case "Fn::If":
                condition, yes, no = argument
                return self.resolve(yes if self.holds({"Condition": condition}) else no)
            case "Fn::Join":
                return argument[0].join(map(str, self.resolve(argument[1])))
            case "Fn::Split":
                return str(self.resolve(argument[1])).split(argument[0])
            case "Fn::Select":
                return self.resolve(argument[1])[int(argument[0])]
            case "Fn::FindInMap":
                first, second, third = map(self.resolve, argument)
                return self.mappings[first][second][third]
            case _:
                return self.holds({name: argument})

    def _reference(self, name: str):
        if name == "AWS::NoValue":
            return NOTHING
        if name in self.parameters:
            return self.parameters[name]
        if self.known is None:
            return f"${{{name}}}"
        if name not in self.known:
            raise Failure(f"template.yaml refers to {name}, which infra/local/functions.py has no local value for.")
        return self.known[name]

    def _substitute(self, argument) -> str:
        text, given = argument if isinstance(argument, list) else (argument, {})

        def value(found: re.Match) -> str:
            name = found[1].strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            return str(self.resolve(given[name]) if name in given else self._reference(name))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def holds(self, condition: dict) -> bool:
        """Whether a condition is true."""
        name, argument = next(iter(condition.items()))
        match name:
            case "Condition":
                if argument not in self.conditions:
                    raise Failure(f"template.yaml has no condition {argument}.")
                return self.holds(self.conditions[argument])
            case "Fn::Equals":
                left, right = map(self.resolve, argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self.holds(argument[0])
            case "Fn::And":
                return all(map(self.holds, argument))
            case "Fn::Or":
                return any(map(self.holds, argument))
            case _:
                raise Failure(f"template.yaml uses {name}, which infra/local/functions.py does not know.")

    def functions(self) -> dict[str, dict]:
        """The properties of the functions that there are, unresolved, by logical name."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == FUNCTION
            and ("Condition" not in resource or self.holds({"Condition": resource["Condition"]}))
        }

    def variables(self, name: str) -> dict[str, str]:
        """A function's environment, resolved."""
        common = self.globals.get("Function", {}).get("Environment", {}).get("Variables", {})
        own = self.functions()[name].get("Environment", {}).get("Variables", {})
        result = {}
        for variable, value in {**common, **own}.items():
            resolved = self.resolve(value)
            if resolved is not NOTHING:
                result[variable] = ",".join(resolved) if isinstance(resolved, list) else str(resolved)
        return result


def read(path: Path = ROOT / "template.yaml", **choices: str) -> Template:
    """A template, its parameters at these values, else at their defaults."""
    done = subprocess.run([tools.aws() / "python", PROGRAM, path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{path.name} can't be read: {done.stderr.strip().splitlines()[-1]}")
    whole = json.loads(done.stdout)
    if not isinstance(whole, dict) or "Resources" not in whole:
        raise Failure(f"{path.name} has no resources.")
    declared = whole.get("Parameters", {})
    defaults = {name: entry["Default"] for name, entry in declared.items() if "Default" in entry}
    pseudo = {
        "AWS::StackName": "local",
        "AWS::Region": "us-east-1",
        "AWS::AccountId": "000000000000",
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
    }
    return Template(
        resources=whole["Resources"],
        parameters=defaults | {name: value for name, value in choices.items() if name in declared} | pseudo,
        conditions=whole.get("Conditions", {}),
        mappings=whole.get("Mappings", {}),
        globals=whole.get("Globals", {}),
        outputs=whole.get("Outputs", {}),
    )


def package(logical: str) -> str:
    """A function's package: create-booking of CreateBooking."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", logical).lower()


def local(stack, public_key: str) -> Template:
    """template.yaml with the local stack's values."""
    pooler = f"127.0.0.1:{stack.state['ports']['pooler']}" if stack.pooled else ""
    secrets = {f"{logical}Secret": name for logical, name in vault.names().items()}
    template = read(DataPlane="existing", DatabaseHost=pooler, **secrets)
    template.known = {"Migration": "admit-migration", "Migration.TokenPublicKey": public_key}
    for logical, queue in (("SettleQueue", SETTLE_QUEUE), ("SettleDeadLetterQueue", DEAD_LETTERS)):
        template.known[logical] = queue_url(stack, queue)
        template.known[f"{logical}.QueueUrl"] = queue_url(stack, queue)
        template.known[f"{logical}.QueueName"] = queue
    for logical in template.functions():
        # The name that infra/event-sources invokes it by; as good as its ARN and its alias's.
        for reference in ("", ".Arn", ".Alias", "Aliaslive"):
            template.known[logical + reference] = package(logical)
    return template


SETTLE_QUEUE = "settle-bookings"
DEAD_LETTERS = "settle-bookings-dead-letters"


def queue_url(stack, queue: str) -> str:
    return f"http://127.0.0.1:{stack.state['ports']['aws']}/000000000000/{queue}"


def environments(stack, settings: dict[str, str], public_key: str) -> dict[str, dict[str, str]]:
    """Each function's environment: what the template gives it, over it what holds for all of them locally.

    A setting replaces what the template gives; a function that it does not give it to is not given it.
    """
    template = local(stack, public_key)
    for_all = {name: value for name, value in settings.items() if LOCAL.fullmatch(name) and name not in SOURCES_ONLY}
    result = {}
    for name in template.functions():
        given = template.variables(name)
        replaced = {variable: settings[variable] for variable in given if variable in settings}
        result[name] = given | replaced | for_all
    return result


def cors(origins: str) -> str:
    """What template.yaml has API Gateway say of these origins, with commas between, in JSON; nothing for none."""
    template = read(CorsOrigins=origins)
    configuration = template.resolve(template.resources["Api"]["Properties"]["CorsConfiguration"])
    return "" if configuration is NOTHING else json.dumps(configuration)


def local_settings(stack) -> dict[str, str]:
    """What every function is told of this machine, by the env file."""
    return {
        "ADMIT_CA_FILE": str(certificates.authority(stack)),
        # Calls to AWS are for infra/local/rights.py.
        "ADMIT_LOG": os.environ.get("ADMIT_LOG") or "info,lapin=error,stores::aws=debug",
        "ADMIT_HURRY": "1",
        "ADMIT_INVOCATIONS_AT_ONCE": "1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{stack.state['ports']['aws']}",
        "AWS_ENDPOINT_URL_LAMBDA": stack.url,
    }
