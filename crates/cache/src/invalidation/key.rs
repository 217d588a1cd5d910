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

/// A key that can be read back from its text: what a remote tier, other nodes and a snapshot need.
///
/// The text must not depend on the process that writes it, so neither on a seed nor on an address.
///
/// # Examples
///
/// ```
/// use std::borrow::Cow;
/// use bedplate_cache::{CacheKey, TextKey};
///
/// #[derive(Debug, Clone, PartialEq, Eq, Hash)]
/// struct User(u64);
///
/// impl CacheKey for User {
///     fn text(&self) -> Cow<'_, str> {
///         format!("user:{}", self.0).into()
///     }
/// }
///
/// impl TextKey for User {
///     fn from_text(text: &str) -> Option<Self> {
///         text.strip_prefix("user:")?.parse().ok().map(Self)
///     }
/// }
/// assert_eq!(User::from_text(&User(7).text()), Some(User(7)));
/// ```
pub trait TextKey: CacheKey + Sized {
    /// Returns the key of this text; `None` if no key has it.
    fn from_text(text: &str) -> Option<Self>;
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

macro_rules! owned {
    ($($type:ty),+ $(,)?) => {
        $(impl TextKey for $type {
            fn from_text(text: &str) -> Option<Self> {
                Some(text.to_owned().into())
            }
        })+
    };
}

macro_rules! parsed {
    ($($type:ty),+ $(,)?) => {
        $(impl TextKey for $type {
            fn from_text(text: &str) -> Option<Self> {
                // `+7` and `007` are numbers, and the text of none.
                text.parse().ok().filter(|key: &Self| key.text() == text)
            }
        })+
    };
}

borrowed!(String, &'static str, Box<str>, Arc<str>, Cow<'static, str>);
written!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);
owned!(String, Box<str>, Arc<str>, Cow<'static, str>);
parsed!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_its_own_text_alone() {
        assert_eq!(i64::from_text(&i64::MIN.text()), Some(i64::MIN));
        assert_eq!(String::from_text("a b"), Some("a b".to_owned()));
        for text in ["", "+7", "007", "7 ", "256"] {
            assert_eq!(u8::from_text(text), None, "{text:?}");
        }
    }
}
