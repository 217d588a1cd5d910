use std::any::type_name;
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Names the kinds of an error, for the attribute `error.type` and for telling new failures from known ones: few, and the
/// same for the same cause. Derive it, by the names of the variants.
///
/// Errors without it are named by their type and, where their `Debug` is derived, by their variant.
///
/// # Examples
#[cfg_attr(feature = "macros", doc = "```")]
#[cfg_attr(not(feature = "macros"), doc = "```ignore")]
/// use bedplate_observability::ErrorType;
/// #[derive(ErrorType)]
/// enum PayError {
///     #[error_type("declined")]
///     Declined { code: u32 },
///     Timeout,
/// }
/// assert_eq!(PayError::Declined { code: 7 }.error_type(), "declined");
/// assert_eq!(PayError::Timeout.error_type(), "Timeout");
/// ```
pub trait ErrorType {
    /// Returns the kind's name.
    #[must_use]
    fn error_type(&self) -> &'static str;
}

/// The name of an error that has no word of its own: its type's and, where that is a variant, the variant's.
pub(crate) fn error_name<E: fmt::Debug + ?Sized>(error: &E) -> Cow<'static, str> {
    let name = short_name::<E>();
    let mut variant = Word(String::new());
    // It stops, as an error, at the end of the first word.
    let _stopped = write!(variant, "{error:?}");
    if variant.0.is_empty() || variant.0 == name || !variant.0.starts_with(char::is_uppercase) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("{name}::{}", variant.0))
    }
}

/// Without modules and arguments.
pub(crate) fn short_name<E: ?Sized>() -> &'static str {
    let name = type_name::<E>();
    let path = name.split('<').next().unwrap_or(name);
    path.rsplit("::").next().unwrap_or(path)
}

/// Takes what is written up to the end of the first word.
struct Word(String);

impl fmt::Write for Word {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        self.0.push_str(text.get(..end.unwrap_or(text.len())).unwrap_or_default());
        if end.is_none() && self.0.len() < 64 { Ok(()) } else { Err(fmt::Error) }
    }
}
