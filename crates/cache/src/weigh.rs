//! How many bytes an entry takes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Tells how many bytes a value owns on the heap; what it takes inline is known from its type.
///
/// For a struct, that is the sum over its fields:
///
/// ```
/// use bedplate_cache::Weigh;
///
/// struct Page { title: String, body: Vec<u8>, views: u64 }
///
/// impl Weigh for Page {
///     fn heap_bytes(&self) -> u64 {
///         self.title.heap_bytes() + self.body.heap_bytes()
///     }
/// }
/// ```
///
/// The figure is an estimate that the cache takes at its word: too small, and the process uses more
/// memory than the budget says; too large, and the cache holds less than it could. It is asked for
/// once per insert, never under a lock. A value must not grow after it was stored.
pub trait Weigh {
    /// Whether no value of this type owns heap memory, so that a collection need not look at its
    /// elements.
    const FLAT: bool = false;

    /// Returns the bytes this value owns on the heap.
    fn heap_bytes(&self) -> u64;
}

/// Weighs a whole entry: key and value together, without the overhead of the cache's own node,
/// which is added to it.
///
/// Implemented by [`ByWeight`] and by every closure that
/// [`CacheBuilder::weigher`](crate::CacheBuilder::weigher) takes.
pub trait Weigher<K, V>: Send + Sync + 'static {
    /// Returns the bytes that key and value take, inline and on the heap.
    fn weigh(&self, key: &K, value: &V) -> u64;

    /// Returns the bytes of an entry that says that its key has no value; by default what key and
    /// value take inline.
    fn weigh_absent(&self, _key: &K) -> u64 {
        inline_bytes::<K>(1).saturating_add(inline_bytes::<V>(1))
    }
}

impl<K, V, F: Fn(&K, &V) -> u64 + Send + Sync + 'static> Weigher<K, V> for F {
    fn weigh(&self, key: &K, value: &V) -> u64 {
        self(key, value)
    }
}

/// The default weigher: asks key and value through [`Weigh`].
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ByWeight;

impl<K: Weigh, V: Weigh> Weigher<K, V> for ByWeight {
    fn weigh(&self, key: &K, value: &V) -> u64 {
        inline_bytes::<K>(1)
            .saturating_add(inline_bytes::<V>(1))
            .saturating_add(key.heap_bytes())
            .saturating_add(value.heap_bytes())
    }

    fn weigh_absent(&self, key: &K) -> u64 {
        inline_bytes::<K>(1).saturating_add(inline_bytes::<V>(1)).saturating_add(key.heap_bytes())
    }
}

/// A boxed weigher that can stand in a `Debug` struct.
pub(crate) struct BoxedWeigher<K, V>(Box<dyn Weigher<K, V>>);

impl<K: 'static, V: 'static> BoxedWeigher<K, V> {
    pub(crate) fn new(weigher: impl Weigher<K, V>) -> Self {
        Self(Box::new(weigher))
    }

    pub(crate) fn weigh(&self, key: &K, value: &V) -> u64 {
        self.0.weigh(key, value)
    }

    pub(crate) fn weigh_absent(&self, key: &K) -> u64 {
        self.0.weigh_absent(key)
    }
}

impl<K, V> fmt::Debug for BoxedWeigher<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Weigher")
    }
}

macro_rules! flat {
    ($($type:ty),+ $(,)?) => {
        $(impl Weigh for $type {
            const FLAT: bool = true;

            fn heap_bytes(&self) -> u64 {
                0
            }
        })+
    };
}

flat!(
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
    IpAddr,
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr
);

impl Weigh for String {
    fn heap_bytes(&self) -> u64 {
        bytes(self.capacity())
    }
}

impl Weigh for str {
    fn heap_bytes(&self) -> u64 {
        0
    }
}

impl Weigh for PathBuf {
    fn heap_bytes(&self) -> u64 {
        bytes(self.capacity())
    }
}

impl Weigh for Cow<'static, str> {
    fn heap_bytes(&self) -> u64 {
        match self {
            Self::Borrowed(_) => 0,
            Self::Owned(text) => text.heap_bytes(),
        }
    }
}

impl<T: Weigh> Weigh for Option<T> {
    const FLAT: bool = T::FLAT;

    fn heap_bytes(&self) -> u64 {
        self.as_ref().map_or(0, T::heap_bytes)
    }
}

impl<T: Weigh, E: Weigh> Weigh for Result<T, E> {
    const FLAT: bool = T::FLAT && E::FLAT;

    fn heap_bytes(&self) -> u64 {
        self.as_ref().map_or_else(E::heap_bytes, T::heap_bytes)
    }
}

impl<T: Weigh> Weigh for [T] {
    fn heap_bytes(&self) -> u64 {
        elements(T::FLAT, self)
    }
}

impl<T: Weigh, const N: usize> Weigh for [T; N] {
    const FLAT: bool = T::FLAT;

    fn heap_bytes(&self) -> u64 {
        elements(T::FLAT, self)
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn heap_bytes(&self) -> u64 {
        inline_bytes::<T>(self.capacity()).saturating_add(elements(T::FLAT, self))
    }
}

impl<T: Weigh> Weigh for VecDeque<T> {
    fn heap_bytes(&self) -> u64 {
        inline_bytes::<T>(self.capacity()).saturating_add(elements(T::FLAT, self))
    }
}

impl<T: Weigh + ?Sized> Weigh for Box<T> {
    fn heap_bytes(&self) -> u64 {
        bytes(size_of_val::<T>(self)).saturating_add((**self).heap_bytes())
    }
}

/// Counts the whole shared value: the cache cannot know who else holds it, and its own handle keeps
/// it alive.
impl<T: Weigh + ?Sized> Weigh for Arc<T> {
    fn heap_bytes(&self) -> u64 {
        // Two reference counts stand before the value.
        bytes(2 * size_of::<usize>())
            .saturating_add(bytes(size_of_val::<T>(self)))
            .saturating_add((**self).heap_bytes())
    }
}

impl<K: Weigh, V: Weigh, S> Weigh for HashMap<K, V, S> {
    fn heap_bytes(&self) -> u64 {
        // One control byte per slot, and slots for eight sevenths of the capacity.
        let table =
            inline_bytes::<(K, V)>(self.capacity()).saturating_add(bytes(self.capacity())).saturating_mul(8) / 7;
        table.saturating_add(pairs(K::FLAT && V::FLAT, self))
    }
}

impl<K: Weigh, V: Weigh> Weigh for BTreeMap<K, V> {
    fn heap_bytes(&self) -> u64 {
        // Nodes are about two thirds full.
        (inline_bytes::<(K, V)>(self.len()).saturating_mul(3) / 2).saturating_add(pairs(K::FLAT && V::FLAT, self))
    }
}

macro_rules! tuple {
    ($($name:ident),+) => {
        impl<$($name: Weigh),+> Weigh for ($($name,)+) {
            const FLAT: bool = true $(&& $name::FLAT)+;

            fn heap_bytes(&self) -> u64 {
                #[expect(non_snake_case, reason = "the type parameters name the fields")]
                let ($($name,)+) = self;
                0u64 $(.saturating_add($name.heap_bytes()))+
            }
        }
    };
}

tuple!(A);
tuple!(A, B);
tuple!(A, B, C);
tuple!(A, B, C, D);
tuple!(A, B, C, D, E);
tuple!(A, B, C, D, E, F);

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn inline_bytes<T>(count: usize) -> u64 {
    bytes(count).saturating_mul(bytes(size_of::<T>()))
}

fn elements<'a, T: Weigh + 'a>(flat: bool, items: impl IntoIterator<Item = &'a T>) -> u64 {
    if flat { 0 } else { items.into_iter().fold(0, |sum, item| sum.saturating_add(item.heap_bytes())) }
}

fn pairs<'a, K: Weigh + 'a, V: Weigh + 'a>(flat: bool, items: impl IntoIterator<Item = (&'a K, &'a V)>) -> u64 {
    if flat {
        return 0;
    }
    items
        .into_iter()
        .fold(0, |sum, (key, value)| sum.saturating_add(key.heap_bytes()).saturating_add(value.heap_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_and_heap_are_both_counted() {
        let mut text = String::with_capacity(100);
        text.push('x');
        assert_eq!(ByWeight.weigh(&1u64, &text), 8 + 24 + 100);
    }

    #[test]
    fn collections_count_their_capacity_and_what_elements_own() {
        let mut names = Vec::with_capacity(4);
        names.push("abc".to_owned());
        assert_eq!(names.heap_bytes(), 4 * 24 + 3);
        assert_eq!(vec![0u8; 64].heap_bytes(), 64);
        assert_eq!(Some(vec![0u32; 4]).heap_bytes(), 16);
        assert_eq!((1u8, "ab".to_owned()).heap_bytes(), 2);
    }

    #[test]
    fn shared_values_count_in_whole() {
        let slice: Arc<[u8]> = Arc::from(vec![0; 64]);
        assert_eq!(slice.heap_bytes(), 16 + 64);
        assert_eq!(Arc::new("abcd".to_owned()).heap_bytes(), 16 + 24 + 4);
        let text: Box<str> = "abc".into();
        assert_eq!(text.heap_bytes(), 3);
    }

    #[test]
    fn a_closure_is_a_weigher() {
        fn weigh<W: Weigher<u8, u8>>(weigher: &W) -> u64 {
            weigher.weigh(&1, &2)
        }
        assert_eq!(weigh(&|key: &u8, value: &u8| u64::from(*key + *value)), 3);
    }
}
