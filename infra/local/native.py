"""The stores as processes of this machine: PostgreSQL, RabbitMQ, a document store, AWS's emulator."""

import os
import pwd
import signal
import subprocess
from pathlib import Path

import tools
from console import Failure, run
from process import Process

ORDER = ["postgres", "epmd", "rabbitmq", "documents", "aws"]


def processes(folder: Path) -> dict[str, Process]:
    """The stores' processes, in the order in which they start."""
    # PostgreSQL's fast shutdown, which doesn't wait for its clients to leave.
    signals = {"postgres": signal.SIGINT}
    return {name: Process(name, folder, signals.get(name, signal.SIGTERM)) for name in ORDER}


def start(stack, name: str) -> None:
    """Starts one store, with its data in the stack's folder."""
    data = stack.folder / "data" / name
    data.mkdir(parents=True, exist_ok=True)
    {"postgres": _postgres, "epmd": _epmd, "rabbitmq": _rabbitmq, "documents": _documents, "aws": _aws}[name](
        stack, data
    )


def wait(stack, name: str) -> None:
    """Waits until a store serves."""
    from components import listens

    process, ports = stack.processes[name], stack.state["ports"]
    if name == "postgres":
        process.wait_until(lambda: _accepts(stack), 60)
    elif name == "rabbitmq":
        process.wait_until(lambda: _greets(ports["rabbitmq"]), 90)
    else:
        process.wait_until(lambda: listens(ports[name]), 60)


# ---- PostgreSQL


def _postgres(stack, data: Path) -> None:
    folder = tools.postgres_folder()
    if folder is None:
        raise Failure("PostgreSQL's server is not installed: sudo apt-get install postgresql")
    as_user = _not_root(data)
    cluster = data / "cluster"
    log = stack.processes["postgres"].log
    if not (cluster / "PG_VERSION").exists():
        run(["rm", "-rf", cluster], "making room for the databases", log, "")
        password = data / "password"
        password.write_text(stack.state["secrets"]["database"])
        if as_user:
            owner = pwd.getpwnam("postgres")
            for path in (data, password):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        command = [
            *as_user, folder / "initdb", "--pgdata", f"{cluster}.new", "--username", "admit", "--pwfile", password,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-instructions",
        ]  # fmt: skip
        run(["rm", "-rf", f"{cluster}.new"], "making room for the databases", log, "")
        run(command, "making the databases", log, "make clean-data, then repeat.", cwd="/")
        # Whole or not at all: an interrupted initdb is begun anew.
        os.rename(f"{cluster}.new", cluster)
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": stack.state["ports"]["postgres"],
        "unix_socket_directories": "",
        "max_connections": 200,
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    stack.processes["postgres"].start(
        [*as_user, folder / "postgres", "-D", cluster, *options], dict(os.environ), cwd="/"
    )


def _not_root(data: Path) -> list:
    """PostgreSQL refuses to run as root: as its own user then, wherever this checkout is."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise Failure("PostgreSQL won't run as root, and there is no user postgres to run it as.") from None
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    reaches = subprocess.run([*become, "test", "-x", str(data.parent)], capture_output=True, check=False)
    if reaches.returncode != 0:
        # Below a folder like /root: it may pass through, but stays another user.
        become += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return become


def _accepts(stack) -> bool:
    command = [tools.postgres_folder() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", stack.state["ports"]["postgres"]]
    return subprocess.run([str(word) for word in command], check=False).returncode == 0


def psql(stack, database: str, statements: str) -> str:
    """Runs statements as the owner of the databases; what they print."""
    command = [
        tools.postgres_folder() / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
        "-p", stack.state["ports"]["postgres"], "-U", "admit", "-d", database,
    ]  # fmt: skip
    environment = {**os.environ, "PGPASSWORD": stack.state["secrets"]["database"]}
    done = subprocess.run(
        [str(word) for word in command], input=statements, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failure(f"PostgreSQL refused a statement: {done.stderr.strip()}")
    return done.stdout


def make_databases(stack) -> None:
    """The two databases, empty where they are new. Containers make them themselves."""
    if stack.docker:
        return
    there = psql(stack, "postgres", "select datname from pg_database").split()
    for name in ("users_db", "booking_db"):
        if name not in there:
            psql(stack, "postgres", f"create database {name}")


# ---- RabbitMQ


def _epmd(stack, data: Path) -> None:
    # Erlang's name server. RabbitMQ would start one that outlives it.
    port = str(stack.state["ports"]["epmd"])
    stack.processes["epmd"].start(["epmd", "-port", port, "-address", "127.0.0.1"], dict(os.environ), cwd=data)


def _rabbitmq(stack, data: Path) -> None:
    server = tools.rabbitmq_server()
    if server is None:
        raise Failure("RabbitMQ is not installed: sudo apt-get install rabbitmq-server")
    ports = stack.state["ports"]
    (data / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (data / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{ports['rabbitmq']}\n"
        f"management.tcp.ip = 127.0.0.1\n"
        f"management.tcp.port = {ports['rabbitmq-management']}\n"
        f"default_user = admit\n"
        f"default_pass = {stack.state['secrets']['broker']}\n"
        "log.file = false\nlog.console = true\nlog.console.level = warning\n"
    )
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
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
    }
    stack.processes["rabbitmq"].start([server], environment, cwd=data)


def _greets(port: int) -> bool:
    """Whether RabbitMQ answers AMQP's greeting: it listens a while before it serves."""
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


# ---- The others


def _documents(stack, data: Path) -> None:
    kind, program = tools.document_server()
    port = stack.state["ports"]["documents"]
    if kind == "mongod":
        command = [program, "--bind_ip", "127.0.0.1", "--port", port, "--dbpath", data, "--quiet"]
    else:
        command = [program, f"127.0.0.1:{port}", data]
    stack.processes["documents"].start(command, dict(os.environ), cwd=data)


def _aws(stack, data: Path) -> None:
    port = str(stack.state["ports"]["aws"])
    environment = {
        **os.environ,
        "GATEWAY_PORT": port,
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "SERVICES": "sqs",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data / "state"),
        "TMPDIR": str(data),
    }
    stack.processes["aws"].start([tools.aws() / "ministack"], environment, cwd=data)
