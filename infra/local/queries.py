"""The folder .sqlx: what `sqlx` checks queries against where there is no database."""

import os
import shutil

import native
import runbook
from console import Failure, run, say, step
from tools import ROOT

COMMITTED = ROOT / ".sqlx"


def prepare(stack, check: bool) -> None:
    """Describes every query by a database with all migrations; writes .sqlx, or compares with it."""
    described, log = stack.folder / "queries", stack.folder / "log" / "queries.log"
    shutil.rmtree(described, ignore_errors=True)
    described.mkdir(parents=True)
    database = {"DATABASE_URL": stack.database_for_queries(), "SQLX_OFFLINE": "false", "SQLX_OFFLINE_DIR": str(described)}
    source = ROOT / "shared" / "domain" / "src" / "lib.rs"
    before = source.stat()
    with step("describing the queries"):
        # It has to be compiled though it did not change, and must not look changed afterwards.
        os.utime(source)
        try:
            command = ["cargo", "check", "-q", "--locked", "-p", "domain"]
            run(command, "checking the queries", log, "Mend the query.", env={**os.environ, **database}, cwd=ROOT)
        finally:
            os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    if check:
        run(["diff", "-rq", described, COMMITTED], "comparing the queries", log, "Run make queries, and commit .sqlx.")
    else:
        shutil.rmtree(COMMITTED, ignore_errors=True)
        shutil.copytree(described, COMMITTED)
    say(f"  {len(list(COMMITTED.glob('*.json')))} queries are in .sqlx.")
    # PostgreSQL takes each statement of the runbook, and undoes it.
    for statement in (statements := runbook.statements()):
        try:
            native.psql(stack, "queries", f"begin;\n{statement};\nrollback;")
        except Failure as failure:
            raise Failure(f"{failure}\n  It is one that docs/RUNBOOK.md or RELIABILITY.md has:\n    {statement}") from None
    say(f"  {len(statements)} statements of the runbook can be run.")
