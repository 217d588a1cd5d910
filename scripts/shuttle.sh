#!/usr/bin/env bash
# Runs the store of bedplate-cache under a scheduler that tries interleavings of its locks and atomics.
set -euo pipefail
cd "$(dirname "$0")/.."
# Another cfg means another build of everything: kept apart, or both would be rebuilt in turn.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/shuttle
RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle" cargo test -p bedplate-cache --lib interleavings "$@"
