#!/bin/bash
# Does what the entry point of the image postgres:15 does with what infra/compose.yaml gives it.
set -eu
if [ "$(id -u)" = 0 ]; then
  echo "A stand-in for postgres:15, made of Debian's packages for Admit's tests."
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  mkdir -p /var/run/postgresql
  chown -R postgres "$PGDATA" /var/run/postgresql
  exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?the superuser has to have a password}"
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  # As there: a server for the set-up alone, with the options of the real one, but for where it listens.
  pg_ctl -D "$PGDATA" -o "$(printf '%q ' "${@:2}" -c listen_addresses='')" -w start
  psql=(psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" --dbname postgres)
  if [ -z "$("${psql[@]}" -At -v db="$POSTGRES_DB" <<< "select 1 from pg_database where datname = :'db'")" ]; then
    "${psql[@]}" -v db="$POSTGRES_DB" <<< 'create database :"db"'
  fi
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
