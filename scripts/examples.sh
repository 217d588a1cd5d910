#!/usr/bin/env bash
# Runs every example that ends by itself, and the server with a client. A broken example fails here instead of shipping.
set -euo pipefail
cd "$(dirname "$0")/.."

for file in examples/*.rs; do
  name=$(basename "$file" .rs)
  [ "$name" = server ] && continue
  printf -- '-- %s\n' "$name"
  arguments=()
  # The service runs until Ctrl-C unless it is to check itself.
  [ "$name" = w3c_service ] && arguments=(--check)
  cargo run -q --release --example "$name" -- "${arguments[@]}"
done

printf -- '-- tasks_chaos\n'
cargo run -q --release --example tasks_chaos -- --store sqlite --jobs 500 --seconds 6

printf -- '-- server\n'
cargo build -q --release --example server
port=${BEDPLATE_EXAMPLE_PORT:-18080}
target=${CARGO_TARGET_DIR:-target}
BEDPLATE_ADDRESS=127.0.0.1:$port "$target/release/examples/server" >/dev/null &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
  curl -fs "http://127.0.0.1:$port/health" >/dev/null && break
  sleep 0.1
done
answer=$(curl -fsS --data-binary @examples/assets/china.jpg "http://127.0.0.1:$port/v1/process?file_name=china.jpg")
printf '%.300s\n' "$answer"
curl -fsS "http://127.0.0.1:$port/metrics" | grep '^bedplate_requests_total'
curl -fsS "http://127.0.0.1:$port/" | grep -c '<title>'
status=$(curl -s -o /dev/null -w '%{http_code}' --data-binary '' "http://127.0.0.1:$port/v1/process")
[ "$status" = 400 ] || { echo "an empty body was answered with $status, expected 400" >&2; exit 1; }
kill -TERM "$server"
wait "$server"
trap - EXIT
