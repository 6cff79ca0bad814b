"""Clients of AWS's emulator."""

import json
import sys
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from console import Failure
from tools import ROOT

EMULATOR = [sys.executable, ROOT / "infra" / "emulator" / "run.py"]
REGION = "us-east-1"
NUMBER = "000000000000"
# The owner's access key. The emulator accepts the key in its own environment as the owner's.
OWNER = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


def client(service: str, url: str, seconds: float = 60):
    """A client of one API of the emulator, or of the event sources, which answer Lambda's."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=OWNER["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=OWNER["AWS_SECRET_ACCESS_KEY"],
        # Don't retry: a failure must be visible.
        config=Config(read_timeout=seconds, retries={"total_max_attempts": 1}, proxies={}),
    )


def invoke(functions, name: str, event: dict) -> dict:
    """Invokes a function, by name or ARN; its answer."""
    try:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(event))
    except (BotoCoreError, ClientError) as error:
        raise Failure(f"{name} can't be invoked: {error}. See make logs.") from None
    said = answer["Payload"].read().decode()
    if "FunctionError" in answer:
        raise Failure(f"{name} failed: {said[:500]}. See make logs.")
    return json.loads(said)


def places(port: int, data: Path) -> dict[str, str]:
    """Where the emulator listens, and where it writes."""
    # The last two would listen at ports of their own.
    return {
        "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "TMPDIR": str(data),
        "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0",
    }  # fmt: skip
