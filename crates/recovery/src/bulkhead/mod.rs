//! How many calls may run at once: a fixed number or one that is learnt, with a bounded line for those who wait.

mod config;
mod handle;
mod line;
mod permit;
mod queue;

pub use config::{BulkheadConfig, Discipline, Places};
pub use handle::{Bulkhead, BulkheadStats};
pub use permit::BulkheadPermit;
