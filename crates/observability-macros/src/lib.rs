#![doc = include_str!("../README.md")]

mod trace_function;

use proc_macro::TokenStream;

/// Traces a function, sync or async: a span of level INFO, counted as an operation when it ends.
///
/// `#[trace_function]` names the operation as the function, `#[trace_function("charge card")]` as you say. A function
/// whose return type is written as a `Result` is counted as failed when it returns `Err`; with `err`, as in
/// `#[trace_function("charge card", err)]`, the error is also written to the log, by its `Display`, at level ERROR. A panic
/// is counted as a failure. Arguments are not recorded. A future that is dropped before its end is counted with the time
/// it had, and not as a failure.
///
/// # Examples
/// ```text
/// #[trace_function("charge card", err)]
/// async fn charge(card: &Card, amount: u64) -> Result<Receipt, Declined> { … }
/// ```
#[proc_macro_attribute]
pub fn trace_function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    trace_function::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
