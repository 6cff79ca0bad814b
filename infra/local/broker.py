"""The broker's management API, as its owner asks it."""

import base64
import json
import urllib.request

import certificates
from console import Failure
from native import OWNER


def take(stack, queue: str) -> list[dict]:
    """Takes the messages off a queue."""
    url = f"https://127.0.0.1:{stack.state['ports']['rabbitmq-management']}/api/queues/%2F/{queue}/get"
    credentials = base64.b64encode(f"{OWNER}:{stack.state['secrets']['BrokerOwner']}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    wanted = {"count": 100, "ackmode": "ack_requeue_false", "encoding": "base64"}
    asked = urllib.request.Request(url, json.dumps(wanted).encode(), headers)
    try:
        with urllib.request.urlopen(asked, timeout=10, context=certificates.context(stack)) as response:
            return json.loads(response.read())
    except OSError as error:
        raise Failure(f"RabbitMQ's management gave no messages of {queue}: {error}") from error
