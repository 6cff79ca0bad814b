"""The components of a stack, and the order in which they come up."""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import native
import tools
from console import Failure, follow, run, say, step
from process import Process
from tools import ROOT

# Where there is Docker, these four are containers.
STORES = ["postgres", "rabbitmq", "documents", "aws"]
PROGRAMS = ["lambda", "event-sources"]
SERVED = "postgres rabbitmq rabbitmq-management epmd erlang documents aws lambda api".split()


class Stack:
    """One stack: its folder has the data, the logs, the ports and the secrets."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.env_file = folder / "env"
        self.docker = tools.has_docker()
        self.processes = {name: Process(name, folder) for name in PROGRAMS}
        if not self.docker:
            self.processes = native.processes(folder) | self.processes
        self.state = self._load()

    # ---- Coming up and going down

    def up(self, port: int | None, settings: dict[str, str] | None = None) -> None:
        """Brings up what is not up. `port` is the API's, or None for any that is free."""
        began = time.monotonic()
        before = self.running()
        try:
            self._choose_ports(port, before)
            say("Installing and building")
            self._install_and_build()
            say("Starting")
            self._make_secrets()
            self._write_env(settings or {})
            self._start_stores(before)
            self._start_programs()
            self._migrate()
        except BaseException:
            # What was up before this command stays up; what it started ends with it, also when
            # Ctrl-C is pressed again.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._stop([name for name in self.processes if name not in before])
            if self.docker and not before:
                self._compose("down")
            raise
        say(f"Ready after {time.monotonic() - began:.1f} s.")

    def down(self) -> bool:
        """Stops everything; whether anything ran."""
        stopped = self._stop(list(self.processes))
        if self.docker and self._compose("ps", "-q"):
            self._compose("down")
            stopped = True
        return stopped

    def running(self) -> list[str]:
        """The components that live."""
        return [name for name, process in self.processes.items() if process.pid()]

    def stop_one(self, name: str, kill: bool) -> None:
        """Stops one component of a running stack, so that it can be seen what the others do."""
        self._known(name)
        if self.docker and name in STORES:
            self._compose("kill" if kill else "stop", name)
        else:
            self.processes[name].stop(kill=kill)

    def start_again(self, name: str, settings: dict[str, str]) -> None:
        """Starts a component that was stopped, where it was; with settings other than the env file's."""
        self._known(name)
        if self.docker and name in STORES:
            self._compose("start", name)
        elif self.processes[name].pid() is None:
            self._start(name, settings=settings)
        if name == "aws":
            # The emulator forgets its queues when it is killed; SQS doesn't.
            make_queue(self)

    def _known(self, name: str) -> None:
        if name not in self.processes and not (self.docker and name in STORES):
            raise Failure(f"There is no component {name}; there are {', '.join([*STORES, *PROGRAMS])}.")

    def _stop(self, names: list[str]) -> bool:
        # The programs first: they would only complain of the stores' going.
        stopped = [self.processes[name].stop() for name in reversed(list(self.processes)) if name in names]
        return any(stopped)

    # ---- What it knows of itself

    @property
    def url(self) -> str:
        """The API's base URL."""
        return f"http://127.0.0.1:{self.state['ports']['api']}"

    def environment(self) -> dict[str, str]:
        """What functions, tests and cargo lambda read: the env file over this process's environment."""
        lines = [line for line in self.env_file.read_text().splitlines() if line and not line.startswith("#")]
        return {**os.environ, **dict(line.split("=", 1) for line in lines)}

    def print_status(self) -> None:
        """What runs, and where."""
        for name, process in self.processes.items():
            pid = process.pid()
            say(f"  {name:18} {f'running, process {pid}' if pid else 'not running'}")
        if self.docker:
            say(self._compose("ps"))
        if self.running():
            self.print_where()

    def print_where(self) -> None:
        """The addresses that a person wants."""
        management = f"http://127.0.0.1:{self.state['ports']['rabbitmq-management']}"
        user, password = "admit", self.state["secrets"]["broker"]
        say(f"\n  API         {self.url}")
        say(f"  its docs    {self.url}/docs")
        say(f"  RabbitMQ    {management} (user {user}, password {password})")
        say(f"  settings    {self.env_file.relative_to(ROOT)}")
        say("\n  make logs shows what happens, make down stops it; the data stays.")

    def _load(self) -> dict:
        try:
            return json.loads((self.folder / "stack.json").read_text())
        except (OSError, ValueError):
            return {"ports": {}, "secrets": {}}

    def _save(self) -> None:
        path = self.folder / "stack.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.state, indent=2))

    def _choose_ports(self, api: int | None, running: list[str]) -> None:
        ports = self.state["ports"]
        in_use = bool(running) or (self.docker and bool(self._compose("ps", "-q")))
        moves = api is not None and api != ports.get("api")
        api_runs = "event-sources" in running
        if api is not None and (moves or not api_runs) and not is_free(api):
            raise Failure(
                f"Port {api} is taken by another program. Stop that program, or choose another: PORT=9100 make up"
            )
        if moves and api_runs:
            self.processes["event-sources"].stop()
        for name in SERVED:
            if not in_use and not is_free(ports.get(name)):
                ports[name] = free_port()
        if api is not None:
            ports["api"] = api
        self._save()

    def _make_secrets(self) -> None:
        kept = self.state["secrets"]
        for name in ("database", "broker"):
            kept.setdefault(name, secrets.token_urlsafe(18))
        if "token_private_key" not in kept:
            private, public = token_keys()
            kept.update(token_private_key=private, token_public_key=public)
        self._save()

    def _write_env(self, settings: dict[str, str]) -> None:
        ports, kept = self.state["ports"], self.state["secrets"]
        database = f"postgres://admit:{kept['database']}@127.0.0.1:{ports['postgres']}"
        values = {
            "ADMIT_API_URL": self.url,
            "ADMIT_USERS_DATABASE_URL": f"{database}/users_db",
            "ADMIT_BOOKINGS_DATABASE_URL": f"{database}/booking_db",
            "ADMIT_DOCUMENTS_URL": f"mongodb://127.0.0.1:{ports['documents']}/",
            "ADMIT_BROKER_URL": f"amqp://admit:{kept['broker']}@127.0.0.1:{ports['rabbitmq']}/%2f",
            "ADMIT_SETTLE_QUEUE_URL": f"http://127.0.0.1:{ports['aws']}/000000000000/settle-bookings",
            "ADMIT_SETTLE_DEAD_LETTER_QUEUE_URL": f"http://127.0.0.1:{ports['aws']}/000000000000/settle-bookings-dead-letters",
            "ADMIT_CHARGE_FUNCTION": "charge-payment",
            "ADMIT_TOKEN_PRIVATE_KEY": kept["token_private_key"],
            "ADMIT_TOKEN_PUBLIC_KEY": kept["token_public_key"],
            "ADMIT_LISTEN": f"127.0.0.1:{ports['api']}",
            "ADMIT_LAMBDA_ADDRESS": f"127.0.0.1:{ports['lambda']}",
            "ADMIT_PROGRAMS": str(tools.target() / "debug"),
            "ADMIT_CLOCK_SECONDS": "60",
            "ADMIT_CONCURRENT_CHARGES": "16",
            "ADMIT_HURRY": "1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['aws']}",
            "AWS_ENDPOINT_URL_LAMBDA": self.url,
            **settings,
        }
        self.env_file.touch(mode=0o600)
        lines = [f"{name}={value}" for name, value in values.items()]
        self.env_file.write_text("\n".join(["# Written by make up. Functions, tests and tools read it.", *lines, ""]))

    # ---- Installing and building

    def _install_and_build(self) -> None:
        """Builds while it installs: the one waits for the processor, the other for the network."""
        failures = []

        def install():
            try:
                if not self.docker:
                    tools.stores()
                    tools.document_server()
                tools.aws()
                tools.cargo_lambda()
            except Failure as failure:
                failures.append(failure)

        installing = threading.Thread(target=install, daemon=True)
        installing.start()
        with step("building the functions", "the first time up to ten minutes"):
            run(
                ["cargo", "build", "--workspace", "--bins", "--locked"],
                "building the functions",
                self.folder / "log" / "build.log",
                "Mend what the compiler says, then repeat.",
                cwd=ROOT,
                env=build_environment(),
            )
        installing.join()
        if failures:
            raise failures[0]

    # ---- Starting

    def _start_stores(self, before: list[str]) -> None:
        if self.docker:
            with step("starting the stores' containers", "the first time a few minutes"):
                self._compose("up", "-d", "--wait")
        else:
            missing = [name for name in native.ORDER if name not in before]
            if missing:
                with step(f"starting {', '.join(missing)}"):
                    for name in missing:
                        native.start(self, name)
                    for name in missing:
                        native.wait(self, name)
        native.make_databases(self)
        make_queue(self)

    def _start_programs(self) -> None:
        built = newest_binary()
        # Both are started by settings of the same env file, and the one is of no use without the other.
        current = {"built": built, "env": self.env_file.read_text()}
        stale = [name for name in PROGRAMS if self.processes[name].note() != current]
        if not stale:
            return
        with step("starting the functions"):
            for name in PROGRAMS:
                self.processes[name].stop()
            for name in PROGRAMS:
                self._start(name, current)

    def _start(self, name: str, note: dict | None = None, settings: dict[str, str] | None = None) -> None:
        process, ports = self.processes[name], self.state["ports"]
        if name == "lambda":
            command = [
                tools.cargo_lambda(), "lambda", "watch", "--invoke-address", "127.0.0.1",
                "--invoke-port", ports["lambda"], "--only-lambda-apis", "--ignore-changes", "--disable-cors",
            ]  # fmt: skip
            process.start(command, {**self.environment(), **build_environment()}, note, cwd=ROOT)
            process.wait_until(lambda: listens(ports["lambda"]), 30)
        elif name == "event-sources":
            environment = {**self.environment(), **(settings or {})}
            process.start([tools.target() / "debug" / "event-sources"], environment, note, cwd=ROOT)
            process.wait_until(lambda: listens(ports["api"]), 10)
        else:
            native.start(self, name)
            native.wait(self, name)

    def _migrate(self) -> None:
        with step("bringing tables, indexes and queues up to date"):
            self.invoke("migrate", {})

    def invoke(self, function: str, event: dict) -> dict:
        """Invokes a function; its answer."""
        url = f"{self.url}/2015-03-31/functions/{function}/invocations"
        answer = post(url, json.dumps(event).encode(), timeout=60)
        if b"errorMessage" in answer:
            raise Failure(f"{function} failed: {answer.decode()}. See make logs.")
        return json.loads(answer)

    def run_tests(self, arguments: list[str]) -> int:
        """Runs cargo test with the stack's settings."""
        environment = {**build_environment(self.environment()), "ADMIT_STACK": self.folder.name}
        return follow(["cargo", "test", "--locked", *(arguments or ["--workspace"])], cwd=ROOT, env=environment)

    # ---- Parts for others

    def database_for_queries(self, root: Path = ROOT) -> str:
        """Starts PostgreSQL alone, with all migrations of a checkout in one database; its URL."""
        self.processes = native.processes(self.folder)
        tools.stores()
        self._choose_ports(None, [])
        self.state["secrets"].setdefault("database", secrets.token_urlsafe(18))
        self._save()
        with step("starting postgres"):
            native.start(self, "postgres")
            native.wait(self, "postgres")
        native.psql(self, "postgres", "create database queries")
        for path in sorted((root / "migrations").glob("*/*.sql")):
            native.psql(self, "queries", path.read_text())
        password, port = self.state["secrets"]["database"], self.state["ports"]["postgres"]
        return f"postgres://admit:{password}@127.0.0.1:{port}/queries"

    def _compose(self, *words: str) -> str:
        ports, kept = self.state["ports"], self.state["secrets"]
        settings = {f"{name.upper().replace('-', '_')}_PORT": str(port) for name, port in ports.items()}
        settings |= {"DATABASE_PASSWORD": kept.get("database", "-"), "BROKER_PASSWORD": kept.get("broker", "-")}
        project = f"admit-{self.folder.name}-{ROOT.name}"
        file = ROOT / "infra" / "compose.yaml"
        done = subprocess.run(
            ["docker", "compose", "-p", project.lower(), "-f", file, *words],
            env={**os.environ, **settings}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Failure(f"docker compose {words[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
        return done.stdout


def build_environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of cargo: queries are checked against .sqlx, whatever a developer has set.

    Mutants have queries of their own, and a database to check them against.
    """
    environment = dict(os.environ if base is None else base)
    environment.pop("DATABASE_URL", None)
    queries = environment.get("ADMIT_QUERIES_URL")
    checked = {"SQLX_OFFLINE": "false", "DATABASE_URL": queries} if queries else {"SQLX_OFFLINE": "true"}
    return environment | checked


def newest_binary() -> float:
    """When the functions were last built."""
    folder = tools.target() / "debug"
    names = [*(path.name for path in (ROOT / "functions").iterdir()), "event-sources"]
    return max((folder / name).stat().st_mtime for name in names if (folder / name).exists())


def token_keys() -> tuple[str, str]:
    """A new Ed25519 key pair: PKCS#8 and the public key, in base64."""
    program = (
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as K\n"
        "from cryptography.hazmat.primitives.serialization import Encoding as E, PrivateFormat as P, "
        "PublicFormat as U, NoEncryption as N\n"
        "import base64\n"
        "key = K.generate()\n"
        "print(base64.b64encode(key.private_bytes(E.DER, P.PKCS8, N())).decode())\n"
        "print(base64.b64encode(key.public_key().public_bytes(E.Raw, U.Raw)).decode())\n"
    )
    made = subprocess.run([tools.aws() / "python", "-c", program], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Failure(f"No keys could be made: {made.stderr}")
    private, public = made.stdout.split()
    assert len(base64.b64decode(public)) == 32
    return private, public


def make_queue(stack: Stack) -> None:
    """The settle queue and its dead-letter queue, as the template has them. Safe to repeat."""
    url = f"http://127.0.0.1:{stack.state['ports']['aws']}/"

    def create(name: str, attributes: dict[str, str]) -> None:
        form = {"Action": "CreateQueue", "Version": "2012-11-05", "QueueName": name}
        for number, (key, value) in enumerate(attributes.items(), 1):
            form |= {f"Attribute.{number}.Name": key, f"Attribute.{number}.Value": value}
        post(url, urllib.parse.urlencode(form).encode(), service="sqs")

    create("settle-bookings-dead-letters", {"MessageRetentionPeriod": "1209600"})
    redrive = {
        "deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:settle-bookings-dead-letters",
        "maxReceiveCount": "5",
    }
    create("settle-bookings", {"VisibilityTimeout": "60", "RedrivePolicy": json.dumps(redrive)})


def post(url: str, body: bytes, service: str = "lambda", timeout: float = 20) -> bytes:
    """A request to AWS's emulator or to cargo lambda, which want a signature but check none."""
    scope = f"Credential=local/20260101/us-east-1/{service}/aws4_request"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0",
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=timeout) as response:
            return response.read()
    except OSError as error:
        raise Failure(f"{url} got no answer: {error}. See make logs.") from None


def listens(port: int) -> bool:
    """Whether somebody accepts connections at a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_free(port: int | None) -> bool:
    """Whether a port can be listened at."""
    if port is None:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
