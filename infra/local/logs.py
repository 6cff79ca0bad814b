"""Logs in readable form: one line for each event, from every function and component."""

import json
import re
import subprocess
import sys
from pathlib import Path

from console import Failure

# Fields that every line has, or that are shown in another place.
HIDDEN = {"timestamp", "level", "message", "span", "function", "name"}


def show(folder: Path) -> None:
    """Prints the last lines of every log; at a terminal, goes on with new ones."""
    if not (files := sorted(folder.glob("*.log"))):
        raise Failure("There are no logs yet: make up, then make logs.")
    source, follow = "", ["--follow=name"] if sys.stdout.isatty() else []
    with subprocess.Popen(["tail", "-v", "-n", "200", *follow, *files], stdout=subprocess.PIPE, text=True, errors="replace") as tail:
        for line in map(str.rstrip, tail.stdout):
            # What tail says before lines of another file.
            if header := re.fullmatch(r"==> (.*) <==", line):
                source = Path(header[1]).stem
            elif shown := readable(source, line):
                print(shown, flush=True)


def readable(source: str, line: str) -> str | None:
    """Formats one line of a log; None for a line that is not worth showing."""
    try:
        event = json.loads(line)
        time, message, level, span = event["timestamp"], event["message"], event["level"], event.get("span", {})
    except (ValueError, KeyError, TypeError):
        return f"{source:18} {line}" if line else None
    if message == "calls AWS":
        # That is for tests/rights.py.
        return None
    details = " ".join(f"{key}={value}" for key, value in (span | event).items() if key not in HIDDEN)
    level = "" if level == "INFO" else f"{level} "
    return f"{time[11:23]} {span.get('function', source):18} {level}{message} {details}"
