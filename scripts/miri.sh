#!/usr/bin/env bash
# Runs the unit tests of bedplate-cache under miri, which finds undefined behavior and leaks.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
  echo 'miri is not installed (rustup +nightly component add miri): skipped'
  exit 0
fi
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/miri
# Clocks are the system's; proptest would look for a file of regressions otherwise.
export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-disable-isolation"
cargo +nightly miri test -p bedplate-cache --lib "$@"
