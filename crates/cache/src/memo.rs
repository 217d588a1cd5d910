//! What `#[memoize]` expands to calls; no part of the public interface, and changed at will.

use std::convert::Infallible;
use std::hash::Hash;
use std::panic::resume_unwind;
use std::sync::Arc;

use crate::builder::CacheBuilder;
use crate::cache::Cache;
use crate::error::LoadError;
pub use crate::load::memoized::{Bounds, load, load_blocking, refresh, refresh_blocking};
use crate::weigh::{Weigh, Weigher};

/// What one entry counts for where entries are counted and not weighed.
const UNIT: u64 = 64;

/// Builds the cache of a function from settings that the macro has checked.
///
/// # Panics
///
/// If a setting is out of its bounds after all.
pub fn build<K, V, W>(builder: CacheBuilder<K, V, W>) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    W: Weigher<K, V>,
{
    #[expect(clippy::panic, reason = "a function has no other way to say so, and the macro checks what it is given")]
    builder.build().unwrap_or_else(|error| panic!("a memoized function cannot have its cache: {error}"))
}

/// Lets a cache hold so many entries of whatever size.
pub fn counting<K, V>(
    builder: CacheBuilder<K, V>,
    capacity: u64,
) -> CacheBuilder<K, V, impl Fn(&K, &V) -> u64 + Send + Sync + 'static> {
    let bytes = capacity.saturating_mul(UNIT + crate::shard::NODE_BYTES);
    builder.max_bytes(bytes).weigher(|_: &K, _: &V| UNIT)
}

/// Takes the answer of a function that does not fail.
///
/// # Panics
///
/// As the function did, if it panicked in the load.
pub fn infallible<T>(loaded: Result<T, LoadError<Infallible>>) -> T {
    match loaded {
        Ok(value) => value,
        Err(LoadError::Loader(never)) => match *never {},
        Err(error) => fall(&error),
    }
}

/// Takes the value of a load that cannot have brought none.
///
/// # Errors
///
/// That of the load.
pub fn value<V, E>(loaded: Result<Option<V>, LoadError<E>>) -> Result<V, LoadError<E>> {
    loaded.and_then(|value| value.ok_or(LoadError::Aborted))
}

/// Takes the answer of a function whose error is shared by cloning it.
///
/// # Errors
///
/// The error of the function.
///
/// # Panics
///
/// As the function did, if it panicked in the load.
pub fn error_is_clone_or_map_err_is_given<T, E: Clone>(loaded: Result<T, LoadError<E>>) -> Result<T, E> {
    loaded.map_err(|error| match error {
        LoadError::Loader(shared) => Arc::try_unwrap(shared).unwrap_or_else(|shared| (*shared).clone()),
        error => fall(&error),
    })
}

/// Takes the answer of a function that says how its error is made of a shared one.
///
/// # Errors
///
/// What the function makes of a failure.
pub fn mapped<T, E>(loaded: Result<T, LoadError<E>>, make: impl FnOnce(LoadError<E>) -> E) -> Result<T, E> {
    loaded.map_err(make)
}

/// Asks of a type what a key needs.
pub const fn arguments_in_the_key_are_clone_hash_eq_send_sync<T: Clone + Hash + Eq + Send + Sync + 'static>() {}

/// Asks of a type that it can be weighed.
pub const fn weigh_is_derived_or_capacity_is_given<T: Weigh>() {}

/// Goes on with a panic of the load, which was reported where it began.
fn fall<E>(error: &LoadError<E>) -> ! {
    let text = match error {
        LoadError::Panicked { message } => message.to_string(),
        error => Plain(error).to_string(),
    };
    resume_unwind(Box::new(text))
}

/// The text of an error whatever its source is.
struct Plain<'e, E>(&'e LoadError<E>);

impl<E> std::fmt::Display for Plain<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            LoadError::Aborted => "the load of a memoized function was cut off by the end of its runtime",
            _ => "the load of a memoized function ended without a value",
        })
    }
}
