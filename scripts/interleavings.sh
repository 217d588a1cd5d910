#!/usr/bin/env bash
# Runs what bedplate-recovery and bedplate-tasks share in memory under a scheduler that tries interleavings of their locks
# and atomics.
set -euo pipefail
cd "$(dirname "$0")/.."
# Another cfg means another build of everything: kept apart, or both would be rebuilt in turn.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/shuttle
RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle" cargo test -p bedplate-recovery -p bedplate-tasks --lib interleavings "$@"
