"""Tests a whole deployment in AWS's emulator: `make test-deploy`.

sam builds and deploys template.yaml. The test uses the stack, updates it, sees a deployment with a failing migration
refused, and deletes the stack. The deployment brings its own data plane (DataPlane=existing), the stores of a local
stack: processes of this machine, with TLS and with secrets in the emulator's Secrets Manager. `ADAPTED`,
`transformed` and customer.py's `deliver` work around differences between the emulator and AWS, and explain each.
Nothing else in the templates is changed.

    python3 tests/deploy/run.py
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "infra" / "local"))

import tools  # noqa: E402

tools.enter_environment()

import cloud  # noqa: E402
import commands  # noqa: E402
import customer  # noqa: E402
import deploy  # noqa: E402
import derive  # noqa: E402
import functions  # noqa: E402
import native  # noqa: E402
import template  # noqa: E402
import vault  # noqa: E402
from account import Account, environment_without_aws  # noqa: E402
from components import Stack  # noqa: E402
from console import Failure, follow, say, step, tail  # noqa: E402
from tools import ROOT  # noqa: E402

NAME = "admit-test"
BUCKET = "artifacts"
LARGEST_PACKAGE = 5_000_000
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
BROKER = f"arn:aws:mq:{cloud.REGION}:{cloud.NUMBER}:broker:local:b-00000000-0000-0000-0000-000000000000"
# The title of the page /docs. It is part of api-docs' binary, so replacing it there changes the code.
TITLE, OTHER_TITLE = b"<title>Admit API</title>", b"<title>Admit II.</title>"

# What is changed in the copies of the templates that are deployed, and why.
ADAPTED = {
    "files' paths": "they are whole: the copies are not where the templates are",
    "SAM's transform": "made before the deployment: the emulator makes none of nested templates",
    "SettleQueuesPolicy": "left out: it refuses SQS without TLS, and the emulator is reached without",
    "GradualDeployment": "false: the emulator has no CodeDeploy, so aliases move at once",
    "alarms with several metrics": "left out: the emulator has no metric math",
}


class DataPlane(Stack):
    """The stores of a stack, without its functions, and the emulator as an account to deploy into."""

    def __init__(self):
        super().__init__(commands.STACKS / "deploy", pooled=False)
        self.processes, self.docker = native.processes(self.folder), False

    def start(self) -> Account:
        tools.stores()
        tools.document_server()
        self._choose_ports(None, [])
        self._make_secrets()
        self._start_stores([name for name in self.processes if name not in ("pooler", "aws")])
        with step("starting AWS's emulator"):
            self.start_emulator()
        vault.fill(self)
        return Account(self.state["ports"]["aws"])

    def start_emulator(self) -> None:
        """Starts the emulator as an account. The functions' processes inherit its environment."""
        data, port, process = self.folder / "data" / "aws", self.state["ports"]["aws"], self.processes["aws"]
        data.mkdir(parents=True, exist_ok=True)
        told = {name: value for name, value in functions.local_settings(self).items() if name.startswith("ADMIT_")}
        environment = {
            **environment_without_aws(),
            **cloud.OWNER,
            **told,
            **cloud.places(port, data),
            "ADMIT_SETTLE_DELAY_SECONDS": "1",
            "AWS_REGION": cloud.REGION,
            "AWS_DEFAULT_REGION": cloud.REGION,
            "AWS_ENDPOINT_URL": self.aws_url,
            "MINISTACK_HOST": "localhost",
            "AUTH": "true",
            "S3_DATA_DIR": str(data / "s3"),
        }
        process.start(cloud.EMULATOR, environment, cwd=data)
        process.wait_until(lambda: native.listens(port), 60)


def test() -> None:
    """Deploys, uses, updates and deletes; fails where anything is not as it should be."""
    with commands.fresh(DataPlane()) as plane:
        say("Starting a data plane that is brought along")
        Deployment(plane, plane.start()).test()
    say("\nDeployed, used, updated, rolled back where its migration failed, and deleted.")


class Deployment:
    """One stack in the account, and the folder that it is deployed from."""

    def __init__(self, plane: DataPlane, account: Account):
        self.plane, self.account = plane, account
        self.log = plane.folder / "log" / "sam.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.environment = deploy.sam_environment(environment_without_aws()) | account.settings()
        self.built = plane.folder / "build"
        secrets = account.client("secretsmanager")
        self.secrets = {
            f"{key}Secret": secrets.describe_secret(SecretId=name)["ARN"] for key, name in vault.names().items()
        }

    def test(self) -> None:
        before = self.account.inventory()
        self.begin()
        self.check_migration("Create")
        api = self.api()
        self.check_rights(api)
        say("\nUsing it")
        self.go_through(api)
        say("\nUpdating it, with other code in one function")
        self.update(api)
        say("\nUpdating it, with a migration that fails")
        self.fail_to_update(api)
        say("\nDeleting it")
        self.delete(before)

    def begin(self) -> None:
        """Builds and deploys."""
        self.account.client("s3").create_bucket(Bucket=BUCKET)
        say("\nBuilding")
        self.build()
        say("\nDeploying")
        self.deploy("first")

    # ---- Building

    def build(self) -> None:
        source = adapt(self.plane.folder / "templates")
        for what, reason in ADAPTED.items():
            say(f"  changed in a copy of the templates: {what}: {reason}")
        deploy.build(source, self.built, self.log, self.environment, [])
        sizes = {binary.parent.name: packed(binary.parent) for binary in sorted(self.built.glob("*/*/bootstrap"))}
        listed = ", ".join(f"{name} {size / 1e6:.2f}" for name, size in sorted(sizes.items(), key=lambda pair: pair[1]))
        say(f"  {len(sizes)} packages, zipped, in MB: {listed}")
        for name, size in sizes.items():
            if size > LARGEST_PACKAGE:
                raise Failure(f"{name}'s package has {size / 1e6:.2f} MB zipped; 5 MB are allowed.")

    # ---- Deploying

    def deploy(self, release: str, misled: bool = False) -> None:
        """Runs sam deploy. If `misled`, the migration gets the wrong secret for its database and must fail."""
        parameters = {
            "DataPlane": "existing",
            "Release": release,
            "SubnetIds": "subnet-0a,subnet-0b",
            "SecurityGroupIds": "sg-0a",
            "BrokerArn": BROKER,
            "AlarmEmail": "alarms@example.com",
            "Architecture": deploy.MACHINE,  # The emulator runs functions as processes of this machine.
            "GradualDeployment": "false",
            **self.secrets,
        }
        root = functions.template(self.built / "template.yaml")
        for area in map(derive.logical, derive.areas(derive.functions())):
            root["Resources"][area]["Properties"]["TemplateURL"] = str(self.transformed(area, parameters))
        if misled:
            root["Resources"]["Deploy"]["Properties"]["Parameters"]["DatabaseOwnerSecret"] = {"Ref": "BrokerSecret"}
        source = self.built / "deployed.json"
        source.write_text(json.dumps(root, indent=1, default=str))
        command = [
            deploy.sam() / "sam", "deploy", "--template-file", source, "--stack-name", NAME,
            "--s3-bucket", BUCKET, "--s3-prefix", NAME, "--capabilities", *CAPABILITIES,
            "--no-confirm-changeset", "--no-progressbar",
            "--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items()),
        ]  # fmt: skip
        with step(f"sam deploy, release {release}"):
            with open(self.log, "ab") as output:
                log = {"stdout": output, "stderr": subprocess.STDOUT}
                status = follow(command, cwd=self.plane.folder, env=self.environment, **log)
        if misled and status == 0:
            raise Failure("sam deploy went well though the migration can't have.")
        if not misled and status != 0:
            last = "\n".join(f"    {line}" for line in tail(self.log, 15))
            raise Failure(f"sam deploy failed (its log: {self.log}):\n{last}")

    def transformed(self, area: str, values: dict[str, str]) -> Path:
        """The built template of an area without SAM's resources, its code where it was built."""
        source = self.built / area / "template.yaml"
        target = template.transformed(source, self.built / "transformed" / area, values)
        made = json.loads(target.read_text())
        for resource in made["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function":
                resource["Properties"]["Code"] = str(source.parent / resource["Properties"]["Code"]["S3Key"])
        target.write_text(json.dumps(made, indent=1))
        return target

    def physical(self, logical: str) -> str:
        return self.resources()[logical][1]

    def resources(self) -> dict[str, tuple[str, str]]:
        """What the stack and its nested stacks have: type and physical name by logical name."""
        found = self.account.resources(NAME)
        nested = [physical for kind, physical in found.values() if kind == "AWS::CloudFormation::Stack"]
        for stack in nested:
            found |= self.account.resources(stack)
        return found

    def api(self) -> customer.Api:
        say(f"  {self.account.outputs(NAME)['Url']}")
        return customer.Api(self.account, self.physical("Api"))

    def check_migration(self, kind: str) -> None:
        """The custom resource has run, and the functions have the key that it answered."""
        key = self.account.live(f"{NAME}-create-booking")["Environment"]["Variables"]["ADMIT_TOKEN_PUBLIC_KEY"]
        again = self.account.invoke(self.physical("Migrate"), {})["TokenPublicKey"]
        if key != again:
            raise Failure(f"create-booking has the token key {key}, but the migration's is {again}.")
        say(f"  CloudFormation ran the migration ({kind}) and gave its token key to the functions")

    def check_rights(self, api: customer.Api) -> None:
        """The emulator enforces rights: without its own, login can't read its secret."""
        role = self.physical("LoginRole")
        policy = {"RoleName": role, "PolicyName": "calls"}
        roles, nobody = self.account.client("iam"), {"username": "nobody", "password": "of that password"}
        rights = json.dumps(roles.get_role_policy(**policy)["PolicyDocument"])
        none = rights.replace("secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret")
        roles.put_role_policy(PolicyDocument=none, **policy)
        without = api.call("POST", "/login", nobody)[0]
        roles.put_role_policy(PolicyDocument=rights, **policy)
        customer.until(lambda: api.call("POST", "/login", nobody)[0], lambda got: got == 401, "login to answer 401")
        if without != 503:
            raise Failure(f"Without its right to read its secret login answered {without}, not 503.")
        say("  every call to AWS is held against the function's rights: login, deprived of its own, answered 503")

    def go_through(self, api: customer.Api) -> None:
        customer.go_through(api, self.plane, self.names())

    def names(self) -> dict[str, str]:
        return {"SendNotification": self.physical("SendNotificationAliaslive"), "BrokerArn": BROKER}

    # ---- Updating and deleting

    def versions(self) -> dict[str, str]:
        """The version that is live, of each function that has an alias."""
        made = self.resources().values()
        aliases = [physical for kind, physical in made if kind == "AWS::Lambda::Alias"]
        named = [arn.split(":")[-2] for arn in aliases]
        return {name: self.account.live(name)["Version"] for name in named}

    def update(self, api: customer.Api) -> None:
        before = self.versions()
        binary = self.built / "Docs" / "ApiDocs" / "bootstrap"
        code = binary.read_bytes()
        if code.count(TITLE) != 1:
            raise Failure(f"api-docs has {TITLE.decode()} {code.count(TITLE)} times, not once, to be changed.")
        binary.write_bytes(code.replace(TITLE, OTHER_TITLE))
        self.deploy("second")
        self.check_migration("Update")
        page = api.expect(200, "GET", "/docs")["text"]
        if OTHER_TITLE.decode() not in page:
            raise Failure("/docs is still the page that was before the update.")
        after = self.versions()
        stale = [name for name, version in before.items() if after[name] == version]
        if stale:
            raise Failure(f"The update has no new live version of {', '.join(stale)}.")
        say(f"  the changed page is live, and so is a new version of each of {len(after)} functions")
        self.go_through(api)

    def fail_to_update(self, api: customer.Api) -> None:
        """A migration that fails fails the deployment, and nothing of it goes live."""
        before = self.versions()
        self.deploy("third", misled=True)
        status = self.account.stacks().get(NAME)
        if status != "UPDATE_ROLLBACK_COMPLETE":
            raise Failure(f"After a failed migration the stack is {status}, not rolled back.")
        if self.versions() != before:
            raise Failure("A deployment whose migration failed has moved an alias.")
        say("  refused and rolled back; no alias has moved")
        customer.Customer.register(api).book(1)

    def delete(self, before: dict[str, set[str]]) -> None:
        made = {kind: len(there - before[kind]) for kind, there in self.account.inventory().items()}
        # Not by sam delete: it insists on a nested template's address being one of S3 on AWS.
        with step("deleting the stack in CloudFormation"):
            self.account.client("cloudformation").delete_stack(StackName=NAME)
            customer.until(
                lambda: self.account.stacks().get(NAME),
                lambda status: status is None or status.endswith("FAILED"),
                "the stack to be gone",
            )
        left = {kind: there - before[kind] for kind, there in self.account.inventory().items()}
        listed = [f"{kind}: {', '.join(sorted(names))}" for kind, names in left.items() if names]
        if listed:
            raise Failure("Left of the deployment:\n    " + "\n    ".join(listed))
        say("  nothing is left of " + ", ".join(f"{count} {kind}" for kind, count in made.items() if count))


def adapt(folder: Path) -> Path:
    """Writes the templates as `ADAPTED` says, and with whole paths of other files; the main one's copy."""
    folder.mkdir(parents=True, exist_ok=True)
    root = functions.template()
    root["Parameters"]["Architecture"]["Default"] = deploy.MACHINE
    del root["Resources"]["SettleQueuesPolicy"]
    without_mathematics(root)
    for name, resource in root["Resources"].items():
        if resource["Type"] == "AWS::CloudFormation::Stack":
            nested = functions.template(ROOT / resource["Properties"]["TemplateURL"])
            if "Globals" in nested:
                nested["Globals"]["Function"]["CodeUri"] = str(ROOT)
            without_mathematics(nested)
            copy = folder / f"{name}.json"
            copy.write_text(json.dumps(nested, indent=1, default=str))
            resource["Properties"]["TemplateURL"] = str(copy)
    source = folder / "template.json"
    source.write_text(json.dumps(root, indent=1, default=str))
    return source


def without_mathematics(template: dict) -> None:
    """Leaves out alarms on more than one metric."""
    kept = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] != "AWS::CloudWatch::Alarm" or "Metrics" not in resource["Properties"]
    }
    template["Resources"] = kept


def packed(folder: Path) -> int:
    """The size of a function's package, zipped, in bytes."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
            for path in folder.rglob("*"):
                package.write(path, path.relative_to(folder))
        return file.seek(0, 2)


if __name__ == "__main__":
    sys.exit(commands.main(test))
