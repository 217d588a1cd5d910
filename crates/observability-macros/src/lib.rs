#![doc = include_str!("../README.md")]

mod error_type;
mod test;
mod trace_function;

use proc_macro::TokenStream;

/// Traces a function, sync or async: a span that is counted as an operation when it ends, with its duration, whether it
/// failed and by what, and how many go on.
///
/// `#[trace_function]` names the operation as the function, `#[trace_function("charge card")]` as you say. Then, in any
/// order:
///
/// - `kind = Client`: the span's role, `Internal`, `Server`, `Client`, `Producer` or `Consumer`.
/// - `level = "debug"`: the span's level, default INFO.
/// - `attrs(payment.provider = "acme")`: attributes with their values.
/// - `fields(amount, %currency, ?options, order.id = order.id)`: arguments to record, as `tracing` writes fields. No argument
///   is recorded that is not named; `skip(card)` only says so.
/// - `err`: an error is also written to the log, by its `Display`, at level ERROR; the return type must be written as a
///   `Result`.
/// - `option`: a `None` counts as a failure, of the type `none`.
///
/// A function that returns a `Result`, by whatever name of its own, is counted as failed when it returns `Err`; one whose type
/// holds an `impl Trait` must be written as a `Result` for that. `error.type` is what the error's `ErrorType` says, else the
/// type's and variant's names. A panic is a failure of the type `panic`. A future that is dropped before its end is recorded
/// as `cancelled` and not as a failure. A function that ends in an async block or in `Box::pin` of one, as those that
/// `async_trait` writes, is traced as the future it returns.
///
/// # Examples
/// ```text
/// #[trace_function("charge card", kind = Client, attrs(payment.provider = "acme"), fields(amount), err)]
/// async fn charge(card: &Card, amount: u64) -> Result<Receipt, Declined> { … }
/// ```
#[proc_macro_attribute]
pub fn trace_function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    trace_function::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `ErrorType` by the names of an enum's variants, or of the struct; `#[error_type("declined")]` gives another.
#[proc_macro_derive(ErrorType, attributes(error_type))]
pub fn derive_error_type(item: TokenStream) -> TokenStream {
    error_type::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Runs a test under telemetry of its own, which it takes as its argument; needs the feature `testing`.
///
/// An async test runs as `#[tokio::test]`, whose arguments it takes.
///
/// # Examples
/// ```text
/// #[bedplate_observability::test]
/// async fn an_order_is_charged(t: TestTelemetry) {
///     checkout().await;
///     t.span("charge card").kind(SpanKind::Client).child_of("place order").once();
/// }
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test::expand(&arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
