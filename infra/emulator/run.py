"""Runs AWS's emulator, with four differences from AWS corrected.

In Secrets Manager:
- Writes are durable: the emulator saves its state only at an orderly end, and would give old passwords after a kill.
- A version is written once: the emulator overwrites one whose id comes again.
- A stage is one version's: the emulator leaves AWSPENDING where it was, beside the new one.

In CloudFormation:
- What does not change in the update of a nested stack keeps its attributes: the emulator forgets them.
"""

import os

from ministack import app
from ministack.core.persistence import save_state
from ministack.services import secretsmanager
from ministack.services.cloudformation import _stacks, provisioners

READING = ("Get", "BatchGet", "Describe", "List", "Validate")


def as_written_once(put):
    def put_once(data):
        _, secret = secretsmanager._resolve(data.get("SecretId"))
        before = secret["Versions"].get(data.get("ClientRequestToken")) if secret else None
        if before and before["SecretString"] != data.get("SecretString"):
            said = "A resource with the ID you requested already exists."
            return secretsmanager.error_response_json("ResourceExistsException", said, 400)
        for stage in data.get("VersionStages", []):
            if secret and stage != "AWSCURRENT":
                secretsmanager._remove_stage_everywhere(secret, stage)
        return put(data)

    return put_once


def durable(handle):
    async def handle_and_save(method, path, headers, body, query_params):
        answer = await handle(method, path, headers, body, query_params)
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if not action.startswith(READING):
            save_state("secretsmanager", secretsmanager.get_state())
        return answer

    return handle_and_save


def as_remembered(update):
    def update_with_attributes(kind, physical, old, new, stack, logical=None, attributes=None):
        known = _stacks.get(stack, {}).get("_resources", {}).get(logical, {})
        return update(kind, physical, old, new, stack, logical, attributes or known.get("Attributes"))

    return update_with_attributes


if __name__ == "__main__":
    # What it saves has passwords in it.
    os.umask(0o077)
    secretsmanager._put_secret_value = as_written_once(secretsmanager._put_secret_value)
    secretsmanager.handle_request = durable(secretsmanager.handle_request)
    provisioners._update_resource = as_remembered(provisioners._update_resource)
    app.main()
