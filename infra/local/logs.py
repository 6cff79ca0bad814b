"""Logs, readably: one line an event, from every function and component."""

import json
import time
from pathlib import Path

# Said by every line of a kind, or shown otherwise.
_HIDDEN = {"timestamp", "level", "message", "span", "function", "request_id", "name"}


def show(folder: Path, follow: bool) -> None:
    """Prints the last lines of every log, and goes on with what comes."""
    files: dict[Path, int] = {}
    first = True
    while True:
        lines = []
        for path in sorted(folder.glob("*.log")):
            position = files.get(path, 0)
            with open(path, "rb") as log:
                log.seek(position)
                text = log.read()
                end = text.rfind(b"\n") + 1
                files[path] = position + end
            new = text[:end].decode(errors="replace").splitlines()
            lines += [(path.stem, line) for line in (new[-200:] if first else new)]
        shown = [line for source, text in lines if (line := readable(source, text))]
        # Lines of functions begin with their time; the others stay in their file's order before it.
        for line in sorted(shown, key=lambda line: line[:12]) if first else shown:
            print(line, flush=True)
        first = False
        if not follow:
            return
        time.sleep(0.3)


def readable(source: str, line: str) -> str | None:
    """One line of a log; None for what says nothing to anybody."""
    try:
        event = json.loads(line)
    except ValueError:
        return None if not line.strip() else f"{'':12} {source:18} {line}"
    if not isinstance(event, dict) or "message" not in event:
        return f"{'':12} {source:18} {line}"
    if event["message"] == "calls AWS":
        # That is for infra/local/rights.py.
        return None
    span = event.get("span", {})
    name = span.get("function", source)
    fields = {**{key: span[key] for key in span if key != "function"}, **event}
    details = [f"{key}={value}" for key, value in fields.items() if key not in _HIDDEN]
    request = span.get("request_id")
    if request:
        details.append(f"request_id={request}")
    level = "" if event["level"] == "INFO" else f"{event['level']} "
    return f"{event['timestamp'][11:23]} {name:18} {level}{event['message']} {' '.join(details)}"
