"""The stores as processes of this machine: PostgreSQL, RabbitMQ, a document store, AWS's emulator.

Each store accepts only TLS, with the stack's certificate. In a pooled stack PgBouncer stands in front of PostgreSQL,
as RDS Proxy does on AWS, and uses TLS on both sides.
"""

import os
import pwd
import signal
import socket
import subprocess
from pathlib import Path

import certificates
import cloud
import tools
from console import Failure, run
from files import own, write_private
from process import Process

ORDER = ["postgres", "pooler", "epmd", "rabbitmq", "documents", "aws"]
OWNER = "admitowner"


def processes(folder: Path) -> dict[str, Process]:
    """The stores' processes, in the order in which they start."""
    # PostgreSQL's fast shutdown, which doesn't wait for its clients to leave.
    signals = {"postgres": signal.SIGINT}
    return {name: Process(name, folder, signals.get(name, signal.SIGTERM)) for name in ORDER}


def start(stack, name: str) -> None:
    """Starts one store, with its data in the stack's folder."""
    starters = {
        "postgres": _postgres,
        "pooler": _pooler,
        "epmd": _epmd,
        "rabbitmq": _rabbitmq,
        "documents": _documents,
        "aws": _aws,
    }
    data = stack.folder / "data" / name
    data.mkdir(parents=True, exist_ok=True)
    certificates.ensure(stack)
    starters[name](stack, data)


def wait(stack, name: str) -> None:
    """Waits until a store serves."""
    process, ports = stack.processes[name], stack.state["ports"]
    if name == "postgres":
        process.wait_until(lambda: _accepts(stack), 60)
    elif name == "rabbitmq":
        # Its management begins a little later.
        process.wait_until(lambda: _greets(stack) and listens(ports["rabbitmq-management"]), 90)
    else:
        process.wait_until(lambda: listens(ports[name]), 60)


# ---- PostgreSQL


def _postgres(stack, data: Path) -> None:
    folder = tools.postgres_folder()
    if folder is None:
        raise Failure("PostgreSQL's server is not installed: sudo apt-get install postgresql")
    as_user, user = _not_root(data)
    cluster = data / "cluster"
    log = stack.processes["postgres"].log
    own(data, user)
    certificates.hand_to(stack, data, user)
    if not (cluster / "PG_VERSION").exists():
        run(["rm", "-rf", cluster], "making room for the databases", log, "")
        password = write_private(data / "password", stack.state["secrets"]["DatabaseOwner"], user)
        command = [
            *as_user, folder / "initdb", "--pgdata", f"{cluster}.new", "--username", OWNER, "--pwfile", password,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-instructions",
        ]  # fmt: skip
        run(["rm", "-rf", f"{cluster}.new"], "making room for the databases", log, "")
        run(command, "making the databases", log, "make clean-data, then repeat.", cwd="/")
        # Whole or not at all: an interrupted initdb is begun anew.
        os.rename(f"{cluster}.new", cluster)
        password.unlink()
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    rules = "# Written at each start.\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": stack.state["ports"]["postgres"],
        "unix_socket_directories": "",
        "max_connections": 200,
        # As on RDS: it counts statements, and a test looks at it.
        "shared_preload_libraries": "pg_stat_statements",
        "hba_file": write_private(data / "pg_hba.conf", rules, user),
        "ssl": "on",
        "ssl_cert_file": data / "server.pem",
        "ssl_key_file": data / "server.key",
        # Log no parameters of statements, as they may be personal data: see DatabaseParameters in data.yaml.
        "log_parameter_max_length": 0,
        "log_parameter_max_length_on_error": 0,
        "log_error_verbosity": "terse",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    stack.processes["postgres"].start(
        [*as_user, folder / "postgres", "-D", cluster, *options], dict(os.environ), cwd="/"
    )


def _pooler(stack, data: Path) -> None:
    program = tools.pooler_program()
    if program is None:
        raise Failure("PgBouncer is not installed: sudo apt-get install pgbouncer")
    as_user, user = _not_root(data)
    own(data, user)
    certificates.hand_to(stack, data, user)
    users = f'"{OWNER}" "{stack.state["secrets"]["DatabaseOwner"]}"\n'
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": stack.state["ports"]["pooler"],
        "unix_socket_dir": "",
        "pool_mode": "transaction",
        "max_client_conn": 500,
        "default_pool_size": 20,
        # A server that was away is asked again at once, and nobody waits for it longer than for a statement.
        "server_login_retry": 1,
        "query_wait_timeout": 5,
        "client_tls_sslmode": "require",
        "client_tls_cert_file": data / "server.pem",
        "client_tls_key_file": data / "server.key",
        "server_tls_sslmode": "verify-full",
        "server_tls_ca_file": data / "authority.pem",
        # Check clients against the passwords in PostgreSQL itself, so that rotated ones work too.
        "auth_type": "scram-sha-256",
        "auth_file": write_private(data / "users.txt", users, user),
        "auth_user": OWNER,
        "auth_query": "select usename, passwd from pg_shadow where usename = $1",
        "log_connections": 0,
        "log_disconnections": 0,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    databases = f"* = host=127.0.0.1 port={stack.state['ports']['postgres']} auth_user={OWNER}"
    text = "\n".join(["[databases]", databases, "[pgbouncer]", *lines, ""])
    command = [*as_user, program, write_private(data / "pgbouncer.ini", text, user)]
    stack.processes["pooler"].start(command, dict(os.environ), cwd="/")


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


def _accepts(stack) -> bool:
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
    server = tools.rabbitmq_server()
    if server is None:
        raise Failure("RabbitMQ is not installed: sudo apt-get install rabbitmq-server")
    ports, there = stack.state["ports"], certificates.folder(stack)
    (data / "enabled_plugins").write_text("[rabbitmq_management].\n")
    # The owner counts when the node begins with nothing: later its own data do.
    write_private(
        data / "rabbitmq.conf",
        "listeners.tcp = none\n"
        f"listeners.ssl.1 = 127.0.0.1:{ports['rabbitmq']}\n"
        f"ssl_options.cacertfile = {there / 'authority.pem'}\n"
        f"ssl_options.certfile = {there / 'server.pem'}\n"
        f"ssl_options.keyfile = {there / 'server.key'}\n"
        "ssl_options.verify = verify_none\n"
        "ssl_options.versions.1 = tlsv1.3\n"
        "ssl_options.versions.2 = tlsv1.2\n"
        "management.ssl.ip = 127.0.0.1\n"
        f"management.ssl.port = {ports['rabbitmq-management']}\n"
        f"management.ssl.cacertfile = {there / 'authority.pem'}\n"
        f"management.ssl.certfile = {there / 'server.pem'}\n"
        f"management.ssl.keyfile = {there / 'server.key'}\n"
        f"default_user = {OWNER}\n"
        f"default_pass = {stack.state['secrets']['BrokerOwner']}\n"
        "log.file = false\nlog.console = true\nlog.console.level = warning\n",
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
        # Erlang's idle threads sleep, instead of waiting busily: the processors are everybody's here.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} "
        "+sbwt none +sbwtdcpu none +sbwtdio none",
    }
    stack.processes["rabbitmq"].start([server], environment, cwd=data)


def _greets(stack) -> bool:
    """Whether RabbitMQ answers AMQP's greeting: it listens a while before it serves."""
    try:
        address = ("127.0.0.1", stack.state["ports"]["rabbitmq"])
        with socket.create_connection(address, 2) as plain:
            with certificates.context(stack).wrap_socket(plain, server_hostname=address[0]) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
    except OSError:
        return False


# ---- The others


def _documents(stack, data: Path) -> None:
    folder = tools.postgres_folder()
    if folder is None:
        raise Failure("PostgreSQL's server is not installed: sudo apt-get install postgresql")
    if any(data.glob("*.sqlite")):
        raise Failure("This stack's documents are from an earlier version: run make clean-data, then retry.")
    program = tools.document_server()
    # It starts a PostgreSQL of its own, and both end together.
    as_user, user = _not_root(data, program)
    own(data, user)
    certificates.hand_to(stack, data, user)
    address = f"127.0.0.1:{stack.state['ports']['documents']}"
    command = [*as_user, program, address, data, data / "server.pem", data / "server.key", folder]
    # The owner is the user admitowner; it makes the others.
    environment = {**os.environ, "DOCDB_OWNER_PASSWORD": stack.state["secrets"]["DocumentsOwner"]}
    stack.processes["documents"].start(command, environment, cwd="/")


def _aws(stack, data: Path) -> None:
    cloud.start_queues_and_secrets(stack.processes["aws"], stack.state["ports"]["aws"], data)


def listens(port: int) -> bool:
    """Whether somebody accepts connections at a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
