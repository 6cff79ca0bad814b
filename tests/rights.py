"""Whether each function has exactly the rights in functions.toml that it used in a run of all tests.

The functions log every call to AWS: `calls AWS`, with the caller, the service and the operation, but not the
resource. So a right is compared by its action. What AWS itself does in a function's name is not compared: Lambda
logs, traces and connects, and the pollers of SQS and Amazon MQ read.
"""

import contextlib
import json
from pathlib import Path

import derive
from console import Failure, say

# Operations of the SDK that a right of another name allows.
ALLOWED_BY = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
}


def compare(stacks: list[Path]) -> None:
    """Fails where a function lacks a right that it used in one of the stacks, or has one that it used in none."""
    table, used = derive.functions(), {}
    for stack in stacks:
        for function, actions in calls(stack / "log" / "event-sources.log").items():
            used.setdefault(function, set()).update(actions)
    wrong = [f"{function} calls AWS, and there is no such function" for function in sorted(used.keys() - table.keys())]
    for name, function in table.items():
        allowed = {action for actions, _ in derive.rights(function) for action in actions}
        called = used.get(name, set())
        wrong += [f"{name} called {call}, and may not" for call in sorted(called - allowed)]
        wrong += [f"{name} may {action}, and never did" for action in sorted(allowed - called)]
    if wrong:
        listed = "".join(f"\n    {line}" for line in wrong)
        raise Failure(f"The functions' rights are not those that the tests' run needed:{listed}")
    say(f"\n  {len(table)} functions have the rights that they used, and no others.")


def calls(log: Path) -> dict[str, set[str]]:
    """The actions that each function called."""
    used: dict[str, set[str]] = {}
    for line in log.read_text(errors="replace").splitlines():
        if '"calls AWS"' not in line:
            continue
        # A killed function may leave half a line, or begin one behind another's.
        with contextlib.suppress(ValueError, KeyError, TypeError):
            event = json.loads(line)
            if event["message"] == "calls AWS" and event["caller"]:
                action = f"{event['service'].lower().replace(' ', '')}:{event['operation']}"
                used.setdefault(event["caller"], set()).add(ALLOWED_BY.get(action, action))
    if not used:
        raise Failure(f"{log.name} has no call to AWS: the functions don't log them, or ran with another ADMIT_LOG.")
    return used
