#!/usr/bin/env bash
# Runs the tests of the store of bedplate-cache under miri, which finds undefined behavior, data races and leaks: the lock
# that holds the crate's only unsafe code first of all. Miri is some hundred times slower than a processor, so nothing that
# replays traces is among them, and an end is set. Other tests by name: scripts/miri.sh NAME…
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
  echo 'miri is not installed (rustup +nightly component add miri): skipped'
  exit 0
fi
[ $# -gt 0 ] || set -- biased:: held:: seat:: policy::ghosts policy::lru policy::slab
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/miri
# Clocks are the system's; proptest would look for a file of regressions otherwise.
export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-disable-isolation"
# What miri notes as built is where the sources lie, and cargo does not see that they are elsewhere now: noted anew each time,
# one target directory serves several checkouts.
rm -rf "$CARGO_TARGET_DIR"/miri/*/debug/.fingerprint/bedplate-cache-*
timeout 15m cargo +nightly miri test -p bedplate-cache --lib -- "$@"
