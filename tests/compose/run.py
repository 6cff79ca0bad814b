"""Tests infra/compose.yaml: `make up` with ADMIT_DOCKER=1, a booking, each store stopped and started, `make down`.

The test needs neither Docker nor published images. Podman runs the containers, and Docker's own Compose, built from its
Go module, drives them. The images are stand-ins, built from Debian's packages under the names in the file. So the test
shows that the file works with infra/local, not that the real images behave like the stand-ins.
Nothing of it is shipped.

    python3 tests/compose/run.py                runs the test
    python3 tests/compose/run.py COMMAND ...    runs a command where `docker` is this Podman
    python3 tests/compose/run.py --forget       removes the images and all else
"""

import contextlib
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "infra" / "local"))

import tools  # noqa: E402

tools.enter_environment()

from components import STORES, free_ports  # noqa: E402
from console import Failure, run, say, step  # noqa: E402
from tools import ROOT  # noqa: E402

FOLDER = Path(os.environ.get("ADMIT_COMPOSE_TEST") or tools.TOOLS / "compose").resolve()
LOG = FOLDER / "log"
COMPOSE = "v2.40.3"
SUITE = "bookworm"
# What the stand-ins are made of, and the Python that the suite has.
PACKAGES = "ca-certificates gosu postgresql-15 python-is-python3 python3 rabbitmq-server".split()
PYTHON = "3.11"
STANDS_FOR = {
    "postgres:15": "postgres",
    "rabbitmq:3.13-management": "rabbitmq",
    "mongo:7": "mongo",
    "ministackorg/ministack:" + tools.EMULATOR.partition("==")[2]: "ministack",
}
SOCKET = f"unix://{FOLDER}/socket"


# ---- What it is made of


def install() -> None:
    """Podman, with what it needs to run containers as root, and what makes a file system of Debian's packages."""
    programs = {"podman": "podman", "runc": "runc", "iptables": "iptables", "mmdebstrap": "mmdebstrap"}
    wanted = {package: shutil.which(name) is not None for package, name in programs.items()}
    wanted["netavark"] = Path("/usr/lib/podman/netavark").exists()
    tools.install_packages(wanted)


def settings() -> dict[str, str]:
    """Podman's settings, which are of this folder alone, and the variables by which it is found."""
    (FOLDER / "bin").mkdir(parents=True, exist_ok=True)
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 16384)
    # crun won't run beside both kinds of control groups. A limit may not be above this process's own.
    (FOLDER / "containers.conf").write_text(
        f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]\n'
        f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{FOLDER}/networks"\n'
        f'[engine]\nruntime = "runc"\nlock_type = "file"\ntmp_dir = "{FOLDER}/run/engine"\n'
    )
    (FOLDER / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{FOLDER}/storage"\nrunroot = "{FOLDER}/run/storage"\n'
    )
    # Docker's client, as far as infra/local uses it.
    docker = FOLDER / "bin" / "docker"
    docker.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = compose ]; then shift; exec {FOLDER}/docker-compose-{COMPOSE} "$@"; fi\n'
        f'exec podman --remote --url {SOCKET} "$@"\n'
    )
    docker.chmod(0o755)
    return {
        **os.environ,
        "ADMIT_DOCKER": "1",
        "ADMIT_TOOLS": str(tools.TOOLS),
        "CONTAINERS_CONF": str(FOLDER / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(FOLDER / "storage.conf"),
        # Podman would have systemd look at the containers' health; see `nurse`.
        "DISABLE_HC_SYSTEMD": "true",
        "DOCKER_CONFIG": str(FOLDER),
        "DOCKER_HOST": SOCKET,
        "PATH": f"{FOLDER}/bin:{os.environ['PATH']}",
    }


def build_compose() -> None:
    program = FOLDER / f"docker-compose-{COMPOSE}"
    if program.exists():
        return
    module, go = "github.com/docker/compose/v2", tools.go_program()
    with step("building Compose", "two minutes"):
        advice = "Look whether the Go module proxy can be reached, then repeat."
        run([go, "mod", "download", f"{module}@{COMPOSE}"], "fetching Compose", LOG, advice, cwd=FOLDER)
        cache = subprocess.run([go, "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout.strip()
        options = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w -X {module}/internal.Version={COMPOSE}"]
        command = [go, "build", "-C", f"{cache}/{module}@{COMPOSE}", *options, "-o", f"{program}.new", "./cmd"]
        run(command, "building Compose", LOG, advice)
    os.replace(f"{program}.new", program)


def build_images(env: dict[str, str]) -> None:
    """The stand-ins: each is built anew when what it is made of has changed."""
    named = set(re.findall(r"^ *image: (\S+)$", (ROOT / "infra" / "compose.yaml").read_text(), re.MULTILINE))
    if named != STANDS_FOR.keys():
        raise Failure(f"infra/compose.yaml names the images {named}; there are stand-ins for {set(STANDS_FOR)}.")
    debian = f"localhost/admit-debian:{digest(SUITE, *PACKAGES)}"
    if not exists(debian, env):
        with step(f"making a file system of Debian's {', '.join(PACKAGES)}", "a minute"):
            archive = FOLDER / "debian.tar"
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
            run([*command, SUITE, archive], "mmdebstrap", LOG, "Look whether Debian's packages can be reached.")
            run(["podman", "import", archive, debian], "importing it", LOG, "See the log.", env=env)
            archive.unlink()
    run(["podman", "tag", debian, "localhost/admit-debian"], "naming it", LOG, "", env=env)
    # What some have beside the files of their folder here.
    parts = {"mongo": (tools.document_server, "docdb"), "ministack": (emulator, "packages")}
    for image, name in STANDS_FOR.items():
        make, called = parts.get(name, (lambda: None, ""))
        part = make()
        files = [path.read_text() for path in sorted((HERE / name).iterdir())]
        built = f"localhost/admit-{name}:{digest(debian, part, *files)}"
        if not exists(built, env):
            with step(f"building a stand-in for {image}"):
                context = FOLDER / "images" / name
                shutil.rmtree(context, ignore_errors=True)
                shutil.copytree(HERE / name, context)
                if part:
                    (shutil.copytree if part.is_dir() else shutil.copy)(part, context / called)
                command = ["podman", "build", "--quiet", "--network", "none", "--pull-never", "--tag", built, context]
                run(command, f"building a stand-in for {image}", LOG, "See the log.", env=env)
        # Its whole name: it is looked for nowhere else.
        whole = f"docker.io/{image if '/' in image else f'library/{image}'}"
        run(["podman", "tag", built, whole], "naming it", LOG, "", env=env)


def digest(*parts) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:8]


def exists(image: str, env: dict[str, str]) -> bool:
    return subprocess.run(["podman", "image", "exists", image], env=env, check=False).returncode == 0


def emulator() -> Path:
    """The emulator of AWS and what it needs, for the stand-in's Python."""
    packages = FOLDER / f"emulator-{digest(PYTHON, tools.EMULATOR)}"
    if not packages.exists():
        new = packages.with_name(f"{packages.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        command = [Path(sys.prefix) / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        command += ["--target", new, "--python-version", PYTHON, "--implementation", "cp", "--only-binary", ":all:"]
        run([*command, tools.EMULATOR], "fetching the emulator", LOG, "Look whether PyPI can be reached.")
        os.rename(new, packages)
    return packages


# ---- Running it


@contextlib.contextmanager
def daemon(env: dict[str, str]):
    """Podman's service, which answers as Docker's daemon does."""
    socket = Path(SOCKET.removeprefix("unix://"))
    socket.unlink(missing_ok=True)
    with open(LOG, "ab") as log:
        command = ["podman", "system", "service", "--time", "0", SOCKET]
        service = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    ended = threading.Event()
    nurses = threading.Thread(target=nurse, args=(env, ended), daemon=True)
    try:
        for _ in range(100):
            if socket.exists() or service.poll() is not None:
                break
            time.sleep(0.1)
        nurses.start()
        yield
    finally:
        ended.set()
        # What a test that failed left.
        for words in ["rm --all --force --time 2", "volume prune --force", "network prune --force"]:
            subprocess.run(["podman", *words.split()], env=env, capture_output=True, check=False)
        service.terminate()
        service.wait()
        nurses.join()


def nurse(env: dict[str, str], ended: threading.Event) -> None:
    """Runs the containers' health checks, as Docker's daemon would: first one interval after the start, then one
    interval after each check."""
    with ThreadPoolExecutor(16) as pool:
        watched: dict[str, Future] = {}
        while not ended.wait(0.5):
            asked = subprocess.run(["podman", "ps", "-q"], env=env, capture_output=True, text=True, check=False)
            for name in asked.stdout.split():
                if name not in watched or watched[name].done():
                    watched[name] = pool.submit(watch, name, env, ended)


def watch(name: str, env: dict[str, str], ended: threading.Event) -> None:
    """Looks at one container's health for as long as it runs."""
    inspect = ["podman", "inspect", "--format", "{{.State.Running}} {{.Config.Healthcheck.Interval.Seconds}}", name]
    while True:
        asked = subprocess.run(inspect, env=env, capture_output=True, text=True, check=False).stdout.split()
        if asked[:1] != ["true"] or len(asked) < 2 or ended.wait(float(asked[1])):
            return
        subprocess.run(["podman", "healthcheck", "run", name], env=env, capture_output=True, check=False)


def test(env: dict[str, str]) -> None:
    # Beside any other stack of this machine.
    env = {"PORT": str(next(free_ports("compose"))), **env, "ADMIT_STACK": "compose"}

    def local(*words: str) -> None:
        say(f"\n$ {' '.join(words)}")
        if subprocess.run(words, cwd=ROOT, env=env, check=False).returncode != 0:
            raise Failure(f"{' '.join(words)} failed.")

    def expect(number: int, what: str, *asked: str) -> None:
        done = subprocess.run(["podman", *asked], env=env, capture_output=True, text=True, check=True)
        if len(done.stdout.split()) != number:
            raise Failure(f"There are not {number} {what}: {done.stdout}")

    def expect_healthy(number: int) -> None:
        expect(number, "healthy stores", "ps", "-q", "--filter", "health=healthy")

    command = ["python3", "infra/local"]
    try:
        local("make", "up")
        expect_healthy(4)
        for name in STORES:
            local(*command, "stop", name, "--kill")
            expect_healthy(3)
            local(*command, "start", name)
            expect_healthy(4)
        # A booking on what came back; then on what an orderly end left.
        local("make", "up")
        for name in STORES:
            local(*command, "stop", name)
        local("make", "down")
        expect(0, "containers", "ps", "-a", "-q")
        local("make", "up")
    finally:
        local("make", "down")
        local("make", "clean-data")
    expect(0, "containers", "ps", "-a", "-q")
    expect(0, "volumes", "volume", "ls", "-q")
    expect(1, "networks, Podman's own,", "network", "ls", "-q")
    say("\n1 passed, 0 failed")


def main(words: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    install()
    env = settings()
    if words == ["--forget"]:
        run(["podman", "system", "reset", "--force"], "podman system reset", LOG, "", env=env)
        shutil.rmtree(FOLDER)
        return 0
    try:
        build_compose()
        build_images(env)
        with daemon(env):
            if words:
                return subprocess.run(words, env=env, check=False).returncode
            test(env)
    except Failure as failure:
        say(f"\n✗ {failure}", to=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
