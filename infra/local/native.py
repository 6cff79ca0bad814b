"""The stores as processes of this machine: PostgreSQL, RabbitMQ, a document store, AWS's emulator.

Each store accepts only TLS, with the stack's certificate. In a pooled stack PgBouncer stands in front of PostgreSQL,
as RDS Proxy does on AWS, and uses TLS on both sides.
"""

import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from string import Template

import certificates
import cloud
import tools
from console import Failure, run
from files import own, write_private
from process import Process
from tools import ROOT

OWNER = "admitowner"
# The stores' settings, with places for a stack's ports, passwords and folders.
SETTINGS = ROOT / "infra" / "stores"


def processes(folder: Path) -> dict[str, Process]:
    """The stores' processes, in the order in which they start."""
    # PostgreSQL's fast shutdown, which doesn't wait for its clients to leave.
    signals = {"postgres": signal.SIGINT}
    return {name: Process(name, folder, signals.get(name, signal.SIGTERM)) for name in STORES}


def start(stack, names: Iterable[str]) -> None:
    """Starts stores, with their data in the stack's folder, and waits until each serves."""
    certificates.ensure(stack)
    for name in names:
        data = stack.folder / "data" / name
        data.mkdir(parents=True, exist_ok=True)
        STORES[name][0](stack, data)
    for name in names:
        _, serves, seconds = STORES[name]
        stack.processes[name].wait_until(lambda name=name, serves=serves: serves(stack, name), seconds)


def _prepare(stack, data: Path, program: Path | None, package: str, *settings: str) -> list:
    """What a server needs that does not run as root; the beginning of a command that runs it."""
    as_user, user = _not_root(data, _installed(program, package))
    own(data, user)
    _write(stack, data, user, *settings)
    return as_user


def _installed(program: Path | None, package: str) -> Path:
    if program is None:
        raise Failure(f"{package} is not installed: sudo apt-get install {package}")
    return program


def _write(stack, data: Path, user: str | None, *settings: str) -> None:
    """Writes a server's certificates and settings into its data."""
    certificates.hand_to(stack, data, user)
    ports = {f"{name.replace('-', '_')}_port": port for name, port in stack.state["ports"].items()}
    values = ports | stack.state["secrets"] | {"data": data, "owner": OWNER}
    for name in settings:
        write_private(data / name, Template((SETTINGS / name).read_text()).substitute(values), user)


# ---- PostgreSQL


def _postgres(stack, data: Path) -> None:
    folder = tools.postgres_folder()
    as_user = _prepare(stack, data, folder, "postgresql", "postgresql.conf", "pg_hba.conf", "password")
    cluster, new, process = data / "cluster", data / "cluster.new", stack.processes["postgres"]
    if not (cluster / "PG_VERSION").exists():
        run(["rm", "-rf", cluster, new], "making room for the databases", process.log, "")
        command = [
            *as_user, folder / "initdb", "--pgdata", new, "--username", OWNER, "--pwfile", data / "password",
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-instructions",
        ]  # fmt: skip
        run(command, "making the databases", process.log, "make clean-data, then repeat.", cwd="/")
        # Whole or not at all: an interrupted initdb is begun anew.
        os.rename(new, cluster)
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    command = [*as_user, folder / "postgres", "-D", cluster, "-c", f"config_file={data / 'postgresql.conf'}"]
    process.start(command, dict(os.environ), cwd="/")


def _pooler(stack, data: Path) -> None:
    program = tools.pooler_program()
    as_user = _prepare(stack, data, program, "pgbouncer", "pgbouncer.ini", "users.txt")
    stack.processes["pooler"].start([*as_user, program, data / "pgbouncer.ini"], dict(os.environ), cwd="/")


def _not_root(data: Path, program: Path = Path("/")) -> tuple[list, str | None]:
    """A command prefix that runs a program as the user postgres, and that user's name; both empty unless root.

    PostgreSQL and PgBouncer refuse to run as root. The prefix works wherever the checkout and the program are.
    """
    if os.geteuid() != 0:
        return [], None
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise Failure("PostgreSQL won't run as root, and there is no user postgres to run it as.") from None
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    test = [*become, "test", "-x", str(data.parent), "-a", "-x", str(program)]
    if subprocess.run(test, capture_output=True, check=False).returncode != 0:
        # Below a folder like /root: it may pass through, but stays another user.
        become += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return become, "postgres"


def _accepts(stack, _name: str) -> bool:
    command = [tools.postgres_folder() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", stack.state["ports"]["postgres"]]
    return subprocess.run([str(word) for word in command], check=False).returncode == 0


def psql(stack, database: str, statements: str) -> str:
    """Runs statements as the owner of the databases; what they print."""
    command = [
        tools.postgres_folder() / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
        "-p", stack.state["ports"]["postgres"], "-U", OWNER, "-d", database,
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PGPASSWORD": stack.state["secrets"]["DatabaseOwner"],
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(certificates.authority(stack)),
    }
    done = subprocess.run(
        [str(word) for word in command], input=statements, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failure(f"PostgreSQL refused a statement: {done.stderr.strip()}")
    return done.stdout


# ---- RabbitMQ


def _epmd(stack, data: Path) -> None:
    # Erlang's name server. RabbitMQ would start one that outlives it.
    port = str(stack.state["ports"]["epmd"])
    stack.processes["epmd"].start(["epmd", "-port", port, "-address", "127.0.0.1"], dict(os.environ), cwd=data)


def _rabbitmq(stack, data: Path) -> None:
    server, ports = _installed(tools.rabbitmq_server(), "rabbitmq-server"), stack.state["ports"]
    _write(stack, data, None, "rabbitmq.conf", "enabled_plugins")
    # The node's name has its address in it: a host name need not resolve.
    environment = {
        **os.environ,
        "HOME": str(data),
        "RABBITMQ_NODENAME": "admit@localhost",
        "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
        "RABBITMQ_LOG_BASE": str(data / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(data / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(data / "pid"),
        "RABBITMQ_DIST_PORT": str(ports["erlang"]),
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # Erlang's idle threads sleep, instead of waiting busily: the processors are everybody's here.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} "
        "+sbwt none +sbwtdcpu none +sbwtdio none",
    }
    stack.processes["rabbitmq"].start([server], environment, cwd=data)


def _greets(stack, _name: str) -> bool:
    """Whether RabbitMQ answers AMQP's greeting: it listens a while before it serves, and its management begins later."""
    ports = stack.state["ports"]
    try:
        with socket.create_connection(("127.0.0.1", ports["rabbitmq"]), 2) as plain:
            with certificates.context(stack).wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01" and listens(ports["rabbitmq-management"])
    except OSError:
        return False


# ---- The others


def _documents(stack, data: Path) -> None:
    folder, program = tools.postgres_folder(), tools.document_server()
    # It starts a PostgreSQL of its own, and both end together.
    as_user = _prepare(stack, data, program if folder else None, "postgresql")
    address = f"127.0.0.1:{stack.state['ports']['documents']}"
    command = [*as_user, program, address, data, data / "server.pem", data / "server.key", folder]
    # The owner is the user admitowner; it makes the others.
    environment = {**os.environ, "DOCDB_OWNER_PASSWORD": stack.state["secrets"]["DocumentsOwner"]}
    stack.processes["documents"].start(command, environment, cwd="/")


def _aws(stack, data: Path) -> None:
    """Queues and secrets of AWS's emulator, as a part of a local stack."""
    environment = {
        **os.environ,
        **cloud.places(stack.state["ports"]["aws"], data),
        "MINISTACK_HOST": "127.0.0.1",
        "SERVICES": "sqs,secretsmanager",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data / "state"),
    }
    stack.processes["aws"].start(cloud.EMULATOR, environment, cwd=data)


def listens(port: int) -> bool:
    """Whether somebody accepts connections at a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _listens(stack, name: str) -> bool:
    return listens(stack.state["ports"][name])


# How each store starts, when it serves, and within how many seconds it has to. In the order in which they start.
STORES = {
    "postgres": (_postgres, _accepts, 60),
    "pooler": (_pooler, _listens, 60),
    "epmd": (_epmd, _listens, 60),
    "rabbitmq": (_rabbitmq, _greets, 90),
    "documents": (_documents, _listens, 60),
    "aws": (_aws, _listens, 60),
}
