"""The check of docs/RUNBOOK.md: each alarm has its paragraph there, each paragraph its alarm, and PostgreSQL takes its SQL."""

import re
from pathlib import Path

import derive
import template
from console import Failure, say
from tools import ROOT

RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
TEMPLATES = [ROOT / "infra" / "operations.yaml", ROOT / "template.yaml", *template.AREAS]
# The runbook's chapter in which every heading is an alarm's.
CHAPTER = "Alarms"

# A resource of a template, by its name: templates are indented by two spaces.
RESOURCE = re.compile(r"^  (\w+):[ ]*(?:#.*)?\n((?:(?: {3,}.*)?\n)*)", re.MULTILINE)
ALARM = re.compile(r"^ +Type: AWS::CloudWatch::(?:Composite)?Alarm\s", re.MULTILINE)
# One line, or a folded text below it.
DESCRIPTION = re.compile(r"^( +)AlarmDescription:(.*\n(?:\1 +.*\n)*)", re.MULTILINE)
# What the shell function of the runbook is given: sql booking_db "…".
STATEMENT = re.compile(r'sql\s+\w+_db\s+"((?:[^"\\]|\\.)*)"')
NOBODY = "00000000-0000-0000-0000-000000000000"
LINK = re.compile(r"\$\{Runbook\}#([\w-]+)[\"'\s]*$")


def check() -> None:
    """Holds alarms and runbook together, and follows the runbook's own links."""
    alarms = [alarm for source in TEMPLATES for alarm in _alarms(source)]
    text = RUNBOOK.read_text()
    headings = _headings(text)
    anchors = [anchor for _, anchor in headings]
    wrong = [f"the heading {anchor} is there twice" for anchor in sorted(set(anchors)) if anchors.count(anchor) > 1]
    for name, link in alarms:
        if link is None:
            wrong.append(f"the alarm {name} has no description that ends with ${{Runbook}}#…")
        elif link not in anchors:
            wrong.append(f"the alarm {name} links to #{link}, which is no heading")
    linked = {link for _, link in alarms}
    wrong += [f"no alarm links to the heading {anchor}" for anchor in _chapter(headings) if anchor not in linked]
    wrong += _broken_links(text, anchors)
    wrong += _writers(text)
    if wrong:
        lines = "\n".join(f"    {line}" for line in wrong)
        raise Failure(f"docs/RUNBOOK.md and the templates' alarms don't agree:\n{lines}\n  Mend the one that is wrong.")
    say(f"{len(alarms)} alarms are in the runbook")


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


def _alarms(source: Path) -> list[tuple[str, str | None]]:
    """A template's alarms, each with the anchor that its description ends with."""
    alarms = []
    for name, body in RESOURCE.findall(source.read_text() + "\n"):
        if ALARM.search(body):
            description = DESCRIPTION.search(body)
            link = LINK.search(description[2].rstrip()) if description else None
            alarms.append((f"{name} of {source.name}", link[1] if link else None))
    return alarms


def _prose(text: str) -> str:
    """The text without its code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))


def _writers(text: str) -> list[str]:
    """Where the list of functions to close is not those that write by themselves or for a customer."""
    closed = set(re.search(r'^WRITERS="([^"]*)"', text, re.MULTILINE)[1].split())
    # An operator's own are not closed.
    others = re.compile(r"get-|list-|quote-|api-docs$|pages-(shop|desk)$|redrive|migrate$|rotate-secret$")
    writers = {name for name in derive.functions() if not others.match(name)}
    return [f"WRITERS lacks {name}" for name in sorted(writers - closed)] + [
        f"WRITERS has {name}, which doesn't write" for name in sorted(closed - writers)
    ]


def _headings(text: str) -> list[tuple[int, str]]:
    """The headings, each with its level and the anchor that Git hosts make of it."""
    found = re.findall(r"^(#+) +(.+?) *$", _prose(text), re.MULTILINE)
    return [(len(marks), re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")) for marks, title in found]


def _chapter(headings: list[tuple[int, str]]) -> list[str]:
    """The anchors of the alarms' chapter."""
    start = headings.index((2, CHAPTER.lower())) + 1
    end = next((at for at in range(start, len(headings)) if headings[at][0] <= 2), len(headings))
    return [anchor for _, anchor in headings[start:end]]


def _broken_links(text: str, anchors: list[str]) -> list[str]:
    """What the runbook's links say that is not there: files beside it, and headings of its own."""
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(text)):
        file, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        if file and not (RUNBOOK.parent / file).exists():
            wrong.append(f"the link {link} leads to no file")
        if not file and anchor not in anchors:
            wrong.append(f"the link {link} leads to no heading")
    return wrong
