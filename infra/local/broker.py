"""The broker's management API, for what migrate doesn't do: the user of whoever looks at its page."""

import base64
import json
import time
import urllib.error
import urllib.request

import certificates
import vault
from console import Failure

OPERATOR = "operator"


def make_operator(stack) -> None:
    """Makes that user, so that a rotation of the functions' password leaves the page open. Safe to repeat."""
    password = stack.state["secrets"]["Operator"]
    deadline = time.monotonic() + 30
    while (status := request(stack, "GET", "whoami", OPERATOR, password)[0]) is None and time.monotonic() < deadline:
        # It begins a little after the broker.
        time.sleep(0.2)
    if status == 200:
        return
    broker = vault.read(stack, "Broker") or {}
    user, its_password = broker.get("username", ""), broker.get("password", "")
    wanted = {"password": password, "tags": "administrator"}
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    for path, body in ((f"users/{OPERATOR}", wanted), (f"permissions/%2F/{OPERATOR}", rights)):
        status, _ = request(stack, "PUT", path, user, its_password, body)
        if status not in (201, 204):
            raise Failure(
                f"RabbitMQ's management answered {status or 'nothing'} to its secret's user {user}. See make logs. "
                "If the password is lost: make down clean-data, then repeat."
            )


def take(stack, queue: str) -> list[dict]:
    """Takes the messages off a queue."""
    wanted = {"count": 100, "ackmode": "ack_requeue_false", "encoding": "base64"}
    password = stack.state["secrets"]["Operator"]
    status, body = request(stack, "POST", f"queues/%2F/{queue}/get", OPERATOR, password, wanted)
    if status != 200:
        raise Failure(f"RabbitMQ's management answered {status or 'nothing'} instead of messages of {queue}.")
    return json.loads(body)


def request(
    stack, method: str, path: str, user: str, password: str, body: dict | None = None
) -> tuple[int | None, bytes]:
    """One request: its status, or None where nobody answers, and what is answered."""
    url = f"https://127.0.0.1:{stack.state['ports']['rabbitmq-management']}/api/{path}"
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10, context=certificates.context(stack)) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return None, b""
