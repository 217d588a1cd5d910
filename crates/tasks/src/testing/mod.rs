//! For tests: the suite that every store passes, in [`contract`].

pub mod contract;
