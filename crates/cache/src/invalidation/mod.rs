//! Makes entries untrue by key, tag, pattern or all at once.
//!
//! The cache counts generations. Every invalidation of more than one key opens a new one and leaves
//! a tombstone; an entry carries the generation in which its value began to be true, and a read
//! compares. So an invalidation is active at once, whatever it hits, and costs a look at no entry.
//! The alternative, to walk all entries and take out what fits, is slow where there are many and
//! cannot see what a load under way is about to store. A sweep takes the entries out later and
//! retires the tombstones, whose number is bounded.

mod apply;
mod generations;
mod glob;
mod key;
mod message;
mod tag;

pub(crate) use generations::{Generations, Scope};
pub use glob::{Glob, GlobError};
pub use key::{CacheKey, TextKey};
pub use message::{Invalidation, InvalidationSink};
pub use tag::Tag;
