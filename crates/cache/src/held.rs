//! How a value is kept, so that its `Clone` never runs under a lock.
//!
//! A lookup must hand out a clone, and the value may be replaced as soon as the lock is open: so
//! either the clone is made under the lock or the value is shared. Sharing costs a handle of its
//! own per entry (two counts and a block of the allocator) and a step more per hit. It is spared
//! where a clone runs no code of the user's: numbers, `Arc`, `String` and their like have the
//! standard library's. All others are kept in an `Arc` of the cache's own, which
//! is what is cloned under the lock; the value follows outside. The alternative, a rule that `Clone`
//! must not call the cache, is one that nobody can check.

use std::any::{TypeId, type_name};
use std::sync::Arc;
use std::time::Duration;

/// A stored value, or what was taken of it under the lock: its clone runs none of the user's code.
#[derive(Debug, Clone)]
pub(crate) enum Held<V> {
    InPlace(V),
    Shared(Arc<V>),
}

/// How the values of a cache are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// In the entry: cloning one runs no code of the user's.
    InPlace,
    Shared,
}

impl Keeping {
    pub(crate) fn of<V: 'static>() -> Self {
        if is_plain::<V>() || has_plain_clone(type_name::<V>()) { Self::InPlace } else { Self::Shared }
    }
}

impl<V> Held<V> {
    pub(crate) fn new(value: V, keeping: Keeping) -> Self {
        match keeping {
            Keeping::InPlace => Self::InPlace(value),
            Keeping::Shared => Self::Shared(Arc::new(value)),
        }
    }

    #[cfg(test)]
    pub(crate) fn value(&self) -> &V {
        match self {
            Self::InPlace(value) => value,
            Self::Shared(value) => value,
        }
    }
}

impl<V: Clone> Held<V> {
    /// Returns the value; this may run the user's `Clone`.
    #[inline]
    pub(crate) fn into_value(self) -> V {
        match self {
            Self::InPlace(value) => value,
            Self::Shared(value) => Arc::unwrap_or_clone(value),
        }
    }
}

/// Tells whether a type is one of the plain ones of the language and the standard library. Whether
/// a type is `Copy` cannot be asked, and a `Copy` type can have a `Clone` of another mind.
fn is_plain<T: 'static>() -> bool {
    macro_rules! one_of {
        ($($type:ty),+) => {
            [$(TypeId::of::<$type>()),+]
        };
    }
    let plain = one_of!(
        u8,
        u16,
        u32,
        u64,
        u128,
        usize,
        i8,
        i16,
        i32,
        i64,
        i128,
        isize,
        f32,
        f64,
        bool,
        char,
        (),
        &'static str,
        Duration,
        String,
        Vec<u8>,
        Box<str>
    );
    plain.contains(&TypeId::of::<T>())
}

/// Tells whether the clone of a type of this name is all the standard library's or of `bytes`.
///
/// A name proves little: it only spares a handle. If one of these is ever spelled otherwise its
/// values are shared like others.
fn has_plain_clone(name: &str) -> bool {
    let inner = name.strip_prefix("core::option::Option<").and_then(|rest| rest.strip_suffix('>')).unwrap_or(name);
    let is_handle = ["alloc::sync::Arc<", "alloc::sync::Weak<"].iter().any(|handle| inner.starts_with(handle));
    is_handle || inner == "bytes::bytes::Bytes"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Handle(#[expect(dead_code, reason = "it is the type that counts")] Arc<str>);

    #[test]
    fn what_runs_no_foreign_clone_is_kept_in_place() {
        let kept = [
            Keeping::of::<u64>(),
            Keeping::of::<&'static str>(),
            Keeping::of::<Arc<[u8]>>(),
            Keeping::of::<Arc<Handle>>(),
            Keeping::of::<Option<Arc<Handle>>>(),
            Keeping::of::<String>(),
            Keeping::of::<Vec<u8>>(),
        ];
        assert_eq!(kept, [Keeping::InPlace; 7]);
        let shared = [Keeping::of::<Handle>(), Keeping::of::<Vec<Handle>>(), Keeping::of::<Option<Handle>>()];
        assert_eq!(shared, [Keeping::Shared; 3]);
    }
}
