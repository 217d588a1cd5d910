//! Experiments in virtual time; `cargo run --release --example recovery_simulations` prints them as tables.

pub mod brown_out;
pub mod capacity;
pub mod degradation;
pub mod events;
pub mod hedging;
pub mod overload;
pub mod priorities;
pub mod retry_storm;
