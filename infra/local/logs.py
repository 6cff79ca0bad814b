"""Logs in readable form: one line for each event, from every function and component."""

import json
import subprocess
import sys
from pathlib import Path

# Fields that every line has, or that are shown in another place.
HIDDEN = {"timestamp", "level", "message", "span", "function", "name"}


def show(folder: Path) -> None:
    """Prints the last lines of every log; at a terminal, goes on with new ones."""
    follow = ["--follow=name"] if sys.stdout.isatty() else []
    command = ["tail", "--quiet", "-n", "200", *follow, *sorted(folder.glob("*.log"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as tail:
        for line in tail.stdout:
            if shown := readable(line.rstrip()):
                print(shown, flush=True)


def readable(line: str) -> str | None:
    """Formats one line of a log; None for a line that is not worth showing."""
    try:
        event = json.loads(line)
        message, level, span = event["message"], event["level"], event.get("span", {})
    except (ValueError, KeyError, TypeError):
        return line
    if message == "calls AWS":
        # That is for tests/rights.py.
        return None
    details = " ".join(f"{key}={value}" for key, value in (span | event).items() if key not in HIDDEN)
    level = "" if level == "INFO" else f"{level} "
    return f"{event['timestamp'][11:23]} {span.get('function', ''):18} {level}{message} {details}"
