#!/usr/bin/env bash
# Runs breaker and bulkhead of bedplate-recovery under a scheduler that tries interleavings of their locks and atomics.
set -euo pipefail
cd "$(dirname "$0")/.."
# Another cfg means another build of everything: kept apart, or both would be rebuilt in turn.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/shuttle
RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle" cargo test -p bedplate-recovery --lib interleavings "$@"
