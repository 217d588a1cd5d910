#!/usr/bin/env bash
# Starts, stops and shows the servers that some tests talk to: Redis and PostgreSQL, on the loopback interface.
#
#   scripts/services.sh up       starts what is not up yet
#   scripts/services.sh down     stops what this script started
#   scripts/services.sh status   says what answers, exits 1 if one does not
#   scripts/services.sh env      prints the variables that make the tests use them
set -euo pipefail

host=127.0.0.1
# Ports of their own: the usual ones may belong to servers with somebody's data and passwords.
redis_port=${BEDPLATE_REDIS_PORT:-56379}
postgres_port=${BEDPLATE_POSTGRES_PORT:-55432}
# What root starts runs as another user, who cannot reach root's home.
if [ "$(id -u)" = 0 ]; then state=/var/lib; else state=${XDG_STATE_HOME:-$HOME/.local/state}; fi
state=${BEDPLATE_SERVICES_DIR:-$state/bedplate-services}

redis_up() { redis-cli -h "$host" -p "$redis_port" ping 2>/dev/null | grep -q PONG; }
postgres_up() { pg_isready -q -U postgres -h "$host" -p "$postgres_port" 2>/dev/null; }

# The servers' programs are not always on the path: Debian keeps PostgreSQL's in a folder per version.
postgres_program() {
  local found
  found=$(command -v "$1" || true)
  [ -n "$found" ] || found=$(find /usr/lib/postgresql -path "*/bin/$1" 2>/dev/null | sort -V | tail -n 1)
  [ -n "$found" ] || { echo "services: $1 is not installed (Debian: apt-get install postgresql)" >&2; return 1; }
  echo "$found"
}

# PostgreSQL refuses to run as root.
as_server() {
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

wait_for() {
  for _ in $(seq 100); do
    "$1" && return 0
    sleep 0.1
  done
  echo "services: $2 did not answer within 10 s" >&2
  return 1
}

redis_start() {
  command -v redis-server >/dev/null || { echo "services: redis-server is not installed (Debian: apt-get install redis-server)" >&2; return 1; }
  redis-server --bind "$host" --port "$redis_port" --save '' --appendonly no --daemonize yes \
    --pidfile "$state/redis.pid" --dir "$state" --logfile "$state/redis.log" >/dev/null
  wait_for redis_up Redis
}

postgres_start() {
  local data=$state/postgres initdb pg_ctl
  initdb=$(postgres_program initdb)
  pg_ctl=$(postgres_program pg_ctl)
  mkdir -p "$data"
  if [ "$(id -u)" = 0 ]; then
    chown -R postgres "$data"
    # The server's user must be able to reach its folder, whatever the umask is.
    chmod a+x "$state"
  fi
  if [ ! -s "$data/PG_VERSION" ]; then
    as_server "$initdb" -D "$data" -U postgres --auth=trust --encoding=UTF8 >"$state/initdb.log"
  fi
  # A server that was killed a moment ago may still hold its lock: try for a while.
  for attempt in 1 2 3 4 5; do
    as_server "$pg_ctl" -D "$data" -l "$data/server.log" -s \
      -o "-c listen_addresses=$host -c port=$postgres_port -c unix_socket_directories=$data" start && break
    [ "$attempt" = 5 ] && { tail -n 5 "$data/server.log" >&2; return 1; }
    sleep 1
  done
  wait_for postgres_up PostgreSQL
}

up() {
  mkdir -p "$state"
  redis_up || redis_start
  postgres_up || postgres_start
  status
}

down() {
  if [ -f "$state/redis.pid" ]; then
    redis-cli -h "$host" -p "$redis_port" shutdown nosave 2>/dev/null || true
    rm -f "$state/redis.pid"
  fi
  if [ -f "$state/postgres/postmaster.pid" ]; then
    as_server "$(postgres_program pg_ctl)" -D "$state/postgres" -s -m fast stop
  fi
}

status() {
  local failed=0
  if redis_up; then echo "Redis       up    $host:$redis_port"; else echo "Redis       down"; failed=1; fi
  if postgres_up; then echo "PostgreSQL  up    $host:$postgres_port"; else echo "PostgreSQL  down"; failed=1; fi
  return $failed
}

env_lines() {
  echo "export BEDPLATE_REDIS_URL=redis://$host:$redis_port"
  echo "export BEDPLATE_POSTGRES_URL=postgres://postgres@$host:$postgres_port/postgres"
}

case "${1:-}" in
  up) up ;;
  down) down ;;
  status) status ;;
  env) env_lines ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
