"""The components of a stack, and the order in which they come up."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import certificates
import cloud
import functions
import native
import tools
import vault
from console import Failure, run, say, side_by_side, step
from files import write_private
from process import Process
from tools import ROOT

# With ADMIT_DOCKER=1 these four are containers.
STORES = ["postgres", "rabbitmq", "documents", "aws"]
SERVED = "postgres pooler rabbitmq rabbitmq-management epmd erlang documents aws api".split()


class Container:
    """A store in a container, used as a Process is."""

    def __init__(self, name: str, compose: Callable[..., str]):
        self.name, self.compose = name, compose

    def pid(self) -> str:
        """The container's id, if it runs."""
        return self.compose("ps", "-q", self.name).strip()[:12]

    def stop(self, kill: bool = False) -> bool:
        ran = bool(self.pid())
        if ran:
            self.compose("kill" if kill else "stop", self.name)
        return ran


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
        contained = {name: Container(name, self._compose) for name in STORES}
        stores = contained if self.docker else native.processes(folder)
        self.processes = stores | {"event-sources": Process("event-sources", folder)}
        self.state = self._load()
        self.pooled = bool(self.state.get("pooled")) if pooled is None else pooled
        if self.docker and self.pooled:
            raise Failure("There is no container with the pooler: ADMIT_DOCKER=1 and ADMIT_POOLED=1 exclude each other.")

    def up(self, port: int | None, settings: dict[str, str] | None = None) -> None:
        """Brings up the stores that are not up, and starts the functions. `port` is the API's, or None for any."""
        began = time.monotonic()
        before = self.running()
        try:
            self._choose_ports(port, before)
            say("Installing and building")
            install_and_build(self.pooled)
            self._link_programs()
            say("Starting")
            self._make_secrets()
            self._write_env(settings or {})
            if not self.pooled:
                self._stop(["pooler"])
            unwanted = ["event-sources", *([] if self.pooled else ["pooler"])]
            self._start_stores([name for name in self.processes if name not in [*before, *unwanted]])
            make_queue(self)
            vault.fill(self)
            with step("starting the functions"):
                self._start_functions()
            self._migrate()
        except BaseException:
            # Stop what this command started, and leave running what was up before. Ignore further
            # Ctrl-C, so that it can't interrupt the clean-up.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._stop([name for name in self.processes if name not in before])
            raise
        say(f"Ready after {time.monotonic() - began:.1f} s.")

    def down(self) -> bool:
        """Stops everything; whether anything ran."""
        stopped = self._stop(list(self.processes))
        shutil.rmtree(self.programs, ignore_errors=True)
        if self.docker:
            self._compose("down")
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
        self._component(name).stop(kill=kill)

    def start_again(self, name: str, settings: dict[str, str]) -> None:
        """Starts a stopped component again, on its old port. `settings` override those of the env file."""
        if self._component(name).pid():
            return
        if name == "event-sources":
            self._start_functions(settings)
        else:
            self._start_stores([name])
        if name == "aws":
            # The emulator forgets its queues when it is killed; SQS doesn't.
            make_queue(self)

    def _component(self, name: str) -> Process | Container:
        if name not in self.processes:
            raise Failure(f"There is no component {name}; there are {', '.join(self.processes)}.")
        return self.processes[name]

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
            if name != "pooler" or self.pooled or pid:
                say(f"  {name:18} {f'running, {pid}' if pid else 'not running'}")
        if self.running():
            self.print_where()

    def print_where(self) -> None:
        """The addresses that a person wants."""
        management = f"https://127.0.0.1:{self.state['ports']['rabbitmq-management']}"
        password = self.state["secrets"]["BrokerOwner"]
        say(f"\n  shop, API   {self.url}")
        say(f"  API's docs  {self.url}/docs")
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
        is_ours = api == ports.get("api") and "event-sources" in running
        if api is not None and not is_ours and not is_free(api):
            raise Failure(f"Port {api} is taken by another program. Stop it, or choose another: PORT=9200 make up")
        free = free_ports(str(self.folder))
        for name in SERVED:
            if not running and not is_free(ports.get(name)):
                ports[name] = next(port for port in free if port not in ports.values())
        if api is not None:
            ports["api"] = api
        self._save()

    def _make_secrets(self) -> None:
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

    def _write_functions(self, settings: dict[str, str]) -> None:
        """Writes each function's environment, as `sam local invoke --env-vars` reads it; the event sources
        read it whenever they start a function's process."""
        every = {**self.settings(), **settings}
        key = self.state.get("token_public_key", "")
        write_private(self.functions_file, json.dumps(functions.environments(self, every, key), indent=2) + "\n")

    # ---- Starting

    def _link_programs(self) -> None:
        """Links the built programs into the stack's folder, so that a build can't replace them while it runs."""
        self.programs.mkdir(parents=True, exist_ok=True)
        for program in built_programs():
            new = self.programs / f"{program.name}.new"
            new.unlink(missing_ok=True)
            os.link(program, new)
            os.replace(new, self.programs / program.name)

    def _start_stores(self, names: list[str]) -> None:
        if not names:
            return
        with step(f"starting {', '.join(names)}", "containers: the first time a few minutes" if self.docker else ""):
            if self.docker:
                self._compose("up", "-d", "--wait", *names)
            else:
                native.start(self, names)

    def _start_functions(self, settings: dict[str, str] | None = None) -> None:
        """Starts the event sources, which start the functions; those that ran before stop."""
        process, environment = self.processes["event-sources"], {**self.environment(), **(settings or {})}
        process.stop()
        self._write_functions(settings or {})
        process.start([Path(environment["ADMIT_PROGRAMS"]) / "event-sources"], environment, cwd=ROOT)
        process.wait_until(lambda: native.listens(self.state["ports"]["api"]), 10)

    def _migrate(self) -> None:
        with step("bringing databases, users, tables, indexes and queues up to date"):
            key = self.invoke("migrate", {}, seconds=120)["TokenPublicKey"]
            if key != self.state.get("token_public_key"):
                self.state["token_public_key"] = key
                self._save()
                self._start_functions()

    def invoke(self, function: str, event: dict, seconds: float = 60) -> dict:
        """Invokes a function; its answer."""
        return cloud.invoke(cloud.client("lambda", self.url, seconds), function, event)

    def database_for_queries(self, root: Path = ROOT) -> str:
        """Starts PostgreSQL alone, with all migrations of a checkout in one database; its URL."""
        self.start_postgres_alone()
        native.psql(self, "postgres", "create database queries")
        for path in sorted((root / "migrations").glob("*/*.sql")):
            # Each in a transaction, as they are migrated, but those that say otherwise.
            text = path.read_text()
            native.psql(self, "queries", text if text.startswith("-- no-transaction") else f"begin;\n{text}\ncommit;")
        password, port = self.state["secrets"]["DatabaseOwner"], self.state["ports"]["postgres"]
        return f"postgres://{native.OWNER}:{password}@127.0.0.1:{port}/queries?sslmode=require"

    def start_postgres_alone(self) -> None:
        """Starts PostgreSQL with the roles that the migrations grant rights to."""
        self.processes, self.docker = native.processes(self.folder), False
        tools.stores()
        self._choose_ports(None, [])
        self._make_secrets()
        self._start_stores(["postgres"])
        # The migrations give them their rights; migrate makes them elsewhere.
        for role in vault.ROLES:
            native.psql(self, "postgres", f"create role {role} login")

    def _compose(self, *words: str) -> str:
        ports, kept = self.state["ports"], self.state["secrets"]
        settings = {f"{name.upper().replace('-', '_')}_PORT": str(port) for name, port in ports.items()}
        passwords = {"DATABASE": "DatabaseOwner", "DOCUMENTS": "DocumentsOwner", "BROKER": "BrokerOwner"}
        settings |= {f"{name}_PASSWORD": kept.get(key, "-") for name, key in passwords.items()}
        settings["CERTIFICATES"] = str(certificates.folder(self))
        project = f"admit-{self.folder.name}-{ROOT.name}".lower()
        command = ["docker", "compose", "-p", project, "-f", ROOT / "infra" / "compose.yaml", *words]
        done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise Failure(f"docker compose {words[0]} failed: {said}. See docker compose -p {project} logs.")
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


def install(*options: str) -> None:
    """Installs what a stack runs on."""
    if not tools.has_docker():
        tools.stores("pooler" in options)
        tools.document_server()
    tools.cargo_lambda()


def build() -> None:
    """Builds the functions and what runs them."""
    command = ["cargo", "build", "--workspace", "--exclude", "bench", "--bins", "--locked", *tools.profile()]
    with step("building the functions", "the first time up to ten minutes"):
        log = tools.LOG.with_name("build.log")
        run(command, "building the functions", log, "Mend what the compiler says.", cwd=ROOT, env=build_environment())


def install_and_build(pooled: bool) -> None:
    """Builds while it installs: the one waits for the processor, the other for the network."""
    ourselves = [sys.executable, "infra/local"]
    commands = {"install": [*ourselves, "install", *(["pooler"] if pooled else [])], "build": [*ourselves, "build"]}
    if any(side_by_side(commands, cwd=ROOT).values()):
        raise Failure("Not everything could be installed and built: see above. Repeat when it is mended.")


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


def free_ports(name: str) -> Iterator[int]:
    """Ports that nobody listens at: those of another name are others, and none is one of an outgoing connection."""
    first = 10_000 + zlib.crc32(name.encode()) % 2_000 * 10
    return (port for port in range(first, 32_768) if is_free(port))
