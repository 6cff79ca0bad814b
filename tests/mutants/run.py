"""Reintroduces known bugs one by one, to verify that a check catches each.

A mutant is a patch. Its first line names the bug. A line `Check:` says what should catch it: arguments of `cargo test`,
with settings before them, or `steps` and the names of step tests. A patch without that line, such as one of your own,
runs against every test until one fails.

    python3 tests/mutants/run.py [FOLDER [NAME …]]    tries those of a folder
    python3 tests/mutants/run.py --check              verifies that ours apply
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "infra" / "local"))

import tools  # noqa: E402

tools.enter_environment()

import commands  # noqa: E402
from components import Stack  # noqa: E402
from console import Failure, follow, say  # noqa: E402
from tools import ROOT  # noqa: E402

SCRATCH = ROOT / "target" / "mutants"


@dataclass
class Mutant:
    path: Path
    bug: str
    check: list[str]

    @staticmethod
    def read(path: Path) -> "Mutant":
        head = path.read_text().partition("\n--- ")[0]
        check = re.search(r"^Check: (.*)$", head, re.MULTILINE)
        return Mutant(path, head.partition("\n")[0].strip(), shlex.split(check[1]) if check else [])

    @property
    def changes_migrations(self) -> bool:
        return "migrations/" in self.path.read_text()


def applies() -> None:
    """Whether every patch still fits the code that it is about, and its check names a test that there is."""
    code = "".join(path.read_text() for folder in ("shared", "tests") for path in sorted((ROOT / folder).rglob("*.rs")))
    for path in sorted(HERE.glob("*.patch")):
        done = subprocess.run(["git", "apply", "--check", path], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"{path.name} does not apply any more: {done.stderr.strip()}")
        words = Mutant.read(path).check
        tests = words[1:] if words[:1] == ["steps"] else words[words.index("--") + 1 :] if "--" in words else []
        for test in tests:
            if not re.search(rf"\b(fn|mod) \w*{re.escape(test.rpartition('::')[2])}", code):
                raise Failure(f"{path.name} is checked by {test}, which no test is named.")
    say(f"  {len(list(HERE.glob('*.patch')))} mutants apply.")


def run(folder: Path, names: list[str]) -> int:
    """Tries the mutants of a folder, or those of these names; the number that nothing caught."""
    mutants = [Mutant.read(path) for path in sorted(folder.glob("*.patch")) if not names or path.stem in names]
    if not mutants:
        raise Failure(f"There is no mutant {' '.join(names)} in {folder}.")
    tree = SCRATCH / "tree"
    queries = Stack(SCRATCH / "queries")
    survivors = []
    try:
        url = None
        for number, mutant in enumerate(mutants, 1):
            began = time.monotonic()
            copy(tree)
            patch(mutant, tree)
            if url is None or mutant.changes_migrations:
                queries.down()
                shutil.rmtree(queries.folder, ignore_errors=True)
                url = queries.database_for_queries(tree)
            caught = check(mutant, tree, url)
            if caught is None and not mutant.check:
                caught = check(mutant, tree, url, whole=True)
            if mutant.changes_migrations:
                url = None
            if caught is None:
                survivors.append(mutant)
            say(
                f"  {number:2}/{len(mutants)} {'✓' if caught else '✗'} {mutant.path.stem}: {mutant.bug}\n"
                f"         {f'caught by {caught}' if caught else 'NOT CAUGHT'}, {time.monotonic() - began:.0f} s"
            )
    finally:
        queries.down()
    say(f"\n{len(mutants) - len(survivors)} of {len(mutants)} mutants caught.")
    return len(survivors)


def copy(tree: Path) -> None:
    """Makes the scratch copy what the checkout is, touching only files that differ."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    for path in [path for path in tree.rglob("*") if path.is_file() and "target" not in path.relative_to(tree).parts]:
        if str(path.relative_to(tree)) not in names:
            path.unlink()
    for name in names:
        source, there = ROOT / name, tree / name
        if not there.exists() or there.read_bytes() != source.read_bytes():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, there)
            shutil.copymode(source, there)


def patch(mutant: Mutant, tree: Path) -> None:
    done = subprocess.run(
        ["patch", "--strip=1", "--silent", "--no-backup-if-mismatch", "-i", mutant.path.resolve()],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise Failure(f"{mutant.path.name} does not apply: {done.stdout.strip()}")


def check(mutant: Mutant, tree: Path, queries: str, whole: bool = False) -> str | None:
    """Runs a mutant's check, or with it the whole fault matrix; what caught it, if anything did."""
    settings = {"ADMIT_FAULTS_WHOLE": "1"} if whole else {}
    settings |= dict(word.split("=", 1) for word in mutant.check if re.match(r"ADMIT_\w+=", word))
    arguments = [word for word in mutant.check if not re.match(r"ADMIT_\w+=", word)]
    environment = {
        **os.environ,
        **settings,
        # One target folder for each checkout: cargo would take another checkout's build for fresh.
        "CARGO_TARGET_DIR": str(SCRATCH),
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "ADMIT_QUERIES_URL": queries,
        "ADMIT_TOOLS": str(tools.TOOLS),
    }
    log = SCRATCH / "log" / f"{mutant.path.stem}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        # A check of single steps needs PostgreSQL alone.
        command = ["test", *arguments] if arguments[:1] != ["steps"] else arguments
        command = ["python3", "tests/run.py", *command]
        status = follow(command, cwd=tree, env=environment, stdout=output, stderr=subprocess.STDOUT)
    if status == 0:
        return None
    said = log.read_text(errors="replace")
    # A line of a command that runs beside others begins with its name.
    beside = r"^(?:[\w-]+ *\| )*"
    if failed := re.search(rf"{beside}test (\S+) \.\.\. FAILED", said, re.MULTILINE):
        return failed[1]
    error = re.search(rf"{beside}\s*(error(\[\w+\])?: (?!test failed).*)", said, re.MULTILINE)
    if error and "could not compile" in said:
        return f"the compiler: {error[1].strip()}"
    raise Failure(f"{mutant.path.stem} was neither caught nor not: {said.strip().splitlines()[-1]} (log: {log})")


def main(words: list[str]) -> int | None:
    """Tries mutants; non-zero where one was not caught."""
    if words == ["--check"]:
        return applies()
    return 1 if run(Path(words[0]) if words else HERE, words[1:]) else 0


if __name__ == "__main__":
    sys.exit(commands.main(lambda: main(sys.argv[1:])))
