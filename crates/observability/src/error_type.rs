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
