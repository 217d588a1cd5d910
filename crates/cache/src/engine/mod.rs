//! What to do for a caller, decided from what is held and the time alone.
//!
//! One call runs through at most three decisions: when it comes ([`on_call`]), when it has waited for
//! a while ([`on_wait`]) and when the load it waits for has failed ([`on_failure`]). None of them
//! reads a clock, takes a lock or runs user code: the shell in `load` asks and obeys. So every
//! transition is a row in a table that the tests walk, and a naive model can be held against it.
//!
//! An entry's life, with the points at which what is done for a reader changes:
//!
//! ```text
//! born ───────── eager ──── fresh ────────── revalidate ─────────── keep
//!   serve          serve and   serve stale and      wait for a load; stale if
//!                  refresh     refresh              it fails or takes too long
//! ```
//!
//! A refresh that failed is not tried again before `retry`: until then what is stale is served
//! without a call of the origin.

mod decision;
mod rules;

pub(crate) use decision::{State, Step, Wants, on_call, on_failure, on_wait};
pub(crate) use rules::{Rules, Times};

#[cfg(test)]
mod tests;
