//! Experiments in virtual time; `cargo run --release --example recovery_simulations` prints them as a table.

pub mod capacity;
pub mod events;
pub mod retry_storm;
