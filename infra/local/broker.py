"""The broker's management API, as its owner asks it."""

import urllib3

import certificates
from console import Failure
from native import OWNER


def take(stack, queue: str) -> list[dict]:
    """Takes the messages off a queue."""
    url = f"https://127.0.0.1:{stack.state['ports']['rabbitmq-management']}/api/queues/%2F/{queue}/get"
    headers = urllib3.make_headers(basic_auth=f"{OWNER}:{stack.state['secrets']['BrokerOwner']}")
    wanted = {"count": 100, "ackmode": "ack_requeue_false", "encoding": "base64"}
    with urllib3.PoolManager(ca_certs=str(certificates.authority(stack)), timeout=10) as broker:
        answer = broker.request("POST", url, headers=headers, json=wanted)
    if answer.status != 200:
        raise Failure(f"RabbitMQ's management gave no messages of {queue}: {answer.status}")
    return answer.json()
