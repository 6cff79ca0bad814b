"""The data that `sqlx` checks queries against where there is no database: the folder .sqlx."""

import filecmp
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import native
import runbook
from components import Stack
from console import Failure, run, say, step
from tools import ROOT

COMMITTED = ROOT / ".sqlx"


def prepare(stack: Stack, check: bool) -> None:
    """Describes every query by a database with all migrations; writes .sqlx, or compares with it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.rmtree(stack.folder, ignore_errors=True)
        try:
            url = stack.database_for_queries()
            described = Path(folder)
            environment = {
                **os.environ,
                "DATABASE_URL": url,
                "SQLX_OFFLINE": "false",
                "SQLX_OFFLINE_DIR": str(described),
            }
            with compiled_anew(ROOT / "shared" / "domain" / "src" / "lib.rs"), step("describing the queries"):
                command = ["cargo", "check", "-q", "--locked", "-p", "domain"]
                log = stack.folder / "log" / "queries.log"
                run(command, "checking the queries", log, "Mend the query.", env=environment, cwd=ROOT)
            compare(described) if check else replace(described)
            try_by_hand(stack)
        finally:
            stack.down()


def try_by_hand(stack: Stack) -> None:
    """Has PostgreSQL take each statement of the runbook, and undo it."""
    statements = runbook.statements()
    for statement in statements:
        try:
            native.psql(stack, "queries", f"begin;\n{statement};\nrollback;")
        except Failure as failure:
            raise Failure(f"{failure}\n  It is one that docs/RUNBOOK.md or RELIABILITY.md has:\n    {statement}") from None
    say(f"  {len(statements)} statements of the runbook can be run.")


@contextmanager
def compiled_anew(source: Path):
    """Has cargo compile a crate though it did not change, and doesn't leave it looking changed."""
    times = source.stat()
    os.utime(source)
    try:
        yield
    finally:
        os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))


def compare(described: Path) -> None:
    found, committed = ({path.name for path in folder.glob("*.json")} for folder in (described, COMMITTED))
    _, different, missing = filecmp.cmpfiles(described, COMMITTED, found | committed, shallow=False)
    if different or missing:
        raise Failure(f"{len(different) + len(missing)} queries differ from .sqlx: run make queries and commit it.")
    say(f"  {len(found)} queries are as in .sqlx.")


def replace(described: Path) -> None:
    shutil.rmtree(COMMITTED, ignore_errors=True)
    shutil.copytree(described, COMMITTED)
    say(f"  {len(list(COMMITTED.glob('*.json')))} queries are in .sqlx.")
