//! The paired harness.
