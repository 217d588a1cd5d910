//! The circuit breaker: a pure machine and a thin shared handle.
//!
//! The machine takes `now` with every call and holds fixed memory: a ring of bits for a window of calls, a ring
//! of at most 64 buckets for a window of time. The obvious alternative, a queue of results, costs memory and
//! time in proportion to the traffic, which is where a breaker is needed most.
//!
//! Every admission is a ticket with the generation in which it was given out. A transition starts a new
//! generation, so that a result that comes late, from before the circuit opened, can neither close a half-open
//! circuit nor open it again. A probe that hangs expires and gives its place to another.

mod config;
mod handle;
mod machine;
mod pending;
mod state;
mod window;

pub use config::{Abandoned, BreakerBuilder, BreakerConfig, HalfOpen, Semantics, TripRule, WindowKind};
pub use handle::{CircuitBreaker, Permit};
pub use machine::BreakerMachine;
pub use state::{BreakerState, BreakerStats, Outcome, Refused, Ticket, Transition};
pub use window::{OutcomeWindow, WindowCounts};
