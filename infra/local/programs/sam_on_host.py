"""Runs sam with its containers in this machine's network, where the stack listens at the loopback address.

sam itself puts each container behind a bridge, whatever --docker-network says.
"""

import socket

from docker.models.containers import ContainerCollection
from samcli.cli.main import cli


def on_host(create):
    def create_on_host(containers, image, **options):
        # What listens in the container does so on this machine: at the port where sam asks, and at a free one.
        [(_, port)] = options.pop("ports").values()
        emulator = options.pop("entrypoint")
        emulator += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
        emulator += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
        return create(containers, image, entrypoint=emulator, network_mode="host", **options)

    return create_on_host


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    ContainerCollection.create = on_host(ContainerCollection.create)
    cli(prog_name="sam")
