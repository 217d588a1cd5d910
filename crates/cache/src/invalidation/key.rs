//! Keys that have a text.

use std::borrow::Cow;
use std::sync::Arc;

/// A key that can be written as text, so that a prefix or a glob can be matched against it and
/// other processes can be told of it.
///
/// Two keys that differ must differ in their text. It is asked for under the lock of a shard while
/// a pattern is in effect, so it must not call the cache.
///
/// # Examples
///
/// ```
/// use std::borrow::Cow;
/// use bedplate_cache::CacheKey;
///
/// #[derive(PartialEq, Eq, Hash)]
/// struct Price { product: u64, currency: &'static str }
///
/// impl CacheKey for Price {
///     fn text(&self) -> Cow<'_, str> {
///         format!("price:{}:{}", self.product, self.currency).into()
///     }
/// }
/// ```
pub trait CacheKey {
    /// Returns the key's text.
    fn text(&self) -> Cow<'_, str>;
}

macro_rules! borrowed {
    ($($type:ty),+ $(,)?) => {
        $(impl CacheKey for $type {
            fn text(&self) -> Cow<'_, str> {
                Cow::Borrowed(self)
            }
        })+
    };
}

macro_rules! written {
    ($($type:ty),+ $(,)?) => {
        $(impl CacheKey for $type {
            fn text(&self) -> Cow<'_, str> {
                Cow::Owned(self.to_string())
            }
        })+
    };
}

borrowed!(String, &'static str, Box<str>, Arc<str>, Cow<'static, str>);
written!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);
