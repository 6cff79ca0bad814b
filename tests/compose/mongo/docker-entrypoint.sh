#!/bin/bash
# Does what the entry point of the image mongo:7 does with what infra/compose.yaml gives it.
set -eu
if [[ "$1" == mongo* ]] && [ "$(id -u)" = 0 ]; then
  echo "A stand-in for mongo:7, made of infra/docdb for Admit's tests."
  find /data/configdb /data/db \! -user mongodb -exec chown mongodb '{}' +
  exec gosu mongodb "$0" "$@"
fi
if [ "$1" = mongod ] && [ ! -e /data/db/storage.bson ]; then
  # As there: a server for the set-up alone, which makes the owner, and listens at the container's 127.0.0.1 only.
  setup=()
  for word; do [ "$word" = --bind_ip_all ] || setup+=("$word"); done
  "${setup[@]}" &
  until mongosh --quiet --tls --tlsCAFile /certificates/authority.pem --eval 'quit(0)'; do sleep 1; done
  sleep 3
  kill %1
  wait %1 || true
  touch /data/db/storage.bson
fi
exec "$@"
