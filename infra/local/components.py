"""The components of a stack, and the order in which they come up."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import certificates
import cloud
import functions
import native
import tools
import vault
from console import Failure, follow, run, say, step
from files import write_private
from native import listens
from process import Process
from tools import ROOT

# With ADMIT_DOCKER=1 these four are containers.
STORES = ["postgres", "rabbitmq", "documents", "aws"]
PROGRAMS = ["event-sources"]
# Excludes the functions' packages: their binaries have no tests, and linking each of them takes minutes.
EVERY_TEST = [
    "--workspace",
    *(word for area in sorted((ROOT / "functions").iterdir()) for word in ("--exclude", area.name)),
]
SERVED = "postgres pooler rabbitmq rabbitmq-management epmd erlang documents aws api".split()


class Stack:
    """One stack: its folder has the data, the logs, the ports and the secrets.

    In a pooled stack the functions come to PostgreSQL through a pooler in transaction mode.
    """

    def __init__(self, folder: Path, pooled: bool | None = None):
        """With `pooled` None, the stack stays as its state file says."""
        self.folder = folder
        self.env_file = folder / "env"
        self.functions_file = folder / "env.json"
        self.docker = tools.has_docker()
        self.processes = {name: Process(name, folder) for name in PROGRAMS}
        if not self.docker:
            self.processes = native.processes(folder) | self.processes
        self.state = self._load()
        self.pooled = bool(self.state.get("pooled")) if pooled is None else pooled
        if self.docker and self.pooled:
            raise Failure(
                "There is no container with the pooler: ADMIT_DOCKER=1 and ADMIT_POOLED=1 exclude each other."
            )

    # ---- Coming up and going down

    def up(self, port: int | None, settings: dict[str, str] | None = None) -> None:
        """Brings up what is not up. `port` is the API's, or None for any that is free."""
        began = time.monotonic()
        before, contained = self.running(), self._contained()
        try:
            self._choose_ports(port, before)
            say("Installing and building")
            self._install_and_build()
            self._link_programs()
            say("Starting")
            self._make_secrets()
            self._write_env(settings or {})
            self._write_functions()
            self._start_stores(before)
            self._start_programs()
            self._migrate()
        except BaseException:
            # Stop what this command started, and leave running what was up before. Ignore further
            # Ctrl-C, so that it can't interrupt the clean-up.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._stop([name for name in self.processes if name not in before])
            if self.docker and not contained:
                self._compose("down")
            raise
        say(f"Ready after {time.monotonic() - began:.1f} s.")

    def down(self) -> bool:
        """Stops everything; whether anything ran."""
        stopped = self._stop(list(self.processes))
        shutil.rmtree(self.programs, ignore_errors=True)
        if self._contained(stopped_too=True):
            self._compose("down")
            stopped = True
        return stopped

    def forget(self) -> None:
        """Forgets the data of a stopped stack, and what belongs to it."""
        if self.docker:
            self._compose("down", "--volumes")
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        self.state["secrets"] = {}
        self.state.pop("token_public_key", None)
        self._save()

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
        """Starts a stopped component again, on its old port. `settings` override those of the env file."""
        self._known(name)
        if self.docker and name in STORES:
            # It waits until the store serves, which `start` doesn't.
            self._compose("up", "-d", "--wait", "--no-recreate", name)
        elif self.processes[name].pid() is None:
            self._start(name, settings=settings)
        if name == "aws":
            # The emulator forgets its queues when it is killed; SQS doesn't.
            make_queue(self)

    def _known(self, name: str) -> None:
        if name not in self.processes and not (self.docker and name in STORES):
            raise Failure(f"There is no component {name}; there are {', '.join([*STORES, *PROGRAMS])}.")

    def _stop(self, names: list[str]) -> bool:
        # Stop the programs first, so that they don't log errors about stores that are going away.
        stopped = [self.processes[name].stop() for name in reversed(list(self.processes)) if name in names]
        return any(stopped)

    # ---- What it knows of itself

    @property
    def url(self) -> str:
        """The API's base URL."""
        return f"http://127.0.0.1:{self.state['ports']['api']}"

    @property
    def programs(self) -> Path:
        """The folder with the programs that the stack runs."""
        return tools.target() / "running" / self.folder.name

    @property
    def aws_url(self) -> str:
        """Where AWS's emulator is."""
        return f"http://127.0.0.1:{self.state['ports']['aws']}"

    def environment(self) -> dict[str, str]:
        """What event sources, tests and cargo lambda read: the env file over this process's environment."""
        return {**os.environ, **self.settings()}

    def settings(self) -> dict[str, str]:
        """What the env file says."""
        lines = [line for line in self.env_file.read_text().splitlines() if line and not line.startswith("#")]
        return dict(line.split("=", 1) for line in lines)

    def print_status(self) -> None:
        """What runs, and where."""
        for name, process in self.processes.items():
            pid = process.pid()
            if name == "pooler" and not self.pooled and not pid:
                continue
            say(f"  {name:18} {f'running, process {pid}' if pid else 'not running'}")
        if self.docker:
            say(self._compose("ps"))
        if self.running():
            self.print_where()

    def print_where(self) -> None:
        """The addresses that a person wants."""
        management = f"https://127.0.0.1:{self.state['ports']['rabbitmq-management']}"
        password = self.state["secrets"]["BrokerOwner"]
        say(f"\n  shop        {self.url}")
        say(f"  API         {self.url}")
        say(f"  its docs    {self.url}/docs")
        say(f"  RabbitMQ    {management} (user {native.OWNER}, password {password};")
        say("              a browser warns: its certificate is this stack's own)")
        say(f"  settings    {self.env_file.relative_to(ROOT)}, each function's {self.functions_file.relative_to(ROOT)}")
        say(f"  edit & try  cargo lambda watch -P 9100 --env-file {(self.folder / 'watch.env').relative_to(ROOT)}")
        say("\n  make logs shows what happens, make down stops it; the data stays.")

    def _load(self) -> dict:
        try:
            return json.loads((self.folder / "stack.json").read_text())
        except (OSError, ValueError):
            return {"ports": {}, "secrets": {}}

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_private(self.folder / "stack.json", json.dumps(self.state, indent=2))

    def _choose_ports(self, api: int | None, running: list[str]) -> None:
        ports = self.state["ports"]
        in_use = bool(running) or self._contained()
        moves = api is not None and api != ports.get("api")
        api_runs = "event-sources" in running
        if api is not None and (moves or not api_runs) and not is_free(api):
            raise Failure(
                f"Port {api} is taken by another program. Stop that program, or choose another: PORT=9200 make up"
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
        if self.state["secrets"].keys() & {"database", "Operator"}:
            # Stores as they were before they had users of their own, or RabbitMQ before it had an owner.
            if (self.folder / "data").exists():
                raise Failure("This stack's data is of an earlier version: make down clean-data, then repeat.")
            self.state["secrets"] = {}
        vault.make_passwords(self.state["secrets"])
        self.state["pooled"] = self.pooled
        self._save()
        certificates.ensure(self)

    def _write_env(self, settings: dict[str, str]) -> None:
        ports = self.state["ports"]
        values = {
            "ADMIT_API_URL": self.url,
            "ADMIT_FUNCTIONS": str(self.functions_file),
            "ADMIT_SECRETS": vault.PREFIX,
            "ADMIT_SETTLE_QUEUE_URL": functions.queue_url(self, functions.SETTLE_QUEUE),
            "ADMIT_SETTLE_DEAD_LETTER_QUEUE_URL": functions.queue_url(self, functions.DEAD_LETTERS),
            "ADMIT_LISTEN": f"127.0.0.1:{ports['api']}",
            "ADMIT_PROGRAMS": str(self.programs),
            "ADMIT_CARGO_LAMBDA": str(tools.cargo_lambda()),
            "ADMIT_CLOCK_SECONDS": "60",
            "ADMIT_CONCURRENT_BOOKINGS": "0",
            "ADMIT_CONCURRENT_CHARGES": "16",
            "ADMIT_CORS": functions.cors(os.environ.get("CORS_ORIGINS", "")),
            **functions.local_settings(self),
            **settings,
        }
        lines = [f"{name}={value}" for name, value in values.items()]
        text = "\n".join(["# Written by make up. The event sources, tests and tools read it.", *lines, ""])
        write_private(self.env_file, text)
        # For `cargo lambda watch --env-file`: each function's own environment comes by cargo's runner.
        runner = ROOT / "infra" / "local" / "run_function.py"
        triples = ("X86_64_UNKNOWN_LINUX_GNU", "AARCH64_UNKNOWN_LINUX_GNU")
        lines = [f"CARGO_TARGET_{triple}_RUNNER={runner}" for triple in triples]
        lines += [f"ADMIT_FUNCTIONS={self.functions_file}", "SQLX_OFFLINE=true", ""]
        write_private(self.folder / "watch.env", "\n".join(lines))

    def _write_functions(self, settings: dict[str, str] | None = None) -> None:
        """Writes each function's environment, as `sam local invoke --env-vars` reads it; the event sources
        read it whenever they start a function's process."""
        every = {**self.settings(), **(settings or {})}
        key = self.state.get("token_public_key", "")
        write_private(self.functions_file, json.dumps(functions.environments(self, every, key), indent=2) + "\n")

    # ---- Installing and building

    def build_tests(self) -> None:
        """Builds the functions and all tests."""
        self._install_and_build()
        if follow(["cargo", "test", "--locked", "--no-run", *EVERY_TEST], cwd=ROOT, env=build_environment()) != 0:
            raise Failure("The tests can't be built. Mend what the compiler says, then repeat.")

    def _install_and_build(self) -> None:
        """Builds while it installs: the one waits for the processor, the other for the network."""
        failures = []

        def install():
            try:
                if not self.docker:
                    tools.stores(self.pooled)
                    tools.document_server()
                tools.cargo_lambda()
            except Failure as failure:
                failures.append(failure)

        installing = threading.Thread(target=install, daemon=True)
        installing.start()
        with step("building the functions", "the first time up to ten minutes"):
            run(
                ["cargo", "build", "--workspace", "--exclude", "bench", "--bins", "--locked", *tools.profile()],
                "building the functions",
                self.folder / "log" / "build.log",
                "Mend what the compiler says, then repeat.",
                cwd=ROOT,
                env=build_environment(),
            )
        installing.join()
        if failures:
            raise failures[0]

    def _link_programs(self) -> None:
        """Links the built programs into the stack's folder, so that a build can't replace them while it runs."""
        self.programs.mkdir(parents=True, exist_ok=True)
        for program in built_programs():
            new = self.programs / f"{program.name}.new"
            new.unlink(missing_ok=True)
            os.link(program, new)
            os.replace(new, self.programs / program.name)

    # ---- Starting

    def _start_stores(self, before: list[str]) -> None:
        if self.docker:
            with step("starting the stores' containers", "the first time a few minutes"):
                self._start_containers()
        else:
            wanted = [name for name in native.ORDER if self.pooled or name != "pooler"]
            self._stop([name for name in native.ORDER if name not in wanted])
            missing = [name for name in wanted if name not in before]
            if missing:
                with step(f"starting {', '.join(missing)}"):
                    for name in missing:
                        native.start(self, name)
                    for name in missing:
                        native.wait(self, name)
        make_queue(self)
        vault.fill(self)

    def _start_containers(self) -> None:
        try:
            self._compose("up", "-d", "--wait")
        except Failure as failure:
            # Save the containers' logs, which are lost when the containers are removed.
            log = self.folder / "log" / "containers.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(self._compose("logs", "--no-color"))
            raise Failure(f"{failure} Container logs: {log}") from None

    def _start_programs(self) -> None:
        every = json.dumps(functions.environments(self, self.settings(), ""))
        current = {"built": newest_binary(), "env": self.env_file.read_text(), "functions": every}
        if self.processes["event-sources"].note() == current:
            return
        with step("starting the functions"):
            self.processes["event-sources"].stop()
            self._start("event-sources", current)

    def _start(self, name: str, note: dict | None = None, settings: dict[str, str] | None = None) -> None:
        process, ports = self.processes[name], self.state["ports"]
        if name == "event-sources":
            environment = {**self.environment(), **(settings or {})}
            self._write_functions(settings)
            process.start([Path(environment["ADMIT_PROGRAMS"]) / "event-sources"], environment, note, cwd=ROOT)
            process.wait_until(lambda: listens(ports["api"]), 10)
        else:
            native.start(self, name)
            native.wait(self, name)

    def _migrate(self) -> None:
        with step("bringing databases, users, tables, indexes and queues up to date"):
            answer = self.invoke("migrate", {}, seconds=120)
        before, key = self.state.get("token_public_key"), answer["TokenPublicKey"]
        if key != before:
            self.state["token_public_key"] = key
            self._save()
            self._write_functions()
            if before is not None:
                # Functions may run that have the old one.
                note = self.processes["event-sources"].note()
                self.processes["event-sources"].stop()
                self._start("event-sources", note)

    def invoke(self, function: str, event: dict, seconds: float = 60) -> dict:
        """Invokes a function; its answer."""
        return cloud.invoke(cloud.client("lambda", self.url, seconds), function, event)

    def run_tests(self, arguments: list[str]) -> int:
        """Runs cargo test with the stack's settings."""
        command = ["cargo", "test", "--locked", *(arguments or EVERY_TEST)]
        return follow(command, cwd=ROOT, env=self._environment_for_tests())

    def run_bench(self) -> int:
        """Runs the measurements with the stack's settings, and the accounts of the functions that book."""
        names = {"DATABASE": "Office", "DOCUMENTS": "Payments", "BROKER": "Broker"}
        accounts = {f"ADMIT_{store}_SECRET": vault.names()[name] for store, name in names.items()}
        environment = self._environment_for_tests() | accounts | {
            "ADMIT_PGBENCH": str(tools.postgres_folder() / "pgbench"),
            # With the bench's own among them: one is the function that does nothing.
            "ADMIT_PROGRAMS": str(tools.programs()),
        }
        status = follow(["cargo", "build", "--locked", "--release", "-p", "bench", "--bins"], cwd=ROOT, env=environment)
        # Set for the program only: if cargo saw CARGO_MANIFEST_DIR change, it would rebuild ring and its dependents.
        environment["CARGO_MANIFEST_DIR"] = str(ROOT / "tests" / "bench")
        return status or follow([tools.programs() / "bench"], cwd=ROOT, env=environment)

    def _environment_for_tests(self) -> dict[str, str]:
        """The environment of the tests, which ask the document store as its owner."""
        owner = vault.names()["DocumentsOwner"]
        environment = {**build_environment(self.environment()), "ADMIT_STACK": self.folder.name}
        return environment | {"ADMIT_DOCUMENTS_SECRET": owner, **self._postgres_for_steps()}

    def run_steps(self, arguments: list[str]) -> int:
        """Runs the tests that need PostgreSQL alone, with a server of their own."""
        self._start_postgres_alone()
        authority = {"ADMIT_CA_FILE": str(certificates.authority(self))}
        environment = build_environment() | authority | self._postgres_for_steps()
        return follow(["cargo", "test", "--locked", "-p", "domain", *arguments], cwd=ROOT, env=environment)

    def _postgres_for_steps(self) -> dict[str, str]:
        """Where the tests of single steps make databases of their own."""
        owner = vault.account(self, "DatabaseOwner") | {"password": self.state["secrets"]["DatabaseOwner"]}
        return {"ADMIT_TEST_POSTGRES": json.dumps(owner)}

    # ---- Parts for others

    def database_for_queries(self, root: Path = ROOT) -> str:
        """Starts PostgreSQL alone, with all migrations of a checkout in one database; its URL."""
        self._start_postgres_alone()
        native.psql(self, "postgres", "create database queries")
        for path in sorted((root / "migrations").glob("*/*.sql")):
            # Each in a transaction, as they are migrated, but those that say otherwise.
            text = path.read_text()
            native.psql(self, "queries", text if text.startswith("-- no-transaction") else f"begin;\n{text}\ncommit;")
        password, port = self.state["secrets"]["DatabaseOwner"], self.state["ports"]["postgres"]
        return f"postgres://{native.OWNER}:{password}@127.0.0.1:{port}/queries?sslmode=require"

    def _start_postgres_alone(self) -> None:
        """Starts PostgreSQL with the roles that the migrations grant rights to."""
        self.processes = native.processes(self.folder)
        tools.stores()
        self._choose_ports(None, [])
        self._make_secrets()
        with step("starting postgres"):
            native.start(self, "postgres")
            native.wait(self, "postgres")
        # The migrations give them their rights; migrate makes them elsewhere.
        for role in vault.ROLES:
            native.psql(self, "postgres", f"create role {role} login")

    def _contained(self, stopped_too: bool = False) -> bool:
        """Whether stores run as containers, or are there as stopped ones."""
        return self.docker and bool(self._compose("ps", "-q", *(["-a"] if stopped_too else [])))

    def _compose(self, *words: str) -> str:
        ports, kept = self.state["ports"], self.state["secrets"]
        settings = {f"{name.upper().replace('-', '_')}_PORT": str(port) for name, port in ports.items()}
        passwords = {"DATABASE": "DatabaseOwner", "DOCUMENTS": "DocumentsOwner", "BROKER": "BrokerOwner"}
        settings |= {f"{name}_PASSWORD": kept.get(key, "-") for name, key in passwords.items()}
        settings["CERTIFICATES"] = str(certificates.folder(self))
        project = f"admit-{self.folder.name}-{ROOT.name}"
        file = ROOT / "infra" / "compose.yaml"
        done = subprocess.run(
            ["docker", "compose", "-p", project.lower(), "-f", file, *words],
            env={**os.environ, **settings}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise Failure(f"docker compose {words[0]} failed: {said}.")
        return done.stdout


def build_environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """Cargo's environment. Queries are checked against .sqlx, whatever DATABASE_URL a developer has set.

    Mutants may change queries, so theirs are checked against the database in ADMIT_QUERIES_URL.
    """
    environment = dict(os.environ if base is None else base)
    environment.pop("DATABASE_URL", None)
    queries = environment.get("ADMIT_QUERIES_URL")
    checked = {"SQLX_OFFLINE": "false", "DATABASE_URL": queries} if queries else {"SQLX_OFFLINE": "true"}
    return environment | checked


def built_programs() -> list[Path]:
    """The functions and what runs them, as cargo has built them."""
    names = [*(path.stem for path in ROOT.glob("functions/*/src/bin/*.rs")), "event-sources"]
    return [tools.programs() / name for name in names]


def newest_binary() -> float:
    """When the functions were last built."""
    return max(program.stat().st_mtime for program in built_programs())


def make_queue(stack: Stack) -> None:
    """The settle queue and its dead-letter queue, as the template has them. Safe to repeat."""
    queues = cloud.client("sqs", stack.aws_url)

    def make(name: str, attributes: dict[str, str]) -> None:
        # Created without attributes: an existing queue of an earlier release may have other ones.
        queues.create_queue(QueueName=name)
        queues.set_queue_attributes(QueueUrl=functions.queue_url(stack, name), Attributes=attributes)

    make(functions.DEAD_LETTERS, {"MessageRetentionPeriod": "1209600"})
    letters = f"arn:aws:sqs:{cloud.REGION}:{cloud.NUMBER}:{functions.DEAD_LETTERS}"
    redrive = json.dumps({"deadLetterTargetArn": letters, "maxReceiveCount": "10"})
    make(functions.SETTLE_QUEUE, {"VisibilityTimeout": "60", "RedrivePolicy": redrive})


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
