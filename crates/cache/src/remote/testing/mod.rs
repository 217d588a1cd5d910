//! Contract suites that every tier, lock and backplane passes, and a double that misbehaves as real
//! services do.

mod contract;
mod unruly;

pub use contract::{Violation, backplane_contract, lock_contract, remote_contract};
pub use unruly::{Manner, Unruly};
