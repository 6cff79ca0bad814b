#!/bin/bash
# Does what the entry point of the image rabbitmq:3.13-management does with what infra/compose.yaml gives it.
# The server itself reads RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS.
set -eu
if [[ "$1" == rabbitmq* ]] && [ "$(id -u)" = 0 ]; then
  echo "A stand-in for rabbitmq:3.13-management, made of Debian's packages for Admit's tests."
  if [ "$1" = rabbitmq-server ]; then
    find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq '{}' +
  fi
  exec gosu rabbitmq "$0" "$@"
fi
exec "$@"
